// SPDX-License-Identifier: MIT

package slick

import (
	"shmwire"
	"shmwire/internal/shm"
)

// place is where a call for an item stands. A reader's own cursor follows it; a shared one only when items are taken.
type place struct {
	cursor uint64 // index of the next item
	lost   uint64 // since the item delivered last
	begun  uint64 // value of the shared cursor that the look began with
	marks  uint64 // followed in this call
	tries  uint32 // how often it was overtaken in this call
	reset  bool   // did it notice a reset in this call?
}

// verdict is what a look or a check found.
type verdict int

const (
	whole       verdict = iota // an item, and before the check: as far as its slot says
	unpublished                // nothing yet, or the queue was reset
	overtaken                  // its elements are reserved again
	entangled                  // more marks than a ring can hold
	corrupt
)

// look is steps 1 to 4 of section 5: it goes to the next index that is published, and answers how many elements its slot
// says. That they are the item's, and inside of the ring, is for prove to say.
func (q *Queue) look(p *place) (uint64, verdict) {
	for {
		index, size := q.slot(p.cursor)
		d := index.Load() // A2: pairs with R2; elements and size after the index
		if d != p.cursor {
			if d < p.cursor || d > q.next() { // [slick.read.empty] [slick.read.uncovered]
				return 0, unpublished
			}
			ahead := (d - p.cursor) & q.mask
			p.lost += d - ahead - p.cursor // [slick.read.lapped]
			p.cursor = d
			if ahead != 0 { // [slick.read.mark]
				if p.marks++; p.marks > q.size {
					return 0, entangled
				}
				continue
			}
		}
		return uint64(size.Load()), whole
	}
}

// fits says whether an item of n elements can begin at an index.
func (q *Queue) fits(index, n uint64) bool { return n != 0 && n <= q.room(index) }

// prove is step 6, after n elements from index on were copied or pointed to: nothing of them was reserved again before
// [slick.read.recheck] [slick.read.stale].
func (q *Queue) prove(index, n uint64) verdict {
	shm.Fence() // F5: pairs with F5; our loads of slot and elements before the reservation
	return q.judge(index, n, q.next())
}

// judge is prove with a reservation that was loaded behind the fence.
func (q *Queue) judge(index, n, next uint64) verdict {
	switch {
	case next <= index:
		return unpublished
	case next-index > q.size:
		return overtaken
	case !q.fits(index, n) || n > next-index: // [slick.read.bounds]
		return corrupt
	}
	return whole
}

func badItem(index, n uint64) error {
	return shmwire.Errorf(shmwire.ErrCorrupt, "an item of %d elements at index %d", n, index)
}

// turn finds out how to go on at a place where there is no item: nil to look again, or the answer of the call. n is what
// was found there.
func (r *Reader) turn(p *place, v verdict, n uint64) error {
	q := r.queue
	switch v {
	case corrupt:
		return badItem(p.cursor, n)
	case entangled:
		return shmwire.ErrLapped // [slick.read.bounded]
	case unpublished:
		next := q.next()
		if next < p.cursor {
			if p.reset {
				return shmwire.ErrEmpty
			}
			r.restart(p)
			return nil
		}
		if next-p.cursor <= q.size {
			return shmwire.ErrEmpty
		}
	}
	return q.catchUp(p)
}

// catchUp is step 7: it goes to the oldest item that is still whole [slick.read.oldest].
func (q *Queue) catchUp(p *place) error {
	p.tries++
	next := q.next()
	if next > p.cursor && next-p.cursor > q.size { // otherwise the queue has been reset: step 1 finds out
		j, found := q.oldest(next)
		if !found {
			return shmwire.ErrEmpty
		}
		p.lost += j - p.cursor
		p.cursor = j
	}
	if p.tries >= readTries {
		return shmwire.ErrLapped // [slick.read.bounded]
	}
	return nil
}

// oldest is the lowest index in the ring on whose slot holds it, or a mark by who reserved it, when next comes next.
func (q *Queue) oldest(next uint64) (uint64, bool) {
	for j := q.lowest(next); j < next; j++ {
		if d := q.dataIndex(j).Load(); d == j || q.isMark(d, j, next) { // A2: pairs with R2
			return j, true
		}
	}
	return 0, false
}

// newest is the highest index in the ring whose slot holds it.
func (q *Queue) newest(next uint64) (uint64, bool) {
	for j := next; j > q.lowest(next); j-- {
		if q.dataIndex(j-1).Load() == j-1 { // A2: pairs with R2
			return j - 1, true
		}
	}
	return 0, false
}

// startIndex is where to begin [slick.read.start].
func (q *Queue) startIndex(start Start) uint64 {
	switch next := q.next(); start.from {
	case fromLatest:
		return next
	case fromIndex:
		return start.index
	default:
		if j, found := q.oldest(next); found {
			return j
		}
		return q.lowest(next)
	}
}

// lastIndex is the index of the published item that is the last, if there is one [slick.read.last].
func (q *Queue) lastIndex() (uint64, bool) {
	word := q.reserved.Load()
	next := word >> reservedSizeBits
	elements := word & reservedSizeMask
	candidate := next - elements // wraps where it is nonsense, and is none then
	told := q.generation == Generation14
	if told {
		candidate = q.lastPublished.Load() // A3: pairs with R3; the item's slot after its index
		next = q.next()
	}
	if candidate < q.lowest(next) || candidate >= next {
		return q.newest(next)
	}
	index, size := q.slot(candidate)
	// A2: pairs with R2; the size after the index. A reservation may be of several items: a batch.
	if index.Load() == candidate && (told || uint64(size.Load()) == elements) {
		return candidate, true
	}
	return q.newest(next)
}
