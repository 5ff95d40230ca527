# SPDX-License-Identifier: MIT
"""Profile deepwater: the classes that most programs want: Writer and Reader. Either engine stands behind them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Self

from ..bytes import contiguous
from ..closing import Closing
from ..engine import Engine
from ..errors import Closed, InvalidArgumentError, Timeout
from ..wait import DEFAULT_SPIN
from . import arrays, core, layout
from .core import Part
from .record import U64, ChunkInfo, Cursor, FeedInfo, FeedOptions, ReaderOptions, Record, Recovered, Start, require_u64

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, StrPath

    from .arrays import Array

DEFAULT_BATCH: Final = 256


class Writer(Closing):
    """The writer of a feed; there is one at a time [deepwater.feed.one-writer].

    Threads may share it: their calls are made one after the other. In a forked child it is the parent's: calls raise
    OutOfOrderError there. A writer that is killed is recovered by the next one; nothing that a reader can have seen is lost.

    Example:
        >>> with Writer("/var/feeds", "coinbase-BTC-USD") as writer:
        ...     writer.append(1_700_000_000_000_000_000, b"trade")
        0
    """

    def __init__(self, base: StrPath, feed: str, *, create: bool = True, exclusive: bool = False, persist: bool = True,
                 chunk_size: int = layout.DEFAULT_CHUNK, live_window: int = layout.DEFAULT_WINDOW, record_size: int = 0,
                 rotate_ns: int = 0, rows: int = layout.DEFAULT_ROWS, feeds: int = layout.DEFAULT_FEEDS,
                 mode: int = layout.DEFAULT_MODE, engine: Engine | None = None) -> None:
        """Make or find the feed, and recover what a dead writer left.

        base: the base directory, made if its parent is there.
        feed: 1 to 63 characters of A-Z a-z 0-9 . _ -
        create: False finds a feed, or raises NotFoundError. exclusive: True makes one, or raises ExistsError.

        How a new feed is kept; one that is there already stays as it is [deepwater.feed.existing]:

        persist: chunks are copied to files when they are complete. Otherwise a record is gone once its chunk is.
        chunk_size: bytes of records in a chunk, a multiple of 8 from 4096 to 2**40.
        live_window: chunks kept in shared memory, the one being written included; at least 1.
        record_size: bytes of each record; 0 = they vary.
        rotate_ns: a chunk ends when a record is so much later than its first one; 0 = by size only.
        rows: chunks that the feed can ever have, up to 2**24.
        feeds: feeds that the base can ever have, if it is made now, up to 2**20.

        mode: permissions of files and segments made by this writer; directories get search permission in addition.
        engine: "native" or "python"; by default native where it is installed.

        BusyError while another writer lives, Closed for a feed that is retired, Full for a base without room, UnsupportedError
        without the extension module, and what is wrong with the registries.
        """
        if exclusive and not create:
            raise InvalidArgumentError("exclusive without create")
        options = FeedOptions(persist=persist, chunk_size=chunk_size, live_window=live_window, record_size=record_size,
                              rotate_ns=rotate_ns, rows=rows, feeds=feeds, mode=mode,
                              making="create" if exclusive else "any" if create else "open")
        self.core = core.open_writer(os.fspath(base), feed, options, engine)
        self.feed = feed

    @property
    def engine(self) -> Engine:
        """Which one stands behind it."""
        return self.core.engine

    @property
    def base(self) -> str:
        """The real path of the base directory."""
        return self.core.directory

    def append(self, timestamp_ns: int, payload: ReadableBuffer, type: int = 0) -> int:
        """Append a record: its sequence, which counts 0, 1, 2 … over the life of the feed [deepwater.append.sequence].

        timestamp_ns: 0 to 2**64 - 1, never below that of the record before: OutOfOrderError [deepwater.append.time].
        payload: anything with the buffer protocol. InvalidArgumentError if it has not record_size bytes, TooLargeError if it
            does not fit into a chunk.
        type: the application's, 0 to 2**32 - 1.

        Full when the feed has had as many chunks as it can. SystemError when memory or disk refuse: the record has not been
        appended; append it again when there is room.
        """
        with self.core.lock:
            return self.core.append((timestamp_ns, contiguous(payload), type))

    def append_many(self, records: Iterable[tuple[int, ReadableBuffer] | tuple[int, ReadableBuffer, int]]) -> int:
        """Append (timestamp_ns, payload) or (timestamp_ns, payload, type), with one commit for each chunk: how many.

        What fails ends it, with the exceptions of append; the records before it stay appended, and the exception's attribute
        `appended` says how many those are.
        """
        parts: list[Part] = [(record[0], contiguous(record[1]), record[2] if len(record) > 2 else 0) for record in records]
        with self.core.lock:
            done, error = self.core.append_batch(parts)
        if error is not None:
            error.__dict__["appended"] = done
            raise error
        return done

    def rotate(self) -> None:
        """Begin a new chunk now; the old one is sealed, and persisted if the feed persists. Nothing without records in it."""
        with self.core.lock:
            self.core.rotate()

    def info(self) -> FeedInfo:
        """The feed as it is now."""
        with self.core.lock:
            return self.core.info()

    def close(self) -> None:
        """Flush and leave [deepwater.leave.flush]. Raises what went wrong with that; the writer is closed in every case, and what
        could not be persisted stays in shared memory, for the next writer. Later calls raise Closed."""
        with self.core.lock:
            self.core.close()


class Records(Iterator[Record]):
    """Records, one after the other. An exception (Expired) does not end it: go on with the same iterator or another one."""

    def __init__(self, step: Callable[[], Record | None]) -> None:
        self._step = step

    def __next__(self) -> Record:
        try:
            record = self._step()
        except Closed:
            record = None
        if record is None:
            raise StopIteration
        return record


class Reader(Closing):
    """A reader of a feed, wherever its chunks are: in shared memory or in files, with a writer or without.

    It takes no lock and changes nothing, but for a count of sleepers that it wakes up by [deepwater.open.readonly]. Threads may
    share one, each record then goes to one of them; better open one for each. A forked child goes on from where its parent was.

    Records that are gone before they were read raise Expired, once, with their number; reading then goes on behind them.
    A record's payload is described at Record.

    Example:
        >>> with Reader("/var/feeds", "coinbase-BTC-USD") as reader:
        ...     for record in reader.range(t0, t1):
        ...         print(record.sequence, record.timestamp_ns, bytes(record.payload))
    """

    def __init__(self, base: StrPath, feed: str, *, start: Start = "oldest", at: int = 0, end_with_writer: bool = False,
                 read_only: bool = False, wait: float = 0.0, engine: Engine | None = None) -> None:
        """Find the feed; reading begins at the oldest record that is left.

        start, at: instead "latest", "time" or "sequence", and which. A sequence can be begun with whatever a writer died over.
        end_with_writer: the feed also ends where no writer lives; it always ends where it is retired [deepwater.read.end].
        read_only: map nothing writable, not even to be woken: waiting then looks every millisecond.
        wait: seconds to wait for a feed that is not there yet.
        engine: "native" or "python"; by default native where it is installed. Without the extension module there is "python".

        NotFoundError with the names of the feeds that there are, and what is wrong with the registries. NotReadyError while the
        feed is being made, and when a writer died over the row that says where to begin [deepwater.read.odd].
        """
        options = ReaderOptions(start=start, at=at, end_with_writer=end_with_writer, read_only=read_only, wait=wait)
        self.core = core.open_reader(os.fspath(base), feed, options, engine)
        self.feed = feed

    @property
    def engine(self) -> Engine:
        """Which one stands behind it."""
        return self.core.engine

    @property
    def base(self) -> str:
        """The real path of the base directory."""
        return self.core.directory

    def close(self) -> None:
        """Let go of everything. Payloads that were lent stay valid. Later calls raise Closed."""
        with self.core.lock:
            self.core.close()

    # Choosing -------------------------------------------------------------------------------------------------------

    def oldest(self) -> Self:
        """Go to the first record that is left."""
        with self.core.lock:
            self.core.seek("oldest")
        return self

    def latest(self) -> Self:
        """Go behind the last record: `for record in reader.latest().follow()` sees what comes from now on."""
        with self.core.lock:
            self.core.seek("latest")
        return self

    def seek_time(self, timestamp_ns: int) -> Self:
        """Go to the first record with that timestamp or a later one [deepwater.read.seek-time]. NotReadyError when a writer died
        over the row that says where [deepwater.read.odd]; so oldest and latest."""
        with self.core.lock:
            self.core.seek("time", require_u64(timestamp_ns, "timestamp_ns"))
        return self

    def seek_sequence(self, sequence: int) -> Self:
        """Go to that record, or behind the last one if it is not there yet. If it is gone the next read raises Expired
        [deepwater.read.seek-sequence]."""
        with self.core.lock:
            self.core.seek("sequence", require_u64(sequence, "sequence"))
        return self

    @property
    def cursor(self) -> Cursor:
        """The place: save it, and assign it to this or another reader of the feed to go on behind the last record that was
        delivered before [deepwater.read.cursor]."""
        with self.core.lock:
            return self.core.save()

    @cursor.setter
    def cursor(self, place: Cursor) -> None:
        chunk_id, sequence = place
        with self.core.lock:
            self.core.restore(Cursor(require_u64(chunk_id, "chunk_id"), require_u64(sequence, "sequence")))

    # Reading --------------------------------------------------------------------------------------------------------

    def next(self) -> Record | None:
        """The next record; None if there is none now. Expired, CorruptError; Closed at the end. None also at a row that a writer
        died over: it goes on when the next one, or collect, has mended it [deepwater.read.odd]."""
        with self.core.lock:
            return self.core.next()

    def read(self, timeout: float | None = None, spin: float = DEFAULT_SPIN) -> Record:
        """The next record, waiting up to `timeout` seconds, the first `spin` of them without sleeping. Timeout, Expired,
        CorruptError; Closed at the end."""
        record = self.core.wait_next(timeout, spin)
        if record is None:
            raise Timeout(f"nothing more came to feed {self.feed!r}")
        return record

    def read_batch(self, limit: int = DEFAULT_BATCH) -> list[Record]:
        """What is there, up to `limit` records, all of one chunk; an empty list if there is nothing now. As next."""
        if limit < 1:
            raise InvalidArgumentError(f"a batch of {limit}")
        with self.core.lock:
            return self.core.next_batch(limit)

    def __iter__(self) -> Iterator[Record]:
        """What is there now, from where the reader is."""
        return Records(self.next)

    def follow(self, timeout: float | None = None, spin: float = DEFAULT_SPIN) -> Iterator[Record]:
        """Records as they come. Ends at the end of the feed, and when none came for `timeout` seconds; never with None."""
        return Records(lambda: self.core.wait_next(timeout, spin))

    def range(self, first_ns: int, last_ns: int) -> Iterator[Record]:
        """The records with timestamps from `first_ns` to `last_ns`, both included, as far as they are there now
        [deepwater.read.range]. It moves the reader: behind the last of them, once it has come to it. NotReadyError at a row that
        a writer died over, behind the records before it [deepwater.read.odd]."""
        self.seek_time(first_ns)

        def step() -> Record | None:
            with self.core.lock:
                record = self.core.next_there()
                if record is None or record.timestamp_ns <= last_ns:
                    return record
                self.core.restore(Cursor(record.chunk_id, record.sequence))  # it was not asked for: it comes next
                return None

        return Records(step)

    # Chunks ---------------------------------------------------------------------------------------------------------

    def get_latest_chunk(self) -> ChunkInfo:
        """The chunk that is being written, with the names of its shared memory. NotFoundError if there is none. No search: the
        registry says which [deepwater.read.latest-chunk]."""
        with self.core.lock:
            return self.core.latest_chunk()

    def has_data_since(self, timestamp_ns: int) -> bool:
        """Has a record of that time or later been written? No search [deepwater.read.has-data]."""
        with self.core.lock:
            return self.core.has_data_since(require_u64(timestamp_ns, "timestamp_ns"))

    def info(self) -> FeedInfo:
        """The feed as it is now."""
        with self.core.lock:
            return self.core.info()

    def chunk(self, chunk_id: int) -> ChunkInfo:
        """A chunk. NotFoundError; NotReadyError when a writer died while it changed the row [deepwater.read.odd]."""
        with self.core.lock:
            return self.core.chunk(chunk_id)

    def chunks(self) -> list[ChunkInfo]:
        """All chunks that the feed has had, the expired ones included."""
        with self.core.lock:
            return [self.core.chunk(chunk_id) for chunk_id in range_of(self.core.info().chunks)]

    def records_array(self, dtype: Any, chunk_id: int | None = None) -> Array:
        """The records of a chunk as a NumPy array, without a copy: read-only, over the bytes where they lie. For feeds with a
        record_size, which must be the size of the dtype.

        chunk_id: which one; by default the one that the next record is in.
        Of a live chunk it has what is committed now. It keeps the chunk mapped for as long as it is there.
        InvalidArgumentError for another size, NotFoundError, Expired, CorruptError; UnsupportedError without numpy.
        """
        with self.core.lock:
            number, size = self._chunk_for_array(chunk_id), self.core.info().record_size
            data, _, count = self.core.mapped_bytes(number)
            return arrays.records(data, count, size, dtype)

    def index_array(self, chunk_id: int | None = None) -> Array:
        """The index of a chunk as a NumPy array with the fields timestamp_ns, offset, length, type and sequence. As
        records_array, for every feed; offsets count from the first record's first byte."""
        with self.core.lock:
            _, index, count = self.core.mapped_bytes(self._chunk_for_array(chunk_id))
            return arrays.entries(index, count)

    def _chunk_for_array(self, chunk_id: int | None) -> int:
        return self.core.save().chunk_id if chunk_id is None else chunk_id


def range_of(count: int) -> Iterable[int]:
    """The built-in range, which Reader.range hides."""
    return range(min(count, U64))


def feeds(base: StrPath, engine: Engine | None = None) -> list[FeedInfo]:
    """All feeds of a base directory, in the order in which they were made. NotFoundError, and what is wrong with the
    registries."""
    return core.list_feeds(os.fspath(base), engine)


def retire(base: StrPath, feed: str, engine: Engine | None = None) -> None:
    """Nothing more will be written: readers come to an end. BusyError while a writer lives [deepwater.feed.retire]."""
    core.retire(os.fspath(base), feed, engine)


def collect(base: StrPath, feed: str, engine: Engine | None = None) -> Recovered:
    """Recover what a dead writer left, and keep nothing in shared memory that is persisted. BusyError while a writer lives
    [deepwater.recover.busy]."""
    return core.collect(os.fspath(base), feed, engine)


def validate(base: StrPath, feed: str, engine: Engine | None = None) -> None:
    """Check registries, rows, and every chunk that can be reached, CRCs included: raises for the first finding
    [deepwater.validate.crc]."""
    core.validate(os.fspath(base), feed, engine)
