# SPDX-License-Identifier: MIT
"""Profile deepwater, section 9, python engine: checking a feed, its rows and all chunks that can be reached, CRCs included. A
writer may be at work: what is live is checked as far as its entry_count goes."""

from __future__ import annotations

import contextlib

from ..errors import CorruptError
from . import layout
from .feed import Feed, Row, open_feed
from .persist import crcs
from .segment import Chunk, attach


def _check_sealed(chunk: Chunk, row: Row, count: int) -> None:
    if row.record_count != count:
        raise CorruptError(f"row {row.chunk_id} has {row.record_count} records, the index {count}")
    if row.data_bytes > chunk.data_capacity:
        raise CorruptError(f"row {row.chunk_id} has {row.data_bytes} bytes, the data {chunk.data_capacity}")
    if row.state == layout.STATE_PERSISTED and crcs(chunk, row.data_bytes, count) != (row.data_crc, row.index_crc):
        raise CorruptError(f"chunk {row.chunk_id}: the bytes or the index have another CRC than the row")


def _check_chunk(feed: Feed, chunk_id: int) -> None:
    found = attach(feed, chunk_id)
    if found is None:
        return
    row, chunk = found
    with contextlib.closing(chunk):
        count = chunk.count()
        chunk.check_records(row.first_sequence, count)
        if row.state != layout.STATE_LIVE:
            _check_sealed(chunk, row, count)


def _check_order(before: Row, row: Row) -> None:
    """Sequences and times never fall from row to row. (section 11, I1)"""
    if row.first_sequence < before.first_sequence + before.record_count or row.start_ns < before.start_ns:
        raise CorruptError(f"row {row.chunk_id}: first_sequence or start_ns is below that of the row before")


def validate(base: str, name: str) -> None:
    """Raise for the first finding. [deepwater.validate.crc]"""
    with contextlib.closing(open_feed(base, name, writable=False)) as feed:
        before: Row | None = None
        for chunk_id in range(feed.rows()):
            row = feed.row(chunk_id)
            if before is not None:
                _check_order(before, row)
            _check_chunk(feed, chunk_id)
            before = row
