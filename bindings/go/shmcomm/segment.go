// SPDX-License-Identifier: MIT

package shmcomm

import (
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// segment is a mapped channel: its words, each of which other processes store to as the layout says, and its ring.
type segment struct {
	geometry
	name     string // as other programs may be told it
	path     string
	file     *shm.File // the description that holds an endpoint's bytes; liveness is asked through it
	identity shm.Identity
	mapping  *shm.Mapping
	signals  *shm.Mapping // of subscribers: the first page, writable, for data_waiters; nil: none
	mask     uint64       // capacity - 1
	half     uint64       // longest extent
	ring     shm.Window

	head, tail, count, dropped, heartbeat shm.U64
	lock, epoch, state                    shm.U32
	dataSignal, dataWaiters               shm.U32
	spaceSignal, spaceWaiters             shm.U32
	ownerPID, ownerEndpoint               shm.U32
}

// geometry is what a header says that never changes, checked.
type geometry struct {
	capacity   uint64
	instance   uint64
	pattern    uint32
	serializer uint16
}

// checkHeader is section 3. size is of the file: the window may be shorter than it.
func checkHeader(w shm.Window, size uint64) (g geometry, err error) {
	switch found := w.Atomic64(headerMagicOffset).Load(); found { // A0: pairs with R0; all of the header after it
	case magic:
	case 0: // [shmcomm.segment.not-ready]
		return g, shmwire.Errorf(shmwire.ErrNotReady, "its creator is at work, or has died")
	default: // [shmcomm.segment.magic]
		return g, shmwire.Errorf(shmwire.ErrBadMagic, "magic is %#x", found)
	}
	if found := w.U64(headerVersionOffset); found != version { // [shmcomm.segment.version]
		return g, shmwire.Errorf(shmwire.ErrBadVersion, "version is %d, not %d", found, version)
	}
	serializer := w.U32(headerSerializerOffset)
	state := w.Atomic32(headerStateOffset).Load() // A7: pairs with R7
	g = geometry{w.U64(headerCapacityOffset), w.U64(headerInstanceOffset), w.U32(headerPatternOffset), uint16(serializer)}
	switch { // [shmcomm.segment.geometry]
	case !goodCapacity(g.capacity):
		return g, shmwire.Errorf(shmwire.ErrBadGeometry, "capacity is %d", g.capacity)
	case g.pattern < PatternPubsub || g.pattern > PatternReply:
		return g, shmwire.Errorf(shmwire.ErrBadGeometry, "pattern is %d", g.pattern)
	case state != StateOpen && state != StateClosed:
		return g, shmwire.Errorf(shmwire.ErrBadGeometry, "state is %d", state)
	case serializer > 1<<16-1:
		return g, shmwire.Errorf(shmwire.ErrBadGeometry, "serializer is %d", serializer)
	case size < ringOffset+g.capacity: // [shmcomm.segment.size]
		return g, shmwire.Errorf(shmwire.ErrTruncated, "%d bytes, %d expected", size, ringOffset+g.capacity)
	}
	head, tail := snapshot(w.Atomic64(headerHeadOffset), w.Atomic64(headerTailOffset))
	return g, checkPositions(head, tail, g.capacity)
}

// checkPositions is [shmcomm.segment.positions], for a head that was loaded while tail did not change.
func checkPositions(head, tail, capacity uint64) error {
	if (head|tail)%frameAlign != 0 || head-tail > capacity {
		return shmwire.Errorf(shmwire.ErrCorrupt, "head is %d, tail %d, capacity %d", head, tail, capacity)
	}
	return nil
}

const snapshotLooks = 1 << 10

// snapshot loads head while tail does not change. Where writers and pullers are so busy that no two looks agree, the
// channel is alive, and the last look counts.
func snapshot(headWord, tailWord shm.U64) (head, tail uint64) {
	tail = tailWord.Load() // A3: pairs with R3
	for look := 0; look < snapshotLooks; look++ {
		head = headWord.Load()   // A2: pairs with R2
		again := tailWord.Load() // A3: pairs with R3
		if again == tail {
			return head, tail
		}
		tail = again
	}
	return tail, tail
}

// isReady says whether a file that was found is more than the beginning of a segment: ErrTruncated and ErrNotReady may
// pass with time.
func isReady(err error) bool {
	code := shmwire.CodeOf(err)
	return code != shmwire.ErrTruncated && code != shmwire.ErrNotReady
}

// mapSegment checks a file and maps it; the file stays its caller's. The header is checked through a mapping of its
// own, so that no size in it is believed.
func mapSegment(file *shm.File, path string, readOnly bool) (*segment, error) {
	state, err := file.State()
	if err != nil {
		return nil, err
	}
	if state.Size < headerSize { // [shmcomm.segment.size]
		return nil, shmwire.Errorf(shmwire.ErrTruncated, "%d bytes, at least %d expected", state.Size, headerSize)
	}
	header, err := file.Map(headerSize, true)
	if err != nil {
		return nil, err
	}
	g, err := checkHeader(header.Window, state.Size)
	header.Close()
	if err != nil {
		return nil, err
	}
	mapping, err := file.Map(ringOffset+g.capacity, readOnly)
	if err != nil {
		return nil, err
	}
	mapping.PrefaultAll()
	return newSegment(file, path, state.Identity, mapping, g), nil
}

func newSegment(file *shm.File, path string, identity shm.Identity, mapping *shm.Mapping, g geometry) *segment {
	s := &segment{geometry: g, path: path, file: file, identity: identity, mapping: mapping}
	s.attach(mapping.Window)
	return s
}

// attach finds the words and the ring in a window.
func (s *segment) attach(w shm.Window) {
	s.mask, s.half = s.capacity-1, s.capacity/2
	s.ring = w.Part(ringOffset, s.capacity)
	s.head, s.tail = w.Atomic64(headerHeadOffset), w.Atomic64(headerTailOffset)
	s.count, s.dropped = w.Atomic64(headerMessageCountOffset), w.Atomic64(headerDroppedCountOffset)
	s.heartbeat = w.Atomic64(headerHeartbeatNSOffset)
	s.lock, s.epoch = w.Atomic32(headerWriterLockOffset), w.Atomic32(headerLockEpochOffset)
	s.state = w.Atomic32(headerStateOffset)
	s.dataSignal, s.dataWaiters = w.Atomic32(headerDataSignalOffset), w.Atomic32(headerDataWaitersOffset)
	s.spaceSignal, s.spaceWaiters = w.Atomic32(headerSpaceSignalOffset), w.Atomic32(headerSpaceWaitersOffset)
	s.ownerPID, s.ownerEndpoint = w.Atomic32(headerOwnerPidOffset), w.Atomic32(headerOwnerEndpointOffset)
}

// unmap gives back all but the file.
func (s *segment) unmap() {
	s.mapping.Close()
	if s.signals != nil {
		s.signals.Close()
	}
}

// keeperLives asks for keepers other than the one that holds its bytes through this description.
func (s *segment) keeperLives() (bool, error) {
	return s.file.Locked(keeperBase+1, uint64(MaxEndpoint))
}

// maxPayload is the longest payload, bytes.
func (s *segment) maxPayload() uint64 { return s.half - FrameOverhead }

// extentOf is the extent of a frame of a size up to capacity.
func extentOf(size uint64) uint64 {
	return (frameSequenceOffset + size + frameAlign - 1) &^ (frameAlign - 1)
}

// need is how many bytes a frame of an extent takes at a position, and where it begins there.
func (s *segment) need(position, extent uint64) (need, at uint64) {
	room := s.capacity - position&s.mask
	if extent <= room {
		return extent, position
	}
	return room + extent, position + room
}

// look is steps 2 and 3 of section 7.1 for the frame at c, below head: where it is, behind a SKIP, its size, loaded once,
// and its extent. False when that is impossible; the bytes may have been overwritten meanwhile.
func (s *segment) look(c, head uint64) (at, size, extent uint64, possible bool) {
	left := head - c
	if c%frameAlign != 0 || left > s.capacity {
		return c, 0, 0, false
	}
	if size, extent, possible = s.frameAt(c, left); possible || size != skip || c&s.mask == 0 {
		return c, size, extent, possible
	}
	room := s.capacity - c&s.mask // [shmcomm.receive.skip]
	if room >= left {
		return c, size, 0, false
	}
	size, extent, possible = s.frameAt(c+room, left-room)
	return c + room, size, extent, possible
}

// frameAt is the size, loaded once, and the extent of a frame at c, and whether it can lie in the bytes that are left below head
// [shmcomm.receive.size].
func (s *segment) frameAt(c, left uint64) (size, extent uint64, possible bool) {
	size = s.ring.U64(c & s.mask)
	extent = (size + (frameSequenceOffset + frameAlign - 1)) &^ (frameAlign - 1)
	return size, extent, size-messageHeaderSize <= s.half-messageHeaderSize && extent <= s.half && extent <= left &&
		extent <= s.capacity-c&s.mask
}

func badFrame(position, size uint64) error {
	return shmwire.Errorf(shmwire.ErrCorrupt, "a frame of size %d at position %d", size, position)
}

// openReadOnly attaches a subscriber or an observer, waiting up to patience for a channel that is not there or not ready.
func openReadOnly(locator string, pattern uint32, patience time.Duration, signals bool) (*segment, error) {
	path, err := shmwire.Path(locator)
	if err != nil {
		return nil, err
	}
	name, _, err := shmwire.FullName(locator)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(patience)
	for {
		late := !time.Now().Before(deadline)
		s, err := openOnce(path, pattern, signals)
		if err == nil {
			s.name = name
			return s, nil
		}
		if late || isReady(err) && shmwire.CodeOf(err) != shmwire.ErrNotFound {
			return nil, err
		}
		time.Sleep(readyPoll)
	}
}

// readyPoll is how long to sleep between two looks at a channel that is not there or not ready.
const readyPoll = time.Millisecond

func openOnce(path string, pattern uint32, signals bool) (*segment, error) {
	file, err := shm.OpenFile(path, true)
	if err != nil {
		return nil, err
	}
	s, err := mapSegment(file, path, true)
	if err == nil && pattern != 0 && s.pattern != pattern {
		s.unmap()
		err = wrongPattern(s.pattern, pattern)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	if signals {
		s.mapSignals()
	}
	return s, nil
}

// mapSignals maps the first page once more, writable, if the file's mode allows that [shmcomm.segment.readonly].
func (s *segment) mapSignals() {
	file, err := shm.OpenFile(s.path, false)
	if err != nil {
		return
	}
	defer file.Close()
	if state, err := file.State(); err != nil || state.Identity != s.identity {
		return // another segment has the name by now
	}
	page, err := file.Map(headerSize, false)
	if err != nil {
		return
	}
	s.signals = page
	s.dataSignal, s.dataWaiters = page.Atomic32(headerDataSignalOffset), page.Atomic32(headerDataWaitersOffset)
}

// wrongPattern is [shmcomm.segment.pattern].
func wrongPattern(found, wanted uint32) error {
	return shmwire.Errorf(shmwire.ErrUnsupported, "the channel has pattern %d, not %d", found, wanted)
}
