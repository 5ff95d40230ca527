/* SPDX-License-Identifier: MIT
 *
 * What is wrong with a segment, or worth a note. */
#ifndef SHMW_CLI_FINDINGS_H
#define SHMW_CLI_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "output.h"

#define NO_CHANNEL UINT32_MAX
#define NO_POSITION UINT64_MAX

enum severity { NOTE, ERROR };

struct finding {
    enum severity severity;
    const char *rule; /* rule id, or "stalled-slot"; "" for notes that no rule is behind. Static storage */
    uint32_t channel;
    uint64_t position;
    char text[200];
};

#define MOST_FINDINGS 256 /* a segment of random bytes has more; the rest is counted */

struct findings {
    const char *part; /* what `channel` counts in this profile: "channel", "chunk" or "slot" */
    struct finding list[MOST_FINDINGS];
    size_t count;
    uint64_t omitted;
    uint64_t errors; /* omitted ones included */
};

void findings_add(struct findings *findings, enum severity severity, const char *rule, uint32_t channel, uint64_t position,
                  const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Errors of that channel that are listed. */
size_t findings_of_channel(const struct findings *findings, uint32_t channel);

void findings_print(const struct findings *findings);
void findings_json(const struct findings *findings, struct json *json);

#endif
