// SPDX-License-Identifier: MIT

package ouroboros

import (
	"shmwire"
	"shmwire/internal/shm"
)

// chunkTries is how often a chunk is looked at anew because its row changed meanwhile; after that its writer is left
// to it.
const chunkTries = 8

// Validate checks header, rows and every reachable entry, and answers the first finding: ErrCorrupt, or the errors of
// Open. On a live segment a finding counts only if the row stood still meanwhile.
func (s *segment) Validate() error {
	if err := s.open(); err != nil {
		return err
	}
	count, err := checkHeader(s.window)
	if err != nil {
		return err
	}
	if count != s.chunkCount {
		return shmwire.Errorf(shmwire.ErrBadGeometry, "chunk_count has changed from %d to %d", s.chunkCount, count)
	}
	for chunk := uint32(0); chunk < s.chunkCount; chunk++ {
		if err := s.checkChunk(chunk); err != nil {
			return err
		}
	}
	return nil
}

func (s *segment) checkChunk(chunk uint32) error {
	for try := 0; try < chunkTries; try++ {
		row := s.loadRow(chunk)
		err := s.checkRow(chunk, row)
		if err == nil {
			return nil
		}
		shm.Fence() // F5: pairs with F4; what we found before the row
		if s.loadRow(chunk) == row {
			return err
		}
	}
	return nil
}

func (s *segment) checkRow(chunk uint32, row Row) error {
	if !row.Committed {
		return nil // it leads nowhere, whatever it says
	}
	if !s.possible(row.Offset) {
		return s.badRow(chunk, row) // [ouroboros.read.row-offset]
	}
	return s.walkChunk(chunk, row)
}

// successor answers the chunk after this one in the same lap, if its row is committed: where the walk has to come out.
func (s *segment) successor(chunk uint32, row Row) (Row, bool) {
	if chunk+1 >= s.chunkCount {
		return Row{}, false
	}
	next := s.loadRow(chunk + 1)
	return next, next.Committed && next.Token > row.Token
}

// walkChunk walks the entries of a chunk to its end. It is bounded: each step goes on by 8 bytes at least.
func (s *segment) walkChunk(chunk uint32, row Row) error {
	next, followed := s.successor(chunk, row)
	k := walk{cursor: row.Offset, entries: row.Token}
	for more := true; more; {
		if followed && k.cursor >= next.Offset {
			return checkJunction(chunk, &k, next)
		}
		var err error
		if more, err = s.pass(&k); err != nil {
			return err
		}
	}
	if k.entries == row.Token && row.Token != 0 {
		return finding(chunk, "a committed chunk holds no entry")
	}
	if followed {
		return finding(chunk, "it ends before the next one begins")
	}
	return nil
}

// checkJunction compares where a walk came out with the next row.
func checkJunction(chunk uint32, k *walk, next Row) error {
	if k.cursor != next.Offset {
		return finding(chunk, "an entry runs into the next chunk")
	}
	if k.entries != next.Token {
		return finding(chunk, "the next row's token is not the number of entries before it")
	}
	return nil
}

func finding(chunk uint32, text string) error {
	return shmwire.Errorf(shmwire.ErrCorrupt, "chunk %d: %s", chunk, text)
}
