// SPDX-License-Identifier: MIT

package shmcomm

import (
	"encoding/binary"
	"time"

	"shmwire"
)

// Meta is what a sender may say about a message. nil: now, the channel's serializer, flags 0.
type Meta struct {
	TimestampNS uint64 // nanoseconds since the Unix epoch; 0 = now. Passing the time saves a clock call
	ContentType uint16 // ContentRaw … ContentNdarray, or the application's
	Flags       uint16 // the application's
}

// Message is a message as received.
type Message struct {
	Payload       []byte // in the receiver's buffer; of a View, in the segment
	Sequence      uint64 // messages published in the channel before
	TimestampNS   uint64 // time of sending, nanoseconds since the Unix epoch
	CorrelationID uint64 // pairs a request and its reply; 0 in other patterns
	Lost          uint64 // subscribers: sequences lost between the message delivered before and this one [shmcomm.receive.lost]
	Position      uint64 // of its frame in the ring's count of bytes
	Sender        uint32 // endpoint number of the sender
	ContentType   uint16
	Flags         uint16
	taken         time.Duration // repliers: when it was taken, see uptime
}

// uptime is a monotonic clock of this process.
func uptime() time.Duration { return time.Since(processStart) }

var processStart = time.Now()

// heading is the message header as it goes into a frame.
type heading struct {
	timestamp   uint64
	correlation uint64
	contentType uint16
	flags       uint16
}

// heading is what a sender says, filled up [shmcomm.send.content].
func (w *writer) heading(meta *Meta) heading {
	if meta == nil {
		return heading{timestamp: w.clock.now(), contentType: w.serializer}
	}
	h := heading{timestamp: meta.TimestampNS, contentType: meta.ContentType, flags: meta.Flags}
	if h.timestamp == 0 {
		h.timestamp = w.clock.now()
	}
	return h
}

// clock tells nanoseconds since the Unix epoch, for half of what time.Now costs, which asks two clocks: it asks the monotonic
// one, and both now and then. Whoever sets the system's clock is noticed within clockTrust. The zero value is ready for use.
type clock struct {
	asked time.Time // both clocks
	wall  uint64    // as it was then
}

const clockTrust = 10 * time.Millisecond

func (c *clock) now() uint64 {
	if passed := time.Since(c.asked); passed < clockTrust {
		return c.wall + uint64(passed)
	}
	c.asked = time.Now()
	c.wall = uint64(c.asked.UnixNano())
	return c.wall
}

// frameHead is a frame up to its payload: an array, so that the compiler sees that the offsets lie in it.
type frameHead [frameSize]byte

// put fills size and message header [shmcomm.send.frame] [shmcomm.send.sender].
func (f *frameHead) put(h *heading, length, sequence uint64, sender uint32) {
	le := binary.LittleEndian
	le.PutUint64(f[frameSizeOffset:], messageHeaderSize+length)
	le.PutUint64(f[frameSequenceOffset:], sequence)
	le.PutUint64(f[frameTimestampNSOffset:], h.timestamp)
	le.PutUint64(f[frameCorrelationIDOffset:], h.correlation)
	le.PutUint32(f[frameSenderOffset:], sender)
	le.PutUint16(f[frameContentTypeOffset:], h.contentType)
	le.PutUint16(f[frameFlagsOffset:], h.flags)
}

// get reads all but payload, position and what the receiver adds.
func (f *frameHead) get(m *Message) {
	le := binary.LittleEndian
	m.Sequence = le.Uint64(f[frameSequenceOffset:])
	m.TimestampNS = le.Uint64(f[frameTimestampNSOffset:])
	m.CorrelationID = le.Uint64(f[frameCorrelationIDOffset:])
	m.Sender = le.Uint32(f[frameSenderOffset:])
	m.ContentType = le.Uint16(f[frameContentTypeOffset:])
	m.Flags = le.Uint16(f[frameFlagsOffset:])
}

func (f *frameHead) sequence() uint64 { return binary.LittleEndian.Uint64(f[frameSequenceOffset:]) }

func (f *frameHead) correlation() uint64 {
	return binary.LittleEndian.Uint64(f[frameCorrelationIDOffset:])
}

// headAt is the head of a frame that look found at a position.
func (s *segment) headAt(position uint64) *frameHead {
	return (*frameHead)(s.ring.Bytes(position&s.mask, frameSize))
}

// how says where a payload goes.
type how int

const (
	intoBuffer how = iota
	intoNew        // a buffer of its own
	inPlace        // it stays where it is
)

// fetch answers the payload of a frame where it was asked for, and false when there is no room for it
// [shmcomm.receive.too-small]. Other processes may be storing to the same bytes: the caller finds out afterwards.
func fetch(payload, buffer []byte, to how) ([]byte, bool) {
	switch {
	case to == inPlace:
		return payload, true
	case to == intoNew:
		buffer = make([]byte, len(payload))
	case len(buffer) < len(payload):
		return nil, false
	}
	copy(buffer, payload)
	return buffer[:len(payload):len(payload)], true
}

func (s *segment) payloadAt(position, size uint64) []byte {
	return s.ring.Bytes(position&s.mask+frameSize, size-messageHeaderSize)
}

func tooSmall(size uint64) error {
	return &shmwire.Error{Code: shmwire.ErrTooSmall, Needed: int(size - messageHeaderSize)}
}
