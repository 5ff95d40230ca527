// SPDX-License-Identifier: MIT

package shm

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shmwire"
)

// leased is a segment in shared memory, where there are leases whatever the file system of temporary files is.
func leased(t *testing.T) (m *Mapping, locator, path string) {
	t.Helper()
	locator = fmt.Sprintf("/shmw-go-lease-%d", os.Getpid())
	path, err := shmwire.Path(locator)
	expect(t, err, nil)
	m, err = Create(locator, 4096, 4096, 0o600)
	expect(t, err, nil)
	t.Cleanup(func() { m.Close(); os.Remove(path) })
	return m, locator, path
}

// Whoever has the file open or mapped, to write or to read only, is seen, until he lets go.
func TestAlone(t *testing.T) {
	m, locator, path := leased(t)
	if !m.Alone() || !m.Alone() {
		t.Error("not alone with a file that nobody else knows")
	}
	for _, readOnly := range []bool{true, false} {
		f := opened(t, path, readOnly)
		if m.Alone() {
			t.Error("alone with a file that is open")
		}
		r, err := f.Map(4096, readOnly)
		expect(t, err, nil)
		f.Close()
		if m.Alone() {
			t.Error("alone with a file that is mapped")
		}
		expect(t, r.Close(), nil)
		if !m.Alone() {
			t.Error("not alone with a file that was let go of")
		}
	}
	expect(t, shmwire.Unlink(locator), nil)
	if !m.Alone() {
		t.Error("not alone with a file that has no name")
	}
}

// The signal that comes of breaking a lease ends nobody, whether it is asked for or not.
func TestLeaseBroken(t *testing.T) {
	m, _, path := leased(t)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGURG)
	breakLease(t, m, path)
	select {
	case <-signals:
	case <-time.After(10 * time.Second):
		t.Error("no signal")
	}
	signal.Stop(signals)
	for i := 0; i < 100; i++ {
		breakLease(t, m, path)
	}
	if !m.Alone() {
		t.Error("not alone once the lease is given back")
	}
}

// breakLease opens the file in the middle of Alone.
func breakLease(t *testing.T, m *Mapping, path string) {
	t.Helper()
	if !m.lease() {
		t.Fatal("no lease")
	}
	if fd, err := openRetrying(path, unix.O_RDONLY, 0); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Fatalf("descriptor %d, %v", fd, err)
	}
	if !m.fcntl(unix.F_SETLEASE, unix.F_UNLCK) {
		t.Fatal("the lease is not given back")
	}
}

// A segment has its bytes under both names, until both are gone.
func TestLink(t *testing.T) {
	m, locator, _ := leased(t)
	second := locator + ".second"
	expect(t, Link(locator, second), nil)
	defer shmwire.Unlink(second)
	expect(t, Link(locator, second), shmwire.ErrExists)
	expect(t, Link(locator+".nothing", locator+".third"), shmwire.ErrNotFound)
	expect(t, Link("", second), shmwire.ErrInvalidName)
	expect(t, Link(locator, ".."), shmwire.ErrInvalidName)
	m.PutU64(8, 0x0102030405060708)
	r, err := Open(second, true, 4096)
	expect(t, err, nil)
	if r.U64(8) != 0x0102030405060708 {
		t.Error("the second name is of another file")
	}
	expect(t, r.Close(), nil)
}
