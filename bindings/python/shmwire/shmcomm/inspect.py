# SPDX-License-Identifier: MIT
"""Profile shmcomm: a snapshot of a segment, taken apart into fields by their layout names. For tools and for the driver."""

from __future__ import annotations

from struct import Struct
from typing import Final

from . import layout
from .message import FRAME, U64, extent_of

_HEADER: Final = Struct("<QQQQIIQQQIIIIIIIIQQI")
_NAMES: Final = ("magic", "version", "head", "tail", "writer_lock", "lock_epoch", "message_count", "dropped_count", "capacity",
                 "pattern", "state", "data_signal", "data_waiters", "space_signal", "space_waiters", "owner_pid", "serializer",
                 "heartbeat_ns", "instance", "owner_endpoint")
_FRAME_NAMES: Final = ("size", "sequence", "timestamp_ns", "correlation_id", "sender", "content_type", "flags")
SHOWN: Final = 64  # bytes of a payload


def header(snapshot: bytes) -> dict[str, int]:
    """The fields of the header."""
    return dict(zip(_NAMES, _HEADER.unpack_from(snapshot), strict=True))


def fields(snapshot: bytes) -> dict[str, str]:
    """Every field of the header and of the frames that are held, up to the first that is impossible."""
    head = header(snapshot)
    found = {f"header.{name}": str(value) for name, value in head.items()}
    position, end, capacity = head["tail"], head["head"], head["capacity"]
    left = (end - position) & U64
    if capacity + layout.RING_OFFSET > len(snapshot) or not 0 < left <= capacity:
        return found
    while 0 < left <= capacity:
        at = layout.RING_OFFSET + position % capacity
        rest = capacity - position % capacity
        size = int.from_bytes(snapshot[at:at + 8], "little")
        if size == layout.SKIP and position % capacity:
            position, left = position + rest, left - rest
            continue
        if size < layout.MESSAGE_HEADER_SIZE or extent_of(size) > min(left, rest):
            break
        values = dict(zip(_FRAME_NAMES, FRAME.unpack_from(snapshot, at), strict=True))
        name = f"frame[{values['sequence']}]"
        found |= {f"{name}.{field}": str(value) for field, value in values.items()}
        begin = at + layout.FRAME_OVERHEAD
        found[f"{name}.position"] = str(position)
        found[f"{name}.payload"] = snapshot[begin:begin + min(SHOWN, size - layout.MESSAGE_HEADER_SIZE)].hex()
        position, left = (position + extent_of(size)) & U64, left - extent_of(size)
    return found
