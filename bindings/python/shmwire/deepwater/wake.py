# SPDX-License-Identifier: MIT
"""Profile deepwater, section 7, python engine: sleeping and waking. Both ends of the protocol are in this file."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from ..atomic import ACQUIRE, RELAXED, SEQ_CST, Words, fence
from ..wait import NS_PER_S, SLICE_NS, Deadline
from . import layout

EVERYBODY: Final = 2**31 - 1
_UNWOKEN_SLICE: Final = 0.001  # seconds: nobody wakes who may not count itself
_SIGNAL: Final = layout.FEED_REGISTRY_SIGNAL_OFFSET
_WAITERS: Final = layout.FEED_REGISTRY_WAITERS_OFFSET

T = TypeVar("T")


def await_(words: Words | None, look: Callable[[], T | None], deadline: Deadline, spin: float) -> T | None:
    """Look until there is something, asleep in between. None after a look that began when the deadline had passed. `words` are
    None for who may not count itself: it looks again every millisecond. [deepwater.wait.timeout]"""
    found = _spin(look, deadline, spin)
    while found is None:
        last = deadline.expired()
        if words is None:
            found = look()
            if found is not None or last:
                break
            time.sleep(min(_UNWOKEN_SLICE, deadline.remaining(SLICE_NS) / NS_PER_S))
            continue
        # A7: pairs with R7; what the writer committed before it moved the signal, and the waiters that it wiped out before
        value = words.load_u32(_SIGNAL, ACQUIRE)
        if words.load_u32(_WAITERS, RELAXED) == 0:
            words.add_u32(_WAITERS, 1)  # writers set it to 0: never taken back [deepwater.wait.count]
        fence(SEQ_CST)  # S8: pairs with S8 in wake(); the count before the look
        found = look()
        if found is not None or last:
            break
        words.futex_wait(_SIGNAL, value, deadline.remaining(SLICE_NS))  # shorter than WAIT_SLICE_NS, for signal handlers
    return found


def _spin(look: Callable[[], T | None], deadline: Deadline, spin: float) -> T | None:
    """One look, and as many as fit into `spin` seconds, before anything is counted."""
    found = look()
    end = time.monotonic() + spin if spin > 0 else 0.0
    while found is None and end and time.monotonic() < end and not deadline.expired():
        found = look()
    return found


def wake(words: Words, always: bool = False) -> None:
    """After a commit: wake who sleeps, without a system call where nobody does. `always`: move the signal in any case.
    [deepwater.wait.wake, deepwater.wait.no-call]"""
    fence(SEQ_CST)  # S8: pairs with S8 in await_(); the commit before the count
    if always or words.load_u32(_WAITERS, RELAXED) != 0:
        words.store_u32(_WAITERS, 0, RELAXED)
        words.add_u32(_SIGNAL, 1)  # R7: pairs with A7; the waiters wiped out, and the commit, before the signal
        words.futex_wake(_SIGNAL, EVERYBODY)
