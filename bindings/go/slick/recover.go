// SPDX-License-Identifier: MIT

package slick

import "shmwire"

// Recover marks what dead producers reserved and never published, as a producer does that gives up waiting
// [slick.recover.holes], raises last_published [slick.recover.last], and answers how many marks it made. allDead is the
// operator's word that no producer lives; without it, ErrBusy when another process maps the segment or when that cannot
// be told, and then nothing is touched [slick.recover.dead]. ErrCorrupt, ErrPermission, ErrClosed.
func (q *Queue) Recover(allDead bool) (holes uint64, err error) {
	if err := q.usable(true); err != nil {
		return 0, err
	}
	if !allDead {
		if err := q.mapping.Exclusive(); err != nil {
			return 0, err
		}
	}
	word := q.reserved.Load() // A6: pairs with R6
	if holes, err = q.fillHoles(q.firstUnsettled(word), word); err != nil {
		return holes, err
	}
	i := word >> reservedSizeBits
	q.raiseSettled(i)
	if last, found := q.newest(i); found {
		q.raiseLast(last)
	}
	return holes, nil
}

// fillHoles goes from index to the end of the reservations, and gives up what is not settled.
func (q *Queue) fillHoles(index, word uint64) (holes uint64, err error) {
	for i := word >> reservedSizeBits; index < i; {
		next, err := q.follow(index, i)
		given := err == nil && next == index
		if given {
			if next, given = q.giveUp(index, word); !given {
				err = errMoved
			} else if next-index < q.size {
				holes++
			}
		}
		if err == errMoved {
			err = shmwire.Errorf(shmwire.ErrBusy, "somebody produces")
		}
		if err != nil {
			return holes, err
		}
		index = next
	}
	return holes, nil
}

// firstUnsettled is where to begin to look: nothing below can be unsettled, or it is overwritten.
func (q *Queue) firstUnsettled(word uint64) uint64 {
	i := word >> reservedSizeBits
	if told := q.settled.Load(); told >= q.lowest(i) && told <= i { // A1: pairs with R1
		return told
	}
	if i <= q.size {
		return 0
	}
	if j, found := q.oldest(i); found {
		return j
	}
	return q.lowest(i)
}
