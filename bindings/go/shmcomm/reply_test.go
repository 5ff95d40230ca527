// SPDX-License-Identifier: MIT

package shmcomm

import (
	"errors"
	"testing"
	"time"

	"shmwire"
)

// mustAsk sends a request and receives it at the replier.
func mustAsk(t testing.TB, r *Requester, s *Replier, data string) Message {
	t.Helper()
	_, err := r.Send([]byte(data), nil, 0)
	succeed(t, err)
	m, err := s.Receive(nil, 0)
	if err != nil || string(m.Payload) != data {
		t.Fatalf("%+v, %v", m, err)
	}
	return m
}

func mustGet(t testing.TB, r *Requester, request *Message, data string) {
	t.Helper()
	m, err := r.Receive(nil, 0)
	if err != nil || string(m.Payload) != data || m.CorrelationID != request.CorrelationID {
		t.Fatalf("%+v, %v", m, err)
	}
}

// Requests and replies, paired by number and correlation [shmcomm.request.number] [shmcomm.request.correlation]
// [shmcomm.reply.pair] [shmcomm.request.order].
func TestRequestReply(t *testing.T) {
	name := uniqueName(t)
	s := replier(t, name, small())
	first := requester(t, name, &Options{NoWait: true, Identity: Identity{CorrelationID: ^uint64(0)}})
	second := requester(t, name, small())
	_, err := first.Receive(nil, 0)
	expectCode(t, err, shmwire.ErrOutOfOrder)
	a, b := mustAsk(t, first, s, "a"), mustAsk(t, second, s, "b")
	if a.Sender != first.requests.number || a.CorrelationID != ^uint64(0) || b.CorrelationID == 0 {
		t.Errorf("%+v %+v", a, b)
	}
	if want, err := SegmentName(PatternReply, name, a.Sender); err != nil || first.ReplySegmentName() != want {
		t.Errorf("%q, expected %q", first.ReplySegmentName(), want)
	}
	_, err = first.Receive(nil, 0)
	expectCode(t, err, shmwire.ErrEmpty)
	succeed(t, s.Reply(&b, []byte("B"), &Meta{ContentType: 9}, 0)) // in any order
	succeed(t, s.Reply(&a, []byte("A"), nil, 0))
	mustGet(t, first, &a, "A")
	m, err := second.Receive(nil, 0)
	if err != nil || string(m.Payload) != "B" || m.ContentType != 9 || m.Sender != s.number {
		t.Errorf("%+v, %v", m, err)
	}
	_, err = first.Receive(nil, 0)
	expectCode(t, err, shmwire.ErrOutOfOrder)
	if next := mustAsk(t, first, s, "c"); next.CorrelationID != 1 { // 0 is passed over
		t.Errorf("correlation %d", next.CorrelationID)
	}
	info, err := s.Info()
	if err != nil || info.Sent != 2 || info.Received != 3 || !info.KeeperLives {
		t.Errorf("%+v, %v", info, err)
	}
	info, err = first.Info()
	if err != nil || info.Sent != 2 || info.Received != 1 || info.Endpoint != a.Sender {
		t.Errorf("%+v, %v", info, err)
	}
	reply := first.ReplySegmentName()
	succeed(t, first.Close())
	expectCode(t, first.Close(), shmwire.ErrClosed)
	_, err = first.Send(nil, nil, 0)
	expectCode(t, err, shmwire.ErrClosed)
	_, err = first.Receive(nil, 0)
	expectCode(t, err, shmwire.ErrClosed)
	mustBeGone(t, reply)
}

// A reply to a request that was given up is discarded, wherever it stands [shmcomm.request.late].
func TestLateReply(t *testing.T) {
	name := uniqueName(t)
	s, r := replier(t, name, small()), requester(t, name, small())
	early := mustAsk(t, r, s, "early")
	succeed(t, s.Reply(&early, []byte("before"), nil, 0))
	later := mustAsk(t, r, s, "later") // discards it
	succeed(t, s.Reply(&early, make([]byte, 1000), nil, 0))
	succeed(t, s.Reply(&later, []byte("right"), nil, 0))
	m, err := r.Receive(make([]byte, 5), 0) // no room for what is not wanted
	if err != nil || string(m.Payload) != "right" {
		t.Fatalf("%+v, %v", m, err)
	}
	info, err := r.Info()
	if err != nil || info.Discarded != 2 {
		t.Errorf("%+v, %v", info, err)
	}
}

// A requester that left, or whose channel was made anew by another one [shmcomm.reply.vanished] [shmcomm.reply.recreated].
func TestVanished(t *testing.T) {
	name := uniqueName(t)
	s := replier(t, name, small())
	o := &Options{NoWait: true, Identity: Identity{Endpoint: 77}}
	r, err := NewRequester(name, o)
	succeed(t, err)
	known, unknown := mustAsk(t, r, s, "known"), mustAsk(t, r, s, "unknown")
	succeed(t, s.Reply(&known, nil, nil, 0))
	succeed(t, r.Close())
	expectCode(t, s.Reply(&unknown, nil, nil, 0), shmwire.ErrClosed)
	again := requester(t, name, o)
	asked := mustAsk(t, again, s, "again")
	succeed(t, s.Reply(&asked, []byte("yes"), nil, 0))
	mustGet(t, again, &asked, "yes")
	for _, sender := range []uint32{0, 1 << 31, 12345} { // nobody
		expectCode(t, s.Reply(&Message{Sender: sender}, nil, nil, 0), shmwire.ErrClosed)
	}
	// Another channel under the name of a reply channel is none.
	foreign, err := SegmentName(PatternReply, name, 78)
	succeed(t, err)
	publisher(t, foreign, small())
	expectCode(t, s.Reply(&Message{Sender: 78}, nil, nil, 0), shmwire.ErrClosed)
	info, err := s.Info()
	if err != nil || info.Unanswered != 5 {
		t.Errorf("%+v, %v", info, err)
	}
}

// leaveDead makes an endpoint look as if its process had died: the kernel has dropped its locks, and nothing else was done.
func leaveDead(e *endpoint) {
	e.unmap()
	e.file.Close()
	e.members.Close()
}

// Reply channels of the dead are removed by whoever meets them [shmcomm.reply.sweep].
func TestSweep(t *testing.T) {
	name := uniqueName(t)
	s := replier(t, name, small())
	die := func() (*Requester, string) {
		r, err := NewRequester(name, small())
		succeed(t, err)
		return r, r.ReplySegmentName()
	}
	gone := func(r *Requester) { leaveDead(r.requests.endpoint); leaveDead(r.replies.endpoint) }
	// At a reply: known already, and old enough to ask.
	r, reply := die()
	request := mustAsk(t, r, s, "x")
	succeed(t, s.Reply(&request, nil, nil, 0))
	gone(r)
	time.Sleep(2 * time.Duration(LivenessAgeNS))
	expectCode(t, s.Reply(&request, nil, nil, 0), shmwire.ErrClosed)
	mustBeGone(t, reply)
	// At a reply: joined now.
	r, reply = die()
	request = mustAsk(t, r, s, "x")
	gone(r)
	expectCode(t, s.Reply(&request, nil, nil, 0), shmwire.ErrClosed)
	mustBeGone(t, reply)
	// By another replier that opens, and one that closes; the living are spared.
	living := requester(t, name, small())
	r, reply = die()
	gone(r)
	other := replier(t, name, small())
	mustBeGone(t, reply)
	r, reply = die()
	gone(r)
	succeed(t, other.Close())
	mustBeGone(t, reply)
	// After a slice that a replier slept.
	r, reply = die()
	gone(r)
	_, err := s.Receive(nil, 50*time.Millisecond)
	expectCode(t, err, shmwire.ErrTimeout)
	mustBeGone(t, reply)
	// By hand.
	r, reply = die()
	gone(r)
	report, err := Recover(name)
	if err != nil || report.Swept != 1 || report.LockTaken {
		t.Errorf("%+v, %v", report, err)
	}
	mustBeGone(t, reply)
	// By a requester that is to have the same number.
	o := &Options{NoWait: true, Identity: Identity{Endpoint: 1234}}
	r, err = NewRequester(name, o)
	succeed(t, err)
	gone(r)
	same := requester(t, name, o)
	request = mustAsk(t, same, s, "x")
	succeed(t, s.Reply(&request, []byte("y"), nil, 0))
	mustGet(t, same, &request, "y")
	_, err = NewRequester(name, o)
	expectCode(t, err, shmwire.ErrBusy)
	request = mustAsk(t, living, s, "z")
	succeed(t, s.Reply(&request, []byte("z"), nil, 0))
	mustGet(t, living, &request, "z")
}

// A reply ring that is full holds the replier up no longer than it allows.
func TestFullReplies(t *testing.T) {
	name := uniqueName(t)
	s, r := replier(t, name, small()), requester(t, name, small())
	request := mustAsk(t, r, s, "x")
	for i := 0; i < 2; i++ {
		succeed(t, s.Reply(&request, make([]byte, 2008), nil, 0))
	}
	expectCode(t, s.Reply(&request, nil, nil, 0), shmwire.ErrFull)
	expectCode(t, s.Reply(&request, nil, nil, 5*time.Millisecond), shmwire.ErrTimeout)
	expectCode(t, s.Reply(&request, make([]byte, 2009), nil, 0), shmwire.ErrTooLarge)
}

// Request is both halves; a service that nobody serves any more answers in time.
func TestRequest(t *testing.T) {
	name := uniqueName(t)
	s, r := replier(t, name, small()), requester(t, name, small())
	served := make(chan error, 1)
	go func() {
		m, err := s.Receive(nil, patience)
		if err == nil {
			err = s.Reply(&m, append(m.Payload, '!'), nil, patience)
		}
		served <- err
	}()
	m, err := r.Request([]byte("hello"), nil, patience)
	if err != nil || string(m.Payload) != "hello!" {
		t.Errorf("%+v, %v", m, err)
	}
	succeed(t, <-served)
	_, err = r.Request([]byte("hello"), nil, 5*time.Millisecond)
	expectCode(t, err, shmwire.ErrTimeout)
	succeed(t, s.Close())
	if _, err = r.Request(nil, nil, 0); !errors.Is(err, shmwire.ErrClosed) {
		t.Errorf("%v", err)
	}
}

// More requesters than a replier keeps channels of.
func TestManyRequesters(t *testing.T) {
	name := uniqueName(t)
	s := replier(t, name, small())
	var all []*Requester
	for i := 0; i < channelsMost+6; i++ {
		all = append(all, requester(t, name, small()))
	}
	for round := 0; round < 2; round++ {
		for _, r := range all {
			request := mustAsk(t, r, s, "q")
			succeed(t, s.Reply(&request, []byte("r"), nil, 0))
			mustGet(t, r, &request, "r")
		}
	}
	if len(s.channels) != channelsMost {
		t.Errorf("%d channels are kept", len(s.channels))
	}
}
