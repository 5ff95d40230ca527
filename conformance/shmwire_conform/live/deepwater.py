# SPDX-License-Identifier: MIT
"""Live runs of profile deepwater: one writer that rotates every few records, readers that keep up or do not. Every reader gets
whole records in the order of their sequences, none twice, knows exactly how many it lost, and comes to the last one.

The writer's handle stays open until all readers have ended, so that the last chunk is there for whoever comes late. The runner
judges from the readers' histories and the files of the base alone; counts that actors report are only compared.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import judge, trees
from ..errors import Finding
from ..process import DriverProcess
from ..segments import Segments
from . import history, tallies
from .cast import Actor, Cast, demand
from .history import Record

LIMIT_MS = 15_000  # a run that takes so long makes no progress; a healthy one takes less than a second
READERS_FROM = 1000  # number of the first reader
ROWS = 8192
SPARE = 3  # rotations that writers may not have come to
CALIBRATION: dict[str, Any] = {"plan": "pair", "readers": 1, "chunk_size": "65536", "sizes": [64]}
Origin = Callable[[int], tuple[Actor, int]]  # sequence of a record -> who wrote it, as which message


@dataclass(frozen=True)
class Shape:
    """The `live` block of a case, with defaults."""

    plan: str  # pair, mix, kill-writer
    readers: int
    chunk_size: int
    live_window: int
    persist: bool
    rotate_every: int
    count: int  # records, for drivers as fast as the fastest; slower ones send fewer
    sizes: tuple[int, ...]
    wait: str
    write_batch: int
    read_batch: int
    stutter_us: int
    slow_us: tuple[int, ...]  # of reader i: slow_us[i mod n]
    starts: tuple[str, ...]
    lossless: bool  # nobody may lose a record
    one_cpu: bool
    rounds: int  # so many times in all, each time on a fresh base
    limit_ms: int
    writers: int = 1

    @staticmethod
    def of(raw: dict[str, Any]) -> Shape:
        return Shape(
            raw["plan"], raw["readers"], int(raw["chunk_size"]), raw.get("live_window", 4), raw.get("persist", False),
            raw.get("rotate_every", 0), raw.get("count", 4000), tuple(raw.get("sizes", [24, 25, 31, 32, 200])),
            raw.get("wait", "spin"), raw.get("write_batch", 1), raw.get("read_batch", 1), raw.get("stutter_us", 0),
            tuple(raw.get("slow_us", [0])), tuple(raw.get("from", ["oldest"])), raw.get("lossless", raw.get("persist", False)),
            raw.get("one_cpu", False), raw.get("rounds", 1), raw.get("limit_ms", LIMIT_MS),
        )  # fmt: skip

    def lengths(self) -> list[int]:
        return list(self.sizes)

    def describe(self, count: int) -> str:
        extras = ["persisted"] if self.persist else []
        extras += [f"batches {self.write_batch}/{self.read_batch}"] if self.write_batch > 1 or self.read_batch > 1 else []
        extras += [f"rotated every {self.rotate_every}"] if self.rotate_every else []
        extras += ["stutter"] if self.stutter_us else []
        extras += ["slow readers"] if any(self.slow_us) else []
        extras += ["one CPU"] if self.one_cpu else []
        return ", ".join([f"{count} records, {self.readers} readers, chunks of {self.chunk_size} bytes", *extras])

    def feed(self) -> dict[str, Any]:
        """What a writer opens the feed with, and makes it with if it is not there."""
        options = {"any": True, "chunk_size": str(self.chunk_size), "live_window": self.live_window, "rows": ROWS, "feeds": 4}
        return {**options, **({"persist": True} if self.persist else {})}


def mixes(able: list[str]) -> list[tuple[str, ...]]:
    """A mix has one writer, so there is one for each driver: it writes, and all of them read."""
    return [tuple(able[i:] + able[:i]) for i in range(len(able))]


def casting(shape: Shape, names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Who writes and who reads. In a pair the second reads alone; elsewhere all take turns."""
    readers = names[-1:] if shape.plan == "pair" else names
    return [names[0]], [readers[i % len(readers)] for i in range(shape.readers)]


def make_segment(creator: DriverProcess, segments: Segments, shape: Shape) -> str:
    """A fresh base, made by a driver that gives up writing it at once."""
    locator = segments.base()
    options = {key: value for key, value in shape.feed().items() if key != "any"}
    made = demand(
        creator.request({"cmd": "create", "profile": "deepwater", "seg": locator, "options": options}), creator.role, "create"
    )
    demand(creator.request({"cmd": "close", "h": made["h"]}), creator.role, "close")
    return locator


def goal_of(shape: Shape, count: int) -> int:
    """How many records there will be. Where a writer dies the last one writes what is missing."""
    return count if shape.plan != "kill-writer" else 3 * count


def plan_of(shape: Shape, role: str, number: int, locator: str, count: int, seed: int, limit_ms: int) -> dict[str, Any]:
    """The `arm` request of one actor."""
    plan = {
        "profile": "deepwater", "seg": locator, "role": role, "actor": number, "count": count, "sizes": shape.lengths(),
        "seed": seed, "batch": shape.write_batch if role == "write" else shape.read_batch, "wait": shape.wait,
        "stutter_us": shape.stutter_us, "limit_ms": limit_ms,
    }  # fmt: skip
    if role == "write":
        return plan | {"open": shape.feed()} | ({"rotate_every": shape.rotate_every} if shape.rotate_every else {})
    index = number - READERS_FROM
    start, slow = shape.starts[index % len(shape.starts)], shape.slow_us[index % len(shape.slow_us)]
    return plan | {"count": goal_of(shape, count), "from": start, "slow_us": slow}


def end_readers(cast: Cast, _locator: str, _path: Any) -> None:
    """Readers end by themselves, with the last record."""
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
    writer, base = cast.writers[0], segments.file_of(locator)
    count = int(writer.plan["count"])
    grade_rest(writer, trees.collect(base), shape, count, lambda sequence: (writer, sequence))
    cast.reset()
    tallies.require_sent(writer)
    received, lost = grade_readers(cast, shape, count, lambda sequence: (writer, sequence))
    grade_left(writer, trees.collect(base), shape, count)
    return f"{received} received, {lost} lost and reported so"


# -- judging -------------------------------------------------------------------------------------------------------------


def grade_readers(cast: Cast, shape: Shape, count: int, origin: Origin) -> tuple[int, int]:
    """What all readers say and wrote down; `count` - 1 is the sequence that they must come to."""
    checksums: dict[int, int] = {}
    received = lost = 0
    for reader in cast.readers:
        records = history.parse(reader.history) if reader.history else []
        tallies.require_clean(reader, "records")
        tallies.require_said(reader, received=len(records), lost=sum(record.skipped for record in records))
        grade_order(reader, shape, records)
        grade_content(reader, shape, records, origin, checksums)
        grade_end(reader, records, count)
        received += len(records)
        lost += sum(record.skipped for record in records)
    return received, lost


def grade_order(reader: Actor, shape: Shape, records: list[Record]) -> None:
    """Sequences increase by one, or by what the record behind the gap reports as lost; chunks never fall."""
    end, chunk = 0, 0
    for number, record in enumerate(records):
        if record.position < end:
            raise Finding(f"{reader.label}: record {record.position} after {end - 1}", on=reader.label)
        gap = record.position - end
        # A reader that does not begin at the first record of all has lost nothing before the first that it gets.
        if record.skipped != gap and (number > 0 or record.skipped > gap):
            what = f"reports {record.skipped} lost, and {gap} are missing before it"
            raise Finding(f"{reader.label}: record {record.position} {what}", on=reader.label)
        if shape.lossless and (record.skipped or (number == 0 and gap)):
            raise Finding(
                f"{reader.label}: record {record.position}: {gap} before it are missing, of a feed that keeps all",
                on=reader.label,
            )
        if record.sender_pid < chunk:
            raise Finding(
                f"{reader.label}: record {record.position} is of chunk {record.sender_pid}, after {chunk}", on=reader.label
            )
        end, chunk = record.position + 1, record.sender_pid


def grade_content(reader: Actor, shape: Shape, records: list[Record], origin: Origin, checksums: dict[int, int]) -> None:
    """Record n is the message that its writer sent for it: number, length and CRC, recomputed."""
    lengths = shape.lengths()
    for record in records:
        writer, message = origin(record.position)
        if record.actor != writer.number or record.sequence != message or record.message_type != history.MESSAGE_TYPE:
            what = f"message {record.sequence} of writer {record.actor} under sequence {record.position}"
            raise Finding(f"{reader.label}: {what}", on=reader.label)
        wanted = lengths[message % len(lengths)]
        if record.length != wanted:
            what = f"record {record.position} has {record.length} bytes, {writer.label} sent {wanted}"
            raise Finding(f"{reader.label}: {what}", on=reader.label)
        if record.position not in checksums:
            checksums[record.position] = history.payload_crc(writer.number, message, wanted, writer.plan["seed"])
        if record.crc != checksums[record.position]:
            raise Finding(f"{reader.label}: record {record.position} is not what {writer.label} sent", on=reader.label)


def grade_end(reader: Actor, records: list[Record], count: int) -> None:
    last = records[-1].position if records else -1
    if last != count - 1 or not (reader.summary or {}).get("ended"):
        what = f"came to record {last} of {count} in {reader.plan['limit_ms']} ms"
        raise Finding(f"{reader.label} {what}: the last record must become readable", on=reader.label)


def grade_rest(writer: Actor, content: bytes, shape: Shape, count: int, origin: Origin) -> None:
    """The base while its writer does nothing: the invariants, and the records that are there are those that were sent."""
    _invariants(writer, content)
    records = judge.oracle("deepwater").messages(content)
    if not records or records[-1].sequence != count - 1:
        last = records[-1].sequence if records else -1
        raise Finding(f"the last record in the base is {last}, not {count - 1}", on=writer.label)
    if shape.persist and len(records) != count:
        raise Finding(f"{len(records)} of {count} records are left of a feed that keeps all", on=writer.label)
    lengths = shape.lengths()
    for record in records:
        by, message = origin(record.sequence)
        if record.payload != history.payload(by.number, message, lengths[message % len(lengths)], by.plan["seed"]):
            raise Finding(f"record {record.sequence} in the base is not message {message} of {by.label}", on=by.label)
    rows, least = judge.number("deepwater", content, "feed_registry.count"), count // max(1, shape.rotate_every) - SPARE
    if shape.rotate_every and rows < least:
        raise Finding(f"there are {rows} chunks of {count} records, rotated every {shape.rotate_every}", on=writer.label)


def grade_left(writer: Actor, content: bytes, shape: Shape, count: int) -> None:
    """The base when its writer has left: all in files, or all gone, and nothing in shared memory."""
    _invariants(writer, content)
    oracle = judge.oracle("deepwater")
    memory = [name for name in trees.places(content) if name.startswith(trees.MEMORY)]
    if memory or oracle.value(content, "feed_registry.latest") != oracle.NONE:
        raise Finding(f"{writer.label} has left and {len(memory)} files are in shared memory", on=writer.label, diff=memory)
    if len(oracle.messages(content)) != (count if shape.persist else 0):
        raise Finding(f"{len(oracle.messages(content))} records are left when {writer.label} has left", on=writer.label)


def _invariants(writer: Actor, content: bytes) -> None:
    if found := judge.findings("deepwater", content):
        raise Finding(f"invariants broken: {'; '.join(found[:3])}", on=writer.label, diff=found)
