// SPDX-License-Identifier: MIT

package dmxp

import (
	"context"
	"runtime"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// TryReceive takes one message into new memory, or answers ErrEmpty at once. The errors of TryReceiveInto.
func (c *Channel) TryReceive() (Message, error) {
	var message Message
	err := c.TryReceiveInto(make([]byte, c.maxPayload), &message)
	return message, err
}

// TryReceiveInto takes one message into buffer, or answers ErrEmpty at once. It allocates nothing. ErrTooSmall (a
// *shmwire.Error with the size in Needed) leaves the message in place; ErrCorrupt for an impossible length has
// released the slot; ErrClosed, ErrPermission.
func (c *Channel) TryReceiveInto(buffer []byte, message *Message) error {
	if err := c.segment.writable(); err != nil {
		return err
	}
	return c.take(buffer, message)
}

// take is section 7 of the specification.
func (c *Channel) take(buffer []byte, message *Message) error {
	head := c.entry.head
	h := head.Load()
	var lost shm.StandBack
	for {
		slot := c.slot(h)
		shm.PrefetchToRead(&slot[0])
		// A2: pairs with R2; sequence before meta and payload.
		if s := slot.sequence().Load(); s != h+1 {
			if err := c.notPublished(h, s); err != nil {
				return err
			}
			h = head.Load()
			continue
		}
		// A buffer for the longest payload needs no look at the length before the claim.
		if uint64(len(buffer)) < c.maxPayload {
			needed := c.tooSmall(slot, len(buffer))
			if needed > 0 {
				shm.Fence() // with F6: a length of a later lap comes with a later head
				if head.Load() == h {
					message.Payload = nil
					return &shmwire.Error{Code: shmwire.ErrTooSmall, Needed: needed} // [dmxp.consume.too-small]
				}
			}
		}
		// R5: pairs with A5; the tail behind this position before head [dmxp.consume.claim]
		if !head.CompareAndSwap(h, h+1) {
			lost.Pause()
			h = head.Load()
			continue
		}
		delivered, err := c.deliver(slot, h, buffer, message)
		// R3: pairs with A3; the last access to the slot before its release [dmxp.consume.release].
		slot.sequence().StoreRelease(h + c.capacity)
		if delivered || err != nil {
			return err
		}
		h = head.Load()
	}
}

// notPublished answers for position h, whose slot has sequence s: nil when the caller is to look again
// [dmxp.consume.empty, .impossible, dmxp.channel.closed].
func (c *Channel) notPublished(h, s uint64) error {
	if !c.unpublished(h, s) {
		if c.entry.head.Load() != h {
			return nil
		}
		return c.impossible(h, s, c.closedToConsumers())
	}
	if c.changesSoon(h, s) {
		return nil
	}
	if c.closedToConsumers() {
		return shmwire.ErrClosed
	}
	return shmwire.ErrEmpty
}

// unpublished says whether sequence s means that the slot of position h waits for its producer, or for the consumer
// of the lap before.
func (c *Channel) unpublished(h, s uint64) bool { return s == h || s == h-c.capacity+1 }

// looksBeforeEmpty is how often to look at an empty slot again: some 60 ns, about what a message on its way takes.
const looksBeforeEmpty = 4

// arrivesSoon gives the producer of a position that much time to publish it.
func (c *Channel) arrivesSoon(position uint64) bool {
	s := c.slot(position).sequence().Load()
	return c.unpublished(position, s) && c.changesSoon(position, s)
}

func (c *Channel) changesSoon(h, s uint64) bool {
	for look := 0; look < looksBeforeEmpty; look++ {
		shm.Pause()
		shm.PrefetchToRead(&c.slot(h)[0])
		if c.slot(h).sequence().Load() != s {
			return true
		}
	}
	return false
}

// tooSmall is the size that a published message needs, if that is more than room and the message is sound; otherwise
// 0. Another consumer may have taken the message meanwhile: the caller looks at head again.
func (c *Channel) tooSmall(slot *slot, room int) int {
	place, length := c.payloadOf(slot)
	if isTombstone(slot) || length > place.capacity || length <= uint64(room) {
		return 0
	}
	return int(length)
}

// deliver copies a taken slot out, unless its length is impossible or it is a tombstone.
func (c *Channel) deliver(slot *slot, position uint64, buffer []byte, message *Message) (bool, error) {
	place, length := c.payloadOf(slot)
	tombstone := isTombstone(slot)
	// The buffer was large enough for a sound length before the claim: anything else is someone's store to a slot of
	// ours.
	if length > place.capacity || length > uint64(len(buffer)) && !tombstone { // [dmxp.consume.payload-len]
		message.Payload = nil
		return false, c.badLength(position, length)
	}
	if tombstone { // [dmxp.consume.tombstone]
		return false, nil
	}
	copy(buffer, slot[place.offset:place.offset+length])
	message.Payload = buffer[:length]
	message.Position, message.ChannelID = position, c.id
	getMeta(slot, &message.Meta)
	return true, nil
}

func (c *Channel) badLength(position, length uint64) error {
	return shmwire.Errorf(shmwire.ErrCorrupt, "channel %d: payload_len %d at position %d", c.id, length, position)
}

// Receive takes one message into new memory, sleeping until there is one or ctx is done. The errors of ReceiveInto.
func (c *Channel) Receive(ctx context.Context) (Message, error) {
	var message Message
	err := c.ReceiveInto(ctx, make([]byte, c.maxPayload), &message)
	return message, err
}

// ReceiveInto takes one message into buffer, sleeping until there is one or ctx is done [dmxp.wait.*]. It looks at
// least once, and once more after the deadline: then ErrTimeout (and context.DeadlineExceeded). A cancelled context
// gives its error within 20 ms, the longest single sleep under a context that can be cancelled. Otherwise the errors
// of TryReceiveInto. It allocates nothing of its own.
func (c *Channel) ReceiveInto(ctx context.Context, buffer []byte, message *Message) error {
	err := c.TryReceiveInto(buffer, message)
	if err != shmwire.ErrEmpty {
		return err
	}
	c.poll(ctx)
	for slept := false; ; slept = true {
		signal := c.entry.signal.Load() // A4: pairs with R4; signal before the look [dmxp.wait.load-first]
		done := shm.ContextDone(ctx)    // before the look, which is the last one then [dmxp.wait.timeout]
		if err := c.take(buffer, message); err != shmwire.ErrEmpty {
			if slept {
				c.passOn()
			}
			return err
		}
		if done != nil {
			return done
		}
		if c.sleepHook != nil {
			c.sleepHook()
		}
		c.sleep(ctx, signal)
	}
}

const pollsPerClock = 64

// poll watches the slot of head, for as long as the caller wants to spin, until there is something to take or to
// complain about. It keeps off the entry's first line, which producers write.
func (c *Channel) poll(ctx context.Context) {
	if c.spin <= 0 {
		return
	}
	for end := time.Now().Add(c.spin); time.Now().Before(end) && ctx.Err() == nil; runtime.Gosched() {
		for i := 0; i < pollsPerClock; i++ {
			h := c.entry.head.Load()
			if s := c.slot(h).sequence().Load(); !c.unpublished(h, s) {
				return
			}
			shm.Pause()
		}
	}
}

// passOn wakes one more sleeper when the next position is published: the wake that ended our sleep may have been
// meant for two messages, of which the later one was published first [dmxp.wait.pass-on].
func (c *Channel) passOn() {
	h := c.entry.head.Load()
	if c.slot(h).sequence().Load() == h+1 { // A2: pairs with R2
		shm.Wake(c.entry.signal, 1)
	}
}

// cancelSlice bounds a single sleep under a context that can be cancelled: nothing wakes a futex when that happens.
const cancelSlice = 20 * time.Millisecond

// sleep waits for a signal other than the one given, at most waitSliceNS [dmxp.wait.slice] and until ctx is done,
// counted among the waiters all the while [dmxp.wait.count].
func (c *Channel) sleep(ctx context.Context, signal uint32) {
	c.entry.waiters.Add(1) // S5: counted before the second look at signal
	// S5: pairs with the producer's load of waiters; either it sees the count or this sees its signal.
	if c.entry.signal.Load() == signal {
		for left := time.Duration(waitSliceNS); left > 0; {
			slice := left
			if ctx.Done() != nil && slice > cancelSlice {
				slice = cancelSlice
			}
			if deadline, ok := ctx.Deadline(); ok {
				if until := time.Until(deadline); until < slice {
					slice = until
				}
			}
			if shm.Wait(c.entry.signal, signal, slice) == shm.Signalled || shm.ContextDone(ctx) != nil {
				break
			}
			left -= slice
		}
	}
	c.entry.waiters.Add(^uint32(0)) // S5: no longer counted
}

// ReceiveBatch takes messages that are there, up to len(messages) and as many as fit into buffer one after the other,
// claimed together; it answers how many. For a batch that is not full it waits some 60 ns for one message more.
// ErrEmpty; ErrTooSmall when not even the first fits; the other errors of TryReceiveInto.
func (c *Channel) ReceiveBatch(buffer []byte, messages []Message) (int, error) {
	if err := c.segment.writable(); err != nil {
		return 0, err
	}
	if len(messages) == 0 {
		return 0, shmwire.Errorf(shmwire.ErrInvalidArgument, "room for no messages")
	}
	var lost shm.StandBack
	for {
		h := c.entry.head.Load()
		count := c.run(h, buffer, messages)
		if count > 0 && count < len(messages) && c.arrivesSoon(h+uint64(count)) {
			count = c.run(h, buffer, messages) // a fuller batch, and the producer's lines left alone meanwhile
		}
		if count == 0 {
			// The first is not there, a tombstone, too long or not sound: the single call knows which.
			if err := c.take(buffer, &messages[0]); err != nil {
				return 0, err
			}
			return 1, nil
		}
		// R5: pairs with A5 [dmxp.consume.claim], for each of the run
		if !c.entry.head.CompareAndSwap(h, h+uint64(count)) {
			lost.Pause()
			continue
		}
		for i := 0; i < count; i++ {
			c.copyOut(h+uint64(i), &messages[i])
		}
		return count, nil
	}
}

// run finds the published messages from position h on that fit, and gives each its part of the buffer. Until the
// claim that follows, others may take them: what it finds holds only if head is still h then.
func (c *Channel) run(h uint64, buffer []byte, messages []Message) int {
	used := uint64(0)
	for i := range messages {
		p := h + uint64(i)
		if uint64(i) == c.capacity {
			return i
		}
		slot := c.slot(p)
		if slot.sequence().Load() != p+1 { // A2: pairs with R2; sequence before meta and payload
			return i
		}
		place, length := c.payloadOf(slot)
		if isTombstone(slot) || length > place.capacity || length > uint64(len(buffer))-used {
			return i
		}
		messages[i].Payload = buffer[used : used+length : used+length]
		used += length
	}
	return len(messages)
}

// copyOut copies a taken slot of a run into the memory that run gave it, and releases the slot.
func (c *Channel) copyOut(position uint64, message *Message) {
	slot := c.slot(position)
	place, _ := c.payloadOf(slot)
	copy(message.Payload, slot[place.offset:place.offset+place.capacity])
	message.Position, message.ChannelID = position, c.id
	getMeta(slot, &message.Meta)
	// R3: pairs with A3; the last access to the slot before its release.
	slot.sequence().StoreRelease(position + c.capacity)
}
