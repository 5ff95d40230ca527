# SPDX-License-Identifier: MIT
"""A channel's file, held open by the runner: it can be read when its name is gone, and the kernel be asked who lives.

The questions are those of section 4 of spec/shmcomm.md: who holds a write lock of an open file description on the byte of a
number. The runner takes no such lock, and never the membership lock.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from ..oracle.layout import load

LAYOUT = load("shmcomm")
HEADER, KEEPER_BASE, MAX_ENDPOINT = LAYOUT.structs["header"], LAYOUT.constants["KEEPER_BASE"], LAYOUT.constants["MAX_ENDPOINT"]
_FLOCK = struct.Struct("@hhqqi4x")  # l_type, l_whence, l_start, l_len, l_pid


def number_of(content: bytes, name: str) -> int:
    """A field of the header; it is enough if the bytes reach that far."""
    field = HEADER.field(name)
    return int.from_bytes(content[field.offset : field.offset + field.size], "little")


class Held:
    """One segment's file."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._fd)

    def content(self) -> bytes:
        """All of its bytes as they are now."""
        size, found = os.fstat(self._fd).st_size, bytearray()
        while len(found) < size and (piece := os.pread(self._fd, size - len(found), len(found))):
            found += piece
        return bytes(found)

    def number(self, name: str) -> int:
        """A field of the header as it is now."""
        field = HEADER.field(name)
        return int.from_bytes(os.pread(self._fd, field.size, field.offset), "little")

    @property
    def named(self) -> bool:
        return os.fstat(self._fd).st_nlink > 0

    def is_at(self, path: Path) -> bool:
        """Whether the file that has the name now is this one."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self._fd))
        except FileNotFoundError:
            return False

    def endpoints(self) -> frozenset[int]:
        """The numbers of those who live."""
        return frozenset(self._locked(1, KEEPER_BASE))

    def keepers(self) -> frozenset[int]:
        """The numbers of the keepers among them."""
        found = self._locked(KEEPER_BASE + 1, KEEPER_BASE + MAX_ENDPOINT + 1)
        return frozenset(byte - KEEPER_BASE for byte in found)

    def _locked(self, start: int, end: int) -> Iterator[int]:
        """The locked bytes of a range. The kernel names one lock at a time, any of them: look on both sides of it."""
        if start >= end:
            return
        ask = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, start, end - start, 0)
        kind, _, first, length, _ = _FLOCK.unpack(fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, ask))
        if kind == fcntl.F_UNLCK:
            return
        last = min(end, first + length) if length else end
        yield from self._locked(start, first)
        yield from range(max(start, first), last)
        yield from self._locked(last, end)
