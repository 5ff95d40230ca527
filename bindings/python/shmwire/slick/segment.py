# SPDX-License-Identifier: MIT
"""Profile slick, sections 1 to 3, python engine: what producers and readers both need of a segment.

Reading order beside the chapter: this file (sections 1 to 3), writer.py (4), settle.py (4.1), reader.py (5), cursor.py (5.1),
recover.py (6), validate.py (8).
"""

from __future__ import annotations

import contextlib
from typing import Final

from .. import map as mapping
from ..atomic import ACQUIRE, AVAILABLE, RELAXED, RELEASE, Words, fence
from ..bytes import Window
from ..errors import BadGeometryError, BadMagicError, BadVersionError, NotReadyError, TruncatedError, UnsupportedError
from ..wait import Deadline, poll
from . import layout
from .item import Generation, Header, SlotInfo, Start

SLOTS_AT_ONCE: Final = 1 << 16  # cleared by one store
_CLEAR_SLOT: Final = layout.NO_INDEX.to_bytes(8, "little") + (1).to_bytes(4, "little") + bytes(4)
_READY: Final[dict[Generation, int]] = {"1.2": layout.STATE_NONE, "1.3": layout.STATE_READY_13, "1.4": layout.STATE_READY_14}


def index_of(word: int) -> int:
    """The index in header.reserved: the next one that is free."""
    return word >> layout.RESERVED_SIZE_BITS


def count_of(word: int) -> int:
    """The elements in header.reserved: those of the last reservation."""
    return word & layout.RESERVED_SIZE_MASK


def length_of(size: int, element_size: int) -> int:
    """Bytes of a segment. Python's integers do not overflow."""
    return layout.SLOT_TABLE_OFFSET + layout.SLOT_SIZE * size + element_size * size


def size_possible(size: int) -> bool:
    """A power of two up to MAX_SIZE?"""
    return 0 < size <= layout.MAX_SIZE and size & (size - 1) == 0


class Ring:
    """A mapped segment and the values of its header, checked once."""

    __slots__ = ("data_offset", "element_size", "generation", "length", "mapped", "size", "window", "words")

    def __init__(self, mapped: mapping.Mapping, generation: Generation, size: int, element_size: int) -> None:
        self.mapped = mapped
        self.window: Window = mapped.window
        self.words = Words(self.window)
        self.generation: Generation = generation
        self.size = size
        self.element_size = element_size
        self.data_offset = layout.SLOT_TABLE_OFFSET + layout.SLOT_SIZE * size
        self.length = length_of(size, element_size)

    def close(self) -> None:
        """Let go of the mapping; it goes away with its last user."""
        self.words.close()
        self.mapped.close()

    # Header ---------------------------------------------------------------------------------------------------------

    def load_reserved(self, order: int = RELAXED) -> int:
        """header.reserved. Readers need no order: what has to be ordered with it is, by F5 or by coherence (section 7)."""
        return self.words.load_u64(layout.HEADER_RESERVED_OFFSET, order)

    def next_index(self) -> int:
        """`r` of the chapter."""
        return index_of(self.load_reserved())

    def load_settled(self) -> int:
        """header.settled."""
        return self.words.load_u64(layout.HEADER_SETTLED_OFFSET, ACQUIRE)  # A1: pairs with R1; what is below is done with

    def raise_settled(self, known: int) -> None:
        """Raise settled to `known` unless it holds a higher index; one above the reservation is no producer's.
        [slick.reserve.told]"""
        settled = self.load_settled()
        while settled < known or settled > self.next_index():  # loaded after it: others may have raised both
            # R1: pairs with A1; what this producer found done, before others rely on it
            found = self.words.cas_u64(layout.HEADER_SETTLED_OFFSET, settled, known, RELEASE)
            if found == settled:
                return
            settled = found

    def load_last_published(self) -> int:
        """header.last_published."""
        return self.words.load_u64(layout.HEADER_LAST_PUBLISHED_OFFSET, ACQUIRE)  # A3: pairs with R3; the item that it names

    def raise_last_published(self, index: int) -> None:
        """Raise last_published to `index`, in generation 1.4; NO_INDEX is lower than any. [slick.publish.last]"""
        if self.generation != "1.4":
            return
        last = self.words.load_u64(layout.HEADER_LAST_PUBLISHED_OFFSET, RELAXED)
        while last == layout.NO_INDEX or last < index:
            # R3: pairs with A3; the item before the word that names it
            found = self.words.cas_u64(layout.HEADER_LAST_PUBLISHED_OFFSET, last, index, RELEASE)
            if found == last:
                return
            last = found

    def header(self) -> Header:
        """The header as it is."""
        window = self.window
        return Header(self.load_reserved(), self.words.load_u32(layout.HEADER_SIZE_OFFSET, ACQUIRE),  # A0: pairs with R0
                      window.u32(layout.HEADER_ELEMENT_SIZE_OFFSET), self.load_last_published(),
                      window.u32(layout.HEADER_HEADER_MAGIC_OFFSET), self.load_settled(),
                      self.words.load_u32(layout.HEADER_INIT_STATE_OFFSET, ACQUIRE))  # A0: pairs with R0

    # Slots ----------------------------------------------------------------------------------------------------------

    def slot_at(self, index: int) -> int:
        """Where the slot of an index lies."""
        return layout.SLOT_TABLE_OFFSET + layout.SLOT_SIZE * (index % self.size)

    def data_index(self, index: int) -> int:
        """data_index of the slot of an index."""
        # A2: pairs with R2; elements and size after the index
        return self.words.load_u64(self.slot_at(index) + layout.SLOT_DATA_INDEX_OFFSET, ACQUIRE)

    def slot_size(self, index: int) -> int:
        """size of the slot of an index."""
        return self.words.load_u32(self.slot_at(index) + layout.SLOT_SIZE_OFFSET, RELAXED)

    def set_slot_size(self, index: int, elements: int) -> None:
        """Store the size in the slot of an index. A reader of the lap before may be loading it."""
        self.words.store_u32(self.slot_at(index) + layout.SLOT_SIZE_OFFSET, elements, RELAXED)

    def set_slot(self, index: int, elements: int, data_index: int) -> None:
        """Publish an item in the slot of an index, or leave a mark there. [slick.publish.order]"""
        self.set_slot_size(index, elements)
        # R2: pairs with A2; elements and size before the index
        self.words.store_u64(self.slot_at(index) + layout.SLOT_DATA_INDEX_OFFSET, data_index, RELEASE)

    def mark_given_up(self, index: int, found: int, onward: int) -> bool:
        """Leave a mark in the slot of an index where `found` still is; False where it is not. The slot's size stays: its owner
        may be storing it. [slick.reserve.give-up]"""
        at = self.slot_at(index) + layout.SLOT_DATA_INDEX_OFFSET
        return self.words.cas_u64(at, found, onward, RELEASE) == found  # R2: pairs with A2

    def is_marked(self, index: int, found: int) -> bool:
        """Is `found`, from the slot of an index, a mark made by who reserved that index?"""
        return 0 < found - index < self.size

    def slots(self) -> list[SlotInfo]:
        """All slots as they are."""
        return [SlotInfo(self.data_index(i), self.slot_size(i)) for i in range(self.size)]

    def clear_slots(self) -> None:
        """NO_INDEX and 1 in every slot."""
        at, left = layout.SLOT_TABLE_OFFSET, self.size
        while left > 0:
            count = min(left, SLOTS_AT_ONCE)
            self.window.write(at, _CLEAR_SLOT * count)
            at, left = at + layout.SLOT_SIZE * count, left - count

    # Elements -------------------------------------------------------------------------------------------------------

    def element_at(self, index: int) -> int:
        """Where the element of an index lies."""
        return self.data_offset + self.element_size * (index % self.size)

    def fits(self, index: int, elements: int) -> bool:
        """May an item of so many elements begin at an index? [slick.reserve.wrap]"""
        return 1 <= elements <= self.size - index % self.size

    def copy(self, index: int, elements: int) -> bytes:
        """The bytes of an item that fits."""
        return self.window.read(self.element_at(index), self.element_size * elements)

    def view(self, index: int, elements: int) -> memoryview:
        """The bytes of an item that fits, where they lie."""
        return self.window.view(self.element_at(index), self.element_size * elements)

    # Where to begin -------------------------------------------------------------------------------------------------

    def oldest(self, next_index: int) -> int | None:
        """The lowest index in the ring that is published or marked by who reserved it; None if there is none."""
        for index in range(max(0, next_index - self.size), next_index):
            found = self.data_index(index)
            if found == index or (self.is_marked(index, found) and found <= next_index):
                return index
        return None

    def last_index(self) -> int | None:
        """The highest index that is published, as producers say or, where they do not, by search. [slick.read.last]"""
        published = self.load_last_published()  # first, so that the reservation covers it
        reserved = self.load_reserved()
        next_index = index_of(reserved)
        told = self.generation == "1.4"
        candidate = published if told else next_index - count_of(reserved)
        named = max(0, next_index - self.size) <= candidate < next_index and self.data_index(candidate) == candidate
        if named and (told or self.slot_size(candidate) == count_of(reserved)):  # a reservation may be a batch: several items
            return candidate
        return self.highest(next_index)

    def highest(self, next_index: int) -> int | None:
        """The highest index below `next_index` whose slot holds it."""
        downward = range(next_index - 1, max(0, next_index - self.size) - 1, -1)
        return next((index for index in downward if self.data_index(index) == index), None)

    def start_index(self, start: Start) -> int:
        """[slick.read.start]"""
        if start == "latest":
            return self.next_index()
        if start != "oldest":
            return start
        next_index = self.next_index()
        found = self.oldest(next_index)
        return found if found is not None else max(0, next_index - self.size)

    def recheck(self) -> int:
        """`r`, loaded after everything that was copied or lent before: an item is whole if r <= its index + size.
        [slick.read.recheck]"""
        fence(ACQUIRE)  # F5: pairs with F5 of reserving; our loads of elements before the reservation that may cover them
        return self.next_index()


# Making a segment -----------------------------------------------------------------------------------------------------


def create(name: str | None, generation: Generation, size: int, element_size: int, mode: int) -> Ring:
    """Make a segment of checked sizes. [slick.segment.create, slick.segment.init]"""
    if not AVAILABLE:
        raise UnsupportedError("making a queue takes the extension module, which is not installed")
    length = length_of(size, element_size)
    mapped = mapping.create_anonymous(length) if name is None else mapping.create(name, length, length, mode)
    try:
        ring = Ring(mapped, generation, size, element_size)
        _initialise(ring)
        return ring
    except BaseException:
        mapped.close()
        if name is not None:
            with contextlib.suppress(FileNotFoundError):
                mapping.unlink(name)
        raise


def _initialise(ring: Ring) -> None:
    """The file is ours and full of zeroes: only what differs is stored. Openers who find a size and no state take the segment for
    one of generation 1.2, so the state goes before the size."""
    words, window = ring.words, ring.window
    if ring.generation != "1.2":
        words.store_u32(layout.HEADER_INIT_STATE_OFFSET, layout.STATE_BEGUN, RELEASE)
    ring.clear_slots()
    window.put_u32(layout.HEADER_ELEMENT_SIZE_OFFSET, ring.element_size)
    if ring.generation == "1.4":
        window.put_u64(layout.HEADER_LAST_PUBLISHED_OFFSET, layout.NO_INDEX)
        window.put_u32(layout.HEADER_HEADER_MAGIC_OFFSET, layout.MAGIC)
    # R0: pairs with A0; in generation 1.2 this is what publishes, after everything
    words.store_u32(layout.HEADER_SIZE_OFFSET, ring.size, RELEASE)
    if ring.generation != "1.2":
        # R0: pairs with A0; geometry and slots before the state that publishes them
        words.store_u32(layout.HEADER_INIT_STATE_OFFSET, _READY[ring.generation], RELEASE)


# Attaching ------------------------------------------------------------------------------------------------------------


def attach(name: str, writable: bool, timeout: float) -> Ring:
    """Map the file of a queue and check its header; read-only where nothing can be stored. [slick.segment.*]"""
    deadline = Deadline(timeout)
    mapped = mapping.open_existing(name, writable and AVAILABLE, layout.HEADER_SIZE, deadline)
    try:
        words = Words(mapped.window)
        generation: Generation | None = poll(lambda: _load_generation(words), deadline)
        if generation is None:
            raise NotReadyError("")  # [slick.segment.not-ready]
        return Ring(mapped, generation, *check_geometry(mapped.window, generation))
    except BaseException:
        mapped.close()
        raise


def _load_generation(words: Words) -> Generation | None:
    """The generation, or None of a segment that is not published. [slick.segment.generation, slick.segment.state]"""
    # A0: pairs with R0; the size before the state, since a creator of 1.3 or 1.4 stores its state before its size
    size = words.load_u32(layout.HEADER_SIZE_OFFSET, ACQUIRE)
    state = words.load_u32(layout.HEADER_INIT_STATE_OFFSET, ACQUIRE)  # A0: pairs with R0; all else after it
    if state > layout.STATE_READY_14:
        raise BadVersionError(f"init_state {state}")
    if state == layout.STATE_BEGUN or (state == layout.STATE_NONE and size == 0):
        return None
    return next(generation for generation, ready in _READY.items() if ready == state)


def check_geometry(window: Window, generation: Generation) -> tuple[int, int]:
    """Size and element size. [slick.segment.magic, slick.segment.geometry, slick.segment.size]"""
    magic = window.u32(layout.HEADER_HEADER_MAGIC_OFFSET)
    if generation == "1.4" and magic != layout.MAGIC:
        raise BadMagicError(f"{magic:#010x}")
    size, element_size = window.u32(layout.HEADER_SIZE_OFFSET), window.u32(layout.HEADER_ELEMENT_SIZE_OFFSET)
    if not size_possible(size) or element_size == 0:
        raise BadGeometryError(f"{size} elements of {element_size} bytes")
    if length_of(size, element_size) > window.size:
        raise TruncatedError(f"{size} elements of {element_size} bytes in {window.size}")
    return size, element_size
