// SPDX-License-Identifier: MIT

package slick

import (
	"shmwire"
	"shmwire/internal/shm"
)

// Cursor is a shared cursor: readers that use one share the items of a queue, each item going to one of them. It may be used
// by any number of goroutines; Close comes last.
type Cursor struct {
	next    shm.U64
	mapping *shm.Mapping // nil for one in memory of this process
	name    string
	closed  shm.Flag
}

// CreateCursor makes a cursor in a segment of its own, standing where start says in the queue. ErrExists, and the other
// errors of Create.
func (q *Queue) CreateCursor(name string, start Start) (*Cursor, error) {
	if err := q.usable(false); err != nil {
		return nil, err
	}
	full, err := fullName(name, false)
	if err != nil {
		return nil, err
	}
	mapping, err := shm.Create(name, cursorSize, cursorSize, DefaultMode)
	if err != nil {
		return nil, err
	}
	c := &Cursor{next: mapping.Atomic64(cursorNextOffset), mapping: mapping, name: full}
	c.next.StoreRelease(q.startIndex(start)) // R4: pairs with A4
	return c, nil
}

// NewCursor makes a cursor without a name, for the goroutines of this process. ErrClosed.
func (q *Queue) NewCursor(start Start) (*Cursor, error) {
	if err := q.usable(false); err != nil {
		return nil, err
	}
	c := &Cursor{next: shm.WindowOf(int(cursorSize)).Atomic64(cursorNextOffset)}
	c.next.StoreRelease(q.startIndex(start)) // R4: pairs with A4
	return c, nil
}

// OpenCursor attaches to a cursor that CreateCursor made, here or elsewhere. ErrNotFound, ErrTruncated (below 8 bytes),
// ErrPermission, ErrInvalidName, ErrSystem.
func OpenCursor(name string) (*Cursor, error) {
	full, err := fullName(name, false)
	if err != nil {
		return nil, err
	}
	mapping, err := shm.Open(name, false, cursorSize)
	if err != nil {
		return nil, err
	}
	return &Cursor{next: mapping.Atomic64(cursorNextOffset), mapping: mapping, name: full}, nil
}

// CursorAt uses a cursor that the application keeps, as it stands: the first 8 bytes of memory that all consumers share,
// 8-aligned (ErrInvalidArgument). The memory must stay mapped until the cursor is closed.
func CursorAt(memory []byte) (*Cursor, error) {
	word, ok := shm.Word64At(memory)
	if !ok {
		return nil, shmwire.Errorf(shmwire.ErrInvalidArgument, "a cursor is 8 bytes, 8-aligned")
	}
	return &Cursor{next: word}, nil
}

// ShmName is the name that other programs open, as of a Queue; "" for a cursor without one.
func (c *Cursor) ShmName() string { return c.name }

// Close gives the cursor up; its segment stays. No call of a reader that uses it may be under way; later ones answer
// ErrClosed, as does a second Close.
func (c *Cursor) Close() error {
	if !c.closed.Set() {
		return shmwire.ErrClosed
	}
	if c.mapping == nil {
		return nil
	}
	return c.mapping.Close()
}
