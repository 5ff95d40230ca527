/* SPDX-License-Identifier: MIT
 *
 * diff: every byte compared, differences named by the layout. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "view.h"

#define CHUNK ((size_t)65536)
#define LONGEST_FIELD ((size_t)65536)
#define MOST_DIFFERENCES 1000
#define PREVIEW ((size_t)16)

struct diff {
    const struct args *args;
    struct view a;
    struct view b;
    uint64_t count;
    struct json json;
    unsigned char *bytes[4]; /* a chunk of each, then a field of each */
};

static uint64_t as_number(const unsigned char *data, size_t length)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length && i < 8; i++)
        value |= (uint64_t)data[i] << (8 * i);
    return value;
}

static void print_preview(const unsigned char *data, size_t length)
{
    for (size_t i = 0; i < length && i < PREVIEW; i++)
        printf("%02x", data[i]);
}

static void json_difference(struct diff *diff, const struct named_range *field, const unsigned char *a, const unsigned char *b,
                            size_t length)
{
    struct json *json = &diff->json;
    json_object(json, NULL);
    json_u64(json, "offset", field->begin);
    json_u64(json, "length", length);
    json_text(json, "field", field->name);
    json_text(json, "kind", field->number ? "number" : "bytes");
    if (field->number) {
        json_u64(json, "a", as_number(a, length));
        json_u64(json, "b", as_number(b, length));
    } else {
        json_hex(json, "a", a, length);
        json_hex(json, "b", b, length);
    }
    json_close(json);
}

static void print_difference(const struct named_range *field, const unsigned char *a, const unsigned char *b, size_t length)
{
    printf("%10" PRIu64 "  %s: ", field->begin, field->name);
    if (field->number) {
        printf("%" PRIu64 " != %" PRIu64 "\n", as_number(a, length), as_number(b, length));
        return;
    }
    size_t first = 0;
    size_t differing = 0;
    for (size_t i = length; i > 0; i--) {
        if (a[i - 1] != b[i - 1]) {
            first = i - 1;
            differing++;
        }
    }
    printf("%zu of %zu bytes, from +%zu: ", differing, length, first);
    print_preview(a + first, length - first);
    printf(" != ");
    print_preview(b + first, length - first);
    putchar('\n');
}

/* The byte at offset differs: show the field around it. *next gets the offset after the field. */
static int show_field(struct diff *diff, uint64_t offset, uint64_t shared, uint64_t *next)
{
    struct named_range field = diff->a.profile->name_byte(&diff->a, offset);
    if (field.end - field.begin > LONGEST_FIELD) /* no field: a run between them */
        field.end = field.begin + LONGEST_FIELD;
    if (field.end > shared)
        field.end = shared;
    *next = field.end;
    if (diff->count++ >= MOST_DIFFERENCES)
        return EXIT_OK;
    const size_t length = (size_t)(field.end - field.begin);
    int rc = view_read(&diff->a, field.begin, diff->bytes[2], length);
    if (rc == EXIT_OK)
        rc = view_read(&diff->b, field.begin, diff->bytes[3], length);
    if (rc != EXIT_OK)
        return rc;
    if (given(diff->args, OPT_JSON))
        json_difference(diff, &field, diff->bytes[2], diff->bytes[3], length);
    else
        print_difference(&field, diff->bytes[2], diff->bytes[3], length);
    return EXIT_OK;
}

static int compare(struct diff *diff)
{
    const uint64_t shared = diff->a.size < diff->b.size ? diff->a.size : diff->b.size;
    for (uint64_t offset = 0; offset < shared;) {
        const size_t length = shared - offset < CHUNK ? (size_t)(shared - offset) : CHUNK;
        int rc = view_read(&diff->a, offset, diff->bytes[0], length);
        if (rc == EXIT_OK)
            rc = view_read(&diff->b, offset, diff->bytes[1], length);
        uint64_t next = offset + length;
        for (uint64_t at = offset; rc == EXIT_OK && at < offset + length;) {
            if (diff->bytes[0][at - offset] == diff->bytes[1][at - offset]) {
                at++;
                continue;
            }
            rc = show_field(diff, at, shared, &at);
            next = at > next ? at : next; /* a field may reach into the next chunk */
        }
        if (rc != EXIT_OK)
            return rc;
        offset = next;
    }
    return EXIT_OK;
}

static void begin(struct diff *diff)
{
    if (!given(diff->args, OPT_JSON))
        return;
    json_begin(&diff->json, stdout);
    json_text(&diff->json, "schema", "shmwire-diff/1");
    json_text(&diff->json, "a", diff->a.path);
    json_text(&diff->json, "b", diff->b.path);
    json_text(&diff->json, "profile", diff->a.profile->name);
    json_u64(&diff->json, "a_size", diff->a.size);
    json_u64(&diff->json, "b_size", diff->b.size);
    json_array(&diff->json, "differences");
}

static void finish(struct diff *diff, bool complete)
{
    const uint64_t omitted = diff->count > MOST_DIFFERENCES ? diff->count - MOST_DIFFERENCES : 0;
    const bool equal = diff->count == 0 && diff->a.size == diff->b.size;
    if (given(diff->args, OPT_JSON)) {
        json_close(&diff->json);
        json_u64(&diff->json, "omitted", omitted);
        json_bool(&diff->json, "equal", equal && complete);
        json_end(&diff->json);
        return;
    }
    if (omitted > 0)
        printf("and %" PRIu64 " more\n", omitted);
    if (diff->a.size != diff->b.size)
        printf("size: %zu != %zu\n", diff->a.size, diff->b.size);
}

static int open_both(struct diff *diff)
{
    int rc = view_open_unnamed(diff->args, diff->args->operand[0], &diff->a);
    if (rc == EXIT_OK)
        rc = view_open_unnamed(diff->args, diff->args->operand[1], &diff->b);
    if (rc != EXIT_OK)
        return rc;
    if (diff->a.profile == NULL) /* one magic is enough: a wrong one is a difference like any other */
        diff->a.profile = diff->b.profile;
    if (diff->a.profile == NULL)
        return view_unknown(&diff->a);
    return EXIT_OK;
}

int verb_diff(const struct args *args)
{
    static const size_t rooms[4] = {CHUNK, CHUNK, LONGEST_FIELD, LONGEST_FIELD};
    struct diff diff = {.args = args};
    diff.a.fd = -1;
    diff.b.fd = -1;
    int rc = open_both(&diff);
    for (size_t i = 0; i < 4 && rc == EXIT_OK; i++) {
        diff.bytes[i] = malloc(rooms[i]);
        rc = diff.bytes[i] != NULL ? EXIT_OK : io_error("out of memory");
    }
    if (rc == EXIT_OK) {
        begin(&diff);
        rc = compare(&diff);
        finish(&diff, rc == EXIT_OK);
        if (rc == EXIT_OK && (diff.count > 0 || diff.a.size != diff.b.size))
            rc = EXIT_FINDINGS;
    }
    for (size_t i = 0; i < 4; i++)
        free(diff.bytes[i]);
    view_close(&diff.a);
    view_close(&diff.b);
    return rc;
}
