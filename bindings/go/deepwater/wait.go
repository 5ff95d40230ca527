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
	pollSlice     = time.Millisecond // of a reader that nobody can wake
	looksPerClock = 64               // while it spins
)

// WaitNext reads the next record, sleeping until there is one, up to a time limit: 0 does not wait, Forever always does.
// ErrTimeout; otherwise the answers of Next, of which ErrEmpty is left only to a limit of 0.
func (r *Reader) WaitNext(timeout time.Duration) (Record, error) {
	var record Record
	err := r.nextInto(&record)
	if err != shmwire.ErrEmpty || timeout == 0 { // no clock is read where there is a record
		return record, err
	}
	l := shm.Within(timeout)
	err = r.await(&l, &record)
	return record, err
}

// WaitNextContext reads the next record, sleeping until there is one or ctx is done: its deadline gives an error that is both
// ErrTimeout and context.DeadlineExceeded, and a cancellation ends the wait within 5 ms. Otherwise the answers of Next but
// ErrEmpty.
func (r *Reader) WaitNextContext(ctx context.Context) (Record, error) {
	var record Record
	l := shm.While(ctx)
	err := r.await(&l, &record)
	return record, err
}

// await looks, spins, and sleeps; once more after the limit [deepwater.wait.timeout].
func (r *Reader) await(l *shm.Limit, record *Record) error {
	if err := r.nextInto(record); err != shmwire.ErrEmpty {
		return err
	}
	if err := r.poll(l, record); err != shmwire.ErrEmpty {
		return err
	}
	for {
		signal := r.announce()
		done := l.Done() // before the look, which is the last one then
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
func (r *Reader) sleep(l *shm.Limit, signal uint32) {
	if r.counts == nil {
		time.Sleep(l.Slice(pollSlice))
		return
	}
	shm.Wait(r.counts.Atomic32(feedRegistrySignalOffset), signal, l.Slice(time.Duration(WaitSliceNS)))
}

// poll looks for as long as the caller wants to spin.
func (r *Reader) poll(l *shm.Limit, record *Record) error {
	if r.spin <= 0 {
		return shmwire.ErrEmpty
	}
	for end := time.Now().Add(r.spin); time.Now().Before(end) && l.Done() == nil; runtime.Gosched() {
		for i := 0; i < looksPerClock; i++ {
			if err := r.advance(record); err == nil {
				return r.take(record)
			} else if isOdd(err) {
				return shmwire.ErrEmpty // it takes another writer: no time to spin for
			} else if err != shmwire.ErrEmpty {
				return err
			}
			shm.Pause()
		}
	}
	return shmwire.ErrEmpty
}
