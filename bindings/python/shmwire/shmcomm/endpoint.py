# SPDX-License-Identifier: MIT
"""Profile shmcomm, section 4, python engine: endpoints, keepers, joining and leaving.

An endpoint is a write lock on one byte of the segment's file, held by an open file description that nothing else uses: the
kernel drops it when the endpoint dies. Python's mmap keeps a duplicate of the descriptor that it was given, so the mapping has
a description of its own, and the lock's descriptor is `lock_fd` alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from typing import Final
from weakref import WeakSet

from .. import map as mapping
from .. import ofd
from ..atomic import RELAXED, RELEASE
from ..errors import (
    BusyError,
    Closed,
    ExistsError,
    NotFoundError,
    NotReadyError,
    OutOfOrderError,
    PermissionError,
    SystemError,
    TruncatedError,
    from_os_error,
)
from ..wait import Backoff, Deadline
from . import layout, segment
from .message import Options
from .segment import Segment
from .wake import wake_all

_DRAWS: Final = 1000
_FD_FLAGS: Final = os.O_CLOEXEC
_MAGIC_BYTES: Final = 8


# Locks of bytes -------------------------------------------------------------------------------------------------------


def keeper_lives(fd: int) -> bool:
    """Does a keeper of the channel live, other than one whose locks this description holds?"""
    return ofd.taken(fd, layout.KEEPER_BASE + 1, layout.MAX_ENDPOINT)


@contextlib.contextmanager
def membership(fd: int) -> Iterator[None]:
    """The membership lock, through a description of its own. Valid only if `named(fd)` once it is held."""
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise from_os_error(error, "the membership lock") from None
    try:
        fcntl.flock(own, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(own, fcntl.LOCK_UN)  # not by close alone: a child forked meanwhile has the description too
        os.close(own)


def named(fd: int) -> bool:
    """Does the file still have a name?"""
    return os.fstat(fd).st_nlink != 0


# Members --------------------------------------------------------------------------------------------------------------


class Member:
    """An endpoint of one segment: its number, and the locks that say that it lives."""

    __slots__ = ("__weakref__", "_boot_ns", "_last_beat", "keeper", "lock_fd", "number", "segment")

    def __init__(self, channel: Segment, lock_fd: int, number: int, keeper: bool, boot_ns: int) -> None:
        self.segment = channel
        self.lock_fd = lock_fd
        self.number = number
        self.keeper = keeper
        self._boot_ns = boot_ns
        self._last_beat = segment.boot_time()
        _MEMBERS.add(self)

    def require(self) -> None:
        """OutOfOrderError in a forked child, Closed once it has left. [shmcomm.endpoint.fork]"""
        if self.lock_fd < 0:
            if self.number:
                raise OutOfOrderError("an endpoint of the parent process")
            raise Closed("it has been closed")

    @contextlib.contextmanager
    def dead(self, number: int) -> Iterator[bool]:
        """Is `number` of no living endpoint? If so nobody draws it while the block runs: its byte is held.
        [shmcomm.lock.dead, shmcomm.lock.alive]"""
        if number == self.number:  # a word that we did not write: it names nobody, and our byte stays where it is
            yield True
            return
        taken = ofd.take(self.lock_fd, number)
        try:
            yield taken
        finally:
            if taken:
                ofd.give(self.lock_fd, number)

    def beat(self) -> None:
        """A sign of life, when a second has passed since the last. [shmcomm.join.heartbeat]"""
        if not self.keeper:
            return
        now = self._boot_ns or segment.boot_time()
        if now - self._last_beat >= layout.HEARTBEAT_NS or self._boot_ns:
            self._last_beat = now
            self.segment.words.store_u64(layout.HEADER_HEARTBEAT_NS_OFFSET, now, RELAXED)

    def inherited(self) -> None:
        """In a forked child: the locks are the parent's. Their description must not live on here. [shmcomm.endpoint.fork]"""
        fd, self.lock_fd = self.lock_fd, -1
        if fd >= 0:
            os.close(fd)

    def leave(self, puller: bool = False) -> None:
        """Steps 2 to 6 of leaving; the lock of the writers is free already. Nothing where it has left, or in a forked child."""
        fd, self.lock_fd = self.lock_fd, -1
        if fd >= 0:
            try:
                with membership(fd):
                    self._leave(fd, puller)
            finally:
                os.close(fd)
        self.number = 0
        self.segment.close()

    def _leave(self, fd: int, puller: bool) -> None:
        """With the membership lock held: two that leave together ask one after the other, and the second must find the first
        one's bytes given back."""
        if self.keeper and not keeper_lives(fd):  # [shmcomm.leave.last, shmcomm.leave.others]
            close_channel(self.segment)
            if self.segment.pattern != layout.PATTERN_PIPELINE or self.segment.empty():
                remove_name(self.segment, fd)
        elif puller and drained(self.segment, fd):
            remove_name(self.segment, fd)
        ofd.give(fd, self.number)
        if self.keeper:
            ofd.give(fd, layout.KEEPER_BASE + self.number)


_MEMBERS: Final[WeakSet[Member]] = WeakSet()


def _after_fork() -> None:
    for member in list(_MEMBERS):
        member.inherited()


os.register_at_fork(after_in_child=_after_fork)


def close_channel(channel: Segment) -> None:
    """State 2, and wake everybody; the membership lock is held. [shmcomm.leave.last, shmcomm.remove.state]"""
    # R7: pairs with A7; everything that was published is before it
    channel.words.store_u32(layout.HEADER_STATE_OFFSET, layout.STATE_CLOSED, RELEASE)
    wake_all(channel.words)


def remove_name(channel: Segment, fd: int) -> None:
    """Unlink the name if it still is this file's; the membership lock is held."""
    if named(fd):
        mapping.unlink(channel.locator)


def drained(channel: Segment, fd: int) -> bool:
    """Is it a closed pipeline without a living keeper that holds nothing? The membership lock is held.
    [shmcomm.leave.drained]"""
    pipeline = channel.pattern == layout.PATTERN_PIPELINE
    return pipeline and channel.state() == layout.STATE_CLOSED and not keeper_lives(fd) and channel.empty()


# Joining --------------------------------------------------------------------------------------------------------------


def _open_or_create(locator: str, keeper: bool, options: Options, writable: bool = True) -> tuple[int, str, bool]:
    """Step 1: a descriptor, the path, and whether the file was made now. NotFoundError, ExistsError."""
    access = os.O_RDWR if writable else os.O_RDONLY
    while True:
        if keeper and options.making == "create":
            return *mapping.open_file(locator, access | os.O_CREAT | os.O_EXCL, options.mode), True
        try:
            return *mapping.open_file(locator, access), False
        except NotFoundError:
            if not keeper or options.making == "join":
                raise
        with contextlib.suppress(ExistsError):  # somebody else was quicker
            return *mapping.open_file(locator, access | os.O_CREAT | os.O_EXCL, options.mode), True


def _unfinished(fd: int) -> bool:
    """Shorter than a header, or magic 0?"""
    short = os.fstat(fd).st_size < layout.HEADER_SIZE
    return short or os.pread(fd, _MAGIC_BYTES, layout.HEADER_MAGIC_OFFSET) == bytes(_MAGIC_BYTES)


def join(locator: str, pattern: int | None, keeper: bool, options: Options) -> Member:
    """Become an endpoint of a segment, made if need be. `pattern`: the one wanted. Errors of section 3, NotFoundError,
    ExistsError, BusyError (the number wanted is taken), PermissionError, SystemError."""
    if keeper:
        segment.require_creatable(options.capacity, options.mode, options.serializer)
    deadline = Deadline(options.wait)
    backoff = Backoff(deadline)
    while True:
        last = deadline.expired()
        try:
            fd, file, made = _open_or_create(locator, keeper, options)
        except NotFoundError:
            if last:
                raise
            backoff.pause()
            continue
        try:
            with membership(fd):
                member = _admit(fd, file, locator, pattern, keeper, options, made, last)
        finally:
            os.close(fd)
        if member is not None:
            return member
        if not made:
            backoff.pause()


def _admit(fd: int, file: str, locator: str, pattern: int | None, keeper: bool, options: Options, made: bool,
           last: bool) -> Member | None:
    """Steps 2 to 5, with the membership lock held; None to start over."""
    if not named(fd):
        return None
    if made:
        return _create(fd, file, locator, pattern or 0, options)
    if _unfinished(fd):
        if not last:
            return None
        if keeper and options.making == "any":
            os.unlink(file)  # its creator is dead [shmcomm.join.unfinished]
            return None
        if os.fstat(fd).st_size < layout.HEADER_SIZE:
            raise TruncatedError(f"{file}: shorter than a header")
        raise NotReadyError(f"{file}: its creator has not finished it")
    channel = segment.map_checked(os.dup(fd), file, True, pattern, locator)
    try:
        segment.require_writable(channel)
        member = _enter(channel, keeper, options)
    except BaseException:
        channel.close()
        raise
    if keeper and (channel.state() == layout.STATE_CLOSED or not keeper_lives(member.lock_fd)):
        segment.set_owner(channel.words, member.number, options.pid, options.boot_ns)  # [shmcomm.join.takeover]
        channel.words.store_u32(layout.HEADER_STATE_OFFSET, layout.STATE_OPEN, RELEASE)  # R7: pairs with A7
    return member


def _own_description(fd: int) -> int:
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDWR | _FD_FLAGS)
    except OSError as error:
        raise from_os_error(error, "the lock of an endpoint") from None


def _enter(channel: Segment, keeper: bool, options: Options) -> Member:
    """Step 4, for a segment that is there."""
    lock_fd = _own_description(channel.mapped.fd)
    try:
        number = _draw(lock_fd, keeper, options.endpoint, channel)
    except BaseException:
        os.close(lock_fd)
        raise
    return Member(channel, lock_fd, number, keeper, options.boot_ns)


def _draw(lock_fd: int, keeper: bool, wanted: int, channel: Segment | None) -> int:
    """A number that nobody else has, its bytes taken. BusyError if the one wanted is taken. [shmcomm.endpoint.number]"""
    for _ in range(_DRAWS):
        number = wanted or secrets.randbelow(layout.MAX_ENDPOINT) + 1
        if ofd.take(lock_fd, number):  # [shmcomm.endpoint.lock]
            kept = not keeper or ofd.take(lock_fd, layout.KEEPER_BASE + number)
            # Looked at second: an owner may die between a look and a taking. Its lock would look held if we had its number.
            if kept and (channel is None or channel.word(layout.HEADER_WRITER_LOCK_OFFSET) & layout.MAX_ENDPOINT != number):
                return number
            if kept and keeper:
                ofd.give(lock_fd, layout.KEEPER_BASE + number)
            ofd.give(lock_fd, number)
        if wanted:
            raise BusyError(f"endpoint {wanted} is taken")
    raise SystemError("no endpoint number is free")


def _create(fd: int, file: str, locator: str, pattern: int, options: Options) -> Member:
    """Steps 3 to 5 for a file that was made just now. After a failure its name is gone again."""
    try:
        lock_fd = _own_description(fd)
        try:
            number = _draw(lock_fd, True, options.endpoint, None)
            channel = segment.build(os.dup(fd), file, locator, segment.Fresh(
                options.capacity, pattern, options.serializer, number, options.pid, options.boot_ns, options.instance))
        except BaseException:
            os.close(lock_fd)
            raise
    except BaseException as error:
        os.unlink(file)
        if isinstance(error, OSError) and not isinstance(error, PermissionError):
            raise from_os_error(error, file) from None
        raise
    return Member(channel, lock_fd, number, True, options.boot_ns)


# Looking --------------------------------------------------------------------------------------------------------------


def look_at(locator: str, pattern: int | None, options: Options) -> Segment:
    """A read-only mapping for who is no endpoint. Errors of section 3, NotFoundError."""
    deadline = Deadline(options.wait)
    backoff = Backoff(deadline)
    while True:
        last = deadline.expired()
        try:
            fd, file = mapping.open_file(locator, os.O_RDONLY)
            if last or os.fstat(fd).st_size >= layout.HEADER_SIZE:
                return segment.map_checked(fd, file, False, pattern, locator)
            os.close(fd)  # its creator has not come to give it a size
        except (NotFoundError, NotReadyError):
            if last:
                raise
        backoff.pause()

