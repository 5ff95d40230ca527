// SPDX-License-Identifier: MIT

package deepwater

import (
	"sort"

	"shmwire"
)

// Section 6: choosing where to begin, and the questions that are answered without reading.

// Seek goes elsewhere; nothing counts as lost. ErrInvalidArgument, ErrCorrupt, ErrClosed, and what keeps a chunk from being
// opened. ErrNotReady: a writer died over the row that says where [deepwater.read.odd]; the reader stays.
func (r *Reader) Seek(start Start) error {
	if r.place == nil {
		return shmwire.ErrClosed
	}
	switch start.from {
	case fromOldest:
		return r.seekRow(0)
	case fromLatest:
		return r.seekSequence(None)
	case fromTime:
		return r.seekTime(start.at)
	}
	return r.seekSequence(start.at)
}

// nextWritten is the sequence behind the last record that the feed's registry tells of.
func (p *place) nextWritten() uint64 { return p.lastSequence.Load() + 1 } // of None: 0

// seekRow goes to the first row from one on that is not expired; to the end of what was written if there is none. Expired ones
// come first, but for what a power failure took.
func (r *Reader) seekRow(from uint64) error {
	p := r.place
	for id := from; ; {
		written := p.nextWritten() // before count: what was written by then is in the rows below it
		rows, err := p.rows()
		if err != nil {
			return err
		}
		for id = larger(id, p.expiredBelow(rows)); id < rows; id++ {
			found, err := p.loadRow(id)
			if err != nil {
				return err
			}
			if found.state != StateExpired {
				r.goTo(id, found.firstSequence)
				return nil
			}
		}
		if p.count.Load() == rows {
			r.goTo(rows, written)
			return nil
		}
	}
}

// expiredBelow is a row that those below, of so many, need no look for: they have expired. In a feed that does not persist the
// writer keeps liveWindow chunks, and in a rotation, or if it died there, one more [deepwater.expire.window]. In one that persists
// only a power failure takes any, here and there.
func (p *place) expiredBelow(rows uint64) uint64 {
	if kept := uint64(p.liveWindow) + 1; !p.persist && rows > kept {
		return rows - kept
	}
	return 0
}

// countRows is the number of rows below rows that satisfy before, which those behind the first that does not never do: first
// sequences and start times never fall, and are not under the stamp.
func (p *place) countRows(rows uint64, before func(*row) bool) (uint64, error) {
	low, high := uint64(0), rows
	for low < high {
		middle := low + (high-low)/2
		found, err := p.keyOf(middle)
		if err != nil {
			return 0, err
		}
		if before(&found) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}

// seekSequence is [deepwater.read.seek-sequence].
func (r *Reader) seekSequence(sequence uint64) error {
	p := r.place
	written := p.nextWritten()
	rows, err := p.rows()
	if err != nil {
		return err
	}
	count, err := p.countRows(rows, func(found *row) bool { return found.firstSequence <= sequence })
	if err != nil {
		return err
	}
	if sequence > written && rows > 0 { // a writer is, or died, between the record's commit and telling of it
		committed, err := p.committed(rows - 1)
		if err != nil {
			return err
		}
		written = larger(written, committed)
	}
	if sequence > written {
		sequence = written // behind the last one that is there
	}
	if count > 0 {
		count--
	}
	r.goTo(count, sequence)
	return nil
}

// committed is the sequence behind the last record of a row, as its index has it.
func (p *place) committed(id uint64) (uint64, error) {
	found, c, err := p.attach(id)
	if err == shmwire.ErrExpired {
		return found.end(), nil
	}
	if err != nil {
		return 0, err
	}
	defer c.close()
	count, err := c.count() // A4
	return found.firstSequence + count, err
}

// firstAt is the first of count records with that time or a later one; count if there is none.
func (c *chunk) firstAt(count, ns uint64) uint64 {
	return uint64(sort.Search(int(count), func(i int) bool { return c.timestamp(uint64(i)) >= ns }))
}

// seekTime is [deepwater.read.seek-time]: in the last row that begins before that time, or behind it.
func (r *Reader) seekTime(ns uint64) error {
	p := r.place
	rows, err := p.rows()
	if err != nil {
		return err
	}
	before, err := p.countRows(rows, func(found *row) bool { return found.startNS < ns })
	if err != nil {
		return err
	}
	if before == 0 {
		return r.seekRow(0)
	}
	found, c, err := p.attach(before - 1)
	if err == shmwire.ErrExpired {
		return r.seekRow(before)
	}
	if err != nil {
		return err
	}
	defer c.close()
	count, err := c.count() // A4
	if err == nil {
		r.goTo(before-1, found.firstSequence+c.firstAt(count, ns))
	}
	return err
}

// Range calls visit with the records whose timestamps are from fromNS to toNS, both included [deepwater.read.range], until it
// answers false, and leaves the reader at the record behind the last one that was visited. It ends at what is written so far. The
// errors of Seek and Next but ErrEmpty and ErrClosed; after ErrExpired, which a writer at work can cause, records are missing.
// ErrNotReady also behind the records before a row that a writer died over.
func (r *Reader) Range(fromNS, toNS uint64, visit func(*Record) bool) error {
	if err := r.Seek(AtTime(fromNS)); err != nil {
		return err
	}
	for {
		var record Record
		err := r.advance(&record)
		if err == shmwire.ErrEmpty {
			return nil
		}
		if err != nil {
			return err
		}
		if r.held.timestamp(r.index) > toNS {
			return nil
		}
		if err := r.take(&record); err != nil {
			return err
		}
		if !visit(&record) {
			return nil
		}
	}
}

// Save is the reader's place. ErrClosed.
func (r *Reader) Save() (Cursor, error) {
	if r.place == nil {
		return Cursor{}, shmwire.ErrClosed
	}
	return Cursor{ChunkID: r.row, Sequence: r.next}, nil
}

// Restore comes back to a place [deepwater.read.cursor]: the chunk is a hint, the sequence counts. The errors of Seek.
func (r *Reader) Restore(cursor Cursor) error {
	if r.place == nil {
		return shmwire.ErrClosed
	}
	rows, err := r.place.rows()
	if err != nil {
		return err
	}
	if cursor.ChunkID < rows {
		found, err := r.place.loadRow(cursor.ChunkID)
		if err == nil && found.state != StateLive && found.firstSequence <= cursor.Sequence &&
			cursor.Sequence-found.firstSequence < found.recordCount {
			r.goTo(cursor.ChunkID, cursor.Sequence)
			return nil
		}
	}
	return r.seekSequence(cursor.Sequence)
}

// Feed describes the feed. ErrClosed.
func (r *Reader) Feed() (FeedInfo, error) {
	if r.place == nil {
		return FeedInfo{}, shmwire.ErrClosed
	}
	return r.place.describe(), nil
}

// HasDataSince says whether a record of that time or later has been written [deepwater.read.has-data]. ErrClosed.
func (r *Reader) HasDataSince(ns uint64) (bool, error) {
	if r.place == nil {
		return false, shmwire.ErrClosed
	}
	any := r.place.lastSequence.Load() != None // stored behind the timestamp
	return any && r.place.lastTimestamp.Load() >= ns, nil
}

// LatestChunk is the chunk that is being written [deepwater.read.latest-chunk]; ErrNotFound if there is none. ErrCorrupt,
// ErrClosed.
func (r *Reader) LatestChunk() (ChunkInfo, error) {
	if r.place == nil {
		return ChunkInfo{}, shmwire.ErrClosed
	}
	latest := r.place.latest.Load() // A3: pairs with R3; the row that it names
	if latest == None {
		return ChunkInfo{}, shmwire.Errorf(shmwire.ErrNotFound, "no chunk is being written")
	}
	rows, err := r.place.rows()
	if err != nil {
		return ChunkInfo{}, err
	}
	if latest >= rows {
		return ChunkInfo{}, shmwire.Errorf(shmwire.ErrCorrupt, "latest is %d of %d rows", latest, rows)
	}
	return r.Chunk(latest)
}

// Chunk is row number id. ErrNotFound, ErrNotReady (a writer died while it changed the row), ErrCorrupt, ErrClosed.
func (r *Reader) Chunk(id uint64) (ChunkInfo, error) {
	if r.place == nil {
		return ChunkInfo{}, shmwire.ErrClosed
	}
	rows, err := r.place.rows()
	if err != nil {
		return ChunkInfo{}, err
	}
	if id >= rows {
		return ChunkInfo{}, shmwire.Errorf(shmwire.ErrNotFound, "chunk %d", id)
	}
	found, err := r.place.loadRow(id)
	if err != nil {
		return ChunkInfo{}, err
	}
	return r.place.tell(&found), nil
}

// Chunks are all rows, from the first. ErrCorrupt, ErrClosed; ErrNotReady as Chunk, with those before that row.
func (r *Reader) Chunks() ([]ChunkInfo, error) {
	if r.place == nil {
		return nil, shmwire.ErrClosed
	}
	rows, err := r.place.rows()
	if err != nil {
		return nil, err
	}
	chunks := []ChunkInfo{}
	for id := uint64(0); id < rows; id++ {
		info, err := r.Chunk(id)
		if err != nil {
			return chunks, err
		}
		chunks = append(chunks, info)
	}
	return chunks, nil
}

// tell describes a row; a live one with what its index says, if it can be reached.
func (p *place) tell(r *row) ChunkInfo {
	info := ChunkInfo{
		ChunkID: r.id, State: r.state, FirstSequence: r.firstSequence, RecordCount: r.recordCount, StartNS: r.startNS,
		EndNS: r.endNS, DataBytes: r.dataBytes, DataCapacity: r.dataCapacity, DataCRC: r.dataCRC, IndexCRC: r.indexCRC,
		DataName: p.memoryName(r.id, suffixData), IndexName: p.memoryName(r.id, suffixIndex),
	}
	if r.state != StateLive {
		return info
	}
	c, err := p.chunkMemory(r.id, false)
	if err != nil {
		return info
	}
	defer c.close()
	if count, err := c.count(); err == nil && count > 0 {
		info.RecordCount, info.EndNS, info.DataBytes = count, c.timestamp(count-1), c.writePos.Load()
	}
	return info
}
