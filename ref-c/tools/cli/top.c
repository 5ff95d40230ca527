/* SPDX-License-Identifier: MIT
 *
 * top: the listing again and again, busiest segments first. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "interrupt.h"
#include "listing.h"
#include "output.h"

#define DEFAULT_INTERVAL_MS 1000
#define LONGEST_INTERVAL_MS 3600000

struct top {
    const struct args *args;
    struct listing before;
    struct listing now;
    uint64_t interval_ms;
};

static int by_rate(const void *a, const void *b)
{
    const double first = ((const struct row *)a)->rate;
    const double second = ((const struct row *)b)->rate;
    return first < second ? 1 : first > second ? -1 : 0;
}

static void print_round(const struct top *top)
{
    if (given(top->args, OPT_JSON)) {
        struct json json;
        json_begin(&json, stdout);
        json_text(&json, "schema", "shmwire-top/1");
        json_u64(&json, "interval_ms", top->interval_ms);
        listing_json(&top->now, &json);
        json_end(&json);
        return;
    }
    if (isatty(STDOUT_FILENO))
        printf("\033[H\033[J"); /* to the top left corner, and clear from there */
    if (top->now.count == 0)
        printf("no segments in %s\n", top->now.directory);
    listing_table(&top->now);
}

/* One round: wait, look, compare with the look before. */
static int next_round(struct top *top)
{
    const struct timespec pause = {.tv_sec = (time_t)(top->interval_ms / 1000),
                                   .tv_nsec = (long)(top->interval_ms % 1000) * 1000000L};
    nanosleep(&pause, NULL);
    if (interrupted())
        return EXIT_OK;
    const int rc = listing_collect(&top->now, true);
    if (rc != EXIT_OK)
        return rc;
    listing_rates(&top->before, &top->now);
    if (top->now.count > 1)
        qsort(top->now.rows, top->now.count, sizeof(*top->now.rows), by_rate);
    print_round(top);
    listing_free(&top->before);
    top->before = top->now;
    top->now = (struct listing){.directory = top->before.directory};
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_USAGE; /* main says why */
}

int verb_top(const struct args *args)
{
    const char *directory = given(args, OPT_DIR) ? args->value[OPT_DIR] : SHM_DIRECTORY;
    struct top top = {.args = args, .before.directory = directory, .now.directory = directory};
    uint64_t rounds = UINT64_MAX;
    int rc = number_option(args, OPT_INTERVAL_MS, 1, LONGEST_INTERVAL_MS, DEFAULT_INTERVAL_MS, &top.interval_ms);
    if (rc == EXIT_OK)
        rc = number_option(args, OPT_ROUNDS, 1, UINT64_MAX, UINT64_MAX, &rounds);
    if (rc == EXIT_OK)
        rc = listing_collect(&top.before, false);
    interrupt_watch();
    for (uint64_t round = 0; rc == EXIT_OK && round < rounds && !interrupted(); round++)
        rc = next_round(&top);
    listing_free(&top.before);
    listing_free(&top.now);
    return rc;
}
