# SPDX-License-Identifier: MIT
"""Profile shmcomm, python engine: a look at everything that the chapter promises of a header and of the frames that are held."""

from __future__ import annotations

from typing import Final

from ..atomic import ACQUIRE, fence
from ..errors import CorruptError
from . import layout
from .message import FRAME, U64, signed
from .segment import Frame, Segment, check_header

_LOOKS: Final = 8  # at something that somebody may be storing


def validate(channel: Segment) -> None:
    """Raise for the first finding. Of a channel that is written meanwhile it looks only at what stays. Errors of section 3,
    CorruptError."""
    check_header(channel.mapped, None)
    _check_reserved(channel)
    tail, head = channel.positions()
    position, expected = tail, None
    while position != head:
        frame = channel.frame_at(position, (head - position) & U64)
        finding, sequence = _look(channel, frame, position, expected)
        fence(ACQUIRE)  # F5: pairs with F5 of writers; the look before tail
        again = channel.tail_again()
        if signed(again - position) > 0:  # overtaken, or taken: what stays begins at tail
            position, expected = again, None
            if signed(head - position) <= 0:
                return
            continue
        if finding or frame is None:
            raise CorruptError(f"position {position}: {finding}")
        position, expected = (frame.position + frame.extent) & U64, (sequence + 1) & U64
    _check_count(channel, expected)


def _look(channel: Segment, frame: Frame | None, position: int, expected: int | None) -> tuple[str, int]:
    """What is wrong with a frame, "" for nothing, and its sequence."""
    if frame is None:
        return "the size of the frame is impossible", 0
    sequence = FRAME.unpack(channel.window.read(channel.at(frame.position), FRAME.size))[1]
    if expected is not None and sequence != expected:
        return f"sequence {sequence} behind {expected - 1}", sequence
    end = 8 + frame.size
    if any(channel.window.read(channel.at(frame.position) + end, frame.extent - end)):
        return "the bytes behind the payload are not zero", sequence
    return "", sequence


def _check_reserved(channel: Segment) -> None:
    begin = layout.HEADER_OWNER_ENDPOINT_OFFSET + 4
    if any(channel.window.read(begin, layout.HEADER_SIZE - begin)):
        raise CorruptError("the reserved bytes of the header are not zero")
    if channel.instance == 0:
        raise CorruptError("instance is 0")


def _check_count(channel: Segment, expected: int | None) -> None:
    """message_count, of a channel at rest: nobody holds the lock, and nothing moves. [chapter, I3]"""
    for _ in range(_LOOKS if expected is not None else 0):
        lock = channel.word(layout.HEADER_WRITER_LOCK_OFFSET)
        head, count = channel.head(), channel.message_count()
        if lock & layout.MAX_ENDPOINT or channel.head() != head or count == expected:
            return
    if expected is not None:
        raise CorruptError(f"message_count is {count}, the last message has sequence {(expected - 1) & U64}")
