# SPDX-License-Identifier: MIT
"""Profile shmcomm, section 7.1, python engine: subscribers and observers. Loads only: nothing here stores to the segment. The
steps are those of the chapter, in its order."""

from __future__ import annotations

import time
from typing import Final

from ..atomic import ACQUIRE, fence
from ..errors import Closed, CorruptError, Lapped, TooSmallError
from . import layout
from .message import FRAME, U64, Counters, Message, signed
from .segment import Frame, Segment

_TRIES: Final = 8  # at going on at tail, in one call


class Lost(Lapped):
    """Messages were overwritten before this subscriber came to them; the next one held comes next."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} messages were lost")
        #: How many.
        self.count = count


def unpack(channel: Segment, frame: Frame, payload: bytes | memoryview, lost: int) -> Message:
    """The message of a frame. Its head is a copy; who calls judges afterwards whether it was whole."""
    _, sequence, timestamp, correlation, sender, content, flags = FRAME.unpack(
        channel.window.read(channel.at(frame.position), FRAME.size))
    return Message(sequence, timestamp, correlation, lost, frame.position, time.monotonic_ns(), sender, content, flags, payload)


def payload_at(channel: Segment, frame: Frame) -> tuple[int, int]:
    """Where the payload of a frame lies, and how long it is."""
    return channel.at(frame.position) + layout.FRAME_OVERHEAD, frame.size - layout.MESSAGE_HEADER_SIZE


def closed_behind(channel: Segment, position: int) -> bool:
    """For a receiver that found nothing: will nothing come? [shmcomm.receive.closed]"""
    return channel.state() == layout.STATE_CLOSED and channel.head() == position


class Cursor:
    """The receiving half of a subscriber or observer."""

    __slots__ = ("_counters", "_delivered", "_expected", "_overtaken", "_tell_lost", "_told", "channel", "position")

    def __init__(self, channel: Segment, counters: Counters, oldest: bool, tell_lost: bool) -> None:
        self.channel = channel
        self._counters = counters
        self._tell_lost = tell_lost
        self.position = 0
        self.seek(oldest)

    def seek(self, oldest: bool) -> None:
        """Go to the oldest message held, or behind the newest. Nothing counts as lost. [shmcomm.receive.start]"""
        tail, head = self.channel.positions()
        #: The sequence expected next; None takes the first one that comes.
        self._expected = None
        if not oldest:
            self._expected = self.channel.message_count()
            while (again := self.channel.head()) != head:  # A2: pairs with R2; a count that goes with head
                head, self._expected = again, self.channel.message_count()
        self.position = tail if oldest else head
        # message_count may lag head for a moment: it counts only once this reader has been overtaken (section 12.1, L4).
        self._delivered = False
        self._overtaken = False
        self._told = False

    # Steps 1 to 4 ---------------------------------------------------------------------------------------------------

    def _ahead(self) -> int:
        """Step 1: bytes from the cursor to head; step 6 where that is too much. CorruptError, Lapped."""
        for _ in range(_TRIES):
            ahead = (self.channel.head() - self.position) & U64  # A2: pairs with R2
            if ahead <= self.channel.capacity:
                return ahead
            self._go_on_at_tail()
        raise Lapped("publishers overtook the subscriber again and again")

    def _go_on_at_tail(self) -> None:
        """Step 6. CorruptError. [shmcomm.receive.lapped]"""
        tail = self.channel.tail()  # A3: pairs with R3; head of the publisher that evicted
        impossible = tail % layout.FRAME_ALIGN != 0 or (self.channel.head() - tail) & U64 > self.channel.capacity
        if impossible and self.channel.tail() == tail:
            raise CorruptError(f"{self.channel.locator}: tail {tail} does not go with head")
        if not impossible:
            self._overtaken = self._overtaken or tail != self.position
            self.position = tail

    def _held(self) -> bool:
        """Step 5: is what was copied at the cursor whole? [shmcomm.receive.recheck]"""
        fence(ACQUIRE)  # F5: pairs with F5 of writers; the copy before tail
        return signed(self.channel.tail_again() - self.position) <= 0

    def _copy(self, frame: Frame | None, most: int | None, view: bool) -> Message | None:
        """Step 4; None for a frame that is impossible or too large for the caller."""
        if frame is None:
            return None
        at, length = payload_at(self.channel, frame)
        if most is not None and length > most:
            return None
        window = self.channel.window
        payload = window.view(at, length).toreadonly() if view else window.read(at, length)
        return unpack(self.channel, frame, payload, 0)

    def next(self, most: int | None = None, view: bool = False) -> Message | None:
        """The next message, None when there is none. `most`: bytes that the caller takes. TooSmallError, Lapped, CorruptError,
        Closed."""
        for _ in range(_TRIES):
            ahead = self._ahead()
            if ahead == 0:
                if closed_behind(self.channel, self.position):
                    raise Closed(f"{self.channel.locator} has been closed")
                return None
            frame = self.channel.frame_at(self.position, ahead)
            message = self._copy(frame, most, view)
            if not self._held():
                self._go_on_at_tail()
                continue
            if frame is None:
                raise CorruptError(f"{self.channel.locator}: an impossible frame at position {self.position}")
            if message is None:
                needed = frame.size - layout.MESSAGE_HEADER_SIZE
                raise TooSmallError(f"a message of {needed} bytes", needed)
            return self._deliver(message, frame)
        raise Lapped("publishers overtook the subscriber again and again")

    # Step 5, delivery -----------------------------------------------------------------------------------------------

    def _deliver(self, message: Message, frame: Frame) -> Message:
        """[shmcomm.receive.lost]"""
        lost = self._lost_before(message.sequence)
        if lost and self._tell_lost and not self._told:
            self._told = True
            raise Lost(lost)
        self._pass(frame, message.sequence, lost)
        return message._replace(lost=lost) if lost else message

    def _lost_before(self, sequence: int) -> int:
        if self._expected is None or not (self._delivered or self._overtaken):
            return 0
        return max(0, signed(sequence - self._expected))

    def _pass(self, frame: Frame, sequence: int, lost: int) -> None:
        self.position = (frame.position + frame.extent) & U64
        self._expected = (sequence + 1) & U64
        self._delivered, self._overtaken, self._told = True, False, False
        self._counters.received += 1
        self._counters.lost += lost

    def batch(self, limit: int, room: int | None) -> list[Message]:
        """What is there, up to `limit` messages and `room` bytes. Errors as for next, from the first message only."""
        first = self.next(room)
        if first is None:
            return []
        found = [first]
        left = None if room is None else room - len(first.payload)
        begin = self.position
        gathered: list[tuple[int, Frame, Message]] = []
        position, ahead = begin, (self.channel.head() - begin) & U64
        while len(found) + len(gathered) < limit and 0 < ahead <= self.channel.capacity:
            frame = self.channel.frame_at(position, ahead)
            message = self._copy(frame, left, view=False)
            if frame is None or message is None:
                break  # whatever the reason: the next call finds it
            gathered.append((position, frame, message))
            behind = (frame.position + frame.extent) & U64
            ahead -= (behind - position) & U64
            position = behind
            left = None if left is None else left - len(message.payload)
        fence(ACQUIRE)  # F5: pairs with F5 of writers; all the copies before tail
        tail = self.channel.tail_again()
        for at, frame, message in gathered:
            if signed(tail - at) > 0:
                break  # overtaken: the next call goes on at tail
            self._pass(frame, message.sequence, 0)
            found.append(message)
        return found

    def holds(self, message: Message) -> bool:
        """Are the bytes of a view still those of its message? What was loaded before this call counts if so.
        [shmcomm.receive.view]"""
        fence(ACQUIRE)  # F5: pairs with F5 of writers; the caller's loads before tail
        return signed(self.channel.tail_again() - message.position) <= 0
