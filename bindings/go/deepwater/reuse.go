// SPDX-License-Identifier: MIT

package deepwater

import "shmwire/internal/shm"

// A chunk that leaves the window hands its memory on to the next one [deepwater.rotate.reuse]: the system takes longer to find,
// clear, map and take back pages than a writer does to fill them.
//
// Its segments are given the names of the chunk to come, under which they outlast their own. Nobody opens those before count covers
// them, and recovery removes them if it never does. Whether a reader still holds the memory is asked when it is wanted and not at
// once: readers have the time of a whole chunk to go on.

// slot is the place of a sealed chunk among those that are kept.
func (w *Writer) slot(id uint64) **chunk { return &w.kept[id%uint64(len(w.kept))] }

// keep takes over a chunk that has been sealed: to be used again once it has left the window, or to be closed now.
func (w *Writer) keep(c *chunk) {
	if w.place.liveWindow > reuseWindow || w.place.chunkSize < reuseChunk {
		c.close()
		return
	}
	slot := w.slot(c.id)
	(*slot).close() // of a chunk that left the window a rotation ago, or before
	*slot = c
}

// offer comes before expiry, which unlinks: the chunk that is about to leave gets the names of the next one.
func (w *Writer) offer() {
	p, window := w.place, uint64(w.place.liveWindow)
	w.spare = nil
	if w.rows <= window {
		return
	}
	leaving := w.rows - 1 - window
	kept := *w.slot(leaving)
	if kept == nil || kept.id != leaving {
		return
	}
	if p.giveName(leaving, w.rows, suffixData) == nil && p.giveName(leaving, w.rows, suffixIndex) == nil {
		w.spare = kept
	} else {
		p.unlinkChunk(w.rows)
	}
}

// giveName has a segment of chunk id named as that of a later one, too.
func (p *place) giveName(id, later uint64, suffix string) error {
	return shm.Link(p.memoryName(id, suffix), p.memoryName(later, suffix))
}

// settle comes behind expiry, which may have failed: a chunk that had to stay is not to be used again.
func (w *Writer) settle() {
	if w.spare != nil && w.inMemory <= w.spare.id {
		w.withdraw()
	}
}

// withdraw takes back what offer gave.
func (w *Writer) withdraw() {
	w.place.unlinkChunk(w.rows)
	w.spare = nil
}

// takeSpare makes chunk id, whose names it has already, of what has left. nil: there is nothing, or somebody still holds it.
func (w *Writer) takeSpare(id uint64) *chunk {
	c := w.spare
	w.spare = nil
	if c == nil {
		return nil
	}
	*w.slot(c.id) = nil
	if !c.data.Alone() || !c.index.Alone() {
		c.close() // whoever holds it keeps it; the names go when the new chunk is made
		return nil
	}
	c.clearHeaders() // records and entries stay until they are written over: no count covers them
	c.id = id
	c.putHeaders(w.pid)
	return c
}

// clearHeaders makes both headers zeros, the magics first.
func (c *chunk) clearHeaders() {
	c.data.Atomic64(dataMagicOffset).StoreRelaxed(0) // nobody looks: R0 comes with the new headers
	c.index.Atomic64(indexMagicOffset).StoreRelaxed(0)
	for _, header := range [][]byte{c.data.Bytes(0, dataSize), c.index.Bytes(0, indexSize)} {
		zero(header)
	}
}

// keepNothing closes all that is kept.
func (w *Writer) keepNothing() {
	for i := range w.kept {
		w.kept[i].close()
		w.kept[i] = nil
	}
}
