// SPDX-License-Identifier: MIT

package shmcomm

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
	o, err := options.withDefaults()
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
	l := withTimeout(timeout)
	return r.send(data, meta, &l)
}

// SendContext is Send that waits until ctx is done.
func (r *Requester) SendContext(ctx context.Context, data []byte, meta *Meta) (uint64, error) {
	l := withContext(ctx)
	return r.send(data, meta, &l)
}

func (r *Requester) send(data []byte, meta *Meta, l *limit) (uint64, error) {
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
		switch err := r.replies.take(nil, intoBuffer, &m, noCorrelation); {
		case err == shmwire.ErrEmpty, err == shmwire.ErrClosed && !r.replies.closed:
			return nil
		case err != nil:
			return err
		}
	}
}

// noCorrelation asks take for a reply that there cannot be: all are discarded.
const noCorrelation = ^uint64(0)

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
	l := withContext(ctx)
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

// Replier takes requests of a service, each for one of its repliers, and answers them.
type Replier struct {
	taker
	service    string
	channels   map[uint32]*replyChannel // as they were used last, by the requester's number
	uses       uint64
	answered   uint64
	unanswered uint64
	swept      time.Duration // uptime of the last sweep
}

// replyChannel is a requester's, which this replier has joined.
type replyChannel struct {
	writer
	use uint64
}

const channelsMost = 64 // reply channels that a replier keeps mapped

// NewReplier joins a service as one of its keepers, or makes it. The errors of NewPublisher.
func NewReplier(service string, options *Options) (*Replier, error) {
	o, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	e, err := o.keep(PatternRequest, service)
	if err != nil {
		return nil, err
	}
	r := &Replier{taker: newTaker(e, o.Spin), service: service, channels: map[uint32]*replyChannel{}}
	r.stamps = true
	r.waiting.slept = r.sweepSometimes
	r.sweep()
	return r, nil
}

// Reply answers a request that this replier received [shmcomm.reply.pair]; any number may be unanswered at a time, in any
// order. ErrClosed: the requester is gone, the reply was dropped and counted [shmcomm.reply.vanished]. ErrFull or ErrTimeout:
// its ring is full. ErrTooLarge, ErrBusy, ErrCorrupt.
func (r *Replier) Reply(request *Message, data []byte, meta *Meta, timeout time.Duration) error {
	l := withTimeout(timeout)
	return r.reply(request, data, meta, &l)
}

// ReplyContext is Reply that waits until ctx is done.
func (r *Replier) ReplyContext(ctx context.Context, request *Message, data []byte, meta *Meta) error {
	l := withContext(ctx)
	return r.reply(request, data, meta, &l)
}

func (r *Replier) reply(request *Message, data []byte, meta *Meta, l *limit) error {
	if r.closed {
		return shmwire.ErrClosed
	}
	c, err := r.channelOf(request)
	if err == nil {
		_, err = c.sendOne(data, meta, request.CorrelationID, l)
	}
	switch err {
	case nil:
		r.answered++
	case shmwire.ErrClosed:
		r.unanswered++
	}
	return err
}

// channelOf is steps 1 and 2 of replying: the reply channel of a request's sender, or ErrClosed.
func (r *Replier) channelOf(request *Message) (*replyChannel, error) {
	r.uses++
	c, known := r.channels[request.Sender]
	if known && c.state.Load() != StateOpen { // A7: pairs with R7 [shmcomm.reply.recreated]
		r.drop(request.Sender)
		known = false
	}
	if !known {
		var err error
		if c, err = r.joinReplies(request.Sender); err != nil {
			return nil, err
		}
	}
	c.use = r.uses
	if known && uptime()-request.taken < time.Duration(LivenessAgeNS) {
		return c, nil
	}
	lives, err := c.keeperLives()
	if lives || err != nil {
		return c, err
	}
	path := c.path
	r.drop(request.Sender)
	_ = remove(path, true, PatternReply) // another replier may have done so
	return nil, shmwire.ErrClosed
}

// joinReplies joins the reply channel of a number. What is no reply channel of an open requester answers ErrClosed.
func (r *Replier) joinReplies(number uint32) (*replyChannel, error) {
	locator, err := SegmentName(PatternReply, r.service, number)
	if err != nil {
		return nil, shmwire.ErrClosed // no requester has such a number
	}
	path, err := shmwire.Path(locator)
	if err != nil {
		return nil, err
	}
	e, err := (&door{path: path, pattern: PatternReply, making: JoinOnly, preferred: r.number}).join()
	switch shmwire.CodeOf(err) {
	case nil:
	case shmwire.ErrPermission, shmwire.ErrSystem:
		return nil, err
	default:
		return nil, shmwire.ErrClosed
	}
	if len(r.channels) >= channelsMost {
		r.dropOldest()
	}
	c := &replyChannel{writer: writer{endpoint: e}}
	r.channels[number] = c
	return c, nil
}

// drop leaves a reply channel.
func (r *Replier) drop(number uint32) {
	r.channels[number].leave(false)
	delete(r.channels, number)
}

func (r *Replier) dropOldest() {
	oldest, least := uint32(0), ^uint64(0)
	for number, c := range r.channels {
		if c.use < least {
			oldest, least = number, c.use
		}
	}
	r.drop(oldest)
}

// sweepPause is the least time between two sweeps of a replier that sleeps in short slices.
const sweepPause = 20 * time.Millisecond

func (r *Replier) sweepSometimes() {
	if uptime()-r.swept >= sweepPause {
		r.sweep()
	}
}

// sweep removes the reply channels of this service whose requester does not live [shmcomm.reply.sweep], and lets go of those
// that are closed.
func (r *Replier) sweep() {
	r.swept = uptime()
	if locator, err := SegmentName(PatternRequest, r.service, 0); err == nil {
		sweep(replyPrefix(locator))
	}
	for number, c := range r.channels {
		if c.state.Load() != StateOpen { // A7: pairs with R7
			r.drop(number)
		}
	}
}

// Close leaves the service, and removes its request channel if this was its last replier. A second Close answers ErrClosed.
func (r *Replier) Close() error {
	if r.closed {
		return shmwire.ErrClosed
	}
	for number := range r.channels {
		r.drop(number)
	}
	r.sweep()
	return r.close()
}

// replyPrefix is what the locators of a service's reply channels begin with, before the number, by that of its request
// channel.
func replyPrefix(requests string) string {
	if name := strings.TrimPrefix(requests, prefixes[PatternRequest]); name != requests && checkName(name) == nil {
		return prefixes[PatternReply] + name + "_"
	}
	return requests + replyInfix
}

// sweep removes the reply channels whose locators begin so and whose requesters do not live, and answers how many.
func sweep(prefix string) (removed uint32) {
	path, err := shmwire.Path(prefix + "1")
	if err != nil {
		return 0
	}
	directory, name := filepath.Split(strings.TrimSuffix(path, "1"))
	entries, err := os.ReadDir(directory)
	if err != nil {
		return 0
	}
	for _, entry := range entries {
		number := strings.TrimPrefix(entry.Name(), name)
		if number == entry.Name() || !isNumber(number) || requesterLives(directory+entry.Name()) {
			continue
		}
		if remove(directory+entry.Name(), true, PatternReply) == nil {
			removed++
		}
	}
	return removed
}

func isNumber(text string) bool {
	number, err := strconv.ParseUint(text, 10, 31)
	return err == nil && number != 0 && strconv.FormatUint(number, 10) == text
}

// requesterLives spares the membership lock for those who live, as most do.
func requesterLives(path string) bool {
	file, err := shm.OpenFile(path, true)
	if err != nil {
		return true // gone, or nothing of ours
	}
	defer file.Close()
	lives, err := file.Locked(keeperBase+1, uint64(MaxEndpoint))
	return lives || err != nil
}
