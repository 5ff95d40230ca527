# SPDX-License-Identifier: MIT
"""Profile dmxp, native engine: whole operations in the C implementation, one crossing each. This file has the segment,
native_channel.py the channel, native_call.py the calls.

Lifetimes. Nothing is detached or unmapped by hand: the C objects go away with the last reference to them, and every call
holds one while it runs. So close() under a running call cannot crash; later calls get a null handle and raise Closed.
"""

from __future__ import annotations

from typing import Final
from weakref import WeakSet

from ..errors import InvalidArgumentError, NotFoundError
from ..refc import CData, check, closer, ffi, lib, locator, refuse
from ..wait import to_ns
from . import layout
from .api import Segment
from .handle import PayloadChoice
from .message import ChannelInfo, Recovery, SegmentInfo
from .native_channel import NativeChannel

_CHOICES: Final = {"crate": lib.SHMW_DMXP_CHOOSE_CRATE, "document": lib.SHMW_DMXP_CHOOSE_DOCUMENT,
                   "auto": lib.SHMW_DMXP_CHOOSE_AUTO}


class NativeSegment(Segment):
    """A segment of the native engine."""

    __slots__ = ("_channels", "_handle", "engine", "size", "writable")

    def __init__(self, handle: CData, writable: bool) -> None:
        self.engine = "native"
        self._handle = handle
        self._channels: WeakSet[NativeChannel] = WeakSet()
        self.writable = writable
        self.size = self.info().size

    def close(self) -> None:
        self._handle = ffi.NULL
        for channel in list(self._channels):
            channel._detach()
        self._channels.clear()

    def info(self) -> SegmentInfo:
        info = ffi.new("struct shmw_dmxp_segment_info *")
        check(lib.shmw_dmxp_info(self._handle, info), self._handle)
        return SegmentInfo(size=info.size, version=info.version, max_channels=info.max_channels, channel_count=info.channel_count,
                           payload_layout=info.payload_layout, payload_capacity=info.payload_capacity,
                           magic=layout.MAGIC)  # no other value gets past open

    def create_channel(self, channel: int, capacity: int = layout.DEFAULT_CAPACITY, *,
                       counted_waiters: bool = False) -> NativeChannel:
        if not 0 <= channel < layout.MAX_CHANNELS or not 0 < capacity < 2**64:
            raise InvalidArgumentError(f"channel {channel} with {capacity} slots")
        options = ffi.new("struct shmw_dmxp_channel_options *", {"capacity": capacity, "counted_waiters": counted_waiters})
        check(lib.shmw_dmxp_channel_create(self._handle, channel, options), self._handle)
        return self.channel(channel)

    def remove_channel(self, channel: int) -> None:
        check(lib.shmw_dmxp_channel_remove(self._handle, _id(channel)), self._handle)

    def channels(self) -> list[int]:
        ids, count = ffi.new("uint32_t[]", layout.MAX_CHANNELS), ffi.new("size_t *")
        check(lib.shmw_dmxp_channel_list(self._handle, ids, layout.MAX_CHANNELS, count), self._handle)
        return list(ids[0:count[0]])

    def channel(self, channel: int) -> NativeChannel:
        if not 0 <= channel < layout.MAX_CHANNELS:
            raise NotFoundError(f"no channel {channel}")
        segment, out = self._handle, ffi.new("shmw_dmxp_channel **")
        check(lib.shmw_dmxp_attach(segment, channel, out), segment, f"channel {channel}")
        handle = ffi.gc(out[0], closer(lib.shmw_dmxp_detach, segment))
        attached = NativeChannel(handle, channel, self.channel_info(channel).capacity, self.info().payload_capacity)
        self._channels.add(attached)
        return attached

    def channel_info(self, channel: int) -> ChannelInfo:
        info = ffi.new("struct shmw_dmxp_channel_info *")
        check(lib.shmw_dmxp_channel_info(self._handle, _id(channel), info), self._handle)
        return ChannelInfo(channel_id=info.channel_id, flags=info.flags, capacity=info.capacity, band_offset=info.band_offset,
                           signal=info.signal, waiters=info.waiters, retired_capacity=info.retired_capacity, tail=info.tail,
                           head=info.head, removals=info.removals)

    def validate(self) -> None:
        finding, channel = ffi.new("const char **"), ffi.new("uint32_t *")
        code = lib.shmw_dmxp_validate(self._handle, finding, channel)
        if code == 0:
            return
        what = ffi.string(finding[0]).decode() if finding[0] != ffi.NULL else ""
        refuse(code, self._handle, what if channel[0] >= layout.MAX_CHANNELS else f"channel {channel[0]}: {what}")

    def recover(self, *, all_dead: bool = False) -> Recovery:
        report = ffi.new("struct shmw_dmxp_recovery *")
        check(lib.shmw_dmxp_recover(self._handle, all_dead, report), self._handle)
        return Recovery(tombstones=report.tombstones, possibly_lost=report.possibly_lost, waiters_reset=report.waiters_reset,
                        count_repaired=report.count_repaired)


def _id(channel: int) -> int:
    if not 0 <= channel < layout.MAX_CHANNELS:
        raise InvalidArgumentError(f"channel {channel}")
    return channel


# Making and attaching -------------------------------------------------------------------------------------------------


def create(name: str, size: int, payload_layout: int, mode: int) -> NativeSegment:
    """Make a segment. [dmxp.segment.create]"""
    sane = layout.HEADER_SIZE <= size < 2**63 and payload_layout in (layout.LAYOUT_DOCUMENT, layout.LAYOUT_CRATE)
    if not sane or not 0 <= mode <= 0o777:
        raise InvalidArgumentError(f"a segment of {size} bytes, payload_layout {payload_layout}, mode {mode:o}")
    options = ffi.new("struct shmw_dmxp_create_options *", {"size": size, "payload_layout": payload_layout, "mode": mode,
                                                            "sender_runtime": layout.RUNTIME_PYTHON})
    out = ffi.new("shmw_dmxp_segment **")
    check(lib.shmw_dmxp_create(locator(name), options, out), out, name)
    return NativeSegment(ffi.gc(out[0], lib.shmw_dmxp_close), writable=True)


def attach(name: str, writable: bool, choice: PayloadChoice, ready_timeout: float) -> NativeSegment:
    """Attach to a segment. [dmxp.segment.*]"""
    wait = min(to_ns(ready_timeout), 2**62)
    options = ffi.new("struct shmw_dmxp_open_options *", {
        "read_only": not writable, "payload_choice": _CHOICES[choice], "ready_timeout_ns": wait,
        "sender_runtime": layout.RUNTIME_PYTHON})
    out = ffi.new("shmw_dmxp_segment **")
    check(lib.shmw_dmxp_open(locator(name), options, out), out, name)
    return NativeSegment(ffi.gc(out[0], lib.shmw_dmxp_close), writable)
