// SPDX-License-Identifier: MIT

// Package ouroboros is profile ouroboros: a log in shared memory with one writer and any number of readers, whose oldest
// entries are overwritten. Specification: spec/ouroboros.md. Rule ids in brackets name the rules that a piece of code
// implements.
package ouroboros

import (
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// segment is a mapping and the values of its header, checked once.
type segment struct {
	mapping    *shm.Mapping
	window     shm.Window
	size       uint64
	dataOffset uint64 // end of the chunk table, a multiple of 16
	chunkCount uint32
	closed     shm.Flag
}

// Header is what the first 16 bytes of a segment say.
type Header struct {
	Magic      uint64
	Version    uint32
	ChunkCount uint32
}

// Row is a row of the chunk table.
type Row struct {
	Offset    uint64 // of the chunk's first entry, bytes from the start of the segment, without the commit bit
	Token     uint64 // entries written before that one
	Committed bool   // may the chunk be entered?
}

// rowTries: a row that changes between two loads this often is written anew faster than we can look.
const rowTries = 16

// noChunk stands for "no row is committed".
const noChunk = ^uint32(0)

// tableEnd is where entries begin. It cannot overflow.
func tableEnd(chunkCount uint32) uint64 { return rowTableOffset + rowSize*uint64(chunkCount) }

// attach maps a segment and checks its header; it waits for the creator until the time has passed.
func attach(name string, readOnly bool, ready time.Duration) (mapping *shm.Mapping, count uint32, err error) {
	mapping, err = shm.OpenReady(name, readOnly, headerSize, ready, func(w shm.Window) error { // [ouroboros.segment.size]
		count, err = checkHeader(w)
		return err
	})
	return mapping, count, err
}

// checkHeader answers the chunk count of a header that is sound.
func checkHeader(w shm.Window) (uint32, error) {
	// A0: pairs with R0; the header's fields and row 0 after the magic.
	switch found := w.Atomic64(headerMagicOffset).Load(); found {
	case magic:
	case 0:
		return 0, shmwire.Errorf(shmwire.ErrNotReady, "magic is 0") // [ouroboros.segment.not-ready]
	default:
		return 0, shmwire.Errorf(shmwire.ErrBadMagic, "magic is %#x", found) // [ouroboros.segment.magic]
	}
	if found := w.U32(headerVersionOffset); found != version {
		return 0, shmwire.Errorf(shmwire.ErrBadVersion, "version %d", found) // [ouroboros.segment.version]
	}
	count := w.U32(headerChunkCountOffset)
	if count == 0 {
		return 0, shmwire.Errorf(shmwire.ErrBadGeometry, "chunk_count is 0") // [ouroboros.segment.chunk-count]
	}
	if end := tableEnd(count); end > w.Size() {
		return 0, shmwire.Errorf(shmwire.ErrTruncated, "the chunk table ends at %d of %d bytes", end, w.Size())
	}
	return count, nil
}

// take makes the segment that of a mapping whose header is sound.
func (s *segment) take(mapping *shm.Mapping, window shm.Window, chunkCount uint32) {
	s.mapping, s.window, s.size = mapping, window, window.Size()
	s.chunkCount, s.dataOffset = chunkCount, tableEnd(chunkCount)
}

func (s *segment) open() error {
	if s.closed.IsSet() {
		return shmwire.ErrClosed
	}
	return nil
}

// Header answers the header as it stands in the segment.
func (s *segment) Header() (Header, error) {
	if err := s.open(); err != nil {
		return Header{}, err
	}
	return Header{
		Magic:      s.window.Atomic64(headerMagicOffset).Load(), // A0: pairs with R0
		Version:    s.window.U32(headerVersionOffset),
		ChunkCount: s.window.U32(headerChunkCountOffset),
	}, nil
}

// Rows answers the chunk table. On a live segment each row is of one moment, the table is not.
func (s *segment) Rows() ([]Row, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	rows := make([]Row, s.chunkCount)
	for i := range rows {
		rows[i] = s.loadRow(uint32(i))
	}
	return rows, nil
}

// rowWords are those of a row.
type rowWords struct{ offset, token shm.U64 }

func (s *segment) rowWords(i uint32) rowWords { return rowWords{s.rowOffset(i), s.rowToken(i)} }

func (s *segment) rowOffset(i uint32) shm.U64 {
	return s.window.Atomic64(rowTableOffset + rowSize*uint64(i) + rowOffsetOffset)
}

func (s *segment) rowToken(i uint32) shm.U64 {
	return s.window.Atomic64(rowTableOffset + rowSize*uint64(i) + rowTokenOffset)
}

// loadRow answers offset and token of one lap, or a row that is not committed when it would not hold still. The writer
// stores the offset first and the token second, so the token is loaded first: a token of the new lap comes with an
// offset of the new lap. An old token with a new offset is what the third load finds out [ouroboros.read.token-first].
func (s *segment) loadRow(i uint32) Row {
	offsetWord, tokenWord := s.rowOffset(i), s.rowToken(i)
	token := tokenWord.Load() // A2: pairs with R2
	for try := 0; try < rowTries; try++ {
		offset := offsetWord.Load() // A1: pairs with R1; entries of the chunk after it
		again := tokenWord.Load()   // A2: pairs with R2
		if again == token {
			// Cleared rows share the token 0: it tells no lap from another, and is row 0's only.
			committed := offset&rowCommitted != 0 && (token != 0 || i == 0)
			return Row{Offset: offset &^ rowCommitted, Token: token, Committed: committed}
		}
		token = again
	}
	return Row{}
}

// newest and oldest answer the committed row with the highest or lowest token, and noChunk when there is none.
func (s *segment) newest() (uint32, Row) {
	return s.findRow(func(token, best uint64) bool { return token > best })
}

func (s *segment) oldest() (uint32, Row) {
	return s.findRow(func(token, best uint64) bool { return token < best })
}

func (s *segment) findRow(better func(token, best uint64) bool) (chunk uint32, found Row) {
	chunk = noChunk
	for i := uint32(0); i < s.chunkCount; i++ {
		row := s.loadRow(i)
		if row.Committed && (chunk == noChunk || better(row.Token, found.Token)) {
			chunk, found = i, row
		}
	}
	return chunk, found
}

// hold says whether the row is still committed with this token, which is compared with one that is known and not paired
// with the offset, so that one load of each suffices.
func (w rowWords) hold(token uint64) bool {
	return w.token.Load() == token && // A2: pairs with R2
		w.offset.Load()&rowCommitted != 0 // A1: pairs with R1
}

// header is the word of the entry at an offset that is 4-aligned and leaves 4 bytes to the end.
func (s *segment) header(offset uint64) shm.U32 { return s.window.Atomic32(offset + entryHeaderOffset) }

// headerFits says whether there are 4 bytes between the offset and the end of the segment.
func (s *segment) headerFits(offset uint64) bool { return offset+entryHeaderSize <= s.size }

// isEntry says whether this is the header of an entry that ends within the segment [ouroboros.read.length].
func (s *segment) isEntry(offset uint64, header uint32) bool {
	length := header & maxLength
	return header&entryCommitted != 0 && length >= minLength && uint64(length) <= s.size-offset
}

// possible says whether a chunk may begin here [ouroboros.read.row-offset].
func (s *segment) possible(offset uint64) bool {
	return offset%entryAlign == 0 && offset >= s.dataOffset && offset <= s.size-entryHeaderSize
}

// after is where the entry behind one of so many bytes begins: at most 3 bytes past the end of the segment.
func after(offset, length uint64) uint64 {
	return (offset + length + entryAlign - 1) &^ (entryAlign - 1)
}

// maxPayload is the largest payload that the segment's size allows, bytes.
func (s *segment) maxPayload() uint64 {
	least, room := s.dataOffset+entryHeaderSize, uint64(0)
	if s.size > least {
		room = s.size - least
	}
	if most := uint64(maxLength) - entryHeaderSize; room > most {
		return most
	}
	return room
}
