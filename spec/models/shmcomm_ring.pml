/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, sections 6 and 7 of spec/shmcomm.md as a Promela model: a ring of frames, whoever holds the lock (the lock
 * itself is shmcomm_lock.pml), and subscribers that are overtaken, or pullers that take by CAS. A step of the chapter that
 * touches the segment is a step of the model.
 *
 * A cell stands for 8 bytes; capacities need not be powers of two here. A frame is a size, counted in cells, and cells that
 * hold the message's sequence, which may look like a size, or like SKIP.
 *
 * Sizes (-D)     CAP cells, MSGS messages of 2 or 3 cells; FIXED: in turn; PULLERS, or READERS (subscribers)
 *                SKIP: the mark, a sequence that occurs; BATCH: how many frames are read before one look at tail
 * Variants (-D)  DEAD     so many holders of the lock, or pullers, may die, at any step; the next holder repairs
 * Defects (-D)   NO_RECHECK EVICT_LATE FRAME_POSITION ANY_BOUNDARY NO_DROP_REPAIR
 *                CLAIM_FIRST CLAIM_STORED NO_STILL FULL_BY_ONE
 */
#ifndef CAP
#define CAP 6
#endif
#ifndef MSGS
#define MSGS 4
#endif
#ifndef PULLERS
#define PULLERS 0         /* then READERS subscribers */
#endif
#ifndef READERS
#define READERS 0
#endif
#ifndef SKIP
#define SKIP 4
#endif
#ifndef BATCH
#define BATCH 1
#endif
#ifndef DEAD
#define DEAD 0
#endif
#define NONE 255
#define OLD 9             /* what stands in cells that nobody has written */

/* The segment. */
byte head, tail, count, dropped;
byte cell[CAP];

/* Not part of it. */
byte first;               /* sequence of the oldest message held */
byte taken[MSGS];         /* how often a message was taken */
byte dead, delivered, over;

#define at(p) cell[(p) % CAP]
#define to_end(p) (CAP - (p) % CAP)
#define possible(n, c, h) ((n) >= 2 && (n) <= CAP / 2 && (n) <= (h) - (c) && (n) <= to_end(c))

#if DEAD > 0
#define DIE(label) if :: d_step { dead < DEAD -> dead++ } goto label :: skip fi
#else
#define DIE(label) skip
#endif

/* I1 and I2: [tail, head) is a chain of whole frames, of sequences that rise by 1. */
inline check_chain()
{
    assert(tail <= head && head <= tail + CAP);
    k = tail; b = first;
    do
    :: k >= head -> break
    :: k < head && at(k) == SKIP && k % CAP != 0 -> k = k + to_end(k); assert(k < head)
    :: k < head && (at(k) != SKIP || k % CAP == 0) ->
        assert(possible(at(k), k, head) && at(k + 1) == b && at(k + at(k) - 1) == b);
        k = k + at(k);
        b++
    od;
    k = 0; b = 0
}

/* Section 6, under the lock. */
proctype writer()
{
    byte h, t, s, e, x, n, k, b;

again:
    do
    :: count == MSGS -> break
    :: count < MSGS ->
        s = count; /* not shared: who else stores it raises it to no more than this writer does, and repair is behind */
#ifdef FIXED
        e = 2 + s % 2;
#else
        if
        :: e = 2
        :: CAP > 5 -> e = 3
        fi;
#endif
        h = head;
        x = (h % CAP + e > CAP -> h + to_end(h) : h); /* where the frame goes */
#if PULLERS > 0
#ifdef FULL_BY_ONE
        x + e <= tail + CAP + 1;                      /* waits for room */
#else
        x + e <= tail + CAP;
#endif
#else
        /* Step 5. */
        t = tail; n = 0;
        d_step { /* reads only what the holder of the lock alone can change */
            do
            :: x + e > t + CAP ->
                if
                :: at(t) == SKIP && t % CAP != 0 -> t = t + to_end(t)
                :: else -> t = t + at(t); n++
                fi
            :: else -> break
            od;
        };
        if
        :: t > tail ->
            dropped = dropped + n;
            DIE(repair);
#ifndef EVICT_LATE
            d_step { first = first + n; tail = t; check_chain() };
            DIE(repair)
#endif
        :: else
        fi;
#endif
        /* Step 7. */
        if
        :: x > h -> at(h) = SKIP; DIE(repair)
        :: else
        fi;
        at(x) = e;
        DIE(repair);
        at(x + 1) = s;
        if
        :: e == 3 -> DIE(repair); at(x + 2) = s
        :: else
        fi;
        DIE(repair);
        /* Steps 8 and 9. */
#ifdef EVICT_LATE
        d_step { first = first + n; tail = (t > tail -> t : tail); head = x + e };
#else
        d_step { head = x + e; check_chain() };
#endif
        DIE(repair);
        count = s + 1;
        DIE(repair);
        atomic { s = 0; e = 0; x = 0; h = 0; t = 0; n = 0 }
    od;
    goto end;
repair: /* Section 10, by the next one. */
    h = 0; e = 0; x = 0;
    t = tail; s = NONE; n = NONE;
    d_step {
        do
        :: t >= head -> break
        :: t < head && at(t) == SKIP && t % CAP != 0 -> t = t + to_end(t)
        :: t < head && (at(t) != SKIP || t % CAP == 0) -> s = at(t + 1); n = (n == NONE -> s : n); t = t + at(t)
        od
    };
    if
    :: s == NONE
    :: d_step { s != NONE -> count = (count > s -> count : s + 1) }
    fi;
#ifndef NO_DROP_REPAIR
    if
    :: PULLERS == 0 -> dropped = (n == NONE -> count : n)
    :: else
    fi;
#endif
    t = 0; s = 0; n = 0;
    goto again;
end:
    over++
}

/* Section 7.1. */
proctype subscriber()
{
    byte c, x, h, t, n, q, i, k, b, got;
    byte place[BATCH], one[BATCH], other[BATCH], behind[BATCH];

again: /* Step 1. */
    if
    :: h > c /* one that was loaded before */
    :: head != c -> h = head /* otherwise EMPTY, and a wait */
    fi;
look:
    i = 0; q = c; k = 0;
    if
    :: h - c > CAP || h < c -> goto overtaken
    :: else
    fi;
    do
    :: i == BATCH || q == h -> break
    :: else ->
        /* Steps 2 to 4. place: of the frame, or of the SKIP before it. */
        place[i] = q;
        n = at(q);
        if
        :: n == SKIP && q % CAP != 0 ->
            q = q + to_end(q);
#ifdef FRAME_POSITION
            place[i] = q;
#endif
            if
            :: q >= h -> k = 1; break
            :: else -> n = at(q)
            fi
        :: else
        fi;
        if
        :: !possible(n, q, h) -> k = 1; break
        :: else
        fi;
        one[i] = at(q + 1);
        other[i] = at(q + n - 1);
        q = q + n;
        behind[i] = q;
        i++
    od;
    /* Step 5. */
#ifdef NO_RECHECK
    t = c;
#else
    t = tail;
#endif
    d_step {
        b = 0;
        do
#ifdef ANY_BOUNDARY
        :: t > c && b < i && place[b] < t -> b++
#else
        :: t > c && b < i && place[b] != t -> b++
#endif
        :: else -> break
        od;
        assert(!(i == 0 && k == 1 && t <= place[0])); /* CORRUPT */
        got = (b < i);
        do
        :: b < i ->
            assert(one[b] == other[b]);               /* whole */
            assert(one[b] >= x);                      /* in order, never twice */
            assert(one[b] == x || one[b] <= first);   /* nothing passed over that is held */
            x = one[b] + 1;
            c = behind[b];
            b++
        :: else -> break
        od;
        n = 0; q = 0; k = 0;
        i = 0;
        do
        :: i < BATCH -> place[i] = 0; one[i] = 0; other[i] = 0; behind[i] = 0; i++
        :: else -> break
        od;
        i = 0; b = 0
    };
    if
    :: x == MSGS -> goto end
    :: x != MSGS && got -> got = 0; t = 0; goto again
    :: x != MSGS && !got
    fi;
overtaken: /* Step 6. */
    t = tail;
    d_step {
        assert(t != c || h - c <= CAP && h >= c); /* CORRUPT */
        c = t; t = 0; h = 0
    };
    goto again;
end:
    delivered++
}

/* Section 7.2. */
proctype puller()
{
    byte c, t, h, n, i, k, b, s;

again:
    do
    :: atomic { head != tail -> t = tail }; /* EMPTY, and a wait */
        DIE(end);
        h = head;
        c = t;
        if
        :: h < t || h - t > CAP -> n = NONE
        :: else ->
            n = at(c);
            if
            :: n == SKIP && c % CAP != 0 ->
                c = c + to_end(c);
                if
                :: c >= h -> n = NONE
                :: else -> n = at(c)
                fi
            :: else
            fi;
            n = (possible(n, c, h) -> n : NONE)
        fi;
        if
        :: n == NONE ->
            assert(tail != t); /* else CORRUPT */
            goto next
        :: else
        fi;
#ifdef CLAIM_FIRST
        d_step {
            if
            :: tail == t -> tail = c + n; first++; s = 1
            :: else -> s = 0
            fi
        };
        if
        :: s == 0 -> goto next
        :: else
        fi;
#endif
        s = at(c + 1);
        b = at(c + n - 1);
        DIE(end);
#ifndef CLAIM_FIRST
        /* Step 3. */
        k = count;
        if
        :: k > s
        :: k <= s ->
#ifndef NO_STILL
            if
            :: tail != t -> goto next
            :: else
            fi;
#endif
            d_step { count = (count <= s -> s + 1 : count) };
            assert(count <= MSGS)
        fi;
        DIE(end);
#endif
        /* Step 4. */
#ifdef CLAIM_FIRST
        d_step {
            assert(s == b && s < MSGS);
            taken[s]++; assert(taken[s] == 1);
            delivered++
        };
#else
        d_step {
#ifdef CLAIM_STORED
            if
            :: true ->
#else
            if
            :: tail == t ->
#endif
                tail = c + n;
                assert(s == b && s < MSGS);                  /* whole */
                taken[s]++; assert(taken[s] == 1);           /* once */
                assert(s == first); first++;                 /* in order */
                assert(count > s);
                delivered++
            :: else
            fi
        };
#endif
#if DEAD > 0
        if
        :: d_step { dead < DEAD -> dead++ } goto end /* behind its CAS: the message dies with it */
        :: skip
        fi;
#endif
next:
        atomic { c = 0; t = 0; h = 0; n = 0; k = 0; b = 0; s = 0 }
    od;
end:
    over++
}

/* When nothing can move any more. */
proctype rest()
{
    byte k, b;

    timeout;
    d_step {
        assert(count == MSGS);
        check_chain();
#if PULLERS > 0
        assert(delivered == MSGS && head == tail || over == PULLERS + 1); /* nothing lost, unless no puller is left */
#else
        assert(delivered == READERS);     /* every message came, or was counted as lost */
        assert(dropped == first)
#endif
    }
}

init
{
    byte i;

    atomic {
        do
        :: i < CAP -> cell[i] = OLD; i++
        :: else -> break
        od;
        run writer();
        i = 0;
        do
        :: i < PULLERS -> run puller(); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < READERS -> run subscriber(); i++
        :: else -> break
        od;
        run rest()
    }
}
