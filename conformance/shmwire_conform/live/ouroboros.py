# SPDX-License-Identifier: MIT
"""Live runs of profile ouroboros: one writer at full speed, readers that keep up or do not. Every reader gets whole entries in
strictly increasing order, knows exactly what it missed, and comes to the last entry.

The runner judges from the readers' histories and the bytes of the segment alone; counts that actors report are only compared.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import judge
from ..errors import Finding
from ..process import DriverProcess
from ..segments import Segments
from . import history, tallies
from .cast import Actor, Cast, demand
from .history import Record

LIMIT_MS = 12_000  # a run that takes so long makes no progress; a healthy one takes less than a second
READERS_FROM = 1000  # number of the first reader
CALIBRATION: dict[str, Any] = {"plan": "pair", "readers": 1, "chunk_count": 4, "chunk_target_size": "65536", "sizes": [64]}
Origin = Callable[[int], tuple[Actor, int]]  # sequence of an entry -> who wrote it, as which message


@dataclass(frozen=True)
class Shape:
    """The `live` block of a case, with defaults."""

    plan: str  # pair, mix, kill-writer
    readers: int
    chunk_count: int
    chunk_target: int
    count: int  # entries, for drivers as fast as the fastest; slower ones send fewer
    sizes: tuple[int, ...]
    wait: str
    write_batch: int
    read_batch: int
    stutter_us: int
    slow_us: tuple[int, ...]  # of reader i: slow_us[i mod n]
    starts: tuple[str, ...]
    one_cpu: bool
    rounds: int  # so many times in all, each time on a fresh segment
    limit_ms: int
    writers: int = 1

    @staticmethod
    def of(raw: dict[str, Any]) -> Shape:
        return Shape(
            raw["plan"], raw["readers"], raw["chunk_count"], int(raw["chunk_target_size"]), raw.get("count", 24_000),
            tuple(raw.get("sizes", [24, 25, 26, 27, 28, 61])), raw.get("wait", "spin"), raw.get("write_batch", 1),
            raw.get("read_batch", 1), raw.get("stutter_us", 0), tuple(raw.get("slow_us", [0])),
            tuple(raw.get("from", ["auto"])), raw.get("one_cpu", False), raw.get("rounds", 1), raw.get("limit_ms", LIMIT_MS),
        )  # fmt: skip

    def lengths(self) -> list[int]:
        return list(self.sizes)

    def describe(self, count: int) -> str:
        extras = [f"batches {self.write_batch}/{self.read_batch}"] if self.write_batch > 1 or self.read_batch > 1 else []
        extras += ["stutter"] if self.stutter_us else []
        extras += ["slow readers"] if any(self.slow_us) else []
        extras += ["one CPU"] if self.one_cpu else []
        return ", ".join([f"{count} entries, {self.readers} readers, {self.chunk_count} x {self.chunk_target} bytes", *extras])


def mixes(able: list[str]) -> list[tuple[str, ...]]:
    """A mix has one writer, so there is one for each driver: it writes, and all of them read."""
    return [tuple(able[i:] + able[:i]) for i in range(len(able))]


def casting(shape: Shape, names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Who writes and who reads. In a pair the second reads alone; elsewhere all take turns."""
    readers = names[-1:] if shape.plan == "pair" else names
    return [names[0]], [readers[i % len(readers)] for i in range(shape.readers)]


def make_segment(creator: DriverProcess, segments: Segments, shape: Shape) -> str:
    """A fresh segment, made by a driver that gives up writing it at once."""
    locator = segments.posix()
    options = {"chunk_count": shape.chunk_count, "chunk_target_size": str(shape.chunk_target)}
    create = {"cmd": "create", "profile": "ouroboros", "seg": locator, "options": options}
    made = demand(creator.request(create), creator.role, "create")
    demand(creator.request({"cmd": "close", "h": made["h"]}), creator.role, "close")
    return locator


def goal_of(shape: Shape, count: int) -> int:
    """The last sequence that there will be. Where a writer dies the next one writes at least as much as the first was to
    write, and nobody may know how many entries the last lap of the dead one had."""
    if shape.plan != "kill-writer":
        return count
    return 2 * count + 2 * shape.chunk_count * shape.chunk_target * len(shape.sizes) // sum(shape.sizes)


def plan_of(shape: Shape, role: str, number: int, locator: str, count: int, seed: int, limit_ms: int) -> dict[str, Any]:
    """The `arm` request of one actor."""
    plan = {
        "profile": "ouroboros", "seg": locator, "role": role, "actor": number, "count": count, "sizes": shape.lengths(),
        "seed": seed, "batch": shape.write_batch if role == "write" else shape.read_batch, "wait": shape.wait,
        "stutter_us": shape.stutter_us, "limit_ms": limit_ms,
    }  # fmt: skip
    if role == "read":
        index = number - READERS_FROM
        plan |= {
            "count": goal_of(shape, count), "from": shape.starts[index % len(shape.starts)],
            "slow_us": shape.slow_us[index % len(shape.slow_us)],
        }
    return plan


def end_readers(cast: Cast, _locator: str, _path: Any) -> None:
    """Readers end by themselves, with the last entry."""
    cast.collect(cast.readers)


def run_to_end(cast: Cast, segments: Segments, locator: str, shape: Shape, rng: random.Random) -> str:
    """Arm, go, collect, then judge. Returns what else there is to say."""
    cast.arm()
    if shape.one_cpu:
        cast.pin({rng.choice(sorted(os.sched_getaffinity(0)))})
    try:
        cast.go()
        cast.collect(cast.writers)
        cast.collect(cast.readers)
    finally:
        if shape.one_cpu:
            cast.pin(os.sched_getaffinity(0))
    cast.reset()
    received, missed = grade(cast, shape, segments.file_of(locator).read_bytes())
    return f"{received} received, {missed} skipped and reported so"


# -- judging -------------------------------------------------------------------------------------------------------------


def grade(cast: Cast, shape: Shape, content: bytes) -> tuple[int, int]:
    """Whole, increasing, gaps as reported, to the last entry, and a segment at rest in the end. Returns how many entries were
    received, and how many skipped, by all readers."""
    writer = cast.writers[0]
    count = int(writer.plan["count"])
    tallies.require_sent(writer)
    figures = grade_readers(cast, shape, count, lambda sequence: (writer, sequence - 1))
    grade_rest(writer, content, count)
    return figures


def grade_readers(cast: Cast, shape: Shape, last: int, origin: Origin) -> tuple[int, int]:
    """What all readers say and wrote down; `last` is the sequence that they must come to."""
    checksums: dict[int, int] = {}
    received = missed = 0
    for reader in cast.readers:
        records = history.parse(reader.history) if reader.history else []
        tallies.require_clean(reader, "entries")
        tallies.require_said(reader, received=len(records), skipped=sum(record.skipped for record in records))
        grade_order(reader, records)
        grade_content(reader, shape, records, origin, checksums)
        grade_end(reader, records, last)
        received += len(records)
        missed += sum(record.skipped for record in records)
    return received, missed


def grade_order(reader: Actor, records: list[Record]) -> None:
    """Sequences increase, and each gap is what the entry behind it reports as skipped."""
    for before, record in zip([None, *records], records, strict=False):
        if before is None:  # where the reader began is its own affair: at most everything before can have been missed
            gap = min(record.skipped, record.position - 1)
        elif record.position <= before.position:
            what = "again" if record.position == before.position else f"after {before.position}"
            raise Finding(f"{reader.label}: entry {record.position} {what}", on=reader.label)
        else:
            gap = record.position - before.position - 1
        if record.skipped != gap:
            what = f"reports {record.skipped} skipped, and {gap} are missing before it"
            raise Finding(f"{reader.label}: entry {record.position} {what}", on=reader.label)


def grade_content(reader: Actor, shape: Shape, records: list[Record], origin: Origin, checksums: dict[int, int]) -> None:
    """Entry n is the message that its writer sent for it: number, length and CRC, recomputed."""
    lengths = shape.lengths()
    for record in records:
        writer, message = origin(record.position)
        if record.actor != writer.number or record.sequence != message:
            what = f"message {record.sequence} of writer {record.actor} under sequence {record.position}"
            raise Finding(f"{reader.label}: {what}", on=reader.label)
        wanted = lengths[message % len(lengths)]
        if record.length != wanted:
            what = f"entry {record.position} has {record.length} bytes, {writer.label} sent {wanted}"
            raise Finding(f"{reader.label}: {what}", on=reader.label)
        if record.position not in checksums:
            checksums[record.position] = history.payload_crc(writer.number, message, wanted, writer.plan["seed"])
        if record.crc != checksums[record.position]:
            raise Finding(f"{reader.label}: entry {record.position} is not what {writer.label} sent", on=reader.label)


def grade_end(reader: Actor, records: list[Record], count: int) -> None:
    last = records[-1].position if records else 0
    if last != count or not (reader.summary or {}).get("ended"):
        what = f"came to entry {last} of {count} in {reader.plan['limit_ms']} ms"
        raise Finding(f"{reader.label} {what}: the last entry must become readable", on=reader.label)


def grade_rest(writer: Actor, content: bytes, count: int) -> None:
    if found := judge.findings("ouroboros", content):
        raise Finding(f"invariants broken at rest: {'; '.join(found[:3])}", on=writer.label, diff=found)
    left = judge.oracle("ouroboros").messages(content, "latest")
    if not left or left[-1].sequence != count:
        last = left[-1].sequence if left else 0
        raise Finding(f"the last entry in the segment is {last}, not {count}", on=writer.label)
