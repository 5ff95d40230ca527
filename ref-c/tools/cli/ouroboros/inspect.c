/* SPDX-License-Identifier: MIT
 *
 * inspect: header and rows by the names of the layout, and how each chunk is. */
#include <inttypes.h>
#include <stdio.h>

#include "../output.h"
#include "ouroboros.h"
#include "raw.h"

static const char *state_word(const struct log_row *row)
{
    return row->committed ? "committed" : row->offset != 0 ? "beginning" : "nothing";
}

static uint64_t wire_offset(const struct log_row *row)
{
    return row->offset | (row->committed ? SHMW_OUROBOROS_ROW_COMMITTED : 0);
}

/* Entries of a chunk that may be entered, up to where the next one begins. */
static uint64_t count_entries(const struct view *view, const struct log_header *header, uint32_t index, const struct log_row *row)
{
    uint64_t limit = UINT64_MAX;
    if (!row->committed || !log_offset_good(view, header, row->offset))
        return 0;
    if (index + 1 < header->rows) {
        const struct log_row next = log_load_row(view, index + 1);
        limit = next.committed && next.token > row->token ? next.offset : UINT64_MAX;
    }
    return log_walk(view, row->offset, limit).entries;
}

/* Text ------------------------------------------------------------------------------------------------------------- */

static void print_header(const struct view *view, const struct log_header *header)
{
    print_safe(stdout, view->path);
    printf(": %zu bytes, mode %04o, owner %u\n", view->size, (unsigned)(view->status.st_mode & 07777),
           (unsigned)view->status.st_uid);
    if (!header->present)
        return;
    printf("%sheader%s\n", style_bold(), style_plain());
    printf("  magic          0x%016" PRIX64 "\n", header->magic);
    printf("  version        %" PRIu32 "\n", header->version);
    printf("  chunk_count    %" PRIu32 "\n", header->chunk_count);
}

static void print_row(const struct view *view, const struct log_header *header, uint32_t index, const struct findings *findings)
{
    const struct log_row row = log_load_row(view, index);
    printf("%srow[%" PRIu32 "]%s\n", style_bold(), index, style_plain());
    printf("  offset %" PRIu64 " (%s)  token %" PRIu64 "\n", row.offset, state_word(&row), row.token);
    printf("  health:");
    if (row.committed)
        printf(" %" PRIu64 " entries;", count_entries(view, header, index, &row));
    if (findings_of_channel(findings, index) == 0)
        printf(" good");
    for (size_t i = 0; i < findings->count; i++)
        if (findings->list[i].severity == ERROR && findings->list[i].channel == index)
            printf("  %s%s%s", style_bad(), findings->list[i].rule, style_plain());
    putchar('\n');
}

static void inspect_text(const struct view *view, const struct log_header *header, const struct findings *findings)
{
    print_header(view, header);
    for (uint32_t i = 0; i < header->rows; i++)
        print_row(view, header, i, findings);
    findings_print(findings);
}

/* JSON ------------------------------------------------------------------------------------------------------------- */

static void fields_json(struct json *json, const struct view *view, const struct log_header *header)
{
    json_object(json, "fields");
    if (header->present) {
        json_u64(json, "header.magic", header->magic);
        json_u64(json, "header.version", header->version);
        json_u64(json, "header.chunk_count", header->chunk_count);
    }
    for (uint32_t i = 0; i < header->rows; i++) {
        const struct log_row row = log_load_row(view, i);
        char key[64];
        snprintf(key, sizeof(key), "row[%" PRIu32 "].offset", i);
        json_u64(json, key, wire_offset(&row));
        snprintf(key, sizeof(key), "row[%" PRIu32 "].token", i);
        json_u64(json, key, row.token);
    }
    json_close(json);
}

static void chunk_json(struct json *json, const struct view *view, const struct log_header *header, uint32_t index,
                       const struct findings *findings)
{
    const struct log_row row = log_load_row(view, index);
    json_object(json, NULL);
    json_number(json, "chunk", index);
    json_text(json, "state", state_word(&row));
    json_u64(json, "offset", row.offset);
    json_u64(json, "token", row.token);
    json_u64(json, "entries", count_entries(view, header, index, &row));
    json_bool(json, "good", findings_of_channel(findings, index) == 0);
    json_close(json);
}

static void inspect_json(const struct view *view, const struct log_header *header, const struct findings *findings)
{
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-inspect/1");
    json_text(&json, "path", view->path);
    json_text(&json, "profile", view->profile->name);
    json_u64(&json, "size", view->size);
    fields_json(&json, view, header);
    json_array(&json, "chunks");
    for (uint32_t i = 0; i < header->rows; i++)
        chunk_json(&json, view, header, i, findings);
    json_close(&json);
    findings_json(findings, &json);
    json_end(&json);
}

int ouroboros_inspect(const struct args *args, const struct view *view, const struct findings *findings)
{
    const struct log_header header = log_load_header(view);
    if (given(args, OPT_JSON))
        inspect_json(view, &header, findings);
    else
        inspect_text(view, &header, findings);
    return EXIT_OK;
}
