// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"strings"
	"time"

	"shmwire"
	"shmwire/internal/shm"
	"shmwire/shmcomm"
)

// Profile shmcomm. Peers are words behind "shmcomm-", joined by dashes: pub (a sole publisher and subscribers, with credit),
// push (a pipeline), req (round trips by request and reply); lock (no sole writer), view, free (publishers never wait; what a
// subscriber missed counts as skipped), sleep (receivers sleep, all others spin). Ping writes PATH, pong PATH.back; a channel
// lives as long as its keeper, so whoever writes makes it.

const (
	headroom     = 64 // bytes of a frame beside its payload, at most
	mostRing     = 1 << 26
	stamped      = 16 // messages that go out with one reading of the clock: the references have no clock
	standBackNs  = 2000
	channelReady = 10 * time.Second
	receiveWait  = time.Second
)

func isChannel(a *arguments) bool { return strings.HasPrefix(a.peer, "shmcomm-") }

// does says whether a word stands in the peer's name.
func (a *arguments) does(word string) bool { return strings.Contains(a.peer, word) }

// channelPlan is a ring for twice what is in flight, so that the publisher evicts nothing that a subscriber has yet to read.
type channelPlan struct {
	*arguments
	capacity, window, share uint64 // share: of the window, of each writer
	push, free              bool
	timeout                 time.Duration // of one receive
	meta                    shmcomm.Meta
}

func planChannel(a *arguments) *channelPlan {
	p := &channelPlan{arguments: a, capacity: 2 * shmcomm.MinCapacity, push: a.does("push"), free: a.does("free")}
	frame, wanted := uint64(a.size)+headroom, 2*inFlight*(uint64(a.size)+headroom)
	if a.room > 0 {
		p.capacity, wanted = shmcomm.MinCapacity, a.room
	}
	for p.capacity < wanted && (p.capacity < mostRing || p.capacity < 4*frame) {
		p.capacity *= 2
	}
	if p.window = p.capacity / 2 / frame; p.window > inFlight {
		p.window = inFlight
	}
	if p.share = p.window; p.writers() > 1 {
		p.share /= uint64(p.writers())
	}
	if a.does("sleep") {
		p.timeout = receiveWait
	}
	return p
}

// stamp is what goes with message i: a time that is read once for 16.
func (p *channelPlan) stamp(i uint64) *shmcomm.Meta {
	if i%stamped == 0 {
		p.meta.TimestampNS = uint64(time.Now().UnixNano())
	}
	return &p.meta
}

func (p *channelPlan) options() *shmcomm.Options {
	return &shmcomm.Options{Capacity: p.capacity, ReadyTimeout: channelReady}
}

// channelWriter is a publisher or a pusher.
type channelWriter interface {
	Send(data []byte, meta *shmcomm.Meta, timeout time.Duration) (uint64, error)
	SendBatch(items [][]byte, meta *shmcomm.Meta, timeout time.Duration) (int, error)
	Close() error
}

// channelReader is a subscriber or a puller.
type channelReader interface {
	ReceiveInto(buffer []byte, timeout time.Duration, m *shmcomm.Message) error
	ReceiveBatch(buffer []byte, messages []shmcomm.Message, timeout time.Duration) (int, error)
	Close() error
}

func (p *channelPlan) writer(path string) (w channelWriter) {
	options := p.options()
	options.Sole = !p.does("lock") && p.writers() == 1
	var err error
	if p.does("push") {
		w, err = shmcomm.NewPusher(path, options)
	} else {
		w, err = shmcomm.NewPublisher(path, options)
	}
	fail(err)
	return w
}

func (p *channelPlan) reader(path string) (r channelReader) {
	var err error
	if p.does("push") {
		r, err = shmcomm.NewPuller(path, p.options())
	} else {
		r, err = shmcomm.NewSubscriber(path, p.options())
	}
	fail(err)
	return r
}

// runChannel is an actor other than make.
func runChannel(a *arguments) {
	p := planChannel(a)
	switch {
	case p.does("req") && p.role == "ping":
		p.ask()
	case p.does("req"):
		p.serve()
	case p.role == "write":
		p.writeChannel(p.writer(p.segment))
	case p.role == "read":
		p.readChannel(p.reader(p.segment))
	case p.role == "ping":
		out := p.writer(p.segment)
		p.exchangeChannels(out, p.reader(p.back()))
	default:
		out := p.writer(p.back())
		p.exchangeChannels(out, p.reader(p.segment))
	}
}

func (p *channelPlan) hasCredit() bool { return !p.does("push") && !p.does("free") && !p.does("req") }

func (p *channelPlan) writeChannel(out channelWriter) {
	all, first := &allowance{}, uint64(p.party-p.readers)<<writerBits
	if p.hasCredit() {
		all = allowanceOf(p.arguments, mapCredit(p.arguments))
	}
	batch := make([][]byte, p.batch)
	for k := range batch {
		batch[k] = make([]byte, p.size)
	}
	began, err := p.wait()
	fail(err)
	for i := uint64(0); i < p.count; i += uint64(p.batch) {
		// Of several publishers each knows only its own count.
		all.waitWithin(p.arguments, i+uint64(p.batch)-1, p.share)
		for k := range batch {
			fill(batch[k], first|(i+uint64(k)))
		}
		if p.batch == 1 {
			_, err = out.Send(batch[0], p.stamp(i), shmcomm.Forever)
		} else {
			_, err = out.SendBatch(batch, nil, shmcomm.Forever)
		}
		if err != nil {
			fail(err)
		}
	}
	p.report(monotonic()-began, 0, nil)
	fail(out.Close())
}

// listener is a receiver and what it found.
type listener struct {
	*channelPlan
	next     []uint64 // of each writer, the number of the message expected
	credit   *shm.U64 // where it tells how far it is
	end      uint64   // the sequence behind the last message
	told     uint64   // the same as the writers know it
	messages uint64
	bad      uint64
}

// hear judges a message. Each writer's come in its order; all of them, unless they may be lost or go to others.
func (l *listener) hear(m *shmcomm.Message) {
	l.end = m.Sequence + 1
	l.messages++
	word := firstWord(m.Payload, uint64(l.size))
	good := len(m.Payload) == l.size && check(m.Payload, word)
	if good && l.size >= wordSize {
		w, i := word>>writerBits, word&(1<<writerBits-1)
		if good = w < uint64(len(l.next)) && i >= l.next[w]; good {
			good = i == l.next[w] || l.free || l.push && l.readers > 1
			l.next[w] = i + 1
		}
	}
	if !good {
		l.bad++
	}
}

// tell says how far it is, every eighth of the window and before waiting, so that the line is not fought for.
func (l *listener) tell(waits bool) {
	if l.credit != nil && l.told != l.end && (waits || l.end-l.told > l.window/8) {
		l.credit.StoreRelease(l.end / uint64(l.writers())) // in units of one writer's messages: the slowest one's
		l.told = l.end
	}
}

func (l *listener) done() bool {
	if l.push {
		return l.messages >= l.count
	}
	return l.end >= l.count
}

// readChannel reads to the last message that all writers write.
func (p *channelPlan) readChannel(in channelReader) {
	l := &listener{channelPlan: p, next: make([]uint64, p.writers())}
	if p.hasCredit() {
		word := mapCredit(p.arguments).Atomic64(creditSize * uint64(p.party))
		l.credit = &word
	}
	take := l.copies(in)
	if p.does("view") {
		take = l.views(in.(*shmcomm.Subscriber))
	} else if p.batch > 1 {
		take = l.batches(in)
	}
	began, err := p.wait()
	fail(err)
	for !l.done() {
		err := take()
		l.tell(err != nil)
		switch {
		case err == nil, errors.Is(err, shmwire.ErrLapped), errors.Is(err, shmwire.ErrTimeout):
		default:
			failUnlessEmpty(err)
			p.standBack()
		}
	}
	ns := monotonic() - began
	p.skipped = p.count - l.messages
	if !p.does("free") {
		l.bad += p.skipped
	}
	p.count = l.messages
	p.report(ns, l.bad, nil)
	fail(in.Close())
}

// standBack lets the writers get ahead: each look takes from them the line that they store head to. By the clock, since a pause is
// 4 ns on one processor and 50 ns on another.
func (p *channelPlan) standBack() {
	if p.crowded {
		p.relax()
		return
	}
	for until := monotonic() + standBackNs; monotonic() < until; {
		shm.Pause()
	}
}

func (l *listener) copies(in channelReader) func() error {
	buffer := make([]byte, l.size)
	var m shmcomm.Message
	return func() error {
		err := in.ReceiveInto(buffer, l.timeout, &m)
		if err == nil {
			l.hear(&m)
		}
		return err
	}
}

func (l *listener) batches(in channelReader) func() error {
	buffer, messages := make([]byte, l.batch*(l.size+headroom)), make([]shmcomm.Message, l.batch)
	return func() error {
		n, err := in.ReceiveBatch(buffer, messages, l.timeout)
		for k := range messages[:n] {
			l.hear(&messages[k])
		}
		return err
	}
}

// views looks at messages where they lie; one that was overwritten meanwhile is not counted, which with credit is bad.
func (l *listener) views(in *shmcomm.Subscriber) func() error {
	return func() error {
		view, err := in.View(l.timeout)
		if err != nil {
			return err
		}
		before := *l
		next := l.next[0]
		l.hear(&view.Message)
		if err := view.Check(); err != nil {
			end := l.end
			*l, l.next[0] = before, next
			l.end = end
			return err
		}
		return nil
	}
}

// patiently receives, asleep or awake as the peer says, what must come.
func (p *channelPlan) patiently(receive func() error) error {
	for {
		err := receive()
		if !errors.Is(err, shmwire.ErrTimeout) {
			return err
		}
	}
}

func (p *channelPlan) exchangeChannels(out channelWriter, in channelReader) {
	buffer := make([]byte, p.size)
	var m shmcomm.Message
	began, err := p.wait()
	fail(err)
	sent := uint64(0)
	bad, samples := roundTrips(p.arguments, func(payload []byte) error {
		_, err := out.Send(payload, p.stamp(sent), shmcomm.Forever)
		sent++
		return err
	}, func() ([]byte, error) {
		err := in.ReceiveInto(buffer, p.timeout, &m)
		if errors.Is(err, shmwire.ErrTimeout) {
			err = shmwire.ErrEmpty
		}
		return m.Payload, err
	})
	p.report(monotonic()-began, bad, samples)
	fail(out.Close())
	fail(in.Close())
}

// ask is the ping of round trips by request and reply.
func (p *channelPlan) ask() {
	requester, err := shmcomm.NewRequester(p.segment, p.options())
	fail(err)
	buffer := make([]byte, p.size)
	var m shmcomm.Message
	began, err := p.wait()
	fail(err)
	sent := uint64(0)
	bad, samples := roundTrips(p.arguments, func(payload []byte) error {
		_, err := requester.Send(payload, p.stamp(sent), shmcomm.Forever)
		sent++
		return err
	}, func() ([]byte, error) {
		err := p.patiently(func() error { return requester.ReceiveInto(buffer, p.timeout, &m) })
		return m.Payload, err
	})
	p.report(monotonic()-began, bad, samples)
	fail(requester.Close())
}

// serve is its pong.
func (p *channelPlan) serve() {
	replier, err := shmcomm.NewReplier(p.segment, p.options())
	fail(err)
	buffer := make([]byte, p.size)
	var m shmcomm.Message
	began, err := p.wait()
	fail(err)
	sent := uint64(0)
	bad, samples := roundTrips(p.arguments, func(payload []byte) error {
		sent++
		return replier.Reply(&m, payload, p.stamp(sent), shmcomm.Forever)
	}, func() ([]byte, error) {
		err := p.patiently(func() error { return replier.ReceiveInto(buffer, p.timeout, &m) })
		return m.Payload, err
	})
	p.report(monotonic()-began, bad, samples)
	fail(replier.Close())
}
