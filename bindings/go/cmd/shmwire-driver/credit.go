// SPDX-License-Identifier: MIT

package main

import (
	"os"

	"shmwire"
	"shmwire/internal/shm"
	"shmwire/slick"
)

// creditPlan says where readers of a live run tell how far they are: a u64 at 64 x slot.
type creditPlan struct {
	Path   string   `json:"path"`
	Window integer  `json:"window"` // of a writer: indices
	Slot   *integer `json:"slot"`   // of a reader
}

const (
	creditStride = 64
	creditEnded  = ^uint64(0) // of a reader that has ended
)

// credit is that file, in the hands of a writer or of a reader.
type credit struct {
	mapping *shm.Mapping
	window  uint64
	own     *shm.U64 // of a reader
}

func openCredit(plan *creditPlan, role string) (*credit, error) {
	slot, reads := uint64(0), role == "read"
	if reads {
		var err error
		if slot, err = plan.Slot.need("credit.slot", 1<<16); err != nil {
			return nil, err
		}
	}
	mapping, err := shm.Open(plan.Path, !reads, creditStride*slot+8)
	if err != nil {
		return nil, err
	}
	c := &credit{mapping: mapping, window: uint64(plan.Window)}
	if reads {
		word := mapping.Atomic64(creditStride * slot)
		c.own = &word
	}
	return c, nil
}

// report says that a reader was given all below an index.
func (c *credit) report(index uint64) { c.own.Store(index) }

func (c *credit) close() {
	if c.own != nil {
		c.report(creditEnded)
	}
	c.mapping.Close()
}

// slowest is how far all readers are.
func (c *credit) slowest() uint64 {
	least := creditEnded
	for off := uint64(0); off+8 <= c.mapping.Size(); off += creditStride {
		if index := c.mapping.Atomic64(off).Load(); index < least {
			least = index
		}
	}
	return least
}

// within is how many of the messages end inside of the window, as far as can be told before they are written.
func (c *credit) within(queue *slick.Queue, messages []liveMessage) int {
	info, err := queue.Info()
	if err != nil {
		return len(messages) // writing says so
	}
	size, end, slowest := uint64(info.Size), info.NextIndex, c.slowest()
	for i := range messages {
		n := uint64(len(messages[i].payload)) / uint64(info.ElementSize)
		if room := size - end%size; n > room {
			end += room
		}
		if end += n; end > slowest && end-slowest > c.window {
			return i
		}
	}
	return len(messages)
}

// until is a file whose first byte tells a reader that all is written.
type until struct {
	file *os.File
	seen bool
}

func openUntil(locator string) (*until, error) {
	path, err := shmwire.Path(locator)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, &shmwire.Error{Code: shmwire.ErrSystem, Detail: "until", Cause: err}
	}
	return &until{file: file}, nil
}

// over says, when a read has answered EMPTY, whether the byte had been seen before.
func (u *until) over() bool {
	if u.seen {
		return true
	}
	var first [1]byte
	if _, err := u.file.ReadAt(first[:], 0); err == nil {
		u.seen = first[0] != 0
	}
	return false
}
