// SPDX-License-Identifier: MIT

package shmcomm

import (
	"context"
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

// limit is how long a call may wait: for a time, or as long as a context lasts.
type limit struct {
	ctx      context.Context // nil: none
	deadline time.Time
	endless  bool
	none     bool // do not wait at all
}

func withTimeout(timeout time.Duration) limit {
	switch {
	case timeout == 0:
		return limit{none: true}
	case timeout < 0:
		return limit{endless: true}
	}
	return limit{deadline: time.Now().Add(timeout)}
}

func withContext(ctx context.Context) limit {
	deadline, bounded := ctx.Deadline()
	return limit{ctx: ctx, deadline: deadline, endless: !bounded}
}

// done is the answer once the waiting is over, nil before.
func (l *limit) done() error {
	switch {
	case l.ctx != nil:
		return shm.ContextDone(l.ctx)
	case l.none, !l.endless && !time.Now().Before(l.deadline):
		return shmwire.ErrTimeout
	}
	return nil
}

// cancelSlice bounds a single sleep under a context that can be cancelled: nothing wakes a futex when that happens.
const cancelSlice = 5 * time.Millisecond

// slice is how long a single sleep may be, at most longest.
func (l *limit) slice(longest time.Duration) time.Duration {
	if l.ctx != nil && l.ctx.Done() != nil && longest > cancelSlice {
		longest = cancelSlice
	}
	if !l.endless {
		if left := time.Until(l.deadline); left < longest {
			return left
		}
	}
	return longest
}
