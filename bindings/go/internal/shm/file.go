// SPDX-License-Identifier: MIT

package shm

import (
	"errors"
	"io"
	"strconv"

	"golang.org/x/sys/unix"

	"shmwire"
)

// File is an open file description of a segment's file, for the locks that belong to it, and for mappings. It is
// close-on-exec. A Go process does not fork without exec, so that nobody inherits one.
type File struct{ fd int }

// Identity tells one file from another, whatever their names.
type Identity struct{ Device, Inode uint64 }

// FileState is a file as it was when it was asked for.
type FileState struct {
	Identity
	Size  uint64 // bytes
	Named bool   // false once its last name was removed
}

// OpenFile opens an existing regular file. ErrNotFound, ErrPermission, ErrInvalidArgument (not a regular file), ErrSystem.
func OpenFile(path string, readOnly bool) (*File, error) {
	if !LittleEndian() {
		return nil, shmwire.Errorf(shmwire.ErrUnsupported, "big-endian machine")
	}
	flags := unix.O_RDWR
	if readOnly {
		flags = unix.O_RDONLY
	}
	fd, err := openRetrying(path, flags, 0)
	if err != nil {
		return nil, shmwire.FromErrno("open "+path, err)
	}
	f := &File{fd}
	if _, err := f.State(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// CreateFile makes an empty file that did not exist. ErrExists, ErrPermission, ErrInvalidName, ErrSystem.
func CreateFile(path string, mode uint32) (*File, error) {
	if !LittleEndian() {
		return nil, shmwire.Errorf(shmwire.ErrUnsupported, "big-endian machine")
	}
	fd, err := openRetrying(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, mode)
	if err != nil {
		return nil, shmwire.FromErrno("create "+path, err)
	}
	return &File{fd}, nil
}

// Close closes the description, and gives its locks back. nil is allowed.
func (f *File) Close() {
	if f != nil {
		unix.Close(f.fd)
	}
}

// State is the file's identity and size. ErrInvalidArgument for anything but a regular file, ErrSystem.
func (f *File) State() (FileState, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(f.fd, &stat); err != nil {
		return FileState{}, shmwire.FromErrno("fstat", err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return FileState{}, shmwire.Errorf(shmwire.ErrInvalidArgument, "not a regular file")
	}
	return FileState{identityOf(&stat), uint64(stat.Size), stat.Nlink != 0}, nil
}

func identityOf(stat *unix.Stat_t) Identity { return Identity{uint64(stat.Dev), stat.Ino} }

// Names says whether a path leads to the file.
func (id Identity) Names(path string) bool {
	var stat unix.Stat_t
	return unix.Stat(path, &stat) == nil && identityOf(&stat) == id
}

// Resize gives the file a length, and storage for all of it, so that a full file system is an error here and not a fault
// later. ErrInvalidArgument, ErrSystem.
func (f *File) Resize(size uint64) error {
	if size > maxInt {
		return shmwire.Errorf(shmwire.ErrInvalidArgument, "size %d", size)
	}
	if err := unix.Ftruncate(f.fd, int64(size)); err != nil {
		return shmwire.FromErrno("ftruncate", err)
	}
	return (&Mapping{fd: f.fd}).Reserve(0, size)
}

// Clear gives the file a length, and zeros for all of it, which storage backs only where Reserve was asked for it.
// ErrInvalidArgument, ErrSystem.
func (f *File) Clear(size uint64) error {
	if size > maxInt {
		return shmwire.Errorf(shmwire.ErrInvalidArgument, "size %d", size)
	}
	for _, length := range []int64{0, int64(size)} {
		if err := unix.Ftruncate(f.fd, length); err != nil {
			return shmwire.FromErrno("ftruncate", err)
		}
	}
	return nil
}

// Reserve is Mapping.Reserve for the file.
func (f *File) Reserve(off, n uint64) error { return (&Mapping{fd: f.fd}).Reserve(off, n) }

// Append writes all of the bytes at the end of what was written through this description. ErrSystem.
func (f *File) Append(bytes []byte) error {
	for len(bytes) > 0 {
		n, err := unix.Write(f.fd, bytes)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return shmwire.FromErrno("write", err)
		}
		if n > 0 {
			bytes = bytes[n:]
		}
	}
	return nil
}

// Sync writes the file to the disk. ErrSystem.
func (f *File) Sync() error { return retried("fsync", func() error { return unix.Fsync(f.fd) }) }

// SyncData does so for its bytes, and of what else there is only for what it takes to read them back. ErrSystem.
func (f *File) SyncData() error {
	return retried("fdatasync", func() error { return unix.Fdatasync(f.fd) })
}

// Reopen opens the same file once more, to read and write. The errors of OpenFile.
func (f *File) Reopen() (*File, error) { return OpenFile("/proc/self/fd/"+strconv.Itoa(f.fd), false) }

// Map maps the first size bytes; the mapping outlives the description. ErrUnsupported, ErrSystem.
func (f *File) Map(size uint64, readOnly bool) (*Mapping, error) {
	if size == 0 || size > maxInt {
		return nil, shmwire.Errorf(shmwire.ErrUnsupported, "a mapping of %d bytes", size)
	}
	m := &Mapping{fd: f.fd, ReadOnly: readOnly}
	if err := m.attach(size); err != nil {
		return nil, err
	}
	m.fd = -1
	return m, nil
}

// Lock waits for flock(LOCK_EX).
func (f *File) Lock() error {
	for {
		err := unix.Flock(f.fd, unix.LOCK_EX)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return shmwire.FromErrno("flock", err)
		}
	}
}

// Unlock gives the lock of Lock back.
func (f *File) Unlock() { unix.Flock(f.fd, unix.LOCK_UN) }

// LockByte takes the description's write lock on the byte at an offset, which may lie beyond the end of the file; false
// when another description holds it. The kernel gives it back when the last descriptor of the description is closed.
func (f *File) LockByte(at uint64) (bool, error) {
	err := f.fcntl(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: int64(at), Len: 1})
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		return false, nil
	}
	return false, shmwire.FromErrno("F_OFD_SETLK", err)
}

// LockByteWaiting is LockByte that waits for its turn. ErrSystem.
func (f *File) LockByteWaiting(at uint64) error {
	err := f.fcntl(unix.F_OFD_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: int64(at), Len: 1})
	if err != nil {
		return shmwire.FromErrno("F_OFD_SETLKW", err)
	}
	return nil
}

// UnlockByte gives such a lock back.
func (f *File) UnlockByte(at uint64) {
	_ = f.fcntl(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK, Whence: io.SeekStart, Start: int64(at), Len: 1})
}

// Locked says whether another description holds a write lock on one of n bytes.
func (f *File) Locked(at, n uint64) (bool, error) {
	lock := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart, Start: int64(at), Len: int64(n)}
	if err := f.fcntl(unix.F_OFD_GETLK, &lock); err != nil {
		return false, shmwire.FromErrno("F_OFD_GETLK", err)
	}
	return lock.Type != unix.F_UNLCK, nil
}

func (f *File) fcntl(command int, lock *unix.Flock_t) error {
	for {
		err := unix.FcntlFlock(uintptr(f.fd), command, lock)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Descriptor is the number of the open file, for who looks at its flags.
func (f *File) Descriptor() uintptr { return uintptr(f.fd) }

// Link gives a segment a second name, as link(2) does. ErrExists, ErrNotFound, ErrInvalidName, ErrPermission, ErrSystem.
func Link(locator, second string) error {
	from, err := shmwire.Path(locator)
	if err != nil {
		return err
	}
	to, err := shmwire.Path(second)
	if err != nil {
		return err
	}
	if err := unix.Link(from, to); err != nil {
		return shmwire.FromErrno("link "+from, err)
	}
	return nil
}
