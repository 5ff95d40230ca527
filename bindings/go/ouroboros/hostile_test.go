// SPDX-License-Identifier: MIT

package ouroboros

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/shm"
	"shmwire/internal/testkit"
)

const sampleChunks = 3

// sampleLog is a heap log in its second lap: a wrap mark, a row of the lap before, a row that was cleared.
func sampleLog(t testing.TB) *Writer {
	t.Helper()
	w := heapLog(sampleChunks, 64)
	for _, length := range []int{28, 28, 28, 28, 13, 52} {
		mustWrite(t, w, length)
	}
	return w
}

// lookAtAll reads a segment in every way; it returns because nothing in a segment may make it hang.
func lookAtAll(t testing.TB, window shm.Window, chunkCount uint32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Microsecond)
	defer cancel()
	buffer, entries := make([]byte, 64), make([]Entry, 8)
	for _, start := range []Start{StartAuto, StartLatest, StartOldest} {
		r := heapReader(window, chunkCount, start)
		testkit.HasCode(t, r.Validate())
		last := uint64(0)
		for i := 0; i < 40; i++ {
			entry, err := r.Next()
			testkit.HasCode(t, err)
			if err == nil && entry.Sequence <= last && last != 0 && entry.Sequence != 0 {
				t.Fatalf("entry %d after %d", entry.Sequence, last)
			}
			if err != nil {
				break
			}
			last = entry.Sequence
		}
		testkit.HasCode(t, r.Seek(start))
		_, err := r.NextBatch(buffer, entries)
		testkit.HasCode(t, err)
		testkit.HasCode(t, r.NextInto(buffer[:4], &entries[0]))
		view, err := r.View()
		testkit.HasCode(t, err)
		if err == nil {
			testkit.HasCode(t, view.Check())
		}
		testkit.HasCode(t, r.WaitInto(ctx, buffer, &entries[0]))
	}
}

// takeOver resumes a segment and writes two laps, if it can be resumed.
func takeOver(t testing.TB, window shm.Window, chunkCount uint32) {
	t.Helper()
	w := &Writer{target: 64}
	w.take(nil, window, chunkCount)
	err := w.goOn()
	testkit.HasCode(t, err)
	for i := 0; err == nil && i < 16; i++ {
		_, err = w.Write(make([]byte, 28))
		testkit.HasCode(t, err)
	}
}

// interesting values for one word.
var interesting = []uint64{
	0, 1, 2, 3, 4, 5, 8, 32, 48, 60, 63, 64, 65, 66, 68, 96, 128, 188, 192, 193, 212, 248, 252, 253, 255, 256, 257, 260,
	1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<31 + 3, 1<<31 + 4, 1<<31 + 5, 1<<31 + 192, 1<<31 + 193, 1<<32 - 1, 1 << 32,
	1<<63 - 1, 1 << 63, 1<<63 + 63, 1<<63 + 64, 1<<63 + 66, 1<<63 + 128, 1<<63 + 252, 1<<63 + 256, ^uint64(0) - 3, ^uint64(0),
}

// targets are the offsets of the words that mean something: header, rows, entries and the wrap mark.
var targets = []uint64{0, 8, 12, 16, 24, 32, 40, 48, 56, 64, 96, 120, 124, 128, 160, 192, 212, 248, 252}

func mutate(window shm.Window, random *rand.Rand, count int) {
	for i := 0; i < count; i++ {
		off := targets[random.Intn(len(targets))]
		value := interesting[random.Intn(len(interesting))]
		if random.Intn(4) == 0 {
			value = binary.LittleEndian.Uint64(window.Bytes(off&^7, 8)) + uint64(random.Intn(9)) - 4
		}
		if off%8 == 0 && off < 64 && random.Intn(2) == 0 {
			window.PutU64(off, value)
		} else {
			window.PutU32(off, uint32(value))
		}
	}
}

func TestMutations(t *testing.T) {
	const seed, rounds = 20260101, 4000
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	w := sampleLog(t)
	all := w.window.Bytes(0, w.size)
	pristine := append([]byte(nil), all...)
	sound := 0
	for round := 0; round < rounds; round++ {
		copy(all, pristine)
		mutate(w.window, random, 1+random.Intn(3))
		if count, err := checkHeader(w.window); err == nil {
			sound++
			lookAtAll(t, w.window, count)
			takeOver(t, w.window, count)
		}
	}
	if sound < rounds/2 {
		t.Errorf("only %d of %d mutants got past the header", sound, rounds)
	}
}

// Every single word set to every interesting value: looking at it ends, and changes no byte.
func TestSingleFaults(t *testing.T) {
	w := sampleLog(t)
	all := w.window.Bytes(0, w.size)
	pristine := append([]byte(nil), all...)
	for _, off := range targets {
		for _, value := range interesting {
			copy(all, pristine)
			w.window.PutU32(off, uint32(value))
			if off%8 == 0 && off < 64 {
				w.window.PutU64(off, value)
			}
			count, err := checkHeader(w.window)
			testkit.HasCode(t, err)
			if err != nil {
				continue
			}
			before := append([]byte(nil), all...)
			lookAtAll(t, w.window, count)
			if !bytes.Equal(all, before) {
				t.Fatalf("looking at a segment with %#x at %d changed it", value, off)
			}
		}
	}
}

func TestNamedFaults(t *testing.T) {
	const c64, c32 = committed64, uint64(committed32)
	for _, fault := range []struct {
		what   string
		off    uint64
		value  uint64
		read   *shmwire.Code // the answer to the first read from oldest
		resume *shmwire.Code
	}{
		{"oldest row in the table", 32, 32 | c64, shmwire.ErrCorrupt, nil},
		{"oldest row misaligned", 32, 130 | c64, shmwire.ErrCorrupt, nil},
		{"oldest row past the end", 32, 256 | c64, shmwire.ErrCorrupt, nil},
		{"oldest row near 2^63", 32, 1<<63 - 4 | c64, shmwire.ErrCorrupt, nil},
		{"newest row past the end", 16, 256 | c64, nil, shmwire.ErrCorrupt},
		{"row 0 begins elsewhere", 16, 128, nil, shmwire.ErrCorrupt},
		{"length 0", 128, c32, shmwire.ErrCorrupt, nil},
		{"length 2", 128, c32 + 2, shmwire.ErrCorrupt, nil},
		{"length 4", 128, c32 + 4, shmwire.ErrCorrupt, nil},
		{"length past the end", 128, c32 + 129, shmwire.ErrCorrupt, nil},
		{"length 2^31 - 1", 128, c32 + 1<<31 - 1, shmwire.ErrCorrupt, nil},
		{"length past the end, newest", 64, c32 + 193, nil, shmwire.ErrCorrupt},
		{"uncommitted", 128, 32, shmwire.ErrEmpty, nil},
	} {
		w := sampleLog(t)
		if fault.off < 64 {
			w.window.PutU64(fault.off, fault.value)
		} else {
			w.window.PutU32(fault.off, uint32(fault.value))
		}
		r := heapReader(w.window, sampleChunks, StartOldest)
		for try := 0; try < 2; try++ { // the reader stays where it is
			if _, err := r.Next(); shmwire.CodeOf(err) != fault.read {
				t.Errorf("%s: read answered %v", fault.what, err)
			}
			if fault.read == nil {
				break
			}
		}
		if fault.read == shmwire.ErrCorrupt {
			expectCode(t, r.Validate(), shmwire.ErrCorrupt)
		}
		n := &Writer{}
		n.take(nil, w.window, sampleChunks)
		if err := n.goOn(); shmwire.CodeOf(err) != fault.resume {
			t.Errorf("%s: resume answered %v", fault.what, err)
		}
	}
}

// Wrap marks that lead only to wrap marks are found out [ouroboros.read.wrap-loop].
func TestWrapLoop(t *testing.T) {
	w := heapLog(sampleChunks, 64)
	w.window.PutU32(64, committed32|1)
	r := heapReader(w.window, sampleChunks, StartAuto)
	_, err := r.Next()
	expectCode(t, err, shmwire.ErrCorrupt)
}

func FuzzSegment(f *testing.F) {
	w := sampleLog(f)
	f.Add(w.window.Bytes(0, w.size))
	f.Add([]byte(newImage()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < int(headerSize) || len(raw) > 1<<16 {
			return
		}
		window := shm.WindowOf(len(raw))
		copy(window.Bytes(0, window.Size()), raw)
		if count, err := checkHeader(window); err == nil {
			lookAtAll(t, window, count)
			takeOver(t, window, count)
		}
	})
}
