/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm in the command: what its files give to the table in profile.c. */
#ifndef SHMW_CLI_SHMCOMM_H
#define SHMW_CLI_SHMCOMM_H

#include "../findings.h"
#include "../profile.h"
#include "../view.h"

int shmcomm_find(const struct view *view, uint64_t stall_ms, struct findings *findings);
int shmcomm_inspect(const struct args *args, const struct view *view, const struct findings *findings);
int shmcomm_dump(const struct args *args, const struct view *view);
int shmcomm_tail(const struct args *args, const struct view *view);
int shmcomm_gen(const struct args *args, const char *locator, const char *path);
int shmcomm_recover(const struct args *args, const struct view *view);
int shmcomm_collect(const struct args *args, const char *path, const char *name, struct gc_outcome *outcome);
struct named_range shmcomm_name_byte(const struct view *view, uint64_t offset);

/* Does a keeper of the segment live? The library asks the kernel. */
enum keeper shmcomm_keeper(const struct view *view);

#endif
