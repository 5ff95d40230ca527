# SPDX-License-Identifier: MIT
"""Profile shmcomm: the sockets that receive: Subscriber and Puller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeVar

from ..engine import Engine
from ..errors import ShmwireException
from ..wait import DEFAULT_SPIN, SLICE_NS, Deadline
from . import aio, layout
from .core import Endpoint
from .errors import SHMClosedError, SHMLostError, SHMSerializationError, SHMTimeoutError
from .message import DEFAULT_READY_TIMEOUT, Message, Options, Role
from .serialize import Serializer
from .socket import Socket, seconds

if TYPE_CHECKING:
    from .array import Array

DEFAULT_BATCH: Final = 256

T = TypeVar("T")


class Received(NamedTuple):
    """A message with all that is known of it. A replier takes it to say what it answers."""

    value: Any  #: the object
    message: Message

    @property
    def sequence(self) -> int:
        """0, 1, 2 …: messages published in this channel before it."""
        return self.message.sequence

    @property
    def timestamp_ns(self) -> int:
        """When it was sent, nanoseconds since the Unix epoch."""
        return self.message.timestamp_ns

    @property
    def lost(self) -> int:
        """Subscribers: how many were lost just before it."""
        return self.message.lost

    @property
    def sender(self) -> int:
        """The sender's endpoint number."""
        return self.message.sender

    @property
    def content_type(self) -> int:
        """0 raw, 1 pickle, 2 msgpack, 3 json, 4 array; others are the application's."""
        return self.message.content_type


class View:
    """A message where it lies in shared memory, lent: nothing was copied. The publisher may overwrite it at any time, so what was
    read counts only if valid() says so afterwards.

    Example:
        >>> view = sub.recv_view(timeout=100)
        >>> total = view.array().sum()
        >>> if view.valid():
        ...     print(total)
    """

    __slots__ = ("_endpoint", "_what", "message")

    def __init__(self, endpoint: Endpoint, message: Message, what: str) -> None:
        self._endpoint = endpoint
        self._what = what
        self.message = message

    @property
    def data(self) -> memoryview:
        """The payload, read-only. It stays mapped as long as it is referred to."""
        return memoryview(self.message.payload)

    @property
    def content_type(self) -> int:
        """0 raw, 1 pickle, 2 msgpack, 3 json, 4 array."""
        return self.message.content_type

    @property
    def lost(self) -> int:
        """How many messages were lost just before it."""
        return self.message.lost

    def array(self) -> Array:
        """The array of a message of content type 4, over the shared memory itself, read-only. SHMSerializationError for any
        other message."""
        from .array import decode

        if self.message.content_type != layout.CONTENT_NDARRAY:
            raise SHMSerializationError(f"{self._what}: content type {self.message.content_type} is no array")
        return decode(self.message.payload)

    def valid(self) -> bool:
        """Is it still whole? Everything that was read before this call counts if so."""
        return self._endpoint.holds(self.message)

    def check(self) -> None:
        """SHMLostError if it is not."""
        if not self.valid():
            raise SHMLostError(f"{self._what}: the view has been overwritten", 1)

    def __len__(self) -> int:
        return len(self.message.payload)


class Receiving(Socket):
    """The half of a socket that receives messages."""

    _spin = DEFAULT_SPIN

    # One call of the endpoint, repeated until there is something -----------------------------------------------------

    def _await(self, call: Callable[[Endpoint, float], T | None], timeout: float | None) -> T:
        """Slices: Python's signal handlers and close() by another thread come in between."""
        limit = seconds(timeout)
        deadline = Deadline(limit)
        while True:
            endpoint = self._ready()
            last = limit == 0 or (limit is not None and deadline.remaining(SLICE_NS) < SLICE_NS)
            try:
                found = call(endpoint, deadline.remaining(SLICE_NS) / 1e9 if limit != 0 else 0)
            except ShmwireException as error:
                raise self._failed(error) from None
            if found:
                return found
            if last:
                raise SHMTimeoutError(f"{self!r}: nothing came within {timeout} ms")

    def _get(self, timeout: float | None) -> Message:
        endpoint = self._ready()
        try:
            found = endpoint.receive()  # what is there already
        except ShmwireException as error:
            raise self._failed(error) from None
        message = found or self._await(lambda endpoint, limit: endpoint.receive(limit, spin=self._spin), timeout)
        if message.lost:
            self._warn_lost(message.lost)
        return message

    def _decode(self, message: Message) -> object:
        try:
            return self._codec.decode(message.content_type, message.payload)
        except SHMSerializationError as error:
            raise self._unfit(error) from error.__cause__

    # Public ---------------------------------------------------------------------------------------------------------

    def recv(self, timeout: float | None = None) -> Any:
        """Receive an object.

        Args:
            timeout (float, optional): Most milliseconds to wait; 0 = do not wait. None = wait for ever (default).

        Returns:
            The object. Arrays are read-only, over the bytes that were received.

        Raises:
            SHMTimeoutError: Nothing came in time.
            SHMClosedError: This socket has been closed, or the channel, and everything has been received.
            SHMSerializationError: The message cannot be read so: it is not what it says, or a pickle where none is taken.

        Example:
            >>> sub = Subscriber("robot_commands")
            >>> msg = sub.recv(timeout=100)
        """
        return self._decode(self._get(timeout))

    def recv_bytes(self, timeout: float | None = None) -> bytes:
        """Receive a payload as it is, whatever its content type.

        Args:
            timeout (float, optional): As for recv.

        Example:
            >>> raw = sub.recv_bytes(timeout=100)
        """
        payload = self._get(timeout).payload
        return payload if isinstance(payload, bytes) else bytes(payload)

    def recv_message(self, timeout: float | None = None) -> Received:
        """Receive an object together with its sequence, time, sender and losses.

        Args:
            timeout (float, optional): As for recv.

        Example:
            >>> received = sub.recv_message(timeout=100)
            >>> received.sequence, received.value
            (0, {'cmd': 'move'})
        """
        message = self._get(timeout)
        return Received(self._decode(message), message)

    async def recv_async(self, timeout: float | None = None) -> Any:
        """recv for asyncio. No thread stands behind it: cancelling it takes nothing from the channel and leaves nothing.

        Args:
            timeout (float, optional): As for recv.

        Example:
            >>> msg = await sub.recv_async(timeout=100)
        """
        return self._decode(await self._get_async(timeout))

    async def _get_async(self, timeout: float | None) -> Message:
        def look() -> Message | None:
            endpoint = self._ready()
            try:
                return endpoint.receive(0)
            except ShmwireException as error:
                raise self._failed(error) from None

        message = await aio.poll(look, seconds(timeout))
        if message is None:
            raise SHMTimeoutError(f"{self!r}: nothing came within {timeout} ms")
        if message.lost:
            self._warn_lost(message.lost)
        return message

    def __iter__(self) -> Iterator[Any]:
        """The objects that come, until the channel is closed."""
        while True:
            try:
                yield self.recv()
            except SHMClosedError:
                return


class ManyReceiving(Receiving):
    """What Subscriber and Puller share: batches."""

    def recv_many(self, limit: int = DEFAULT_BATCH, timeout: float | None = None) -> list[Any]:
        """Receive what is there, by one call into the channel; waits for the first only.

        Args:
            limit (int): Most objects.
            timeout (float, optional): As for recv.

        Returns:
            list: One object at least.

        Example:
            >>> for msg in sub.recv_many(100, timeout=50):
            ...     print(msg)
        """
        messages = self._await(lambda endpoint, slice_: endpoint.receive_batch(limit, slice_, spin=self._spin), timeout)
        if messages[0].lost:
            self._warn_lost(messages[0].lost)
        return [self._decode(message) for message in messages]

    def recv_packed(self, limit: int = DEFAULT_BATCH, timeout: float | None = None) -> tuple[bytes, list[int]]:
        """Receive payloads as they are, one behind the other: the quickest way for many small ones.

        Args:
            limit (int): Most messages.
            timeout (float, optional): As for recv.

        Returns:
            tuple[bytes, list[int]]: The bytes, and where each payload ends in them.

        Example:
            >>> blob, ends = sub.recv_packed(1000, timeout=50)
        """
        def call(endpoint: Endpoint, limit_: float) -> tuple[bytes, list[int]] | None:
            found = endpoint.receive_packed(limit, limit_, spin=self._spin)
            return found if found[1] else None

        return self._await(call, timeout)


class Subscriber(ManyReceiving):
    """Receives what is published in a channel from now on. One that is too slow is overtaken: it goes on with the oldest message
    held, and `stats()["lost"]` says how many it missed.

    Example:
        >>> sub = Subscriber("robot_commands")
        >>> msg = sub.recv(timeout=100)  # ms
    """

    _role: ClassVar[Role] = "subscriber"

    def __init__(self, name: str, *, serializer: Serializer = "pickle", oldest: bool = False, tell_lost: bool = False,
                 read_only: bool = False, wait: float = DEFAULT_READY_TIMEOUT, engine: Engine | None = None) -> None:
        """Begin to follow a channel.

        Args:
            name (str): As its publishers give it.
            serializer (str): With anything but "pickle", pickles are refused: nothing that a writer says is run.
            oldest (bool): Begin with the oldest message held, not with the next one.
            tell_lost (bool): Raise SHMLostError, once, when messages were missed.
            read_only (bool): Map nothing writable: it then looks every millisecond, since nobody can wake it.
            wait (float): Seconds to wait for a channel that is not there yet.
            engine (str): "native" or "python"; by default native where it is installed.

        Raises:
            SHMNotFoundError: There is no such channel after `wait`.
            SHMConnectionError: There is something else.
        """
        super().__init__(name, serializer, engine, Options(oldest=oldest, tell_lost=tell_lost, read_only=read_only, wait=wait))

    def recv_view(self, timeout: float | None = None) -> View:
        """Receive a message without copying it.

        Args:
            timeout (float, optional): As for recv.

        Returns:
            View: `data` and `array()` show the shared memory itself; `valid()` says whether that was still the message.

        Example:
            >>> view = sub.recv_view(timeout=100)
            >>> mean = view.array().mean()
            >>> view.check()
        """
        message = self._await(lambda endpoint, limit: endpoint.view(limit, spin=self._spin), timeout)
        if message.lost:
            self._warn_lost(message.lost)
        return View(self._ready(), message, repr(self))

    def seek(self, to: str = "latest") -> None:
        """Go to the "oldest" message held, or behind the "latest" one. What is passed over does not count as lost.

        Example:
            >>> sub.seek("latest")
        """
        try:
            self._ready().seek(to == "oldest")
        except ShmwireException as error:
            raise self._failed(error) from None


class Puller(ManyReceiving):
    """Takes messages from a pipeline; each goes to one puller. One that is killed takes along what it was given, nothing else.

    Example:
        >>> pull = Puller("jobs")
        >>> job = pull.recv(timeout=1000)
    """

    _role: ClassVar[Role] = "puller"

    def __init__(self, name: str, *, serializer: Serializer = "pickle", wait: float = DEFAULT_READY_TIMEOUT,
                 engine: Engine | None = None) -> None:
        """Join a pipeline.

        Args:
            name (str): As its pushers give it.
            serializer (str): With anything but "pickle", pickles are refused.
            wait (float): Seconds to wait for a channel that is not there yet.
            engine (str): "native" or "python"; by default native where it is installed.
        """
        super().__init__(name, serializer, engine, Options(wait=wait))
