# SPDX-License-Identifier: MIT
"""Profile shmcomm: one endpoint, of either engine, in the terms of the chapter: bytes, sequences, and the registry's exceptions.
The classes that most programs want stand above it, in sockets.py; drivers and tools use this one."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import accumulate
from typing import Final
from weakref import WeakSet

from ..bytes import parts_of
from ..closing import Closing
from ..engine import Engine, is_native
from ..errors import InvalidArgumentError, ShmwireException
from ..wait import DEFAULT_SPIN
from .message import NO_META, ROLES, Info, Message, Meta, Options, Recovered, Role


class Endpoint(Closing, ABC):
    """One end of a channel. Use one for each thread; calls of several are made one after the other.

    Time limits are seconds: 0 = do not wait, None = no limit. A forked child has none of its parent's writing endpoints: calls
    on them there raise OutOfOrderError [shmcomm.endpoint.fork]. Subscribers and observers go on in both.
    """

    engine: Engine
    role: Role
    name: str  #: as it was given
    segment: str  #: the segment's name with its leading slash, or its path

    def __init__(self) -> None:
        #: Held by every call. Who makes several that belong together, such as claim and commit, holds it meanwhile.
        self.lock: AbstractContextManager[object] = threading.RLock()
        _ENDPOINTS.add(self)

    def after_fork(self) -> None:
        """In a forked child: a thread of the parent may have held the lock."""
        self.lock = threading.RLock()

    @abstractmethod
    def send(self, data: bytes | memoryview, meta: Meta = NO_META, timeout: float | None = 0) -> int:
        """Send a message: its sequence. Publishers, pushers, requesters. Full, Timeout, BusyError, Closed, TooLargeError,
        CorruptError, UnsupportedError."""

    @abstractmethod
    def send_batch(self, parts: Sequence[bytes | memoryview], meta: Meta = NO_META, timeout: float | None = 0
                   ) -> tuple[int, ShmwireException | None]:
        """Send messages in order, one meta for all: how many were sent, and what stopped it. Publishers and pushers.
        TooLargeError, with none sent, if any is."""

    @abstractmethod
    def claim(self, length: int, meta: Meta = NO_META, timeout: float | None = 0) -> memoryview:
        """The payload of a message, to be filled in place. Until commit or abandon nobody else can write: be quick. Publishers
        and pushers. BusyError while a claim is open."""

    @abstractmethod
    def commit(self) -> int:
        """Publish what was claimed: its sequence. OutOfOrderError."""

    @abstractmethod
    def abandon(self) -> None:
        """Give up what was claimed. OutOfOrderError. [shmcomm.send.claim]"""

    @abstractmethod
    def reply(self, request: Message, data: bytes | memoryview, meta: Meta = NO_META, timeout: float | None = 0) -> None:
        """Answer a request. Repliers. Closed: its requester is gone, the reply was dropped and counted. Full, Timeout.
        [shmcomm.reply.pair]"""

    @abstractmethod
    def receive(self, timeout: float | None = 0, max_size: int | None = None, spin: float = DEFAULT_SPIN) -> Message | None:
        """The next message; None if there is none when the time is up. Everybody but publishers and pushers. TooSmallError
        (above `max_size` bytes; the message stays next), Lapped, Closed, CorruptError, OutOfOrderError."""

    @abstractmethod
    def receive_batch(self, limit: int, timeout: float | None = 0, max_bytes: int | None = None, spin: float = DEFAULT_SPIN
                      ) -> list[Message]:
        """Up to `limit` messages and `max_bytes` bytes of payload; waits for the first only. Not for requesters."""

    def send_packed(self, blob: bytes | memoryview, lengths: int | Sequence[int], meta: Meta = NO_META, timeout: float | None = 0
                    ) -> tuple[int, ShmwireException | None]:
        """send_batch for messages that lie one behind the other; `lengths` is one number if all are as long."""
        return self.send_batch(parts_of(blob, lengths), meta, timeout)

    def receive_packed(self, limit: int, timeout: float | None = 0, max_bytes: int | None = None, spin: float = DEFAULT_SPIN
                       ) -> tuple[bytes, list[int]]:
        """receive_batch as one blob, and where each payload ends in it."""
        found = self.receive_batch(limit, timeout, max_bytes, spin)
        return b"".join([message.payload for message in found]), list(accumulate([len(message.payload) for message in found]))

    @abstractmethod
    def view(self, timeout: float | None = 0, spin: float = DEFAULT_SPIN) -> Message | None:
        """The next message, its payload where it lies. Subscribers and observers. What it shows is the message only if holds()
        says so after it was used. [shmcomm.receive.view]"""

    @abstractmethod
    def holds(self, message: Message) -> bool:
        """Are the bytes of a view still those of its message?"""

    @abstractmethod
    def seek(self, oldest: bool) -> None:
        """Go to the oldest message held, or behind the newest. Subscribers and observers."""

    @abstractmethod
    def last_info(self) -> Info | None:
        """info() as it was at close()."""

    @abstractmethod
    def info(self) -> Info:
        """The header, and what this endpoint has done."""

    @abstractmethod
    def snapshot(self) -> bytes:
        """The bytes of the segment, of a service of its request channel, as they are. Only of a channel at rest they go
        together."""

    @abstractmethod
    def validate(self) -> None:
        """Check header and frames: raises for the first finding. Observers."""


_ENDPOINTS: Final[WeakSet[Endpoint]] = WeakSet()


def _after_fork() -> None:
    for endpoint in list(_ENDPOINTS):
        endpoint.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def open_endpoint(role: Role, name: str, options: Options | None = None, engine: Engine | None = None) -> Endpoint:
    """Open one end of the channel or service `name`, 1 to 200 characters of A-Z a-z 0-9 . _ -, or, with a slash in it, of the
    segment at that locator. After a failure nothing is left behind.

    InvalidNameError, InvalidArgumentError, NotFoundError, ExistsError, BusyError, UnsupportedError (another pattern),
    NotReadyError, TruncatedError, BadMagicError, BadVersionError, BadGeometryError, CorruptError, PermissionError, SystemError.
    """
    if role not in ROLES:
        raise InvalidArgumentError(f"role {role!r}")
    chosen = options or Options()
    if is_native(engine):
        from . import native
        return native.NativeEndpoint(role, name, chosen)
    from . import pure
    return pure.PureEndpoint(role, name, chosen)


def recover(locator: str, engine: Engine | None = None) -> Recovered:
    """Repair the channel at `locator` if a dead writer holds its lock, and remove the reply channels of dead requesters.
    BusyError: the holder lives. Errors of opening."""
    if is_native(engine):
        from . import native
        return native.recover(locator)
    from .recover import recover as repair
    return repair(locator)


def remove(locator: str, insist: bool = False, engine: Engine | None = None) -> None:
    """Remove the stale channel at `locator`, or a segment that was never finished. BusyError while a keeper lives, Full for a
    pipeline that holds messages unless `insist`. [shmcomm.remove.*]"""
    if is_native(engine):
        from . import native
        native.remove(locator, insist)
        return
    from .recover import remove as unlink_stale
    unlink_stale(locator, insist)
