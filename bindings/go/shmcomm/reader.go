// SPDX-License-Identifier: MIT

package shmcomm

import (
	"context"
	"encoding/binary"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// follower is a receiver with a cursor of its own, which takes nothing (section 7.1): a subscriber or an observer.
type follower struct {
	*segment
	waiting  waiting
	cursor   uint64 // position of the next message
	seen     uint64 // head as it was loaded last
	expected uint64 // sequence of the next message, if none was lost
	fresh    bool   // no message was given, and none lost, since it began: expected may be behind
	anywhere bool   // it began at the oldest message, whichever that is
	told     bool   // the loss before the next message was told
	tellLost bool
	closed   bool
	streak   uint   // messages found one after the other, without an empty look
	ahead    []byte // what was read ahead from the cursor on, whole, in memory of our own
	store    []byte // its room; made when it is first needed
	received uint64
	lost     uint64
}

const (
	overtakenMost = 8        // in one call, then ErrLapped
	aheadAfter    = 64       // messages in a row, before anything is read ahead
	aheadBytes    = 16 << 10 // of the ring that are read ahead at most
	aheadExtent   = 2048     // longer frames are copied one by one: they would be copied twice
)

// start stands at head or at tail [shmcomm.receive.start].
func (f *follower) start(oldest bool) {
	f.ahead, f.fresh, f.anywhere, f.told, f.streak = nil, true, oldest, false, 0
	if oldest {
		f.cursor = f.tail.Load() // A3: pairs with R3
		f.seen, f.expected = f.cursor, 0
		return
	}
	for look := 0; look < snapshotLooks; look++ {
		f.cursor = f.head.Load() // A2: pairs with R2
		f.expected = f.count.Load()
		if f.head.Load() == f.cursor { // A2: pairs with R2; the count is that of this head, or lags it by one publication
			break
		}
	}
	f.seen = f.cursor
}

// next is one call's worth of section 7.1: the next message, ErrEmpty, or what else there is to say.
func (f *follower) next(buffer []byte, to how, m *Message) error {
	if f.closed {
		return shmwire.ErrClosed
	}
	if len(f.ahead) > 0 {
		if to == inPlace {
			f.ahead = nil // a view shows the ring
		} else if done, err := f.fromAhead(buffer, to, m); done {
			return err
		}
	}
	for try := 0; try < overtakenMost; try++ {
		done, err := f.fromRing(buffer, to, m)
		if done {
			return err
		}
	}
	m.Lost = 0
	return shmwire.ErrLapped
}

// fromRing is steps 1 to 6 once; false when it was overtaken.
func (f *follower) fromRing(buffer []byte, to how, m *Message) (bool, error) {
	c := f.cursor
	if f.seen == c {
		f.seen = f.head.Load() // A2: pairs with R2; the frames below head
		if f.seen == c {
			f.streak = 0
			if err := f.emptied(c); err != nil {
				return true, err
			}
			f.seen = f.head.Load() // A2: pairs with R2; it has moved
		}
	}
	if f.seen-c > f.capacity {
		return f.overtaken(c)
	}
	at, size, extent, possible := f.look(c, f.seen)
	if !possible {
		if !f.isHeld(c) {
			return f.overtaken(c)
		}
		return true, badFrame(at, size)
	}
	if f.streak >= aheadAfter && to != inPlace && extent <= aheadExtent && f.seen-at >= 2*extent {
		if !f.readAhead(at) {
			return f.overtaken(c)
		}
		return f.fromAhead(buffer, to, m)
	}
	f.headAt(at).get(m)
	payload, room := fetch(f.payloadAt(at, size), buffer, to)
	if !f.isHeld(c) { // that of the SKIP, if one led here: it may be payload of a later lap
		return f.overtaken(c)
	}
	if !room {
		return true, tooSmall(size)
	}
	return true, f.deliver(m, payload, at, extent)
}

// isHeld is step 5: whether what was copied from a position on was whole [shmcomm.receive.recheck].
func (s *segment) isHeld(position uint64) bool {
	shm.Fence()                               // F5: pairs with F5; the copy before tail
	return int64(s.tail.Load()-position) <= 0 // a writer stored to the bytes after it moved tail over them
}

// overtaken is step 6 [shmcomm.receive.lapped]: the cursor goes to tail. It answers false, or the corruption that it finds.
func (f *follower) overtaken(c uint64) (bool, error) {
	f.ahead, f.fresh = nil, f.fresh && f.anywhere
	t := f.tail.Load()     // A3: pairs with R3; a head that is not below it
	f.seen = f.head.Load() // A2: pairs with R2
	f.cursor = t
	if f.seen-t > f.capacity && f.tail.Load() == t { // A3: pairs with R3
		return true, checkPositions(f.seen, t, f.capacity)
	}
	return false, nil
}

// deliver completes a message that is whole, and moves the cursor behind it [shmcomm.receive.lost].
func (f *follower) deliver(m *Message, payload []byte, at, extent uint64) error {
	m.Lost = m.Sequence - f.expected
	if f.fresh || int64(m.Lost) < 0 {
		m.Lost = 0 // where the subscriber began; where sequences fall, nothing was lost
	}
	if m.Lost != 0 && f.tellLost && !f.told {
		f.told, m.Payload = true, nil
		return shmwire.ErrLapped
	}
	m.Payload, m.Position = payload, at
	f.lost += m.Lost
	f.received++
	f.streak++
	f.expected = m.Sequence + 1
	f.fresh, f.told = false, false
	f.cursor = at + extent
	return nil
}

// readAhead copies what follows a position, up to the end of the ring, to memory of our own, and stands there; false when it
// was overtaken meanwhile.
func (f *follower) readAhead(at uint64) bool {
	n := f.seen - at
	if n > aheadBytes {
		n = aheadBytes
	}
	if room := f.capacity - at&f.mask; n > room {
		n = room
	}
	if f.store == nil {
		f.store = make([]byte, aheadBytes)
	}
	copy(f.store, f.ring.Bytes(at&f.mask, n))
	if !f.isHeld(f.cursor) { // that of the SKIP, if one led here
		return false
	}
	f.cursor, f.ahead = at, f.store[:n]
	return true
}

// fromAhead delivers the first message of what was read ahead; false when it is not all there: then the ring has it. What
// is here is whole, and nobody else stores to it, but its writer may have been hostile.
func (f *follower) fromAhead(buffer []byte, to how, m *Message) (bool, error) {
	left := uint64(len(f.ahead))
	if left < frameSize {
		f.ahead = nil
		return false, nil
	}
	size := binary.LittleEndian.Uint64(f.ahead[frameSizeOffset:])
	if size < messageHeaderSize || size > f.half || extentOf(size) > left || extentOf(size) > f.half {
		f.ahead = nil // cut off, a SKIP, or not possible: the ring tells which
		return false, nil
	}
	(*frameHead)(f.ahead).get(m)
	payload, room := fetch(f.ahead[frameSize:frameSizeOffset+8+size], buffer, to)
	if !room {
		return true, tooSmall(size)
	}
	err := f.deliver(m, payload, f.cursor, extentOf(size))
	if err == nil {
		f.ahead = f.ahead[extentOf(size):]
	}
	return true, err
}

// Receive answers the next message, copied to buffer, or to new memory if that is nil. timeout 0: ErrEmpty at once if there is
// none; Forever is allowed; else it polls for Options.Spin, then sleeps, and answers ErrTimeout at the end. ErrClosed: none
// will come. ErrTooSmall (a *shmwire.Error with the size in Needed) leaves the message next. ErrLapped: with TellLost, a
// loss of Message.Lost; without, overtaken again and again, ask again. ErrCorrupt: the receiver stays.
func (f *follower) Receive(buffer []byte, timeout time.Duration) (Message, error) {
	var m Message
	err := f.receive(buffer, target(buffer), timeout, &m)
	return m, err
}

// ReceiveInto is Receive for a caller to whom it matters that nothing is allocated or copied twice; a nil buffer has no room.
func (f *follower) ReceiveInto(buffer []byte, timeout time.Duration, m *Message) error {
	return f.receive(buffer, intoBuffer, timeout, m)
}

// ReceiveContext is Receive that waits until ctx is done: then ErrTimeout (and context.DeadlineExceeded) after its
// deadline, or the context's error, within 5 ms.
func (f *follower) ReceiveContext(ctx context.Context, buffer []byte) (Message, error) {
	var m Message
	err := f.next(buffer, target(buffer), &m)
	if err == shmwire.ErrEmpty {
		l := shm.While(ctx)
		err = f.wait(buffer, target(buffer), &m, &l)
	}
	return m, err
}

func target(buffer []byte) how {
	if buffer == nil {
		return intoNew
	}
	return intoBuffer
}

func (f *follower) receive(buffer []byte, to how, timeout time.Duration, m *Message) error {
	err := f.next(buffer, to, m)
	if err != shmwire.ErrEmpty || timeout == 0 {
		return err
	}
	l := shm.Within(timeout)
	return f.wait(buffer, to, m, &l)
}

// wait is next until the limit has passed.
func (f *follower) wait(buffer []byte, to how, m *Message, l *shm.Limit) error {
	return f.waiting.await(l, f.position, func() error { return f.next(buffer, to, m) })
}

func (f *follower) position() uint64 { return f.cursor }

// View is a message where it lies in the segment.
type View struct {
	Message
	follower *follower
}

// View shows the next message without copying it, and goes on behind it. What Payload shows is the message only if Check
// answers nil after it was used; it must not be touched after Close. The answers of Receive but ErrTooSmall.
func (f *follower) View(timeout time.Duration) (View, error) {
	v := View{follower: f}
	err := f.receive(nil, inPlace, timeout, &v.Message)
	return v, err
}

// Check answers nil if all that was read from Payload so far was the message, and ErrLapped if it may have been overwritten
// [shmcomm.receive.view]; ErrClosed.
func (v *View) Check() error {
	switch {
	case v.follower == nil || v.follower.closed:
		return shmwire.ErrClosed
	case !v.follower.isHeld(v.Position):
		return shmwire.ErrLapped
	}
	return nil
}

// Seek goes to the oldest message held, or behind the newest; counts go on, and nothing counts as lost. ErrClosed.
func (f *follower) Seek(oldest bool) error {
	if f.closed {
		return shmwire.ErrClosed
	}
	f.start(oldest)
	return nil
}

// Close gives the mapping back. The channel stays as it is [shmcomm.segment.readonly]. A second Close answers ErrClosed.
func (f *follower) Close() error {
	if f.closed {
		return shmwire.ErrClosed
	}
	f.closed, f.ahead, f.store = true, nil, nil
	f.unmap()
	f.file.Close()
	return nil
}
