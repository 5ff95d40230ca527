# SPDX-License-Identifier: MIT
"""Time limits, back-off and process ids: the parts of waiting that are the same in every profile.

Time limits are seconds in the public API (None = no limit, 0 = do not wait) and nanoseconds of CLOCK_MONOTONIC in here.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Final, TypeVar

from .errors import InvalidArgumentError

NS_PER_S: Final = 1_000_000_000
#: Longest stretch in which Python's signal handlers do not run: a KeyboardInterrupt is at most this late.
SLICE_NS: Final = 100_000_000
#: How long a receiver polls before its first sleep, seconds, when the caller does not say.
DEFAULT_SPIN: Final = 20e-6

_SPIN_ROUNDS: Final = 64
_FIRST_NAP_NS: Final = 1_000
_LONGEST_NAP_NS: Final = 1_000_000

T = TypeVar("T")


def to_ns(seconds: float) -> int:
    """Seconds to nanoseconds. InvalidArgumentError for a negative number and for NaN."""
    if not seconds >= 0:
        raise InvalidArgumentError(f"a time limit of {seconds!r} seconds")
    return int(seconds * NS_PER_S) if math.isfinite(seconds) else 1 << 62


class Deadline:
    """The moment at which a time limit ends."""

    __slots__ = ("_end",)

    def __init__(self, timeout: float | None) -> None:
        self._end: int | None = None if timeout is None else 0 if timeout == 0 else time.monotonic_ns() + to_ns(timeout)

    def expired(self) -> bool:
        """Has the moment come?"""
        return self._end is not None and (self._end == 0 or time.monotonic_ns() >= self._end)

    def remaining(self, limit_ns: int) -> int:
        """Nanoseconds until then, at most `limit_ns`."""
        if self._end is None:
            return limit_ns
        return max(0, min(self._end - time.monotonic_ns(), limit_ns))


class Backoff:
    """Polling where a format has no word to sleep on: spin first, then sleep, ever longer, up to 1 ms at a time."""

    __slots__ = ("_deadline", "_nap_ns", "_round")

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._round = 0
        self._nap_ns = _FIRST_NAP_NS

    def pause(self) -> None:
        """Wait a little, never past the deadline."""
        if self._round < _SPIN_ROUNDS:
            self._round += 1
            return
        time.sleep(self._deadline.remaining(self._nap_ns) / NS_PER_S)
        self._nap_ns = min(2 * self._nap_ns, _LONGEST_NAP_NS)


def poll(look: Callable[[], T | None], deadline: Deadline) -> T | None:
    """Look until there is something, with pauses. None after a look that began when the deadline had passed."""
    backoff = Backoff(deadline)
    while True:
        last = deadline.expired()  # first, so that one look comes after it
        found = look()
        if found is not None or last:
            return found
        backoff.pause()


class _Process:
    """The process id, looked up once in each process: a system call for every message would be the dearest part of it."""

    pid = os.getpid()

    @classmethod
    def refresh(cls) -> None:
        cls.pid = os.getpid()


os.register_at_fork(after_in_child=_Process.refresh)


def process_id() -> int:
    """This process's id; after a fork, the child's."""
    return _Process.pid
