// SPDX-License-Identifier: MIT

package deepwater

import (
	"context"

	"shmwire"
	"shmwire/internal/shm"
)

// The registry of one feed, which says where its chunks are. One writer changes it, under its lock; readers map it and ask
// nobody.

const feedFile = "feed_registry.bin"

// place is a feed: its entry as it was checked, its directory, its registry.
type place struct {
	base          base
	registry      registry
	entry         shm.Window
	name          string
	directoryName string
	id            uint32
	chunkSize     uint64
	liveWindow    uint32
	recordSize    uint32
	rotateNS      uint64
	persist       bool
	directory     *shm.Directory
	file          *shm.File // of its registry, on which the writer's lock is held
	mapping       *shm.Mapping
	capacity      uint32 // rows
	locked        bool   // by us
	header
}

// header is the words of the registry that change.
type header struct {
	count, latest, lastTimestamp, lastSequence, heartbeat shm.U64
	writerPID, signal, waiters                            shm.U32
}

func (p *place) close() {
	if p.mapping != nil {
		p.mapping.Close()
	}
	p.unlock()
	p.file.Close()
	p.directory.Close()
	p.registry.close()
	p.base.directory.Close()
	*p = place{}
}

func feedExtent(capacity uint32) uint64 { return feedRegistrySize + uint64(capacity)*rowSize }

// makeFeed makes the registry of a feed; under the global lock. One that is there is of a maker that died before it made the
// entry: nobody can have found it.
func makeFeed(directory *shm.Directory, id uint32, options *Options) error {
	file, err := directory.OpenFile(feedFile, shm.ToMake, options.Mode)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Clear(feedExtent(options.Rows)); err != nil {
		return err
	}
	if err := file.Reserve(0, feedRegistrySize); err != nil {
		return err
	}
	m, err := file.Map(feedRegistrySize, false)
	if err != nil {
		return err
	}
	m.PutU32(feedRegistryVersionOffset, version)
	m.PutU32(feedRegistryRowSizeOffset, uint32(rowSize))
	m.PutU32(feedRegistryCapacityOffset, options.Rows)
	m.PutU64(feedRegistryFeedIDOffset, uint64(id))
	m.Atomic64(feedRegistryLatestOffset).StoreRelaxed(None) // published by R0, as all of this
	m.Atomic64(feedRegistryLastSequenceOffset).StoreRelaxed(None)
	m.Atomic64(feedRegistryMagicOffset).StoreRelease(feedMagic) // R0: pairs with A0; the header
	if err := m.Close(); err != nil || !options.Persist {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return directory.Sync()
}

// openFeed opens the registry of the feed and checks it.
func (p *place) openFeed(writable bool) error {
	how := shm.ToRead
	if writable {
		how = shm.ToWrite
	}
	var err error
	if p.file, err = p.directory.OpenFile(feedFile, how, 0); err != nil {
		return err
	}
	state, err := p.file.State()
	if err != nil {
		return err
	}
	if state.Size < feedRegistrySize {
		return shmwire.Errorf(shmwire.ErrTruncated, "%s has %d bytes", feedFile, state.Size) // [deepwater.open.size]
	}
	if p.mapping, err = mapLockable(p.file, state.Size, !writable); err != nil {
		return err
	}
	return p.checkFeed()
}

func (p *place) checkFeed() error {
	w := p.mapping.Window
	// A0: pairs with R0; the header after it
	if err := checkMagic(w.Atomic64(feedRegistryMagicOffset).Load(), feedMagic, feedFile); err != nil {
		return err
	}
	if v := w.U32(feedRegistryVersionOffset); v != version {
		return shmwire.Errorf(shmwire.ErrBadVersion, "%s has version %d", feedFile, v) // [deepwater.open.version]
	}
	p.capacity = w.U32(feedRegistryCapacityOffset)
	if size := uint64(w.U32(feedRegistryRowSizeOffset)); size != rowSize || p.capacity == 0 || p.capacity > maxRows {
		return shmwire.Errorf(shmwire.ErrBadGeometry, "%d rows of %d bytes", p.capacity, size) // [deepwater.open.geometry]
	}
	if need := feedExtent(p.capacity); need > w.Size() {
		return shmwire.Errorf(shmwire.ErrTruncated, "%s needs %d bytes and has %d", feedFile, need, w.Size())
	}
	p.header = header{
		count: w.Atomic64(feedRegistryCountOffset), latest: w.Atomic64(feedRegistryLatestOffset),
		lastTimestamp: w.Atomic64(feedRegistryLastTimestampNSOffset),
		lastSequence:  w.Atomic64(feedRegistryLastSequenceOffset), heartbeat: w.Atomic64(feedRegistryHeartbeatNSOffset),
		writerPID: w.Atomic32(feedRegistryWriterPidOffset), signal: w.Atomic32(feedRegistrySignalOffset),
		waiters: w.Atomic32(feedRegistryWaitersOffset),
	}
	_, err := p.rows()
	return err
}

// lock takes the writer's lock [deepwater.feed.one-writer].
func (p *place) lock() error {
	taken, err := p.file.LockByte(lockByte)
	if err == nil && !taken {
		err = shmwire.Errorf(shmwire.ErrBusy, "feed %q has a writer", p.name)
	}
	p.locked = err == nil
	return err
}

// unlock gives it back, at once, even while a child between fork and exec has the descriptor.
func (p *place) unlock() {
	if p.locked {
		p.file.UnlockByte(lockByte)
		p.locked = false
	}
}

// writerLives says whether a writer other than this one lives. When the system does not say: yes.
func (p *place) writerLives() bool {
	locked, err := p.file.Locked(lockByte, 1)
	return locked || err != nil
}

// rows is the number of rows, checked at every use [deepwater.open.count].
func (p *place) rows() (uint64, error) {
	rows := p.count.Load() // A2: pairs with R2; the rows below it
	if rows > uint64(p.capacity) {
		return 0, shmwire.Errorf(shmwire.ErrCorrupt, "%d rows, room for %d", rows, p.capacity)
	}
	return rows, nil
}

// row is the fields of a row at one moment.
type row struct {
	id, firstSequence, recordCount, startNS, endNS, dataBytes, dataCapacity uint64
	stamp, state, dataCRC, indexCRC                                         uint32
}

// end is the sequence behind the row's last record.
func (r *row) end() uint64 { return r.firstSequence + r.recordCount }

// rowAt is the bytes of a row below capacity.
func (p *place) rowAt(id uint64) shm.Window {
	return p.mapping.Part(feedRegistrySize+id*rowSize, rowSize)
}

// rawRow is the row as it lies there, whatever its stamp.
func rawRow(w shm.Window) row {
	return row{
		stamp:         w.Atomic32(rowStampOffset).Load(), // A5: pairs with R5; the fields of the change before
		id:            w.U64(rowChunkIDOffset),
		state:         w.Atomic32(rowStateOffset).Load(),
		firstSequence: w.U64(rowFirstSequenceOffset),
		recordCount:   w.Atomic64(rowRecordCountOffset).Load(),
		startNS:       w.Atomic64(rowStartNSOffset).Load(),
		endNS:         w.Atomic64(rowEndNSOffset).Load(),
		dataBytes:     w.Atomic64(rowDataBytesOffset).Load(),
		dataCapacity:  w.U64(rowDataCapacityOffset),
		dataCRC:       w.Atomic32(rowDataCrcOffset).Load(),
		indexCRC:      w.Atomic32(rowIndexCrcOffset).Load(),
	}
}

// loadRow is a row below count [deepwater.read.row]. ErrNotReady: a writer died while it changed the row; id, firstSequence, startNS
// and dataCapacity, which are not under the stamp, are good all the same [deepwater.read.odd].
func (p *place) loadRow(id uint64) (row, error) {
	w := p.rowAt(id)
	stamp := w.Atomic32(rowStampOffset)
	var backoff shm.Backoff
	alone := false // no writer lived before this look
	for look := uint32(0); look < rowLooks; look++ {
		r := rawRow(w)
		shm.Fence() // F6: pairs with F6; if a field is of a change under way, the stamp below shows it
		if r.stamp&1 == 0 && stamp.Load() == r.stamp {
			if r.id != id || r.state < StateLive || r.state > StateExpired {
				return r, shmwire.Errorf(shmwire.ErrCorrupt, "row %d is of chunk %d in state %d", id, r.id, r.state)
			}
			return r, nil
		}
		if r.id != id {
			return r, shmwire.Errorf(shmwire.ErrCorrupt, "row %d is of chunk %d", id, r.id) // no change touches it
		}
		if alone && r.stamp&1 != 0 {
			return r, shmwire.Errorf(shmwire.ErrNotReady, "a writer died while it changed row %d: the next one, or Collect, mends it", id)
		}
		alone = look >= attachTries && !p.writerLives()
		backoff.Pause(context.Background())
	}
	return row{}, shmwire.Errorf(shmwire.ErrCorrupt, "row %d keeps changing", id)
}

// isOdd says that loadRow met a row that a dead writer left odd.
func isOdd(err error) bool {
	return err != nil && err != shmwire.ErrEmpty && shmwire.CodeOf(err) == shmwire.ErrNotReady // the first two are often, and cheap
}

// keyOf is loadRow where only what is not under the stamp counts.
func (p *place) keyOf(id uint64) (row, error) {
	r, err := p.loadRow(id)
	if isOdd(err) {
		err = nil
	}
	return r, err
}

// ownRow is loadRow by who holds the lock and has recovered: nobody else changes a row, so that an odd one is ErrCorrupt.
func (p *place) ownRow(id uint64) (row, error) {
	r, err := p.loadRow(id)
	if isOdd(err) {
		err = shmwire.Errorf(shmwire.ErrCorrupt, "row %d is odd, and nobody else may change it", id)
	}
	return r, err
}

// storeRow stores the fields that change, under the stamp; who holds the lock [deepwater.row.stamp].
func (p *place) storeRow(r *row) {
	w := p.rowAt(r.id)
	stamp := w.Atomic32(rowStampOffset)
	even := stamp.Load() &^ 1 // odd of a writer that died within a change
	stamp.StoreRelaxed(even + 1)
	shm.Fence() // F6: pairs with F6; the odd stamp before the fields
	w.Atomic32(rowStateOffset).Store(r.state)
	w.Atomic64(rowRecordCountOffset).Store(r.recordCount)
	w.Atomic64(rowEndNSOffset).Store(r.endNS)
	w.Atomic64(rowDataBytesOffset).Store(r.dataBytes)
	w.Atomic32(rowDataCrcOffset).Store(r.dataCRC)
	w.Atomic32(rowIndexCrcOffset).Store(r.indexCRC)
	stamp.StoreRelease(even + 2) // R5: pairs with A5; the fields
}

// flush writes rows and header to the disk.
func (p *place) flush() error { return p.file.SyncData() }

// wake is the writer's side of section 7 [deepwater.wait.wake] [deepwater.wait.no-call].
func (p *place) wake() {
	// S8: pairs with S8 of a reader that goes to sleep; our commit before the load of waiters: we see it, or it sees the commit
	shm.FullFence()
	if p.waiters.Load() != 0 {
		p.wakeAll()
	}
}

func (p *place) wakeAll() {
	p.waiters.Store(0)
	p.signal.Add(1) // R7: pairs with A7; the waiters wiped out, and the commit, before the signal
	shm.Wake(p.signal, ^uint32(0))
}

// describe tells of the feed.
func (p *place) describe() FeedInfo {
	return FeedInfo{
		Name: p.name, Directory: p.directoryName, FeedID: p.id, Flags: p.flags(), ChunkSize: p.chunkSize,
		LiveWindow: p.liveWindow, RecordSize: p.recordSize, CreatedNS: p.entry.U64(feedCreatedNSOffset),
		RotateNS: p.rotateNS, Chunks: p.count.Load(),
		Latest:          p.latest.Load(), // A3: pairs with R3; the row that it names
		LastSequence:    p.lastSequence.Load(),
		LastTimestampNS: p.lastTimestamp.Load(), HeartbeatNS: p.heartbeat.Load(), WriterPID: p.writerPID.Load(),
		Waiters: p.waiters.Load(), WriterLives: p.locked || p.writerLives(),
	}
}
