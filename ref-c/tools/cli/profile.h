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

enum keeper {
    KEEPER_UNKNOWN,
    KEEPER_LIVES,
    KEEPER_DEAD,
};

/* What `ls` and `top` show. */
struct segment_summary {
    uint64_t channels;
    uint64_t waiting;      /* messages, of all channels */
    uint64_t published;    /* messages, ever: what rates are made of */
    bool counts_published; /* this profile has such a count */

    /* Of profiles whose processes are members of a segment: */
    bool has_members;
    char kind[16];      /* "pubsub", … */
    uint64_t dropped;   /* messages overwritten, or sends refused */
    uint64_t asleep;    /* processes that went to sleep since the last wake */
    uint32_t owner_pid; /* as the segment has it */
    enum keeper keeper;
};

/* What `gc` did to a file. */
enum gc_action {
    GC_NOTHING,      /* not of this profile, or in use */
    GC_REMOVED,
    GC_WOULD_REMOVE, /* --dry-run */
    GC_KEPT,         /* stale, and holds messages that nobody took */
};

struct gc_outcome {
    enum gc_action action;
    uint64_t waiting; /* messages */
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
    const char *part;  /* what findings are about: "channel", "chunk", "slot" or "frame" */

    bool (*recognise)(const struct view *view);
    void (*summarise)(const struct view *view, struct segment_summary *summary);
    int (*find)(const struct view *view, uint64_t stall_ms, struct findings *findings);
    int (*inspect)(const struct args *args, const struct view *view, const struct findings *findings);
    int (*dump)(const struct args *args, const struct view *view);
    int (*tail)(const struct args *args, const struct view *view);
    int (*gen)(const struct args *args, const char *locator, const char *path);
    int (*recover)(const struct args *args, const struct view *view);
    int (*bench)(const struct args *args);

    /* Remove the file if it is a segment of this profile that nobody keeps; name: its last component. */
    int (*collect)(const struct args *args, const char *path, const char *name, struct gc_outcome *outcome);

    /* Name the field that holds the byte at offset, as the segment's own geometry has it, and say where it begins and ends.
     * `number` is true for integers, which are at most 8 bytes long. Total: every offset below 2^64 has a name. */
    struct named_range (*name_byte)(const struct view *view, uint64_t offset);
};

extern const struct cli_profile cli_dmxp;
extern const struct cli_profile cli_ouroboros;
extern const struct cli_profile cli_slick;
extern const struct cli_profile cli_shmcomm;

extern const struct cli_profile *const cli_profiles[]; /* ended by NULL */

const struct cli_profile *find_profile(const char *name);

#endif
