// SPDX-License-Identifier: MIT

package shm

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"shmwire"
)

// opened is another description of a file, closed when the test ends.
func opened(t *testing.T, path string, readOnly bool) *File {
	t.Helper()
	f, err := OpenFile(path, readOnly)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func expect(t *testing.T, err error, code *shmwire.Code) {
	t.Helper()
	if shmwire.CodeOf(err) != code {
		t.Fatalf("%v, expected %v", err, code)
	}
}

// Files are made once, opened, resized and mapped.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	_, err := OpenFile(path, false)
	expect(t, err, shmwire.ErrNotFound)
	f, err := CreateFile(path, 0o600)
	expect(t, err, nil)
	defer f.Close()
	_, err = CreateFile(path, 0o600)
	expect(t, err, shmwire.ErrExists)
	_, err = OpenFile(filepath.Dir(path), true)
	expect(t, err, shmwire.ErrInvalidArgument)
	expect(t, f.Resize(maxInt+1), shmwire.ErrInvalidArgument)
	expect(t, f.Resize(8192), nil)
	_, err = f.Map(0, false)
	expect(t, err, shmwire.ErrUnsupported)
	m, err := f.Map(4096, false)
	expect(t, err, nil)
	r, err := opened(t, path, true).Map(4096, true)
	expect(t, err, nil)
	m.PutU64(8, 0x0102030405060708)
	if r.Part(8, 8).U64(0) != 0x0102030405060708 || r.Size() != 4096 {
		t.Error("the mappings differ")
	}
	expect(t, m.Close(), nil)
	expect(t, r.Close(), nil)
	state, err := f.State()
	if err != nil || state.Size != 8192 || !state.Named || !state.Identity.Names(path) || state.Identity.Names(path+"x") {
		t.Errorf("%+v, %v", state, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if state, err := f.State(); err != nil || state.Named || state.Identity.Names(path) {
		t.Errorf("%+v, %v", state, err)
	}
	if flags, err := unix.FcntlInt(f.Descriptor(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v", flags, err)
	}
	(*File)(nil).Close()
}

// Locks on bytes belong to descriptions, lie beyond the end of the file, and go with the description.
func TestByteLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	first, err := CreateFile(path, 0o600)
	expect(t, err, nil)
	second, third := opened(t, path, false), opened(t, path, true)
	const at = 1<<31 + 5
	take := func(f *File, want bool) {
		t.Helper()
		if taken, err := f.LockByte(at); taken != want || err != nil {
			t.Fatalf("taken %v, %v", taken, err)
		}
	}
	locked := func(f *File, at, n uint64, want bool) {
		t.Helper()
		if found, err := f.Locked(at, n); found != want || err != nil {
			t.Fatalf("locked %v, %v", found, err)
		}
	}
	take(first, true)
	take(first, true) // one's own does not stand in the way
	take(second, false)
	locked(first, at, 1, false)
	locked(second, at, 1, true)
	locked(third, 1<<31+1, 1<<31-1, true)
	locked(third, at+1, 1, false)
	first.UnlockByte(at)
	locked(second, at, 1, false)
	take(second, true)
	locked(first, at, 1, true)
	second.UnlockByte(at)
	take(first, true)
	first.Close()
	locked(third, at, 1, false)
}

// Lock excludes other descriptions, of this process too.
func TestFileLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	made, err := CreateFile(path, 0o600)
	expect(t, err, nil)
	made.Close()
	var group sync.WaitGroup
	shared := WindowOf(8).Atomic64(0)
	for i := 0; i < 4; i++ {
		f := opened(t, path, i%2 == 0)
		group.Add(1)
		go func() {
			defer group.Done()
			for n := 0; n < 500; n++ {
				if err := f.Lock(); err != nil {
					t.Error(err)
					return
				}
				shared.Store(shared.Load() + 1) // two operations: without the lock some would be lost
				f.Unlock()
			}
		}()
	}
	group.Wait()
	if shared.Load() != 2000 {
		t.Errorf("%d", shared.Load())
	}
}

// The operations that only some profiles use.
func TestMoreAtomics(t *testing.T) {
	w := WindowOf(16)
	a, b := w.Atomic64(0), w.Atomic32(8)
	a.StoreRelaxed(5)
	b.StoreRelaxed(6)
	FullFence()
	if a.Add(^uint64(0)) != 4 || b.Swap(9) != 6 || b.CompareAndSwap(6, 1) || !b.CompareAndSwap(9, 1) || b.Load() != 1 ||
		a.Load() != 4 {
		t.Errorf("%d %d", a.Load(), b.Load())
	}
}
