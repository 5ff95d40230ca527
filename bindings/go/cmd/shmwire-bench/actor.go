// SPDX-License-Identifier: MIT

package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sort"

	"golang.org/x/sys/unix"

	"shmwire"
	"shmwire/internal/shm"
)

const barrierStride = 64

// arguments are those of the actor protocol.
type arguments struct {
	peer, role, segment, barrier string
	count, room, skipped, sum    uint64
	size, batch, cpu             int
	parties, party, readers      int
	crowded                      bool
}

func (a *arguments) relax() {
	if a.crowded {
		unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	} else {
		shm.Pause()
	}
}

// pauses are of a reader of ouroboros or slick for whom there is nothing.
const pauses = 64

// standBack lets the writers get ahead. Each look takes from them the line at which they meet, so that a reader who looks at
// once goes in lockstep with them, at a third of the pace.
func (a *arguments) standBack() {
	if a.crowded {
		a.relax()
		return
	}
	for i := 0; i < pauses; i++ {
		shm.Pause()
	}
}

func (a *arguments) pin() error {
	if a.cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(a.cpu)
	return unix.SchedSetaffinity(0, &set)
}

func monotonic() uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	return uint64(now.Nano())
}

// wait arrives at the barrier and answers the time at which all had: one word for each party, so a plain store is enough.
func (a *arguments) wait() (uint64, error) {
	file, err := os.OpenFile(a.barrier, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	word := []byte{1}
	if _, err := file.WriteAt(word, int64(barrierStride*a.party)); err != nil {
		return 0, err
	}
	for other := 0; other < a.parties; other++ {
		for word[0] = 0; word[0] == 0; {
			if _, err := file.ReadAt(word, int64(barrierStride*other)); err != nil {
				return 0, err
			}
		}
	}
	return monotonic(), nil
}

// fill and check the content of message i: its first word and its last byte.
func fill(payload []byte, i uint64) {
	if len(payload) == 0 {
		return
	}
	payload[len(payload)-1] = byte(i)
	if len(payload) >= wordSize {
		binary.LittleEndian.PutUint64(payload, i)
	}
}

func firstWord(payload []byte, otherwise uint64) uint64 {
	if len(payload) < wordSize {
		return otherwise
	}
	return binary.LittleEndian.Uint64(payload)
}

func check(payload []byte, i uint64) bool {
	return firstWord(payload, i) == i && (len(payload) <= wordSize || payload[len(payload)-1] == byte(i))
}

func failUnlessEmpty(err error) {
	if !errors.Is(err, shmwire.ErrEmpty) {
		fail(err)
	}
}

// roundTrips sends and awaits messages in turn; ping begins. read answers ErrEmpty while there is none.
func roundTrips(a *arguments, write func([]byte) error, read func() ([]byte, error)) (bad uint64, samples []uint64) {
	payload, pings := make([]byte, a.size), a.role == "ping"
	samples = make([]uint64, 0, a.count)
	for i := uint64(0); i < a.count; i++ {
		began := monotonic()
		if pings {
			fill(payload, i)
			fail(write(payload))
		}
		got, err := read()
		for ; err != nil; got, err = read() {
			failUnlessEmpty(err)
			a.relax()
		}
		if len(got) != a.size || !check(got, i) {
			bad++
		}
		if !pings {
			fail(write(got))
		} else {
			samples = append(samples, monotonic()-began)
		}
	}
	return bad, samples
}

func (a *arguments) report(ns, bad uint64, samples []uint64) {
	result := map[string]interface{}{"role": a.role, "messages": a.count, "ns": ns, "bad": bad, "skipped": a.skipped, "nivcsw": 0,
		"min_ns": 0, "p50_ns": 0, "p99_ns": 0, "sum": a.sum}
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) == nil {
		result["nivcsw"] = usage.Nivcsw
	}
	if n := len(samples); n > 0 {
		sort.Slice(samples, func(i, j int) bool { return samples[i] < samples[j] })
		result["min_ns"], result["p50_ns"], result["p99_ns"] = samples[0], samples[n/2], samples[n-1-n/100]
	}
	line, err := json.Marshal(result)
	fail(err)
	fmt.Println(string(line))
	runtime.KeepAlive(&samples)
}
