# SPDX-License-Identifier: MIT
"""Profile shmcomm: requests and replies: Requester and Replier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..bytes import contiguous
from ..engine import Engine
from ..errors import Closed, Full, ShmwireException, Timeout
from . import layout
from .array import Encoded
from .errors import SHMOrderError, SHMSerializationError
from .message import DEFAULT_READY_TIMEOUT, Message, Options, Role
from .receiving import Received, Receiving
from .sending import Sending
from .serialize import Payload, Serializer
from .socket import meta_for, seconds

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Requester(Sending, Receiving):
    """Asks a service, and waits for the reply: send, recv, send, recv. A new request gives up the one before; a reply that comes
    too late is discarded.

    Example:
        >>> client = Requester("control_service")
        >>> client.send({"query": "status"})
        True
        >>> response = client.recv(timeout=1000)
    """

    _role: ClassVar[Role] = "requester"

    def __init__(self, name: str, *, capacity: int = layout.DEFAULT_REPLY_CAPACITY, serializer: Serializer = "pickle",
                 wait: float = DEFAULT_READY_TIMEOUT, engine: Engine | None = None) -> None:
        """Join a service.

        Args:
            name (str): As its repliers give it.
            capacity (int): Bytes of the ring for the replies; one takes at most capacity / 2 - 40.
            serializer (str): "pickle", "msgpack", "json" or "raw".
            wait (float): Seconds to wait for a service that is not there yet.
            engine (str): "native" or "python"; by default native where it is installed.
        """
        super().__init__(name, serializer, engine, Options(capacity=capacity, wait=wait))

    def request(self, obj: object, timeout: float | None = None) -> Any:
        """send and recv in one.

        Args:
            obj: The request.
            timeout (float, optional): Most milliseconds to wait for room, and for the reply after that. None = for ever.

        Returns:
            The reply.

        Raises:
            SHMTimeoutError: No reply came in time.

        Example:
            >>> status = client.request({"query": "status"}, timeout=1000)
        """
        if not self.send(obj, timeout if timeout is not None else float("inf")):
            raise self._failed(Timeout("there was no room for the request"))
        return self.recv(timeout)


class Replier(Receiving):
    """Answers the requests of a service. Several may share them.

    Example:
        >>> server = Replier("control_service")
        >>> req = server.recv()
        >>> server.send({"status": "ok"})
        True
    """

    _role: ClassVar[Role] = "replier"

    def __init__(self, name: str, *, capacity: int = layout.DEFAULT_CAPACITY, serializer: Serializer = "pickle",
                 wait: float = DEFAULT_READY_TIMEOUT, engine: Engine | None = None, mode: int = layout.DEFAULT_MODE) -> None:
        """Offer a service, or join those who do.

        Args:
            name (str): Of the service.
            capacity (int): Bytes of the ring for requests, if it is made now.
            serializer (str): "pickle", "msgpack", "json" or "raw".
            wait (float): Seconds to wait for somebody who is making it.
            engine (str): "native" or "python"; by default native where it is installed.
            mode (int): Permissions of a channel that is made now.
        """
        self._request: Message | None = None
        super().__init__(name, serializer, engine, Options(capacity=capacity, wait=wait, mode=mode))

    def after_fork(self) -> None:
        super().after_fork()
        self._request = None  # the parent answers it

    def _get(self, timeout: float | None) -> Message:
        self._request = super()._get(timeout)
        return self._request

    async def _get_async(self, timeout: float | None) -> Message:
        self._request = await super()._get_async(timeout)
        return self._request

    def send(self, obj: object, timeout: float | None = None, *, to: Received | None = None) -> bool:
        """Answer the request that was received last, or another one.

        Args:
            obj: The reply.
            timeout (float, optional): Most milliseconds to wait for room. None = do not wait (default).
            to (Received, optional): What it answers, from recv_message; several requests may be answered in any order.

        Returns:
            bool: True if it was sent; False if the requester is gone (stats()["unanswered"]) or its ring is full.

        Raises:
            SHMOrderError: There is no request to answer.

        Example:
            >>> received = server.recv_message(timeout=100)
            >>> server.send({"status": "ok"}, to=received)
            True
        """
        try:
            content_type, payload = self._codec.encode(obj)
        except SHMSerializationError as error:
            raise self._unfit(error) from error.__cause__
        return self._answer(to, content_type, payload, timeout)

    def send_bytes(self, data: ReadableBuffer, timeout: float | None = None, *, to: Received | None = None,
                   content_type: int = layout.CONTENT_RAW) -> bool:
        """Answer with bytes as they are.

        Example:
            >>> server.send_bytes(b"pong")
            True
        """
        return self._answer(to, content_type, contiguous(data), timeout)

    def _answer(self, to: Received | None, content_type: int, payload: Payload, timeout: float | None) -> bool:
        endpoint = self._ready()
        request = to.message if to is not None else self._request
        if request is None:
            raise self._failed(SHMOrderError(f"{self!r}: there is no request to answer"))
        plain = memoryview(payload.join()) if isinstance(payload, Encoded) else payload
        try:
            endpoint.reply(request, plain, meta_for(content_type), 0 if timeout is None else seconds(timeout))
        except (Full, Timeout):
            return False  # it may be tried again
        except Closed:
            self._answered(request)
            return False
        except ShmwireException as error:
            raise self._failed(error) from None
        self._answered(request)
        return True

    def _answered(self, request: Message) -> None:
        if self._request is request:
            self._request = None
