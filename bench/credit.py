# SPDX-License-Identifier: MIT
"""Credit: how far the readers of a lossy format are, in a file beside the segment, so that a writer can stay behind them and
nothing is lost (README.md, credit). The format knows nothing of it."""

from __future__ import annotations

import mmap
from pathlib import Path

import actor

IN_FLIGHT = 256
ZONE = 128  # bytes for each reader: for each writer a word, the count of its messages that the reader has taken
WORDS = ZONE // 8


def make(args: actor.Args) -> None:
    Path(f"{args.seg}.credit").write_bytes(bytes(ZONE * max(args.readers, 1)))


class Credit:
    """The counts of all readers."""

    def __init__(self, args: actor.Args) -> None:
        with Path(f"{args.seg}.credit").open("r+b") as file:
            mapping = mmap.mmap(file.fileno(), 0)
        # Words of 8 bytes, which CPython loads and stores as one.
        counts = memoryview(mapping).cast("Q")
        writers = args.parties - args.readers
        self._given = counts[WORDS * args.party:][:writers]  # if this is a reader
        self._taken = counts[max(args.party - args.readers, 0)::WORDS][:args.readers]  # if this is a writer
        self._window = IN_FLIGHT // max(writers, 1)
        self._seen = 0
        self._args = args

    def give(self, *taken: int) -> None:
        """This reader has taken so many messages of each writer."""
        for writer, count in enumerate(taken):
            self._given[writer] = count

    def wait(self, end: int) -> None:
        """Until writing up to, and not including, message `end` leaves no reader further behind than it may be."""
        while end - self._seen > self._window:
            self._seen = min([end, *self._taken])
            actor.relax(self._args)
