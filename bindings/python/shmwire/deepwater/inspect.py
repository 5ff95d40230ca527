# SPDX-License-Identifier: MIT
"""Profile deepwater: registries taken apart into fields by their layout names. For tools and for the driver."""

from __future__ import annotations

import contextlib
import os
from struct import Struct
from typing import Final

from ..bytes import Window
from .feed import Feed, open_feed

_REGISTRY: Final = Struct("<QIII4xQQ")
_REGISTRY_NAMES: Final = ("magic", "version", "entry_size", "capacity", "count", "generation")
_FEED: Final = Struct("<64s96sIIQIIQQ")
_FEED_NAMES: Final = ("name", "directory", "feed_id", "flags", "chunk_size", "live_window", "record_size", "created_ns",
                      "rotate_ns")
_HEADER: Final = Struct("<QIIIIQQQQQIIQ")
_HEADER_NAMES: Final = ("magic", "version", "row_size", "capacity", "writer_pid", "count", "latest", "last_timestamp_ns",
                        "last_sequence", "heartbeat_ns", "signal", "waiters", "feed_id")
_ROW: Final = Struct("<QIIQQQQQQII")
_ROW_NAMES: Final = ("chunk_id", "stamp", "state", "first_sequence", "record_count", "start_ns", "end_ns", "data_bytes",
                     "data_capacity", "data_crc", "index_crc")


def _text(raw: bytes) -> str:
    return os.fsdecode(raw.partition(b"\0")[0])


def _named(prefix: str, names: tuple[str, ...], window: Window, at: int, shape: Struct) -> dict[str, str]:
    values = shape.unpack(window.read(at, shape.size))
    return {f"{prefix}.{name}": _text(value) if isinstance(value, bytes) else str(value)
            for name, value in zip(names, values, strict=True)}


def fields(feed: Feed) -> dict[str, str]:
    """Every field of the global registry's header, of the feed's entry, of its registry's header, and of its rows."""
    registry = feed.place.registry
    found = _named("registry", _REGISTRY_NAMES, registry.window, 0, _REGISTRY)
    found |= _named("feed", _FEED_NAMES, registry.window, registry.at(feed.entry.feed_id), _FEED)
    rows = feed.rows()  # A2: pairs with R2; the rows below it
    found |= _named("feed_registry", _HEADER_NAMES, feed.window, 0, _HEADER)
    for chunk_id in range(rows):
        found |= _named(f"row[{chunk_id}]", _ROW_NAMES, feed.window, feed.at(chunk_id), _ROW)
    return found


def inspect(base: str, name: str) -> dict[str, str]:
    """fields of a feed by its name."""
    with contextlib.closing(open_feed(base, name, writable=False)) as feed:
        return fields(feed)
