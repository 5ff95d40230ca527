// SPDX-License-Identifier: MIT

package shmcomm

import (
	"context"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Requester sends requests to a service, one at a time, and receives their replies (section 9).
type Requester struct {
	requests writer
	replies  taker
	pending  uint64 // correlation of the request that waits for its reply; 0: none
	upcoming uint64 // correlation of the next one
}

// NewRequester joins a service that is there, or comes within the waiting time, and makes a reply channel of its own. The
// errors of NewPublisher.
func NewRequester(service string, options *Options) (*Requester, error) {
	o, err := options.withDefaults(false)
	if err != nil {
		return nil, err
	}
	locator, err := SegmentName(PatternRequest, service, 0)
	if err != nil {
		return nil, err
	}
	d, err := o.door(locator, PatternRequest, 0)
	if err != nil {
		return nil, err
	}
	r := &Requester{upcoming: o.Identity.CorrelationID}
	for r.upcoming == 0 { // [shmcomm.request.correlation]
		r.upcoming = random64()
	}
	for try := 0; ; try++ {
		if r.requests.endpoint, err = d.join(); err != nil {
			return nil, err
		}
		replies, err := o.makeReplies(service, r.requests.number)
		if err == nil {
			r.replies = newTaker(replies, o.Spin)
			return r, nil
		}
		r.requests.leave(false)
		if shmwire.CodeOf(err) != shmwire.ErrBusy || d.number != 0 || try == replyTries {
			return nil, err
		}
	}
}

const replyTries = 64

// makeReplies makes the reply channel of a requester [shmcomm.request.number]. ErrBusy when the name is taken, unless
// nobody who lives has it.
func (o *Options) makeReplies(service string, number uint32) (*endpoint, error) {
	locator, err := SegmentName(PatternReply, service, number)
	if err != nil {
		return nil, err
	}
	d, err := o.door(locator, PatternReply, DefaultReplyCapacity)
	if err != nil {
		return nil, err
	}
	d.keeper, d.making, d.number, d.patience = true, CreateOnly, number, 0
	e, err := d.join()
	if shmwire.CodeOf(err) != shmwire.ErrExists {
		return e, err
	}
	if remove(d.path, true, PatternReply) == nil {
		if e, err = d.join(); err == nil {
			return e, nil
		}
	}
	return nil, shmwire.Errorf(shmwire.ErrBusy, "%s is taken", d.path)
}

// Send sends a request, and gives up the one before. timeout bounds the wait for room, as for Pusher.Send; ErrClosed,
// ErrFull, ErrTimeout, ErrBusy, ErrTooLarge, ErrCorrupt: then no request is outstanding.
func (r *Requester) Send(data []byte, meta *Meta, timeout time.Duration) (uint64, error) {
	l := shm.Within(timeout)
	return r.send(data, meta, &l)
}

// SendContext is Send that waits until ctx is done.
func (r *Requester) SendContext(ctx context.Context, data []byte, meta *Meta) (uint64, error) {
	l := shm.While(ctx)
	return r.send(data, meta, &l)
}

func (r *Requester) send(data []byte, meta *Meta, l *shm.Limit) (uint64, error) {
	if err := r.discardReplies(); err != nil {
		return 0, err
	}
	sequence, err := r.requests.sendOne(data, meta, r.upcoming, l)
	if err != nil {
		return 0, err
	}
	r.pending = r.upcoming
	if r.upcoming++; r.upcoming == 0 {
		r.upcoming = 1
	}
	return sequence, nil
}

// discardReplies takes what still stands in the reply ring: nobody waits for it any more [shmcomm.request.late].
func (r *Requester) discardReplies() error {
	r.pending = 0
	var m Message
	for {
		switch err := r.replies.take(nil, intoBuffer, &m, r.upcoming); { // to which there can be no reply yet
		case err == shmwire.ErrEmpty, err == shmwire.ErrClosed && !r.replies.closed:
			return nil
		case err != nil:
			return err
		}
	}
}

// Receive answers the reply to the request, copied to buffer, or to new memory if that is nil; replies to earlier ones are
// discarded. ErrOutOfOrder without a request [shmcomm.request.order]; otherwise the answers of Puller.Receive. After
// ErrTimeout the request is still outstanding.
func (r *Requester) Receive(buffer []byte, timeout time.Duration) (Message, error) {
	var m Message
	err := r.receive(buffer, target(buffer), timeout, &m)
	return m, err
}

// ReceiveInto is Receive for a caller to whom it matters that nothing is allocated or copied twice; a nil buffer has no room.
func (r *Requester) ReceiveInto(buffer []byte, timeout time.Duration, m *Message) error {
	return r.receive(buffer, intoBuffer, timeout, m)
}

func (r *Requester) receive(buffer []byte, to how, timeout time.Duration, m *Message) error {
	if err := r.outstanding(); err != nil {
		return err
	}
	return r.settle(r.replies.receive(buffer, to, timeout, m, r.pending))
}

// ReceiveContext is Receive that waits until ctx is done: then ErrTimeout (and context.DeadlineExceeded) after its
// deadline, or the context's error, within 5 ms.
func (r *Requester) ReceiveContext(ctx context.Context, buffer []byte) (Message, error) {
	var m Message
	if err := r.outstanding(); err != nil {
		return m, err
	}
	l := shm.While(ctx)
	return m, r.settle(r.replies.receiveUntil(buffer, target(buffer), &l, &m, r.pending))
}

func (r *Requester) outstanding() error {
	if r.pending == 0 && !r.replies.closed {
		return shmwire.Errorf(shmwire.ErrOutOfOrder, "no request is outstanding")
	}
	return nil
}

func (r *Requester) settle(err error) error {
	if err == nil {
		r.pending = 0
	}
	return err
}

// Request sends a request and receives its reply, both within the timeout.
func (r *Requester) Request(data, buffer []byte, timeout time.Duration) (Message, error) {
	began := time.Now()
	if _, err := r.Send(data, nil, timeout); err != nil {
		return Message{}, err
	}
	if timeout > 0 {
		if timeout -= time.Since(began); timeout < 0 {
			timeout = 0
		}
	}
	return r.Receive(buffer, timeout)
}

// Close removes the reply channel and leaves the service. A second Close answers ErrClosed.
func (r *Requester) Close() error {
	if err := r.replies.close(); err != nil {
		return err
	}
	return r.requests.close()
}
