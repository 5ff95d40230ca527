// SPDX-License-Identifier: MIT

package deepwater

import (
	"encoding/binary"

	"shmwire"
	"shmwire/internal/shm"
)

// Chunks, in shared memory and in files.

const (
	leastEntries  = 64
	bytesPerEntry = 32
	readyStep     = 1 << 16 // bytes; a multiple of the page size
)

// chunk is one, mapped from wherever it is.
type chunk struct {
	data, index                       *shm.Mapping
	id, dataCapacity, indexCapacity   uint64
	flags                             shm.U32
	writePos, recordCount, entryCount shm.U64
	dataReady, indexReady             uint64 // of a writer: bytes of the segments, from their beginnings, that cost no fault any more
}

func (c *chunk) close() {
	if c == nil {
		return
	}
	for _, m := range []*shm.Mapping{c.data, c.index} {
		if m != nil {
			m.Close()
		}
	}
	*c = chunk{}
}

func dataExtent(capacity uint64) uint64  { return dataSize + capacity }
func indexExtent(capacity uint64) uint64 { return indexSize + capacity*recordSize }

// bytes is a run of the records' bytes, and entries the first entries of the index.
func (c *chunk) bytes(off, n uint64) []byte { return c.data.Bytes(dataSize+off, n) }
func (c *chunk) entries(n uint64) []byte    { return c.index.Bytes(indexSize, n*recordSize) }

// entry is entry i of the index, below capacity.
func (c *chunk) entry(i uint64) []byte { return c.index.Bytes(indexSize+i*recordSize, recordSize) }

// timestamp is that of record i.
func (c *chunk) timestamp(i uint64) uint64 {
	return binary.LittleEndian.Uint64(c.entry(i)[recordTimestampNSOffset:])
}

// offset is that of the bytes of record i.
func (c *chunk) offset(i uint64) uint64 {
	return binary.LittleEndian.Uint64(c.entry(i)[recordOffsetOffset:])
}

// check is what section 3 says of a chunk's two files.
func (c *chunk) check() error {
	if err := c.checkData(); err != nil {
		return err
	}
	if err := c.checkIndex(); err != nil {
		return err
	}
	_, err := c.count()
	return err
}

func (c *chunk) checkData() error {
	w := c.data.Window
	if found := w.Atomic64(dataMagicOffset).Load(); found != dataMagic { // A0: pairs with R0; the header after it
		return shmwire.Errorf(shmwire.ErrBadMagic, "data of chunk %d: %#x", c.id, found)
	}
	if v := w.U32(dataVersionOffset); v != version {
		return shmwire.Errorf(shmwire.ErrBadVersion, "data of chunk %d has version %d", c.id, v)
	}
	c.dataCapacity = w.U64(dataCapacityOffset)
	if c.dataCapacity > maxChunk { // [deepwater.open.geometry]
		return shmwire.Errorf(shmwire.ErrBadGeometry, "chunk %d has room for %d bytes", c.id, c.dataCapacity)
	}
	if dataExtent(c.dataCapacity) > w.Size() { // [deepwater.open.size]
		return shmwire.Errorf(shmwire.ErrTruncated, "data of chunk %d", c.id)
	}
	if id := w.U64(dataChunkIDOffset); id != c.id { // [deepwater.read.bounds]
		return shmwire.Errorf(shmwire.ErrCorrupt, "the data of chunk %d is that of chunk %d", c.id, id)
	}
	c.flags = w.Atomic32(dataFlagsOffset)
	c.writePos, c.recordCount = w.Atomic64(dataWritePosOffset), w.Atomic64(dataRecordCountOffset)
	return nil
}

func (c *chunk) checkIndex() error {
	w := c.index.Window
	if found := w.Atomic64(indexMagicOffset).Load(); found != indexMagic { // A0: pairs with R0; the header after it
		return shmwire.Errorf(shmwire.ErrBadMagic, "index of chunk %d: %#x", c.id, found)
	}
	if v := w.U32(indexVersionOffset); v != version {
		return shmwire.Errorf(shmwire.ErrBadVersion, "index of chunk %d has version %d", c.id, v)
	}
	c.indexCapacity = w.U64(indexCapacityOffset)
	if size := uint64(w.U32(indexEntrySizeOffset)); size != recordSize || c.indexCapacity > maxChunk {
		return shmwire.Errorf(shmwire.ErrBadGeometry, "chunk %d has room for %d entries of %d bytes", c.id, c.indexCapacity, size)
	}
	if indexExtent(c.indexCapacity) > w.Size() {
		return shmwire.Errorf(shmwire.ErrTruncated, "index of chunk %d", c.id)
	}
	if id := w.U64(indexChunkIDOffset); id != c.id {
		return shmwire.Errorf(shmwire.ErrCorrupt, "the index of chunk %d is that of chunk %d", c.id, id)
	}
	c.entryCount = w.Atomic64(indexEntryCountOffset)
	return nil
}

// count is entry_count.
func (c *chunk) count() (uint64, error) {
	n := c.entryCount.Load() // A4: pairs with R4; bytes, entries and start_ns of the records below it [deepwater.read.commit]
	if n > c.indexCapacity {
		return 0, shmwire.Errorf(shmwire.ErrCorrupt, "chunk %d has %d entries, room for %d", c.id, n, c.indexCapacity)
	}
	return n, nil
}

// sealed says that nothing more will be appended.
func (c *chunk) sealed() bool {
	// A9: pairs with R9; all records, so that entry_count is final when it is loaded after this
	return c.flags.Load()&dataSealed != 0
}

// record takes record i, which entry_count covers, and checks it [deepwater.read.bounds] [deepwater.read.sequence].
func (c *chunk) record(firstSequence, i uint64, r *Record) error {
	entry, le := c.entry(i), binary.LittleEndian
	offset, length := le.Uint64(entry[recordOffsetOffset:]), uint64(le.Uint32(entry[recordLengthOffset:]))
	sequence := le.Uint64(entry[recordSequenceOffset:])
	if sequence != firstSequence+i || offset > c.dataCapacity || length > c.dataCapacity-offset {
		return shmwire.Errorf(shmwire.ErrCorrupt, "entry %d of chunk %d: sequence %d, %d bytes at %d", i, c.id, sequence, length,
			offset)
	}
	r.Data = c.bytes(offset, length)
	r.Sequence, r.ChunkID, r.Lost = sequence, c.id, 0
	r.TimestampNS, r.Type = le.Uint64(entry[recordTimestampNSOffset:]), le.Uint32(entry[recordTypeOffset:])
	return nil
}

// entriesFor is how many records the index of a live chunk has room for.
func (p *place) entriesFor() uint64 {
	if p.recordSize != 0 {
		return p.chunkSize / uint64(p.recordSize)
	}
	if n := p.chunkSize / bytesPerEntry; n > leastEntries {
		return n
	}
	return leastEntries
}

// makeMemory makes a segment. A name that is taken is of a writer long dead, the feed's lock being ours, or of memory that a reader
// holds and that cannot be used again.
func makeMemory(name string, size uint64, mode uint32) (*shm.Mapping, error) {
	m, err := shm.Create(name, size, size, mode)
	if shmwire.CodeOf(err) == shmwire.ErrExists && shmwire.Unlink(name) == nil {
		m, err = shm.Create(name, size, size, mode)
	}
	return m, err
}

// makeChunk makes a chunk in shared memory, complete.
func (p *place) makeChunk(id uint64, mode, pid uint32) (*chunk, error) {
	c := &chunk{id: id, dataCapacity: p.chunkSize, indexCapacity: p.entriesFor()}
	var err error
	if c.data, err = makeMemory(p.memoryName(id, suffixData), dataExtent(c.dataCapacity), mode); err == nil {
		c.index, err = makeMemory(p.memoryName(id, suffixIndex), indexExtent(c.indexCapacity), mode)
	}
	if err != nil {
		c.close()
		p.unlinkChunk(id)
		return nil, err
	}
	c.putHeaders(pid)
	if err := c.check(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// putHeaders completes a chunk whose headers are zeros.
func (c *chunk) putHeaders(pid uint32) {
	putDataHeader(c.data.Window, c.id, c.dataCapacity, pid)
	putIndexHeader(c.index.Window, c.id, c.indexCapacity)
	c.data.Atomic64(dataMagicOffset).StoreRelease(dataMagic)    // R0: pairs with A0; the header
	c.index.Atomic64(indexMagicOffset).StoreRelease(indexMagic) // R0: the same
}

// makeReady has pages fetched before so many bytes and entries are written, a step at a time: all at once would hold up the record
// that rotates, and fetch what a short-lived chunk or its index never fills. A step is what a reader's page fault maps at once.
func (c *chunk) makeReady(bytes, entries uint64) {
	if end := dataExtent(bytes); end > c.dataReady {
		c.dataReady = fetch(c.data, c.dataReady, end)
	}
	if end := indexExtent(entries); end > c.indexReady {
		c.indexReady = fetch(c.index, c.indexReady, end)
	}
}

// fetch has the pages from ready to end, and to the end of that step, mapped; it answers where that is.
func fetch(m *shm.Mapping, ready, end uint64) uint64 {
	upto := (end + readyStep - 1) &^ (readyStep - 1)
	if size := m.Size(); upto > size {
		upto = size
	}
	m.Prefault(ready, upto-ready)
	return upto
}

// putDataHeader writes what never changes, but the magic.
func putDataHeader(w shm.Window, id, capacity uint64, pid uint32) {
	w.PutU32(dataVersionOffset, version)
	w.PutU64(dataChunkIDOffset, id)
	w.PutU64(dataCapacityOffset, capacity)
	w.PutU32(dataWriterPidOffset, pid)
}

func putIndexHeader(w shm.Window, id, capacity uint64) {
	w.PutU32(indexVersionOffset, version)
	w.PutU32(indexEntrySizeOffset, uint32(recordSize))
	w.PutU64(indexChunkIDOffset, id)
	w.PutU64(indexCapacityOffset, capacity)
}

// chunkMemory attaches to a chunk in shared memory. ErrNotFound, the errors of section 3, ErrCorrupt for another chunk's.
func (p *place) chunkMemory(id uint64, writable bool) (*chunk, error) {
	c := &chunk{id: id}
	var err error
	if c.data, err = shm.Open(p.memoryName(id, suffixData), !writable, dataSize); err == nil {
		c.index, err = shm.Open(p.memoryName(id, suffixIndex), !writable, indexSize)
	}
	return c.checked(err)
}

// chunkFiles attaches to a chunk in its files. The errors of chunkMemory.
func (p *place) chunkFiles(id uint64) (*chunk, error) {
	c := &chunk{id: id}
	var err error
	if c.data, err = p.mapFile(fileName(id, suffixData), dataSize); err == nil {
		c.index, err = p.mapFile(fileName(id, suffixIndex), indexSize)
	}
	return c.checked(err)
}

func (c *chunk) checked(err error) (*chunk, error) {
	if err == nil {
		err = c.check()
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// mapFile maps a file of the feed's directory, of which the mapping is enough.
func (p *place) mapFile(name string, least uint64) (*shm.Mapping, error) {
	file, err := p.directory.OpenFile(name, shm.ToRead, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	state, err := file.State()
	if err != nil {
		return nil, err
	}
	if state.Size < least {
		return nil, shmwire.Errorf(shmwire.ErrTruncated, "%s has %d bytes", name, state.Size)
	}
	return file.Map(state.Size, true)
}

// unlinkChunk removes a chunk's shared memory, if it is there. Who has it mapped keeps it [deepwater.read.held].
func (p *place) unlinkChunk(id uint64) {
	_ = shmwire.Unlink(p.memoryName(id, suffixData))
	_ = shmwire.Unlink(p.memoryName(id, suffixIndex))
}
