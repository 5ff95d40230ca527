# SPDX-License-Identifier: MIT
"""Profile slick, section 5, python engine: what a reader does with a look, by a cursor of its own or by a shared one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, takewhile

from ..errors import BadGeometryError, Closed, CorruptError, Lapped, TooSmallError
from . import layout
from .api import Reader
from .cursor import Cursor
from .item import HEAD, Batch, Item, ReaderInfo, Start, View
from .look import EMPTY, FOUND, LAPPED, Found, Look, is_sound
from .segment import Ring


class PythonReader(Reader):
    """A reader of the python engine."""

    def __init__(self, ring: Ring, start: Start, shared: Cursor | None) -> None:
        super().__init__()
        self.engine = "python"
        self._ring: Ring | None = ring
        self._shared = shared
        self._cursor = ring.start_index(start) if shared is None else 0
        self._pending = 0  # lost since the item delivered before
        self._items_read = self._lost = self._resets = 0

    def _open(self) -> Ring:
        if self._ring is None:
            raise Closed("the reader has been closed")
        return self._ring

    # The cursor -----------------------------------------------------------------------------------------------------

    def _begin(self) -> tuple[Look, int]:
        """A look from the cursor, and the value of the cursor that it begins with."""
        if self._shared is None:
            return Look(self._open(), self._cursor, self._pending), self._cursor
        value = self._shared.load()
        return Look(self._open(), value, 0), value

    def _keep(self, look: Look) -> None:
        """The look ends without an item. A cursor of our own goes on from where it came to."""
        if self._shared is None:
            self._cursor, self._pending = look.at, look.lost
            self._resets += look.reset

    def _take(self, look: Look, begun: int, items: Sequence[Found]) -> bool:
        """Go on behind the last of the items; by a shared cursor, unless another reader was faster.
        [slick.share.once, slick.share.whole, slick.share.lost]"""
        following = items[-1].index + items[-1].elements
        if self._shared is not None and not self._shared.take(begun, following):
            return False
        self._cursor, self._pending = following, 0
        self._lost += sum([item.lost for item in items])
        self._resets += look.reset
        self._items_read += len(items)
        return True

    def _take_reset(self, look: Look, begun: int) -> bool:
        """A look by a shared cursor noticed a reset: the cursor is sent to 0 first. False where there is nothing to do."""
        if self._shared is None or not look.reset or begun == 0:
            return False
        if self._shared.take(begun, 0):
            self._resets += 1
        return True

    # Reading --------------------------------------------------------------------------------------------------------

    def _look(self, most: int | None, *, copy: bool) -> tuple[Look, int, Found | None]:
        """Steps 1 to 7: an item that is whole, or none. Lapped, CorruptError."""
        look, begun = self._begin()
        while True:
            answer = look.find()
            if self._take_reset(look, begun):
                look, begun = self._begin()
                continue
            if answer == FOUND:
                found = look.take_up(most, copy=copy)
                answer = self._judge(look, found)
                if answer == FOUND:
                    return look, begun, found
            if answer == EMPTY:
                self._keep(look)
                return look, begun, None
            if answer == LAPPED:
                self._keep(look)
                raise Lapped("producers overtook the reader again and again")

    def _judge(self, look: Look, found: Found) -> int:
        try:
            return look.judge(found, look.ring.recheck())
        except CorruptError:
            self._keep(look)
            raise

    def _next(self, max_size: int | None) -> Item | None:
        while True:
            look, begun, found = self._look(max_size, copy=True)
            if found is None:
                return None
            self._require_room(found, max_size)
            if self._take(look, begun, [found]):
                return Item(found.index, found.elements, found.lost, found.data)

    def _require_room(self, found: Found, most: int | None) -> None:
        size = found.elements * self._open().element_size
        if most is not None and size > most:
            raise TooSmallError(f"an item of {size} bytes", size)

    def _view(self) -> View | None:
        while True:
            look, begun, found = self._look(None, copy=False)
            if found is None:
                return None
            data = look.ring.view(found.index, found.elements).toreadonly()
            if self._take(look, begun, [found]):
                return View(found.index, found.elements, found.lost, data, self)

    def holds(self, index: int) -> bool:
        ring = self._ring
        if ring is None:
            return False
        try:
            return index < ring.recheck() <= index + ring.size
        except (Closed, BadGeometryError):
            return False

    # Batches and the last item --------------------------------------------------------------------------------------

    def _batch(self, limit: int, max_bytes: int | None) -> Batch:
        while True:
            look, begun, found = self._look(max_bytes, copy=True)
            if found is None:
                return Batch(b"", b"")
            self._require_room(found, max_bytes)
            room = None if max_bytes is None else max_bytes - len(found.data)
            batch = [found, *self._gather(look.ring, found, limit - 1, room)]
            if self._take(look, begun, batch):
                return _packed(batch)

    def _gather(self, ring: Ring, first: Found, limit: int, room: int | None) -> list[Found]:
        """Steps 1 to 5 for what stands behind an item, and one step 6 for all of it. What cannot be delivered now, for whatever
        reason, is left to the next call. [slick.read.batch]"""
        gathered: list[Found] = []
        look = Look(ring, first.index + first.elements, 0)
        while len(gathered) < limit and look.find() == FOUND and look.lost == 0 and not look.reset:
            found = look.take_up(room)
            if not found.data:
                break
            gathered.append(found)
            look.at = found.index + found.elements
            room = None if room is None else room - len(found.data)
        next_index = ring.recheck()
        return list(takewhile(lambda item: next_index <= item.index + ring.size and is_sound(ring, item, next_index), gathered))

    def _last(self, max_size: int | None) -> Item | None:
        ring = self._open()
        for _ in range(layout.READ_TRIES):
            index = ring.last_index()
            if index is None:
                return None
            look = Look(ring, index, 0)
            found = look.take_up(max_size)
            next_index = ring.recheck()
            if not index < next_index <= index + ring.size:
                continue
            if not is_sound(ring, found, next_index):
                raise CorruptError(f"an item of {found.elements} elements at index {index}")
            self._require_room(found, max_size)
            return Item(index, found.elements, 0, found.data)
        raise Lapped("producers overtook the reader again and again")

    # Everything else ------------------------------------------------------------------------------------------------

    def _seek(self, start: Start) -> int:
        index = self._open().start_index(start)
        self._lost += self._pending
        self._cursor, self._pending = index, 0
        if self._shared is not None:
            self._shared.store(index)
        return index

    def info(self) -> ReaderInfo:
        with self._lock:
            own = self._shared is None or self._ring is None
            cursor = self._cursor if own or self._shared is None else self._shared.load()
            return ReaderInfo(cursor, self._items_read, self._lost + self._pending, self._resets)

    def _close(self) -> None:
        self._ring = None


def _packed(items: Sequence[Found]) -> Batch:
    ends = list(accumulate([len(item.data) for item in items]))
    heads = [HEAD.pack(item.index, item.lost, item.elements, len(item.data), end - len(item.data), 0)
             for item, end in zip(items, ends, strict=True)]
    return Batch(b"".join([item.data for item in items]), b"".join(heads))
