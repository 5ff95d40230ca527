// SPDX-License-Identifier: MIT

package dmxp

import (
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Channel is an attached channel with its geometry checked. Its methods may be called from any number of goroutines.
type Channel struct {
	segment *Segment
	id      uint32

	// Geometry as it was found; never loaded again.
	capacity   uint64
	mask       uint64
	bandOffset uint64
	removals   uint64 // of the entry, before it was looked at
	band       []byte
	counted    bool

	// The entry's shared words.
	entry entry

	place      placement // of payloads that are sent, and received unless byMessage
	maxPayload uint64    // the longest that a message here can carry
	byMessage  bool
	runtime    uint16
	noRuntime  bool // sender_runtime stays 0 whatever the caller says

	spin      time.Duration
	sleepHook func()
}

// entry refers to the shared words of a channel entry.
type entry struct {
	window          shm.Window
	offset          uint64
	capacity        shm.U64
	bandOffset      shm.U64
	signal          shm.U32
	waiters         shm.U32
	retiredCapacity shm.U64
	tail            shm.U64
	head            shm.U64
	removals        shm.U64
}

// ChannelInfo is a channel as its entry shows it: a snapshot, unchecked.
type ChannelInfo struct {
	ID              uint32
	Flags           uint32
	Capacity        uint64 // slots; 0 = removed or never there
	BandOffset      uint64 // bytes
	RetiredCapacity uint64
	Removals        uint64 // how often a channel of this entry has been removed
	Head            uint64 // next position to be consumed
	Tail            uint64 // next position to be produced
	Signal          uint32
	Waiters         uint32
}

// entryAt needs id < MaxChannels.
func (s *Segment) entryAt(id uint32) entry {
	w, at := s.window, channelTableOffset+uint64(id)*channelSize
	return entry{
		window:          w,
		offset:          at,
		capacity:        w.Atomic64(at + channelCapacityOffset),
		bandOffset:      w.Atomic64(at + channelBandOffsetOffset),
		signal:          w.Atomic32(at + channelSignalOffset),
		waiters:         w.Atomic32(at + channelWaitersOffset),
		retiredCapacity: w.Atomic64(at + channelRetiredCapacityOffset),
		tail:            w.Atomic64(at + channelTailOffset),
		head:            w.Atomic64(at + channelHeadOffset),
		removals:        w.Atomic64(at + channelRemovalsOffset),
	}
}

func (e entry) id() uint32    { return e.window.U32(e.offset + channelChannelIDOffset) }
func (e entry) flags() uint32 { return e.window.U32(e.offset + channelFlagsOffset) }

// Channels lists the ids of the live channels, ascending.
func (s *Segment) Channels() ([]uint32, error) {
	if err := s.readable(); err != nil {
		return nil, err
	}
	ids := []uint32{}
	for id := uint32(0); id < MaxChannels; id++ {
		if s.entryAt(id).capacity.Load() != 0 { // A1: pairs with R1
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// ChannelInfo looks at an entry, for operators. ErrInvalidArgument for an id above 255.
func (s *Segment) ChannelInfo(id uint32) (ChannelInfo, error) {
	if err := s.readable(); err != nil {
		return ChannelInfo{}, err
	}
	if err := checkID(id); err != nil {
		return ChannelInfo{}, err
	}
	e := s.entryAt(id)
	info := ChannelInfo{Capacity: e.capacity.Load()} // A1: pairs with R1; capacity before the rest of the entry
	info.ID, info.Flags = e.id(), e.flags()
	info.BandOffset, info.RetiredCapacity = e.bandOffset.Load(), e.retiredCapacity.Load()
	info.Head, info.Tail, info.Removals = e.head.Load(), e.tail.Load(), e.removals.Load()
	info.Signal, info.Waiters = e.signal.Load(), e.waiters.Load()
	return info, nil
}

func checkID(id uint32) error {
	if id >= MaxChannels {
		return shmwire.Errorf(shmwire.ErrInvalidArgument, "channel %d", id)
	}
	return nil
}

// Attach checks a channel's entry and attaches to it [dmxp.channel.*]. ErrNotFound, ErrBadGeometry, ErrCorrupt. There
// is nothing to detach: a Channel is ordinary memory and lives no longer than its segment is open.
func (s *Segment) Attach(id uint32, options ...AttachOption) (*Channel, error) {
	if err := s.readable(); err != nil {
		return nil, err
	}
	if err := checkID(id); err != nil {
		return nil, err
	}
	channel, err := s.checkEntry(id)
	if err != nil {
		return nil, err
	}
	for _, option := range options {
		option(channel)
	}
	return channel, nil
}

// checkEntry loads each field of an entry once, checks it, and keeps it.
func (s *Segment) checkEntry(id uint32) (*Channel, error) {
	e := s.entryAt(id)
	removals := e.removals.Load() // A6: pairs with R6; before capacity, so that a removal in between is found later
	capacity := e.capacity.Load() // A1: pairs with R1; capacity before the rest of the entry [dmxp.channel.absent]
	bandOffset := e.bandOffset.Load()
	if capacity == 0 {
		return nil, shmwire.Errorf(shmwire.ErrNotFound, "channel %d", id)
	}
	if err := checkBand(id, capacity, bandOffset, s.window.Size()); err != nil {
		return nil, err
	}
	if err := s.checkOverlap(id, capacity, bandOffset); err != nil {
		return nil, err
	}
	if found := e.id(); found != id { // [dmxp.channel.id]
		return nil, shmwire.Errorf(shmwire.ErrBadGeometry, "channel %d: channel_id is %d", id, found)
	}
	if head, tail, sound := e.cursors(capacity); !sound {
		return nil, shmwire.Errorf(shmwire.ErrCorrupt, "channel %d: head %d, tail %d, capacity %d", id, head, tail, capacity)
	}
	channel := &Channel{
		segment: s, id: id, capacity: capacity, mask: capacity - 1, bandOffset: bandOffset, removals: removals,
		band: s.window.Bytes(bandOffset, capacity*slotSize), counted: e.flags()&ChannelCountedWaiters != 0, entry: e,
		place: s.writePlacement(), byMessage: s.choosesByMessage(), runtime: s.runtime, noRuntime: s.zeroRuntime(),
	}
	channel.maxPayload = channel.place.capacity // by message, the crate's is the larger one
	return channel, nil
}

// checkBand is [dmxp.channel.capacity] and [dmxp.channel.band].
func checkBand(id uint32, capacity, bandOffset, size uint64) error {
	if !shm.IsPowerOfTwo(capacity) || capacity < MinCapacity {
		return shmwire.Errorf(shmwire.ErrBadGeometry, "channel %d: capacity %d", id, capacity)
	}
	end, fits := shm.Extent(bandOffset, capacity, slotSize)
	if bandOffset%bandAlign != 0 || bandOffset < HeaderSize || !fits || end > size {
		return shmwire.Errorf(shmwire.ErrBadGeometry, "channel %d: band of %d slots at %d in %d bytes",
			id, capacity, bandOffset, size)
	}
	return nil
}

// checkOverlap compares a sound band with those of all other live channels, sound or not [dmxp.channel.overlap].
func (s *Segment) checkOverlap(id uint32, capacity, bandOffset uint64) error {
	end := bandOffset + capacity*slotSize
	for other := uint32(0); other < MaxChannels; other++ {
		e := s.entryAt(other)
		slots := e.capacity.Load() // A1: pairs with R1
		if other == id || slots == 0 {
			continue
		}
		start := e.bandOffset.Load()
		stop, fits := shm.Extent(start, slots, slotSize)
		if start < end && (!fits || bandOffset < stop) {
			return shmwire.Errorf(shmwire.ErrBadGeometry, "the bands of channels %d and %d overlap", id, other)
		}
	}
	return nil
}

// cursors is a snapshot in which head did not change while tail was read, and false if tail - head is above capacity
// in it [dmxp.channel.cursors]. When consumers are so busy that no two looks agree, the channel is alive, and a tail
// that was read before its head then means an empty one.
func (e entry) cursors(capacity uint64) (head, tail uint64, sound bool) {
	head = e.head.Load() // A5: pairs with R5; the tail of every position below head
	for look := 0; look < cursorLooks; look++ {
		tail = e.tail.Load()
		again := e.head.Load() // A5
		if again == head {
			return head, tail, tail-head <= capacity
		}
		head = again
	}
	if tail-head > capacity {
		tail = head
	}
	return head, tail, true
}

const cursorLooks = 64

// ID is the channel's index.
func (c *Channel) ID() uint32 { return c.id }

// Capacity is in slots.
func (c *Channel) Capacity() uint64 { return c.capacity }

// PayloadCapacity is the longest payload that can be sent, in bytes.
func (c *Channel) PayloadCapacity() int { return int(c.place.capacity) }

// MaxPayload is the longest payload that can be received, in bytes: a buffer of this size is never too small.
func (c *Channel) MaxPayload() int { return int(c.maxPayload) }

// Prefault maps the pages of the channel's band, so that the first messages cost no page faults. A hint.
func (c *Channel) Prefault() {
	if c.segment.readable() == nil {
		c.segment.mapping.Prefault(c.bandOffset, c.capacity*slotSize)
	}
}

// slot is the slot of a position.
func (c *Channel) slot(position uint64) *slot {
	at := (position & c.mask) * slotSize
	return (*slot)(c.band[at : at+slotSize])
}

// closedToProducers says whether the channel is no longer the one attached to [dmxp.channel.closed]. It looks at the
// line of signal, which producers write anyway.
func (c *Channel) closedToProducers() bool {
	return c.entry.capacity.Load() != c.capacity || c.entry.bandOffset.Load() != c.bandOffset // A1: pairs with R1
}

// closedToConsumers says the same to consumers and lookers, who look at the line of head and leave the producers
// theirs.
func (c *Channel) closedToConsumers() bool { return c.entry.removals.Load() != c.removals }

// CreateChannel makes channel id (0 to 255), under the segment lock, for which it waits [dmxp.channel.lock,
// .placement, .commit]. ErrExists; ErrTooLarge when the segment has no room for the band; ErrInvalidArgument;
// ErrPermission; ErrSystem.
func (s *Segment) CreateChannel(id uint32, options ...ChannelOption) error {
	config := channelConfig{capacity: DefaultCapacity}
	for _, option := range options {
		option(&config)
	}
	if config.capacity == 0 {
		config.capacity = DefaultCapacity
	}
	if err := checkID(id); err != nil {
		return err
	}
	if !shm.IsPowerOfTwo(config.capacity) || config.capacity < MinCapacity {
		return shmwire.Errorf(shmwire.ErrInvalidArgument, "capacity %d", config.capacity)
	}
	if err := s.writable(); err != nil {
		return err
	}
	unlock, err := s.mapping.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	return s.createLocked(id, &config)
}

func (s *Segment) createLocked(id uint32, config *channelConfig) error {
	e := s.entryAt(id)
	if e.capacity.Load() != 0 {
		return shmwire.Errorf(shmwire.ErrExists, "channel %d", id)
	}
	first, fits := e.firstPosition(config.capacity)
	if !fits {
		return shmwire.Errorf(shmwire.ErrCorrupt, "channel %d: no positions are left above %d", id, e.tail.Load())
	}
	start, err := s.freeBand()
	if err != nil {
		return err
	}
	end, fits := shm.Extent(start, config.capacity, slotSize)
	if !fits || end > s.window.Size() {
		return shmwire.Errorf(shmwire.ErrTooLarge, "%d slots at %d in %d bytes", config.capacity, start, s.window.Size())
	}
	if err := s.mapping.Reserve(start, end-start); err != nil {
		return err
	}
	flags := uint32(0)
	if config.counted {
		flags = ChannelCountedWaiters
	}
	s.writeEntry(id, start, config.capacity, flags, first)
	return nil
}

// freeBand is the first aligned byte after every live and every retired band [dmxp.channel.placement]. The caller
// holds the lock.
func (s *Segment) freeBand() (uint64, error) {
	free := HeaderSize
	for id := uint32(0); id < MaxChannels; id++ {
		e := s.entryAt(id)
		slots := e.capacity.Load()
		if slots == 0 {
			slots = e.retiredCapacity.Load()
		}
		if slots == 0 {
			continue
		}
		end, fits := shm.Extent(e.bandOffset.Load(), slots, slotSize)
		if !fits || end > s.window.Size() {
			return 0, shmwire.Errorf(shmwire.ErrBadGeometry, "channel %d: %d slots do not fit the segment", id, slots)
		}
		if end > free {
			free = end
		}
	}
	return (free + bandAlign - 1) &^ (bandAlign - 1), nil
}

// firstPosition is where both cursors of a new channel start: above every position that the entry's channels have
// had, so that positions never come again [dmxp.channel.start]. False when none is left.
func (e entry) firstPosition(capacity uint64) (uint64, bool) {
	used, fits := shm.Extent(e.tail.Load(), e.retiredCapacity.Load(), 1)
	first := (used + capacity - 1) &^ (capacity - 1)
	return first, fits && first >= used
}

// writeEntry fills the entry and the band's sequences, and commits. signal and waiters stay: sleepers of a removed
// channel of the same index are still counted there until they wake.
func (s *Segment) writeEntry(id uint32, start, capacity uint64, flags uint32, first uint64) {
	for i := uint64(0); i < capacity; i++ {
		s.window.PutU64(start+i*slotSize+slotSequenceOffset, first+i)
	}
	e := s.entryAt(id)
	s.window.PutU32(e.offset+channelChannelIDOffset, id)
	s.window.PutU32(e.offset+channelFlagsOffset, flags)
	e.tail.Store(first)
	e.head.Store(first)
	// The new band before the end of the retired one: whoever dies in between leaves an entry that keeps the room
	// below.
	e.bandOffset.Store(start)
	e.retiredCapacity.Store(0)
	s.storeCount(s.liveCount() + 1)
	// R1: pairs with A1; entry and sequences before capacity [dmxp.channel.commit].
	e.capacity.Store(capacity)
}

// RemoveChannel removes channel id under the segment lock [dmxp.channel.remove]. Its messages are gone; its users get
// ErrClosed. ErrNotFound, ErrInvalidArgument, ErrPermission.
func (s *Segment) RemoveChannel(id uint32) error {
	if err := checkID(id); err != nil {
		return err
	}
	if err := s.writable(); err != nil {
		return err
	}
	unlock, err := s.mapping.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	e := s.entryAt(id)
	capacity := e.capacity.Load()
	if capacity == 0 {
		return shmwire.Errorf(shmwire.ErrNotFound, "channel %d", id)
	}
	e.retiredCapacity.Store(capacity)
	e.capacity.Store(0)                     // R1: pairs with A1; retired_capacity before capacity 0
	e.removals.Store(e.removals.Load() + 1) // R6: pairs with A6; capacity 0 before removals. Only the lock's holder writes it
	s.storeCount(s.liveCount())
	e.signal.Add(1) // R4, S5: pairs with A4; the removal before the signal
	shm.Wake(e.signal, everySleeper)
	return nil
}

const everySleeper = 1<<31 - 1

func (s *Segment) liveCount() uint32 {
	count := uint32(0)
	for id := uint32(0); id < MaxChannels; id++ {
		if s.entryAt(id).capacity.Load() != 0 {
			count++
		}
	}
	return count
}

func (s *Segment) storeCount(count uint32) { s.window.Atomic32(headerChannelCountOffset).Store(count) }
