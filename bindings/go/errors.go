// SPDX-License-Identifier: MIT

package shmwire

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Code is an entry of the closed registry of results and errors (spec/errors.toml). The entries are the variables
// ErrEmpty … ErrSystem; compare with errors.Is. A Code is immutable.
type Code struct {
	code int
	name string
	text string
}

// Error is the registry's one line of plain English.
func (c *Code) Error() string { return "shmwire: " + c.text }

// Name is the registry's name, such as "BAD_MAGIC".
func (c *Code) Name() string { return c.name }

// Number is the registry's number: above 0 for results (EMPTY, FULL, …), below 0 for errors.
func (c *Code) Number() int { return c.code }

// IsResult says whether the code is an answer (EMPTY, FULL, LAPPED, TIMEOUT, CLOSED) and not an error.
func (c *Code) IsResult() bool { return c.code > 0 }

// Error is a Code with its circumstances. errors.Is finds the Code; errors.Is and errors.As also find the Cause.
type Error struct {
	Code   *Code
	Detail string // what exactly was wrong; may be empty
	Cause  error  // the operating system's error or the context's; may be nil
	Needed int    // ErrTooSmall: bytes that the payload needs
}

// Error joins the detail, the code's text and the cause.
func (e *Error) Error() string {
	s := e.Code.Error()
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Is reports whether target is the error's Code.
func (e *Error) Is(target error) bool {
	code, ok := target.(*Code)
	return ok && code == e.Code
}

// Unwrap is the Cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error of a code and a detail.
func Errorf(code *Code, format string, args ...any) error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// CodeOf is the registry code that err carries, nil for a nil error, and ErrSystem for an error that carries none.
func CodeOf(err error) *Code {
	if err == nil {
		return nil
	}
	var detailed *Error
	if errors.As(err, &detailed) {
		return detailed.Code
	}
	var code *Code
	if errors.As(err, &code) {
		return code
	}
	return ErrSystem
}

// FromErrno turns an error of a system call into an Error: ENOENT is ErrNotFound, EEXIST ErrExists, EACCES, EPERM and
// EROFS are ErrPermission, ENAMETOOLONG is ErrInvalidName, anything else ErrSystem. The errno stays the Cause.
func FromErrno(call string, err error) error {
	code := ErrSystem
	switch {
	case errors.Is(err, unix.ENOENT):
		code = ErrNotFound
	case errors.Is(err, unix.EEXIST):
		code = ErrExists
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		code = ErrPermission
	case errors.Is(err, unix.ENAMETOOLONG):
		code = ErrInvalidName
	}
	return &Error{Code: code, Detail: call, Cause: err}
}
