# SPDX-License-Identifier: MIT
"""Profile slick, section 6, python engine: forgetting everything, and repairing what dead producers left."""

from __future__ import annotations

import contextlib

from .. import map as mapping
from ..atomic import ACQUIRE, RELEASE
from ..errors import BusyError
from . import layout
from .segment import Ring, index_of
from .settle import CHANGED, SETTLED, Settlement


def reset(ring: Ring) -> None:
    """Index 0 comes next. Word by word: who looks in spite of the rules tears none. [slick.reset.clear]"""
    words = ring.words
    words.require_writable()
    for index in range(ring.size):
        ring.set_slot(index, 1, layout.NO_INDEX)
    if ring.generation == "1.4":
        words.store_u64(layout.HEADER_LAST_PUBLISHED_OFFSET, layout.NO_INDEX, RELEASE)  # R3: pairs with A3
    words.store_u64(layout.HEADER_SETTLED_OFFSET, 0, RELEASE)  # R1: pairs with A1
    words.store_u64(layout.HEADER_RESERVED_OFFSET, 0, RELEASE)  # R6: pairs with A6; cleared slots before index 0


def recover(ring: Ring, all_dead: bool) -> int:
    """Mark every reservation in the ring that is not settled: how many marks were made. [slick.recover.*]"""
    ring.words.require_writable()
    with ring.mapped.locked() if ring.mapped.fd >= 0 else contextlib.nullcontext():
        if not all_dead:
            mapping.require_exclusive(ring.mapped, ring.words.address())  # [slick.recover.dead]
        marks = _mark_holes(ring)
        last = ring.highest(ring.next_index())
        if last is not None:
            ring.raise_last_published(last)  # [slick.recover.last]
    return marks


def _mark_holes(ring: Ring) -> int:
    reserved = ring.load_reserved(ACQUIRE)  # A6: pairs with R6
    settlement = Settlement(ring, _beginning(ring, index_of(reserved)))
    while (looked := settlement.walk(index_of(reserved))) != SETTLED:
        if looked == CHANGED or not settlement.give_up(reserved):
            raise BusyError("a producer is at work")  # [slick.recover.holes]
    ring.raise_settled(settlement.known)
    return settlement.marks


def _beginning(ring: Ring, next_index: int) -> int:
    """Where the first reservation may be that is not settled."""
    settled, least = ring.load_settled(), max(0, next_index - ring.size)
    if least <= settled <= next_index:
        return settled
    found = ring.oldest(next_index) if least > 0 else None
    return found if found is not None else least
