# SPDX-License-Identifier: MIT
"""Who runs on which core, for the moments that the runner watches."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def _threads(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
    return []


def _cores(thread: int) -> set[int]:
    with contextlib.suppress(ProcessLookupError):
        return os.sched_getaffinity(thread)
    return set()


def _place(thread: int, cores: set[int]) -> None:
    if cores:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.sched_setaffinity(thread, cores)


@contextlib.contextmanager
def apart(pid: int) -> Iterator[None]:
    """This thread on one core and process `pid` on the others of those it may use. Otherwise a process that a request wakes may
    take the core of the thread that sent it, and has done everything before that one looks. With one core, nothing is changed."""
    allowed, its = os.sched_getaffinity(0), _cores(pid)
    before = {thread: _cores(thread) for thread in _threads(pid)}
    if len(allowed) < 2 or len(its) < 2:
        yield
        return
    mine = {max(allowed)}
    _place(0, mine)
    for thread, cores in before.items():
        _place(thread, cores - mine)
    try:
        yield
    finally:
        _place(0, allowed)
        for thread in _threads(pid):  # one that is new since has the cores of whoever made it
            _place(thread, before.get(thread, its))
