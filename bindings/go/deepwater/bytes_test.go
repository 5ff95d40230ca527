// SPDX-License-Identifier: MIT

package deepwater

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
)

// Offsets and sizes below are those of the chapter, written out: the tests of the generated layout.

// image builds the bytes that are expected.
type image []byte

func (i image) u32(offset int, v uint32) { binary.LittleEndian.PutUint32(i[offset:], v) }
func (i image) u64(offset int, v uint64) { binary.LittleEndian.PutUint64(i[offset:], v) }

func readAll(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	succeed(t, err)
	return raw
}

func same(t *testing.T, what string, found, want []byte) {
	t.Helper()
	if len(found) != len(want) {
		t.Fatalf("%s has %d bytes, expected %d", what, len(found), len(want))
	}
	for i := range found {
		if found[i] != want[i] {
			t.Fatalf("%s: byte %d is %#x, expected %#x", what, i, found[i], want[i])
		}
	}
}

// indexImage is an index of the records at 5 and 6 with 3 and 2 bytes, the second one at an offset.
func indexImage(size int, capacity uint64, second uint64) image {
	i := make(image, size)
	copy(i, "DWINDX01")
	i.u32(8, 1)
	i.u32(12, 32)
	i.u64(24, 2)
	i.u64(32, capacity)
	i.u64(64, 5)
	i.u32(80, 3)
	i.u32(84, 9)
	i.u64(96, 6)
	i.u64(104, second)
	i.u32(112, 2)
	i.u64(120, 1)
	return i
}

// Every byte of a feed with a live chunk [deepwater.append.placing] [deepwater.feed.entry].
func TestBytesLive(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(false))
	for i, data := range []string{"abc", "de"} {
		_, err := w.Append(uint64(5+i), uint32(9*(1-i)), []byte(data))
		succeed(t, err)
	}
	registry := make(image, 128+4*256)
	copy(registry, "DWGREG01")
	registry.u32(8, 1)
	registry.u32(12, 256)
	registry.u32(16, 4)
	registry.u64(24, 1)
	registry.u64(32, 1)
	copy(registry[128:], "feed")
	copy(registry[128+64:], "feed")
	registry.u64(128+168, 4096)
	registry.u32(128+176, 2)
	registry.u64(128+184, 5)
	same(t, "registry.bin", readAll(t, filepath.Join(base, "registry.bin")), registry)

	feed := make(image, 128+64*128)
	copy(feed, "DWFREG01")
	feed.u32(8, 1)
	feed.u32(12, 128)
	feed.u32(16, 64)
	feed.u32(20, 77)
	feed.u64(24, 1)
	feed.u64(40, 6)
	feed.u64(48, 1)
	feed.u64(56, 9)
	feed.u32(128+12, 1)
	feed.u64(128+32, 5)
	feed.u64(128+56, 4096)
	same(t, "feed_registry.bin", readAll(t, filepath.Join(base, "feed", "feed_registry.bin")), feed)

	hash := fnvOf(t, base)
	data := make(image, 64+4096)
	copy(data, "DWCHNK01")
	data.u32(8, 1)
	data.u64(24, 10)
	data.u64(40, 4096)
	data.u32(48, 77)
	copy(data[64:], "abc\x00\x00\x00\x00\x00de")
	same(t, "data", readAll(t, fmt.Sprintf("/dev/shm/dw.%016x.feed.0.data", hash)), data)
	same(t, "index", readAll(t, fmt.Sprintf("/dev/shm/dw.%016x.feed.0.idx", hash)), indexImage(64+128*32, 128, 8))
}

// fnvOf is the chapter's hash of a base, which is its own real path here.
func fnvOf(t *testing.T, base string) uint64 {
	t.Helper()
	real, err := filepath.EvalSymlinks(base)
	succeed(t, err)
	hash := uint64(0xCBF29CE484222325)
	for _, c := range []byte(real) {
		hash = (hash ^ uint64(c)) * 0x100000001B3
	}
	return hash
}

// Every byte of a persisted chunk of records of one size, and of its row [deepwater.persist.content].
func TestBytesPersisted(t *testing.T) {
	base := newBase(t)
	options := small(true)
	options.RecordSize = 3
	w := mustWriter(t, base, options)
	for i, data := range []string{"abc", "def"} {
		_, err := w.Append(uint64(5+i), uint32(9*(1-i)), []byte(data))
		succeed(t, err)
	}
	succeed(t, w.Close())
	data := make(image, 64+6)
	copy(data, "DWCHNK01")
	data.u32(8, 1)
	data.u32(12, 1)
	data.u64(24, 6)
	data.u64(32, 2)
	data.u64(40, 6)
	data.u32(48, 77)
	copy(data[64:], "abcdef")
	index := indexImage(64+64, 2, 3)
	index.u32(112, 3)
	same(t, "data", readAll(t, filepath.Join(base, "feed", "chunk_00000000.data")), data)
	same(t, "index", readAll(t, filepath.Join(base, "feed", "chunk_00000000.idx")), index)

	row := make(image, 128)
	row.u32(8, 4) // sealed, persisted
	row.u32(12, 3)
	row.u64(24, 2)
	row.u64(32, 5)
	row.u64(40, 6)
	row.u64(48, 6)
	row.u64(56, 4096)
	row.u32(64, crc32.ChecksumIEEE(data[64:]))
	row.u32(68, crc32.ChecksumIEEE(index[64:]))
	feed := readAll(t, filepath.Join(base, "feed", "feed_registry.bin"))
	same(t, "row", feed[128:256], row)
	header := make(image, 128)
	copy(header, "DWFREG01")
	header.u32(8, 1)
	header.u32(12, 128)
	header.u32(16, 64)
	header.u64(24, 1)
	header.u64(32, 1<<64-1)
	header.u64(40, 6)
	header.u64(48, 1)
	header.u64(56, 9)
	same(t, "header", feed[:128], header) // signal is 0: nobody slept [deepwater.wait.no-call]
	if names := memoryOf(t, base); len(names) != 0 {
		t.Errorf("left in shared memory: %v", names) // [deepwater.leave.flush]
	}
}

// A fresh chunk has zeros where nothing was written, also where an old segment of the name was in its way.
func TestBytesOldName(t *testing.T) {
	base := newBase(t)
	old := fmt.Sprintf("/dev/shm/dw.%016x.feed.0.data", fnvOf(t, base))
	succeed(t, os.WriteFile(old, bytes.Repeat([]byte{0xFF}, 9000), 0o600))
	w := mustWriter(t, base, small(false))
	_, err := w.Append(1, 0, []byte("x"))
	succeed(t, err)
	raw := readAll(t, old)
	if len(raw) != 64+4096 || raw[64] != 'x' || bytes.Count(raw[65:], []byte{0}) != 4095 {
		t.Errorf("%d bytes, %d zeros", len(raw), bytes.Count(raw[65:], []byte{0}))
	}
}
