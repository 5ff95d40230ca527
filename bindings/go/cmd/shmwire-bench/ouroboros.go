// SPDX-License-Identifier: MIT

package main

import (
	"errors"

	"shmwire"
	"shmwire/internal/shm"
	"shmwire/ouroboros"
)

// Profile ouroboros. With credit the writer waits for the slowest reader's count, which PATH.credit carries, so that
// nothing is lost; free, it never waits, and what a reader missed it counts as skipped. Ping writes PATH, pong PATH.back.

const logChunks = 4

var logPeers = map[string]bool{"credit": true, "credit-view": true, "free": true, "free-view": true}

func (a *arguments) lossless() bool { return a.peer == "credit" || a.peer == "credit-view" }
func (a *arguments) views() bool    { return a.peer == "credit-view" || a.peer == "free-view" }

// makeLogs: entries in flight stay within one lap, and a chunk is left over, so that a writer with credit overwrites
// nothing unread.
func makeLogs(a *arguments) {
	target := (uint64(a.size) + 8) * inFlight / (logChunks - 2)
	if a.room > 0 {
		target = a.room / logChunks
	}
	for _, name := range []string{a.segment, a.back()} {
		writer, err := ouroboros.Create(name, ouroboros.WithChunkCount(logChunks), ouroboros.WithChunkTarget(target))
		fail(err)
		fail(writer.Close())
	}
	makeCredit(a)
}

// runLog is an actor other than make.
func runLog(a *arguments) {
	var writer *ouroboros.Writer
	var reader *ouroboros.Reader
	var err error
	out, in := a.segment, a.segment
	switch a.role {
	case "ping":
		in = a.back()
	case "pong":
		out = a.back()
	}
	if a.role != "read" {
		writer, err = ouroboros.Resume(out)
		fail(err)
	}
	if a.role != "write" {
		reader, err = ouroboros.Open(in)
		fail(err)
	}
	mapping := mapCredit(a)
	began, err := a.wait()
	fail(err)
	var bad uint64
	var samples []uint64
	switch a.role {
	case "write":
		all := &allowance{}
		if a.lossless() {
			all = allowanceOf(a, mapping)
		}
		writeLog(a, writer, all)
	case "read":
		bad = readLog(a, reader, mapping.Atomic64(creditSize*uint64(a.party)))
	default:
		bad, samples = exchangeLogs(a, writer, reader)
	}
	a.report(monotonic()-began, bad, samples)
}

func writeLog(a *arguments, writer *ouroboros.Writer, all *allowance) {
	payload := make([]byte, a.size)
	for i := uint64(0); i < a.count; i++ {
		all.wait(a, i)
		fill(payload, i)
		if _, err := writer.Write(payload); err != nil {
			fail(err)
		}
	}
}

// readOne answers the sequence of the next entry, 0 when there is none, and whether it was whole and good. An entry
// that was overwritten while a view of it was looked at does not count.
func readOne(a *arguments, reader *ouroboros.Reader, buffer []byte, view *ouroboros.View) (sequence uint64, whole, good bool) {
	if !a.views() {
		entry := &view.Entry
		if err := reader.NextInto(buffer, entry); err != nil {
			failUnlessEmpty(err)
			return 0, false, false
		}
		return entry.Sequence, true, len(entry.Payload) == a.size && check(entry.Payload, entry.Sequence-1)
	}
	err := reader.ViewInto(view)
	if err != nil {
		failUnlessEmpty(err)
		return 0, false, false
	}
	good = len(view.Payload) == a.size && check(view.Payload, view.Sequence-1)
	err = view.Check()
	if err != nil && !errors.Is(err, shmwire.ErrLapped) {
		fail(err)
	}
	return view.Sequence, err == nil, good
}

// readLog reads to the last message that the writer writes. A view that was overwritten while it was looked at counts as
// skipped.
func readLog(a *arguments, reader *ouroboros.Reader, credit shm.U64) (bad uint64) {
	buffer, view := make([]byte, a.size), new(ouroboros.View)
	last, messages, lossless := uint64(0), uint64(0), a.lossless()
	for last < a.count {
		sequence, whole, good := readOne(a, reader, buffer, view)
		if sequence != 0 {
			last = sequence
		}
		if whole {
			messages++
			if !good {
				bad++
			}
		}
		// Published every eighth of the window, and before waiting, so that the line is not fought for.
		if lossless && (sequence == 0 || last%(inFlight/8) == 0) {
			credit.StoreRelease(last)
		}
		if sequence == 0 {
			a.standBack()
		}
	}
	a.skipped = a.count - messages
	if lossless {
		bad += a.skipped
	}
	a.count = messages
	return bad
}

func exchangeLogs(a *arguments, out *ouroboros.Writer, in *ouroboros.Reader) (bad uint64, samples []uint64) {
	buffer := make([]byte, a.size)
	var entry ouroboros.Entry
	return roundTrips(a, func(payload []byte) error {
		_, err := out.Write(payload)
		return err
	}, func() ([]byte, error) {
		err := in.NextInto(buffer, &entry)
		return entry.Payload, err
	})
}
