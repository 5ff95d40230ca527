# SPDX-License-Identifier: MIT
"""Live runs of profile dmxp: every message exactly once, in the order of its producer, whole, at its own position.

The runner judges from the readers' histories and the bytes of the segment alone; counts that actors report are only compared.
"""

from __future__ import annotations

import os
import random
import struct
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from .. import judge
from ..errors import Finding, HarnessError
from ..judge import oracle
from ..process import DriverProcess
from ..segments import Segments
from . import history, tallies
from .cast import Actor, Cast, demand
from .history import END_TYPE, MESSAGE_TYPE, Record
from .observer import BatchOrder

CHANNEL = 0
LEAST_PAYLOAD = history.HEAD.size
LIMIT_MS = 12_000  # a run that takes so long makes no progress; a healthy one takes less than a second
END_S = 3.0  # in which a channel that nobody writes to any more must have room for END
CALIBRATION: dict[str, Any] = {"plan": "pair", "writers": 1, "readers": 1, "capacity": "64", "sizes": [64]}
_AT_ONCE = 512  # messages of one read request when the runner drains a channel


@dataclass(frozen=True)
class Shape:
    """The `live` block of a case, with defaults."""

    plan: str  # pair, mix, kill-writers, kill-readers, commit
    writers: int
    readers: int
    capacity: int
    count: int  # messages in all, for drivers as fast as the fastest; slower ones send fewer
    sizes: tuple[int | str, ...]
    wait: str
    write_batch: int
    read_batch: int
    stutter_us: int
    payload_layout: int
    counted_waiters: bool
    one_cpu: bool
    phased: bool  # readers start when the writers are done: nothing but actors of one kind compete
    rounds: int  # so many times in all, each time on a fresh segment
    limit_ms: int
    observe: tuple[str, ...]

    @staticmethod
    def of(raw: dict[str, Any]) -> Shape:
        return Shape(
            raw["plan"], raw["writers"], raw["readers"], int(raw["capacity"]), raw.get("count", 24_000),
            tuple(raw.get("sizes", [24, 25, 63, 64, 65, "max"])), raw.get("wait", "spin"), raw.get("write_batch", 1),
            raw.get("read_batch", 1), raw.get("stutter_us", 0), raw.get("payload_layout", 2), raw.get("counted_waiters", False),
            raw.get("one_cpu", False), raw.get("phased", False), raw.get("rounds", 1), raw.get("limit_ms", LIMIT_MS),
            tuple(raw.get("observe", [])),
        )  # fmt: skip

    def lengths(self) -> list[int]:
        """Payload lengths in bytes, used in turn."""
        layout = "DOCUMENT" if self.payload_layout == 1 else "CRATE"
        largest = oracle("dmxp").C[f"PAYLOAD_CAPACITY_{layout}"]
        return [largest if size == "max" else int(size) for size in self.sizes]

    def describe(self, count: int) -> str:
        extras = [f"batches {self.write_batch}/{self.read_batch}"] if self.write_batch > 1 or self.read_batch > 1 else []
        extras += ["stutter"] if self.stutter_us else []
        extras += ["one CPU"] if self.one_cpu else []
        extras += ["filled, then drained"] if self.phased else []
        extras += [f"{self.rounds} rounds"] if self.rounds > 1 else []
        extras += ["counted waiters"] if self.counted_waiters else []
        shape = f"{count} messages, {self.writers} writers, {self.readers} readers, capacity {self.capacity}, {self.wait}"
        return ", ".join([shape, *extras])


def mixes(able: list[str]) -> list[tuple[str, ...]]:
    """One mix: everybody writes and reads at once."""
    return [tuple(able)]


def casting(shape: Shape, names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Who writes and who reads. A mix has one of each driver, at least two of each role."""
    if shape.plan == "mix":
        everyone = list(names) if len(names) > 1 else list(names) * 2
        return everyone, everyone
    return [names[0]] * shape.writers, [names[-1]] * shape.readers


def bytes_needed(shape: Shape, channels: int = 1) -> int:
    constants: dict[str, int] = oracle("dmxp").C
    slot: int = oracle("dmxp").SLOT.size
    band = -(-shape.capacity * slot // constants["BAND_ALIGN"]) * constants["BAND_ALIGN"]
    return -(-(constants["HEADER_SIZE"] + channels * band) // 4096) * 4096


def make_segment(creator: DriverProcess, segments: Segments, shape: Shape) -> str:
    """A fresh segment with the run's channel, made by a driver."""
    locator = segments.posix()
    options = {"size": str(bytes_needed(shape)), "payload_layout": shape.payload_layout}
    create = {"cmd": "create", "profile": "dmxp", "seg": locator, "options": options}
    made = demand(creator.request(create), creator.role, "create")
    args = {"channel": CHANNEL, "capacity": str(shape.capacity), "counted_waiters": shape.counted_waiters}
    call = {"cmd": "call", "h": made["h"], "verb": "dmxp.channel_create", "args": args}
    demand(creator.request(call), creator.role, "channel_create")
    demand(creator.request({"cmd": "close", "h": made["h"]}), creator.role, "close")
    return locator


def plan_of(shape: Shape, role: str, number: int, locator: str, count: int, seed: int, limit_ms: int) -> dict[str, Any]:
    """The `arm` request of one actor."""
    return {
        "profile": "dmxp", "seg": locator, "channel": CHANNEL, "role": role, "actor": number,
        "count": count if role == "write" else 0,
        "sizes": shape.lengths(), "seed": seed, "batch": shape.write_batch if role == "write" else shape.read_batch,
        "wait": shape.wait, "stutter_us": shape.stutter_us, "limit_ms": limit_ms,
    }  # fmt: skip


# -- a run with an orderly end -------------------------------------------------------------------------------------------


def run_to_end(cast: Cast, segments: Segments, locator: str, shape: Shape, rng: random.Random) -> str:
    """Arm, go, END to every reader when all writers are done, then judge. Returns what else there is to say."""
    path = segments.file_of(locator)
    cast.arm()
    if shape.one_cpu:
        cast.pin({rng.choice(sorted(os.sched_getaffinity(0)))})
    observer = BatchOrder(path, CHANNEL, shape.write_batch) if "batch-order" in shape.observe else None
    try:
        cast.go(cast.writers if shape.phased else None)
        cast.collect(cast.writers)
        ends = end_readers(cast, locator, path, shape.phased)
    finally:
        if shape.one_cpu:
            cast.pin(os.sched_getaffinity(0))
        if observer is not None:
            observer.stop()
    if observer is not None:
        observer.require()
    cast.reset()
    grade(cast, shape, path.read_bytes(), ends)
    return f"{observer.looks} batches watched while they were published" if observer is not None else ""


def end_readers(cast: Cast, locator: str, path: Any, start: bool = False) -> int:
    """Send one END per reader, and more if a batch swallowed some of them; returns how many were sent."""
    sender = cast.writers[0]
    request = {"cmd": "open", "profile": "dmxp", "seg": locator, "mode": "rw"}
    handle = demand(sender.process.request(request), sender.label, "open")["h"]
    sent = 0

    def send() -> None:
        nonlocal sent
        waiting = len(cast.pending())
        head, tail = cursors(path)
        if waiting and (sent == 0 or head == tail):
            sent += _send_ends(sender, handle, waiting)

    send()
    if start:
        cast.go(cast.readers)
    cast.collect(cast.readers, send)
    return sent


def _send_ends(sender: Actor, handle: int, count: int) -> int:
    item = {"data": {"hex": ""}, "meta": {"message_type": END_TYPE}}
    sent, limit = 0, time.monotonic() + END_S
    while sent < count:
        request = {"cmd": "write", "h": handle, "channel": CHANNEL, "mode": "try", "items": [item]}
        state = demand(sender.process.request(request), sender.label, "write of END")["results"][0]["st"]
        if state == "ok":
            sent += 1
        elif state != "full" or time.monotonic() > limit:
            raise Finding(f"END could not be sent: {state}", on=sender.label)
        else:
            time.sleep(0.001)
    return sent


def cursors(path: Any) -> tuple[int, int]:
    """head and tail of the run's channel, as the file shows them now."""
    places = [judge.oracle("dmxp").LAYOUT.structs["channel"].field(name).offset for name in ("head", "tail")]
    start = oracle("dmxp").C["CHANNEL_TABLE_OFFSET"] + oracle("dmxp").CHANNEL.size * CHANNEL
    with open(path, "rb") as file:
        values = []
        for place in places:
            file.seek(start + place)
            values.append(struct.unpack("<Q", file.read(8))[0])
    return values[0], values[1]


# -- judging -------------------------------------------------------------------------------------------------------------


def grade(cast: Cast, shape: Shape, content: bytes, ends: int) -> None:
    """Exactly once, in order, whole, positions without gaps, and a segment at rest in the end."""
    records: list[Record] = []
    for reader in cast.readers:
        mine = history.parse(reader.history) if reader.history else []
        grade_reader(reader, mine)
        if not reader.summary or not reader.summary.get("ended"):
            what = f"was not done after {shape.limit_ms} ms: it received {len(mine)} messages"
            raise Finding(f"{reader.label} {what}", on=reader.label)
        records += mine
    for writer in cast.writers:
        if writer.count("sent") != writer.plan["count"]:
            raise Finding(f"{writer.label} sent {writer.count('sent')} of {writer.plan['count']}: no progress", on=writer.label)
    grade_content(cast, shape, records)
    expected = {(writer.number, i) for writer in cast.writers for i in range(writer.plan["count"])}
    grade_multiset(records, expected)
    positions = {record.position for record in records}
    if positions != set(range(len(expected))):
        raise Finding(f"positions are not 0 to {len(expected) - 1}: {sorted(positions ^ set(range(len(expected))))[:6]}")
    grade_producers(records)
    tail = judge.number("dmxp", content, f"channel[{CHANNEL}].tail")
    if tail < len(expected) + ends:  # more is allowed: a reader may hand on an END that its batch took from another
        raise Finding(f"tail is {tail} after {len(expected)} messages and {ends} ENDs")
    if found := judge.findings("dmxp", content):
        raise Finding(f"invariants broken at rest: {'; '.join(found[:3])}", diff=found)


def grade_reader(reader: Actor, records: list[Record]) -> None:
    """What one consumer saw: nothing torn or corrupt, and each producer's messages in order."""
    tallies.require_clean(reader, "payloads")
    if reader.summary is not None:
        tallies.require_said(reader, received=len(records))
    last: dict[int, int] = {}
    for before, record in zip([None, *records], records, strict=False):
        if record.sequence <= last.get(record.actor, -1):
            what = f"{record.sequence} of writer {record.actor} after {last[record.actor]}"
            raise Finding(f"{reader.label}: order of a producer broken: {what}", on=reader.label)
        if before is not None and record.position <= before.position:
            raise Finding(f"{reader.label}: position {record.position} after {before.position}", on=reader.label)
        last[record.actor] = record.sequence


def grade_content(cast: Cast, shape: Shape, records: list[Record]) -> None:
    """Length and CRC of every message, recomputed from what its writer had to send; one sender_pid a writer."""
    writers = {writer.number: writer for writer in cast.writers}
    lengths = shape.lengths()
    pids: dict[int, set[int]] = defaultdict(set)
    for record in records:
        writer = writers.get(record.actor)
        if writer is None or record.message_type != MESSAGE_TYPE:
            raise Finding(f"position {record.position}: a message that nobody sent: {record}")
        wanted = lengths[record.sequence % len(lengths)]
        if record.length != wanted:
            raise Finding(f"position {record.position}: {record.length} bytes, writer {writer.label} sent {wanted}")
        if record.crc != history.payload_crc(record.actor, record.sequence, record.length, writer.plan["seed"]):
            what = f"payload of message {record.sequence} of {writer.label} is not what was sent"
            raise Finding(f"position {record.position}: {what}")
        pids[record.actor].add(record.sender_pid)
    for number, seen in pids.items():
        if len(seen) != 1 or 0 in seen:
            raise Finding(f"messages of {writers[number].label} carry the process ids {sorted(seen)}", on=writers[number].label)


def grade_multiset(records: list[Record], expected: set[tuple[int, int]]) -> None:
    """Exactly once each."""
    counts = Counter((record.actor, record.sequence) for record in records)
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        raise Finding(f"{len(twice)} messages were delivered more than once, first (writer, sequence) {min(twice)}")
    if unsent := set(counts) - expected:
        raise Finding(f"{len(unsent)} messages were delivered that no writer sent, first (writer, sequence) {min(unsent)}")
    if lost := expected - set(counts):
        raise Finding(f"{len(lost)} messages were lost, first (writer, sequence) {min(lost)}")


def grade_producers(records: list[Record]) -> None:
    """A producer claims positions in the order in which it sends."""
    last: dict[int, Record] = {}
    for record in sorted(records, key=lambda one: one.position):
        before = last.get(record.actor)
        if before is not None and record.sequence <= before.sequence:
            what = f"message {record.sequence} at {record.position}, message {before.sequence} at {before.position}"
            raise Finding(f"writer {record.actor} claimed out of order: {what}")
        last[record.actor] = record


def drain(process: DriverProcess, label: str, locator: str) -> list[Record]:
    """Read what is left through a driver, as records."""
    request = {"cmd": "open", "profile": "dmxp", "seg": locator, "mode": "rw"}
    handle = demand(process.request(request), label, "open")["h"]
    records: list[Record] = []
    while True:
        ask = {"cmd": "read", "h": handle, "channel": CHANNEL, "mode": "try", "max": _AT_ONCE}
        body = demand(process.request(ask), label, "read")
        for item in body["items"]:
            if "hex" not in item["data"]:
                raise HarnessError("a live payload above the inline limit")
            data, meta = bytes.fromhex(item["data"]["hex"]), item["meta"]
            records.append(history.of_payload(data, int(item["pos"]), meta["message_type"], meta["sender_pid"]))
        if not body["items"]:
            return records
