/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 4 of spec/shmcomm.md as a Promela model: keepers (pushers) that join and leave a pipeline, pullers
 * that drain it, and the name, which is taken away by the last keeper or the last puller. A step of the chapter that touches a
 * segment, the name, a file lock or the futex queue is a step of the model.
 *
 * Segments are numbered as they are made; the name leads to one of them, or to none. Every keeper sends one message. Sleeping and
 * waking is that of shmcomm_wait.pml without the count: whoever publishes wakes all.
 *
 * Sizes (-D)     KEEPERS of which FOUND (1) have joined the first segment already; PULLERS; DEAD: so many keepers may be killed
 * Defects (-D)   NO_RECHECK SIGNAL_FIRST NO_WAKE UNLINK_ANYWAY UNLINK_UNLOCKED NO_SECOND_LOOK BYTES_LATE
 *                NLINK_IGNORED WAITS_LOCKED
 */
#ifndef KEEPERS
#define KEEPERS 2
#endif
#ifndef FOUND
#define FOUND 1
#endif
#ifndef PULLERS
#define PULLERS 1
#endif
#ifndef DEAD
#define DEAD 0
#endif
#define SEGMENTS (KEEPERS + 2)
#define NONE 255
#define OPEN 1
#define CLOSED 2

/* The segments. A name leads to at most one; what has no name has no link. */
byte name = NONE, made;
bool ready[SEGMENTS];     /* magic */
byte state[SEGMENTS], head[SEGMENTS], tail[SEGMENTS], signal[SEGMENTS];

/* The kernel: membership locks, bytes of keepers, and who sleeps where. */
bool locked[SEGMENTS];
byte keepers[SEGMENTS];   /* how many bytes are held */
byte asleep[PULLERS];     /* the segment, or NONE */

/* Not part of either. */
byte sent, received, dead, finished;
byte unsure;              /* keepers that wait for a segment to become ready */

#define linked(g) (name == (g))

inline flock(g)
{
    atomic { !locked[g] -> locked[g] = true }
}

inline wake_all(g)
{
    atomic {
        i = 0;
        do
        :: i < PULLERS -> asleep[i] = (asleep[i] == g -> NONE : asleep[i]); i++
        :: else -> break
        od;
        i = 0
    }
}

#if DEAD > 0
/* What the kernel does: the byte goes back, and the membership lock if it was held. */
#define DIE(mine, lock) \
    if :: d_step { dead < DEAD -> dead++; keepers[g] = keepers[g] - mine; locked[g] = (lock -> false : locked[g]) } goto end \
    :: skip fi
#else
#define DIE(mine, lock) skip
#endif

proctype keeper(byte joined)
{
    byte g, i, q;

    if
    :: joined -> goto work
    :: else
    fi;
join: /* Steps 1 to 3. Making a segment and filling it are two steps; the maker takes its membership lock like anybody. */
    atomic {
        if
        :: name == NONE -> g = made; made++; name = g; q = 1
        :: else -> g = name; q = 0
        fi;
        assert(made < SEGMENTS)
    };
    DIE(0, false);
    flock(g);
    if
#ifndef NLINK_IGNORED
    :: !linked(g) -> locked[g] = false; goto join
#endif
    :: else
    fi;
    DIE(0, true);
    if
    :: ready[g]
    :: !ready[g] && q -> state[g] = OPEN; DIE(0, true); ready[g] = true
    :: !ready[g] && !q ->
#ifdef WAITS_LOCKED
        unsure++;
        if
        :: ready[g] -> unsure--
        :: timeout -> unsure--; name = NONE; locked[g] = false; goto join
        fi
#else
        d_step { locked[g] = false; unsure++ };
        if
        :: atomic { ready[g] || !linked(g) -> unsure-- } goto join
        :: atomic { timeout -> unsure-- } /* the waiting time is over */
            flock(g);
            if
            :: linked(g) && !ready[g] -> name = NONE
            :: else
            fi;
            locked[g] = false;
            goto join
        fi
#endif
    fi;
    /* Steps 4 to 6. */
    keepers[g]++;
    DIE(1, true);
    if
    :: state[g] == CLOSED -> state[g] = OPEN; DIE(1, true)
    :: else
    fi;
    locked[g] = false;
work: /* Section 6, and the wake. */
    DIE(1, false);
    d_step { head[g] = head[g] + 1; sent++ };
    DIE(1, false);
    signal[g] = signal[g] + 1;
    wake_all(g);
    DIE(1, false);
    /* Leaving. */
    flock(g);
    DIE(1, true);
    if
    :: keepers[g] == 1 ->
#ifdef SIGNAL_FIRST
        signal[g] = signal[g] + 1;
        wake_all(g);
        state[g] = CLOSED;
#else
        state[g] = CLOSED;
        DIE(1, true);
        signal[g] = signal[g] + 1;
#ifndef NO_WAKE
        wake_all(g);
#endif
#endif
        DIE(1, true);
        q = tail[g];
        if
#ifdef UNLINK_ANYWAY
        :: true -> name = NONE
#else
        :: q == head[g] -> assert(linked(g)); name = NONE
        :: else
#endif
        fi;
        q = 0;
        DIE(1, true)
    :: keepers[g] > 1
    fi;
#ifdef BYTES_LATE
    locked[g] = false;
    keepers[g] = keepers[g] - 1;
#else
    keepers[g] = keepers[g] - 1;
    locked[g] = false;
#endif
end:
    finished++
}

proctype puller(byte me)
{
    byte g, s, t, h, i;

open:
    g = 0; s = 0; t = 0; h = 0;
    atomic { name != NONE && ready[name] -> g = name };
    do
    :: s = signal[g];
        t = tail[g];
        h = head[g];
        if
        :: t != h ->
            d_step {
                if
                :: tail[g] == t -> tail[g] = t + 1; received++
                :: else
                fi
            }
        :: t == h && state[g] == CLOSED ->
            /* Rule receive.closed. */
#ifndef NO_RECHECK
            if
            :: head[g] != t -> goto again
            :: else
            fi;
#endif
            /* Leaving, step 5. */
#ifndef UNLINK_UNLOCKED
            flock(g);
#endif
            if
#if defined(NO_RECHECK)
            :: linked(g) && state[g] == CLOSED -> name = (head[g] == tail[g] -> NONE : name)
            :: !(linked(g) && state[g] == CLOSED)
#elif defined(NO_SECOND_LOOK) || defined(UNLINK_UNLOCKED)
            :: true -> name = (linked(g) -> NONE : name)
#else
            :: linked(g) && state[g] == CLOSED && keepers[g] == 0 && head[g] == tail[g] -> name = NONE
            :: linked(g) && !(state[g] == CLOSED && keepers[g] == 0 && head[g] == tail[g]) -> s = NONE
            :: !linked(g)
#endif
            fi;
#ifndef UNLINK_UNLOCKED
            locked[g] = false;
#endif
            if
            :: s == NONE /* somebody keeps it again, or took the rest */
            :: else ->
                assert(head[g] == tail[g]); /* CLOSED; its user opens the name again */
                goto open
            fi
        :: t == h && state[g] != CLOSED ->
            atomic { /* FUTEX_WAIT */
                if
                :: signal[g] == s -> asleep[me] = g
                :: else
                fi
            };
            if
            :: asleep[me] == NONE
            :: d_step { dead > 0 && asleep[me] == g && (head[g] != tail[g] || state[g] == CLOSED) -> /* a slice */
                    asleep[me] = NONE }
            fi
        fi;
again:
        s = 0; t = 0; h = 0
    od
}

proctype rest()
{
    byte i;

    timeout && unsure == 0;
    d_step {
        assert(finished == KEEPERS);
        i = 0;
        do
        :: i < SEGMENTS ->
            assert(i == name || head[i] == tail[i]);                  /* nothing out of everybody's reach */
            assert(i != name || dead > 0);                             /* no name left behind */
            i++
        :: else -> break
        od;
        assert(received == sent);
        i = 0;
        do
        :: i < PULLERS -> assert(asleep[i] == NONE || dead > 0); i++   /* nobody waits at a closed segment */
        :: else -> break
        od
    }
}

init
{
    byte i;

    atomic {
        name = 0; made = 1; ready[0] = true; state[0] = OPEN; keepers[0] = FOUND;
        do
        :: i < PULLERS -> asleep[i] = NONE; i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < KEEPERS -> run keeper(i < FOUND); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < PULLERS -> run puller(i); i++
        :: else -> break
        od;
        run rest()
    }
}
