# SPDX-License-Identifier: MIT
"""Profile slick, section 8, python engine: is there anything in the segment that no producer leaves? What is reserved and not
published yet, or never, is no finding: recover tells how much of that there is."""

from __future__ import annotations

from ..errors import BadGeometryError, CorruptError
from . import layout
from .segment import Ring, check_geometry, count_of, index_of


def validate(ring: Ring) -> None:
    """Raise for the first finding: an exception of the header, or CorruptError."""
    if check_geometry(ring.window, ring.generation) != (ring.size, ring.element_size):
        raise BadGeometryError("size or element_size has changed")
    finding = _check_indices(ring)
    if finding is not None:
        raise CorruptError(finding)
    for slot in range(ring.size):
        finding = _check_slot(ring, slot)
        if finding is not None:
            raise CorruptError(f"slot {slot}: {finding}")


def _check_indices(ring: Ring) -> str | None:
    last = ring.load_last_published()  # before the reservation, which came before the item
    reserved = ring.load_reserved()
    if count_of(reserved) > min(ring.size, index_of(reserved)):
        return "the last reservation is larger than the ring or the indices"
    if ring.generation != "1.4" or last == layout.NO_INDEX:
        return None
    if last >= index_of(reserved):
        return "last_published is not below the reservation"  # I5
    named = ring.data_index(last) == last
    overwritten = ring.recheck() > last + ring.size
    return None if named or overwritten else "last_published names no item"


def _check_slot(ring: Ring, slot: int) -> str | None:
    found = ring.data_index(slot)
    if found == layout.NO_INDEX:
        return None
    next_index = ring.next_index()  # after the slot: an index that is there was reserved before
    if found > next_index:
        return "a data_index is above the reservation"  # I2 [slick.read.uncovered]
    ahead = (found - slot) % ring.size
    if ahead > found:
        return "a mark that nobody can have made"
    if ahead != 0 or next_index > found + ring.size:
        return None  # a mark, or overwritten since
    finding = _check_whole(ring, found, next_index)
    return None if ring.recheck() > found + ring.size else finding


def _check_whole(ring: Ring, index: int, next_index: int) -> str | None:
    """An item that is whole as of `next_index`: within the ring and the reservation, and nothing else published in it."""
    if index == next_index:
        return "a data_index is not below the reservation"
    elements = ring.slot_size(index)
    if not ring.fits(index, elements):
        return "an item passes the end of the ring, or has no elements"  # I6
    if index + elements > next_index:
        return "an item passes the reservation"
    if any(ring.data_index(within) == within for within in range(index + 1, index + elements)):
        return "an item begins within another"
    return None
