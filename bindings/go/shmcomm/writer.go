// SPDX-License-Identifier: MIT

package shmcomm

import (
	"context"
	"encoding/binary"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// writer is a sending endpoint (section 6): of a publisher, a pusher, a requester, or of a replier in a reply channel.
type writer struct {
	*endpoint
	clock    clock
	sole     bool
	claiming bool // a claim is open, and the lock held for it
	closed   bool
	next     uint64 // head as this writer left it; while it holds the lock nobody else moves it
	floor    uint64 // tail as it was seen last; in a pubsub channel as this writer left it
	upcoming uint64 // message_count likewise: the next sequence
	known    bool   // the three above hold: the lock has been held since they were loaded
	sent     uint64
	refused  uint64
}

const pieceBytes = 16 << 10 // of a batch is published at once, so that receivers can begin

// usable answers why nothing can be sent now.
func (w *writer) usable() error {
	switch {
	case w.closed:
		return shmwire.ErrClosed
	case w.claiming:
		return shmwire.Errorf(shmwire.ErrBusy, "a claim of this endpoint is open")
	}
	return nil
}

// fits is [shmcomm.send.too-large].
func (w *writer) fits(length int) bool { return uint64(length) <= w.maxPayload() }

// unfit answers why a message cannot be sent.
func (w *writer) unfit(length int) error {
	if err := w.usable(); err != nil {
		return err
	}
	return w.tooLarge(length)
}

func (w *writer) tooLarge(length int) error {
	return shmwire.Errorf(shmwire.ErrTooLarge, "%d bytes, at most %d in a ring of %d", length, w.maxPayload(), w.capacity)
}

// begin is steps 2 to 4: the lock, the state and the positions. On an error the lock is free again. Without a limit it does
// not wait: errHeld.
func (w *writer) begin(l *shm.Limit) error {
	if err := w.acquire(l); err != nil {
		return err
	}
	if w.pattern != PatternPubsub && w.state.Load() != StateOpen { // A7: pairs with R7 [shmcomm.push.closed]
		w.finish()
		return shmwire.ErrClosed
	}
	if w.known {
		return nil
	}
	// Nobody but the lock's holder moves head [shmcomm.lock.hold]; tail only rises, towards head.
	w.next = w.head.Load()  // A2: pairs with R2; of the writer before, by the lock
	w.floor = w.tail.Load() // A3: pairs with R3; pullers are done with what lies below
	w.upcoming = w.count.Load()
	if err := checkPositions(w.next, w.floor, w.capacity); err != nil { // [shmcomm.send.corrupt]
		w.finish()
		return err
	}
	w.known = w.sole
	return nil
}

// finish frees the lock, unless the writer keeps it.
func (w *writer) finish() {
	if !w.sole {
		w.free()
	}
}

// makeRoom is step 5 for a frame that takes need bytes at position at, behind what is written and not yet published.
// ErrFull, ErrCorrupt; nothing is changed then.
func (w *writer) makeRoom(at, need uint64) error {
	if at+need-w.floor <= w.capacity {
		return nil
	}
	if w.pattern == PatternPubsub {
		return w.evict(at + need)
	}
	w.floor = w.tail.Load() // A3: pairs with R3; the last access of pullers to what lies below
	used := w.next - w.floor
	switch {
	case used > w.capacity || w.floor%frameAlign != 0:
		return checkPositions(w.next, w.floor, w.capacity)
	case at+need-w.floor > w.capacity: // [shmcomm.push.full]
		return shmwire.ErrFull
	}
	return nil
}

// evict moves tail over whole frames, oldest first, until the ring can hold all below end [shmcomm.publish.evict]
// [shmcomm.publish.dropped]. Only the lock's holder moves tail in a pubsub channel.
func (w *writer) evict(end uint64) error {
	t, gone := w.floor, uint64(0)
	for end-t > w.capacity {
		size, extent, possible := w.frameAt(t, w.next-t)
		switch {
		case possible:
			t += extent
			gone++
		case size == skip && t&w.mask != 0 && w.capacity-t&w.mask < w.next-t:
			t += w.capacity - t&w.mask // a SKIP may go without the frame behind it
		default:
			return badFrame(t, size)
		}
	}
	if t != w.floor {
		w.dropped.StoreRelaxed(w.dropped.Load() + gone)
		w.tail.StoreRelease(t) // R3: pairs with A3; head, which tail does not pass
		w.floor = t
	}
	return nil
}

// write is steps 6 and 7: a SKIP if the frame would cross the end, and the frame [shmcomm.send.frame] [shmcomm.send.extent].
func (w *writer) write(position, at uint64, data []byte, h *heading, sequence uint64) {
	shm.Fence() // F5: pairs with F5; tail before the first store to the ring [shmcomm.send.fence]
	length := uint64(len(data))
	if at != position {
		w.ring.PutU64(position&w.mask, skip)
	}
	extent := extentOf(messageHeaderSize + length)
	frame := w.ring.Bytes(at&w.mask, extent)
	(*frameHead)(frame).put(h, length, sequence, w.number)
	if length%frameAlign != 0 {
		binary.LittleEndian.PutUint64(frame[extent-frameAlign:], 0) // the payload comes over it
	}
	copy(frame[frameSize:], data)
}

// publish is steps 8 to 11, for count frames that end at a position [shmcomm.send.order].
func (w *writer) publish(end, count uint64) {
	w.upcoming += count
	w.next = end
	w.sent += count
	if w.sole {
		w.head.Store(end) // R2, S6: pairs with A2, S6; frames before head, and as a full barrier head before the waiters
		w.count.StoreRelaxed(w.upcoming)
	} else {
		w.head.StoreRelease(end) // R2: pairs with A2; frames before head
		w.count.StoreRelaxed(w.upcoming)
		w.free() // S6: its exchange is a full barrier between head and the waiters
	}
	w.wakeReceivers()
}

// beatHeart stores a keeper's sign of life with a message a second or more after the last one [shmcomm.join.heartbeat].
// Times go by what messages say, which costs no clock.
func (w *writer) beatHeart(timestamp uint64) {
	if timestamp-w.beat >= heartbeatNS {
		w.beatSlowly(timestamp)
	}
}

// beatSlowly is beatHeart for a message that is late enough, or earlier than the last one.
func (w *writer) beatSlowly(timestamp uint64) {
	if w.keeper && timestamp > w.beat {
		w.heartbeat.StoreRelaxed(bootTime(w.bootNS))
	}
	w.beat = timestamp
}

// try sends one message, or answers ErrFull at once.
func (w *writer) try(data []byte, h *heading, l *shm.Limit) (uint64, error) {
	if err := w.begin(l); err != nil {
		return 0, err
	}
	length := uint64(len(data))
	need, at := w.need(w.next, extentOf(messageHeaderSize+length))
	if w.next+need-w.floor > w.capacity {
		if err := w.makeRoom(w.next, need); err != nil {
			w.finish()
			return 0, err
		}
	}
	sequence := w.upcoming // [shmcomm.send.sequence]
	w.write(w.next, at, data, h, sequence)
	w.publish(w.next+need, 1)
	w.beatHeart(h.timestamp)
	return sequence, nil
}

// send is section 6 for one message.
func (w *writer) send(data []byte, h *heading, l *shm.Limit) (uint64, error) {
	sequence, err := w.try(data, h, l)
	if err != shmwire.ErrFull {
		return sequence, err
	}
	err = w.awaitRoom(l, func() (err error) {
		sequence, err = w.try(data, h, l)
		return err
	})
	return sequence, err
}

// awaitRoom repeats a try that answers ErrFull until there is room or the limit has passed (section 8).
func (w *writer) awaitRoom(l *shm.Limit, try func() error) error {
	for !l.None {
		signal := announce(w.spaceSignal, w.spaceWaiters)
		done := l.Done() // before the look, which is the last one then [shmcomm.wait.timeout]
		if err := try(); err != shmwire.ErrFull {
			return err
		}
		if done != nil {
			w.refuse()
			return done
		}
		shm.Wait(w.spaceSignal, signal, l.Slice(time.Duration(WaitSliceNS))) // [shmcomm.wait.slice]
		// Before it counts itself again, which would cost the next puller a wake for nothing.
		if err := try(); err != shmwire.ErrFull {
			return err
		}
	}
	w.refuse()
	return shmwire.ErrFull
}

// refuse counts a call that found no room.
func (w *writer) refuse() {
	w.refused++
	w.dropped.Add(1)
}

// Send sends a message and answers its sequence. timeout, 0 and Forever included, bounds the wait for room (ErrFull at 0,
// else ErrTimeout; publishers never wait for it) and, where it is longer than LockPatienceNS, for the writers' lock
// (ErrBusy). meta may be nil. ErrClosed, ErrTooLarge, ErrCorrupt. It allocates nothing.
func (w *writer) Send(data []byte, meta *Meta, timeout time.Duration) (uint64, error) {
	if w.closed || w.claiming || !w.fits(len(data)) {
		return 0, w.unfit(len(data))
	}
	h := w.heading(meta)
	sequence, err := w.try(data, &h, nil)
	if err == nil {
		return sequence, nil
	}
	return w.persist(data, &h, err, timeout)
}

// persist is what Send does when a first try without waiting, neither for the lock nor for room, has failed.
func (w *writer) persist(data []byte, h *heading, err error, timeout time.Duration) (uint64, error) {
	if err != errHeld && err != shmwire.ErrFull {
		return 0, err
	}
	l := shm.Within(timeout)
	if err == shmwire.ErrFull && l.None {
		w.refuse()
		return 0, err
	}
	return w.send(data, h, &l)
}

// SendContext is Send that waits until ctx is done: then ErrTimeout (and context.DeadlineExceeded) after its deadline, or
// the context's error.
func (w *writer) SendContext(ctx context.Context, data []byte, meta *Meta) (uint64, error) {
	l := shm.While(ctx)
	return w.sendOne(data, meta, 0, &l)
}

func (w *writer) sendOne(data []byte, meta *Meta, correlation uint64, l *shm.Limit) (uint64, error) {
	if w.closed || w.claiming || !w.fits(len(data)) {
		return 0, w.unfit(len(data))
	}
	h := w.heading(meta)
	h.correlation = correlation
	return w.send(data, &h, l)
}

// SendBatch sends messages in order, with one Meta for all, and answers how many were sent, also beside an error: a batch
// is not atomic. The errors of Send; ErrTooLarge, with none sent, if any is too large. Receivers may begin before it ends.
func (w *writer) SendBatch(items [][]byte, meta *Meta, timeout time.Duration) (sent int, err error) {
	l := shm.Within(timeout)
	return w.sendBatch(items, meta, &l)
}

// SendBatchContext is SendBatch that waits until ctx is done.
func (w *writer) SendBatchContext(ctx context.Context, items [][]byte, meta *Meta) (sent int, err error) {
	l := shm.While(ctx)
	return w.sendBatch(items, meta, &l)
}

func (w *writer) sendBatch(items [][]byte, meta *Meta, l *shm.Limit) (sent int, err error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	for _, data := range items {
		if !w.fits(len(data)) {
			return 0, w.tooLarge(len(data))
		}
	}
	h := w.heading(meta)
	for sent < len(items) {
		n, err := w.piece(items[sent:], &h, l)
		if err == shmwire.ErrFull {
			err = w.awaitRoom(l, func() (err error) {
				n, err = w.piece(items[sent:], &h, l)
				return err
			})
		}
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// piece publishes the first messages of a batch at once, at least one: pieceBytes of them, and no more than half of the
// ring, as far as there is room. ErrFull when there is none for the first.
func (w *writer) piece(items [][]byte, h *heading, l *shm.Limit) (n int, err error) {
	if err := w.begin(l); err != nil {
		return 0, err
	}
	position, most := w.next, uint64(pieceBytes)
	if most > w.half {
		most = w.half
	}
	for _, data := range items {
		length := uint64(len(data))
		need, at := w.need(position, extentOf(messageHeaderSize+length))
		if n > 0 && position+need-w.next > most {
			break
		}
		if err = w.makeRoom(position, need); err != nil {
			break
		}
		w.write(position, at, data, h, w.upcoming+uint64(n))
		position += need
		n++
	}
	if n == 0 {
		w.finish()
		return 0, err
	}
	w.publish(position, uint64(n))
	w.beatHeart(h.timestamp)
	if err == shmwire.ErrFull {
		err = nil // the next piece says so
	}
	return n, err
}

// close leaves the channel; an open claim is abandoned. ErrClosed if it was closed before.
func (w *writer) close() error {
	if w.closed {
		return shmwire.ErrClosed
	}
	w.closed = true
	w.leave(false)
	return nil
}
