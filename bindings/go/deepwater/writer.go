// SPDX-License-Identifier: MIT

package deepwater

import (
	"encoding/binary"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"shmwire"
)

const beatEvery = 4096 // records without a look at the clock

// Writer is the one writer of a feed, for one goroutine at a time. It is alone: what it stores it remembers, and it loads nothing
// that it stored.
type Writer struct {
	place        *place // nil once closed
	live         *chunk // nil before the first record
	row          uint64 // of it
	used         uint64 // bytes of it
	entries      uint64 // records in it
	firstNS      uint64 // timestamp of its first record
	lastNS       uint64
	nextSequence uint64
	rows         uint64 // of the feed
	inMemory     uint64 // rows below it are in shared memory no more
	beatNS       uint64 // of the heartbeat last stored
	bootNS       uint64 // instead of the clock; 0: ask
	unbeaten     uint32 // records since
	pid, mode    uint32
	kept         [reuseWindow + 1]*chunk // sealed ones in the window, by id, modulo that
	spare        *chunk                  // one that left, under the names of the chunk to come; or nil
}

// OpenWriter makes or finds the feed, takes its lock, and recovers what a dead writer left. options may be nil. ErrBusy: another
// writer lives. ErrExists, ErrNotFound (Options.Making), ErrFull (no room in the base's registry), ErrClosed (retired),
// ErrInvalidName, ErrInvalidArgument, ErrTruncated, ErrNotReady, ErrBadMagic, ErrBadVersion, ErrBadGeometry, ErrCorrupt,
// ErrPermission, ErrSystem.
func OpenWriter(base, feed string, options *Options) (*Writer, error) {
	full, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	p, err := findOrMake(base, feed, &full)
	if err != nil {
		return nil, err
	}
	w := &Writer{place: p, mode: full.Mode, bootNS: full.Identity.BootNS, pid: full.Identity.PID}
	if w.pid == 0 {
		w.pid = uint32(os.Getpid())
	}
	if err = p.lock(); err == nil {
		err = w.begin()
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return w, nil
}

// begin mends what a dead writer left, and goes on behind it. The lock is ours.
func (w *Writer) begin() error {
	p := w.place
	if p.isRetired() {
		return shmwire.ErrClosed // [deepwater.feed.retired]
	}
	var err error
	if _, w.nextSequence, w.lastNS, err = p.recover(w.mode, uint64(p.liveWindow)); err != nil {
		return err
	}
	if w.rows, err = p.rows(); err != nil {
		return err
	}
	if w.rows > uint64(p.liveWindow) {
		w.inMemory = w.rows - uint64(p.liveWindow)
	}
	p.writerPID.StoreRelaxed(w.pid)
	w.beatNS = bootTime(w.bootNS)
	p.heartbeat.StoreRelaxed(w.beatNS)
	return nil
}

// bootTime is CLOCK_BOOTTIME, or what stands for it in tests.
func bootTime(injected uint64) uint64 {
	var now unix.Timespec
	if injected != 0 || unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return injected
	}
	return uint64(now.Nano())
}

func (w *Writer) beat() {
	w.unbeaten = 0
	if now := bootTime(w.bootNS); now-w.beatNS >= heartbeatNS {
		w.beatNS = now
		w.place.heartbeat.StoreRelaxed(now)
	}
}

// Append appends a record of any type and answers its sequence [deepwater.append.commit]. ErrOutOfOrder: earlier than the record
// before. ErrInvalidArgument: not of the feed's record size. ErrTooLarge: longer than a chunk. ErrFull: the feed has no row left.
// ErrSystem, ErrPermission: shared memory or the disk refused a new chunk, or (ErrSystem) the disk to persist the old one,
// which is tried again with the next chunk; the record was not appended. ErrClosed.
func (w *Writer) Append(timestampNS uint64, kind uint32, data []byte) (sequence uint64, err error) {
	if err := w.prepare(timestampNS, data); err != nil {
		return 0, err
	}
	sequence = w.nextSequence
	w.put(timestampNS, kind, data)
	w.commit()
	return sequence, nil
}

// AppendBatch appends records in order, and wakes readers once for as many as go into one chunk. done is how many were appended,
// beside an error, too, which is that of the record behind them. The errors of Append.
func (w *Writer) AppendBatch(parts []Part) (done int, err error) {
	open := false // records that are not committed
	for ; done < len(parts); done++ {
		part := &parts[done]
		if open && !w.fits(part.TimestampNS, uint64(len(part.Data))) {
			w.commit() // before the chunk is left
			open = false
		}
		if err = w.prepare(part.TimestampNS, part.Data); err != nil {
			break
		}
		w.put(part.TimestampNS, part.Type, part.Data)
		open = true
	}
	if open {
		w.commit()
	}
	return done, err
}

// Rotate begins a new chunk now; the old one is sealed, and persisted if the feed persists. Without a live chunk that has records
// there is nothing to do. The errors of Append.
func (w *Writer) Rotate() error {
	if w.place == nil {
		return shmwire.ErrClosed
	}
	if w.live == nil || w.entries == 0 {
		return nil
	}
	return w.rotate()
}

// Feed describes the feed. ErrClosed.
func (w *Writer) Feed() (FeedInfo, error) {
	if w.place == nil {
		return FeedInfo{}, shmwire.ErrClosed
	}
	return w.place.describe(), nil
}

// zero clears bytes.
func zero(bytes []byte) {
	for i := range bytes {
		bytes[i] = 0
	}
}

// offset is where the next record goes.
func (w *Writer) offset() uint64 {
	if w.place.recordSize != 0 {
		return w.used
	}
	return (w.used + recordAlign - 1) &^ (recordAlign - 1)
}

// fits is [deepwater.rotate.when].
func (w *Writer) fits(timestampNS, length uint64) bool {
	live, p := w.live, w.place
	if live == nil || w.entries >= live.indexCapacity {
		return false
	}
	if offset := w.offset(); offset > live.dataCapacity || length > live.dataCapacity-offset {
		return false
	}
	return p.rotateNS == 0 || w.entries == 0 || timestampNS-w.firstNS < p.rotateNS || timestampNS < w.firstNS
}

// prepare is steps 1 and 2 of appending.
func (w *Writer) prepare(timestampNS uint64, data []byte) error {
	p := w.place
	if p == nil {
		return shmwire.ErrClosed
	}
	length := uint64(len(data))
	switch {
	case p.recordSize != 0 && length != uint64(p.recordSize): // [deepwater.append.size]
		return shmwire.Errorf(shmwire.ErrInvalidArgument, "%d bytes, records have %d", length, p.recordSize)
	case length > p.chunkSize || length > math.MaxUint32:
		return shmwire.Errorf(shmwire.ErrTooLarge, "%d bytes, chunks have %d", length, p.chunkSize)
	case timestampNS < w.lastNS: // [deepwater.append.time]
		return shmwire.Errorf(shmwire.ErrOutOfOrder, "%d after %d", timestampNS, w.lastNS)
	case w.fits(timestampNS, length):
		return nil
	}
	return w.rotate()
}

// put is steps 3 to 5: everything of a record but what commits it.
func (w *Writer) put(timestampNS uint64, kind uint32, data []byte) {
	live, offset := w.live, w.offset()
	if w.entries == 0 {
		w.firstNS = timestampNS
		w.place.rowAt(w.row).Atomic64(rowStartNSOffset).StoreRelaxed(timestampNS) // R4 publishes it
	}
	live.makeReady(offset+uint64(len(data)), w.entries+1)
	if offset > w.used { // [deepwater.append.placing]
		zero(live.bytes(w.used, offset-w.used)) // the memory may be that of an earlier chunk
	}
	copy(live.bytes(offset, uint64(len(data))), data)
	entry, le := live.entry(w.entries), binary.LittleEndian
	le.PutUint64(entry[recordTimestampNSOffset:], timestampNS)
	le.PutUint64(entry[recordOffsetOffset:], offset)
	le.PutUint32(entry[recordLengthOffset:], uint32(len(data)))
	le.PutUint32(entry[recordTypeOffset:], kind)
	le.PutUint64(entry[recordSequenceOffset:], w.nextSequence) // [deepwater.append.sequence]
	w.nextSequence++
	w.used = offset + uint64(len(data))
	w.entries++
	w.lastNS = timestampNS
}

// commit is steps 6 to 8 [deepwater.append.commit] [deepwater.append.header].
func (w *Writer) commit() {
	p := w.place
	w.live.writePos.StoreRelaxed(w.used)
	w.live.entryCount.StoreRelease(w.entries) // R4: pairs with A4; bytes, entries and start_ns of the records below it
	p.lastTimestamp.StoreRelaxed(w.lastNS)
	p.lastSequence.StoreRelease(w.nextSequence - 1)
	if w.unbeaten++; w.unbeaten >= beatEvery {
		w.beat()
	}
	p.wake()
}

// rotate is [deepwater.rotate.order]: chunk, row, count, latest, and the old chunk last.
func (w *Writer) rotate() error {
	p := w.place
	id := w.rows
	if id >= uint64(p.capacity) {
		return shmwire.Errorf(shmwire.ErrFull, "%d chunks", id) // [deepwater.rotate.full]
	}
	if err := w.fillRow(id); err != nil {
		return err
	}
	fresh, err := w.makeNext(id)
	if err != nil {
		return err
	}
	p.count.StoreRelease(id + 1) // R2: pairs with A2; the row, and the chunk that it names
	p.latest.StoreRelease(id)    // R3: pairs with A3; the count
	w.rows = id + 1
	err = w.finishLive()
	w.live, w.row = fresh, id
	w.used, w.entries, w.firstNS = 0, 0, 0
	w.offer()
	if expired := p.expire(id+1, uint64(p.liveWindow), w.mode, &w.inMemory); err == nil {
		err = expired
	}
	w.settle()
	return err
}

// makeNext makes chunk id, of memory that was there before if that can be.
func (w *Writer) makeNext(id uint64) (*chunk, error) {
	if c := w.takeSpare(id); c != nil {
		return c, nil
	}
	return w.place.makeChunk(id, w.mode, w.pid)
}

// fillRow writes a row beyond count: nobody reads it yet.
func (w *Writer) fillRow(id uint64) error {
	p := w.place
	if err := p.file.Reserve(feedRegistrySize+id*rowSize, rowSize); err != nil {
		return err // a full disk answers here and not by a fault
	}
	row := p.rowAt(id)
	zero(row.Bytes(0, rowSize))
	row.PutU64(rowChunkIDOffset, id)
	row.PutU64(rowFirstSequenceOffset, w.nextSequence)
	row.PutU64(rowDataCapacityOffset, p.chunkSize)
	row.Atomic32(rowStateOffset).StoreRelaxed(StateLive) // published by R2, as all of this
	row.Atomic64(rowStartNSOffset).StoreRelaxed(w.lastNS)
	return p.flush() // a count that came to the disk without it would lead to zeros
}

// finishLive seals the chunk that was live, if there is one, and persists it if the feed does.
func (w *Writer) finishLive() error {
	if w.live == nil {
		return nil
	}
	defer w.keep(w.live)
	r, err := w.place.ownRow(w.row)
	if err != nil {
		return err
	}
	w.place.seal(w.live, w.entries, w.used, &r)
	if w.place.persist {
		return w.place.persistChunk(w.live, w.mode, &r)
	}
	return nil
}

// Close flushes and leaves [deepwater.leave.flush]: it answers the first error of that. What could not be persisted stays in
// shared memory, for the next writer or Collect. The writer is closed in every case; a second Close answers ErrClosed.
func (w *Writer) Close() error {
	p := w.place
	if p == nil {
		return shmwire.ErrClosed
	}
	err := p.flush() // the count that covers the chunk, before its files
	if finished := w.finishLive(); err == nil {
		err = finished
	}
	if expired := p.expire(w.rows, 0, w.mode, &w.inMemory); err == nil {
		err = expired
	}
	if w.spare != nil {
		w.withdraw()
	}
	p.latest.Store(None) // R3: pairs with A3
	p.writerPID.StoreRelaxed(0)
	if flushed := p.flush(); err == nil {
		err = flushed
	}
	p.unlock()
	p.wake() // readers that end with the writer: they find no lock now
	w.keepNothing()
	p.close()
	*w = Writer{}
	return err
}
