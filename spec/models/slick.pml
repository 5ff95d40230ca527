/* SPDX-License-Identifier: MIT
 *
 * Profile slick, sections 4 and 5 of spec/slick.md, as a Promela model: producers of items of 1 or 2 elements, and readers.
 * A step of the chapter that touches the segment is a step of the model. spec/models/run.py checks the model, then plants the
 * defects below one at a time and checks that each is found.
 *
 * An element is one cell and holds the index that it was written for. What the segment cannot tell is in state[]: what became of
 * each index. The stall time passes only over items whose producers are dead: a live one is never slower than that here.
 *
 * Sizes (-D)     SIZE (2 or 4), PRODUCERS, MSGS items each, of up to MAX elements; READERS
 * Variants (-D)  DEAD          so many producers (1) may stop for ever anywhere between a reservation and its publication
 *                SHARED        the readers share a cursor
 *                LAST          a reader that looks for the last item only
 *                INVARIANTS    I1, I4, I6 of section 8, and what producers think settled, after every step that could break them
 *                TORN_ONLY     only whether items are whole
 *                ALTERNATE     items of 1 and MAX elements in turn, instead of any; FIRST_LONG: only those of the first producer
 * Defects (-D)   UNSETTLED NO_RECHECK RECHECK_SLOT MARK_MISSING LAST_LOWERED SHARED_STORED TAKEN_EARLY RAISED_TOO_FAR
 *                KNOWN_ANYWAY LOWERED_BY_OLD PAD_IN_ONE STALL_OF_ONE GIVEN_UP_SIZE SCAN_FROM_OLDEST GUESS_TOO_FAR
 */
#ifndef SIZE
#define SIZE 4
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef MSGS
#define MSGS 3
#endif
#ifndef MAX
#define MAX 2
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef INDICES
#define INDICES (2 * PRODUCERS * MSGS * MAX + SIZE)
#endif

#define NONE 255

#ifdef GUESS_TOO_FAR
#define GUESS 0
#elif defined(SCAN_FROM_OLDEST)
#define GUESS SIZE
#else
#define GUESS size
#endif

/* The segment. */
byte r, m;                /* header.reserved: one word, always read and written as one */
byte settled;
byte last = NONE;
byte data_index[SIZE];
byte length[SIZE];        /* slot.size */
byte element[SIZE];
byte cursor;              /* the shared one */

/* Not part of it: what became of an index. */
#define FREE 0
#define RESERVED 1
#define PUBLISHED 2       /* the first index of an item */
#define COVERED 3         /* the others */
#define PASSED 4          /* padding, or given up */
#define ABANDONED 5       /* reserved by who is dead */
byte state[INDICES];
bool taken[INDICES];      /* of a shared cursor: somebody has accounted for it */
byte finished;            /* producers that are done, or dead */
byte dead;
byte highest;             /* 1 + the highest index whose publication is complete, last_published included */

#define at(x) ((x) % SIZE)
#define above(d, x) ((d) != NONE && (d) > (x))
#define marks(d, x) (above(d, x) && (d) - (x) < SIZE)
#define is_settled(x) (state[x] == PUBLISHED || state[x] == COVERED || state[x] == PASSED)
#define old(y) ((y) >= i || state[y] != RESERVED)
/* Between known and i, which are at most a ring apart. */
#define nobody_alive (old(known + 1) && old(known + 2) && old(known + 3))

inline set_states(from, to, first, others)
{
    y = from;
    do
    :: y < to -> state[y] = (y == from -> first : others); y++
    :: else -> break
    od;
    y = 0
}

/* Is everything below x settled? */
inline check_settled(x)
{
#ifdef INVARIANTS
    y = 0;
    do
    :: y < (x) -> assert(is_settled(y)); y++
    :: else -> break
    od;
    y = 0
#else
    skip
#endif
}

/* A reservation of m elements up to r, just made, in place of one up to old: I1, I6, slick.reserve.settled and I4. */
inline check_reservation(old)
{
#ifdef INVARIANTS
    assert(r > old && r < INDICES && at(r - m) + m <= SIZE);
    y = 0;
    do
    :: y + SIZE < r -> assert(is_settled(y)); y++
    :: else -> break
    od;
    y = 0;
    do
    :: r > settled + SIZE && y < r - m -> assert(is_settled(y)); y++
    :: else -> break
    od;
    y = 0
#else
    skip
#endif
}

/* Producer, section 4 ---------------------------------------------------------------------------------------------- */

#ifdef DEAD
#define DIE(from, to) if :: d_step { dead < DEAD -> dead++; set_states(from, to, ABANDONED, ABANDONED) } goto stopped :: skip fi
#else
#define DIE(from, to) skip
#endif

proctype producer()
{
    byte known, sent, n, i, size, x, end, s, d, k, b, y;

    do
    :: sent == MSGS -> break
    :: else ->
#ifdef ALTERNATE
        n = 1 + (sent + _pid) % MAX;
#elif defined(FIRST_LONG)
        n = (_pid == 1 -> 1 + (sent + 1) % MAX : 1);
#else
        if
        :: n = 1
        :: MAX > 1 -> n = 2
        fi;
#endif
reserve: /* Step 2. */
        s = 0;
        d_step {
            i = r;
            size = m;
            x = (at(i) + n <= SIZE -> i : i + SIZE - at(i));
#ifdef PAD_IN_ONE
            end = x + n;
#else
            end = (x == i -> i + n : x);
#endif
            d = 0; k = 0; b = 0
        };
#ifdef UNSETTLED
        goto take;
#endif
        /* Section 4.1, step 1. */
        d_step {
            s = (known == i -> end : settled);               /* known = i: nothing before it is unsettled */
            assert(known == i || s <= r);
            if
            :: s <= i && end > s + SIZE ->
                known = (s > known -> s : known);
                known = (i > known + SIZE -> i - GUESS : known);
                check_settled(known)
            :: else
            fi
        };
        if
        :: s > i && known != i -> goto reserve               /* i is an old one */
        :: (s <= i || known == i) && end <= s + SIZE -> goto take
        :: else
        fi;

        /* Step 2. */
        do
        :: known >= i -> break
        :: else ->
            d = data_index[at(known)];
            if
            :: d == known ->
                k = length[at(known)];
                if
                :: r > known + SIZE -> goto reserve
                :: d_step { r <= known + SIZE ->
                        assert(k > 0 && at(known) + k <= SIZE && known + k <= i); /* else CORRUPT */
                        known = known + k; k = 0; check_settled(known) }
                fi
            :: d_step { marks(d, known) && d <= i -> known = d; check_settled(known) }
            :: above(d, known) && d >= known + SIZE && d < r -> goto reserve
            :: else -> break
            fi
        od;

raise: /* Step 3. */
#ifdef RAISED_TOO_FAR
        known = (known < i -> known + 1 : known);
#endif
        do
        :: s = settled;
            if
#ifdef LOWERED_BY_OLD
            :: s >= known && s <= i -> break
#else
            :: s >= known && s <= r -> break
#endif
            :: else ->
                if
                :: d_step { settled == s -> settled = known; check_settled(known) } break
                :: settled != s
                fi
            fi
        od;
        s = 0;

        /* Step 4. */
        if
        :: known == i || end <= known + SIZE -> goto take
        :: else
        fi;
        if
        :: r != i || settled > known || data_index[at(known)] != d -> goto reserve
#ifdef STALL_OF_ONE
        :: r == i && state[known] == ABANDONED
#else
        :: r == i && state[known] == ABANDONED && nobody_alive
#endif
        fi;
        /* Giving it up. */
        b = known + 1;
        do
        :: b >= i -> b = (i - size > known -> i - size : i); break
        :: else ->
            k = data_index[at(b)];
            if
            :: k == b || marks(k, b) -> break
            :: else -> b++
            fi
        od;
        k = 0;
#ifdef GIVEN_UP_SIZE
        length[at(known)] = b - known;
#endif
        if
        :: d_step { b - known == SIZE -> set_states(known, b, PASSED, PASSED); known = b }
        :: d_step { b - known < SIZE && data_index[at(known)] == d ->
                data_index[at(known)] = b; set_states(known, b, PASSED, PASSED); known = b }
        :: b - known < SIZE && data_index[at(known)] != d -> goto reserve
        fi;
        b = 0;
        goto raise;

take: /* Steps 4 and 5. */
        s = 0;
        d_step {
            d = 0; k = 0; b = 0;
            if
            :: r == i && m == size ->
                r = end;
#ifdef PAD_IN_ONE
                m = n;
#else
                m = end - i;
#endif
                check_reservation(i);
                set_states(i, end, RESERVED, RESERVED);
                k = 1
            :: else
            fi
        };
        if
        :: k == 0 -> goto reserve
        :: else -> k = 0
        fi;
        /* Step 6. */
        if
        :: x != i ->
            DIE(i, end);
#ifndef MARK_MISSING
            d = data_index[at(i)];
            if
            :: above(d, i) && d <= r
            :: else ->
                length[at(i)] = n;
                DIE(i, end);
                d_step { data_index[at(i)] = x; set_states(i, x, PASSED, PASSED) }
            fi;
#else
            d_step { set_states(i, x, PASSED, PASSED) };
#endif
            d_step {
                d = 0;
                if
                :: known == i -> known = x
                :: else
                fi
            };
#ifndef PAD_IN_ONE
            goto reserve
#endif
        :: else
        fi;

        /* Filling it. */
        DIE(x, end);
        k = 0;
        do
        :: d_step { k < n -> element[at(x + k)] = x + k; k++ }
        :: else -> break
        od;
        k = 0;
        /* Steps 7 to 9. */
        d_step {
#ifndef TORN_ONLY
            assert(!(above(data_index[at(x)], x) && data_index[at(x)] <= r)); /* nobody gives up a live one */
#endif
            length[at(x)] = n
        };
        DIE(x, end);
        d_step {
            data_index[at(x)] = x;
            assert(state[x] == RESERVED);
            set_states(x, end, PUBLISHED, COVERED);
            d = 0;
            if
            :: known == x -> known = end
#ifdef KNOWN_ANYWAY
            :: known < x -> known = end
#endif
            :: else
            fi;
            check_settled(known)
        };
#ifdef LAST
#ifdef LAST_LOWERED
        last = x;
#else
        do
        :: s = last;
            if
            :: s != NONE && s > x -> break
            :: else ->
                if
                :: d_step { last == s -> last = x } break
                :: last != s
                fi
            fi
        od;
        s = 0;
#endif
        d_step { highest = (x >= highest -> x + 1 : highest) };
#endif
        d_step { sent++; n = 0; i = 0; size = 0; x = 0; end = 0 }
    od;
stopped:
    finished++
}

/* Reader, section 5 ------------------------------------------------------------------------------------------------ */

/* Copying n elements of index x and checking them: whole says whether they were what was written for it. */
inline copy()
{
    k = 0;
    whole = true;
    do
    :: d_step { k < n && n <= SIZE - at(c) -> whole = whole && element[at(c + k)] == c + k; k++ }
    :: else -> break
    od;
    k = 0
}

inline check_item()
{
    assert(whole);
#ifndef TORN_ONLY
    assert(n > 0 && n <= SIZE - at(c) && c + n <= r);       /* else CORRUPT */
    assert(state[c] == PUBLISHED && state[c + n - 1] == (n > 1 -> COVERED : PUBLISHED) && state[c + n] != COVERED)
#endif
}

/* What a mark passes over was never published. */
inline check_passed(from, to)
{
    y = from;
    do
    :: y < to -> assert(state[y] == PASSED); y++
    :: else -> break
    od;
    y = 0
}

/* From the cursor to the end of the item: delivered, passed or lost, and all that by one consumer. */
inline account(from, to)
{
    y = from;
    do
    :: y < to -> assert(!taken[y]); taken[y] = true; y++
    :: else -> break
    od;
    y = 0
}

#ifdef SHARED
#define TAKE(next) if :: d_step { cursor == began -> cursor = next } :: cursor != began -> goto begin fi
#endif

/* The branches of an `if` look at the segment once, all of them in the same state. */
proctype reader()
{
    byte c, d, n, k, j, y;
    bool whole;
#ifdef SHARED
    byte began;
#endif

begin:
    n = 0;
    d_step {
        d = 0; k = 0; j = 0; whole = false;
#ifdef SHARED
        c = cursor;
        began = c
#endif
    };
look: /* Step 1. */
    d = data_index[at(c)];
    /* Step 2. */
    assert(r >= c);                                          /* no reset ever was */
    if
    :: (d == NONE || d < c || d > r) && r > c + SIZE -> goto overtaken
    :: (d == NONE || d < c || d > r) && r <= c + SIZE -> goto nothing
    :: else
    fi;
    /* Step 3. */
    if
    :: d_step { d > c && at(d) != at(c) -> j = d - ((d - c) % SIZE); check_passed(j, d); c = d; d = 0; j = 0 } goto look
    :: d_step { d >= c && at(d) == at(c) -> c = d; d = 0 }
    fi;
    /* Steps 4 and 5. */
    n = length[at(c)];
#ifdef TAKEN_EARLY
    TAKE(c + n);
#endif
    copy();
    /* Step 6. */
    if
#ifdef NO_RECHECK
    :: false -> goto overtaken
#elif defined(RECHECK_SLOT)
    :: data_index[at(c)] != c -> goto overtaken
#elif defined(TAKEN_EARLY)
    :: r > c + SIZE -> assert(r <= c + SIZE)                 /* taken, and lost */
#else
    :: r > c + SIZE -> goto overtaken
#endif
    :: else
    fi;
#ifdef SHARED
#ifdef SHARED_STORED
    cursor = c + n;
#elif !defined(TAKEN_EARLY)
    TAKE(c + n);
#endif
    d_step { account(began, c + n); check_item() };
#else
    d_step { check_item(); c = c + n };
#endif
    goto begin;

overtaken: /* Step 7. */
    n = 0;
    d_step { d = 0; whole = false; j = r - SIZE; n = r };
    do
    :: j >= n -> break
    :: else ->
        d = data_index[at(j)];
        if
        :: d_step { d == j || marks(d, j) -> assert(j >= c); c = j; j = 0; d = 0; n = 0 } goto look
        :: else -> j++
        fi
    od;
    if
    :: r == n && finished == PRODUCERS -> goto stopped       /* nothing in the ring was ever published */
    :: else -> goto begin
    fi;

nothing:
    n = 0;
    d_step { j = 0; whole = false };
    if
    :: data_index[at(c)] != d || r > c + SIZE -> goto begin
#ifdef SHARED
    :: cursor != began -> goto begin
#endif
    :: finished == PRODUCERS && data_index[at(c)] == d && r <= c + SIZE ->
#ifndef TORN_ONLY
        assert(c == r || state[c] == ABANDONED)              /* all that was published is read */
#else
        skip
#endif
    fi;
stopped:
    skip
}

/* The last item. */
proctype looker()
{
    byte least, c, n, k, j;
    bool whole;

again:
    least = highest;
    c = last;
    n = r;
    if
    :: c != NONE && c + SIZE >= n && c < n && data_index[at(c)] == c
    :: else ->
        j = n;
        c = NONE;
        do
        :: j == 0 || j + SIZE == n -> break
        :: else ->
            j--;
            if
            :: data_index[at(j)] == j -> c = j; break
            :: else
            fi
        od;
        j = 0
    fi;
    n = 0;
    if
    :: c != NONE ->
        n = length[at(c)];
        copy();
        if
        :: r > c + SIZE
        :: d_step { r <= c + SIZE -> check_item(); assert(c + 1 >= least) } /* I5 */
        fi
    :: else
    fi;
    n = 0;
    d_step { whole = false; c = 0; least = 0 };
    if
    :: finished == PRODUCERS
    :: finished < PRODUCERS -> goto again
    fi
}

init
{
    byte p;

    atomic {
        d_step {
            p = 0;
            do
            :: p < SIZE -> data_index[p] = NONE; length[p] = 1; element[p] = NONE; p++
            :: else -> break
            od;
            p = 0
        };
        do
        :: p < PRODUCERS -> run producer(); p++
        :: else -> break
        od;
        p = 0;
        do
        :: p < READERS -> run reader(); p++
        :: else -> break
        od;
#ifdef LAST
        run looker();
#endif
        p = 0
    };
    /* At rest: nobody waits for ever. */
    timeout -> assert(finished == PRODUCERS && _nr_pr == 1)
}
