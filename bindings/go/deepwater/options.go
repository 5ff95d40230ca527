// SPDX-License-Identifier: MIT

package deepwater

import (
	"time"

	"shmwire"
)

// Forever is a time limit that never passes.
const Forever time.Duration = -1

// Making is what OpenWriter does about a feed that is there, or is not.
type Making int

const (
	OpenOrCreate Making = iota // the default
	CreateOnly                 // ErrExists when it is there
	OpenOnly                   // ErrNotFound when it is not
)

// Options say how a feed is made. Of one that is there already only Mode, Making and Identity count. The zero value of each
// field asks for its default, a nil *Options for all of them.
type Options struct {
	Persist    bool   // chunks are copied to files when they are complete
	ChunkSize  uint64 // bytes of records in a chunk, a multiple of 8 from MinChunk; 0 = DefaultChunk
	LiveWindow uint32 // chunks kept in shared memory, the one being written included; 0 = DefaultWindow
	RecordSize uint32 // bytes of each record, up to ChunkSize; 0 = they vary
	RotateNS   uint64 // age at which a chunk is rotated, nanoseconds of its records' timestamps; 0 = by size only
	Rows       uint32 // chunks that the feed can ever have; 0 = DefaultRows
	Feeds      uint32 // feeds that the base can ever have, if it is made; 0 = DefaultFeeds
	Mode       uint32 // permission bits of what is made, before the umask; 0 = DefaultMode; directories get search in addition
	Making     Making
	Identity   Identity
}

// Identity is what is otherwise asked of the system: for tests and replays. 0 = as always.
type Identity struct {
	PID     uint32
	ClockNS uint64 // for created_ns
	BootNS  uint64 // for heartbeat_ns
}

// ReaderOptions of OpenReader; nil asks for all defaults.
type ReaderOptions struct {
	Start         Start         // where to begin; the default is Oldest
	EndWithWriter bool          // answer ErrClosed at the end when no writer lives [deepwater.read.end]
	ReadOnly      bool          // map nothing writable: waiting then polls, every millisecond
	ReadyTimeout  time.Duration // how long to wait for base and feed; 0 = not at all, Forever = always
	Spin          time.Duration // how long to poll before the first sleep
}

// Start is a place in a feed [deepwater.read.seek-time] [deepwater.read.seek-sequence]. The zero value is Oldest.
type Start struct {
	from origin
	at   uint64
}

type origin int

const (
	fromOldest origin = iota
	fromLatest
	fromTime
	fromSequence
)

var (
	Oldest = Start{}                 // the first record that is left: the default
	Latest = Start{from: fromLatest} // behind the last record
)

// AtTime is the first record with a timestamp of ns or later, in whichever chunk; behind the last one if there is none.
func AtTime(ns uint64) Start { return Start{fromTime, ns} }

// AtSequence is the record of that sequence, or behind the last one if it is not there yet.
func AtSequence(sequence uint64) Start { return Start{fromSequence, sequence} }

// Cursor is a reader's place, to be stored as the application likes and come back to in this or another reader of the feed
// [deepwater.read.cursor].
type Cursor struct {
	ChunkID  uint64
	Sequence uint64 // of the record that comes next
}

// withDefaults is a checked copy [deepwater.feed.argument].
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.ChunkSize == 0 {
		c.ChunkSize = DefaultChunk
	}
	for _, field := range []struct {
		value    *uint32
		fallback uint32
	}{{&c.LiveWindow, DefaultWindow}, {&c.Rows, DefaultRows}, {&c.Feeds, DefaultFeeds}, {&c.Mode, DefaultMode}} {
		if *field.value == 0 {
			*field.value = field.fallback
		}
	}
	switch {
	case !goodChunkSize(c.ChunkSize):
		return c, shmwire.Errorf(shmwire.ErrInvalidArgument, "a chunk size of %d bytes is no multiple of %d from %d to %d",
			c.ChunkSize, recordAlign, MinChunk, maxChunk)
	case uint64(c.RecordSize) > c.ChunkSize:
		return c, shmwire.Errorf(shmwire.ErrInvalidArgument, "records of %d bytes in chunks of %d", c.RecordSize, c.ChunkSize)
	case c.Rows > maxRows || c.Feeds > maxFeeds:
		return c, shmwire.Errorf(shmwire.ErrInvalidArgument, "%d rows or %d feeds", c.Rows, c.Feeds)
	case c.Mode&^0o777 != 0:
		return c, shmwire.Errorf(shmwire.ErrInvalidArgument, "mode %#o", c.Mode)
	case c.Making < OpenOrCreate || c.Making > OpenOnly:
		return c, shmwire.Errorf(shmwire.ErrInvalidArgument, "making %d", c.Making)
	}
	return c, nil
}

func goodChunkSize(size uint64) bool {
	return size >= MinChunk && size <= maxChunk && size%recordAlign == 0
}
