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

func writeItem(a *arguments, producer *slick.Producer, all *allowance, first uint64, payload []byte) {
	for i := uint64(0); i < a.count; i++ {
		all.wait(a, i)
		fill(payload, first+i)
		if _, err := producer.Write(payload); err != nil {
			fail(err)
		}
	}
}

func writeItems(a *arguments, producer *slick.Producer, all *allowance, first uint64, batch [][]byte) {
	for i := uint64(0); i < a.count; i += uint64(len(batch)) {
		if left := a.count - i; left < uint64(len(batch)) {
			batch = batch[:left]
		}
		all.wait(a, i+uint64(len(batch))-1)
		for k := range batch {
			fill(batch[k], first+i+uint64(k))
		}
		if _, err := producer.WriteBatch(batch, nil); err != nil {
			fail(err)
		}
	}
}

// taker is a reader and what it found.
type taker struct {
	*arguments
	reader   *slick.Reader
	next     []uint64  // of each writer, the number of the message expected
	credit   []shm.U64 // where it tells that; nil without credit
	at       uint64    // index behind the last item that it came to
	told     uint64    // the same when it told
	messages uint64
	bad      uint64
}

func newTaker(a *arguments, reader *slick.Reader) *taker {
	t := &taker{arguments: a, reader: reader, next: make([]uint64, a.writers())}
	if strings.Contains(a.peer, "free") {
		return t
	}
	mapping := mapCredit(a)
	for w := range t.next {
		t.credit = append(t.credit, mapping.Atomic64(creditSize*uint64(a.party)+wordSize*uint64(w)))
	}
	return t
}

// expects says whether the message with this word may come now.
func (t *taker) expects(word uint64) bool {
	w, i := word>>writerBits, word&(1<<writerBits-1)
	if w >= uint64(len(t.next)) || i < t.next[w] || t.credit != nil && i > t.next[w] {
		return false
	}
	t.next[w] = i + 1
	return true
}

func (t *taker) tally(payload []byte) {
	word := firstWord(payload, 0)
	t.messages++
	if len(payload) != t.size || !check(payload, word) || !t.expects(word) {
		t.bad++
	}
}

// tell is for every eighth of the window, and before waiting, so that the line is not fought for.
func (t *taker) tell() {
	for w, word := range t.credit {
		word.StoreRelease(t.next[w])
	}
	t.told = t.at
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
	if t.credit != nil {
		t.bad += a.skipped
	}
	a.count = t.messages
	a.report(ns, t.bad, nil)
}

// goOn tells the writers, if it is time, after a look that came to the items before at, or to none.
func (t *taker) goOn(err error) {
	switch {
	case err == nil && t.at-t.told >= inFlight/8:
		t.tell()
	case err != nil && !errors.Is(err, shmwire.ErrLapped):
		failUnlessEmpty(err)
		t.tell()
		t.relax()
	}
}

func (t *taker) copies() func() {
	buffer := make([]byte, t.size)
	var item slick.Item
	return func() {
		for t.at < t.count {
			err := t.reader.NextInto(buffer, &item)
			if err == nil {
				t.at = item.Index + 1
				t.tally(item.Data)
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
				t.at = items[k].Index + 1
				t.tally(items[k].Data)
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
				t.at = view.Index + 1
				t.look(&view)
			}
			t.goOn(err)
		}
	}
}

// look keeps what is expected next in case that what it sees is torn.
func (t *taker) look(view *slick.View) {
	word := firstWord(view.Data, 0)
	good := len(view.Data) == t.size && check(view.Data, word)
	if err := view.Check(); err != nil {
		if !errors.Is(err, shmwire.ErrLapped) {
			fail(err)
		}
		return
	}
	t.messages++
	if !good || !t.expects(word) {
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
