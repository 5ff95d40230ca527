// SPDX-License-Identifier: MIT
//! Several items by one look at the reservation [slick.read.batch].

use super::look::{Arrival, Look};
use super::segment::Segment;
use super::Item;

impl Segment {
    /// Steps 1 to 5 for one item after the other, into the front of `items` and of `buffer`; answers how many. Anything unusual
    /// ends it.
    #[inline]
    pub(super) fn copy_batch(&self, from: u64, buffer: &mut [u8], items: &mut [Item]) -> usize {
        let mut look = Look::from(from);
        let mut used = 0;
        for (count, slot) in items.iter_mut().enumerate() {
            let elements = match self.arrive(&mut look) {
                Arrival::Item(elements) if self.fits(look.index, elements) => elements,
                _ => return count,
            };
            let item = self.item(look.index, elements);
            if self.copy_item(look.index, elements, &mut buffer[used..]).is_err() {
                return count;
            }
            *slot = Item { lost: std::mem::take(&mut look.lost), offset: used, ..item };
            used += item.length;
            look.index += u64::from(elements);
        }
        items.len()
    }

    /// Step 6 for all of them: move those that are whole, which are the last ones, to the front; answers how many. What was
    /// overwritten before the first of them counts as lost with it.
    pub(super) fn keep_whole(&self, items: &mut [Item]) -> usize {
        let next = self.next_index_after_copy();
        let first = match items.iter().position(|item| !self.overtaken(item.index, next)) {
            Some(first) => first,
            None => return 0,
        };
        let covered = |item: &&Item| item.index < next && u64::from(item.elements) <= next - item.index;
        let count = items[first..].iter().take_while(covered).count();
        if first == 0 || count == 0 {
            return count;
        }
        let (begin, index) = (items[0], items[first].index);
        // Where a single read would go on. A stale item may have led past others that are whole: those come first.
        let oldest = self.first_answering(self.lap_start(next), index, next).unwrap_or(index);
        if !self.is_led_to(oldest, index, next) {
            return 0;
        }
        items[first].lost = begin.lost.wrapping_add(oldest - begin.index);
        items.copy_within(first..first + count, 0);
        count
    }

    /// Whether nothing but marks is between `from` and `to`.
    fn is_led_to(&self, mut from: u64, to: u64, next: u64) -> bool {
        while from < to {
            let d = self.data_index(from).load_acquire(); // A2: pairs with R2
            if d <= from || d - from >= self.size || d > next {
                return false;
            }
            from = d;
        }
        from == to
    }
}
