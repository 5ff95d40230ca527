// SPDX-License-Identifier: MIT

package deepwater

import (
	"errors"
	"fmt"
	"math/rand"
	"strconv"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m, play) }

// play is what a child does.
func play(role []string) error {
	switch role[0] {
	case "append": // base, persist, first record, records per chunk: until killed
		return appendUntilKilled(role[1], role[2] == "true", role[3], role[4])
	case "follow": // base, records to read
		return followAll(role[1], role[2])
	}
	return fmt.Errorf("role %q", role[0])
}

func appendUntilKilled(base string, persist bool, firstText, perChunkText string) error {
	first, err := strconv.ParseUint(firstText, 10, 64)
	if err != nil {
		return err
	}
	perChunk, err := strconv.ParseUint(perChunkText, 10, 64)
	if err != nil {
		return err
	}
	w, err := OpenWriter(base, testFeed, lively(persist))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for n, end := first, time.Now().Add(plenty); time.Now().Before(end) && n < first+mostOfOne; n++ {
		sequence, err := w.Append(timeOf(n), uint32(n), payloadOf(n, lengthOf(n)))
		if err != nil {
			return err
		}
		if sequence != n {
			return fmt.Errorf("sequence %d, expected %d", sequence, n)
		}
		if n%perChunk == 0 {
			if err := w.Rotate(); err != nil {
				return err
			}
		}
	}
	time.Sleep(plenty) // until killed
	return nil
}

const mostOfOne = 1500 // records of one writer that is to be killed: its chunks must stay within the rows and the window

// lively is a feed that loses nothing while its writers are killed: everything stays in shared memory, or goes to files.
func lively(persist bool) *Options {
	options := small(persist)
	options.Rows = 4096
	if !persist {
		options.LiveWindow = 4096
	}
	return options
}

func followAll(base, countText string) error {
	count, err := strconv.ParseUint(countText, 10, 64)
	if err != nil {
		return err
	}
	r, err := OpenReader(base, testFeed, &ReaderOptions{ReadyTimeout: plenty})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for n := uint64(0); n < count; n++ {
		record, err := r.WaitNext(plenty)
		if err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		if record.Sequence != n || string(record.Data) != string(payloadOf(n, lengthOf(n))) {
			return fmt.Errorf("record %d instead of %d", record.Sequence, n)
		}
	}
	fmt.Println("all")
	return r.Close()
}

// Writers that get SIGKILL at moments of all kinds, one after the other, while readers follow: every record that a reader has
// seen stays, none comes twice, none is torn [deepwater.recover.sealed] [deepwater.recover.sequence] [deepwater.read.order].
func TestKilledWriters(t *testing.T) {
	seed := int64(20260413)
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	reusing := lively(true) // with chunks whose memory is used again
	reusing.ChunkSize = reuseChunk
	for _, options := range []*Options{lively(false), lively(true), reusing} {
		base, persist := newBase(t), options.Persist
		succeed(t, mustWriter(t, base, options).Close())
		r := mustReader(t, base, nil)
		next := uint64(0)
		for round := 0; round < 6; round++ {
			child := testkit.Spawn(t, "append", base, fmt.Sprint(persist), fmt.Sprint(next), fmt.Sprint(5+random.Intn(20)))
			// At least so many, and then a moment more: within an append, a rotation, a write to the disk.
			for goal := next + uint64(random.Intn(200)); next <= goal; next++ {
				record, err := r.WaitNext(plenty)
				succeed(t, err)
				checkRecord(t, record, next)
			}
			time.Sleep(time.Duration(random.Intn(2000)) * time.Microsecond)
			child.Die()
			if round%2 == 0 { // others recover, too
				_, err := Collect(base, testFeed)
				succeed(t, err)
			}
			w, err := OpenWriter(base, testFeed, options)
			succeed(t, err)
			info, err := w.Feed()
			succeed(t, err)
			for ; next <= info.LastSequence; next++ {
				record, err := r.Next()
				succeed(t, err)
				checkRecord(t, record, next)
			}
			succeed(t, Validate(base, testFeed))
			abandon(w)
			w.live.close()
			w.place.close()
		}
		if persist {
			expectRecords(t, mustReader(t, base, nil), 0, next, shmwire.ErrEmpty)
		}
		late := mustReader(t, base, &ReaderOptions{Start: AtSequence(next / 2)})
		record, err := late.Next()
		succeed(t, err)
		checkRecord(t, record, next/2)
	}
}

// Readers in other processes follow over rotations, and over a writer that leaves and another one that comes.
func TestFollowProcesses(t *testing.T) {
	const total = 400
	base := newBase(t)
	succeed(t, mustWriter(t, base, lively(true)).Close())
	children := []*testkit.Child{}
	for i := 0; i < 2; i++ {
		children = append(children, testkit.Spawn(t, "follow", base, fmt.Sprint(total)))
	}
	for from := uint64(0); from < total; from += 100 {
		w, err := OpenWriter(base, testFeed, lively(true))
		succeed(t, err)
		fill(t, w, from, from+100, 13)
		succeed(t, w.Close())
	}
	for _, child := range children {
		if rest := child.Finish(); rest != "all\n" {
			t.Errorf("%q", rest)
		}
	}
}

// Readers and a writer of one process at once, with a window that loses records: each gets them in order, and knows what it lost.
func TestManyReaders(t *testing.T) {
	const total, readers = 4000, 4
	base := newBase(t)
	options := small(false)
	options.Rows = 4096
	w := mustWriter(t, base, options)
	results := make(chan error, readers)
	for i := 0; i < readers; i++ {
		r := mustReader(t, base, &ReaderOptions{ReadOnly: i == 1})
		go func(slow bool) { results <- readNumbered(r, total, slow) }(i%2 == 1)
	}
	fill(t, w, 0, total, 20)
	for i := 0; i < readers; i++ {
		succeed(t, <-results)
	}
}

// readNumbered reads up to the last of total records.
func readNumbered(r *Reader, total uint64, slow bool) error {
	for n := uint64(0); n < total; {
		record, err := r.WaitNext(plenty)
		if errors.Is(err, shmwire.ErrExpired) {
			n += record.Lost
			continue
		}
		if err != nil {
			return err
		}
		if record.Sequence != n || string(record.Data) != string(payloadOf(n, lengthOf(n))) {
			return fmt.Errorf("record %d instead of %d", record.Sequence, n)
		}
		n++
		if slow && n%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}
