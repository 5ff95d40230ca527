// SPDX-License-Identifier: MIT

package shmcomm

import (
	"context"
	"errors"
	"testing"
	"time"

	"shmwire"
)

// A sleeper is woken by a message [shmcomm.wait.wake], and nobody is woken while nobody sleeps [shmcomm.wait.no-call].
func TestWake(t *testing.T) {
	name, pipe := uniqueName(t), uniqueName(t)
	p, q := publisher(t, name, small()), pusher(t, pipe, small())
	s, r := subscriber(t, name, small()), puller(t, pipe, small())
	mustSend(t, p, 0, 8)
	mustSend(t, q, 0, 8)
	mustReceive(t, s, 0, 0, 8)
	mustReceive(t, r, 0, 0, 8)
	if p.dataSignal.Load() != 0 || q.dataSignal.Load() != 0 || q.spaceSignal.Load() != 0 {
		t.Error("a signal was given to nobody")
	}
	for what, pair := range map[string]struct {
		sender
		receiver
		e *endpoint
	}{"subscriber": {p, s, p.endpoint}, "puller": {q, r, q.endpoint}} {
		done := make(chan error, 1)
		go func() {
			m, err := pair.receiver.Receive(nil, Forever)
			if err == nil && m.Sequence != 1 {
				err = shmwire.ErrCorrupt
			}
			done <- err
		}()
		eventually(t, what+" counts itself", func() bool { return pair.e.dataWaiters.Load() == 1 })
		time.Sleep(5 * time.Millisecond) // it may sleep by now, or is about to: both must do
		mustSend(t, pair.sender, 1, 8)
		succeed(t, <-done)
		if pair.e.dataWaiters.Load() != 0 || pair.e.dataSignal.Load() != 1 {
			t.Errorf("%s: %d waiters, signal %d", what, pair.e.dataWaiters.Load(), pair.e.dataSignal.Load())
		}
	}
}

// The message that comes between the last look and the sleep ends the sleep: the signal is loaded before the look
// [shmcomm.wait.load-first] [shmcomm.wait.count].
func TestNoLostWake(t *testing.T) {
	name := uniqueName(t)
	p, s := publisher(t, name, small()), subscriber(t, name, small())
	for i := uint64(0); i < 5; i++ {
		slept := 0
		s.waiting.hook = func() {
			if slept++; slept == 1 {
				mustSend(t, p, i, 8)
			}
		}
		began := time.Now()
		m, err := s.Receive(nil, Forever)
		if err != nil || m.Sequence != i || slept != 1 {
			t.Fatalf("%+v, %v after %d sleeps", m, err, slept)
		}
		if passed := time.Since(began); passed > time.Duration(WaitSliceNS)/2 {
			t.Errorf("woken by the end of the slice only: %v", passed)
		}
	}
}

// A writer that waits for room is woken by who takes a message, and counted where it is not.
func TestWaitForRoom(t *testing.T) {
	name := uniqueName(t)
	q, r := pusher(t, name, small()), puller(t, name, small())
	mustSend(t, q, 0, 2008, 2008)
	began := time.Now()
	_, err := q.Send(nil, nil, 20*time.Millisecond)
	expectCode(t, err, shmwire.ErrTimeout)
	if time.Since(began) < 20*time.Millisecond {
		t.Error("too early")
	}
	done := make(chan error, 1)
	go func() {
		_, err := q.SendBatch([][]byte{numbered(2, 1500), numbered(3, 1500)}, nil, Forever)
		done <- err
	}()
	eventually(t, "the writer counts itself", func() bool { return r.spaceWaiters.Load() == 1 })
	mustReceive(t, r, 0, 0, 2008)
	eventually(t, "it waits again", func() bool { return r.spaceWaiters.Load() == 1 && r.spaceSignal.Load() == 1 })
	mustReceive(t, r, 1, 0, 2008)
	succeed(t, <-done)
	mustReceive(t, r, 2, 0, 1500)
	mustReceive(t, r, 3, 0, 1500)
	info, err := q.Info()
	if err != nil || info.Refused != 1 || info.DroppedCount != 1 || info.Sent != 4 {
		t.Errorf("%+v, %v", info, err)
	}
}

// The end of a time limit, of a context, and of the channel end a wait [shmcomm.wait.timeout].
func TestEndOfWait(t *testing.T) {
	name, pipe := uniqueName(t), uniqueName(t)
	p, q := publisher(t, name, small()), pusher(t, pipe, small())
	s, r := subscriber(t, name, small()), puller(t, pipe, small())
	deaf := subscriber(t, name, &Options{NoWait: true, ReadOnly: true})
	type waiter interface {
		receiver
		ReceiveContext(ctx context.Context, buffer []byte) (Message, error)
	}
	all := map[string]waiter{"subscriber": s, "puller": r, "read-only subscriber": deaf}
	for what, w := range all {
		began := time.Now()
		_, err := w.Receive(nil, 15*time.Millisecond)
		if passed := time.Since(began); !errors.Is(err, shmwire.ErrTimeout) || passed < 15*time.Millisecond {
			t.Errorf("%s: %v after %v", what, err, passed)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Millisecond)
		_, err = w.ReceiveContext(ctx, nil)
		if !errors.Is(err, shmwire.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
		cancel()
		ctx, cancel = context.WithCancel(context.Background())
		time.AfterFunc(10*time.Millisecond, cancel)
		if _, err = w.ReceiveContext(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	closed := make(chan error, len(all))
	for _, w := range all {
		w := w
		go func() {
			_, err := w.Receive(nil, Forever)
			closed <- err
		}()
	}
	eventually(t, "they count themselves", func() bool { return p.dataWaiters.Load() != 0 && q.dataWaiters.Load() != 0 })
	succeed(t, p.Close())
	succeed(t, q.Close())
	for range all {
		expectCode(t, <-closed, shmwire.ErrClosed)
	}
}

// A receiver that spins needs no wake.
func TestSpin(t *testing.T) {
	name := uniqueName(t)
	p, s := publisher(t, name, small()), subscriber(t, name, &Options{NoWait: true, Spin: patience})
	sent := make(chan error, 1)
	go func() {
		time.Sleep(5 * time.Millisecond)
		_, err := p.Send(numbered(0, 8), nil, 0)
		sent <- err
	}()
	m, err := s.Receive(nil, patience)
	succeed(t, <-sent)
	if err != nil || m.Sequence != 0 || p.dataSignal.Load() != 0 {
		t.Errorf("%+v, %v, signal %d", m, err, p.dataSignal.Load())
	}
}
