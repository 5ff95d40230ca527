# SPDX-License-Identifier: MIT
"""Profile shmcomm, python engine: an endpoint put together from the parts that follow the chapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, TypeVar

from .. import atomic
from .. import map as mapping
from ..atomic import RELAXED
from ..errors import Closed, InvalidArgumentError, ShmwireException, UnsupportedError
from ..wait import DEFAULT_SPIN, Deadline
from . import layout
from .core import Endpoint
from .endpoint import join, keeper_lives, look_at
from .message import KEEPERS, LOOKERS, NO_META, PATTERN_OF, Counters, Info, Message, Meta, Options, Role
from .patterns import any_segment, segment_name
from .pull import Puller
from .reader import Cursor
from .reply import Replies, Requests
from .segment import Segment, map_signals
from .validate import validate
from .wake import DATA, await_
from .writer import Writer

if TYPE_CHECKING:
    from .endpoint import Member

T = TypeVar("T")


class PureEndpoint(Endpoint):
    """An endpoint of the python engine."""

    def __init__(self, role: Role, name: str, options: Options) -> None:
        super().__init__()
        self.engine = "python"
        self.role = role
        self.name = name
        self._counters = Counters()
        self._member: Member | None = None
        self._channel: Segment | None = None
        self._writer: Writer | None = None
        self._puller: Puller | None = None
        self._cursor: Cursor | None = None
        self._requests: Requests | None = None
        self._replies: Replies | None = None
        self._info: Info | None = None  # the last, of one that has been closed
        locator = segment_name(PATTERN_OF[role], name) if role in PATTERN_OF else any_segment(name)
        self.segment = mapping.full_name(locator)
        if role in LOOKERS:
            self._look(locator, options)
        elif not atomic.AVAILABLE:
            raise UnsupportedError("without the extension module there are only subscribers and observers")
        else:
            self._join(locator, replace(options, capacity=options.capacity or layout.DEFAULT_CAPACITY))

    def _look(self, locator: str, options: Options) -> None:
        self._channel = look_at(locator, PATTERN_OF.get(self.role), options)
        if self.role == "subscriber" and not options.read_only and atomic.AVAILABLE:
            map_signals(self._channel)
        oldest = options.oldest or self.role == "observer"
        try:
            self._cursor = Cursor(self._channel, self._counters, oldest, options.tell_lost)
        except BaseException:
            self._channel.close()
            raise

    def _join(self, locator: str, options: Options) -> None:
        if self.role == "requester":
            self._requests = Requests(self.name, options, self._counters)
            self._member, self._writer = self._requests.member, self._requests.writer
        else:
            self._member = join(locator, PATTERN_OF[self.role], self.role in KEEPERS, options)
            try:
                if self.role in ("publisher", "pusher"):
                    self._writer = Writer(self._member, self._counters, options.sole)
                else:
                    self._puller = Puller(self._member, self._counters)
                if self.role == "replier":
                    self._replies = Replies(self.name, options, self._counters)
            except BaseException:
                self._member.leave()
                raise
        self._channel = self._member.segment

    def close(self) -> None:
        """Leave, and remove the channel if its rules say so [shmcomm.leave.last]. Later calls raise Closed."""
        with self.lock:
            channel, self._channel = self._channel, None
            if channel is None:
                return
            self._info = self._look_around(channel)
            try:
                self._leave(channel)
            finally:
                self._member = self._writer = self._puller = self._cursor = self._requests = self._replies = None

    def _leave(self, channel: Segment) -> None:
        if self._requests is not None:
            self._requests.close()
            return
        if self._replies is not None:
            self._replies.close(sweeping=self._member is not None and self._member.lock_fd >= 0)  # not in a forked child
        if self._writer is not None:
            self._writer.close()
        if self._member is not None:
            self._member.leave(puller=self._puller is not None)
        else:
            channel.close()

    def _open(self) -> Segment:
        if self._channel is None:
            raise Closed(f"{self.name} has been closed")
        return self._channel

    # Sending --------------------------------------------------------------------------------------------------------

    def _sender(self, plain: bool = False) -> Writer:
        self._open()
        if self._writer is None or (plain and self._requests is not None):
            raise UnsupportedError(f"a {self.role} does not send so")
        return self._writer

    def send(self, data: bytes | memoryview, meta: Meta = NO_META, timeout: float | None = 0) -> int:
        with self.lock:
            writer = self._sender()
            if self._requests is not None:
                return self._requests.send(data, meta, timeout)
            return writer.send(data, meta, timeout)

    def send_batch(self, parts: Sequence[bytes | memoryview], meta: Meta = NO_META, timeout: float | None = 0
                   ) -> tuple[int, ShmwireException | None]:
        with self.lock:
            return self._sender(plain=True).send_batch(parts, meta, timeout)

    def claim(self, length: int, meta: Meta = NO_META, timeout: float | None = 0) -> memoryview:
        with self.lock:
            if length < 0:
                raise InvalidArgumentError(f"{length} bytes")
            return self._sender(plain=True).claim(length, meta, timeout)

    def commit(self) -> int:
        with self.lock:
            return self._sender(plain=True).commit()

    def abandon(self) -> None:
        with self.lock:
            self._sender(plain=True).abandon()

    def reply(self, request: Message, data: bytes | memoryview, meta: Meta = NO_META, timeout: float | None = 0) -> None:
        with self.lock:
            self._open()
            if self._replies is None or self._member is None:
                raise UnsupportedError(f"a {self.role} does not reply")
            self._member.require()
            self._replies.send(request, data, meta, timeout)
            self._member.beat()

    # Receiving ------------------------------------------------------------------------------------------------------

    def _wait(self, look: Callable[[], T | None], timeout: float | None, spin: float) -> T | None:
        channel = self._open()
        deadline = Deadline(timeout)
        if self._requests is not None:
            channel = self._requests.replies.segment
        found = look()
        return found if found is not None or timeout == 0 else await_(channel.signals, DATA, look, deadline, spin)

    def _looker(self) -> Cursor:
        self._open()
        if self._cursor is None:
            raise UnsupportedError(f"a {self.role} takes messages: it neither views nor seeks")
        return self._cursor

    def _next(self, max_size: int | None) -> Message | None:
        self._open()
        if self._cursor is not None:
            return self._cursor.next(max_size)
        if self._requests is not None:
            return self._requests.next(max_size)
        if self._puller is None:
            raise UnsupportedError(f"a {self.role} does not receive")
        if self._replies is not None:
            self._replies.sweep_now_and_then()
        return self._puller.next(max_size)

    def _batch(self, limit: int, max_bytes: int | None) -> list[Message] | None:
        self._open()
        source = self._cursor or self._puller
        if source is None:
            raise UnsupportedError(f"a {self.role} does not receive batches")
        return source.batch(limit, max_bytes) or None

    def receive(self, timeout: float | None = 0, max_size: int | None = None, spin: float = DEFAULT_SPIN) -> Message | None:
        with self.lock:
            return self._wait(lambda: self._next(max_size), timeout, spin)

    def receive_batch(self, limit: int, timeout: float | None = 0, max_bytes: int | None = None, spin: float = DEFAULT_SPIN
                      ) -> list[Message]:
        with self.lock:
            if limit < 1:
                raise InvalidArgumentError(f"a batch of {limit}")
            return self._wait(lambda: self._batch(limit, max_bytes), timeout, spin) or []

    def view(self, timeout: float | None = 0, spin: float = DEFAULT_SPIN) -> Message | None:
        with self.lock:
            cursor = self._looker()
            return self._wait(lambda: cursor.next(view=True), timeout, spin)

    def holds(self, message: Message) -> bool:
        cursor = self._cursor
        return cursor is not None and self._channel is not None and cursor.holds(message)

    def seek(self, oldest: bool) -> None:
        with self.lock:
            self._looker().seek(oldest)

    # Everything else ------------------------------------------------------------------------------------------------

    def info(self) -> Info:
        with self.lock:
            return self._look_around(self._open())

    def last_info(self) -> Info | None:
        """info() as it was at close()."""
        return self._info

    def _look_around(self, channel: Segment) -> Info:
        member, counters = self._member, self._counters
        if self._writer is not None:
            counters.takeovers = self._writer.lock.takeovers
        fd = member.lock_fd if member is not None and member.lock_fd >= 0 else channel.mapped.fd
        own = member is not None and member.keeper and member.lock_fd >= 0
        word, words = channel.word, channel.words
        return Info(
            capacity=channel.capacity, max_payload=channel.max_payload, head=channel.head(), tail=channel.tail(),
            message_count=channel.message_count(), dropped_count=words.load_u64(layout.HEADER_DROPPED_COUNT_OFFSET, RELAXED),
            instance=channel.instance, heartbeat_ns=words.load_u64(layout.HEADER_HEARTBEAT_NS_OFFSET, RELAXED),
            pattern=channel.pattern, state=channel.state(), writer_lock=word(layout.HEADER_WRITER_LOCK_OFFSET),
            lock_epoch=word(layout.HEADER_LOCK_EPOCH_OFFSET), data_waiters=word(layout.HEADER_DATA_WAITERS_OFFSET),
            space_waiters=word(layout.HEADER_SPACE_WAITERS_OFFSET), owner_pid=word(layout.HEADER_OWNER_PID_OFFSET),
            owner_endpoint=word(layout.HEADER_OWNER_ENDPOINT_OFFSET), serializer=channel.serializer,
            endpoint=member.number if member is not None else 0, keeper_lives=own or keeper_lives(fd), **asdict(counters))

    def snapshot(self) -> bytes:
        with self.lock:
            channel = self._open()
            return channel.window.read(0, layout.RING_OFFSET + channel.capacity)

    def validate(self) -> None:
        with self.lock:
            channel = self._open()
            if self.role != "observer":
                raise UnsupportedError(f"a {self.role} does not validate")
            validate(channel)
