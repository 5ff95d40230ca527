# SPDX-License-Identifier: MIT
"""Kill runs of profile slick: SIGKILL at seeded moments, and the others go on.

Plan "kill-writers": two producers die at random and a third one between its claim and its publication. A late producer then
writes several laps: whoever comes round to a dead reservation first waits its stall time and marks it, and readers come past.
What the readers did not get, and nobody reports as lost, is no more than what died.
Plan "kill-readers": two consumers of a shared cursor die. Nothing is given twice; what is missing was taken before the last
death.
"""

from __future__ import annotations

import mmap
import random
import signal
import time
from pathlib import Path
from typing import Any

from .. import judge
from ..errors import Finding
from ..process import DriverProcess
from ..segments import Segments
from . import slick, slick_judge, tallies
from .cast import Actor, Cast, demand, pause
from .history import Record
from .slick_judge import Account, Rest

LIMIT_MS = slick.LIMIT_MS
STALL_MS = 250  # of producers, some of which die
VICTIMS = 2
EARLIEST, LATEST = 0.02, 0.7  # of all indices: how many are reserved when a victim dies
LAST_MOMENT_S = 0.0002  # and at most so much later
LATE_LAPS = 4  # that the late producer writes at least


def helpers(shape: slick.Shape, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Roles beside the actors, and who plays them: one dies holding a claim, one writes late, one recovers."""
    if shape.plan != "kill-writers":
        return []
    return [("claimer", names[0]), ("late", names[-1]), ("recoverer", names[0])]


def moments(rng: random.Random, _seconds: float) -> list[float]:
    """The parts of all indices that are reserved when the victims die, and how many seconds later that is."""
    return [*sorted(rng.uniform(EARLIEST, LATEST) for _ in range(VICTIMS)), rng.uniform(0, LAST_MOMENT_S)]


def run(cast: Cast, segments: Segments, locator: str, shape: slick.Shape, when: list[float]) -> str:
    """The whole of it; returns what happened in words."""
    for writer in cast.writers:
        writer.plan["open"] = {"stall_ms": STALL_MS}
    cast.arm()
    cast.go()
    if shape.plan == "kill-readers":
        return _kill_readers(cast, segments, locator, shape, when)
    return _kill_writers(cast, segments, locator, shape, when)


def _kill_at(cast: Cast, victims: list[Actor], path: Path, shape: slick.Shape, when: list[float]) -> None:
    """Each when so many indices are reserved as its moment says, and a little later."""
    whole = sum(writer.plan["count"] for writer in cast.writers) * sum(shape.elements) / len(shape.elements)
    for victim, part in zip(victims, when, strict=False):
        _await(path, int(part * whole))
        pause(when[-1])
        cast.kill(victim)


def _await(path: Path, indices: int) -> None:
    """Come back when so many indices are reserved, or nothing has happened for a second."""
    size = int(judge.oracle("slick").C["SLOT_TABLE_OFFSET"])
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ) as content:
        seen, limit = 0, time.monotonic() + 1
        while seen < indices and time.monotonic() < limit:
            now = slick_judge.reserved_index(content[:size])
            if now != seen:
                seen, limit = now, time.monotonic() + 1


# -- producers die -------------------------------------------------------------------------------------------------------


def _kill_writers(cast: Cast, segments: Segments, locator: str, shape: slick.Shape, when: list[float]) -> str:
    path = segments.file_of(locator)
    (claimer,), (late,), (recoverer,) = (cast.played(role) for role in ("claimer", "late", "recoverer"))
    _kill_at(cast, cast.writers[:VICTIMS], path, shape, when)
    held = _die_holding(cast, claimer, locator, shape)
    newcomer = _send_late(cast, late, locator, shape)
    cast.collect([writer for writer in cast.writers if not writer.killed])
    holes = _recover(recoverer, locator)
    if holes and newcomer.count("sent") == newcomer.plan["count"]:
        what = f"marks {holes} holes, and {newcomer.label} came {LATE_LAPS} times round the ring since the last death"
        raise Finding(f"{recoverer.role} {what}", on=recoverer.role)
    slick.end_readers(cast, locator, None)
    cast.reset()
    received, lost = _grade_writers_killed(cast, shape, Rest.of(segments, locator, shape))
    given_up = sum(writer.count("given_up") for writer in cast.writers)
    died = f"killed {', '.join(one.label for one in cast.writers if one.killed)} and a claimer at {held}"
    return f"{died}; {given_up} given up, {holes} recovered; {received} received, {lost} indices lost and reported so"


def _die_holding(cast: Cast, claimer: DriverProcess, locator: str, shape: slick.Shape) -> int:
    """A producer reserves an item and dies. Returns the index."""
    label, options = claimer.role, {"stall_ms": STALL_MS}
    request = {"cmd": "open", "profile": "slick", "seg": locator, "mode": "rw", "options": options}
    handle = demand(claimer.request(request), label, "open")["h"]
    claim = demand(claimer.request({"cmd": "claim", "h": handle, "elements": shape.largest}), label, "claim")
    if claim["st"] != "ok":
        raise Finding(f"{label}: claim answers {claim['st']}", on=label)
    cast.transcript.add(label, "!", f"{signal.SIGKILL.name} from the runner")
    claimer.kill()
    return int(claim["pos"])


def _send_late(cast: Cast, late: DriverProcess, locator: str, shape: slick.Shape) -> Actor:
    """A producer that begins after all deaths and writes so much that it comes round to every reservation of the dead."""
    count = max(len(shape.elements), LATE_LAPS * shape.size)
    number = max(writer.number for writer in cast.writers) + 1
    seed = cast.writers[0].plan["seed"]
    plan = slick.plan_of(shape, "write", number, locator, count, seed, LIMIT_MS) | {"open": {"stall_ms": STALL_MS}}
    newcomer = cast.promote(late, f"w{number - 1}:{late.config.name}", plan)
    cast.go([newcomer])
    return newcomer


def _recover(recoverer: DriverProcess, locator: str) -> int:
    label = recoverer.role
    request: dict[str, Any] = {"cmd": "open", "profile": "slick", "seg": locator, "mode": "rw"}
    handle = demand(recoverer.request(request), label, "open")["h"]
    call = {"cmd": "call", "h": handle, "verb": "slick.recover", "args": {"all_dead": True}}
    holes = int(demand(recoverer.request(call), label, "recover")["holes"])
    demand(recoverer.request({"cmd": "close", "h": handle}), label, "close")
    return holes


def _grade_writers_killed(cast: Cast, shape: slick.Shape, rest: Rest) -> tuple[int, int]:
    """As in an orderly run, but that dead writers may stop anywhere, and what died may be missing without being lost."""
    given_up, stopped = _grade_survivors(cast)
    seen = slick_judge.histories(cast)
    for reader, records in zip(cast.readers, seen, strict=True):
        slick_judge.grade_counts(reader, records)
        slick_judge.grade_order(reader, records)
    slick_judge.grade_items(cast, shape, seen)
    dead = sum(writer.killed for writer in cast.writers) + 1
    # A mark may also pass what living producers had not published then: at most a reservation of each.
    most = max(given_up, dead + stopped) * len(cast.writers) * shape.write_batch * shape.largest
    for label, records, _ in slick_judge.streams(cast, shape, seen):
        passed = _passed(label, records, Account(shape))
        if passed > most:
            raise Finding(
                f"{label}: {passed} indices are missing and not reported as lost; the dead held {most} at most", on=label
            )
        slick_judge.grade_end(label, records, rest)
    slick_judge.grade_rest(cast, rest)
    return sum(map(len, seen)), sum(record.skipped for records in seen for record in records)


def _grade_survivors(cast: Cast) -> tuple[int, int]:
    """Somebody gave the claimer up; and who stopped early was itself taken for dead, which takes somebody that gave up.
    Returns how often somebody gave up, and how many stopped."""
    living = [writer for writer in cast.writers if not writer.killed]
    given_up, stopped = sum(writer.count("given_up") for writer in living), 0
    for writer in living:
        if writer.count("sent") != writer.plan["count"]:
            stopped += 1
            if not given_up:
                tallies.require_sent(writer)
    if not given_up and not stopped:
        raise Finding("nobody gave up the reservation of the claimer, which died, and all came past it")
    return given_up, stopped


def _passed(label: str, records: list[Record], account: Account) -> int:
    """Indices that are neither delivered nor reported as lost nor padding. Losses are never more than the gap."""
    passed, end = 0, 0
    for record in records:
        gap = record.position - end
        if record.skipped > gap:
            raise Finding(f"{label}: index {record.position} reports {record.skipped} lost of {gap} since {end}", on=label)
        if account.complaint(end, record.position, record.skipped):
            passed += gap - record.skipped
        end = record.position + record.message_type
    return passed


# -- consumers die -------------------------------------------------------------------------------------------------------


def _kill_readers(cast: Cast, segments: Segments, locator: str, shape: slick.Shape, when: list[float]) -> str:
    _kill_at(cast, cast.readers[:VICTIMS], segments.file_of(locator), shape, when)
    taken = Rest.of(segments, locator, shape).cursor or 0
    cast.collect(cast.writers)
    slick.end_readers(cast, locator, None)
    cast.reset()
    missing, received = _grade_readers_killed(cast, shape, Rest.of(segments, locator, shape), taken)
    died = f"killed {', '.join(one.label for one in cast.readers if one.killed)} before index {taken}"
    return f"{died}; {received} received, {missing} indices with the dead"


def _grade_readers_killed(cast: Cast, shape: slick.Shape, rest: Rest, taken: int) -> tuple[int, int]:
    """Nothing twice; behind the cursor as it stood after the last death, everything. Returns the indices that are missing,
    and the number of items that are there."""
    for writer in cast.writers:
        tallies.require_sent(writer)
    seen = slick_judge.histories(cast)
    for reader, records in zip(cast.readers, seen, strict=True):
        slick_judge.grade_order(reader, records)
        if not reader.killed:
            slick_judge.grade_counts(reader, records)
    slick_judge.grade_items(cast, shape, seen)
    ((label, records, _),) = slick_judge.streams(cast, shape, seen)
    slick_judge.grade_once(label, records)
    before = [record for record in records if record.position < taken]
    behind = [record for record in records if record.position >= taken]
    missing = _passed(label, before, Account(shape))
    slick_judge.grade_gaps(label, behind, taken, Account(shape))
    if taken < rest.reserved:
        slick_judge.grade_end(label, records, rest)
    slick_judge.grade_rest(cast, rest)
    if shape.credit and (lost := sum(record.skipped for record in records)):
        raise Finding(f"{label} report {lost} indices lost with credit")
    return missing, len(records)
