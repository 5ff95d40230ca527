// SPDX-License-Identifier: MIT

package dmxp

import (
	"errors"

	"shmwire"
	"shmwire/internal/shm"
)

// Validate checks everything that a reader can check without consuming: header, every entry, overlaps, and that every
// slot is in a state that the cursors permit. It answers the first finding. On a live segment a slot is wrong only if
// it is so while both cursors stand still.
func (s *Segment) Validate() error {
	if err := s.readable(); err != nil {
		return err
	}
	if _, err := checkHeader(s.window); err != nil {
		return err
	}
	for id := uint32(0); id < MaxChannels; id++ {
		c, err := s.checkEntry(id)
		if errors.Is(err, shmwire.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := c.checkSlots(); err != nil && !c.closedToConsumers() {
			return err
		}
	}
	return nil
}

// checkSlots compares each slot with the cursors.
func (c *Channel) checkSlots() error {
	head, tail, _ := c.entry.cursors(c.capacity)
	for index := uint64(0); index < c.capacity; index++ {
		for look := 0; look < slotLooks; look++ {
			err := c.checkSlot(index, head, tail)
			if err == nil {
				break
			}
			nowHead, nowTail, sound := c.entry.cursors(c.capacity)
			if !sound || nowHead == head && nowTail == tail && c.checkSlot(index, head, tail) != nil {
				return err
			}
			head, tail = nowHead, nowTail
		}
	}
	return nil
}

const slotLooks = 16 // a slot that changes under as many looks is in use, and so alive

// checkSlot compares a slot with cursors: with next, the position from tail on that the slot is for, and the one a
// lap before.
func (c *Channel) checkSlot(index, head, tail uint64) error {
	slot := c.slot(index)
	s := slot.sequence().Load() // A2: pairs with R2; A3: pairs with R3
	next := tail + (index-tail)&c.mask
	owner := next - c.capacity
	unread := owner-head < tail-head
	if unread && s == owner || !unread && (s == next || s == owner+1) {
		return nil // claimed; free, or taken and not released
	}
	if !unread || s != owner+1 {
		return shmwire.Errorf(shmwire.ErrCorrupt, "channel %d: sequence %d in slot %d, head %d, tail %d",
			c.id, s, index, head, tail)
	}
	place, length := c.payloadOf(slot)
	if length <= place.capacity {
		return nil
	}
	shm.Fence() // pairs with F6; the length before the second look at the sequence
	if slot.sequence().Load() != s {
		return nil
	}
	return c.badLength(owner, length)
}
