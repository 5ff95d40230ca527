// SPDX-License-Identifier: MIT

package deepwater

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/testkit"
)

const plenty = 30 * time.Second // of a wait that must end by something else

// A record that comes between the last look and the sleep, or while it sleeps, ends the wait [deepwater.wait.count]
// [deepwater.wait.wake].
func TestWaitWakes(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(false))
	r := mustReader(t, base, nil)
	n := uint64(0)
	r.hook = func() { fill(t, w, n, n+1, 3) } // by then it has counted itself
	for ; n < 20; n++ {
		record, err := r.WaitNext(plenty)
		succeed(t, err)
		checkRecord(t, record, n)
	}
	look, err := r.Look()
	succeed(t, err)
	if look["feed_registry.signal"] != 20 || look["feed_registry.waiters"] != 0 {
		t.Errorf("signal %d, waiters %d", look["feed_registry.signal"], look["feed_registry.waiters"])
	}
	r.hook = nil
	fill(t, w, 20, 25, 100) // with nobody asleep [deepwater.wait.no-call]
	if look, err = r.Look(); err != nil || look["feed_registry.signal"] != 20 {
		t.Errorf("%v, %v", look["feed_registry.signal"], err)
	}
	expectRecords(t, r, 20, 25, shmwire.ErrEmpty)
	asleep := make(chan struct{})
	r.hook = func() { close(asleep) }
	done := make(chan error, 1)
	go func() {
		record, err := r.WaitNext(Forever)
		if err == nil && record.Sequence != 25 {
			err = errors.New("another record")
		}
		done <- err
	}()
	<-asleep
	fill(t, w, 25, 26, 100)
	succeed(t, <-done)
}

// Time limits and contexts [deepwater.wait.timeout].
func TestWaitEnds(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		base := newBase(t)
		w := mustWriter(t, base, small(true))
		fill(t, w, 0, 1, 10)
		r := mustReader(t, base, &ReaderOptions{ReadOnly: readOnly, Spin: time.Microsecond, Start: Latest})
		testkit.ExpectCode(t, second(r.WaitNext(0)), shmwire.ErrEmpty)
		began := time.Now()
		testkit.ExpectCode(t, second(r.WaitNext(20*time.Millisecond)), shmwire.ErrTimeout)
		if passed := time.Since(began); passed < 20*time.Millisecond {
			t.Errorf("ended after %v", passed)
		}
		// What comes at the last moment is found by the look behind the limit.
		r.hook = func() { fill(t, w, 1, 2, 10); time.Sleep(3 * time.Millisecond) }
		record, err := r.WaitNext(time.Millisecond)
		if err == nil {
			checkRecord(t, record, 1)
		} else { // so slow a machine that the limit had passed before the first sleep
			testkit.ExpectCode(t, err, shmwire.ErrTimeout)
			r.hook()
			expectRecords(t, r, 1, 2, shmwire.ErrEmpty)
		}
		r.hook = nil
		short, cancelShort := context.WithTimeout(context.Background(), 5*time.Millisecond)
		_, err = r.WaitNextContext(short)
		cancelShort()
		if !errors.Is(err, shmwire.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		r.hook = cancel
		if _, err = r.WaitNextContext(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		r.hook = func() { succeed(t, w.Close()); succeed(t, Retire(base, testFeed)) }
		testkit.ExpectCode(t, second(r.WaitNextContext(context.Background())), shmwire.ErrClosed)
		look, err := r.Look()
		succeed(t, err)
		if readOnly && look["feed_registry.waiters"] != 0 {
			t.Error("a reader that may not write has counted itself")
		}
	}
}

// A reader leaves every byte of a base as it is, but waiters when it sleeps [deepwater.open.readonly].
func TestReaderWritesNothing(t *testing.T) {
	base := newBase(t)
	w := mustWriter(t, base, small(true))
	fill(t, w, 0, 25, 10)
	paths := memoryOf(t, base)
	succeed(t, filepath.Walk(base, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			paths = append(paths, path)
		}
		return err
	}))
	before := make([][]byte, len(paths))
	for i, path := range paths {
		before[i] = readAll(t, path)
	}
	r := mustReader(t, base, nil)
	expectRecords(t, r, 0, 25, shmwire.ErrEmpty)
	lookAtEverything := []error{second(r.Chunks()), second(r.LatestChunk()), r.Seek(AtTime(timeOf(12))), Validate(base, testFeed)}
	for _, err := range lookAtEverything {
		succeed(t, err)
	}
	succeed(t, r.Seek(Latest))
	for i, path := range paths {
		same(t, path, readAll(t, path), before[i])
	}
	testkit.ExpectCode(t, second(r.WaitNext(time.Millisecond)), shmwire.ErrTimeout)
	for i, path := range paths {
		if filepath.Base(path) == feedFile {
			image(before[i]).u32(68, 1) // waiters
		}
		same(t, path, readAll(t, path), before[i])
	}
}

// A reader that comes first waits for base, registry and feed [deepwater.open.not-ready].
func TestWaitForFeed(t *testing.T) {
	base := filepath.Join(newBase(t), "later")
	testkit.ExpectCode(t, second(OpenReader(base, testFeed, nil)), shmwire.ErrNotFound)
	began := time.Now()
	testkit.ExpectCode(t, second(OpenReader(base, testFeed, &ReaderOptions{ReadyTimeout: 10 * time.Millisecond})),
		shmwire.ErrNotFound)
	if passed := time.Since(began); passed < 10*time.Millisecond {
		t.Errorf("ended after %v", passed)
	}
	opened := make(chan error, 1)
	go func() {
		r, err := OpenReader(base, testFeed, &ReaderOptions{ReadyTimeout: plenty})
		if err == nil {
			_, err = r.WaitNext(plenty)
			r.Close()
		}
		opened <- err
	}()
	w := mustWriter(t, base, small(false))
	fill(t, w, 0, 1, 10)
	succeed(t, <-opened)
	succeed(t, w.Close())
	if names := memoryOf(t, base); len(names) != 0 {
		t.Errorf("%v", names)
	}
}
