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


def _place(thread: int, cores: set[int]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.sched_setaffinity(thread, cores)


@contextlib.contextmanager
def apart(pid: int) -> Iterator[None]:
    """This thread on one core and process `pid` on the others. Otherwise a process that a request wakes may take the core of the
    thread that sent it, and has done everything before that one looks. With one core only, nothing is changed."""
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        yield
        return
    mine = {max(allowed)}
    _place(0, mine)
    for thread in _threads(pid):
        _place(thread, allowed - mine)
    try:
        yield
    finally:
        _place(0, allowed)
        for thread in _threads(pid):
            _place(thread, allowed)
