/* SPDX-License-Identifier: MIT
 *
 * Profile dmxp in the command: what its files give to the table in profile.c. */
#ifndef SHMW_CLI_DMXP_H
#define SHMW_CLI_DMXP_H

#include "../findings.h"
#include "../profile.h"
#include "../view.h"

int dmxp_find(const struct view *view, uint64_t stall_ms, struct findings *findings);
int dmxp_inspect(const struct args *args, const struct view *view, const struct findings *findings);
int dmxp_dump(const struct args *args, const struct view *view);
int dmxp_tail(const struct args *args, const struct view *view);
int dmxp_gen(const struct args *args, const char *locator, const char *path);
int dmxp_recover(const struct args *args, const struct view *view);
int dmxp_bench(const struct args *args);
struct named_range dmxp_name_byte(const struct view *view, uint64_t offset);

#endif
