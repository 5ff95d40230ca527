/* SPDX-License-Identifier: MIT
 *
 * Profile ouroboros in the command: what its files give to the table in profile.c. */
#ifndef SHMW_CLI_OUROBOROS_H
#define SHMW_CLI_OUROBOROS_H

#include "../findings.h"
#include "../profile.h"
#include "../view.h"

int ouroboros_find(const struct view *view, uint64_t stall_ms, struct findings *findings);
int ouroboros_inspect(const struct args *args, const struct view *view, const struct findings *findings);
int ouroboros_dump(const struct args *args, const struct view *view);
int ouroboros_tail(const struct args *args, const struct view *view);
int ouroboros_gen(const struct args *args, const char *locator, const char *path);
struct named_range ouroboros_name_byte(const struct view *view, uint64_t offset);

#endif
