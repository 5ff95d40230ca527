/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 5 of spec/shmcomm.md as a Promela model: the writers' lock and its take-over from the dead, the
 * repair of message_count (section 10), the puller that raises it (7.2, step 3), and endpoint numbers that are drawn again
 * (section 4). A step of the chapter that touches the segment, the kernel's futex queue or a file lock is a step of the model.
 *
 * A message is one cell of a ring that never laps, so that its sequence must equal its position. A slice of sleep ends only where
 * somebody has died and there is something to see: where all live, a wake-up that only the slice would repair counts as lost.
 *
 * Sizes (-D)     WRITERS with numbers from 1, of MSGS messages each; DEAD: so many of all processes may die, at any step
 * Variants (-D)  REUSE    a newcomer that draws the number of a dead writer, if it may, and sends a message
 *                PULLER   somebody who takes the messages
 * Defects (-D)   ASKED LOOK_FIRST STORED BIT_DROPPED NO_WAKE NO_REPAIR NO_RAISE ADDED COUNT_FIRST COUNT_LATE
 */
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef MSGS
#define MSGS 1
#endif
#ifndef DEAD
#define DEAD 0
#endif
#ifdef REUSE
#define ALL (WRITERS + 1)
#else
#define ALL WRITERS
#endif
#define NOBODY 255

/* The segment. */
byte owner;               /* writer_lock, bits 0 to 30 */
bool waiting;                /* and bit 31: one word, always read and written as one */
byte head, tail, count;
byte ring[WRITERS * MSGS + 2];

/* The kernel: who holds the byte of a number (NOBODY: no living endpoint), and who sleeps on the word. */
byte holder[WRITERS + 1];
bool asleep[ALL];

/* Not part of either. */
byte inside = NOBODY;     /* the living process that may store to the ring */
byte dead, finished, messages;

/* What the kernel does for a process that dies. */
#if DEAD > 0
#define DIE(at_once) if :: d_step { dead < DEAD -> dead++; at_once } goto stopped :: skip fi
#else
#define DIE(at_once) skip
#endif
#define drop \
    atomic { \
        holder[n] = (holder[n] == me -> NOBODY : holder[n]); \
        inside = (inside == me -> NOBODY : inside); \
        asleep[me] = false \
    }

inline wake_one()
{
    atomic {
        if
        :: asleep[0] -> asleep[0] = false
        :: asleep[1] -> asleep[1] = false
#if ALL > 2
        :: asleep[2] -> asleep[2] = false
#endif
        :: else
        fi
    }
}

/* FUTEX_WAIT for a slice: the kernel compares and queues under one lock. */
inline sleep()
{
    atomic {
        if
        :: owner == v && waiting -> asleep[me] = true
        :: else
        fi
    };
    if
    :: !asleep[me]
    :: d_step { asleep[me] && dead > 0 && (owner != v || !waiting || holder[v] == NOBODY) -> asleep[me] = false }
    fi
}

/* Step 3: granted = the owner v does not live. The chapter holds v's byte over the CAS; what only asks has an old answer. */
inline take_over()
{
    d_step {
        granted = (v != 0 && holder[v] == NOBODY);
#ifndef ASKED
        holder[v] = (granted -> me : holder[v])
#endif
    };
    if
    :: granted ->
        DIE(holder[v] = (holder[v] == me -> NOBODY : holder[v]));
        d_step {
#ifdef STORED
            if
            :: true ->
#else
            if
            :: owner == v && waiting ->
#endif
                owner = n; waiting = true; taken = true;
                assert(inside == NOBODY || inside == me);
                inside = me
            :: else
            fi
        };
#ifndef ASKED
        DIE(holder[v] = (holder[v] == me -> NOBODY : holder[v]));
        d_step { holder[v] = (holder[v] == me -> NOBODY : holder[v]); granted = false }
#else
        granted = false
#endif
    :: else
    fi
}

/* Section 10, steps 1 and 2. */
inline repair()
{
    DIE(skip);
    t = tail;
    h = head;
    if
    :: h > t ->
        s = ring[h - 1] + 1;
        d_step { /* raised: a look, and a CAS while it is behind */
            if
            :: count < s -> count = s
            :: else
            fi
        }
    :: else
    fi;
    t = 0; h = 0; s = 0
}

inline lock()
{
    m = false;
    do
    :: atomic { v = owner; w = waiting };
        if
        :: v == 0 ->
            d_step {
                if
                :: owner == 0 && waiting == w ->
#ifdef BIT_DROPPED
                    owner = n; waiting = false;
#else
                    owner = n; waiting = m || w;
#endif
                    assert(inside == NOBODY); /* nobody else holds it */
                    inside = me;
                    w = true
                :: else -> w = false
                fi
            };
            if
            :: w -> break
            :: else
            fi
        :: else -> /* step 2 */
            DIE(skip);
            d_step {
                if
                :: owner == v && waiting == w -> waiting = true; w = true
                :: else -> w = false
                fi
            };
            if
            :: w ->
                m = true;
                DIE(skip);
                sleep();
                DIE(skip);
                if
                :: d_step { owner == v && waiting -> skip }
                    take_over();
                    if
                    :: taken ->
#ifndef NO_REPAIR
                        repair();
#endif
                        break
                    :: else
                    fi
                :: d_step { !(owner == v && waiting) -> skip }
                fi
            :: else
            fi
        fi;
        v = 0; w = false
    od;
    v = 0;
    d_step { w = false; m = false; taken = false }
}

inline unlock()
{
    d_step {
        assert(inside == me);
        w = waiting; owner = 0; waiting = false; inside = NOBODY
    };
    DIE(skip);
#ifndef NO_WAKE
    if
    :: w -> wake_one()
    :: else
    fi;
#endif
    w = false
}

/* Section 6, steps 4 to 9. */
inline publish()
{
    DIE(skip);
    h = head;
    s = count;
#ifdef COUNT_FIRST
    count = s + 1;
    DIE(skip);
#endif
    d_step { assert(inside == me); ring[h] = s };
    DIE(skip);
    d_step {
        assert(inside == me);
        assert(s == h);   /* no sequence skipped, none used twice */
        head = h + 1; messages++
    };
    DIE(skip);
#ifndef COUNT_FIRST
#ifdef COUNT_LATE
    unlock();
    count = s + 1;
#elif defined(ADDED)
    count = count + 1;
#else
    count = s + 1;
#endif
    DIE(skip);
#endif
    h = 0; s = 0
}

proctype writer(byte me, n)
{
    byte v, h, t, s, sent;
    bool w, m, granted, taken;

    do
    :: sent == MSGS -> break
    :: else ->
        lock();
        publish();
#ifndef COUNT_LATE
        unlock();
#endif
        sent++;
        DIE(skip)
    od;
    atomic { drop; finished++ };
    goto done;
stopped:
    atomic { v = 0; h = 0; t = 0; s = 0; sent = 0; w = false; m = false; granted = false; taken = false; drop };
done:
    skip
}

#ifdef REUSE
/* Section 4, joining, step 4, with the worst luck in drawing: the number of the first writer. */
proctype newcomer(byte me, n)
{
    byte v, h, t, s;
    bool w, m, granted, taken;

#ifdef LOOK_FIRST
    owner != n;
    d_step { holder[n] == NOBODY -> holder[n] = me };
#else
    do
    :: atomic { holder[n] == NOBODY -> holder[n] = me };
        if
        :: owner != n -> break
        :: owner == n -> d_step { holder[n] = NOBODY }; owner != n /* draw again: here, the same one later */
        fi
    od;
#endif
    lock();
    publish();
    unlock();
    atomic { drop; finished++ };
    goto done;
stopped:
    atomic { v = 0; h = 0; t = 0; s = 0; w = false; m = false; granted = false; taken = false; drop };
done:
    skip
}
#endif

#ifdef PULLER
/* Section 7.2. */
proctype puller()
{
    byte t, s, k;

end:
    do
    :: t = tail;
        head > t;
        s = ring[t];
#ifndef NO_RAISE
        do
        :: k = count;
            if
            :: k > s -> break
            :: else -> d_step {
                    if
                    :: count == k -> count = s + 1
                    :: else
                    fi
                }
            fi
        od;
#endif
        tail = t + 1; /* alone: the CAS cannot fail; shmcomm_ring.pml has several */
        t = 0; s = 0; k = 0
    od
}
#endif

/* When nothing can move any more: who lives is done, or waits for a number that a dead owner keeps. */
proctype rest()
{
    timeout;
    d_step {
        assert(!asleep[0] && !asleep[1]);
#if ALL > 2
        assert(!asleep[2]);
#endif
        assert(owner == 0 || holder[owner] == NOBODY); /* nobody holds it without knowing */
        assert(messages == head && finished + dead + 1 >= ALL);
        assert(count == head || dead > 0)
    }
}

init
{
    byte i;

    atomic {
        holder[0] = NOBODY;
        do
        :: i < WRITERS -> holder[i + 1] = i; run writer(i, i + 1); i++
        :: else -> break
        od;
#ifdef REUSE
        run newcomer(WRITERS, 1);
#endif
#ifdef PULLER
        run puller();
#endif
        run rest()
    }
}
