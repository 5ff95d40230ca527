# SPDX-License-Identifier: MIT
"""Profile slick, section 4.1, python engine: nobody reserves elements again while their last item is still being written."""

from __future__ import annotations

from typing import Final

from ..atomic import ACQUIRE, fence
from ..errors import CorruptError
from ..wait import Backoff, Deadline
from . import layout
from .segment import Ring, count_of, index_of

#: What a look at the items before a reservation comes to.
SETTLED: Final = 0  # everything, or enough of it
WAITING: Final = 1  # somebody is still at work on the item at `known`
CHANGED: Final = 2  # the ring moved on while we looked: load reserved again


class Settlement:
    """What one producer, or a recoverer, knows to be settled: every index below `known`."""

    __slots__ = ("_found", "known", "marks", "ring")

    def __init__(self, ring: Ring, known: int = 0) -> None:
        self.ring = ring
        self.known = known
        self.marks = 0  # left in slots of others
        self._found = 0  # data_index of the slot of `known`, when it was not settled

    def passed(self, index: int, end: int) -> None:
        """Our own item, mark or batch from `index` to `end` is settled."""
        if self.known == index:
            self.known = end

    def allows(self, reserved: int, end: int) -> int:
        """Steps 1 to 4: may a reservation made over `reserved` end at `end`? SETTLED, WAITING or CHANGED; CorruptError.
        [slick.reserve.settled, slick.reserve.told]"""
        ring, limit = self.ring, index_of(reserved)
        settled = ring.load_settled()  # 1.
        if settled > limit:
            if ring.load_reserved() != reserved:
                return CHANGED
            settled = 0  # no producer left it
        if end <= settled + ring.size:
            return SETTLED
        self.known = max(self.known, settled)
        if limit > self.known + ring.size:
            self.known = self._last_reservation(reserved)
        looked = self.walk(limit)  # 2.
        if looked == CHANGED:
            return CHANGED
        ring.raise_settled(self.known)  # 3.
        return SETTLED if looked == SETTLED or end <= self.known + ring.size else WAITING  # 4.

    def _last_reservation(self, reserved: int) -> int:
        """Where it begins: nothing before it can be unsettled, or its maker would not have made it."""
        index, count = index_of(reserved), count_of(reserved)
        if not 1 <= count <= self.ring.size:
            raise CorruptError(f"a last reservation of {count} elements")
        return index - count

    def walk(self, limit: int) -> int:
        """Go on from `known` to `limit`, item by item. SETTLED when there, else WAITING or CHANGED."""
        ring = self.ring
        while self.known < limit:
            found = ring.data_index(self.known)
            if found == self.known:
                elements = ring.slot_size(self.known)
                fence(ACQUIRE)  # F5: pairs with F5 of reserving; the slot's size before the reservation that may overwrite it
                if ring.next_index() > self.known + ring.size:
                    return CHANGED
                if not ring.fits(self.known, elements) or self.known + elements > limit:
                    raise CorruptError(f"an item of {elements} elements at index {self.known}")
                self.known += elements
            elif ring.is_marked(self.known, found) and found <= limit:
                self.known = found
            elif found != layout.NO_INDEX and self.known + ring.size <= found < ring.next_index():
                return CHANGED
            else:
                self._found = found
                return WAITING
        return SETTLED

    def give_up(self, reserved: int) -> bool:
        """Mark the unsettled item at `known` so that readers, and its producer, learn of it. False when it was published
        meanwhile. [slick.reserve.give-up]"""
        ring, limit = self.ring, index_of(reserved)
        onward = self._next_settled(limit)
        if onward is None:
            last = limit - count_of(reserved)
            onward = last if last > self.known else limit
        if onward - self.known != ring.size:  # else it would look like an item of the next lap
            if not ring.mark_given_up(self.known, self._found, onward):
                return False
            self.marks += 1
        self.known = onward
        return True

    def _next_settled(self, limit: int) -> int | None:
        """The next index above `known` that is published, or marked by who reserved it."""
        ring = self.ring
        for index in range(self.known + 1, min(limit, self.known + ring.size)):
            found = ring.data_index(index)
            if found == index or (ring.is_marked(index, found) and found <= limit):
                return index
        return None


class Patience:
    """How long a producer waits: until the stall time has passed without a change of what it waits for."""

    def __init__(self, stall: float) -> None:
        self._stall = stall
        self._for = (-1, -1)
        self._deadline = Deadline(0)
        self._backoff = Backoff(self._deadline)

    def exhausted(self, known: int, limit: int) -> bool:
        """Wait a little for the item at `known`, giving up the processor; True when that was often enough. With `limit` at rest,
        what is given up together with it has been waited for as long."""
        if self._for != (known, limit):
            self._for = known, limit
            self._deadline = Deadline(self._stall)
            self._backoff = Backoff(self._deadline)
        if self._deadline.expired():
            return True
        self._backoff.pause()
        return False
