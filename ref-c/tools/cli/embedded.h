/* SPDX-License-Identifier: MIT
 *
 * Files built into the command; embed.cmake writes the table. */
#ifndef SHMW_CLI_EMBEDDED_H
#define SHMW_CLI_EMBEDDED_H

#include <stddef.h>

struct embedded {
    const char *name; /* what `shmwire schema` takes */
    const unsigned char *data;
    size_t size;
};

extern const struct embedded embedded_files[]; /* ended by a row without a name */

#endif
