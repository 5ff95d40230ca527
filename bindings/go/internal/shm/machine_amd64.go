// SPDX-License-Identifier: MIT

//go:build !race

package shm

// storeRelease is a release store and no more. sync/atomic's store is sequentially consistent, for which amd64 needs
// an exchange: that waits until every earlier store is visible, which in a batch costs more than all the rest. The
// compiler moves nothing across a call of a function that it cannot see into.
//
//go:noescape
func storeRelease(p *uint64, v uint64)

// storeRelease32 is storeRelease for half a word.
//
//go:noescape
func storeRelease32(p *uint32, v uint32)

// storeRelaxed32 is one instruction: the compiler neither splits nor repeats the store of an aligned word.
func storeRelaxed32(p *uint32, v uint32) { *p = v }

// Pause tells the processor that the caller spins: it then takes fewer looks at the line, and the writer has it sooner.
func Pause()
