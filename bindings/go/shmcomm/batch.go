// SPDX-License-Identifier: MIT

package shmcomm

import (
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Several messages at once, each in its part of one buffer, 8-aligned in it.

// ReceiveBatch receives messages into buffer, up to len(messages) and as many as fit one after the other; it waits, as
// Receive does, for the first only, and answers how many. The answers of Receive.
func (f *follower) ReceiveBatch(buffer []byte, messages []Message, timeout time.Duration) (int, error) {
	if len(messages) == 0 {
		return 0, shmwire.Errorf(shmwire.ErrInvalidArgument, "room for no messages")
	}
	n, err := f.batch(buffer, messages)
	if err != shmwire.ErrEmpty || timeout == 0 {
		return n, err
	}
	l := shm.Within(timeout)
	err = f.waiting.await(&l, f.position, func() (err error) {
		n, err = f.batch(buffer, messages)
		return err
	})
	return n, err
}

// batch is the messages that are there. Those that follow the first are copied with one look at tail behind them.
func (f *follower) batch(buffer []byte, messages []Message) (int, error) {
	f.streak = 0 // a batch needs nothing read ahead
	if err := f.next(buffer, intoBuffer, &messages[0]); err != nil {
		return 0, err
	}
	n, used := 1, align(len(messages[0].Payload))
	for n < len(messages) && used <= len(buffer) && len(f.ahead) > 0 {
		done, err := f.fromAhead(buffer[used:], intoBuffer, &messages[n])
		if err != nil {
			return n, nil // too small, or a loss to tell: the next call says so
		}
		if done {
			used += align(len(messages[n].Payload))
			n++
		}
	}
	if len(f.ahead) > 0 {
		return n, nil
	}
	return n + f.run(buffer, used, messages[n:]), nil
}

// run copies the messages from the cursor on, and delivers them all, if they were not overtaken meanwhile: then none.
func (f *follower) run(buffer []byte, used int, messages []Message) int {
	c, n := f.cursor, 0
	for ; n < len(messages) && used <= len(buffer) && c != f.seen; n++ {
		at, size, extent, possible := f.look(c, f.seen)
		if !possible {
			break
		}
		payload := f.payloadAt(at, size)
		if len(payload) > len(buffer)-used {
			break
		}
		m := &messages[n]
		f.headAt(at).get(m)
		m.Payload = buffer[used : used+copy(buffer[used:], payload) : used+len(payload)]
		m.Position = at
		used += align(len(payload))
		c = at + extent
	}
	if n == 0 || !f.isHeld(f.cursor) {
		return 0
	}
	for i := range messages[:n] {
		m := &messages[i]
		if f.deliver(m, m.Payload, m.Position, extentOf(messageHeaderSize+uint64(len(m.Payload)))) != nil {
			return i
		}
	}
	return n
}

func align(length int) int { return (length + int(frameAlign) - 1) &^ (int(frameAlign) - 1) }
