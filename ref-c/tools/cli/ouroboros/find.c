/* SPDX-License-Identifier: MIT
 *
 * Findings of profile ouroboros: every rule of the chapter that bytes alone can show to be broken. What looks odd is reported
 * only if the rows that it was judged by stood still meanwhile: on a live log the next lap may have come. */
#include <stdarg.h>
#include <stdio.h>

#include "atomic.h"
#include "bytes.h"
#include "ouroboros.h"
#include "raw.h"

#define RECHECKS 8

/* Header ----------------------------------------------------------------------------------------------------------- */

static void find_header(const struct view *view, const struct log_header *header, struct findings *findings)
{
    if (!header->present) {
        findings_add(findings, ERROR, "ouroboros.segment.size", NO_CHANNEL, NO_POSITION, "%zu bytes; the header needs %zu",
                     view->size, sizeof(struct shmw_ouroboros_wire_header));
        return;
    }
    if (header->magic == 0) { /* the other fields are not there yet */
        findings_add(findings, ERROR, "ouroboros.segment.not-ready", NO_CHANNEL, NO_POSITION,
                     "magic is 0: not published by its creator");
        return;
    }
    if (header->magic != SHMW_OUROBOROS_MAGIC)
        findings_add(findings, ERROR, "ouroboros.segment.magic", NO_CHANNEL, NO_POSITION, "magic is 0x%016llX",
                     (unsigned long long)header->magic);
    if (header->version != SHMW_OUROBOROS_VERSION)
        findings_add(findings, ERROR, "ouroboros.segment.version", NO_CHANNEL, NO_POSITION, "version is %u",
                     (unsigned)header->version);
    if (header->chunk_count == 0)
        findings_add(findings, ERROR, "ouroboros.segment.chunk-count", NO_CHANNEL, NO_POSITION, "chunk_count is 0");
    if (header->rows < header->chunk_count)
        findings_add(findings, ERROR, "ouroboros.segment.size", NO_CHANNEL, NO_POSITION,
                     "%zu bytes hold %u rows, chunk_count is %u", view->size, (unsigned)header->rows,
                     (unsigned)header->chunk_count);
}

/* Chunks ----------------------------------------------------------------------------------------------------------- */

struct problem {
    const char *rule; /* NULL = none */
    uint64_t sequence;
    char text[160];
};

static void set_problem(struct problem *problem, const char *rule, uint64_t sequence, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void set_problem(struct problem *problem, const char *rule, uint64_t sequence, const char *format, ...)
{
    va_list args;
    problem->rule = rule;
    problem->sequence = sequence;
    va_start(args, format);
    vsnprintf(problem->text, sizeof(problem->text), format, args);
    va_end(args);
}

/* The chunk after this one began when this one was full: it must begin where this one's entries end. */
static void judge_border(const struct log_row *row, const struct log_row *next, const struct log_walk *walk,
                         struct problem *problem)
{
    if (walk->end != next->offset)
        set_problem(problem, "ouroboros.write.next-chunk", NO_POSITION,
                    "its entries end at byte %llu, the next chunk begins at %llu", (unsigned long long)walk->end,
                    (unsigned long long)next->offset);
    else if (row->token + walk->entries != next->token)
        set_problem(problem, "ouroboros.write.begin", NO_POSITION, "%llu entries from token %llu on, the next chunk's is %llu",
                    (unsigned long long)walk->entries, (unsigned long long)row->token, (unsigned long long)next->token);
}

/* Judge a committed row and its entries. next: the row after it, or NULL. newest: the highest token of a committed row. */
static void judge_chunk(const struct view *view, const struct log_header *header, const struct log_row *row,
                        const struct log_row *next, uint64_t newest, struct problem *problem)
{
    if (!log_offset_good(view, header, row->offset)) {
        set_problem(problem, "ouroboros.read.row-offset", NO_POSITION, "offset is %llu: entries are 4-aligned, from byte %llu on",
                    (unsigned long long)row->offset, (unsigned long long)header->data_offset);
        return;
    }
    const bool followed =
        next != NULL && next->committed && next->token > row->token && log_offset_good(view, header, next->offset);
    const struct log_walk walk = log_walk(view, row->offset, followed ? next->offset : UINT64_MAX);
    if (walk.stop == LOOK_BROKEN)
        set_problem(problem, "ouroboros.read.length", row->token + walk.entries + 1, "the entry at byte %llu has length %u",
                    (unsigned long long)walk.end, (unsigned)walk.length);
    else if (walk.stop == LOOK_SPENT)
        set_problem(problem, "ouroboros.write.clear", NO_POSITION,
                    "not looked at: the rows before it lead over the same bytes too often");
    else if (walk.entries == 0 && newest != 0)
        set_problem(problem, "ouroboros.write.commit-row", row->token + 1, "committed, and no entry at byte %llu",
                    (unsigned long long)row->offset);
    else if (followed)
        judge_border(row, next, &walk, problem);
}

static uint64_t newest_token(const struct view *view, const struct log_header *header)
{
    struct log_ends ends;
    return log_find_ends(view, header, &ends) ? ends.latest.token : 0;
}

static void find_chunk(const struct view *view, const struct log_header *header, uint32_t index, uint64_t newest,
                       struct findings *findings)
{
    const bool last = index + 1 == header->rows;
    for (int again = 0; again < RECHECKS; again++) {
        struct problem problem = {0};
        const struct log_row row = log_load_row(view, index);
        const struct log_row next = last ? row : log_load_row(view, index + 1);
        if (!row.committed && row.offset != 0)
            findings_add(findings, NOTE, "", index, NO_POSITION, "begun at byte %llu and not committed",
                         (unsigned long long)row.offset);
        if (!row.committed)
            return;
        judge_chunk(view, header, &row, last ? NULL : &next, newest, &problem);
        if (problem.rule == NULL)
            return;
        shmw_fence_acquire(); /* F5: pairs with F4; the rows after the entries */
        const struct log_row row_now = log_load_row(view, index);
        const struct log_row next_now = last ? row_now : log_load_row(view, index + 1);
        if (log_same_row(&row, &row_now) && log_same_row(&next, last ? &next : &next_now)) {
            findings_add(findings, ERROR, problem.rule, index, problem.sequence, "%s", problem.text);
            return;
        }
    }
}

/* The newest chunk's entries lie over no other chunk that may be entered [ouroboros.write.clear]. */
static void find_overwritten(const struct view *view, const struct log_header *header, struct findings *findings)
{
    struct log_ends ends;
    if (!log_find_ends(view, header, &ends) || !log_offset_good(view, header, ends.latest.offset))
        return;
    const uint64_t end = log_walk(view, ends.latest.offset, UINT64_MAX).end;
    for (uint32_t i = ends.latest_index + 1; i < header->rows; i++) {
        const struct log_row row = log_load_row(view, i);
        if (!row.committed || row.offset >= end)
            continue;
        const struct log_row now = log_load_row(view, ends.latest_index);
        if (log_same_row(&now, &ends.latest) && row.token < now.token) /* else another chunk has become the newest */
            findings_add(findings, ERROR, "ouroboros.write.clear", i, NO_POSITION,
                         "begins at byte %llu, below %llu where the entries of chunk %u end: overwritten and still committed",
                         (unsigned long long)row.offset, (unsigned long long)end, (unsigned)ends.latest_index);
    }
}

int ouroboros_find(const struct view *view, uint64_t stall_ms, struct findings *findings)
{
    const struct log_header header = log_load_header(view);
    (void)stall_ms;
    find_header(view, &header, findings);
    if (!header.present || header.magic == 0)
        return EXIT_OK;
    const uint64_t newest = newest_token(view, &header);
    for (uint32_t i = 0; i < header.rows; i++)
        find_chunk(view, &header, i, newest, findings);
    find_overwritten(view, &header, findings);
    return EXIT_OK;
}
