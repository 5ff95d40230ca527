# SPDX-License-Identifier: MIT
"""Profile slick, native engine: whole operations in the C implementation, one crossing each. This file has the queue,
native_writer.py the producer, native_reader.py the reader.

Lifetimes. Nothing is closed or unmapped by hand: the C objects go away with the last reference to them, and producers, readers,
claims and views hold what they need. So close() under any of them cannot crash; later calls get a null handle and raise Closed.
"""

from __future__ import annotations

import os
from typing import Final, cast

from ..refc import CData, check, failure, ffi, lib, locator
from ..wait import to_ns
from .api import Queue
from .cursor import Cursor
from .item import Generation, Header, QueueInfo, SlotInfo, Start
from .native_reader import NativeReader
from .native_writer import NativeProducer

_HEADER_WORDS: Final = len(Header._fields)


class NativeQueue(Queue):
    """A queue of the native engine."""

    def __init__(self, name: str | None, handle: CData, writable: bool) -> None:
        super().__init__()
        self.engine = "native"
        self._handle = handle
        self.name = name or ""
        self.shm_name = os.fsdecode(ffi.string(lib.shmw_slick_shm_name(handle)))
        self.writable = writable
        info = self.info()
        self.generation, self.size, self.element_size = info.generation, info.size, info.element_size

    def info(self) -> QueueInfo:
        info = ffi.new("struct shmw_slick_queue_info *")
        check(lib.shmw_slick_info(self._handle, info), self._handle)
        generation = cast(Generation, f"1.{int(info.generation) - 10}")
        return QueueInfo(generation, info.size, info.element_size, info.length, info.next_index, info.settled)

    def reset(self) -> None:
        check(lib.shmw_slick_reset(self._handle), self._handle)

    def recover(self, *, all_dead: bool = False) -> int:
        holes = ffi.new("uint64_t *")
        check(lib.shmw_slick_recover(self._handle, all_dead, holes), self._handle)
        return int(holes[0])

    def validate(self) -> None:
        finding, slot, handle = ffi.new("const char **"), ffi.new("uint32_t *"), self._handle
        code = lib.shmw_slick_validate(handle, finding, slot)
        if code != 0:
            what = ffi.string(finding[0]).decode() if finding[0] != ffi.NULL else ""
            raise failure(code, handle, f"slot {slot[0]}: {what}" if slot[0] < self.size else what)

    def _inspect(self) -> list[int]:
        words = ffi.new("uint64_t[]", _HEADER_WORDS + 2 * self.size)
        check(lib.shmwpy_slick_inspect(self._handle, words), self._handle)
        return list(words)

    def header(self) -> Header:
        return Header(*self._inspect()[:_HEADER_WORDS])

    def slots(self) -> list[SlotInfo]:
        words = self._inspect()
        return [SlotInfo(*words[i:i + 2]) for i in range(_HEADER_WORDS, len(words), 2)]

    def _make_producer(self, stall: float) -> NativeProducer:
        return NativeProducer(self._handle, self.element_size, stall)

    def _make_reader(self, start: Start, cursor: Cursor | None) -> NativeReader:
        return NativeReader(self._handle, start, cursor)

    def _close(self) -> None:
        self._handle = ffi.NULL


# Making and attaching -------------------------------------------------------------------------------------------------


def create(name: str | None, generation: Generation, size: int, element_size: int, mode: int) -> NativeQueue:
    """Make a queue of checked sizes. [slick.segment.create]"""
    options = ffi.new("struct shmw_slick_create_options *", {
        "generation": int(generation.replace(".", "")), "size": size, "element_size": element_size, "mode": mode})
    out = ffi.new("shmw_slick_queue **")
    check(lib.shmw_slick_create(locator(name) if name is not None else ffi.NULL, options, out), out, name or "")
    return NativeQueue(name, ffi.gc(out[0], lib.shmw_slick_close), writable=True)


def attach(name: str, writable: bool, timeout: float) -> NativeQueue:
    """Attach to a queue. [slick.segment.*]"""
    wait = min(to_ns(timeout), 2**62)
    options = ffi.new("struct shmw_slick_open_options *", {"read_only": not writable, "no_wait": wait == 0,
                                                           "ready_timeout_ns": wait})
    out = ffi.new("shmw_slick_queue **")
    check(lib.shmw_slick_open(locator(name), options, out), out, name)
    return NativeQueue(name, ffi.gc(out[0], lib.shmw_slick_close), writable)
