// SPDX-License-Identifier: MIT

package shm

import (
	"errors"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"shmwire"
)

// Mapping is a segment's file, mapped whole. Its descriptor stays open for locks.
type Mapping struct {
	Window
	ReadOnly bool
	fd       int        // -1: no file
	mutex    sync.Mutex // flock does not tell goroutines that share a descriptor apart
}

const maxInt = uint64(^uint(0) >> 1)

// Create makes the file exclusively, size bytes of zeros, of which the first reserve bytes are backed by storage, and
// maps it. On failure nothing is left behind. ErrExists, ErrInvalidName, ErrPermission, ErrInvalidArgument,
// ErrSystem.
func Create(locator string, size, reserve uint64, mode uint32) (*Mapping, error) {
	if !LittleEndian() {
		return nil, shmwire.Errorf(shmwire.ErrUnsupported, "big-endian machine")
	}
	if size > maxInt {
		return nil, shmwire.Errorf(shmwire.ErrInvalidArgument, "size %d", size)
	}
	path, err := shmwire.Path(locator)
	if err != nil {
		return nil, err
	}
	fd, err := openRetrying(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, mode)
	if err != nil {
		return nil, shmwire.FromErrno("create "+path, err)
	}
	mapping, err := sizeAndMap(fd, size, reserve)
	if err != nil {
		unix.Close(fd)
		unix.Unlink(path)
		return nil, err
	}
	return mapping, nil
}

// CreateAnonymous maps size bytes of zeros that have no name: for the threads of this process. ErrInvalidArgument,
// ErrSystem.
func CreateAnonymous(size uint64) (*Mapping, error) {
	if size == 0 || size > maxInt {
		return nil, shmwire.Errorf(shmwire.ErrInvalidArgument, "size %d", size)
	}
	b, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		return nil, shmwire.FromErrno("mmap", err)
	}
	return &Mapping{Window: Window{b}, fd: -1}, nil
}

func sizeAndMap(fd int, size, reserve uint64) (*Mapping, error) {
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, shmwire.FromErrno("ftruncate", err)
	}
	mapping := &Mapping{fd: fd}
	if err := mapping.Reserve(0, reserve); err != nil {
		return nil, err
	}
	return mapping, mapping.attach(size)
}

// Open maps an existing file. A file that is shorter than least bytes is ErrTruncated. ErrNotFound, ErrInvalidName,
// ErrInvalidArgument (not a regular file), ErrPermission, ErrSystem.
func Open(locator string, readOnly bool, least uint64) (*Mapping, error) {
	if !LittleEndian() {
		return nil, shmwire.Errorf(shmwire.ErrUnsupported, "big-endian machine")
	}
	path, err := shmwire.Path(locator)
	if err != nil {
		return nil, err
	}
	flags := unix.O_RDWR
	if readOnly {
		flags = unix.O_RDONLY
	}
	fd, err := openRetrying(path, flags, 0)
	if err != nil {
		return nil, shmwire.FromErrno("open "+path, err)
	}
	mapping, err := statAndMap(fd, readOnly, least)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return mapping, nil
}

func statAndMap(fd int, readOnly bool, least uint64) (*Mapping, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, shmwire.FromErrno("fstat", err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, shmwire.Errorf(shmwire.ErrInvalidArgument, "not a regular file")
	}
	size := uint64(stat.Size)
	if size < least || size == 0 {
		return nil, shmwire.Errorf(shmwire.ErrTruncated, "%d bytes, at least %d expected", size, least)
	}
	if size > maxInt {
		return nil, shmwire.Errorf(shmwire.ErrUnsupported, "%d bytes do not fit the address space", size)
	}
	mapping := &Mapping{fd: fd, ReadOnly: readOnly}
	return mapping, mapping.attach(size)
}

// readyPoll is how long OpenReady sleeps between two looks at a segment that is not ready.
const readyPoll = time.Millisecond

// OpenReady is Open for a segment that its creator may still be at work on: until limit has passed it looks again while
// the file is shorter than least, or check answers ErrNotReady. After that the answer is the last one.
func OpenReady(locator string, readOnly bool, least uint64, limit time.Duration, check func(Window) error) (*Mapping, error) {
	deadline := time.Now().Add(limit)
	for {
		mapping, err := Open(locator, readOnly, least)
		// A file that is still short is one that its creator has not sized yet, while there is time left to wait.
		again := shmwire.CodeOf(err) == shmwire.ErrTruncated
		if err == nil {
			if err = check(mapping.Window); err == nil {
				return mapping, nil
			}
			mapping.Close()
			again = shmwire.CodeOf(err) == shmwire.ErrNotReady
		}
		if !again || !time.Now().Before(deadline) {
			return nil, err
		}
		time.Sleep(readyPoll)
	}
}

// openRetrying adds O_NONBLOCK, so that a pipe in the place of a segment does not hold the caller.
func openRetrying(path string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, mode)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

func (m *Mapping) attach(size uint64) error {
	prot := unix.PROT_READ | unix.PROT_WRITE
	if m.ReadOnly {
		prot = unix.PROT_READ
	}
	b, err := unix.Mmap(m.fd, 0, int(size), prot, unix.MAP_SHARED)
	if err != nil {
		return shmwire.FromErrno("mmap", err)
	}
	m.b = b
	return nil
}

// Close unmaps the segment and closes the descriptor. Nothing may refer to the mapping any more.
func (m *Mapping) Close() error {
	err := unix.Munmap(m.b)
	m.b = nil
	if m.fd >= 0 {
		if closeErr := unix.Close(m.fd); err == nil {
			err = closeErr
		}
	}
	if err != nil {
		return shmwire.FromErrno("close", err)
	}
	return nil
}

// Reserve has the file system back [off, off+n) with storage, so that a full one is an error here and not a fault
// later. File systems that cannot do it are let pass.
func (m *Mapping) Reserve(off, n uint64) error {
	if n == 0 {
		return nil
	}
	for {
		err := unix.Fallocate(m.fd, unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n))
		switch {
		case err == nil, errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return nil
		case !errors.Is(err, unix.EINTR):
			return shmwire.FromErrno("fallocate", err)
		}
	}
}

// Prefault maps the pages of [off, off+n), writable where the mapping is. Kernels before 5.14 cannot, which is no
// error.
func (m *Mapping) Prefault(off, n uint64) {
	page := uint64(unix.Getpagesize())
	start := off &^ (page - 1)
	advice := unix.MADV_POPULATE_WRITE
	if m.ReadOnly {
		advice = unix.MADV_POPULATE_READ
	}
	_ = unix.Madvise(m.Bytes(start, off+n-start), advice)
}

// prefaultLimit: of longer segments pages are mapped as they are come to.
const prefaultLimit = 64 << 20

// PrefaultAll maps all pages of a segment that is not very long.
func (m *Mapping) PrefaultAll() {
	if size := m.Size(); size <= prefaultLimit {
		m.Prefault(0, size)
	}
}

// Lock waits for flock(LOCK_EX) on the file and returns the release. It excludes other processes, other handles of this
// process, and other goroutines on this handle.
func (m *Mapping) Lock() (unlock func(), err error) {
	m.mutex.Lock()
	for {
		err := unix.Flock(m.fd, unix.LOCK_EX)
		if err == nil {
			return func() { unix.Flock(m.fd, unix.LOCK_UN); m.mutex.Unlock() }, nil
		}
		if !errors.Is(err, unix.EINTR) {
			m.mutex.Unlock()
			return nil, shmwire.FromErrno("flock", err)
		}
	}
}

// Claim takes flock(LOCK_EX) on the file for as long as the mapping lives, or until Unclaim. Unless it is to wait, a
// lock that another handle holds is ErrBusy.
func (m *Mapping) Claim(wait bool) error {
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	for {
		err := unix.Flock(m.fd, how)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return shmwire.Errorf(shmwire.ErrBusy, "another handle holds the lock")
		case !errors.Is(err, unix.EINTR):
			return shmwire.FromErrno("flock", err)
		}
	}
}

// Unclaim gives the lock of Claim back at once, even while a child between fork and exec still has the descriptor.
func (m *Mapping) Unclaim() { unix.Flock(m.fd, unix.LOCK_UN) }

// base is the address of the mapping.
func (m *Mapping) base() uintptr { return uintptr(unsafe.Pointer(&m.b[0])) }
