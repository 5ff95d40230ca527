# SPDX-License-Identifier: MIT
"""The classes that users see. Reader and Writer are made by shmwire.ouroboros; either engine stands behind them."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Literal, Self, cast

from ..bytes import parts_of
from ..closing import Closing
from ..engine import Engine, is_native
from ..errors import InvalidArgumentError, ShmwireException
from ..wait import Deadline, poll, to_ns
from .entry import ChunkInfo, Entry, Header, PackedEntries, RowInfo, View, WriterInfo
from .errors import NoDataAvailableError, of_reader

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Start = Literal["auto", "latest", "oldest"]
STARTS: Final[tuple[Start, ...]] = ("auto", "latest", "oldest")
DEFAULT_BATCH: Final = 256


class Reader(Closing):
    """Reads a log, live: entries that are written after attaching are seen.

    name: "/log" or "log" for shared memory; with any other slash in it, the path of a regular file.
    start: "auto" begins with the first entry if it is still there, else with the newest chunk; "latest" with the newest chunk;
        "oldest" with the oldest chunk that is whole. [ouroboros.read.start]
    engine: "native", "python", or None for the one that SHMWIRE_ENGINE or the installation says.
    ready_timeout: seconds to wait for a writer that has not published the segment yet.
    require_data: whether a log that has no committed chunk is refused with NoDataAvailableError.

    Raises ReaderError's subclasses: InvalidMagicError, UnsupportedVersionError, InvalidChunkCountError, BufferTooSmallError,
    NoDataAvailableError, LogNotFoundError, LogPermissionError, …

    A reader works on a read-only mapping, and never changes, resizes or removes the segment. Threads may share one: each
    entry goes to one of them. Processes open their own.
    """

    name: str
    engine: Engine
    size: int  #: bytes of the segment
    chunk_count: int  #: rows of the chunk table

    def __new__(cls, name: str, start: Start = "auto", engine: Engine | None = None, *, ready_timeout: float = 0.0,
                require_data: bool = True) -> Self:
        return cast(Self, object.__new__(_engine_class(cls, engine)))

    def __init__(self, name: str, start: Start = "auto", engine: Engine | None = None, *, ready_timeout: float = 0.0,
                 require_data: bool = True) -> None:
        _require_start(start)
        to_ns(ready_timeout)
        self.name = name
        self._lock = threading.Lock()
        self._attached = False
        deadline = Deadline(ready_timeout)
        try:
            self._attach(name, start, ready_timeout)
        except ShmwireException as error:
            raise of_reader(error) from None
        self._attached = True
        if require_data:
            self._await_data(deadline)

    def _await_data(self, deadline: Deadline) -> None:
        if poll(lambda: self._has_data() or None, deadline) is None:
            self.close()
            raise NoDataAvailableError(f"{self.name}: no chunk is committed")

    def close(self) -> None:
        """Let go of the segment, which stays as it is. Later calls raise Closed; views that are held stay readable."""
        with self._lock:
            if self._attached:
                self._close()

    def __del__(self) -> None:
        if getattr(self, "_attached", False):
            self._close()

    # Reading --------------------------------------------------------------------------------------------------------

    def read_next_entry(self, timeout: float | None = 0.0, *, max_size: int | None = None) -> Entry | None:
        """The next entry; None when there is none, or none came within `timeout` seconds (None: wait for ever).

        The format has no word to sleep on: waiting is looking, with pauses of up to 1 ms [ouroboros.read.timeout].
        max_size: refuse an entry above so many bytes with TooSmallError, and leave it next.
        CorruptLogError for bytes that no writer leaves; the reader stays where it is.
        """
        with self._lock:
            entry = self._next_entry(max_size)
        return entry if entry is not None or timeout == 0 else self._wait(timeout, max_size)

    def _wait(self, timeout: float | None, max_size: int | None) -> Entry | None:
        def look() -> Entry | None:
            with self._lock:
                return self._next_entry(max_size)

        return poll(look, Deadline(timeout if timeout is None or math.isfinite(timeout) else None))

    def read_batch(self, limit: int = DEFAULT_BATCH, *, max_bytes: int | None = None) -> list[Entry]:
        """Up to `limit` entries that are there, of `max_bytes` payload bytes together; one call into C with the native engine.

        TooSmallError when not even the first fits; CorruptLogError only when there is no entry before the damage.
        """
        if limit < 1 or (max_bytes is not None and max_bytes < 0):
            raise InvalidArgumentError(f"a batch of {limit} entries, {max_bytes} bytes")
        with self._lock:
            return self._next_batch(limit, max_bytes)

    def read_packed(self, limit: int = DEFAULT_BATCH, *, max_bytes: int | None = None) -> PackedEntries:
        """read_batch for those who want no object for each entry: one blob, and where what is in it."""
        if limit < 1 or (max_bytes is not None and max_bytes < 0):
            raise InvalidArgumentError(f"a batch of {limit} entries, {max_bytes} bytes")
        with self._lock:
            return self._next_packed(limit, max_bytes)

    def read_all(self) -> list[bytes]:
        """The payloads of all entries that are there.

        Ends also where the writer is faster than this reader: after as many bytes as the segment holds.
        """
        payloads: list[bytes] = []
        room = self.size
        while room > 0:
            with self._lock:
                batch = self._next_payloads(DEFAULT_BATCH)
            if not batch:
                break
            payloads += batch
            room -= sum(map(len, batch))
        return payloads

    def read_next_view(self) -> View | None:
        """The next entry where it lies, without a copy: what View.data shows counts only if View.is_valid() after its use."""
        with self._lock:
            return self._next_view()

    def __iter__(self) -> Iterator[bytes]:
        """The payloads of the entries that are there, one at a time; ends when there is none. A later loop goes on from there."""
        while (entry := self.read_next_entry()) is not None:
            yield entry.data

    def follow(self, timeout: float | None = None) -> Iterator[Entry]:
        """Entries as they come. Ends when none came for `timeout` seconds; never with None."""
        while (entry := self.read_next_entry(timeout)) is not None:
            yield entry

    def seek(self, start: Start) -> None:
        """Start over with another strategy; entries may come again, counters go on."""
        _require_start(start)
        with self._lock:
            self._seek(start)

    # Looking --------------------------------------------------------------------------------------------------------

    @property
    def total_entries_read(self) -> int:
        """Entries delivered by this reader."""
        raise NotImplementedError

    @property
    def total_skipped(self) -> int:
        """Entries that were overwritten before this reader came to them."""
        raise NotImplementedError

    @property
    def next_sequence(self) -> int:
        """The sequence that is expected next; 0 before a chunk was found."""
        raise NotImplementedError

    def holds(self, chunk: ChunkInfo) -> bool:
        """Is a chunk still in the segment as it was? False after close."""
        raise NotImplementedError

    def header(self) -> Header:
        """The header as it is in memory."""
        raise NotImplementedError

    def rows(self) -> list[RowInfo]:
        """The chunk table as it is in memory."""
        raise NotImplementedError

    def validate(self) -> None:
        """Check header, rows and every reachable entry: raises for the first finding."""
        raise NotImplementedError

    # What an engine does --------------------------------------------------------------------------------------------

    def _attach(self, name: str, start: Start, ready_timeout: float) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError

    def _has_data(self) -> bool:
        raise NotImplementedError

    def _next_entry(self, max_size: int | None) -> Entry | None:
        raise NotImplementedError

    def _next_view(self) -> View | None:
        raise NotImplementedError

    def _next_batch(self, limit: int, max_bytes: int | None) -> list[Entry]:
        raise NotImplementedError

    def _next_packed(self, limit: int, max_bytes: int | None) -> PackedEntries:
        entries = self._next_batch(limit, max_bytes)
        payloads = [entry.data for entry in entries]
        return PackedEntries(b"".join(payloads), list(accumulate(map(len, payloads), initial=0)),
                             [entry.sequence_number for entry in entries], sum(entry.skipped for entry in entries))

    def _next_payloads(self, limit: int) -> list[bytes]:
        return [entry.data for entry in self._next_batch(limit, None)]

    def _seek(self, start: Start) -> None:
        raise NotImplementedError



def _engine_class(cls: type[Reader], engine: Engine | None) -> type[Reader]:
    """The class of an engine, for Reader itself; a class of an engine is what it is."""
    if cls is not Reader:
        return cls
    if is_native(engine):
        from .native import NativeReader
        return NativeReader
    from .reader import PythonReader
    return PythonReader


def _require_start(start: str) -> None:
    if start not in STARTS:
        raise InvalidArgumentError(f"start {start!r}, one of {', '.join(STARTS)} is wanted")


class Writer(Closing):
    """Writes a log; made by create and resume. There is one writer at a time, held by a lock on the segment's file. Threads may
    share it; a forked child may not, and gets BusyError."""

    engine: Engine
    size: int  #: bytes of the segment
    chunk_count: int
    chunk_target_size: int  #: bytes after which the next chunk begins
    max_payload: int  #: bytes

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def write(self, data: ReadableBuffer) -> int:
        """Append one entry, 1 to max_payload bytes: its sequence. Never waits, and never fails for want of room.

        InvalidArgumentError for 0 bytes, TooLargeError.
        """
        with self._lock:
            return self._write(data)

    def write_batch(self, payloads: Sequence[ReadableBuffer]) -> range:
        """Append entries, in one call into C with the native engine: their sequences.

        The payloads are looked at first: for InvalidArgumentError and TooLargeError nothing was written.
        """
        with self._lock:
            return self._write_batch(payloads)

    def write_packed(self, blob: ReadableBuffer, lengths: int | Sequence[int]) -> range:
        """write_batch for payloads that lie one behind the other in one buffer, with no object for each.

        lengths: of each payload, or one number that is the length of all. They add up to the buffer's.
        """
        with self._lock:
            return self._write_packed(blob, lengths)

    def info(self) -> WriterInfo:
        """What the writer knows of its log."""
        return WriterInfo(self.size, self.chunk_count, self.chunk_target_size, self.max_payload, self.entries_written)

    @property
    def entries_written(self) -> int:
        """Since the segment was made."""
        raise NotImplementedError

    def header(self) -> Header:
        """The header as it is in memory."""
        raise NotImplementedError

    def rows(self) -> list[RowInfo]:
        """The chunk table as it is in memory."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the log up: another writer may take over. The segment stays; shmwire.unlink removes it."""
        with self._lock:
            self._close()

    # What an engine does --------------------------------------------------------------------------------------------

    def _write(self, data: ReadableBuffer) -> int:
        raise NotImplementedError

    def _write_batch(self, payloads: Sequence[ReadableBuffer]) -> range:
        raise NotImplementedError

    def _write_packed(self, blob: ReadableBuffer, lengths: int | Sequence[int]) -> range:
        return self._write_batch(parts_of(blob, lengths))

    def _close(self) -> None:
        raise NotImplementedError
