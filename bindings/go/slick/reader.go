// SPDX-License-Identifier: MIT

package slick

import (
	"context"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Reader follows a queue, for one goroutine at a time; open one for each, they cost a few words. It works on a queue that
// was opened read-only, and changes nothing in it [slick.segment.readonly].
type Reader struct {
	queue  *Queue
	shared *Cursor // nil: the cursor is the reader's own
	cursor uint64
	lost   uint64 // since the item delivered last
	spin   time.Duration
	items  uint64
	gone   uint64 // lost, and delivered with an item or left behind by Seek
	resets uint64
	closed bool
}

// Item is an item as delivered.
type Item struct {
	Data     []byte // in the caller's buffer; of a View, in the segment
	Index    uint64
	Lost     uint64 // indices that were overwritten between the item delivered before and this one
	Elements uint32
}

// ReaderInfo describes a reader.
type ReaderInfo struct {
	Cursor    uint64 // index of the next item; of a shared cursor, as it is now
	ItemsRead uint64 // delivered by this reader
	Lost      uint64 // indices that were overwritten before this reader came to them
	Resets    uint64 // of the queue, that this reader noticed
}

// NewReader begins to read: from the oldest item, unless the options say otherwise. ErrClosed.
func (q *Queue) NewReader(options ...ReaderOption) (*Reader, error) {
	if err := q.usable(false); err != nil {
		return nil, err
	}
	config := readerConfig{}
	for _, option := range options {
		option(&config)
	}
	r := &Reader{queue: q, shared: config.shared, spin: config.spin}
	if r.shared == nil {
		r.cursor = q.startIndex(config.start)
	} else if r.shared.closed.IsSet() {
		return nil, shmwire.ErrClosed
	}
	return r, nil
}

// Close ends the reader; queue and shared cursor stay open. A second Close answers ErrClosed.
func (r *Reader) Close() error {
	if r.closed {
		return shmwire.ErrClosed
	}
	r.closed = true
	return nil
}

func (r *Reader) usable() bool {
	return !r.closed && !r.queue.closed.IsSet() && (r.shared == nil || !r.shared.closed.IsSet())
}

// Info describes the reader.
func (r *Reader) Info() ReaderInfo {
	info := ReaderInfo{Cursor: r.cursor, ItemsRead: r.items, Lost: r.gone + r.lost, Resets: r.resets}
	if r.shared != nil && r.usable() {
		info.Cursor = r.shared.next.Load() // A4: pairs with R4
	}
	return info
}

// Seek goes elsewhere; counters go on, and nothing counts as lost. A shared cursor is stored to. ErrClosed.
func (r *Reader) Seek(start Start) error {
	if !r.usable() {
		return shmwire.ErrClosed
	}
	r.gone, r.lost = r.gone+r.lost, 0
	r.cursor = r.queue.startIndex(start)
	if r.shared != nil {
		r.shared.next.StoreRelease(r.cursor) // R4: pairs with A4
	}
	return nil
}

// how says where an item's bytes go.
type how int

const (
	intoBuffer how = iota
	intoNew        // a buffer that is too small is replaced by a new one
	inPlace        // they stay where they are
)

// Next reads the next item into new memory, or answers ErrEmpty at once. The answers of NextInto but ErrTooSmall.
func (r *Reader) Next() (Item, error) {
	var item Item
	err := r.read(nil, &item, intoNew)
	return item, err
}

// NextInto reads the next item into buffer, proved whole [slick.read.recheck], or answers ErrEmpty at once. It allocates
// nothing. ErrTooSmall (a *shmwire.Error with the size in Needed) leaves the item the next one; ErrLapped: overtaken again
// and again, ask again; ErrCorrupt: the reader stays; ErrClosed.
func (r *Reader) NextInto(buffer []byte, item *Item) error { return r.read(buffer, item, intoBuffer) }

// Wait reads the next item into new memory, polling until there is one or ctx is done. The answers of WaitInto.
func (r *Reader) Wait(ctx context.Context) (Item, error) {
	var item Item
	err := shm.Poll(ctx, r.spin, func() error { return r.read(nil, &item, intoNew) })
	return item, err
}

// WaitInto reads the next item into buffer, polling until there is one or ctx is done [slick.read.timeout]; the format has
// no word to sleep on, so it looks again after pauses of up to 1 ms. It looks at least once, and once more after the
// deadline: then ErrTimeout (and context.DeadlineExceeded). A cancelled context gives its error. Otherwise the answers of
// NextInto. It allocates nothing of its own.
func (r *Reader) WaitInto(ctx context.Context, buffer []byte, item *Item) error {
	return shm.Poll(ctx, r.spin, func() error { return r.read(buffer, item, intoBuffer) })
}

// View is an item where it lies in the segment.
type View struct {
	Item
	reader *Reader
}

// View shows the next item without copying it, or answers ErrEmpty at once. What Data shows is an item only if Check
// answers nil after it was used; it must not be touched after the queue was closed. By a shared cursor the item is taken
// before that is known. The answers of Next.
func (r *Reader) View() (View, error) {
	var view View
	err := r.ViewInto(&view)
	return view, err
}

// ViewInto is View for a caller to whom it matters that nothing is copied twice.
func (r *Reader) ViewInto(view *View) error {
	view.reader = r
	return r.read(nil, &view.Item, inPlace)
}

// Check answers nil if all that was read from Data so far was the item, and ErrLapped if it may have been overwritten
// [slick.read.view]; ErrClosed.
func (v *View) Check() error {
	if v.reader == nil || !v.reader.usable() {
		return shmwire.ErrClosed
	}
	if v.reader.queue.prove(v.Index, uint64(v.Elements)) != whole {
		return shmwire.ErrLapped
	}
	return nil
}

// read is section 5 of the specification, for one item.
func (r *Reader) read(buffer []byte, item *Item, to how) error {
	if !r.usable() {
		return shmwire.ErrClosed
	}
	q := r.queue
	var p place
	r.stand(&p)
	for {
		var data []byte
		n, v := q.look(&p)
		if v == whole {
			data = q.fetch(p.cursor, n, buffer, to)
			v = q.prove(p.cursor, n)
		}
		if v == whole {
			if data == nil {
				r.leave(&p)
				return r.tooSmall(item, n)
			}
			if r.take(&p, p.cursor+n, 1, p.lost) {
				// Field by field: a whole Item would be put together elsewhere, and copied while its words are under way.
				item.Data, item.Index, item.Lost, item.Elements = data, p.cursor, p.lost, uint32(n)
				return nil
			}
			r.stand(&p)
			continue
		}
		if err := r.turn(&p, v, n); err != nil {
			r.leave(&p)
			return err
		}
	}
}

// fetch is step 5: the bytes of an item of n elements, and nil when there is no room for them, or none in the ring for
// such an item.
func (q *Queue) fetch(index, n uint64, buffer []byte, to how) []byte {
	if !q.fits(index, n) {
		return nil
	}
	data := q.elements(index, n)
	switch {
	case to == inPlace:
		return data
	case len(buffer) < len(data) && to == intoBuffer:
		return nil
	case len(buffer) < len(data):
		buffer = make([]byte, len(data))
	}
	copy(buffer, data)
	return buffer[:len(data):len(data)]
}

func (r *Reader) tooSmall(item *Item, n uint64) error {
	item.Data = nil
	return &shmwire.Error{Code: shmwire.ErrTooSmall, Needed: int(n * r.queue.elementSize)}
}

// stand goes to where a look begins.
func (r *Reader) stand(p *place) {
	p.cursor, p.lost = r.cursor, r.lost
	if r.shared != nil {
		p.begun = r.shared.next.Load() // A4: pairs with R4; the reservations that the items before it rest on
		p.cursor = p.begun
	}
}

// leave ends a call that delivers nothing. A shared cursor moves only with an item.
func (r *Reader) leave(p *place) {
	if r.shared == nil {
		r.cursor, r.lost = p.cursor, p.lost
	}
}

// take goes on behind items that were copied and proved whole [slick.share.whole]; false when another consumer of a shared
// cursor was faster [slick.share.once]. What was lost is counted by who took the items behind it [slick.share.lost].
func (r *Reader) take(p *place, behind, items, lost uint64) bool {
	if r.shared == nil {
		r.cursor, r.lost = behind, 0
	} else if !r.shared.next.CompareAndSwap(p.begun, behind) { // R4: pairs with A4; our look at the reservation before
		return false
	}
	r.items += items
	r.gone += lost
	return true
}

// restart goes on at index 0, because the queue was reset [slick.read.reset]; from where another consumer put a shared
// cursor, if one was faster.
func (r *Reader) restart(p *place) {
	if r.shared != nil && !r.shared.next.CompareAndSwap(p.begun, 0) { // R4: pairs with A4
		r.stand(p)
		return
	}
	p.cursor, p.begun, p.reset = 0, 0, true
	r.resets++
}

// Last reads the published item with the highest index into new memory; the cursor stays. The answers of LastInto but
// ErrTooSmall.
func (r *Reader) Last() (Item, error) {
	var item Item
	err := r.last(nil, &item, intoNew)
	return item, err
}

// LastInto reads the published item with the highest index into buffer, proved whole; the cursor stays [slick.read.last].
// ErrEmpty when none in the ring is published, ErrTooSmall, ErrLapped, ErrCorrupt, ErrClosed.
func (r *Reader) LastInto(buffer []byte, item *Item) error { return r.last(buffer, item, intoBuffer) }

func (r *Reader) last(buffer []byte, item *Item, to how) error {
	if !r.usable() {
		return shmwire.ErrClosed
	}
	q := r.queue
	for try := uint32(0); try < readTries; try++ {
		index, found := q.lastIndex()
		if !found {
			return shmwire.ErrEmpty
		}
		_, size := q.slot(index)
		n := uint64(size.Load())
		data := q.fetch(index, n, buffer, to)
		switch v := q.prove(index, n); {
		case v == corrupt:
			return badItem(index, n)
		case v == whole && data == nil:
			return r.tooSmall(item, n)
		case v == whole:
			item.Data, item.Index, item.Lost, item.Elements = data, index, 0, uint32(n)
			return nil
		}
	}
	return shmwire.ErrLapped
}
