// SPDX-License-Identifier: MIT

package shm

import (
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shmwire"
)

func directory(t *testing.T, path string) *Directory {
	t.Helper()
	d, _, err := OpenDirectory(path)
	expect(t, err, nil)
	t.Cleanup(d.Close)
	return d
}

// Directories are made and opened step by step; who may read one may search it.
func TestDirectory(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	expect(t, err, nil)
	path := filepath.Join(root, "made")
	_, _, err = OpenDirectory(path)
	expect(t, err, shmwire.ErrNotFound)
	for i := 0; i < 2; i++ { // there already
		expect(t, MakeDirectory(path, 0o640), nil)
	}
	old := unix.Umask(0)
	d := directory(t, path)
	inner, err := d.Step("inner", 0o604)
	unix.Umask(old)
	expect(t, err, nil)
	inner.Close()
	for name, mode := range map[string]os.FileMode{path: 0o750 &^ os.FileMode(old), filepath.Join(path, "inner"): 0o705} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, expected %v", name, info.Mode(), err, mode)
		}
	}
	_, err = d.Step("absent", 0)
	expect(t, err, shmwire.ErrNotFound)
	expect(t, os.Symlink("inner", filepath.Join(path, "link")), nil)
	for _, mode := range []uint32{0, 0o600} {
		_, err = d.Step("link", mode)
		expect(t, err, shmwire.ErrPermission)
	}
	d.Close()
	(*Directory)(nil).Close()
	if d, _, err = OpenDirectory(path); err != nil {
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(uintptr(d.fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v", flags, err)
	}
}

// The real path of a directory is the same whichever way it is reached.
func TestRealPath(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	expect(t, err, nil)
	want := filepath.Join(root, "real", "deep")
	expect(t, os.MkdirAll(want, 0o700), nil)
	expect(t, os.Symlink("real/deep", filepath.Join(root, "link")), nil)
	here, err := os.Getwd()
	expect(t, err, nil)
	expect(t, os.Chdir(filepath.Join(root, "link")), nil)
	defer os.Chdir(here)
	t.Setenv("PWD", filepath.Join(root, "link")) // which is not where the kernel says that we are
	for _, path := range []string{want, root + "/link", root + "//link/../deep/.", ".", "../deep", "../../link"} {
		d, real, err := OpenDirectory(path)
		if err != nil || real != want {
			t.Errorf("%q is %q, %v", path, real, err)
		}
		d.Close()
	}
}

// Files of a directory: made, made anew, renamed, removed; never through a link.
func TestDirectoryFiles(t *testing.T) {
	path := t.TempDir()
	d := directory(t, path)
	_, err := d.OpenFile("file", ToRead, 0)
	expect(t, err, shmwire.ErrNotFound)
	f, err := d.OpenFile("file", ToMakeAnew, 0o600)
	expect(t, err, nil)
	expect(t, f.Append([]byte("abc")), nil)
	expect(t, f.Append([]byte("def")), nil)
	expect(t, f.Sync(), nil)
	expect(t, f.SyncData(), nil)
	again, err := f.Reopen()
	expect(t, err, nil)
	if raw, err := os.ReadFile(filepath.Join(path, "file")); err != nil || string(raw) != "abcdef" {
		t.Errorf("%q, %v", raw, err)
	}
	expect(t, again.Clear(3), nil)
	if raw, err := os.ReadFile(filepath.Join(path, "file")); err != nil || string(raw) != "\x00\x00\x00" {
		t.Errorf("%q, %v", raw, err)
	}
	expect(t, f.Clear(maxInt+1), shmwire.ErrInvalidArgument)
	expect(t, f.Reserve(0, 3), nil)
	f.Close()
	again.Close()
	_, err = d.OpenFile("file", ToMakeAnew, 0o600)
	expect(t, err, shmwire.ErrExists)
	f, err = d.OpenFile("file", ToMake, 0o600)
	expect(t, err, nil)
	f.Close()
	f, err = d.OpenFile("file", ToRead, 0)
	expect(t, err, nil)
	expect(t, f.Append([]byte("x")), shmwire.ErrSystem)
	f.Close()
	expect(t, os.Symlink("file", filepath.Join(path, "link")), nil)
	expect(t, os.Mkdir(filepath.Join(path, "directory"), 0o700), nil)
	for _, how := range []How{ToRead, ToWrite, ToMake} {
		_, err = d.OpenFile("link", how, 0o600)
		expect(t, err, shmwire.ErrPermission)
	}
	_, err = d.OpenFile("directory", ToRead, 0)
	expect(t, err, shmwire.ErrInvalidArgument)
	expect(t, d.Rename("file", "other"), nil)
	expect(t, d.Rename("file", "other"), shmwire.ErrNotFound)
	expect(t, d.Sync(), nil)
	for i := 0; i < 2; i++ { // each from the beginning
		names, err := d.Names()
		sort.Strings(names)
		if err != nil || strings.Join(names, " ") != "directory link other" {
			t.Errorf("%v, %v", names, err)
		}
	}
	expect(t, d.Remove("other"), nil)
	expect(t, d.Remove("other"), shmwire.ErrNotFound)
}

// A lock that is waited for comes when it is given back.
func TestByteLockWaiting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	first, err := CreateFile(path, 0o600)
	expect(t, err, nil)
	defer first.Close()
	expect(t, first.LockByteWaiting(0), nil)
	second := opened(t, path, false)
	taken := make(chan error, 1)
	go func() { taken <- second.LockByteWaiting(0) }()
	select {
	case err := <-taken:
		t.Fatalf("taken while another one holds it: %v", err)
	case <-time.After(5 * time.Millisecond):
	}
	first.UnlockByte(0)
	expect(t, <-taken, nil)
	if locked, err := first.Locked(0, 1); err != nil || !locked {
		t.Errorf("%v, %v", locked, err)
	}
	expect(t, opened(t, path, true).LockByteWaiting(0), shmwire.ErrSystem) // not writable
}
