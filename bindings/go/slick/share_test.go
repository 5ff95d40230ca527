// SPDX-License-Identifier: MIT

package slick

import (
	"testing"

	"shmwire"
	"shmwire/internal/testkit"
)

// Each item goes to one of the readers that share a cursor, wherever the cursor is kept [slick.share.once].
func TestShare(t *testing.T) {
	q, _ := newRing(t, 8, 8)
	p := produce(t, q)
	name := testkit.Name(t, "slick")
	made, err := q.CreateCursor(name, StartOldest)
	succeed(t, err)
	opened, err := OpenCursor(name[1:])
	succeed(t, err)
	if made.ShmName() != name || opened.ShmName() != name {
		t.Errorf("%q, %q", made.ShmName(), opened.ShmName())
	}
	local, err := q.NewCursor(StartOldest)
	succeed(t, err)
	memory := make([]byte, 16)
	at, err := CursorAt(memory)
	succeed(t, err)
	again, err := CursorAt(memory[:8])
	succeed(t, err)
	for i := uint64(0); i < 4; i++ {
		mustWrite(t, p, i, 1)
	}
	for _, pair := range [][2]*Cursor{{made, opened}, {local, local}, {at, again}} {
		one, other := follow(t, q, WithShared(pair[0])), follow(t, q, WithShared(pair[1]))
		mustRead(t, one, 0, 0, 1)
		mustRead(t, other, 1, 0, 1)
		items := make([]Item, 2)
		n, err := other.NextBatch(make([]byte, 16), items)
		if err != nil || n != 2 || items[0].Index != 2 || one.Info().Cursor != 4 || other.Info().ItemsRead != 3 {
			t.Errorf("%d, %+v, %v", n, items, err)
		}
		mustBeEmpty(t, one)
		succeed(t, one.Seek(StartAt(3)))
		mustRead(t, other, 3, 0, 1)
	}
	if memory[0] != 4 {
		t.Errorf("%x", memory)
	}
	for _, c := range []*Cursor{made, opened, local, at, again} {
		r := follow(t, q, WithShared(c))
		succeed(t, c.Close())
		expectCode(t, c.Close(), shmwire.ErrClosed)
		_, err := r.Next()
		expectCode(t, err, shmwire.ErrClosed)
		_, err = q.NewReader(WithShared(c))
		expectCode(t, err, shmwire.ErrClosed)
	}
}

func TestCursorErrors(t *testing.T) {
	q, _ := newRing(t, 8, 8)
	name := uniqueName(t)
	_, err := OpenCursor(name)
	expectCode(t, err, shmwire.ErrNotFound)
	cursor, err := q.CreateCursor(name, StartAt(7))
	succeed(t, err)
	defer cursor.Close()
	_, err = q.CreateCursor(name, StartOldest)
	expectCode(t, err, shmwire.ErrExists)
	if bytesOf(t, name)[0] != 7 {
		t.Error("the cursor that was there has changed")
	}
	_, err = CursorAt(make([]byte, 7))
	expectCode(t, err, shmwire.ErrInvalidArgument)
	_, err = CursorAt(make([]byte, 16)[1:])
	expectCode(t, err, shmwire.ErrInvalidArgument)
	for _, bad := range []string{"", "/"} {
		_, err = OpenCursor(bad)
		expectCode(t, err, shmwire.ErrInvalidName)
		_, err = q.CreateCursor(bad, StartOldest)
		expectCode(t, err, shmwire.ErrInvalidName)
	}
}

// What was lost is counted by who took the items behind it, and by nobody else [slick.share.lost]; a look that ends EMPTY
// or that another consumer overtakes moves nothing.
func TestShareLost(t *testing.T) {
	q, _ := newRing(t, 8, 4)
	p := produce(t, q)
	cursor, err := q.NewCursor(StartAt(0))
	succeed(t, err)
	one, other := follow(t, q, WithShared(cursor)), follow(t, q, WithShared(cursor))
	for i := uint64(0); i < 9; i++ {
		mustWrite(t, p, i, 1)
	}
	var late place
	one.stand(&late)
	if n, v := q.look(&late); n != 1 || v != whole || late.cursor != 8 || late.lost != 8 {
		t.Fatalf("%d, %v, %+v", n, v, late)
	}
	mustRead(t, other, 8, 8, 1)
	if one.take(&late, 9, 1, late.lost) {
		t.Error("an item was taken twice")
	}
	mustBeEmpty(t, one)
	if one.Info() != (ReaderInfo{Cursor: 9}) || other.Info() != (ReaderInfo{9, 1, 8, 0}) {
		t.Errorf("%+v, %+v", one.Info(), other.Info())
	}
	mustReserve(t, p, 9, 1)
	mustBeEmpty(t, one)
	succeed(t, q.Reset())
	mustBeEmpty(t, one)
	mustBeEmpty(t, other)
	if one.Info() != (ReaderInfo{0, 0, 0, 1}) || other.Info().Resets != 0 {
		t.Errorf("%+v, %+v", one.Info(), other.Info())
	}
}
