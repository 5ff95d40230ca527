# SPDX-License-Identifier: MIT
"""Profile slick, section 5.1: a cursor that several readers share, so that each item goes to one of them. Both engines use this
class: the native one hands the address of its word to C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from .. import map as mapping
from ..atomic import ACQUIRE, AVAILABLE, RELEASE, Words
from ..bytes import Window
from ..closing import Closing
from ..errors import InvalidArgumentError, UnsupportedError
from ..wait import Deadline
from . import layout
from .item import Start

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from .api import Queue


class Cursor(Closing):
    """A shared cursor: `queue.reader(cursor=Cursor.open("/queue-work"))`. Threads may share it."""

    def __init__(self, window: Window, mapped: mapping.Mapping | None = None) -> None:
        self._window = window
        self._words = Words(window)
        self._mapped = mapped

    @classmethod
    def create(cls, name: str | None, queue: Queue, start: Start = "oldest", *, mode: int = layout.DEFAULT_MODE) -> Self:
        """Make a cursor in a segment of its own, standing where `start` says in the queue; before any reader opens it.

        name: as of a queue; None for a cursor of this process and its forked children.
        ExistsError, and then nothing is touched; InvalidNameError, PermissionError, SystemError, UnsupportedError.
        """
        if not AVAILABLE:
            raise UnsupportedError("a shared cursor takes the extension module, which is not installed")
        with queue.reader(start) as reader:
            index = reader.cursor
        size = layout.CURSOR_SIZE
        mapped = mapping.create_anonymous(size) if name is None else mapping.create(name, size, size, mode)
        made = cls(mapped.window, mapped)
        made.store(index)
        return made

    @classmethod
    def local(cls, queue: Queue, start: Start = "oldest") -> Self:
        """Make a cursor without a name, for the threads and forked children of this process."""
        return cls.create(None, queue, start)

    @classmethod
    def open(cls, name: str) -> Self:
        """Attach to a cursor. NotFoundError, TruncatedError (below 8 bytes), InvalidNameError, PermissionError."""
        mapped = mapping.open_existing(name, True, layout.CURSOR_SIZE, Deadline(0))
        return cls(mapped.window, mapped)

    @classmethod
    def over(cls, buffer: WriteableBuffer) -> Self:
        """Use a cursor that the application keeps: the first 8 bytes of a writable buffer in memory of all its readers.

        InvalidArgumentError for a buffer that is shorter, read-only, scattered, or not aligned to 8 bytes.
        """
        view = memoryview(buffer)
        if view.readonly or not view.c_contiguous or view.nbytes < layout.CURSOR_SIZE:
            raise InvalidArgumentError(f"a cursor in {view.nbytes} bytes")
        made = cls(Window(view.cast("B"), view.nbytes, True))
        if made.address() % layout.CURSOR_SIZE != 0:
            raise InvalidArgumentError("a cursor that is not aligned to 8 bytes")
        return made

    def close(self) -> None:
        """Let go of the word, which stays as it is. Close the readers that use the cursor first."""
        self._words.close()
        self._window.close()
        if self._mapped is not None:
            self._mapped.close()

    def require_writable(self) -> None:
        """UnsupportedError without the extension module: items are taken by compare-and-swap."""
        self._words.require_writable()

    def address(self) -> int:
        """Where the word lies in this process."""
        return self._words.address()

    def memory(self) -> object:
        """What keeps the word mapped, for who holds its address."""
        return self._window.buffer()

    def load(self) -> int:
        """The index of the next item that nobody has taken."""
        # A4: pairs with R4; the reservations that the items taken before rest on
        return self._words.load_u64(layout.CURSOR_NEXT_OFFSET, ACQUIRE)

    def take(self, expected: int, following: int) -> bool:
        """Take what lies between, if nobody has taken any of it. [slick.share.once]"""
        # R4: pairs with A4; our look at the reservation before others go on from here
        return self._words.cas_u64(layout.CURSOR_NEXT_OFFSET, expected, following, RELEASE) == expected

    def store(self, index: int) -> None:
        """Send all readers elsewhere."""
        self._words.store_u64(layout.CURSOR_NEXT_OFFSET, index, RELEASE)  # R4: pairs with A4
