// SPDX-License-Identifier: MIT

package slick

import (
	"shmwire"
	"shmwire/internal/shm"
)

// NextBatch reads up to len(items) items that are there into buffer, one after the other, proved whole by one look at the
// reservation [slick.read.batch], and answers how many. ErrEmpty; ErrTooSmall when not even the first fits; the other
// answers of NextInto. An error behind an item that was read is the answer of the next call.
func (r *Reader) NextBatch(buffer []byte, items []Item) (int, error) {
	if len(items) == 0 {
		return 0, shmwire.Errorf(shmwire.ErrInvalidArgument, "room for no items")
	}
	if !r.usable() {
		return 0, shmwire.ErrClosed
	}
	var p place
	r.stand(&p)
	for {
		count, n, v, err := r.tryBatch(&p, buffer, items)
		if count > 0 {
			return count, nil
		}
		if err == nil {
			err = r.turn(&p, v, n)
		}
		if err != nil {
			r.leave(&p)
			return 0, err
		}
	}
}

// tryBatch answers how many items it took; with none, p is where there is no item, and n and v say what is there.
func (r *Reader) tryBatch(p *place, buffer []byte, items []Item) (count int, n uint64, v verdict, err error) {
	q := r.queue
	for {
		start := *p
		count, n, v = q.gather(p, buffer, items)
		if count == 0 {
			if v == whole { // the first one does not fit into the buffer, or into the ring
				if v = q.prove(p.cursor, n); v == whole {
					err = r.tooSmall(&items[0], n)
				}
			}
			return 0, n, v, err
		}
		first := items[0]
		var lost uint64
		if count, lost, v = q.sift(items[:count]); count == 0 {
			*p = start
			p.cursor, p.lost = first.Index, first.Lost
			return 0, uint64(first.Elements), v, nil
		}
		last := &items[count-1]
		if r.take(p, last.Index+uint64(last.Elements), uint64(count), lost) {
			return count, 0, whole, nil
		}
		r.stand(p)
	}
}

// gather is steps 1 to 5 for each item: it answers how many it copied, and what it found at p, where it stopped.
func (q *Queue) gather(p *place, buffer []byte, items []Item) (count int, n uint64, v verdict) {
	for ; count < len(items); count++ {
		if index, size := q.slot(p.cursor); index.Load() == p.cursor { // A2: pairs with R2; the way that look mostly takes
			n, v = uint64(size.Load()), whole
		} else if n, v = q.look(p); v != whole {
			return count, n, v
		}
		data := q.fetch(p.cursor, n, buffer, intoBuffer)
		if data == nil {
			return count, n, v
		}
		item := &items[count]
		item.Data, item.Index, item.Lost, item.Elements = data, p.cursor, p.lost, uint32(n)
		buffer = buffer[len(data):]
		p.cursor += n
		p.lost = 0
	}
	return count, n, v
}

// sift is step 6 for all of them: it leaves those that are whole, answers how many and how much was lost before and between
// them, or what the first one is if none is. An overtaken item is lost with what was lost before it.
func (q *Queue) sift(items []Item) (count int, lost uint64, v verdict) {
	shm.Fence() // F5: pairs with F5; our loads of slots and elements before the reservation
	next := q.next()
	first, gone := 0, uint64(0)
	for first < len(items) && q.verdict(&items[first], next) == overtaken {
		gone += items[first].Lost + uint64(items[first].Elements)
		first++
	}
	if first == len(items) {
		return 0, 0, overtaken
	}
	if v = q.verdict(&items[first], next); v != whole {
		if first > 0 {
			v = overtaken // begin again from the first
		}
		return 0, 0, v
	}
	items[first].Lost += gone
	for at := first; at < len(items) && q.verdict(&items[at], next) == whole; at++ {
		if first > 0 {
			items[count] = items[at]
		}
		lost += items[count].Lost
		count++
	}
	return count, lost, whole
}

// verdict is judge for an item that was copied.
func (q *Queue) verdict(item *Item, next uint64) verdict {
	return q.judge(item.Index, uint64(item.Elements), next)
}
