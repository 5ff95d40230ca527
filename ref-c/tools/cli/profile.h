/* SPDX-License-Identifier: MIT
 *
 * What a profile gives to the command. One directory per profile defines one of these; profiles.c lists them. A NULL operation is
 * answered with exit code 3. Operations return an exit_code and print on standard output what the verb is for. */
#ifndef SHMW_CLI_PROFILE_H
#define SHMW_CLI_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

struct args;
struct findings;
struct json;
struct view;

/* What `ls` shows. */
struct segment_summary {
    uint64_t channels;
    uint64_t waiting; /* messages, of all channels */
};

/* A field, or a run of bytes that belongs to none. */
struct named_range {
    char name[64];
    uint64_t begin;
    uint64_t end; /* above begin; may lie past the end of the segment */
    bool number;
};

struct cli_profile {
    const char *name;
    const char *title;
    unsigned revision; /* of the layout */
    const char *part;  /* what findings are about: "channel", "chunk" or "slot" */

    bool (*recognise)(const struct view *view);
    void (*summarise)(const struct view *view, struct segment_summary *summary);
    int (*find)(const struct view *view, uint64_t stall_ms, struct findings *findings);
    int (*inspect)(const struct args *args, const struct view *view, const struct findings *findings);
    int (*dump)(const struct args *args, const struct view *view);
    int (*tail)(const struct args *args, const struct view *view);
    int (*gen)(const struct args *args, const char *locator, const char *path);
    int (*recover)(const struct args *args, const struct view *view);
    int (*bench)(const struct args *args);

    /* Name the field that holds the byte at offset, as the segment's own geometry has it, and say where it begins and ends.
     * `number` is true for integers, which are at most 8 bytes long. Total: every offset below 2^64 has a name. */
    struct named_range (*name_byte)(const struct view *view, uint64_t offset);
};

extern const struct cli_profile cli_dmxp;
extern const struct cli_profile cli_ouroboros;
extern const struct cli_profile cli_slick;

extern const struct cli_profile *const cli_profiles[]; /* ended by NULL */

const struct cli_profile *find_profile(const char *name);

#endif
