// SPDX-License-Identifier: MIT

package ouroboros

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m, play) }

// play is what a child does: it takes the log over, says so, and writes until it is killed, or holds it.
func play(role []string) error { // "role segment"
	w, err := Resume(role[1], WithChunkTarget(256))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if role[0] == "hold" {
			time.Sleep(time.Millisecond)
			continue
		}
		next := w.Info().EntriesWritten + 1
		if _, err := w.Write(numbered(next, lengthOf(next))); err != nil {
			return err
		}
	}
	return errors.New("nobody killed this process")
}

// lengthOf is the length of an entry of such a writer.
func lengthOf(sequence uint64) int { return 8 + int(sequence*7%90) }

// One writer at a time, in this process and others; readers do not count [ouroboros.segment.one-writer].
func TestBusy(t *testing.T) {
	w, name := smallLog(t)
	follow(t, name)
	before := bytesOf(t, name)
	_, err := Resume(name)
	expectCode(t, err, shmwire.ErrBusy)
	w.Close()
	second, err := Resume(name)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	child := testkit.Spawn(t, "hold", name)
	_, err = Resume(name)
	expectCode(t, err, shmwire.ErrBusy)
	child.Die()
	third, err := Resume(name)
	if err != nil {
		t.Fatal(err)
	}
	third.Close()
	if string(bytesOf(t, name)) != string(before) {
		t.Error("taking over changed the segment")
	}
	_, err = Resume(uniqueName(t))
	expectCode(t, err, shmwire.ErrNotFound)
}

// A writer that gives up at any point and is resumed leaves the bytes that one writer leaves.
func TestResumeBytes(t *testing.T) {
	one, single := smallLog(t)
	w, name := smallLog(t)
	for sequence := uint64(1); sequence <= 60; sequence++ {
		length := 1 + int(sequence*7%50)
		mustWrite(t, one, length)
		mustWrite(t, w, length)
		if string(bytesOf(t, name)) != string(bytesOf(t, single)) {
			t.Fatalf("entry %d: the bytes differ", sequence)
		}
		w.Close()
		var err error
		if w, err = Resume(name); err != nil {
			t.Fatal(err)
		}
		if info := w.Info(); info.EntriesWritten != sequence || info.ChunkTarget != 64 {
			t.Fatalf("%+v after %d entries", info, sequence)
		}
	}
	w.Close()
}

// Writers are killed wherever they are, readers follow over all of them: whole entries, ascending, gaps as reported,
// and to the end.
func TestKilledWriters(t *testing.T) {
	w, name := newLog(t, WithChunkCount(4), WithChunkTarget(256))
	w.Close()
	r := follow(t, name)
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	last := uint64(0)
	take := func(entry Entry) {
		if entry.Sequence != last+entry.Skipped+1 || len(entry.Payload) != lengthOf(entry.Sequence) ||
			binary.LittleEndian.Uint64(entry.Payload) != entry.Sequence ||
			string(entry.Payload) != string(numbered(entry.Sequence, lengthOf(entry.Sequence))) {
			t.Fatalf("entry %d after %d, %d skipped: %x", entry.Sequence, last, entry.Skipped, entry.Payload)
		}
		last = entry.Sequence
	}
	for death := 0; death < 8; death++ {
		child := testkit.Spawn(t, "write", name)
		for i := 0; i < 2000; i++ {
			entry, err := r.Wait(ctx)
			if err != nil {
				t.Fatal(err)
			}
			take(entry)
		}
		child.Die()
		for entry, err := r.Next(); err == nil; entry, err = r.Next() {
			take(entry)
		}
	}
	w, err := Resume(name, WithChunkTarget(256))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if written := w.Info().EntriesWritten; written < last {
		t.Fatalf("%d entries written, and entry %d was read", written, last)
	}
	if err := w.Validate(); err != nil {
		t.Error(err)
	}
	next := w.Info().EntriesWritten + 1
	mustWrite(t, w, lengthOf(next))
	entry, err := r.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	take(entry)
	if last != next {
		t.Errorf("came to %d of %d", last, next)
	}
	t.Logf("%d entries, %d skipped", last, r.Info().TotalSkipped)
}
