// SPDX-License-Identifier: MIT

// Package shmwire reads and writes shared-memory message segments in pure Go, byte for byte as the specification in
// spec/ says, beside implementations in C, Rust and Python on the same segment.
//
// This package holds what all profiles share: the registry of results and errors, names, and the guard against
// truncated segments. Each profile is a package of its own: dmxp is the bounded multi-producer multi-consumer queue,
// ouroboros the log of one writer that any number of readers follow, slick the ring of many producers whose oldest items
// are overwritten, shmcomm the named channels for publish/subscribe, pipelines and request/reply, deepwater the feeds of chunks that
// live in shared memory and are kept in files.
//
//	segment, err := dmxp.Create("/queue", dmxp.WithSize(1<<20))
//	if err != nil {
//		return err
//	}
//	defer segment.Close()
//	if err := segment.CreateChannel(0); err != nil {
//		return err
//	}
//	channel, err := segment.Attach(0)
//	if err != nil {
//		return err
//	}
//	if _, err := channel.Send(ctx, []byte("hello"), nil); err != nil {
//		return err
//	}
//	message, err := channel.Receive(ctx)
//
// # Errors
//
// Every error carries a code of the closed registry; test with errors.Is(err, shmwire.ErrFull). EMPTY, FULL, LAPPED, TIMEOUT
// and CLOSED are answers rather than faults, and are returned as errors all the same, without allocation. A deadline
// of a context gives an error that is both ErrTimeout and context.DeadlineExceeded; a cancelled context gives
// context.Canceled.
//
// # Goroutines and processes
//
// Segments and channels of dmxp may be used by any number of goroutines at once, but Close must come last: cancel what
// still waits, let it return, then close. A goroutine that sleeps for a message holds an operating-system thread. Writers
// and readers of ouroboros and deepwater, and endpoints of shmcomm, are for one goroutine at a time.
//
// # Truncation
//
// A segment that someone shortens under a mapping faults on access, and the fault ends the program. Guard turns it into
// ErrTruncated for programs that look into foreign segments.
//
// # Memory order
//
// The specification asks for acquire, release and, in one place, sequentially consistent operations and stand-alone
// fences. Package sync/atomic is sequentially consistent throughout and thus at least as strong. Package internal/shm
// has what it lacks: fences, and on amd64 a release store that does not wait, three instructions of assembly. All
// unsafe code is there, too; there is no cgo.
package shmwire
