// SPDX-License-Identifier: MIT

package shmwire

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Version of the library.
const Version = "0.1.0"

const (
	shmDirectory = "/dev/shm/"
	maxNameBytes = 254
)

// Path is the file behind a locator: "/queue" and "queue" are /dev/shm/queue; a locator with any other slash
// ("./queue.bin", "/tmp/queue") is a path already. ErrInvalidName for anything else.
func Path(locator string) (string, error) {
	if strings.IndexByte(locator, 0) >= 0 {
		return "", Errorf(ErrInvalidName, "the name holds a NUL byte")
	}
	name := strings.TrimPrefix(locator, "/")
	if strings.Contains(name, "/") {
		return locator, nil
	}
	if name == "" || name == "." || name == ".." || len(name) > maxNameBytes {
		return "", Errorf(ErrInvalidName, "%q", locator)
	}
	return shmDirectory + name, nil
}

// FullName is a locator as other programs may be told it: a POSIX name with its leading slash, and true; a path as it is,
// and false. ErrInvalidName as for Path.
func FullName(locator string) (name string, posix bool, err error) {
	path, err := Path(locator)
	if err != nil || path == locator {
		return locator, false, err
	}
	return "/" + strings.TrimPrefix(locator, "/"), true, nil
}

// Unlink removes a segment's name. Those who have the segment mapped keep it. ErrNotFound, ErrInvalidName,
// ErrPermission.
func Unlink(locator string) error {
	path, err := Path(locator)
	if err != nil {
		return err
	}
	if err := unix.Unlink(path); err != nil {
		return FromErrno("unlink", err)
	}
	return nil
}
