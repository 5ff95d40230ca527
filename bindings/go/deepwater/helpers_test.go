// SPDX-License-Identifier: MIT

package deepwater

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"shmwire"
	"shmwire/internal/testkit"
)

const testFeed = "feed"

// newBase is a base directory of a test; what is in it, and its shared memory, goes when the test ends.
func newBase(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "base")
	succeed(t, os.Mkdir(path, 0o700))
	t.Cleanup(func() {
		for _, name := range memoryOf(t, path) {
			os.Remove(name)
		}
	})
	return path
}

// memoryOf is the shared memory of a base, as paths.
func memoryOf(t testing.TB, path string) []string {
	t.Helper()
	b, err := openBase(path, 0)
	succeed(t, err)
	b.directory.Close()
	names, err := filepath.Glob(fmt.Sprintf("/dev/shm/dw.%016x.*", b.hash))
	succeed(t, err)
	return names
}

// small is a feed of chunks as small as can be.
func small(persist bool) *Options {
	return &Options{Persist: persist, ChunkSize: MinChunk, LiveWindow: 2, Rows: 64, Feeds: 4,
		Identity: Identity{PID: 77, ClockNS: 5, BootNS: 9}}
}

func succeed(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustWriter(t testing.TB, path string, options *Options) *Writer {
	t.Helper()
	w, err := OpenWriter(path, testFeed, options)
	succeed(t, err)
	t.Cleanup(func() { w.Close() })
	return w
}

func mustReader(t testing.TB, path string, options *ReaderOptions) *Reader {
	t.Helper()
	r, err := OpenReader(path, testFeed, options)
	succeed(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// payloadOf is what record n of a test has: the number, and bytes that follow from it.
func payloadOf(n uint64, length int) []byte {
	data := make([]byte, length)
	for i := range data {
		data[i] = byte(31*n + 17*uint64(i))
	}
	if length >= 8 {
		binary.LittleEndian.PutUint64(data, n)
	}
	return data
}

// lengthOf is how long record n is.
func lengthOf(n uint64) int { return int(n*37%200) + 8 }

// timeOf is its timestamp: some share one.
func timeOf(n uint64) uint64 { return 1000 + n/3*10 }

// fill appends the records from..to-1, each with a chunk of its own after every perChunk of them.
func fill(t testing.TB, w *Writer, from, to, perChunk uint64) {
	t.Helper()
	for n := from; n < to; n++ {
		sequence, err := w.Append(timeOf(n), uint32(n), payloadOf(n, lengthOf(n)))
		succeed(t, err)
		if sequence != n {
			t.Fatalf("sequence %d, expected %d", sequence, n)
		}
		if (n+1)%perChunk == 0 {
			succeed(t, w.Rotate())
		}
	}
}

// checkRecord fails unless a record is number n.
func checkRecord(t testing.TB, record Record, n uint64) {
	t.Helper()
	if record.Sequence != n || record.TimestampNS != timeOf(n) || record.Type != uint32(n) || record.Lost != 0 ||
		string(record.Data) != string(payloadOf(n, lengthOf(n))) {
		t.Fatalf("record %d at %d of type %d with %d bytes, expected number %d", record.Sequence, record.TimestampNS, record.Type,
			len(record.Data), n)
	}
}

// expectRecords reads the records from..to-1, and then what comes behind them.
func expectRecords(t testing.TB, r *Reader, from, to uint64, behind *shmwire.Code) {
	t.Helper()
	for n := from; n < to; n++ {
		record, err := r.Next()
		succeed(t, err)
		checkRecord(t, record, n)
	}
	_, err := r.Next()
	testkit.ExpectCode(t, err, behind)
}

// expectLost reads ErrExpired.
func expectLost(t testing.TB, r *Reader, lost uint64) {
	t.Helper()
	record, err := r.Next()
	if !errors.Is(err, shmwire.ErrExpired) || record.Lost != lost {
		t.Fatalf("%v with %d lost, expected %d", err, record.Lost, lost)
	}
}

// states are those of all rows.
func states(t testing.TB, r *Reader) string {
	t.Helper()
	chunks, err := r.Chunks()
	succeed(t, err)
	text := ""
	for _, chunk := range chunks {
		text += fmt.Sprint(chunk.State)
	}
	return text
}

// patch writes bytes into a file.
func patch(t testing.TB, path string, offset uint64, raw ...byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	succeed(t, err)
	_, err = file.WriteAt(raw, int64(offset))
	succeed(t, err)
	succeed(t, file.Close())
}

func word32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
func word64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
