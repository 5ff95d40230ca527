# SPDX-License-Identifier: MIT
"""Profile shmcomm, section 5, python engine: the writers' lock; and the repair of section 10, which belongs to who takes it from
a dead owner.

A KeyboardInterrupt can end Python code between any two steps. So freeing asks the word itself whether this endpoint is the owner,
and writers free in `finally`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from ..atomic import ACQUIRE, RELAXED
from ..errors import BusyError, CorruptError, ShmwireException
from ..wait import NS_PER_S, Deadline
from . import layout
from .endpoint import Member
from .message import FRAME, U64
from .segment import Segment
from .wake import DATA, wake

_WORD: Final = layout.HEADER_WRITER_LOCK_OFFSET
_SPINS: Final = 20


class WriterLock:
    """The lock of one segment, as one endpoint takes it."""

    __slots__ = ("kept", "member", "repaired", "takeovers")

    def __init__(self, member: Member) -> None:
        self.member = member
        self.kept = False  #: taken to stay, by a sole writer
        self.takeovers = 0
        self.repaired = False  #: did the last repair find anything to do?

    @contextlib.contextmanager
    def held(self, deadline: Deadline) -> Iterator[Segment]:
        """Hold the lock in a block, unless it is kept anyway. BusyError, CorruptError. [shmcomm.lock.hold]"""
        self.member.require()
        kept = self.kept
        try:
            if not kept:
                self.acquire(deadline)
            yield self.member.segment
        except ShmwireException:
            raise
        except BaseException:
            self.mend()
            raise
        finally:
            if not kept:
                self.free()

    def mend(self) -> None:
        """After an interruption, perhaps between head and message_count, or before a repair: repair what is ours."""
        if self.mine():
            self._repair()

    def mine(self) -> bool:
        """Is this endpoint the owner? Never in a forked child: the number is the parent's."""
        return self.member.lock_fd >= 0 and self.member.segment.word(_WORD) & layout.MAX_ENDPOINT == self.member.number

    # Section 5 ------------------------------------------------------------------------------------------------------

    def acquire(self, deadline: Deadline) -> None:
        """Take it. BusyError once the time limit and LOCK_PATIENCE_NS have passed. [shmcomm.lock.busy]"""
        words, mine = self.member.segment.words, self.member.number
        patience = Deadline(layout.LOCK_PATIENCE_NS / NS_PER_S)
        spins = 0
        while True:
            word = words.load_u32(_WORD, RELAXED)
            if word & layout.MAX_ENDPOINT == layout.LOCK_FREE:
                # A1: pairs with R1; head, message_count and tail of the writer before
                if words.cas_u32(_WORD, word, mine | word & layout.LOCK_WAITERS, ACQUIRE) == word:
                    return
                continue
            if spins < _SPINS:
                spins += 1
                continue
            if not word & layout.LOCK_WAITERS:
                if words.cas_u32(_WORD, word, word | layout.LOCK_WAITERS, RELAXED) != word:
                    continue
                word |= layout.LOCK_WAITERS
            mine |= layout.LOCK_WAITERS  # whether others wait, too, is not known any more
            words.futex_wait(_WORD, word, layout.LOCK_SLICE_NS)
            if words.load_u32(_WORD, RELAXED) == word and self._take_from_dead(word, mine):
                return
            if deadline.expired() and patience.expired():
                word = words.load_u32(_WORD, RELAXED)
                if word & layout.MAX_ENDPOINT != layout.LOCK_FREE:
                    raise BusyError(f"endpoint {word & layout.MAX_ENDPOINT} holds the lock of the writers")

    def _take_from_dead(self, word: int, mine: int) -> bool:
        """Step 3: take it from an owner that does not live, and repair. [shmcomm.lock.dead, shmcomm.lock.alive]"""
        words = self.member.segment.words
        with self.member.dead(word & layout.MAX_ENDPOINT) as dead:
            # A1: the kernel orders what the dead owner did before the release of its locks, and that before we take its byte
            if not dead or words.cas_u32(_WORD, word, mine, ACQUIRE) != word:
                return False
        self.takeovers += 1
        epoch = words.load_u32(layout.HEADER_LOCK_EPOCH_OFFSET, RELAXED)
        words.store_u32(layout.HEADER_LOCK_EPOCH_OFFSET, (epoch + 1) & 0xFFFF_FFFF, RELAXED)
        self._repair()
        return True

    def try_take_over(self) -> bool:
        """Take it if it is free of living owners, now: was it a dead one's? BusyError if the owner lives."""
        words, number = self.member.segment.words, self.member.number
        while True:
            word = words.load_u32(_WORD, RELAXED)
            if word & layout.MAX_ENDPOINT == layout.LOCK_FREE:
                return False
            if self._take_from_dead(word, number | word & layout.LOCK_WAITERS):
                return True
            if words.load_u32(_WORD, RELAXED) == word:
                raise BusyError(f"endpoint {word & layout.MAX_ENDPOINT} holds the lock of the writers, and lives")

    def free(self) -> None:
        """Give it back, if this endpoint has it. [shmcomm.lock.owner, shmcomm.lock.wake]"""
        self.kept = False
        if not self.mine():
            return
        words = self.member.segment.words
        # R1: pairs with A1; head, message_count and tail before the next writer
        if words.swap_u32(_WORD, layout.LOCK_FREE) & layout.LOCK_WAITERS:
            words.futex_wake(_WORD, 1)

    # Section 10 -----------------------------------------------------------------------------------------------------

    def _repair(self) -> None:
        """Bring the counts to where the frames are. CorruptError, the lock freed. [shmcomm.recover.*]"""
        channel = self.member.segment
        try:
            first, last = self._walk(channel)
        except CorruptError:
            self.free()
            raise
        self.repaired = last is not None and channel.raise_count((last + 1) & U64)
        if channel.pattern == layout.PATTERN_PUBSUB:
            evicted = channel.message_count() if first is None else first
            offset = layout.HEADER_DROPPED_COUNT_OFFSET
            if channel.words.load_u64(offset, RELAXED) != evicted:
                channel.words.store_u64(offset, evicted, RELAXED)
                self.repaired = True
        wake(channel.words, DATA)  # the dead one may not have come to it [shmcomm.recover.wake]

    def _walk(self, channel: Segment) -> tuple[int | None, int | None]:
        """The first and the last sequence held; only the holder of the lock can overwrite frames. CorruptError."""
        tail, head = channel.positions()
        position, first, last = tail, None, None
        while position != head:
            frame = channel.frame_at(position, (head - position) & U64)
            if frame is None:
                raise CorruptError(f"{channel.locator}: an impossible frame at position {position}")
            last = FRAME.unpack(channel.window.read(channel.at(frame.position), FRAME.size))[1]
            first = last if first is None else first
            position = (frame.position + frame.extent) & U64
        return first, last
