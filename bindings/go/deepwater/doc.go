// SPDX-License-Identifier: MIT

// Package deepwater is profile deepwater: feeds of records with rising timestamps, in chunks that live in shared memory and,
// where a feed persists, in files. One writer for each feed, in any process and language, and any number of readers, who take
// no lock and need no writer. Specification: spec/deepwater.md. Rule ids in brackets name the rules that a piece of code
// implements.
//
//	writer, err := deepwater.OpenWriter("/var/feeds", "coinbase-BTC-USD", &deepwater.Options{Persist: true})
//	sequence, err := writer.Append(timestampNS, 0, trade)
//
//	reader, err := deepwater.OpenReader("/var/feeds", "coinbase-BTC-USD", nil)
//	for {
//		record, err := reader.WaitNext(deepwater.Forever)
//		...
//	}
//
// A base is a directory; a feed is found by base and name alone. Readers begin with the oldest record that is left, with what is
// written from now on, at a time or at a sequence, and go on from chunk to chunk, whether these are still written, complete in
// shared memory, or in files.
//
// # Records
//
// A Record's Data lies in the chunk's mapping, read-only, and is lent until the next call on its reader. Copy what is to be kept.
// Timestamps are in nanoseconds of a clock that the application chooses; they never fall. Sequences count from 0 over all
// chunks and writers of a feed.
//
// # What is lost
//
// Records of a feed that persists are kept in files from the moment when their chunk is complete; what is still live is lost when
// the machine stops. Those of other feeds go when their chunk leaves the live window, or the writer. A reader that comes to
// what is gone answers shmwire.ErrExpired once, with the number of records in Record.Lost, and goes on with the first that is
// left.
//
// # Goroutines, processes and death
//
// Each Writer and each Reader is for one goroutine at a time. When a writer dies, the kernel drops its lock; the next one, or
// Collect, seals and persists what it left, and nothing that a reader can have seen is lost. A Go process cannot fork without
// exec, and all descriptors are close-on-exec.
//
// A file or segment that someone shortens under its mapping faults on access; shmwire.Guard turns that into ErrTruncated.
package deepwater
