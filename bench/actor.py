# SPDX-License-Identifier: MIT
"""What the Python actors share: arguments, pinning, the barrier, content, the result line (README.md, actor protocol)."""

from __future__ import annotations

import argparse
import functools
import json
import mmap
import os
import resource
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import add
from pathlib import Path

WORD = struct.Struct("<Q")
ABSENT = 3
STRIDE = 64
LASTS = 2 * bytes(range(256))


@dataclass
class Args:
    peer: str
    role: str
    seg: str
    count: int
    size: int
    batch: int
    cpu: int
    barrier: str
    parties: int
    party: int  #: the readers come first
    readers: int
    room: int


@dataclass
class Tally:
    """What an actor found."""

    messages: int
    bad: int = 0
    skipped: int = 0
    samples: list[int] = field(default_factory=list)
    sum: int = 0  #: of a scan: what was made of each byte
    leave: Callable[[], None] = lambda: None  #: once the result is told


def parse() -> Args:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("role", choices=["make", "write", "read", "ping", "pong"])
    parser.add_argument("--seg", required=True)
    parser.add_argument("--barrier", default="")
    for name, default in (("count", 1), ("size", 64), ("batch", 1), ("cpu", -1), ("parties", 1), ("party", 0),
                          ("readers", 1), ("room", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return Args(**vars(parser.parse_args()))


def anonymous_kb() -> int:
    """Memory of this process that is not of files."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)


def absent(reason: object) -> None:
    print(f"absent: {reason}")
    sys.exit(ABSENT)


def pin(args: Args) -> None:
    if args.cpu >= 0:
        os.sched_setaffinity(0, {args.cpu})


def barrier(args: Args) -> int:
    """Arrive, wait for all, and return the time. One word for each party: a plain store is enough."""
    with Path(args.barrier).open("r+b") as file:
        words = mmap.mmap(file.fileno(), 4096)
    words[STRIDE * args.party] = 1
    for other in range(args.parties):
        while not words[STRIDE * other]:
            relax(args)
    return time.monotonic_ns()


def relax(args: Args) -> None:
    """In every turn of a loop that found nothing to do."""
    if args.parties > (os.cpu_count() or 1):
        os.sched_yield()


@functools.cache
def tails(size: int) -> list[bytes]:
    """What follows the first word, for each value of the last byte, twice over, so that any 256 in a row are a slice. Made once:
    the actors measure messages, not their making."""
    return 2 * [bytes(size - WORD.size - 1) + bytes((last,)) if size > WORD.size else b"" for last in range(256)]


def payload_of(size: int, i: int) -> bytes:
    """Message number i: its first word, filler, and its last byte."""
    if size < WORD.size:
        return WORD.pack(i)[:size]
    return WORD.pack(i) + tails(size)[i & 0xFF]


def payloads_of(size: int, first: int, count: int) -> list[bytes]:
    """The payloads of so many messages in a row, 256 at most."""
    if size < WORD.size:
        return [WORD.pack(i)[:size] for i in range(first, first + count)]
    begin = first & 0xFF
    return list(map(add, map(WORD.pack, range(first, first + count)), tails(size)[begin:begin + count]))


def blob_of(size: int, first: int, count: int) -> bytes | bytearray:
    """The same one behind the other."""
    if size < WORD.size:
        return b"".join(payloads_of(size, first, count))
    blob = bytearray(words(count, size).pack(*range(first, first + count)))
    if size > WORD.size:
        begin = first & 0xFF
        blob[size - 1::size] = LASTS[begin:begin + count]
    return blob


def good(payload: bytes | memoryview, size: int, i: int) -> bool:
    """Length, first word and last byte, as in the actors of all languages."""
    if size < WORD.size:
        return len(payload) == size
    return len(payload) == size and WORD.unpack_from(payload)[0] == i and (size == WORD.size or payload[-1] == i & 0xFF)


@functools.cache
def words(count: int, size: int) -> struct.Struct:
    """The first words of so many messages of that size, one behind the other."""
    return struct.Struct("<" + count * f"Q{size - WORD.size}x")


def count_bad(blob: bytes, count: int, size: int, first: int) -> int:
    """How many of the messages that lie one behind the other are wrong. The same look as that of `good`, taken at all of them
    together: one by one it would cost more than the messages."""
    if len(blob) != count * size:
        return count
    if size < WORD.size:
        return 0
    numbers = range(first, first + count)
    begin = first & 0xFF
    if words(count, size).unpack(blob) == tuple(numbers) and (
            size == WORD.size or blob[size - 1::size] == LASTS[begin:begin + count]):
        return 0
    return sum(not good(blob[k * size:(k + 1) * size], size, first + k) for k in range(count))


def report(args: Args, messages: int, ns: int, bad: int, samples: list[int], skipped: int = 0, base_kb: int = 0,
           total: int = 0) -> None:
    anon_kb = anonymous_kb()
    samples.sort()
    print(json.dumps({
        "role": args.role, "messages": messages, "ns": ns, "bad": bad, "skipped": skipped,
        "nivcsw": resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw,
        "base_kb": base_kb, "anon_kb": anon_kb,
        "min_ns": samples[0] if samples else 0,
        "p50_ns": samples[len(samples) // 2] if samples else 0,
        "p99_ns": samples[len(samples) - 1 - len(samples) // 100] if samples else 0, "sum": total}))


def exchange(args: Args, write: Callable[[bytes], object], read: Callable[[], bytes | None]) -> Tally:
    """Send and await messages in turn; ping begins. read answers None while there is none."""
    tally = Tally(args.count)
    pings = args.role == "ping"
    for i in range(args.count):
        began = time.monotonic_ns()
        if pings:
            write(payload_of(args.size, i))
        while (data := read()) is None:
            pass
        if not pings:
            write(data)
        else:
            tally.samples.append(time.monotonic_ns() - began)
        tally.bad += not good(data, args.size, i)
    return tally


def main(make: Callable[[Args], None], prepare: Callable[[Args], Callable[[], Tally]]) -> None:
    """Make the segments, or attach, meet the others and run."""
    args = parse()
    if args.role == "make":
        make(args)
        return
    pin(args)
    base_kb = anonymous_kb()
    run = prepare(args)
    began = barrier(args)
    tally = run()
    ns = time.monotonic_ns() - began
    report(args, tally.messages, ns, tally.bad, tally.samples, tally.skipped, base_kb, tally.sum)
    tally.leave()
