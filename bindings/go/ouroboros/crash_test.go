// SPDX-License-Identifier: MIT

package ouroboros

import (
	"bytes"
	"encoding/binary"
	"testing"

	"shmwire"
	"shmwire/internal/shm"
	"shmwire/internal/testkit"
)

// store is one step of a write: bytes that change at once.
type store struct {
	offset uint64
	value  []byte
}

func store64(offset, value uint64) store {
	return store{offset, binary.LittleEndian.AppendUint64(nil, value)}
}

func store32(offset uint64, value uint32) store {
	return store{offset, binary.LittleEndian.AppendUint32(nil, value)}
}

func words(raw []byte, offset uint64) uint64 { return binary.LittleEndian.Uint64(raw[offset:]) }

// storesOf lists the stores of a write in the order of section 4, from the images before and after it. cursor is where
// the writer stood, position where the entry went.
func storesOf(before, after []byte, cursor, position, sequence uint64, chunk uint32, began bool) (stores []store) {
	row := 16 + 16*uint64(chunk)
	if position < cursor && cursor+4 <= uint64(len(before)) {
		stores = append(stores, store32(cursor, committed32|1))
	}
	if began {
		stores = append(stores, store64(row, position), store64(row+8, sequence-1))
	}
	for i := row + 16; i < 16+16*sampleChunks; i += 16 {
		if words(before, i) != 0 && words(after, i) == 0 {
			stores = append(stores, store64(i, 0), store64(i+8, 0))
		}
	}
	length := binary.LittleEndian.Uint32(after[position:]) &^ committed32
	end := position + uint64(length)
	stores = append(stores, store32(position, length), store{position + 4, after[position+4 : end]})
	if next := (end + 3) &^ 3; next+4 <= uint64(len(after)) {
		stores = append(stores, store32(next, 0))
	}
	stores = append(stores, store32(position, length|committed32))
	if began {
		stores = append(stores, store64(row, position|committed64))
	}
	return stores
}

// heapWriter takes an image over.
func heapWriter(t *testing.T, image []byte) *Writer {
	t.Helper()
	w := &Writer{}
	window := shm.WindowOf(len(image))
	copy(window.Bytes(0, window.Size()), image)
	w.take(nil, window, sampleChunks)
	if err := w.goOn(); err != nil {
		t.Fatal(err)
	}
	return w
}

func crashLength(sequence uint64) int { return 8 + int(sequence*sequence*13%57) }

// A writer that dies after any store of any write is followed by one that leaves the bytes that a single writer leaves.
func TestDeathAfterEveryStore(t *testing.T) {
	const count = 120
	w := heapLog(sampleChunks, 64)
	all := w.window.Bytes(0, w.size)
	images := [][]byte{append([]byte(nil), all...)}
	deaths := 0
	var crashes [][]store
	for sequence := uint64(1); sequence <= count; sequence++ {
		cursor, chunk := w.cursor, w.chunk
		mustWrite(t, w, crashLength(sequence))
		images = append(images, append([]byte(nil), all...))
		position := w.cursor - after(0, uint64(crashLength(sequence))+4)
		began := position < cursor || w.chunk != chunk
		crashes = append(crashes, storesOf(images[sequence-1], images[sequence], cursor, position, sequence, w.chunk, began))
	}
	for i, stores := range crashes {
		sequence := uint64(i + 1)
		image := append([]byte(nil), images[i]...)
		for step, s := range stores {
			copy(image[s.offset:], s.value)
			deaths++
			checkDeath(t, images, image, sequence, step)
		}
		if !bytes.Equal(image, images[sequence]) {
			t.Fatalf("the stores of entry %d do not make its image", sequence)
		}
	}
	t.Logf("%d deaths", deaths)
}

// clearTokens: a writer that dies between the two stores that clear a row leaves the token, which then means nothing.
func clearTokens(image []byte) {
	for i := uint64(16); i < 16+16*sampleChunks; i += 16 {
		if words(image, i) == 0 {
			binary.LittleEndian.PutUint64(image[i+8:], 0)
		}
	}
}

// checkDeath resumes an image of the write of an entry and writes on, to the end of the uninterrupted run.
func checkDeath(t *testing.T, images [][]byte, image []byte, sequence uint64, step int) {
	t.Helper()
	w := heapWriter(t, image)
	written := w.Info().EntriesWritten
	if written != sequence && written != sequence-1 {
		t.Fatalf("entry %d, store %d: %d entries written", sequence, step, written)
	}
	for next := written + 1; next < uint64(len(images)) && next < sequence+12; next++ {
		mustWrite(t, w, crashLength(next))
		left := append([]byte(nil), w.window.Bytes(0, w.size)...)
		clearTokens(left)
		if next > sequence && !bytes.Equal(left, images[next]) {
			t.Fatalf("entry %d, store %d: the bytes differ after entry %d:\n%x\n%x", sequence, step, next, left, images[next])
		}
	}
	testkit.HasCode(t, w.Validate())
}

// What is taken over is completed, and no more: a row is committed if its first entry is there.
func TestResumeRows(t *testing.T) {
	raw := newImage()
	raw.entry(64, 1, 28)
	raw.entry(96, 2, 28)
	raw.row(1, 128, 2)
	w := heapWriter(t, raw)
	if w.rowOffset(1).Load() != 128 || w.Info().EntriesWritten != 2 {
		t.Error("a chunk without an entry was committed")
	}
	raw.entry(128, 3, 28)
	w = heapWriter(t, raw)
	if w.rowOffset(1).Load() != 128|committed64 || w.Info().EntriesWritten != 3 {
		t.Error("a chunk with an entry was not committed")
	}
	raw.row(1, 128|committed64, 2)
	raw.entry(160, 4, 28)
	raw.entry(192, 5, 13)
	raw.row(2, 192|committed64, 4)
	raw.word(212, committed32|1)
	for _, token := range []uint64{0, 5} { // row 0 begins, with the old token or the new one
		raw.row(0, 64, token)
		w = heapWriter(t, raw)
		if w.rowOffset(0).Load() != 64 || w.Info().EntriesWritten != 5 {
			t.Errorf("token %d: %d entries, row 0 %#x", token, w.Info().EntriesWritten, w.rowOffset(0).Load())
		}
		mustWrite(t, w, 1) // would fit at the mark
		r := heapReader(w.window, sampleChunks, StartLatest)
		if entry := mustRead(t, r, 6, 0, 1); entry.Chunk != 0 || entry.Token != 5 {
			t.Errorf("token %d: %+v", token, entry)
		}
	}
}

// A reader whose chunk begins anew does not go back to an older one [ouroboros.read.no-repeat].
func TestNoRepeat(t *testing.T) {
	w := sampleLog(t) // entry 6 in chunk 0, entry 5 in chunk 2 of the lap before
	r := heapReader(w.window, sampleChunks, StartLatest)
	mustRead(t, r, 6, 0, 52)
	w.rowOffset(0).Store(64)
	for i := 0; i < 3; i++ {
		_, err := r.Next()
		expectCode(t, err, shmwire.ErrEmpty)
	}
	w.rowToken(0).Store(6)
	mustBeEmpty(t, r)
	w.rowOffset(0).Store(64 | rowCommitted)
	w.window.PutU32(64, 12|committed32)
	copy(w.window.Bytes(68, 8), numbered(7, 8))
	mustRead(t, r, 7, 0, 8)
}
