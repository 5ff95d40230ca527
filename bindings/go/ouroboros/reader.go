// SPDX-License-Identifier: MIT

package ouroboros

import (
	"context"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Reader follows a log, for one goroutine at a time; more readers cost a mapping each. It works on a read-only mapping
// [ouroboros.segment.readonly], and the writer does not know of it.
type Reader struct {
	segment
	cursor       uint64 // header of the next entry
	next         uint64 // its sequence
	token        uint64 // of the current chunk, as loaded
	offset       uint64 // the same
	skipped      uint64 // since the entry delivered last
	totalRead    uint64
	totalSkipped uint64
	start        Start
	own          rowWords // of the current chunk
	later        rowWords // of the one after it, if there is one
	chunk        uint32
	placed       bool // is there a current chunk?
	last         bool // is there no chunk after it?
	behind       bool // the writer is in a later chunk: what comes next here has long been written
	spin         time.Duration
}

// Entry is an entry as delivered.
type Entry struct {
	Payload  []byte // in the caller's buffer; of a View, in the segment
	Sequence uint64 // from 1, in the order of writing
	Skipped  uint64 // sequences between the entry delivered before and this one that were overwritten unread
	Token    uint64 // of its chunk
	Chunk    uint32 // index of its row
}

// ReaderInfo describes a reader.
type ReaderInfo struct {
	Size             uint64 // of the segment, bytes
	TotalEntriesRead uint64 // delivered by this reader
	TotalSkipped     uint64 // overwritten before this reader came to them
	NextSequence     uint64 // expected next; 0 before a chunk was found
	ChunkCount       uint32
}

// rounds is how often to follow a writer that overtakes us before the answer is "nothing now"; each one costs a look
// at all rows.
const rounds = 64

// errElsewhere says inside of this package: the reader stands elsewhere now, look again.
var errElsewhere error = shmwire.ErrLapped

// Open attaches to a log, read-only. shmwire.ErrNotFound, ErrTruncated, ErrNotReady, ErrBadMagic, ErrBadVersion,
// ErrBadGeometry, ErrPermission, ErrInvalidArgument.
func Open(name string, options ...OpenOption) (*Reader, error) {
	config := openConfig{}
	for _, option := range options {
		option(&config)
	}
	if err := config.start.check(); err != nil {
		return nil, err
	}
	mapping, count, err := attach(name, true, config.ready)
	if err != nil {
		return nil, err
	}
	r := &Reader{start: config.start, spin: config.spin}
	r.take(mapping, mapping.Window, count)
	_ = r.place() // now if it can be; otherwise the first call for an entry says why not
	return r, nil
}

// Close unmaps the log; it never removes or changes it. Views of the reader end with it. A second Close answers
// ErrClosed.
func (r *Reader) Close() error {
	if !r.closed.Set() {
		return shmwire.ErrClosed
	}
	return r.mapping.Close()
}

// Seek starts over with another strategy; counters go on.
func (r *Reader) Seek(start Start) error {
	if err := start.check(); err != nil {
		return err
	}
	if err := r.open(); err != nil {
		return err
	}
	r.start, r.placed, r.skipped = start, false, 0
	_ = r.place() // as in Open
	return nil
}

// Info describes the reader.
func (r *Reader) Info() ReaderInfo {
	info := ReaderInfo{
		Size: r.size, TotalEntriesRead: r.totalRead, TotalSkipped: r.totalSkipped, ChunkCount: r.chunkCount,
	}
	if r.placed {
		info.NextSequence = r.next
	}
	return info
}

// Next reads the next entry into new memory, or answers ErrEmpty at once. The errors of NextInto but ErrTooSmall.
func (r *Reader) Next() (Entry, error) {
	var entry Entry
	err := r.read(nil, &entry, true)
	return entry, err
}

// NextInto reads the next entry into buffer, or answers ErrEmpty at once. It allocates nothing. ErrTooSmall (a
// *shmwire.Error with the size in Needed) leaves the entry the next one; ErrCorrupt is for bytes that no writer leaves, and the
// reader stays where it is; ErrClosed.
func (r *Reader) NextInto(buffer []byte, entry *Entry) error { return r.read(buffer, entry, false) }

// NextBatch reads up to len(entries) entries that are there into buffer, one after the other, and answers how many.
// ErrEmpty; ErrTooSmall when not even the first fits; the other errors of NextInto. An error behind an entry that was
// read is the answer of the next call.
func (r *Reader) NextBatch(buffer []byte, entries []Entry) (int, error) {
	if len(entries) == 0 {
		return 0, shmwire.Errorf(shmwire.ErrInvalidArgument, "room for no entries")
	}
	used := 0
	for i := range entries {
		if err := r.read(buffer[used:], &entries[i], false); err != nil {
			if i > 0 {
				err = nil
			}
			return i, err
		}
		used += len(entries[i].Payload)
	}
	return len(entries), nil
}

// Wait reads the next entry into new memory, polling until there is one or ctx is done. The errors of WaitInto.
func (r *Reader) Wait(ctx context.Context) (Entry, error) {
	var entry Entry
	err := r.wait(ctx, nil, &entry, true)
	return entry, err
}

// WaitInto reads the next entry into buffer, polling until there is one or ctx is done [ouroboros.read.timeout]; the
// format has no word to sleep on, so it looks again after pauses of up to 1 ms. It looks at least once, and once more
// after the deadline: then ErrTimeout (and context.DeadlineExceeded). A cancelled context gives its error. Otherwise the
// errors of NextInto. It allocates nothing of its own.
func (r *Reader) WaitInto(ctx context.Context, buffer []byte, entry *Entry) error {
	return r.wait(ctx, buffer, entry, false)
}

func (r *Reader) wait(ctx context.Context, buffer []byte, entry *Entry, grow bool) error {
	return shm.Poll(ctx, r.spin, func() error { return r.read(buffer, entry, grow) })
}

// read is section 5 of the specification. grow: a buffer that is too small is replaced by a new one.
func (r *Reader) read(buffer []byte, entry *Entry, grow bool) error {
	if r.closed.IsSet() {
		return shmwire.ErrClosed
	}
	for round := 0; round < rounds; round++ {
		length, err := r.look()
		if err == nil {
			if grow && uint64(len(buffer)) < length {
				buffer = make([]byte, length)
			}
			fits := length <= uint64(len(buffer))
			if fits {
				copy(buffer, r.payload(length))
			}
			if r.stays() {
				if !fits {
					entry.Payload = nil
					return &shmwire.Error{Code: shmwire.ErrTooSmall, Needed: int(length)}
				}
				r.deliver(buffer[:length:length], entry)
				return nil
			}
			err = r.lapped()
		}
		if err != errElsewhere {
			return err
		}
	}
	return shmwire.ErrEmpty
}

// payload is that of the entry at the cursor, where it lies.
func (r *Reader) payload(length uint64) []byte {
	return r.window.Bytes(r.cursor+entryHeaderSize, length)
}

// stays is steps 7 and 8, after the payload was copied or pointed to: nothing of it had been overwritten
// [ouroboros.read.recheck].
func (r *Reader) stays() bool {
	shm.Fence() // F5: pairs with F4; our loads of the payload before the row
	return r.own.hold(r.token)
}

// entriesAhead is how far a reader that is behind reads ahead, if the entries to come are like the one at hand.
const entriesAhead = 4

// deliver is step 9. A reader that is behind reads ahead, or it never catches up: lines come from far away, and one at a
// time it would wait for each. One that is not leaves them alone: the writer is about to write there.
func (r *Reader) deliver(payload []byte, entry *Entry) {
	// Field by field: a whole Entry would be put together elsewhere, and copied while its words are under way.
	entry.Payload, entry.Sequence, entry.Skipped, entry.Token, entry.Chunk = payload, r.next, r.skipped, r.token, r.chunk
	next := after(r.cursor, uint64(len(payload))+entryHeaderSize)
	if r.behind {
		shm.PrefetchAhead(&r.window.Bytes(0, 1)[0], next+entriesAhead*(next-r.cursor))
	}
	r.cursor = next
	r.next++
	r.skipped = 0
	r.totalRead++
}

// View is an entry where it lies in the segment.
type View struct {
	Entry
	reader *Reader
}

// View shows the next entry without copying it, or answers ErrEmpty at once. What Payload shows is an entry only if
// Check answers nil after it was used; it must not be touched after the reader was closed. The errors of Next.
func (r *Reader) View() (View, error) {
	var view View
	err := r.ViewInto(&view)
	return view, err
}

// ViewInto is View for a caller to whom it matters that nothing is copied twice.
func (r *Reader) ViewInto(view *View) error {
	if r.closed.IsSet() {
		return shmwire.ErrClosed
	}
	view.reader = r
	for round := 0; round < rounds; round++ {
		length, err := r.look()
		if err == nil {
			if r.stays() {
				r.deliver(r.payload(length), &view.Entry)
				return nil
			}
			err = r.lapped()
		}
		if err != errElsewhere {
			return err
		}
	}
	return shmwire.ErrEmpty
}

// Check answers nil if all that was read from Payload so far was the entry, and ErrLapped if it may have been
// overwritten [ouroboros.read.view]; ErrClosed.
func (v *View) Check() error {
	if v.reader == nil || v.reader.closed.IsSet() {
		return shmwire.ErrClosed
	}
	shm.Fence() // F5: pairs with F4; the caller's use of the payload before the row
	if !v.reader.rowWords(v.Chunk).hold(v.Token) {
		return shmwire.ErrLapped
	}
	return nil
}
