// SPDX-License-Identifier: MIT

package deepwater

import "testing"

// benchFeed is a feed of chunks that hold some thousands of records, as feeds do.
func benchFeed(b *testing.B) (*Writer, string) {
	base := newBase(b)
	return mustWriter(b, base, &Options{ChunkSize: 16 << 20, LiveWindow: 2}), base
}

func BenchmarkAppend(b *testing.B) {
	w, _ := benchFeed(b)
	data := make([]byte, 64)
	b.SetBytes(64)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if _, err := w.Append(uint64(i), 0, data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendBatch(b *testing.B) {
	w, _ := benchFeed(b)
	parts := make([]Part, 64)
	for i := range parts {
		parts[i].Data = make([]byte, 64)
	}
	b.SetBytes(64 * 64)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		for k := range parts {
			parts[k].TimestampNS = uint64(i)
		}
		if _, err := w.AppendBatch(parts); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	w, base := benchFeed(b)
	data := make([]byte, 64)
	for i := 0; i < 100_000; i++ {
		if _, err := w.Append(uint64(i), 0, data); err != nil {
			b.Fatal(err)
		}
	}
	r := mustReader(b, base, nil)
	b.SetBytes(64)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if i%100_000 == 0 {
			succeed(b, r.Seek(Oldest))
		}
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeekTime(b *testing.B) {
	base := newBase(b)
	w := mustWriter(b, base, &Options{Persist: true, ChunkSize: MinChunk, Rows: 512})
	fill(b, w, 0, 3000, 10)
	r := mustReader(b, base, nil)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		succeed(b, r.Seek(AtTime(timeOf(uint64(i*7919%3000)))))
	}
}
