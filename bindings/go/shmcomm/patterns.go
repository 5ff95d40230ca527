// SPDX-License-Identifier: MIT

package shmcomm

import (
	"strconv"
	"strings"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Names (section 1.5) and roles.

var prefixes = map[uint32]string{
	PatternPubsub: "/shmcomm_pub_", PatternPipeline: "/shmcomm_push_", PatternRequest: "/shmcomm_req_",
	PatternReply: "/shmcomm_rep_",
}

// SegmentName is the segment of a channel; number is the requester's, for PatternReply. A locator (anything with a slash)
// stands for itself, and its reply channels are at LOCATOR_rep_N, unless it is that of a service with a name. ErrInvalidName
// [shmcomm.name.valid], ErrInvalidArgument.
func SegmentName(pattern uint32, name string, number uint32) (string, error) {
	prefix, known := prefixes[pattern]
	if !known {
		return "", shmwire.Errorf(shmwire.ErrInvalidArgument, "pattern %d", pattern)
	}
	if pattern == PatternReply && (number == 0 || number > MaxEndpoint) {
		return "", shmwire.Errorf(shmwire.ErrInvalidArgument, "endpoint %d", number)
	}
	if strings.Contains(name, "/") {
		if pattern == PatternReply {
			return replyPrefix(name) + strconv.FormatUint(uint64(number), 10), nil
		}
		return name, nil
	}
	if err := checkName(name); err != nil {
		return "", err
	}
	if pattern == PatternReply {
		return prefix + name + "_" + strconv.FormatUint(uint64(number), 10), nil
	}
	return prefix + name, nil
}

const replyInfix = "_rep_"

func checkName(name string) error {
	if len(name) < 1 || len(name) > int(NameMax) {
		return shmwire.Errorf(shmwire.ErrInvalidName, "a name of %d characters, 1 to %d are allowed", len(name), NameMax)
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return shmwire.Errorf(shmwire.ErrInvalidName, "%q", name)
		}
	}
	return nil
}

// Publisher publishes messages to all subscribers of a channel, and never waits for them: the oldest messages go when the
// ring is full. Any number of publishers may have one channel.
type Publisher struct{ writer }

// NewPublisher joins a channel, or makes it. ErrInvalidName, ErrInvalidArgument, ErrNotFound, ErrExists, ErrBusy (Sole: the
// lock is held; Identity.Endpoint is taken), ErrUnsupported (another pattern), ErrNotReady, ErrTruncated, ErrBadMagic,
// ErrBadVersion, ErrBadGeometry, ErrCorrupt, ErrPermission, ErrSystem. After a failure nothing is left behind. options may be
// nil.
func NewPublisher(name string, options *Options) (*Publisher, error) {
	w, err := openWriter(PatternPubsub, name, options)
	if err != nil {
		return nil, err
	}
	return &Publisher{w}, nil
}

// Close abandons an open claim, leaves the channel, and removes it if this was its last keeper [shmcomm.leave.last]. A
// second Close answers ErrClosed.
func (p *Publisher) Close() error { return p.close() }

// Pusher pushes messages into a pipeline, where each goes to one puller. Any number of pushers and pullers may have one.
type Pusher struct{ writer }

// NewPusher joins a pipeline, or makes it. The errors of NewPublisher.
func NewPusher(name string, options *Options) (*Pusher, error) {
	w, err := openWriter(PatternPipeline, name, options)
	if err != nil {
		return nil, err
	}
	return &Pusher{w}, nil
}

// Close abandons an open claim, and leaves the pipeline. The last pusher closes it; its name stays while it holds messages.
// A second Close answers ErrClosed.
func (p *Pusher) Close() error { return p.close() }

// openWriter opens a publisher or a pusher.
func openWriter(pattern uint32, name string, options *Options) (w writer, err error) {
	o, err := options.withDefaults(true)
	if err != nil {
		return w, err
	}
	if w.endpoint, err = o.keep(pattern, name); err != nil {
		return w, err
	}
	w.beat, w.sole = w.clock.now(), o.Sole
	if w.sole {
		if err = w.acquire(&shm.Limit{None: true}); err != nil {
			w.leave(false)
		}
	}
	return w, err
}

// keep joins a channel as its keeper, or makes it.
func (o *Options) keep(pattern uint32, name string) (*endpoint, error) {
	locator, err := SegmentName(pattern, name, 0)
	if err != nil {
		return nil, err
	}
	d, err := o.door(locator, pattern, DefaultCapacity)
	if err != nil {
		return nil, err
	}
	d.keeper, d.making = true, o.Making
	return d.join()
}

// Subscriber follows a channel: it is given every message that is published from now on, if it is not overtaken. It changes
// nothing in the channel.
type Subscriber struct{ follower }

// NewSubscriber follows a channel that is there, or comes within the waiting time. The errors of NewPublisher.
func NewSubscriber(name string, options *Options) (*Subscriber, error) {
	locator, err := SegmentName(PatternPubsub, name, 0)
	if err != nil {
		return nil, err
	}
	f, err := openFollower(locator, PatternPubsub, options)
	if err != nil {
		return nil, err
	}
	return &Subscriber{f}, nil
}

// Observer looks into a channel of any pattern, read-only, from the oldest message, and takes nothing.
type Observer struct{ follower }

// NewObserver opens the segment of a channel by its locator: SegmentName tells it. The errors of NewPublisher.
func NewObserver(locator string, options *Options) (*Observer, error) {
	if !strings.Contains(locator, "/") { // which of the channels of that name?
		return nil, shmwire.Errorf(shmwire.ErrInvalidName, "%q is not a locator", locator)
	}
	f, err := openFollower(locator, 0, options)
	if err != nil {
		return nil, err
	}
	return &Observer{f}, nil
}

// openFollower opens a subscriber or, without a pattern, an observer.
func openFollower(locator string, pattern uint32, options *Options) (f follower, err error) {
	o, err := options.withDefaults(false)
	if err != nil {
		return f, err
	}
	observer := pattern == 0
	if f.segment, err = openReadOnly(locator, pattern, o.ReadyTimeout, !observer && !o.ReadOnly); err != nil {
		return f, err
	}
	f.tellLost = o.TellLost
	f.waiting = waiting{segment: f.segment, deaf: f.signals == nil, spin: o.Spin}
	f.start(observer || o.Oldest)
	return f, nil
}

// Puller takes messages from a pipeline, each for one of its pullers.
type Puller struct{ taker }

// NewPuller joins a pipeline that is there, or comes within the waiting time. The errors of NewPublisher.
func NewPuller(name string, options *Options) (*Puller, error) {
	o, err := options.withDefaults(false)
	if err != nil {
		return nil, err
	}
	locator, err := SegmentName(PatternPipeline, name, 0)
	if err != nil {
		return nil, err
	}
	d, err := o.door(locator, PatternPipeline, 0)
	if err != nil {
		return nil, err
	}
	e, err := d.join()
	if err != nil {
		return nil, err
	}
	return &Puller{newTaker(e, o.Spin)}, nil
}

func newTaker(e *endpoint, spin time.Duration) taker {
	return taker{endpoint: e, waiting: waiting{segment: e.segment, spin: spin}}
}

// Close leaves the pipeline, and removes it if it is closed and empty [shmcomm.leave.drained]. A second Close answers
// ErrClosed.
func (p *Puller) Close() error { return p.close() }
