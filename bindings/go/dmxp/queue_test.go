// SPDX-License-Identifier: MIT

package dmxp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"shmwire"
)

func TestCreateOpen(t *testing.T) {
	segment, name := testSegment(t)
	before := bytesOf(t, name)
	_, err := Create(name, WithSize(1<<20))
	expectCode(t, err, shmwire.ErrExists)
	if !bytes.Equal(bytesOf(t, name), before) {
		t.Error("a creation that failed changed the segment")
	}
	_, err = Open(name + "-none")
	expectCode(t, err, shmwire.ErrNotFound)
	for _, option := range []CreateOption{WithSize(HeaderSize - 1), WithPayloadLayout(3), WithMode(0o1000)} {
		_, err = Create(uniqueName(t), option)
		expectCode(t, err, shmwire.ErrInvalidArgument)
	}
	if err := segment.Close(); err != nil {
		t.Fatal(err)
	}
	expectCode(t, segment.Close(), shmwire.ErrClosed)
	_, err = segment.Attach(0)
	expectCode(t, err, shmwire.ErrClosed)
}

func TestReadyTimeout(t *testing.T) {
	segment, name := testSegment(t)
	word := segment.window.Atomic64(headerMagicOffset)
	word.Store(0)
	_, err := Open(name)
	expectCode(t, err, shmwire.ErrNotReady)
	_, err = Open(name, WithReadyTimeout(5*time.Millisecond))
	expectCode(t, err, shmwire.ErrNotReady)
	go func() { time.Sleep(20 * time.Millisecond); word.Store(magic) }()
	reopen(t, name, WithReadyTimeout(10*time.Second))
}

func TestFullEmptyLaps(t *testing.T) {
	for _, capacity := range []uint64{2, 4, 8} {
		c, _ := newQueue(t, capacity)
		next := uint64(0)
		for lap := 0; lap < 5; lap++ {
			_, err := c.TryReceive()
			expectCode(t, err, shmwire.ErrEmpty)
			for i := uint64(0); i < capacity; i++ {
				if p := mustSend(t, c, fmt.Sprint(next+i)); p != next+i {
					t.Fatalf("position %d, expected %d", p, next+i)
				}
			}
			_, err = c.TrySend(nil, nil)
			expectCode(t, err, shmwire.ErrFull)
			for i := uint64(0); i < capacity; i++ {
				m := mustReceive(t, c, fmt.Sprint(next))
				if m.Position != next || m.Meta.MessageID != next || m.ChannelID != 0 || m.Meta.SenderRuntime != RuntimeGo {
					t.Fatalf("message %+v", m)
				}
				next++
			}
		}
	}
}

func TestSizes(t *testing.T) {
	c, name := newQueue(t, 2)
	for _, size := range []int{0, 1, 7, 8, 63, 64, 1023, 1024} {
		data := bytes.Repeat([]byte{byte(size) | 1}, size)
		if _, err := c.TrySend(data, nil); err != nil {
			t.Fatal(err)
		}
		mustReceive(t, c, string(data))
	}
	before := bytesOf(t, name)
	_, err := c.TrySend(make([]byte, 1025), nil)
	expectCode(t, err, shmwire.ErrTooLarge)
	_, err = c.TrySend(nil, &Meta{Flags: MessageTombstone})
	expectCode(t, err, shmwire.ErrInvalidArgument)
	_, err = c.SendBatch([]Item{{}, {Data: make([]byte, 1025)}})
	expectCode(t, err, shmwire.ErrTooLarge)
	if !bytes.Equal(bytesOf(t, name), before) {
		t.Error("a send that was refused changed the segment")
	}
}

func TestTooSmall(t *testing.T) {
	c, name := newQueue(t, 4)
	mustSend(t, c, "12345")
	before := bytesOf(t, name)
	var m Message
	for _, receive := range []func() error{
		func() error { return c.TryReceiveInto(make([]byte, 4), &m) },
		func() error { _, err := c.ReceiveBatch(make([]byte, 4), make([]Message, 2)); return err },
		func() error { return c.ReceiveInto(context.Background(), nil, &m) },
		func() error { return c.Peek().Next(make([]byte, 4), &m) },
	} {
		err := receive()
		var detailed *shmwire.Error
		if !errors.Is(err, shmwire.ErrTooSmall) || !errors.As(err, &detailed) || detailed.Needed != 5 {
			t.Fatalf("error %v", err)
		}
	}
	if !bytes.Equal(bytesOf(t, name), before) {
		t.Error("a receive that was refused changed the segment")
	}
	if err := c.TryReceiveInto(make([]byte, 5), &m); err != nil || string(m.Payload) != "12345" {
		t.Errorf("%q, %v", m.Payload, err)
	}
}

func TestBatch(t *testing.T) {
	c, _ := newQueue(t, 4)
	items := []Item{{Data: []byte("a")}, {Data: []byte("bc"), Meta: &Meta{MessageType: 9}}, {Data: nil}}
	if p, err := c.SendBatch(items); err != nil || p != 0 {
		t.Fatalf("%d, %v", p, err)
	}
	_, err := c.SendBatch(items)
	expectCode(t, err, shmwire.ErrFull)
	for _, count := range []int{0, 5} {
		_, err = c.SendBatch(make([]Item, count))
		expectCode(t, err, shmwire.ErrInvalidArgument)
	}
	messages := make([]Message, 8)
	n, err := c.ReceiveBatch(make([]byte, 2), messages)
	if err != nil || n != 1 || string(messages[0].Payload) != "a" {
		t.Fatalf("two bytes: %d, %v", n, err)
	}
	n, err = c.ReceiveBatch(make([]byte, 64), messages)
	if err != nil || n != 2 || string(messages[0].Payload) != "bc" || messages[0].Meta.MessageType != 9 ||
		messages[1].Position != 2 {
		t.Fatalf("%d, %v, %+v", n, err, messages[:2])
	}
	_, err = c.ReceiveBatch(make([]byte, 64), messages)
	expectCode(t, err, shmwire.ErrEmpty)
	info, err := c.segment.ChannelInfo(0)
	if err != nil || info.Signal != 3 {
		t.Errorf("signal %d, %v", info.Signal, err)
	}
}

func TestClaimAfterRecovery(t *testing.T) {
	c, _ := newQueue(t, 4)
	claim, err := c.Claim()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.segment.Recover(true); err != nil {
		t.Fatal(err)
	}
	expectCode(t, claim.Commit(1, nil), shmwire.ErrOutOfOrder)
	expectCode(t, claim.Abandon(), shmwire.ErrOutOfOrder)
}

func TestClaim(t *testing.T) {
	c, _ := newQueue(t, 4)
	first, err := c.Claim()
	if err != nil {
		t.Fatal(err)
	}
	mustSend(t, c, "behind")
	_, err = c.TryReceive() // whatever stands behind the claim
	expectCode(t, err, shmwire.ErrEmpty)
	expectCode(t, first.Commit(len(first.Payload)+1, nil), shmwire.ErrTooLarge)
	copy(first.Payload, "first")
	if err := first.Commit(5, &Meta{MessageType: 3}); err != nil {
		t.Fatal(err)
	}
	expectCode(t, first.Commit(5, nil), shmwire.ErrOutOfOrder)
	expectCode(t, first.Abandon(), shmwire.ErrOutOfOrder)
	if m := mustReceive(t, c, "first"); m.Meta.MessageType != 3 {
		t.Errorf("%+v", m.Meta)
	}
	mustReceive(t, c, "behind")
	second, err := c.Claim()
	if err != nil {
		t.Fatal(err)
	}
	mustSend(t, c, "after")
	if err := second.Abandon(); err != nil {
		t.Fatal(err)
	}
	if m := mustReceive(t, c, "after"); m.Position != 3 { // the tombstone took position 2
		t.Errorf("position %d", m.Position)
	}
}

func TestPeek(t *testing.T) {
	c, name := newQueue(t, 4)
	mustSend(t, c, "one")
	claim, err := c.Claim()
	if err != nil {
		t.Fatal(err)
	}
	mustSend(t, c, "three")
	before := bytesOf(t, name)
	readOnly, err := reopen(t, name, ReadOnly()).Attach(0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = readOnly.TryReceive()
	expectCode(t, err, shmwire.ErrPermission)
	_, err = readOnly.TrySend(nil, nil)
	expectCode(t, err, shmwire.ErrPermission)
	look := readOnly.Peek()
	var m Message
	buffer := make([]byte, 16)
	for _, text := range []string{"one", "three"} {
		if err := look.Next(buffer, &m); err != nil || string(m.Payload) != text {
			t.Fatalf("%q, %v", m.Payload, err)
		}
	}
	expectCode(t, look.Next(buffer, &m), shmwire.ErrEmpty)
	if !bytes.Equal(bytesOf(t, name), before) {
		t.Error("a look changed the segment")
	}
	if err := claim.Abandon(); err != nil {
		t.Fatal(err)
	}
	mustReceive(t, c, "one")
	mustReceive(t, c, "three")
	expectCode(t, readOnly.Peek().Next(buffer, &m), shmwire.ErrEmpty)
}

func TestRemove(t *testing.T) {
	segment, name := testSegment(t)
	old := addChannel(t, segment, 1, WithCapacity(4))
	if err := segment.RemoveChannel(1); err != nil {
		t.Fatal(err)
	}
	_, err := old.TrySend(nil, nil)
	expectCode(t, err, shmwire.ErrClosed)
	_, err = old.TryReceive()
	expectCode(t, err, shmwire.ErrClosed)
	_, err = segment.Attach(1)
	expectCode(t, err, shmwire.ErrNotFound)
	expectCode(t, segment.RemoveChannel(1), shmwire.ErrNotFound)
	entry := bytesOf(t, name)[128+384:]
	if u64at(entry, 8) != 0 || u64at(entry, 32) != 4 || u32at(entry, 24) != 1 || u64at(entry, 264) != 1 {
		t.Error("capacity, retired_capacity, signal or removals")
	}
	addChannel(t, segment, 1, WithCapacity(2))
	expectCode(t, segment.CreateChannel(1), shmwire.ErrExists)
	expectCode(t, segment.CreateChannel(2, WithCapacity(1<<40)), shmwire.ErrTooLarge)
	expectCode(t, segment.CreateChannel(2, WithCapacity(3)), shmwire.ErrInvalidArgument)
	expectCode(t, segment.CreateChannel(256), shmwire.ErrInvalidArgument)
	ids, err := segment.Channels()
	if err != nil || len(ids) != 1 || ids[0] != 1 {
		t.Errorf("channels %v, %v", ids, err)
	}
}

// An entry made anew has a new band and new positions, so that a participant of the old channel can neither take nor
// send anything there [dmxp.channel.start, .placement, .closed].
func TestRecreate(t *testing.T) {
	segment, name := testSegment(t)
	old := addChannel(t, segment, 0, WithCapacity(4))
	for _, text := range []string{"a", "b", "c", "d"} {
		mustSend(t, old, text)
	}
	mustReceive(t, old, "a")
	mustSend(t, old, "e")
	if err := segment.RemoveChannel(0); err != nil {
		t.Fatal(err)
	}
	anew := addChannel(t, segment, 0, WithCapacity(8))
	raw := bytesOf(t, name)
	// tail 5 + 4 retired slots, up to the next multiple of 8
	if u64at(raw, 128+128) != 16 || u64at(raw, 128+256) != 16 || u64at(raw, 128+16) != 102784 || u64at(raw, 102784+3*1088) != 19 {
		t.Error("tail, head, band_offset or the sequence of slot 3")
	}
	before := bytesOf(t, name)
	_, err := old.TrySend(nil, nil)
	expectCode(t, err, shmwire.ErrClosed)
	_, err = old.TryReceive()
	expectCode(t, err, shmwire.ErrClosed)
	expectCode(t, old.Peek().Next(nil, &Message{}), shmwire.ErrClosed)
	if !bytes.Equal(bytesOf(t, name), before) {
		t.Error("a participant of the old channel changed the new one")
	}
	if p := mustSend(t, anew, "new"); p != 16 {
		t.Errorf("position %d", p)
	}
	_, err = old.TryReceive()
	expectCode(t, err, shmwire.ErrClosed)
	mustReceive(t, anew, "new")
	if err := segment.RemoveChannel(0); err != nil {
		t.Fatal(err)
	}
	anew.entry.tail.Store(1<<64 - 6)
	expectCode(t, segment.CreateChannel(0, WithCapacity(2)), shmwire.ErrCorrupt)
}

// The hot path allocates nothing, sleeping included.
func TestAllocations(t *testing.T) {
	c, _ := newQueue(t, 4)
	data, buffer := []byte("data"), make([]byte, c.MaxPayload())
	items := []Item{{Data: data}, {Data: data}}
	messages := make([]Message, 2)
	var m Message
	meta := &Meta{MessageType: 1}
	ctx := context.Background()
	for name, run := range map[string]func(){
		"one": func() { c.TrySend(data, meta); c.TryReceiveInto(buffer, &m) },
		"waiting": func() {
			c.Send(ctx, data, nil)
			c.ReceiveInto(ctx, buffer, &m)
		},
		"batch":  func() { c.SendBatch(items); c.ReceiveBatch(buffer, messages) },
		"claim":  func() { k, _ := c.Claim(); k.Commit(4, nil); c.TryReceiveInto(buffer, &m) },
		"refuse": func() { c.TryReceiveInto(buffer, &m) },
	} {
		if n := testing.AllocsPerRun(200, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
