// SPDX-License-Identifier: MIT

package ouroboros

import (
	"shmwire"
	"shmwire/internal/shm"
)

// place puts a reader where its strategy says. ErrEmpty, and nothing has changed, while no row is committed
// [ouroboros.read.start].
func (r *Reader) place() error {
	chunk, row := r.findStart()
	if chunk == noChunk {
		return shmwire.ErrEmpty // [ouroboros.read.empty]
	}
	if !r.possible(row.Offset) {
		return r.badRow(chunk, row) // [ouroboros.read.row-offset]
	}
	r.standAt(chunk, row)
	r.placed = true
	return nil
}

func (r *Reader) findStart() (uint32, Row) {
	switch r.start {
	case StartOldest:
		return r.oldest()
	case StartAuto:
		if row := r.loadRow(0); row.Committed && row.Token == 0 {
			return 0, row
		}
	}
	return r.newest()
}

func (r *Reader) standAt(chunk uint32, row Row) {
	r.stayAt(chunk, row)
	r.cursor, r.next = row.Offset, row.Token+1
}

// stayAt makes chunk the current one. Its row's words are found once, and not for each entry.
func (r *Reader) stayAt(chunk uint32, row Row) {
	r.chunk, r.token, r.offset = chunk, row.Token, row.Offset
	r.own, r.last = r.rowWords(chunk), chunk+1 == r.chunkCount
	if !r.last {
		r.later = r.rowWords(chunk + 1)
	}
}

// look is steps 1 to 5: the payload length of what is an entry if the row still holds after it was used. The row is
// asked before that only where the header alone would give another answer.
func (r *Reader) look() (uint64, error) {
	if !r.placed {
		if err := r.place(); err != nil {
			return 0, err
		}
	}
	if r.nextChunkReached() {
		if err := r.adopt(); err != nil {
			return 0, err
		}
	}
	if !r.headerFits(r.cursor) {
		return 0, r.wrap()
	}
	header := r.header(r.cursor).Load() // A3: pairs with R3; the payload after the header that commits it
	if !r.isEntry(r.cursor, header) {
		return 0, r.noEntry(header)
	}
	return uint64(header&maxLength) - entryHeaderSize, nil
}

// nextChunkReached says whether there may be anything to adopt. It is one load, of a line that changes as seldom as our
// own row's. It notes whether the reader is behind.
func (r *Reader) nextChunkReached() bool {
	r.behind = false
	if r.last {
		return false
	}
	token := r.later.token.Load() // A2: pairs with R2; adopt loads the row properly
	r.behind = token > r.next-1
	return token > r.token && !r.behind
}

// adopt takes over the rows of the chunks that the cursor is in by now, without moving.
func (r *Reader) adopt() error {
	for r.chunk+1 < r.chunkCount {
		row := r.loadRow(r.chunk + 1)
		if !row.Committed || row.Token <= r.token || row.Token > r.next-1 ||
			row.Offset <= r.offset || row.Offset > r.cursor {
			break
		}
		if !r.possible(row.Offset) {
			return r.badRow(r.chunk+1, row) // [ouroboros.read.row-offset]
		}
		r.stayAt(r.chunk+1, row)
	}
	return nil
}

// noEntry finds out what else a header is, now that it is known whether it belongs to the writer's next lap.
func (r *Reader) noEntry(header uint32) error {
	switch {
	case !r.own.hold(r.token):
		return r.lapped()
	case header&entryCommitted == 0:
		// What comes next mostly reaches into the line behind: when we look again, both are on their way together.
		shm.PrefetchToRead(&r.window.Bytes(r.cursor, entryHeaderSize)[0])
		return shmwire.ErrEmpty // [ouroboros.read.empty]
	case header&maxLength == lengthWrap:
		return r.wrap()
	}
	return badLength(r.cursor, header) // [ouroboros.read.length]
}

// wrap goes on at the end of the lap [ouroboros.read.wrap].
func (r *Reader) wrap() error {
	zero := r.loadRow(0)
	if !zero.Committed || zero.Token < r.next-1 {
		return shmwire.ErrEmpty // the writer has not come round yet
	}
	if r.chunk == 0 && zero.Token == r.token {
		// [ouroboros.read.wrap-loop]
		return shmwire.Errorf(shmwire.ErrCorrupt, "chunk 0 begins with a wrap mark")
	}
	return r.enter(0, zero)
}

// lapped goes on at the newest chunk, because the writer overtook us, if that is not behind us
// [ouroboros.read.no-repeat].
func (r *Reader) lapped() error {
	chunk, row := r.newest()
	if chunk == noChunk || row.Token < r.next-1 {
		return shmwire.ErrEmpty // the writer is between two chunks
	}
	return r.enter(chunk, row)
}

// enter goes on at a committed row whose token is next - 1 or above: what lies between was overwritten
// [ouroboros.read.skipped].
func (r *Reader) enter(chunk uint32, row Row) error {
	if !r.possible(row.Offset) {
		return r.badRow(chunk, row) // [ouroboros.read.row-offset]
	}
	gap := row.Token + 1 - r.next
	r.skipped += gap
	r.totalSkipped += gap
	r.standAt(chunk, row)
	return errElsewhere
}
