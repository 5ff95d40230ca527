/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 8 of spec/shmcomm.md as a Promela model: sleepers and wakers of one signal, with the count of waiters
 * that mends itself. A step of the chapter that touches the segment or the kernel's futex queue is a step of the model; what the
 * memory orders add is in shmcomm_orders.py.
 *
 * head counts publications. A sleeper wants to see all of them; a sleep that only the one-second slice would end counts as lost.
 *
 * Sizes (-D)     SLEEPERS, WAKERS of MSGS publications each; LEAVES: how many sleeps may end by a time limit, to go on later;
 *                DEAD: how many sleepers may be killed, at any step
 * Defects (-D)   SIGNAL_LATE COUNT_LATE LOOK_FIRST WIPE_LATE REORDER WAKE_ONE COUNT_ONCE TAKEN_BACK NO_SIGNAL
 */
#ifndef SLEEPERS
#define SLEEPERS 2
#endif
#ifndef WAKERS
#define WAKERS 2
#endif
#ifndef MSGS
#define MSGS 1
#endif
#ifndef LEAVES
#define LEAVES 0
#endif
#ifndef DEAD
#define DEAD 0
#endif

byte head, signal, waiters;
bool asleep[SLEEPERS];    /* the kernel's queue on signal */

/* Not part of the segment. */
byte left, dead, done, calls;

#if DEAD > 0
#define DIE if :: d_step { dead < DEAD -> dead++ } goto killed :: skip fi
#else
#define DIE skip
#endif

proctype waker()
{
    byte n, w, i;

    do
    :: n == MSGS -> break
    :: n < MSGS ->
#ifdef REORDER
        w = waiters;
        head++;
#else
        head++;
        w = waiters;
#endif
        if
        :: w == 0
        :: w != 0 ->
#ifdef WIPE_LATE
            signal++;
            waiters = 0;
#elif defined(NO_SIGNAL)
            waiters = 0;
#else
            waiters = 0;
            signal++;
#endif
            atomic { /* FUTEX_WAKE */
                calls++;
#ifdef WAKE_ONE
                if
                :: asleep[0] -> asleep[0] = false
                :: asleep[SLEEPERS - 1] -> asleep[SLEEPERS - 1] = false
                :: else
                fi
#else
                i = 0;
                do
                :: i < SLEEPERS -> asleep[i] = false; i++
                :: else -> break
                od;
                i = 0
#endif
            }
        fi;
        w = 0;
        n++
    od
}

proctype sleeper(byte me)
{
    byte s, w, seen;
    bool counted;

    do
    :: seen == WAKERS * MSGS -> break
    :: else ->
#ifdef LOOK_FIRST
        seen = head;
        DIE;
#endif
#ifndef SIGNAL_LATE
        s = signal;
        DIE;
#endif
#ifndef COUNT_LATE
        w = waiters;
        DIE;
        if
#ifdef COUNT_ONCE
        :: !counted -> counted = true; waiters++
        :: else
#elif defined(TAKEN_BACK)
        :: waiters++; counted = true
#else
        :: w == 0 -> waiters++
        :: w != 0
#endif
        fi;
        DIE;
#endif
#ifdef SIGNAL_LATE
        s = signal;
        DIE;
#endif
        if
#ifdef LOOK_FIRST
        :: skip ->
#else
        :: head != seen -> seen = head
        :: head == seen ->
#endif
            DIE;
#ifdef COUNT_LATE
            waiters++;
            DIE;
#endif
            atomic { /* FUTEX_WAIT: the kernel compares and queues under one lock */
                if
                :: signal == s -> asleep[me] = true
                :: else
                fi
            };
            if
            :: !asleep[me]
            :: d_step { asleep[me] && left < LEAVES -> left++; asleep[me] = false } /* its time limit; it comes again */
            fi;
            DIE
        fi;
#ifdef TAKEN_BACK
        if
        :: counted -> waiters--; counted = false
        :: else
        fi;
#endif
        w = 0; s = 0
    od;
    goto end;
killed:
    atomic { asleep[me] = false; s = 0; w = 0; seen = 0 }
end:
    done++
}

proctype rest()
{
    timeout;
    d_step {
        assert(done == SLEEPERS);                  /* nobody sleeps over a publication */
        assert(calls <= WAKERS * MSGS)
    }
}

init
{
    byte i;

    atomic {
        do
        :: i < WAKERS -> run waker(); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < SLEEPERS -> run sleeper(i); i++
        :: else -> break
        od;
        run rest()
    }
}
