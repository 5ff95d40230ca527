# SPDX-License-Identifier: MIT
"""Profile shmcomm: which channels there are on this machine, and removing what nobody keeps any more."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass

from .. import map as mapping
from ..errors import Full, NotFoundError, ShmwireException
from . import layout
from .core import remove
from .endpoint import keeper_lives, look_at
from .errors import SHMNotFoundError, translated
from .message import PATTERN_NAMES, Options
from .patterns import PREFIXES, Named, named, segment_name
from .socket import logger


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel, as list_channels found it."""

    name: str
    pattern: str  #: "pubsub", "pipeline", "request" or "reply"
    segment: str  #: the name of the shared memory
    requester: int  #: of a reply channel, the number of its requester, else 0
    stale: bool  #: no keeper lives: cleanup_stale removes it
    closed: bool
    capacity: int  #: bytes
    used: int  #: bytes
    messages: int  #: published, ever
    dropped: int  #: pub/sub: messages evicted; otherwise: sends refused
    owner_pid: int  #: for people
    age: float  #: seconds since a keeper's last sign of life
    problem: str  #: why it cannot be read, else ""


def _look(found: Named) -> Channel | None:
    pattern = PATTERN_NAMES[found.pattern]
    try:
        segment = look_at(found.segment, None, Options(wait=0.0))
    except NotFoundError:
        return None
    except ShmwireException as error:
        return Channel(found.name, pattern, found.segment, found.number, False, False, 0, 0, 0, 0, 0, 0.0, str(error))
    try:
        beat = segment.words.load_u64(layout.HEADER_HEARTBEAT_NS_OFFSET, 0)
        return Channel(
            name=found.name, pattern=PATTERN_NAMES[segment.pattern], segment=found.segment, requester=found.number,
            stale=not keeper_lives(segment.mapped.fd), closed=segment.state() == layout.STATE_CLOSED, capacity=segment.capacity,
            used=max(0, segment.head() - segment.tail()), messages=segment.message_count(),
            dropped=segment.words.load_u64(layout.HEADER_DROPPED_COUNT_OFFSET, 0),
            owner_pid=segment.word(layout.HEADER_OWNER_PID_OFFSET),
            age=max(0, time.clock_gettime_ns(time.CLOCK_BOOTTIME) - beat) / 1e9, problem="")
    finally:
        segment.close()


def list_channels(name: str | None = None) -> list[Channel]:
    """The channels in shared memory, sorted by segment.

    Args:
        name: Only those of this channel or service.

    Returns:
        list[Channel]: Also what cannot be read; `problem` says why then.

    Example:
        >>> with Publisher("sensors"):
        ...     [(c.name, c.pattern, c.stale) for c in list_channels("sensors")]
        [('sensors', 'pubsub', False)]
    """
    names = (named(file) for file in sorted(os.listdir(mapping.SHM_DIRECTORY)))
    looks = (_look(found) for found in names if found is not None and name in (None, found.name))
    return [channel for channel in looks if channel is not None]


def force_unlink(name: str) -> int:
    """Remove the channels of a name, all patterns, with the messages that they hold.

    Channels that are in use stay: close them. What is removed is closed first, so receivers that still have it learn of it.

    Args:
        name: Of the channel or service.

    Returns:
        int: How many segments were removed.

    Raises:
        SHMBusyError: Somebody who sends still lives there.
        SHMNotFoundError: There is none.

    Example:
        >>> force_unlink("sensors")  # doctest: +SKIP
        1
    """
    segments = [segment_name(pattern, name) for pattern in PREFIXES if pattern != layout.PATTERN_REPLY]
    segments += [channel.segment for channel in list_channels(name) if channel.pattern == "reply"]
    removed = 0
    for segment in segments:
        try:
            remove(segment, insist=True, engine="python")
        except NotFoundError:
            continue
        except ShmwireException as error:
            raise translated(error, f"channel {name!r}") from None
        logger.debug("removed %s", segment)
        removed += 1
    if removed == 0:
        raise SHMNotFoundError(f"channel {name!r}: there is none")
    return removed


def cleanup_stale(*, messages: bool = False) -> list[str]:
    """Remove what dead processes left: channels that nobody keeps.

    Args:
        messages: Also pipelines that still hold messages; otherwise they wait for a puller.

    Returns:
        list[str]: The segments that were removed.

    Example:
        >>> cleanup_stale()
        []
    """
    removed = []
    for channel in list_channels():
        if not channel.stale:
            continue
        with contextlib.suppress(Full, ShmwireException):  # in use again, or gone meanwhile
            remove(channel.segment, insist=messages, engine="python")
            removed.append(channel.segment)
    return removed
