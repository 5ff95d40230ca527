/* SPDX-License-Identifier: MIT
 *
 * Entries on standard output, for dump and tail: read by the library, as any reader of the log does. */
#ifndef SHMW_CLI_OUROBOROS_ENTRY_H
#define SHMW_CLI_OUROBOROS_ENTRY_H

#include "../printing.h"
#include "../view.h"
#include "shmwire/ouroboros.h"

/* A reader and its buffer, which grows with the entries. Begin with {0}. */
struct source {
    const struct view *view;
    shmw_ouroboros_reader *reader;
    enum message_format format;
    unsigned char *buffer;
    size_t room;
    uint64_t last; /* sequence read last; 0 = none */
};

/* Attach. EXIT_FINDINGS after a diagnostic for what a reader must refuse, EXIT_USAGE for other failures. The caller closes it in
 * every case. */
int source_open(const struct args *args, const struct view *view, enum shmw_ouroboros_start start, struct source *source);
void source_close(struct source *source);

/* The next entry, in source->buffer: what the library answers, but TOO_SMALL. */
int source_next(struct source *source, struct shmw_ouroboros_entry *entry);

void source_print(const struct source *source, const struct shmw_ouroboros_entry *entry);

/* The diagnostic and exit code for an answer of source_next that ends the reading. */
int source_failed(const struct source *source, int code);

/* The sequence of the newest entry that can be read now, 0 when there is none; UINT64_MAX where the newest chunk is broken. */
uint64_t newest_sequence(const struct view *view);

#endif
