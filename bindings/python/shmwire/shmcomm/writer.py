# SPDX-License-Identifier: MIT
"""Profile shmcomm, section 6, python engine: sending. The steps are those of the chapter, in its order.

A writer serves a channel of any pattern: publishers evict, the others meet FULL and may wait for room.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ..atomic import RELAXED, RELEASE, fence
from ..errors import BusyError, Closed, CorruptError, Full, OutOfOrderError, ShmwireException, Timeout, TooLargeError
from ..wait import Deadline
from . import layout
from .endpoint import Member
from .lock import WriterLock
from .message import FRAME, U64, Counters, Meta, extent_of
from .segment import Segment
from .wake import DATA, SPACE, await_, wake

PIECE: Final = 16384  # bytes of a batch under one lock, so that receivers can begin
_SKIP: Final = layout.SKIP.to_bytes(8, "little")


class Room(NamedTuple):
    """Where the next frames go, found under the lock."""

    head: int
    sequence: int


_Attempt = Callable[[Deadline], int | None]


class _Claim(NamedTuple):
    room: Room
    length: int
    meta: Meta


class Writer:
    """The sending half of an endpoint."""

    __slots__ = ("_claim", "_counters", "_evicts", "lock", "member")

    def __init__(self, member: Member, counters: Counters, sole: bool = False) -> None:
        self.member = member
        self.lock = WriterLock(member)
        self._counters = counters
        self._evicts = member.segment.pattern == layout.PATTERN_PUBSUB
        self._claim: _Claim | None = None
        if sole:
            self.lock.acquire(Deadline(0))
            self.lock.kept = True

    def close(self) -> None:
        """Free the lock; an open claim is abandoned."""
        self._claim = None
        self.lock.free()

    # Steps 1 to 5: room ---------------------------------------------------------------------------------------------

    def require_possible(self, length: int) -> int:
        """Step 1: the extent of a message. TooLargeError. [shmcomm.send.too-large]"""
        channel = self.member.segment
        if length > channel.max_payload:
            raise TooLargeError(f"{length} bytes; a ring of {channel.capacity} takes {channel.max_payload} at most")
        return extent_of(layout.MESSAGE_HEADER_SIZE + length)

    def _find_room(self, channel: Segment, total: int) -> Room | None:
        """Steps 3 to 5, under the lock, for `total` bytes, SKIP included; None when there is no room."""
        if not self._evicts and channel.state() == layout.STATE_CLOSED:
            raise Closed(f"{channel.locator} has been closed")  # [shmcomm.push.closed]
        tail, head = channel.positions()  # A3: pairs with R3; pullers are done with what lies below tail
        used = (head - tail) & U64
        if used + total > channel.capacity:
            if not self._evicts:
                return None  # [shmcomm.push.full]
            self._evict(channel, tail, head, used + total - channel.capacity)
        return Room(head, channel.message_count())

    def _evict(self, channel: Segment, tail: int, head: int, wanted: int) -> None:
        """Move tail over whole frames, oldest first, until `wanted` bytes are free. [shmcomm.publish.evict]"""
        position, count = tail, 0
        while (position - tail) & U64 < wanted:
            held, gap = (head - position) & U64, channel.capacity - position % channel.capacity
            skip = gap != channel.capacity and channel.words.load_u64(channel.at(position), RELAXED) == layout.SKIP
            frame = channel.frame_at(position, held) if held else None
            if frame is None:
                raise CorruptError(f"{channel.locator}: an impossible frame at position {position}")  # [shmcomm.send.corrupt]
            if skip:
                position = (position + gap) & U64
                continue
            position, count = (position + frame.extent) & U64, count + 1
        channel.add_dropped(count)  # [shmcomm.publish.dropped]
        # R3: pairs with A3; head before it, for a subscriber that goes on at tail
        channel.words.store_u64(layout.HEADER_TAIL_OFFSET, position, RELEASE)

    # Steps 6 and 7: the frame ---------------------------------------------------------------------------------------

    def _place(self, channel: Segment, position: int, extent: int) -> int:
        """Where the frame goes that is next at `position`, a SKIP before it if it would cross the end. [shmcomm.send.frame]"""
        rest = channel.capacity - position % channel.capacity
        if extent <= rest:
            return position
        channel.window.write(channel.at(position), _SKIP)
        return (position + rest) & U64

    def _head_of(self, channel: Segment, sequence: int, length: int, meta: Meta, correlation: int) -> bytes:
        content = channel.serializer if meta.content_type is None else meta.content_type  # [shmcomm.send.content]
        return FRAME.pack(layout.MESSAGE_HEADER_SIZE + length, sequence, meta.timestamp_ns or time.time_ns(), correlation,
                          self.member.number, content, meta.flags)

    def _write(self, channel: Segment, position: int, sequence: int, data: bytes | memoryview, meta: Meta,
               correlation: int) -> int:
        """The frame of one message: the position behind it. Receivers that are late may be loading these bytes."""
        length = len(data)
        extent = extent_of(layout.MESSAGE_HEADER_SIZE + length)
        position = self._place(channel, position, extent)
        at = channel.at(position)
        channel.window.write(at, self._head_of(channel, sequence, length, meta, correlation))
        channel.window.write(at + layout.FRAME_OVERHEAD, data)
        self._pad(channel, at, length, extent)
        return (position + extent) & U64

    def _pad(self, channel: Segment, at: int, length: int, extent: int) -> None:
        used = layout.FRAME_OVERHEAD + length
        if extent != used:
            channel.window.write(at + used, bytes(extent - used))

    # Steps 8 to 11: publication -------------------------------------------------------------------------------------

    def _publish(self, channel: Segment, head: int, sequence: int) -> None:
        """`sequence`: the last one published. [shmcomm.send.order, shmcomm.send.sequence]"""
        # R2: pairs with A2; the whole frame before the position behind it
        channel.words.store_u64(layout.HEADER_HEAD_OFFSET, head, RELEASE)
        channel.words.store_u64(layout.HEADER_MESSAGE_COUNT_OFFSET, (sequence + 1) & U64, RELAXED)
        wake(channel.words, DATA)
        self.member.beat()

    # Single messages ------------------------------------------------------------------------------------------------

    def send(self, data: bytes | memoryview, meta: Meta, timeout: float | None, correlation: int = 0) -> int:
        """Send one message: its sequence. TooLargeError, BusyError, Closed, CorruptError, Full, Timeout."""
        self._require_no_claim()
        extent = self.require_possible(len(data))
        sent = self._wait_for_room(lambda deadline: self._try_send(data, extent, meta, correlation, deadline), timeout)
        self._counters.sent += 1
        return sent

    def _try_send(self, data: bytes | memoryview, extent: int, meta: Meta, correlation: int, deadline: Deadline) -> int | None:
        with self.lock.held(deadline) as channel:
            room = self._find_room(channel, channel.need(channel.head(), extent))
            if room is None:
                return None
            fence(RELEASE)  # F5: pairs with F5 of readers; tail moved before the first store to the ring [shmcomm.send.fence]
            end = self._write(channel, room.head, room.sequence, data, meta, correlation)
            self._publish(channel, end, room.sequence)
        return room.sequence

    def _wait_for_room(self, attempt: _Attempt, timeout: float | None) -> int:
        """Attempt until there was room. Full at once without a time limit, Timeout behind one; either is counted."""
        deadline = Deadline(timeout)
        found = attempt(deadline)
        if found is None and timeout != 0:
            words = self.member.segment.words
            found = await_(words, SPACE, lambda: attempt(deadline), deadline, spin=0)
        if found is None:
            self.member.segment.add_dropped(1)
            self._counters.refused += 1
            why = f"{self.member.segment.locator} is full: {self.member.segment.capacity} bytes"
            raise Full(why) if timeout == 0 else Timeout(why)
        return found

    # Batches --------------------------------------------------------------------------------------------------------

    def send_batch(self, parts: Sequence[bytes | memoryview], meta: Meta, timeout: float | None
                   ) -> tuple[int, ShmwireException | None]:
        """Send messages in order: how many were sent, and what stopped it. TooLargeError, with none sent, if any is."""
        self._require_no_claim()
        for part in parts:
            self.require_possible(len(part))
        deadline, sent = Deadline(timeout), 0
        while sent < len(parts):
            remaining = timeout if timeout in (0, None) else deadline.remaining(2**62) / 1e9
            try:
                sent += self._send_piece(parts, sent, meta, remaining)
            except (Full, Timeout, BusyError, Closed, CorruptError) as stop:
                return sent, stop
        return sent, None

    def _send_piece(self, parts: Sequence[bytes | memoryview], begin: int, meta: Meta, timeout: float | None) -> int:
        return self._wait_for_room(lambda deadline: self._try_piece(parts, begin, meta, deadline), timeout)

    def _try_piece(self, parts: Sequence[bytes | memoryview], begin: int, meta: Meta, deadline: Deadline) -> int | None:
        """As many as make up a piece and fit at once, under one lock; None when not even the first does."""
        with self.lock.held(deadline) as channel:
            head = channel.head()
            first = channel.need(head, extent_of(layout.MESSAGE_HEADER_SIZE + len(parts[begin])))
            end, total = begin + 1, first
            room = self._find_room(channel, first)
            if room is None:
                return None
            while end < len(parts):
                more = channel.need((head + total) & U64, extent_of(layout.MESSAGE_HEADER_SIZE + len(parts[end])))
                if total + more > min(PIECE, channel.capacity // 2) or self._find_room(channel, total + more) is None:
                    break
                end, total = end + 1, total + more
            fence(RELEASE)  # F5: pairs with F5 of readers; tail moved before the first store to the ring [shmcomm.send.fence]
            position = head
            for index in range(begin, end):
                position = self._write(channel, position, (room.sequence + index - begin) & U64, parts[index], meta, 0)
            self._publish(channel, position, (room.sequence + end - begin - 1) & U64)
        self._counters.sent += end - begin
        return end - begin

    # Claims ---------------------------------------------------------------------------------------------------------

    def _require_no_claim(self) -> None:
        self.member.require()
        if self._claim is not None:
            raise BusyError("a claim of this endpoint is open")

    def claim(self, length: int, meta: Meta, timeout: float | None) -> memoryview:
        """The payload of a message in place; the lock is kept until commit or abandon. Answers as for send."""
        self._require_no_claim()
        extent = self.require_possible(length)
        self._wait_for_room(lambda deadline: self._try_claim(extent, length, meta, deadline), timeout)
        channel, claim = self.member.segment, self._claim
        if claim is None:
            raise OutOfOrderError("closed while it claimed")
        fence(RELEASE)  # F5: pairs with F5 of readers; tail moved before the first store to the ring [shmcomm.send.fence]
        at = channel.at(self._place(channel, claim.room.head, extent))
        return channel.window.view(at + layout.FRAME_OVERHEAD, length)

    def _try_claim(self, extent: int, length: int, meta: Meta, deadline: Deadline) -> int | None:
        room = None
        try:
            if not self.lock.kept:
                self.lock.acquire(deadline)
            channel = self.member.segment
            room = self._find_room(channel, channel.need(channel.head(), extent))
        except ShmwireException:
            raise
        except BaseException:
            self.lock.mend()
            raise
        finally:
            if room is None and not self.lock.kept:
                self.lock.free()
        if room is None:
            return None
        self._claim = _Claim(room, length, meta)
        return 0

    def _end_claim(self) -> _Claim:
        self.member.require()
        claim, self._claim = self._claim, None
        if claim is None:
            raise OutOfOrderError("no claim is open")
        return claim

    def commit(self) -> int:
        """Publish what was claimed: its sequence. OutOfOrderError without an open claim."""
        room, length, meta = self._end_claim()
        channel = self.member.segment
        try:
            extent = extent_of(layout.MESSAGE_HEADER_SIZE + length)
            rest = channel.capacity - room.head % channel.capacity
            position = room.head if extent <= rest else (room.head + rest) & U64
            at = channel.at(position)
            channel.window.write(at, self._head_of(channel, room.sequence, length, meta, 0))
            self._pad(channel, at, length, extent)
            self._publish(channel, (position + extent) & U64, room.sequence)
        except BaseException:
            self.lock.mend()
            raise
        finally:
            self._free_claimed()
        self._counters.sent += 1
        return room.sequence

    def abandon(self) -> None:
        """Give up what was claimed: nothing was visible. OutOfOrderError without an open claim. [shmcomm.send.claim]"""
        self._end_claim()
        self._free_claimed()

    def _free_claimed(self) -> None:
        if not self.lock.kept:
            self.lock.free()
