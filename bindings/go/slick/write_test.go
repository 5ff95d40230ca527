// SPDX-License-Identifier: MIT

package slick

import (
	"context"
	"errors"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/testkit"
)

// A hole holds readers up until a lap has passed, and then they lose it and no more.
func TestHole(t *testing.T) {
	q, _ := newRing(t, 8, 4)
	dead := produce(t, q)
	mustReserve(t, dead, 0, 2)
	p, r := produce(t, q, WithStall(time.Millisecond)), follow(t, q)
	mustWrite(t, p, 2, 1)
	mustBeEmpty(t, r)
	mustWrite(t, p, 3, 1)
	mustWrite(t, p, 4, 1) // having given up index 0
	if info := p.Info(); info.GivenUp != 1 {
		t.Errorf("%+v", info)
	}
	mustRead(t, r, 4, 4, 1)
	slots, err := q.Slots()
	if err != nil || slots[0] != (Slot{4, 1}) || slots[2] != (Slot{2, 1}) {
		t.Errorf("%v, %v", slots, err)
	}
}

// A claim that somebody gave up is not published any more [slick.publish.given-up].
func TestGivenUp(t *testing.T) {
	for _, act := range []func(*Claim) error{(*Claim).Publish, (*Claim).Abandon} {
		q, _ := newRing(t, 8, 4)
		slow, p := produce(t, q), produce(t, q, WithStall(time.Millisecond))
		claim := mustReserve(t, slow, 0, 1)
		for i := uint64(1); i < 4; i++ {
			mustWrite(t, p, i, 1)
		}
		fast := mustReserve(t, p, 4, 1) // stays open: the mark is still in the slot
		before, err := q.Slots()
		succeed(t, err)
		expectCode(t, act(&claim), shmwire.ErrLapped)
		after, err := q.Slots()
		succeed(t, err)
		if before[0] != (Slot{1, 1}) || after[0] != before[0] {
			t.Errorf("%v, %v", before[0], after[0])
		}
		expectCode(t, act(&claim), shmwire.ErrOutOfOrder)
		r := follow(t, q, WithStart(StartAt(0)))
		mustRead(t, r, 1, 0, 1) // by the mark
		copy(fast.Data, numbered(4, 8))
		succeed(t, fast.Publish())
		if slow.Info().ItemsWritten != 0 || p.Info() != (ProducerInfo{4, 1}) {
			t.Errorf("%+v, %+v", slow.Info(), p.Info())
		}
	}
}

// A mark over the end of the ring stays as it is when somebody gave the padding up before it was made.
func TestGivenUpBeforeMark(t *testing.T) {
	q, _ := newRing(t, 8, 4)
	p := produce(t, q)
	for i := uint64(0); i < 3; i++ {
		mustWrite(t, p, i, 1)
	}
	for mark, want := range map[uint64]Slot{4: {4, 1}, 6: {6, 1}, 7: {4, 2}, 3: {4, 2}, noIndex: {4, 2}} {
		q.reserved.Store(6<<16 | 2)
		q.dataIndex(3).Store(mark)
		_, size := q.slot(3)
		size.Store(1)
		p.passEnd(3, 4, 2)
		slots, err := q.Slots()
		if err != nil || slots[3] != want {
			t.Errorf("mark %d became %v, %v", mark, slots[3], err)
		}
	}
}

func TestAbandon(t *testing.T) {
	q, _ := newRing(t, 8, 4)
	p, r := produce(t, q), follow(t, q)
	claim := mustReserve(t, p, 0, 3)
	_, err := p.Reserve(1)
	expectCode(t, err, shmwire.ErrBusy)
	_, err = p.Write(make([]byte, 8))
	expectCode(t, err, shmwire.ErrBusy)
	mustBeEmpty(t, r)
	succeed(t, claim.Abandon())
	mustWrite(t, p, 3, 1)
	mustRead(t, r, 3, 0, 1)
	claim = mustReserve(t, p, 4, 4)
	expectCode(t, claim.Abandon(), shmwire.ErrUnsupported)
	succeed(t, claim.Publish())
	expectCode(t, claim.Publish(), shmwire.ErrOutOfOrder)
	expectCode(t, (&Claim{}).Publish(), shmwire.ErrOutOfOrder)
	mustReserve(t, p, 8, 2)
	succeed(t, p.Close()) // abandons it
	expectCode(t, p.Close(), shmwire.ErrClosed)
	if d := q.dataIndex(8).Load(); d != 10 {
		t.Errorf("an open claim was left at %d", d)
	}
	_, err = p.Write(make([]byte, 8))
	expectCode(t, err, shmwire.ErrClosed)
}

func TestWriteErrors(t *testing.T) {
	q, name := newRing(t, 8, 4)
	p := produce(t, q)
	before := bytesOf(t, name)
	for elements, code := range map[int]*shmwire.Code{
		0: shmwire.ErrInvalidArgument, -1: shmwire.ErrInvalidArgument, 5: shmwire.ErrTooLarge, 1 << 40: shmwire.ErrTooLarge,
	} {
		_, err := p.Reserve(elements)
		expectCode(t, err, code)
	}
	for length, code := range map[int]*shmwire.Code{
		0: shmwire.ErrInvalidArgument, 7: shmwire.ErrInvalidArgument, 9: shmwire.ErrInvalidArgument, 40: shmwire.ErrTooLarge,
	} {
		_, err := p.Write(make([]byte, length))
		expectCode(t, err, code)
		n, err := p.WriteBatch([][]byte{make([]byte, 8), make([]byte, length)}, nil)
		if expectCode(t, err, code); n != 0 {
			t.Errorf("%d written", n)
		}
	}
	_, err := p.WriteBatch(nil, nil)
	expectCode(t, err, shmwire.ErrInvalidArgument)
	_, err = p.WriteBatch([][]byte{make([]byte, 8)}, []uint64{})
	expectCode(t, err, shmwire.ErrInvalidArgument)
	if string(bytesOf(t, name)) != string(before) {
		t.Error("a refused reservation changed the segment")
	}
	big, _ := newRing(t, 1, 1<<17)
	_, err = produce(t, big).Reserve(65536)
	expectCode(t, err, shmwire.ErrTooLarge)
	mustReserve(t, produce(t, big), 0, 65535)
}

// Indices have 48 bits [slick.reserve.exhausted].
func TestExhausted(t *testing.T) {
	q, name := newRing(t, 8, 4)
	q.reserved.Store((indexLimit-3)<<16 | 1)
	q.settled.Store(indexLimit - 3)
	p := produce(t, q)
	mustWrite(t, p, indexLimit-3, 1)
	mustWrite(t, p, indexLimit-2, 1)
	before := bytesOf(t, name)
	for _, n := range []int{1, 2} {
		_, err := p.Reserve(n)
		expectCode(t, err, shmwire.ErrClosed)
	}
	if string(bytesOf(t, name)) != string(before) {
		t.Error("a refused reservation changed the segment")
	}
	r := follow(t, q, WithStart(StartAt(indexLimit-3)))
	mustRead(t, r, indexLimit-3, 0, 1)
	mustRead(t, r, indexLimit-2, 0, 1)
	mustBeEmpty(t, r)
}

func TestBatch(t *testing.T) {
	q, _ := newRing(t, 8, 8)
	p, r := produce(t, q), follow(t, q)
	var items [][]byte
	for i := 0; i < 5; i++ {
		items = append(items, numbered(uint64(2*i), 16))
	}
	indices := make([]uint64, 5)
	n, err := p.WriteBatch(items[:3], indices)
	if err != nil || n != 3 || indices[2] != 4 || q.reserved.Load() != 6<<16|6 {
		t.Fatalf("%d at %v, %v, %#x", n, indices, err, q.reserved.Load())
	}
	read, buffer := make([]Item, 8), make([]byte, 40)
	n, err = r.NextBatch(buffer, read) // room for two
	if err != nil || n != 2 {
		t.Fatalf("%d, %v", n, err)
	}
	checkItem(t, r, &read[1], nil, 2, 0, 2)
	_, err = r.NextBatch(buffer[:15], read)
	var small *shmwire.Error
	if expectCode(t, err, shmwire.ErrTooSmall); !errors.As(err, &small) || small.Needed != 16 {
		t.Errorf("%v", err)
	}
	n, err = p.WriteBatch(items[3:], indices) // cut at the end of the ring
	if err != nil || n != 2 || indices[0] != 6 || indices[1] != 8 || q.reserved.Load() != 10<<16|2 {
		t.Fatalf("%d at %v, %v, %#x", n, indices, err, q.reserved.Load())
	}
	n, err = r.NextBatch(make([]byte, 80), read)
	if err != nil || n != 3 || read[2].Index != 8 {
		t.Fatalf("%d, %+v, %v", n, read[:n], err)
	}
	_, err = r.NextBatch(buffer, read)
	expectCode(t, err, shmwire.ErrEmpty)
	_, err = r.NextBatch(buffer, nil)
	expectCode(t, err, shmwire.ErrInvalidArgument)
	n, err = p.WriteBatch([][]byte{numbered(0, 8), numbered(1, 8), numbered(2, 24), numbered(3, 8)}, nil)
	if err != nil || n != 4 { // 10, 11, 12 to 14, 15
		t.Fatal(n, err)
	}
	n, err = r.NextBatch(make([]byte, 80), read)
	if err != nil || n != 4 || read[2].Elements != 3 || read[3].Index != 15 || r.Info().Cursor != 16 {
		t.Fatalf("%d, %+v, %v", n, read[:n], err)
	}
}

// No call of the hot path allocates.
func TestAllocations(t *testing.T) {
	q, _ := newRing(t, 8, 1024)
	p, r := produce(t, q), follow(t, q)
	data, buffer := make([]byte, 64), make([]byte, 4096)
	items, read, indices := [][]byte{data, data, data}, make([]Item, 8), make([]uint64, 3)
	ctx := context.Background()
	var item Item
	testkit.NoAllocations(t, nil, map[string]func() error{
		"write": func() error { _, err := p.Write(data); return err },
		"next":  func() error { p.Write(data); return r.NextInto(buffer, &item) },
		"last":  func() error { p.Write(data); return r.LastInto(buffer, &item) },
		"batch": func() error {
			r.Seek(StartLatest)
			p.WriteBatch(items, indices)
			_, err := r.NextBatch(buffer, read)
			return err
		},
		"claim": func() error {
			r.Seek(StartLatest)
			claim, err := p.Reserve(3)
			if err == nil {
				err = claim.Publish()
			}
			return err
		},
		"wait": func() error { p.Write(data); return r.WaitInto(ctx, buffer, &item) },
		"view": func() error {
			p.Write(data)
			view, err := r.View()
			if err == nil {
				err = view.Check()
			}
			return err
		},
	})
	succeed(t, r.Seek(StartLatest))
	testkit.NoAllocations(t, shmwire.ErrEmpty, map[string]func() error{
		"empty": func() error { return r.NextInto(buffer, &item) },
	})
}

func TestLocal(t *testing.T) {
	q, err := CreateLocal(24, WithSize(4))
	succeed(t, err)
	if q.ShmName() != "" {
		t.Errorf("%q", q.ShmName())
	}
	p, r := produce(t, q), follow(t, q)
	mustWrite(t, p, 0, 1)
	mustRead(t, r, 0, 0, 1)
	_, err = CreateLocal(24, WithSize(3))
	expectCode(t, err, shmwire.ErrInvalidArgument)
	_, err = CreateLocal(1<<30, WithSize(1<<31))
	expectCode(t, err, shmwire.ErrSystem) // no address space holds it
	succeed(t, q.Close())
	expectCode(t, q.Close(), shmwire.ErrClosed)
	_, err = r.Next()
	expectCode(t, err, shmwire.ErrClosed)
	_, err = p.Write(make([]byte, 24))
	expectCode(t, err, shmwire.ErrClosed)
	expectCode(t, q.Validate(), shmwire.ErrClosed)
}
