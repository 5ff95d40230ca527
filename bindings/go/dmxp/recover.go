// SPDX-License-Identifier: MIT

package dmxp

import (
	"encoding/binary"
	"errors"

	"shmwire"
)

// Recovery says what Recover repaired.
type Recovery struct {
	Tombstones    uint64 // positions claimed and never published: abandoned
	PossiblyLost  uint64 // positions taken and never released: released, content perhaps never seen
	WaitersReset  uint64 // channels whose waiters was not 0
	CountRepaired bool   // channel_count was wrong
}

// Recover repairs what dead processes left [dmxp.recover.*], under the segment lock, for which it waits. allDead is
// the operator's word that nobody else uses the segment; without it, ErrBusy when another process maps the segment or
// when that cannot be told. ErrBadGeometry or ErrCorrupt, with nothing changed, when a channel's entry is unsound;
// ErrPermission.
func (s *Segment) Recover(allDead bool) (Recovery, error) {
	if err := s.writable(); err != nil {
		return Recovery{}, err
	}
	unlock, err := s.mapping.Lock()
	if err != nil {
		return Recovery{}, err
	}
	defer unlock()
	if !allDead {
		if err := s.mapping.Exclusive(); err != nil {
			return Recovery{}, err
		}
	}
	channels, err := s.soundChannels()
	if err != nil {
		return Recovery{}, err
	}
	report := Recovery{}
	for _, c := range channels {
		c.repair(&report)
	}
	count := s.window.Atomic32(headerChannelCountOffset)
	if live := s.liveCount(); count.Load() != live {
		count.Store(live)
		report.CountRepaired = true
	}
	return report, nil
}

// soundChannels attaches to all live channels, before anything is touched.
func (s *Segment) soundChannels() ([]*Channel, error) {
	var channels []*Channel
	for id := uint32(0); id < MaxChannels; id++ {
		c, err := s.checkEntry(id)
		if errors.Is(err, shmwire.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		channels = append(channels, c)
	}
	return channels, nil
}

// repair stores nothing to a channel that needs no repair [dmxp.recover.idle].
func (c *Channel) repair(report *Recovery) {
	head, tail, sound := c.entry.cursors(c.capacity)
	if !sound {
		return
	}
	report.PossiblyLost += c.releaseTaken(head)
	report.Tombstones += c.buryClaimed(head, tail)
	if c.entry.waiters.Load() != 0 {
		c.entry.waiters.Store(0)
		report.WaitersReset++
	}
}

// releaseTaken releases the published positions of the lap below head [dmxp.recover.consumer].
func (c *Channel) releaseTaken(head uint64) (released uint64) {
	lap := c.capacity
	if lap > head {
		lap = head
	}
	for p := head - lap; p != head; p++ {
		slot := c.slot(p)
		if slot.sequence().Load() == p+1 { // A2: pairs with R2
			slot.sequence().StoreRelease(p + c.capacity) // R3: pairs with A3
			released++
		}
	}
	return released
}

// buryClaimed turns claimed positions into tombstones [dmxp.recover.producer]. The rest of their meta stays as it was
// left, for whoever looks into the accident.
func (c *Channel) buryClaimed(head, tail uint64) (buried uint64) {
	for p := head; p != tail; p++ {
		slot := c.slot(p)
		if slot.sequence().Load() == p { // A3: pairs with R3
			binary.LittleEndian.PutUint16(slot[slotFlagsOffset:], MessageTombstone)
			binary.LittleEndian.PutUint32(slot[slotPayloadLenOffset:], 0)
			c.publish(slot, p)
			buried++
		}
	}
	return buried
}
