// SPDX-License-Identifier: MIT

package slick

import (
	"shmwire"
	"shmwire/internal/shm"
)

// Validate checks header and slots, and answers the first finding: ErrCorrupt, or the errors of Open. Of a queue that is
// written meanwhile it may report what is only half done.
func (q *Queue) Validate() error {
	if err := q.usable(false); err != nil {
		return err
	}
	g, err := checkHeader(q.window)
	if err != nil {
		return err
	}
	if g != q.geometry {
		return shmwire.Errorf(shmwire.ErrBadGeometry, "the header has changed: %d elements of %d bytes, generation %s",
			g.size, g.elementSize, g.generation)
	}
	if err := q.checkReservation(); err != nil {
		return err
	}
	for k := uint64(0); k < q.size; k++ {
		if err := q.checkSlot(k); err != nil {
			return err
		}
	}
	return nil
}

// checkReservation looks at the words of the header that producers store to.
func (q *Queue) checkReservation() error {
	last := q.lastPublished.Load() // A3: pairs with R3; what it names is reserved
	word := q.reserved.Load()
	if _, err := q.lastReservation(word); err != nil {
		return err
	}
	next := word >> reservedSizeBits
	if q.generation == Generation14 && last != noIndex && last >= next {
		return shmwire.Errorf(shmwire.ErrCorrupt, "last_published is %d, reserved are %d", last, next)
	}
	return nil
}

// checkSlot looks at one slot. An item that was overwritten in part has left its slot as it was.
func (q *Queue) checkSlot(k uint64) error {
	index, size := q.slot(k)
	d := index.Load() // A2: pairs with R2
	if d == noIndex {
		return nil
	}
	n := uint64(size.Load())
	shm.Fence() // F5: pairs with F5; the slot before the reservation
	next := q.next()
	switch {
	case d > next:
		return finding(k, "index %d is above the reservation, %d", d, next)
	case d < k: // in the first lap
		return finding(k, "a mark to index %d leads backwards", d)
	case d&q.mask != k:
		return nil // a mark
	case !q.fits(k, n):
		return finding(k, "an item of %d elements", n)
	case n > next-d:
		return finding(k, "an item of %d elements passes the reservation, %d", n, next)
	}
	return nil
}

func finding(slot uint64, format string, args ...any) error {
	return shmwire.Errorf(shmwire.ErrCorrupt, "slot %d: "+format, append([]any{slot}, args...)...)
}
