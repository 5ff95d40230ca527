// SPDX-License-Identifier: MIT

package shmcomm

import (
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Making is what publishers, pushers and repliers do about a channel that is there, or is not. Others never make one.
type Making int

const (
	JoinOrCreate Making = iota // the default
	CreateOnly                 // ErrExists when it is there
	JoinOnly                   // ErrNotFound when it is still absent after the waiting time
)

// Forever is a time limit that never passes.
const Forever time.Duration = -1

// Options of an endpoint. The zero value of each field asks for its default, a nil *Options for all of them.
type Options struct {
	Capacity     uint64        // bytes, a power of two, of a channel that is made, and of a requester's reply channel
	Mode         uint32        // permission bits of what is made, before the umask; 0 = DefaultMode
	Serializer   uint16        // content type of messages whose sender does not say, of a channel that is made
	Making       Making        // of publishers, pushers, repliers
	Oldest       bool          // subscribers: begin with the oldest message held, not with the next one [shmcomm.receive.start]
	ReadOnly     bool          // subscribers: map nothing writable; waiting then polls
	Sole         bool          // publishers, pushers: hold the writers' lock from open to close; others get ErrBusy
	TellLost     bool          // subscribers: answer ErrLapped once, with Message.Lost, before a message behind a loss
	NoWait       bool          // do not wait for a channel that is not there or not ready
	ReadyTimeout time.Duration // how long to wait for one; 0 = DefaultReadyTimeoutNS
	Spin         time.Duration // receivers: how long to poll before the first sleep
	Identity     Identity
}

// Identity is what is otherwise drawn at random or asked of the system: for tests and replays. 0 = as always.
type Identity struct {
	Endpoint      uint32 // endpoint number, up to MaxEndpoint; ErrBusy if it is taken
	PID           uint32 // for owner_pid
	Instance      uint64 // of a segment that is made
	BootNS        uint64 // for heartbeat_ns
	CorrelationID uint64 // of the first request
}

// withDefaults is a checked copy; writes says whether it is for a publisher or a pusher.
func (o *Options) withDefaults(writes bool) (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Mode == 0 {
		c.Mode = DefaultMode
	}
	if c.ReadyTimeout == 0 {
		c.ReadyTimeout = time.Duration(DefaultReadyTimeoutNS)
	}
	if c.NoWait {
		c.ReadyTimeout = 0
	}
	switch {
	case c.Capacity != 0 && !goodCapacity(c.Capacity): // [shmcomm.segment.argument]
		return c, shmwire.Errorf(shmwire.ErrInvalidArgument, "a capacity of %d bytes is no power of two from %d to %d",
			c.Capacity, MinCapacity, MaxCapacity)
	case c.Sole && !writes:
		return c, shmwire.Errorf(shmwire.ErrInvalidArgument, "only publishers and pushers can be sole writers")
	case c.Mode&^0o777 != 0:
		return c, shmwire.Errorf(shmwire.ErrInvalidArgument, "mode %#o", c.Mode)
	case c.Making < JoinOrCreate || c.Making > JoinOnly:
		return c, shmwire.Errorf(shmwire.ErrInvalidArgument, "making %d", c.Making)
	case c.Identity.Endpoint > MaxEndpoint:
		return c, shmwire.Errorf(shmwire.ErrInvalidArgument, "endpoint %d", c.Identity.Endpoint)
	}
	return c, nil
}

func goodCapacity(bytes uint64) bool {
	return shm.IsPowerOfTwo(bytes) && bytes >= MinCapacity && bytes <= MaxCapacity
}
