/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FIRST_NS UINT64_C(1000000000) /* a scan that is done by then shows nothing */
#define AGAIN_NS UINT64_C(100000000)  /* between two looks of the line */
#define BAR 20                        /* columns */
#define LINE 79                       /* columns: a line that wraps could not be erased */

static struct {
    bool wanted;
    bool drawn;
    uint64_t due; /* when it is to be drawn next */
    uint64_t part;
    uint64_t parts;
} line;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* a few nanoseconds: it is asked for each record */
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static bool wanted(bool prints)
{
    struct stat out;
    const char *term = getenv("TERM");
    if (!isatty(STDERR_FILENO) || (term != NULL && strcmp(term, "dumb") == 0))
        return false;
    if (fstat(STDOUT_FILENO, &out) != 0 || S_ISFIFO(out.st_mode) || S_ISSOCK(out.st_mode))
        return false;
    return !prints || !isatty(STDOUT_FILENO);
}

void progress_begin(bool prints)
{
    line.wanted = wanted(prints);
    line.drawn = false;
    line.due = now_ns() + FIRST_NS;
    line.part = 0;
    line.parts = 1;
}

void progress_part(uint64_t part, uint64_t parts)
{
    line.part = part;
    line.parts = parts > part ? parts : part + 1; /* more may be made meanwhile */
    progress_at(0, 0, "chunks");
}

/* From 0 to 1, over all parts. */
static double share(uint64_t done, uint64_t all)
{
    const double inner = all == 0 ? 0 : done < all ? (double)done / (double)all : 1;
    return ((double)line.part + inner) / (double)line.parts;
}

static void draw(uint64_t done, uint64_t all, const char *unit)
{
    static const char full[BAR + 1] = "####################";
    char parts[64] = "";
    char units[64] = "";
    char text[LINE + 1];
    const double at = share(done, all);
    if (line.parts > 1)
        snprintf(parts, sizeof(parts), "  feed %llu of %llu", (unsigned long long)line.part + 1, (unsigned long long)line.parts);
    if (all > 0)
        snprintf(units, sizeof(units), "  %llu of %llu %s", (unsigned long long)done, (unsigned long long)all, unit);
    snprintf(text, sizeof(text), "[%-*.*s] %3d %%%s%s", BAR, (int)(at * BAR), full, (int)(at * 100), parts, units);
    fprintf(stderr, "\r\033[K%s", text);
    line.drawn = true;
}

void progress_at(uint64_t done, uint64_t all, const char *unit)
{
    if (!line.wanted)
        return;
    const uint64_t now = now_ns();
    if (now < line.due)
        return;
    line.due = now + AGAIN_NS;
    draw(done, all, unit);
}

void progress_hide(void)
{
    if (line.drawn)
        fputs("\r\033[K", stderr);
    line.drawn = false;
}

void progress_end(void)
{
    progress_hide();
    line.wanted = false;
}
