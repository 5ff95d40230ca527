// SPDX-License-Identifier: MIT

package deepwater

import (
	"context"
	"errors"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Reader reads a feed, for one goroutine at a time; open one for each. It takes no lock and changes nothing, but counts itself
// when it sleeps [deepwater.open.readonly].
type Reader struct {
	place         *place       // nil once closed
	counts        *shm.Mapping // where it counts itself when it sleeps; nil: nowhere
	held          *chunk       // nil: between chunks, row is the one that comes next
	row           uint64
	first         uint64 // sequence of the row's first record
	index         uint64 // in the row
	next          uint64 // sequence
	known         uint64 // entry_count as loaded last
	endWithWriter bool
	spin          time.Duration
	hook          func() // of tests: before each sleep
}

// OpenReader opens a reader of a feed, from the oldest record unless the options, which may be nil, say otherwise. ErrNotFound,
// ErrNotReady (its maker is at work; or a writer died over the row that says where to begin [deepwater.read.odd]), ErrInvalidName,
// ErrTruncated, ErrBadMagic, ErrBadVersion, ErrBadGeometry, ErrCorrupt, ErrPermission, ErrSystem.
func OpenReader(base, feed string, options *ReaderOptions) (*Reader, error) {
	if options == nil {
		options = &ReaderOptions{}
	}
	p, err := find(base, feed, false, options.ReadyTimeout)
	if err != nil {
		return nil, err
	}
	r := &Reader{place: p, endWithWriter: options.EndWithWriter, spin: options.Spin}
	if err := r.seekWithin(options.Start, options.ReadyTimeout); err != nil {
		p.close()
		return nil, err
	}
	if !options.ReadOnly {
		r.counts = p.mapCounts()
	}
	return r, nil
}

// seekWithin is Seek, waiting for a writer that mends the row that says where to begin.
func (r *Reader) seekWithin(start Start, wait time.Duration) error {
	l := shm.Within(wait)
	var backoff shm.Backoff
	for {
		last := l.Done() != nil // before the look
		if err := r.Seek(start); !isOdd(err) || last {
			return err
		}
		backoff.Pause(context.Background())
	}
}

// mapCounts maps the first page once more, to count itself in; nothing if the file's mode does not allow it.
func (p *place) mapCounts() *shm.Mapping {
	file, err := p.file.Reopen()
	if err != nil {
		return nil
	}
	defer file.Close()
	counts, err := file.Map(feedRegistrySize, false)
	if err != nil {
		return nil
	}
	return counts
}

// Close ends the reader and everything that its records lent. A second Close answers ErrClosed.
func (r *Reader) Close() error {
	if r.place == nil {
		return shmwire.ErrClosed
	}
	r.held.close()
	if r.counts != nil {
		r.counts.Close()
	}
	r.place.close()
	*r = Reader{}
	return nil
}

// attach maps the chunk of a row, wherever it is [deepwater.read.moved]. ErrExpired; ErrNotReady: its row is odd, and no writer
// lives.
func (p *place) attach(id uint64) (row, *chunk, error) {
	var backoff shm.Backoff
	for look := uint32(0); look < attachTries; look++ {
		r, err := p.loadRow(id)
		if err != nil {
			return r, nil, err
		}
		c, err := p.attachBy(&r)
		if shmwire.CodeOf(err) != shmwire.ErrNotFound {
			return r, c, err
		}
		// Unlinked between our look at the row and now: the row says where it is, unless the machine lost it.
		if p.rowAt(id).Atomic32(rowStampOffset).Load() != r.stamp { // A5: pairs with R5
			continue
		}
		if c, err = p.chunkFiles(id); shmwire.CodeOf(err) != shmwire.ErrNotFound {
			return r, c, err
		}
		if !p.writerLives() {
			return r, nil, shmwire.ErrExpired
		}
		backoff.Pause(context.Background())
	}
	return row{}, nil, shmwire.Errorf(shmwire.ErrCorrupt, "chunk %d is not where its row says", id)
}

// attachBy goes by the row's state.
func (p *place) attachBy(r *row) (*chunk, error) {
	switch r.state {
	case StateExpired:
		return nil, shmwire.ErrExpired
	case StatePersisted:
		c, err := p.chunkFiles(r.id)
		if shmwire.CodeOf(err) == shmwire.ErrNotFound {
			err = shmwire.Errorf(shmwire.ErrCorrupt, "the files of chunk %d are gone", r.id)
		}
		return c, err
	}
	return p.chunkMemory(r.id, false)
}

// enter holds the chunk of a row, at the record that is wanted next or at its first one. After a failure the reader is where it
// was.
func (r *Reader) enter(id uint64) error {
	found, c, err := r.place.attach(id)
	if err != nil {
		return err
	}
	r.held.close()
	r.held, r.row, r.first, r.known, r.index = c, id, found.firstSequence, 0, 0
	if r.next > r.first {
		r.index = r.next - r.first
	}
	return nil
}

// enterNext enters the row after this one, or the one that could not be entered yet. ErrEmpty: there is none.
func (r *Reader) enterNext() error {
	id := r.row
	if r.held != nil {
		id++
	}
	rows, err := r.place.rows() // A2
	if err != nil {
		return err
	}
	if id >= rows {
		return shmwire.ErrEmpty
	}
	err = r.enter(id)
	if err == shmwire.ErrExpired {
		r.goTo(id, r.next)
	}
	return err
}

// goTo goes between chunks: row id comes next, and the record next in it.
func (r *Reader) goTo(id, next uint64) {
	r.held.close()
	r.held, r.row, r.next, r.index, r.known = nil, id, next, 0, 0
}

// passExpired goes behind what is gone [deepwater.read.expired], and answers how many records that were. A row that a dead writer
// left odd is where it ends: it is asked for again, and whether it is gone is known when it is mended.
func (r *Reader) passExpired() (lost uint64, err error) {
	p := r.place
	end, id := r.next, r.row
	for {
		written := p.nextWritten() // before count: what was written by then is in the rows below it
		rows, err := p.rows()
		if err != nil {
			return 0, err
		}
		for id = larger(id, p.expiredBelow(rows)); id < rows; id++ { // what is passed over is below its first sequence
			found, err := p.loadRow(id)
			if err == nil {
				err = r.enter(id)
			}
			if err == nil || isOdd(err) {
				r.row = id
				return r.skipTo(larger(end, found.firstSequence)), nil
			}
			if err != shmwire.ErrExpired {
				return 0, err
			}
			end = larger(end, found.end())
		}
		if p.count.Load() == rows { // nothing is left: to the end of what was written
			r.row = rows
			return r.skipTo(larger(end, written)), nil
		}
	}
}

// skipTo has a sequence come next, and answers how many that leaves out.
func (r *Reader) skipTo(sequence uint64) uint64 {
	lost := sequence - r.next
	r.next = sequence
	return lost
}

func larger(a, b uint64) uint64 {
	if a > b {
		return a
	}
	return b
}

// errNextRow says that a chunk is used up.
var errNextRow = errors.New("deepwater: the chunk is used up")

// look answers nil when the record at index is there, ErrEmpty, errNextRow, or an error.
func (r *Reader) look() (err error) {
	if r.held == nil {
		return errNextRow
	}
	if r.index < r.known {
		return nil
	}
	if r.known, err = r.held.count(); err != nil || r.index < r.known { // A4
		return err
	}
	if !r.held.sealed() { // A9 [deepwater.read.sealed]
		return shmwire.ErrEmpty
	}
	if r.known, err = r.held.count(); err != nil || r.index < r.known {
		return err
	}
	return errNextRow
}

// advance comes to a record, over the ends of chunks. Beside ErrExpired the record says how many are lost. ErrNotReady: the next
// row is odd, and no writer lives.
func (r *Reader) advance(record *Record) error {
	for {
		err := r.look()
		if err != errNextRow {
			return err
		}
		err = r.enterNext()
		if err == shmwire.ErrExpired {
			at := r.next
			lost, passErr := r.passExpired()
			if passErr == nil && lost > 0 {
				*record = Record{Sequence: at, Lost: lost}
				return shmwire.ErrExpired
			}
			err = passErr
		}
		if err != nil {
			return err
		}
	}
}

// take delivers the record that advance came to [deepwater.read.order].
func (r *Reader) take(record *Record) error {
	if err := r.held.record(r.first, r.index, record); err != nil {
		return err
	}
	r.index++
	r.next = record.Sequence + 1
	return nil
}

// ended says that nothing more will come [deepwater.read.end], when advance has answered err. Behind an odd row there may be records,
// which Collect brings back in a retired feed too.
func (r *Reader) ended(err error) bool {
	return err == shmwire.ErrEmpty && r.place.isRetired() || r.endWithWriter && !r.place.writerLives()
}

// arrive is advance, and ErrClosed at the end. An odd row is ErrEmpty [deepwater.read.odd].
func (r *Reader) arrive(record *Record) error {
	if r.place == nil {
		return shmwire.ErrClosed
	}
	err := r.advance(record)
	if (err == shmwire.ErrEmpty || isOdd(err)) && r.ended(err) {
		hidden := isOdd(err)
		err = r.advance(record) // what came before the end
		if err == shmwire.ErrEmpty || hidden && isOdd(err) {
			return shmwire.ErrClosed
		}
	}
	if isOdd(err) {
		return shmwire.ErrEmpty
	}
	return err
}

func (r *Reader) nextInto(record *Record) error {
	if err := r.arrive(record); err != nil {
		return err
	}
	return r.take(record)
}

// Next reads the next record, where it lies, or answers ErrEmpty at once. ErrExpired: Record.Lost records are gone; ask again.
// ErrClosed: the feed is retired, or ends with its writer, and all was read. ErrCorrupt: the reader stays where it is. ErrEmpty also
// at a row that a writer died over: it goes on when the next writer, or Collect, has mended it [deepwater.read.odd].
func (r *Reader) Next() (Record, error) {
	var record Record
	err := r.nextInto(&record)
	return record, err
}

// NextBatch reads up to len(records) records, all of one chunk, and answers how many. ErrInvalidArgument for none; otherwise the
// answers of Next, of which ErrExpired has the lost ones in the first record.
func (r *Reader) NextBatch(records []Record) (int, error) {
	if len(records) == 0 {
		return 0, shmwire.Errorf(shmwire.ErrInvalidArgument, "room for no record")
	}
	if err := r.nextInto(&records[0]); err != nil {
		return 0, err
	}
	n := 1
	for n < len(records) && r.index < r.known && r.take(&records[n]) == nil { // the next call comes to an error again
		n++
	}
	return n, nil
}
