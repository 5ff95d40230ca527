# SPDX-License-Identifier: MIT
"""Kill runs of profile ouroboros: the writer gets SIGKILL at a seeded moment, and a driver of the other kind takes the log over.

The readers are not told. To them it is one log: nothing torn, sequences that increase, gaps that are reported, and its last entry
in the end. Between the death and the next write the runner compares the bytes: what was readable still is.
"""

from __future__ import annotations

import mmap
import random
import struct
import time
from pathlib import Path
from typing import Any

from .. import judge
from ..errors import Finding
from ..process import DriverProcess
from ..segments import Segments
from . import ouroboros, tallies
from .cast import Actor, Cast, demand, pause

LIMIT_MS = ouroboros.LIMIT_MS
EARLIEST, LATEST = 0.02, 0.7  # of its entries: how many there are when the writer dies
LAST_MOMENT_S = 0.0002  # and at most so much later
PAUSES_US = 20  # of the one that takes over, now and then, so that readers come to see more than its last entries


def helpers(_shape: ouroboros.Shape, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Roles beside the actors, and who plays them: the one that takes over."""
    return [("resumer", names[-1])]


def moments(rng: random.Random, _seconds: float) -> list[float]:
    """The part of its entries that the writer has written when it dies, and how many seconds later that is."""
    return [rng.uniform(EARLIEST, LATEST), rng.uniform(0, LAST_MOMENT_S)]


def run(cast: Cast, segments: Segments, locator: str, shape: ouroboros.Shape, when: list[float]) -> str:
    """The whole of it; returns what happened in words."""
    path, first = segments.file_of(locator), cast.writers[0]
    (resumer,) = cast.played("resumer")
    cast.arm()
    cast.go()
    _await(path, int(first.plan["count"] * when[0]))
    pause(when[1])
    cast.kill(first)
    before = path.read_bytes()
    written = _take_over(resumer, locator)
    last = _require_kept(resumer, before, path.read_bytes(), written)
    goal = ouroboros.goal_of(shape, int(first.plan["count"]))
    label = f"w1:{resumer.config.name}"
    plan = ouroboros.plan_of(shape, "write", first.number + 1, locator, goal - written, first.plan["seed"], LIMIT_MS)
    second = cast.promote(resumer, label, {**plan, "stutter_us": PAUSES_US})
    cast.go([second])
    cast.collect([second])
    cast.collect(cast.readers)
    cast.reset()
    received, missed = _grade(cast, shape, path.read_bytes(), (first, second), (last, written))
    moment = f"killed after entry {last} of {first.plan['count']}"
    return f"{moment}, {label} went on at {written + 1}; {received} received, {missed} skipped and reported so"


def _await(path: Path, entries: int) -> None:
    """Come back when the tokens say that more than so many entries are written, or soon after the writer's time limit."""
    oracle = judge.oracle("ouroboros")
    size, limit = oracle.C["ROW_TABLE_OFFSET"], time.monotonic() + LIMIT_MS / 1000
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
        table = size + oracle.ROW.size * int(oracle.value(content[:size], "header.chunk_count"))
        while time.monotonic() < limit:
            words = struct.unpack(f"<{(table - size) // 8}Q", content[size:table])
            if max(words[1::2]) > entries:
                return


def _take_over(resumer: DriverProcess, locator: str) -> int:
    """Become the writer without writing; returns how many entries the driver says there were."""
    request = {"cmd": "open", "profile": "ouroboros", "seg": locator, "mode": "rw", "options": {"resume": True}}
    handle = demand(resumer.request(request), resumer.role, "open to resume")["h"]
    call = {"cmd": "call", "h": handle, "verb": "ouroboros.info", "args": {}}
    written = int(demand(resumer.request(call), resumer.role, "info")["entries_written"])
    demand(resumer.request({"cmd": "close", "h": handle}), resumer.role, "close")
    return written


def _require_kept(resumer: DriverProcess, before: bytes, after: bytes, written: int) -> int:
    """Every entry that a reader could come to is still there, and the number goes on from the last. Returns its sequence."""
    kept = {one.sequence: one.payload for one in _readable(after)}
    for one in _readable(before):
        if kept.get(one.sequence) != one.payload:
            raise Finding(f"entry {one.sequence} was readable before {resumer.role} took over, and is not now", on=resumer.role)
    last = max(kept, default=0)
    if written < last:
        raise Finding(f"{resumer.role} says {written} entries are written, and entry {last} is readable", on=resumer.role)
    return last


def _readable(content: bytes) -> list[Any]:
    """What readers come to that start anywhere."""
    oracle = judge.oracle("ouroboros")
    return [one for start in oracle.STARTS for one in oracle.messages(content, start)]


def _grade(
    cast: Cast, shape: ouroboros.Shape, content: bytes, writers: tuple[Actor, Actor], reached: tuple[int, int]
) -> tuple[int, int]:
    """One log of two writers: the first's entries end at `last`, the second's begin behind `written`, which is at least that."""
    (first, second), (last, written) = writers, reached

    def origin(sequence: int) -> tuple[Actor, int]:
        if last < sequence <= written:
            told = f"{last} was the last of {first.label}, {written + 1} the first of {second.label}"
            raise Finding(f"entry {sequence} was delivered: {told}")
        return (first, sequence - 1) if sequence <= last else (second, sequence - written - 1)

    tallies.require_sent(second)
    goal = written + int(second.plan["count"])
    figures = ouroboros.grade_readers(cast, shape, goal, origin)
    ouroboros.grade_rest(second, content, goal)
    return figures
