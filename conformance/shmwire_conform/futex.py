# SPDX-License-Identifier: MIT
"""FUTEX_WAIT and FUTEX_WAKE (process-shared) on a word of a mapped file, so that the runner can be the sleeper or the waker."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import platform
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_NUMBERS = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "s390x": 238, "ppc64le": 221, "armv7l": 240, "i686": 240}
_SYS_FUTEX = _NUMBERS.get(platform.machine(), 98)
_WAIT, _WAKE = 0, 1
_libc = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


@contextlib.contextmanager
def mapped_word(path: Path, offset: int) -> Iterator[ctypes.c_uint32]:
    """The u32 at an offset of a file, mapped shared for as long as the block runs."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        mapping = mmap.mmap(descriptor, 0)
    finally:
        os.close(descriptor)
    word = ctypes.c_uint32.from_buffer(mapping, offset)
    try:
        yield word
    finally:
        del word
        with contextlib.suppress(BufferError):  # a caller's reference outlived the block; the mapping goes with it
            mapping.close()


def _futex(word: ctypes.c_uint32, operation: int, value: int, seconds: float | None) -> int:
    timeout = None if seconds is None else ctypes.byref(_Timespec(int(seconds), int(seconds % 1 * 1e9)))
    ctypes.set_errno(0)
    arguments = (ctypes.byref(word), ctypes.c_int(operation), ctypes.c_uint32(value), timeout, None, ctypes.c_int(0))
    result: int = _libc.syscall(ctypes.c_long(_SYS_FUTEX), *arguments)
    return result


def wake(word: ctypes.c_uint32, count: int = 1) -> int:
    """FUTEX_WAKE for so many sleepers; how many were woken."""
    return _futex(word, _WAKE, count, None)


class Sleeper:
    """A thread of the runner that sleeps on one u32 of a file, once, until it is woken or a time limit passes."""

    def __init__(self, path: Path, offset: int, seconds: float = 30.0) -> None:
        self._path, self._offset, self._seconds = path, offset, seconds
        self._begun = threading.Event()
        self.result = ""  # "woken", "changed" (the word was not its value any more) or "timeout"
        self._thread = threading.Thread(target=self._sleep, daemon=True)
        self._thread.start()
        self._begun.wait()
        self._wait_until_asleep()

    def _sleep(self) -> None:
        limit = time.monotonic() + self._seconds
        with mapped_word(self._path, self._offset) as word:
            value = word.value
            self._begun.set()
            while not self.result:
                if _futex(word, _WAIT, value, max(0.0, limit - time.monotonic())) == 0:
                    self.result = "woken"
                elif (code := ctypes.get_errno()) != errno.EINTR:
                    self.result = "changed" if code == errno.EAGAIN else "timeout"
            del word

    def _wait_until_asleep(self) -> None:
        """Return once the kernel shows the thread inside futex(); where it does not show that, after 30 ms."""
        shown = Path(f"/proc/self/task/{self._thread.native_id}/syscall")
        limit = time.monotonic() + 0.03
        while not self.result and time.monotonic() < limit:
            with contextlib.suppress(OSError):
                if shown.read_text(encoding="ascii").split()[0] == str(_SYS_FUTEX):
                    return
            time.sleep(0.001)

    def woken(self, seconds: float) -> bool:
        """Whether a wake came within that time."""
        self._thread.join(seconds)
        return self.result == "woken"

    def end(self) -> None:
        """End the sleep, if it still goes on."""
        if not self._thread.is_alive() or not self._path.exists():
            return
        with mapped_word(self._path, self._offset) as word:
            while self._thread.is_alive():
                wake(word, 1 << 30)
                self._thread.join(0.005)
            del word
