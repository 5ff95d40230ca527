// SPDX-License-Identifier: MIT

package shm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shmwire"
)

func expectPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}

func TestWindow(t *testing.T) {
	w := WindowOf(32)
	w.PutU64(8, 0x0807060504030201)
	w.PutU32(16, 0xfffefdfc)
	if w.Bytes(8, 1)[0] != 1 || w.U32(12) != 0x08070605 || w.Atomic64(8).Load() != 0x0807060504030201 ||
		w.Bytes(16, 1)[0] != 0xfc {
		t.Error("words are not little-endian")
	}
	if cap(w.Bytes(0, 4)) != 4 {
		t.Error("a run of bytes can grow into its neighbours")
	}
	for what, f := range map[string]func(){
		"read past the end":      func() { w.U32(29) },
		"offset near 2^64":       func() { w.Bytes(^uint64(0)-3, 8) },
		"length near 2^64":       func() { w.Bytes(8, ^uint64(0)-3) },
		"atomic past the end":    func() { w.Atomic64(25) },
		"misaligned 64-bit":      func() { w.Atomic64(4) },
		"misaligned 32-bit":      func() { w.Atomic32(2) },
		"misaligned word":        func() { Word64(w.Bytes(4, 12), 0) },
		"word past the end":      func() { Word64(w.Bytes(0, 8), 8) },
		"plain write at the end": func() { w.PutU64(25, 0) },
	} {
		expectPanic(t, what, f)
	}
}

func TestAtomics(t *testing.T) {
	w := WindowOf(16)
	word, half := w.Atomic64(0), w.Atomic32(8)
	word.Store(5)
	if word.CompareAndSwap(4, 9) || !word.CompareAndSwap(5, 9) || word.Load() != 9 {
		t.Error("compare-and-swap")
	}
	half.Store(1<<32 - 1)
	if half.Add(2) != 1 || half.Load() != 1 || w.U32(12) != 0 {
		t.Error("add does not wrap at 32 bits")
	}
	Word64(w.Bytes(0, 8), 0).StoreRelease(7)
	if word.Load() != 7 || Word64(w.Bytes(0, 16), 0).Load() != 7 {
		t.Error("load and store")
	}
	half.StoreRelease(1<<32 - 2)
	if half.Load() != 1<<32-2 || w.U32(12) != 0 || w.U32(4) != 0 {
		t.Error("half a word")
	}
	Fence()
	var flag Flag
	if flag.IsSet() || !flag.Set() || flag.Set() || !flag.IsSet() {
		t.Error("flag")
	}
}

// Hints change nothing, whatever the length and wherever the mapping ends.
func TestPrefetchLinesToWrite(t *testing.T) {
	m, err := Create(testFile(t), 4096, 4096, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.PutU64(4088, 7)
	for _, length := range []uint64{0, 1, 63, 64, 65, 1024, 4096} {
		for _, off := range []uint64{0, 1, 63, 4096 - length} {
			if off+length <= 4096 {
				PrefetchLinesToWrite(m.Bytes(off, length))
			}
		}
	}
	if m.U32(4088) != 7 || m.U32(4092) != 0 || m.U32(0) != 0 {
		t.Error("a hint stored something")
	}
}

func TestExtent(t *testing.T) {
	for _, c := range []struct {
		off, count, stride, end uint64
		fits                    bool
	}{
		{98432, 2, 1088, 100608, true}, {0, 0, 1088, 0, true}, {1, ^uint64(0), 1, 0, false},
		{0, 1 << 60, 1088, 0, false}, {^uint64(0) - 1087, 1, 1088, 0, false}, {^uint64(0) - 1088, 1, 1088, ^uint64(0), true},
	} {
		end, fits := Extent(c.off, c.count, c.stride)
		if fits != c.fits || fits && end != c.end {
			t.Errorf("%d + %d x %d: %d, %v", c.off, c.count, c.stride, end, fits)
		}
	}
	for v, expected := range map[uint64]bool{0: false, 1: true, 2: true, 3: false, 1 << 63: true, ^uint64(0): false} {
		if IsPowerOfTwo(v) != expected {
			t.Errorf("%d", v)
		}
	}
}

func testFile(t *testing.T) string { return filepath.Join(t.TempDir(), "segment") }

func TestMapping(t *testing.T) {
	path := testFile(t)
	m, err := Create(path, 8192, 4096, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if stat, err := os.Stat(path); err != nil || stat.Size() != 8192 || stat.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", stat, err)
	}
	m.Prefault(4090, 16)
	second, err := Open(path, true, 8192)
	if err != nil {
		t.Fatal(err)
	}
	second.Prefault(0, 8192)
	m.PutU32(8188, 77)
	if second.U32(8188) != 77 || !second.ReadOnly {
		t.Error("two mappings of one file differ")
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

func TestMappingErrors(t *testing.T) {
	path := testFile(t)
	m, err := Create(path, 4096, 0, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	directory := filepath.Dir(path)
	if err := os.WriteFile(filepath.Join(directory, "empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		code *shmwire.Code
		call func() (*Mapping, error)
	}{
		{"create twice", shmwire.ErrExists, func() (*Mapping, error) { return Create(path, 4096, 0, 0o600) }},
		{"absent", shmwire.ErrNotFound, func() (*Mapping, error) { return Open(path+"x", false, 1) }},
		{"short", shmwire.ErrTruncated, func() (*Mapping, error) { return Open(path, false, 4097) }},
		{"empty", shmwire.ErrTruncated, func() (*Mapping, error) { return Open(directory+"/empty", false, 0) }},
		{"directory", shmwire.ErrInvalidArgument, func() (*Mapping, error) { return Open(directory, true, 1) }},
		{"name", shmwire.ErrInvalidName, func() (*Mapping, error) { return Open("..", true, 1) }},
		{"name of create", shmwire.ErrInvalidName, func() (*Mapping, error) { return Create("/", 1, 0, 0o600) }},
		{"size", shmwire.ErrInvalidArgument, func() (*Mapping, error) { return Create(path+"y", 1<<63, 0, 0o600) }},
	} {
		if _, err := c.call(); !errors.Is(err, c.code) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	if _, err := Create(path+"z", 1<<62, 1<<62, 0o600); shmwire.CodeOf(err) != shmwire.ErrSystem {
		t.Errorf("no room: %v", err)
	}
	if _, err := os.Stat(path + "z"); !os.IsNotExist(err) {
		t.Error("a creation that failed left a file behind")
	}
}

// The lock excludes goroutines on one handle and other handles.
func TestLock(t *testing.T) {
	path := testFile(t)
	first, err := Create(path, 4096, 0, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := Open(path, false, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	inside, group := 0, sync.WaitGroup{}
	var mutex sync.Mutex
	step := func(by int) int { mutex.Lock(); defer mutex.Unlock(); inside += by; return inside }
	for i := 0; i < 40; i++ {
		handle := []*Mapping{first, second}[i%2]
		group.Add(1)
		go func() {
			defer group.Done()
			unlock, err := handle.Lock()
			if err != nil {
				t.Error(err)
				return
			}
			if step(1) != 1 {
				t.Error("two holders")
			}
			time.Sleep(50 * time.Microsecond)
			step(-1)
			unlock()
		}()
	}
	group.Wait()
}

// A claim lasts until it is given back or its handle is closed, and excludes other handles only.
func TestClaim(t *testing.T) {
	path := testFile(t)
	first, err := Create(path, 4096, 0, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Open(path, true, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for _, end := range []func(){first.Unclaim, func() { first.Close() }} {
		for i := 0; i < 2; i++ {
			if err := first.Claim(false); err != nil {
				t.Fatal(err)
			}
		}
		if err := second.Claim(false); !errors.Is(err, shmwire.ErrBusy) {
			t.Errorf("claimed twice: %v", err)
		}
		waited := make(chan error)
		go func() { waited <- second.Claim(true) }()
		select {
		case err := <-waited:
			t.Errorf("did not wait: %v", err)
		case <-time.After(20 * time.Millisecond):
			end()
			if err := <-waited; err != nil {
				t.Error(err)
			}
		}
		second.Unclaim()
	}
}

func TestContextDone(t *testing.T) {
	if err := ContextDone(context.Background()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	if err := ContextDone(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	if err := ContextDone(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, shmwire.ErrTimeout) {
		t.Error(err)
	}
	ctx, cancel = context.WithDeadline(context.Background(), time.Now())
	defer cancel()
	if err := ContextDone(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, shmwire.ErrTimeout) {
		t.Error(err)
	}
}

// Pauses become longer up to 1 ms, and do not go past a deadline.
func TestBackoff(t *testing.T) {
	var backoff Backoff
	for i := 0; i < spinRounds+yieldRounds; i++ {
		backoff.Pause(context.Background())
	}
	began := time.Now()
	for i := 0; i < 10; i++ {
		backoff.Pause(context.Background())
	}
	if took := time.Since(began); took < 10*longestNap {
		t.Errorf("ten long pauses took %v", took)
	}
	ctx, cancel := context.WithDeadline(context.Background(), time.Now())
	defer cancel()
	began = time.Now()
	for i := 0; i < 1000; i++ {
		backoff.Pause(ctx)
	}
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("a thousand pauses after the deadline took %v", took)
	}
}

func TestWait(t *testing.T) {
	word := WindowOf(8).Atomic32(0)
	began := time.Now()
	if Wait(word, 0, 30*time.Millisecond) != Elapsed || time.Since(began) < 30*time.Millisecond {
		t.Error("a sleep that nobody ends")
	}
	if Wait(word, 1, time.Minute) != Signalled {
		t.Error("another value")
	}
	if Wait(word, 0, 0) != Elapsed || Wait(word, 0, -time.Second) != Elapsed {
		t.Error("no time")
	}
	woken := make(chan Woken)
	go func() { woken <- Wait(word, 0, time.Minute) }()
	for {
		Wake(word, 1<<32-1)
		select {
		case why := <-woken:
			if why != Signalled {
				t.Error("a sleep that was ended")
			}
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// processTable makes a directory like /proc in which this process has its own maps and the others those given.
func processTable(t *testing.T, others map[string]string) string {
	t.Helper()
	table := t.TempDir()
	own, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	self := fmt.Sprint(os.Getpid())
	files := map[string]string{self: string(own)}
	for pid, maps := range others {
		files[pid] = maps
	}
	for pid, maps := range files {
		if err := os.Mkdir(filepath.Join(table, pid), 0o700); err != nil {
			t.Fatal(err)
		}
		if maps == "gone" {
			continue
		}
		if err := os.WriteFile(filepath.Join(table, pid, "maps"), []byte(maps), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(self, filepath.Join(table, "self")); err != nil {
		t.Fatal(err)
	}
	return table
}

func TestExclusive(t *testing.T) {
	path := testFile(t)
	m, err := Create(path, 8192, 0, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	own, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	var line string
	for _, each := range strings.Split(string(own), "\n") {
		if strings.HasSuffix(each, path) {
			line = each
		}
	}
	if line == "" {
		t.Fatal("this process's maps do not show the segment")
	}
	const stranger = "7f0000000000-7f0000002000 rw-s 00000000 00:1a 999999 /dev/shm/other\n"
	for _, c := range []struct {
		what   string
		others map[string]string
		busy   bool
	}{
		{"alone", map[string]string{"1": stranger}, false},
		{"one has ended", map[string]string{"1": "", "77": "gone"}, false},
		{"mapped elsewhere", map[string]string{"1": stranger, "77": stranger + line + "\n"}, true},
		{"others are hidden", map[string]string{}, true},
	} {
		err := m.exclusiveIn(processTable(t, c.others))
		if (err != nil) != c.busy || c.busy && !errors.Is(err, shmwire.ErrBusy) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	table := processTable(t, map[string]string{"1": ""})
	if err := os.Remove(filepath.Join(table, "1", "maps")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(table, "1", "maps"), 0o700); err != nil { // cannot be read, whoever asks
		t.Fatal(err)
	}
	if err := m.exclusiveIn(table); !errors.Is(err, shmwire.ErrBusy) {
		t.Errorf("maps that cannot be read: %v", err)
	}
	if err := m.exclusiveIn(t.TempDir()); !errors.Is(err, shmwire.ErrBusy) {
		t.Errorf("no process table: %v", err)
	}
}

// A fault in a truncated mapping is an error under Guard; other panics stay panics.
func TestTruncatedUnderGuard(t *testing.T) {
	path := testFile(t)
	m, err := Create(path, 3*4096, 0, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	var sink uint32 // else the loads are not made
	for what, f := range map[string]func() error{
		"plain load":  func() error { sink += m.U32(8192); return nil },
		"copy":        func() error { copy(make([]byte, 64), m.Bytes(8192, 64)); return nil },
		"plain store": func() error { m.PutU32(8192, 1); return nil },
		"atomic load": func() error { sink += uint32(Word64(m.Bytes(8192, 8), 0).Load()); return nil },
	} {
		if err := shmwire.Guard(f); !errors.Is(err, shmwire.ErrTruncated) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := shmwire.Guard(func() error { sink += m.U32(0); return shmwire.ErrFull }); err != shmwire.ErrFull {
		t.Errorf("no fault: %v", err)
	}
	expectPanic(t, "a nil dereference under Guard", func() {
		var nothing *int
		shmwire.Guard(func() error { *nothing = 1; return nil })
	})
	expectPanic(t, "a panic under Guard", func() { shmwire.Guard(func() error { panic("own") }) })
	t.Logf("sum of what was read: %d", sink)
}
