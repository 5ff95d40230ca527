/* SPDX-License-Identifier: MIT
 *
 * ls: segments of known profiles in a directory. Rates are what was published while it looked twice. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "listing.h"
#include "output.h"

#define BETWEEN_LOOKS_NS 100000000L
#define LEAST_NAME_WIDTH 5

/* Text ------------------------------------------------------------------------------------------------------------- */

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

static void print_counts(const struct row *row)
{
    if (row->readable)
        printf(" %8llu %8llu", (unsigned long long)row->summary.channels, (unsigned long long)row->summary.waiting);
    else
        printf(" %8s %8s", "?", "?");
    if (row->rated)
        printf(" %9.0f", row->rate);
    else
        printf(" %9s", "-");
    if (row->summary.has_members)
        printf(" %8llu %6llu", (unsigned long long)row->summary.dropped, (unsigned long long)row->summary.asleep);
    else
        printf(" %8s %6s", "-", "-");
}

/* The process that keeps a channel, or that none does. */
static void print_keeper(const struct row *row)
{
    char text[24] = "-";
    if (row->summary.has_members && row->summary.keeper == KEEPER_LIVES)
        snprintf(text, sizeof(text), "%u", (unsigned)row->summary.owner_pid);
    else if (row->summary.has_members)
        snprintf(text, sizeof(text), "%s", row->summary.keeper == KEEPER_DEAD ? "stale" : "?");
    printf(" %8s", text);
}

static void print_row(const struct listing *listing, const struct row *row, int width)
{
    print_name(listing, row, width);
    printf(" %-9s %-8s %12zu", row->view->profile->name, row->summary.kind[0] != '\0' ? row->summary.kind : "-",
           row->view->size);
    print_counts(row);
    print_keeper(row);
    printf(" %6u %04o", (unsigned)row->view->status.st_uid, (unsigned)(row->view->status.st_mode & 07777));
    print_age(listing_age(row));
    size_t at = 0;
    bool some = false;
    for (long pid = mappers_next(&listing->mappers, row->view->base, &at); pid != 0;
         pid = mappers_next(&listing->mappers, row->view->base, &at)) {
        printf("%s%ld", some ? "," : "", pid);
        some = true;
    }
    printf("%s%s\n", some ? "" : "-", listing->mappers.complete ? "" : "?");
}

void listing_table(const struct listing *listing)
{
    int width = LEAST_NAME_WIDTH;
    for (size_t i = 0; i < listing->count; i++)
        if ((int)strlen(listing->rows[i].name) + 1 > width)
            width = (int)strlen(listing->rows[i].name) + 1;
    if (listing->count > 0)
        printf("%s%-*s %-9s %-8s %12s %8s %8s %9s %8s %6s %8s %6s %-4s %6s %s%s\n", style_bold(), width, "NAME", "PROFILE",
               "KIND", "BYTES", "CHANNELS", "WAITING", "PER-S", "DROPPED", "ASLEEP", "KEEPER", "OWNER", "MODE", "AGE", "PROCESSES",
               style_plain());
    for (size_t i = 0; i < listing->count; i++)
        print_row(listing, &listing->rows[i], width);
}

/* JSON ------------------------------------------------------------------------------------------------------------- */

static void members_json(const struct row *row, struct json *json)
{
    static const char *const words[] = {[KEEPER_UNKNOWN] = "unknown", [KEEPER_LIVES] = "lives", [KEEPER_DEAD] = "dead"};
    json_text(json, "kind", row->summary.kind);
    json_u64(json, "dropped", row->summary.dropped);
    json_u64(json, "asleep", row->summary.asleep);
    json_number(json, "owner_pid", row->summary.owner_pid);
    json_text(json, "keeper", words[row->summary.keeper]);
}

static void row_json(const struct listing *listing, const struct row *row, struct json *json)
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
    if (row->summary.counts_published)
        json_u64(json, "published", row->summary.published);
    if (row->rated)
        json_real(json, "per_second", row->rate);
    if (row->summary.has_members)
        members_json(row, json);
    json_number(json, "uid", row->view->status.st_uid);
    json_text(json, "mode", mode);
    json_u64(json, "age_seconds", listing_age(row));
    json_array(json, "processes");
    size_t at = 0;
    for (long pid = mappers_next(&listing->mappers, row->view->base, &at); pid != 0;
         pid = mappers_next(&listing->mappers, row->view->base, &at))
        json_number(json, NULL, (uint64_t)pid);
    json_close(json);
    json_close(json);
}

void listing_json(const struct listing *listing, struct json *json)
{
    json_text(json, "directory", listing->directory);
    json_bool(json, "processes_complete", listing->mappers.complete);
    json_array(json, "segments");
    for (size_t i = 0; i < listing->count; i++)
        row_json(listing, &listing->rows[i], json);
    json_close(json);
}

/* Two looks, the second one with the processes. */
static int look_twice(struct listing *listing)
{
    struct listing before = {.directory = listing->directory};
    int rc = listing_collect(&before, false);
    if (rc == EXIT_OK && before.count > 0)
        nanosleep(&(struct timespec){.tv_nsec = BETWEEN_LOOKS_NS}, NULL);
    if (rc == EXIT_OK)
        rc = listing_collect(listing, true);
    if (rc == EXIT_OK)
        listing_rates(&before, listing);
    listing_free(&before);
    return rc;
}

int verb_ls(const struct args *args)
{
    struct listing listing = {.directory = given(args, OPT_DIR) ? args->value[OPT_DIR] : SHM_DIRECTORY};
    const int rc = look_twice(&listing);
    if (rc == EXIT_OK && given(args, OPT_JSON)) {
        struct json json;
        json_begin(&json, stdout);
        json_text(&json, "schema", "shmwire-ls/1");
        listing_json(&listing, &json);
        json_end(&json);
    } else if (rc == EXIT_OK) {
        listing_table(&listing);
    }
    if (listing.unreadable > 0)
        diagnostic("%s: %zu files may not be read", listing.directory, listing.unreadable);
    listing_free(&listing);
    return rc;
}
