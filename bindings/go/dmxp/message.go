// SPDX-License-Identifier: MIT

package dmxp

import (
	"encoding/binary"
	"os"
	"time"

	"shmwire/internal/shm"
)

// Meta is what travels beside a payload. On sending, the zero value of each field asks for its default, and a nil
// *Meta for all defaults; a received Meta can be sent on as it is.
type Meta struct {
	MessageID     uint64 // the sender's number for the message, if ExplicitID; otherwise the position is sent
	TimestampNS   uint64 // since the Unix epoch; 0 on sending = now. Passing the time saves a clock call
	MessageType   uint32 // the application's
	SenderPID     uint32 // 0 on sending = this process
	SenderRuntime uint16 // a Runtime value; 0 on sending = the handle's
	Flags         uint16 // bits 0 to 14 the application's; bit 15 is refused on sending
	ExplicitID    bool   // MessageID is to be sent; true in received messages
}

// Message is a received or looked-at message.
type Message struct {
	Payload   []byte // in the receiver's buffer
	Position  uint64 // in channel order, from 0
	ChannelID uint32 // of the channel it was read from
	Meta      Meta
}

// Item is one message of a batch to send. Meta may be nil.
type Item struct {
	Data []byte
	Meta *Meta
}

// slot is the bytes of one slot in the mapping: an array, so that the compiler sees that the offsets lie in it.
type slot [slotSize]byte

func (s *slot) sequence() shm.U64 { return shm.Word64(s[:], slotSequenceOffset) }

// processID is looked up once: a Go process does not fork without exec, and a system call for each message would cost
// more than the rest of it.
var processID = uint32(os.Getpid())

func now() uint64 { return uint64(time.Now().UnixNano()) }

// putMeta fills every meta field of a claimed slot, and no other byte [dmxp.produce.meta, .extent]. clock is the
// time for messages without one of their own.
func (c *Channel) putMeta(slot *slot, position uint64, length uint32, meta *Meta, clock uint64) {
	id, timestamp, messageType, pid, runtime, flags := position, clock, uint32(0), processID, c.runtime, uint16(0)
	if meta != nil {
		if meta.ExplicitID {
			id = meta.MessageID
		}
		if meta.TimestampNS != 0 {
			timestamp = meta.TimestampNS
		}
		if meta.SenderPID != 0 {
			pid = meta.SenderPID
		}
		if meta.SenderRuntime != 0 {
			runtime = meta.SenderRuntime
		}
		messageType, flags = meta.MessageType, meta.Flags
	}
	if c.noRuntime {
		runtime = RuntimeUnspecified // [dmxp.layout.runtime]
	}
	le := binary.LittleEndian
	le.PutUint64(slot[slotMessageIDOffset:], id)
	le.PutUint64(slot[slotTimestampNSOffset:], timestamp)
	le.PutUint32(slot[slotChannelIDOffset:], c.id)
	le.PutUint32(slot[slotMessageTypeOffset:], messageType)
	le.PutUint32(slot[slotSenderPidOffset:], pid)
	le.PutUint16(slot[slotSenderRuntimeOffset:], runtime)
	le.PutUint16(slot[slotFlagsOffset:], flags)
	le.PutUint32(slot[slotPayloadLenOffset:], length)
}

// getMeta copies the meta of a slot.
func getMeta(slot *slot, meta *Meta) {
	le := binary.LittleEndian
	meta.MessageID = le.Uint64(slot[slotMessageIDOffset:])
	meta.TimestampNS = le.Uint64(slot[slotTimestampNSOffset:])
	meta.MessageType = le.Uint32(slot[slotMessageTypeOffset:])
	meta.SenderPID = le.Uint32(slot[slotSenderPidOffset:])
	meta.SenderRuntime = le.Uint16(slot[slotSenderRuntimeOffset:])
	meta.Flags = le.Uint16(slot[slotFlagsOffset:])
	meta.ExplicitID = true
}

// payloadOf is where a message's payload lies and its length, loaded once, hostile or not. Slots hold no more than
// placement.capacity; the caller compares.
func (c *Channel) payloadOf(slot *slot) (placement, uint64) {
	place := c.place
	if c.byMessage && binary.LittleEndian.Uint16(slot[slotSenderRuntimeOffset:]) == RuntimeUnspecified {
		place = documentLayout // [dmxp.layout.auto]
	}
	return place, uint64(binary.LittleEndian.Uint32(slot[slotPayloadLenOffset:]))
}

func isTombstone(slot *slot) bool {
	return binary.LittleEndian.Uint16(slot[slotFlagsOffset:])&MessageTombstone != 0
}
