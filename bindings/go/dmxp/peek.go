// SPDX-License-Identifier: MIT

package dmxp

import (
	"shmwire"
	"shmwire/internal/shm"
)

// Peeker looks at the messages of a channel without taking them. It works on read-only segments and changes no byte.
// Use it on one goroutine.
type Peeker struct {
	channel  *Channel
	position uint64
	copied   slot
}

// Peek starts a look at the oldest message.
func (c *Channel) Peek() *Peeker { return &Peeker{channel: c} }

// Next copies the next published message into buffer, oldest first; claimed and abandoned positions are passed over.
// ErrEmpty at the end (a later call may find more). ErrTooSmall (Needed says what it takes) stays at the message;
// ErrCorrupt has stepped over it.
func (p *Peeker) Next(buffer []byte, message *Message) error {
	c := p.channel
	if err := c.segment.readable(); err != nil {
		return err
	}
	head, tail, sound := c.entry.cursors(c.capacity)
	if !sound {
		p.position = tail // nothing behind such cursors can be trusted: a loop of the caller's ends
		if c.closedToConsumers() {
			return shmwire.ErrClosed
		}
		return shmwire.Errorf(shmwire.ErrCorrupt, "channel %d: head %d, tail %d, capacity %d", c.id, head, tail, c.capacity)
	}
	if int64(p.position-head) < 0 {
		p.position = head
	}
	for ; int64(tail-p.position) > 0; p.position++ {
		found, err := p.look(p.position)
		if err != nil {
			p.position++
			return err
		}
		if !found {
			continue
		}
		err = p.deliver(buffer, message)
		if shmwire.CodeOf(err) != shmwire.ErrTooSmall {
			p.position++
		}
		return err
	}
	if c.closedToConsumers() {
		return shmwire.ErrClosed
	}
	return shmwire.ErrEmpty
}

// look copies the slot of a position and says whether the copy is a whole published message of it [dmxp.peek.whole].
func (p *Peeker) look(position uint64) (bool, error) {
	c := p.channel
	slot := c.slot(position)
	s := slot.sequence().Load() // A2: pairs with R2; sequence before meta and payload
	if s == position+1 {
		p.copied = *slot
		shm.Fence() // pairs with F6; the copy before the second look at the sequence
		if s = slot.sequence().Load(); s == position+1 {
			place, length := c.payloadOf(&p.copied)
			if length > place.capacity {
				return false, c.badLength(position, length)
			}
			return !isTombstone(&p.copied), nil
		}
	}
	if s == position || int64(c.entry.head.Load()-position) > 0 {
		return false, nil // claimed, or consumed since the cursors were read
	}
	return false, c.impossible(position, s, c.closedToConsumers())
}

// deliver hands the copy out.
func (p *Peeker) deliver(buffer []byte, message *Message) error {
	place, length := p.channel.payloadOf(&p.copied)
	message.Payload = nil
	if length > uint64(len(buffer)) {
		return &shmwire.Error{Code: shmwire.ErrTooSmall, Needed: int(length)}
	}
	copy(buffer, p.copied[place.offset:place.offset+length])
	message.Payload = buffer[:length]
	message.Position, message.ChannelID = p.position, p.channel.id
	getMeta(&p.copied, &message.Meta)
	return nil
}
