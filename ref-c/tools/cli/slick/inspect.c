/* SPDX-License-Identifier: MIT
 *
 * inspect: header and slots by the names of the layout, and how the ring is. */
#include <inttypes.h>
#include <stdio.h>

#include "../output.h"
#include "raw.h"
#include "slick.h"

#define SLOTS_SHOWN 32 /* in text; --json has all */

static const char *generation_word(const struct ring_header *header)
{
    return header->generation == 14 ? "1.4" : header->generation == 13 ? "1.3" : header->generation == 12 ? "1.2" : "none";
}

/* Text ------------------------------------------------------------------------------------------------------------- */

static void print_index(const char *name, uint64_t value)
{
    if (value == SHMW_SLICK_NO_INDEX)
        printf("  %-15s none\n", name);
    else
        printf("  %-15s %" PRIu64 "\n", name, value);
}

static void print_header(const struct view *view, const struct ring_header *header)
{
    print_safe(stdout, view->path);
    printf(": %zu bytes, mode %04o, owner %u\n", view->size, (unsigned)(view->status.st_mode & 07777),
           (unsigned)view->status.st_uid);
    if (!header->present)
        return;
    printf("%sheader%s\n", style_bold(), style_plain());
    printf("  generation      %s\n", generation_word(header));
    printf("  reserved        index %" PRIu64 ", size %" PRIu64 "\n", header->index, header->last_elements);
    printf("  size            %" PRIu32 "\n", header->size);
    printf("  element_size    %" PRIu32 "\n", header->element_size);
    print_index("last_published", header->last_published);
    printf("  header_magic    0x%08" PRIX32 "\n", header->magic);
    printf("  settled         %" PRIu64 "\n", header->settled);
    printf("  init_state      %" PRIu32 "\n", header->init_state);
}

static void print_slot(const struct view *view, const struct ring_header *header, uint32_t slot, const struct findings *findings)
{
    const struct ring_slot found = ring_load_slot(view, slot);
    printf("  slot[%" PRIu32 "]  ", slot);
    if (found.data_index == SHMW_SLICK_NO_INDEX)
        printf("never");
    else if ((found.data_index & (header->size - UINT64_C(1))) == slot)
        printf("index %" PRIu64 ", %" PRIu32 " element%s%s", found.data_index, found.size, found.size == 1 ? "" : "s",
               header->index - found.data_index > header->size ? ", overwritten" : "");
    else
        printf("mark: go on at %" PRIu64, found.data_index);
    for (size_t i = 0; i < findings->count; i++)
        if (findings->list[i].severity == ERROR && findings->list[i].channel == slot)
            printf("  %s%s%s", style_bad(), findings->list[i].rule, style_plain());
    putchar('\n');
}

static void print_ring(const struct view *view, const struct ring_header *header, const struct findings *findings)
{
    const struct ring_walk walk = ring_walk(view, header);
    printf("%sring%s\n", style_bold(), style_plain());
    printf("  health: %" PRIu64 " items of %" PRIu64 " elements can be read; %" PRIu64 " unpublished, %" PRIu64 " given up; %s\n",
           walk.items, walk.elements, walk.unpublished, walk.marks, findings->errors == 0 ? "good" : "see below");
    for (uint32_t slot = 0; slot < header->slots && slot < SLOTS_SHOWN; slot++)
        print_slot(view, header, slot, findings);
    if (header->slots > SLOTS_SHOWN)
        printf("  and %" PRIu32 " slots more (--json)\n", header->slots - SLOTS_SHOWN);
}

/* JSON ------------------------------------------------------------------------------------------------------------- */

static void header_json(struct json *json, const struct ring_header *header)
{
    json_u64(json, "header.reserved", header->reserved);
    json_u64(json, "header.size", header->size);
    json_u64(json, "header.element_size", header->element_size);
    json_u64(json, "header.last_published", header->last_published);
    json_u64(json, "header.header_magic", header->magic);
    json_u64(json, "header.settled", header->settled);
    json_u64(json, "header.init_state", header->init_state);
}

static void fields_json(struct json *json, const struct view *view, const struct ring_header *header)
{
    json_object(json, "fields");
    if (header->present)
        header_json(json, header);
    for (uint32_t slot = 0; header->good && slot < header->slots; slot++) {
        const struct ring_slot found = ring_load_slot(view, slot);
        char key[64];
        snprintf(key, sizeof(key), "slot[%" PRIu32 "].data_index", slot);
        json_u64(json, key, found.data_index);
        snprintf(key, sizeof(key), "slot[%" PRIu32 "].size", slot);
        json_u64(json, key, found.size);
    }
    json_close(json);
}

static void ring_json(struct json *json, const struct view *view, const struct ring_header *header,
                      const struct findings *findings)
{
    struct ring_walk walk = {0};
    if (header->good)
        walk = ring_walk(view, header);
    json_object(json, "ring");
    json_text(json, "generation", generation_word(header));
    json_u64(json, "next_index", header->index);
    json_u64(json, "oldest", walk.oldest);
    json_u64(json, "items", walk.items);
    json_u64(json, "elements", walk.elements);
    json_u64(json, "unpublished", walk.unpublished);
    json_u64(json, "given_up", walk.marks);
    json_bool(json, "good", findings->errors == 0);
    json_close(json);
}

static void inspect_json(const struct view *view, const struct ring_header *header, const struct findings *findings)
{
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-inspect/1");
    json_text(&json, "path", view->path);
    json_text(&json, "profile", view->profile->name);
    json_u64(&json, "size", view->size);
    fields_json(&json, view, header);
    ring_json(&json, view, header, findings);
    findings_json(findings, &json);
    json_end(&json);
}

int slick_inspect(const struct args *args, const struct view *view, const struct findings *findings)
{
    const struct ring_header header = ring_load_header(view);
    if (given(args, OPT_JSON)) {
        inspect_json(view, &header, findings);
        return EXIT_OK;
    }
    print_header(view, &header);
    if (header.good)
        print_ring(view, &header, findings);
    findings_print(findings);
    return EXIT_OK;
}
