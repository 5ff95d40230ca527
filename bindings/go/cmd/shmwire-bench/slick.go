// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"math/bits"
	"strings"

	"shmwire"
	"shmwire/internal/shm"
	"shmwire/slick"
)

// Profile slick: rings of elements of the payload's size, one element an item. Peer slick-KIND: credit, credit-12 and
// credit-13 (in older generations), view; free and free-view, where the writer never waits and what a reader missed counts
// as skipped. Writer w's message i begins with the word w << 56 | i. Ping writes PATH, pong PATH.back.

const (
	ringSize   = 1024
	writerBits = 56 // of the word below the writer's number
)

func isRing(a *arguments) bool { return strings.HasPrefix(a.peer, "slick-") }

func ringSizeOf(a *arguments) uint32 {
	if a.room < uint64(a.size) {
		return ringSize
	}
	return 1 << (bits.Len64(a.room/uint64(a.size)) - 1)
}

func makeRings(a *arguments) {
	options := []slick.CreateOption{slick.WithSize(ringSizeOf(a))}
	switch {
	case strings.HasSuffix(a.peer, "-12"):
		options = append(options, slick.WithGeneration(slick.Generation12))
	case strings.HasSuffix(a.peer, "-13"):
		options = append(options, slick.WithGeneration(slick.Generation13))
	}
	for _, name := range []string{a.segment, a.back()} {
		queue, err := slick.Create(name, uint32(a.size), options...)
		fail(err)
		fail(queue.Close())
	}
	makeCredit(a)
}

func produceTo(name string) *slick.Producer {
	queue, err := slick.Open(name)
	fail(err)
	producer, err := queue.NewProducer()
	fail(err)
	return producer
}

func follow(name string) *slick.Reader {
	queue, err := slick.Open(name)
	fail(err)
	reader, err := queue.NewReader()
	fail(err)
	return reader
}

// runRing is an actor other than make.
func runRing(a *arguments) {
	switch a.role {
	case "write":
		writeRing(a, produceTo(a.segment))
	case "read":
		readRing(a, follow(a.segment))
	case "ping":
		exchangeRings(a, produceTo(a.segment), follow(a.back()))
	default:
		exchangeRings(a, produceTo(a.back()), follow(a.segment))
	}
}

func writeRing(a *arguments, producer *slick.Producer) {
	all, first := &allowance{}, uint64(a.party-a.readers)<<writerBits
	if !strings.Contains(a.peer, "free") {
		all = allowanceOf(a, mapCredit(a))
	}
	batch := make([][]byte, a.batch)
	for k := range batch {
		batch[k] = make([]byte, a.size)
	}
	began, err := a.wait()
	fail(err)
	if a.batch > 1 {
		writeItems(a, producer, all, first, batch)
	} else {
		writeItem(a, producer, all, first, batch[0])
	}
	a.report(monotonic()-began, 0, nil)
}

// Of several writers each knows its own last index, and is at most one call past the window.

func writeItem(a *arguments, producer *slick.Producer, all *allowance, first uint64, payload []byte) {
	end := uint64(0)
	for i := uint64(0); i < a.count; i++ {
		all.wait(a, end)
		fill(payload, first+i)
		index, err := producer.Write(payload)
		if err != nil {
			fail(err)
		}
		end = index + 1
	}
}

func writeItems(a *arguments, producer *slick.Producer, all *allowance, first uint64, batch [][]byte) {
	end, indices := uint64(0), make([]uint64, len(batch))
	for i := uint64(0); i < a.count; i += uint64(len(batch)) {
		if left := a.count - i; left < uint64(len(batch)) {
			batch = batch[:left]
		}
		all.wait(a, end+uint64(len(batch))-1)
		for k := range batch {
			fill(batch[k], first+i+uint64(k))
		}
		if _, err := producer.WriteBatch(batch, indices); err != nil {
			fail(err)
		}
		end = indices[len(batch)-1] + 1
	}
}

// taker is a reader and what it found.
type taker struct {
	*arguments
	reader   *slick.Reader
	next     []uint64 // of each writer, if there are several, the number of the message expected
	credit   shm.U64  // where it tells how far it is
	lossless bool
	at       uint64 // index behind the last item that it came to
	told     uint64 // the same as the writers know it
	messages uint64
	bad      uint64
}

func newTaker(a *arguments, reader *slick.Reader) *taker {
	t := &taker{arguments: a, reader: reader, lossless: !strings.Contains(a.peer, "free")}
	if a.writers() > 1 {
		t.next = make([]uint64, a.writers())
	}
	if t.lossless {
		t.credit = mapCredit(a).Atomic64(creditSize * uint64(a.party))
	}
	return t
}

// word is the first one that an item should have: of one writer its index.
func (t *taker) word(payload []byte, index uint64) uint64 {
	if t.next == nil {
		return index
	}
	return firstWord(payload, index)
}

// follows: of several writers each one's messages come in its order, and the order between them is free.
func (t *taker) follows(word uint64) bool {
	if t.next == nil {
		return true
	}
	w, i := word>>writerBits, word&(1<<writerBits-1)
	if w >= uint64(len(t.next)) || i < t.next[w] || t.lossless && i > t.next[w] {
		return false
	}
	t.next[w] = i + 1
	return true
}

func (t *taker) tally(item *slick.Item) {
	word := t.word(item.Data, item.Index)
	t.at = item.Index + 1
	t.messages++
	if len(item.Data) != t.size || !check(item.Data, word) || !t.follows(word) {
		t.bad++
	}
}

// readRing reads to the last message that all writers write.
func readRing(a *arguments, reader *slick.Reader) {
	t := newTaker(a, reader)
	take := t.copies()
	switch {
	case strings.HasSuffix(a.peer, "view"):
		take = t.views()
	case a.batch > 1:
		take = t.batches()
	}
	began, err := a.wait()
	fail(err)
	take()
	ns := monotonic() - began
	a.skipped = a.count - t.messages
	if t.lossless {
		t.bad += a.skipped
	}
	a.count = t.messages
	a.report(ns, t.bad, nil)
}

// goOn tells the writers how far it is, every eighth of the window and before waiting, so that the line is not fought for.
func (t *taker) goOn(err error) {
	if t.lossless && t.told != t.at && (err != nil || t.at-t.told >= inFlight/8) {
		t.credit.StoreRelease(t.at)
		t.told = t.at
	}
	if err != nil && !errors.Is(err, shmwire.ErrLapped) {
		failUnlessEmpty(err)
		t.standBack()
	}
}

func (t *taker) copies() func() {
	buffer := make([]byte, t.size)
	var item slick.Item
	return func() {
		for t.at < t.count {
			err := t.reader.NextInto(buffer, &item)
			if err == nil {
				t.tally(&item)
			}
			t.goOn(err)
		}
	}
}

func (t *taker) batches() func() {
	buffer, items := make([]byte, t.size*t.batch), make([]slick.Item, t.batch)
	return func() {
		for t.at < t.count {
			count, err := t.reader.NextBatch(buffer, items)
			for k := range items[:count] {
				t.tally(&items[k])
			}
			t.goOn(err)
		}
	}
}

// views looks at items where they lie; one that was overwritten meanwhile is not counted, which with credit is bad.
func (t *taker) views() func() {
	var view slick.View
	return func() {
		for t.at < t.count {
			err := t.reader.ViewInto(&view)
			if err == nil {
				t.look(&view)
			}
			t.goOn(err)
		}
	}
}

func (t *taker) look(view *slick.View) {
	word := t.word(view.Data, view.Index)
	good := len(view.Data) == t.size && check(view.Data, word)
	t.at = view.Index + 1
	if err := view.Check(); err != nil {
		if !errors.Is(err, shmwire.ErrLapped) {
			fail(err)
		}
		return
	}
	t.messages++
	if !good || !t.follows(word) {
		t.bad++
	}
}

func exchangeRings(a *arguments, out *slick.Producer, in *slick.Reader) {
	buffer := make([]byte, a.size)
	var item slick.Item
	began, err := a.wait()
	fail(err)
	bad, samples := roundTrips(a, func(payload []byte) error {
		_, err := out.Write(payload)
		return err
	}, func() ([]byte, error) {
		err := in.NextInto(buffer, &item)
		return item.Data, err
	})
	a.report(monotonic()-began, bad, samples)
}
