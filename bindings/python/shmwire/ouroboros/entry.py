# SPDX-License-Identifier: MIT
"""What reading gives: entries, views of entries, and where they stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, Protocol

from ..errors import Lapped


@dataclass(slots=True)
class ChunkInfo:
    """The chunk that an entry was read from."""

    index: int  #: of its row
    token: int  #: entries written before the chunk began


class RowInfo(NamedTuple):
    """A row of the chunk table as it is in memory."""

    offset: int  #: bytes; bit 63 (layout.ROW_COMMITTED) included
    token: int


class WriterInfo(NamedTuple):
    """What a writer knows of its log."""

    size: int  #: bytes of the segment
    chunk_count: int
    chunk_target_size: int  #: bytes
    max_payload: int  #: bytes
    entries_written: int  #: since the segment was made


class Header(NamedTuple):
    """The header of a segment as it is in memory."""

    magic: int
    version: int
    chunk_count: int


class Keeper(Protocol):
    """What an entry asks whether it is still in the segment: its reader."""

    def holds(self, chunk: ChunkInfo) -> bool:
        """Is the row of the chunk still the one that the entry was read under?"""


@dataclass(frozen=True, slots=True)
class PackedEntries:
    """Entries that were read together: one blob of payloads, with no object for each."""

    blob: bytes  #: all payloads, one behind the other
    offsets: list[int]  #: where each payload begins in the blob, and where the last one ends
    sequences: list[int]  #: of each entry
    skipped: int  #: sequences overwritten unread, before these entries and between them

    def __len__(self) -> int:
        return len(self.sequences)

    def payloads(self) -> list[bytes]:
        """The payloads, in order."""
        return [self.blob[begin:end] for begin, end in pairwise(self.offsets)]


@dataclass(slots=True)
class Entry:
    """An entry, copied: its data stays whole whatever the writer does."""

    data: bytes
    sequence_number: int  #: from 1, in the order of writing
    skipped: int  #: sequences between the entry delivered before and this one, overwritten unread
    chunk_info: ChunkInfo
    reader: Keeper = field(repr=False, compare=False)

    def is_valid(self) -> bool:
        """Is the entry still in the segment? The copy is good in either case."""
        return self.reader.holds(self.chunk_info)


@dataclass(slots=True)
class View:
    """An entry where it lies. Use the data first, ask is_valid() next, and throw away what was made of it unless the answer is
    True [ouroboros.read.view]. The data keeps the mapping alive, also after the reader was closed."""

    data: memoryview
    sequence_number: int
    skipped: int
    chunk_info: ChunkInfo
    reader: Keeper = field(repr=False, compare=False)

    def is_valid(self) -> bool:
        """False once the entry may have been overwritten, and when its reader was closed."""
        return self.reader.holds(self.chunk_info)

    def check(self) -> None:
        """Lapped where is_valid() is False."""
        if not self.reader.holds(self.chunk_info):
            raise Lapped("the entry may have been overwritten")
