# SPDX-License-Identifier: MIT
"""Profile dmxp, section 3, python engine: making a segment, attaching to one.

Reading order beside the chapter: this file (section 3), channel.py (4), writer.py (5), handle.py (6), reader.py (7 and 8),
recover.py (9).
"""

from __future__ import annotations

from .. import map as mapping
from ..atomic import ACQUIRE, AVAILABLE, RELAXED, RELEASE, Words
from ..errors import (
    BadGeometryError,
    BadMagicError,
    BadVersionError,
    InvalidArgumentError,
    NotFoundError,
    NotReadyError,
    UnsupportedError,
)
from ..wait import Deadline, poll
from . import layout
from .api import Segment
from .channel import (
    Table,
    channel_info,
    check_entry,
    create_locked,
    live_channels,
    remove_locked,
)
from .handle import PayloadChoice, placement
from .message import ChannelInfo, Recovery, SegmentInfo
from .reader import Consumer
from .recover import recover_locked, validate_channel
from .writer import Producer


class PythonChannel(Producer, Consumer):
    """A channel of the python engine."""

    __slots__ = ()


class PythonSegment(Segment):
    """A segment of the python engine: a byte window, its atomic words, and the protocols in Python."""

    __slots__ = ("_map", "_payload_layout", "_placement", "_table", "engine", "size", "writable")

    def __init__(self, mapped: mapping.Mapping, table: Table, payload_layout: int, choice: PayloadChoice) -> None:
        self.engine = "python"
        self.size = table.window.size
        self.writable = table.window.writable
        self._map = mapped
        self._table = table
        self._payload_layout = payload_layout
        self._placement = placement(payload_layout, choice)

    def close(self) -> None:
        self._table.words.close()
        self._map.close()

    def info(self) -> SegmentInfo:
        window, words = self._table
        return SegmentInfo(
            size=self.size,
            version=window.u32(layout.HEADER_VERSION_OFFSET),
            max_channels=window.u32(layout.HEADER_MAX_CHANNELS_OFFSET),
            channel_count=words.load_u32(layout.HEADER_CHANNEL_COUNT_OFFSET, RELAXED),
            payload_layout=window.u32(layout.HEADER_PAYLOAD_LAYOUT_OFFSET),
            payload_capacity=self._placement.area.capacity,
            magic=words.load_u64(layout.HEADER_MAGIC_OFFSET, ACQUIRE),
        )

    # Channels -------------------------------------------------------------------------------------------------------

    def create_channel(self, channel: int, capacity: int = layout.DEFAULT_CAPACITY, *,
                       counted_waiters: bool = False) -> PythonChannel:
        if not 0 <= channel < layout.MAX_CHANNELS:
            raise InvalidArgumentError(f"channel {channel}")
        if not layout.MIN_CAPACITY <= capacity < 2**64 or capacity & (capacity - 1) != 0:
            raise InvalidArgumentError(f"a capacity of {capacity} slots: a power of two of at least 2 is wanted")
        self._table.words.require_writable()
        with self._map.locked():  # [dmxp.channel.lock]
            create_locked(self._table, self._map, channel, capacity, counted_waiters)
        return self.channel(channel)

    def remove_channel(self, channel: int) -> None:
        if not 0 <= channel < layout.MAX_CHANNELS:
            raise InvalidArgumentError(f"channel {channel}")
        self._table.words.require_writable()
        with self._map.locked():  # [dmxp.channel.lock]
            remove_locked(self._table, channel)

    def channels(self) -> list[int]:
        return live_channels(self._table)

    def channel(self, channel: int) -> PythonChannel:
        if not 0 <= channel < layout.MAX_CHANNELS:
            raise NotFoundError(f"no channel {channel}")
        return PythonChannel(self._table, channel, check_entry(self._table, channel), self._placement)

    def channel_info(self, channel: int) -> ChannelInfo:
        if not 0 <= channel < layout.MAX_CHANNELS:
            raise InvalidArgumentError(f"channel {channel}")
        return channel_info(self._table, channel)

    # Checking and repairing -----------------------------------------------------------------------------------------

    def validate(self) -> None:
        check_header(self._table)
        for channel in range(layout.MAX_CHANNELS):
            validate_channel(self._table, channel, self._placement)

    def recover(self, *, all_dead: bool = False) -> Recovery:
        self._table.words.require_writable()
        with self._map.locked():  # [dmxp.recover.exclusive]
            if not all_dead:
                mapping.require_exclusive(self._map, self._table.words.address())
            return recover_locked(self._table)


# Creation -------------------------------------------------------------------------------------------------------------


def create(name: str, size: int, payload_layout: int, mode: int) -> PythonSegment:
    """Make a segment. [dmxp.segment.create, dmxp.segment.fields, dmxp.segment.mode]"""
    if not AVAILABLE:
        raise UnsupportedError("making a segment takes the extension module, which is not installed")
    sane = layout.HEADER_SIZE <= size < 2**63 and payload_layout in (layout.LAYOUT_DOCUMENT, layout.LAYOUT_CRATE)
    if not sane or not 0 <= mode <= 0o777:
        raise InvalidArgumentError(f"a segment of {size} bytes, payload_layout {payload_layout}, mode {mode:o}")
    mapped = mapping.create(name, size, layout.HEADER_SIZE, mode)
    table = Table(mapped.window, Words(mapped.window))
    # The file is ours and full of zeroes: only what differs is stored.
    table.window.put_u32(layout.HEADER_VERSION_OFFSET, layout.VERSION)
    table.window.put_u32(layout.HEADER_MAX_CHANNELS_OFFSET, layout.MAX_CHANNELS)
    table.window.put_u32(layout.HEADER_PAYLOAD_LAYOUT_OFFSET, payload_layout)
    # R0: pairs with A0; the whole header before the magic [dmxp.segment.magic-last]
    table.words.store_u64(layout.HEADER_MAGIC_OFFSET, layout.MAGIC, RELEASE)
    return PythonSegment(mapped, table, payload_layout, "crate")


# Attaching ------------------------------------------------------------------------------------------------------------


def attach(name: str, writable: bool, choice: PayloadChoice, ready_timeout: float) -> PythonSegment:
    """Attach to a segment. [dmxp.segment.*]

    Without the extension nothing can be stored, so the mapping is read-only even where "rw" was asked for.
    """
    deadline = Deadline(ready_timeout)
    mapped = mapping.open_existing(name, writable and AVAILABLE, layout.HEADER_SIZE, deadline)
    try:
        table = Table(mapped.window, Words(mapped.window))
        if poll(lambda: _load_magic(table), deadline) is None:
            raise NotReadyError("")  # [dmxp.segment.not-ready]
        check_header(table)
        return PythonSegment(mapped, table, table.window.u32(layout.HEADER_PAYLOAD_LAYOUT_OFFSET), choice)
    except BaseException:
        mapped.close()
        raise


def _load_magic(table: Table) -> int | None:
    """The magic, checked; None of a segment that is not published. [dmxp.segment.magic]"""
    # A0: pairs with R0; the header's fields after the magic
    magic = table.words.load_u64(layout.HEADER_MAGIC_OFFSET, ACQUIRE)
    if magic not in (0, layout.MAGIC):
        raise BadMagicError(f"{magic:#018x}")
    return magic or None


def check_header(table: Table) -> None:
    """[dmxp.segment.version, dmxp.segment.header]"""
    magic = table.words.load_u64(layout.HEADER_MAGIC_OFFSET, ACQUIRE)  # A0: pairs with R0
    version = table.window.u32(layout.HEADER_VERSION_OFFSET)
    max_channels = table.window.u32(layout.HEADER_MAX_CHANNELS_OFFSET)
    payload_layout = table.window.u32(layout.HEADER_PAYLOAD_LAYOUT_OFFSET)
    if magic != layout.MAGIC:
        raise BadMagicError(f"{magic:#018x}")
    if version != layout.VERSION:
        raise BadVersionError(f"version {version}")
    if max_channels != layout.MAX_CHANNELS or payload_layout > layout.LAYOUT_CRATE:
        raise BadGeometryError(f"max_channels {max_channels}, payload_layout {payload_layout}")
