# SPDX-License-Identifier: MIT
"""Bounds: the only file that reads and writes the bytes of a mapping.

A Window refuses every access that is not wholly inside, so a hostile offset ends in an exception and never in a wrong byte.
Plain accesses carry no ordering; shmwire.atomic has the words that do.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from itertools import accumulate, pairwise
from struct import Struct
from typing import TYPE_CHECKING

from .errors import BadGeometryError, Closed, InvalidArgumentError, PermissionError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_U32 = Struct("<I")
_U64 = Struct("<Q")


def contiguous(data: ReadableBuffer) -> bytes | memoryview:
    """The bytes of anything with the buffer protocol, copied only where they do not lie together."""
    if isinstance(data, bytes):
        return data
    view = memoryview(data)
    return view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()


def packed(size: int, lengths: int | Sequence[int]) -> tuple[int, int]:
    """How long each part of a blob of `size` bytes is, 0 where that differs, and how many there are.

    InvalidArgumentError for lengths that do not add up to the size.
    """
    if isinstance(lengths, int):
        if lengths < 1 or size % lengths:
            raise InvalidArgumentError(f"parts of {lengths} bytes, {size} bytes in all")
        return lengths, size // lengths
    if sum(lengths) != size or min(lengths, default=0) < 0:
        raise InvalidArgumentError(f"parts of {sum(lengths)} bytes, {size} bytes in all")
    return 0, len(lengths)


def parts_of(blob: ReadableBuffer, lengths: int | Sequence[int]) -> list[memoryview]:
    """The parts of a blob, without a copy where it lies together."""
    view = memoryview(contiguous(blob))
    each, count = packed(len(view), lengths)
    ends = accumulate([each] * count if isinstance(lengths, int) else lengths, initial=0)
    return [view[begin:end] for begin, end in pairwise(ends)]


class Window:
    """The bytes of one mapping, or of a buffer that somebody else keeps, bounds-checked.

    The mapping is never unmapped by hand: it goes away with the last object that refers to it (this window, a view handed to
    a caller, an atomic access that another thread is in). So closing a segment under a running call cannot crash.
    """

    __slots__ = ("_map", "size", "writable")

    def __init__(self, mapping: mmap.mmap | memoryview, size: int, writable: bool) -> None:
        self._map: mmap.mmap | memoryview | None = mapping
        self.size = size
        self.writable = writable

    def close(self) -> None:
        """Let go of the mapping. Later accesses raise Closed."""
        self._map = None

    def buffer(self) -> mmap.mmap | memoryview:
        """The mapping itself, for shmwire.atomic."""
        if self._map is None:
            raise Closed("the segment has been closed")
        return self._map

    def _check(self, offset: int, length: int) -> mmap.mmap | memoryview:
        # Python integers do not overflow: the plain comparison is the safe one.
        if offset < 0 or length < 0 or offset + length > self.size:
            raise BadGeometryError(f"access to {length} bytes at {offset} in a segment of {self.size}")
        return self.buffer()

    def read(self, offset: int, length: int) -> bytes:
        """A copy of `length` bytes at `offset`."""
        return bytes(self._check(offset, length)[offset:offset + length])

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Store `data` at `offset`."""
        if not self.writable:
            raise PermissionError("the segment is mapped read-only")
        self._check(offset, len(data))[offset:offset + len(data)] = data

    def u32(self, offset: int) -> int:
        """The little-endian u32 at `offset`, a plain load."""
        value: int = _U32.unpack_from(self._check(offset, 4), offset)[0]
        return value

    def u64(self, offset: int) -> int:
        """The little-endian u64 at `offset`, a plain load."""
        value: int = _U64.unpack_from(self._check(offset, 8), offset)[0]
        return value

    def put_u32(self, offset: int, value: int) -> None:
        """Store a little-endian u32 at `offset`."""
        self.write(offset, _U32.pack(value))

    def put_u64(self, offset: int, value: int) -> None:
        """Store a little-endian u64 at `offset`."""
        self.write(offset, _U64.pack(value))

    def view(self, offset: int, length: int) -> memoryview:
        """The bytes themselves, writable where the mapping is. The view keeps the mapping alive."""
        return memoryview(self._check(offset, length))[offset:offset + length]
