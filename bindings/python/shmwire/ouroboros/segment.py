# SPDX-License-Identifier: MIT
"""Profile ouroboros, section 3 and the loading of rows, python engine: what writers and readers both need of a segment.

Reading order beside the chapter: this file (sections 2 and 3), writer.py (4), recover.py (4, resuming), reader.py (5),
validate.py (7).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .. import map as mapping
from ..atomic import ACQUIRE, Words
from ..bytes import Window
from ..errors import BadGeometryError, BadMagicError, BadVersionError, NotReadyError, TruncatedError
from ..wait import Deadline, poll
from . import layout
from .entry import Header, RowInfo

#: A row that changes between two loads this often is written anew faster than we can look.
ROW_TRIES: Final = 16
_POSITION: Final = layout.ROW_COMMITTED - 1


class Row(NamedTuple):
    """A row, offset and token of one lap."""

    offset: int  #: without the commit bit
    token: int
    committed: bool


UNSTEADY: Final = Row(0, 0, False)


def row_at(index: int) -> int:
    """Where row `index` lies."""
    return layout.ROW_TABLE_OFFSET + layout.ROW_SIZE * index


def after(offset: int, length: int) -> int:
    """Where the entry behind one of `length` bytes begins."""
    return (offset + length + layout.ENTRY_ALIGN - 1) & -layout.ENTRY_ALIGN


class Log:
    """A mapped segment and the values of its header, checked once."""

    __slots__ = ("chunk_count", "data_offset", "mapped", "size", "window", "words")

    def __init__(self, mapped: mapping.Mapping, chunk_count: int) -> None:
        self.mapped = mapped
        self.window: Window = mapped.window
        self.words = Words(self.window)
        self.size = self.window.size
        self.chunk_count = chunk_count
        self.data_offset = row_at(chunk_count)

    def close(self) -> None:
        """Let go of the mapping; it goes away with its last user."""
        self.words.close()
        self.mapped.close()

    # Rows -----------------------------------------------------------------------------------------------------------

    def load_row(self, index: int) -> Row:
        """Row `index`, or one that is not committed when it would not hold still. [ouroboros.read.token-first]

        The writer stores the offset first and the token second, so the token is loaded first: a token of the new lap comes
        with an offset of the new lap. An old token with a new offset is what the third load finds out.
        """
        at = row_at(index)
        token = self.words.load_u64(at + layout.ROW_TOKEN_OFFSET, ACQUIRE)  # A2: pairs with R2
        for _ in range(ROW_TRIES):
            # A1: pairs with R1; entries of the chunk after it
            offset = self.words.load_u64(at + layout.ROW_OFFSET_OFFSET, ACQUIRE)
            again = self.words.load_u64(at + layout.ROW_TOKEN_OFFSET, ACQUIRE)  # A2: pairs with R2
            if again == token:
                # Cleared rows share the token 0: it tells no lap from another, and is row 0's only.
                committed = offset & layout.ROW_COMMITTED != 0 and (token != 0 or index == 0)
                return Row(offset & _POSITION, token, committed)
            token = again
        return UNSTEADY

    def holds(self, index: int, token: int) -> bool:
        """Is row `index` still committed with this token? It is compared and not paired, so one load of each suffices."""
        at = row_at(index)
        if self.words.load_u64(at + layout.ROW_TOKEN_OFFSET, ACQUIRE) != token:  # A2: pairs with R2
            return False
        # A1: pairs with R1
        return self.words.load_u64(at + layout.ROW_OFFSET_OFFSET, ACQUIRE) & layout.ROW_COMMITTED != 0

    def newest(self) -> tuple[int, Row] | None:
        """The committed row with the highest token."""
        return self._extreme(1)

    def oldest(self) -> tuple[int, Row] | None:
        """The committed row with the lowest token."""
        return self._extreme(-1)

    def _extreme(self, sign: int) -> tuple[int, Row] | None:
        found: tuple[int, Row] | None = None
        for index in range(self.chunk_count):
            row = self.load_row(index)
            if row.committed and (found is None or sign * row.token > sign * found[1].token):
                found = index, row
        return found

    def rows(self) -> list[RowInfo]:
        """All rows as they are."""
        load = self.words.load_u64
        return [RowInfo(load(row_at(i) + layout.ROW_OFFSET_OFFSET, ACQUIRE),  # A1: pairs with R1
                        load(row_at(i) + layout.ROW_TOKEN_OFFSET, ACQUIRE))  # A2: pairs with R2
                for i in range(self.chunk_count)]

    # Entries --------------------------------------------------------------------------------------------------------

    def offset_possible(self, offset: int) -> bool:
        """May a chunk begin here? [ouroboros.read.row-offset]"""
        return offset % layout.ENTRY_ALIGN == 0 and self.data_offset <= offset <= self.size - layout.ENTRY_HEADER_SIZE

    def header_fits(self, offset: int) -> bool:
        """Does a header fit between the offset and the end of the segment?"""
        return offset + layout.ENTRY_HEADER_SIZE <= self.size

    def load_header(self, offset: int) -> int:
        """The header of the entry at a possible offset."""
        return self.words.load_u32(offset, ACQUIRE)  # A3: pairs with R3; the payload after the header that commits it

    def is_entry(self, offset: int, header: int) -> bool:
        """Is this the header of an entry that ends within the segment? [ouroboros.read.length]"""
        return (header & layout.ENTRY_COMMITTED != 0
                and layout.MIN_LENGTH <= header & layout.MAX_LENGTH <= self.size - offset)

    def max_payload(self) -> int:
        """The largest payload that the segment's size allows, bytes."""
        room = max(self.size - self.data_offset - layout.ENTRY_HEADER_SIZE, 0)
        return min(room, layout.MAX_LENGTH - layout.ENTRY_HEADER_SIZE)

    def header(self) -> Header:
        """The header as it is."""
        return Header(self.words.load_u64(layout.HEADER_MAGIC_OFFSET, ACQUIRE),  # A0: pairs with R0
                      self.window.u32(layout.HEADER_VERSION_OFFSET), self.window.u32(layout.HEADER_CHUNK_COUNT_OFFSET))


# Attaching ------------------------------------------------------------------------------------------------------------


def attach(name: str, writable: bool, ready_timeout: float) -> Log:
    """Map the file of a log and check its header. [ouroboros.segment.*]"""
    deadline = Deadline(ready_timeout)
    mapped = mapping.open_existing(name, writable, layout.HEADER_SIZE, deadline)
    try:
        words = Words(mapped.window)
        if poll(lambda: _load_magic(words), deadline) is None:
            raise NotReadyError("")  # [ouroboros.segment.not-ready]
        return Log(mapped, check_header(mapped.window))
    except BaseException:
        mapped.close()
        raise


def _load_magic(words: Words) -> int | None:
    """The magic, checked; None of a segment that is not published. [ouroboros.segment.magic]"""
    # A0: pairs with R0; the header's fields and row 0 after the magic
    magic = words.load_u64(layout.HEADER_MAGIC_OFFSET, ACQUIRE)
    if magic not in (0, layout.MAGIC):
        raise BadMagicError(f"{magic:#018x}")
    return magic or None


def check_header(window: Window) -> int:
    """The chunk count. [ouroboros.segment.version, ouroboros.segment.chunk-count, ouroboros.segment.size]"""
    version = window.u32(layout.HEADER_VERSION_OFFSET)
    if version != layout.VERSION:
        raise BadVersionError(f"version {version}")
    count = window.u32(layout.HEADER_CHUNK_COUNT_OFFSET)
    if count == 0:
        raise BadGeometryError("chunk_count is 0")
    if row_at(count) > window.size:
        raise TruncatedError(f"{count} rows pass the end of the segment")
    return count
