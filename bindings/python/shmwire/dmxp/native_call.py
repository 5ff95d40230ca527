# SPDX-License-Identifier: MIT
"""Profile dmxp, native engine: how calls into the C implementation are made and their answers taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any, Final, NamedTuple

from ..errors import Empty, Full, Timeout
from ..refc import CData, ffi, lanes
from . import layout
from .message import BATCH_HEAD, Message, MetaFields, MetaValues, meta_values

#: From here on the word that a call returns is no value but 2^64 + error, or 2^64 - 1000 - result (_native/dmxp_calls.h).
FAILED: Final = 2**64 - 4096
FULL_WORD: Final = 2**64 - 1000 - Full.code
EMPTY_WORD: Final = 2**64 - 1000 - Empty.code
TIMEOUT_WORD: Final = 2**64 - 1000 - Timeout.code

HEAD_SIZE: Final = BATCH_HEAD.size
LARGEST: Final = layout.PAYLOAD_CAPACITY_CRATE
_META: Final = Struct("<QQIIHH4x")
_META_NAMES: Final = ("message_id", "timestamp_ns", "message_type", "sender_pid", "sender_runtime", "flags")


def code_of(word: int) -> int:
    """The code of the registry in a word from FAILED on."""
    negative = word - 2**64
    return -1000 - negative if negative <= -1000 else negative


def lane_of(handle: CData) -> lanes.DmxpLane:
    """The shortest way into a channel; it holds the channel. That of a null handle refuses every call."""
    return lanes.DmxpLane(int(ffi.cast("uintptr_t", handle)), handle, Message)


def meta_fields(values: MetaValues) -> dict[str, int]:
    """Values in the order of MetaFields, as cffi fills a struct shmw_dmxp_meta by name."""
    return dict(zip(_META_NAMES, values, strict=True))


def packed_metas(metas: Sequence[MetaFields]) -> bytes:
    """Metas as an array of struct shmw_dmxp_meta. Senders often repeat one object: it is taken apart once."""
    held = list(metas)  # an id means something only while its object lives
    keys = list(map(id, held))
    packed = {key: _META.pack(*meta_values(meta)) for key, meta in dict(zip(keys, held, strict=True)).items()}
    if len(packed) == 1:
        return packed[keys[0]] * len(keys)
    return b"".join([packed[key] for key in keys])


class Cell(NamedTuple):
    """Room for one received message: a head, then the payload."""

    buffer: CData
    view: Any


def new_cell() -> Cell:
    buffer = ffi.new("char[]", HEAD_SIZE + LARGEST)
    return Cell(buffer, ffi.buffer(buffer))


class BatchCell(NamedTuple):
    """Room for `limit` messages received together."""

    limit: int
    messages: CData
    heads: CData
    blob: CData
    heads_view: Any
    blob_view: Any


def new_batch_cell(limit: int) -> BatchCell:
    heads, blob = ffi.new("struct shmwpy_head[]", limit), ffi.new("char[]", limit * LARGEST)
    return BatchCell(limit, ffi.new("struct shmw_dmxp_message[]", limit), heads, blob, ffi.buffer(heads), ffi.buffer(blob))
