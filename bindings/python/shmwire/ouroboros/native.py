# SPDX-License-Identifier: MIT
"""Profile ouroboros, native engine: whole operations in the C implementation, one crossing each.

Lifetimes. Nothing is closed or unmapped by hand: the C objects go away with the last reference to them, which a view holds as
well. So close() under a view cannot crash; later calls get a null handle and raise Closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final, NoReturn

from ..bytes import contiguous, packed
from ..errors import Empty, InvalidArgumentError, TooLargeError, TooSmallError
from ..refc import CData, failure, ffi, keeper, lib, locator, refuse
from ..wait import to_ns
from .api import Reader, Start, Writer
from .entry import ChunkInfo, Entry, Header, PackedEntries, RowInfo, View
from .errors import of_reader

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: struct shmw_ouroboros_entry: sequence, skipped, token, chunk, length, offset, data.
ENTRY: Final = Struct("<QQQIIQQ")
#: The same in words of 8 bytes: how many, and which one is the offset. The first is the sequence, the second the skipped.
_HEAD_WORDS: Final = ENTRY.size // 8
_OFFSET_WORD: Final = 4
FIRST_BUFFER: Final = 1 << 16
_STARTS: Final = {"auto": lib.SHMW_OUROBOROS_AUTO, "latest": lib.SHMW_OUROBOROS_LATEST, "oldest": lib.SHMW_OUROBOROS_OLDEST}
_EMPTY: Final = Empty.code
_TOO_SMALL: Final = TooSmallError.code


def _inspect(call: Callable[[CData, CData], int], handle: CData, chunk_count: int) -> tuple[Header, list[RowInfo]]:
    words = ffi.new("uint64_t[]", 3 + 2 * chunk_count)
    code = call(handle, words)
    if code != 0:
        refuse(code, handle)
    found = list(words)
    return Header(*found[:3]), [RowInfo(*found[i:i + 2]) for i in range(3, len(found), 2)]


class NativeReader(Reader):
    """A reader of the native engine."""

    def _attach(self, name: str, start: Start, ready_timeout: float) -> None:
        self.engine = "native"
        self._handle = ffi.NULL
        options = ffi.new("struct shmw_ouroboros_open_options *", {
            "start": _STARTS[start], "ready_timeout_ns": min(to_ns(ready_timeout), 2**62)})
        out = ffi.new("shmw_ouroboros_reader **")
        code = lib.shmw_ouroboros_open(locator(name), options, out)
        if code != 0:
            refuse(code, out, name)
        self._handle = ffi.gc(out[0], lib.shmw_ouroboros_close_reader)
        self._info = ffi.new("struct shmw_ouroboros_reader_info *")
        info = self._look()
        self.size, self.chunk_count = info.size, info.chunk_count
        self._entry = ffi.new("struct shmw_ouroboros_entry *")
        self._head = ffi.buffer(self._entry)
        self._grow(FIRST_BUFFER)
        self._capacity = 0  # of the array of a batch
        self._entries: CData = ffi.NULL
        self._heads: CData = ffi.NULL
        self._count = ffi.new("size_t *")

    def _grow(self, size: int) -> None:
        """A buffer that the next entry fits in. Its size is that of an entry, so at most that of the segment."""
        self._room = size
        self._buffer = ffi.new("char[]", size)
        self._bytes = ffi.buffer(self._buffer)

    def _close(self) -> None:
        if self._handle != ffi.NULL:
            self._look()  # the counters stay
        self._handle = ffi.NULL

    def _fail(self, code: int) -> NoReturn:
        raise of_reader(failure(code, self._handle)) from None

    # Reading --------------------------------------------------------------------------------------------------------

    def _next_entry(self, max_size: int | None) -> Entry | None:
        room = self._room
        if max_size is not None and max_size < room:
            room = max_size
        code = lib.shmw_ouroboros_next(self._handle, self._buffer, room, self._entry)
        if code == 0:
            sequence, skipped, token, chunk, length, _, _ = ENTRY.unpack(self._head)
            return Entry(self._bytes[:length], sequence, skipped, ChunkInfo(chunk, token), self)
        if code == _EMPTY:
            return None
        if code != _TOO_SMALL:
            self._fail(code)
        needed = self._entry.length
        if max_size is not None and needed > max_size:
            raise TooSmallError(f"an entry of {needed} bytes", needed)
        self._grow(max(needed, 2 * self._room))
        return self._next_entry(max_size)

    def _next_view(self) -> View | None:
        code = lib.shmw_ouroboros_next_view(self._handle, self._entry)
        if code == _EMPTY:
            return None
        if code != 0:
            self._fail(code)
        entry = self._entry
        pointer = ffi.gc(ffi.cast("char *", entry.data), keeper(self._handle))
        data = memoryview(ffi.buffer(pointer, entry.length)).toreadonly()
        return View(data, entry.sequence, entry.skipped, ChunkInfo(entry.chunk, entry.token), self)

    def _fill(self, limit: int, max_bytes: int | None) -> int:
        """Up to `limit` entries into the buffer and the heads: how many."""
        if limit > self._capacity:
            self._entries = ffi.new("struct shmw_ouroboros_entry[]", limit)
            self._heads = ffi.buffer(self._entries)
            self._capacity = limit
        room = self._room if max_bytes is None else max_bytes
        if room > self._room:
            self._grow(min(room, self.size))
            room = self._room
        code = lib.shmw_ouroboros_next_batch(self._handle, self._buffer, room, self._entries, limit, self._count)
        if code == 0:
            return int(self._count[0])
        if code == _EMPTY:
            return 0
        if code != _TOO_SMALL:
            self._fail(code)
        needed = self._entries[0].length
        if max_bytes is not None and needed > max_bytes:
            raise TooSmallError(f"an entry of {needed} bytes", needed)
        self._grow(max(needed, 2 * self._room))
        return self._fill(limit, max_bytes)

    def _next_batch(self, limit: int, max_bytes: int | None) -> list[Entry]:
        count, data = self._fill(limit, max_bytes), self._bytes
        heads = ENTRY.iter_unpack(self._heads[:count * ENTRY.size])
        return [Entry(data[offset:offset + length], sequence, skipped, ChunkInfo(chunk, token), self)
                for sequence, skipped, token, chunk, length, offset, _ in heads]

    def _next_packed(self, limit: int, max_bytes: int | None) -> PackedEntries:
        count = self._fill(limit, max_bytes)
        if count == 0:
            return PackedEntries(b"", [0], [], 0)
        words = memoryview(self._heads)[:count * ENTRY.size].cast("B").cast("Q")
        offsets = words[_OFFSET_WORD::_HEAD_WORDS].tolist()
        offsets.append(offsets[-1] + self._entries[count - 1].length)
        sequences, skipped = words[::_HEAD_WORDS].tolist(), sum(words[1::_HEAD_WORDS].tolist())
        return PackedEntries(self._bytes[:offsets[-1]], offsets, sequences, skipped)

    def _next_payloads(self, limit: int) -> list[bytes]:
        count, data = self._fill(limit, None), self._bytes
        heads = ENTRY.iter_unpack(self._heads[:count * ENTRY.size])
        return [data[offset:offset + length] for _, _, _, _, length, offset, _ in heads]

    def _seek(self, start: Start) -> None:
        code = lib.shmw_ouroboros_seek(self._handle, _STARTS[start])
        if code != 0:
            self._fail(code)

    # Looking --------------------------------------------------------------------------------------------------------

    def _look(self) -> CData:
        if self._handle != ffi.NULL:
            lib.shmw_ouroboros_reader_info(self._handle, self._info)
        return self._info

    @property
    def total_entries_read(self) -> int:
        with self._lock:
            return int(self._look().total_entries_read)

    @property
    def total_skipped(self) -> int:
        with self._lock:
            return int(self._look().total_skipped)

    @property
    def next_sequence(self) -> int:
        with self._lock:
            return int(self._look().next_sequence)

    def holds(self, chunk: ChunkInfo) -> bool:
        return lib.shmwpy_ouroboros_holds(self._handle, chunk.index, chunk.token) != 0

    def _has_data(self) -> bool:
        return lib.shmwpy_ouroboros_has_data(self._handle) != 0

    def header(self) -> Header:
        return _inspect(lib.shmwpy_ouroboros_inspect_reader, self._handle, self.chunk_count)[0]

    def rows(self) -> list[RowInfo]:
        return _inspect(lib.shmwpy_ouroboros_inspect_reader, self._handle, self.chunk_count)[1]

    def validate(self) -> None:
        finding, chunk = ffi.new("const char **"), ffi.new("uint32_t *")
        handle = self._handle
        code = lib.shmw_ouroboros_validate(handle, finding, chunk)
        if code != 0:
            what = ffi.string(finding[0]).decode() if finding[0] != ffi.NULL else ""
            where = f"chunk {chunk[0]}: " if chunk[0] < self.chunk_count else ""
            raise of_reader(failure(code, handle, where + what))


class NativeWriter(Writer):
    """A writer of the native engine."""

    def __init__(self, handle: CData) -> None:
        super().__init__()
        self.engine = "native"
        self._handle = handle
        self._sequence = ffi.new("uint64_t *")
        self._written = ffi.new("size_t *")
        self._info = ffi.new("struct shmw_ouroboros_writer_info *")
        info = self._look()
        self.size, self.chunk_count = info.size, info.chunk_count
        self.chunk_target_size, self.max_payload = info.chunk_target_size, info.max_payload

    def _look(self) -> CData:
        code = lib.shmw_ouroboros_writer_info(self._handle, self._info)
        if code != 0:
            refuse(code, self._handle)
        return self._info

    def _write(self, data: ReadableBuffer) -> int:
        payload = contiguous(data)
        source = payload if isinstance(payload, bytes) else ffi.from_buffer(payload)
        code = lib.shmw_ouroboros_write(self._handle, source, len(payload), self._sequence)
        if code != 0:
            refuse(code, self._handle, f"{len(payload)} bytes, {self.max_payload} at most")
        return int(self._sequence[0])

    def _write_batch(self, payloads: Sequence[ReadableBuffer]) -> range:
        held = [contiguous(data) for data in payloads]
        lengths = list(map(len, held))
        first = int(self._look().entries_written) + 1
        if 0 in lengths:
            raise InvalidArgumentError("an entry of 0 bytes")  # [ouroboros.write.empty]
        if lengths and max(lengths) > self.max_payload:
            raise TooLargeError(f"{max(lengths)} bytes, {self.max_payload} at most")  # [ouroboros.write.too-large]
        code = lib.shmwpy_ouroboros_write_batch(self._handle, b"".join(held), lengths, 0, len(held), self._written)
        if code != 0:
            refuse(code, self._handle)
        return range(first, first + len(held))

    def _write_packed(self, blob: ReadableBuffer, lengths: int | Sequence[int]) -> range:
        whole = contiguous(blob)
        each, count = packed(len(whole), lengths)
        longest = each if isinstance(lengths, int) else max(lengths, default=0)
        if not isinstance(lengths, int) and 0 in lengths:
            raise InvalidArgumentError("an entry of 0 bytes")  # [ouroboros.write.empty]
        if longest > self.max_payload:
            raise TooLargeError(f"{longest} bytes, {self.max_payload} at most")  # [ouroboros.write.too-large]
        first = int(self._look().entries_written) + 1
        raw = whole if isinstance(whole, bytes) else ffi.from_buffer(whole)
        given = ffi.NULL if isinstance(lengths, int) else list(lengths)
        code = lib.shmwpy_ouroboros_write_batch(self._handle, raw, given, each, count, self._written)
        if code != 0:
            refuse(code, self._handle)
        return range(first, first + count)

    @property
    def entries_written(self) -> int:
        with self._lock:
            return int(self._look().entries_written)

    def header(self) -> Header:
        return _inspect(lib.shmwpy_ouroboros_inspect_writer, self._handle, self.chunk_count)[0]

    def rows(self) -> list[RowInfo]:
        return _inspect(lib.shmwpy_ouroboros_inspect_writer, self._handle, self.chunk_count)[1]

    def _close(self) -> None:
        self._handle = ffi.NULL  # the last reference: the lock is given back here


# Becoming a writer ----------------------------------------------------------------------------------------------------


def create(name: str, chunk_count: int, chunk_target_size: int, size: int, mode: int) -> NativeWriter:
    """Make a log of checked sizes. [ouroboros.segment.create]"""
    options = ffi.new("struct shmw_ouroboros_create_options *", {"chunk_count": chunk_count, "size": size, "mode": mode,
                                                                 "chunk_target_size": chunk_target_size})
    out = ffi.new("shmw_ouroboros_writer **")
    code = lib.shmw_ouroboros_create(locator(name), options, out)
    if code != 0:
        refuse(code, out, name)
    return NativeWriter(ffi.gc(out[0], lib.shmw_ouroboros_close_writer))


def resume(name: str, chunk_target_size: int | None) -> NativeWriter:
    """Take a log over. [ouroboros.write.resume]"""
    options = ffi.new("struct shmw_ouroboros_resume_options *", {"chunk_target_size": chunk_target_size or 0})
    out = ffi.new("shmw_ouroboros_writer **")
    code = lib.shmw_ouroboros_resume(locator(name), options, out)
    if code != 0:
        refuse(code, out, name)
    return NativeWriter(ffi.gc(out[0], lib.shmw_ouroboros_close_writer))
