// SPDX-License-Identifier: MIT

package deepwater

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"shmwire"
	"shmwire/internal/shm"
	"shmwire/internal/testkit"
)

// What leaves the window becomes the next chunk, unless somebody still reads it [deepwater.rotate.reuse].

const (
	largeWindow = 2
	piece       = 1021 // bytes of a record: three are skipped behind it
	eachChunk   = 1000 // records of a chunk, of 1,024 that go into it
)

func large(persist bool) *Options {
	return &Options{Persist: persist, ChunkSize: reuseChunk, LiveWindow: largeWindow, Rows: 64}
}

// pieceOf is record n, without a zero but for its number.
func pieceOf(n uint64) []byte {
	return append(word64(n), bytes.Repeat([]byte{byte(1 + n%255)}, piece-8)...)
}

// writeChunk appends a chunk of so many records, numbered from next, and begins the one behind it.
func writeChunk(t *testing.T, w *Writer, next, count uint64) uint64 {
	t.Helper()
	for end := next + count; next < end; next++ {
		_, err := w.Append(next, 0, pieceOf(next))
		succeed(t, err)
	}
	succeed(t, w.Rotate())
	return next
}

func expectPieces(t *testing.T, r *Reader, from, to uint64) {
	t.Helper()
	for n := from; n < to; n++ {
		record, err := r.Next()
		succeed(t, err)
		if record.Sequence != n || !bytes.Equal(record.Data, pieceOf(n)) {
			t.Fatalf("record %d of %d bytes, expected number %d", record.Sequence, len(record.Data), n)
		}
	}
}

// memoryPath is the file of a chunk's data.
func memoryPath(t *testing.T, w *Writer, id uint64) string {
	t.Helper()
	path, err := shmwire.Path(w.place.memoryName(id, suffixData))
	succeed(t, err)
	return path
}

// sameMemory says whether a chunk's data is in a file that was looked at before.
func sameMemory(t *testing.T, w *Writer, id uint64, before os.FileInfo) bool {
	t.Helper()
	return os.SameFile(memoryOfChunk(t, w, id), before)
}

func memoryOfChunk(t *testing.T, w *Writer, id uint64) os.FileInfo {
	t.Helper()
	info, err := os.Stat(memoryPath(t, w, id))
	succeed(t, err)
	return info
}

// expectZerosSkipped looks between the records of a chunk, which have one length.
func expectZerosSkipped(t *testing.T, c *chunk, records, length uint64) {
	t.Helper()
	for i := uint64(0); i+1 < records; i++ {
		end := c.offset(i) + length
		if skipped := c.bytes(end, c.offset(i+1)-end); len(skipped) > 7 || bytes.Count(skipped, []byte{0}) != len(skipped) {
			t.Fatalf("chunk %d: %v behind record %d", c.id, skipped, i)
		}
	}
}

// expectNothingLeft fails if any name of the base is in shared memory.
func expectNothingLeft(t *testing.T, base string) {
	t.Helper()
	if names := memoryOf(t, base); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}

// Chunks take turns with the memory of a few; shorter ones between longer ones leave nothing behind in those that come later.
func TestReuse(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, large(false))
	files, next := []os.FileInfo{}, uint64(0)
	for id, count := range []uint64{eachChunk, eachChunk, eachChunk, 7, eachChunk, 1, eachChunk, eachChunk, 500, eachChunk} {
		first := next
		next = writeChunk(t, w, next, count)
		expectZerosSkipped(t, *w.slot(uint64(id)), count, piece)
		files = append(files, memoryOfChunk(t, w, uint64(id)))
		if id > largeWindow && !os.SameFile(files[id], files[id-largeWindow-1]) {
			t.Errorf("chunk %d is in new memory", id)
		}
		r := mustReader(t, base, &ReaderOptions{Start: AtSequence(first)})
		expectPieces(t, r, first, next)
		succeed(t, r.Close())
	}
	succeed(t, w.Close())
	expectNothingLeft(t, base)
}

// What is skipped is zero also where an earlier chunk had a record [deepwater.append.placing].
func TestReuseSkipped(t *testing.T) {
	const records = 200
	w := mustWriter(t, newBase(t), large(false))
	for id := uint64(0); id < 16; id++ {
		parts := make([]Part, records/2)
		data := bytes.Repeat([]byte{0xFF}, int(17+id*3%8))
		for i := range parts {
			parts[i] = Part{TimestampNS: id, Data: data}
			_, err := w.Append(id, 0, data)
			succeed(t, err)
		}
		_, err := w.AppendBatch(parts)
		succeed(t, err)
		expectZerosSkipped(t, w.live, records, uint64(len(data)))
		succeed(t, w.Rotate())
	}
}

// A reader that holds a chunk keeps its memory, whatever is written meanwhile [deepwater.read.held].
func TestReuseNotOfHeld(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, large(false))
	next := writeChunk(t, w, 0, eachChunk)
	r := mustReader(t, base, nil)
	expectPieces(t, r, 0, 10)
	held := memoryOfChunk(t, w, 0)
	for id := uint64(1); id < 8; id++ {
		next = writeChunk(t, w, next, eachChunk)
		if sameMemory(t, w, id, held) {
			t.Errorf("chunk %d is in memory that is held", id)
		}
	}
	expectPieces(t, r, 10, eachChunk)
	expectLost(t, r, (8-largeWindow)*eachChunk) // 8 is live
	succeed(t, r.Close())
	succeed(t, w.Close())
	expectNothingLeft(t, base)
}

// A reader that holds only one of a chunk's two segments keeps both.
func TestReuseNotOfHalf(t *testing.T) {
	for _, suffix := range []string{suffixData, suffixIndex} {
		base := newBase(t)
		w := mustWriter(t, base, large(false))
		next := writeChunk(t, w, 0, eachChunk)
		m, err := shm.Open(w.place.memoryName(0, suffix), true, 1)
		succeed(t, err)
		before := append([]byte(nil), m.Bytes(0, m.Size())...)
		for id := uint64(1); id < 6; id++ {
			next = writeChunk(t, w, next, 5)
		}
		if !bytes.Equal(before, m.Bytes(0, m.Size())) {
			t.Errorf("%s changed", suffix)
		}
		succeed(t, m.Close())
		succeed(t, w.Close())
	}
}

// The chunk to come has a name already; whoever recovers takes it away [deepwater.recover.half-made].
func TestReuseAfterDeath(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, large(true))
	next := uint64(0)
	for id := 0; id < 5; id++ {
		next = writeChunk(t, w, next, eachChunk)
	}
	memoryOfChunk(t, w, 6) // 5 is live
	abandon(w)
	_, err := Collect(base, testFeed)
	succeed(t, err)
	expectNothingLeft(t, base)
	expectPieces(t, mustReader(t, base, nil), 0, next)
}

// Nothing is kept of small chunks, and of those of a long window.
func TestReuseBounds(t *testing.T) {
	for _, change := range []func(*Options){
		func(o *Options) { o.ChunkSize -= 8 }, func(o *Options) { o.LiveWindow = reuseWindow + 1 },
	} {
		options := large(false)
		change(options)
		w := mustWriter(t, newBase(t), options)
		next := uint64(0)
		for id := uint32(0); id < reuseWindow+3; id++ {
			next = writeChunk(t, w, next, 2)
		}
		if w.kept != [reuseWindow + 1]*chunk{} || w.spare != nil {
			t.Errorf("kept %v, spare %v", w.kept, w.spare)
		}
		succeed(t, w.Close())
	}
}

// The longest window of which something is kept.
func TestReuseLongestWindow(t *testing.T) {
	base := newBase(t)
	options := large(false)
	options.LiveWindow = reuseWindow
	w := mustWriter(t, base, options)
	files, next := []os.FileInfo{}, uint64(0)
	for id := 0; id < 3*int(reuseWindow); id++ {
		next = writeChunk(t, w, next, 3)
		files = append(files, memoryOfChunk(t, w, uint64(id)))
		if behind := id - int(reuseWindow) - 1; behind >= 0 && !os.SameFile(files[id], files[behind]) {
			t.Errorf("chunk %d is in new memory", id)
		}
	}
	expectPieces(t, mustReader(t, base, &ReaderOptions{Start: AtSequence(next - 9)}), next-9, next)
	succeed(t, w.Close())
	expectNothingLeft(t, base)
}

// A chunk that cannot be persisted has to stay, and its memory with it: what was named after the next one is so no more
// [deepwater.expire.window].
func TestReuseNotOfWhatStays(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, large(true))
	blocked := filepath.Join(base, testFeed, fileName(0, suffixData)+temporary)
	succeed(t, os.Mkdir(blocked, 0o700)) // in the way of the file
	next := uint64(0)
	for id := uint64(0); id < 6; id++ {
		for end := next + 5; next < end; next++ {
			_, err := w.Append(next, 0, pieceOf(next))
			succeed(t, err)
		}
		testkit.ExpectCode(t, w.Rotate(), shmwire.ErrSystem)
		if id > 0 && sameMemory(t, w, id, memoryOfChunk(t, w, 0)) {
			t.Errorf("chunk %d is in the memory of one that stays", id)
		}
		if _, err := os.Stat(memoryPath(t, w, id+2)); !os.IsNotExist(err) { // id + 1 is live
			t.Errorf("chunk %d has a name: %v", id+2, err)
		}
	}
	expectPieces(t, mustReader(t, base, nil), 0, next)
	testkit.ExpectCode(t, w.Close(), shmwire.ErrSystem)
	succeed(t, os.Remove(blocked))
	_, err := Collect(base, testFeed)
	succeed(t, err)
	expectNothingLeft(t, base)
	expectPieces(t, mustReader(t, base, nil), 0, next)
}

// Every byte of the headers of a chunk in memory that was used before is that of a chunk in new memory.
func TestReuseHeaders(t *testing.T) {
	base := newBase(t)
	options := large(false)
	options.Identity = Identity{PID: 77}
	w := mustWriter(t, base, options)
	next := uint64(0)
	for id := 0; id < 5; id++ {
		next = writeChunk(t, w, next, eachChunk)
	}
	data, index := make(image, dataSize), make(image, indexSize)
	copy(data, "DWCHNK01")
	data.u32(8, 1)
	data.u64(16, 5)
	data.u64(40, reuseChunk)
	data.u32(48, 77)
	copy(index, "DWINDX01")
	index.u32(8, 1)
	index.u32(12, 32)
	index.u64(16, 5)
	index.u64(32, reuseChunk/32)
	same(t, "data", w.live.data.Bytes(0, dataSize), data)
	same(t, "index", w.live.index.Bytes(0, indexSize), index)
}
