// SPDX-License-Identifier: MIT

package ouroboros

import (
	"bytes"
	"context"
	"errors"
	"math/rand"
	"os"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/testkit"
)

func TestCreateErrors(t *testing.T) {
	_, name := smallLog(t)
	for _, c := range []struct {
		what    string
		name    string
		options []CreateOption
		code    *shmwire.Code
	}{
		{"twice", name, nil, shmwire.ErrExists},
		{"name", "..", nil, shmwire.ErrInvalidName},
		{"no room", uniqueName(t), []CreateOption{WithChunkCount(1), WithSize(36)}, shmwire.ErrInvalidArgument},
		{"overflow", uniqueName(t), []CreateOption{WithChunkCount(4), WithChunkTarget(1 << 62)}, shmwire.ErrInvalidArgument},
		{"beyond the address space", uniqueName(t), []CreateOption{WithSize(1 << 63)}, shmwire.ErrInvalidArgument},
		{"mode", uniqueName(t), []CreateOption{WithMode(0o1777)}, shmwire.ErrInvalidArgument},
	} {
		if _, err := Create(c.name, c.options...); shmwire.CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	if _, err := Create(uniqueName(t), WithChunkCount(1), WithSize(37)); err != nil {
		t.Errorf("room for one byte: %v", err)
	}
}

func TestWriteErrors(t *testing.T) {
	w, name := smallLog(t)
	before := bytesOf(t, name)
	for _, data := range [][]byte{nil, {}} {
		_, err := w.Write(data)
		expectCode(t, err, shmwire.ErrInvalidArgument)
	}
	_, err := w.Write(make([]byte, 189))
	expectCode(t, err, shmwire.ErrTooLarge)
	_, err = w.WriteBatch([][]byte{{1}, make([]byte, 189)})
	expectCode(t, err, shmwire.ErrTooLarge)
	_, err = w.WriteBatch(nil)
	expectCode(t, err, shmwire.ErrInvalidArgument)
	if !bytes.Equal(bytesOf(t, name), before) || w.Info().EntriesWritten != 0 {
		t.Error("a write that was refused changed something")
	}
	if first, err := w.WriteBatch([][]byte{{1}, {2}}); first != 1 || err != nil || w.Info().EntriesWritten != 2 {
		t.Errorf("%d, %v", first, err)
	}
	w.Close()
	_, err = w.Write([]byte{1})
	expectCode(t, err, shmwire.ErrClosed)
	expectCode(t, w.Close(), shmwire.ErrClosed)
}

// A reader that keeps up gets every entry once over many laps and all chunk boundaries, whatever the lengths.
func TestFollow(t *testing.T) {
	const seed, count = 7, 3000
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	for _, geometry := range []struct {
		chunks  uint32
		target  uint64
		longest int
	}{{1, 128, 60}, {3, 64, 60}, {4, 256, 250}, {64, 32, 100}, {5, 16, 12}} {
		w, name := newLog(t, WithChunkCount(geometry.chunks), WithChunkTarget(geometry.target))
		r := follow(t, name)
		boundaries, before := 0, uint32(0)
		for sequence := uint64(1); sequence <= count; sequence++ {
			length := 1 + random.Intn(geometry.longest)
			if most := int(w.Info().MaxPayload); length > most {
				length = most
			}
			mustWrite(t, w, length)
			if entry := mustRead(t, r, sequence, 0, length); entry.Chunk != before {
				boundaries, before = boundaries+1, entry.Chunk
			}
			if sequence%100 == 0 {
				mustBeEmpty(t, r)
				if err := r.Validate(); err != nil {
					t.Fatalf("%+v, entry %d: %v", geometry, sequence, err)
				}
			}
		}
		if info := r.Info(); info.TotalEntriesRead != count || info.TotalSkipped != 0 || info.NextSequence != count+1 {
			t.Errorf("%+v", info)
		}
		if geometry.chunks > 1 && boundaries < 100 {
			t.Errorf("%+v: only %d boundaries", geometry, boundaries)
		}
	}
}

// A reader that is overtaken skips exactly what is missing between the entries that it gets, and never goes back.
func TestLaps(t *testing.T) {
	const seed, rounds = 11, 1500
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	for _, start := range []Start{StartAuto, StartLatest, StartOldest} {
		w, name := newLog(t, WithChunkCount(4), WithChunkTarget(96))
		lengths := map[uint64]int{}
		r := follow(t, name, WithStart(start))
		last, skipped := uint64(0), uint64(0)
		for round := 0; round < rounds; round++ {
			for i := random.Intn(30); i > 0; i-- {
				length := 1 + random.Intn(40)
				mustWrite(t, w, length)
				lengths[w.Info().EntriesWritten] = length
			}
			for i := random.Intn(30); i > 0; i-- {
				entry, err := r.Next()
				if errors.Is(err, shmwire.ErrEmpty) {
					if last != w.Info().EntriesWritten {
						t.Fatalf("empty after %d of %d", last, w.Info().EntriesWritten)
					}
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if entry.Sequence != last+entry.Skipped+1 && last != 0 {
					t.Fatalf("%d after %d with %d skipped", entry.Sequence, last, entry.Skipped)
				}
				if !bytes.Equal(entry.Payload, numbered(entry.Sequence, lengths[entry.Sequence])) {
					t.Fatalf("entry %d: %x", entry.Sequence, entry.Payload)
				}
				last, skipped = entry.Sequence, skipped+entry.Skipped
			}
		}
		if info := r.Info(); skipped == 0 || info.TotalSkipped < skipped || info.NextSequence == 0 {
			t.Errorf("%d skipped, %+v", skipped, info)
		}
	}
}

// The example of the specification: 3 chunks of 64 bytes, two entries of 32 each; a whole lap behind.
func TestLappedExactly(t *testing.T) {
	w, name := smallLog(t)
	r := follow(t, name)
	for i := 0; i < 3; i++ {
		mustWrite(t, w, 28)
	}
	mustRead(t, r, 1, 0, 28)
	for i := 0; i < 6; i++ {
		mustWrite(t, w, 28)
	}
	entry := mustRead(t, r, 9, 7, 28)
	if entry.Chunk != 1 || entry.Token != 8 {
		t.Errorf("%+v", entry)
	}
	mustBeEmpty(t, r)
	if info := r.Info(); info.TotalSkipped != 7 || info.TotalEntriesRead != 2 || info.NextSequence != 10 {
		t.Errorf("%+v", info)
	}
	expectCode(t, r.Seek(StartOldest), nil)
	mustRead(t, r, 5, 0, 28) // row 2 is of the lap before
	expectCode(t, r.Seek(Start(3)), shmwire.ErrInvalidArgument)
	expectCode(t, r.Seek(StartAuto), nil)
	mustRead(t, r, 9, 0, 28)
}

// A row that is committed late: the reader passes the boundary under the row before, adopts the new one when it comes, and
// repeats nothing at the wrap.
func TestLateRow(t *testing.T) {
	w := heapLog(3, 64)
	r := heapReader(w.window, 3, StartAuto)
	for i := 0; i < 3; i++ {
		mustWrite(t, w, 28)
	}
	w.rowOffset(1).Store(128) // the row that the third entry has committed
	for sequence := uint64(1); sequence <= 3; sequence++ {
		if entry := mustRead(t, r, sequence, 0, 28); entry.Chunk != 0 || entry.Token != 0 {
			t.Errorf("%+v", entry)
		}
	}
	w.rowOffset(1).Store(128 | rowCommitted)
	mustWrite(t, w, 28)
	if entry := mustRead(t, r, 4, 0, 28); entry.Chunk != 1 || entry.Token != 2 {
		t.Errorf("%+v", entry)
	}
	for sequence := uint64(5); sequence < 40; sequence++ {
		mustWrite(t, w, 28)
		mustRead(t, r, sequence, 0, 28)
	}
}

func TestTooSmall(t *testing.T) {
	w, name := smallLog(t)
	r := follow(t, name)
	mustWrite(t, w, 28)
	mustWrite(t, w, 20)
	var entry Entry
	var detailed *shmwire.Error
	for i := 0; i < 2; i++ {
		err := r.NextInto(make([]byte, 27), &entry)
		if !errors.As(err, &detailed) || detailed.Code != shmwire.ErrTooSmall || detailed.Needed != 28 {
			t.Fatal(err)
		}
	}
	if r.Info().TotalEntriesRead != 0 {
		t.Error("an entry that did not fit counts as read")
	}
	entries := make([]Entry, 2)
	n, err := r.NextBatch(make([]byte, 47), entries)
	if n != 1 || err != nil || !bytes.Equal(entries[0].Payload, numbered(1, 28)) {
		t.Fatal(n, err)
	}
	_, err = r.NextBatch(make([]byte, 19), entries)
	expectCode(t, err, shmwire.ErrTooSmall)
	n, err = r.NextBatch(make([]byte, 20), entries)
	if n != 1 || err != nil || !bytes.Equal(entries[0].Payload, numbered(2, 20)) {
		t.Fatal(n, err)
	}
	_, err = r.NextBatch(make([]byte, 20), entries)
	expectCode(t, err, shmwire.ErrEmpty)
	_, err = r.NextBatch(nil, nil)
	expectCode(t, err, shmwire.ErrInvalidArgument)
}

func TestView(t *testing.T) {
	w, name := smallLog(t)
	r := follow(t, name)
	_, err := r.View()
	expectCode(t, err, shmwire.ErrEmpty)
	var views []View
	for sequence := uint64(1); sequence <= 3; sequence++ {
		mustWrite(t, w, 28)
		view, err := r.View()
		if err != nil || view.Sequence != sequence || !bytes.Equal(view.Payload, numbered(sequence, 28)) {
			t.Fatalf("%+v, %v", view, err)
		}
		views = append(views, view)
	}
	for i := 0; i < 4; i++ { // the last one begins chunk 0 anew
		for k := range views {
			expectCode(t, views[k].Check(), nil)
		}
		mustWrite(t, w, 28)
	}
	expectCode(t, views[0].Check(), shmwire.ErrLapped)
	expectCode(t, views[1].Check(), shmwire.ErrLapped)
	expectCode(t, views[2].Check(), nil)
	r.Close()
	expectCode(t, views[2].Check(), shmwire.ErrClosed)
	_, err = r.View()
	expectCode(t, err, shmwire.ErrClosed)
	_, err = r.Next()
	expectCode(t, err, shmwire.ErrClosed)
	expectCode(t, r.Close(), shmwire.ErrClosed)
}

func TestWait(t *testing.T) {
	w, name := smallLog(t)
	for _, spin := range []time.Duration{0, 2 * time.Millisecond} {
		r := follow(t, name, WithSpin(spin), WithStart(StartLatest))
		for _, err := r.Next(); err == nil; _, err = r.Next() {
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		_, err := r.Wait(ctx)
		cancel()
		if !errors.Is(err, shmwire.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(began) < 30*time.Millisecond {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
		ctx, cancel = context.WithCancel(context.Background())
		cancel()
		if _, err := r.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		next := w.Info().EntriesWritten + 1
		done := make(chan error)
		go func() { time.Sleep(10 * time.Millisecond); _, err := w.Write(numbered(next, 28)); done <- err }()
		entry, err := r.Wait(context.Background())
		if err != nil || entry.Sequence != next || !bytes.Equal(entry.Payload, numbered(next, 28)) {
			t.Fatalf("%+v, %v", entry, err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// A deadline that has passed already is no reason not to look.
func TestWaitLooks(t *testing.T) {
	w, name := smallLog(t)
	r := follow(t, name)
	mustWrite(t, w, 5)
	ctx, cancel := context.WithTimeout(context.Background(), 0)
	defer cancel()
	if entry, err := r.Wait(ctx); err != nil || entry.Sequence != 1 {
		t.Error(entry, err)
	}
	_, err := r.Wait(ctx)
	expectCode(t, err, shmwire.ErrTimeout)
}

func TestOpenErrors(t *testing.T) {
	path := t.TempDir() + "/segment"
	_, err := Open(path)
	expectCode(t, err, shmwire.ErrNotFound)
	good := []byte(newImage())
	for _, c := range []struct {
		what string
		make func(raw image) []byte
		code *shmwire.Code
	}{
		{"15 bytes", func(raw image) []byte { return raw[:15] }, shmwire.ErrTruncated},
		{"half a table", func(raw image) []byte { return raw[:63] }, shmwire.ErrTruncated},
		{"a table of 2^28 rows", func(raw image) []byte { raw.word(12, 1<<28); return raw }, shmwire.ErrTruncated},
		{"no rows", func(raw image) []byte { raw.word(12, 0); return raw }, shmwire.ErrBadGeometry},
		{"version", func(raw image) []byte { raw.word(8, 2); return raw }, shmwire.ErrBadVersion},
		{"magic", func(raw image) []byte { raw[0]++; return raw }, shmwire.ErrBadMagic},
		{"unpublished", func(raw image) []byte { copy(raw, make([]byte, 8)); return raw }, shmwire.ErrNotReady},
		{"no room for an entry", func(raw image) []byte { return raw[:64] }, nil},
	} {
		raw := c.make(append(image(nil), good...))
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		reader, err := Open(path)
		if shmwire.CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.what, err)
		}
		if err == nil {
			_, err = reader.Next()
			expectCode(t, err, shmwire.ErrCorrupt)
			reader.Close()
		}
	}
	_, err = Open(path, WithStart(-1))
	expectCode(t, err, shmwire.ErrInvalidArgument)
}

// Open waits for a creator.
func TestOpenWaits(t *testing.T) {
	name := uniqueName(t)
	path, err := shmwire.Path(name)
	if err != nil {
		t.Fatal(err)
	}
	raw := newImage()
	copy(raw, make([]byte, 8))
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		time.Sleep(10 * time.Millisecond)
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteAt([]byte("GOLBORUO"), 0)
			file.Close()
		}
		done <- err
	}()
	mustBeEmpty(t, follow(t, name, WithReadyTimeout(20*time.Second)))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// No call of the hot path allocates.
func TestAllocations(t *testing.T) {
	w, name := newLog(t)
	r := follow(t, name)
	data, buffer := make([]byte, 64), make([]byte, 4096)
	items, entries := [][]byte{data, data, data}, make([]Entry, 8)
	ctx := context.Background()
	var entry Entry
	testkit.NoAllocations(t, nil, map[string]func() error{
		"write": func() error { _, err := w.Write(data); return err },
		"next":  func() error { w.Write(data); return r.NextInto(buffer, &entry) },
		"batch": func() error {
			w.WriteBatch(items)
			_, err := r.NextBatch(buffer, entries)
			return err
		},
		"wait": func() error { w.Write(data); return r.WaitInto(ctx, buffer, &entry) },
		"view": func() error {
			w.Write(data)
			view, err := r.View()
			if err == nil {
				err = view.Check()
			}
			return err
		},
	})
	for r.NextInto(buffer, &entry) == nil {
	}
	testkit.NoAllocations(t, shmwire.ErrEmpty, map[string]func() error{
		"empty": func() error { return r.NextInto(buffer, &entry) },
	})
}
