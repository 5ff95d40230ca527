# SPDX-License-Identifier: MIT
"""Profile deepwater, section 1.3, python engine: chunks, in shared memory and in files."""

from __future__ import annotations

import contextlib
from typing import Final

from .. import map as mapping
from ..atomic import ACQUIRE, RELAXED, RELEASE, Words
from ..errors import (
    BadGeometryError,
    BadMagicError,
    BadVersionError,
    CorruptError,
    ExistsError,
    NotFoundError,
    PermissionError,
    TruncatedError,
)
from ..wait import Backoff, Deadline
from . import layout
from .feed import Feed, Row
from .record import ENTRY, Record
from .registry import map_file
from .tree import file_name

_LEAST_ENTRIES: Final = 64
_BYTES_PER_ENTRY: Final = 32


class Chunk:
    """A chunk, mapped from shared memory or from its files, its headers checked."""

    __slots__ = ("chunk_id", "data", "data_capacity", "data_words", "index", "index_capacity", "index_words")

    def __init__(self, chunk_id: int, data: mapping.Mapping, index: mapping.Mapping) -> None:
        """Both mappings belong to the chunk, and are let go on errors. BadMagicError, BadVersionError, BadGeometryError,
        TruncatedError, CorruptError."""
        self.chunk_id = chunk_id
        self.data, self.index = data, index
        self.data_words, self.index_words = Words(data.window), Words(index.window)
        try:
            self.data_capacity = self._check_data()
            self.index_capacity = self._check_index()
            self.count()
        except BaseException:
            self.close()
            raise
        data.release_fd()  # the mappings are enough
        index.release_fd()

    def close(self) -> None:
        """Let go of the mappings; they go away with the last record that lies in them."""
        self.data_words.close()
        self.index_words.close()
        self.data.close()
        self.index.close()

    def _check_data(self) -> int:
        window = self.data.window
        # A0: pairs with R0; the header after it
        if self.data_words.load_u64(layout.DATA_MAGIC_OFFSET, ACQUIRE) != layout.DATA_MAGIC:
            raise BadMagicError(f"data of chunk {self.chunk_id}")
        if window.u32(layout.DATA_VERSION_OFFSET) != layout.VERSION:
            raise BadVersionError(f"data of chunk {self.chunk_id}")
        capacity = window.u64(layout.DATA_CAPACITY_OFFSET)
        if capacity > layout.MAX_CHUNK:
            raise BadGeometryError(f"data of chunk {self.chunk_id}: capacity {capacity}")
        if layout.DATA_SIZE + capacity > window.size:
            raise TruncatedError(f"data of chunk {self.chunk_id}: {window.size} bytes for {capacity}")
        self._check_id(window.u64(layout.DATA_CHUNK_ID_OFFSET))
        return capacity

    def _check_index(self) -> int:
        window = self.index.window
        # A0: pairs with R0; the header after it
        if self.index_words.load_u64(layout.INDEX_MAGIC_OFFSET, ACQUIRE) != layout.INDEX_MAGIC:
            raise BadMagicError(f"index of chunk {self.chunk_id}")
        if window.u32(layout.INDEX_VERSION_OFFSET) != layout.VERSION:
            raise BadVersionError(f"index of chunk {self.chunk_id}")
        size, capacity = window.u32(layout.INDEX_ENTRY_SIZE_OFFSET), window.u64(layout.INDEX_CAPACITY_OFFSET)
        if size != layout.RECORD_SIZE or capacity > layout.MAX_CHUNK:
            raise BadGeometryError(f"index of chunk {self.chunk_id}: {capacity} entries of {size} bytes")
        if layout.INDEX_SIZE + capacity * layout.RECORD_SIZE > window.size:
            raise TruncatedError(f"index of chunk {self.chunk_id}: {window.size} bytes for {capacity} entries")
        self._check_id(window.u64(layout.INDEX_CHUNK_ID_OFFSET))
        return capacity

    def _check_id(self, found: int) -> None:
        """[deepwater.read.bounds]"""
        if found != self.chunk_id:
            raise CorruptError(f"chunk {found} where chunk {self.chunk_id} should be")

    # Records --------------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """Records that are committed. CorruptError. [deepwater.read.commit, deepwater.read.bounds]"""
        # A4: pairs with R4; bytes, entries and start_ns of the records below it
        count = self.index_words.load_u64(layout.INDEX_ENTRY_COUNT_OFFSET, ACQUIRE)
        if count > self.index_capacity:
            raise CorruptError(f"index of chunk {self.chunk_id}: {count} entries, room for {self.index_capacity}")
        return count

    def sealed(self) -> bool:
        """Will nothing more be appended?"""
        # A9: pairs with R9; all records, so that entry_count is final when it is loaded after this
        return self.data_words.load_u32(layout.DATA_FLAGS_OFFSET, ACQUIRE) & layout.DATA_SEALED != 0

    @staticmethod
    def at(index: int, field: int = 0) -> int:
        """Where a field of an entry lies."""
        return layout.INDEX_SIZE + index * layout.RECORD_SIZE + field

    def timestamp(self, index: int) -> int:
        """Of record `index`, which count() covers."""
        return self.index.window.u64(self.at(index, layout.RECORD_TIMESTAMP_NS_OFFSET))

    def entry(self, first_sequence: int, index: int) -> tuple[int, int, int, int, int]:
        """timestamp, offset, length, type and sequence of record `index`, which count() covers. CorruptError.
        [deepwater.read.bounds, deepwater.read.sequence]"""
        found: tuple[int, int, int, int, int] = ENTRY.unpack(self.index.window.read(self.at(index), layout.RECORD_SIZE))
        _, offset, length, _, sequence = found
        if sequence != first_sequence + index or offset + length > self.data_capacity:
            raise CorruptError(f"chunk {self.chunk_id}, entry {index}: sequence {sequence}, {length} bytes at {offset}")
        return found

    def record(self, first_sequence: int, index: int, lost: int = 0) -> Record:
        """Record `index`, where it lies."""
        timestamp, offset, length, kind, sequence = self.entry(first_sequence, index)
        payload = self.data.window.view(layout.DATA_SIZE + offset, length).toreadonly()
        return Record(sequence, timestamp, self.chunk_id, kind, payload, lost)

    def check_records(self, first_sequence: int, count: int) -> int:
        """Where the last one's bytes end. CorruptError if any of the `count` first records is not what it should be."""
        before = end = 0
        entries = ENTRY.iter_unpack(self.index.window.read(layout.INDEX_SIZE, count * layout.RECORD_SIZE))
        for index, (timestamp, offset, length, _, sequence) in enumerate(entries):
            end = offset + length
            if sequence != first_sequence + index or end > self.data_capacity or timestamp < before:
                raise CorruptError(f"chunk {self.chunk_id}, entry {index}: sequence {sequence}, time {timestamp}, "
                                   f"{length} bytes at {offset}")
            before = timestamp
        return end

    # Writing --------------------------------------------------------------------------------------------------------

    def put(self, offset: int, payload: bytes | memoryview) -> None:
        """Store a record's bytes, which no count covers yet."""
        self.data.window.write(layout.DATA_SIZE + offset, payload)

    def put_entry(self, index: int, entry: bytes) -> None:
        """Store an entry, which no count covers yet."""
        self.index.window.write(self.at(index), entry)

    def commit(self, records: int, used: int) -> None:
        """write_pos, and then the count that commits. [deepwater.append.commit]"""
        self.data_words.store_u64(layout.DATA_WRITE_POS_OFFSET, used, RELAXED)
        # R4: pairs with A4; bytes, entries and start_ns of the records below it
        self.index_words.store_u64(layout.INDEX_ENTRY_COUNT_OFFSET, records, RELEASE)

    def seal(self, records: int, used: int) -> None:
        """Nothing more will be appended. [deepwater.rotate.seal]"""
        self.data_words.store_u64(layout.DATA_WRITE_POS_OFFSET, used, RELAXED)
        self.data_words.store_u64(layout.DATA_RECORD_COUNT_OFFSET, records, RELAXED)
        # R9: pairs with A9; entry_count, which is final
        self.data_words.store_u32(layout.DATA_FLAGS_OFFSET, layout.DATA_SEALED, RELEASE)


# Attaching ------------------------------------------------------------------------------------------------------------


def memory_names(feed: Feed, chunk_id: int) -> tuple[str, str]:
    """The names of a chunk's data and index in shared memory."""
    base, name = feed.place.base, feed.entry.name
    return base.memory_name(name, chunk_id, "data"), base.memory_name(name, chunk_id, "idx")


def attach_memory(feed: Feed, chunk_id: int, writable: bool = False) -> Chunk:
    """A chunk in shared memory. NotFoundError, and what Chunk refuses."""
    names = memory_names(feed, chunk_id)
    data = mapping.open_existing(names[0], writable, layout.DATA_SIZE, Deadline(0))
    try:
        index = mapping.open_existing(names[1], writable, layout.INDEX_SIZE, Deadline(0))
    except BaseException:
        data.close()
        raise
    return Chunk(chunk_id, data, index)


def attach_files(feed: Feed, chunk_id: int) -> Chunk:
    """A chunk in its files. NotFoundError, and what Chunk refuses."""
    directory = feed.place.directory
    data = map_file(directory, file_name(chunk_id, "data"), False, layout.DATA_SIZE)
    try:
        index = map_file(directory, file_name(chunk_id, "idx"), False, layout.INDEX_SIZE)
    except BaseException:
        data.close()
        raise
    return Chunk(chunk_id, data, index)


def attach(feed: Feed, chunk_id: int) -> tuple[Row, Chunk] | None:
    """A row and its chunk, wherever that is; None once it has expired. CorruptError, and what Chunk refuses;
    NotReadyError: its row is odd, and no writer lives. [deepwater.read.moved]"""
    backoff = Backoff(Deadline(None))
    for _ in range(layout.ATTACH_TRIES):
        row = feed.row(chunk_id)
        if row.state == layout.STATE_EXPIRED:
            return None
        if row.state == layout.STATE_PERSISTED:
            try:
                return row, attach_files(feed, chunk_id)
            except NotFoundError as error:
                raise CorruptError(f"chunk {chunk_id} is persisted, and not there: {error.detail}") from None
        with contextlib.suppress(NotFoundError):
            return row, attach_memory(feed, chunk_id)
        # Unlinked between our look at the row and now: the row says where it is, unless the machine lost it.
        if feed.stamp(chunk_id) != row.stamp:
            continue
        with contextlib.suppress(NotFoundError):
            return row, attach_files(feed, chunk_id)
        if not feed.writer_lives():
            return None
        backoff.pause()
    raise CorruptError(f"chunk {chunk_id} is not where its row says")


def entries_for(feed: Feed) -> int:
    """Room of a new chunk's index, in records."""
    entry = feed.entry
    if entry.record_size != 0:
        return entry.chunk_size // entry.record_size
    return max(_LEAST_ENTRIES, entry.chunk_size // _BYTES_PER_ENTRY)


def _make_memory(name: str, size: int, mode: int) -> mapping.Mapping:
    """A name that is taken is of a writer long dead: the feed's lock is ours."""
    try:
        return mapping.create(name, size, size, mode)
    except ExistsError:
        mapping.unlink(name)
    return mapping.create(name, size, size, mode)


def make(feed: Feed, chunk_id: int, mode: int, pid: int) -> Chunk:
    """Make a chunk in shared memory, complete. ExistsError, PermissionError, SystemError."""
    names, capacity, entries = memory_names(feed, chunk_id), feed.entry.chunk_size, entries_for(feed)
    data = _make_memory(names[0], layout.DATA_SIZE + capacity, mode)
    try:
        index = _make_memory(names[1], layout.INDEX_SIZE + entries * layout.RECORD_SIZE, mode)
    except BaseException:
        data.close()
        unlink(feed, chunk_id)
        raise
    _write_headers(data, index, (chunk_id, capacity, entries), pid)
    return Chunk(chunk_id, data, index)


def _write_headers(data: mapping.Mapping, index: mapping.Mapping, sizes: tuple[int, int, int], pid: int) -> None:
    """Headers of a chunk that is not published yet. `sizes`: its id and its two capacities."""
    chunk_id, capacity, entries = sizes
    window = data.window
    window.put_u32(layout.DATA_VERSION_OFFSET, layout.VERSION)
    window.put_u64(layout.DATA_CHUNK_ID_OFFSET, chunk_id)
    window.put_u64(layout.DATA_CAPACITY_OFFSET, capacity)
    window.put_u32(layout.DATA_WRITER_PID_OFFSET, pid)
    window = index.window
    window.put_u32(layout.INDEX_VERSION_OFFSET, layout.VERSION)
    window.put_u32(layout.INDEX_ENTRY_SIZE_OFFSET, layout.RECORD_SIZE)
    window.put_u64(layout.INDEX_CHUNK_ID_OFFSET, chunk_id)
    window.put_u64(layout.INDEX_CAPACITY_OFFSET, entries)
    Words(data.window).store_u64(layout.DATA_MAGIC_OFFSET, layout.DATA_MAGIC, RELEASE)  # R0: pairs with A0; the header
    Words(index.window).store_u64(layout.INDEX_MAGIC_OFFSET, layout.INDEX_MAGIC, RELEASE)  # R0: pairs with A0; the header


def unlink(feed: Feed, chunk_id: int) -> None:
    """Take a chunk out of shared memory: who has it mapped keeps it. Nothing where it is not there."""
    for name in memory_names(feed, chunk_id):
        with contextlib.suppress(NotFoundError, PermissionError):
            mapping.unlink(name)


def seal(feed: Feed, chunk: Chunk, records: int, used: int, row: Row) -> Row:
    """Seal a chunk with so many records and bytes: its header, and its row, as it is then. [deepwater.rotate.seal]"""
    chunk.seal(records, used)
    start = feed.words.load_u64(feed.at(chunk.chunk_id, layout.ROW_START_NS_OFFSET), RELAXED)
    sealed = row._replace(state=layout.STATE_SEALED, record_count=records, data_bytes=used, start_ns=start,
                          end_ns=chunk.timestamp(records - 1) if records else start)
    feed.store_row(sealed)
    return sealed
