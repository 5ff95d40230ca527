# SPDX-License-Identifier: MIT
"""Profile ouroboros, section 7, python engine: is there anything in the segment that no writer leaves?"""

from __future__ import annotations

from typing import Final

from ..atomic import ACQUIRE, fence
from ..errors import BadGeometryError
from . import layout
from .errors import CorruptLogError
from .segment import Log, Row, after, check_header

#: How often a chunk is looked at anew because its row changed meanwhile; after that its writer is left to it.
CHUNK_TRIES: Final = 8


def validate(log: Log) -> None:
    """Raise for the first finding: an exception of the header, or CorruptLogError."""
    if check_header(log.window) != log.chunk_count:
        raise BadGeometryError("chunk_count has changed")
    for chunk in range(log.chunk_count):
        finding = _check_chunk(log, chunk)
        if finding is not None:
            raise CorruptLogError(f"chunk {chunk}: {finding}")


def _check_chunk(log: Log, chunk: int) -> str | None:
    """A finding counts if the row is still what it was when the look began: otherwise the writer was at work there."""
    for _ in range(CHUNK_TRIES):
        row = log.load_row(chunk)
        finding = _check_row(log, chunk, row)
        if finding is None:
            return None
        fence(ACQUIRE)  # F5: pairs with F4; what we found before the row
        if log.load_row(chunk) == row:
            return finding
    return None


def _check_row(log: Log, chunk: int, row: Row) -> str | None:
    if not row.committed:
        return None  # it leads nowhere, whatever it says
    if not log.offset_possible(row.offset):
        return "a row's offset is impossible"  # [ouroboros.read.row-offset]
    return _walk_chunk(log, row, _successor(log, chunk, row))


def _successor(log: Log, chunk: int, row: Row) -> Row | None:
    """The chunk after this one in the same lap, if its row is committed: where the walk has to come out."""
    if chunk + 1 >= log.chunk_count:
        return None
    successor = log.load_row(chunk + 1)
    return successor if successor.committed and successor.token > row.token else None


def _walk_chunk(log: Log, row: Row, successor: Row | None) -> str | None:
    """Walk the entries of a chunk to its end. Bounded: each step goes on by 8 bytes at least."""
    cursor, entries = row.offset, row.token
    while True:
        if successor is not None and cursor >= successor.offset:
            if cursor != successor.offset:
                return "an entry runs into the next chunk"
            return None if entries == successor.token else "the next row's token is not the number of entries before it"
        if not log.header_fits(cursor):
            break
        header = log.load_header(cursor)  # A3: pairs with R3
        if header & layout.ENTRY_COMMITTED == 0 or header & layout.MAX_LENGTH == layout.LENGTH_WRAP:
            break
        if not log.is_entry(cursor, header):
            return "an entry has an impossible length"  # [ouroboros.read.length]
        cursor = after(cursor, header & layout.MAX_LENGTH)
        entries = (entries + 1) % 2**64
    if entries == row.token != 0:
        return "a committed chunk holds no entry"
    return "a chunk ends before the next one begins" if successor is not None else None
