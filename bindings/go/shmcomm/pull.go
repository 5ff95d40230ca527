// SPDX-License-Identifier: MIT

package shmcomm

import (
	"context"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// taker is a receiver that takes messages from other takers (section 7.2): a puller, a replier, a requester. It stores to
// tail and message_count, never to the ring [shmcomm.pull.readonly].
type taker struct {
	*endpoint
	waiting   waiting
	closed    bool
	received  uint64
	discarded uint64 // of another correlation than the one that was asked for
	stamps    bool   // messages carry the time at which they were taken
}

// take is section 7.2 for one message. With a correlation other than 0, messages of another one are taken and discarded
// [shmcomm.request.late].
func (t *taker) take(buffer []byte, to how, m *Message, correlation uint64) error {
	if t.closed {
		return shmwire.ErrClosed
	}
	var lost shm.StandBack
	for {
		from := t.tail.Load() // A3: pairs with R3; before head, which is then not below it
		head := t.head.Load() // A2: pairs with R2; the frames below head
		if from == head {
			err := t.emptied(from)
			if err == shmwire.ErrClosed && !t.closedStill() {
				return shmwire.ErrEmpty
			}
			if err != nil {
				return err
			}
			continue
		}
		if done, err := t.takeAt(from, head, buffer, to, m, correlation); done {
			return err
		}
		lost.Pause()
	}
}

// takeAt is steps 2 to 5 for the message at a position below head; false when it was taken by another one, or discarded.
func (t *taker) takeAt(from, head uint64, buffer []byte, to how, m *Message, correlation uint64) (bool, error) {
	at, size, extent, possible := t.look(from, head)
	if !possible {
		return t.tail.Load() == from, badFrame(at, size) // A3: pairs with R3
	}
	h := t.headAt(at)
	if correlation != 0 && h.correlation() != correlation {
		if t.claim(from, at+extent, h.sequence()) {
			t.discarded++
			t.wakeWriters()
		}
		return false, nil
	}
	payload, room := fetch(t.payloadAt(at, size), buffer, to)
	if !room {
		shm.Fence()                                  // F5: pairs with F5; the size before tail
		return t.tail.Load() == from, tooSmall(size) // A3: pairs with R3
	}
	h.get(m)
	if !t.claim(from, at+extent, m.Sequence) {
		return false, nil
	}
	m.Payload, m.Position, m.Lost = payload, at, 0
	t.finished(m)
	return true, nil
}

// claim is steps 3 and 4, for messages that were copied [shmcomm.pull.claim]; false when another one was faster.
func (t *taker) claim(from, end, last uint64) bool {
	if t.count.Load() <= last { // the writer died before it stored it, or is about to [shmcomm.pull.count]
		shm.Fence()                // F5: pairs with F5; the copy before tail
		if t.tail.Load() != from { // A3: pairs with R3
			return false
		}
		t.raiseCount(last + 1)
	}
	// R3: pairs with A3; the copy, and message_count, before tail. S6: a full barrier before the look at the waiters.
	return t.tail.CompareAndSwap(from, end)
}

// finished counts a message that is ours now, and wakes writers who wait for its room.
func (t *taker) finished(m *Message) {
	t.received++
	if t.stamps {
		m.taken = uptime()
	}
	t.wakeWriters()
}

// Receive takes the next message, copied to buffer, or to new memory if that is nil. timeout 0: ErrEmpty at once if there is
// none; Forever is allowed; else it polls for Options.Spin, then sleeps, and answers ErrTimeout at the end. ErrClosed: none
// will come. ErrTooSmall (a *shmwire.Error with the size in Needed) leaves the message next. ErrCorrupt: it stays.
func (t *taker) Receive(buffer []byte, timeout time.Duration) (Message, error) {
	var m Message
	err := t.receive(buffer, target(buffer), timeout, &m, 0)
	return m, err
}

// ReceiveInto is Receive for a caller to whom it matters that nothing is allocated or copied twice; a nil buffer has no room.
func (t *taker) ReceiveInto(buffer []byte, timeout time.Duration, m *Message) error {
	return t.receive(buffer, intoBuffer, timeout, m, 0)
}

// ReceiveContext is Receive that waits until ctx is done: then ErrTimeout (and context.DeadlineExceeded) after its
// deadline, or the context's error, within 5 ms.
func (t *taker) ReceiveContext(ctx context.Context, buffer []byte) (Message, error) {
	var m Message
	l := shm.While(ctx)
	err := t.receiveUntil(buffer, target(buffer), &l, &m, 0)
	return m, err
}

func (t *taker) receive(buffer []byte, to how, timeout time.Duration, m *Message, correlation uint64) error {
	err := t.take(buffer, to, m, correlation)
	if err != shmwire.ErrEmpty || timeout == 0 {
		return err
	}
	l := shm.Within(timeout)
	return t.receiveUntil(buffer, to, &l, m, correlation)
}

func (t *taker) receiveUntil(buffer []byte, to how, l *shm.Limit, m *Message, correlation uint64) error {
	err := t.take(buffer, to, m, correlation)
	if err != shmwire.ErrEmpty {
		return err
	}
	return t.waiting.await(l, t.position, func() error { return t.take(buffer, to, m, correlation) })
}

func (t *taker) position() uint64 { return t.tail.Load() } // A3: pairs with R3

// ReceiveBatch takes messages into buffer, all by one claim: as many as are there, up to len(messages) and as fit one after
// the other, 8-aligned. It waits, as Receive does, for the first only, and answers how many. The answers of Receive.
func (t *taker) ReceiveBatch(buffer []byte, messages []Message, timeout time.Duration) (n int, err error) {
	if len(messages) == 0 {
		return 0, shmwire.Errorf(shmwire.ErrInvalidArgument, "room for no messages")
	}
	n, err = t.takeBatch(buffer, messages)
	if err != shmwire.ErrEmpty || timeout == 0 {
		return n, err
	}
	l := shm.Within(timeout)
	err = t.waiting.await(&l, t.position, func() (err error) {
		n, err = t.takeBatch(buffer, messages)
		return err
	})
	return n, err
}

// takeBatch is section 7.2 for a run of messages.
func (t *taker) takeBatch(buffer []byte, messages []Message) (int, error) {
	if t.closed {
		return 0, shmwire.ErrClosed
	}
	var lost shm.StandBack
	for {
		from := t.tail.Load() // A3: pairs with R3
		head := t.head.Load() // A2: pairs with R2; the frames below head
		end, n := t.copyRun(from, head, buffer, messages)
		if n == 0 { // nothing, or nothing that fits or is sound: the single call knows which
			if err := t.take(buffer, intoBuffer, &messages[0], 0); err != nil {
				return 0, err
			}
			return 1, nil
		}
		if !t.claim(from, end, messages[n-1].Sequence) {
			lost.Pause()
			continue
		}
		for i := range messages[:n] {
			t.finished(&messages[i])
		}
		return n, nil
	}
}

// copyRun copies the messages of [from, head) that fit, and answers where they end. They are ours only after the claim.
func (t *taker) copyRun(from, head uint64, buffer []byte, messages []Message) (end uint64, n int) {
	c, used := from, 0
	for ; n < len(messages) && used <= len(buffer) && c != head; n++ {
		at, size, extent, possible := t.look(c, head)
		if !possible {
			break
		}
		payload, room := fetch(t.payloadAt(at, size), buffer[used:], intoBuffer)
		if !room {
			break
		}
		m := &messages[n]
		t.headAt(at).get(m)
		m.Payload, m.Position, m.Lost = payload, at, 0
		used += align(len(payload))
		c = at + extent
	}
	return c, n
}

// close leaves the channel. ErrClosed if it was closed before.
func (t *taker) close() error {
	if t.closed {
		return shmwire.ErrClosed
	}
	t.closed = true
	t.leave(true)
	return nil
}
