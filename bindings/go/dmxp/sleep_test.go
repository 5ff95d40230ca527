// SPDX-License-Identifier: MIT

package dmxp

import (
	"context"
	"errors"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// waitersOf waits until the channel counts so many sleepers.
func waitersOf(t *testing.T, c *Channel, count uint32) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); c.entry.waiters.Load() != count; {
		if time.Now().After(end) {
			t.Fatalf("%d waiters, expected %d", c.entry.waiters.Load(), count)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// A message that comes after the last look and before the sleep ends the sleep: the value that it sleeps on is older
// [dmxp.wait.load-first].
func TestSleepHook(t *testing.T) {
	var c *Channel
	calls := 0
	c, _ = newQueue(t, 4, WithSleepHook(func() { calls++; mustSend(t, c, "late") }))
	began := time.Now()
	m, err := c.Receive(context.Background())
	if err != nil || string(m.Payload) != "late" || calls != 1 {
		t.Fatalf("%q, %v, %d calls", m.Payload, err, calls)
	}
	if took := time.Since(began); took > 500*time.Millisecond { // a lost wake-up would cost the slice of 1 s
		t.Errorf("woke after %v", took)
	}
}

func TestTimeout(t *testing.T) {
	c, _ := newQueue(t, 2)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := c.Receive(ctx)
	took := time.Since(began)
	if !errors.Is(err, shmwire.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v", err)
	}
	if took < 60*time.Millisecond || took > 600*time.Millisecond {
		t.Errorf("gave up after %v", took)
	}
	waitersOf(t, c, 0)
	mustSend(t, c, "there") // a deadline in the past still looks once
	if m, err := c.Receive(ctx); err != nil || string(m.Payload) != "there" {
		t.Errorf("%q, %v", m.Payload, err)
	}
	mustSend(t, c, "1")
	mustSend(t, c, "2")
	_, err = c.Send(ctx, nil, nil)
	expectCode(t, err, shmwire.ErrTimeout)
}

func TestCancel(t *testing.T) {
	c, _ := newQueue(t, 2)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { _, err := c.Receive(ctx); done <- err }()
	waitersOf(t, c, 1)
	began := time.Now()
	cancel()
	if err := <-done; err != context.Canceled {
		t.Fatalf("error %v", err)
	}
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("cancelled after %v", took)
	}
	waitersOf(t, c, 0)
	mustSend(t, c, "1")
	mustSend(t, c, "2")
	if _, err := c.Send(ctx, nil, nil); err != context.Canceled {
		t.Errorf("send: %v", err)
	}
}

// A sleeper stays counted over the short sleeps that a context asks for, and a send wakes it.
func TestWake(t *testing.T) {
	for _, counted := range []bool{false, true} {
		segment, _ := testSegment(t)
		options := []ChannelOption{WithCapacity(4)}
		if counted {
			options = append(options, WithCountedWaiters())
		}
		if err := segment.CreateChannel(0, options...); err != nil {
			t.Fatal(err)
		}
		c, err := segment.Attach(0)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan Message)
		go func() { m, _ := c.Receive(context.Background()); done <- m }()
		waitersOf(t, c, 1)
		time.Sleep(60 * time.Millisecond)
		waitersOf(t, c, 1)
		began := time.Now()
		mustSend(t, c, "wake")
		if m := <-done; string(m.Payload) != "wake" {
			t.Errorf("%q", m.Payload)
		}
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("counted %v: woke after %v", counted, took)
		}
		waitersOf(t, c, 0)
	}
}

// A producer calls FUTEX_WAKE for sleepers that are not counted, unless the channel says that all are [dmxp.wait.wake].
func TestUncountedSleeper(t *testing.T) {
	if !sendWakes(t, 0) {
		t.Error("a sleeper that is not counted was not woken")
	}
	// A sleeper that is too late finds another value and returns at once: hence more than one attempt.
	for attempt := 0; sendWakes(t, ChannelCountedWaiters); attempt++ {
		if attempt == 5 {
			t.Fatal("FUTEX_WAKE was called although waiters is 0")
		}
	}
}

// sendWakes says whether a send ends the sleep of somebody who is not counted.
func sendWakes(t *testing.T, flags uint32) bool {
	t.Helper()
	c, err := heapSegment(4, flags).Attach(0)
	if err != nil {
		t.Fatal(err)
	}
	woken := make(chan shm.Woken)
	go func() { woken <- shm.Wait(c.entry.signal, 0, 400*time.Millisecond) }()
	time.Sleep(100 * time.Millisecond)
	mustSend(t, c, "x")
	return <-woken == shm.Signalled
}

// Two messages, the later one published first: its wake finds nothing, and the wake of the earlier one is for both
// [dmxp.wait.pass-on].
func TestPassOn(t *testing.T) {
	c, _ := newQueue(t, 4)
	first, err := c.Claim()
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Claim()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for i := 0; i < 2; i++ {
		go func() { _, err := c.Receive(context.Background()); done <- err }()
	}
	waitersOf(t, c, 2)
	if err := second.Commit(0, nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // the one that this woke is asleep again
	began := time.Now()
	if err := first.Commit(0, nil); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 2; i++ {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took > 600*time.Millisecond { // without it the other one sleeps out its slice
		t.Errorf("both were awake after %v", took)
	}
}

func TestRemovalWakes(t *testing.T) {
	c, _ := newQueue(t, 2)
	done := make(chan error)
	go func() { _, err := c.Receive(context.Background()); done <- err }()
	waitersOf(t, c, 1)
	if err := c.segment.RemoveChannel(0); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		expectCode(t, err, shmwire.ErrClosed)
	case <-time.After(500 * time.Millisecond):
		t.Fatal("the sleeper was not woken")
	}
}

func TestSpin(t *testing.T) {
	c, _ := newQueue(t, 2, WithSpin(time.Second), WithSleepHook(func() { t.Error("slept instead of spinning") }))
	go func() { time.Sleep(time.Millisecond); c.TrySend([]byte("soon"), nil) }()
	if m, err := c.Receive(context.Background()); err != nil || string(m.Payload) != "soon" {
		t.Errorf("%q, %v", m.Payload, err)
	}
}
