// SPDX-License-Identifier: MIT

package dmxp

import "time"

// PayloadChoice says how to place payloads where header.payload_layout is 0; it is ignored where it is not
// [dmxp.layout.*].
type PayloadChoice int

const (
	ChooseCrate    PayloadChoice = iota // payload at slot + 48: the default
	ChooseDocument                      // payload at slot + 64
	ChooseAuto                          // readers: by each message's SenderRuntime; writers: crate
)

type createConfig struct {
	size    uint64
	layout  uint32
	mode    uint32
	runtime uint16
}

type openConfig struct {
	readOnly bool
	choice   PayloadChoice
	ready    time.Duration
	runtime  uint16
}

type channelConfig struct {
	capacity uint64
	counted  bool
}

// CreateOption is an option of Create.
type CreateOption interface{ applyCreate(*createConfig) }

// OpenOption is an option of Open.
type OpenOption interface{ applyOpen(*openConfig) }

// ChannelOption is an option of CreateChannel.
type ChannelOption func(*channelConfig)

// AttachOption is an option of Attach.
type AttachOption func(*Channel)

type createFunc func(*createConfig)

func (f createFunc) applyCreate(c *createConfig) { f(c) }

type openFunc func(*openConfig)

func (f openFunc) applyOpen(c *openConfig) { f(c) }

// RuntimeOption is an option of both Create and Open; see WithRuntime.
type RuntimeOption uint16

func (r RuntimeOption) applyCreate(c *createConfig) { c.runtime = uint16(r) }
func (r RuntimeOption) applyOpen(c *openConfig)     { c.runtime = uint16(r) }

// WithRuntime sets the sender_runtime of messages sent through the handle. 0 and the default are RuntimeGo.
func WithRuntime(runtime uint16) RuntimeOption { return RuntimeOption(runtime) }

// WithSize sets the segment's bytes: HeaderSize or more. 0 and the default are DefaultSize. Storage is taken as
// channels are made, not at once.
func WithSize(bytes uint64) CreateOption {
	return createFunc(func(c *createConfig) { c.size = bytes })
}

// WithPayloadLayout is LayoutCrate (the default) or LayoutDocument.
func WithPayloadLayout(layout uint32) CreateOption {
	return createFunc(func(c *createConfig) { c.layout = layout })
}

// WithMode sets the permission bits, before the umask. 0 and the default are DefaultMode [dmxp.segment.mode].
func WithMode(mode uint32) CreateOption {
	return createFunc(func(c *createConfig) { c.mode = mode })
}

// ReadOnly maps the segment for reading: Peek, ChannelInfo and Validate work, all else answers ErrPermission.
func ReadOnly() OpenOption {
	return openFunc(func(c *openConfig) { c.readOnly = true })
}

// WithPayloadChoice sets the choice for segments that do not declare their payload layout. The default is ChooseCrate.
func WithPayloadChoice(choice PayloadChoice) OpenOption {
	return openFunc(func(c *openConfig) { c.choice = choice })
}

// WithReadyTimeout is how long Open waits for a creator that has not published the segment yet. The default is 0.
func WithReadyTimeout(limit time.Duration) OpenOption {
	return openFunc(func(c *openConfig) { c.ready = limit })
}

// WithCapacity sets the slots of a channel: a power of two, MinCapacity or more. 0 and the default are DefaultCapacity.
func WithCapacity(slots uint64) ChannelOption {
	return func(c *channelConfig) { c.capacity = slots }
}

// WithCountedWaiters is the promise that every consumer counts itself in waiters (no crate consumers): producers then
// skip needless wakes, which makes sending several times as fast.
func WithCountedWaiters() ChannelOption {
	return func(c *channelConfig) { c.counted = true }
}

// WithSpin is how long Receive polls before its first sleep. The default is 0; 5 µs is a good value where latency
// matters more than idle processor time.
func WithSpin(limit time.Duration) AttachOption {
	return func(c *Channel) { c.spin = limit }
}

// WithSleepHook has the receiving goroutine call hook each time before it sleeps, after its last look: for idle work
// and for tests.
func WithSleepHook(hook func()) AttachOption {
	return func(c *Channel) { c.sleepHook = hook }
}
