# SPDX-License-Identifier: MIT
"""Profile slick: a lossy ring in shared memory. Any number of producers write items of one or more elements of one size, any
number of readers follow, and nobody waits for a reader; readers that share a cursor share the work.

    from shmwire import slick

    with slick.create("/ticks", element_size=24) as queue:
        queue.producer().write(bytes(24))
        for item in queue.reader():
            print(item.index, item.lost, item.data)

Two engines stand behind the same classes. `native`, the default where its extension module is there, runs every operation in
the C implementation. `python` is the protocol written in Python, to be read beside the specification. It reads live queues
without any extension module (on machines other than x86-64, which may reorder loads, only queues at rest); producing and shared
cursors take the atomic primitives of the extension. The environment variable SHMWIRE_ENGINE says which one to use where the
caller does not.
"""

from __future__ import annotations

import os
import sys

from .. import map as mapping
from ..engine import ENGINES, Engine, default_engine, is_native
from ..errors import InvalidArgumentError, InvalidNameError
from ..wait import to_ns
from . import layout
from .api import DEFAULT_BATCH, DEFAULT_STALL, Claim, Mode, Producer, Queue, Reader
from .cursor import Cursor
from .item import Batch, Generation, Header, Item, ProducerInfo, QueueInfo, ReaderInfo, SlotInfo, Start, View
from .layout import DEFAULT_MODE, DEFAULT_SIZE, MAX_ELEMENTS, MAX_SIZE, PORTABLE_NAME_MAX
from .segment import size_possible

__all__ = [
    "DEFAULT_BATCH", "DEFAULT_MODE", "DEFAULT_READY_TIMEOUT", "DEFAULT_SIZE", "DEFAULT_STALL", "ENGINES", "GENERATIONS",
    "MAX_ELEMENTS", "MAX_SIZE", "PORTABLE_NAME_MAX", "Batch", "Claim", "Cursor", "Engine", "Generation", "Header", "Item", "Mode",
    "Producer", "ProducerInfo", "Queue", "QueueInfo", "Reader", "ReaderInfo", "SlotInfo", "Start", "View", "create",
    "default_engine", "open",
]

GENERATIONS: tuple[Generation, ...] = ("1.2", "1.3", "1.4")
DEFAULT_READY_TIMEOUT = layout.DEFAULT_READY_TIMEOUT_NS / 1e9


def create(name: str | None, size: int = DEFAULT_SIZE, *, element_size: int, generation: Generation = "1.4", mode: int =
DEFAULT_MODE,
           portable_name: bool = False, engine: Engine | None = None) -> Queue:
    """Make a queue and attach to it for reading and writing.

    name: "/ticks" or "ticks" for shared memory; with any other slash in it, the path of a regular file; None for a queue without
        a name, for the threads and forked children of this process.
    size: elements of the ring, a power of two up to 2^31.
    element_size: bytes of an element, 1 to 2^32 - 1.
    generation: which releases of the source system are to understand the segment.
    mode: permission bits, before the umask.
    portable_name: refuse a POSIX name of more than 31 characters, the slash included; always so on macOS.

    ExistsError when the name is taken, and then nothing is touched; InvalidArgumentError, InvalidNameError, PermissionError,
    SystemError (no room). [slick.segment.create, slick.segment.argument, slick.segment.portable-name]
    """
    sane = size_possible(size) and 0 < element_size < 2**32 and 0 < mode <= 0o777
    if not sane or generation not in GENERATIONS:
        raise InvalidArgumentError(f"{size} elements of {element_size} bytes, mode {mode:o}, generation {generation!r}")
    if name is not None:
        _require_portable(name, portable_name or sys.platform == "darwin")
    if is_native(engine):
        from . import native
        return native.create(name, generation, size, element_size, mode)
    from . import queue
    return queue.create(name, generation, size, element_size, mode)


def _require_portable(name: str, wanted: bool) -> None:
    full = mapping.full_name(name)
    if wanted and mapping.path(name) != name and len(os.fsencode(full)) > PORTABLE_NAME_MAX:
        raise InvalidNameError(f"{full!r} has more than {PORTABLE_NAME_MAX} characters")


def open(name: str, mode: Mode = "rw", *, timeout: float = DEFAULT_READY_TIMEOUT, engine: Engine | None = None) -> Queue:
    """Attach to a queue of any generation.

    mode: "rw", or "r" for a read-only mapping, which is enough to read by private or shared cursors.
    timeout: seconds to wait for a creator that is at work.

    NotFoundError, TruncatedError, NotReadyError, BadMagicError, BadVersionError, BadGeometryError, InvalidNameError,
    PermissionError. [slick.segment.*]
    """
    if mode not in ("r", "rw"):
        raise InvalidArgumentError(f"mode {mode!r}")
    to_ns(timeout)
    if is_native(engine):
        from . import native
        return native.attach(name, mode == "rw", timeout)
    from . import queue
    return queue.attach(name, mode == "rw", timeout)
