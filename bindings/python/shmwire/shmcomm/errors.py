# SPDX-License-Identifier: MIT
"""Profile shmcomm: the exceptions of the sockets. Each is one of the library's as well, so that both families catch them:
`except SHMConnectionError` and `except shmwire.NotFoundError`, `except SHMTimeoutError` and `except TimeoutError`.

    SHMError
      SHMConnectionError     no channel, another pattern, not ours, broken
        SHMClosedError         closed by hand, or by the last of those who send
        SHMNotFoundError, SHMExistsError, SHMBusyError, SHMCorruptError, SHMFormatError, SHMPermissionError,
        SHMUnsupportedError, SHMSystemError
      SHMTimeoutError        the time limit passed first
      SHMBufferFullError     no room
        SHMFullError           not now
        SHMTooLargeError       never: the message is larger than the ring takes
      SHMSerializationError  an object cannot be sent so, or a message cannot be read so
      SHMLostError           on request: messages were overwritten before this subscriber came to them
      SHMOrderError          a reply without a request
      SHMNameError, SHMArgumentError
"""

from __future__ import annotations

from typing import ClassVar, Final

from ..errors import (
    BadGeometryError,
    BadMagicError,
    BadVersionError,
    BusyError,
    Closed,
    CorruptError,
    Empty,
    ExistsError,
    Full,
    InvalidArgumentError,
    InvalidNameError,
    Lapped,
    NotFoundError,
    NotReadyError,
    OutOfOrderError,
    PermissionError,
    ShmwireException,
    SystemError,
    Timeout,
    TooLargeError,
    TruncatedError,
    UnsupportedError,
)


class SHMError(ShmwireException):
    """Base of all exceptions of the sockets."""

    name: ClassVar[str] = "SHM"
    text: ClassVar[str] = "it did not work"


class SHMConnectionError(SHMError):
    """There is no channel of that name to be used so."""

    name: ClassVar[str] = "CONNECTION"
    text: ClassVar[str] = "no connection to shared memory"


class SHMClosedError(SHMConnectionError, Closed):
    """The socket has been closed, or the channel by the last of those who send, and nothing is left."""

    name, text = Closed.name, Closed.text


class SHMNotFoundError(SHMConnectionError, NotFoundError):
    """There is no such channel."""

    name, text = NotFoundError.name, NotFoundError.text


class SHMExistsError(SHMConnectionError, ExistsError):
    """The channel is there already."""

    name, text = ExistsError.name, ExistsError.text


class SHMBusyError(SHMConnectionError, BusyError):
    """Somebody else holds the lock of the writers, or keeps the channel."""

    name, text = BusyError.name, BusyError.text


class SHMCorruptError(SHMConnectionError, CorruptError):
    """The segment holds something that no rule allows."""

    name, text = CorruptError.name, CorruptError.text


class SHMPermissionError(SHMConnectionError, PermissionError):
    """The segment's mode does not let this process do it."""

    name, text = PermissionError.name, PermissionError.text


class SHMUnsupportedError(SHMConnectionError, UnsupportedError):
    """A channel of another pattern, or something that this socket or installation does not do."""

    name, text = UnsupportedError.name, UnsupportedError.text


class SHMSystemError(SHMConnectionError, SystemError):
    """The operating system refused."""

    name, text = SystemError.name, SystemError.text


class SHMFormatError(SHMConnectionError, BadMagicError, BadVersionError, BadGeometryError, TruncatedError, NotReadyError):
    """The segment is no channel, or one of another version, or cut short, or never finished. The message says which."""

    name: ClassVar[str] = "FORMAT"
    text: ClassVar[str] = "no channel of this format"


class SHMTimeoutError(SHMError, Timeout):
    """The time limit passed first."""

    name, text = Timeout.name, Timeout.text


class SHMBufferFullError(SHMError):
    """There is no room for the message."""

    name: ClassVar[str] = "FULL"
    text: ClassVar[str] = "there is no room for the message"


class SHMFullError(SHMBufferFullError, Full):
    """There is no room for the message now."""

    name, text = Full.name, Full.text


class SHMTooLargeError(SHMBufferFullError, TooLargeError):
    """The message is larger than the channel takes; open it with a larger capacity."""

    name, text = TooLargeError.name, TooLargeError.text


class SHMSerializationError(SHMError, ValueError):
    """The object cannot be sent so, or the message cannot be read so."""

    name: ClassVar[str] = "SERIALIZATION"
    text: ClassVar[str] = "it cannot be serialized so"


class SHMLostError(SHMError, Lapped):
    """Messages were overwritten before this subscriber came to them. The next recv returns the message behind them."""

    name, text = Lapped.name, Lapped.text

    def __init__(self, detail: str = "", lost: int = 0) -> None:
        super().__init__(detail)
        #: How many.
        self.lost = lost


class SHMOrderError(SHMError, OutOfOrderError):
    """A reply without a request, or a claim that is not open."""

    name, text = OutOfOrderError.name, OutOfOrderError.text


class SHMNameError(SHMError, InvalidNameError):
    """Names of channels are 1 to 200 characters of A-Z a-z 0-9 . _ and -."""

    name, text = InvalidNameError.name, InvalidNameError.text


class SHMArgumentError(SHMError, InvalidArgumentError):
    """An argument that makes no sense."""

    name, text = InvalidArgumentError.name, InvalidArgumentError.text


_KINDS: Final[tuple[tuple[type[ShmwireException], type[SHMError]], ...]] = (
    (Timeout, SHMTimeoutError), (Empty, SHMTimeoutError), (Full, SHMFullError), (TooLargeError, SHMTooLargeError),
    (Closed, SHMClosedError), (NotFoundError, SHMNotFoundError), (ExistsError, SHMExistsError), (BusyError, SHMBusyError),
    (CorruptError, SHMCorruptError), (PermissionError, SHMPermissionError), (UnsupportedError, SHMUnsupportedError),
    (SystemError, SHMSystemError), (OutOfOrderError, SHMOrderError), (InvalidNameError, SHMNameError),
    (InvalidArgumentError, SHMArgumentError), (BadMagicError, SHMFormatError), (BadVersionError, SHMFormatError),
    (BadGeometryError, SHMFormatError), (TruncatedError, SHMFormatError), (NotReadyError, SHMFormatError),
)


def translated(error: ShmwireException, what: str) -> SHMError:
    """The sockets' exception for one of the library's; `what` names the socket."""
    if isinstance(error, SHMError):
        return error
    if isinstance(error, Lapped):
        return SHMLostError(f"{what}: {error.detail or error.text}", getattr(error, "count", 0))
    kind = next((ours for theirs, ours in _KINDS if isinstance(error, theirs)), SHMConnectionError)
    detail = error.detail or error.text
    return kind(f"{what}: {error.name}: {detail}" if kind is SHMFormatError else f"{what}: {detail}")
