// SPDX-License-Identifier: MIT

package dmxp

import (
	"fmt"
	"testing"
)

// BenchmarkSendReceive is the cost of both calls on one goroutine, without contention; bench/ measures between
// processes.
func BenchmarkSendReceive(b *testing.B) {
	for _, counted := range []bool{false, true} {
		for _, size := range []int{64, 1024} {
			b.Run(fmt.Sprintf("counted=%v/size=%d", counted, size), func(b *testing.B) {
				segment, _ := testSegment(b, WithSize(1<<21))
				options := []ChannelOption{WithCapacity(1024)}
				if counted {
					options = append(options, WithCountedWaiters())
				}
				if err := segment.CreateChannel(0, options...); err != nil {
					b.Fatal(err)
				}
				c, err := segment.Attach(0)
				if err != nil {
					b.Fatal(err)
				}
				data, buffer := make([]byte, size), make([]byte, c.MaxPayload())
				meta := &Meta{TimestampNS: 1}
				var m Message
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i++ {
					if _, err := c.TrySend(data, meta); err != nil {
						b.Fatal(err)
					}
					if err := c.TryReceiveInto(buffer, &m); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
