# SPDX-License-Identifier: MIT
"""Credit: how far the readers of a lossy format are, in a file beside the segment, so that a writer can stay behind them and
nothing is lost (README.md, credit). The format knows nothing of it."""

from __future__ import annotations

import mmap
import time
from pathlib import Path

import actor

IN_FLIGHT = 256
OUTLAST_STEP_S = 0.001
ZONE = 128  # bytes for each reader, of which the first word is the count


def make(args: actor.Args) -> None:
    Path(f"{args.seg}.credit").write_bytes(bytes(ZONE * max(args.readers, 1)))


class Credit:
    """The counts of all readers."""

    def __init__(self, args: actor.Args) -> None:
        with Path(f"{args.seg}.credit").open("r+b") as file:
            mapping = mmap.mmap(file.fileno(), 0)
        # Words of 8 bytes, which CPython loads and stores as one.
        self._counts = memoryview(mapping).cast("Q")[::ZONE // 8]
        self._own = args.party
        self._readers = args.readers
        self._seen = 0
        self._args = args

    def give(self, taken: int, reader: int | None = None) -> None:
        """This reader, or the one of that number, has taken so many messages."""
        self._counts[self._own if reader is None else reader] = taken

    def wait(self, end: int) -> None:
        """Until writing up to, and not including, message `end` leaves every reader at most IN_FLIGHT behind."""
        while end - self._seen > IN_FLIGHT:
            self._seen = min([end, *self._counts[:self._readers]])
            actor.relax(self._args)

    def outlast(self, count: int) -> None:
        """Until every reader has taken so many messages."""
        while min([count, *self._counts[:self._readers]]) < count:
            time.sleep(OUTLAST_STEP_S)
