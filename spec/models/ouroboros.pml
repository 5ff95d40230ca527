/* SPDX-License-Identifier: MIT
 *
 * Profile ouroboros, sections 4 and 5 of spec/ouroboros.md, as a Promela model: one writer and its readers. A step of the
 * chapter that touches the segment is a step of the model. spec/models/run.py checks the model, then plants the defects below one at
 * a time and checks that each is found.
 *
 * The data area is CELLS words of 4 bytes, so that offsets are cell numbers and every offset is aligned. A cell holds 0, a
 * header (its length in cells, COMMITTED when it is), or a payload word: 64 + the sequence of its entry. A row's offset is stored
 * with 1 added, since 0 means "no chunk" and the data area begins at 0 here.
 *
 * Sizes (-D)     ROWS, CELLS, TARGET (chunk_target_size in cells), MSGS entries; READERS (0 to 2). Entries have SHORT or LONG cells,
 *                as the writer likes, or only entry LONG_AT is long.
 * Variants (-D)  KILL          the writer may die before any step; another one resumes
 * Defects (-D)   TOKEN_FIRST OFFSET_FIRST NO_RECHECK COUNTED_CLEAR NO_SEQUENCE CLEAR_LATE NEXT_NOT_CLEARED NEXT_HEADER_LATE
 *                ROW_EARLY RESUME_TOKEN
 */
#ifndef ROWS
#define ROWS 2
#endif
#ifndef CELLS
#define CELLS 7
#endif
#ifndef TARGET
#define TARGET 3
#endif
#ifndef MSGS
#define MSGS 6
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef SHORT
#define SHORT 2
#endif
#ifndef LONG
#define LONG 5
#endif

#define COMMITTED 128
#define WRAP (COMMITTED + 1)
#define WORD 64           /* payload words are WORD + sequence */
#define NONE 255

byte cell[CELLS];
byte offset[ROWS];        /* 1 + cell number, COMMITTED */
byte token[ROWS];
byte count;               /* entries written, as the writer counts */
byte committed;           /* not part of the segment: entries whose header was committed */
bool done, killed;

#define place(o) (((o) & 127) - 1)
#define is_committed(o) ((o) >= COMMITTED)

/* Writer, section 4 ------------------------------------------------------------------------------------------------ */

/* Step 3. */
inline begin(k, at)
{
#ifdef TOKEN_FIRST
    token[k] = count;
    offset[k] = (at) + 1;
#else
    offset[k] = (at) + 1;
    token[k] = count;
#endif
    chunk = k;
    start = at;
    cursor = at
}

/* Step 4: each row that is cleared takes two steps. */
inline clear()
{
    end = cursor + length;
#ifndef NEXT_NOT_CLEARED
    if
    :: end < CELLS -> end++
    :: else
    fi;
#endif
    i = chunk + 1;
    do
    :: i < ROWS ->
        if
#ifdef COUNTED_CLEAR /* by whole targets from the start of this chunk, as if the old lap had kept to them */
        :: offset[i] != 0 && start + (i - chunk) * TARGET < end ->
#else
        :: offset[i] != 0 && place(offset[i]) < end ->
#endif
            offset[i] = 0;
            token[i] = 0
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0;
    end = 0
}

/* Step 7. */
inline clear_next_header()
{
    if
    :: cursor + length < CELLS -> cell[cursor + length] = 0
    :: else
    fi
}

/* Step 8. */
inline commit_entry()
{
    d_step {
        cell[cursor] = COMMITTED + length;
        committed++
    }
}

/* Step 9. */
inline commit_row()
{
    if
    :: !is_committed(offset[chunk]) -> offset[chunk] = offset[chunk] | COMMITTED
    :: else
    fi
}

/* Step 2. wrapped: a resumed writer stands at a wrap. */
inline choose_place()
{
    if
    :: wrapped || cursor + length > CELLS ->
        if
        :: cursor < CELLS && !wrapped -> cell[cursor] = WRAP
        :: else
        fi;
        wrapped = false;
        begin(0, 0)
    :: else ->
        if
        :: cursor - start >= TARGET && chunk + 1 < ROWS -> begin(chunk + 1, cursor)
        :: else
        fi
    fi
}

inline write_one()
{
#ifdef LONG_AT
    length = (count + 1 == LONG_AT -> LONG : SHORT);
#else
    if
    :: length = SHORT
    :: length = LONG
    fi;
#endif
    choose_place();
#ifndef CLEAR_LATE
    clear();
#endif
#ifdef ROW_EARLY
    commit_row();
#endif
    cell[cursor] = length;
    i = 1;
    do
    :: i < length -> cell[cursor + i] = WORD + count + 1; i++
    :: else -> break
    od;
    i = 0;
#ifdef CLEAR_LATE
    clear();
#endif
#ifdef NEXT_HEADER_LATE
    commit_entry();
    clear_next_header();
#else
    clear_next_header();
    commit_entry();
#endif
    commit_row();
    d_step {
        count++;
        cursor = cursor + length;
        length = 0
    }
}

/* From cursor: n entries, to at_wrap or a header without C. It passes a row's offset if it stands there before it ends. */
inline walk()
{
    n = 0;
    behind = NONE;
    at_wrap = false;
    do
    :: cursor >= CELLS -> at_wrap = true; break
    :: else ->
        if
        :: cursor == watched -> behind = n
        :: else
        fi;
        if
        :: cell[cursor] == WRAP -> at_wrap = true; break
        :: cell[cursor] < COMMITTED -> break
        :: else -> cursor = cursor + cell[cursor] - COMMITTED; n++
        fi
    od
}

/* The committed row with the highest token; NONE. */
inline highest_row()
{
    best = NONE;
    i = 0;
    do
    :: i < ROWS ->
        if
        :: is_committed(offset[i]) && (best == NONE || token[i] > token[best]) -> best = i
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0
}

/* Section 4, resuming. Nobody else stores, and what it stores is one row's offset, so that it can be one step. */
inline resume()
{
    d_step {
        highest_row();
        chunk = 0;
        start = 0;
        cursor = 0;
        length = 0;
        end = 0;
        wrapped = false;
        watched = NONE;
        n = 0;
        if
        :: !is_committed(offset[0]) ->
#ifdef RESUME_TOKEN /* the token of a row that is beginning is believed */
            at_wrap = false;
#else
            if
            :: best != NONE -> watched = place(offset[best])
            :: else
            fi;
            walk();
#endif
            if
            :: !at_wrap ->                                      /* case 1 */
                count = token[0] + n;
                if
                :: n > 0 -> commit_row()
                :: else
                fi
            :: else ->                                          /* case 2 */
                wrapped = true;
                if
                :: behind != NONE -> count = token[best] + n - behind
                :: else -> count = token[0] + n; guessed = true
                fi
            fi
        :: else ->                                              /* case 4 */
            chunk = best;
            start = place(offset[best]);
            cursor = start;
            if
            :: best + 1 < ROWS && offset[best + 1] != 0 && !is_committed(offset[best + 1]) -> watched = place(offset[best + 1])
            :: else
            fi;
            walk();
            wrapped = at_wrap;
            count = token[best] + n;
            if
            :: behind != NONE && token[best + 1] == token[best] + behind ->
                chunk = best + 1;
                start = place(offset[chunk]);
                if
                :: n > behind -> commit_row()
                :: else
                fi
            :: else
            fi
        fi;
        assert(count == committed || (guessed && count > committed)); /* no sequence is given twice */
        n = 0; best = 0; behind = 0; watched = 0; at_wrap = false
    }
}

proctype writer()
{
    byte chunk, start, cursor, length, end, i, n, best, behind, watched;
    bool wrapped, at_wrap, guessed;

    {
        do
        :: committed < MSGS -> write_one()
        :: else -> break
        od
    } unless { killed };
#ifdef KILL
    if
    :: killed ->
        resume();
        do
        :: write_one();
            if
            :: committed >= MSGS -> break
            :: else
            fi
        od
    :: else
    fi;
#endif
    done = true
}

#ifdef KILL
proctype killer()
{
    if
    :: killed = true
    :: skip
    fi
}
#endif

/* Reader, section 5 ------------------------------------------------------------------------------------------------ */

/* Loading a row into ro, rt. */
inline load_row(k)
{
#ifdef OFFSET_FIRST
    ro = offset[k];
    rt = token[k]
#else
    do
    :: rt = token[k];
        ro = offset[k];
        if
        :: token[k] == rt -> break
        :: else
        fi
    od
#endif
}

/* The committed row with the highest token (or the lowest, at the start) into best, bo, bt. */
inline find_row(lowest)
{
    best = NONE;
    bo = 0;
    bt = 0;
    i = 0;
    do
    :: i < ROWS ->
        load_row(i);
        if
        :: is_committed(ro) && (best == NONE || (lowest && rt < bt) || (!lowest && rt > bt)) -> best = i; bo = ro; bt = rt
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0
}

/* Entering row k as it was loaded. */
inline enter(k, o, t)
{
    d_step {
        chunk = k;
        mine = t;
        from = place(o);
        cursor = from;
#ifndef NO_SEQUENCE
        assert(t + 1 >= next);
#endif
        next = t + 1
    }
}

#ifdef NO_SEQUENCE
#define newer(t) ((t) > mine)
#else
#define newer(t) ((t) + 1 >= next)
#endif

/* The wrap: row 0, or EMPTY. */
inline go_to_row_0()
{
#ifdef NO_SEQUENCE /* as the source does: wherever the highest token is */
    find_row(false);
    if
    :: best != NONE && newer(bt) -> enter(best, bo, bt)
    :: else -> nothing = true
    fi
#else
    load_row(0);
    if
    :: is_committed(ro) && newer(rt) && !(chunk == 0 && rt == mine) -> enter(0, ro, rt)
    :: else -> nothing = true
    fi
#endif
}

inline lapped()
{
    find_row(false);
    if
    :: best != NONE && newer(bt) -> enter(best, bo, bt)
    :: else -> nothing = true
    fi
}

/* Step 2. */
inline adopt()
{
    if
    :: chunk + 1 < ROWS ->
        load_row(chunk + 1);
        if
#ifdef NO_SEQUENCE
        :: is_committed(ro) && rt > mine && place(ro) == cursor -> enter(chunk + 1, ro, rt)
#else
        :: is_committed(ro) && rt > mine && rt + 1 <= next && place(ro) > from && place(ro) <= cursor ->
            chunk++;
            mine = rt;
            from = place(ro)
#endif
        :: else
        fi
    :: else
    fi
}

/* Steps 6 to 9: the payload word by word, the row again, delivery. a, b: the least and greatest word found. */
inline copy_and_deliver()
{
    a = 255;
    b = 0;
    i = 1;
    do
    :: i < header - COMMITTED ->
        d_step {
            a = (cell[cursor + i] < a -> cell[cursor + i] : a);
            b = (cell[cursor + i] > b -> cell[cursor + i] : b)
        };
        i++
    :: else -> break
    od;
    i = 0;
#ifndef NO_RECHECK
    load_row(chunk);
#endif
    if
    :: is_committed(ro) && rt == mine ->
        d_step {
            assert(a == b);                    /* whole */
            assert(a == WORD + next);          /* the sequence that it was written with */
            assert(next > last);               /* never again, never back */
            last = next;
            next++;
            cursor = cursor + header - COMMITTED
        }
    :: else -> lapped()
    fi;
    a = 0;
    b = 0
}

/* Steps 3 to 5. */
inline look()
{
    header = cell[cursor];
    load_row(chunk);
    if
    :: !is_committed(ro) || rt != mine -> lapped()
    :: else ->
        if
        :: header < COMMITTED -> nothing = true
        :: header == WRAP -> go_to_row_0()
        :: header > WRAP ->
            assert(header - COMMITTED >= SHORT && cursor + header - COMMITTED <= CELLS); /* else CORRUPT */
            copy_and_deliver()
        fi
    fi;
    header = 0
}

inline find_start()
{
    if
    :: find_row(false)
    :: find_row(true)
    :: load_row(0);
        if
        :: is_committed(ro) && rt == 0 -> best = 0; bo = ro; bt = rt
        :: else -> find_row(false)
        fi
    fi;
    if
    :: best != NONE -> enter(best, bo, bt)
    :: else -> nothing = true
    fi
}

proctype reader()
{
    byte chunk, mine, from, cursor, next, last, header, ro, rt, best, bo, bt, a, b, i;
    bool nothing, over;

    chunk = NONE;
    do
    :: over && last == count -> break
    :: else ->
        over = done;
        nothing = false;
        if
        :: chunk == NONE -> find_start()
        :: chunk != NONE && cursor >= CELLS -> go_to_row_0()
        :: else -> adopt(); look()
        fi;
        assert(!(over && nothing && last != count)); /* the last entry becomes readable */
        nothing = false; ro = 0; rt = 0; best = 0; bo = 0; bt = 0
    od
}

init
{
    atomic {
        offset[0] = COMMITTED + 1;
        run writer();
#ifdef KILL
        run killer();
#endif
#if READERS > 0
        run reader();
#endif
#if READERS > 1
        run reader();
#endif
        skip
    }
}
