// SPDX-License-Identifier: MIT

package shmcomm

import "shmwire"

// Info is the header of a channel, and what an endpoint has done.
type Info struct {
	Capacity      uint64 // bytes of the ring
	MaxPayload    uint64 // bytes, capacity / 2 - FrameOverhead
	Head          uint64
	Tail          uint64
	MessageCount  uint64
	DroppedCount  uint64
	Instance      uint64
	HeartbeatNS   uint64 // CLOCK_BOOTTIME
	Pattern       uint32
	State         uint32
	WriterLock    uint32
	LockEpoch     uint32
	DataSignal    uint32
	DataWaiters   uint32
	SpaceSignal   uint32
	SpaceWaiters  uint32
	OwnerPID      uint32
	OwnerEndpoint uint32
	Serializer    uint32
	Endpoint      uint32 // the number of this endpoint; 0 for subscribers and observers
	KeeperLives   bool   // false: stale
	Sent          uint64
	Received      uint64
	Lost          uint64 // subscribers: sequences overwritten before they came to them
	Refused       uint64 // sends that were answered ErrFull or ErrTimeout for want of room
	Discarded     uint64 // requesters: replies that came too late
	Unanswered    uint64 // repliers: replies that were dropped because the requester is gone
	Takeovers     uint64 // locks taken from dead owners
}

// info is the header.
func (s *segment) info() Info {
	return Info{
		Capacity: s.capacity, MaxPayload: s.maxPayload(), Instance: s.instance, Pattern: s.pattern,
		Serializer: uint32(s.serializer),
		Tail:       s.tail.Load(), Head: s.head.Load(), // A2, A3: pair with R2, R3
		MessageCount: s.count.Load(), DroppedCount: s.dropped.Load(), HeartbeatNS: s.heartbeat.Load(),
		State:      s.state.Load(), // A7: pairs with R7
		WriterLock: s.lock.Load(), LockEpoch: s.epoch.Load(), DataSignal: s.dataSignal.Load(), DataWaiters: s.dataWaiters.Load(),
		SpaceSignal: s.spaceSignal.Load(), SpaceWaiters: s.spaceWaiters.Load(), OwnerPID: s.ownerPID.Load(),
		OwnerEndpoint: s.ownerEndpoint.Load(),
	}
}

// endpointInfo adds the endpoint. A keeper's own bytes are not seen through its own description.
func (e *endpoint) endpointInfo() (Info, error) {
	info := e.info()
	lives, err := e.keeperLives()
	info.Endpoint, info.KeeperLives, info.Takeovers = e.number, lives || e.keeper, e.takeovers
	return info, err
}

// Info describes channel and endpoint. ErrClosed, ErrSystem.
func (w *writer) Info() (Info, error) {
	if w.closed {
		return Info{}, shmwire.ErrClosed
	}
	info, err := w.endpointInfo()
	info.Sent, info.Refused = w.sent, w.refused
	return info, err
}

// SegmentName is the segment's name with its leading slash, or its path.
func (s *segment) SegmentName() string { return s.name }

// Info describes channel and endpoint. ErrClosed, ErrSystem.
func (t *taker) Info() (Info, error) {
	if t.closed {
		return Info{}, shmwire.ErrClosed
	}
	info, err := t.endpointInfo()
	info.Received = t.received
	return info, err
}

// Info describes the channel, and what was received. ErrClosed, ErrSystem.
func (f *follower) Info() (Info, error) {
	if f.closed {
		return Info{}, shmwire.ErrClosed
	}
	info := f.info()
	info.Received, info.Lost = f.received, f.lost
	lives, err := f.keeperLives()
	info.KeeperLives = lives
	return info, err
}

// Info describes the request channel, and what was sent and received. ErrClosed, ErrSystem.
func (r *Requester) Info() (Info, error) {
	info, err := r.requests.Info()
	info.Received, info.Discarded = r.replies.received, r.replies.discarded
	return info, err
}

// SegmentName is that of the request channel.
func (r *Requester) SegmentName() string { return r.requests.SegmentName() }

// ReplySegmentName is that of the reply channel.
func (r *Requester) ReplySegmentName() string { return r.replies.SegmentName() }

// Info describes the request channel, and what was received and answered. ErrClosed, ErrSystem.
func (r *Replier) Info() (Info, error) {
	info, err := r.taker.Info()
	info.Sent, info.Unanswered = r.answered, r.unanswered
	return info, err
}
