// SPDX-License-Identifier: MIT
//! How bytes are moved between a segment and slices: by relaxed accesses of one width, or in blocks that the compiler does not
//! look into.

use std::ops::Range;

use crate::atomic::{Unit, Word64};

/// Bytes that copies move as one word.
pub(super) const WORD: usize = 8;

/// Bytes that a copy between [`Whole`](super::Whole) and a slice moves at a time, at its ends and where nothing better is known.
pub(super) const SHORT: usize = 4;
/// The same in between, on processors that have registers of this size anyway: of 1 KiB a quarter as many stores wait for their
/// lines, so all lines are on their way at once.
#[cfg(target_arch = "x86_64")]
pub(super) const LONG: usize = 16;

/// Move blocks of 16 bytes. The compiler does not look inside, so to it this is no access that could race with others; to the
/// processor it is a run of ordinary moves, each of them within a line.
///
/// # Safety
/// There is a block at least, and both sides are valid for `blocks` x 16 bytes and do not overlap.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) unsafe fn move_blocks(to: *mut u8, from: *const u8, blocks: usize) {
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
pub(super) fn blocks_of(at: *const u8, length: usize) -> Option<usize> {
    (length >= 2 * LONG && (at as usize | length) % LONG == 0).then_some(length / LONG)
}

/// Move one word of 4 or 8 bytes, as [`move_blocks`] moves blocks.
///
/// # Safety
/// Both sides are valid for so many bytes and do not overlap.
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
pub(super) unsafe fn move_steps(to: *mut u8, from: *const u8, shared: *const u8, length: usize) {
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

/// Bytes that rings move at a time where there are so many: a pair of words.
pub(super) const PAIR: usize = 2 * WORD;

/// How many pairs to move as such, of so many bytes.
#[inline]
pub(super) fn pairs_in(length: usize) -> usize {
    if cfg!(target_arch = "x86_64") && length >= 2 * PAIR {
        length / PAIR
    } else {
        0
    }
}

/// Copy out pairs of words from a multiple of 8 on.
///
/// # Safety
/// `to` has whole pairs, or none; as many bytes from `from` on are inside of one mapping, and no part of `to`.
#[inline]
pub(super) unsafe fn move_out(to: &mut [u8], from: *const u8) {
    debug_assert!(to.len() % PAIR == 0);
    #[cfg(target_arch = "x86_64")]
    if !to.is_empty() {
        // SAFETY: the caller's promise.
        unsafe { move_blocks(to.as_mut_ptr(), from, to.len() / PAIR) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}

/// Copy in pairs of words, likewise.
///
/// # Safety
/// As [`move_out`], the other way round.
#[inline]
pub(super) unsafe fn move_in(to: *mut u8, from: &[u8]) {
    debug_assert!(from.len() % PAIR == 0);
    #[cfg(target_arch = "x86_64")]
    if !from.is_empty() {
        // SAFETY: the caller's promise.
        unsafe { move_blocks(to, from.as_ptr(), from.len() / PAIR) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = to;
}

/// Copy out words of 8 bytes, and what is asked for of the last one.
///
/// # Safety
/// `from` is aligned to 8, and all words that the bytes are in may be loaded as [`Unit::take`] says.
#[inline]
pub(super) unsafe fn take_words_and_rest(from: *mut u8, to: &mut [u8]) {
    let whole = to.len() - to.len() % WORD;
    let (words, rest) = to.split_at_mut(whole);
    // SAFETY: the caller's promise.
    unsafe { take_words::<Word64<'_>>(from, words) };
    if !rest.is_empty() {
        let mut word = [0; WORD];
        // SAFETY: the last of the words that the bytes are in.
        unsafe { Word64::take(from.add(whole), &mut word) };
        rest.copy_from_slice(&word[..rest.len()]);
    }
}

/// Copy in words of 8 bytes, the last one filled up with zeros.
///
/// # Safety
/// As [`take_words_and_rest`], for storing.
#[inline]
pub(super) unsafe fn put_words_and_zeros(to: *mut u8, from: &[u8]) {
    let whole = from.len() - from.len() % WORD;
    let (words, rest) = from.split_at(whole);
    // SAFETY: the caller's promise.
    unsafe { put_words::<Word64<'_>>(to, words) };
    if !rest.is_empty() {
        let mut word = [0; WORD];
        word[..rest.len()].copy_from_slice(rest);
        // SAFETY: as in take_words_and_rest.
        unsafe { Word64::put(to.add(whole), &word) };
    }
}

/// Copy out the whole words of `to`; bytes behind them stay.
///
/// # Safety
/// `from` is aligned to the unit's size, and `to.len()` bytes from there on may be loaded as [`Unit::take`] says.
#[inline]
pub(super) unsafe fn take_words<U: Unit>(from: *mut u8, to: &mut [u8]) {
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
pub(super) unsafe fn put_words<U: Unit>(to: *mut u8, from: &[u8]) {
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
pub(super) unsafe fn take_bytes<U: Unit>(from: *mut u8, to: &mut [u8]) {
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
pub(super) unsafe fn put_bytes<U: Unit>(to: *mut u8, from: &[u8]) {
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
