# SPDX-License-Identifier: MIT
"""Profile shmcomm: what all sockets have in common: opening, forks, closing, statistics, logging."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import time
from dataclasses import replace
from typing import Any, ClassVar, Final, Self
from weakref import WeakSet

from ..closing import Closing
from ..engine import Engine
from ..errors import ShmwireException
from ..wait import to_ns
from .core import Endpoint, open_endpoint
from .errors import SHMArgumentError, SHMClosedError, SHMError, SHMSerializationError, translated
from .message import LOOKERS, Info, Meta, Options, Role
from .serialize import Codec, Serializer

logger: Final = logging.getLogger("shmcomm")
_QUIET_NS: Final = 1_000_000_000  # between two warnings of one kind by one socket
_NEARLY_FULL: Final = 0.9
_METAS: Final[dict[int, Meta]] = {}


def meta_for(content_type: int) -> Meta:
    """What a message of a content type carries."""
    found = _METAS.get(content_type)
    if found is None:
        found = _METAS[content_type] = Meta(content_type=content_type)
    return found


def seconds(milliseconds: float | None) -> float | None:
    """A time limit of the sockets as one of the endpoints. SHMArgumentError for what is no time."""
    if milliseconds is None or milliseconds == 0:
        return milliseconds
    if not milliseconds > 0:
        raise SHMArgumentError(f"a time limit of {milliseconds!r} ms")
    return milliseconds / 1000


class Socket(Closing):
    """Base of the six sockets. A context manager; closed at exit where that was forgotten.

    Threads may share a socket: their calls are made one after the other. Processes do not: after a fork the child's object opens
    an endpoint of its own at its next use, and a socket that is pickled (multiprocessing "spawn") opens anew where it arrives.
    """

    _role: ClassVar[Role]

    def __init__(self, name: str, serializer: Serializer, engine: Engine | None, options: Options) -> None:
        self.name = name
        self._closed = False
        self._forked = False
        self._endpoint: Endpoint | None = None
        self._errors = 0
        self._warned = {"lost": 0, "full": 0}
        self._unsaid = 0
        self._codec = Codec(serializer)
        self._engine: Engine | None = engine
        self._options = replace(options, serializer=self._codec.content_type)
        self._endpoint = self._connect()
        _OPEN.add(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.name, self._codec.serializer, self._engine, self._options)

    # Opening and closing --------------------------------------------------------------------------------------------

    def _connect(self) -> Endpoint:
        try:
            to_ns(self._options.wait)
            endpoint = open_endpoint(self._role, self.name, self._options, self._engine)
        except ShmwireException as error:
            raise translated(error, repr(self)) from None
        logger.debug("%r: open on %s, engine %s", self, endpoint.segment, endpoint.engine)
        _see_to_exit()
        return endpoint

    def _ready(self) -> Endpoint:
        """The endpoint, in a forked child one of its own. SHMClosedError."""
        if self._closed or self._endpoint is None:
            raise SHMClosedError(f"{self!r} has been closed")
        if self._forked:
            self._forked = False
            inherited, self._endpoint = self._endpoint, None
            inherited.close()  # gives back memory alone
            self._endpoint = self._connect()
        return self._endpoint

    def after_fork(self) -> None:
        """In a forked child: endpoints are the parent's, but those who only look go on with what they have."""
        self._forked = self._role not in LOOKERS

    def close(self) -> None:
        """Leave the channel. The last of those who send closes it: receivers drain it, and then get SHMClosedError. May be
        called again.

        Example:
            >>> pub = Publisher("sensors")
            >>> pub.close()
        """
        if self._closed:
            return
        self._closed = True
        if self._endpoint is not None:
            with contextlib.suppress(ShmwireException):
                self._endpoint.close()
            logger.debug("%r: closed", self)

    def __enter__(self) -> Self:
        return self

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and not sys.is_finalizing():
            self.close()

    @property
    def closed(self) -> bool:
        """Has it been closed?"""
        return self._closed

    @property
    def segment(self) -> str:
        """The name of the shared memory, with its leading slash, or its path."""
        return self._ready().segment

    @property
    def engine(self) -> Engine:
        """Which engine stands behind it."""
        return self._ready().engine

    # Statistics and log ---------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, int]:
        """What this socket has done, and how its channel stands. Works after close(), too.

        Returns:
            dict: `sent`, `received`, `lost` (messages overwritten before this subscriber came to them), `refused` (sends for
            which there was no room), `discarded` (replies that came too late), `unanswered` (replies whose requester was gone),
            `takeovers` (locks taken from dead writers), `errors` (calls that raised), and of the channel `messages` (published,
            ever), `dropped` (pub/sub: messages evicted; otherwise sends refused, by anybody), and, in bytes, `used`, `capacity`
            and `max_payload`.

        Example:
            >>> pub.stats()["sent"]
            1
        """
        info = self._info()
        if info is None:
            raise SHMClosedError(f"{self!r} has been closed")
        return {"sent": info.sent, "received": info.received, "lost": info.lost, "refused": info.refused,
                "discarded": info.discarded, "unanswered": info.unanswered, "takeovers": info.takeovers, "errors": self._errors,
                "messages": info.message_count, "dropped": info.dropped_count, "used": info.head - info.tail,
                "capacity": info.capacity, "max_payload": info.max_payload}

    def _info(self) -> Info | None:
        try:
            if self._closed and self._endpoint is not None:
                return self._endpoint.last_info()
            return self._ready().info()
        except ShmwireException as error:
            raise self._failed(error) from None

    def _failed(self, error: ShmwireException) -> SHMError:
        """The exception for one of the endpoint's, counted."""
        self._errors += 1
        return translated(error, repr(self))

    def _unfit(self, error: SHMSerializationError) -> SHMSerializationError:
        """The same with the socket's name, counted."""
        self._errors += 1
        return SHMSerializationError(f"{self!r}: {error.detail or error.text}")

    def _may_warn(self, kind: str) -> bool:
        now = time.monotonic_ns()
        if self._warned[kind] and now - self._warned[kind] < _QUIET_NS:
            return False
        self._warned[kind] = now
        return True

    def _warn_lost(self, count: int) -> None:
        self._unsaid += count
        if self._may_warn("lost"):
            logger.warning("%r: %d messages lost: the publisher overtook this subscriber", self, self._unsaid)
            self._unsaid = 0

    def _warn_full(self, info: Info) -> None:
        used = info.head - info.tail
        if used >= _NEARLY_FULL * info.capacity and self._may_warn("full"):
            logger.warning("%r: %d of %d bytes are used: sends are refused when it is full", self, used, info.capacity)


def _revive(kind: type[Socket], name: str, serializer: Serializer, engine: Engine | None, options: Options) -> Socket:
    """A socket that was pickled, opened anew."""
    made = kind.__new__(kind)
    Socket.__init__(made, name, serializer, engine, options)
    return made


# Forks and exits ------------------------------------------------------------------------------------------------------

_OPEN: Final[WeakSet[Socket]] = WeakSet()


class _Exit:
    """In which process the clean-up at exit was arranged."""

    pid = 0


def _after_fork() -> None:
    for socket in list(_OPEN):
        socket.after_fork()


def close_all() -> None:
    """Close every socket of this process that is open. Done at exit."""
    for socket in list(_OPEN):
        if not socket._forked:
            socket.close()


def _see_to_exit() -> None:
    """Children that multiprocessing forked leave by os._exit, past atexit; their own list is run, however."""
    if _Exit.pid != os.getpid():
        _Exit.pid = os.getpid()
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.Finalize(None, close_all, exitpriority=0)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(close_all)
