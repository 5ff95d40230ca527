# SPDX-License-Identifier: MIT
"""Profile ouroboros, section 4: making a log, becoming its writer, writing, python engine. The writer keeps its state, offsets of
rows included, on its own side: nobody else stores in the segment."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .. import map as mapping
from ..atomic import AVAILABLE, RELEASE, fence
from ..bytes import contiguous
from ..errors import BusyError, Closed, InvalidArgumentError, TooLargeError, UnsupportedError
from ..wait import process_id
from . import layout
from .api import Writer
from .entry import Header, RowInfo
from .recover import find_end
from .segment import Log, after, attach, row_at

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: No row, no limit: beyond every segment.
NOWHERE: Final = 2**64
_HEADER: Final = layout.ENTRY_HEADER_SIZE
_WHY: Final = "writing a log takes the extension module, which is not installed"


class PythonWriter(Writer):
    """A writer of the python engine. It holds the lock on the segment's file."""

    def __init__(self, log: Log, chunk_target_size: int) -> None:
        super().__init__()
        self.engine = "python"
        self.size = log.size
        self.chunk_count = log.chunk_count
        self.chunk_target_size = chunk_target_size
        self.max_payload = log.max_payload()
        self._log = log
        self._owner = process_id()
        self._closed = False
        self._chunk = 0
        self._cursor = log.data_offset  # where the next entry goes; the size itself where the wrap mark is there already
        self._entries = 0
        self._committed = False  # is the current chunk's row?
        self._offsets = [row.offset & ~layout.ROW_COMMITTED for row in log.rows()]

    def _settle(self, offset: int) -> None:
        """Derive what follows from the cursor and the current chunk, which begins at `offset`."""
        last = self._chunk + 1 == self.chunk_count
        # The next chunk begins with the first entry at or behind this offset.
        self._limit = NOWHERE if last else offset + self.chunk_target_size
        self._find_guard()

    def _find_guard(self) -> None:
        """The least offset of a row above the current chunk."""
        later = range(self._chunk + 1, self.chunk_count)
        self._guard_row = min((i for i in later if self._offsets[i] != 0), key=self._offsets.__getitem__, default=-1)
        self._guard = self._offsets[self._guard_row] if self._guard_row >= 0 else NOWHERE

    # Rows -----------------------------------------------------------------------------------------------------------

    def _begin_chunk(self, chunk: int) -> None:
        """Begin a chunk at the cursor. Readers of the row's old chunk have to hear of it before any of its bytes goes.
        [ouroboros.write.begin]"""
        words, at = self._log.words, row_at(chunk)
        # R1: pairs with A1; uncommitted before it has the new token
        words.store_u64(at + layout.ROW_OFFSET_OFFSET, self._cursor, RELEASE)
        # R2: pairs with A2; the new token only with the new offset
        words.store_u64(at + layout.ROW_TOKEN_OFFSET, self._entries, RELEASE)
        fence(RELEASE)  # F4: pairs with F5; both before what overwrites the old lap
        self._offsets[chunk] = self._cursor
        self._chunk = chunk
        self._committed = False
        self._settle(self._cursor)

    def _clear_rows(self, end: int) -> None:
        """Clear every row above the current chunk that begins below `end`. [ouroboros.write.clear]"""
        words = self._log.words
        while self._guard < end:
            at = row_at(self._guard_row)
            words.store_u64(at + layout.ROW_OFFSET_OFFSET, 0, RELEASE)  # R1: pairs with A1
            words.store_u64(at + layout.ROW_TOKEN_OFFSET, 0, RELEASE)  # R2: pairs with A2
            self._offsets[self._guard_row] = 0
            self._find_guard()
        fence(RELEASE)  # F4: pairs with F5; no byte of those chunks goes before readers can know

    def _commit_row(self, offset: int) -> None:
        # R1: pairs with A1; the chunk's first entry before its row [ouroboros.write.commit-row]
        self._log.words.store_u64(row_at(self._chunk) + layout.ROW_OFFSET_OFFSET, offset | layout.ROW_COMMITTED, RELEASE)
        self._committed = True

    # Writing --------------------------------------------------------------------------------------------------------

    def _checked(self, data: ReadableBuffer) -> bytes | memoryview:
        payload = contiguous(data)
        if len(payload) == 0:
            raise InvalidArgumentError("an entry of 0 bytes")  # [ouroboros.write.empty]
        if len(payload) > self.max_payload:
            raise TooLargeError(f"{len(payload)} bytes, {self.max_payload} at most")  # [ouroboros.write.too-large]
        return payload

    def _require_ours(self) -> None:
        if self._closed:
            raise Closed("the writer has been closed")
        if process_id() != self._owner:
            raise BusyError("a forked child: its parent is the writer")  # [ouroboros.segment.one-writer]

    def _write(self, data: ReadableBuffer) -> int:
        self._require_ours()
        return self._append(self._checked(data))

    def _write_batch(self, payloads: Sequence[ReadableBuffer]) -> range:
        self._require_ours()
        first = self._entries + 1
        for payload in [self._checked(data) for data in payloads]:
            self._append(payload)
        return range(first, self._entries + 1)

    def _append(self, payload: bytes | memoryview) -> int:
        """Steps 2 to 10."""
        length = len(payload) + _HEADER
        if self._cursor + length > self.size:
            self._wrap()
        elif self._cursor >= self._limit:
            self._begin_chunk(self._chunk + 1)  # [ouroboros.write.next-chunk]
        self._put_entry(payload, length)
        self._entries += 1
        return self._entries

    def _wrap(self) -> None:
        """The entry does not fit before the end: on in chunk 0. [ouroboros.write.wrap]"""
        if self._log.header_fits(self._cursor):
            # R3: pairs with A3; all entries of the lap before the mark
            self._log.words.store_u32(self._cursor, layout.LENGTH_WRAP | layout.ENTRY_COMMITTED, RELEASE)
        self._cursor = self._log.data_offset
        self._begin_chunk(0)

    def _put_entry(self, payload: bytes | memoryview, length: int) -> None:
        """Steps 4 to 10: an entry of `length` bytes, header included, at the cursor, where it fits."""
        words, cursor, following = self._log.words, self._cursor, after(self._cursor, length)
        header_fits = self._log.header_fits(following)
        end = following + _HEADER if header_fits else following
        if self._guard < end:
            self._clear_rows(end)
        words.store_u32(cursor, length, RELEASE)  # not committed: what follows is not to be read yet
        self._log.window.write(cursor + _HEADER, payload)
        if header_fits:  # bytes of the lap before are no entry behind ours [ouroboros.write.next-header]
            words.store_u32(following, layout.LENGTH_NONE, RELEASE)
        # R3: pairs with A3; payload and next header before the header [ouroboros.write.commit]
        words.store_u32(cursor, length | layout.ENTRY_COMMITTED, RELEASE)
        if not self._committed:
            self._commit_row(cursor)
        self._cursor = following

    # Everything else ------------------------------------------------------------------------------------------------

    @property
    def entries_written(self) -> int:
        return self._entries

    def header(self) -> Header:
        return self._log.header()

    def rows(self) -> list[RowInfo]:
        return self._log.rows()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if process_id() == self._owner:  # a child's close is no reason to take the lock from its parent
            self._log.mapped.unclaim()
        self._log.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self._close()


# Becoming a writer ----------------------------------------------------------------------------------------------------


def create(name: str, chunk_count: int, chunk_target_size: int, size: int, mode: int) -> PythonWriter:
    """Make a log of checked sizes. [ouroboros.segment.create, ouroboros.segment.init]"""
    if not AVAILABLE:
        raise UnsupportedError(_WHY)
    mapped = mapping.create(name, size, size, mode)
    try:
        mapped.claim(wait=True)  # free: nobody asks for the lock before the magic is there
        log = Log(mapped, chunk_count)
        writer = PythonWriter(log, chunk_target_size)
        # The file is ours and full of zeroes: only what differs is stored.
        log.window.put_u32(layout.HEADER_VERSION_OFFSET, layout.VERSION)
        log.window.put_u32(layout.HEADER_CHUNK_COUNT_OFFSET, chunk_count)
        writer._settle(log.data_offset)
        writer._commit_row(log.data_offset)
        # R0: pairs with A0; version, chunk count and row 0 before the magic
        log.words.store_u64(layout.HEADER_MAGIC_OFFSET, layout.MAGIC, RELEASE)
        return writer
    except BaseException:
        mapped.close()
        with contextlib.suppress(FileNotFoundError):
            mapping.unlink(name)
        raise


def resume(name: str, chunk_target_size: int | None) -> PythonWriter:
    """Take a log over, behind its last entry. [ouroboros.write.resume]"""
    if not AVAILABLE:
        raise UnsupportedError(_WHY)
    log = attach(name, True, 0.0)
    try:
        log.mapped.claim(wait=False)  # [ouroboros.segment.one-writer]
        log.mapped.reserve(0, log.size)
        end = find_end(log)
        by_formula = max((log.size - log.data_offset) // log.chunk_count, 1)
        writer = PythonWriter(log, chunk_target_size or by_formula)
        writer._chunk, writer._entries, writer._committed = end.chunk, end.entries, end.committed
        writer._cursor = log.size if end.lap_ended else end.cursor  # the mark is there; the next entry wraps
        writer._settle(end.offset)
        if end.committed and not log.load_row(end.chunk).committed:
            writer._commit_row(end.offset)  # its first entry is there: a caught-up reader may have had it already
        return writer
    except BaseException:
        log.close()  # the lock goes with it
        raise
