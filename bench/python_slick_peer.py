# SPDX-License-Identifier: MIT
"""Benchmark actor of the Python implementation, profile slick: rings of elements of the payload's size, one element an item.
Peers are ENGINE-KIND: engine native or python; kind credit, credit-12 and credit-13 (in older generations), view; free and
free-view, where the writer never waits and what a reader missed it counts as skipped. Writer w's message i begins with the word
w << 56 | i. Ping writes PATH, pong PATH.back."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import actor
from actor import Tally
from credit import IN_FLIGHT, Credit
from credit import make as make_credit
from shmwire import slick
from shmwire.errors import Lapped

RING = 1024
WRITER_BITS = 56
GENERATIONS: dict[str, slick.Generation] = {"12": "1.2", "13": "1.3"}


def make(args: actor.Args) -> None:
    size = 1 << (args.room // args.size).bit_length() - 1 if args.room >= args.size else RING
    generation = GENERATIONS.get(args.peer[-2:], "1.4")
    for path in (args.seg, f"{args.seg}.back"):
        slick.create(path, size, element_size=args.size, generation=generation).close()
    make_credit(args)


# Of several writers each knows its own last index, and is at most one call past the window.


def write(args: actor.Args, producer: slick.Producer, credit: Credit | None) -> Tally:
    first = args.party - args.readers << WRITER_BITS
    end = 0
    for i in range(args.count):
        if credit:
            credit.wait(end + 1)
        end = producer.write(actor.payload_of(args.size, first + i)) + 1
    return Tally(args.count)


def write_batch(args: actor.Args, producer: slick.Producer, credit: Credit | None) -> Tally:
    first = args.party - args.readers << WRITER_BITS
    end = 0
    for i in range(0, args.count, args.batch):
        if credit:
            credit.wait(end + args.batch)
        end = producer.write_packed(actor.blob_of(args.size, first + i, args.batch), args.size)[-1] + 1
    return Tally(args.count)


class Taker:
    """A reader, and what it found."""

    def __init__(self, args: actor.Args, reader: slick.Reader, credit: Credit | None) -> None:
        self._args = args
        self._reader = reader
        self._credit = credit
        self._next = [0] * (args.parties - args.readers)  # of each writer, the number of the message that is expected
        self._take = self._batch if args.batch > 1 else self._view if args.peer.endswith("view") else self._copy
        self.tally = Tally(0)

    def _word(self, payload: bytes | memoryview, index: int) -> int:
        """The first one that a message should have: of one writer its index."""
        word: int = index if len(self._next) == 1 else actor.WORD.unpack_from(payload)[0]
        return word

    def _follows(self, word: int) -> bool:
        """Of several writers each one's messages come in its order, and the order between them is free."""
        if len(self._next) == 1:
            return True
        writer, number = word >> WRITER_BITS, word & (1 << WRITER_BITS) - 1
        if writer >= len(self._next) or number < self._next[writer] or (self._credit and number != self._next[writer]):
            return False
        self._next[writer] = number + 1
        return True

    def _count(self, payload: bytes, index: int) -> None:
        word = self._word(payload, index)
        self.tally.messages += 1
        self.tally.bad += not (actor.good(payload, self._args.size, word) and self._follows(word))

    # Each takes one or more items, and answers the index behind them, or 0 when there is none.

    def _copy(self) -> int:
        item = self._reader.next()
        if item is None:
            return 0
        self._count(item.data, item.index)
        return item.index + 1

    def _view(self) -> int:
        """One that was overwritten while it was looked at is not counted, which with credit is bad."""
        view = self._reader.view()
        if view is None:
            return 0
        word = self._word(view.data, view.index)
        good = actor.good(view.data, self._args.size, word)
        if view.is_valid():
            self.tally.messages += 1
            self.tally.bad += not (good and self._follows(word))
        return view.index + 1

    def _batch(self) -> int:
        found = self._reader.batch(self._args.batch)
        count = len(found)
        if count == 0:
            return 0
        indices = found.indices()
        first, end = indices[0], indices[-1] + 1
        if len(self._next) == 1 and end - first == count:
            self.tally.messages += count
            self.tally.bad += actor.count_bad(found.data, count, self._args.size, first)
        else:
            for payload, index in zip(found.payloads(), indices, strict=True):
                self._count(payload, index)
        return end

    def read(self) -> Tally:
        """To the last message that all writers write."""
        at = told = 0
        while at < self._args.count:
            end = self._tries()
            at = end or at
            if self._credit and at != told and (not end or at - told >= IN_FLIGHT // 8):
                self._credit.give(at)
                told = at
            if not end:
                actor.relax(self._args)
        self.tally.skipped = self._args.count - self.tally.messages
        self.tally.bad += self.tally.skipped if self._credit else 0
        return self.tally

    def _tries(self) -> int:
        while True:
            try:
                return self._take()
            except Lapped:
                continue


def exchange(args: actor.Args, out: slick.Producer, back: slick.Reader) -> Tally:
    return actor.exchange(args, out.write, lambda: item.data if (item := back.next()) else None)


def prepare(args: actor.Args) -> Callable[[], Tally]:
    """Attach; what is left is to run."""
    engine = cast(slick.Engine, args.peer.split("-")[0])
    credit = None if "free" in args.peer else Credit(args)
    ring, back = (slick.open(path, engine=engine) for path in (args.seg, f"{args.seg}.back"))
    if args.role == "write":
        producer = ring.producer()
        return lambda: (write_batch if args.batch > 1 else write)(args, producer, credit)
    if args.role == "read":
        return Taker(args, ring.reader(), credit).read
    to, source = (ring, back) if args.role == "ping" else (back, ring)
    out, reader = to.producer(), source.reader()
    return lambda: exchange(args, out, reader)


if __name__ == "__main__":
    actor.main(make, prepare)
