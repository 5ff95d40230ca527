// SPDX-License-Identifier: MIT
//! A whole mapping, for formats whose places are found while reading.

use std::sync::Arc;

use super::copy::*;
use crate::atomic::{Byte, Word32, Word64};
use crate::map::Map;

/// A whole mapping, for formats whose places are found while reading. Every access is checked against the mapping's length, and
/// moves words of 4 or 8 bytes: those who know a place to hold words of 4 never touch it otherwise.
#[derive(Clone)]
pub(crate) struct Whole {
    map: Arc<Map>,
}

impl Whole {
    pub(crate) fn new(map: Map) -> Whole {
        Whole { map: Arc::new(map) }
    }

    #[inline]
    pub(crate) fn map(&self) -> &Map {
        &self.map
    }

    /// Bytes of the mapping; never changes.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.map.len()
    }

    /// `size` bytes at `offset`, a multiple of `align`.
    #[inline]
    fn field(&self, offset: u64, size: u64, align: u64) -> *mut u8 {
        let length = self.map.len();
        assert!(offset % align == 0 && offset <= length && size <= length - offset);
        // SAFETY: the assertion has shown that offset .. offset + size is inside of the mapping, or its end.
        unsafe { self.map.as_ptr().add(offset as usize) }
    }

    #[inline]
    pub(crate) fn u64(&self, offset: u64) -> Word64<'_> {
        // SAFETY: in bounds and aligned (field; the mapping is aligned to a page); mapped for as long as self.
        unsafe { Word64::new(self.field(offset, 8, 8)) }
    }

    #[inline]
    pub(crate) fn u32(&self, offset: u64) -> Word32<'_> {
        // SAFETY: as in u64.
        unsafe { Word32::new(self.field(offset, 4, 4)) }
    }

    /// Have the cache line of the byte at `offset` fetched. A hint, at any offset.
    #[inline]
    pub(crate) fn prefetch(&self, offset: u64) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: prefetching reads nothing as far as the program can tell, at any address.
        unsafe {
            use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
            _mm_prefetch::<_MM_HINT_T0>(self.map.as_ptr().wrapping_add(offset as usize).cast::<i8>());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = offset;
    }

    /// Where `size` bytes at `offset` stand, for those who look on their own account.
    #[inline]
    pub(crate) fn as_ptr(&self, offset: u64, size: u64) -> *const u8 {
        self.field(offset, size, 1)
    }

    /// Copy out bytes that someone may be changing, from a multiple of 4 on, which is no data race. The caller finds out afterwards
    /// whether what it got is whole.
    #[inline]
    pub(crate) fn copy_out_racing(&self, offset: u64, to: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if to.len() >= 2 * LONG {
            let from = self.field(offset, to.len() as u64, SHORT as u64);
            let whole = to.len() - to.len() % SHORT;
            // SAFETY: field has found all of to.len() bytes to be inside; `to` is no part of a mapping.
            unsafe { move_steps(to.as_mut_ptr(), from, from, whole) };
            self.copy_out_words(offset + whole as u64, &mut to[whole..]);
            return;
        }
        self.copy_out_words(offset, to);
    }

    /// Words of 4 bytes with relaxed loads.
    #[inline]
    fn copy_out_words(&self, offset: u64, to: &mut [u8]) {
        let from = self.field(offset, to.len() as u64, SHORT as u64);
        // SAFETY: field has found to.len() bytes to be inside, from a multiple of 4 on.
        unsafe { take_words::<Word32<'_>>(from, to) };
        let whole = to.len() - to.len() % SHORT;
        let rest = &mut to[whole..];
        if !rest.is_empty() {
            let word = self.last_word(offset + whole as u64);
            // Too few to be worth a call of memcpy.
            rest.iter_mut().zip(word.to_le_bytes()).for_each(|(to, byte)| *to = byte);
        }
    }

    /// Copy in bytes that someone may be reading, likewise. Bytes behind them in their last word keep their values; nobody else
    /// may be storing there.
    #[inline]
    pub(crate) fn copy_in_racing(&self, offset: u64, from: &[u8]) {
        #[cfg(target_arch = "x86_64")]
        if from.len() >= 2 * LONG {
            let to = self.field(offset, from.len() as u64, SHORT as u64);
            let whole = from.len() - from.len() % SHORT;
            // SAFETY: as in copy_out_racing.
            unsafe { move_steps(to, from.as_ptr(), to, whole) };
            self.copy_in_words(offset + whole as u64, &from[whole..]);
            return;
        }
        self.copy_in_words(offset, from);
    }

    /// Words of 4 bytes with relaxed stores.
    #[inline]
    fn copy_in_words(&self, offset: u64, from: &[u8]) {
        let to = self.field(offset, from.len() as u64, SHORT as u64);
        // SAFETY: field has found from.len() bytes to be inside, from a multiple of 4 on.
        unsafe { put_words::<Word32<'_>>(to, from) };
        let whole = from.len() - from.len() % SHORT;
        if whole < from.len() {
            self.put_last(offset + whole as u64, &from[whole..]);
        }
    }

    /// The word at `offset`, whose last bytes may be behind the end: there is no word there for anybody then, only bytes.
    #[inline]
    fn last_word(&self, offset: u64) -> u32 {
        if offset + SHORT as u64 <= self.len() {
            return self.u32(offset).load_relaxed();
        }
        let mut word = [0; SHORT];
        (offset..self.len()).zip(&mut word).for_each(|(at, byte)| *byte = self.u8(at).load_relaxed());
        u32::from_le_bytes(word)
    }

    fn put_last(&self, offset: u64, bytes: &[u8]) {
        if offset + SHORT as u64 <= self.len() {
            let mut word = self.u32(offset).load_relaxed().to_le_bytes();
            word[..bytes.len()].copy_from_slice(bytes);
            self.u32(offset).store_relaxed(u32::from_le_bytes(word));
        } else {
            (offset..).zip(bytes).for_each(|(at, &byte)| self.u8(at).store_relaxed(byte));
        }
    }

    fn u8(&self, offset: u64) -> Byte<'_> {
        // SAFETY: in bounds; mapped for as long as self.
        unsafe { Byte::new(self.field(offset, 1, 1)) }
    }
}

impl std::fmt::Debug for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whole").field("size", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same in a mapping that is looked at as words of 4: from each of them on.
    #[test]
    fn wholes_are_copied_at_any_word() {
        let whole = Whole::new(Map::create_local(160).expect("memory"));
        let mut expected: Vec<u8> = (0..160).map(|i| (i * 7 + 1) as u8).collect();
        whole.copy_in_racing(0, &expected);
        for (at, end) in (0..40).map(|word| word * 4).flat_map(|at| (at..=160).map(move |end| (at, end))) {
            let patch: Vec<u8> = (at..end).map(|i| (at * 31 + end * 5 + i) as u8).collect();
            whole.copy_in_racing(at as u64, &patch);
            expected[at..end].copy_from_slice(&patch);
            let (mut all, mut part) = (vec![0; 160], vec![0; end - at]);
            whole.copy_out_racing(0, &mut all);
            whole.copy_out_racing(at as u64, &mut part);
            assert!(all == expected && part == patch, "{at} to {end}");
        }
    }
}
