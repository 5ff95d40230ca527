// SPDX-License-Identifier: MIT

package shm

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// Window is a run of mapped bytes. Every access is checked against its bounds and panics outside of them: profiles
// check geometry first and answer with errors, so that such a panic is a defect of the profile.
type Window struct{ b []byte }

// WindowOf makes a window of ordinary memory, 8-aligned. For tests: the race detector sees heap memory only.
func WindowOf(size int) Window {
	words := make([]uint64, (size+7)/8)
	return Window{unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size)}
}

// Size is in bytes.
func (w Window) Size() uint64 { return uint64(len(w.b)) }

// Bytes is the run [off, off+n), without room to grow.
func (w Window) Bytes(off, n uint64) []byte { return w.b[off : off+n : off+n] }

// Part is the window [off, off+n).
func (w Window) Part(off, n uint64) Window { return Window{w.Bytes(off, n)} }

// U64 reads a plain word, little-endian.
func (w Window) U64(off uint64) uint64 { return binary.LittleEndian.Uint64(w.Bytes(off, 8)) }

// U32 reads a plain word, little-endian.
func (w Window) U32(off uint64) uint32 { return binary.LittleEndian.Uint32(w.Bytes(off, 4)) }

// PutU32 writes a plain word, little-endian.
func (w Window) PutU32(off uint64, v uint32) { binary.LittleEndian.PutUint32(w.Bytes(off, 4), v) }

// PutU64 writes a plain word, little-endian.
func (w Window) PutU64(off, v uint64) { binary.LittleEndian.PutUint64(w.Bytes(off, 8), v) }

// Atomic32 refers to the word at off, which must be 4-aligned.
func (w Window) Atomic32(off uint64) U32 { return U32{word32(w.b, off)} }

// Atomic64 refers to the word at off, which must be 8-aligned.
func (w Window) Atomic64(off uint64) U64 { return U64{word64(w.b, off)} }

// Atomic64And32 refers to the word at off, which must be 8-aligned, and to the half word behind it.
func (w Window) Atomic64And32(off uint64) (U64, U32) {
	first, second := words(w.b, off)
	return U64{first}, U32{second}
}

// Extent is off + count x stride, and false when that overflows 64 bits.
func Extent(off, count, stride uint64) (uint64, bool) {
	high, product := bits.Mul64(count, stride)
	end, carry := bits.Add64(off, product, 0)
	return end, high == 0 && carry == 0
}
