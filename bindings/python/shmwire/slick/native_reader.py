# SPDX-License-Identifier: MIT
"""Profile slick, native engine: readers."""

from __future__ import annotations

from typing import Final

from ..errors import Empty, Lapped, Timeout, TooSmallError
from ..refc import CData, check, closer, ffi, keeper, lib, refuse
from ..wait import DEFAULT_SPIN, NS_PER_S, SLICE_NS, Deadline
from .api import Reader
from .cursor import Cursor
from .item import HEAD, Batch, Item, ReaderInfo, Start, View

FIRST_BUFFER: Final = 1 << 16
_SPIN_NS: Final = int(DEFAULT_SPIN * NS_PER_S)
_EMPTY: Final = Empty.code
_TIMEOUT: Final = Timeout.code
_TOO_SMALL: Final = TooSmallError.code
_NOTHING: Final = Batch(b"", b"")


def _where(start: Start) -> tuple[int, int]:
    """A start as C wants it: the word, and the index."""
    if isinstance(start, int):
        return lib.SHMW_SLICK_INDEX, start
    return (lib.SHMW_SLICK_LATEST if start == "latest" else lib.SHMW_SLICK_OLDEST), 0


class NativeReader(Reader):
    """A reader of the native engine."""

    def __init__(self, queue: CData, start: Start, cursor: Cursor | None) -> None:
        super().__init__()
        self.engine = "native"
        shared = _shared(cursor)
        word, index = _where(start)
        options = ffi.new("struct shmw_slick_reader_options *", {"start": word, "index": index, "shared": shared})
        out = ffi.new("shmw_slick_reader **")
        check(lib.shmw_slick_reader_open(queue, options, out), queue)
        self._queue = queue
        self._handle = ffi.gc(out[0], closer(lib.shmw_slick_reader_close, (queue, shared)))
        self._item = ffi.new("struct shmw_slick_item *")
        self._head = ffi.buffer(self._item)
        self._count = ffi.new("size_t *")
        self._info = ffi.new("struct shmw_slick_reader_info *")
        self._capacity = 0  # of the array of a batch
        self._items: CData = ffi.NULL
        self._heads: CData = ffi.NULL
        self._grow(FIRST_BUFFER)

    def _grow(self, size: int) -> None:
        """A buffer that the next item fits in. Its size is that of an item, so at most that of the segment."""
        self._room = size
        self._buffer = ffi.new("char[]", size)
        self._bytes = ffi.buffer(self._buffer)

    def _too_small(self, needed: int, most: int | None) -> None:
        """Make room for an item that did not fit, unless the caller wants none that large."""
        if most is not None and needed > most:
            raise TooSmallError(f"an item of {needed} bytes", needed)
        self._grow(max(needed, 2 * self._room))

    # Reading --------------------------------------------------------------------------------------------------------

    def _next(self, max_size: int | None) -> Item | None:
        room = self._room if max_size is None or max_size > self._room else max_size
        return self._taken(lib.shmw_slick_next(self._handle, self._buffer, room, self._item), max_size)

    def _taken(self, code: int, most: int | None) -> Item | None:
        """What a call that copies one item came to."""
        if code == 0:
            index, lost, elements, length, _, _ = HEAD.unpack(self._head)
            return Item(index, elements, lost, self._bytes[:length])
        if code in (_EMPTY, _TIMEOUT):
            return None
        if code != _TOO_SMALL:
            refuse(code, self._handle)
        self._too_small(self._item.length, most)
        return self._next(most)

    def read(self, timeout: float | None = None, *, max_size: int | None = None) -> Item:
        deadline = Deadline(timeout)
        while True:
            slice_ns = deadline.remaining(SLICE_NS)  # signal handlers run in between
            try:
                with self._lock:
                    room = self._room if max_size is None or max_size > self._room else max_size
                    code = lib.shmw_slick_wait_next(self._handle, self._buffer, room, slice_ns, _SPIN_NS, self._item)
                    item = self._taken(code, max_size)
            except Lapped:
                if deadline.expired():
                    raise
                continue
            if item is not None:
                return item
            if slice_ns < SLICE_NS:
                raise Timeout("")

    def _view(self) -> View | None:
        code = lib.shmw_slick_next_view(self._handle, self._item)
        if code == _EMPTY:
            return None
        if code != 0:
            refuse(code, self._handle)
        item = self._item
        pointer = ffi.gc(ffi.cast("char *", item.data), keeper(self._queue))
        data = memoryview(ffi.buffer(pointer, item.length)).toreadonly()
        return View(item.index, item.elements, item.lost, data, self)

    def holds(self, index: int) -> bool:
        return lib.shmwpy_slick_holds(self._handle, index) != 0

    def _batch(self, limit: int, max_bytes: int | None) -> Batch:
        if limit > self._capacity:
            self._items = ffi.new("struct shmw_slick_item[]", limit)
            self._heads = ffi.buffer(self._items)
            self._capacity = limit
        room = self._room if max_bytes is None else min(max_bytes, self._room)
        code = lib.shmw_slick_next_batch(self._handle, self._buffer, room, self._items, limit, self._count)
        if code == 0:
            heads = self._heads[:HEAD.size * int(self._count[0])]
            last = HEAD.unpack_from(heads, len(heads) - HEAD.size)
            return Batch(self._bytes[:last[3] + last[4]], heads)
        if code == _EMPTY:
            return _NOTHING
        if code != _TOO_SMALL:
            refuse(code, self._handle)
        self._too_small(self._items[0].length, max_bytes)
        return self._batch(limit, max_bytes)

    def _last(self, max_size: int | None) -> Item | None:
        room = self._room if max_size is None or max_size > self._room else max_size
        code = lib.shmw_slick_last(self._handle, self._buffer, room, self._item)
        if code == _TOO_SMALL:
            self._too_small(self._item.length, max_size)
            return self._last(max_size)
        return self._taken(code, max_size)

    # Everything else ------------------------------------------------------------------------------------------------

    def _seek(self, start: Start) -> int:
        check(lib.shmw_slick_seek(self._handle, *_where(start)), self._handle)
        return self._look().cursor

    def info(self) -> ReaderInfo:
        with self._lock:
            return self._look()

    def _look(self) -> ReaderInfo:
        if self._handle != ffi.NULL:
            lib.shmw_slick_reader_info(self._handle, self._info)
        info = self._info
        return ReaderInfo(info.cursor, info.items_read, info.lost, info.resets)

    def _close(self) -> None:
        self._look()  # the counters stay
        self._handle = ffi.NULL
        self._queue = ffi.NULL


def _shared(cursor: Cursor | None) -> CData:
    """The cursor in C's hands; it holds the memory, also when ours is closed before. NULL for none."""
    if cursor is None:
        return ffi.NULL
    out = ffi.new("shmw_slick_cursor **")
    check(lib.shmw_slick_cursor_at(ffi.cast("void *", cursor.address()), out), out)
    return ffi.gc(out[0], closer(lib.shmw_slick_cursor_close, cursor.memory()))
