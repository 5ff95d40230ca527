// SPDX-License-Identifier: MIT

package deepwater

import (
	"errors"
	"fmt"
	"math/rand"
	"sort"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/shm"
	"shmwire/internal/testkit"
)

// A reader crosses from files to shared memory, live chunk included, and stays at the end [deepwater.read.order].
func TestReadOver(t *testing.T) {
	for _, persist := range []bool{false, true} {
		base := newBase(t)
		options := small(persist)
		options.LiveWindow = 64
		w := mustWriter(t, base, options)
		early := mustReader(t, base, nil)
		testkit.ExpectCode(t, second(early.Next()), shmwire.ErrEmpty)
		fill(t, w, 0, 95, 10)
		expectRecords(t, early, 0, 95, shmwire.ErrEmpty)
		batches := mustReader(t, base, nil)
		records, n := make([]Record, 7), uint64(0)
		for {
			count, err := batches.NextBatch(records)
			if errors.Is(err, shmwire.ErrEmpty) {
				break
			}
			succeed(t, err)
			for _, record := range records[:count] {
				checkRecord(t, record, n)
				if record.ChunkID != n/10 {
					t.Fatalf("record %d is in chunk %d", n, record.ChunkID)
				}
				n++
			}
		}
		if n != 95 {
			t.Fatalf("%d records in batches", n)
		}
		fill(t, w, 95, 97, 100)
		expectRecords(t, early, 95, 97, shmwire.ErrEmpty)
		_, err := batches.NextBatch(nil)
		testkit.ExpectCode(t, err, shmwire.ErrInvalidArgument)
	}
}

func second[T any](_ T, err error) error { return err }

// What a reader holds outlives its name; what it has not entered is lost, and counted once [deepwater.read.held]
// [deepwater.read.expired].
func TestReadHeldAndExpired(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(false))
	fill(t, w, 0, 5, 10)
	r := mustReader(t, base, nil)
	record, err := r.Next()
	succeed(t, err)
	fill(t, w, 5, 45, 10) // chunks 0, 1, 2 are gone
	checkRecord(t, record, 0)
	for n := uint64(1); n < 10; n++ {
		record, err = r.Next()
		succeed(t, err)
		checkRecord(t, record, n)
	}
	expectLost(t, r, 20)
	expectRecords(t, r, 30, 45, shmwire.ErrEmpty)
	late := mustReader(t, base, &ReaderOptions{Start: AtSequence(12)})
	expectLost(t, late, 18)
	expectRecords(t, late, 30, 45, shmwire.ErrEmpty)
	succeed(t, w.Close())
	succeed(t, late.Seek(AtSequence(33)))
	expectLost(t, late, 12) // to the end of what was written
	testkit.ExpectCode(t, second(late.Next()), shmwire.ErrEmpty)
	expectRecords(t, mustReader(t, base, nil), 45, 45, shmwire.ErrEmpty)
	again := mustWriter(t, base, small(false))
	fill(t, again, 45, 47, 100)
	expectRecords(t, late, 45, 47, shmwire.ErrEmpty)
}

// A chunk that leaves shared memory between a look at its row and the attaching is found in its files [deepwater.read.moved].
func TestReadMoved(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(true))
	fill(t, w, 0, 15, 10)
	r := mustReader(t, base, nil)
	if chunk, err := r.Chunk(0); err != nil || chunk.State != StatePersisted || len(memoryOf(t, base)) != 4 {
		t.Fatalf("%+v, %v", chunk, err)
	}
	// The row of one that another process is about to persist says sealed, while the files are there and the names are gone.
	row, err := w.place.loadRow(0)
	succeed(t, err)
	row.state = StateSealed
	w.place.storeRow(&row)
	w.place.unlinkChunk(0)
	expectRecords(t, r, 0, 15, shmwire.ErrEmpty)
}

// Seeks and ranges against a list [deepwater.read.seek-time] [deepwater.read.seek-sequence] [deepwater.read.range].
func TestSeeks(t *testing.T) {
	seed := int64(20260411)
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	for round := 0; round < 6; round++ {
		base := newBase(t)
		persist := round%2 == 0
		options := small(persist)
		options.LiveWindow = 3
		w := mustWriter(t, base, options)
		perChunk := uint64(1 + random.Intn(12))
		total := 2*perChunk + uint64(random.Intn(60))
		fill(t, w, 0, total, perChunk)
		r := mustReader(t, base, nil)
		oldest := uint64(0)
		if chunks, err := r.Chunks(); !persist && err == nil && len(chunks) > 3 {
			oldest = chunks[len(chunks)-3].FirstSequence
		}
		for i := 0; i < 60; i++ {
			ns := timeOf(0) + uint64(random.Intn(int(timeOf(total)-timeOf(0))+20)) - 5
			want := uint64(sort.Search(int(total), func(n int) bool { return timeOf(uint64(n)) >= ns }))
			if want < oldest {
				want = oldest
			}
			succeed(t, r.Seek(AtTime(ns)))
			expectFirst(t, r, want, total, fmt.Sprintf("round %d: time %d", round, ns))
			to := ns + uint64(random.Intn(60))
			next := want
			succeed(t, r.Range(ns, to, func(record *Record) bool {
				checkRecord(t, *record, next)
				next++
				return true
			}))
			end := uint64(sort.Search(int(total), func(n int) bool { return timeOf(uint64(n)) > to }))
			if end < want {
				end = want
			}
			if next != end {
				t.Fatalf("round %d: range %d to %d ends at %d, expected %d", round, ns, to, next, end)
			}
			expectFirst(t, r, end, total, "behind a range")
			sequence := oldest + uint64(random.Intn(int(total-oldest)+3))
			succeed(t, r.Seek(AtSequence(sequence)))
			if sequence > total {
				sequence = total
			}
			expectFirst(t, r, sequence, total, fmt.Sprintf("round %d: sequence", round))
		}
		succeed(t, r.Seek(Latest))
		fill(t, w, total, total+1, 1000)
		expectFirst(t, r, total, total+1, "latest")
		succeed(t, r.Seek(Oldest))
		expectFirst(t, r, oldest, total+1, "oldest")
	}
}

// expectFirst reads the record that a seek came to; total: there is none.
func expectFirst(t *testing.T, r *Reader, want, total uint64, what string) {
	t.Helper()
	record, err := r.Next()
	if want == total {
		if !errors.Is(err, shmwire.ErrEmpty) {
			t.Fatalf("%s: %d, %v, expected the end", what, record.Sequence, err)
		}
		return
	}
	if err != nil || record.Sequence != want {
		t.Fatalf("%s: %d, %v, expected %d", what, record.Sequence, err, want)
	}
}

// A saved cursor goes on behind the last record delivered, in another reader and over a restart [deepwater.read.cursor].
func TestCursor(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(true))
	fill(t, w, 0, 25, 10)
	r := mustReader(t, base, nil)
	for n := uint64(0); n <= 25; n++ {
		cursor, err := r.Save()
		succeed(t, err)
		other := mustReader(t, base, &ReaderOptions{Start: Latest})
		for _, chunk := range []uint64{cursor.ChunkID, 0, 99} { // the chunk is a hint
			succeed(t, other.Restore(Cursor{ChunkID: chunk, Sequence: cursor.Sequence}))
			expectRecords(t, other, n, 25, shmwire.ErrEmpty)
		}
		succeed(t, other.Close())
		if n < 25 {
			_, err = r.Next()
			succeed(t, err)
		}
	}
	cursor, err := r.Save()
	succeed(t, err)
	succeed(t, w.Close())
	again := mustWriter(t, base, small(true))
	fill(t, again, 25, 28, 10)
	succeed(t, r.Restore(cursor))
	expectRecords(t, r, 25, 28, shmwire.ErrEmpty)
}

// What is answered without reading [deepwater.read.latest-chunk] [deepwater.read.has-data].
func TestQuestions(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(false))
	r := mustReader(t, base, nil)
	_, err := r.LatestChunk()
	testkit.ExpectCode(t, err, shmwire.ErrNotFound)
	if has, err := r.HasDataSince(0); has || err != nil {
		t.Errorf("%v, %v", has, err)
	}
	fill(t, w, 0, 12, 10)
	chunk, err := r.LatestChunk()
	succeed(t, err)
	if chunk.ChunkID != 1 || chunk.State != StateLive || chunk.FirstSequence != 10 || chunk.RecordCount != 2 ||
		chunk.StartNS != timeOf(10) || chunk.EndNS != timeOf(11) ||
		chunk.DataName != fmt.Sprintf("/dw.%016x.feed.1.data", fnvOf(t, base)) {
		t.Errorf("%+v", chunk)
	}
	for ns, want := range map[uint64]bool{0: true, timeOf(11): true, timeOf(11) + 1: false} {
		if has, err := r.HasDataSince(ns); has != want || err != nil {
			t.Errorf("since %d: %v, %v", ns, has, err)
		}
	}
	_, err = r.Chunk(2)
	testkit.ExpectCode(t, err, shmwire.ErrNotFound)
	if found, err := r.Look(); err != nil || found["row[1].first_sequence"] != 10 || found["registry.count"] != 1 ||
		found["feed.live_window"] != 2 || found["feed_registry.latest"] != 1 {
		t.Errorf("%v, %v", found, err)
	}
	succeed(t, r.Close())
	for _, err := range []error{
		r.Close(), r.Seek(Oldest), r.Restore(Cursor{}), second(r.Next()), second(r.Save()), second(r.Feed()), second(r.Chunks()),
		second(r.LatestChunk()), second(r.HasDataSince(0)), second(r.Chunk(0)), second(r.Look()), second(r.WaitNext(Forever)),
		r.Range(0, 1, nil),
	} {
		testkit.ExpectCode(t, err, shmwire.ErrClosed)
	}
}

// The end of a feed [deepwater.read.end]: retired, or without a writer where the caller asks for it.
func TestEnd(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(true))
	fill(t, w, 0, 3, 10)
	ends, stays := mustReader(t, base, &ReaderOptions{EndWithWriter: true}), mustReader(t, base, nil)
	expectRecords(t, ends, 0, 3, shmwire.ErrEmpty)
	fill(t, w, 3, 5, 10)
	succeed(t, w.Close())
	expectRecords(t, ends, 3, 5, shmwire.ErrClosed)
	expectRecords(t, stays, 0, 5, shmwire.ErrEmpty)
	succeed(t, Retire(base, testFeed))
	expectRecords(t, stays, 5, 5, shmwire.ErrClosed)
	testkit.ExpectCode(t, second(stays.WaitNext(Forever)), shmwire.ErrClosed)
}

// A row that a writer changes is waited for, and one that stays odd while it lives is CORRUPT [deepwater.read.row].
func TestOddStamp(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(false))
	fill(t, w, 0, 3, 10)
	r := mustReader(t, base, nil)
	stamp := w.place.rowAt(0).Atomic32(rowStampOffset)
	stamp.Add(1)
	begun := make(chan struct{})
	go func() {
		<-begun
		for i := 0; i < 50; i++ {
			shm.Pause()
		}
		stamp.Add(1)
	}()
	close(begun)
	expectRecords(t, r, 0, 3, shmwire.ErrEmpty)
	stamp.Add(1)
	testkit.ExpectCode(t, second(OpenReader(base, testFeed, nil)), shmwire.ErrCorrupt)
	stamp.Add(1)
}

// oddRow is a feed of three chunks of ten records and one of five, whose writer has died over the row of the second.
func oddRow(t *testing.T, persist bool, window uint32) string {
	t.Helper()
	base := newBase(t)
	options := small(persist)
	options.LiveWindow = window
	w := mustWriter(t, base, options)
	fill(t, w, 0, 35, 10)
	w.place.rowAt(1).Atomic32(rowStampOffset).Add(1)
	w.place.unlock() // as if it had died within the change
	return base
}

// A row that a dead writer left odd is no damage: who needs it is told to come again, who does not goes on [deepwater.read.odd].
func TestOddRow(t *testing.T) {
	base := oddRow(t, true, 64)
	r := mustReader(t, base, nil)
	expectRecords(t, r, 0, 10, shmwire.ErrEmpty)
	r.spin = time.Millisecond
	testkit.ExpectCode(t, second(r.WaitNext(3*time.Millisecond)), shmwire.ErrTimeout)
	testkit.ExpectCode(t, second(r.Chunk(1)), shmwire.ErrNotReady)
	testkit.ExpectCode(t, r.Seek(AtTime(timeOf(10)+1)), shmwire.ErrNotReady)
	testkit.ExpectCode(t, second(r.Next()), shmwire.ErrEmpty) // it stayed
	visited := uint64(0)
	testkit.ExpectCode(t, r.Range(0, timeOf(34), func(*Record) bool { visited++; return true }), shmwire.ErrNotReady)
	if visited != 10 {
		t.Errorf("%d records before the row", visited)
	}
	succeed(t, r.Seek(AtSequence(20)))
	expectRecords(t, r, 20, 35, shmwire.ErrEmpty)
	succeed(t, r.Restore(Cursor{ChunkID: 1, Sequence: 13}))
	testkit.ExpectCode(t, second(r.Next()), shmwire.ErrEmpty)
	testkit.ExpectCode(t, Validate(base, testFeed), shmwire.ErrNotReady)
	succeed(t, second(Collect(base, testFeed)))
	expectRecords(t, r, 13, 35, shmwire.ErrEmpty)
	succeed(t, Validate(base, testFeed))
}

// Rows before an odd one are gone, and it may be too: the reader is told of each loss when it is known.
func TestOddRowBehindExpired(t *testing.T) {
	base := oddRow(t, false, 2) // chunks 0 and 1 are gone
	testkit.ExpectCode(t, second(OpenReader(base, testFeed, nil)), shmwire.ErrNotReady)
	testkit.ExpectCode(t, second(OpenReader(base, testFeed, &ReaderOptions{ReadyTimeout: time.Millisecond})), shmwire.ErrNotReady)
	r := mustReader(t, base, &ReaderOptions{Start: AtSequence(0)})
	expectLost(t, r, 10)
	testkit.ExpectCode(t, second(r.Next()), shmwire.ErrEmpty)
	late := make(chan error)
	go func() {
		_, err := Collect(base, testFeed)
		late <- err
	}()
	waiting := mustReader(t, base, &ReaderOptions{ReadyTimeout: plenty})
	expectRecords(t, waiting, 20, 35, shmwire.ErrEmpty)
	succeed(t, <-late)
	expectLost(t, r, 10)
	expectRecords(t, r, 20, 35, shmwire.ErrEmpty)
}

// An odd row is the end with the writer, and not because the feed is retired [deepwater.read.end].
func TestOddRowAndEnd(t *testing.T) {
	base := oddRow(t, false, 64)
	r, ends := mustReader(t, base, nil), mustReader(t, base, &ReaderOptions{EndWithWriter: true})
	expectRecords(t, ends, 0, 10, shmwire.ErrClosed)
	succeed(t, Retire(base, testFeed))
	expectRecords(t, r, 0, 10, shmwire.ErrEmpty)
	succeed(t, second(Collect(base, testFeed)))
	expectRecords(t, r, 10, 35, shmwire.ErrClosed)
}
