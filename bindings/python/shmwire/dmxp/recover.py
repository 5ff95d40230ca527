# SPDX-License-Identifier: MIT
"""Profile dmxp, section 9, python engine: checking a segment as a whole, and repairing what dead processes left."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..atomic import ACQUIRE, RELAXED, RELEASE, fence
from ..errors import CorruptError, NotFoundError
from . import layout
from .channel import U64, Geometry, Table, check_entry, cursors, entry_offset, live_channels, load_capacity, slot_offset
from .handle import CRATE, DOCUMENT, Placement
from .message import Recovery

LOOKS_AT_A_SLOT: Final = 16


# Validation -----------------------------------------------------------------------------------------------------------


def validate_channel(table: Table, channel: int, place: Placement) -> None:
    """Check the entry and every slot of a channel; nothing for one that is not there."""
    try:
        geometry = check_entry(table, channel)
        at = _look(table, channel, geometry)
        for index in range(geometry.capacity):
            at = _validate_slot(table, channel, geometry, index, at, place)
    except NotFoundError:
        return
    except CorruptError:
        if load_capacity(table, channel) != 0:  # else removed under us, and what we saw is of no account
            raise


class _Cursors(NamedTuple):
    """Where a channel stood when it was last looked at."""

    head: int
    tail: int
    capacity: int

    def owner(self, index: int) -> int:
        """The last position below tail that has slot `index`."""
        return (self.tail - self.capacity + ((index - self.tail) & (self.capacity - 1))) & U64

    def pending(self, position: int) -> bool:
        """Is the position in [head, tail)?"""
        return (position - self.head) & U64 < (self.tail - self.head) & U64

    def possible(self, index: int, sequence: int) -> bool:
        """Can slot `index` show this sequence?"""
        owner = self.owner(index)
        if sequence == (owner + 1) & U64:
            return True  # published, or taken and not released
        return sequence == (owner if self.pending(owner) else (owner + self.capacity) & U64)  # claimed, or free for the next lap

    def unread(self, index: int, sequence: int) -> bool:
        """Does slot `index` hold a message that nobody has taken?"""
        owner = self.owner(index)
        return sequence == (owner + 1) & U64 and self.pending(owner)


def _look(table: Table, channel: int, geometry: Geometry) -> _Cursors:
    return _Cursors(*cursors(table, channel, geometry), geometry.capacity)


def _validate_slot(table: Table, channel: int, geometry: Geometry, index: int, at: _Cursors, place: Placement) -> _Cursors:
    """A slot of a live segment changes under us: it is wrong only if it is so while both cursors stand still."""
    slot = slot_offset(geometry, index)
    for _ in range(LOOKS_AT_A_SLOT):
        # A2, A3: pairs with R2 and R3
        sequence = table.words.load_u64(slot + layout.SLOT_SEQUENCE_OFFSET, ACQUIRE)
        if at.possible(index, sequence):
            if at.unread(index, sequence):
                _validate_length(table, channel, slot, sequence, place)
            return at
        before, at = at, _look(table, channel, geometry)
        if at == before and table.words.load_u64(slot + layout.SLOT_SEQUENCE_OFFSET, ACQUIRE) == sequence:
            raise CorruptError(f"channel {channel}: slot {index} shows sequence {sequence}, which fits no state of its position")
    return at  # busy, and so alive


def _validate_length(table: Table, channel: int, slot: int, sequence: int, place: Placement) -> None:
    """The payload length of a published slot. [dmxp.consume.payload-len]"""
    length = table.window.u32(slot + layout.SLOT_PAYLOAD_LEN_OFFSET)
    area = place.area
    if place.by_message:
        runtime = table.window.u32(slot + layout.SLOT_SENDER_RUNTIME_OFFSET) & 0xFFFF
        area = DOCUMENT if runtime == layout.RUNTIME_UNSPECIFIED else CRATE
    if length <= area.capacity:
        return
    fence(ACQUIRE)  # with F6: a length of a later lap comes with a later sequence
    if table.words.load_u64(slot + layout.SLOT_SEQUENCE_OFFSET, RELAXED) == sequence:
        raise CorruptError(f"channel {channel}: a message says {length} bytes, a slot holds {area.capacity}")


# Recovery, with the segment lock held ---------------------------------------------------------------------------------


def recover_locked(table: Table) -> Recovery:
    """Repair every channel. All entries must be sound before anything is touched. [dmxp.recover.idle]"""
    geometries = {channel: check_entry(table, channel) for channel in live_channels(table)}
    lost = buried = reset = 0
    for channel, geometry in geometries.items():
        head, tail = cursors(table, channel, geometry)
        lost += _release_taken(table, geometry, head)
        buried += _bury_claimed(table, geometry, head, tail)
        reset += _reset_waiters(table, channel)
    repaired = _repair_count(table, len(geometries))
    return Recovery(tombstones=buried, possibly_lost=lost, waiters_reset=reset, count_repaired=repaired)


def _release_taken(table: Table, geometry: Geometry, head: int) -> int:
    """Positions below head that were taken and never released. [dmxp.recover.consumer]"""
    released = 0
    for position in range(max(0, head - geometry.capacity), head):
        word = slot_offset(geometry, position) + layout.SLOT_SEQUENCE_OFFSET
        if table.words.load_u64(word, ACQUIRE) == position + 1:  # A2: pairs with R2
            table.words.store_u64(word, (position + geometry.capacity) & U64, RELEASE)  # R3: pairs with A3
            released += 1
    return released


def _bury_claimed(table: Table, geometry: Geometry, head: int, tail: int) -> int:
    """Positions that were claimed and never published become tombstones. [dmxp.recover.producer]"""
    buried = 0
    for ahead in range((tail - head) & U64):
        position = (head + ahead) & U64
        slot = slot_offset(geometry, position)
        if table.words.load_u64(slot + layout.SLOT_SEQUENCE_OFFSET, ACQUIRE) != position:  # A3: pairs with R3
            continue
        flags = layout.MESSAGE_TOMBSTONE.to_bytes(layout.SLOT_PAYLOAD_LEN_OFFSET - layout.SLOT_FLAGS_OFFSET, "little")
        table.window.write(slot + layout.SLOT_FLAGS_OFFSET, flags)
        table.window.put_u32(slot + layout.SLOT_PAYLOAD_LEN_OFFSET, 0)
        # R2: pairs with A2; the tombstone before its sequence
        table.words.store_u64(slot + layout.SLOT_SEQUENCE_OFFSET, (position + 1) & U64, RELEASE)
        buried += 1
    return buried


def _reset_waiters(table: Table, channel: int) -> int:
    word = entry_offset(channel) + layout.CHANNEL_WAITERS_OFFSET
    if table.words.load_u32(word, RELAXED) == 0:
        return 0
    table.words.store_u32(word, 0, RELAXED)
    return 1


def _repair_count(table: Table, count: int) -> bool:
    if table.words.load_u32(layout.HEADER_CHANNEL_COUNT_OFFSET, RELAXED) == count:
        return False
    table.words.store_u32(layout.HEADER_CHANNEL_COUNT_OFFSET, count, RELAXED)
    return True
