// SPDX-License-Identifier: MIT

package dmxp

import (
	"context"
	"runtime"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// TrySend sends one message and answers its position, or ErrFull at once. meta may be nil. ErrTooLarge, ErrClosed,
// ErrCorrupt, ErrPermission, ErrInvalidArgument (flags bit 15).
func (c *Channel) TrySend(data []byte, meta *Meta) (uint64, error) {
	if err := c.segment.writable(); err != nil {
		return 0, err
	}
	if !c.sound(len(data), meta) {
		return 0, c.unsound(len(data))
	}
	position, err := c.claim(1)
	if err != nil {
		return 0, err
	}
	c.fill(position, data, meta, stamp(meta))
	c.wake(1)
	shm.PrefetchToWrite(&c.slot(position + 2)[0]) // the one after our next: it has time to come
	return position, nil
}

// Send is TrySend that waits for room until ctx is done: then ErrTimeout (and context.DeadlineExceeded) after its
// deadline, or the context's error. The format has no word to sleep on for room, so Send polls: it yields first and
// then sleeps, up to 1 ms at a time.
func (c *Channel) Send(ctx context.Context, data []byte, meta *Meta) (uint64, error) {
	for round := 0; ; round++ {
		done := shm.ContextDone(ctx)
		position, err := c.TrySend(data, meta)
		if err != shmwire.ErrFull {
			return position, err
		}
		if done != nil {
			return 0, done
		}
		pauseForRoom(round)
	}
}

const (
	roomYields   = 64
	roomLongest  = time.Millisecond
	roomShortest = 10 * time.Microsecond
)

func pauseForRoom(round int) {
	if round < roomYields {
		runtime.Gosched()
		return
	}
	pause := roomLongest
	if doublings := round - roomYields; doublings < 6 {
		pause = roomShortest << uint(doublings)
	}
	time.Sleep(pause)
}

// SendBatch sends all items (1 to Capacity) or none, with one claim and one wake, and answers the position of the first
// [dmxp.produce.batch-claim, .batch-order]. ErrFull at once; the errors of TrySend.
func (c *Channel) SendBatch(items []Item) (uint64, error) {
	count := uint64(len(items))
	if count == 0 || count > c.capacity {
		return 0, shmwire.Errorf(shmwire.ErrInvalidArgument, "%d items, capacity %d", count, c.capacity)
	}
	if err := c.segment.writable(); err != nil {
		return 0, err
	}
	for i := range items { // every item before the claim [dmxp.produce.too-large]
		if item := &items[i]; !c.sound(len(item.Data), item.Meta) {
			return 0, c.unsound(len(item.Data))
		}
	}
	position, err := c.claim(count)
	if err != nil {
		return 0, err
	}
	clock := uint64(0) // one look at it for all items that bring no time
	for i := range items {
		item := &items[i]
		if clock == 0 && (item.Meta == nil || item.Meta.TimestampNS == 0) {
			clock = now()
		}
		c.fill(position+uint64(i), item.Data, item.Meta, clock)
	}
	c.wake(uint32(count))
	return position, nil
}

// sound says whether a message can be sent: what can be checked before the claim, small enough to be inlined.
func (c *Channel) sound(length int, meta *Meta) bool {
	return uint64(length) <= c.place.capacity && (meta == nil || meta.Flags&MessageTombstone == 0)
}

// unsound says why a message is not sound.
func (c *Channel) unsound(length int) error {
	if uint64(length) > c.place.capacity { // [dmxp.produce.too-large]
		return shmwire.Errorf(shmwire.ErrTooLarge, "%d bytes, at most %d", length, c.place.capacity)
	}
	return shmwire.Errorf(shmwire.ErrInvalidArgument, "flags bit 15 is reserved")
}

func stamp(meta *Meta) uint64 {
	if meta != nil && meta.TimestampNS != 0 {
		return meta.TimestampNS
	}
	return now()
}

// claim takes count positions, 1 to capacity, with one compare-and-swap, if all of their slots are free
// [dmxp.produce.claim, .batch-claim, .full].
func (c *Channel) claim(count uint64) (uint64, error) {
	tail := c.entry.tail
	var lost shm.StandBack
retry:
	if c.closedToProducers() {
		return 0, shmwire.ErrClosed
	}
	p := tail.Load()
	for i := uint64(0); i < count; i++ {
		// A3: pairs with R3; the consumer's last access before its release of the slot.
		s := c.slot(p + i).sequence().Load()
		if s == p+i {
			continue
		}
		if c.heldBefore(p+i, s) {
			return 0, shmwire.ErrFull
		}
		if tail.Load() != p {
			goto retry
		}
		return 0, c.impossible(p+i, s, c.closedToProducers())
	}
	if !tail.CompareAndSwap(p, p+count) {
		lost.Pause()
		goto retry
	}
	shm.Fence() // F6: claim before the first store to the slot; pairs with the fence of a look [dmxp.produce.fence]
	return p, nil
}

// heldBefore says whether sequence s means that the slot still belongs to the position one lap before p: claimed (or
// free for it, which looks the same) or published.
func (c *Channel) heldBefore(p, s uint64) bool {
	return s == p-c.capacity || s == p-c.capacity+1
}

// impossible is the answer to a sequence that no rule can produce [dmxp.consume.impossible], unless the channel was
// removed and its index given to another, whose cursors then disagree with this band.
func (c *Channel) impossible(position, sequence uint64, closed bool) error {
	if closed {
		return shmwire.ErrClosed
	}
	return shmwire.Errorf(shmwire.ErrCorrupt, "channel %d: sequence %d at position %d", c.id, sequence, position)
}

// secondLine is where the cache line behind that of a slot's sequence begins: most of an ordinary payload is there.
const secondLine = 64

// fill writes payload and meta to a claimed slot and publishes it: the payload as far as it lies beyond the slot's first
// line, then the rest. Consumers poll the first line: once our first store has taken it from them, publishing should be
// no further away than a few stores to the same line.
func (c *Channel) fill(position uint64, data []byte, meta *Meta, clock uint64) {
	slot := c.slot(position)
	area, first := slot[c.place.offset:c.place.offset+c.place.capacity], 0
	if c.place.offset < secondLine {
		first = int(secondLine - c.place.offset)
	}
	if len(data) > first {
		copy(area[first:], data[first:])
		copy(area, data[:first])
	} else {
		copy(area, data)
	}
	c.putMeta(slot, position, uint32(len(data)), meta, clock)
	slot.sequence().StoreRelease(position + 1) // R2, as in publish; here without another call
}

func (c *Channel) publish(slot *slot, position uint64) {
	// R2: pairs with A2; meta and payload before sequence [dmxp.produce.publish]
	slot.sequence().StoreRelease(position + 1)
}

// wake tells sleepers of count publications [dmxp.wait.signal, .wake].
func (c *Channel) wake(count uint32) {
	c.entry.signal.Add(count) // R4: pairs with A4; publication before signal. S5: signal before the load of waiters
	// S5: pairs with the sleeper's count; either this sees the sleeper or the sleeper sees the new signal.
	if c.counted && c.entry.waiters.Load() == 0 {
		return
	}
	shm.Wake(c.entry.signal, count)
}

// Claim is a claimed slot, between Claim and Commit or Abandon. Use it on one goroutine and do not copy it.
type Claim struct {
	Payload  []byte // where to write: the whole payload area, the caller's until Commit or Abandon
	Position uint64
	channel  *Channel
}

// Claim takes the next slot to be filled in place. Commit or abandon it: consumers stop there until then. ErrFull,
// ErrClosed, ErrCorrupt, ErrPermission.
func (c *Channel) Claim() (Claim, error) {
	if err := c.segment.writable(); err != nil {
		return Claim{}, err
	}
	position, err := c.claim(1)
	if err != nil {
		return Claim{}, err
	}
	slot := c.slot(position)
	end := c.place.offset + c.place.capacity
	return Claim{Payload: slot[c.place.offset:end:end], Position: position, channel: c}, nil
}

// Commit publishes the first length bytes of the payload area. meta may be nil. ErrTooLarge and ErrInvalidArgument (a
// negative length, flags bit 15) leave the claim as it is; ErrOutOfOrder after Commit or Abandon, or when a recovery
// has ended the claim.
func (k *Claim) Commit(length int, meta *Meta) error {
	if err := k.check(); err != nil {
		return err
	}
	if length < 0 {
		return shmwire.Errorf(shmwire.ErrInvalidArgument, "length %d", length)
	}
	c := k.channel
	if !c.sound(length, meta) {
		return c.unsound(length)
	}
	slot := c.slot(k.Position)
	c.putMeta(slot, k.Position, uint32(length), meta, stamp(meta))
	c.publish(slot, k.Position)
	c.wake(1)
	*k = Claim{Position: k.Position}
	return nil
}

// Abandon publishes the position as a tombstone, which consumers pass over [dmxp.produce.abandon]. ErrOutOfOrder as
// Commit.
func (k *Claim) Abandon() error {
	if err := k.check(); err != nil {
		return err
	}
	c := k.channel
	slot := c.slot(k.Position)
	c.putMeta(slot, k.Position, 0, &Meta{Flags: MessageTombstone}, now())
	c.publish(slot, k.Position)
	c.wake(1)
	*k = Claim{Position: k.Position}
	return nil
}

// check says whether the slot is still the caller's.
func (k *Claim) check() error {
	if k.channel == nil {
		return shmwire.Errorf(shmwire.ErrOutOfOrder, "nothing is claimed")
	}
	if err := k.channel.segment.writable(); err != nil {
		return err
	}
	if s := k.channel.slot(k.Position).sequence().Load(); s != k.Position {
		return shmwire.Errorf(shmwire.ErrOutOfOrder, "position %d is no longer claimed", k.Position)
	}
	return nil
}
