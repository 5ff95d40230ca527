// SPDX-License-Identifier: MIT

package shmwire

import "runtime/debug"

// Guard runs f and turns a memory fault in it into ErrTruncated: the answer when someone shortens a segment's file
// under a mapping. It holds for code that f runs on the calling goroutine, not for goroutines that f starts. Other
// panics pass through. Locks that f holds without a deferred unlock stay locked.
//
// It costs about 100 ns, so put it around a look at a foreign segment, not around each message.
func Guard(f func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if cause := recover(); cause != nil {
			// Of the runtime's panics only a fault at a mapped-looking address has an Addr method; a nil
			// dereference has none and passes through.
			fault, ok := cause.(interface{ Addr() uintptr })
			if !ok {
				panic(cause)
			}
			err = Errorf(ErrTruncated, "memory fault at %#x", fault.Addr())
		}
	}()
	return f()
}
