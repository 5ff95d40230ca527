// SPDX-License-Identifier: MIT

package shm

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"shmwire"
)

// Directory is an open directory, below which names are opened one component at a time and never through a symbolic link. It is
// close-on-exec.
type Directory struct{ fd int }

// searchable is a mode for a directory: who may read it may search it.
func searchable(mode uint32) uint32 { return mode | mode&0o444>>2 }

// MakeDirectory makes a directory, unless it is there. The errors of FromErrno.
func MakeDirectory(path string, mode uint32) error {
	if err := unix.Mkdir(path, searchable(mode)); err != nil && !errors.Is(err, unix.EEXIST) {
		return shmwire.FromErrno("mkdir "+path, err)
	}
	return nil
}

// OpenDirectory opens a directory by its real path, which it answers, too: absolute, without links. The errors of FromErrno.
func OpenDirectory(path string) (directory *Directory, real string, err error) {
	if !filepath.IsAbs(path) {
		here, err := unix.Getwd() // the kernel's: what PWD says may lead through a link
		if err != nil {
			return nil, "", shmwire.FromErrno("getcwd", err)
		}
		path = here + "/" + path
	}
	if real, err = filepath.EvalSymlinks(path); err != nil {
		return nil, "", shmwire.FromErrno("realpath "+path, err)
	}
	fd, err := openat(unix.AT_FDCWD, real, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, "", shmwire.FromErrno("open "+real, err)
	}
	return &Directory{fd}, real, nil
}

// Close closes the descriptor. nil is allowed.
func (d *Directory) Close() {
	if d != nil {
		unix.Close(d.fd)
	}
}

// Step opens a directory in this one, and makes it first if it is not there and mode is not 0. ErrPermission for a link,
// otherwise the errors of FromErrno.
func (d *Directory) Step(name string, mode uint32) (*Directory, error) {
	if mode != 0 {
		if err := unix.Mkdirat(d.fd, name, searchable(mode)); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, shmwire.FromErrno("mkdir "+name, err)
		}
	}
	fd, err := openat(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, d.refusal(name, err)
	}
	return &Directory{fd}, nil
}

// How says how a file is opened.
type How int

const (
	ToRead     How = iota
	ToWrite        // and to read
	ToMake         // the same, making it if it is not there
	ToMakeAnew     // the same; ErrExists if it is there
)

var openFlags = [...]int{
	ToRead: unix.O_RDONLY, ToWrite: unix.O_RDWR, ToMake: unix.O_RDWR | unix.O_CREAT,
	ToMakeAnew: unix.O_RDWR | unix.O_CREAT | unix.O_EXCL,
}

// OpenFile opens a regular file in the directory. ErrPermission for a link, ErrInvalidArgument for anything else that is no
// regular file, otherwise the errors of FromErrno.
func (d *Directory) OpenFile(name string, how How, mode uint32) (*File, error) {
	if !LittleEndian() {
		return nil, shmwire.Errorf(shmwire.ErrUnsupported, "big-endian machine")
	}
	fd, err := openat(d.fd, name, openFlags[how]|unix.O_NOFOLLOW, mode)
	if err != nil {
		return nil, d.refusal(name, err)
	}
	file := &File{fd}
	if _, err := file.State(); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// refusal is the error for an open that failed: a link is refused by name, whatever the kernel calls it.
func (d *Directory) refusal(name string, cause error) error {
	var stat unix.Stat_t
	if unix.Fstatat(d.fd, name, &stat, unix.AT_SYMLINK_NOFOLLOW) == nil && stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		return &shmwire.Error{Code: shmwire.ErrPermission, Detail: name + " is a symbolic link", Cause: cause}
	}
	return shmwire.FromErrno("open "+name, cause)
}

// Remove removes the name of a file in the directory. The errors of FromErrno.
func (d *Directory) Remove(name string) error {
	if err := unix.Unlinkat(d.fd, name, 0); err != nil {
		return shmwire.FromErrno("unlink "+name, err)
	}
	return nil
}

// Rename gives a file in the directory another name, which may be taken. The errors of FromErrno.
func (d *Directory) Rename(from, to string) error {
	if err := unix.Renameat(d.fd, from, d.fd, to); err != nil {
		return shmwire.FromErrno("rename "+from, err)
	}
	return nil
}

// Sync writes the directory's names to the disk. ErrSystem.
func (d *Directory) Sync() error { return retried("fsync", func() error { return unix.Fsync(d.fd) }) }

// Names are those of all that is in the directory, in no order. ErrSystem.
func (d *Directory) Names() ([]string, error) {
	fd, err := openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0) // a position of its own
	if err != nil {
		return nil, shmwire.FromErrno("open directory", err)
	}
	list := os.NewFile(uintptr(fd), ".")
	defer list.Close()
	names, err := list.Readdirnames(-1)
	if err != nil {
		return nil, shmwire.FromErrno("read directory", err)
	}
	return names, nil
}

// openat is openRetrying for a name in a directory.
func openat(at int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(at, name, flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, mode)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// retried makes a system call again that a signal interrupted.
func retried(name string, call func() error) error {
	for {
		err := call()
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return shmwire.FromErrno(name, err)
		}
	}
}
