# SPDX-License-Identifier: MIT
"""Atomics: the only file with ordered accesses to shared words, fences and futexes.

The order of each access is an argument, so that it can be read beside the spec. Orders mean what they mean in C11.

With the extension module all of it is there. Without, words can only be loaded, through `struct`, which promises neither
that an aligned word is read in one piece nor any order. In practice both hold on x86-64 for a segment at rest, and a reader
that peeks re-checks what it copied; but nothing may be stored, so a segment is never harmed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, cast

from ._native import ext_atomic
from .bytes import Window
from .errors import BadGeometryError, PermissionError, SystemError, UnsupportedError

if TYPE_CHECKING:
    from cffi import FFI

    from ._native import _ext_atomic as extension
else:
    extension = ext_atomic

RELAXED: Final = 0
ACQUIRE: Final = 1
RELEASE: Final = 2
SEQ_CST: Final = 3

#: Whether words can be stored, and with them whether the python engine can take part in a live segment. The primitives
#: work on the host's byte order, the formats are little-endian: a big-endian host only looks.
AVAILABLE: Final = ext_atomic is not None and sys.byteorder == "little"

_WHY: Final = ("a big-endian host" if sys.byteorder != "little" else "shmwire was installed without its extension module")


class Words:
    """The atomic words of a window: u32 and u64, each at an offset that is a multiple of its size."""

    __slots__ = ("_base", "_lib", "_window")

    def __init__(self, window: Window) -> None:
        self._window = window
        # from_buffer works on read-only mappings, and every call holds a reference to the mapping while it runs.
        self._base: FFI.CData | None = extension.ffi.from_buffer(window.buffer()) if AVAILABLE else None
        self._lib = extension.lib if AVAILABLE else None

    def close(self) -> None:
        """Let go of the mapping. Later accesses raise Closed."""
        self._base = None

    def address(self) -> int:
        """Where the window is mapped in this process."""
        if not AVAILABLE:
            raise UnsupportedError(_WHY)
        return int(extension.ffi.cast("uintptr_t", self._mapped()))

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or offset % size != 0 or offset + size > self._window.size:
            raise BadGeometryError(f"atomic u{8 * size} at {offset} in a segment of {self._window.size}")

    def require_writable(self) -> None:
        """UnsupportedError without the extension, PermissionError on a read-only mapping."""
        if not AVAILABLE:
            raise UnsupportedError(f"{_WHY}: it can inspect and peek, but neither send nor consume")
        if not self._window.writable:
            raise PermissionError("the segment is mapped read-only")

    def _writable(self, offset: int, size: int) -> FFI.CData:
        self._check(offset, size)
        self.require_writable()
        return self._mapped()

    def _mapped(self) -> FFI.CData:
        base = self._base
        if base is None:
            self._window.buffer()  # raises Closed
        return cast("FFI.CData", base)

    def load_u32(self, offset: int, order: int) -> int:
        """Load a u32: RELAXED, ACQUIRE or SEQ_CST."""
        self._check(offset, 4)
        if self._lib is None:
            return self._window.u32(offset)
        return self._lib.shmwpy_load_u32(self._mapped(), offset, order)

    def load_u64(self, offset: int, order: int) -> int:
        """Load a u64: RELAXED, ACQUIRE or SEQ_CST."""
        self._check(offset, 8)
        if self._lib is None:
            return self._window.u64(offset)
        return self._lib.shmwpy_load_u64(self._mapped(), offset, order)

    def store_u32(self, offset: int, value: int, order: int) -> None:
        """Store a u32: RELAXED, RELEASE or SEQ_CST."""
        extension.lib.shmwpy_store_u32(self._writable(offset, 4), offset, value, order)

    def store_u64(self, offset: int, value: int, order: int) -> None:
        """Store a u64: RELAXED, RELEASE or SEQ_CST."""
        extension.lib.shmwpy_store_u64(self._writable(offset, 8), offset, value, order)

    def cas_u64(self, offset: int, expected: int, desired: int, order: int) -> int:
        """Compare and swap: RELAXED or RELEASE. The value found: `expected` exactly when the swap was made."""
        return extension.lib.shmwpy_cas_u64(self._writable(offset, 8), offset, expected, desired, order)

    def cas_u32(self, offset: int, expected: int, desired: int, order: int) -> int:
        """Compare and swap: RELAXED or ACQUIRE. The value found: `expected` exactly when the swap was made."""
        return extension.lib.shmwpy_cas_u32(self._writable(offset, 4), offset, expected, desired, order)

    def swap_u32(self, offset: int, value: int) -> int:
        """Exchange with release order. The value before."""
        return extension.lib.shmwpy_swap_u32(self._writable(offset, 4), offset, value)

    def add_u32(self, offset: int, delta: int) -> int:
        """Add modulo 2^32, sequentially consistent. The value before."""
        return extension.lib.shmwpy_add_u32(self._writable(offset, 4), offset, delta & 0xFFFF_FFFF)

    def futex_wait(self, offset: int, value: int, timeout_ns: int) -> None:
        """Sleep while the u32 is `value`, for up to `timeout_ns`, or until woken or interrupted: look again in every case.

        Process-shared. The GIL is released while it sleeps, and Python's signal handlers run right after.
        """
        cause = extension.lib.shmwpy_futex_wait(self._writable(offset, 4), offset, value, timeout_ns)
        if cause != 0:
            raise SystemError(f"futex wait: errno {cause}")

    def futex_wake(self, offset: int, count: int) -> int:
        """Wake up to `count` sleepers of any process. How many were woken."""
        return extension.lib.shmwpy_futex_wake(self._writable(offset, 4), offset, count)


def fence(order: int) -> None:
    """A fence: ACQUIRE, RELEASE or SEQ_CST. Nothing without the extension, where nothing is stored either."""
    if AVAILABLE:
        extension.lib.shmwpy_fence(order)
