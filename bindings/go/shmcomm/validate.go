// SPDX-License-Identifier: MIT

package shmcomm

import (
	"shmwire"
	"shmwire/internal/shm"
)

// Looks at a whole channel: its header and the frames that it holds.

// held is what one walk over the held frames found.
type held struct {
	frames      uint64
	first, last uint64 // sequences
}

// Validate checks header and frames (section 12), and answers the first finding: ErrCorrupt, or what opening would answer. Of a
// channel that is written meanwhile it looks only at what stays. ErrClosed.
func (o *Observer) Validate() error {
	if o.closed {
		return shmwire.ErrClosed
	}
	state, err := o.file.State()
	if err != nil {
		return err
	}
	if _, err := checkHeader(o.mapping.Window, state.Size); err != nil {
		return err
	}
	for try := 0; try < overtakenMost; try++ {
		if err = o.validateOnce(); err != errAgain {
			return err
		}
	}
	return nil // what it looked at had gone each time
}

// validateOnce answers errAgain when the channel moved on under the walk.
func (s *segment) validateOnce() error {
	rests := s.unlocked() // A1: pairs with R1; the counts of the writer who freed it
	tail := s.tail.Load() // A3: pairs with R3; a head that is not below it
	head := s.head.Load() // A2: pairs with R2; the frames below it
	if err := checkPositions(head, tail, s.capacity); err != nil {
		if !s.isHeld(tail) {
			return errAgain
		}
		return err
	}
	found, err := s.walk(tail, head, nil)
	if err != nil {
		return err
	}
	count, dropped := s.count.Load(), s.dropped.Load()
	shm.Fence() // F5: pairs with F5; the counts before head and the lock
	switch same := s.head.Load() == head && s.unlocked(); {
	case !rests || !same || found.frames == 0:
	case count != found.last+1: // I3
		return shmwire.Errorf(shmwire.ErrCorrupt, "message_count is %d, the last sequence %d", count, found.last)
	case s.pattern == PatternPubsub && dropped != found.first:
		return shmwire.Errorf(shmwire.ErrCorrupt, "dropped_count is %d, the first sequence %d", dropped, found.first)
	}
	return nil
}

func (s *segment) unlocked() bool { return s.lock.Load()&^lockWaiters == lockFree }

// walk goes over the frames of [tail, head) (I2), and shows each to a visitor, if there is one; errAgain when one of them
// may have been overwritten meanwhile.
func (s *segment) walk(tail, head uint64, visit func(at, size uint64)) (found held, err error) {
	for at := tail; at != head; {
		place, size, extent, possible := s.look(at, head)
		var sequence uint64
		if possible {
			sequence = s.headAt(place).sequence()
			if visit != nil {
				visit(place, size)
			}
		}
		switch {
		case !s.isHeld(at):
			return found, errAgain
		case !possible:
			return found, badFrame(place, size)
		case found.frames > 0 && sequence != found.last+1:
			return found, shmwire.Errorf(shmwire.ErrCorrupt, "sequence %d at position %d, behind %d", sequence, place, found.last)
		case found.frames == 0:
			found.first = sequence
		}
		found.last = sequence
		found.frames++
		at = place + extent
	}
	return found, nil
}

// Header is the header as it stands in the segment, by the names of the layout.
type Header struct {
	Magic, Version, Head, Tail, MessageCount, DroppedCount, Capacity, HeartbeatNS, Instance   uint64
	WriterLock, LockEpoch, Pattern, State, DataSignal, DataWaiters, SpaceSignal, SpaceWaiters uint32
	OwnerPID, Serializer, OwnerEndpoint                                                       uint32
}

func (s *segment) header() Header {
	w := s.mapping.Window
	return Header{
		Magic:   w.Atomic64(headerMagicOffset).Load(), // A0: pairs with R0
		Version: w.U64(headerVersionOffset), Capacity: w.U64(headerCapacityOffset), Instance: w.U64(headerInstanceOffset),
		Pattern: w.U32(headerPatternOffset), Serializer: w.U32(headerSerializerOffset),
		Tail: s.tail.Load(), Head: s.head.Load(), // A2, A3: pair with R2, R3
		MessageCount: s.count.Load(), DroppedCount: s.dropped.Load(), HeartbeatNS: s.heartbeat.Load(),
		State:      s.state.Load(), // A7: pairs with R7
		WriterLock: s.lock.Load(), LockEpoch: s.epoch.Load(), DataSignal: s.dataSignal.Load(), DataWaiters: s.dataWaiters.Load(),
		SpaceSignal: s.spaceSignal.Load(), SpaceWaiters: s.spaceWaiters.Load(), OwnerPID: s.ownerPID.Load(),
		OwnerEndpoint: s.ownerEndpoint.Load(),
	}
}

// frames is copies of the messages that are held, as far as they are sound.
func (s *segment) frames() []Message {
	for try := 0; ; try++ {
		var messages []Message
		tail := s.tail.Load() // A3: pairs with R3
		head := s.head.Load() // A2: pairs with R2
		if checkPositions(head, tail, s.capacity) != nil {
			return nil
		}
		_, err := s.walk(tail, head, func(at, size uint64) {
			m := Message{Position: at}
			s.headAt(at).get(&m)
			m.Payload, _ = fetch(s.payloadAt(at, size), nil, intoNew)
			messages = append(messages, m)
		})
		if err != errAgain || try == overtakenMost {
			return messages
		}
	}
}

// Look answers the header as it stands, and copies of the messages that are held. For people and tests; on a live channel
// each field is of one moment, the whole is not. ErrClosed.
func (w *writer) Look() (Header, []Message, error) { return look(w.segment, w.closed) }

// Look answers the header as it stands, and copies of the messages that are held. For people and tests; on a live channel
// each field is of one moment, the whole is not. ErrClosed.
func (t *taker) Look() (Header, []Message, error) { return look(t.segment, t.closed) }

// Look answers the header as it stands, and copies of the messages that are held. For people and tests; on a live channel
// each field is of one moment, the whole is not. ErrClosed.
func (f *follower) Look() (Header, []Message, error) { return look(f.segment, f.closed) }

// Look is that of the request channel.
func (r *Requester) Look() (Header, []Message, error) { return r.requests.Look() }

func look(s *segment, closed bool) (Header, []Message, error) {
	if closed {
		return Header{}, nil, shmwire.ErrClosed
	}
	return s.header(), s.frames(), nil
}
