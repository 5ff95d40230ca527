// SPDX-License-Identifier: MIT

package slick

import (
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Producer writes items to a queue, for one goroutine at a time; open one for each, they cost a few words. A producer
// that never meets another one makes two locked operations an item in generation 1.4, and one before.
type Producer struct {
	queue    *Queue
	known    uint64 // every index below is settled: published, passed or given up
	claimed  uint64 // index of the open claim; noIndex when there is none
	elements uint64 // of it
	stall    time.Duration
	written  uint64
	givenUp  uint64
	closed   bool
}

// ProducerInfo describes a producer.
type ProducerInfo struct {
	ItemsWritten uint64 // published by this producer
	GivenUp      uint64 // reservations of others that this producer waited for in vain
}

// Claim is a reservation: Data is to be filled, and then published or abandoned, on the goroutine of its producer.
type Claim struct {
	Data     []byte // in the segment, aligned only as element size and ring size make it
	Index    uint64
	Elements uint32
	producer *Producer
}

// NewProducer begins to produce. ErrPermission for a queue opened read-only; ErrClosed.
func (q *Queue) NewProducer(options ...ProducerOption) (*Producer, error) {
	if err := q.usable(true); err != nil {
		return nil, err
	}
	p := &Producer{queue: q, claimed: noIndex, stall: time.Duration(DefaultStallNS)}
	for _, option := range options {
		option(p)
	}
	return p, nil
}

// Close abandons an open claim, unless it has the whole ring. The queue stays open. A second Close answers ErrClosed.
func (p *Producer) Close() error {
	if p.closed {
		return shmwire.ErrClosed
	}
	if p.claimed != noIndex && !p.queue.closed.IsSet() {
		_ = p.abandon() // given up by somebody else already, or the whole ring: nothing more can be done
	}
	p.closed = true
	return nil
}

// Info describes the producer.
func (p *Producer) Info() ProducerInfo { return ProducerInfo{p.written, p.givenUp} }

// Reserve takes elements that lie side by side. It never waits for readers; it waits, up to the stall time, while another
// producer has an item unpublished that lies one lap before [slick.reserve.settled]. ErrInvalidArgument (below 1),
// ErrTooLarge (more than the ring, or MaxElements), ErrBusy (a claim of this producer is open), ErrClosed (the indices
// are used up, or the producer was closed), ErrCorrupt.
func (p *Producer) Reserve(elements int) (Claim, error) {
	if elements < 1 { // [slick.reserve.argument]
		return Claim{}, shmwire.Errorf(shmwire.ErrInvalidArgument, "%d elements", elements)
	}
	n := uint64(elements)
	if err := p.check(n); err != nil {
		return Claim{}, err
	}
	x, _, err := p.reserve(n, 1)
	if err != nil {
		return Claim{}, err
	}
	p.claimed, p.elements = x, n
	return Claim{Data: p.queue.elements(x, n), Index: x, Elements: uint32(n), producer: p}, nil
}

// Publish publishes what was reserved and filled. ErrLapped when somebody gave the item up meanwhile: it is not published.
// ErrOutOfOrder when this is not its producer's open claim; ErrClosed.
func (c *Claim) Publish() error {
	p, err := c.owner()
	if err != nil {
		return err
	}
	x, n := p.claimed, p.elements
	p.claimed = noIndex
	if err := p.publish(x, n); err != nil {
		return err
	}
	p.queue.raiseLast(x)
	return nil
}

// Abandon gives the reservation up: readers pass it. The answers of Publish, and ErrUnsupported (the claim stays) for one
// of the whole ring [slick.publish.abandon].
func (c *Claim) Abandon() error {
	p, err := c.owner()
	if err != nil {
		return err
	}
	return p.abandon()
}

func (c *Claim) owner() (*Producer, error) {
	p := c.producer
	switch {
	case p == nil:
		return nil, shmwire.Errorf(shmwire.ErrOutOfOrder, "no claim")
	case p.closed || p.queue.closed.IsSet():
		return nil, shmwire.ErrClosed
	case p.claimed != c.Index || p.elements != uint64(c.Elements):
		return nil, shmwire.Errorf(shmwire.ErrOutOfOrder, "the claim of %d is not open", c.Index)
	}
	return p, nil
}

func (p *Producer) abandon() error {
	x, n := p.claimed, p.elements
	if n == p.queue.size {
		return shmwire.Errorf(shmwire.ErrUnsupported, "a claim of the whole ring cannot be marked")
	}
	p.claimed = noIndex
	return p.conclude(x, n, x+n)
}

// Write reserves, copies and publishes one item, whose length is a multiple of the element size (ErrInvalidArgument
// [slick.reserve.length]), and answers its index. The other answers of Reserve and Publish. It allocates nothing.
func (p *Producer) Write(data []byte) (uint64, error) {
	n := uint64(1)
	if uint64(len(data)) != p.queue.elementSize || !p.ready() {
		var err error
		if n, err = p.admit(data); err != nil {
			return 0, err
		}
	}
	x, _, err := p.reserve(n, 1)
	if err != nil {
		return 0, err
	}
	copy(p.queue.elements(x, n), data)
	if err := p.publish(x, n); err != nil {
		return x, err
	}
	p.queue.raiseLast(x)
	return x, nil
}

// admit answers how many elements data are, or why they cannot be reserved now.
func (p *Producer) admit(data []byte) (uint64, error) {
	length, size := uint64(len(data)), p.queue.elementSize
	if length == 0 || length%size != 0 {
		return 0, shmwire.Errorf(shmwire.ErrInvalidArgument, "%d bytes, elements have %d", length, size)
	}
	return length / size, p.check(length / size)
}

// ready says whether one element can be reserved.
func (p *Producer) ready() bool { return !p.closed && !p.queue.closed.IsSet() && p.claimed == noIndex }

// check answers why n elements cannot be reserved now.
func (p *Producer) check(n uint64) error {
	switch {
	case p.closed || p.queue.closed.IsSet():
		return shmwire.ErrClosed
	case n > p.queue.size || n > uint64(MaxElements): // [slick.reserve.argument]
		return shmwire.Errorf(shmwire.ErrTooLarge, "%d elements", n)
	case p.claimed != noIndex: // [slick.reserve.one-claim]
		return shmwire.Errorf(shmwire.ErrBusy, "the claim of %d is open", p.claimed)
	}
	return nil
}

// WriteBatch writes the items in their order, by few reservations where neighbours are of one length, and answers how many
// were published; indices, if it is not nil, has room for all and gets the index of each. The errors of Write: none is
// written when the length of one is wrong, and the ones before are when the error comes later.
func (p *Producer) WriteBatch(items [][]byte, indices []uint64) (written int, err error) {
	if len(items) == 0 || indices != nil && len(indices) < len(items) {
		return 0, shmwire.Errorf(shmwire.ErrInvalidArgument, "%d items, room for %d indices", len(items), len(indices))
	}
	for _, data := range items {
		if _, err := p.admit(data); err != nil {
			return 0, err
		}
	}
	for written < len(items) && err == nil {
		var more int
		if indices != nil {
			more, err = p.writeSome(items[written:], indices[written:])
		} else {
			more, err = p.writeSome(items[written:], nil)
		}
		written += more
	}
	return written, err
}

// writeSome writes items by one reservation: the first ones that are of one length and fit before the end of the ring.
func (p *Producer) writeSome(items [][]byte, indices []uint64) (int, error) {
	q, length, alike := p.queue, len(items[0]), uint64(1)
	n := uint64(length) / q.elementSize
	for alike < q.size/n && alike < uint64(len(items)) && len(items[alike]) == length {
		alike++
	}
	x, taken, err := p.reserve(n, alike)
	if err != nil {
		return 0, err
	}
	done := 0
	for ; done < int(taken); done++ {
		index := x + uint64(done)*n
		copy(q.elements(index, n), items[done])
		if err = p.publish(index, n); err != nil {
			p.passOver(index+n, x+taken*n)
			break
		}
		if indices != nil {
			indices[done] = index
		}
	}
	if done > 0 { // once for them all: the last of them is the highest
		q.raiseLast(x + uint64(done-1)*n)
	}
	return done, err
}

// reserve is steps 2 to 6 of section 4, for one or more of up to most items of n elements each, which fit into the ring: it
// answers where the first one begins, and how many there are.
func (p *Producer) reserve(n, most uint64) (x, taken uint64, err error) {
	q := p.queue
	reserved := q.reserved
	var stall patience
	for {
		word := reserved.Load() // A6: pairs with R6; settled as who reserved before left it
		i := word >> reservedSizeBits
		taken = q.fit(i, n, most)
		end := i + n*taken
		last := end
		if taken == 0 { // the rest of the ring is padding
			end = i + q.room(i)
			last = end + n
		}
		if last >= indexLimit {
			return 0, 0, shmwire.ErrClosed // [slick.reserve.exhausted]
		}
		if i < p.known {
			p.known = 0 // the queue was reset
		}
		if p.known != i { // somebody else was here [slick.reserve.alone]
			ready, err := p.settle(word, end, &stall)
			if err != nil {
				return 0, 0, err
			}
			if !ready {
				continue
			}
		}
		q.prefetch(i+itemsAhead*n, n)
		// R6: pairs with A6; what we found settled, and told, before the reservation [slick.reserve.packed]
		if !reserved.CompareAndSwap(word, end<<reservedSizeBits|(end-i)) {
			continue
		}
		shm.Fence() // F5: pairs with F5; the reservation before anything in the elements and slots that it covers
		if taken != 0 {
			return i, taken, nil
		}
		p.passEnd(i, end, n)
	}
}

// itemsAhead is how far ahead of its item a producer has lines fetched, since each reservation waits for the stores before it.
// Measured: to ask for those of the item itself as well costs more than it brings.
const itemsAhead = 4

// prefetch has the first lines of an item fetched: before a reservation, whose line is fetched meanwhile. A hint, whoever
// reserves the item.
func (q *Queue) prefetch(index, n uint64) {
	if room := q.room(index); n > room {
		n = room
	}
	shm.PrefetchLinesToWrite(q.slotBytes(index))
	shm.PrefetchLinesToWrite(q.elements(index, n))
}

// fit is how many of up to most items of n elements fit from i on before the end of the ring [slick.reserve.wrap].
func (q *Queue) fit(i, n, most uint64) uint64 {
	room := q.room(i)
	if room < n {
		return 0
	}
	if most == 1 {
		return 1
	}
	if room > uint64(MaxElements) {
		room = uint64(MaxElements)
	}
	if room /= n; room < most {
		return room
	}
	return most
}

// passEnd leaves the mark of padding that begins at i, because of an item of n elements. Who gave it up in our place has
// led readers on already.
func (p *Producer) passEnd(i, end, n uint64) {
	q := p.queue
	word, size := q.slot(i)
	if d := word.Load(); d <= i || d > q.next() { // A2: pairs with R2
		size.StoreRelaxed(uint32(n)) // [slick.reserve.mark]
		word.StoreRelease(end)       // R2: pairs with A2; that we are done with the padding
	}
	if p.known == i {
		p.known = end
	}
}

// publish is steps 7 and 8, for an item whose elements are filled.
func (p *Producer) publish(x, n uint64) error {
	if err := p.conclude(x, n, x); err != nil {
		return err
	}
	p.written++
	return nil
}

// conclude is steps 7 and 8: it stores to the slot of x, and to no other [slick.publish.first-slot], where readers go on.
func (p *Producer) conclude(x, n, index uint64) error {
	q := p.queue
	word, size := q.slot(x)
	if d := word.Load(); d > x && d <= q.next() { // A2: pairs with R2; its mark, who gave our item up
		return shmwire.ErrLapped // [slick.publish.given-up]
	}
	size.StoreRelaxed(uint32(n))
	word.StoreRelease(index) // R2: pairs with A2; elements and size before it [slick.publish.order]
	if p.known == x {
		p.known = x + n
	}
	return nil
}

// raiseLast is step 9 [slick.publish.last].
func (q *Queue) raiseLast(x uint64) {
	if q.generation != Generation14 {
		return
	}
	word := q.lastPublished
	for {
		last := word.Load() // A3: pairs with R3
		if last != noIndex && last >= x {
			return
		}
		if word.CompareAndSwap(last, x) { // R3: pairs with A3; the item before its index
			return
		}
	}
}

// passOver abandons what is left of a batch behind an item that somebody gave up: nobody would publish it.
func (p *Producer) passOver(begin, end uint64) {
	if begin < end {
		_ = p.conclude(begin, end-begin, end) // given up as well: nothing more can be done
	}
}
