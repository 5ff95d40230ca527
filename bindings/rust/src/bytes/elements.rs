// SPDX-License-Identifier: MIT
//! Elements of one size that a header names, side by side; and a word of the application's.

use std::sync::Arc;

use super::copy::*;
use super::{prefetch_line_to_write, LINE};
use crate::atomic::{Byte, Word16, Word32, Word64};
use crate::error::{Error, Result};
use crate::map::Map;

/// How many lines are asked for before a copy. Measured: with items of 1 KiB 16 are better than 4, and cost small ones nothing.
const LINES_AHEAD: usize = 16;

/// 2^k elements of one size, side by side, in a mapping that they keep alive. Element i is in place i mod 2^k.
///
/// Copies race with those of other processes and move words by relaxed accesses, which is no data race. All who copy here move
/// words of one width, the largest of 8, 4, 2 and 1 that divides the element size, so that no two accesses overlap in part; or
/// whole blocks, which to the compiler are no accesses.
pub(crate) struct Elements {
    map: Arc<Map>,
    offset: usize,
    length: usize,
    element_size: usize,
    mask: u64,
    width: usize,
}

impl Elements {
    /// `count` elements from `offset` on, if `count` is a power of two, and the mapping has them, and the first is aligned to 8.
    pub(crate) fn new(map: &Arc<Map>, offset: u64, element_size: u32, count: u64) -> Option<Elements> {
        let length = count.checked_mul(u64::from(element_size))?;
        let end = length.checked_add(offset)?;
        let fits = offset % WORD as u64 == 0 && element_size != 0 && count.is_power_of_two() && end <= map.len();
        fits.then(|| Elements {
            map: Arc::clone(map),
            offset: offset as usize,
            length: length as usize,
            element_size: element_size as usize,
            mask: count - 1,
            width: WORD.min(1 << element_size.trailing_zeros()),
        })
    }

    /// Where the element of an index stands, in bytes from the first one.
    #[inline]
    pub(crate) fn at(&self, index: u64) -> usize {
        (index & self.mask) as usize * self.element_size
    }

    /// `length` bytes, `at` bytes behind the start of the first element.
    #[inline]
    fn bytes(&self, at: usize, length: usize) -> *mut u8 {
        assert!(at <= self.length && length <= self.length - at);
        // SAFETY: new has found all elements to be inside of the mapping, and the assertion these bytes inside of the elements.
        unsafe { self.map.as_ptr().add(self.offset + at) }
    }

    /// The same, for those who look or store on their own account.
    #[inline]
    pub(crate) fn as_ptr(&self, at: usize, length: usize) -> *mut u8 {
        self.bytes(at, length)
    }

    /// Have the first lines of `length` bytes, which will be stored to, fetched side by side. A hint.
    #[inline]
    pub(crate) fn prefetch_to_write(&self, at: usize, length: usize) {
        let first = self.bytes(at, length);
        (0..length.min(LINES_AHEAD * LINE as usize))
            .step_by(LINE as usize)
            .for_each(|line| prefetch_line_to_write(first.wrapping_add(line)));
    }

    /// Copy out bytes that someone may be changing, from `at` on. The caller finds out afterwards whether what it got is whole.
    #[inline]
    pub(crate) fn copy_out_racing(&self, at: usize, to: &mut [u8]) {
        let from = self.bytes(at, to.len());
        #[cfg(target_arch = "x86_64")]
        if let Some(blocks) = blocks_of(from, to.len()) {
            // SAFETY: as many bytes as `to` has, inside of the elements (bytes); `to` is no part of a mapping.
            return unsafe { move_blocks(to.as_mut_ptr(), from, blocks) };
        }
        // SAFETY: inside of the elements (bytes), which begin and end at words: the first is aligned to 8, and the width divides
        // the element size.
        unsafe {
            match self.width {
                8 => take_bytes::<Word64<'_>>(from, to),
                4 => take_bytes::<Word32<'_>>(from, to),
                2 => take_bytes::<Word16<'_>>(from, to),
                _ => take_bytes::<Byte<'_>>(from, to),
            }
        }
    }

    /// Copy in bytes that someone may be reading, from `at` on. Nobody else may be storing to the elements that they are in.
    #[inline]
    pub(crate) fn copy_in_racing(&self, at: usize, from: &[u8]) {
        let to = self.bytes(at, from.len());
        #[cfg(target_arch = "x86_64")]
        if let Some(blocks) = blocks_of(to, from.len()) {
            // SAFETY: as in copy_out_racing.
            return unsafe { move_blocks(to, from.as_ptr(), blocks) };
        }
        // SAFETY: as in copy_out_racing.
        unsafe {
            match self.width {
                8 => put_bytes::<Word64<'_>>(to, from),
                4 => put_bytes::<Word32<'_>>(to, from),
                2 => put_bytes::<Word16<'_>>(to, from),
                _ => put_bytes::<Byte<'_>>(to, from),
            }
        }
    }
}

impl std::fmt::Debug for Elements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elements").field("offset", &self.offset).field("element_size", &self.element_size).finish()
    }
}

/// 8 bytes of the application's own, where consumers of profile slick share a cursor: in memory that all of them have.
#[derive(Debug)]
pub struct CursorMemory(*mut u8);

impl CursorMemory {
    /// Take the 8 bytes at `memory`, little-endian, for a cursor.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when `memory` is null or not aligned to 8.
    ///
    /// # Safety
    /// `memory` may be read and written for as long as this value and what was made from it is there, by any thread; all other
    /// accesses to the 8 bytes, in this process and in others, are atomic and of 8 bytes.
    pub unsafe fn new(memory: *mut u8) -> Result<CursorMemory> {
        if memory.is_null() || memory as usize % WORD != 0 {
            return Err(Error::InvalidArgument("a cursor's memory is 8 bytes, aligned to 8"));
        }
        Ok(CursorMemory(memory))
    }

    #[inline]
    pub(crate) fn word(&self) -> Word64<'_> {
        // SAFETY: aligned (new), and valid by the promise that new was given.
        unsafe { Word64::new(self.0) }
    }
}

// SAFETY: the memory is accessed by atomic operations only, and its owner has promised it to any thread.
unsafe impl Send for CursorMemory {}
// SAFETY: likewise.
unsafe impl Sync for CursorMemory {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes at every place and of every length, in rings of elements of every alignment.
    #[test]
    fn elements_are_copied_at_any_place() {
        for element_size in [1_u32, 2, 3, 4, 6, 7, 8, 12, 24] {
            let length = element_size as usize * 4;
            let map = Arc::new(Map::create_local(64 + length as u64).expect("memory"));
            let elements = Elements::new(&map, 64, element_size, 4).expect("they fit");
            let mut expected: Vec<u8> = (0..length).map(|i| (i * 7 + 1) as u8).collect();
            elements.copy_in_racing(0, &expected);
            for (at, end) in (0..length).flat_map(|at| (at..=length).map(move |end| (at, end))) {
                let patch: Vec<u8> = (at..end).map(|i| (at * 31 + end * 5 + i) as u8).collect();
                elements.copy_in_racing(at, &patch);
                expected[at..end].copy_from_slice(&patch);
                let (mut all, mut part) = (vec![0; length], vec![0; end - at]);
                elements.copy_out_racing(0, &mut all);
                elements.copy_out_racing(at, &mut part);
                assert!(all == expected && part == patch, "{element_size}: {at} to {end}");
            }
        }
    }

    #[test]
    fn elements_are_inside() {
        let map = Arc::new(Map::create_local(64 + 32).expect("memory"));
        for (offset, element_size, count) in
            [(64, 8, 8), (64, 0, 4), (64, 8, 3), (60, 8, 4), (u64::MAX - 7, 8, 4), (64, u32::MAX, 1 << 31)]
        {
            assert!(Elements::new(&map, offset, element_size, count).is_none(), "{offset}, {element_size}, {count}");
        }
        let elements = Elements::new(&map, 64, 8, 4).expect("they fit");
        assert_eq!((elements.at(3), elements.at(4), elements.at(u64::MAX)), (24, 0, 24));
    }

    #[test]
    fn a_cursors_memory_is_aligned() {
        let mut memory = [0_u64; 2];
        let at = memory.as_mut_ptr().cast::<u8>();
        // SAFETY: in bounds; the words outlive what is made of them, and nobody else knows them.
        unsafe {
            assert!(CursorMemory::new(at.add(4)).is_err() && CursorMemory::new(std::ptr::null_mut()).is_err());
            CursorMemory::new(at.add(8)).expect("aligned").word().store_release(7);
        }
        assert_eq!(memory, [0, 7_u64.to_le()]);
    }
}
