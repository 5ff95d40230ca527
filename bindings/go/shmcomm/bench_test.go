// SPDX-License-Identifier: MIT

package shmcomm

import (
	"fmt"
	"testing"
)

// BenchmarkSendReceive is the cost of both calls on one goroutine, without contention; bench/ measures between processes.
func BenchmarkSendReceive(b *testing.B) {
	for _, size := range []int{64, 1024} {
		for _, how := range []string{"publish", "publish sole", "subscribe", "batch", "push"} {
			b.Run(fmt.Sprintf("size=%d/%s", size, how), func(b *testing.B) { benchmark(b, size, how) })
		}
	}
}

func benchmark(b *testing.B, size int, how string) {
	const inBatch = 16
	o := &Options{NoWait: true, Capacity: 1 << 16, Sole: how != "publish" && how != "push"}
	name := uniqueName(b)
	p, meta := publisher(b, name, o), &Meta{TimestampNS: 1}
	reading := &Options{NoWait: true}
	s := subscriber(b, name, reading)
	pipe := uniqueName(b)
	q, r := pusher(b, pipe, o), puller(b, pipe, reading)
	data, buffer := make([]byte, size), make([]byte, inBatch*size)
	items, messages := make([][]byte, inBatch), make([]Message, inBatch)
	for i := range items {
		items[i] = data
	}
	var m Message
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		var err error
		switch how {
		case "batch":
			if i%inBatch == 0 {
				if _, err = p.SendBatch(items, meta, 0); err == nil {
					_, err = s.ReceiveBatch(buffer, messages, 0)
				}
			}
		case "push":
			if _, err = q.Send(data, meta, 0); err == nil {
				err = r.ReceiveInto(buffer, 0, &m)
			}
		default:
			_, err = p.Send(data, meta, 0)
			if how == "subscribe" && err == nil {
				err = s.ReceiveInto(buffer, 0, &m)
			}
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
