# SPDX-License-Identifier: MIT
"""Profile deepwater, native engine: whole operations in the C implementation, one crossing each.

The C reader lends the bytes of a record until the next call: they are copied here, so that a Record may be kept. A wait is a row
of short calls: Python's signal handlers, and the other threads that share the reader, have their turn in between.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final

from ..errors import (
    ExpiredError,
    InvalidArgumentError,
    NotFoundError,
    ShmwireException,
    Timeout,
    TooLargeError,
    from_code,
)
from ..refc import CData, failure, ffi, lib, locator
from ..wait import DEFAULT_SPIN, SLICE_NS, Deadline, to_ns
from . import layout
from .core import Part, ReaderCore, WriterCore
from .feed import Feed, open_feed
from .reader import mapped_bytes
from .record import (
    STATES,
    U32,
    ChunkInfo,
    Cursor,
    Expired,
    FeedInfo,
    FeedOptions,
    ReaderOptions,
    Record,
    Recovered,
    Start,
    require_u64,
)

if TYPE_CHECKING:
    from ..bytes import Window

#: struct shmw_deepwater_record as it lies in memory, and struct shmwpy_part; deepwater_calls.h checks the first.
HEAD: Final = Struct("<QQQQIIQ")
PART: Final = Struct("<QII")
_STARTS: Final[dict[Start, int]] = {"oldest": lib.SHMW_DEEPWATER_OLDEST, "latest": lib.SHMW_DEEPWATER_LATEST,
                                    "time": lib.SHMW_DEEPWATER_TIME, "sequence": lib.SHMW_DEEPWATER_SEQUENCE}
_OK: Final = 0
_EMPTY: Final = 1
_TIMEOUT: Final = Timeout.code
_EXPIRED: Final = ExpiredError.code
_NAME_ROOM: Final = 128
_SHOWN: Final = 8  # names of other feeds in an error
_LONGEST_WAIT: Final = 2**62


def _check(code: int, what: str) -> None:
    """For calls without a handle."""
    if code != _OK:
        name = from_code(code).name
        raise from_code(code, os.strerror(ffi.errno) if name == "SYSTEM" and ffi.errno else what)


def _text(raw: CData) -> str:
    return os.fsdecode(ffi.string(raw))


def _feed_info(raw: CData) -> FeedInfo:
    latest, last = int(raw.latest), int(raw.last_sequence)
    return FeedInfo(
        _text(raw.name), _text(raw.directory), raw.feed_id, raw.flags & layout.FLAG_PERSIST != 0,
        raw.flags & layout.FLAG_RETIRED != 0, raw.chunk_size, raw.live_window, raw.record_size, raw.created_ns, raw.rotate_ns,
        raw.chunks, None if latest == layout.NONE else latest, None if last == layout.NONE else last, raw.last_timestamp_ns,
        raw.heartbeat_ns, raw.writer_pid, raw.waiters, raw.writer_lives)


def _known(base: str, feed: str) -> str:
    """What to say of a feed that is not there."""
    names = []
    with contextlib.suppress(ShmwireException):
        names = [info.name for info in list_feeds(base, _SHOWN + 1)]  # each is opened for it: not all of very many
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"feed {feed!r} of {base}; there are: {shown or 'none'}"


def _opened(code: int, base: str, feed: str) -> None:
    """The answer of an open."""
    if code != _OK:
        _check(code, _known(base, feed) if code == NotFoundError.code else f"feed {feed!r} of {base}")


class NativeWriter(WriterCore):
    """A writer of the native engine."""

    def __init__(self, base: str, feed: str, options: FeedOptions) -> None:
        super().__init__()
        self.engine = "native"
        self._handle: CData = ffi.NULL
        raw = ffi.new("struct shmw_deepwater_feed_options *", {
            "persist": options.persist, "chunk_size": options.chunk_size, "live_window": options.live_window,
            "record_size": options.record_size, "rotate_ns": options.rotate_ns, "rows": options.rows, "feeds": options.feeds,
            "mode": options.mode, "create_only": options.making == "create", "open_only": options.making == "open",
            "identity": {"pid": options.pid, "clock_ns": options.clock_ns, "boot_ns": options.boot_ns}})
        out = ffi.new("shmw_deepwater_writer **")
        _opened(lib.shmw_deepwater_writer_open(locator(base), feed.encode(), raw, out), base, feed)
        self._handle = out[0]
        self._sequence = ffi.new("uint64_t *")
        self._done = ffi.new("size_t *")
        self.directory = os.path.realpath(base)
        info = self.info()
        self._record_size, self._chunk_size = info.record_size, info.chunk_size

    def close(self) -> None:
        with self.lock:
            handle, self._handle = self._handle, ffi.NULL
            code = lib.shmw_deepwater_writer_close(handle)
            if code != _OK:
                raise failure(code, handle)

    def __del__(self) -> None:
        if getattr(self, "_handle", ffi.NULL) != ffi.NULL:
            with contextlib.suppress(ShmwireException):
                self.close()

    def _failure(self, code: int, length: int) -> ShmwireException:
        name = from_code(code).name
        what = {"TOO_LARGE": f"a record of {length} bytes; a chunk takes {self._chunk_size}",
                "INVALID_ARGUMENT": f"a record of {length} bytes in a feed of records of {self._record_size}"}.get(name, "")
        return failure(code, self._handle, what)

    def append(self, part: Part) -> int:
        timestamp_ns, payload, kind = part
        length = len(payload)
        _require(part)
        source = payload if isinstance(payload, bytes) else ffi.from_buffer(payload)
        with self.lock:
            code = lib.shmw_deepwater_append(self._handle, timestamp_ns, kind, source, length, self._sequence)
            if code != _OK:
                raise self._failure(code, length)
            return int(self._sequence[0])

    def append_batch(self, parts: Sequence[Part]) -> tuple[int, ShmwireException | None]:
        good: list[Part] = []
        stop: ShmwireException | None = None
        for part in parts:
            try:
                _require(part)
            except ShmwireException as error:
                stop = error
                break
            good.append(part)
        heads = b"".join([PART.pack(timestamp_ns, len(payload), kind) for timestamp_ns, payload, kind in good])
        blob = b"".join([payload for _, payload, _ in good])
        with self.lock:
            code = lib.shmwpy_deepwater_append_packed(self._handle, blob, heads, len(good), self._done)
            done = int(self._done[0])
            if code != _OK:
                stop = self._failure(code, len(good[done][1]) if done < len(good) else 0)
                if self._handle == ffi.NULL:
                    raise stop
        return done, stop

    def rotate(self) -> None:
        with self.lock:
            code = lib.shmw_deepwater_rotate(self._handle)
            if code != _OK:
                raise failure(code, self._handle)

    def info(self) -> FeedInfo:
        with self.lock:
            raw = ffi.new("struct shmw_deepwater_feed *")
            code = lib.shmw_deepwater_writer_feed(self._handle, raw)
            if code != _OK:
                raise failure(code, self._handle)
            return _feed_info(raw)


def _require(part: Part) -> None:
    """What C's types do not hold. InvalidArgumentError, TooLargeError."""
    require_u64(part[0], "timestamp_ns")
    if not 0 <= part[2] <= U32:
        raise InvalidArgumentError(f"type {part[2]}")
    if len(part[1]) > U32:
        raise TooLargeError(f"a record of {len(part[1])} bytes")


class NativeReader(ReaderCore):
    """A reader of the native engine."""

    def __init__(self, base: str, feed: str, options: ReaderOptions) -> None:
        super().__init__()
        self.engine = "native"
        self._handle: CData = ffi.NULL
        raw = ffi.new("struct shmw_deepwater_reader_options *", {
            "start": _STARTS[options.start], "at": options.at, "end_with_writer": options.end_with_writer,
            "read_only": options.read_only, "ready_timeout_ns": min(to_ns(options.wait), _LONGEST_WAIT)})
        out = ffi.new("shmw_deepwater_reader **")
        _opened(lib.shmw_deepwater_reader_open(locator(base), feed.encode(), raw, out), base, feed)
        self._handle = out[0]
        self._feed_name = feed
        self._record = ffi.new("struct shmw_deepwater_record *")
        self._head = ffi.buffer(self._record)
        self._count = ffi.new("size_t *")
        self._most = 0  # records that a batch has had room for
        self._records: CData = ffi.NULL
        self._lost = 0  # before the next record
        self._mapped: Feed | None = None  # of arrays
        self.directory = os.path.realpath(base)

    def close(self) -> None:
        with self.lock:
            handle, self._handle = self._handle, ffi.NULL
            lib.shmw_deepwater_reader_close(handle)
            if self._mapped is not None:
                self._mapped.close()
                self._mapped = None

    def __del__(self) -> None:
        if getattr(self, "_handle", ffi.NULL) != ffi.NULL:
            self.close()

    def _check(self, code: int, what: str = "") -> None:
        if code != _OK:
            raise failure(code, self._handle, what)

    # Records --------------------------------------------------------------------------------------------------------

    def _taken(self, head: tuple[int, int, int, int, int, int, int]) -> Record:
        sequence, timestamp_ns, chunk_id, data, length, kind, _ = head
        payload = ffi.buffer(ffi.cast("char *", data), length)[:] if length else b""
        lost, self._lost = self._lost, 0
        return Record(sequence, timestamp_ns, chunk_id, kind, payload, lost)

    def _judged(self, code: int, record: CData) -> bool:
        """Is there a record? Expired, Closed, CorruptError."""
        if code == _OK:
            return True
        if code in (_EMPTY, _TIMEOUT) and self._handle != ffi.NULL:
            return False
        if code == _EXPIRED:
            lost = self._lost = int(record.lost)
            raise Expired(f"{lost} records of feed {self._feed_name!r} are gone", lost)
        raise failure(code, self._handle, f"feed {self._feed_name!r}")

    def next(self) -> Record | None:
        with self.lock:
            code = lib.shmw_deepwater_next(self._handle, self._record)
            return self._taken(HEAD.unpack(self._head)) if self._judged(code, self._record) else None

    def next_batch(self, limit: int) -> list[Record]:
        with self.lock:
            if limit > self._most:
                self._most = limit
                self._records = ffi.new("struct shmw_deepwater_record[]", limit)
            code = lib.shmw_deepwater_next_batch(self._handle, self._records, limit, self._count)
            if not self._judged(code, self._records[0]):
                return []
            return [self._taken(head) for head in HEAD.iter_unpack(ffi.buffer(self._records, self._count[0] * HEAD.size))]

    def wait_next(self, timeout: float | None, spin: float = DEFAULT_SPIN) -> Record | None:
        record = self.next()
        if record is not None or timeout == 0:  # no clock is read where there is a record
            return record
        deadline, spin_ns = Deadline(timeout), to_ns(spin)
        while True:
            last = deadline.expired()
            with self.lock:
                limit = max(1, deadline.remaining(SLICE_NS))
                code = lib.shmw_deepwater_wait_next(self._handle, limit, min(spin_ns, limit), self._record)
                if self._judged(code, self._record):
                    return self._taken(HEAD.unpack(self._head))
            if last:
                return None
            spin_ns = max(0, spin_ns - SLICE_NS)

    # Choosing -------------------------------------------------------------------------------------------------------

    def seek(self, start: Start, at: int = 0) -> None:
        with self.lock:
            self._check(lib.shmw_deepwater_seek(self._handle, _STARTS[start], at))
            self._lost = 0

    def save(self) -> Cursor:
        with self.lock:
            cursor = ffi.new("struct shmw_deepwater_cursor *")
            self._check(lib.shmw_deepwater_save(self._handle, cursor))
            return Cursor(cursor.chunk_id, cursor.sequence)

    def restore(self, cursor: Cursor) -> None:
        with self.lock:
            raw = ffi.new("struct shmw_deepwater_cursor *", {"chunk_id": cursor.chunk_id, "sequence": cursor.sequence})
            self._check(lib.shmw_deepwater_restore(self._handle, raw))
            self._lost = 0

    # Questions ------------------------------------------------------------------------------------------------------

    def info(self) -> FeedInfo:
        with self.lock:
            raw = ffi.new("struct shmw_deepwater_feed *")
            self._check(lib.shmw_deepwater_reader_feed(self._handle, raw))
            return _feed_info(raw)

    def has_data_since(self, timestamp_ns: int) -> bool:
        with self.lock:
            has = ffi.new("bool *")
            self._check(lib.shmw_deepwater_has_data_since(self._handle, timestamp_ns, has))
            return bool(has[0])

    def latest_chunk(self) -> ChunkInfo:
        with self.lock:
            raw = ffi.new("struct shmw_deepwater_chunk *")
            names = ffi.new("char[]", _NAME_ROOM), ffi.new("char[]", _NAME_ROOM)
            code = lib.shmw_deepwater_latest_chunk(self._handle, raw, *names)
            self._check(code, f"feed {self._feed_name!r}: no latest chunk")
            return _chunk_info(raw, _text(names[0]), _text(names[1]))

    def chunk(self, chunk_id: int) -> ChunkInfo:
        with self.lock:
            what = f"chunk {chunk_id} of feed {self._feed_name!r}"
            if chunk_id < 0:
                raise NotFoundError(what)
            raw = ffi.new("struct shmw_deepwater_chunk *")
            self._check(lib.shmw_deepwater_reader_chunk(self._handle, require_u64(chunk_id, "chunk_id"), raw), what)
            names = self._map().place.base
            return _chunk_info(raw, names.memory_name(self._feed_name, chunk_id, "data"),
                               names.memory_name(self._feed_name, chunk_id, "idx"))

    def _map(self) -> Feed:
        """The feed once more, mapped by the python engine: for names, and for arrays over the bytes where they lie."""
        if self._mapped is None:
            self._check(_OK if self._handle != ffi.NULL else _EMPTY)
            self._mapped = open_feed(self.directory, self._feed_name, writable=False)
        return self._mapped

    def mapped_bytes(self, chunk_id: int) -> tuple[Window, Window, int]:
        with self.lock:
            return mapped_bytes(self._map(), chunk_id)


def _chunk_info(raw: CData, data_name: str, index_name: str) -> ChunkInfo:
    return ChunkInfo(raw.chunk_id, STATES[raw.state], raw.first_sequence, raw.record_count, raw.start_ns, raw.end_ns,
                     raw.data_bytes, raw.data_capacity, raw.data_crc, raw.index_crc, data_name, index_name)


# Looking after --------------------------------------------------------------------------------------------------------


def list_feeds(base: str, most: int = layout.MAX_FEEDS) -> list[FeedInfo]:
    """The feeds of a base directory, in the order in which they were made."""
    found: list[FeedInfo] = []
    raw = ffi.new("struct shmw_deepwater_feed *")
    while len(found) < most:
        code = lib.shmw_deepwater_feed_at(locator(base), len(found), raw)
        if code == NotFoundError.code and (found or os.path.isfile(os.path.join(base, "registry.bin"))):
            return found
        _check(code, base)
        found.append(_feed_info(raw))
    return found


def retire(base: str, feed: str) -> None:
    """Nothing more will be written. [deepwater.feed.retire]"""
    _opened(lib.shmw_deepwater_retire(locator(base), locator(feed)), base, feed)


def collect(base: str, feed: str) -> Recovered:
    """Recovery and nothing else. [deepwater.recover.busy]"""
    raw = ffi.new("struct shmw_deepwater_recovered *")
    _opened(lib.shmw_deepwater_gc(locator(base), locator(feed), raw), base, feed)
    return Recovered(raw.sealed, raw.persisted, raw.adopted, raw.expired, raw.removed)


def validate(base: str, feed: str) -> None:
    """Raise for the first finding. [deepwater.validate.crc]"""
    finding, chunk = ffi.new("const char **"), ffi.new("uint64_t *")
    code = lib.shmw_deepwater_validate(locator(base), locator(feed), finding, chunk)
    if code == NotFoundError.code and chunk[0] == layout.NONE:
        _opened(code, base, feed)
    if code != _OK:
        what = ffi.string(finding[0]).decode() if finding[0] != ffi.NULL else f"feed {feed!r} of {base}"
        raise from_code(code, what if chunk[0] == layout.NONE else f"chunk {chunk[0]}: {what}")
