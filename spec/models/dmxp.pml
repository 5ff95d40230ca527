/* SPDX-License-Identifier: MIT
 *
 * Profile dmxp, sections 5, 7 and 8 of spec/dmxp.md, as a Promela model: the producers and consumers of one channel. A
 * step of the chapter that touches the segment is a step of the model. spec/models/run.py checks the model, then plants
 * the defects below one at a time and checks that each is found.
 *
 * Sizes (-D)     CAP slots, PRODUCERS, CONSUMERS (1 or 2), MSGS per producer.
 * Variants (-D)  COUNTED       the channel counts its waiters (flags bit 0), so a producer may skip the wake
 *                BATCH         a producer sends its MSGS messages as one batch
 *                PEEK          one more process looks without consuming
 *                QUOTA         a consumer leaves for good after its share of the messages
 *                PASS_ON       a consumer that leaves wakes another one if it left a message behind
 *                REORDER       the producer's two operations of S5 take effect in either order, which acquire and
 *                              release would allow: the one thing here that is not sequentially consistent
 * Defects (-D)   NO_RELEASE PUBLISH_FIRST RELEASE_FIRST HEAD_PLAIN TAIL_PLAIN SIGNAL_LATE WAKE_FIRST NO_WAKE PEEK_ONCE,
 *                and CAP=1, which the chapter forbids.
 *
 * Sleeps have no time limit here, so a wake-up that only the one-second slice of section 8 would repair counts as lost.
 */
#ifndef CAP
#define CAP 2
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef MSGS
#define MSGS 2
#endif
#ifdef BATCH
#define SPAN MSGS
#else
#define SPAN 1
#endif
#define TOTAL (PRODUCERS * MSGS)

byte seq[CAP];          /* slot.sequence */
byte left[CAP];         /* the payload in two halves: message numbers from 1; 0 = never written */
byte right[CAP];
byte tail, head;        /* the channel's cursors */
byte signal;            /* the futex word */
byte waiters;
bool asleep[CONSUMERS]; /* the kernel's queue on signal */
bool got[TOTAL + 1];    /* not part of the segment: what the assertions speak about */
byte received;

/* One compare-and-swap. */
inline cas(word, expected, desired)
{
    atomic {
        if
        :: word == expected -> word = desired; done = true
        :: else -> done = false
        fi
    }
}

/* FUTEX_WAIT: the kernel compares and queues under one lock; then the sleep itself. */
inline futex_wait(value)
{
    atomic {
        if
        :: signal == value -> asleep[me] = true
        :: else
        fi
    };
    !asleep[me]
}

/* FUTEX_WAKE of up to n sleepers; which of them is the kernel's choice. */
inline futex_wake(n)
{
    atomic {
        woken = 0;
        do
        :: woken < n && asleep[0] -> asleep[0] = false; woken++
#if CONSUMERS > 1
        :: woken < n && asleep[1] -> asleep[1] = false; woken++
#endif
        :: else -> break
        od;
        woken = 0
    }
}

/* Producer, section 8. The sum and the load of waiters are S5's half of the producer. */
inline signal_and_wake(n)
{
#ifdef COUNTED
#ifdef REORDER
    if
    :: signal = signal + n; seen = waiters
    :: seen = waiters; signal = signal + n
    fi;
#else
    signal = signal + n;
    seen = waiters;
#endif
    if
    :: seen == 0
    :: else -> futex_wake(n)
    fi;
    seen = 0
#else
    signal = signal + n;
#ifndef NO_WAKE
    futex_wake(n)
#endif
#endif
}

/* Section 5, steps 6 and 7. */
inline fill_and_publish(p, message)
{
#ifdef PUBLISH_FIRST
    seq[(p) % CAP] = (p) + 1;
#endif
    left[(p) % CAP] = message;
    right[(p) % CAP] = message;
#ifndef PUBLISH_FIRST
    seq[(p) % CAP] = (p) + 1;
#endif
}

/* After a claim of SPAN positions from p. */
inline send_claimed()
{
#ifdef WAKE_FIRST
    signal_and_wake(SPAN);
#endif
    do
    :: k < SPAN -> fill_and_publish(p + k, first + sent + k); k++
    :: else -> break
    od;
#ifndef WAKE_FIRST
    signal_and_wake(SPAN);
#endif
    sent = sent + SPAN
}

/* Section 5. first is the number of this producer's first message. */
proctype producer(byte first)
{
    byte p, s, k, sent, seen, woken;
    bool done;

    do
    :: sent < MSGS ->
        p = tail;
        k = 0;
        do
        :: k < SPAN ->
            s = seq[(p + k) % CAP];
            if
            :: s == p + k -> k++
            :: else -> break
            fi
        :: else -> break
        od;
        if
        :: k == SPAN ->
            first == 1 || tail != 0; /* producers are alike: look only at the runs in which the first one claims first */
#ifdef TAIL_PLAIN
            tail = p + SPAN; done = true;
#else
            cas(tail, p, p + SPAN);
#endif
            k = 0;
            if
            :: done -> send_claimed(); k = 0
            :: else
            fi
        :: else ->
            if /* FULL: a poll in life, here a sleep until what the poll looks at has changed */
            :: s + CAP == p + k || s + CAP == p + k + 1 -> seq[(p + k) % CAP] != s || tail != p
            :: else -> assert(tail != p) /* an impossible sequence while the cursor stands still */
            fi
        fi;
        p = 0; s = 0; k = 0; done = false
    :: else -> break
    od
}

/* Section 7, steps 5 and 6. The assertions stand in the step of the last access. */
inline copy_and_release()
{
#ifdef RELEASE_FIRST
    seq[h % CAP] = h + CAP;
#endif
    a = left[h % CAP];
    d_step {
        b = right[h % CAP];
        assert(a == b && a != 0);      /* whole */
        assert(!got[a]);               /* at most once */
        got[a] = true;
        received++;
        if /* in the order of each producer; consumers are alike, so watching one is enough */
        :: me == 0 -> assert(a > last[(a - 1) / MSGS]); last[(a - 1) / MSGS] = a
        :: else
        fi;
#ifdef QUOTA
        taken++;
#endif
        a = 0;
        b = 0
    };
#ifndef RELEASE_FIRST
#ifndef NO_RELEASE
    seq[h % CAP] = h + CAP;
#endif
#endif
}

/* Consumer, section 8, steps 3 to 5. v is the signal that was loaded before the channel was found empty. The comparison of
 * step 4 is the kernel's here: the one before the call saves a call and decides nothing. */
inline sleep()
{
#ifdef COUNTED
    waiters++;
    futex_wait(v);
    waiters--
#else
    futex_wait(v)
#endif
}

/* What a leaving consumer owes the others: a wake, if the next message is there and somebody sleeps. */
inline pass_on()
{
    h = head;
    s = seq[h % CAP];
    if
    :: s == h + 1 -> futex_wake(1)
    :: else
    fi
}

/* Sections 7 and 8. */
proctype consumer(byte me)
{
    byte h, s, v, a, b, taken, woken;
    byte last[PRODUCERS];
    bool done;

    do
    :: true ->
#ifdef QUOTA
        if
        :: taken == TOTAL / CONSUMERS -> break
        :: else
        fi;
#endif
#ifndef SIGNAL_LATE
        v = signal;
#endif
        h = head;
        s = seq[h % CAP];
        if
        :: s == h + 1 ->
#ifdef HEAD_PLAIN
            head = h + 1; done = true;
#else
            cas(head, h, h + 1);
#endif
            if
            :: done -> done = false; copy_and_release()
            :: else
            fi
        :: s == h || s + CAP == h + 1 ->
#ifdef SIGNAL_LATE
            v = signal;
#endif
            sleep()
        :: else -> assert(head != h)
        fi;
        h = 0; s = 0; v = 0
    od;
#ifdef PASS_ON
    pass_on()
#endif
}

#ifdef PEEK
/* Section 7, a look at any position: delivered only if the sequence still says published. */
proctype peeker()
{
    byte p, s, a, b;

    select(p : 0 .. TOTAL - 1);
    s = seq[p % CAP];
    if
    :: s == p + 1 ->
        a = left[p % CAP];
        b = right[p % CAP];
#ifndef PEEK_ONCE
        s = seq[p % CAP];
#endif
        assert(s != p + 1 || a == b)
    :: else
    fi
}
#endif

/* When nothing can move any more, everything must have arrived and the segment be at rest (section 2). */
proctype rest()
{
    byte i, sleepers;

    timeout;
    d_step {
        assert(received == TOTAL);
        assert(head == TOTAL && tail == TOTAL);
        i = 0;
        do
        :: i < CAP -> assert(seq[(head + i) % CAP] == head + i); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < CONSUMERS -> sleepers = sleepers + asleep[i]; i++
        :: else -> break
        od;
#ifdef COUNTED
        assert(waiters == sleepers)
#endif
    }
}

init
{
    byte i;

    atomic {
        do
        :: i < CAP -> seq[i] = i; i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < PRODUCERS -> run producer(i * MSGS + 1); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < CONSUMERS -> run consumer(i); i++
        :: else -> break
        od;
#ifdef PEEK
        run peeker();
#endif
        run rest()
    }
}
