// SPDX-License-Identifier: MIT

package deepwater

import (
	"context"
	"runtime"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Section 7, the sleeper's side.

const (
	pollSlice     = time.Millisecond     // of a reader that nobody can wake
	cancelSlice   = 5 * time.Millisecond // of one whose context can be cancelled: nothing wakes a futex when that happens
	looksPerClock = 64                   // while it spins
)

// limit is how long a call may wait.
type limit struct {
	ctx      context.Context // nil: none
	deadline time.Time
	endless  bool
}

func withTimeout(timeout time.Duration) limit {
	if timeout < 0 {
		return limit{endless: true}
	}
	return limit{deadline: time.Now().Add(timeout)}
}

func withContext(ctx context.Context) limit {
	deadline, bounded := ctx.Deadline()
	return limit{ctx: ctx, deadline: deadline, endless: !bounded}
}

// done is the answer once the waiting is over, nil before.
func (l *limit) done() error {
	switch {
	case l.ctx != nil:
		return shm.ContextDone(l.ctx)
	case !l.endless && !time.Now().Before(l.deadline):
		return shmwire.ErrTimeout
	}
	return nil
}

// slice is how long a single sleep may be, at most longest.
func (l *limit) slice(longest time.Duration) time.Duration {
	if l.ctx != nil && l.ctx.Done() != nil && longest > cancelSlice {
		longest = cancelSlice
	}
	if !l.endless {
		if left := time.Until(l.deadline); left < longest {
			return left
		}
	}
	return longest
}

// WaitNext reads the next record, sleeping until there is one, up to a time limit: 0 does not wait, Forever always does.
// ErrTimeout; otherwise the answers of Next, of which ErrEmpty is left only to a limit of 0.
func (r *Reader) WaitNext(timeout time.Duration) (Record, error) {
	if timeout == 0 {
		return r.Next()
	}
	var record Record
	l := withTimeout(timeout)
	err := r.await(&l, &record)
	return record, err
}

// WaitNextContext reads the next record, sleeping until there is one or ctx is done: its deadline gives an error that is both
// ErrTimeout and context.DeadlineExceeded, and a cancellation ends the wait within 5 ms. Otherwise the answers of Next but
// ErrEmpty.
func (r *Reader) WaitNextContext(ctx context.Context) (Record, error) {
	var record Record
	l := withContext(ctx)
	err := r.await(&l, &record)
	return record, err
}

// await looks, spins, and sleeps; once more after the limit [deepwater.wait.timeout].
func (r *Reader) await(l *limit, record *Record) error {
	if err := r.nextInto(record); err != shmwire.ErrEmpty {
		return err
	}
	if err := r.poll(l, record); err != shmwire.ErrEmpty {
		return err
	}
	for {
		signal := r.announce()
		done := l.done() // before the look, which is the last one then
		if err := r.nextInto(record); err != shmwire.ErrEmpty {
			return err
		}
		if done != nil {
			return done
		}
		if r.hook != nil {
			r.hook()
		}
		r.sleep(l, signal)
		// Before it counts itself again, which would cost the writer a wake for nothing.
		if err := r.nextInto(record); err != shmwire.ErrEmpty {
			return err
		}
	}
}

// announce says that somebody is about to sleep, and answers the signal to sleep on [deepwater.wait.count].
func (r *Reader) announce() uint32 {
	if r.counts == nil {
		return 0
	}
	waiters := r.counts.Atomic32(feedRegistryWaitersOffset)
	// A7: pairs with R7; what the writer committed before it moved the signal, and the waiters that it wiped out before
	signal := r.counts.Atomic32(feedRegistrySignalOffset).Load()
	if waiters.Load() == 0 {
		waiters.Add(1)
	}
	// S8: pairs with S8 of the writer that wakes; our count before the last look
	shm.FullFence()
	return signal
}

// sleep is one slice, process-shared [deepwater.wait.shared].
func (r *Reader) sleep(l *limit, signal uint32) {
	if r.counts == nil {
		time.Sleep(l.slice(pollSlice))
		return
	}
	shm.Wait(r.counts.Atomic32(feedRegistrySignalOffset), signal, l.slice(time.Duration(WaitSliceNS)))
}

// poll looks for as long as the caller wants to spin.
func (r *Reader) poll(l *limit, record *Record) error {
	if r.spin <= 0 {
		return shmwire.ErrEmpty
	}
	for end := time.Now().Add(r.spin); time.Now().Before(end) && l.done() == nil; runtime.Gosched() {
		for i := 0; i < looksPerClock; i++ {
			if err := r.advance(record); err == nil {
				return r.take(record)
			} else if err != shmwire.ErrEmpty {
				return err
			}
			shm.Pause()
		}
	}
	return shmwire.ErrEmpty
}
