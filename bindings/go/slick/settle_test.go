// SPDX-License-Identifier: MIT

package slick

import (
	"testing"
	"time"

	"shmwire"
)

// A producer waits for an item of the lap before, and gives nothing up that is published in time
// [slick.reserve.settled].
func TestWaitsForSettled(t *testing.T) {
	q, _ := newRing(t, 8, 2)
	slow, fast := produce(t, q), produce(t, q, patient)
	claim := mustReserve(t, slow, 0, 1)
	mustWrite(t, fast, 1, 1)
	done := make(chan error)
	go func() {
		_, err := fast.Write(numbered(2, 8))
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("written over an item that is not published: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	if next := q.next(); next != 2 {
		t.Fatalf("%d reserved", next)
	}
	copy(claim.Data, numbered(0, 8))
	succeed(t, claim.Publish())
	succeed(t, <-done)
	mustRead(t, follow(t, q, WithStart(StartAt(2))), 2, 0, 1)
	if info := fast.Info(); info != (ProducerInfo{2, 0}) {
		t.Errorf("%+v", info)
	}
}

// A producer alone knows all by itself and leaves settled as it is; who comes later has to look.
func TestAlone(t *testing.T) {
	q, _ := newRing(t, 8, 2)
	p := produce(t, q)
	for i := uint64(0); i < 100; i++ {
		mustWrite(t, p, i, 1)
		if p.known != i+1 || q.settled.Load() != 0 {
			t.Fatalf("known %d, settled %d after item %d [slick.reserve.alone]", p.known, q.settled.Load(), i)
		}
	}
	other := produce(t, q) // comes to know of all by the last reservation
	mustWrite(t, other, 100, 1)
	if other.known != 101 || q.settled.Load() != 100 {
		t.Errorf("known %d, settled %d", other.known, q.settled.Load())
	}
	succeed(t, q.Reset())
	mustWrite(t, other, 0, 1)
	if other.known != 1 || q.settled.Load() != 0 {
		t.Errorf("known %d, settled %d after a reset", other.known, q.settled.Load())
	}
}

// settled never falls, but from where no producer left it.
func TestRaiseSettled(t *testing.T) {
	q, _ := newRing(t, 8, 4)
	q.reserved.Store(10<<16 | 1)
	for _, c := range []struct{ before, known, after uint64 }{{0, 7, 7}, {8, 7, 8}, {10, 7, 10}, {11, 7, 7}, {noIndex, 9, 9}, {9, 9, 9}} {
		q.settled.Store(c.before)
		q.raiseSettled(c.known)
		if found := q.settled.Load(); found != c.after {
			t.Errorf("%d raised to %d is %d", c.before, c.known, found)
		}
	}
}

// Patience ends when neither index has moved for the stall time.
func TestPatience(t *testing.T) {
	var w patience
	if w.exhausted(0, 1, 0) {
		t.Error("at the first question")
	}
	if !w.exhausted(0, 1, 0) {
		t.Error("not at the second one")
	}
	if w.exhausted(0, 2, 0) || w.exhausted(1, 2, 0) {
		t.Error("after an index moved")
	}
	if w.exhausted(1, 2, time.Hour) {
		t.Error("before the time")
	}
}

// A give-up leads to what is settled behind it, to the last reservation, or to the end.
func TestBehind(t *testing.T) {
	q, _ := newRing(t, 8, 8)
	q.reserved.Store(6<<16 | 2)
	if next := q.behind(0, q.reserved.Load()); next != 4 {
		t.Errorf("the last reservation: %d", next)
	}
	if next := q.behind(4, q.reserved.Load()); next != 6 {
		t.Errorf("the end: %d", next)
	}
	q.dataIndex(3).Store(4) // a mark
	if next := q.behind(0, q.reserved.Load()); next != 3 {
		t.Errorf("a mark: %d", next)
	}
	q.dataIndex(2).Store(2)
	if next := q.behind(0, q.reserved.Load()); next != 2 {
		t.Errorf("an item: %d", next)
	}
	q.dataIndex(1).Store(7) // above the reservation: neither
	if next := q.behind(0, q.reserved.Load()); next != 2 {
		t.Errorf("what is not reserved: %d", next)
	}
}

// Reservations that no producer makes are CORRUPT when they have to be believed.
func TestLastReservation(t *testing.T) {
	q, _ := newRing(t, 8, 4)
	for word, code := range map[uint64]*shmwire.Code{
		0: nil, 4<<16 | 4: nil, 9<<16 | 1: nil, 9 << 16: shmwire.ErrCorrupt, 9<<16 | 5: shmwire.ErrCorrupt, 2<<16 | 3: shmwire.ErrCorrupt,
	} {
		_, err := q.lastReservation(word)
		expectCode(t, err, code)
	}
}
