# SPDX-License-Identifier: MIT
"""Profile shmcomm, python engine: the invariants I1 to I3 of section 12, looked at from outside."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..atomic import ACQUIRE, RELAXED, fence
from ..errors import CorruptError
from . import layout
from .message import FRAME, U64, signed
from .segment import Segment, check_header

_TRIES: Final = 8  # while the channel moves on


class _Walk(NamedTuple):
    first: int
    last: int


def validate(channel: Segment) -> None:
    """Raise for the first finding. Of a channel that is written meanwhile it looks only at what stays. Errors of section 3,
    CorruptError."""
    check_header(channel.mapped, None)
    for _ in range(_TRIES):
        # A1: pairs with R1; the counts of the writer who freed it
        lock = channel.words.load_u32(layout.HEADER_WRITER_LOCK_OFFSET, ACQUIRE)
        tail, head = channel.positions()
        walk = _walk(channel, tail, head)
        if walk is None:
            continue  # what it looked at has gone; what has come is as good
        if walk and lock & layout.MAX_ENDPOINT == layout.LOCK_FREE:
            _check_counts(channel, walk[0], head)
        return


def _gone(channel: Segment, position: int) -> bool:
    fence(ACQUIRE)  # F5: pairs with F5 of writers; the look before tail
    return signed(channel.tail_again() - position) > 0


def _walk(channel: Segment, tail: int, head: int) -> list[_Walk] | None:
    """The frames of [tail, head): first and last sequence, or nothing if there are none; None when the channel moved on."""
    position, found = tail, list[_Walk]()
    while position != head:
        frame = channel.frame_at(position, (head - position) & U64)
        sequence = 0 if frame is None else FRAME.unpack(channel.window.read(channel.at(frame.position), FRAME.size))[1]
        if _gone(channel, position):
            return None
        if frame is None:
            raise CorruptError(f"position {position}: size of a frame is impossible")
        if found and sequence != (found[0].last + 1) & U64:
            raise CorruptError(f"position {frame.position}: sequences do not rise by 1")
        found = [_Walk(found[0].first if found else sequence, sequence)]
        position = (frame.position + frame.extent) & U64
    return found


def _check_counts(channel: Segment, walk: _Walk, head: int) -> None:
    """The counts of a channel at rest: nobody held the lock, before and after."""
    count = channel.message_count()
    dropped = channel.words.load_u64(layout.HEADER_DROPPED_COUNT_OFFSET, RELAXED)
    fence(ACQUIRE)  # F5: pairs with F5; the counts before head and the lock
    if channel.head() != head or channel.word(layout.HEADER_WRITER_LOCK_OFFSET) & layout.MAX_ENDPOINT:
        return
    if count != (walk.last + 1) & U64:
        raise CorruptError("message_count is not the last sequence + 1")
    if channel.pattern == layout.PATTERN_PUBSUB and dropped != walk.first:
        raise CorruptError("dropped_count is not the first sequence")
