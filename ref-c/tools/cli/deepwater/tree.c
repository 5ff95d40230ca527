/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../output.h"

bool tree_is(const char *operand)
{
    struct stat status;
    return operand != NULL && stat(operand, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool is_base(const char *path)
{
    char file[PATH_ROOM + 16];
    snprintf(file, sizeof(file), "%s/registry.bin", path);
    return access(file, F_OK) == 0;
}

/* Cut the last component off: gives it, or NULL when there is none. */
static const char *cut(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path)
        return NULL;
    *slash = '\0';
    return slash + 1;
}

/* The feeds that there are, for who named none of them. */
static void name_feeds(const struct tree *tree)
{
    struct shmw_deepwater_feed feed;
    diagnostic("the feeds of %s are:", tree->base);
    int rc = SHMW_OK;
    for (uint32_t i = 0; rc != SHMW_NOT_FOUND; i++) {
        rc = shmw_deepwater_feed_at(tree->base, i, &feed);
        if (rc == SHMW_OK)
            diagnostic("  %s", feed.name);
    }
}

/* The feed that lives in that directory of the base. */
static int find_feed(struct tree *tree, const char *directory)
{
    for (uint32_t i = 0;; i++) {
        const int rc = shmw_deepwater_feed_at(tree->base, i, &tree->entry);
        if (rc == SHMW_NOT_FOUND) {
            name_feeds(tree);
            return io_error("%s/%s: NOT_FOUND: no feed lives there", tree->base, directory);
        }
        if (rc == SHMW_OK && strcmp(tree->entry.directory, directory) == 0) {
            memcpy(tree->feed, tree->entry.name, sizeof(tree->feed));
            return EXIT_OK;
        }
    }
}

int tree_find(const char *operand, struct tree *tree)
{
    char real[PATH_ROOM];
    char below[PATH_ROOM] = "";
    *tree = (struct tree){0};
    if (realpath(operand, real) == NULL)
        return io_error("%s: no such directory", operand);
    snprintf(tree->base, sizeof(tree->base), "%s", real);
    while (!is_base(tree->base)) { /* a feed may live several directories down */
        char more[PATH_ROOM];
        const char *last = cut(tree->base);
        if (last == NULL)
            return io_error("%s: no base of feeds: there is no registry.bin in it, nor above it", operand);
        snprintf(more, sizeof(more), "%.2000s%s%.2000s", last, below[0] != '\0' ? "/" : "", below);
        memcpy(below, more, sizeof(below));
    }
    /* There is no such entry: any other answer is about the registry, and would be the answer for each entry. */
    struct shmw_deepwater_feed none;
    const int rc = shmw_deepwater_feed_at(tree->base, UINT32_MAX, &none);
    if (rc != SHMW_NOT_FOUND)
        return tree_error(tree, rc);
    return below[0] == '\0' ? EXIT_OK : find_feed(tree, below);
}

int tree_error(const struct tree *tree, int code)
{
    char what[PATH_ROOM + 80];
    snprintf(what, sizeof(what), "%s%s%s", tree->base, tree->feed[0] != '\0' ? "/" : "", tree->feed);
    return open_error(what, code);
}
