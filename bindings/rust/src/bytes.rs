// SPDX-License-Identifier: MIT
//! Bounds and byte access. A segment is a window of bytes that other processes change at any time, so there is no reference
//! into it: fields are atomic words, payloads are copied.
//!
//! [`Pinned`] is a fixed area of `N` bytes, [`Cells`] a run of 2^k of them. Both hold on to the mapping and are checked when they
//! are made, so that later accesses need no check: offsets inside of an area are constants and fold away. [`Elements`] are the
//! same for areas whose size a header names; [`Whole`] is for formats whose places are found while reading: both check each
//! access.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use crate::atomic::{Byte, Position, Unit, Word16, Word32, Word64};
use crate::error::{Error, Result};
use crate::map::Map;

/// Bytes that copies move as one word.
const WORD: usize = 8;
/// Bytes of a cache line.
pub(crate) const LINE: u64 = 64;
/// How many of them are asked for before a copy. Measured: with items of 1 KiB 16 are better than 4, and cost small ones nothing.
const LINES_AHEAD: usize = 16;

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

/// A whole mapping, for formats whose places are found while reading. Every access is checked against the mapping's length, and
/// moves words of 4 or 8 bytes: those who know a place to hold words of 4 never touch it otherwise.
#[derive(Clone)]
pub(crate) struct Whole {
    map: Arc<Map>,
}

/// Bytes that a copy between `Whole` and a slice moves at a time, at its ends and where nothing better is known.
const SHORT: usize = 4;
/// The same in between, on processors that have registers of this size anyway: of 1 KiB a quarter as many stores wait for their
/// lines, so all lines are on their way at once.
#[cfg(target_arch = "x86_64")]
const LONG: usize = 16;

/// Move blocks of 16 bytes. The compiler does not look inside, so to it this is no access that could race with others; to the
/// processor it is a run of ordinary moves, each of them within a line.
///
/// # Safety
/// There is a block at least, and both sides are valid for `blocks` x 16 bytes and do not overlap.
#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn move_blocks(to: *mut u8, from: *const u8, blocks: usize) {
    debug_assert!(blocks > 0);
    // SAFETY: the caller's promise; the loop touches what it names and no other memory.
    unsafe {
        std::arch::asm!(
            "2:",
            "movups {block}, [{from}]",
            "movups [{to}], {block}",
            "add {from}, 16",
            "add {to}, 16",
            "dec {left}",
            "jnz 2b",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            left = inout(reg) blocks => _,
            block = out(xmm_reg) _,
            options(nostack),
        );
    }
}

/// How many blocks so many bytes of a mapping are, if they are nothing but whole ones.
#[cfg(target_arch = "x86_64")]
#[inline]
fn blocks_of(at: *const u8, length: usize) -> Option<usize> {
    (length >= 2 * LONG && (at as usize | length) % LONG == 0).then_some(length / LONG)
}

/// Move one word of 4 or 8 bytes, as [`move_blocks`] moves blocks.
///
/// # Safety
/// Both sides are valid for so many bytes and do not overlap.
#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn move_word<const SIZE: usize>(to: *mut u8, from: *const u8) {
    // SAFETY: the caller's promise.
    unsafe {
        if SIZE == WORD {
            std::arch::asm!("mov {part}, [{from}]", "mov [{to}], {part}", from = in(reg) from, to = in(reg) to,
                part = out(reg) _, options(nostack, preserves_flags));
        } else {
            std::arch::asm!("mov {part:e}, dword ptr [{from}]", "mov dword ptr [{to}], {part:e}", from = in(reg) from,
                to = in(reg) to, part = out(reg) _, options(nostack, preserves_flags));
        }
    }
}

/// Move a multiple of 4 bytes in as few steps as there can be that are aligned to their size on the side of the mapping, where
/// `shared` is: a store across two lines costs several times one in each.
///
/// # Safety
/// Both sides are valid for `length` bytes and do not overlap; `shared` is one of them, and a multiple of 4.
#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn move_steps(to: *mut u8, from: *const u8, shared: *const u8, length: usize) {
    let mut done = 0;
    // SAFETY: no step passes `length`.
    unsafe {
        if shared as usize % WORD != 0 && length >= SHORT {
            move_word::<SHORT>(to, from);
            done = SHORT;
        }
        if (shared as usize + done) % LONG != 0 && length - done >= WORD {
            move_word::<WORD>(to.add(done), from.add(done));
            done += WORD;
        }
        if length - done >= LONG {
            let blocks = (length - done) / LONG;
            move_blocks(to.add(done), from.add(done), blocks);
            done += blocks * LONG;
        }
        if (length - done) & WORD != 0 {
            move_word::<WORD>(to.add(done), from.add(done));
            done += WORD;
        }
        if (length - done) & SHORT != 0 {
            move_word::<SHORT>(to.add(done), from.add(done));
        }
    }
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

/// Copy out the whole words of `to`; bytes behind them stay.
///
/// # Safety
/// `from` is aligned to the unit's size, and `to.len()` bytes from there on may be loaded as [`Unit::take`] says.
#[inline]
unsafe fn take_words<U: Unit>(from: *mut u8, to: &mut [u8]) {
    let mut at = from;
    for part in to.chunks_exact_mut(U::SIZE) {
        // SAFETY: as many words before as parts, so this one ends within to.len(), and is aligned like the first.
        unsafe { U::take(at, part) };
        at = at.wrapping_add(U::SIZE);
    }
}

/// Copy in the whole words of `from`; bytes behind them are left out.
///
/// # Safety
/// As [`take_words`], for storing.
#[inline]
unsafe fn put_words<U: Unit>(to: *mut u8, from: &[u8]) {
    let mut at = to;
    for part in from.chunks_exact(U::SIZE) {
        // SAFETY: as in take_words.
        unsafe { U::put(at, part) };
        at = at.wrapping_add(U::SIZE);
    }
}

/// Copy out bytes from anywhere inside of a word on.
///
/// # Safety
/// All words that the bytes are in may be loaded as [`Unit::take`] says.
#[inline]
unsafe fn take_bytes<U: Unit>(from: *mut u8, to: &mut [u8]) {
    let ahead = from as usize % U::SIZE;
    if ahead == 0 && to.len() % U::SIZE == 0 {
        // SAFETY: the caller's promise.
        return unsafe { take_words::<U>(from, to) };
    }
    each_word(U::SIZE, ahead, to.len(), |at, inside, part| {
        let mut word = [0; WORD];
        // SAFETY: the word at `at` is one of those that the bytes are in.
        unsafe { U::take(from.sub(ahead).add(at), &mut word[..U::SIZE]) };
        to[part].copy_from_slice(&word[inside]);
    });
}

/// Copy in bytes, likewise. The other bytes of the first and the last word keep their values; nobody else may be storing there.
///
/// # Safety
/// As [`take_bytes`], for storing.
#[inline]
unsafe fn put_bytes<U: Unit>(to: *mut u8, from: &[u8]) {
    let ahead = to as usize % U::SIZE;
    if ahead == 0 && from.len() % U::SIZE == 0 {
        // SAFETY: the caller's promise.
        return unsafe { put_words::<U>(to, from) };
    }
    each_word(U::SIZE, ahead, from.len(), |at, inside, part| {
        let mut word = [0; WORD];
        // SAFETY: as in take_bytes.
        unsafe {
            U::take(to.sub(ahead).add(at), &mut word[..U::SIZE]);
            word[inside].copy_from_slice(&from[part]);
            U::put(to.sub(ahead).add(at), &word[..U::SIZE]);
        }
    });
}

/// The words of `size` bytes that `length` bytes are in, which begin `ahead` bytes into the first: for each its offset, the part
/// of it that is meant, and where that stands among the bytes.
#[cold]
fn each_word(size: usize, ahead: usize, length: usize, mut work: impl FnMut(usize, Range<usize>, Range<usize>)) {
    let (mut at, mut inside, mut done) = (0, ahead, 0);
    while done < length {
        let count = (size - inside).min(length - done);
        work(at, inside..inside + count, done..done + count);
        done += count;
        at += size;
        inside = 0;
    }
}

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
