// SPDX-License-Identifier: MIT
//! All atomics and fences. Nothing else in the crate names a memory order.
//!
//! The words are little-endian in every segment: [`Word64`] and its like convert on big-endian hosts, where adding becomes
//! a compare-and-swap loop. The callers name the ordering pair of the specification that each operation belongs to.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[cfg(feature = "driver")]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{self, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{self, AtomicU16, AtomicU32, AtomicU64, AtomicU8};

/// A 64-bit word of a segment.
#[derive(Clone, Copy)]
pub(crate) struct Word64<'a>(&'a AtomicU64);

/// A 32-bit word of a segment.
#[derive(Clone, Copy)]
pub(crate) struct Word32<'a>(&'a AtomicU32);

/// A 16-bit field of a segment.
#[derive(Clone, Copy)]
pub(crate) struct Word16<'a>(&'a AtomicU16);

/// A byte of a segment.
#[derive(Clone, Copy)]
pub(crate) struct Byte<'a>(&'a AtomicU8);

/// Proof that this participant won one position: made only by a compare-and-swap that succeeded, and gone when its owner
/// stores the sequence that hands the position's cell on.
#[derive(Debug)]
pub(crate) struct Position(u64);

impl Position {
    /// The position as a number.
    #[inline]
    pub(crate) fn value(&self) -> u64 {
        self.0
    }
}

/// Proof that this participant won the positions `next .. end`, handed out one by one.
#[derive(Debug)]
pub(crate) struct Run {
    next: u64,
    end: u64,
}

impl Iterator for Run {
    type Item = Position;

    #[inline]
    fn next(&mut self) -> Option<Position> {
        if self.next == self.end {
            return None;
        }
        let position = Position(self.next);
        self.next = self.next.wrapping_add(1);
        Some(position)
    }
}

impl<'a> Word64<'a> {
    /// # Safety
    /// `at` is aligned to 8 and may be read for 8 bytes for all of `'a`, and written if a storing method is called. All other
    /// accesses to these bytes, in this process and in others, are atomic and of the same size, or a defect of theirs.
    #[inline]
    pub(crate) unsafe fn new(at: *mut u8) -> Word64<'a> {
        // SAFETY: alignment and validity are the caller's promise. An AtomicU64 has an UnsafeCell inside, so the reference
        // claims nothing about who else writes.
        Word64(unsafe { &*at.cast::<AtomicU64>() })
    }

    #[inline]
    pub(crate) fn load_relaxed(self) -> u64 {
        u64::from_le(self.0.load(Relaxed))
    }

    #[inline]
    pub(crate) fn load_acquire(self) -> u64 {
        u64::from_le(self.0.load(Acquire))
    }

    #[inline]
    pub(crate) fn store_relaxed(self, value: u64) {
        self.0.store(value.to_le(), Relaxed);
    }

    #[inline]
    pub(crate) fn store_release(self, value: u64) {
        self.0.store(value.to_le(), Release);
    }

    /// Move a cursor from `from` one on and win that position, or learn where the cursor is instead. Relaxed: which position
    /// is whose follows from the swap alone; what may be touched then, from the cell's sequence.
    #[inline]
    pub(crate) fn win(self, from: u64) -> Result<Position, u64> {
        self.advance(from, 1, Relaxed).map(|()| Position(from))
    }

    /// Move a cursor from `from` by `count` and win those positions, or learn where the cursor is instead.
    #[inline]
    pub(crate) fn win_run(self, from: u64, count: u64) -> Result<Run, u64> {
        self.advance(from, count, Relaxed).map(|()| Run { next: from, end: from.wrapping_add(count) })
    }

    /// As [`Word64::win`], with release: what was loaded before is seen by those who load the cursor's new value with acquire.
    #[inline]
    pub(crate) fn win_release(self, from: u64) -> Result<Position, u64> {
        self.advance(from, 1, Release).map(|()| Position(from))
    }

    /// As [`Word64::win_run`], likewise.
    #[inline]
    pub(crate) fn win_run_release(self, from: u64, count: u64) -> Result<Run, u64> {
        self.advance(from, count, Release).map(|()| Run { next: from, end: from.wrapping_add(count) })
    }

    #[inline]
    fn advance(self, from: u64, count: u64, order: Ordering) -> Result<(), u64> {
        self.exchange(from, from.wrapping_add(count), order)
    }

    /// Put `to` in the place of `from`, or learn what stands there instead. With release: what was loaded and stored before is
    /// seen by those who load the new value with acquire.
    #[inline]
    pub(crate) fn replace_release(self, from: u64, to: u64) -> Result<(), u64> {
        self.exchange(from, to, Release)
    }

    #[inline]
    fn exchange(self, from: u64, to: u64, order: Ordering) -> Result<(), u64> {
        self.0.compare_exchange(from.to_le(), to.to_le(), order, Relaxed).map(|_| ()).map_err(u64::from_le)
    }

    /// Add 1, wrapping, with release. Only for a word that one participant at a time changes, under a lock.
    pub(crate) fn add_one_release(self) {
        self.store_release(self.load_relaxed().wrapping_add(1));
    }

    /// Add, wrapping; orders nothing.
    pub(crate) fn add_relaxed(self, count: u64) {
        if cfg!(target_endian = "little") {
            self.0.fetch_add(count, Relaxed);
        } else {
            let add = |word: u64| Some(u64::from_le(word).wrapping_add(count).to_le());
            // The closure never answers None, so the update never fails.
            let _ = self.0.fetch_update(Relaxed, Relaxed, add);
        }
    }

    /// Store `value` if it is greater than what stands there; orders nothing. Answers whether it was.
    pub(crate) fn raise_relaxed(self, value: u64) -> bool {
        let mut found = self.load_relaxed();
        while found < value {
            match self.exchange(found, value, Relaxed) {
                Ok(()) => return true,
                Err(now) => found = now,
            }
        }
        false
    }
}

impl<'a> Word32<'a> {
    /// # Safety
    /// As [`Word64::new`], with 4 for 8.
    #[inline]
    pub(crate) unsafe fn new(at: *mut u8) -> Word32<'a> {
        // SAFETY: as in Word64::new.
        Word32(unsafe { &*at.cast::<AtomicU32>() })
    }

    #[inline]
    pub(crate) fn load_relaxed(self) -> u32 {
        u32::from_le(self.0.load(Relaxed))
    }

    #[inline]
    pub(crate) fn load_acquire(self) -> u32 {
        u32::from_le(self.0.load(Acquire))
    }

    #[inline]
    pub(crate) fn store_release(self, value: u32) {
        self.0.store(value.to_le(), Release);
    }

    #[inline]
    pub(crate) fn load_seq_cst(self) -> u32 {
        u32::from_le(self.0.load(SeqCst))
    }

    #[inline]
    pub(crate) fn store_relaxed(self, value: u32) {
        self.0.store(value.to_le(), Relaxed);
    }

    /// Add, wrapping, in the single order of all sequentially consistent operations.
    #[inline]
    pub(crate) fn add_seq_cst(self, count: u32) {
        self.add(count, SeqCst);
    }

    /// Add, wrapping; orders nothing.
    pub(crate) fn add_relaxed(self, count: u32) {
        self.add(count, Relaxed);
    }

    /// Add, wrapping, with release: what was loaded and stored before is seen by those who load the new value with acquire.
    pub(crate) fn add_release(self, count: u32) {
        self.add(count, Release);
    }

    #[inline]
    fn add(self, count: u32, order: Ordering) {
        if cfg!(target_endian = "little") {
            self.0.fetch_add(count, order);
        } else {
            let add = |word: u32| Some(u32::from_le(word).wrapping_add(count).to_le());
            // The closure never answers None, so the update never fails.
            let _ = self.0.fetch_update(order, Relaxed, add);
        }
    }

    /// Put `to` in the place of `from`, with acquire, or learn what stands there instead: to take a lock.
    #[inline]
    pub(crate) fn replace_acquire(self, from: u32, to: u32) -> Result<(), u32> {
        self.exchange(from, to, Acquire)
    }

    /// The same, ordering nothing.
    pub(crate) fn replace_relaxed(self, from: u32, to: u32) -> Result<(), u32> {
        self.exchange(from, to, Relaxed)
    }

    #[inline]
    fn exchange(self, from: u32, to: u32, order: Ordering) -> Result<(), u32> {
        self.0.compare_exchange(from.to_le(), to.to_le(), order, Relaxed).map(|_| ()).map_err(u32::from_le)
    }

    /// Store, with release, and learn what stood there: to free a lock.
    #[inline]
    pub(crate) fn swap_release(self, value: u32) -> u32 {
        u32::from_le(self.0.swap(value.to_le(), Release))
    }

    /// Subtract, likewise.
    #[inline]
    pub(crate) fn sub_seq_cst(self, count: u32) {
        self.add_seq_cst(count.wrapping_neg());
    }

    /// The address, for the futex calls.
    #[inline]
    pub(crate) fn as_ptr(self) -> *const u32 {
        (self.0 as *const AtomicU32).cast()
    }
}

impl<'a> Word16<'a> {
    /// # Safety
    /// As [`Word64::new`], with 2 for 8.
    #[inline]
    pub(crate) unsafe fn new(at: *mut u8) -> Word16<'a> {
        // SAFETY: as in Word64::new.
        Word16(unsafe { &*at.cast::<AtomicU16>() })
    }

    #[inline]
    pub(crate) fn load_relaxed(self) -> u16 {
        u16::from_le(self.0.load(Relaxed))
    }

    #[inline]
    pub(crate) fn store_relaxed(self, value: u16) {
        self.0.store(value.to_le(), Relaxed);
    }
}

impl<'a> Byte<'a> {
    /// # Safety
    /// As [`Word64::new`], with 1 for 8.
    #[inline]
    pub(crate) unsafe fn new(at: *mut u8) -> Byte<'a> {
        // SAFETY: as in Word64::new.
        Byte(unsafe { &*at.cast::<AtomicU8>() })
    }

    #[inline]
    pub(crate) fn load_relaxed(self) -> u8 {
        self.0.load(Relaxed)
    }

    #[inline]
    pub(crate) fn store_relaxed(self, value: u8) {
        self.0.store(value, Relaxed);
    }
}

/// A word as copies move it: by relaxed accesses, to and from slices of its size.
pub(crate) trait Unit {
    const SIZE: usize;

    /// Load the word at `at` into `to`, which has its size.
    ///
    /// # Safety
    /// As [`Word64::new`], with `SIZE` for 8.
    unsafe fn take(at: *mut u8, to: &mut [u8]);

    /// Store `from`, which has the word's size, in the word at `at`.
    ///
    /// # Safety
    /// As [`Word64::new`], with `SIZE` for 8.
    unsafe fn put(at: *mut u8, from: &[u8]);
}

macro_rules! unit {
    ($($word:ident: $number:ty),*) => {$(
        impl Unit for $word<'_> {
            const SIZE: usize = std::mem::size_of::<$number>();

            #[inline]
            unsafe fn take(at: *mut u8, to: &mut [u8]) {
                // SAFETY: the caller's promise is new's; the word is gone before take returns.
                let word = unsafe { $word::new(at) };
                to.copy_from_slice(&word.load_relaxed().to_le_bytes());
            }

            #[inline]
            unsafe fn put(at: *mut u8, from: &[u8]) {
                let mut bytes = [0; Self::SIZE];
                bytes.copy_from_slice(from);
                // SAFETY: as in take.
                let word = unsafe { $word::new(at) };
                word.store_relaxed(<$number>::from_le_bytes(bytes));
            }
        }
    )*};
}

unit!(Word64: u64, Word32: u32, Word16: u16, Byte: u8);

/// A flag of this process, which signal handlers may raise.
#[cfg(feature = "driver")]
pub(crate) struct Flag(AtomicBool);

#[cfg(feature = "driver")]
impl Flag {
    pub(crate) const fn new() -> Flag {
        Flag(AtomicBool::new(false))
    }

    pub(crate) fn raise(&self) {
        self.0.store(true, Relaxed);
    }

    /// Lower the flag; answers whether it was raised. Same thread or not: it stands for itself and orders nothing.
    pub(crate) fn lower(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

/// A number of this process, for what changes hardly ever.
pub(crate) struct Counter(AtomicU32);

impl Counter {
    pub(crate) const fn new() -> Counter {
        Counter(AtomicU32::new(0))
    }

    #[inline]
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Add 1; orders nothing.
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// Nothing stored after this is seen by one who does not also see every load and store before it (dmxp's F6, ouroboros' F4,
/// slick's and shmcomm's F5).
#[inline]
pub(crate) fn fence_release() {
    atomic::fence(Release);
}

/// No load after this is served before every load ahead of it (ouroboros', slick's and shmcomm's F5).
#[inline]
pub(crate) fn fence_acquire() {
    atomic::fence(Acquire);
}

/// Everything stored before this is seen by those who come to theirs later, or they have been seen here (shmcomm's S6).
#[inline]
pub(crate) fn fence_seq_cst() {
    atomic::fence(SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(8))]
    struct Memory([u8; 16]);

    fn words(memory: &mut Memory) -> (Word64<'_>, Word32<'_>, Word16<'_>) {
        let at = memory.0.as_mut_ptr();
        // SAFETY: 16 aligned bytes, borrowed mutably for as long as the words live.
        unsafe { (Word64::new(at), Word32::new(at.add(8)), Word16::new(at.add(12))) }
    }

    #[test]
    fn words_are_little_endian() {
        let mut memory = Memory([0; 16]);
        let (a, b, c) = words(&mut memory);
        a.store_release(0x0102_0304_0506_0708);
        b.store_relaxed(0x0A0B_0C0D);
        c.store_relaxed(0x0E0F);
        b.add_seq_cst(1);
        b.sub_seq_cst(2);
        assert_eq!((a.load_acquire(), b.load_seq_cst(), c.load_relaxed()), (0x0102_0304_0506_0708, 0x0A0B_0C0C, 0x0E0F));
        assert_eq!(memory.0, [8, 7, 6, 5, 4, 3, 2, 1, 0x0C, 0x0C, 0x0B, 0x0A, 0x0F, 0x0E, 0, 0]);
    }

    #[test]
    fn words_are_replaced_and_raised() {
        let mut memory = Memory([0; 16]);
        let (a, b, _) = words(&mut memory);
        b.replace_acquire(0, 7).expect("nobody else is here");
        assert_eq!((b.replace_relaxed(6, 9), b.swap_release(5)), (Err(7), 7));
        b.add_relaxed(3);
        b.add_release(u32::MAX);
        assert_eq!(b.load_relaxed(), 7);
        assert!(a.raise_relaxed(3) && !a.raise_relaxed(3) && !a.raise_relaxed(2));
        a.add_relaxed(u64::MAX);
        assert_eq!(a.load_relaxed(), 2);
    }

    #[test]
    fn positions_are_won_once() {
        let mut memory = Memory([0; 16]);
        let (cursor, _, _) = words(&mut memory);
        cursor.store_relaxed(u64::MAX);
        let won: Vec<u64> = cursor.win_run(u64::MAX, 3).expect("nobody else is here").map(|p| p.value()).collect();
        assert_eq!(won, [u64::MAX, 0, 1]);
        assert_eq!(cursor.win(0).expect_err("the cursor has moved"), 2);
        assert_eq!(cursor.win(2).expect("nobody else is here").value(), 2);
    }
}
