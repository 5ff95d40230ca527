# SPDX-License-Identifier: MIT
"""Profile ouroboros, section 5: reading, python engine. Needs loads only, so it works without the extension module."""

from __future__ import annotations

import contextlib
from typing import Final

from ..atomic import ACQUIRE, fence
from ..errors import BadGeometryError, Closed, TooSmallError
from . import layout
from .api import Reader, Start
from .entry import ChunkInfo, Entry, Header, RowInfo, View
from .errors import CorruptLogError
from .segment import Log, Row, after, attach, row_at
from .validate import validate

#: Times to follow a writer that overtakes us before the answer is "nothing now"; each one costs a look at all rows.
ROUNDS: Final = 64

#: Answers of the steps below where they are no header.
EMPTY: Final = -1
MOVED: Final = -2  # the reader stands elsewhere now: look again

_HEADER: Final = layout.ENTRY_HEADER_SIZE


class PythonReader(Reader):
    """A reader of the python engine."""

    _log: Log

    def _attach(self, name: str, start: Start, ready_timeout: float) -> None:
        self.engine = "python"
        self._closed = False
        self._log = attach(name, False, ready_timeout)  # [ouroboros.segment.readonly]
        self.size = self._log.size
        self.chunk_count = self._log.chunk_count
        self._start: Start = start
        self._placed = False
        self._chunk = self._token = self._offset = self._cursor = 0
        self._next = 0  # the sequence expected next
        self._skipped = 0  # since the entry delivered last
        self._total_read = self._total_skipped = 0
        with contextlib.suppress(CorruptLogError):  # what is wrong with a row is said when an entry is asked for
            self._place()

    def _close(self) -> None:
        self._closed = True
        self._log.close()

    # Standing -------------------------------------------------------------------------------------------------------

    def _find_start(self) -> tuple[int, Row] | None:
        """[ouroboros.read.start]"""
        if self._start == "oldest":
            return self._log.oldest()
        if self._start == "auto":
            zero = self._log.load_row(0)
            if zero.committed and zero.token == 0:
                return 0, zero
        return self._log.newest()

    def _place(self) -> bool:
        """Stand where the strategy says; False while no row is committed. [ouroboros.read.empty]"""
        found = self._find_start()
        if found is None:
            return False
        self._require_possible(found[1].offset)
        self._stand_at(*found)
        self._placed = True
        return True

    def _require_possible(self, offset: int) -> None:
        if not self._log.offset_possible(offset):
            raise CorruptLogError(f"a row with offset {offset}")  # [ouroboros.read.row-offset]

    def _stand_at(self, chunk: int, row: Row) -> None:
        self._chunk = chunk
        self._token = row.token
        self._offset = self._cursor = row.offset
        self._next = (row.token + 1) % 2**64

    def _enter(self, chunk: int, row: Row) -> int:
        """Go on at a committed row whose token is next - 1 or above: what lies between was overwritten.
        [ouroboros.read.skipped]"""
        self._require_possible(row.offset)
        gap = (row.token + 1 - self._next) % 2**64
        self._skipped = (self._skipped + gap) % 2**64
        self._total_skipped = (self._total_skipped + gap) % 2**64
        self._stand_at(chunk, row)
        return MOVED

    @property
    def _passed(self) -> int:
        """next - 1. Sequences wrap at 2^64, in hostile segments only."""
        return (self._next - 1) % 2**64

    def _lapped(self) -> int:
        """The writer overtook us: on at the newest chunk, if that is not behind us. [ouroboros.read.no-repeat]"""
        found = self._log.newest()
        if found is None or found[1].token < self._passed:
            return EMPTY  # the writer is between two chunks
        return self._enter(*found)

    def _wrap(self) -> int:
        """The end of the lap. [ouroboros.read.wrap]"""
        zero = self._log.load_row(0)
        if not zero.committed or zero.token < self._passed:
            return EMPTY  # the writer has not come round yet
        if self._chunk == 0 and zero.token == self._token:
            raise CorruptLogError("chunk 0 begins with a wrap mark")  # [ouroboros.read.wrap-loop]
        return self._enter(0, zero)

    def _adopt(self) -> None:
        """Adopt the rows of the chunks that the cursor is in by now, without moving."""
        while self._chunk + 1 < self.chunk_count:
            row = self._log.load_row(self._chunk + 1)
            if not row.committed or not self._token < row.token <= self._passed:
                break
            if not self._offset < row.offset <= self._cursor:
                break
            self._require_possible(row.offset)
            self._chunk += 1
            self._token = row.token
            self._offset = row.offset

    def _next_chunk_reached(self) -> bool:
        """Is there anything to adopt? One load, of a line that changes as seldom as our own row's."""
        if self._chunk + 1 >= self.chunk_count:
            return False
        # A2: pairs with R2; _adopt loads the row properly
        token = self._log.words.load_u64(row_at(self._chunk + 1) + layout.ROW_TOKEN_OFFSET, ACQUIRE)
        return self._token < token <= self._passed

    # One entry ------------------------------------------------------------------------------------------------------

    def _look(self) -> int:
        """Steps 1 to 5: the header of what is an entry if the row still holds after it was used, else EMPTY or MOVED. The
        row is asked before that only where the header alone would give another answer."""
        if not self._placed and not self._place():
            return EMPTY
        if self._next_chunk_reached():
            self._adopt()
        if not self._log.header_fits(self._cursor):
            return self._wrap()
        header = self._log.load_header(self._cursor)  # A3: pairs with R3
        return header if self._log.is_entry(self._cursor, header) else self._no_entry(header)

    def _no_entry(self, header: int) -> int:
        """What is at the cursor is no entry: what is it, now that it is known whether the header was the next lap's?"""
        if not self._log.holds(self._chunk, self._token):
            return self._lapped()
        if header & layout.ENTRY_COMMITTED == 0:
            return EMPTY  # [ouroboros.read.empty]
        if header & layout.MAX_LENGTH == layout.LENGTH_WRAP:
            return self._wrap()
        raise CorruptLogError(f"an entry of {header & layout.MAX_LENGTH} bytes at {self._cursor}")  # [ouroboros.read.length]

    def _was_whole(self) -> bool:
        """Steps 7 and 8: nothing of what was copied or pointed to had been overwritten. [ouroboros.read.recheck]"""
        fence(ACQUIRE)  # F5: pairs with F4; our loads of the payload before the row
        return self._log.holds(self._chunk, self._token)

    def _pass(self, length: int) -> None:
        """Step 9."""
        self._cursor = after(self._cursor, length)
        self._next = (self._next + 1) % 2**64
        self._skipped = 0
        self._total_read += 1

    def _require_open(self) -> None:
        if self._closed:
            raise Closed("the reader has been closed")

    def _next_entry(self, max_size: int | None) -> Entry | None:
        self._require_open()
        for _ in range(ROUNDS):
            header = self._look()
            if header >= 0:
                length = header & layout.MAX_LENGTH
                fits = max_size is None or length - _HEADER <= max_size
                data = self._log.window.read(self._cursor + _HEADER, length - _HEADER) if fits else b""
                if self._was_whole():
                    if not fits:
                        raise TooSmallError(f"an entry of {length - _HEADER} bytes", length - _HEADER)
                    entry = Entry(data, self._next, self._skipped, ChunkInfo(self._chunk, self._token), self)
                    self._pass(length)
                    return entry
                header = self._lapped()
            if header == EMPTY:
                return None
        return None

    def _next_view(self) -> View | None:
        self._require_open()
        for _ in range(ROUNDS):
            header = self._look()
            if header >= 0:
                length = header & layout.MAX_LENGTH
                if self._was_whole():
                    data = self._log.window.view(self._cursor + _HEADER, length - _HEADER)
                    view = View(data, self._next, self._skipped, ChunkInfo(self._chunk, self._token), self)
                    self._pass(length)
                    return view
                header = self._lapped()
            if header == EMPTY:
                return None
        return None

    def _next_batch(self, limit: int, max_bytes: int | None) -> list[Entry]:
        """What stops a batch behind its first entry comes again in the next call: the reader has not moved past it."""
        entries: list[Entry] = []
        room = max_bytes
        while len(entries) < limit:
            try:
                entry = self._next_entry(room)
            except (CorruptLogError, TooSmallError):
                if not entries:
                    raise
                break
            if entry is None:
                break
            entries.append(entry)
            if room is not None:
                room -= len(entry.data)
        return entries

    # Everything else ------------------------------------------------------------------------------------------------

    def holds(self, chunk: ChunkInfo) -> bool:
        """[ouroboros.read.view]"""
        fence(ACQUIRE)  # F5: pairs with F4; the caller's loads of the payload before the row
        try:
            return self._log.holds(chunk.index, chunk.token)
        except (Closed, BadGeometryError):
            return False

    def _seek(self, start: Start) -> None:
        self._require_open()
        self._start = start
        self._placed = False
        self._skipped = 0
        with contextlib.suppress(CorruptLogError):  # as in _attach
            self._place()

    def _has_data(self) -> bool:
        return self._log.newest() is not None

    @property
    def total_entries_read(self) -> int:
        return self._total_read

    @property
    def total_skipped(self) -> int:
        return self._total_skipped

    @property
    def next_sequence(self) -> int:
        return self._next if self._placed else 0

    def header(self) -> Header:
        return self._log.header()

    def rows(self) -> list[RowInfo]:
        return self._log.rows()

    def validate(self) -> None:
        validate(self._log)
