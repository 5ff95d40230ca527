# SPDX-License-Identifier: MIT
"""Profile deepwater, section 6, python engine: choosing where a reader begins, by binary search: over the rows, then over the
index of one chunk. Each answer is a row, and the sequence of the record in it that comes next."""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Callable
from typing import Final

from ..errors import CorruptError, NotReadyError, ShmwireException
from . import layout
from .feed import Feed, Row
from .record import U64, Cursor, Start
from .segment import attach

Place = tuple[int, int]


def _first_left(feed: Feed, begin: int, rows: int) -> Row | None:
    """The first row from `begin` on that is not expired. Expired ones come first, but for what a power failure took."""
    for chunk_id in range(max(begin, feed.expired_below(rows)), rows):
        if not feed.expired(chunk_id):  # not the whole row: there may be very many
            row = feed.row(chunk_id)
            if row.state != layout.STATE_EXPIRED:
                return row
    return None


def oldest(feed: Feed, begin: int = 0) -> Place:
    """The first record that is left, from row `begin` on."""
    while True:
        written = feed.end()  # before count: what it covers is in rows that the count has
        rows = feed.rows()
        row = _first_left(feed, begin, rows)
        if row is not None:
            return row.chunk_id, row.first_sequence
        if begin >= rows:
            return rows, written
        begin = rows


def latest(feed: Feed) -> Place:
    """Behind the last record."""
    return sequence(feed, U64)


def _end_of_row(feed: Feed, chunk_id: int) -> int:
    """The sequence behind the last record of the last row, as its chunk says: a writer that died, or that is, between entry_count
    and last_sequence has committed more than the header says. 0 if the chunk cannot be reached: then the header counts.
    NotReadyError."""
    try:
        found = attach(feed, chunk_id)
    except NotReadyError:
        raise  # the row will say
    except ShmwireException:
        return 0
    if found is None:
        return 0
    row, chunk = found
    with contextlib.closing(chunk), contextlib.suppress(CorruptError):
        return row.first_sequence + chunk.count()
    return 0


def sequence(feed: Feed, wanted: int) -> Place:
    """That record, or behind the last one if it is not there yet. [deepwater.read.seek-sequence]"""
    end = feed.end()
    count = bisect.bisect_right(range(feed.rows()), wanted, key=lambda chunk_id: feed.key_of(chunk_id).first_sequence)
    if wanted > end and count > 0:
        end = max(end, _end_of_row(feed, count - 1))
    return max(0, count - 1), min(wanted, end)


def time(feed: Feed, wanted: int) -> Place:
    """The first record with that timestamp or a later one: in the last row that begins before it, or behind that.
    [deepwater.read.seek-time]"""
    before = bisect.bisect_left(range(feed.rows()), wanted, key=lambda chunk_id: feed.key_of(chunk_id).start_ns)
    found = attach(feed, before - 1) if before > 0 else None
    if found is None:
        return oldest(feed, before)
    row, chunk = found
    with contextlib.closing(chunk):
        index = bisect.bisect_left(range(chunk.count()), wanted, key=chunk.timestamp)  # A4
    return row.chunk_id, row.first_sequence + index


_CHOICES: Final[dict[Start, Callable[[Feed, int], Place]]] = {
    "oldest": lambda feed, _: oldest(feed), "latest": lambda feed, _: latest(feed), "time": time, "sequence": sequence}


def choose(feed: Feed, start: Start, at: int) -> Place:
    """Where a reader begins."""
    return _CHOICES[start](feed, at)


def return_to(feed: Feed, cursor: Cursor) -> Place:
    """A cursor's place: its chunk is a hint, its sequence counts. [deepwater.read.cursor]"""
    if 0 <= cursor.chunk_id < feed.rows():
        with contextlib.suppress(NotReadyError):  # an odd row may hold it: the search comes to it by its first sequence
            row = feed.row(cursor.chunk_id)
            complete = row.state != layout.STATE_LIVE
            if complete and row.first_sequence <= cursor.sequence < row.first_sequence + row.record_count:
                return cursor.chunk_id, cursor.sequence
    return sequence(feed, cursor.sequence)
