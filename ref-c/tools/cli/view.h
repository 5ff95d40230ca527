/* SPDX-License-Identifier: MIT
 *
 * A segment or file as it lies there: mapped read-only, unchecked. Profiles read their fields from it with every offset checked
 * against size, and the caller runs under guarded(). */
#ifndef SHMW_CLI_VIEW_H
#define SHMW_CLI_VIEW_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "cli.h"
#include "profile.h"

#define PATH_ROOM 4096

struct view {
    char locator[PATH_ROOM]; /* what the library takes */
    char path[PATH_ROOM];    /* the file behind it */
    int fd;
    size_t size;               /* of the file when it was opened */
    const unsigned char *base; /* page-aligned; NULL when size is 0 */
    struct stat status;
    const struct cli_profile *profile;
};

/* The locator that the operand SEG stands for: see text_segments. EXIT_USAGE after a diagnostic. */
int resolve_segment(const char *operand, char locator[PATH_ROOM], char path[PATH_ROOM]);

/* Open and map a file, whatever is in it. EXIT_USAGE after a diagnostic. The caller closes the view, which is safe after a
 * failure. */
int view_open_path(const char *path, struct view *view);
void view_close(struct view *view);

/* The same for a file that is open: the view owns fd from now on. false with errno set; EINVAL: not a regular file. */
bool view_map(int fd, const char *path, struct view *view);

/* The profile whose magic the segment carries, or NULL. */
const struct cli_profile *view_detect(const struct view *view);

/* Resolve, open, and find the profile, from --profile or by the magic. EXIT_USAGE or EXIT_UNSUPPORTED after a diagnostic. */
int view_open(const struct args *args, const char *operand, struct view *view);

/* The same, but a segment of no known profile is left with profile NULL; view_unknown is the diagnostic for it. */
int view_open_unnamed(const struct args *args, const char *operand, struct view *view);
int view_unknown(const struct view *view);

/* Read [offset, offset + length) of the file, which leaves holes as they are: a mapping would fill them with pages.
 * EXIT_USAGE after a diagnostic, also when the file has become shorter. */
int view_read(const struct view *view, uint64_t offset, void *to, size_t length);

#endif
