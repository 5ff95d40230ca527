# SPDX-License-Identifier: MIT
"""Benchmark actor of the Python implementation, profile ouroboros. Peers are ENGINE-KIND: engine native or python; kind credit
(the writer waits for the slowest reader, so that nothing is lost) or free (what a reader missed it counts as skipped), each
also with -view (looked at where it lies). Ping writes PATH, pong PATH.back."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import actor
from actor import Tally
from credit import IN_FLIGHT, Credit
from credit import make as make_credit
from shmwire import ouroboros

CHUNKS = 4


def engine_of(args: actor.Args) -> ouroboros.Engine:
    return cast(ouroboros.Engine, args.peer.split("-")[0])


def make(args: actor.Args) -> None:
    """Entries in flight stay within one lap, and a chunk is left over: the writer with credit overwrites nothing unread."""
    target = args.room // CHUNKS if args.room else (args.size + 8) * IN_FLIGHT // (CHUNKS - 2)
    for path in (args.seg, f"{args.seg}.back"):
        ouroboros.create(path, CHUNKS, target).close()
    make_credit(args)


def write(args: actor.Args, log: ouroboros.Writer, credit: Credit | None) -> Tally:
    for i in range(args.count):
        if credit:
            credit.wait(i + 1)
        log.write(actor.payload_of(args.size, i))
    return Tally(args.count)


def write_batch(args: actor.Args, log: ouroboros.Writer, credit: Credit | None) -> Tally:
    for first in range(0, args.count, args.batch):
        if credit:
            credit.wait(first + args.batch)
        log.write_packed(actor.blob_of(args.size, first, args.batch), args.size)
    return Tally(args.count)


def take_copy(args: actor.Args, reader: ouroboros.Reader, tally: Tally) -> int:
    """One entry: its sequence, or 0 when there is none."""
    entry = reader.read_next_entry()
    if entry is None:
        return 0
    tally.messages += 1
    tally.bad += not actor.good(entry.data, args.size, entry.sequence_number - 1)
    return entry.sequence_number


def take_view(args: actor.Args, reader: ouroboros.Reader, tally: Tally) -> int:
    """The same through a view. One that was overwritten while it was looked at counts as skipped."""
    view = reader.read_next_view()
    if view is None:
        return 0
    good = actor.good(view.data, args.size, view.sequence_number - 1)
    if view.is_valid():
        tally.messages += 1
        tally.bad += not good
    return view.sequence_number


def take_batch(args: actor.Args, reader: ouroboros.Reader, tally: Tally) -> int:
    found = reader.read_packed(args.batch)
    if not found.sequences:
        return 0
    count, first = len(found.sequences), found.sequences[0] - 1
    tally.messages += count
    if found.sequences[-1] - first == count:
        tally.bad += actor.count_bad(found.blob, count, args.size, first)
    else:  # a lap in between
        tally.bad += sum(not actor.good(payload, args.size, sequence - 1)
                         for payload, sequence in zip(found.payloads(), found.sequences, strict=True))
    return found.sequences[-1]


def read(args: actor.Args, reader: ouroboros.Reader, credit: Credit | None) -> Tally:
    """To the last message that the writer writes."""
    take = take_batch if args.batch > 1 else take_view if args.peer.endswith("-view") else take_copy
    tally, last, told = Tally(0), 0, 0
    while last < args.count:
        sequence = take(args, reader, tally)
        last = sequence or last
        if credit and (not sequence or last - told >= IN_FLIGHT // 8):
            credit.give(last)
            told = last
        if not sequence:
            actor.relax(args)
    tally.skipped = args.count - tally.messages
    tally.bad += tally.skipped if credit else 0
    return tally


def exchange(args: actor.Args, out: ouroboros.Writer, back: ouroboros.Reader) -> Tally:
    return actor.exchange(args, out.write, lambda: entry.data if (entry := back.read_next_entry()) else None)


def prepare(args: actor.Args) -> Callable[[], Tally]:
    """Attach; what is left is to run."""
    engine, back = engine_of(args), f"{args.seg}.back"
    credit = Credit(args) if "credit" in args.peer else None
    if args.role == "write":
        log = ouroboros.resume(args.seg, engine=engine)
        return lambda: (write_batch if args.batch > 1 else write)(args, log, credit)
    if args.role == "read":
        reader = ouroboros.Reader(args.seg, engine=engine, require_data=False)
        return lambda: read(args, reader, credit)
    forth, to = (back, args.seg) if args.role == "ping" else (args.seg, back)
    out, source = ouroboros.resume(to, engine=engine), ouroboros.Reader(forth, engine=engine, require_data=False)
    return lambda: exchange(args, out, source)


if __name__ == "__main__":
    actor.main(make, prepare)
