# SPDX-License-Identifier: MIT
"""Profile shmcomm: receiving in asyncio. An event loop cannot sleep on a futex word, so the coroutine looks, and lets the loop
go on in between: at once at first, then after ever longer naps. No thread stands behind it, so cancelling it leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from ..wait import Deadline

_TURNS: Final = 16  # of the loop, before the first nap
_FIRST_NAP: Final = 50e-6  # seconds
_LONGEST_NAP: Final = 1e-3

T = TypeVar("T")


async def poll(look: Callable[[], T | None], timeout: float | None) -> T | None:
    """Look until there is something; None after a look that began when `timeout` seconds had passed."""
    import asyncio  # here, since a program that never awaits should not pay for it: it is a third of the package's import

    deadline, nap, turns = Deadline(timeout), _FIRST_NAP, 0
    while True:
        last = deadline.expired()
        found = look()
        if found is not None or last:
            return found
        if turns < _TURNS:
            turns += 1
            await asyncio.sleep(0)
            continue
        await asyncio.sleep(min(nap, max(0, deadline.remaining(int(1e9)) / 1e9)))
        nap = min(2 * nap, _LONGEST_NAP)
