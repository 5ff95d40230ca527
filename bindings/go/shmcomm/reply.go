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
	o, err := options.withDefaults(false)
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
	l := shm.Within(timeout)
	return r.reply(request, data, meta, &l)
}

// ReplyContext is Reply that waits until ctx is done.
func (r *Replier) ReplyContext(ctx context.Context, request *Message, data []byte, meta *Meta) error {
	l := shm.While(ctx)
	return r.reply(request, data, meta, &l)
}

func (r *Replier) reply(request *Message, data []byte, meta *Meta, l *shm.Limit) error {
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
