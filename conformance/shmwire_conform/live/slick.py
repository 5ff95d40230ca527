# SPDX-License-Identifier: MIT
"""Live runs of profile slick: several producers, readers with cursors of their own or with one that they share, with or
without credit.

Beside the segment lie files of the run's own, named after it: `until` ends readers, `credit` holds producers back, `cursor` is
shared by consumers. With a shared cursor and credit, the cursor is the credit: who takes an item has its copy.
What must hold of the readers' records is in slick_judge.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import Any

from ..errors import HarnessError
from ..process import DriverProcess
from ..segments import Segments
from . import slick_judge
from .cast import Cast, demand

LIMIT_MS = 12_000  # a run that takes so long makes no progress; a healthy one takes less than a second
STALL_MS = 15_000  # of producers that nobody kills: none may ever be given up, however long it waits for a processor
READERS_FROM = 1000  # number of the first reader
CREDIT_SLOT = 64  # bytes of the credit file for each reader
CALIBRATION: dict[str, Any] = {"plan": "pair", "writers": 1, "readers": 1, "size": 1024, "element_size": 64, "elements": [1]}


@dataclass(frozen=True)
class Shape:
    """The `live` block of a case, with defaults."""

    plan: str  # pair, mix, kill-writers, kill-readers
    writers: int
    readers: int
    size: int  # elements of the ring
    element_size: int  # bytes
    generation: str
    count: int  # items in all, for drivers as fast as the fastest; slower ones send fewer
    elements: tuple[int, ...]  # of an item, used in turn
    wait: str
    write_batch: int
    read_batch: int
    stutter_us: int
    slow_us: tuple[int, ...]  # of reader i: slow_us[i mod n]
    starts: tuple[str, ...]  # of reader i, in the same way: index (0), oldest, latest
    credit: bool  # nothing may be lost
    shared: str  # "" = cursors of their own; "driver" or "runner": who makes the cursor that all readers share
    one_cpu: bool
    rounds: int  # so many times in all, each time on a fresh segment
    limit_ms: int

    @staticmethod
    def of(raw: dict[str, Any]) -> Shape:
        return Shape(
            raw["plan"], raw["writers"], raw["readers"], raw["size"], raw["element_size"], raw.get("generation", "1.4"),
            raw.get("count", 12_000), tuple(raw.get("elements", [1, 2, 3, 4, 5])), raw.get("wait", "spin"),
            raw.get("write_batch", 1), raw.get("read_batch", 1), raw.get("stutter_us", 0), tuple(raw.get("slow_us", [0])),
            tuple(raw.get("from", ["index"])), raw.get("credit", False), raw.get("shared", ""), raw.get("one_cpu", False),
            raw.get("rounds", 1), raw.get("limit_ms", LIMIT_MS),
        )  # fmt: skip

    def lengths(self) -> list[int]:
        """Payload lengths in bytes, used in turn."""
        return [count * self.element_size for count in self.elements]

    @property
    def largest(self) -> int:
        return max(self.elements)

    def window(self) -> int:
        """Indices that a writer with credit may be ahead of the slowest reader. All writers may find room at the same time, and
        then each has written a batch and passed the end of the ring once before it looks again."""
        step = self.write_batch * self.largest + self.largest - 1
        window = self.size - self.writers * step
        if window < step:
            raise HarnessError(f"a ring of {self.size} has no room for the credit of {self.writers} writers")
        return window

    def describe(self, count: int) -> str:
        extras = [f"batches {self.write_batch}/{self.read_batch}"] if self.write_batch > 1 or self.read_batch > 1 else []
        extras += ["one cursor"] if self.shared else []
        extras += ["credit"] if self.credit else []
        extras += ["stutter"] if self.stutter_us else []
        extras += ["slow readers"] if any(self.slow_us) else []
        extras += ["one CPU"] if self.one_cpu else []
        extras += [f"{self.rounds} rounds"] if self.rounds > 1 else []
        actors = f"{count} items, {self.writers} writers, {self.readers} readers"
        return ", ".join([f"{actors}, {self.size} x {self.element_size} bytes, {self.generation}", *extras])


def mixes(able: list[str]) -> list[tuple[str, ...]]:
    """One mix for each driver, which is the first to write; the others follow in turn."""
    return [tuple(able[i:] + able[:i]) for i in range(len(able))]


def casting(shape: Shape, names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Who writes and who reads: all take turns, the writers from the first on and the readers from the last on."""
    writers = [names[i % len(names)] for i in range(shape.writers)]
    return writers, [names[-1 - i % len(names)] for i in range(shape.readers)]


def make_segment(creator: DriverProcess, segments: Segments, shape: Shape) -> str:
    """A fresh segment, made by a driver, and the files that lie beside it."""
    locator = segments.posix()
    options = {"size": shape.size, "element_size": shape.element_size, "generation": shape.generation}
    create = {"cmd": "create", "profile": "slick", "seg": locator, "options": options}
    handle = demand(creator.request(create), creator.role, "create")["h"]
    _fill(segments, locator, "until", CREDIT_SLOT)
    _fill(segments, locator, "credit", CREDIT_SLOT * shape.readers)
    if shape.shared == "driver":
        args = {"cursor": segments.beside(locator, "cursor"), "index": "0"}
        call = {"cmd": "call", "h": handle, "verb": "slick.cursor_create", "args": args}
        demand(creator.request(call), creator.role, "cursor_create")
    elif shape.shared:
        _fill(segments, locator, "cursor", CREDIT_SLOT)
    demand(creator.request({"cmd": "close", "h": handle}), creator.role, "close")
    return locator


def _fill(segments: Segments, locator: str, what: str, size: int) -> None:
    segments.file_of(segments.beside(locator, what)).write_bytes(bytes(size))


def plan_of(shape: Shape, role: str, number: int, locator: str, count: int, seed: int, limit_ms: int) -> dict[str, Any]:
    """The `arm` request of one actor."""
    plan = {
        "profile": "slick", "seg": locator, "role": role, "actor": number, "count": count if role == "write" else 0,
        "sizes": shape.lengths(), "seed": seed, "batch": shape.write_batch if role == "write" else shape.read_batch,
        "wait": shape.wait, "stutter_us": shape.stutter_us, "limit_ms": limit_ms,
    }  # fmt: skip
    return plan | (_writing(shape, locator) if role == "write" else _reading(shape, locator, number - READERS_FROM))


def _writing(shape: Shape, locator: str) -> dict[str, Any]:
    more: dict[str, Any] = {"open": {"stall_ms": STALL_MS}}
    if shape.credit:
        path = _path(locator, "cursor" if shape.shared else "credit")
        more["credit"] = {"path": path, "window": shape.window()}
    return more


def _reading(shape: Shape, locator: str, index: int) -> dict[str, Any]:
    more: dict[str, Any] = {"until": _path(locator, "until"), "slow_us": shape.slow_us[index % len(shape.slow_us)]}
    if shape.shared:
        return more | {"cursor": Segments.beside(locator, "cursor")}
    if shape.credit:
        more["credit"] = {"path": _path(locator, "credit"), "slot": index}
    start = shape.starts[index % len(shape.starts)]
    return more | ({"index": "0"} if start == "index" else {"from": start})


def _path(locator: str, what: str) -> str:
    return str(Segments.file_of(Segments.beside(locator, what)))


def end_readers(cast: Cast, locator: str, _path: Any) -> None:
    """Tell readers to end when they have read everything, and wait for them."""
    with Segments.file_of(Segments.beside(locator, "until")).open("r+b", buffering=0) as file:
        file.write(b"\1")
    cast.collect([reader for reader in cast.readers if not reader.killed])


def run_to_end(cast: Cast, segments: Segments, locator: str, shape: Shape, rng: random.Random) -> str:
    """Arm, go, collect, then judge. Returns what else there is to say."""
    cast.arm()
    if shape.one_cpu:
        cast.pin({rng.choice(sorted(os.sched_getaffinity(0)))})
    try:
        cast.go()
        cast.collect(cast.writers)
        end_readers(cast, locator, None)
    finally:
        if shape.one_cpu:
            cast.pin(os.sched_getaffinity(0))
    cast.reset()
    received, lost = slick_judge.grade(cast, shape, slick_judge.Rest.of(segments, locator, shape))
    return f"{received} received, {lost} indices lost and reported so"
