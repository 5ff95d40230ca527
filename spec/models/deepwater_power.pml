/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater, sections 5 and 8 of spec/deepwater.md when the power fails: a writer that rotates, persists and leaves; a disk
 * that gets the pages of the feed's registry whenever the kernel likes, and what was asked for when it was asked for; and the next
 * writer's recovery, which finds no shared memory. The power may fail between any two steps.
 *
 * The worst that a registry allows: its header and every row are pages of their own. A page comes to the disk as it is at that
 * moment, also in the middle of a change under the stamp.
 *
 * Sizes (-D)     ROWS
 * Defects (-D)   ROW_LATE NO_FSYNC NO_DIRECTORY STATE_FIRST COUNT_UNWRITTEN ODD_BELIEVED
 */
#ifndef ROWS
#define ROWS 3
#endif
#define LIVE 1
#define SEALED 2
#define PERSISTED 3
#define EXPIRED 4

/* The feed's registry in memory, and what the disk has of it. A zero state: a row of zeros. */
byte count, state[ROWS], disk_count, disk_state[ROWS];
bool odd[ROWS], disk_odd[ROWS];

/* The two files of chunk r: 2 r and 2 r + 1. */
#define WRITTEN 1 /* some of it is on the disk, perhaps */
#define WHOLE 2   /* fsync has returned */
#define RENAMED 1 /* perhaps on the disk */
#define NAMED 2   /* fsync of the directory has returned */
byte content[ROWS * 2], name[ROWS * 2];

/* Not part of either. */
bool off, told[ROWS]; /* told: persisting has come to its end */

inline flush()
{
    d_step {
        i = 0;
        do
        :: i < ROWS -> disk_state[i] = state[i]; disk_odd[i] = odd[i]; i++
        :: else -> break
        od;
        disk_count = count; i = 0
    }
}

inline persist(q)
{
#ifdef STATE_FIRST
    odd[q] = true; state[q] = PERSISTED; odd[q] = false;
#endif
    content[2 * (q)] = WRITTEN;
    content[2 * (q) + 1] = WRITTEN;
#ifndef NO_FSYNC
    content[2 * (q)] = WHOLE;
    content[2 * (q) + 1] = WHOLE;
#endif
    name[2 * (q)] = RENAMED;
    name[2 * (q) + 1] = RENAMED;
#ifndef NO_DIRECTORY
    d_step { name[2 * (q)] = NAMED; name[2 * (q) + 1] = NAMED };
#endif
#ifndef STATE_FIRST
    odd[q] = true; state[q] = PERSISTED; odd[q] = false;
#endif
    flush();
    told[q] = true
}

proctype writer() provided (!off)
{
    byte r, i;

    do
    :: r < ROWS ->
        state[r] = LIVE;
#ifdef ROW_LATE
        count = r + 1;
        flush();
#else
        flush();
        count = r + 1;
#endif
        if
        :: r > 0 -> odd[r - 1] = true; state[r - 1] = SEALED; odd[r - 1] = false; persist(r - 1)
        :: else
        fi;
        r++
    :: else -> break
    od;
    odd[r - 1] = true; state[r - 1] = SEALED; odd[r - 1] = false; /* leaving */
#ifndef COUNT_UNWRITTEN
    flush();
#endif
    persist(r - 1)
}

/* The kernel writes pages when it likes. */
proctype page_of_header() provided (!off)
{
    do
    :: disk_count != count -> disk_count = count
    od
}

proctype page_of_row(byte r) provided (!off)
{
    do
    :: d_step { disk_state[r] != state[r] || disk_odd[r] != odd[r] -> disk_state[r] = state[r]; disk_odd[r] = odd[r] }
    od
}

/* The next writer, after the power has come back. */
proctype recovery()
{
    byte r;
    bool both;

    off = true;
    do
    :: r < ROWS * 2 -> /* what was not asked for is there or is not */
        if
        :: name[r] == RENAMED -> name[r] = 0
        :: name[r] == RENAMED -> name[r] = NAMED
        :: name[r] != RENAMED
        fi;
        assert(name[r] != NAMED || content[r] == WHOLE); /* no half-made file under the name of a chunk */
        r++
    :: else -> break
    od;
    r = 0;
    do
    :: r < disk_count ->
        both = name[2 * r] == NAMED && name[2 * r + 1] == NAMED;
        assert(disk_state[r] != 0); /* a row of zeros: nobody could mend it */
        if
#ifdef ODD_BELIEVED
        :: disk_state[r] < PERSISTED ->
#else
        :: disk_state[r] < PERSISTED || disk_odd[r] ->
#endif
            disk_state[r] = (both -> PERSISTED : EXPIRED);
            disk_odd[r] = false
        :: else
        fi;
        assert(!disk_odd[r]);
        assert(disk_state[r] != PERSISTED || both);
        r++
    :: else -> break
    od;
    r = 0;
    do
    :: r < ROWS -> assert(!told[r] || (r < disk_count && disk_state[r] == PERSISTED)); r++
    :: else -> break
    od;
    r = 0;
    do /* a chunk that is made now takes no name that is taken: rows are as many as there were files */
    :: r < ROWS -> assert(r < disk_count || name[2 * r] != NAMED); r++
    :: else -> break
    od
}

init
{
    byte i;

    atomic {
        do
        :: i < ROWS -> run page_of_row(i); i++
        :: else -> break
        od;
        run writer();
        run page_of_header();
        run recovery()
    }
}
