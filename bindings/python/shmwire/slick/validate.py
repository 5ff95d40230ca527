# SPDX-License-Identifier: MIT
"""Profile slick, section 8, python engine: is there anything in the segment that no producer leaves?"""

from __future__ import annotations

from ..errors import BadGeometryError, CorruptError
from . import layout
from .segment import Ring, check_geometry, count_of, index_of, load_generation


def validate(ring: Ring) -> None:
    """Raise for the first finding: an exception of the header, or CorruptError."""
    generation = load_generation(ring.words)
    if generation != ring.generation or check_geometry(ring.window, generation) != (ring.size, ring.element_size):
        raise BadGeometryError("the header has changed")
    reserved = ring.load_reserved()
    finding = _check_header(ring, reserved)
    if finding is not None:
        raise CorruptError(finding)
    for slot in range(ring.size):
        finding = _check_slot(ring, slot)
        if finding is not None:
            raise CorruptError(f"slot {slot}: {finding}")


def _check_header(ring: Ring, reserved: int) -> str | None:
    next_index = index_of(reserved)
    if count_of(reserved) > min(ring.size, next_index):
        return "the last reservation has more elements than there are"
    if ring.load_settled() > ring.next_index():
        return "settled is above the reservation"
    last = ring.load_last_published() if ring.generation == "1.4" else layout.NO_INDEX
    if last != layout.NO_INDEX and last >= ring.next_index():
        return "last_published is not reserved"  # I5
    return None


def _check_slot(ring: Ring, slot: int) -> str | None:
    found = ring.data_index(slot)
    if found == layout.NO_INDEX:
        return None
    elements = ring.slot_size(slot)
    next_index = ring.next_index()  # after the slot: an index that is there was reserved before
    if found > next_index:
        return "an index that is not reserved"  # I2
    ahead = (found - slot) % ring.size
    if ahead != 0:  # a mark: whoever made it reserved found - ahead
        return None if found >= ahead else "a mark made from below index 0"
    if next_index > found + ring.size:
        return None  # overwritten, in whole or in part: the slot says nothing any more
    if not ring.fits(found, elements):
        return "an item passes the end of the ring, or has no elements"  # I6
    return "an item passes the reservation" if found + elements > next_index else None
