// SPDX-License-Identifier: MIT
//! A ring of bytes, in which frames lie wherever the ones before them end.

use super::copy::*;
use super::Area;
use crate::atomic::Word64;
use crate::map::Map;

/// A mapping of an area of `N` bytes and, behind it, a ring of 2^k bytes. Positions are counted on and on; the byte of position p is in
/// place p mod 2^k. Frames are aligned to 8 and made of words of 8 bytes, which is all that anybody moves here; or pairs of them,
/// which to the compiler are no accesses.
///
/// A place is named by a position and the bytes behind it, `behind`, a multiple of 8; what is named must not cross the end of the ring,
/// which is checked with each access. A position that is not aligned stands for the one below that is: nothing can lie elsewhere.
pub(crate) struct Ring<const N: u64> {
    /// Keeps what the addresses are of.
    map: Map,
    area: *mut u8,
    bytes: *mut u8,
    capacity: u64,
    /// Bits of a position that count.
    mask: u64,
}

// SAFETY: the addresses are those of the mapping, which goes with them; all accesses to it are atomic, or copies that may race.
unsafe impl<const N: u64> Send for Ring<N> {}
// SAFETY: likewise.
unsafe impl<const N: u64> Sync for Ring<N> {}

impl<const N: u64> Ring<N> {
    /// The area at the start of a mapping and `capacity` bytes behind it, if that is a power of two of 8 or more, and the mapping has them.
    pub(crate) fn new(map: Map, capacity: u64) -> Option<Ring<N>> {
        let end = capacity.checked_add(N)?;
        let fits = N % WORD as u64 == 0 && capacity.is_power_of_two() && capacity >= WORD as u64 && end <= map.len();
        let area = map.as_ptr();
        fits.then(|| Ring {
            // SAFETY: N bytes are inside of the mapping.
            bytes: unsafe { area.add(N as usize) },
            mask: (capacity - 1) & !(WORD as u64 - 1),
            map,
            area,
            capacity,
        })
    }

    #[inline]
    pub(crate) fn map(&self) -> &Map {
        &self.map
    }

    /// Bytes of the ring.
    #[inline]
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    #[inline]
    pub(crate) fn area(&self) -> Area<'_, N> {
        Area { at: self.area, mapping: std::marker::PhantomData }
    }

    /// Where a position is in the ring.
    #[inline]
    pub(crate) fn offset(&self, position: u64) -> u64 {
        position & self.mask
    }

    /// `length` bytes, and those that are left of the last word.
    #[inline]
    fn place(&self, position: u64, behind: u64, length: usize) -> *mut u8 {
        let room = self.capacity - self.offset(position);
        assert!(behind % WORD as u64 == 0 && behind <= room && length as u64 <= room - behind);
        // SAFETY: the assertion has shown that the bytes are inside of the ring, and new that the ring is inside of the mapping. Ring
        // and place begin at words, so the words that the bytes are in are inside, too.
        unsafe { self.bytes.add((self.offset(position) + behind) as usize) }
    }

    /// The word `behind` bytes behind a position.
    #[inline]
    pub(crate) fn word(&self, position: u64, behind: u64) -> Word64<'_> {
        // SAFETY: in bounds and aligned (place); mapped for as long as self.
        unsafe { Word64::new(self.place(position, behind, WORD)) }
    }

    /// Where `length` bytes stand, for those who look or store on their own account.
    #[inline]
    pub(crate) fn as_ptr(&self, position: u64, behind: u64, length: usize) -> *mut u8 {
        self.place(position, behind, length)
    }

    /// Copy out bytes that someone may be changing. The caller finds out afterwards whether what it got is whole.
    #[inline]
    pub(crate) fn copy_out_racing(&self, position: u64, behind: u64, to: &mut [u8]) {
        let from = self.place(position, behind, to.len());
        let blocks = pairs_in(to.len()) * PAIR;
        let (pairs, rest) = to.split_at_mut(blocks);
        // SAFETY: place has found all words of the bytes to be inside, the first of them aligned; a slice is no part of a mapping.
        unsafe {
            move_out(pairs, from);
            take_words_and_rest(from.add(blocks), rest);
        }
    }

    /// Copy in bytes that someone may be reading. What is left of the last word becomes zero. Nobody else may be storing there.
    #[inline]
    pub(crate) fn copy_in_racing(&self, position: u64, behind: u64, from: &[u8]) {
        let to = self.place(position, behind, from.len());
        let blocks = pairs_in(from.len()) * PAIR;
        let (pairs, rest) = from.split_at(blocks);
        // SAFETY: as in copy_out_racing.
        unsafe {
            move_in(to, pairs);
            put_words_and_zeros(to.add(blocks), rest);
        }
    }

    /// Copy out `to.len()` bytes from any place `from` bytes behind such a place on, likewise.
    pub(crate) fn take_racing(&self, position: u64, behind: u64, from: usize, to: &mut [u8]) {
        let start = behind + (from - from % WORD) as u64;
        if from % WORD == 0 {
            return self.copy_out_racing(position, start, to);
        }
        let at = self.place(position, start, from % WORD + to.len());
        // SAFETY: place has found all words of the bytes to be inside.
        unsafe { take_bytes::<Word64<'_>>(at.add(from % WORD), to) }
    }

    /// Copy in bytes from any place `to` bytes behind such a place on. The other bytes of the first and the last word keep their values.
    /// Nobody else may be storing there.
    pub(crate) fn put_racing(&self, position: u64, behind: u64, to: usize, from: &[u8]) {
        let start = behind + (to - to % WORD) as u64;
        let at = self.place(position, start, to % WORD + from.len());
        // SAFETY: as in take_racing.
        unsafe { put_bytes::<Word64<'_>>(at.add(to % WORD), from) }
    }
}

impl<const N: u64> std::fmt::Debug for Ring<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("area", &N).field("capacity", &self.capacity).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: u64 = 128;

    fn ring(capacity: u64) -> Ring<AREA> {
        Ring::new(Map::create_local(AREA + capacity).expect("memory"), capacity).expect("it fits")
    }

    /// Bytes of every length at words, and at every place, in several laps.
    #[test]
    fn bytes_are_copied_at_any_place() {
        let ring = ring(256);
        let mut expected = vec![0; 256];
        for (start, length) in (0..256).step_by(8).flat_map(|start| (0..=256 - start).map(move |length| (start, length))) {
            let patch: Vec<u8> = (0..length).map(|i| (i * 31 + start * 5 + length) as u8).collect();
            let lap = 256 * (length as u64 + 1);
            ring.copy_in_racing(lap, start as u64, &patch);
            expected[start..start + length].copy_from_slice(&patch);
            let padded = start + (length + 7) / 8 * 8;
            expected[start + length..padded].fill(0);
            let (mut all, mut part) = (vec![0; 256], vec![0; length]);
            ring.copy_out_racing(0, 0, &mut all);
            ring.copy_out_racing(lap + start as u64, 0, &mut part);
            assert!(all == expected && part == patch, "{start} and {length}");
        }
        for (at, end) in (0..64).flat_map(|at| (at..64).map(move |end| (at, end))) {
            let patch: Vec<u8> = (at..end).map(|i| (at * 7 + end * 3 + i) as u8).collect();
            ring.put_racing(8, 16, at, &patch);
            expected[24 + at..24 + end].copy_from_slice(&patch);
            let (mut all, mut part) = (vec![0; 256], vec![0; end - at]);
            ring.copy_out_racing(0, 0, &mut all);
            ring.take_racing(8, 16, at, &mut part);
            assert!(all == expected && part == patch, "{at} to {end}");
        }
    }

    #[test]
    fn nothing_is_outside() {
        let map = || Map::create_local(AREA + 256).expect("memory");
        for capacity in [0, 4, 96, 512, u64::MAX] {
            assert!(Ring::<AREA>::new(map(), capacity).is_none(), "{capacity}");
        }
        let ring = ring(256);
        assert_eq!((ring.offset(256 + 17), ring.offset(u64::MAX)), (16, 248));
        for (position, behind, length) in [(248, 8, 1), (256, 0, 257), (8, 248, 1), (0, 256, 1), (0, u64::MAX - 7, 8)] {
            let outside = std::panic::catch_unwind(|| ring.as_ptr(position, behind, length));
            assert!(outside.is_err(), "{position} {behind} {length}");
        }
        let _ = ring.as_ptr(8, 248, 0);
    }
}
