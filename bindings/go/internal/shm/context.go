// SPDX-License-Identifier: MIT

package shm

import (
	"context"
	"runtime"
	"time"

	"shmwire"
)

// errDeadline is both shmwire.ErrTimeout and context.DeadlineExceeded.
var errDeadline = &shmwire.Error{Code: shmwire.ErrTimeout, Cause: context.DeadlineExceeded}

// ContextDone is the answer once ctx is done. It compares the deadline with the clock, because the context's own
// timer needs a free thread to fire.
func ContextDone(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		if deadline, ok := ctx.Deadline(); !ok || time.Now().Before(deadline) {
			return nil
		}
		return errDeadline
	}
	if err == context.DeadlineExceeded {
		return errDeadline
	}
	return err
}

// Backoff is what to do between two looks at something that has no word to sleep on: spin, let others run, then sleep,
// longer each time, up to longestNap. The zero value begins anew.
type Backoff struct{ round uint }

const (
	spinRounds  = 64
	yieldRounds = 72
	shortestNap = time.Microsecond
	longestNap  = time.Millisecond
)

// Pause lets a moment pass, and does not sleep past the deadline of ctx.
func (b *Backoff) Pause(ctx context.Context) {
	switch {
	case b.round < spinRounds:
		b.round++
		Pause()
	case b.round < yieldRounds:
		b.round++
		runtime.Gosched()
	default:
		nap := shortestNap << (b.round - yieldRounds)
		if nap >= longestNap {
			nap = longestNap
		} else {
			b.round++
		}
		if deadline, ok := ctx.Deadline(); ok {
			if left := time.Until(deadline); left < nap {
				nap = left
			}
		}
		time.Sleep(nap)
	}
}

// Poll looks until look answers something else than ErrEmpty, or ctx is done. It looks at least once, and once more after
// the deadline. spin is how long it polls before its first pause.
func Poll(ctx context.Context, spin time.Duration, look func() error) error {
	err := look()
	if err != shmwire.ErrEmpty {
		return err
	}
	var backoff Backoff
	var began time.Time
	if spin > 0 {
		began = time.Now()
	}
	for {
		done := ContextDone(ctx) // before the look, which is the last one then
		if err := look(); err != shmwire.ErrEmpty {
			return err
		}
		if done != nil {
			return done
		}
		if spin > 0 && time.Since(began) < spin {
			Pause()
		} else {
			backoff.Pause(ctx)
		}
	}
}
