// SPDX-License-Identifier: MIT

package slick

import (
	"context"
	"errors"
	"testing"
	"time"

	"shmwire"
)

func TestWriteRead(t *testing.T) {
	q, name := newRing(t, 7, 8) // elements that lie unaligned
	p, r := produce(t, q), follow(t, q)
	mustBeEmpty(t, r)
	for _, step := range []struct{ index, elements int }{{0, 1}, {1, 3}, {4, 3}, {8, 2}, {10, 5}, {16, 8}} {
		mustWrite(t, p, uint64(step.index), step.elements)
		mustRead(t, r, uint64(step.index), 0, step.elements)
	}
	mustBeEmpty(t, r)
	if info := r.Info(); info != (ReaderInfo{Cursor: 24, ItemsRead: 6}) {
		t.Errorf("%+v", info)
	}
	if info := p.Info(); info != (ProducerInfo{ItemsWritten: 6}) {
		t.Errorf("%+v", info)
	}
	info, err := q.Info()
	if err != nil || info != (Info{Generation14, 8, 7, 64 + 16*8 + 7*8, 24, 0}) {
		t.Errorf("%+v, %v", info, err)
	}
	if q.ShmName() != name {
		t.Errorf("shm_name %q", q.ShmName())
	}
	succeed(t, q.Validate())
}

// Positions that readers begin at [slick.read.start].
func TestStart(t *testing.T) {
	q, _ := newRing(t, 8, 4)
	if r := follow(t, q); r.Info().Cursor != 0 {
		t.Errorf("%+v", r.Info())
	}
	p := produce(t, q)
	for i := uint64(0); i < 7; i++ {
		mustWrite(t, p, i, 1)
	}
	r := follow(t, q)
	mustRead(t, r, 3, 0, 1)
	mustRead(t, follow(t, q, WithStart(StartAt(5))), 5, 0, 1)
	mustRead(t, follow(t, q, WithStart(StartAt(1))), 5, 4, 1)
	latest := follow(t, q, WithStart(StartLatest))
	mustBeEmpty(t, latest)
	mustWrite(t, p, 7, 1)
	mustRead(t, latest, 7, 0, 1)
	succeed(t, r.Seek(StartAt(6)))
	mustRead(t, r, 6, 0, 1)
	succeed(t, r.Seek(StartOldest))
	mustRead(t, r, 4, 0, 1)
	succeed(t, r.Seek(StartLatest))
	mustBeEmpty(t, r)
}

// A reader that the ring has lapped goes on at what it finds in its slot, and counts [slick.read.lapped].
func TestLapped(t *testing.T) {
	q, _ := newRing(t, 8, 4)
	p, r := produce(t, q), follow(t, q)
	mustWrite(t, p, 0, 1)
	mustRead(t, r, 0, 0, 1)
	for i := uint64(1); i < 12; i++ {
		mustWrite(t, p, i, 1)
	}
	mustRead(t, r, 9, 8, 1)
	mustRead(t, r, 10, 0, 1)
	if info := r.Info(); info.Lost != 8 || info.Cursor != 11 {
		t.Errorf("%+v", info)
	}
}

// A later item that covers a slot and leaves it as it was makes the item in it stale [slick.read.stale], and the reader goes
// on at the oldest one that is whole [slick.read.oldest].
func TestStale(t *testing.T) {
	q, _ := newRing(t, 8, 8)
	p, r := produce(t, q), follow(t, q, WithStart(StartAt(2)))
	for i := uint64(0); i < 8; i++ {
		mustWrite(t, p, i, 1)
	}
	mustWrite(t, p, 8, 3) // slots 1 and 2 still say 1 and 2
	mustRead(t, r, 3, 1, 1)
	view, err := follow(t, q, WithStart(StartAt(1))).View()
	if err != nil || view.Index != 3 || view.Lost != 2 {
		t.Errorf("%+v, %v", view, err)
	}
	items := make([]Item, 8)
	n, err := follow(t, q, WithStart(StartAt(2))).NextBatch(make([]byte, 80), items)
	if err != nil || n != 6 || items[0].Index != 3 || items[0].Lost != 1 || items[5].Index != 8 || items[5].Lost != 0 {
		t.Errorf("%d, %+v, %v", n, items[:n], err)
	}
}

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
		q.reserved().Store(6<<16 | 2)
		q.dataIndex(3).Store(mark)
		q.slotSize(3).Store(1)
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
	q.reserved().Store((indexLimit-3)<<16 | 1)
	q.settled().Store(indexLimit - 3)
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
	if err != nil || n != 3 || indices[2] != 4 || q.reserved().Load() != 6<<16|6 {
		t.Fatalf("%d at %v, %v, %#x", n, indices, err, q.reserved().Load())
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
	if err != nil || n != 2 || indices[0] != 6 || indices[1] != 8 || q.reserved().Load() != 10<<16|2 {
		t.Fatalf("%d at %v, %v, %#x", n, indices, err, q.reserved().Load())
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

// Of a batch that was overtaken meanwhile the last items are whole, and what comes before them is lost.
func TestBatchOvertaken(t *testing.T) {
	q, _ := newRing(t, 8, 8)
	p, r := produce(t, q), follow(t, q)
	for i := uint64(0); i < 8; i++ {
		mustWrite(t, p, i, 1)
	}
	items, at := make([]Item, 8), r.stand()
	n, _, _ := q.gather(&at, make([]byte, 64), items)
	if n != 8 {
		t.Fatal(n)
	}
	mustWrite(t, p, 8, 3)
	count, lost, v := q.sift(items)
	if count != 5 || lost != 3 || v != whole || items[0].Lost != 3 || items[4].Index != 7 {
		t.Errorf("%d, %d lost, %v, %+v", count, lost, v, items[:count])
	}
	checkItem(t, r, &items[0], nil, 3, 3, 1)
}

func TestView(t *testing.T) {
	q, _ := newRing(t, 8, 4)
	p, r := produce(t, q), follow(t, q)
	_, err := r.View()
	expectCode(t, err, shmwire.ErrEmpty)
	mustWrite(t, p, 0, 2)
	view, err := r.View()
	checkItem(t, r, &view.Item, err, 0, 0, 2)
	mustWrite(t, p, 2, 2)
	succeed(t, view.Check())
	mustReserve(t, p, 4, 1)
	expectCode(t, view.Check(), shmwire.ErrLapped)
	expectCode(t, (&View{}).Check(), shmwire.ErrClosed)
	succeed(t, r.Close())
	expectCode(t, view.Check(), shmwire.ErrClosed)
}

// [slick.read.last]
func TestLast(t *testing.T) {
	for _, generation := range []Generation{Generation12, Generation13, Generation14} {
		q, _ := newRing(t, 8, 4, WithGeneration(generation))
		p, other, r := produce(t, q), produce(t, q), follow(t, q)
		expectLast := func(index uint64, elements int) {
			t.Helper()
			item, err := r.Last()
			checkItem(t, r, &item, err, index, 0, elements)
		}
		_, err := r.Last()
		expectCode(t, err, shmwire.ErrEmpty)
		mustReserve(t, other, 0, 1)
		_, err = r.Last()
		expectCode(t, err, shmwire.ErrEmpty)
		mustWrite(t, p, 1, 2)
		expectLast(1, 2)
		succeed(t, other.Close())
		for i := uint64(3); i < 7; i++ {
			mustWrite(t, p, i, 1)
			expectLast(i, 1)
		}
		mustReserve(t, p, 7, 1)
		expectLast(6, 1) // the last one that is published
		expectCode(t, r.LastInto(make([]byte, 7), &Item{}), shmwire.ErrTooSmall)
		if r.Info() != (ReaderInfo{}) {
			t.Errorf("%+v", r.Info())
		}
	}
}

// [slick.read.reset] [slick.reset.clear]
func TestReset(t *testing.T) {
	q, _ := newRing(t, 8, 4)
	p, r := produce(t, q), follow(t, q)
	for i := uint64(0); i < 6; i++ {
		mustWrite(t, p, i, 1)
	}
	succeed(t, r.Seek(StartAt(6)))
	succeed(t, q.Reset())
	mustBeEmpty(t, r)
	mustWrite(t, p, 0, 2)
	mustWrite(t, p, 2, 1)
	mustRead(t, r, 0, 0, 2)
	mustRead(t, r, 2, 0, 1)
	if info := r.Info(); info.Resets != 1 || info.Lost != 0 {
		t.Errorf("%+v", info)
	}
	succeed(t, r.Seek(StartAt(1<<63)))
	mustRead(t, r, 0, 0, 2)
	succeed(t, r.Seek(StartAt(noIndex)))
	mustRead(t, r, 0, 0, 2)
	if info := r.Info(); info.Resets != 3 {
		t.Errorf("%+v", info)
	}
}

func TestTooSmall(t *testing.T) {
	q, _ := newRing(t, 8, 4)
	p, r := produce(t, q), follow(t, q)
	mustWrite(t, p, 0, 3)
	var item Item
	err := r.NextInto(make([]byte, 23), &item)
	var detailed *shmwire.Error
	if expectCode(t, err, shmwire.ErrTooSmall); !errors.As(err, &detailed) || detailed.Needed != 24 {
		t.Errorf("%v", err)
	}
	buffer := make([]byte, 24)
	err = r.NextInto(buffer, &item)
	checkItem(t, r, &item, err, 0, 0, 3)
	if &item.Data[0] != &buffer[0] {
		t.Error("the item is not in the buffer")
	}
}

func TestWait(t *testing.T) {
	q, _ := newRing(t, 8, 4)
	p, r := produce(t, q), follow(t, q, WithSpin(50*time.Microsecond))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := r.Wait(ctx)
	expectCode(t, err, shmwire.ErrTimeout)
	if took := time.Since(began); took < 10*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v after %v", err, took)
	}
	mustWrite(t, p, 0, 1)
	item, err := r.Wait(ctx) // past its deadline it still looks
	checkItem(t, r, &item, err, 0, 0, 1)
	go func() {
		time.Sleep(5 * time.Millisecond)
		p.Write(numbered(1, 8))
	}()
	item, err = r.Wait(context.Background())
	checkItem(t, r, &item, err, 1, 0, 1)
	stopped, stop := context.WithCancel(context.Background())
	stop()
	if err := r.WaitInto(stopped, nil, &item); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
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

// No call of the hot path allocates.
func TestAllocations(t *testing.T) {
	q, _ := newRing(t, 8, 1024)
	p, r := produce(t, q), follow(t, q)
	data, buffer := make([]byte, 64), make([]byte, 4096)
	items, read, indices := [][]byte{data, data, data}, make([]Item, 8), make([]uint64, 3)
	ctx := context.Background()
	var item Item
	for what, run := range map[string]func() error{
		"write": func() error { _, err := p.Write(data); return err },
		"next":  func() error { p.Write(data); return r.NextInto(buffer, &item) },
		"last":  func() error { return r.LastInto(buffer, &item) },
		"batch": func() error {
			p.WriteBatch(items, indices)
			_, err := r.NextBatch(buffer, read)
			return err
		},
		"claim": func() error {
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
	} {
		p.Write(data) // for those that only read
		failures := 0
		n := testing.AllocsPerRun(200, func() {
			if run() != nil {
				failures++
			}
		})
		if n != 0 || failures != 0 {
			t.Errorf("%s: %v allocations, %d failures", what, n, failures)
		}
		succeed(t, r.Seek(StartOldest))
	}
	succeed(t, r.Seek(StartLatest))
	if n := testing.AllocsPerRun(200, func() { r.NextInto(buffer, &item) }); n != 0 {
		t.Errorf("empty: %v allocations", n)
	}
}
