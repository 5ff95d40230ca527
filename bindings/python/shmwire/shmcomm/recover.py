# SPDX-License-Identifier: MIT
"""Profile shmcomm, section 10, python engine: what is removed, and repair by hand. The repair itself is in lock.py."""

from __future__ import annotations

import contextlib
import os

from .. import map as mapping
from ..errors import BusyError, Full, NotReadyError, ShmwireError, TruncatedError
from . import layout
from .endpoint import close_channel, join, keeper_lives, membership, named
from .lock import WriterLock
from .message import Options, Recovered
from .patterns import reply_segments, service_names
from .segment import map_checked


def remove(locator: str, insist: bool = False) -> None:
    """Remove a stale channel, or a segment that was never finished. BusyError while a keeper lives, Full for a pipeline that
    holds messages unless `insist`. Errors of section 3 for what is no channel. [shmcomm.remove.*]"""
    while True:
        fd, file = mapping.open_file(locator, os.O_RDWR)
        try:
            with membership(fd):
                if named(fd):
                    _remove(fd, file, locator, insist)
                    return
        finally:
            os.close(fd)


def _remove(fd: int, file: str, locator: str, insist: bool) -> None:
    if keeper_lives(fd):
        raise BusyError(f"{locator}: a keeper lives")
    try:
        channel = map_checked(os.dup(fd), file, True, None, locator)
    except NotReadyError:
        os.unlink(file)  # its creator held the membership lock while it was at work
        return
    except TruncatedError:
        if os.fstat(fd).st_size >= layout.HEADER_SIZE:
            raise
        os.unlink(file)
        return
    try:
        if channel.pattern == layout.PATTERN_PIPELINE and not channel.empty() and not insist:
            raise Full(f"{locator} holds messages")
        close_channel(channel)
        os.unlink(file)
    finally:
        channel.close()


def sweep(name: str) -> int:
    """Remove the reply channels of a service whose requesters do not live: how many. [shmcomm.reply.sweep]"""
    swept = 0
    for segment, _ in list(reply_segments(name)):
        with contextlib.suppress(ShmwireError):  # alive, or gone meanwhile, or no channel
            remove(segment, insist=True)
            swept += 1
    return swept


def recover(locator: str) -> Recovered:
    """Repair a channel whose lock a dead writer holds, and remove the reply channels of dead requesters. BusyError: the holder
    lives. Errors of opening."""
    member = join(locator, None, False, Options(wait=0.0))
    try:
        lock = WriterLock(member)
        taken = lock.try_take_over()
        lock.free()
        request = member.segment.pattern == layout.PATTERN_REQUEST
    finally:
        member.leave()
    swept = sum(sweep(name) for name in service_names(locator)) if request else 0
    return Recovered(taken, lock.repaired, swept)
