// SPDX-License-Identifier: MIT

package slick

import (
	"context"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Section 4.1: several producers do not reserve over each other's unfinished items.

// errMoved says inside of this package: the reservation has moved on, look again.
var errMoved error = shmwire.ErrLapped

// settle is that section for a reservation up to end, when word is the reservation before it: true when it may be made,
// false when the producer is to look anew, having waited.
func (p *Producer) settle(word, end uint64, stall *patience) (bool, error) {
	q, i := p.queue, word>>reservedSizeBits
	enough, err := p.recall(word, end)
	if err == nil && !enough {
		err = p.advance(i)
	}
	if err == errMoved {
		return false, nil
	}
	if enough || err != nil {
		return enough, err
	}
	for {
		q.raiseSettled(p.known) // [slick.reserve.told]
		if p.known == i || end <= p.known+q.size {
			return true, nil // [slick.reserve.settled]
		}
		if !stall.exhausted(p.known, i, p.stall) {
			stall.pause()
			return false, nil
		}
		next, given := q.giveUp(p.known, word) // [slick.reserve.give-up]
		if !given {
			return false, nil
		}
		p.known = next
		p.givenUp++
	}
}

// recall is step 1: true when others have told enough, and otherwise it raises known as far as can be told without a look
// at slots.
func (p *Producer) recall(word, end uint64) (enough bool, err error) {
	q, i := p.queue, word>>reservedSizeBits
	told := q.settled.Load() // A1: pairs with R1; whoever wrote one lap before is done
	if told > i {
		if q.reserved.Load() != word { // A6: pairs with R6
			return false, errMoved
		}
		told = 0 // no producer left that
	}
	if end <= told+q.size {
		return true, nil
	}
	if told > p.known {
		p.known = told
	}
	if i-p.known > q.size { // nothing but the last reservation can be unsettled
		p.known, err = q.lastReservation(word)
	}
	return false, err
}

// lastReservation is the index that the last reservation began at, without the end of the ring that it may have passed.
func (q *Queue) lastReservation(word uint64) (uint64, error) {
	i, m := word>>reservedSizeBits, word&reservedSizeMask
	if m > i || m > q.size || m == 0 && i > 0 {
		return 0, shmwire.Errorf(shmwire.ErrCorrupt, "the last reservation has %d elements, up to index %d", m, i)
	}
	return i - m, nil
}

// advance raises known as far as all is settled, at most to i.
func (p *Producer) advance(i uint64) error {
	for p.known < i {
		next, err := p.queue.follow(p.known, i)
		if err != nil {
			return err
		}
		if next == p.known {
			return nil
		}
		p.known = next
	}
	return nil
}

// follow is the index behind what begins at index and is settled, at most i; or index, if that is not settled. errMoved
// when the reservation is a lap further already, ErrCorrupt.
func (q *Queue) follow(index, i uint64) (uint64, error) {
	word, size := q.slot(index)
	d := word.Load() // A2: pairs with R2; who wrote there is done
	if d != index {
		switch {
		case q.isMark(d, index, i):
			return d, nil
		case d > index && d-index >= q.size && d < q.next():
			return index, errMoved
		}
		return index, nil
	}
	n := uint64(size.Load())
	shm.Fence() // F5: pairs with F5; the size before the reservation that shows whose it is
	if next := q.next(); next > index && next-index > q.size {
		return index, errMoved
	}
	if n == 0 || n > q.room(index) || n > i-index {
		return index, badItem(index, n)
	}
	return index + n, nil
}

// raiseSettled tells other producers how far all is settled. It lowers only what no producer left: anything above the
// reservation, which is loaded after it.
func (q *Queue) raiseSettled(known uint64) {
	word := q.settled
	for {
		told := word.Load() // A1: pairs with R1
		if told >= known && told <= q.next() {
			return
		}
		if word.CompareAndSwap(told, known) { // R1: pairs with A1; what we found settled before we say so
			return
		}
	}
}

// giveUp marks the item at an index, which is not settled, so that readers and producers pass it, and answers where they
// go on; false when its producer was faster. Its size stays, since its producer may be storing it. An item of the whole ring
// cannot be marked, and is passed all the same.
func (q *Queue) giveUp(index, word uint64) (next uint64, given bool) {
	slot, i := q.dataIndex(index), word>>reservedSizeBits
	d := slot.Load() // A2: pairs with R2
	if d == index || q.isMark(d, index, i) {
		return index, false
	}
	next = q.behind(index, word)
	return next, next-index >= q.size || slot.CompareAndSwap(d, next) // R2: pairs with A2
}

// behind is where to go on behind an item that is given up: at the next one that is settled, at the last reservation, or
// at its end.
func (q *Queue) behind(index, word uint64) uint64 {
	i := word >> reservedSizeBits
	for j := index + 1; j < i; j++ {
		if d := q.dataIndex(j).Load(); d == j || q.isMark(d, j, i) { // A2: pairs with R2
			return j
		}
	}
	if last, err := q.lastReservation(word); err == nil && last > index {
		return last
	}
	return i
}

// patience is how long a producer has waited for one index, while nobody reserved anything: then what is reserved behind
// it, and may be given up with it, is as old.
type patience struct {
	backoff shm.Backoff
	since   time.Time
	known   uint64
	next    uint64
	waiting bool
}

// exhausted says whether the limit has passed since the first question with these two indices. It may be asked again at
// once.
func (w *patience) exhausted(known, next uint64, limit time.Duration) bool {
	if !w.waiting || w.known != known || w.next != next {
		*w = patience{since: time.Now(), known: known, next: next, waiting: true}
		return false
	}
	return time.Since(w.since) >= limit
}

func (w *patience) pause() { w.backoff.Pause(context.Background()) }
