// SPDX-License-Identifier: MIT

package ouroboros

import (
	"encoding/binary"
	"testing"

	"shmwire"
	"shmwire/internal/shm"
	"shmwire/internal/testkit"
)

var bytesOf, expectCode = testkit.Bytes, testkit.ExpectCode

// uniqueName is a segment name that nobody else uses; it is unlinked when the test ends.
func uniqueName(t testing.TB) string {
	t.Helper()
	return testkit.Name(t, "ouro")
}

// newLog makes a log of a test's own.
func newLog(t testing.TB, options ...CreateOption) (*Writer, string) {
	t.Helper()
	name := uniqueName(t)
	writer, err := Create(name, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writer.Close() })
	return writer, name
}

// smallLog is one of three chunks of 64 bytes.
func smallLog(t testing.TB) (*Writer, string) {
	t.Helper()
	return newLog(t, WithChunkCount(3), WithChunkTarget(64))
}

func follow(t testing.TB, name string, options ...OpenOption) *Reader {
	t.Helper()
	reader, err := Open(name, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	return reader
}

// heapLog is a log in ordinary memory, without a lock: for tests that change its bytes.
func heapLog(chunkCount uint32, target uint64) *Writer {
	config := createConfig{chunkCount: chunkCount, target: target}
	if err := config.complete(); err != nil {
		panic(err)
	}
	w := &Writer{}
	w.begin(nil, shm.WindowOf(int(config.size)), &config)
	return w
}

// heapReader follows a log in ordinary memory.
func heapReader(window shm.Window, chunkCount uint32, start Start) *Reader {
	r := &Reader{start: start}
	r.take(nil, window, chunkCount)
	return r
}

// numbered is a payload of a length that names its entry.
func numbered(sequence uint64, length int) []byte {
	payload := make([]byte, length)
	for i := range payload {
		payload[i] = byte(31*sequence + 17*uint64(i))
	}
	if length >= 8 {
		binary.LittleEndian.PutUint64(payload, sequence)
	}
	return payload
}

// mustWrite writes the next entry, numbered, of a length.
func mustWrite(t testing.TB, w *Writer, length int) {
	t.Helper()
	next := w.Info().EntriesWritten + 1
	sequence, err := w.Write(numbered(next, length))
	if err != nil || sequence != next {
		t.Fatalf("entry %d: %d, %v", next, sequence, err)
	}
}

// mustRead reads an entry and compares it with the one that mustWrite wrote.
func mustRead(t testing.TB, r *Reader, sequence, skipped uint64, length int) Entry {
	t.Helper()
	entry, err := r.Next()
	if err != nil {
		t.Fatalf("entry %d: %v", sequence, err)
	}
	if entry.Sequence != sequence || entry.Skipped != skipped ||
		string(entry.Payload) != string(numbered(sequence, length)) {
		t.Fatalf("entry %d after %d skipped, %x; expected %d after %d", entry.Sequence, entry.Skipped, entry.Payload,
			sequence, skipped)
	}
	return entry
}

func mustBeEmpty(t testing.TB, r *Reader) {
	t.Helper()
	_, err := r.Next()
	expectCode(t, err, shmwire.ErrEmpty)
}
