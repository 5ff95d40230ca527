# SPDX-License-Identifier: MIT
"""Profile deepwater, section 8, python engine: what the next writer does about what a dead one left. The feed's lock is held."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from struct import Struct
from typing import Final

from ..atomic import ACQUIRE, RELAXED, RELEASE
from ..errors import BadMagicError, CorruptError, NotFoundError, ShmwireException, from_os_error
from ..map import SHM_DIRECTORY
from . import layout
from .feed import Feed, Row
from .persist import Stayed, crcs, expire, persist
from .record import U64, Recovered
from .segment import Chunk, attach_files, attach_memory, memory_names, seal, unlink

_TEMPORARY: Final = re.compile(r"chunk_.*\.tmp", re.DOTALL)
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_HEAD: Final = Struct("<QII112x")  # of a row: chunk_id, stamp, state
_AT_REST: Final = (layout.STATE_PERSISTED, layout.STATE_EXPIRED)
_BLOCK: Final = 4096  # rows that are looked at together


class End:
    """Where a feed ends: what comes next goes behind it."""

    def __init__(self, sequence: int, timestamp_ns: int) -> None:
        self.sequence = sequence  #: of the next record
        self.timestamp_ns = timestamp_ns  #: of the last one


# One row --------------------------------------------------------------------------------------------------------------


def _mend_in_memory(feed: Feed, chunk: Chunk, mode: int, row: Row, report: Recovered) -> None:
    """Step 1, and 4 as far as persisting goes. CorruptError. [deepwater.recover.sealed, deepwater.recover.persist]"""
    count = chunk.count()
    used = chunk.check_records(row.first_sequence, count)
    if row.state != layout.STATE_SEALED or row.stamp & 1:
        row = seal(feed, chunk, count, used, row)
        report.sealed += 1
    if feed.entry.persist:
        persist(feed, chunk, mode, row._replace(record_count=count, data_bytes=used))
        report.persisted += 1


def _adopt(feed: Feed, row: Row) -> bool:
    """Step 2: are both files whole? Then the row says what it should have said. [deepwater.recover.adopt]"""
    try:
        chunk = attach_files(feed, row.chunk_id)
    except ShmwireException:
        return False
    with contextlib.closing(chunk):
        try:
            count = chunk.count()
            used = chunk.check_records(row.first_sequence, count)
        except CorruptError:
            return False
        if not chunk.sealed():
            return False
        end = row.start_ns
        if count:  # the row may have come to the disk before its first record
            end = chunk.timestamp(count - 1)
            feed.words.store_u64(feed.at(row.chunk_id, layout.ROW_START_NS_OFFSET), chunk.timestamp(0), RELAXED)
        data_crc, index_crc = crcs(chunk, used, count)
        feed.store_row(row._replace(state=layout.STATE_PERSISTED, record_count=count, data_bytes=used, end_ns=end,
                                    data_crc=data_crc, index_crc=index_crc))
    return True


def _mend_row(feed: Feed, chunk_id: int, mode: int, report: Recovered) -> None:
    row = feed.raw_row(chunk_id)
    if row.chunk_id != chunk_id:
        raise CorruptError(f"row {chunk_id} is of chunk {row.chunk_id}")
    if row.stamp & 1 == 0 and row.state >= layout.STATE_PERSISTED:
        if row.state > layout.STATE_EXPIRED:
            raise CorruptError(f"row {chunk_id}: state {row.state}")
        return
    try:
        chunk = attach_memory(feed, chunk_id, writable=True)
    except (NotFoundError, BadMagicError):
        if _adopt(feed, row):
            report.adopted += 1
            return
        feed.store_row(row._replace(state=layout.STATE_EXPIRED))  # step 3
        report.expired += 1
        return
    with contextlib.closing(chunk):
        _mend_in_memory(feed, chunk, mode, row, report)


def _to_mend(feed: Feed, rows: int) -> Iterator[int]:
    """The rows that want a closer look. A feed can have very many, and nearly all are at rest: those cost a few
    instructions each, and no call. Only we may write them."""
    for begin in range(0, rows, _BLOCK):
        block = feed.window.read(feed.at(begin), layout.ROW_SIZE * (min(begin + _BLOCK, rows) - begin))
        for chunk_id, (number, stamp, state) in enumerate(_HEAD.iter_unpack(block), begin):
            if number != chunk_id or stamp & 1 or state not in _AT_REST:
                yield chunk_id


# All of it ------------------------------------------------------------------------------------------------------------


def _remove_temporary(feed: Feed) -> int:
    """How many half-made files there were. [deepwater.recover.half-made]"""
    directory = feed.place.directory.fd
    try:
        names = [name for name in os.listdir(directory) if name.endswith(".tmp") and _TEMPORARY.fullmatch(name)]
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
    except OSError as error:
        raise from_os_error(error, f"half-made files of feed {feed.entry.name!r}") from None
    return len(names)


def _in_memory(feed: Feed) -> list[int]:
    """The chunks whose data or index has a name in shared memory."""
    head = memory_names(feed, 0)[0].removeprefix("/").removesuffix("0.data")
    found = set()
    for name in os.listdir(SHM_DIRECTORY):
        if name.startswith(head) and name.endswith((".data", ".idx")):
            number = name[len(head):].rpartition(".")[0]
            if _NUMBER.fullmatch(number):
                found.add(int(number))
    return sorted(found)


def _find_end(feed: Feed, rows: int) -> End:
    """Where the next record goes: behind the last one that anybody can have seen. [deepwater.recover.sequence]"""
    words = feed.words
    last = words.load_u64(layout.FEED_REGISTRY_LAST_SEQUENCE_OFFSET, ACQUIRE)
    end = End(0 if last == layout.NONE else last + 1, words.load_u64(layout.FEED_REGISTRY_LAST_TIMESTAMP_NS_OFFSET, RELAXED))
    for chunk_id in range(rows - 1, -1, -1):
        row = feed.raw_row(chunk_id)
        end.sequence = max(end.sequence, row.first_sequence + row.record_count)
        end.timestamp_ns = max(end.timestamp_ns, row.end_ns)
        if row.record_count:
            break
    if end.sequence > U64:
        raise CorruptError(f"feed {feed.entry.name!r} ends at sequence {end.sequence}")
    words.store_u64(layout.FEED_REGISTRY_LAST_TIMESTAMP_NS_OFFSET, end.timestamp_ns, RELAXED)
    words.store_u64(layout.FEED_REGISTRY_LAST_SEQUENCE_OFFSET, end.sequence - 1 if end.sequence else layout.NONE, RELEASE)
    return end


def _expire_left(feed: Feed, rows: int, keep: int, mode: int) -> None:
    """All but the last `keep` chunks leave shared memory, and what a writer made that died before it stored the count. Only
    those that are still there are asked for: a feed may have had very many."""
    gone = max(0, rows - keep)
    for chunk_id in _in_memory(feed):
        if chunk_id >= rows:
            unlink(feed, chunk_id)
        elif chunk_id < gone:
            try:
                expire(feed, chunk_id, chunk_id + 1, mode)
            except Stayed as stayed:
                raise stayed.error from None


def recover(feed: Feed, mode: int, keep: int) -> tuple[Recovered, End]:
    """Section 8. `keep`: chunks that stay in shared memory. CorruptError, SystemError."""
    report, rows = Recovered(), feed.rows()
    feed.flush()  # the count that covers the chunks must not be younger than their files
    report.removed = _remove_temporary(feed)
    for chunk_id in _to_mend(feed, rows):
        _mend_row(feed, chunk_id, mode, report)
    end = _find_end(feed, rows)
    # R3: pairs with A3; nothing is being written
    feed.words.store_u64(layout.FEED_REGISTRY_LATEST_OFFSET, layout.NONE, RELEASE)
    _expire_left(feed, rows, keep, mode)
    feed.flush()
    return report, end
