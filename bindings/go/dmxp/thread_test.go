// SPDX-License-Identifier: MIT

package dmxp

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"
)

// Goroutines over one segment in ordinary memory: run with -race, this checks the ordering of every plain access by the
// happens-before rules and not by luck (the race detector sees nothing in a mapping).
func TestThreads(t *testing.T) {
	for _, plan := range []struct {
		name                       string
		capacity                   uint64
		flags                      uint32
		producers, consumers, each int
		batch                      int
	}{
		{"one to one, two slots", 2, 0, 1, 1, 4000, 1},
		{"three to three, four slots", 4, ChannelCountedWaiters, 3, 3, 2000, 1},
		{"batches to one", 8, ChannelCountedWaiters, 2, 1, 3000, 3},
	} {
		t.Run(plan.name, func(t *testing.T) {
			c, err := heapSegment(plan.capacity, plan.flags).Attach(0)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
			defer cancel()
			var writers, readers sync.WaitGroup
			received := make([][]uint64, plan.consumers)
			for i := range received {
				readers.Add(1)
				go func(i int) {
					defer readers.Done()
					received[i] = drain(ctx, t, c, plan.batch)
				}(i)
			}
			for i := 0; i < plan.producers; i++ {
				writers.Add(1)
				go func(i int) {
					defer writers.Done()
					supply(ctx, t, c, i, plan.each, plan.batch)
				}(i)
			}
			writers.Wait()
			for range received {
				if _, err := c.Send(ctx, nil, nil); err != nil { // no payload: the end
					t.Error(err)
				}
			}
			readers.Wait()
			checkOnce(t, received, plan.producers, plan.each)
		})
	}
}

// supply sends each numbers, with the producer in the upper half.
func supply(ctx context.Context, t *testing.T, c *Channel, producer, each, batch int) {
	items := make([]Item, 0, batch)
	for i := 0; i < each; i++ {
		number := uint64(producer)<<32 | uint64(i)
		items = append(items, Item{Data: binary.LittleEndian.AppendUint64(nil, number)})
		if len(items) < batch && i+1 < each {
			continue
		}
		var err error
		if batch == 1 {
			_, err = c.Send(ctx, items[0].Data, nil)
		} else {
			for _, err = c.SendBatch(items); err != nil && ctx.Err() == nil; _, err = c.SendBatch(items) {
				time.Sleep(20 * time.Microsecond)
			}
		}
		if err != nil {
			t.Error(err)
			return
		}
		items = items[:0]
	}
}

// drain receives until a message without payload.
func drain(ctx context.Context, t *testing.T, c *Channel, batch int) (numbers []uint64) {
	buffer, messages := make([]byte, batch*c.MaxPayload()), make([]Message, batch)
	for {
		n, err := 1, c.ReceiveInto(ctx, buffer, &messages[0])
		if err == nil && len(messages[0].Payload) > 0 && batch > 1 {
			numbers = append(numbers, binary.LittleEndian.Uint64(messages[0].Payload))
			if n, err = c.ReceiveBatch(buffer, messages); n == 0 {
				continue
			}
		}
		if err != nil {
			t.Error(err)
			return numbers
		}
		for i := range messages[:n] {
			if len(messages[i].Payload) == 0 {
				return numbers
			}
			numbers = append(numbers, binary.LittleEndian.Uint64(messages[i].Payload))
		}
	}
}

func checkOnce(t *testing.T, received [][]uint64, producers, each int) {
	t.Helper()
	seen := map[uint64]bool{}
	for _, numbers := range received {
		last := map[uint64]uint64{}
		for _, number := range numbers {
			before, any := last[number>>32]
			if seen[number] || any && before >= number {
				t.Fatalf("%#x twice or out of order", number)
			}
			seen[number], last[number>>32] = true, number
		}
	}
	if len(seen) != producers*each {
		t.Errorf("%d messages, expected %d", len(seen), producers*each)
	}
}

// A look beside a busy queue never delivers a torn message.
func TestPeekWhileBusy(t *testing.T) {
	c, name := newQueue(t, 2)
	look, err := reopen(t, name, ReadOnly()).Attach(0)
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		payload, buffer := make([]byte, 512), make([]byte, 1024)
		var m Message
		for i := 0; ; i++ {
			for j := range payload {
				payload[j] = byte(i)
			}
			c.TrySend(payload[:256+i%256], nil)
			c.TryReceiveInto(buffer, &m)
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	var m Message
	buffer, whole := make([]byte, 1024), 0
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		if look.Peek().Next(buffer, &m) != nil {
			continue
		}
		whole++
		for _, b := range m.Payload {
			if b != m.Payload[0] || len(m.Payload) < 256 || m.Meta.MessageID != m.Position {
				t.Fatalf("torn at position %d", m.Position)
			}
		}
	}
	close(stop)
	<-done
	t.Logf("%d messages seen", whole)
}

// Channels are made and removed under the lock, by goroutines on one handle and on several.
func TestTableLock(t *testing.T) {
	segment, name := testSegment(t, WithSize(1<<20))
	other := reopen(t, name)
	var group sync.WaitGroup
	for i := 0; i < 16; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			handle := segment
			if i%2 == 1 {
				handle = other
			}
			if err := handle.CreateChannel(uint32(i), WithCapacity(2)); err != nil {
				t.Error(err)
			}
		}(i)
	}
	group.Wait()
	if err := segment.Validate(); err != nil {
		t.Error(err)
	}
	if count := segment.window.Atomic32(headerChannelCountOffset).Load(); count != 16 {
		t.Errorf("channel_count %d, expected 16", count)
	}
}
