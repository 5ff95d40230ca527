// SPDX-License-Identifier: MIT

// Package shm is the ground that all profiles stand on: mappings, atomics on mapped words, bounds-checked bytes, and
// futexes. It is the only package with unsafe code and the only one that uses sync/atomic.
//
// Memory order. The profiles ask for relaxed, acquire, release and sequentially consistent operations. Everything
// here but StoreRelease and StoreRelaxed is sync/atomic, which is sequentially consistent and so satisfies all of them; the
// labels at the call sites (R2, A2, …) name the order that the protocol needs, not the one that it happens to get. Plain accesses
// through Window are ordered by the atomics around them: Go neither reorders them across an atomic when it compiles,
// nor does the machine beyond what acquire and release permit.
package shm

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// U32 is an atomic 32-bit word in a mapping. The zero value refers to nothing.
type U32 struct{ p *uint32 }

// U64 is an atomic 64-bit word in a mapping. The zero value refers to nothing.
type U64 struct{ p *uint64 }

// Load is an acquire load.
func (w U32) Load() uint32 { return atomic.LoadUint32(w.p) }

// Store is a release store.
func (w U32) Store(v uint32) { atomic.StoreUint32(w.p, v) }

// StoreRelease is a release store, and not a sequentially consistent one as Store is.
func (w U32) StoreRelease(v uint32) { storeRelease32(w.p, v) }

// StoreReleaseBoth is a release store to the first word and then one to the second.
func StoreReleaseBoth(first U32, v uint32, second U32, w uint32) {
	storeReleaseBoth32(first.p, v, second.p, w)
}

// StoreRelaxed orders nothing: what comes later is ordered by what is done with it.
func (w U32) StoreRelaxed(v uint32) { storeRelaxed32(w.p, v) }

// Add adds modulo 2^32, with both orders, and returns the new value.
func (w U32) Add(v uint32) uint32 { return atomic.AddUint32(w.p, v) }

// CompareAndSwap has both orders.
func (w U32) CompareAndSwap(old, new uint32) bool { return atomic.CompareAndSwapUint32(w.p, old, new) }

// Swap exchanges, with both orders, and returns the old value.
func (w U32) Swap(v uint32) uint32 { return atomic.SwapUint32(w.p, v) }

// Load is an acquire load.
func (w U64) Load() uint64 { return atomic.LoadUint64(w.p) }

// Store is a release store.
func (w U64) Store(v uint64) { atomic.StoreUint64(w.p, v) }

// CompareAndSwap has both orders.
func (w U64) CompareAndSwap(old, new uint64) bool { return atomic.CompareAndSwapUint64(w.p, old, new) }

// StoreRelease is a release store, and not a sequentially consistent one as Store is.
func (w U64) StoreRelease(v uint64) { storeRelease(w.p, v) }

// StoreRelaxed orders nothing: what comes later is ordered by what is done with it.
func (w U64) StoreRelaxed(v uint64) { storeRelaxed(w.p, v) }

// Add adds modulo 2^64, with both orders, and returns the new value.
func (w U64) Add(v uint64) uint64 { return atomic.AddUint64(w.p, v) }

// Word64 refers to the word at b[off]. It panics if the word is not inside b or not 8-aligned.
func Word64(b []byte, off uint64) U64 { return U64{word64(b, off)} }

// Word64At is Word64 for memory of a caller's: false unless b begins with 8 bytes that are 8-aligned.
func Word64At(b []byte) (U64, bool) {
	if len(b) < 8 || uintptr(unsafe.Pointer(&b[0]))&7 != 0 {
		return U64{}, false
	}
	return Word64(b, 0), true
}

// word64 checks bounds and alignment: amd64 would do a misaligned atomic, slowly, and other machines would fault.
func word64(b []byte, off uint64) *uint64 {
	p := unsafe.Pointer(&b[off : off+8][0])
	if uintptr(p)&7 != 0 {
		misaligned()
	}
	return (*uint64)(p)
}

func word32(b []byte, off uint64) *uint32 {
	p := unsafe.Pointer(&b[off : off+4][0])
	if uintptr(p)&3 != 0 {
		misaligned()
	}
	return (*uint32)(p)
}

// words is word64, and the word32 behind it.
func words(b []byte, off uint64) (*uint64, *uint32) {
	p := unsafe.Pointer(&b[off : off+12][0])
	if uintptr(p)&7 != 0 {
		misaligned()
	}
	return (*uint64)(p), (*uint32)(unsafe.Add(p, 8))
}

func misaligned() { panic("shm: atomic word is not aligned") }

// totalStoreOrder: the machine reorders neither loads with loads nor stores with stores, and its locked operations are
// full barriers.
const totalStoreOrder = runtime.GOARCH == "amd64" || runtime.GOARCH == "386"

// Fence orders what comes before it in the program before what comes after it, as a release or an acquire fence does
// (F6 and its partner, F4 and F5). sync/atomic has no fence. Between an atomic read-modify-write or store and plain
// stores (release), or between plain loads and an atomic load (acquire), where the profiles use it:
//   - amd64 keeps these orders by itself, and Go does not move memory operations across an atomic when it compiles;
//   - elsewhere a read-modify-write on a private word does it. On arm64 without LSE that is LDAXR/STLXR: the
//     load half keeps later accesses behind it, the store half keeps earlier ones before it, and an LDAR or
//     LDAXR does not pass an earlier STLXR or STLR.
func Fence() {
	if !totalStoreOrder {
		var private uint64
		atomic.AddUint64(&private, 1)
	}
}

// FullFence orders everything before it before everything behind it, a store before a load too, as a sequentially
// consistent fence does: on amd64 a locked operation is one, and elsewhere the atomics around it are sequentially
// consistent themselves.
func FullFence() {
	var private uint64
	atomic.AddUint64(&private, 1)
}

// Flag is a private (not mapped) atomic boolean, false at first.
type Flag struct{ v atomic.Bool }

// Set makes the flag true and says whether it was false.
func (f *Flag) Set() bool { return !f.v.Swap(true) }

// IsSet says whether the flag is true.
func (f *Flag) IsSet() bool { return f.v.Load() }

// LittleEndian says whether the machine can run the atomics of the (little-endian) formats.
func LittleEndian() bool {
	probe := uint16(1)
	return *(*byte)(unsafe.Pointer(&probe)) == 1
}

// IsPowerOfTwo is false for 0.
func IsPowerOfTwo(v uint64) bool { return bits.OnesCount64(v) == 1 }
