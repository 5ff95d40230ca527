// SPDX-License-Identifier: MIT

package shmcomm

import (
	"runtime"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// waiting is what a receiver needs to sleep (section 8).
type waiting struct {
	segment *segment
	deaf    bool          // the waiters cannot be counted: nobody wakes this receiver, which looks again in short slices
	spin    time.Duration // to poll before the first sleep
	slept   func()        // called after each sleep that took its whole slice; nil: nothing to do
	hook    func()        // of tests: before each sleep
}

// deafSlice is how long a receiver sleeps that nobody wakes [shmcomm.segment.readonly].
const deafSlice = time.Millisecond

// await repeats a look that answers ErrEmpty until it answers something else, or the limit has passed. head is the word
// that a message changes; position answers the receiver's own.
func (w *waiting) await(l *shm.Limit, position func() uint64, look func() error) error {
	if l.None {
		return shmwire.ErrEmpty
	}
	w.poll(l, position)
	for {
		var signal uint32
		if !w.deaf {
			signal = announce(w.segment.dataSignal, w.segment.dataWaiters)
		}
		done := l.Done() // before the look, which is the last one then [shmcomm.wait.timeout]
		if err := look(); err != shmwire.ErrEmpty {
			return err
		}
		if done != nil {
			return done
		}
		if w.hook != nil {
			w.hook()
		}
		w.sleep(l, signal)
		// Before it counts itself again, which would cost the next writer a wake for nothing.
		if err := look(); err != shmwire.ErrEmpty {
			return err
		}
	}
}

// sleep is one slice [shmcomm.wait.slice].
func (w *waiting) sleep(l *shm.Limit, signal uint32) {
	if w.deaf {
		time.Sleep(l.Slice(deafSlice))
		return
	}
	if shm.Wait(w.segment.dataSignal, signal, l.Slice(time.Duration(WaitSliceNS))) == shm.Elapsed && w.slept != nil {
		w.slept()
	}
}

const pollsPerClock = 64

// poll watches head for as long as the caller wants to spin.
func (w *waiting) poll(l *shm.Limit, position func() uint64) {
	if w.spin <= 0 {
		return
	}
	head := w.segment.head
	for end := time.Now().Add(w.spin); time.Now().Before(end) && l.Done() == nil; runtime.Gosched() {
		for i := 0; i < pollsPerClock; i++ {
			if head.Load() != position() { // A2: pairs with R2
				return
			}
			shm.Pause()
		}
	}
}

// emptied answers for a receiver that found nothing at a position: ErrEmpty, ErrClosed when nothing will come, or nil when
// something has come meanwhile [shmcomm.receive.empty] [shmcomm.receive.closed].
func (s *segment) emptied(position uint64) error {
	if s.state.Load() != StateClosed { // A7: pairs with R7; all that was published before the close
		return shmwire.ErrEmpty
	}
	if s.head.Load() != position { // A2: pairs with R2; after the state
		return nil
	}
	return shmwire.ErrClosed
}
