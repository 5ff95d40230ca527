// SPDX-License-Identifier: MIT

package slick

import (
	"fmt"
	"testing"
)

// BenchmarkWriteNext is the cost of both calls on one goroutine, without contention; bench/ measures between processes.
func BenchmarkWriteNext(b *testing.B) {
	for _, size := range []uint32{64, 1024} {
		for _, how := range []string{"copy", "view", "write only", "batch"} {
			b.Run(fmt.Sprintf("size=%d/%s", size, how), func(b *testing.B) {
				q, _ := newRing(b, size, 1024)
				p, r := produce(b, q), follow(b, q)
				data, buffer := make([]byte, size), make([]byte, 16*size)
				batch, items := [][]byte{data}, make([]Item, 16)
				for len(batch) < 16 {
					batch = append(batch, data)
				}
				var item Item
				var view View
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i++ {
					var err error
					if how == "batch" {
						if i%16 == 0 {
							if _, err = p.WriteBatch(batch, nil); err == nil {
								_, err = r.NextBatch(buffer, items)
							}
						}
					} else {
						_, err = p.Write(data)
					}
					switch how {
					case "copy":
						err = r.NextInto(buffer, &item)
					case "view":
						if err = r.ViewInto(&view); err == nil {
							err = view.Check()
						}
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
