// SPDX-License-Identifier: MIT

package slick

import (
	"bytes"
	"context"
	"math/rand"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/shm"
	"shmwire/internal/testkit"
)

// sampleRing is a heap ring of 4 elements of 8 bytes in its second lap: a mark, an item of two, a stale slot, a hole.
func sampleRing(t testing.TB) *Queue {
	t.Helper()
	q := heapRing(t, 8, 4)
	p := produce(t, q)
	mustWrite(t, p, 0, 1)
	mustWrite(t, p, 1, 2)
	mustWrite(t, p, 4, 2) // behind a mark in slot 3; slot 1 is stale
	mustReserve(t, p, 6, 1)
	return q
}

// heapOpen attaches to a window, as Open does to a file.
func heapOpen(window shm.Window) (*Queue, error) {
	g, err := checkHeader(window)
	if err != nil {
		return nil, err
	}
	return newQueue(nil, window, "", g), nil
}

// lookAtAll reads a segment in every way; it returns because nothing in a segment may make it hang.
func lookAtAll(t testing.TB, q *Queue) {
	t.Helper()
	testkit.HasCode(t, q.Validate())
	ctx, cancel := context.WithTimeout(context.Background(), time.Microsecond)
	defer cancel()
	buffer, items := make([]byte, 64), make([]Item, 8)
	for _, start := range []Start{StartOldest, StartLatest, StartAt(0), StartAt(5), StartAt(1 << 48), StartAt(noIndex - 1)} {
		r := follow(t, q, WithStart(start))
		for i := 0; i < 12; i++ {
			item, err := r.Next()
			testkit.HasCode(t, err)
			if err != nil {
				break
			}
			if len(item.Data) != int(q.elementSize)*int(item.Elements) || item.Elements == 0 || uint64(item.Elements) > q.size {
				t.Fatalf("%+v", item)
			}
		}
		succeed(t, r.Seek(start))
		_, err := r.NextBatch(buffer, items)
		testkit.HasCode(t, err)
		testkit.HasCode(t, r.NextInto(buffer[:4], &items[0]))
		view, err := r.View()
		testkit.HasCode(t, err)
		if err == nil {
			testkit.HasCode(t, view.Check())
		}
		testkit.HasCode(t, r.LastInto(buffer, &items[0]))
		testkit.HasCode(t, r.WaitInto(ctx, buffer, &items[0]))
		cursor, err := q.NewCursor(start)
		succeed(t, err)
		_, err = follow(t, q, WithShared(cursor)).Next()
		testkit.HasCode(t, err)
	}
}

// useAll writes two laps, and recovers.
func useAll(t testing.TB, q *Queue) {
	t.Helper()
	p := produce(t, q, WithStall(time.Nanosecond))
	for i := 0; i < 10; i++ {
		_, err := p.Write(make([]byte, 8*(1+i%3)))
		testkit.HasCode(t, err)
		if err == nil && q.Validate() != nil {
			testkit.HasCode(t, q.Validate())
		}
	}
	_, err := q.Recover(true)
	testkit.HasCode(t, err)
}

// interesting values for one word.
var interesting = []uint64{
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 255, 65535, 65536, 65537, 1<<16 | 2, 4<<16 | 1, 5<<16 | 5, 6 << 16, 7 << 16, 7<<16 | 1,
	7<<16 | 4, 8<<16 | 1, 9<<16 | 65535, 11<<16 | 1, 12<<16 | 2, 13<<16 | 1, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32,
	1<<48 - 1, 1 << 48,
	1<<63 - 1, 1 << 63, (1<<48-2)<<16 | 1, (1<<48-1)<<16 | 65535, ^uint64(0) - 1, ^uint64(0),
}

// targets are the offsets of the words that mean something: header and slots.
var targets = []uint64{0, 8, 12, 16, 24, 32, 48, 64, 72, 80, 88, 96, 104, 112, 120}

func isWide(off uint64) bool { return off == 0 || off == 16 || off == 32 || off >= 64 && off%16 == 0 }

func put(window shm.Window, off, value uint64) {
	if isWide(off) {
		window.PutU64(off, value)
	} else {
		window.PutU32(off, uint32(value))
	}
}

// Every single word set to every interesting value: looking at it ends, and changes no byte; using it ends.
func TestSingleFaults(t *testing.T) {
	q := sampleRing(t)
	all := q.window.Bytes(0, q.window.Size())
	pristine := append([]byte(nil), all...)
	for _, off := range targets {
		for _, value := range interesting {
			copy(all, pristine)
			put(q.window, off, value)
			found, err := heapOpen(q.window)
			testkit.HasCode(t, err)
			if err != nil {
				continue
			}
			before := append([]byte(nil), all...)
			lookAtAll(t, found)
			if !bytes.Equal(all, before) {
				t.Fatalf("looking at a segment with %#x at %d changed it", value, off)
			}
			useAll(t, found)
		}
	}
}

func TestMutations(t *testing.T) {
	const seed, rounds = 20261127, 3000
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	q := sampleRing(t)
	all := q.window.Bytes(0, q.window.Size())
	pristine := append([]byte(nil), all...)
	sound := 0
	for round := 0; round < rounds; round++ {
		copy(all, pristine)
		for i := random.Intn(3); i >= 0; i-- {
			off := targets[random.Intn(len(targets))]
			if off == 48 || off == 8 || off == 12 { // most of these end at the header
				off = targets[7+random.Intn(8)]
			}
			put(q.window, off, interesting[random.Intn(len(interesting))])
		}
		if found, err := heapOpen(q.window); err == nil {
			sound++
			lookAtAll(t, found)
			useAll(t, found)
		}
	}
	if sound < rounds/2 {
		t.Errorf("only %d of %d mutants got past the header", sound, rounds)
	}
}

func TestNamedFaults(t *testing.T) {
	for _, fault := range []struct {
		what  string
		off   uint64
		value uint64
		read  *shmwire.Code // the answer to a read at 4
		sound bool
	}{
		{"as it is", 24, 0x534C5131, nil, true},
		{"an item of no elements", 72, 0, shmwire.ErrCorrupt, false},
		{"an item past the end of the ring", 72, 5, shmwire.ErrCorrupt, false},
		{"an item past the reservation", 72, 4, shmwire.ErrCorrupt, false},
		{"an item of 2^32 - 1 elements", 72, 1<<32 - 1, shmwire.ErrCorrupt, false},
		{"an index above the reservation", 64, 8, shmwire.ErrEmpty, false},
		{"a mark above the reservation", 64, 9, shmwire.ErrEmpty, false},
		{"never published", 64, noIndex, shmwire.ErrEmpty, true},
		{"published a lap ago", 64, 0, shmwire.ErrEmpty, true},
		{"a mark to a hole", 64, 6, shmwire.ErrEmpty, true},
		{"a mark that leads nowhere", 96, 1, nil, false},
		{"reset behind the reader", 0, 0, shmwire.ErrEmpty, false},
		{"reserved a lap further", 0, 9<<16 | 1, shmwire.ErrEmpty, true},
		{"reserved twice as far", 0, 12<<16 | 1, shmwire.ErrEmpty, true},
		{"more reserved than indices", 0, 7<<16 | 8, nil, false},
		{"a last item that is not reserved", 16, 7, nil, false},
		{"settled above the reservation", 32, 8, nil, true},
	} {
		q := sampleRing(t)
		put(q.window, fault.off, fault.value)
		r := follow(t, q, WithStart(StartAt(4)))
		for try := 0; try < 2; try++ { // the reader stays where it is
			if _, err := r.Next(); shmwire.CodeOf(err) != fault.read {
				t.Errorf("%s: read answered %v", fault.what, err)
			}
			if fault.read == nil {
				break
			}
		}
		if err := q.Validate(); (err == nil) != fault.sound {
			t.Errorf("%s: %v", fault.what, err)
		}
	}
}

// A ring whose slots all lead on to each other: readers, producers and the recoverer come to an end [slick.read.bounded].
func TestMarksWithoutEnd(t *testing.T) {
	q := heapRing(t, 8, 8)
	const next = 1000
	q.reserved.Store(next<<16 | 1)
	for k := uint64(0); k < 8; k++ {
		q.dataIndex(k).Store(next - 8 + (k+1)%8)
	}
	lookAtAll(t, q)
	useAll(t, q)
}

// An item that is overtaken at every look is given up at last.
func TestOvertakenAgain(t *testing.T) {
	q := heapRing(t, 8, 4)
	r := follow(t, q, WithStart(StartAt(0)))
	p := place{}
	for try := 1; try <= 8; try++ {
		q.reserved.Store(uint64(4*try+4)<<16 | 1)
		q.dataIndex(uint64(4 * try)).Store(uint64(4 * try))
		err := r.turn(&p, overtaken, 1)
		want := error(nil)
		if try == 8 {
			want = shmwire.ErrLapped
		}
		if err != want || p.cursor != uint64(4*try) || p.lost != uint64(4*try) {
			t.Fatalf("try %d: %v, %+v", try, err, p)
		}
	}
}

func FuzzSegment(f *testing.F) {
	q := sampleRing(f)
	f.Add(q.window.Bytes(0, q.window.Size()))
	f.Add([]byte(newImage(Generation12)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < int(headerSize) || len(raw) > 1<<16 {
			return
		}
		window := shm.WindowOf(len(raw))
		copy(window.Bytes(0, window.Size()), raw)
		if q, err := heapOpen(window); err == nil && q.elementSize == 8 {
			lookAtAll(t, q)
			useAll(t, q)
		}
	})
}
