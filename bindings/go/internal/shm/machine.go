// SPDX-License-Identifier: MIT

//go:build !amd64 || race

package shm

import "sync/atomic"

// storeRelease is sequentially consistent here: on arm64 that is the release store, and the race detector knows it.
func storeRelease(p *uint64, v uint64) { atomic.StoreUint64(p, v) }

// storeRelease32 is the same for half a word.
func storeRelease32(p *uint32, v uint32) { atomic.StoreUint32(p, v) }

// storeReleaseBoth32 is two of these.
func storeReleaseBoth32(p *uint32, v uint32, q *uint32, w uint32) {
	storeRelease32(p, v)
	storeRelease32(q, w)
}

// storeRelaxed32 is stronger here than it has to be.
func storeRelaxed32(p *uint32, v uint32) { atomic.StoreUint32(p, v) }

// storeRelaxed is the same for a whole one.
func storeRelaxed(p *uint64, v uint64) { atomic.StoreUint64(p, v) }

// Pause does nothing here; on amd64 it tells the processor that the caller spins.
func Pause() {}

// PrefetchToRead does nothing here; on amd64 it is a hint to the processor.
func PrefetchToRead(*byte) {}

// PrefetchToWrite likewise.
func PrefetchToWrite(*byte) {}

// PrefetchAhead likewise.
func PrefetchAhead(*byte, uint64) {}

// PrefetchLinesToWrite likewise.
func PrefetchLinesToWrite([]byte) {}
