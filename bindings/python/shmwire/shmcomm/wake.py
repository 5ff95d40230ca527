# SPDX-License-Identifier: MIT
"""Profile shmcomm, section 8, python engine: sleeping and waking. There are two signals: data, for receivers, and space, for
writers that wait for room. Both ends of the protocol are in this file."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from ..atomic import ACQUIRE, RELAXED, SEQ_CST, Words, fence
from ..wait import SLICE_NS, Deadline
from . import layout

EVERYBODY: Final = 2**31 - 1
_UNWOKEN_SLICE: Final = 0.001  # seconds: nobody wakes who may not count itself
_SPIN_LOOKS: Final = 4

T = TypeVar("T")


class Signal(NamedTuple):
    """Where a signal and the count of its sleepers lie."""

    signal: int
    waiters: int


DATA: Final = Signal(layout.HEADER_DATA_SIGNAL_OFFSET, layout.HEADER_DATA_WAITERS_OFFSET)
SPACE: Final = Signal(layout.HEADER_SPACE_SIGNAL_OFFSET, layout.HEADER_SPACE_WAITERS_OFFSET)


def await_(words: Words | None, signal: Signal, look: Callable[[], T | None], deadline: Deadline, spin: float) -> T | None:
    """Look until there is something, asleep in between. None after a look that began when the deadline had passed. `words` are
    None for who may not count itself: it looks again every millisecond. [shmcomm.wait.timeout]"""
    found = _spin(look, deadline, spin)
    while found is None:
        last = deadline.expired()
        if words is None:
            found = look()
            if found is not None or last:
                break
            time.sleep(min(_UNWOKEN_SLICE, deadline.remaining(SLICE_NS) / 1e9))
            continue
        # A4: pairs with R4; what was published by who raised it. Before the count and the look [shmcomm.wait.load-first]
        value = words.load_u32(signal.signal, ACQUIRE)
        if words.load_u32(signal.waiters, RELAXED) == 0:
            words.add_u32(signal.waiters, 1)  # wakers set it to 0: never taken back [shmcomm.wait.count]
        fence(SEQ_CST)  # S6: pairs with S6 in wake(); the count before the look
        found = look()
        if found is not None or last:
            break
        words.futex_wait(signal.signal, value, deadline.remaining(SLICE_NS))  # shorter than the second of rule wait.slice
    return found


def _spin(look: Callable[[], T | None], deadline: Deadline, spin: float) -> T | None:
    """A few looks, and as many as fit into `spin` seconds, before anything is counted."""
    end = time.monotonic() + spin if spin > 0 else 0.0
    looks = 0
    while looks < _SPIN_LOOKS or (end and time.monotonic() < end):
        looks += 1
        found = look()
        if found is not None or deadline.expired():
            return found
    return None


def wake(words: Words, signal: Signal) -> None:
    """After head, or tail, has been stored: wake who sleeps, without a system call where nobody does.
    [shmcomm.wait.wake, shmcomm.wait.no-call]"""
    fence(SEQ_CST)  # S6: pairs with S6 in await_(); head or tail before the count
    if words.load_u32(signal.waiters, RELAXED) != 0:
        words.store_u32(signal.waiters, 0, RELAXED)
        words.add_u32(signal.signal, 1)  # R4: pairs with A4; after the waiters were wiped out
        words.futex_wake(signal.signal, EVERYBODY)


def wake_all(words: Words) -> None:
    """After the close: both signals move whoever sleeps. [shmcomm.leave.last, shmcomm.remove.state]"""
    for signal in (DATA, SPACE):
        words.add_u32(signal.signal, 1)  # R4: pairs with A4; the state before the signal
        words.futex_wake(signal.signal, EVERYBODY)
