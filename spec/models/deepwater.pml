/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater, sections 5, 6 and 8 of spec/deepwater.md as a Promela model: writers that follow each other, of which some die
 * at any step; appending, rotating, sealing, persisting, expiring, leaving, recovery; and a reader that goes from row to row. A
 * step of the chapter that touches a registry, a chunk or a name is a step of the model.
 *
 * Record k is the byte k + 1. Chunk r is of row r; it stays mapped for who holds it when its names are gone, so its contents are
 * never wiped out here. Sleeping and waking is that of shmcomm_wait.pml: here a reader that finds nothing waits until there is more.
 *
 * Sizes (-D)     WRITERS of MSGS records each, CAP records in a chunk, WINDOW; DEAD: so many may die, but the last, at any step
 * Variants (-D)  PERSIST  chunks are copied to files
 * Defects (-D)   COMMIT_FIRST NO_SECOND_COUNT ROW_LATE CHUNK_LATE ONE_ADDITION NO_RECHECK ODD_ADDED UNLINK_FIRST STATE_FIRST
 *                NO_LOOK_AGAIN LAST_AFTER_COUNT HEADER_ONLY NO_SEAL
 */
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef MSGS
#define MSGS 2
#endif
#ifndef CAP
#define CAP 2
#endif
#ifndef WINDOW
#define WINDOW 1
#endif
#ifndef DEAD
#define DEAD 0
#endif
#define ROWS (WRITERS * ((MSGS + CAP - 1) / CAP) + DEAD + 1)
#define NONE 255
#define LIVE 1
#define SEALED 2
#define PERSISTED 3
#define EXPIRED 4

/* The feed's registry. last: last_sequence + 1. */
byte count, latest = NONE, last;
byte stamp[ROWS], state[ROWS], first[ROWS], records[ROWS];

/* The chunks in shared memory: their two names, and what is in them. */
bool data[ROWS], idx[ROWS], sealed[ROWS];
byte entries[ROWS], bytes[ROWS * CAP];

/* The chunks in files: their two names, and how many records they hold. */
bool data_file[ROWS], idx_file[ROWS];
byte held_in_file[ROWS];

/* The kernel's: who holds the lock. */
bool lock;

/* Not part of any. */
byte committed, dead, finished, lost, next; /* next: the sequence that the reader expects */

#if DEAD > 0
#define DIE if :: d_step { dead < DEAD && me < WRITERS - 1 -> dead++ } goto stopped :: skip fi
#else
#define DIE skip
#endif

/* Under the stamp. An odd one was left by a writer that died within a change: it stays odd. */
inline change(q, s, n)
{
#ifdef ONE_ADDITION
    state[q] = s;
    DIE;
    records[q] = n;
    DIE;
    stamp[q] = stamp[q] + 2;
#else
#ifdef ODD_ADDED
    stamp[q] = stamp[q] + 1;
#else
    stamp[q] = (stamp[q] / 2) * 2 + 1;
#endif
    DIE;
    state[q] = s;
    DIE;
    records[q] = n;
    DIE;
    stamp[q] = stamp[q] + 1;
#endif
    DIE
}

inline seal(q)
{
    sealed[q] = true;
    DIE;
    change(q, SEALED, entries[q])
}

inline persist(q)
{
#ifdef STATE_FIRST
    change(q, PERSISTED, entries[q]);
#endif
    d_step { held_in_file[q] = entries[q]; data_file[q] = true };
    DIE;
    idx_file[q] = true;
    DIE;
#ifndef STATE_FIRST
    change(q, PERSISTED, entries[q])
#endif
}

/* The rows from `from` on, but the last `keep`, leave shared memory. */
inline expire(keep)
{
    do
    :: from + keep < count ->
#ifdef UNLINK_FIRST
        data[from] = false; DIE; idx[from] = false; DIE;
#endif
        if
        :: state[from] < PERSISTED -> change(from, EXPIRED, records[from])
        :: else
        fi;
#ifndef UNLINK_FIRST
        data[from] = false; DIE; idx[from] = false; DIE;
#endif
        from++
    :: else -> break
    od
}

inline fill_row()
{
    d_step { first[r] = sequence; records[r] = 0; stamp[r] = 0; state[r] = LIVE };
    DIE
}

inline make_chunk()
{
    d_step { data[r] = true; entries[r] = 0; sealed[r] = false };
    DIE;
    idx[r] = true;
    DIE
}

inline rotate()
{
    r = count;
    assert(r < ROWS);
#ifndef CHUNK_LATE
    make_chunk();
#endif
#ifndef ROW_LATE
    fill_row();
#endif
    count = r + 1;
    DIE;
#ifdef ROW_LATE
    fill_row();
#endif
#ifdef CHUNK_LATE
    make_chunk();
#endif
    latest = r;
    DIE;
    if
    :: old != NONE ->
        seal(old);
#ifdef PERSIST
        persist(old);
#endif
    :: else
    fi;
    old = r;
    expire(WINDOW)
}

inline append()
{
    if
    :: old == NONE || entries[old] == CAP -> rotate()
    :: else
    fi;
#ifdef COMMIT_FIRST
    atomic { entries[old] = entries[old] + 1; committed++ };
    DIE;
    bytes[old * CAP + entries[old] - 1] = sequence + 1;
#else
    bytes[old * CAP + entries[old]] = sequence + 1;
    DIE;
    d_step {
        assert(sequence == committed && first[old] + entries[old] == sequence); /* none used twice, none skipped */
        entries[old] = entries[old] + 1; committed++
    };
#endif
    DIE;
    sequence++;
    last = sequence;
    DIE
}

/* Section 8. The row is read as it lies there: its fields count for nothing while its stamp is odd. */
inline recover()
{
    r = 0; from = 0; sequence = last;
    do
    :: r < count ->
        if
        :: state[r] == LIVE || state[r] == SEALED || (stamp[r] & 1) ->
            if
            :: data[r] && idx[r] ->
                if
                :: state[r] != SEALED || (stamp[r] & 1) ->
#ifndef NO_SEAL
                    seal(r)
#else
                    change(r, SEALED, entries[r])
#endif
                :: else
                fi;
#ifdef PERSIST
                persist(r);
#endif
            :: !(data[r] && idx[r]) && data_file[r] && idx_file[r] -> change(r, PERSISTED, held_in_file[r])
            :: !(data[r] && idx[r]) && !(data_file[r] && idx_file[r]) ->
                assert(false) /* nothing is lost as long as the machine runs */
            fi
        :: else
        fi;
#ifndef HEADER_ONLY
        sequence = (first[r] + records[r] > sequence -> first[r] + records[r] : sequence);
#endif
        r++
    :: else -> break
    od;
    last = sequence;
    DIE;
    latest = NONE;
    DIE;
    expire(WINDOW)
}

inline leave()
{
    if
    :: old != NONE ->
        seal(old);
#ifdef PERSIST
        persist(old)
#endif
    :: else
    fi;
    expire(0);
    latest = NONE
}

proctype writer(byte me)
{
    byte r, from, sequence, sent, old;

    atomic { !lock && finished == me -> lock = true };
    old = NONE;
    recover();
    do
    :: sent < MSGS -> append(); sent++
    :: else -> break
    od;
    leave();
    atomic { lock = false; finished++ };
    goto done;
stopped:
    atomic { r = 0; from = 0; sequence = 0; sent = 0; old = 0; lock = false; finished++ };
done:
    skip
}

#define HELD 1   /* in shared memory */
#define IN_FILE 2
#define GONE 3

/* s, st, rc and fs: the row, whole. Odd without a living writer: the reader has nothing for now and keeps its place until the next one
 * has recovered (section 6.1); here, waited for. */
inline load(q)
{
    do
    :: atomic { !(stamp[q] & 1) -> s = stamp[q] };
        st = state[q];
        rc = records[q];
        fs = first[q];
        if
#ifdef NO_RECHECK
        :: d_step {
#else
        :: stamp[q] != s
        :: d_step {
            stamp[q] == s;
#endif
            assert(st >= LIVE);
            assert(rc == (st == LIVE -> 0 : entries[q]))
        }
            break
        fi
    od
}

/* Attaching row q by its state; how: HELD, IN_FILE or GONE. */
inline attach(q)
{
    how = 0;
    do
    :: how != 0 -> break
    :: else ->
        load(q);
        if
        :: st == EXPIRED -> how = GONE
        :: st == PERSISTED -> assert(data_file[q] && idx_file[q]); how = IN_FILE
        :: st < PERSISTED ->
            how = HELD;
            if
            :: !data[q] -> how = 0
            :: data[q] ->
                if
                :: idx[q]
                :: !idx[q] -> how = 0
                fi
            fi;
            if
            :: how == HELD
#ifndef NO_LOOK_AGAIN
            :: how != HELD && stamp[q] != s
            :: how != HELD && stamp[q] == s ->
#else
            :: how != HELD ->
#endif
                assert(how == HELD) /* in neither place: CORRUPT, or EXPIRED if nobody lives */
            fi
        fi
    od
}

/* Section 6, "Expired": on to the first row from `row` on that is not. */
inline pass_expired()
{
    end = next;
#ifdef LAST_AFTER_COUNT
    rows = count;
#endif
    do
    ::
#ifndef LAST_AFTER_COUNT
        l = last;
        rows = count;
#endif
        if
        :: row < rows ->
            attach(row);
            end = (fs > end -> fs : end);
            if
            :: how != GONE -> break
            :: how == GONE ->
                end = (fs + rc > end -> fs + rc : end);
                row++
            fi
        :: row == rows ->
#ifdef LAST_AFTER_COUNT
            l = last;
#endif
            end = (l > end -> l : end);
            how = GONE;
            break
        fi
    od;
    atomic {
        i = 0;
        do
        :: i < count && next < end ->
            assert(!(first[i] + entries[i] > next && first[i] < end) || state[i] == EXPIRED); /* nothing is passed over */
            i++
        :: else -> break
        od;
#ifdef PERSIST
        assert(next == end);
#endif
        lost = lost + end - next; next = end; i = 0; end = 0; l = 0; rows = 0
    }
}

proctype reader()
{
    byte row, how, i, n, s, st, rc, fs, end, l, rows;

    atomic { count > 0 -> skip }; /* from the oldest on; with the row entered first, nothing is lost yet */
    do
    :: how == 0 || how == GONE -> /* between chunks: row is the next one */
        count > row;
        attach(row);
        if
        :: how == GONE -> pass_expired()
        :: else
        fi;
        d_step {
            i = (how != GONE && next > fs -> next - fs : 0);
            assert(how == GONE || next >= fs);
            s = 0; st = 0; rc = 0; fs = 0
        }
    :: how == HELD || how == IN_FILE ->
        n = (how == IN_FILE -> held_in_file[row] : entries[row]);
        if
        :: i < n ->
            d_step { assert(bytes[row * CAP + i] == next + 1); i++; next++; n = 0 }
        :: i >= n && how == HELD && !sealed[row] ->
            atomic { entries[row] > i || sealed[row] -> n = 0 } /* EMPTY */
        :: i >= n && (how == IN_FILE || sealed[row]) ->
#ifndef NO_SECOND_COUNT
            n = (how == IN_FILE -> held_in_file[row] : entries[row]);
#endif
            if
            :: i < n -> n = 0
            :: else -> d_step { row++; how = 0; i = 0; n = 0 }
            fi
        fi
    od
}

/* When nothing can move any more: what was committed was delivered, or is gone. */
proctype rest()
{
    timeout;
    d_step {
        assert(finished == WRITERS);
        assert(next == committed && latest == NONE);
#ifdef PERSIST
        assert(lost == 0)
#endif
    }
}

init
{
    byte i;

    atomic {
        do
        :: i < WRITERS -> run writer(i); i++
        :: else -> break
        od;
        run reader();
        run rest()
    }
}
