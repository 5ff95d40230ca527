// SPDX-License-Identifier: MIT

package deepwater

import (
	"os"
	"path/filepath"
	"testing"

	"shmwire"
	"shmwire/internal/shm"
	"shmwire/internal/testkit"
)

// abandon leaves a feed as a writer does that is killed: as it is, and without its lock.
func abandon(w *Writer) { w.place.file.UnlockByte(lockByte) }

// A live chunk is sealed with the records that entry_count covers, and no others [deepwater.recover.sealed].
func TestRecoverSeals(t *testing.T) {
	for _, persist := range []bool{false, true} {
		base := newBase(t)
		options := small(persist)
		options.LiveWindow = 8
		w := mustWriter(t, base, options)
		fill(t, w, 0, 15, 10)
		w.put(timeOf(15), 0, []byte("never committed"))
		w.live.writePos.Store(w.used)
		abandon(w)
		next := mustWriter(t, base, small(persist))
		r := mustReader(t, base, nil)
		if found, want := states(t, r), map[bool]string{false: "22", true: "33"}[persist]; found != want {
			t.Errorf("states %s, expected %s", found, want)
		}
		chunk, err := r.Chunk(1)
		succeed(t, err)
		bytes := uint64(0)
		for n := uint64(10); n < 15; n++ {
			bytes = (bytes+7)&^7 + uint64(lengthOf(n))
		}
		if chunk.RecordCount != 5 || chunk.EndNS != timeOf(14) || chunk.DataBytes != bytes {
			t.Errorf("%+v, expected 5 records, %d bytes", chunk, bytes)
		}
		fill(t, next, 15, 18, 10)
		expectRecords(t, r, 0, 18, shmwire.ErrEmpty)
		succeed(t, Validate(base, testFeed))
	}
}

// Death between the steps of rotating and of changing a row.
func TestRecoverHalfRotated(t *testing.T) {
	for name, die := range map[string]func(t *testing.T, w *Writer){
		"the new chunk is not counted": func(t *testing.T, w *Writer) {
			c, err := w.place.makeChunk(1, DefaultMode, 1)
			succeed(t, err)
			c.close()
		},
		"the old chunk is not sealed": func(t *testing.T, w *Writer) {
			succeed(t, w.fillRow(1))
			c, err := w.place.makeChunk(1, DefaultMode, 1)
			succeed(t, err)
			c.close()
			w.place.count.Store(2)
		},
		"flags, not the row": func(_ *testing.T, w *Writer) { w.live.flags.Store(dataSealed) },
		"within the row":     func(_ *testing.T, w *Writer) { w.place.rowAt(0).Atomic32(rowStampOffset).Add(1) },
		"half of the row": func(_ *testing.T, w *Writer) {
			w.place.rowAt(0).Atomic32(rowStampOffset).Add(1)
			w.place.rowAt(0).Atomic32(rowStateOffset).Store(StatePersisted)
		},
		"sealed, not persisted": func(t *testing.T, w *Writer) {
			row, err := w.place.loadRow(0)
			succeed(t, err)
			w.place.seal(w.live, w.entries, w.used, &row)
		},
	} {
		for _, persist := range []bool{false, true} {
			base := newBase(t)
			options := small(persist)
			options.LiveWindow = 8
			w := mustWriter(t, base, options)
			fill(t, w, 0, 7, 100)
			die(t, w)
			abandon(w)
			again := mustWriter(t, base, small(persist))
			fill(t, again, 7, 9, 100)
			r := mustReader(t, base, nil)
			expectRecords(t, r, 0, 9, shmwire.ErrEmpty)
			if err := Validate(base, testFeed); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if stamp := again.place.rowAt(0).Atomic32(rowStampOffset).Load(); stamp%2 != 0 {
				t.Errorf("%s: stamp %d", name, stamp)
			}
			succeed(t, again.Close())
			if names := memoryOf(t, base); len(names) != 0 {
				t.Errorf("%s: left %v", name, names)
			}
		}
	}
}

// The header of the feed's registry may be behind its index by the records of one commit [deepwater.recover.sequence].
func TestRecoverSequence(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(true))
	fill(t, w, 0, 5, 100)
	w.place.lastSequence.Store(2)
	w.place.lastTimestamp.Store(timeOf(2))
	abandon(w)
	again := mustWriter(t, base, small(true))
	_, err := again.Append(timeOf(4)-1, 0, nil)
	testkit.ExpectCode(t, err, shmwire.ErrOutOfOrder)
	fill(t, again, 5, 6, 100)
	expectRecords(t, mustReader(t, base, nil), 0, 6, shmwire.ErrEmpty)
}

// Shared memory that is gone, as when the machine was switched off [deepwater.recover.adopt].
func TestRecoverAdopts(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(true))
	fill(t, w, 0, 25, 10)
	for id := uint64(0); id < 2; id++ { // their files are there, their rows did not come to the disk
		row, err := w.place.loadRow(id)
		succeed(t, err)
		row.state, row.recordCount, row.endNS, row.dataBytes, row.dataCRC, row.indexCRC = StateLive, 0, 0, 0, 0, 0
		w.place.storeRow(&row)
	}
	w.place.rowAt(1).Atomic64(rowStartNSOffset).Store(timeOf(9))
	abandon(w)
	for _, name := range memoryOf(t, base) {
		succeed(t, os.Remove(name))
	}
	r := mustReader(t, base, nil)
	expectRecords(t, r, 0, 20, shmwire.ErrExpired) // files are found; what is nowhere is lost, when there is no writer
	found, err := Collect(base, testFeed)
	succeed(t, err)
	if found.Adopted != 2 || found.Expired != 1 || found.Sealed != 0 || states(t, r) != "334" {
		t.Errorf("%+v, states %s", found, states(t, r))
	}
	succeed(t, Validate(base, testFeed))
	again := mustWriter(t, base, small(true))
	fill(t, again, 25, 27, 10) // behind the last one that anybody can have seen
	late := mustReader(t, base, nil)
	expectFirst(t, late, 0, 27, "oldest")
	succeed(t, late.Seek(AtSequence(19)))
	expectFirst(t, late, 19, 27, "a sequence")
	expectLost(t, late, 5)
	expectRecords(t, late, 25, 27, shmwire.ErrEmpty)
}

// Half-written files go, and are never taken for a chunk; nothing else goes [deepwater.recover.half-made].
func TestRecoverHalfMade(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(true))
	fill(t, w, 0, 5, 100)
	abandon(w)
	directory := filepath.Join(base, testFeed)
	for _, name := range []string{
		"chunk_00000000.data.tmp", "chunk_00000000.idx.tmp", "chunk_00000009.data.tmp", "other.tmp", "chunk_x",
	} {
		succeed(t, os.WriteFile(filepath.Join(directory, name), []byte("half"), 0o600))
	}
	found, err := Collect(base, testFeed)
	succeed(t, err)
	if found != (Recovered{Sealed: 1, Persisted: 1, Removed: 3}) {
		t.Errorf("%+v", found)
	}
	names, err := os.ReadDir(directory)
	succeed(t, err)
	if len(names) != 5 { // two files of the chunk, the registry, and the two that are none of ours
		t.Errorf("%v", names)
	}
	if names := memoryOf(t, base); len(names) != 0 {
		t.Errorf("%v", names)
	}
	expectRecords(t, mustReader(t, base, nil), 0, 5, shmwire.ErrEmpty)
}

// Collect keeps the window of a feed that does not persist.
func TestCollectKeeps(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(false))
	fill(t, w, 0, 25, 10)
	abandon(w)
	for i := 0; i < 2; i++ {
		found, err := Collect(base, testFeed)
		succeed(t, err)
		if found.Sealed != uint64(1-i) || len(memoryOf(t, base)) != 4 {
			t.Errorf("%+v, %v", found, memoryOf(t, base))
		}
	}
	r := mustReader(t, base, &ReaderOptions{EndWithWriter: true})
	expectRecords(t, r, 10, 25, shmwire.ErrClosed)
	if info, err := r.Feed(); err != nil || info.Latest != None || info.WriterPID != 0 {
		t.Errorf("%+v, %v", info, err)
	}
}

// A chunk that no writer can have left so is CORRUPT, and stays.
func TestRecoverCorrupt(t *testing.T) {
	for name, offset := range map[string]uint64{"sequence": 64 + 32 + 24, "offset": 64 + 32 + 8, "length": 64 + 16, "time": 64} {
		p, w := sampleBase(t)
		abandon(w)
		patch(t, p.liveIndex, offset, 0xFF, 0xFF, 0xFF, 0xFF)
		before := [][]byte{readAll(t, p.feed), readAll(t, p.liveData), readAll(t, p.liveIndex)}
		_, err := Collect(p.base, testFeed)
		if shmwire.CodeOf(err) != shmwire.ErrCorrupt {
			t.Errorf("%s: %v", name, err)
		}
		_, err = OpenWriter(p.base, testFeed, nil)
		testkit.ExpectCode(t, err, shmwire.ErrCorrupt)
		for i, path := range []string{p.feed, p.liveData, p.liveIndex} {
			same(t, path, readAll(t, path), before[i])
		}
	}
}

// A maker that died: what it left is made anew.
func TestRecoverMaking(t *testing.T) {
	for _, left := range [][]byte{{}, make([]byte, 100), make([]byte, 128), make([]byte, 4096)} {
		base := newBase(t)
		succeed(t, os.WriteFile(filepath.Join(base, registryFile), left, 0o600))
		succeed(t, os.Mkdir(filepath.Join(base, testFeed), 0o700))
		succeed(t, os.WriteFile(filepath.Join(base, testFeed, feedFile), []byte("half of one"), 0o600))
		_, err := OpenReader(base, testFeed, nil)
		if code := shmwire.CodeOf(err); code != shmwire.ErrNotReady && code != shmwire.ErrTruncated {
			t.Errorf("%v", err)
		}
		fill(t, mustWriter(t, base, small(false)), 0, 2, 10)
		expectRecords(t, mustReader(t, base, nil), 0, 2, shmwire.ErrEmpty)
	}
	base := newBase(t) // one that was published and cut off is not ours to mend
	succeed(t, mustWriter(t, base, small(false)).Close())
	succeed(t, os.Truncate(filepath.Join(base, registryFile), 200))
	_, err := OpenWriter(base, testFeed, small(false))
	testkit.ExpectCode(t, err, shmwire.ErrTruncated)
}

// The lock of a feed is on a description that nothing is mapped from: else a child that inherits the mapping would keep it.
func TestLockNotMapped(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(false))
	other, err := w.place.directory.OpenFile(feedFile, shm.ToRead, 0)
	succeed(t, err)
	defer other.Close()
	locked, err := other.Locked(lockByte, 1)
	if err != nil || !locked {
		t.Fatalf("%v, %v", locked, err)
	}
	w.place.file.Close() // the mapping stays
	if locked, err = other.Locked(lockByte, 1); err != nil || locked {
		t.Fatalf("the mapping keeps the lock: %v, %v", locked, err)
	}
	if w.place.file, err = w.place.directory.OpenFile(feedFile, shm.ToWrite, 0); err != nil {
		t.Fatal(err)
	}
}

// A hole in the middle, as a power failure leaves one: a time goes behind it, a sequence and a reader on its way say what is lost
// [deepwater.read.seek-time] [deepwater.read.expired].
func TestHole(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(true))
	fill(t, w, 0, 35, 10)
	row, err := w.place.loadRow(1)
	succeed(t, err)
	row.state = StateLive
	w.place.storeRow(&row)
	abandon(w)
	for _, suffix := range []string{suffixData, suffixIndex} {
		succeed(t, os.Remove(filepath.Join(base, testFeed, fileName(1, suffix))))
	}
	found, err := Collect(base, testFeed)
	succeed(t, err)
	r := mustReader(t, base, nil)
	if found.Expired != 1 || states(t, r) != "3433" {
		t.Fatalf("%+v, states %s", found, states(t, r))
	}
	for n := uint64(0); n < 10; n++ {
		record, err := r.Next()
		succeed(t, err)
		checkRecord(t, record, n)
	}
	expectLost(t, r, 10)
	expectRecords(t, r, 20, 35, shmwire.ErrEmpty)
	for _, n := range []uint64{12, 15, 18} {
		succeed(t, r.Seek(AtTime(timeOf(n))))
		expectRecords(t, r, 20, 35, shmwire.ErrEmpty)
		succeed(t, r.Seek(AtSequence(n)))
		expectLost(t, r, 20-n)
		expectRecords(t, r, 20, 35, shmwire.ErrEmpty)
		succeed(t, r.Restore(Cursor{ChunkID: 1, Sequence: n}))
		expectLost(t, r, 20-n)
	}
	visited := 0
	err = r.Range(timeOf(6), timeOf(14), func(*Record) bool { visited++; return true }) // ends in the hole, which it must tell
	if shmwire.CodeOf(err) != shmwire.ErrExpired || visited != 4 {
		t.Errorf("%d records, %v", visited, err)
	}
}

// A writer that is, or died, between the commit of a record and telling of it: who has read the record does not get it again.
func TestUntoldRecords(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(false))
	fill(t, w, 0, 5, 100)
	r := mustReader(t, base, nil)
	expectRecords(t, r, 0, 5, shmwire.ErrEmpty)
	w.place.lastSequence.Store(2)
	cursor, err := r.Save()
	succeed(t, err)
	for _, seek := range []func() error{
		func() error { return r.Restore(cursor) }, func() error { return r.Seek(Latest) },
		func() error { return r.Seek(AtSequence(5)) }, func() error { return r.Seek(AtSequence(50)) },
	} {
		succeed(t, seek())
		testkit.ExpectCode(t, second(r.Next()), shmwire.ErrEmpty)
	}
	w.place.lastSequence.Store(4)
	fill(t, w, 5, 6, 100)
	expectRecords(t, r, 5, 6, shmwire.ErrEmpty)
}
