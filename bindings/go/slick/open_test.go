// SPDX-License-Identifier: MIT

package slick

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"time"

	"shmwire"
)

func TestOpenErrors(t *testing.T) {
	path := t.TempDir() + "/segment"
	_, err := Open(path)
	expectCode(t, err, shmwire.ErrNotFound)
	set := func(offset int, value uint32) func(raw image) []byte {
		return func(raw image) []byte { binary.LittleEndian.PutUint32(raw[offset:], value); return raw }
	}
	short := func(length int) func(raw image) []byte { return func(raw image) []byte { return raw[:length] } }
	for _, c := range []struct {
		what       string
		generation Generation
		make       func(raw image) []byte
		code       *shmwire.Code
	}{
		{"as it is", 12, short(140), nil}, {"as it is", 13, short(140), nil}, {"as it is", 14, short(140), nil},
		{"no bytes", 14, short(0), shmwire.ErrTruncated}, {"63 bytes", 14, short(63), shmwire.ErrTruncated},
		{"no slots", 12, short(64), shmwire.ErrTruncated}, {"a byte short", 14, short(139), shmwire.ErrTruncated},
		{"size 0", 12, set(8, 0), shmwire.ErrNotReady}, {"size 0", 14, set(8, 0), shmwire.ErrBadGeometry},
		{"size 3", 12, set(8, 3), shmwire.ErrBadGeometry}, {"size 2^31 + 1", 13, set(8, 1<<31+1), shmwire.ErrBadGeometry},
		{"size 2^31", 14, set(8, 1<<31), shmwire.ErrTruncated}, {"size 8", 14, set(8, 8), shmwire.ErrTruncated},
		{"elements of 0 bytes", 13, set(12, 0), shmwire.ErrBadGeometry},
		{"elements of 2^32 - 1 bytes", 14, set(12, 1<<32-1), shmwire.ErrTruncated},
		{"begun", 14, set(48, 2), shmwire.ErrNotReady}, {"state 4", 14, set(48, 4), shmwire.ErrBadVersion},
		{"state 2^32 - 1", 12, set(48, 1<<32-1), shmwire.ErrBadVersion},
		{"magic", 14, set(24, 0x534C5132), shmwire.ErrBadMagic}, {"no magic", 13, set(48, 3), shmwire.ErrBadMagic},
	} {
		succeed(t, os.WriteFile(path, c.make(newImage(c.generation)), 0o600))
		q, err := Open(path, WithReadyTimeout(0))
		if shmwire.CodeOf(err) != c.code {
			t.Errorf("%s, %s: %v", c.what, c.generation, err)
		}
		if err == nil {
			if q.generation != c.generation || q.ShmName() != path {
				t.Errorf("%s: %s at %q", c.what, q.generation, q.ShmName())
			}
			succeed(t, q.Close())
		}
	}
}

// Open waits for a creator, and for as long as it was told [slick.segment.not-ready].
func TestOpenWaits(t *testing.T) {
	path := t.TempDir() + "/segment"
	raw := newImage(Generation14)
	raw[48] = 2
	succeed(t, os.WriteFile(path, raw, 0o600))
	began := time.Now()
	_, err := Open(path, WithReadyTimeout(20*time.Millisecond))
	expectCode(t, err, shmwire.ErrNotReady)
	if took := time.Since(began); took < 20*time.Millisecond {
		t.Errorf("waited %v", took)
	}
	done := make(chan error)
	go func() {
		time.Sleep(10 * time.Millisecond)
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteAt([]byte{3}, 48)
			file.Close()
		}
		done <- err
	}()
	q, err := Open(path, WithReadyTimeout(20*time.Second))
	succeed(t, err)
	mustBeEmpty(t, follow(t, q))
	succeed(t, q.Close())
	succeed(t, <-done)
}

func TestCreateErrors(t *testing.T) {
	_, name := newRing(t, 8, 4)
	before := bytesOf(t, name)
	_, err := Create(name, 8)
	expectCode(t, err, shmwire.ErrExists)
	if string(bytesOf(t, name)) != string(before) {
		t.Error("a creator touched what was there [slick.segment.create]")
	}
	for what, c := range map[string]struct {
		elementSize uint32
		option      CreateOption
	}{
		"size 3": {8, WithSize(3)}, "size 2^31 + 1": {8, WithSize(1<<31 + 1)}, "elements of 0 bytes": {0, WithSize(4)},
		"mode": {8, WithMode(0o1777)}, "generation 11": {8, WithGeneration(11)}, "generation 15": {8, WithGeneration(15)},
	} {
		_, err := Create(uniqueName(t), c.elementSize, c.option)
		if shmwire.CodeOf(err) != shmwire.ErrInvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// [slick.segment.name] [slick.segment.portable-name]
func TestNames(t *testing.T) {
	name := uniqueName(t)
	q, err := Create(name[1:], 8, WithSize(4), WithPortableName())
	succeed(t, err)
	defer q.Close()
	for _, locator := range []string{name, name[1:]} {
		same, err := Open(locator)
		succeed(t, err)
		if same.ShmName() != name || q.ShmName() != name {
			t.Errorf("%q and %q, expected %q", same.ShmName(), q.ShmName(), name)
		}
		succeed(t, same.Close())
	}
	for _, locator := range []string{name + strings.Repeat("n", 32-len(name)), name[1:] + strings.Repeat("n", 32-len(name))} {
		_, err := Create(locator, 8, WithSize(4), WithPortableName())
		expectCode(t, err, shmwire.ErrInvalidName)
	}
	longest := name + strings.Repeat("n", 31-len(name))
	portable, err := Create(longest, 8, WithSize(4), WithPortableName())
	defer shmwire.Unlink(longest)
	succeed(t, err)
	succeed(t, portable.Close())
	path := t.TempDir() + "/" + strings.Repeat("n", 32) // not a POSIX name
	file, err := Create(path, 8, WithSize(4), WithPortableName())
	succeed(t, err)
	if file.ShmName() != path {
		t.Errorf("%q", file.ShmName())
	}
	succeed(t, file.Close())
}

func TestReadOnly(t *testing.T) {
	q, name := newRing(t, 8, 4)
	mustWrite(t, produce(t, q), 0, 1)
	shut, err := Open(name, ReadOnly())
	succeed(t, err)
	defer shut.Close()
	_, err = shut.NewProducer()
	expectCode(t, err, shmwire.ErrPermission)
	expectCode(t, shut.Reset(), shmwire.ErrPermission)
	_, err = shut.Recover(true)
	expectCode(t, err, shmwire.ErrPermission)
	mustRead(t, follow(t, shut), 0, 0, 1)
	cursor, err := shut.NewCursor(StartOldest)
	succeed(t, err)
	mustRead(t, follow(t, shut, WithShared(cursor)), 0, 0, 1)
}
