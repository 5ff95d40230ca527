// SPDX-License-Identifier: MIT

package shm

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Futex operations, process-shared: without FUTEX_PRIVATE_FLAG (128) [dmxp.wait.shared].
const (
	futexWait = 0
	futexWake = 1
)

// Woken is why a Wait ended.
type Woken int

const (
	Signalled Woken = iota // woken, interrupted by a signal, or the word had another value already: look again
	Elapsed                // the time passed
)

// Wait sleeps while the word has the value v, at most for limit. The goroutine keeps its thread.
func Wait(word U32, v uint32, limit time.Duration) Woken {
	if limit <= 0 {
		return Elapsed
	}
	ts := unix.NsecToTimespec(int64(limit))
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word.p)), futexWait, uintptr(v),
		uintptr(unsafe.Pointer(&ts)), 0, 0)
	if errno == unix.ETIMEDOUT {
		return Elapsed
	}
	return Signalled
}

// Wake wakes up to n sleepers on the word. It does not block, hence the raw call.
func Wake(word U32, n uint32) {
	if n > 1<<31-1 {
		n = 1<<31 - 1 // the kernel reads an int
	}
	unix.RawSyscall(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word.p)), futexWake, uintptr(n))
}

const (
	standBackFirst = 8
	standBackMost  = 64 // pauses: 0.6 to 3 microseconds, as processors go
)

// StandBack is for those who lost a compare-and-swap: another one is between that and his next message, and looking
// again at once would take the lines from him that he is working on. It pauses first, for longer each time. The zero
// value is ready for use.
type StandBack struct{ turns int }

// Pause stands back once.
func (s *StandBack) Pause() {
	if s.turns == 0 {
		s.turns = standBackFirst
	}
	for i := 0; i < s.turns; i++ {
		Pause()
	}
	if s.turns < standBackMost {
		s.turns *= 2
	}
}
