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

// storeReleaseBoth32 is two of these for the price of one call.
//
//go:noescape
func storeReleaseBoth32(p *uint32, v uint32, q *uint32, w uint32)

// storeRelaxed32 is one instruction: the compiler neither splits nor repeats the store of an aligned word.
func storeRelaxed32(p *uint32, v uint32) { *p = v }

// storeRelaxed is the same for a whole one.
func storeRelaxed(p *uint64, v uint64) { *p = v }

// Pause tells the processor that the caller spins: it then takes fewer looks at the line, and the writer has it sooner.
func Pause()

// PrefetchToRead has the line behind that of at fetched: a message of ordinary size lies in two lines, and the first one
// is looked at anyway. A hint, at any address: what is wanted next arrives side by side, not one after the other.
//
//go:noescape
func PrefetchToRead(at *byte)

// PrefetchAhead does so for the line at an offset that will be read soon, if what comes is like what came. Any offset.
//
//go:noescape
func PrefetchAhead(base *byte, offset uint64)

// PrefetchToWrite does so for the two lines of what will be written soon. The first one is only fetched: consumers poll
// it, so the right to write to it would be lost again before it was of use.
//
//go:noescape
func PrefetchToWrite(at *byte)

// PrefetchLinesToWrite has the lines of the first bytes fetched, to be owned at once instead of shared first: they are asked for
// side by side, where stores would wait for one after the other. A hint.
func PrefetchLinesToWrite(bytes []byte) {
	if n := len(bytes); n > 0 {
		if n > prefetchLimit {
			n = prefetchLimit
		}
		prefetchLinesToWrite(&bytes[0], uint64(n))
	}
}

// prefetchLimit is in bytes. Measured with items of 1 KiB: more than in C, whose copies go by shorter steps.
const prefetchLimit = 1024

//go:noescape
func prefetchLinesToWrite(at *byte, n uint64)
