// SPDX-License-Identifier: MIT
//! Bytes that one participant stores before he publishes them, and nobody afterwards while anybody else has them mapped (profile
//! deepwater): they may be looked at where they lie.

use super::Whole;

impl Whole {
    /// `length` bytes at `offset`, which whoever wrote them has published, and which no participant who keeps to the protocol
    /// changes any more.
    ///
    /// As with every mapped file, one who does not keep to it can change them under the reference. All values are valid bytes and
    /// nothing else is made of them here, but two looks may differ then: [`Whole::copy_settled`] looks once.
    #[inline]
    pub(crate) fn settled(&self, offset: u64, length: u64) -> &[u8] {
        let from = self.as_ptr(offset, length);
        // SAFETY: as_ptr has found all of it to be inside of the mapping, which lives as long as self does. Nobody stores there,
        // by the protocol, from the moment on in which the caller saw the bytes published: their writer uses the memory again only
        // when nobody else has it mapped, and when it has given up its own mapping of them, by value, and so all slices of that.
        unsafe { std::slice::from_raw_parts(from, length as usize) }
    }

    /// Copy such bytes out, in one look and without a reference to them.
    #[inline]
    pub(crate) fn copy_settled(&self, offset: u64, to: &mut [u8]) {
        let from = self.as_ptr(offset, to.len() as u64);
        // SAFETY: the source is inside of the mapping (as_ptr), the target a slice; they do not overlap, since nobody has mutable
        // slices of a mapping. Any bytes are valid bytes.
        unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) }
    }

    /// Copy bytes in that the caller publishes later, where nobody looks before that and nobody else ever stores.
    #[inline]
    pub(crate) fn copy_in_unpublished(&self, offset: u64, from: &[u8]) {
        assert!(self.map().writable());
        let to = self.as_ptr(offset, from.len() as u64) as *mut u8;
        // SAFETY: the target is inside of the mapping (as_ptr), which is writable (asserted); the source is a slice, and not of
        // this range: those are handed out only of what is published.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Map;

    #[test]
    fn bytes_stay_inside() {
        let whole = Whole::new(Map::create_local(64).expect("memory"));
        whole.copy_in_unpublished(3, b"abcde");
        assert_eq!((whole.settled(2, 7), whole.settled(64, 0)), (&b"\0abcde\0"[..], &b""[..]));
        let mut copy = [0; 5];
        whole.copy_settled(3, &mut copy);
        assert_eq!(&copy, b"abcde");
        for (offset, length) in [(60_u64, 5_u64), (64, 1), (65, 0), (u64::MAX, 2), (1, u64::MAX)] {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| whole.settled(offset, length).len()));
            assert!(caught.is_err(), "{offset} and {length}");
        }
    }
}
