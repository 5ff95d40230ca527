/* SPDX-License-Identifier: MIT
 *
 * How dump and tail print messages, whatever the profile. */
#ifndef SHMW_CLI_PRINTING_H
#define SHMW_CLI_PRINTING_H

#include <stddef.h>

struct args;

enum message_format { FORMAT_TEXT, FORMAT_JSONL, FORMAT_RAW };

/* From --format and --json; without them jsonl, or text on a terminal. EXIT_USAGE after a diagnostic. */
int format_option(const struct args *args, enum message_format *format);

/* The first bytes of a payload, in hexadecimal and as characters. */
void print_payload(const unsigned char *payload, size_t length);

#endif
