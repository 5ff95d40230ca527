# SPDX-License-Identifier: MIT
"""The classes that users see. Queues are made by shmwire.slick; either engine stands behind them."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self
from weakref import WeakSet

from ..bytes import parts_of
from ..closing import Closing
from ..engine import Engine
from ..errors import InvalidArgumentError, Lapped, OutOfOrderError, Timeout, UnsupportedError
from ..wait import Backoff, Deadline, to_ns
from . import layout
from .cursor import Cursor
from .item import Batch, Generation, Header, Item, ProducerInfo, QueueInfo, ReaderInfo, SlotInfo, Start, View

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Mode = Literal["r", "rw"]
DEFAULT_BATCH: Final = 256
DEFAULT_STALL: Final = layout.DEFAULT_STALL_NS / 1e9


class _Handle(Closing, ABC):
    """What is closed by hand, by the end of a `with` block, or with its queue."""

    engine: Engine

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the segment, which stays as it is. Later calls raise Closed."""
        with self._lock:
            self._close()

    @abstractmethod
    def _close(self) -> None:
        """close, under the lock; may be called again."""


class Queue(_Handle):
    """A queue, attached. Threads may share it; producers and readers made from it are closed with it."""

    name: str  #: as it was given; "" for a queue without a name
    shm_name: str  #: what other programs open: with the leading slash, or the path; "" without a name [slick.segment.name]
    writable: bool
    generation: Generation
    size: int  #: elements
    element_size: int  #: bytes

    def __init__(self) -> None:
        super().__init__()
        self._users: WeakSet[Producer | Reader] = WeakSet()

    def close(self) -> None:
        """Let go of the segment, which stays as it is; its producers and readers are closed as well."""
        for user in list(self._users):
            user.close()
        super().close()

    def producer(self, *, stall: float = DEFAULT_STALL) -> Producer:
        """Begin to produce. Open one for each thread.

        stall: seconds to wait for an item that lies one lap before and that another producer has left unpublished; then it is
            given up [slick.reserve.give-up].
        PermissionError for a queue opened with "r", UnsupportedError without the extension module.
        """
        to_ns(stall)
        made = self._make_producer(stall)
        self._users.add(made)
        return made

    def reader(self, start: Start = "oldest", *, cursor: Cursor | None = None) -> Reader:
        """Begin to read [slick.read.start].

        start: "oldest" begins at the oldest item that is whole, "latest" behind the last reservation, a number at that index.
        cursor: take items by this shared cursor, each for one of its readers; start then counts for nothing.
        """
        require_start(start)
        if cursor is not None:
            cursor.require_writable()
        made = self._make_reader(start, cursor)
        self._users.add(made)
        return made

    @abstractmethod
    def info(self) -> QueueInfo:
        """Geometry, and how far the queue has come."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything: index 0 comes next. Only for a queue at rest. PermissionError, UnsupportedError.
        [slick.reset.clear]"""

    @abstractmethod
    def recover(self, *, all_dead: bool = False) -> int:
        """Mark what dead producers reserved and never published: how many marks were made.

        all_dead: the caller knows that no producer lives. Otherwise BusyError unless it is seen that nobody else maps the
            segment.
        [slick.recover.holes, slick.recover.last, slick.recover.dead]
        """

    @abstractmethod
    def validate(self) -> None:
        """Check header and slots: raises for the first finding. Of a queue that is written meanwhile it may report what is only
        half done."""

    @abstractmethod
    def header(self) -> Header:
        """The header as it is in memory."""

    @abstractmethod
    def slots(self) -> list[SlotInfo]:
        """All slots as they are in memory."""

    @abstractmethod
    def _make_producer(self, stall: float) -> Producer:
        """producer, its arguments checked."""

    @abstractmethod
    def _make_reader(self, start: Start, cursor: Cursor | None) -> Reader:
        """reader, its arguments checked."""


class Claim(ABC):
    """Elements that are reserved and not published: `with producer.reserve(2) as claim: claim.view[:5] = b"hello"`.

    The end of the block publishes, an exception that leaves it abandons; so do publish() and abandon() by hand. Readers stop at
    the item until then: fill it soon. Use it on one thread.
    """

    def __init__(self, index: int, elements: int, view: memoryview) -> None:
        self.index = index
        self.elements = elements
        #: The elements, writable; what they hold is undefined. Released by publish and abandon.
        self.view = view
        self._open = True

    @property
    def capacity(self) -> int:
        """Bytes: elements times the element size."""
        return self.view.nbytes

    def publish(self) -> int:
        """Publish: the index. Lapped when somebody gave the item up meanwhile: it is not published. OutOfOrderError for a claim
        that is published or abandoned. [slick.publish.order, slick.publish.given-up]"""
        self._end(self._publish)
        return self.index

    def abandon(self) -> None:
        """Give the reservation up: readers pass it. Lapped and OutOfOrderError as publish; UnsupportedError for one of the whole
        ring, which stays open. [slick.publish.abandon]"""
        self._end(self._abandon)

    def _end(self, how: Callable[[], None]) -> None:
        if not self._open:
            raise OutOfOrderError("the claim has been published or abandoned")
        try:
            how()
        except UnsupportedError:
            raise
        except BaseException:
            self.release()
            raise
        self.release()

    def release(self) -> None:
        """The claim is no longer the caller's: take the view back. Nothing in the segment changes."""
        self._open = False
        with contextlib.suppress(BufferError):  # somebody made an array of it
            self.view.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._open:
            return
        if kind is None:
            self.publish()
            return
        with contextlib.suppress(Lapped, UnsupportedError):
            self.abandon()

    @abstractmethod
    def _publish(self) -> None:
        """publish."""

    @abstractmethod
    def _abandon(self) -> None:
        """abandon."""


class Producer(_Handle):
    """Writes items. Never waits for readers; waits, for the stall time at most, where another producer is a whole lap behind.
    Threads may share one, but it has one claim at a time. After a fork parent and child have one each; an open claim is the
    parent's."""

    def reserve(self, elements: int = 1) -> Claim:
        """Reserve elements that lie side by side.

        InvalidArgumentError below 1, TooLargeError above the ring and above 65,535, BusyError while a claim is open, Closed when
        the indices are used up, CorruptError. [slick.reserve.*]
        """
        with self._lock:
            return self._reserve(elements)

    def write(self, data: ReadableBuffer) -> int:
        """Write one item, a positive multiple of element_size bytes: its index. Errors as reserve and publish.
        [slick.reserve.length]"""
        with self._lock:
            return self._write(data)

    def write_batch(self, items: Sequence[ReadableBuffer]) -> list[int]:
        """Write items of one length: their indices, in order. Few reservations, and one call into C with the native engine.

        All items are looked at first: for InvalidArgumentError and TooLargeError nothing was written. Lapped and Closed leave
        those before published; info() counts them.
        """
        with self._lock:
            return self._write_batch(items)

    def write_packed(self, blob: ReadableBuffer, length: int) -> list[int]:
        """write_batch for items of `length` bytes each that lie one behind the other in one buffer, with no object for each.

        InvalidArgumentError, and nothing was written, when the buffer's length is no multiple of `length`, or that no positive
        multiple of element_size.
        """
        with self._lock:
            return self._write_packed(blob, length)

    @abstractmethod
    def info(self) -> ProducerInfo:
        """What this producer has done."""

    @abstractmethod
    def _reserve(self, elements: int) -> Claim:
        """reserve, under the lock."""

    @abstractmethod
    def _write(self, data: ReadableBuffer) -> int:
        """write, under the lock."""

    @abstractmethod
    def _write_batch(self, items: Sequence[ReadableBuffer]) -> list[int]:
        """write_batch, under the lock."""

    def _write_packed(self, blob: ReadableBuffer, length: int) -> list[int]:
        """write_packed, under the lock."""
        return self._write_batch(parts_of(blob, length))


class Reader(_Handle):
    """Reads a queue, live. Threads may share one: each item goes to one of them. It never changes the segment: one of a queue
    opened with "r" works on a read-only mapping [slick.segment.readonly]."""

    def next(self, *, max_size: int | None = None) -> Item | None:
        """The next item, copied and proved whole; None at once when there is none [slick.read.recheck].

        max_size: refuse an item above so many bytes with TooSmallError, and leave it next.
        Lapped when producers overtook it again and again: ask again. CorruptError for what no producer leaves; the reader stays.
        """
        with self._lock:
            return self._next(max_size)

    def read(self, timeout: float | None = None, *, max_size: int | None = None) -> Item:
        """The next item, waited for up to `timeout` seconds (None: for ever); Timeout.

        The format has no word to sleep on: waiting is looking, with pauses of up to 1 ms [slick.read.timeout].
        """
        deadline = Deadline(timeout)
        backoff = Backoff(deadline)
        while True:
            last = deadline.expired()  # first, so that one look comes after it
            try:
                item = self.next(max_size=max_size)
            except Lapped:
                if last:
                    raise
                continue
            if item is not None:
                return item
            if last:
                raise Timeout("")
            backoff.pause()

    def batch(self, limit: int = DEFAULT_BATCH, *, max_bytes: int | None = None) -> Batch:
        """Up to `limit` items that are there, of `max_bytes` together, proved whole by one look at the reservation; one call
        into C with the native engine. Exceptions as next(), and only when there is no item before. [slick.read.batch]"""
        if limit < 1 or (max_bytes is not None and max_bytes < 0):
            raise InvalidArgumentError(f"a batch of {limit} items, {max_bytes} bytes")
        with self._lock:
            return self._batch(limit, max_bytes)

    def view(self) -> View | None:
        """The next item where it lies, without a copy: what View.data shows counts only if View.is_valid() after its use. By a
        shared cursor it is taken before that is known. [slick.read.view]"""
        with self._lock:
            return self._view()

    def last(self, *, max_size: int | None = None) -> Item | None:
        """The published item with the highest index, or None; the cursor stays. Exceptions as next(). [slick.read.last]"""
        with self._lock:
            return self._last(max_size)

    def seek(self, start: Start) -> int:
        """Go elsewhere: the index. Counters go on, and nothing counts as lost. A shared cursor is stored to."""
        require_start(start)
        with self._lock:
            return self._seek(start)

    def __iter__(self) -> Iterator[Item]:
        """The items that are there, one at a time; ends when there is none. A later loop goes on from there."""
        while True:
            try:
                item = self.next()
            except Lapped:
                continue
            if item is None:
                return
            yield item

    def follow(self, timeout: float | None = None) -> Iterator[Item]:
        """Items as they come. Ends when none came for `timeout` seconds; never with None."""
        while True:
            try:
                item = self.read(timeout)
            except Timeout:
                return
            yield item

    @abstractmethod
    def info(self) -> ReaderInfo:
        """Where the reader stands, and what it has seen; of a closed one, as it was."""

    @property
    def cursor(self) -> int:
        """Index of the next item; of a shared cursor, as it is now."""
        return self.info().cursor

    @property
    def lost(self) -> int:
        """Indices that were overwritten before this reader came to them."""
        return self.info().lost

    @property
    def resets(self) -> int:
        """Resets of the queue that this reader noticed."""
        return self.info().resets

    @abstractmethod
    def holds(self, index: int) -> bool:
        """Has nobody reserved the elements of an item again? False after close."""

    @abstractmethod
    def _next(self, max_size: int | None) -> Item | None:
        """next, under the lock."""

    @abstractmethod
    def _batch(self, limit: int, max_bytes: int | None) -> Batch:
        """batch, under the lock."""

    @abstractmethod
    def _view(self) -> View | None:
        """view, under the lock."""

    @abstractmethod
    def _last(self, max_size: int | None) -> Item | None:
        """last, under the lock."""

    @abstractmethod
    def _seek(self, start: Start) -> int:
        """seek, under the lock."""


def require_start(start: Start) -> None:
    """InvalidArgumentError for another word, and for a number that no index can be."""
    known = 0 <= start < layout.INDEX_LIMIT if isinstance(start, int) else start in ("oldest", "latest")
    if not known:
        raise InvalidArgumentError(f"start {start!r}: oldest, latest or an index is wanted")
