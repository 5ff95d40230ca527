# SPDX-License-Identifier: MIT
"""What the writer and the reader of the python engine share: an attached channel with its checked values."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from . import layout
from .api import Channel, SleepHook
from .channel import Geometry, Table, entry_offset, slot_offset

PayloadChoice = Literal["crate", "document", "auto"]


class Area(NamedTuple):
    """Where the payload of a message lies in its slot, bytes."""

    offset: int
    capacity: int


CRATE: Final = Area(layout.PAYLOAD_OFFSET_CRATE, layout.PAYLOAD_CAPACITY_CRATE)
DOCUMENT: Final = Area(layout.PAYLOAD_OFFSET_DOCUMENT, layout.PAYLOAD_CAPACITY_DOCUMENT)


class Placement(NamedTuple):
    """How payloads are placed, by the header's payload_layout and the caller's choice. [section 6]"""

    area: Area  #: of messages sent, and of those received unless by_message
    by_message: bool  #: undeclared layout in mode auto: each message says it by its sender_runtime
    runtime_fixed: bool  #: undeclared document layout: sender_runtime must be 0


def placement(payload_layout: int, choice: PayloadChoice) -> Placement:
    """A declared layout wins over the caller's choice. [dmxp.layout.declared, dmxp.layout.unspecified, dmxp.layout.auto]"""
    if payload_layout == layout.LAYOUT_DOCUMENT:
        return Placement(DOCUMENT, by_message=False, runtime_fixed=False)
    if payload_layout == layout.LAYOUT_CRATE:
        return Placement(CRATE, by_message=False, runtime_fixed=False)
    if choice == "document":
        return Placement(DOCUMENT, by_message=False, runtime_fixed=True)
    return Placement(CRATE, by_message=choice == "auto", runtime_fixed=False)


class Handle(Channel):
    """An attached channel. Nothing but the hook is stored after attaching, so threads can share it."""

    __slots__ = ("_counted_waiters", "_entry", "_geometry", "_hook", "_placement", "_table", "capacity", "id", "payload_capacity")

    def __init__(self, table: Table, channel: int, geometry: Geometry, place: Placement) -> None:
        self.id = channel
        self.capacity = geometry.capacity
        self.payload_capacity = place.area.capacity
        self._table = table
        self._entry = entry_offset(channel)
        self._geometry = geometry
        self._placement = place
        flags = table.window.u32(self._entry + layout.CHANNEL_FLAGS_OFFSET)
        self._counted_waiters = flags & layout.CHANNEL_COUNTED_WAITERS != 0
        self._hook: SleepHook | None = None

    def set_sleep_hook(self, hook: SleepHook | None) -> None:
        self._hook = hook

    def _slot(self, position: int) -> int:
        return slot_offset(self._geometry, position)

