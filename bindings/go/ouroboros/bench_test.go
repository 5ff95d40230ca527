// SPDX-License-Identifier: MIT

package ouroboros

import (
	"fmt"
	"testing"
)

// BenchmarkWriteNext is the cost of both calls on one goroutine, without contention; bench/ measures between processes.
func BenchmarkWriteNext(b *testing.B) {
	for _, size := range []int{64, 960} {
		for _, how := range []string{"copy", "view", "write only"} {
			b.Run(fmt.Sprintf("size=%d/%s", size, how), func(b *testing.B) {
				w, name := newLog(b)
				r := follow(b, name)
				data, buffer := make([]byte, size), make([]byte, size)
				var entry Entry
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i++ {
					_, err := w.Write(data)
					switch how {
					case "copy":
						err = r.NextInto(buffer, &entry)
					case "view":
						var view View
						if view, err = r.View(); err == nil {
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
