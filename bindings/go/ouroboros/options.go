// SPDX-License-Identifier: MIT

package ouroboros

import (
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Start is where a reader begins [ouroboros.read.start].
type Start int

const (
	StartAuto   Start = iota // the first entry of all if it is still there, else as StartLatest: the default
	StartLatest              // the first entry of the newest chunk
	StartOldest              // the first entry of the oldest chunk that is whole
)

func (s Start) check() error {
	if s < StartAuto || s > StartOldest {
		return shmwire.Errorf(shmwire.ErrInvalidArgument, "start %d", s)
	}
	return nil
}

type createConfig struct {
	chunkCount uint32
	target     uint64
	size       uint64
	mode       uint32
}

type resumeConfig struct{ target uint64 }

type openConfig struct {
	start Start
	ready time.Duration
	spin  time.Duration
}

// CreateOption is an option of Create.
type CreateOption interface{ applyCreate(*createConfig) }

// ResumeOption is an option of Resume.
type ResumeOption interface{ applyResume(*resumeConfig) }

// OpenOption is an option of Open.
type OpenOption func(*openConfig)

type createFunc func(*createConfig)

func (f createFunc) applyCreate(c *createConfig) { f(c) }

// TargetOption is an option of both Create and Resume; see WithChunkTarget.
type TargetOption uint64

func (t TargetOption) applyCreate(c *createConfig) { c.target = uint64(t) }
func (t TargetOption) applyResume(c *resumeConfig) { c.target = uint64(t) }

// WithChunkTarget is after how many bytes the writer begins the next chunk. A reader that is overtaken loses a chunk at
// a time. It is not stored in the segment. 0 and the default are DefaultChunkTarget in Create, and in Resume what
// the size of the segment gives.
func WithChunkTarget(bytes uint64) TargetOption { return TargetOption(bytes) }

// WithChunkCount sets the number of chunks. 0 and the default are DefaultChunkCount.
func WithChunkCount(count uint32) CreateOption {
	return createFunc(func(c *createConfig) { c.chunkCount = count })
}

// WithSize sets the segment's bytes: at least 21 + 16 x chunk count. 0 and the default are room for all chunks, 16 + 16
// x chunk count + chunk count x chunk target.
func WithSize(bytes uint64) CreateOption {
	return createFunc(func(c *createConfig) { c.size = bytes })
}

// WithMode sets the permission bits, before the umask. 0 and the default are DefaultMode.
func WithMode(mode uint32) CreateOption {
	return createFunc(func(c *createConfig) { c.mode = mode })
}

// WithStart says where the reader begins. The default is StartAuto.
func WithStart(start Start) OpenOption {
	return func(c *openConfig) { c.start = start }
}

// WithReadyTimeout is how long Open waits for a creator that has not published the segment yet. The default is 0.
func WithReadyTimeout(limit time.Duration) OpenOption {
	return func(c *openConfig) { c.ready = limit }
}

// WithSpin is how long Wait polls before its first pause. The default is 0; where latency matters more than idle
// processor time, it is the longest gap between entries that is to be bridged awake.
func WithSpin(limit time.Duration) OpenOption {
	return func(c *openConfig) { c.spin = limit }
}

// complete fills in defaults and checks.
func (c *createConfig) complete() error {
	if c.chunkCount == 0 {
		c.chunkCount = DefaultChunkCount
	}
	if c.target == 0 {
		c.target = DefaultChunkTarget
	}
	if c.mode == 0 {
		c.mode = DefaultMode
	}
	if c.size == 0 {
		size, fits := shm.Extent(tableEnd(c.chunkCount), uint64(c.chunkCount), c.target)
		if !fits {
			return shmwire.Errorf(shmwire.ErrInvalidArgument, "%d chunks of %d bytes", c.chunkCount, c.target)
		}
		c.size = size
	}
	switch {
	case c.size < tableEnd(c.chunkCount)+uint64(minLength):
		return shmwire.Errorf(shmwire.ErrInvalidArgument, "%d bytes leave no room for an entry", c.size)
	case c.mode&^0o777 != 0:
		return shmwire.Errorf(shmwire.ErrInvalidArgument, "mode %#o", c.mode)
	}
	return nil
}
