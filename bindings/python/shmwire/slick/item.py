# SPDX-License-Identifier: MIT
"""What reading gives, items and views of items; and what queues, producers and readers tell about themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from struct import Struct
from typing import Final, Literal, NamedTuple, Protocol, overload

from ..errors import Lapped

#: Which releases of the source system understand a segment.
Generation = Literal["1.2", "1.3", "1.4"]
#: Where a reader or a shared cursor begins: the oldest item that is whole, what is reserved from now on, or an index.
Start = Literal["oldest", "latest"] | int


class QueueInfo(NamedTuple):
    """A queue's geometry, and how far it has come."""

    generation: Generation
    size: int  #: elements of the ring
    element_size: int  #: bytes
    length: int  #: bytes that the format uses of the segment
    next_index: int  #: index that is reserved next
    settled: int  #: header.settled


class ProducerInfo(NamedTuple):
    """What a producer has done."""

    items_written: int  #: published by it
    given_up: int  #: reservations of others that it waited for in vain


class ReaderInfo(NamedTuple):
    """Where a reader stands, and what it has seen."""

    cursor: int  #: index of the next item; of a shared cursor, as it is now
    items_read: int  #: delivered by this reader
    lost: int  #: indices that were overwritten before this reader came to them
    resets: int  #: resets of the queue that this reader noticed


class Header(NamedTuple):
    """The header of a segment as it is in memory."""

    reserved: int  #: index << 16 | elements of the last reservation
    size: int
    element_size: int
    last_published: int
    header_magic: int
    settled: int
    init_state: int


class SlotInfo(NamedTuple):
    """A slot as it is in memory."""

    data_index: int
    size: int


@dataclass(slots=True)
class Item:
    """An item, copied and proved whole: its data stays whole whatever producers do."""

    index: int
    elements: int
    lost: int  #: indices lost between the item delivered before and this one
    data: bytes


#: An item of a batch: index, lost, elements, bytes, where they are in the blob, unused. A struct shmw_slick_item.
HEAD: Final = Struct("=QQI4xQQQ")
_WORDS: Final = HEAD.size // 8
_INDEX_WORD: Final = 0
_OFFSET_WORD: Final = 4


class Batch(Sequence[Item]):
    """Items that were read together: one blob of bytes, one item behind the other, cut up when asked for."""

    __slots__ = ("_blob", "_heads")

    def __init__(self, blob: bytes, heads: bytes) -> None:
        self._blob = blob
        self._heads = heads

    def __len__(self) -> int:
        return len(self._heads) // HEAD.size

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        return self._item(HEAD.unpack_from(self._heads, at * HEAD.size))

    def __iter__(self) -> Iterator[Item]:
        return map(self._item, HEAD.iter_unpack(self._heads))

    def _item(self, head: tuple[int, ...]) -> Item:
        index, lost, elements, length, offset, _ = head
        return Item(index, elements, lost, self._blob[offset:offset + length])

    @property
    def data(self) -> bytes:
        """The bytes of all items, one behind the other."""
        return self._blob[HEAD.unpack_from(self._heads)[_OFFSET_WORD]:] if self._heads else b""

    def _column(self, word: int) -> list[int]:
        """One word of each head."""
        return memoryview(self._heads).cast("Q")[word::_WORDS].tolist() if self._heads else []

    def payloads(self) -> list[bytes]:
        """The bytes of each item, in order."""
        blob, starts = self._blob, self._column(_OFFSET_WORD)
        return [blob[start:end] for start, end in pairwise([*starts, len(blob)])]

    def indices(self) -> list[int]:
        """The index of each item, in order."""
        return self._column(_INDEX_WORD)

    def __repr__(self) -> str:
        return f"Batch({list(self)!r})"


class Keeper(Protocol):
    """What a view asks whether it is still in the ring: its reader."""

    def holds(self, index: int) -> bool:
        """Has nobody reserved the elements of the item again?"""


@dataclass(slots=True)
class View:
    """An item where it lies. Use the data first, ask is_valid() next, and throw away what was made of it unless the answer is
    True [slick.read.view]. The data keeps the mapping alive, also after the reader was closed."""

    index: int
    elements: int
    lost: int
    data: memoryview
    reader: Keeper = field(repr=False, compare=False)

    def is_valid(self) -> bool:
        """False once the item may have been overwritten, and when its reader was closed."""
        return self.reader.holds(self.index)

    def check(self) -> None:
        """Lapped where is_valid() is False."""
        if not self.is_valid():
            raise Lapped("the item may have been overwritten")
