/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater in the command, file by file: registries, and the data and indices of chunks, in shared memory or on disk.
 * What a feed is as a whole is for the verbs with a directory (ls.c, dump.c, gc.c). */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "../findings.h"
#include "../naming.h"
#include "../output.h"
#include "../profile.h"
#include "../view.h"
#include "atomic.h"
#include "bytes.h"
#include "deepwater/layout.h"

enum kind { KIND_NONE, KIND_REGISTRY, KIND_FEED, KIND_DATA, KIND_INDEX };

/* A kind of file: its header, and what lies behind it, row by row. */
struct kind_row {
    const char *word;
    uint64_t magic;
    uint64_t header; /* bytes */
    uint64_t row;    /* bytes; 1: bytes without a format */
    uint64_t most;   /* rows */
    const char *row_name;
    const struct field_row *header_fields;
    size_t header_count;
    const struct field_row *row_fields;
    size_t row_count;
};

#define REGISTRY(member) NUMBER(shmw_deepwater_wire_registry, member)
#define HEADER(member) NUMBER(shmw_deepwater_wire_feed_registry, member)
#define ROW(member) NUMBER(shmw_deepwater_wire_row, member)
#define FEED(member) NUMBER(shmw_deepwater_wire_feed, member)
#define DATA(member) NUMBER(shmw_deepwater_wire_data, member)
#define INDEX(member) NUMBER(shmw_deepwater_wire_index, member)
#define RECORD(member) NUMBER(shmw_deepwater_wire_record, member)

static const struct field_row registry_fields[] = {
    REGISTRY(magic),      REGISTRY(version), REGISTRY(entry_size), REGISTRY(capacity),
    REGISTRY(padding_20), REGISTRY(count),   REGISTRY(generation), BYTES(shmw_deepwater_wire_registry, padding_40),
};
static const struct field_row entry_fields[] = {
    BYTES(shmw_deepwater_wire_feed, name),
    BYTES(shmw_deepwater_wire_feed, directory),
    FEED(feed_id),
    FEED(flags),
    FEED(chunk_size),
    FEED(live_window),
    FEED(record_size),
    FEED(created_ns),
    FEED(rotate_ns),
    BYTES(shmw_deepwater_wire_feed, padding_200),
};
static const struct field_row feed_fields[] = {
    HEADER(magic),        HEADER(version), HEADER(row_size),          HEADER(capacity),      HEADER(writer_pid),
    HEADER(count),        HEADER(latest),  HEADER(last_timestamp_ns), HEADER(last_sequence), HEADER(heartbeat_ns),
    HEADER(signal),       HEADER(waiters), HEADER(feed_id),           BYTES(shmw_deepwater_wire_feed_registry, padding_80),
};
static const struct field_row row_fields[] = {
    ROW(chunk_id),   ROW(stamp),         ROW(state),    ROW(first_sequence), ROW(record_count), ROW(start_ns), ROW(end_ns),
    ROW(data_bytes), ROW(data_capacity), ROW(data_crc), ROW(index_crc),      BYTES(shmw_deepwater_wire_row, padding_72),
};
static const struct field_row data_fields[] = {
    DATA(magic),        DATA(version),  DATA(flags),      DATA(chunk_id), DATA(write_pos),
    DATA(record_count), DATA(capacity), DATA(writer_pid), BYTES(shmw_deepwater_wire_data, padding_52),
};
static const struct field_row index_fields[] = {
    INDEX(magic),       INDEX(version),  INDEX(entry_size), INDEX(chunk_id),
    INDEX(entry_count), INDEX(capacity), BYTES(shmw_deepwater_wire_index, padding_40),
};
static const struct field_row record_fields[] = {
    RECORD(timestamp_ns), RECORD(offset), RECORD(length), RECORD(type), RECORD(sequence),
};

static const struct kind_row kinds[] = {
    [KIND_REGISTRY] = {"registry", SHMW_DEEPWATER_REGISTRY_MAGIC, sizeof(struct shmw_deepwater_wire_registry),
                       sizeof(struct shmw_deepwater_wire_feed), SHMW_DEEPWATER_MAX_FEEDS, "feed", registry_fields,
                       ROWS(registry_fields), entry_fields, ROWS(entry_fields)},
    [KIND_FEED] = {"feed_registry", SHMW_DEEPWATER_FEED_MAGIC, sizeof(struct shmw_deepwater_wire_feed_registry),
                   sizeof(struct shmw_deepwater_wire_row), SHMW_DEEPWATER_MAX_ROWS, "row", feed_fields, ROWS(feed_fields),
                   row_fields, ROWS(row_fields)},
    [KIND_DATA] = {"data", SHMW_DEEPWATER_DATA_MAGIC, sizeof(struct shmw_deepwater_wire_data), 1, SHMW_DEEPWATER_MAX_CHUNK, "bytes",
                   data_fields, ROWS(data_fields), NULL, 0},
    [KIND_INDEX] = {"index", SHMW_DEEPWATER_INDEX_MAGIC, sizeof(struct shmw_deepwater_wire_index),
                    sizeof(struct shmw_deepwater_wire_record), SHMW_DEEPWATER_MAX_CHUNK, "record", index_fields, ROWS(index_fields),
                    record_fields, ROWS(record_fields)},
};

/* Fields ----------------------------------------------------------------------------------------------------------- */

static uint64_t load_field(const struct view *view, const struct field_row *field)
{
    const unsigned char *at = view->base + field->offset;
    return field->size == sizeof(uint64_t) ? shmw_field_load((const uint64_t *)(const void *)at)
                                           : shmw_field_load((const uint32_t *)(const void *)at);
}

static uint64_t named_field(const struct view *view, const struct kind_row *kind, const char *name)
{
    for (size_t i = 0; i < kind->header_count; i++)
        if (strcmp(kind->header_fields[i].name, name) == 0)
            return load_field(view, &kind->header_fields[i]);
    return 0;
}

static enum kind kind_of(const struct view *view)
{
    if (view->size < sizeof(struct shmw_deepwater_wire_data)) /* the smallest header */
        return KIND_NONE;
    /* A0: pairs with R0; the header after it */
    const uint64_t magic = shmw_load_acquire((const _Atomic(uint64_t) *)(const void *)view->base);
    for (enum kind kind = KIND_REGISTRY; kind <= KIND_INDEX; kind++)
        if (magic == kinds[kind].magic)
            return kind;
    return KIND_NONE;
}

static bool recognise(const struct view *view)
{
    return kind_of(view) != KIND_NONE;
}

static void summarise(const struct view *view, struct segment_summary *summary)
{
    const enum kind kind = kind_of(view);
    if (kind == KIND_NONE || view->size < kinds[kind].header)
        return;
    const char *count = kind == KIND_INDEX ? "entry_count" : kind == KIND_DATA ? "record_count" : "count";
    summary->channels = 1;
    summary->waiting = named_field(view, &kinds[kind], count);
    summary->counts_published = kind == KIND_INDEX;
    summary->published = summary->waiting;
    snprintf(summary->kind, sizeof(summary->kind), "%s", kind == KIND_FEED ? "feed" : kinds[kind].word);
}

/* Findings --------------------------------------------------------------------------------------------------------- */

static void find_geometry(const struct view *view, enum kind number, struct findings *findings)
{
    const struct kind_row *kind = &kinds[number];
    const uint64_t capacity = named_field(view, kind, "capacity");
    const uint64_t needed = shmw_end_of(kind->header, kind->row, capacity);
    const char *size = number == KIND_FEED ? "row_size" : "entry_size";
    if (number != KIND_DATA && named_field(view, kind, size) != kind->row)
        findings_add(findings, ERROR, "deepwater.open.geometry", NO_CHANNEL, NO_POSITION, "%s is %" PRIu64, size,
                     named_field(view, kind, size));
    else if (capacity > kind->most || (capacity == 0 && number <= KIND_FEED))
        findings_add(findings, ERROR, "deepwater.open.geometry", NO_CHANNEL, NO_POSITION, "capacity is %" PRIu64, capacity);
    else if (needed > view->size)
        findings_add(findings, ERROR, "deepwater.open.size", NO_CHANNEL, NO_POSITION,
                     "%zu bytes, a capacity of %" PRIu64 " needs %" PRIu64, view->size, capacity, needed);
    else if (number == KIND_INDEX && named_field(view, kind, "entry_count") > capacity)
        findings_add(findings, ERROR, "deepwater.read.bounds", NO_CHANNEL, NO_POSITION,
                     "entry_count is above the capacity of %" PRIu64, capacity);
    else if (number <= KIND_FEED && named_field(view, kind, "count") > capacity)
        findings_add(findings, ERROR, "deepwater.open.count", NO_CHANNEL, NO_POSITION, "count is above the capacity of %" PRIu64,
                     capacity);
}

static int find(const struct view *view, uint64_t stall_ms, struct findings *findings)
{
    const enum kind number = kind_of(view);
    (void)stall_ms;
    if (number == KIND_NONE) {
        findings_add(findings, ERROR, "deepwater.open.magic", NO_CHANNEL, NO_POSITION, "no magic of this profile in %zu bytes",
                     view->size);
        return EXIT_OK;
    }
    if (view->size < kinds[number].header) {
        findings_add(findings, ERROR, "deepwater.open.size", NO_CHANNEL, NO_POSITION, "%zu bytes; the header needs %" PRIu64,
                     view->size, kinds[number].header);
        return EXIT_OK;
    }
    const uint64_t version = named_field(view, &kinds[number], "version");
    if (version != SHMW_DEEPWATER_VERSION)
        findings_add(findings, ERROR, "deepwater.open.version", NO_CHANNEL, NO_POSITION, "version is %" PRIu64, version);
    else
        find_geometry(view, number, findings);
    return EXIT_OK;
}

/* Inspecting ------------------------------------------------------------------------------------------------------- */

static void inspect_text(const struct view *view, const struct kind_row *kind)
{
    print_safe(stdout, view->path);
    printf(": %zu bytes, mode %04o, owner %u\n%s%s%s\n", view->size, (unsigned)(view->status.st_mode & 07777),
           (unsigned)view->status.st_uid, style_bold(), kind->word, style_plain());
    for (size_t i = 0; i < kind->header_count && view->size >= kind->header; i++)
        if (kind->header_fields[i].number)
            printf("  %-18s %" PRIu64 "\n", kind->header_fields[i].name, load_field(view, &kind->header_fields[i]));
}

static void inspect_json(const struct view *view, const struct kind_row *kind, const struct findings *findings)
{
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-inspect/1");
    json_text(&json, "path", view->path);
    json_text(&json, "profile", view->profile->name);
    json_u64(&json, "size", view->size);
    json_object(&json, "fields");
    for (size_t i = 0; i < kind->header_count && view->size >= kind->header; i++) {
        char key[64];
        snprintf(key, sizeof(key), "%s.%s", kind->word, kind->header_fields[i].name);
        if (kind->header_fields[i].number && strncmp(kind->header_fields[i].name, "padding", 7) != 0)
            json_u64(&json, key, load_field(view, &kind->header_fields[i]));
    }
    json_close(&json);
    json_text(&json, "kind", kind->word);
    findings_json(findings, &json);
    json_end(&json);
}

static int inspect(const struct args *args, const struct view *view, const struct findings *findings)
{
    static const struct kind_row none = {.word = "none"};
    const enum kind number = kind_of(view);
    const struct kind_row *kind = number == KIND_NONE ? &none : &kinds[number];
    if (given(args, OPT_JSON)) {
        inspect_json(view, kind, findings);
        return EXIT_OK;
    }
    inspect_text(view, kind);
    findings_print(findings);
    return EXIT_OK;
}

static struct named_range name_byte(const struct view *view, uint64_t offset)
{
    const enum kind number = kind_of(view);
    const struct kind_row *kind = &kinds[number];
    if (number == KIND_NONE)
        return name_free(offset, UINT64_MAX);
    if (offset < kind->header)
        return name_field(kind->header_fields, kind->header_count, kind->word, 0, offset);
    if (kind->row_fields == NULL)
        return name_free(offset, UINT64_MAX);
    const uint64_t row = (offset - kind->header) / kind->row;
    const uint64_t base = kind->header + row * kind->row;
    char prefix[48];
    snprintf(prefix, sizeof(prefix), "%s[%" PRIu64 "]", kind->row_name, row);
    return name_field(kind->row_fields, kind->row_count, prefix, base, offset - base);
}

const struct cli_profile cli_deepwater = {
    .name = "deepwater",
    .title = "feeds of chunks, live in shared memory and persisted on disk",
    .revision = 1,
    .part = "file",
    .recognise = recognise,
    .summarise = summarise,
    .find = find,
    .inspect = inspect,
    .name_byte = name_byte,
};
