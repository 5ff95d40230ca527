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

// Of a batch that was overtaken meanwhile the last items are whole, and what comes before them is lost.
func TestBatchOvertaken(t *testing.T) {
	q, _ := newRing(t, 8, 8)
	p, r := produce(t, q), follow(t, q)
	for i := uint64(0); i < 8; i++ {
		mustWrite(t, p, i, 1)
	}
	items, at := make([]Item, 8), place{}
	r.stand(&at)
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
	deadline, _ := ctx.Deadline()
	_, err := r.Wait(ctx)
	expectCode(t, err, shmwire.ErrTimeout)
	if left := time.Until(deadline); left > 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v before the deadline", err, left)
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
