// SPDX-License-Identifier: MIT
//! Bounds and byte access. A segment is a window of bytes that other processes change at any time, so there is no reference
//! into it: fields are atomic words, payloads are copied.
//!
//! [`Pinned`] is a fixed area of `N` bytes, [`Cells`] a run of 2^k of them. Both hold on to the mapping and are checked when they
//! are made, so that later accesses need no check: offsets inside of an area are constants and fold away. [`Elements`] are the
//! same for areas whose size a header names, [`Ring`] for frames that lie anywhere in a ring; [`Whole`] is for formats whose places
//! are found while reading: these check each access. Only of what is never stored to again there are slices (settled.rs).

mod copy;
mod elements;
mod ring;
mod settled;
mod whole;

use std::marker::PhantomData;
use std::sync::Arc;

use crate::atomic::{Position, Word16, Word32, Word64};
use crate::map::Map;

use copy::WORD;
pub use elements::CursorMemory;
pub(crate) use elements::Elements;
pub(crate) use ring::Ring;
pub(crate) use whole::Whole;

/// Bytes of a cache line.
pub(crate) const LINE: u64 = 64;

/// Have the cache line at an address fetched, to be owned at once instead of shared first. A hint, at any address.
#[inline]
fn prefetch_line_to_write(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching reads nothing as far as the program can tell. Where the processor does not know the instruction, it does
    // nothing.
    unsafe {
        std::arch::asm!("prefetchw [{line}]", line = in(reg) line, options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// `N` bytes of a mapping, aligned to 8, for as long as `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Area<'a, const N: u64> {
    at: *mut u8,
    mapping: PhantomData<&'a Map>,
}

impl<'a, const N: u64> Area<'a, N> {
    /// The first `N` bytes of a mapping, if it has them.
    #[inline]
    pub(crate) fn at_start(map: &'a Map) -> Option<Area<'a, N>> {
        (N <= map.len()).then(|| Area { at: map.as_ptr(), mapping: PhantomData })
    }

    /// The field of `size` bytes at `offset`.
    #[inline]
    fn field(self, offset: u64, size: u64) -> *mut u8 {
        assert!(offset % size == 0 && offset < N && size <= N - offset);
        // SAFETY: the area has N bytes in one mapping, and the assertion has shown that offset .. offset + size is inside.
        unsafe { self.at.add(offset as usize) }
    }

    #[inline]
    pub(crate) fn u64(self, offset: u64) -> Word64<'a> {
        // SAFETY: in bounds, and aligned since the area is aligned to 8 and the offset to the size (field); mapped for 'a.
        unsafe { Word64::new(self.field(offset, 8)) }
    }

    #[inline]
    pub(crate) fn u32(self, offset: u64) -> Word32<'a> {
        // SAFETY: as in u64.
        unsafe { Word32::new(self.field(offset, 4)) }
    }

    #[inline]
    pub(crate) fn u16(self, offset: u64) -> Word16<'a> {
        // SAFETY: as in u64.
        unsafe { Word16::new(self.field(offset, 2)) }
    }

    /// Have the cache line of the field at `offset` fetched. A hint: what is wanted next arrives side by side, not one after the
    /// other.
    #[inline]
    pub(crate) fn prefetch(self, offset: u64) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: prefetching reads nothing as far as the program can tell, at any address; this one is inside of the area.
        unsafe {
            use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
            _mm_prefetch::<_MM_HINT_T0>(self.field(offset, 8).cast::<i8>());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = self.field(offset, 8);
    }

    /// The same for a line that will be written: nobody else has it then.
    #[inline]
    pub(crate) fn prefetch_to_write(self, offset: u64) {
        prefetch_line_to_write(self.field(offset, 8));
    }

    /// Copy out bytes that someone may be changing: word by word with relaxed loads, which is no data race. The caller
    /// finds out afterwards whether what it got is whole.
    pub(crate) fn copy_racing(self, offset: u64, to: &mut [u8]) {
        let size = to.len() as u64;
        assert!(offset % WORD as u64 == 0 && offset <= N && size <= N - offset && N % WORD as u64 == 0);
        for (i, part) in to.chunks_mut(WORD).enumerate() {
            let word = self.u64(offset + (i * WORD) as u64).load_relaxed().to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }
}

/// The bytes of a cell that this participant has won, for copying.
pub(crate) struct Turn<'a, const N: u64> {
    area: Area<'a, N>,
}

impl<'a, const N: u64> Turn<'a, N> {
    /// Copy `from` to `offset`.
    #[inline]
    pub(crate) fn copy_in(&mut self, offset: u64, from: &[u8]) {
        assert!(offset <= N && from.len() as u64 <= N - offset);
        // SAFETY: the target is inside of the area (asserted) and the source is a slice; they do not overlap because nobody
        // hands out slices of a mapping. The position that this turn was made from says that no participant who keeps to the
        // protocol touches these bytes now. One who does not can garble them, as he could before or after; nothing is
        // derived from them here.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), self.area.at.add(offset as usize), from.len()) }
    }

    /// Copy out what stands at `offset`.
    #[inline]
    pub(crate) fn copy_out(&self, offset: u64, to: &mut [u8]) {
        assert!(offset <= N && to.len() as u64 <= N - offset);
        // SAFETY: as in copy_in, the other way round. Any bytes are valid bytes.
        unsafe { std::ptr::copy_nonoverlapping(self.area.at.add(offset as usize), to.as_mut_ptr(), to.len()) }
    }
}

/// A fixed area of a mapping that it keeps alive.
#[derive(Clone)]
pub(crate) struct Pinned<const N: u64> {
    map: Arc<Map>,
    offset: usize,
}

impl<const N: u64> Pinned<N> {
    /// The `N` bytes at `offset`, if the mapping has them and they are aligned to 8.
    pub(crate) fn new(map: &Arc<Map>, offset: u64) -> Option<Pinned<N>> {
        let end = offset.checked_add(N)?;
        let fits = offset % WORD as u64 == 0 && end <= map.len();
        fits.then(|| Pinned { map: Arc::clone(map), offset: offset as usize })
    }

    #[inline]
    pub(crate) fn area(&self) -> Area<'_, N> {
        // SAFETY: new has checked that the area is inside of the mapping, whose length never changes.
        Area { at: unsafe { self.map.as_ptr().add(self.offset) }, mapping: PhantomData }
    }
}

/// 2^k areas of `N` bytes, one behind the other, in a mapping that they keep alive. Position p is in cell p mod 2^k.
#[derive(Clone)]
pub(crate) struct Cells<const N: u64> {
    map: Arc<Map>,
    offset: usize,
    mask: u64,
}

impl<const N: u64> Cells<N> {
    /// `count` areas from `offset` on, if `count` is a power of two, and the mapping has them, and they are aligned to 8.
    pub(crate) fn new(map: &Arc<Map>, offset: u64, count: u64) -> Option<Cells<N>> {
        let end = count.checked_mul(N)?.checked_add(offset)?;
        let aligned = offset % WORD as u64 == 0 && N % WORD as u64 == 0;
        let fits = count.is_power_of_two() && aligned && end <= map.len();
        fits.then(|| Cells { map: Arc::clone(map), offset: offset as usize, mask: count - 1 })
    }

    #[inline]
    pub(crate) fn count(&self) -> u64 {
        self.mask + 1
    }

    /// The cell of a position.
    #[inline]
    pub(crate) fn at(&self, position: u64) -> Area<'_, N> {
        let index = position & self.mask;
        // SAFETY: index < count, and new has checked that count areas from offset on are inside of the mapping, so neither
        // the product nor the sum wraps.
        Area { at: unsafe { self.map.as_ptr().add(self.offset + (index * N) as usize) }, mapping: PhantomData }
    }

    /// The right to copy in and out of the cell of a position that was won.
    #[inline]
    pub(crate) fn turn<'a>(&'a self, position: &'a mut Position) -> Turn<'a, N> {
        Turn { area: self.at(position.value()) }
    }
}

impl<const N: u64> std::fmt::Debug for Cells<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cells").field("offset", &self.offset).field("count", &self.count()).finish()
    }
}

impl<const N: u64> std::fmt::Debug for Pinned<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pinned").field("offset", &self.offset).field("size", &N).finish()
    }
}
