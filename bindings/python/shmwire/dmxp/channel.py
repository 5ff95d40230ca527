# SPDX-License-Identifier: MIT
"""Profile dmxp, section 4, python engine: the channel table.

Entries are made and removed under the segment lock. They are checked from values loaded once; users keep the checked values.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..atomic import ACQUIRE, RELAXED, RELEASE, Words
from ..bytes import Window
from ..errors import BadGeometryError, Closed, CorruptError, ExistsError, NotFoundError, TooLargeError
from ..map import Mapping
from . import layout
from .message import ChannelInfo

U64: Final = 2**64 - 1
#: How often to look for a head that stands still while tail is read.
CURSOR_LOOKS: Final = 64
EVERYBODY: Final = 2**31 - 1


class Table(NamedTuple):
    """What the functions of this file work on: one segment's bytes and atomic words."""

    window: Window
    words: Words


class Geometry(NamedTuple):
    """An entry that passed the checks."""

    capacity: int
    band_offset: int
    removals: int  #: of the entry, before the rest was loaded


def entry_offset(channel: int) -> int:
    """Where entry `channel` begins."""
    return layout.CHANNEL_TABLE_OFFSET + layout.CHANNEL_SIZE * channel


def slot_offset(geometry: Geometry, position: int) -> int:
    """Where the slot of a position begins. The mask keeps any position, however hostile the cursor, inside the checked band."""
    return geometry.band_offset + layout.SLOT_SIZE * (position & (geometry.capacity - 1))


def band_end(band_offset: int, capacity: int) -> int:
    """One past the last byte of a band. Python integers do not overflow."""
    return band_offset + layout.SLOT_SIZE * capacity


# Checking -------------------------------------------------------------------------------------------------------------


def load_capacity(table: Table, channel: int) -> int:
    """Slots of a channel, 0 for none."""
    # A1: pairs with R1; the entry's fields and the band after the capacity that commits them [dmxp.channel.absent]
    return table.words.load_u64(entry_offset(channel) + layout.CHANNEL_CAPACITY_OFFSET, ACQUIRE)


def check_entry(table: Table, channel: int) -> Geometry:
    """The geometry of a channel that may be used. NotFoundError, BadGeometryError, CorruptError."""
    entry = entry_offset(channel)
    # A6: pairs with R6; before the capacity, so that a removal in between is noticed later [dmxp.channel.closed]
    removals = table.words.load_u64(entry + layout.CHANNEL_REMOVALS_OFFSET, ACQUIRE)
    capacity = load_capacity(table, channel)
    if capacity == 0:
        raise NotFoundError(f"no channel {channel}")
    if capacity < layout.MIN_CAPACITY or capacity & (capacity - 1) != 0:  # [dmxp.channel.capacity]
        raise BadGeometryError(f"channel {channel}: capacity {capacity} is not a power of two of at least 2")
    band_offset = table.window.u64(entry + layout.CHANNEL_BAND_OFFSET_OFFSET)
    _check_band(table, channel, band_offset, band_end(band_offset, capacity))
    if table.window.u32(entry + layout.CHANNEL_CHANNEL_ID_OFFSET) != channel:  # [dmxp.channel.id]
        raise BadGeometryError(f"channel {channel}: channel_id is not the index of the entry")
    geometry = Geometry(capacity, band_offset, removals)
    cursors(table, channel, geometry)
    return geometry


def _check_band(table: Table, channel: int, start: int, end: int) -> None:
    """[dmxp.channel.band, dmxp.channel.overlap]"""
    if start % layout.BAND_ALIGN != 0:
        raise BadGeometryError(f"channel {channel}: band_offset {start} is not a multiple of {layout.BAND_ALIGN}")
    if start < layout.HEADER_SIZE:
        raise BadGeometryError(f"channel {channel}: the band begins inside the header")
    if end > table.window.size:
        raise BadGeometryError(f"channel {channel}: the band ends past the segment")
    for other in range(layout.MAX_CHANNELS):
        capacity = load_capacity(table, other)
        if other == channel or capacity == 0:
            continue
        other_start = table.window.u64(entry_offset(other) + layout.CHANNEL_BAND_OFFSET_OFFSET)
        if start < band_end(other_start, capacity) and other_start < end:
            raise BadGeometryError(f"channel {channel}: the band overlaps that of channel {other}")


def cursors(table: Table, channel: int, geometry: Geometry) -> tuple[int, int]:
    """Head and tail from a snapshot in which head did not change while tail was read. [dmxp.channel.cursors]"""
    entry = entry_offset(channel)
    # A5: pairs with R5; the tail of every position below head
    head = table.words.load_u64(entry + layout.CHANNEL_HEAD_OFFSET, ACQUIRE)
    for _ in range(CURSOR_LOOKS):
        tail = table.words.load_u64(entry + layout.CHANNEL_TAIL_OFFSET, ACQUIRE)
        again = table.words.load_u64(entry + layout.CHANNEL_HEAD_OFFSET, ACQUIRE)
        if again == head:
            if (tail - head) & U64 > geometry.capacity:
                raise CorruptError(f"channel {channel}: tail is more than capacity ahead of head")
            return head, tail
        head = again
    # Consumers so busy that no two looks agreed: the channel is alive. tail may be older than head; then the queue was empty.
    return head, tail if (tail - head) & U64 <= geometry.capacity else head


def live_channels(table: Table) -> list[int]:
    """Ids of the channels with a capacity, ascending."""
    return [channel for channel in range(layout.MAX_CHANNELS) if load_capacity(table, channel) != 0]


def channel_info(table: Table, channel: int) -> ChannelInfo:
    """One entry as it stands, unchecked."""
    entry, window, words = entry_offset(channel), table.window, table.words
    capacity = load_capacity(table, channel)  # A1: first, so that the rest is of the same channel
    return ChannelInfo(
        channel_id=window.u32(entry + layout.CHANNEL_CHANNEL_ID_OFFSET),
        flags=window.u32(entry + layout.CHANNEL_FLAGS_OFFSET),
        capacity=capacity,
        band_offset=window.u64(entry + layout.CHANNEL_BAND_OFFSET_OFFSET),
        signal=words.load_u32(entry + layout.CHANNEL_SIGNAL_OFFSET, ACQUIRE),
        waiters=words.load_u32(entry + layout.CHANNEL_WAITERS_OFFSET, RELAXED),
        retired_capacity=words.load_u64(entry + layout.CHANNEL_RETIRED_CAPACITY_OFFSET, RELAXED),
        removals=words.load_u64(entry + layout.CHANNEL_REMOVALS_OFFSET, RELAXED),
        head=words.load_u64(entry + layout.CHANNEL_HEAD_OFFSET, ACQUIRE),
        tail=words.load_u64(entry + layout.CHANNEL_TAIL_OFFSET, ACQUIRE),
    )


# Making and removing, with the segment lock held ----------------------------------------------------------------------


def place_band(table: Table) -> int:
    """Where a new band begins: above every live and every retired band. [dmxp.channel.placement]"""
    top = layout.HEADER_SIZE
    for channel in range(layout.MAX_CHANNELS):
        entry = entry_offset(channel)
        capacity = load_capacity(table, channel)
        if capacity == 0:
            capacity = table.words.load_u64(entry + layout.CHANNEL_RETIRED_CAPACITY_OFFSET, RELAXED)
        if capacity != 0:  # else never used, or its creator died before the commit
            top = max(top, band_end(table.window.u64(entry + layout.CHANNEL_BAND_OFFSET_OFFSET), capacity))
    return -(-top // layout.BAND_ALIGN) * layout.BAND_ALIGN


def first_position(table: Table, channel: int, capacity: int) -> int:
    """Where a new channel starts: above all positions that the entry's channels have had. [dmxp.channel.start]"""
    entry = entry_offset(channel)
    used = table.words.load_u64(entry + layout.CHANNEL_TAIL_OFFSET, RELAXED)
    used += table.words.load_u64(entry + layout.CHANNEL_RETIRED_CAPACITY_OFFSET, RELAXED)
    start = -(-used // capacity) * capacity
    if start > U64:
        raise CorruptError(f"channel {channel}: no entry comes as far as position {used} in its life")
    return start


def create_locked(table: Table, mapping: Mapping, channel: int, capacity: int, counted_waiters: bool) -> None:
    """Make a channel. ExistsError, TooLargeError, CorruptError."""
    if load_capacity(table, channel) != 0:
        raise ExistsError(f"channel {channel} exists already")
    start = first_position(table, channel, capacity)
    geometry = Geometry(capacity, place_band(table), removals=0)
    end = band_end(geometry.band_offset, capacity)
    if end > table.window.size:
        raise TooLargeError(f"a band of {capacity} slots would end at {end}, the segment ends at {table.window.size}")
    mapping.reserve(geometry.band_offset, end - geometry.band_offset)
    for position in range(start, start + capacity):
        table.words.store_u64(slot_offset(geometry, position) + layout.SLOT_SEQUENCE_OFFSET, position, RELAXED)
    _write_entry(table, channel, geometry, start, layout.CHANNEL_COUNTED_WAITERS if counted_waiters else 0)


def _write_entry(table: Table, channel: int, geometry: Geometry, start: int, flags: int) -> None:
    window, words, entry = table.window, table.words, entry_offset(channel)
    window.put_u32(entry + layout.CHANNEL_CHANNEL_ID_OFFSET, channel)
    window.put_u32(entry + layout.CHANNEL_FLAGS_OFFSET, flags)
    words.store_u64(entry + layout.CHANNEL_TAIL_OFFSET, start, RELAXED)
    words.store_u64(entry + layout.CHANNEL_HEAD_OFFSET, start, RELAXED)
    # The new band first, then the end of the retired one: whoever dies in between leaves an entry that still keeps the room.
    window.put_u64(entry + layout.CHANNEL_BAND_OFFSET_OFFSET, geometry.band_offset)
    words.store_u64(entry + layout.CHANNEL_RETIRED_CAPACITY_OFFSET, 0, RELAXED)
    words.store_u32(layout.HEADER_CHANNEL_COUNT_OFFSET, len(live_channels(table)) + 1, RELAXED)
    # R1: pairs with A1; slots, cursors and description before the capacity [dmxp.channel.commit]
    words.store_u64(entry + layout.CHANNEL_CAPACITY_OFFSET, geometry.capacity, RELEASE)


def remove_locked(table: Table, channel: int) -> None:
    """Remove a channel, in the order of [dmxp.channel.remove]. NotFoundError."""
    words, entry = table.words, entry_offset(channel)
    capacity = load_capacity(table, channel)
    if capacity == 0:
        raise NotFoundError(f"no channel {channel}")
    words.store_u64(entry + layout.CHANNEL_RETIRED_CAPACITY_OFFSET, capacity, RELAXED)
    # R1: pairs with A1; the band counts as retired before it stops counting as live
    words.store_u64(entry + layout.CHANNEL_CAPACITY_OFFSET, 0, RELEASE)
    removals = words.load_u64(entry + layout.CHANNEL_REMOVALS_OFFSET, RELAXED)
    # R6: pairs with A6; whoever attaches and sees it finds no capacity either. Only holders of the lock add to it.
    words.store_u64(entry + layout.CHANNEL_REMOVALS_OFFSET, (removals + 1) & U64, RELEASE)
    words.store_u32(layout.HEADER_CHANNEL_COUNT_OFFSET, len(live_channels(table)), RELAXED)
    words.add_u32(entry + layout.CHANNEL_SIGNAL_OFFSET, 1)  # R4, S5: pairs with A4, S5; sleepers find removals changed
    words.futex_wake(entry + layout.CHANNEL_SIGNAL_OFFSET, EVERYBODY)


# Using ----------------------------------------------------------------------------------------------------------------

# Has the channel been removed, perhaps made anew, since it was attached? [dmxp.channel.closed] Producers ask the line that they
# write anyway, consumers and lookers that of head.


def require_live_for_consumer(table: Table, channel: int, geometry: Geometry) -> None:
    """Closed when it has."""
    if table.words.load_u64(entry_offset(channel) + layout.CHANNEL_REMOVALS_OFFSET, RELAXED) != geometry.removals:
        raise Closed(f"channel {channel} has been removed")


def require_live_for_producer(table: Table, channel: int, geometry: Geometry) -> None:
    """Closed when it has."""
    capacity = load_capacity(table, channel)  # A1: pairs with R1; band_offset was stored before the capacity
    band_offset = table.window.u64(entry_offset(channel) + layout.CHANNEL_BAND_OFFSET_OFFSET)
    if capacity != geometry.capacity or band_offset != geometry.band_offset:
        raise Closed(f"channel {channel} has been removed")
