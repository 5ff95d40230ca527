// SPDX-License-Identifier: MIT

package main

import (
	"shmwire/internal/shm"
)

// Credit: formats that overwrite know nothing of their readers. PATH.credit tells the writers how far each reader is, so that
// nothing is lost.

const (
	inFlight   = 256
	creditSize = 128 // bytes for each reader, of which the first word is the count of messages that it is behind
	wordSize   = 8
)

func (a *arguments) back() string   { return a.segment + ".back" }
func (a *arguments) credit() string { return a.segment + ".credit" }

// writers is how many of the parties write.
func (a *arguments) writers() int { return a.parties - a.readers }

// creditRoom is for all readers; a file of no bytes cannot be mapped.
func (a *arguments) creditRoom() uint64 {
	if a.readers == 0 {
		return creditSize
	}
	return creditSize * uint64(a.readers)
}

func makeCredit(a *arguments) {
	credit, err := shm.Create(a.credit(), a.creditRoom(), a.creditRoom(), 0o600)
	fail(err)
	fail(credit.Close())
}

func mapCredit(a *arguments) *shm.Mapping {
	mapping, err := shm.Open(a.credit(), false, a.creditRoom())
	fail(err)
	return mapping
}

// allowance is what one writer may write.
type allowance struct {
	readers []shm.U64 // each reader's word; none: it never waits
	taken   uint64    // by the slowest reader, as far as known
}

// allowanceOf is that of a writer with credit.
func allowanceOf(a *arguments, mapping *shm.Mapping) *allowance {
	all := &allowance{}
	for r := 0; r < a.readers; r++ {
		all.readers = append(all.readers, mapping.Atomic64(creditSize*uint64(r)))
	}
	return all
}

// wait returns when message number i may be written.
func (all *allowance) wait(a *arguments, i uint64) { all.waitWithin(a, i, inFlight) }

// waitWithin is wait with another window than inFlight.
func (all *allowance) waitWithin(a *arguments, i, window uint64) {
	for len(all.readers) > 0 && i-all.taken >= window {
		if all.look(i); i-all.taken >= window {
			a.relax()
		}
	}
}

// look once: taken is what the slowest reader has taken, at most `most`.
func (all *allowance) look(most uint64) {
	all.taken = most
	for _, word := range all.readers {
		if taken := word.Load(); taken < all.taken {
			all.taken = taken
		}
	}
}
