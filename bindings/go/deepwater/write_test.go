// SPDX-License-Identifier: MIT

package deepwater

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shmwire"
	"shmwire/internal/testkit"
)

// What opening refuses [deepwater.feed.name] [deepwater.feed.argument] [deepwater.feed.existing] [deepwater.feed.full].
func TestOpenRefusals(t *testing.T) {
	base := newBase(t)
	for name, want := range map[string]*shmwire.Code{
		"": shmwire.ErrInvalidName, ".": shmwire.ErrInvalidName, "..": shmwire.ErrInvalidName, "a/b": shmwire.ErrInvalidName,
		"a b": shmwire.ErrInvalidName, "é": shmwire.ErrInvalidName, strings.Repeat("x", 64): shmwire.ErrInvalidName,
		"a\x00b": shmwire.ErrInvalidName,
	} {
		_, err := OpenWriter(base, name, small(false))
		testkit.ExpectCode(t, err, want)
		_, err = OpenReader(base, name, nil)
		testkit.ExpectCode(t, err, want)
	}
	for i, change := range []func(*Options){
		func(o *Options) { o.ChunkSize = MinChunk - 8 }, func(o *Options) { o.ChunkSize = MinChunk + 4 },
		func(o *Options) { o.ChunkSize = maxChunk + 8 }, func(o *Options) { o.RecordSize = uint32(MinChunk) + 1 },
		func(o *Options) { o.Rows = maxRows + 1 }, func(o *Options) { o.Feeds = maxFeeds + 1 },
		func(o *Options) { o.Mode = 0o1600 }, func(o *Options) { o.Making = 3 },
	} {
		options := small(false)
		change(options)
		if _, err := OpenWriter(base, testFeed, options); !errors.Is(err, shmwire.ErrInvalidArgument) {
			t.Errorf("change %d: %v", i, err)
		}
	}
	if names, _ := os.ReadDir(base); len(names) != 0 {
		t.Errorf("refusals made %v", names)
	}
	only := small(false)
	only.Making = OpenOnly
	_, err := OpenWriter(base, testFeed, only)
	testkit.ExpectCode(t, err, shmwire.ErrNotFound)
	for i := 0; i < 4; i++ {
		w, err := OpenWriter(base, fmt.Sprint("feed", i), small(false))
		succeed(t, err)
		succeed(t, w.Close())
		testkit.ExpectCode(t, w.Close(), shmwire.ErrClosed)
	}
	before := readAll(t, filepath.Join(base, registryFile))
	_, err = OpenWriter(base, testFeed, small(false))
	testkit.ExpectCode(t, err, shmwire.ErrFull)
	fresh := small(false)
	fresh.Making = CreateOnly
	_, err = OpenWriter(base, "feed3", fresh)
	testkit.ExpectCode(t, err, shmwire.ErrExists)
	same(t, "registry", readAll(t, filepath.Join(base, registryFile)), before)
	feeds, err := Feeds(base)
	succeed(t, err)
	if len(feeds) != 4 || feeds[3].Name != "feed3" || feeds[3].FeedID != 3 || feeds[2].LastSequence != None {
		t.Errorf("%+v", feeds)
	}
}

// One writer at a time, told from a retired feed [deepwater.feed.one-writer] [deepwater.feed.retire] [deepwater.feed.retired].
func TestOneWriter(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(false))
	fill(t, w, 0, 3, 100)
	before := readAll(t, filepath.Join(base, testFeed, feedFile))
	for i := 0; i < 2; i++ { // the second one: a closed loser does not take the lock with it
		_, err := OpenWriter(base, testFeed, small(false))
		testkit.ExpectCode(t, err, shmwire.ErrBusy)
		testkit.ExpectCode(t, Retire(base, testFeed), shmwire.ErrBusy)
		_, err = Collect(base, testFeed)
		testkit.ExpectCode(t, err, shmwire.ErrBusy)
	}
	same(t, "feed registry", readAll(t, filepath.Join(base, testFeed, feedFile)), before)
	if info, err := w.Feed(); err != nil || !info.WriterLives || info.WriterPID != 77 || info.HeartbeatNS != 9 || info.Latest != 0 {
		t.Errorf("%+v, %v", info, err)
	}
	succeed(t, w.Close())
	succeed(t, Retire(base, testFeed))
	_, err := OpenWriter(base, testFeed, small(false))
	testkit.ExpectCode(t, err, shmwire.ErrClosed)
	r := mustReader(t, base, nil)
	if info, err := r.Feed(); err != nil || info.WriterLives || info.Flags != FlagRetired || info.Latest != None {
		t.Errorf("%+v, %v", info, err)
	}
	_, err = r.Next()
	testkit.ExpectCode(t, err, shmwire.ErrClosed)
}

// Records that are refused change nothing [deepwater.append.size] [deepwater.append.time].
func TestAppendRefusals(t *testing.T) {
	base := newBase(t)
	options := small(false)
	options.RecordSize = 16
	w := mustWriter(t, base, options)
	_, err := w.Append(50, 0, make([]byte, 16))
	succeed(t, err)
	succeed(t, w.Rotate())
	before := readAll(t, filepath.Join(base, testFeed, feedFile))
	_, err = w.Append(50, 0, make([]byte, 15))
	testkit.ExpectCode(t, err, shmwire.ErrInvalidArgument)
	_, err = w.Append(49, 0, make([]byte, 16)) // in whichever chunk
	testkit.ExpectCode(t, err, shmwire.ErrOutOfOrder)
	same(t, "feed registry", readAll(t, filepath.Join(base, testFeed, feedFile)), before)
	other, err := OpenWriter(base, "other", small(false))
	succeed(t, err)
	defer other.Close()
	_, err = other.Append(0, 0, make([]byte, MinChunk+1))
	testkit.ExpectCode(t, err, shmwire.ErrTooLarge)
	for _, length := range []int{int(MinChunk), 0} {
		_, err = other.Append(0, 0, make([]byte, length))
		succeed(t, err)
	}
	done, err := other.AppendBatch([]Part{
		{TimestampNS: 1, Data: []byte("a")}, {TimestampNS: 2, Data: []byte("b")}, {TimestampNS: 1},
	})
	if done != 2 || !errors.Is(err, shmwire.ErrOutOfOrder) {
		t.Fatalf("%d, %v", done, err)
	}
	if info, err := other.Feed(); err != nil || info.LastSequence != 3 || info.LastTimestampNS != 2 || info.Chunks != 2 {
		t.Errorf("%+v, %v", info, err)
	}
	succeed(t, other.Close())
	_, err = other.Append(9, 0, nil)
	testkit.ExpectCode(t, err, shmwire.ErrClosed)
	testkit.ExpectCode(t, other.Rotate(), shmwire.ErrClosed)
}

// When a chunk ends [deepwater.rotate.when]: no room for bytes, none in the index, age, and on request.
func TestRotateWhen(t *testing.T) {
	cases := map[string]struct {
		options func(*Options)
		append  func(w *Writer) error
		want    string // records of each chunk
	}{
		"bytes":           {func(*Options) {}, func(w *Writer) error { return times(3, w, 0, 2045) }, "[2 1]"}, // 2048 + 2045 fit
		"bytes, one more": {func(*Options) {}, func(w *Writer) error { return times(3, w, 0, 2049) }, "[1 1 1]"},
		"index":           {func(*Options) {}, func(w *Writer) error { return times(129, w, 0, 0) }, "[128 1]"},
		"index of records of one size": {func(o *Options) { o.RecordSize = 1000 },
			func(w *Writer) error { return times(5, w, 0, 1000) }, "[4 1]"},
		"age": {func(o *Options) { o.RotateNS = 10 }, func(w *Writer) error { return times(21, w, 1, 1) }, "[10 10 1]"},
		"request": {func(*Options) {}, func(w *Writer) error {
			for i := 0; i < 2; i++ { // a second one finds nothing to do
				if err := w.Rotate(); err != nil {
					return err
				}
			}
			err := times(1, w, 0, 1)
			for i := 0; i < 2 && err == nil; i++ {
				err = w.Rotate()
			}
			return err
		}, "[1 0]"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			base := newBase(t)
			options := small(false)
			options.LiveWindow = 8
			c.options(options)
			w := mustWriter(t, base, options)
			succeed(t, c.append(w))
			chunks, err := mustReader(t, base, nil).Chunks()
			succeed(t, err)
			counts := []uint64{}
			for _, chunk := range chunks {
				counts = append(counts, chunk.RecordCount)
			}
			if found := fmt.Sprint(counts); found != c.want {
				t.Errorf("%s, expected %s", found, c.want)
			}
		})
	}
}

// times appends n records of a length, each so much later than the one before.
func times(n int, w *Writer, step uint64, length int) error {
	for i := 0; i < n; i++ {
		if _, err := w.Append(100+uint64(i)*step, 0, make([]byte, length)); err != nil {
			return err
		}
	}
	return nil
}

// No row left: nothing changes, and what is there stays readable [deepwater.rotate.full].
func TestRowsFull(t *testing.T) {
	base := newBase(t)
	options := small(true)
	options.Rows = 2
	w := mustWriter(t, base, options)
	fill(t, w, 0, 6, 4)
	before, names := readAll(t, filepath.Join(base, testFeed, feedFile)), memoryOf(t, base)
	testkit.ExpectCode(t, w.Rotate(), shmwire.ErrFull)
	same(t, "feed registry", readAll(t, filepath.Join(base, testFeed, feedFile)), before)
	if after := memoryOf(t, base); len(after) != len(names) {
		t.Errorf("%v, expected %v", after, names)
	}
	fill(t, w, 6, 7, 100)
	expectRecords(t, mustReader(t, base, nil), 0, 7, shmwire.ErrEmpty)
}

// The live window [deepwater.expire.window] [deepwater.expire.state]: states of rows, and what is in shared memory.
func TestWindow(t *testing.T) {
	for _, persist := range []bool{false, true} {
		base := newBase(t)
		w := mustWriter(t, base, small(persist))
		fill(t, w, 0, 35, 10)
		r := mustReader(t, base, nil)
		want := map[bool]string{false: "4421", true: "3331"}[persist]
		if found := states(t, r); found != want {
			t.Errorf("states %s, expected %s", found, want)
		}
		if names := memoryOf(t, base); len(names) != 4 {
			t.Errorf("persist %v: %v", persist, names)
		}
		succeed(t, w.Close())
		want = map[bool]string{false: "4444", true: "3333"}[persist]
		if found := states(t, r); found != want {
			t.Errorf("states %s, expected %s", found, want)
		}
		succeed(t, Validate(base, testFeed))
	}
}

// A disk that refuses: what could not be persisted stays, readable, until it can be, or the next writer does it.
func TestPersistRefused(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(true))
	blocked := filepath.Join(base, testFeed, "chunk_00000000.data.tmp")
	succeed(t, os.Mkdir(blocked, 0o700)) // in the way of the file
	fill(t, w, 0, 10, 100)
	testkit.ExpectCode(t, w.Rotate(), shmwire.ErrSystem)
	for n := uint64(10); n < 30; n++ { // chunk 0 leaves the window, but cannot
		if _, err := w.Append(timeOf(n), uint32(n), payloadOf(n, lengthOf(n))); err != nil {
			t.Fatal(err)
		}
		if n == 19 && w.Rotate() == nil {
			t.Fatal("chunk 0 left")
		}
	}
	r := mustReader(t, base, nil)
	expectRecords(t, r, 0, 30, shmwire.ErrEmpty)
	fill(t, w, 30, 31, 100)
	if err := w.Rotate(); shmwire.CodeOf(err) != shmwire.ErrSystem { // chunk 1 leaves, past the one that cannot
		t.Fatalf("%v", err)
	}
	if names := memoryOf(t, base); len(names) != 6 || states(t, r) != "2331" {
		t.Errorf("states %s, %v", states(t, r), names)
	}
	testkit.ExpectCode(t, w.Close(), shmwire.ErrSystem)
	if names := memoryOf(t, base); len(names) != 2 || states(t, r) != "2333" {
		t.Errorf("states %s, %v", states(t, r), names) // chunk 0 alone
	}
	expectRecords(t, mustReader(t, base, nil), 0, 31, shmwire.ErrEmpty)
	succeed(t, os.Remove(blocked))
	found, err := Collect(base, testFeed)
	succeed(t, err)
	if found.Persisted != 1 || found.Expired != 0 || states(t, r) != "3333" || len(memoryOf(t, base)) != 0 {
		t.Errorf("%+v, states %s, %v", found, states(t, r), memoryOf(t, base))
	}
	expectRecords(t, mustReader(t, base, nil), 0, 31, shmwire.ErrEmpty)
	succeed(t, Validate(base, testFeed))
}

// What does not allocate.
func TestAppendAllocates(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, nil)
	r := mustReader(t, base, nil)
	data, parts := make([]byte, 100), make([]Part, 4)
	testkit.NoAllocations(t, nil, map[string]func() error{
		"Append":      func() error { _, err := w.Append(1, 0, data); return err },
		"AppendBatch": func() error { _, err := w.AppendBatch(parts[:0]); return err },
	})
	testkit.NoAllocations(t, nil, map[string]func() error{"Next": func() error { _, err := r.Next(); return err }})
	succeed(t, r.Seek(Latest))
	testkit.NoAllocations(t, shmwire.ErrEmpty, map[string]func() error{"Next": func() error { _, err := r.Next(); return err }})
}
