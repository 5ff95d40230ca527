# SPDX-License-Identifier: MIT
"""Profile slick, python engine: a queue, over the parts that follow the chapter."""

from __future__ import annotations

from .. import map as mapping
from ..errors import Closed
from . import recover, segment, validate
from .api import Queue
from .cursor import Cursor
from .item import Generation, Header, QueueInfo, SlotInfo, Start
from .reader import PythonReader
from .segment import Ring
from .writer import PythonProducer


class PythonQueue(Queue):
    """A queue of the python engine."""

    def __init__(self, name: str | None, ring: Ring) -> None:
        super().__init__()
        self.engine = "python"
        self.name = name or ""
        self.shm_name = mapping.full_name(name) if name is not None else ""
        self.writable = ring.window.writable
        self.generation = ring.generation
        self.size = ring.size
        self.element_size = ring.element_size
        self._ring: Ring | None = ring

    def _open(self) -> Ring:
        if self._ring is None:
            raise Closed("the queue has been closed")
        return self._ring

    def info(self) -> QueueInfo:
        ring = self._open()
        return QueueInfo(ring.generation, ring.size, ring.element_size, ring.length, ring.next_index(), ring.load_settled())

    def reset(self) -> None:
        recover.reset(self._open())

    def recover(self, *, all_dead: bool = False) -> int:
        return recover.recover(self._open(), all_dead)

    def validate(self) -> None:
        validate.validate(self._open())

    def header(self) -> Header:
        return self._open().header()

    def slots(self) -> list[SlotInfo]:
        return self._open().slots()

    def _make_producer(self, stall: float) -> PythonProducer:
        return PythonProducer(self._open(), stall)

    def _make_reader(self, start: Start, cursor: Cursor | None) -> PythonReader:
        return PythonReader(self._open(), start, cursor)

    def _close(self) -> None:
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()


def create(name: str | None, generation: Generation, size: int, element_size: int, mode: int) -> PythonQueue:
    """Make a queue of checked sizes."""
    return PythonQueue(name, segment.create(name, generation, size, element_size, mode))


def attach(name: str, writable: bool, timeout: float) -> PythonQueue:
    """Attach to a queue."""
    return PythonQueue(name, segment.attach(name, writable, timeout))
