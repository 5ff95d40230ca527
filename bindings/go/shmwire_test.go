// SPDX-License-Identifier: MIT

package shmwire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRegistry(t *testing.T) {
	names, numbers := map[string]bool{}, map[int]bool{}
	for _, code := range Codes {
		if names[code.Name()] || numbers[code.Number()] || code.Number() == 0 || code.IsResult() != (code.Number() > 0) {
			t.Errorf("%s, %d", code.Name(), code.Number())
		}
		names[code.Name()], numbers[code.Number()] = true, true
		if !strings.HasPrefix(code.Error(), "shmwire: ") || CodeOf(code) != code {
			t.Errorf("%s: %q", code.Name(), code.Error())
		}
	}
	if ErrFull.Number() != 2 || ErrBadMagic.Number() != -1 || ErrBadMagic.Name() != "BAD_MAGIC" {
		t.Error("numbers or names have moved")
	}
}

func TestError(t *testing.T) {
	err := fmt.Errorf("around: %w", &Error{Code: ErrTimeout, Detail: "detail", Cause: context.DeadlineExceeded})
	if !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrFull) {
		t.Error("errors.Is")
	}
	if CodeOf(err) != ErrTimeout || CodeOf(nil) != nil || CodeOf(errors.New("foreign")) != ErrSystem {
		t.Error("CodeOf")
	}
	const text = "around: shmwire: the time limit passed first: detail: context deadline exceeded"
	if err.Error() != text {
		t.Errorf("%q", err.Error())
	}
	inner := &Error{Code: ErrCorrupt, Cause: ErrFull}
	if CodeOf(inner) != ErrCorrupt {
		t.Error("the cause's code hides the error's")
	}
}

func TestFromErrno(t *testing.T) {
	for errno, code := range map[unix.Errno]*Code{
		unix.ENOENT: ErrNotFound, unix.EEXIST: ErrExists, unix.EACCES: ErrPermission, unix.EPERM: ErrPermission,
		unix.EROFS: ErrPermission, unix.ENAMETOOLONG: ErrInvalidName, unix.ENOSPC: ErrSystem,
	} {
		if err := FromErrno("call", errno); !errors.Is(err, code) || !errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}

func TestPath(t *testing.T) {
	long := strings.Repeat("n", 254)
	for locator, path := range map[string]string{
		"/queue": "/dev/shm/queue", "queue": "/dev/shm/queue", "/" + long: "/dev/shm/" + long, "...": "/dev/shm/...",
		"./queue": "./queue", "/tmp/queue": "/tmp/queue", "a/b": "a/b",
	} {
		if found, err := Path(locator); err != nil || found != path {
			t.Errorf("%q: %q, %v", locator, found, err)
		}
	}
	for _, locator := range []string{"", "/", ".", "..", "/.", "/..", long + "n", "a\x00b", "/tmp/a\x00"} {
		if _, err := Path(locator); !errors.Is(err, ErrInvalidName) {
			t.Errorf("%q: %v", locator, err)
		}
	}
}

func TestFullName(t *testing.T) {
	for locator, want := range map[string]string{"/queue": "/queue", "queue": "/queue", "...": "/..."} {
		if name, posix, err := FullName(locator); name != want || !posix || err != nil {
			t.Errorf("%q: %q, %v, %v", locator, name, posix, err)
		}
	}
	for _, path := range []string{"./queue", "/tmp/queue", "a/b"} {
		if name, posix, err := FullName(path); name != path || posix || err != nil {
			t.Errorf("%q: %q, %v, %v", path, name, posix, err)
		}
	}
	if _, _, err := FullName("/"); !errors.Is(err, ErrInvalidName) {
		t.Error(err)
	}
}

func TestUnlink(t *testing.T) {
	path := t.TempDir() + "/segment"
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Unlink(path); err != nil {
		t.Error(err)
	}
	if err := Unlink(path); !errors.Is(err, ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
	if err := Unlink(".."); !errors.Is(err, ErrInvalidName) {
		t.Errorf("bad name: %v", err)
	}
}
