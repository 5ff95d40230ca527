# SPDX-License-Identifier: MIT
"""Kill runs of profile deepwater: two writers in turn get SIGKILL at seeded moments, and another one takes the feed over each
time.

The readers are not told. To them it is one feed: nothing torn or CORRUPT, no sequence twice, none left out but what is reported
as lost, and its last record in the end. A row that a writer died over is nothing new for now, and no damage.
Between a death and the next write the runner reads the base: what a reader can have seen is still there.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from .. import judge, trees
from ..errors import Finding
from ..process import DriverProcess
from ..segments import Segments
from . import deepwater, tallies
from .cast import Actor, Cast, demand, pause

LIMIT_MS = 2 * deepwater.LIMIT_MS
DEATHS = 2
EARLIEST, LATEST = 0.05, 0.8  # of a writer's records: how many there are when it dies
LAST_MOMENT_S = 0.002  # and at most so much later


def helpers(_shape: deepwater.Shape, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Roles beside the actors, and who plays them: those that take over, in turn."""
    return [(f"heir{number}", names[(number + 1) % len(names)]) for number in range(DEATHS)]


def moments(rng: random.Random, _seconds: float) -> list[float]:
    """For each writer that dies the part of its records that are there then, and how many seconds later that is."""
    return [value for _ in range(DEATHS) for value in (rng.uniform(EARLIEST, LATEST), rng.uniform(0, LAST_MOMENT_S))]


def run(cast: Cast, segments: Segments, locator: str, shape: deepwater.Shape, when: list[float]) -> str:
    """The whole of it; returns what happened in words."""
    base, writer = segments.file_of(locator), cast.writers[0]
    each = int(writer.plan["count"])
    goal, begins, stood_open = deepwater.goal_of(shape, each), [0], 0
    cast.arm()
    cast.go()
    for death in range(DEATHS):
        _await(base, begins[-1] + int(each * when[2 * death]))
        pause(when[2 * death + 1])
        cast.kill(writer)
        stood_open += _stands_open(trees.collect(base))
        (heir,) = cast.played(f"heir{death}")
        begins.append(_take_over(heir, base, locator))
        count = each if death + 1 < DEATHS else goal - begins[-1]
        plan = deepwater.plan_of(shape, "write", writer.number + 1, locator, count, writer.plan["seed"], LIMIT_MS)
        writer = cast.promote(heir, f"w{death + 1}:{heir.config.name}", plan)
        cast.go([writer])
    cast.collect([writer])
    cast.collect(cast.readers)
    tallies.require_sent(writer)
    origin = _origin(cast.writers, begins)
    deepwater.grade_rest(writer, trees.collect(base), shape, goal, origin)
    cast.reset()
    received, lost = deepwater.grade_readers(cast, shape, goal, origin)
    deepwater.grade_left(writer, trees.collect(base), shape, goal)
    within = f", {stood_open} of them within a change of a row" if stood_open else ""
    return f"killed before records {begins[1:]} of {goal}{within}; {received} received, {lost} lost and reported so"


def _origin(writers: list[Actor], begins: list[int]) -> deepwater.Origin:
    def origin(sequence: int) -> tuple[Actor, int]:
        number = max(i for i, begin in enumerate(begins) if begin <= sequence)
        return writers[number], sequence - begins[number]

    return origin


def _await(base: Path, records: int) -> None:
    """Come back when the feed's header says that so many records are there, or soon after the writer's time limit."""
    path, limit = base / "feed" / "feed_registry.bin", time.monotonic() + deepwater.LIMIT_MS / 1000
    field = judge.oracle("deepwater").STRUCTS["feed_registry"].field("last_sequence")
    with path.open("rb", buffering=0) as file:
        while time.monotonic() < limit:
            file.seek(field.offset)
            last = int.from_bytes(file.read(field.size), "little")
            if last != judge.oracle("deepwater").NONE and last + 1 >= records:
                return


def _stands_open(content: bytes) -> bool:
    """Whether the dead writer left a row within a change: its stamp is odd."""
    base = judge.oracle("deepwater").Segment(content)
    return any(base.number(f"row[{row}].stamp") & 1 for row in range(base.number("feed_registry.count")))


def _take_over(heir: DriverProcess, base: Path, locator: str) -> int:
    """Recover without writing; returns how many records a reader can have seen, which is where the next one goes on."""
    before = judge.oracle("deepwater").messages(trees.collect(base))
    demand(heir.request({"cmd": "call", "verb": "deepwater.gc", "args": {"seg": locator}}), heir.role, "gc")
    content = trees.collect(base)
    after = judge.oracle("deepwater").messages(content)
    if found := judge.findings("deepwater", content):
        raise Finding(f"{heir.role} recovers, and leaves invariants broken: {'; '.join(found[:3])}", on=heir.role, diff=found)
    _require_kept(heir, before, after)
    return int(judge.number("deepwater", content, "feed_registry.last_sequence")) + 1


def _require_kept(heir: DriverProcess, before: list[Any], after: list[Any]) -> None:
    """What could be read still can be: of a feed that persists all, of another one what is in the window."""
    kept = {one.sequence: one.payload for one in after}
    first = min(kept, default=0)
    for one in before:
        if one.sequence >= first and kept.get(one.sequence) != one.payload:
            raise Finding(f"record {one.sequence} was readable before {heir.role} recovered, and is not now", on=heir.role)
    if before and (not after or after[-1].sequence != before[-1].sequence):
        last = after[-1].sequence if after else -1
        raise Finding(f"record {before[-1].sequence} was the last before {heir.role} recovered, and is {last} now", on=heir.role)
