/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater in the command: an operand that is a directory is a base of feeds, or the directory of one of them. */
#ifndef SHMW_CLI_DEEPWATER_TREE_H
#define SHMW_CLI_DEEPWATER_TREE_H

#include <stdbool.h>

#include "../cli.h"
#include "../view.h"
#include "shmwire/deepwater.h"

struct tree {
    char base[PATH_ROOM];
    char feed[64]; /* "": all of them */
    struct shmw_deepwater_feed entry; /* of the feed, if one is named */
};

/* Is the operand a directory? Those are ours. */
bool tree_is(const char *operand);

/* Find base and feed. EXIT_USAGE after a diagnostic: no base, or no such feed, and then with the feeds that there are. */
int tree_find(const char *operand, struct tree *tree);

/* How many feeds the base has, for what is shown of a scan; 0 if that cannot be told. */
uint64_t tree_feeds(const struct tree *tree);

/* The exit code for an error of the library about the tree, after a diagnostic. */
int tree_error(const struct tree *tree, int code);

/* The verbs, as in cli.h. */
int tree_ls(const struct args *args, const char *operand);
int tree_inspect(const struct args *args);
int tree_validate(const struct args *args);
int tree_dump(const struct args *args);
int tree_tail(const struct args *args);
int tree_gc(const struct args *args, const char *operand);

#endif
