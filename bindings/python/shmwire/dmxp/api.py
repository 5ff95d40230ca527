# SPDX-License-Identifier: MIT
"""The public classes of profile dmxp, which both engines implement: Segment, Channel, Claim.

Threads and processes. Segments and channels may be used by any number of threads at once; a claim belongs to one thread.
After a fork the child may go on with its parent's objects. close() while another thread is inside a call is safe: the
mapping goes away with its last user, and later calls raise Closed.

Truncation. A segment that somebody shortens raises SIGBUS in everyone who touches what is gone, as every mapping does. The
library installs no handler.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..bytes import parts_of
from ..errors import Timeout
from ..wait import DEFAULT_SPIN
from . import layout
from .message import ID_POSITION, ChannelInfo, Message, MessageBatch, MetaFields, Recovery, SegmentInfo

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: How many messages receive_batch takes at most when the caller does not say.
DEFAULT_BATCH = 64
SleepHook = Callable[[], None]


class Claim(ABC):
    """A claimed slot, to be filled in place: `with channel.claim() as claim: claim.view[:5] = b"hello"; claim.commit(5)`.

    Consumers stop at the position until it is committed or abandoned. Leaving the block by an exception, or without a
    commit, abandons it. Use it on one thread.
    """

    __slots__ = ()

    #: Position of the slot in channel order.
    position: int
    #: The payload area, writable, as long as the largest payload. Released by commit and abandon.
    view: memoryview

    @abstractmethod
    def commit(self, length: int, *, message_id: int = ID_POSITION, timestamp_ns: int = 0, message_type: int = 0,
               sender_pid: int = 0, sender_runtime: int = 0, flags: int = 0) -> None:
        """Publish the first `length` bytes of the view. TooLargeError above its size; the claim stays then.

        OutOfOrderError after a commit or abandon. [dmxp.produce.publish, dmxp.produce.meta]
        """

    @abstractmethod
    def abandon(self) -> None:
        """Give the position up: consumers step over it. Nothing happens after a commit. [dmxp.produce.abandon]"""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.abandon()


class Channel(ABC):
    """One channel of a segment, its geometry checked. Every call can raise Closed when the channel has been removed."""

    __slots__ = ()

    #: Index of the channel, 0 to 255.
    id: int
    #: Slots.
    capacity: int
    #: Largest payload that can be sent, bytes.
    payload_capacity: int

    # Producers ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def try_send(self, data: ReadableBuffer, *, message_id: int = ID_POSITION, timestamp_ns: int = 0, message_type: int = 0,
                 sender_pid: int = 0, sender_runtime: int = 0, flags: int = 0) -> int | None:
        """Send one message: its position, or None when the channel is full. `data` is anything with the buffer protocol.

        The keywords are those of MetaFields; 0, or ID_POSITION for message_id, stands for the default.

        TooLargeError, InvalidArgumentError, Closed, CorruptError, PermissionError. [dmxp.produce.*]
        """

    @abstractmethod
    def send(self, data: ReadableBuffer, timeout: float | None = None, *,
             message_id: int = ID_POSITION, timestamp_ns: int = 0, message_type: int = 0,
             sender_pid: int = 0, sender_runtime: int = 0, flags: int = 0) -> int:
        """Send one message, waiting up to `timeout` seconds (None: no limit) for room: its position, or Timeout.

        The format has no word to sleep on for room: it polls, spinning first and then sleeping up to 1 ms at a time.
        """

    @abstractmethod
    def send_batch(self, items: Sequence[ReadableBuffer], metas: Sequence[MetaFields] | None = None) -> int | None:
        """Send all messages (1 to capacity) or none: the position of the first, or None when there is no room for all.

        One claim and one wake for all; every length is checked first. `metas`, when given, has one entry per item.
        [dmxp.produce.batch-claim, dmxp.produce.batch-order]
        """

    def send_packed(self, blob: ReadableBuffer, lengths: int | Sequence[int]) -> int | None:
        """send_batch for payloads that lie one behind the other in one buffer, with no object for each.

        lengths: of each payload, or one number that is the length of all. They add up to the buffer's.
        """
        return self.send_batch(parts_of(blob, lengths))

    @abstractmethod
    def claim(self) -> Claim:
        """Claim the next slot to fill in place. Raises Full when there is none."""

    # Consumers ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def try_receive(self, *, max_size: int | None = None) -> Message | None:
        """Take one message, or None when there is none.

        A message longer than `max_size` stays in place: TooSmallError, whose `needed` is its length. CorruptError for an
        impossible length has released the slot. PermissionError on a read-only segment. [dmxp.consume.*]
        """

    @abstractmethod
    def receive(self, timeout: float | None = None, *, spin: float = DEFAULT_SPIN, max_size: int | None = None) -> Message:
        """Take one message, sleeping up to `timeout` seconds (None: no limit) for it, else Timeout.

        `spin` is how long to poll before the first sleep, seconds: 0 where idle CPU matters more than latency. A
        KeyboardInterrupt gets through within a tenth of a second. [dmxp.wait.*]
        """

    @abstractmethod
    def receive_batch(self, limit: int = DEFAULT_BATCH, *, max_bytes: int | None = None) -> MessageBatch:
        """Take up to `limit` messages (1 or more) that are there; an empty batch when there is none. Cut up lazily.

        `max_bytes` bounds their payloads together: TooSmallError when the first alone is longer. An error behind the first
        message ends the batch before it and comes with the next call.
        """

    @abstractmethod
    def peek(self, *, max_size: int | None = None) -> Iterator[Message]:
        """Look at the messages that nobody has taken yet, oldest first, without taking them; works read-only.

        The iterator goes on after a CorruptError, with the next position; a TooSmallError (a message longer than
        `max_size`) it repeats. [dmxp.peek.*]
        """

    def messages(self, timeout: float | None = None, *, spin: float = DEFAULT_SPIN) -> Iterator[Message]:
        """Receive until no message has come for `timeout` seconds (None: for ever)."""
        while True:
            try:
                yield self.receive(timeout, spin=spin)
            except Timeout:
                return

    @abstractmethod
    def set_sleep_hook(self, hook: SleepHook | None) -> None:
        """Call `hook` in the receiving thread each time before it sleeps, after its last look: for idle work and tests.

        Set it before the channel is shared between threads.
        """


class Segment(ABC):
    """An attached segment. Close it, or use it as a context manager; closing never removes or changes it."""

    __slots__ = ()

    #: "python" or "native".
    engine: str
    #: Bytes mapped.
    size: int
    #: Whether it was opened for writing.
    writable: bool

    @abstractmethod
    def info(self) -> SegmentInfo:
        """The header, as it is now."""

    @abstractmethod
    def create_channel(self, channel: int, capacity: int = layout.DEFAULT_CAPACITY, *, counted_waiters: bool = False) -> Channel:
        """Make channel 0 to 255 with `capacity` slots (a power of two, 2 or more) and attach to it.

        counted_waiters promises that no consumer is of the source system, which does not count itself: producers then
        skip needless wakes. ExistsError; TooLargeError when the segment has no room; InvalidArgumentError;
        PermissionError. Waits for the segment lock. [dmxp.channel.lock, dmxp.channel.placement, dmxp.channel.commit]
        """

    @abstractmethod
    def remove_channel(self, channel: int) -> None:
        """Remove a channel: its messages are gone, its users get Closed. NotFoundError. [dmxp.channel.remove]"""

    @abstractmethod
    def channels(self) -> list[int]:
        """Ids of the channels that are there, ascending."""

    @abstractmethod
    def channel(self, channel: int) -> Channel:
        """Check the entry and attach. NotFoundError, BadGeometryError, CorruptError. [dmxp.channel.*]"""

    @abstractmethod
    def channel_info(self, channel: int) -> ChannelInfo:
        """Look at an entry, unchecked: for operators. InvalidArgumentError outside 0 to 255."""

    @abstractmethod
    def validate(self) -> None:
        """Check all that can be checked without consuming: header, entries, overlaps, slot sequences.

        Raises the error of the first finding. On a live segment slots are checked loosely.
        """

    @abstractmethod
    def recover(self, *, all_dead: bool = False) -> Recovery:
        """Repair what dead processes left. [dmxp.recover.*]

        `all_dead` is the operator's word that nobody else uses the segment; without it, BusyError when another process
        maps the segment or when that cannot be told.
        """

    @abstractmethod
    def close(self) -> None:
        """Detach: later calls raise Closed. May be called again.

        Commit or abandon claims first: consumers stop at an open one.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
