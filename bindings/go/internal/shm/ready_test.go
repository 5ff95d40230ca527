// SPDX-License-Identifier: MIT

package shm

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"shmwire"
)

// OpenReady looks again while a file is short or not ready, and at nothing else.
func TestOpenReady(t *testing.T) {
	path := t.TempDir() + "/segment"
	looks := 0
	answer := func(err error) func(Window) error {
		return func(Window) error { looks++; return err }
	}
	open := func(limit time.Duration, check func(Window) error) (time.Duration, error) {
		looks = 0
		began := time.Now()
		mapping, err := OpenReady(path, true, 8, limit, check)
		if err == nil {
			mapping.Close()
		}
		return time.Since(began), err
	}
	if took, err := open(time.Minute, answer(nil)); !errors.Is(err, shmwire.ErrNotFound) || took > 30*time.Second {
		t.Errorf("no file: %v after %v", err, took)
	}
	if err := os.WriteFile(path, make([]byte, 7), 0o600); err != nil {
		t.Fatal(err)
	}
	if took, err := open(5*time.Millisecond, answer(nil)); !errors.Is(err, shmwire.ErrTruncated) || took < 5*time.Millisecond {
		t.Errorf("a short file: %v after %v", err, took)
	}
	if err := os.WriteFile(path, make([]byte, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		answer error
		looks  int
	}{{nil, 1}, {shmwire.ErrBadMagic, 1}, {shmwire.ErrTruncated, 1}} {
		if _, err := open(time.Minute, answer(c.answer)); err != c.answer || looks != c.looks {
			t.Errorf("%v: %v, %d looks", c.answer, err, looks)
		}
	}
	took, err := open(5*time.Millisecond, answer(shmwire.ErrNotReady))
	if !errors.Is(err, shmwire.ErrNotReady) || took < 5*time.Millisecond || looks < 2 {
		t.Errorf("not ready: %v after %v and %d looks", err, took, looks)
	}
}

func TestAnonymous(t *testing.T) {
	mapping, err := CreateAnonymous(4096 + 7)
	if err != nil {
		t.Fatal(err)
	}
	if mapping.Size() != 4096+7 || mapping.Atomic32(4096).Load() != 0 {
		t.Errorf("%d bytes", mapping.Size())
	}
	mapping.PrefaultAll()
	mapping.PutU64(4096-3, ^uint64(0))
	if err := mapping.Close(); err != nil {
		t.Error(err)
	}
	for _, size := range []uint64{0, 1 << 63} {
		if _, err := CreateAnonymous(size); !errors.Is(err, shmwire.ErrInvalidArgument) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestWord64At(t *testing.T) {
	memory := WindowOf(16).Bytes(0, 16)
	if word, ok := Word64At(memory[8:]); !ok || word.Load() != 0 {
		t.Error("an aligned word")
	}
	for _, bad := range [][]byte{nil, memory[9:], memory[1:9], memory[:7]} {
		if _, ok := Word64At(bad); ok {
			t.Errorf("%d bytes", len(bad))
		}
	}
}

// Poll ends with the first answer that is not EMPTY, and looks once more after the deadline.
func TestPoll(t *testing.T) {
	for _, spin := range []time.Duration{0, time.Millisecond} {
		looks := 0
		err := Poll(context.Background(), spin, func() error {
			if looks++; looks == 100 {
				return shmwire.ErrLapped
			}
			return shmwire.ErrEmpty
		})
		if err != shmwire.ErrLapped || looks != 100 {
			t.Errorf("%v after %d looks", err, looks)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Millisecond)
		deadline, _ := ctx.Deadline()
		var last time.Time
		err = Poll(ctx, spin, func() error { last = time.Now(); return shmwire.ErrEmpty })
		if !errors.Is(err, shmwire.ErrTimeout) || last.Before(deadline) {
			t.Errorf("%v, the last look %v before the deadline", err, deadline.Sub(last))
		}
		cancel()
	}
}
