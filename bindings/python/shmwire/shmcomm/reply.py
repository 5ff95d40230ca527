# SPDX-License-Identifier: MIT
"""Profile shmcomm, section 9, python engine: requests and replies. A requester is an endpoint of the request channel and, with
the same number, the one keeper and puller of its reply channel."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from ..errors import BusyError, Closed, ExistsError, NotFoundError, OutOfOrderError, ShmwireError, SystemError
from . import layout
from .endpoint import Member, join, keeper_lives
from .message import U64, Counters, Message, Meta, Options
from .patterns import segment_name
from .pull import Puller
from .recover import remove, sweep
from .writer import Writer

_KEPT: Final = 256  # reply channels that a replier keeps joined: a descriptor, two in fact, and a mapping each
_NUMBERS: Final = 100
SWEEP_NS: Final = layout.WAIT_SLICE_NS


class Requests:
    """A requester."""

    def __init__(self, name: str, options: Options, counters: Counters) -> None:
        self._counters = counters
        self._outstanding = 0
        # Not the number: a new requester must not take the replies to an old one's requests for its own.
        self._next = options.correlation_id or secrets.randbelow(U64) + 1  # [shmcomm.request.correlation]
        self.member, self._replies = self._enter(name, options)
        self.writer = Writer(self.member, counters)
        self._puller = Puller(self._replies, Counters())

    def _enter(self, name: str, options: Options) -> tuple[Member, Member]:
        """Both channels, with one number. [shmcomm.request.number]"""
        request = segment_name(layout.PATTERN_REQUEST, name)
        own = replace(options, capacity=options.capacity or layout.DEFAULT_REPLY_CAPACITY, making="create")
        for _ in range(_NUMBERS):
            member = join(request, layout.PATTERN_REQUEST, False, options)
            try:
                reply = segment_name(layout.PATTERN_REPLY, name, member.number)
                with contextlib.suppress(ShmwireError):  # of a dead requester, it goes; a living one's means another number
                    remove(reply, insist=True)
                return member, join(reply, layout.PATTERN_REPLY, True, replace(own, endpoint=member.number))
            except (ExistsError, BusyError):
                member.leave()
                if options.endpoint:
                    raise BusyError(f"endpoint {options.endpoint} is taken") from None
            except BaseException:
                member.leave()
                raise
        raise SystemError("no endpoint number is free")

    def close(self) -> None:
        """Leave both channels."""
        self.writer.close()
        self._replies.leave()
        self.member.leave()

    @property
    def replies(self) -> Member:
        """The end of the reply channel."""
        return self._replies

    def send(self, data: bytes | memoryview, meta: Meta, timeout: float | None) -> int:
        """Send a request and give up the one before. Errors as for Writer.send."""
        self._outstanding = 0
        while self._puller.next() is not None:
            self._counters.discarded += 1
        correlation = self._next
        sent = self.writer.send(data, meta, timeout, correlation)
        self._outstanding = correlation
        self._next = correlation + 1 & U64 or 1
        return sent

    def next(self, most: int | None = None) -> Message | None:
        """The reply to the request, None while there is none. OutOfOrderError without a request. [shmcomm.request.late,
        shmcomm.request.order]"""
        self.member.require()
        if not self._outstanding:
            raise OutOfOrderError("no request is outstanding")
        while True:
            message = self._puller.next(most)
            if message is None:
                return None
            if message.correlation_id == self._outstanding:
                self._outstanding = 0
                self._counters.received += 1
                return message
            self._counters.discarded += 1


class Replies:
    """A replier's way back to those who asked."""

    def __init__(self, name: str, mode: Options, counters: Counters) -> None:
        self._name = name
        self._counters = counters
        self._options = replace(mode, wait=0.0, endpoint=0, making="join")
        self._joined: OrderedDict[int, Writer] = OrderedDict()
        self._swept = time.monotonic_ns()
        self.sweep()

    def close(self, sweeping: bool) -> None:
        """Leave all reply channels."""
        for number in list(self._joined):
            self._forget(number)
        if sweeping:
            self.sweep()

    def _forget(self, number: int) -> None:
        writer = self._joined.pop(number)
        writer.close()
        writer.member.leave()

    def sweep(self) -> int:
        """Remove the reply channels of dead requesters: how many. [shmcomm.reply.sweep]"""
        for number in [n for n, writer in self._joined.items() if writer.member.segment.state() == layout.STATE_CLOSED]:
            self._forget(number)
        self._swept = time.monotonic_ns()
        return sweep(self._name)

    def sweep_now_and_then(self) -> None:
        """sweep(), when a second has passed since the last."""
        if time.monotonic_ns() - self._swept >= SWEEP_NS:
            self.sweep()

    def send(self, request: Message, data: bytes | memoryview, meta: Meta, timeout: float | None) -> None:
        """Answer a request. Closed: its requester is gone, the reply was dropped and counted. Full, Timeout, TooLargeError.
        [shmcomm.reply.pair, shmcomm.reply.vanished]"""
        try:
            self._writer(request).send(data, meta, timeout, request.correlation_id)
        except (Closed, NotFoundError):
            self._counters.unanswered += 1
            raise Closed(f"requester {request.sender} is gone") from None

    def _writer(self, request: Message) -> Writer:
        """The reply channel of a request's sender, with somebody at its other end as far as that must be asked. Closed."""
        number = request.sender
        writer = self._joined.get(number)
        if writer is not None and writer.member.segment.state() != layout.STATE_OPEN:  # A7 [shmcomm.reply.recreated]
            self._forget(number)
            writer = None
        fresh = writer is None
        if writer is None:
            writer = self._join(number)
        self._joined.move_to_end(number)
        old = time.monotonic_ns() - request.taken_ns >= layout.LIVENESS_AGE_NS
        if (fresh or old) and not keeper_lives(writer.member.lock_fd):
            locator = writer.member.segment.locator
            self._forget(number)
            with contextlib.suppress(ShmwireError):
                remove(locator, insist=True)
            raise Closed(f"requester {number} is dead")
        return writer

    def _join(self, number: int) -> Writer:
        if not 1 <= number <= layout.MAX_ENDPOINT:
            raise Closed(f"{number} is no requester's number")
        try:
            member = join(segment_name(layout.PATTERN_REPLY, self._name, number), layout.PATTERN_REPLY, False, self._options)
        except ShmwireError as error:  # absent, of another pattern, or no channel: nobody asked from there
            raise Closed(f"requester {number}: {error}") from None
        self._joined[number] = Writer(member, self._counters)
        while len(self._joined) > _KEPT:
            self._forget(next(iter(self._joined)))
        return self._joined[number]

