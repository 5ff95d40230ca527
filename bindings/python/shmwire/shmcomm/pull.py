# SPDX-License-Identifier: MIT
"""Profile shmcomm, section 7.2, python engine: pullers, and requesters and repliers as far as they pull. Each message goes to the
one whose CAS of tail succeeds. The steps are those of the chapter, in its order."""

from __future__ import annotations

from ..atomic import ACQUIRE, RELEASE, fence
from ..errors import Closed, CorruptError, TooSmallError
from . import layout
from .endpoint import Member, drained, membership, remove_name
from .message import U64, Counters, Message
from .reader import closed_behind, payload_at, unpack
from .segment import Frame
from .wake import SPACE, wake


class Puller:
    """The receiving half of an endpoint. It stores to tail and message_count alone. [shmcomm.pull.readonly]"""

    __slots__ = ("_counters", "member")

    def __init__(self, member: Member, counters: Counters) -> None:
        self.member = member
        self._counters = counters

    def next(self, most: int | None = None) -> Message | None:
        """Take the next message, None when there is none. TooSmallError, CorruptError, Closed."""
        taken = self._take(1, most)
        return taken[0] if taken else None

    def batch(self, limit: int, room: int | None) -> list[Message]:
        """Take what is there, up to `limit` messages and `room` bytes, by one CAS."""
        return self._take(limit, room)

    def _take(self, limit: int, room: int | None) -> list[Message]:
        """Loops only while others take messages."""
        self.member.require()
        channel = self.member.segment
        while True:
            tail = channel.tail()  # A3: pairs with R3; first, so that head is not below it
            held = (channel.head() - tail) & U64  # A2: pairs with R2; the frames up to it
            if held == 0:
                if not self._closed(tail):
                    return []
                raise Closed(f"{channel.locator} has been closed")
            sane = tail % layout.FRAME_ALIGN == 0 and held <= channel.capacity
            frame = channel.frame_at(tail, held) if sane else None
            if frame is None:
                if self._moved(tail):
                    continue
                raise CorruptError(f"{channel.locator}: an impossible frame at position {tail}")
            _, length = payload_at(channel, frame)
            if room is not None and length > room:
                if self._moved(tail):
                    continue
                raise TooSmallError(f"a message of {length} bytes", length)
            found, end = self._gather(frame, (tail + held) & U64, limit, room)
            if self._raise_count(tail, found[-1].sequence) and self._claim(tail, end):
                self._counters.received += len(found)
                return found

    def _gather(self, frame: Frame, head: int, limit: int, room: int | None) -> tuple[list[Message], int]:
        """Copies of the frame given and of those behind it, and the position behind the last."""
        channel, found, left = self.member.segment, list[Message](), room
        while True:
            at, length = payload_at(channel, frame)
            found.append(unpack(channel, frame, channel.window.read(at, length), 0))
            left = None if left is None else left - length
            end = (frame.position + frame.extent) & U64
            behind = channel.frame_at(end, (head - end) & U64) if end != head and len(found) < limit else None
            if behind is None or (left is not None and behind.size - layout.MESSAGE_HEADER_SIZE > left):
                return found, end
            frame = behind

    def _moved(self, tail: int) -> bool:
        """Has another one taken what was looked at?"""
        fence(ACQUIRE)  # F5: pairs with F5 of writers; the copy before tail
        return self.member.segment.tail_again() != tail

    def _raise_count(self, tail: int, sequence: int) -> bool:
        """Step 3: the dead writer of the last message may have left message_count behind. False: start again.
        [shmcomm.pull.count]"""
        channel = self.member.segment
        if channel.message_count() > sequence:
            return True
        if self._moved(tail):  # before the raising: the sequence of a copy that is not whole may be nobody's
            return False
        channel.raise_count((sequence + 1) & U64)
        return True

    def _claim(self, tail: int, end: int) -> bool:
        """Step 4 and the wake of step 5. [shmcomm.pull.claim]"""
        words = self.member.segment.words
        # R3: pairs with A3; the copy before the writer that reuses the bytes
        if words.cas_u64(layout.HEADER_TAIL_OFFSET, tail, end, RELEASE) != tail:
            return False
        wake(words, SPACE)
        return True

    def _closed(self, position: int) -> bool:
        """For one that found nothing: will nothing come? Looked at again under the membership lock: a keeper may have taken the
        channel over meanwhile. [shmcomm.leave.drained]"""
        channel, fd = self.member.segment, self.member.lock_fd
        if not closed_behind(channel, position) or not channel.empty():
            return False
        with membership(fd):
            if channel.state() != layout.STATE_CLOSED or not channel.empty():
                return False
            if drained(channel, fd):
                remove_name(channel, fd)
        return True
