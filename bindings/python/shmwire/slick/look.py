# SPDX-License-Identifier: MIT
"""Profile slick, section 5, python engine: the way of one call from a reader's cursor to an item. Loads only, so it works without
the extension module and on a read-only mapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..errors import CorruptError
from . import layout
from .segment import Ring

#: What a step comes to.
FOUND: Final = 0
EMPTY: Final = 1
LAPPED: Final = 2
AGAIN: Final = 3  # the look stands elsewhere now: step 1


@dataclass(slots=True)
class Found:
    """An item that was copied, or is to be lent, and not yet proved whole."""

    index: int
    elements: int
    lost: int  #: indices lost on the way from the item before
    data: bytes  #: empty where the size is impossible, or it was not to be copied


class Look:
    """Where a call stands. The reader keeps what it needs of it when it knows what came of it."""

    __slots__ = ("_before", "_marks", "_overtaken", "at", "lost", "reset", "ring")

    def __init__(self, ring: Ring, at: int, lost: int) -> None:
        self.ring = ring
        self.at = at  # c of the chapter
        self.lost = self._before = lost  # since the item delivered before
        self.reset = False  # was one noticed? once a call
        self._overtaken = 0
        self._marks = 0

    def find(self) -> int:
        """Steps 1 to 3: FOUND at an index that is published, EMPTY or LAPPED."""
        while True:
            found = self.ring.data_index(self.at)  # 1.
            next_index = self.ring.next_index()  # after it: the reservation came before the publication
            if found == layout.NO_INDEX or found < self.at or found > next_index:  # [slick.read.uncovered]
                answer = self._unpublished(next_index)  # 2.
                if answer != AGAIN:
                    return answer
            elif self._go_to(found):  # 3.
                return FOUND
            elif self._marks > self.ring.size:
                return LAPPED  # producers make marks faster than we follow them [slick.read.bounded]

    def _unpublished(self, next_index: int) -> int:
        """Step 2: what it means that the index at the cursor is not published. [slick.read.empty]"""
        if next_index < self.at and not self.reset:
            self.at, self.lost, self.reset = 0, self._before, True  # [slick.read.reset]
            return AGAIN
        return self.overtaken() if next_index > self.at + self.ring.size else EMPTY

    def _go_to(self, found: int) -> bool:
        """Step 3: go to the index in the slot, counting what was overwritten. False where that was a mark."""
        ahead = (found - self.at) % self.ring.size
        self.lost += found - ahead - self.at  # [slick.read.lapped]
        self.at = found
        if ahead == 0:
            return True
        self._marks += 1  # [slick.read.mark]
        return False

    def overtaken(self) -> int:
        """Step 7: go to the oldest index that is still there. AGAIN, EMPTY or LAPPED. [slick.read.oldest]"""
        next_index = self.ring.next_index()
        if next_index > self.at + self.ring.size:  # else the queue was reset meanwhile, and step 1 will find out
            oldest = self.ring.oldest(next_index)
            if oldest is None:
                return EMPTY
            self.lost += oldest - self.at
            self.at = oldest
        self._overtaken += 1
        return LAPPED if self._overtaken >= layout.READ_TRIES else AGAIN

    def take_up(self, most: int | None, *, copy: bool = True) -> Found:
        """Steps 4 and 5: the item at the cursor, copied if it has at most `most` bytes. None of it is certain yet."""
        ring = self.ring
        elements = ring.slot_size(self.at)
        wanted = copy and ring.fits(self.at, elements) and (most is None or elements * ring.element_size <= most)
        return Found(self.at, elements, self.lost, ring.copy(self.at, elements) if wanted else b"")

    def judge(self, found: Found, next_index: int) -> int:
        """Step 6: FOUND, if what was taken up is whole as of the reservation's index, loaded after it; AGAIN, EMPTY or LAPPED.
        CorruptError for a size that no producer leaves. [slick.read.recheck, slick.read.stale, slick.read.bounds]"""
        if next_index > found.index + self.ring.size:
            return self.overtaken()
        if next_index <= found.index:
            return self._unpublished(next_index)
        if not is_sound(self.ring, found, next_index):
            raise CorruptError(f"an item of {found.elements} elements at index {found.index}")
        return FOUND


def is_sound(ring: Ring, found: Found, next_index: int) -> bool:
    """Does a whole item have a size that a producer may have given it?"""
    return ring.fits(found.index, found.elements) and found.index + found.elements <= next_index
