/* SPDX-License-Identifier: MIT */
#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "output.h"

/* Open one directory entry; false if it is no segment of ours. */
static bool open_entry(struct listing *listing, const char *name, struct view *view)
{
    char path[PATH_ROOM];
    struct stat status;
    if (snprintf(path, sizeof(path), "%s/%s", listing->directory, name) >= (int)sizeof(path))
        return false;
    if (lstat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0) {
        listing->unreadable += errno == EACCES || errno == EPERM;
        return false;
    }
    if (!view_map(fd, path, view))
        return false;
    view->profile = view_detect(view);
    return view->profile != NULL;
}

struct look {
    struct listing *listing;
    const char *name;
    struct row *row;
    bool ours;
};

static void look_at_entry(void *context)
{
    struct look *look = context;
    look->ours = open_entry(look->listing, look->name, look->row->view);
    if (!look->ours)
        return;
    look->row->view->profile->summarise(look->row->view, &look->row->summary);
    look->row->readable = true;
}

static void free_row(struct row *row)
{
    view_close(row->view);
    free(row->view);
    free(row->name);
}

/* false when memory ran out. */
static bool add_entry(struct listing *listing, const char *name)
{
    struct row *rows = realloc(listing->rows, (listing->count + 1) * sizeof(*rows));
    if (rows == NULL)
        return false;
    listing->rows = rows;
    struct row *row = &rows[listing->count];
    *row = (struct row){.name = strdup(name), .view = calloc(1, sizeof(*row->view))};
    if (row->name == NULL || row->view == NULL) {
        free(row->name);
        free(row->view);
        return false;
    }
    row->view->fd = -1;
    struct look look = {.listing = listing, .name = name, .row = row};
    guarded(look_at_entry, &look);
    if (look.ours)
        listing->count++;
    else
        free_row(row);
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

int listing_collect(struct listing *listing, bool with_mappers)
{
    clock_gettime(CLOCK_MONOTONIC, &listing->taken);
    listing->mappers.complete = true;
    DIR *directory = opendir(listing->directory);
    if (directory == NULL)
        return io_error("%s: %s", listing->directory, strerror(errno));
    bool good = true;
    for (struct dirent *entry = readdir(directory); good && entry != NULL; entry = readdir(directory))
        good = add_entry(listing, entry->d_name);
    closedir(directory);
    if (good && listing->count > 0) {
        qsort(listing->rows, listing->count, sizeof(*listing->rows), by_name);
        good = !with_mappers || mappers_scan(&listing->mappers);
    }
    return good ? EXIT_OK : io_error("out of memory");
}

void listing_free(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free_row(&listing->rows[i]);
    free(listing->rows);
    mappers_free(&listing->mappers);
    *listing = (struct listing){.directory = listing->directory};
}

static double seconds_between(const struct timespec *from, const struct timespec *to)
{
    return (double)(to->tv_sec - from->tv_sec) + (double)(to->tv_nsec - from->tv_nsec) / 1e9;
}

static const struct row *same_segment(const struct listing *listing, const struct row *row)
{
    for (size_t i = 0; i < listing->count; i++) {
        const struct stat *status = &listing->rows[i].view->status;
        if (status->st_ino == row->view->status.st_ino && status->st_dev == row->view->status.st_dev)
            return &listing->rows[i];
    }
    return NULL;
}

void listing_rates(const struct listing *before, struct listing *now)
{
    const double seconds = seconds_between(&before->taken, &now->taken);
    for (size_t i = 0; i < now->count && seconds > 0; i++) {
        struct row *row = &now->rows[i];
        const struct row *old = same_segment(before, row);
        if (old == NULL || !old->readable || !row->readable || !row->summary.counts_published)
            continue;
        /* A queue that was reset, or a count repaired meanwhile, goes back: that is no rate. */
        const uint64_t grown = row->summary.published - old->summary.published;
        row->rated = row->summary.published >= old->summary.published;
        row->rate = row->rated ? (double)grown / seconds : 0;
    }
}

uint64_t listing_age(const struct row *row)
{
    const time_t now = time(NULL);
    return now > row->view->status.st_ctime ? (uint64_t)(now - row->view->status.st_ctime) : 0;
}
