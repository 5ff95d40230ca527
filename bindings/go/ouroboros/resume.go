// SPDX-License-Identifier: MIT

package ouroboros

import (
	"shmwire"
)

// Resume becomes the writer of a log that has none any more, wherever its last one stopped, and goes on behind its
// last entry [ouroboros.write.resume]. shmwire.ErrBusy while it has a writer [ouroboros.segment.one-writer]; ErrCorrupt;
// the errors of Open.
func Resume(name string, options ...ResumeOption) (*Writer, error) {
	config := resumeConfig{}
	for _, option := range options {
		option.applyResume(&config)
	}
	mapping, count, err := attach(name, false, 0)
	if err != nil {
		return nil, err
	}
	w := &Writer{}
	w.take(mapping, mapping.Window, count)
	w.target = config.target
	if err = mapping.Claim(false); err == nil {
		err = mapping.Reserve(0, w.size)
	}
	if err == nil {
		err = w.goOn()
	}
	if err != nil {
		mapping.Close() // the lock goes with it
		return nil, err
	}
	return w, nil
}

// walk is where a walk from entry to entry stands.
type walk struct {
	offset    uint64 // of the chunk
	cursor    uint64
	entries   uint64 // since the segment was made
	chunk     uint32
	committed bool // is the chunk's row, or may it be now?
	lapEnded  bool // at a wrap mark, or where no header fits
}

// goOn puts a writer with a mapping behind the last entry.
func (w *Writer) goOn() error {
	if w.target == 0 {
		w.target = (w.size - w.dataOffset) / uint64(w.chunkCount) // what the size formula was given
	}
	if w.target == 0 {
		w.target = 1
	}
	k, err := w.findEnd()
	if err != nil {
		return err
	}
	w.chunk, w.entries, w.committed, w.cursor = k.chunk, k.entries, k.committed, k.cursor
	if k.lapEnded {
		w.cursor = w.size // the mark is there; the next entry wraps
	}
	w.settle(k.offset)
	if k.committed && !w.loadRow(k.chunk).Committed {
		w.commitRow(k.offset) // its first entry is there: a caught-up reader may have had it already
	}
	return nil
}

func (s *segment) findEnd() (walk, error) {
	if !s.possible(s.dataOffset) {
		return walk{}, errNoRoom
	}
	zero := s.loadRow(0)
	if zero.Committed || zero.Offset == 0 {
		return s.walkFromNewest()
	}
	if zero.Offset != s.dataOffset {
		return walk{}, s.badRow(0, zero)
	}
	return s.walkFromZero(zero.Token)
}

var errNoRoom = shmwire.Errorf(shmwire.ErrCorrupt, "there is no room for an entry")

func (s *segment) badRow(chunk uint32, row Row) error {
	return shmwire.Errorf(shmwire.ErrCorrupt, "row %d: offset %d", chunk, row.Offset)
}

// pass passes the entry at the cursor; false: the walk ends here.
func (s *segment) pass(k *walk) (bool, error) {
	k.lapEnded = !s.headerFits(k.cursor)
	if k.lapEnded {
		return false, nil
	}
	header := s.header(k.cursor).Load() // A3: pairs with R3
	if header&entryCommitted == 0 {
		return false, nil
	}
	length := header & maxLength
	k.lapEnded = length == lengthWrap
	if k.lapEnded {
		return false, nil
	}
	if !s.isEntry(k.cursor, header) {
		return false, badLength(k.cursor, header)
	}
	k.cursor = after(k.cursor, uint64(length))
	k.entries++
	k.committed = true
	return true, nil
}

// walkFromZero is for a row 0 that was begun and not committed: its offset is stored, its token perhaps not yet. If
// chunk 0 ends at a header without C, the new lap has been written to, after the token. If the lap in chunk 0 is whole,
// the token may be that lap's own; the newest row knows then how many entries it has, if it describes a part of it. If it
// does not, the entries count twice at worst: sequences are left out, and none comes again.
func (s *segment) walkFromZero(token uint64) (walk, error) {
	chunk, newest := s.newest()
	known, passed, before := chunk != noChunk, false, uint64(0)
	k := walk{offset: s.dataOffset, cursor: s.dataOffset, entries: token}
	for more := true; more; {
		at, entries := k.cursor, k.entries
		var err error
		if more, err = s.pass(&k); err != nil {
			return k, err
		}
		if more && known && at == newest.Offset {
			passed, before = true, entries
		}
	}
	if !k.lapEnded {
		return k, nil
	}
	if known && !s.possible(newest.Offset) {
		return k, s.badRow(chunk, newest)
	}
	if passed {
		k.entries = newest.Token + (k.entries - before)
	}
	k.committed = false // the lap that is there is not the one that row 0 describes by now
	return k, nil
}

func (s *segment) walkFromNewest() (walk, error) {
	chunk, newest := s.newest()
	if chunk == noChunk {
		return walk{}, shmwire.Errorf(shmwire.ErrCorrupt, "no row is committed")
	}
	if !s.possible(newest.Offset) {
		return walk{}, s.badRow(chunk, newest)
	}
	k := walk{chunk: chunk, offset: newest.Offset, cursor: newest.Offset, entries: newest.Token, committed: true}
	for more := true; more; { // bounded: each entry takes 8 bytes, and no step goes back
		s.enterNextRow(&k)
		var err error
		if more, err = s.pass(&k); err != nil {
			return k, err
		}
	}
	return k, nil
}

// enterNextRow makes the next row the current one when the writer had begun its chunk right here. One with another
// token is left to the next write.
func (s *segment) enterNextRow(k *walk) {
	if k.chunk+1 >= s.chunkCount {
		return
	}
	row := s.loadRow(k.chunk + 1)
	if row.Committed || row.Offset != k.cursor || row.Token != k.entries {
		return
	}
	k.chunk, k.offset, k.committed = k.chunk+1, row.Offset, false
}

func badLength(offset uint64, header uint32) error {
	return shmwire.Errorf(shmwire.ErrCorrupt, "header %#x at offset %d", header, offset)
}
