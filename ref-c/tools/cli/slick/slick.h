/* SPDX-License-Identifier: MIT
 *
 * Profile slick in the command: what its files give to the table in profile.c. */
#ifndef SHMW_CLI_SLICK_H
#define SHMW_CLI_SLICK_H

#include "../findings.h"
#include "../profile.h"
#include "../view.h"

int slick_find(const struct view *view, uint64_t stall_ms, struct findings *findings);
int slick_inspect(const struct args *args, const struct view *view, const struct findings *findings);
int slick_dump(const struct args *args, const struct view *view);
int slick_tail(const struct args *args, const struct view *view);
int slick_gen(const struct args *args, const char *locator, const char *path);
int slick_recover(const struct args *args, const struct view *view);
struct named_range slick_name_byte(const struct view *view, uint64_t offset);

#endif
