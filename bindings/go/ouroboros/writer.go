// SPDX-License-Identifier: MIT

package ouroboros

import (
	"shmwire"
	"shmwire/internal/shm"
)

// Writer is the writer of a log, for one goroutine at a time. It keeps its state to itself: a write touches the entry,
// the header behind it, and once a chunk a row.
type Writer struct {
	segment
	cursor    uint64 // where the next entry goes. The size of the segment: the next entry wraps, the mark is there
	entries   uint64 // written since the segment was made
	limit     uint64 // the next chunk begins with the first entry at or after this offset
	guard     uint64 // least offset of a row above the current chunk; noOffset when there is none
	longest   uint64 // payload, bytes
	target    uint64
	chunk     uint32
	guardRow  uint32 // the row of guard
	committed bool   // is the current chunk's row?
	ordered   bool   // offsets of rows ascend, as all writers leave them; a segment that was taken over may differ
}

// WriterInfo describes a writer and its log. Sizes are in bytes.
type WriterInfo struct {
	Size           uint64 // of the segment
	ChunkTarget    uint64
	MaxPayload     uint64
	EntriesWritten uint64 // since the segment was made, by all of its writers
	ChunkCount     uint32
}

const noOffset = ^uint64(0)

// Create makes a log and becomes its writer. shmwire.ErrExists when the name is taken, and then nothing is touched
// [ouroboros.segment.create]; ErrInvalidArgument (sizes that leave no room for one entry), ErrInvalidName, ErrPermission,
// ErrSystem. A failed call leaves nothing behind.
func Create(name string, options ...CreateOption) (*Writer, error) {
	config := createConfig{}
	for _, option := range options {
		option.applyCreate(&config)
	}
	if err := config.complete(); err != nil {
		return nil, err
	}
	mapping, err := shm.Create(name, config.size, config.size, config.mode)
	if err != nil {
		return nil, err
	}
	// Nobody asks for the lock before the magic is there.
	if err := mapping.Claim(true); err != nil {
		mapping.Close()
		shmwire.Unlink(name)
		return nil, err
	}
	w := &Writer{}
	w.begin(mapping, mapping.Window, &config)
	return w, nil
}

// begin fills a window of zeros and publishes it: only what differs is stored [ouroboros.segment.init].
func (w *Writer) begin(mapping *shm.Mapping, window shm.Window, config *createConfig) {
	w.take(mapping, window, config.chunkCount)
	w.cursor, w.target = w.dataOffset, config.target
	w.settle(w.cursor)
	window.PutU32(headerVersionOffset, version)
	window.PutU32(headerChunkCountOffset, config.chunkCount)
	w.commitRow(w.dataOffset)
	// R0: pairs with A0; version, chunk count and row 0 before the magic
	window.Atomic64(headerMagicOffset).Store(magic)
}

// settle derives what a writer keeps from its segment and its chunk, which begins at an offset.
func (w *Writer) settle(offset uint64) {
	w.setLimit(offset)
	w.longest = w.maxPayload()
	w.ordered = w.rowsAscend()
	w.findGuard(w.chunk + 1)
	if w.mapping != nil {
		w.mapping.PrefaultAll()
	}
}

// setLimit: the last chunk goes on to the end of the segment.
func (w *Writer) setLimit(offset uint64) {
	w.limit = noOffset
	if end := offset + w.target; w.chunk+1 < w.chunkCount && end >= offset {
		w.limit = end
	}
}

// Close gives the log up and unmaps it. The segment stays. A second Close answers ErrClosed.
func (w *Writer) Close() error {
	if !w.closed.Set() {
		return shmwire.ErrClosed
	}
	w.mapping.Unclaim()
	return w.mapping.Close()
}

// Info describes the writer.
func (w *Writer) Info() WriterInfo {
	return WriterInfo{
		Size: w.size, ChunkTarget: w.target, MaxPayload: w.longest, EntriesWritten: w.entries, ChunkCount: w.chunkCount,
	}
}

// Write appends one entry of 1 to MaxPayload bytes and answers its sequence. It never waits, never fails for want of
// room, and allocates nothing. ErrInvalidArgument for 0 bytes, ErrTooLarge, ErrClosed.
func (w *Writer) Write(data []byte) (uint64, error) {
	if n := uint64(len(data)); !w.takes(n) {
		return 0, w.refuse(n)
	}
	w.append(data)
	return w.entries, nil
}

// WriteBatch appends an entry for each item, or none, and answers the sequence of the first. Readers see them one after
// the other, as they do those of Write. The errors of Write, and ErrInvalidArgument for no items.
func (w *Writer) WriteBatch(items [][]byte) (uint64, error) {
	if len(items) == 0 {
		return 0, shmwire.Errorf(shmwire.ErrInvalidArgument, "a batch of no items")
	}
	for _, data := range items {
		if n := uint64(len(data)); !w.takes(n) {
			return 0, w.refuse(n)
		}
	}
	first := w.entries + 1
	for _, data := range items {
		w.append(data)
	}
	return first, nil
}

// takes says whether an entry of so many bytes can be written. 0 are too many, too.
func (w *Writer) takes(n uint64) bool { return n-1 < w.longest && !w.closed.IsSet() }

func (w *Writer) refuse(n uint64) error {
	switch {
	case w.closed.IsSet():
		return shmwire.ErrClosed
	case n == 0:
		return shmwire.Errorf(shmwire.ErrInvalidArgument, "a payload of 0 bytes") // [ouroboros.write.empty]
	}
	return shmwire.Errorf(shmwire.ErrTooLarge, "%d bytes, at most %d", n, w.longest) // [ouroboros.write.too-large]
}

// turn sees to it that an entry of so many bytes fits at the cursor, and belongs to the current chunk.
func (w *Writer) turn(length uint64) {
	if w.cursor+length > w.size {
		w.wrap()
	} else { // [ouroboros.write.next-chunk]
		w.beginChunk(w.chunk + 1)
	}
}

// wrap goes on in chunk 0, because the entry does not fit before the end [ouroboros.write.wrap].
func (w *Writer) wrap() {
	if w.headerFits(w.cursor) {
		// R3: pairs with A3; all entries of the lap before the mark
		w.header(w.cursor).StoreRelease(lengthWrap | entryCommitted)
	}
	w.cursor = w.dataOffset
	w.beginChunk(0)
}

// beginChunk begins a chunk at the cursor [ouroboros.write.begin]. Readers of the row's old chunk have to hear of it
// before any of its bytes goes.
func (w *Writer) beginChunk(chunk uint32) {
	w.rowOffset(chunk).StoreRelease(w.cursor) // R1: pairs with A1; uncommitted before it has the new token
	w.rowToken(chunk).StoreRelease(w.entries) // R2: pairs with A2; the new token only with the new offset
	shm.Fence()                               // F4: pairs with F5; both before what overwrites the old lap
	w.chunk, w.committed = chunk, false
	w.setLimit(w.cursor)
	if chunk == 0 || w.guardRow == chunk || !w.ordered {
		w.findGuard(chunk + 1)
	}
}

// ownOffset is a row's offset, without the commit bit. Nobody else stores there, so any order will do.
func (w *Writer) ownOffset(i uint32) uint64 { return w.rowOffset(i).Load() &^ rowCommitted }

// rowsAscend says whether the offsets of rows ascend. A row that was begun and not written to may break that in a
// segment that was taken over.
func (w *Writer) rowsAscend() bool {
	highest := uint64(0)
	for i := uint32(1); i < w.chunkCount; i++ {
		offset := w.ownOffset(i)
		if offset != 0 && offset < highest {
			return false
		}
		if offset != 0 {
			highest = offset
		}
	}
	return true
}

// findGuard finds the row above the current chunk whose chunk begins lowest. Where offsets ascend that is the first one,
// from a given row on, that describes a chunk.
func (w *Writer) findGuard(first uint32) {
	if !w.ordered {
		first = w.chunk + 1
	}
	w.guard, w.guardRow = noOffset, w.chunkCount
	for i := first; i < w.chunkCount; i++ {
		offset := w.ownOffset(i)
		if offset == 0 || offset >= w.guard {
			continue
		}
		w.guard, w.guardRow = offset, i
		if w.ordered {
			return
		}
	}
}

// clearRows clears every row above the current chunk that begins below end [ouroboros.write.clear].
func (w *Writer) clearRows(end uint64) {
	for w.guard < end {
		row := w.guardRow
		w.rowOffset(row).StoreRelease(0) // R1: pairs with A1
		w.rowToken(row).StoreRelease(0)  // R2: pairs with A2
		w.findGuard(row + 1)
	}
	shm.Fence() // F4: pairs with F5; no byte of those chunks goes before readers can know
}

// append is section 4 of the specification, with sizes that have been checked.
func (w *Writer) append(data []byte) {
	length := uint64(len(data)) + entryHeaderSize
	if w.cursor+length > w.size || w.cursor >= w.limit {
		w.turn(length)
	}
	cursor := w.cursor
	next := after(cursor, length)
	end, followed := next, w.headerFits(next)
	if followed {
		end += entryHeaderSize
	}
	if w.guard < end {
		w.clearRows(end)
	}
	header := w.header(cursor)
	// Not committed: what follows is not to be read yet. A release store by the chapter, which this is: on amd64 each store is one, and
	// what comes before it were stores by a call, past which Go moves nothing.
	header.StoreRelaxed(uint32(length))
	copy(w.window.Bytes(cursor+entryHeaderSize, uint64(len(data))), data)
	// R3: pairs with A3; payload and next header before the header [ouroboros.write.commit]
	if committed := uint32(length) | entryCommitted; followed {
		// Bytes of the lap before are no entry behind ours [ouroboros.write.next-header].
		shm.StoreReleaseBoth(w.header(next), lengthNone, header, committed)
	} else {
		header.StoreRelease(committed)
	}
	if !w.committed {
		w.commitRow(cursor)
	}
	w.cursor = next
	w.entries++
}

// commitRow commits the row of the current chunk, which begins at an offset.
func (w *Writer) commitRow(offset uint64) {
	// R1: pairs with A1; the chunk's first entry before its row [ouroboros.write.commit-row]
	w.rowOffset(w.chunk).StoreRelease(offset | rowCommitted)
	w.committed = true
}
