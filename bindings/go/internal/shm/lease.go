// SPDX-License-Identifier: MIT

package shm

import "golang.org/x/sys/unix"

// Alone says that nobody else has the mapping's file open or mapped, in this process or another. The system knows: on such a file
// alone it gives a write lease, which is given back at once. "No" is also the answer where there are no leases, or none for us.
//
// Whoever opens the file within that moment has a signal sent to this process. Asked for is SIGURG: the Go runtime interrupts its
// own threads with it, takes one that means nothing for what it is, and handles it where Go is but a library in another program,
// which the usual one, SIGIO, would end.
func (m *Mapping) Alone() bool {
	return m.lease() && m.fcntl(unix.F_SETLEASE, unix.F_UNLCK)
}

func (m *Mapping) lease() bool {
	return m.fcntl(unix.F_SETSIG, int(unix.SIGURG)) && m.fcntl(unix.F_SETLEASE, unix.F_WRLCK)
}

func (m *Mapping) fcntl(command, argument int) bool {
	_, err := unix.FcntlInt(uintptr(m.fd), command, argument)
	return err == nil
}
