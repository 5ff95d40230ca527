/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../output.h"
#include "deepwater/layout.h"

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

uint64_t tree_feeds(const struct tree *tree)
{
    char path[PATH_ROOM + 16];
    struct shmw_deepwater_wire_registry header;
    snprintf(path, sizeof(path), "%s/registry.bin", tree->base);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    const bool whole = pread(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header);
    close(fd);
    return whole ? header.count : 0;
}

/* The usual case, without a look at every feed of the base: the feed is called as its directory. */
static bool find_by_name(struct tree *tree, const char *directory)
{
    const struct shmw_deepwater_reader_options options = {.start = SHMW_DEEPWATER_SEQUENCE, .read_only = true};
    shmw_deepwater_reader *reader = NULL;
    if (shmw_deepwater_reader_open(tree->base, directory, &options, &reader) != SHMW_OK)
        return false;
    const bool found = shmw_deepwater_reader_feed(reader, &tree->entry) == SHMW_OK && strcmp(tree->entry.directory, directory) == 0;
    shmw_deepwater_reader_close(reader);
    if (found)
        memcpy(tree->feed, tree->entry.name, sizeof(tree->feed));
    return found;
}

/* The feed that lives in that directory of the base. */
static int find_feed(struct tree *tree, const char *directory)
{
    if (find_by_name(tree, directory))
        return EXIT_OK;
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
