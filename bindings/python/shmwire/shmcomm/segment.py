# SPDX-License-Identifier: MIT
"""Profile shmcomm, sections 1 to 3, python engine: a mapped channel, checked once, and how one is made.

Reading order beside the chapter: this file (sections 1 to 3), endpoint.py (4), lock.py (5, repair of 10), writer.py (6),
reader.py (7.1), pull.py (7.2), wake.py (8), reply.py (9), recover.py (10), validate.py.
"""

from __future__ import annotations

import os
import time
from typing import Final, NamedTuple

from .. import map as mapping
from ..atomic import ACQUIRE, RELAXED, RELEASE, Words
from ..errors import (
    BadGeometryError,
    BadMagicError,
    BadVersionError,
    CorruptError,
    InvalidArgumentError,
    NotReadyError,
    PermissionError,
    TruncatedError,
    UnsupportedError,
)
from . import layout
from .message import U64, extent_of

_SNAPSHOTS: Final = 64  # tries at a pair of positions that belong together
_PAGE: Final = 4096  # holds the header
CONTENT_MAX: Final = 0xFFFF


def capacity_possible(capacity: int) -> bool:
    """A power of two from MIN_CAPACITY to MAX_CAPACITY?"""
    return layout.MIN_CAPACITY <= capacity <= layout.MAX_CAPACITY and capacity & (capacity - 1) == 0


class Frame(NamedTuple):
    """Where a frame lies, its size once loaded and found possible."""

    position: int
    size: int
    extent: int


class Segment:
    """A mapped channel and the values of its header that never change."""

    __slots__ = ("capacity", "instance", "locator", "mapped", "pattern", "serializer", "signals", "window", "words")

    def __init__(self, mapped: mapping.Mapping, locator: str) -> None:
        """`mapped` has passed check_header."""
        self.mapped = mapped
        self.locator = locator
        self.window = mapped.window
        self.words = Words(mapped.window)
        #: The words to sleep on; None where this process may not count itself as a sleeper.
        self.signals: Words | None = self.words if mapped.window.writable else None
        self.capacity = self.window.u64(layout.HEADER_CAPACITY_OFFSET)
        self.pattern = self.window.u32(layout.HEADER_PATTERN_OFFSET)
        self.serializer = self.window.u32(layout.HEADER_SERIALIZER_OFFSET)
        self.instance = self.window.u64(layout.HEADER_INSTANCE_OFFSET)

    def close(self) -> None:
        """Let go of the mapping; it goes away with its last user. Never touches the segment."""
        if self.signals is not None:
            self.signals.close()
        self.words.close()
        self.mapped.close()

    @property
    def max_payload(self) -> int:
        """Bytes of the largest payload. [shmcomm.send.too-large]"""
        return self.capacity // 2 - layout.FRAME_OVERHEAD

    # Header ---------------------------------------------------------------------------------------------------------

    def head(self) -> int:
        """header.head."""
        return self.words.load_u64(layout.HEADER_HEAD_OFFSET, ACQUIRE)  # A2: pairs with R2; the frames below it

    def tail(self) -> int:
        """header.tail."""
        # A3: pairs with R3; the end of the puller's copy; of an evicting publisher the head that goes with it
        return self.words.load_u64(layout.HEADER_TAIL_OFFSET, ACQUIRE)

    def tail_again(self) -> int:
        """header.tail behind the fence F5 of a reader that has copied."""
        return self.words.load_u64(layout.HEADER_TAIL_OFFSET, RELAXED)

    def state(self) -> int:
        """header.state."""
        # A7: pairs with R7; everything that was published before the close
        return self.words.load_u32(layout.HEADER_STATE_OFFSET, ACQUIRE)

    def message_count(self) -> int:
        """header.message_count. Relaxed: writers hand it on under the lock, pullers raise it before R3."""
        return self.words.load_u64(layout.HEADER_MESSAGE_COUNT_OFFSET, RELAXED)

    def word(self, offset: int) -> int:
        """A u32 of the header that others change, relaxed."""
        return self.words.load_u32(offset, RELAXED)

    def add_dropped(self, count: int) -> None:
        """header.dropped_count += count."""
        offset = layout.HEADER_DROPPED_COUNT_OFFSET
        found = self.words.load_u64(offset, RELAXED)
        while (now := self.words.cas_u64(offset, found, (found + count) & U64, RELAXED)) != found:
            found = now

    def raise_count(self, least: int) -> bool:
        """message_count = `least`, unless it is higher. Was it lower? [shmcomm.pull.count, shmcomm.recover.count]"""
        offset = layout.HEADER_MESSAGE_COUNT_OFFSET
        found = self.words.load_u64(offset, RELAXED)
        while found < least:
            now = self.words.cas_u64(offset, found, least, RELAXED)
            if now == found:
                return True
            found = now
        return False

    def positions(self) -> tuple[int, int]:
        """Tail and head from a snapshot in which tail did not change. CorruptError. [shmcomm.segment.positions]"""
        tail = self.tail()
        for _ in range(_SNAPSHOTS):
            head = self.head()
            again = self.tail()
            if again == tail:
                break
            tail = again
        else:
            return tail, tail  # so busy that no two looks agreed: the channel is alive
        if head % layout.FRAME_ALIGN or tail % layout.FRAME_ALIGN or (head - tail) & U64 > self.capacity:
            raise CorruptError(f"{self.locator}: head {head} and tail {tail} in a ring of {self.capacity}")
        return tail, head

    # Frames ---------------------------------------------------------------------------------------------------------

    def at(self, position: int) -> int:
        """Where a position lies in the segment."""
        return layout.RING_OFFSET + position % self.capacity

    def frame_at(self, position: int, held: int) -> Frame | None:
        """Steps 2 and 3 of section 7.1: the frame that begins at `position`, or behind a SKIP there, with `held` bytes up to
        head. None if its size is impossible. [shmcomm.receive.size, shmcomm.receive.skip]"""
        size = self.words.load_u64(self.at(position), RELAXED)
        begin = position % self.capacity
        if size == layout.SKIP and begin != 0:
            gap = self.capacity - begin
            if held <= gap:
                return None
            position, held, begin = (position + gap) & U64, held - gap, 0
            size = self.words.load_u64(self.at(position), RELAXED)
        extent = extent_of(size)
        if size < layout.MESSAGE_HEADER_SIZE or extent > min(self.capacity // 2, held, self.capacity - begin):
            return None
        return Frame(position, size, extent)

    def need(self, position: int, extent: int) -> int:
        """Bytes that a frame takes if it goes in at a position. [shmcomm.send.frame]"""
        rest = self.capacity - position % self.capacity
        return extent if extent <= rest else rest + extent

    def empty(self) -> bool:
        """Does it hold no message?"""
        return self.head() == self.tail()


# Opening --------------------------------------------------------------------------------------------------------------


def check_header(mapped: mapping.Mapping, pattern: int | None) -> None:
    """Section 3. `pattern`: the one wanted. TruncatedError, NotReadyError, BadMagicError, BadVersionError, BadGeometryError,
    CorruptError, UnsupportedError. [shmcomm.segment.*]"""
    window, words = mapped.window, Words(mapped.window)
    if window.size < layout.HEADER_SIZE:
        raise TruncatedError(f"{window.size} bytes, a header has {layout.HEADER_SIZE}")
    magic = words.load_u64(layout.HEADER_MAGIC_OFFSET, ACQUIRE)  # A0: pairs with R0; the rest of the header after it
    if magic == 0:
        raise NotReadyError("its creator has not finished it")
    if magic != layout.MAGIC:
        raise BadMagicError(f"magic {magic:#x}")
    version = window.u64(layout.HEADER_VERSION_OFFSET)
    if version != layout.VERSION:
        raise BadVersionError(f"version {version}; {layout.VERSION} is read")
    capacity = window.u64(layout.HEADER_CAPACITY_OFFSET)
    found = window.u32(layout.HEADER_PATTERN_OFFSET)
    state = words.load_u32(layout.HEADER_STATE_OFFSET, ACQUIRE)  # A7: pairs with R7
    serializer = window.u32(layout.HEADER_SERIALIZER_OFFSET)
    sane = capacity_possible(capacity) and layout.PATTERN_PUBSUB <= found <= layout.PATTERN_REPLY
    if not sane or state not in (layout.STATE_OPEN, layout.STATE_CLOSED) or serializer > CONTENT_MAX:
        raise BadGeometryError(f"capacity {capacity}, pattern {found}, state {state}, serializer {serializer}")
    if window.size < layout.RING_OFFSET + capacity:
        raise TruncatedError(f"{window.size} bytes for a ring of {capacity}")
    Segment(mapped, "the channel").positions()
    if pattern is not None and found != pattern:
        raise UnsupportedError(f"the channel's pattern is {found}, {pattern} is wanted")


def map_checked(fd: int, file: str, writable: bool, pattern: int | None, locator: str) -> Segment:
    """Map the file of a descriptor, which then belongs to the segment, and check it. The descriptor is closed on errors."""
    try:
        size = os.fstat(fd).st_size
        if size < layout.HEADER_SIZE:
            raise TruncatedError(f"{file}: {size} bytes, a header has {layout.HEADER_SIZE}")
        mapped = mapping.map_fd(fd, file, size, writable)
    except BaseException:
        os.close(fd)
        raise
    try:
        check_header(mapped, pattern)
        return Segment(mapped, locator)
    except BaseException:
        mapped.close()
        raise


def map_signals(segment: Segment) -> None:
    """Give a read-only segment words to sleep on, if the file's mode lets us: its first page once more, read-write, for
    data_waiters alone. [shmcomm.segment.readonly]"""
    try:
        fd = os.open(f"/proc/self/fd/{segment.mapped.fd}", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        page = mapping.map_fd(fd, segment.locator, _PAGE, writable=True)
    except BaseException:
        os.close(fd)
        raise
    segment.signals = Words(page.window)
    page.release_fd()


# Making ---------------------------------------------------------------------------------------------------------------


class Fresh(NamedTuple):
    """The values of a new header."""

    capacity: int
    pattern: int
    serializer: int
    endpoint: int
    pid: int
    boot_ns: int
    instance: int


def require_creatable(capacity: int, mode: int, serializer: int) -> None:
    """InvalidArgumentError. [shmcomm.segment.argument]"""
    if not capacity_possible(capacity):
        raise InvalidArgumentError(f"a capacity of {capacity}: a power of two from {layout.MIN_CAPACITY} to "
                                   f"{layout.MAX_CAPACITY} is wanted")
    if not 0 < mode <= 0o777 or not 0 <= serializer <= CONTENT_MAX:
        raise InvalidArgumentError(f"mode {mode:o}, serializer {serializer}")


def build(fd: int, file: str, locator: str, fresh: Fresh) -> Segment:
    """Make the empty or unfinished file of `fd` a channel; the membership lock is held. [shmcomm.segment.init]"""
    size = layout.RING_OFFSET + fresh.capacity
    os.ftruncate(fd, 0)
    os.ftruncate(fd, size)
    mapped = mapping.map_fd(fd, file, size, writable=True)
    mapped.reserve(0, size)
    window, words = mapped.window, Words(mapped.window)
    words.require_writable()
    window.put_u64(layout.HEADER_VERSION_OFFSET, layout.VERSION)
    window.put_u64(layout.HEADER_CAPACITY_OFFSET, fresh.capacity)
    window.put_u32(layout.HEADER_PATTERN_OFFSET, fresh.pattern)
    window.put_u32(layout.HEADER_STATE_OFFSET, layout.STATE_OPEN)
    window.put_u32(layout.HEADER_SERIALIZER_OFFSET, fresh.serializer)
    window.put_u64(layout.HEADER_INSTANCE_OFFSET, fresh.instance or int.from_bytes(os.urandom(8), "little") or 1)
    set_owner(words, fresh.endpoint, fresh.pid, fresh.boot_ns)
    words.store_u64(layout.HEADER_MAGIC_OFFSET, layout.MAGIC, RELEASE)  # R0: pairs with A0; last of all
    return Segment(mapped, locator)


def boot_time() -> int:
    """Nanoseconds of CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def set_owner(words: Words, endpoint: int, pid: int, boot_ns: int) -> None:
    """Whose the channel is now. [shmcomm.join.takeover, shmcomm.join.heartbeat]"""
    words.store_u32(layout.HEADER_OWNER_PID_OFFSET, (pid or os.getpid()) & 0xFFFF_FFFF, RELAXED)
    words.store_u32(layout.HEADER_OWNER_ENDPOINT_OFFSET, endpoint, RELAXED)
    words.store_u64(layout.HEADER_HEARTBEAT_NS_OFFSET, boot_ns or boot_time(), RELAXED)


def require_writable(segment: Segment) -> None:
    """PermissionError, UnsupportedError."""
    if not segment.window.writable:
        raise PermissionError(f"{segment.locator} is mapped read-only")
    segment.words.require_writable()
