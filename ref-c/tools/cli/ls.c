/* SPDX-License-Identifier: MIT
 *
 * ls: segments of known profiles in a directory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guard.h"
#include "mappers.h"
#include "output.h"
#include "view.h"

#define SHM_DIRECTORY "/dev/shm"

struct row {
    char *name;
    struct view *view; /* kept open, so that the scan of /proc can tell its mapping */
    struct segment_summary summary;
    bool readable; /* not shortened under us */
};

struct listing {
    const char *directory;
    struct row *rows;
    size_t count;
    size_t unreadable; /* files that may not be opened */
    struct mappers mappers;
};

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

static int collect(struct listing *listing)
{
    DIR *directory = opendir(listing->directory);
    if (directory == NULL)
        return io_error("%s: %s", listing->directory, strerror(errno));
    bool good = true;
    for (struct dirent *entry = readdir(directory); good && entry != NULL; entry = readdir(directory))
        good = add_entry(listing, entry->d_name);
    closedir(directory);
    if (good && listing->count > 0) {
        qsort(listing->rows, listing->count, sizeof(*listing->rows), by_name);
        good = mappers_scan(&listing->mappers);
    }
    return good ? EXIT_OK : io_error("out of memory");
}

/* Printing --------------------------------------------------------------------------------------------------------- */

static void print_name(const struct listing *listing, const struct row *row, int width)
{
    const bool posix = strcmp(listing->directory, SHM_DIRECTORY) == 0;
    printf("%s", posix ? "/" : "");
    print_safe(stdout, row->name);
    for (int i = (int)strlen(row->name) + posix; i < width; i++)
        putchar(' ');
}

static void print_age(uint64_t seconds)
{
    static const struct {
        uint64_t seconds;
        char letter;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t i = 0;
    while (i < 3 && seconds < 2 * units[i].seconds)
        i++;
    printf(" %5llu%c ", (unsigned long long)(seconds / units[i].seconds), units[i].letter);
}

static uint64_t age_of(const struct row *row)
{
    const time_t now = time(NULL);
    return now > row->view->status.st_ctime ? (uint64_t)(now - row->view->status.st_ctime) : 0;
}

static void print_row(const struct listing *listing, const struct row *row, int width)
{
    print_name(listing, row, width);
    printf(" %-8s %12zu", row->view->profile->name, row->view->size);
    if (row->readable)
        printf(" %8llu %8llu", (unsigned long long)row->summary.channels, (unsigned long long)row->summary.waiting);
    else
        printf(" %8s %8s", "?", "?");
    printf(" %6u %04o", (unsigned)row->view->status.st_uid, (unsigned)(row->view->status.st_mode & 07777));
    print_age(age_of(row));
    size_t at = 0;
    bool some = false;
    for (long pid = mappers_next(&listing->mappers, row->view->base, &at); pid != 0;
         pid = mappers_next(&listing->mappers, row->view->base, &at)) {
        printf("%s%ld", some ? "," : "", pid);
        some = true;
    }
    printf("%s%s\n", some ? "" : "-", listing->mappers.complete ? "" : "?");
}

static void print_table(const struct listing *listing)
{
    int width = 5;
    for (size_t i = 0; i < listing->count; i++)
        if ((int)strlen(listing->rows[i].name) + 1 > width)
            width = (int)strlen(listing->rows[i].name) + 1;
    printf("%s%-*s %-8s %12s %8s %8s %6s %-4s %6s %s%s\n", style_bold(), width, "NAME", "PROFILE", "BYTES", "CHANNELS", "WAITING",
           "OWNER", "MODE", "AGE", "PROCESSES", style_plain());
    for (size_t i = 0; i < listing->count; i++)
        print_row(listing, &listing->rows[i], width);
}

static void json_row(const struct listing *listing, const struct row *row, struct json *json)
{
    char mode[8];
    snprintf(mode, sizeof(mode), "%04o", (unsigned)(row->view->status.st_mode & 07777));
    json_object(json, NULL);
    json_text(json, "name", row->name);
    json_text(json, "path", row->view->path);
    json_text(json, "profile", row->view->profile->name);
    json_u64(json, "size", row->view->size);
    json_u64(json, "channels", row->summary.channels);
    json_u64(json, "waiting", row->summary.waiting);
    json_number(json, "uid", row->view->status.st_uid);
    json_text(json, "mode", mode);
    json_u64(json, "age_seconds", age_of(row));
    json_array(json, "processes");
    size_t at = 0;
    for (long pid = mappers_next(&listing->mappers, row->view->base, &at); pid != 0;
         pid = mappers_next(&listing->mappers, row->view->base, &at))
        json_number(json, NULL, (uint64_t)pid);
    json_close(json);
    json_close(json);
}

int verb_ls(const struct args *args)
{
    struct listing listing = {.directory = given(args, OPT_DIR) ? args->value[OPT_DIR] : SHM_DIRECTORY};
    listing.mappers.complete = true;
    const int rc = collect(&listing);
    if (rc == EXIT_OK && given(args, OPT_JSON)) {
        struct json json;
        json_begin(&json, stdout);
        json_text(&json, "schema", "shmwire-ls/1");
        json_text(&json, "directory", listing.directory);
        json_bool(&json, "processes_complete", listing.mappers.complete);
        json_array(&json, "segments");
        for (size_t i = 0; i < listing.count; i++)
            json_row(&listing, &listing.rows[i], &json);
        json_end(&json);
    } else if (rc == EXIT_OK && listing.count > 0) {
        print_table(&listing);
    }
    if (listing.unreadable > 0)
        diagnostic("%s: %zu files may not be read", listing.directory, listing.unreadable);
    for (size_t i = 0; i < listing.count; i++)
        free_row(&listing.rows[i]);
    free(listing.rows);
    mappers_free(&listing.mappers);
    return rc;
}
