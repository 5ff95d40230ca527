/* SPDX-License-Identifier: MIT
 *
 * Names of bytes from tables of a profile's overlay structs. The tables tile their structs: a layout that grows a field which no
 * table has makes the byte "?", and the test that compares with the layout file fails. */
#ifndef SHMW_CLI_NAMING_H
#define SHMW_CLI_NAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile.h"

struct field_row {
    const char *name;
    size_t offset;
    size_t size;
    bool number;
};

#define FIELD(type, member, number) {#member, offsetof(struct type, member), sizeof(((struct type *)0)->member), number}
#define NUMBER(type, member) FIELD(type, member, true)
#define BYTES(type, member) FIELD(type, member, false)
#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* The field of a struct at `base` that holds the byte `inside` bytes on, as "PREFIX.FIELD". */
struct named_range name_field(const struct field_row *rows, size_t count, const char *prefix, uint64_t base, uint64_t inside);

/* Bytes that belong to no field: "free[BEGIN]". */
struct named_range name_free(uint64_t begin, uint64_t end);

#endif
