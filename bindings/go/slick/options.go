// SPDX-License-Identifier: MIT

package slick

import (
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Generation says which releases of the source system understand a segment.
type Generation int

const (
	Generation12 Generation = 12 // slick-queue 1.2
	Generation13 Generation = 13 // slick-queue 1.3
	Generation14 Generation = 14 // slick-queue 1.4: the default
)

// String is "1.2", "1.3" or "1.4".
func (g Generation) String() string {
	switch g {
	case Generation12:
		return "1.2"
	case Generation13:
		return "1.3"
	case Generation14:
		return "1.4"
	}
	return "unknown"
}

// Start is where a reader, or a shared cursor, begins [slick.read.start]. The zero value is StartOldest.
type Start struct {
	from  origin
	index uint64
}

type origin int

const (
	fromOldest origin = iota
	fromLatest
	fromIndex
)

var (
	StartOldest = Start{}                 // the oldest item that is whole: the default
	StartLatest = Start{from: fromLatest} // what is reserved from now on
)

// StartAt begins at an index.
func StartAt(index uint64) Start { return Start{fromIndex, index} }

type createConfig struct {
	geometry
	mode     uint32
	portable bool
}

type openConfig struct {
	readOnly bool
	ready    time.Duration
}

// CreateOption is an option of Create and CreateLocal.
type CreateOption func(*createConfig)

// OpenOption is an option of Open.
type OpenOption func(*openConfig)

// ProducerOption is an option of NewProducer.
type ProducerOption func(*Producer)

// ReaderOption is an option of NewReader.
type ReaderOption func(*readerConfig)

type readerConfig struct {
	start  Start
	shared *Cursor
	spin   time.Duration
}

// WithSize sets the elements in the ring: a power of two up to MaxSize. 0 and the default are DefaultSize.
func WithSize(elements uint32) CreateOption {
	return func(c *createConfig) { c.size = uint64(elements) }
}

// WithGeneration sets the generation. 0 and the default are Generation14.
func WithGeneration(generation Generation) CreateOption {
	return func(c *createConfig) { c.generation = generation }
}

// WithMode sets the permission bits, before the umask. 0 and the default are DefaultMode.
func WithMode(mode uint32) CreateOption {
	return func(c *createConfig) { c.mode = mode }
}

// WithPortableName refuses a name of more than PortableNameMax characters, the slash included, which macOS would not
// take.
func WithPortableName() CreateOption {
	return func(c *createConfig) { c.portable = true }
}

// ReadOnly maps the segment for reading: producers, Reset and Recover answer ErrPermission.
func ReadOnly() OpenOption {
	return func(c *openConfig) { c.readOnly = true }
}

// WithReadyTimeout is how long Open waits for a creator that is at work; 0 and below are not at all. The default is
// DefaultReadyTimeoutNS.
func WithReadyTimeout(limit time.Duration) OpenOption {
	return func(c *openConfig) { c.ready = limit }
}

// WithStall is how long the producer waits for an unpublished item, one lap ago, before it gives that up. 0, below and the
// default are DefaultStallNS.
func WithStall(limit time.Duration) ProducerOption {
	return func(p *Producer) {
		if limit > 0 {
			p.stall = limit
		}
	}
}

// WithStart says where the reader begins. The default is StartOldest.
func WithStart(start Start) ReaderOption {
	return func(c *readerConfig) { c.start = start }
}

// WithShared has the reader take items by a shared cursor, each for one of its consumers; WithStart then counts for
// nothing.
func WithShared(cursor *Cursor) ReaderOption {
	return func(c *readerConfig) { c.shared = cursor }
}

// WithSpin is how long Wait polls before its first pause. The default is 0; where latency matters more than idle
// processor time, it is the longest gap between items that is to be bridged awake.
func WithSpin(limit time.Duration) ReaderOption {
	return func(c *readerConfig) { c.spin = limit }
}

func newOpenConfig(options []OpenOption) *openConfig {
	config := &openConfig{ready: time.Duration(DefaultReadyTimeoutNS)}
	for _, option := range options {
		option(config)
	}
	return config
}

// newCreateConfig fills in defaults and checks [slick.segment.argument].
func newCreateConfig(elementSize uint32, options []CreateOption) (*createConfig, error) {
	c := &createConfig{geometry: geometry{elementSize: uint64(elementSize)}}
	for _, option := range options {
		option(c)
	}
	if c.generation == 0 {
		c.generation = Generation14
	}
	if c.size == 0 {
		c.size = uint64(DefaultSize)
	}
	if c.mode == 0 {
		c.mode = DefaultMode
	}
	switch {
	case c.generation < Generation12 || c.generation > Generation14:
		return nil, shmwire.Errorf(shmwire.ErrInvalidArgument, "generation %d", c.generation)
	case !shm.IsPowerOfTwo(c.size) || c.size > uint64(MaxSize):
		return nil, shmwire.Errorf(shmwire.ErrInvalidArgument, "%d elements are no power of two up to %d", c.size, MaxSize)
	case c.elementSize == 0:
		return nil, shmwire.Errorf(shmwire.ErrInvalidArgument, "elements of 0 bytes")
	case c.mode&^0o777 != 0:
		return nil, shmwire.Errorf(shmwire.ErrInvalidArgument, "mode %#o", c.mode)
	}
	return c, nil
}
