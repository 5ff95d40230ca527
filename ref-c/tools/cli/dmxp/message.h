/* SPDX-License-Identifier: MIT
 *
 * Messages on standard output, for dump and tail. */
#ifndef SHMW_CLI_DMXP_MESSAGE_H
#define SHMW_CLI_DMXP_MESSAGE_H

#include "../printing.h"
#include "raw.h"

struct printing {
    enum message_format format;
    enum layout_choice choice;
    bool tombstones;
    uint32_t payload_layout; /* of the header */
    uint32_t first_channel;  /* channels to show: [first_channel, last_channel] */
    uint32_t last_channel;
};

/* From the options. EXIT_USAGE after a diagnostic. EXIT_FINDINGS, with *printing filled, after one about a header that an opener
 * would refuse: what can be printed still is. */
int printing_from_args(const struct args *args, const struct view *view, struct printing *printing);

/* Print one message, or nothing for a tombstone. EXIT_FINDINGS, after a diagnostic, for a payload_len that is impossible. */
int print_message(const struct printing *printing, const struct raw_message *message);

/* dump.c. Print the messages among the last `last` positions before tail. EXIT_FINDINGS after a diagnostic if any is broken. */
int print_waiting(const struct view *view, const struct printing *printing, const struct raw_channel *channel, uint64_t last);

#endif
