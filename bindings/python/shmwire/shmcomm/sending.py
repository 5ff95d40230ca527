# SPDX-License-Identifier: MIT
"""Profile shmcomm: the sockets that send into a channel of their own: Publisher and Pusher."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from ..bytes import contiguous
from ..engine import Engine
from ..errors import Full, ShmwireException, Timeout
from . import layout
from .array import Encoded
from .core import Endpoint
from .errors import SHMSerializationError
from .message import DEFAULT_READY_TIMEOUT, Making, Options, Role
from .serialize import Payload, Serializer
from .socket import Socket, meta_for, seconds

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_JOINED_UP_TO: Final = 4096  # bytes: a copy of a small array is cheaper than a claim
_LOOK_EVERY: Final = 64  # sends, for the warning before a pipeline is full


class Sending(Socket):
    """The half of a socket that sends messages one by one."""

    def send(self, obj: object, timeout: float | None = None) -> bool:
        """Send an object.

        Args:
            obj: What the serializer takes: anything that can be pickled, by default. NumPy arrays of plain elements go without
                being pickled, with every serializer.
            timeout (float, optional): Most milliseconds to wait for room. None = do not wait (default). Publishers never wait.

        Returns:
            bool: True if it was sent, False if there was no room.

        Raises:
            SHMSerializationError: The object cannot be serialized so.
            SHMTooLargeError: It is larger than the channel takes; the message names the limit.
            SHMClosedError: This socket, or the channel, has been closed.
            SHMBusyError: Somebody else holds the lock of the writers.

        Example:
            >>> pub = Publisher("sensors")
            >>> pub.send({"temp": 25.5, "pressure": 1013})
            True
        """
        endpoint = self._ready()
        try:
            content_type, payload = self._codec.encode(obj)
        except SHMSerializationError as error:
            raise self._unfit(error) from error.__cause__
        return self._put(endpoint, content_type, payload, timeout)

    def send_bytes(self, data: ReadableBuffer, timeout: float | None = None, *, content_type: int = layout.CONTENT_RAW) -> bool:
        """Send bytes as they are, whatever the serializer.

        Args:
            data: Anything with the buffer protocol.
            timeout (float, optional): As for send.
            content_type (int): What receivers take it for; 0 is bytes, numbers above 4 are the application's.

        Returns:
            bool: True if it was sent, False if there was no room.

        Example:
            >>> pub.send_bytes(b"raw bytes")
            True
        """
        return self._put(self._ready(), content_type, contiguous(data), timeout)

    def _put(self, endpoint: Endpoint, content_type: int, payload: Payload, timeout: float | None) -> bool:
        limit = 0 if timeout is None else seconds(timeout)
        try:
            if isinstance(payload, Encoded):
                self._put_array(endpoint, payload, limit)
            else:
                endpoint.send(payload, meta_for(content_type), limit)
        except (Full, Timeout):
            self._warn_full(endpoint.info())
            return False
        except ShmwireException as error:
            raise self._failed(error) from None
        return True

    def _put_array(self, endpoint: Endpoint, payload: Encoded, limit: float | None) -> None:
        endpoint.send(memoryview(payload.join()), meta_for(layout.CONTENT_NDARRAY), limit)


class ChannelSocket(Sending):
    """What Publisher and Pusher share: they make and keep their channel, send batches, and fill messages in place."""

    _sends = 0

    def __init__(self, name: str, *, capacity: int = layout.DEFAULT_CAPACITY, serializer: Serializer = "pickle",
                 sole: bool = False, wait: float = DEFAULT_READY_TIMEOUT, engine: Engine | None = None,
                 mode: int = layout.DEFAULT_MODE, making: Making = "any") -> None:
        """Join the channel, or make it where it is not there.

        Args:
            name (str): Of the channel: 1 to 200 characters of A-Z a-z 0-9 . _ -; or, with a slash in it, a segment.
            capacity (int): Bytes of the ring if the channel is made now, a power of two from 4096. A message takes at most
                capacity / 2 - 40 bytes: 10 MB take 32 MiB.
            serializer (str): "pickle", "msgpack", "json" or "raw".
            sole (bool): Be the only one who sends, and pay for the lock once. Others get SHMBusyError.
            wait (float): Seconds to wait for a channel that somebody is making, or that must exist.
            engine (str): "native" or "python"; by default native where it is installed.
            mode (int): Permissions of a channel that is made now.
            making (str): "any", "create" (SHMExistsError if it is there) or "join" (SHMNotFoundError if it is not).
        """
        super().__init__(name, serializer, engine, Options(capacity=capacity, sole=sole, wait=wait, mode=mode, making=making))

    def send_many(self, objects: Sequence[object], timeout: float | None = None) -> int:
        """Send several objects, in order, by one call into the channel. Other senders' messages may come in between.

        Args:
            objects: What send takes.
            timeout (float, optional): As for send, for all of them.

        Returns:
            int: How many were sent; less than all when there was no room for more.

        Example:
            >>> pub.send_many([{"n": 1}, {"n": 2}])
            2
        """
        endpoint, sent, begin = self._ready(), 0, 0
        try:
            encoded = [self._codec.encode(item) for item in objects]
        except SHMSerializationError as error:
            raise self._unfit(error) from error.__cause__
        plain = [(kind, bytes(payload.join()) if isinstance(payload, Encoded) else payload) for kind, payload in encoded]
        while begin < len(plain):
            end = begin + 1
            while end < len(plain) and plain[end][0] == plain[begin][0]:
                end += 1
            parts = [payload for _, payload in plain[begin:end]]
            done = self._count(endpoint, plain[begin][0], parts, timeout)
            sent += done
            if done < len(parts):
                break
            begin = end
        return sent

    def _count(self, endpoint: Endpoint, content_type: int, parts: Sequence[bytes | memoryview], timeout: float | None) -> int:
        return self._batch(endpoint, b"".join(parts), [len(part) for part in parts], content_type, timeout)

    def send_packed(self, blob: ReadableBuffer, lengths: int | Sequence[int], timeout: float | None = None, *,
                    content_type: int = layout.CONTENT_RAW) -> int:
        """Send messages that lie one behind the other in a buffer: the quickest way for many small ones.

        Args:
            blob: The payloads, without gaps.
            lengths: Of each in bytes; one number if all are as long.
            timeout (float, optional): As for send.
            content_type (int): Of all of them.

        Returns:
            int: How many were sent.

        Example:
            >>> pub.send_packed(bytes(640), 64)
            10
        """
        return self._batch(self._ready(), contiguous(blob), lengths, content_type, timeout)

    def _batch(self, endpoint: Endpoint, blob: bytes | memoryview, lengths: int | Sequence[int], content_type: int,
               timeout: float | None) -> int:
        try:
            sent, stop = endpoint.send_packed(blob, lengths, meta_for(content_type), 0 if timeout is None else seconds(timeout))
        except ShmwireException as error:
            raise self._failed(error) from None
        if isinstance(stop, (Full, Timeout)):
            self._warn_full(endpoint.info())
        elif stop is not None:
            raise self._failed(stop) from None
        return sent

    @contextlib.contextmanager
    def claim(self, length: int, timeout: float | None = None, *, content_type: int = layout.CONTENT_RAW) -> Iterator[memoryview]:
        """Fill a message where it will lie. The end of the block publishes it, an exception gives it up. Nobody else can send
        meanwhile: be quick.

        Args:
            length (int): Bytes.
            timeout (float, optional): As for send.
            content_type (int): What receivers take it for.

        Raises:
            SHMFullError, SHMTimeoutError: There is no room.

        Example:
            >>> with pub.claim(5) as view:
            ...     view[:] = b"hello"
        """
        endpoint = self._ready()
        with endpoint.lock:
            try:
                view = endpoint.claim(length, meta_for(content_type), 0 if timeout is None else seconds(timeout))
            except ShmwireException as error:
                raise self._failed(error) from None
            try:
                yield view
            except BaseException:
                endpoint.abandon()
                raise
            endpoint.commit()

    def _put_array(self, endpoint: Endpoint, payload: Encoded, limit: float | None) -> None:
        """Straight from the array into the ring."""
        if payload.length < _JOINED_UP_TO:
            super()._put_array(endpoint, payload, limit)
            return
        with endpoint.lock:
            view = endpoint.claim(payload.length, meta_for(layout.CONTENT_NDARRAY), limit)
            try:
                payload.write(view)
            except BaseException:
                endpoint.abandon()
                raise
            endpoint.commit()


class Publisher(ChannelSocket):
    """Sends to all subscribers of a channel. Nobody waits for subscribers: the oldest messages make room for new ones.

    Example:
        >>> pub = Publisher("robot_commands")
        >>> pub.send({"cmd": "move", "pos": [1.0, 2.0, 3.0]})
        True
    """

    _role: ClassVar[Role] = "publisher"


class Pusher(ChannelSocket):
    """Sends each message to one of the pullers of a channel. Nothing is lost: send returns False when the channel is full, and
    what is left when the last pusher closes waits for a puller.

    Example:
        >>> push = Pusher("jobs")
        >>> push.send({"job": 17}, timeout=100)
        True
    """

    _role: ClassVar[Role] = "pusher"

    def _put(self, endpoint: Endpoint, content_type: int, payload: Payload, timeout: float | None) -> bool:
        self._sends += 1
        if self._sends % _LOOK_EVERY == 0:
            self._warn_full(endpoint.info())
        return super()._put(endpoint, content_type, payload, timeout)
