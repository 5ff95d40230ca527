// SPDX-License-Identifier: MIT

package shmcomm

import (
	"errors"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/testkit"
)

// A subscriber begins at head, or at the oldest message [shmcomm.receive.start], goes over SKIPs [shmcomm.receive.skip], and
// counts what it lost [shmcomm.receive.lapped] [shmcomm.receive.lost].
func TestSubscriber(t *testing.T) {
	name := uniqueName(t)
	p := publisher(t, name, small())
	mustSend(t, p, 0, 100, 0, 8)
	late, early := subscriber(t, name, small()), subscriber(t, name, &Options{NoWait: true, Oldest: true})
	mustBeEmpty(t, late)
	mustSend(t, p, 3, 2008)
	mustReceive(t, late, 3, 0, 2008)
	for i, length := range []int{100, 0, 8, 2008} {
		mustReceive(t, early, uint64(i), 0, length)
	}
	for i := uint64(4); i < 40; i++ { // across the end of the ring, many times
		mustSend(t, p, i, int(i*53%2000))
		mustReceive(t, late, i, 0, int(i*53%2000))
	}
	mustReceive(t, early, 37, 33, 37*53%2000) // the frames before are gone
	info, err := early.Info()
	if err != nil || info.Lost != 33 || info.Received != 5 || !info.KeeperLives || info.Endpoint != 0 {
		t.Errorf("%+v, %v", info, err)
	}
}

// A subscriber that begins at head and is overtaken before its first message knows how many it lost; one that begins at the
// oldest lost none.
func TestLostAtStart(t *testing.T) {
	name := uniqueName(t)
	p := publisher(t, name, small())
	mustSend(t, p, 0, 1000)
	late, early := subscriber(t, name, small()), subscriber(t, name, &Options{NoWait: true, Oldest: true})
	mustSend(t, p, 1, 1000, 1000, 1000, 1000, 1000)
	mustReceive(t, late, 3, 2, 1000)
	mustReceive(t, early, 3, 0, 1000)
}

// With TellLost a loss is said once, before the message behind it.
func TestTellLost(t *testing.T) {
	name := uniqueName(t)
	p := publisher(t, name, small())
	s := subscriber(t, name, &Options{NoWait: true, TellLost: true})
	mustSend(t, p, 0, 1000, 1000, 1000, 1000, 1000)
	m, err := s.Receive(nil, 0)
	if !errors.Is(err, shmwire.ErrLapped) || m.Lost != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	mustReceive(t, s, 2, 2, 1000)
	mustReceive(t, s, 3, 0, 1000)
}

// A buffer that is too small leaves the message next [shmcomm.receive.too-small].
func TestTooSmall(t *testing.T) {
	name, pipe := uniqueName(t), uniqueName(t)
	p, s := publisher(t, name, small()), subscriber(t, name, small())
	q, r := pusher(t, pipe, small()), puller(t, pipe, small())
	for what, pair := range map[string]struct {
		sender
		receiver
	}{"subscriber": {p, s}, "puller": {q, r}} {
		mustSend(t, pair.sender, 0, 10, 20)
		for i := 0; i < 2; i++ {
			var detailed *shmwire.Error
			_, err := pair.receiver.Receive(make([]byte, 9), 0)
			if !errors.Is(err, shmwire.ErrTooSmall) || !errors.As(err, &detailed) || detailed.Needed != 10 {
				t.Fatalf("%s: %v", what, err)
			}
		}
		mustReceive(t, pair.receiver, 0, 0, 10)
		mustReceive(t, pair.receiver, 1, 0, 20)
	}
}

// A view is the message until it may have been overwritten [shmcomm.receive.view].
func TestView(t *testing.T) {
	name := uniqueName(t)
	p, s := publisher(t, name, small()), subscriber(t, name, small())
	_, err := s.View(0)
	expectCode(t, err, shmwire.ErrEmpty)
	mustSend(t, p, 0, 1000, 8)
	v, err := s.View(0)
	succeed(t, err)
	if string(v.Payload) != string(numbered(0, 1000)) || v.Sequence != 0 {
		t.Errorf("%+v", v.Message)
	}
	succeed(t, v.Check())
	mustReceive(t, s, 1, 0, 8)
	mustSend(t, p, 2, 1000, 1000, 1000)
	expectCode(t, v.Check(), shmwire.ErrLapped)
	succeed(t, s.Close())
	expectCode(t, v.Check(), shmwire.ErrClosed)
}

// Views and seeking stay right while messages were read ahead.
func TestReadAhead(t *testing.T) {
	name := uniqueName(t)
	o := &Options{NoWait: true, Capacity: 1 << 16}
	p, s := publisher(t, name, o), subscriber(t, name, o)
	const many = 400
	for i := uint64(0); i < many; i++ {
		mustSend(t, p, i, int(i%90))
	}
	next := uint64(0)
	for ; next < aheadAfter+5; next++ {
		mustReceive(t, s, next, 0, int(next%90))
	}
	if len(s.ahead) == 0 {
		t.Fatal("nothing was read ahead")
	}
	_, err := s.Receive([]byte{}, 0)
	expectCode(t, err, shmwire.ErrTooSmall)
	v, err := s.View(0)
	if err != nil || v.Sequence != next || string(v.Payload) != string(numbered(next, int(next%90))) || len(s.ahead) != 0 {
		t.Fatalf("%+v, %v", v.Message, err)
	}
	next++
	mustReceive(t, s, next, 0, int(next%90))
	messages, buffer := make([]Message, many), make([]byte, 1<<16)
	n, err := s.ReceiveBatch(buffer, messages, 0)
	succeed(t, err)
	if m := messages[n-1]; m.Sequence != next+uint64(n) {
		t.Fatalf("%d messages, the last one %d", n, m.Sequence)
	}
	succeed(t, s.Seek(true))
	mustReceive(t, s, 0, 0, 0)
	// What was read ahead is whole, even when it is overwritten meanwhile; the losses come behind it.
	for i := uint64(1); i < aheadAfter+2; i++ {
		mustReceive(t, s, i, 0, int(i%90))
	}
	for i := uint64(many); i < 4*many; i++ {
		mustSend(t, p, i, 300)
	}
	held, lost, last := len(s.ahead), uint64(0), uint64(aheadAfter+1)
	for {
		m, err := s.Receive(nil, 0)
		if errors.Is(err, shmwire.ErrEmpty) {
			break
		}
		succeed(t, err)
		length := 300
		if m.Sequence < many {
			length = int(m.Sequence % 90)
		}
		if m.Sequence != last+1+m.Lost || string(m.Payload) != string(numbered(m.Sequence, length)) {
			t.Fatalf("message %d after %d and %d lost", m.Sequence, last, m.Lost)
		}
		last, lost = m.Sequence, lost+m.Lost
	}
	if held == 0 || lost == 0 || last != 4*many-1 {
		t.Errorf("%d bytes read ahead, %d lost, the last one %d", held, lost, last)
	}
}

// Batches of subscribers and pullers are in order, 8-aligned, and as long as the buffer allows.
func TestBatches(t *testing.T) {
	name, pipe := uniqueName(t), uniqueName(t)
	o := &Options{NoWait: true, Capacity: 1 << 15}
	p, s := publisher(t, name, o), subscriber(t, name, o)
	q, r := pusher(t, pipe, o), puller(t, pipe, o)
	type batcher interface {
		ReceiveBatch(buffer []byte, messages []Message, timeout time.Duration) (int, error)
	}
	for what, pair := range map[string]struct {
		send func(items [][]byte, meta *Meta, timeout time.Duration) (int, error)
		batcher
	}{"subscriber": {p.SendBatch, s}, "puller": {q.SendBatch, r}} {
		var items [][]byte
		for i := 0; i < 100; i++ {
			items = append(items, numbered(uint64(i), i%50))
		}
		if n, err := pair.send(items, nil, 0); n != 100 || err != nil {
			t.Fatal(n, err)
		}
		messages, buffer, next := make([]Message, 30), make([]byte, 1000), 0
		for next < 100 {
			n, err := pair.ReceiveBatch(buffer, messages, 0)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			at := 0
			for _, m := range messages[:n] {
				if int(m.Sequence) != next || string(m.Payload) != string(items[next]) {
					t.Fatalf("%s: %d instead of %d", what, m.Sequence, next)
				}
				if len(m.Payload) > 0 && &m.Payload[0] != &buffer[at] {
					t.Fatalf("%s: message %d is not at %d", what, next, at)
				}
				at += align(len(m.Payload))
				next++
			}
		}
		_, err := pair.ReceiveBatch(buffer, messages, 0)
		expectCode(t, err, shmwire.ErrEmpty)
		_, err = pair.ReceiveBatch(buffer, nil, 0)
		expectCode(t, err, shmwire.ErrInvalidArgument)
		_, err = pair.send([][]byte{make([]byte, 64)}, nil, 0)
		succeed(t, err)
		_, err = pair.ReceiveBatch(buffer[:10], messages, 0)
		expectCode(t, err, shmwire.ErrTooSmall)
	}
}

// A batch that is longer than the ring arrives in pieces, and says how many of it were sent.
func TestBatchOverRoom(t *testing.T) {
	pipe := uniqueName(t)
	q, r := pusher(t, pipe, small()), puller(t, pipe, small())
	var items [][]byte
	for i := 0; i < 10; i++ {
		items = append(items, numbered(uint64(i), 600))
	}
	n, err := q.SendBatch(items, nil, 0)
	if n != 6 || !errors.Is(err, shmwire.ErrFull) {
		t.Fatal(n, err)
	}
	for i := 0; i < 6; i++ {
		mustReceive(t, r, uint64(i), 0, 600)
	}
	mustBeEmpty(t, r)
	info, err := q.Info()
	if err != nil || info.Sent != 6 || info.Refused != 1 || info.DroppedCount != 1 {
		t.Errorf("%+v, %v", info, err)
	}
	name := uniqueName(t)
	p, s := publisher(t, name, small()), subscriber(t, name, small())
	if n, err := p.SendBatch(items, nil, 0); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	m, err := s.Receive(nil, 0)
	if err != nil || m.Lost != m.Sequence || m.Lost == 0 {
		t.Errorf("%+v, %v", m, err)
	}
	mustBeSound(t, name)
}

// Messages carry the time at which they were sent.
func TestTimestamps(t *testing.T) {
	name := uniqueName(t)
	p, s := publisher(t, name, small()), subscriber(t, name, small())
	for i := uint64(0); i < 20; i++ {
		before := uint64(time.Now().UnixNano())
		mustSend(t, p, i, 8)
		after := uint64(time.Now().UnixNano())
		const slack = uint64(time.Millisecond) // of two clocks
		if m := mustReceive(t, s, i, 0, 8); m.TimestampNS+slack < before || m.TimestampNS > after+slack {
			t.Errorf("%d is not from %d to %d", m.TimestampNS, before, after)
		}
		time.Sleep(time.Millisecond)
	}
}

// The calls of every message allocate nothing.
func TestNoAllocations(t *testing.T) {
	name, pipe := uniqueName(t), uniqueName(t)
	p, s := publisher(t, name, small()), subscriber(t, name, small())
	q, r := pusher(t, pipe, small()), puller(t, pipe, small())
	data, buffer, meta := make([]byte, 64), make([]byte, 4096), &Meta{TimestampNS: 1}
	items, messages := [][]byte{data, data, data}, make([]Message, 3)
	var m Message
	testkit.NoAllocations(t, nil, map[string]func() error{
		"publish": func() error {
			if _, err := p.Send(data, meta, 0); err != nil {
				return err
			}
			return s.ReceiveInto(buffer, 0, &m)
		},
		"publish, with a clock": func() error {
			if _, err := p.Send(data, nil, 0); err != nil {
				return err
			}
			return s.ReceiveInto(buffer, patience, &m)
		},
		"push": func() error {
			if _, err := q.Send(data, meta, 0); err != nil {
				return err
			}
			return r.ReceiveInto(buffer, patience, &m)
		},
		"batches": func() error {
			_, err := p.SendBatch(items, meta, 0)
			if err == nil {
				_, err = s.ReceiveBatch(buffer, messages, 0)
			}
			if err == nil {
				_, err = q.SendBatch(items, meta, 0)
			}
			if err == nil {
				_, err = r.ReceiveBatch(buffer, messages, 0)
			}
			return err
		},
	})
	testkit.NoAllocations(t, shmwire.ErrEmpty, map[string]func() error{
		"empty":       func() error { return s.ReceiveInto(buffer, 0, &m) },
		"empty queue": func() error { return r.ReceiveInto(buffer, 0, &m) },
	})
}
