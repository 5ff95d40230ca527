# SPDX-License-Identifier: MIT
"""Kill runs of profile dmxp: SIGKILL at seeded moments, then recovery through a driver, then an account of every message.

What may be missing, and nothing else:
- a killed producer: the messages from some point of its sequence on. What it had published before that point is delivered,
  once, in order. At most `batch` of its positions were claimed and not published; they become tombstones, one by one.
- a killed consumer: what it had taken. Of that at most `batch` positions were not yet released (recovery counts exactly those
  as possibly lost); the others were handed to it before it died. All lie below the head that was read after the last death.
Every position is accounted for: delivered to a survivor or noted by a victim, left in the channel, a tombstone, or taken by a
victim.
"""

from __future__ import annotations

import itertools
import random
import signal
import time

from .. import judge
from ..errors import Finding
from ..process import DriverProcess
from ..segments import Segments
from . import dmxp, history
from .cast import Actor, Cast, demand, pause
from .history import Record

LIMIT_MS = 500  # of the survivors: a dead process's claim may stop the channel, so the time limit ends the run
EARLIEST, LATEST = 0.05, 0.6  # of the time that the run would take: when the victims die
WRITERS_KILLED, READERS_KILLED = 2, 2


def helpers(shape: dmxp.Shape, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Roles beside the actors, and who plays them: one that dies holding a claim, one that recovers."""
    claimers = [("claimer", names[0])] if shape.plan == "kill-writers" else []
    return [*claimers, ("recoverer", names[-1])]


def run(cast: Cast, segments: Segments, locator: str, shape: dmxp.Shape, when: list[float]) -> str:
    """The whole of it; returns what happened in words. `when` are seconds from the start, one for each victim."""
    path = segments.file_of(locator)
    victims = cast.writers[:WRITERS_KILLED] if shape.plan == "kill-writers" else cast.readers[:READERS_KILLED]
    claimers, (recoverer,) = (cast.played(role) for role in ("claimer", "recoverer"))
    cast.arm()
    cast.go()
    claimed = _kill_all(cast, victims, claimers, locator, when)
    head_after = dmxp.cursors(path)[0]
    cast.collect([actor for actor in cast.actors if not actor.killed])
    cast.reset()
    stopped = path.read_bytes()
    tombstones, unreleased = _damage(stopped)
    _bounds(cast, shape, victims, claimed, tombstones, unreleased)
    _recover(recoverer, locator, stopped, tombstones, unreleased)
    if found := judge.findings("dmxp", path.read_bytes()):
        raise Finding(f"invariants broken after recovery: {'; '.join(found[:3])}", on=recoverer.role, diff=found)
    left = dmxp.drain(recoverer, recoverer.role, locator)
    demand(recoverer.request({"cmd": "reset"}), recoverer.role, "reset")
    missing = _account(cast, shape, left, tombstones, unreleased, head_after, dmxp.cursors(path)[1])
    summary = f"killed {', '.join(actor.label for actor in victims)}{' and a claimer' if claimed else ''}"
    return f"{summary}; {len(tombstones)} tombstones, {len(unreleased)} possibly lost, {missing} with the dead, {len(left)} left"


def moments(rng: random.Random, seconds: float) -> list[float]:
    """Seeded moments to kill at, while a run of about that many seconds is under way."""
    return sorted(rng.uniform(EARLIEST, LATEST) * seconds for _ in range(max(WRITERS_KILLED, READERS_KILLED)))


def _kill_all(
    cast: Cast, victims: list[Actor], claimers: list[DriverProcess], locator: str, when: list[float]
) -> int:
    """Each at its own seeded moment, the claimers last, between a claim and its commit. Returns how many positions they held."""
    begun, held = time.monotonic(), 0
    for victim, moment in zip(victims, when, strict=False):
        pause(begun + moment - time.monotonic())
        cast.kill(victim)
    for claimer in claimers:
        request = {"cmd": "open", "profile": "dmxp", "seg": locator, "mode": "rw"}
        handle = demand(claimer.request(request), claimer.role, "open")["h"]
        for _ in range(200):
            claim = demand(claimer.request({"cmd": "claim", "h": handle, "channel": dmxp.CHANNEL}), claimer.role, "claim")
            if claim["st"] == "ok":
                held += 1
                break
            pause(0.001)
        cast.transcript.add(claimer.role, "!", f"{signal.SIGKILL.name} from the runner")
        claimer.kill()
    return held


def _damage(content: bytes) -> tuple[list[int], list[int]]:
    """Positions claimed and not published, and positions taken and not released, in the bytes of a stopped segment."""
    oracle = judge.oracle("dmxp")
    name = f"channel[{dmxp.CHANNEL}]"
    head, tail, capacity = (int(oracle.value(content, f"{name}.{field}")) for field in ("head", "tail", "capacity"))

    def sequence(position: int) -> int:
        return int(oracle.value(content, f"{name}.slot[{position % capacity}].sequence"))

    claimed = [position for position in range(head, tail) if sequence(position) == position]
    taken = [position for position in range(max(0, head - capacity), head) if sequence(position) == position + 1]
    return claimed, taken


def _bounds(
    cast: Cast, shape: dmxp.Shape, victims: list[Actor], claimed: int, tombstones: list[int], unreleased: list[int]
) -> None:
    writers = sum(actor in cast.writers for actor in victims)
    if len(tombstones) > writers * shape.write_batch + claimed:
        raise Finding(f"{len(tombstones)} positions are claimed and unpublished, more than {writers} dead writers can hold")
    readers = sum(actor in cast.readers for actor in victims)
    if len(unreleased) > readers * shape.read_batch:
        raise Finding(f"{len(unreleased)} positions are taken and unreleased, more than {readers} dead readers can hold")


def _recover(recoverer: DriverProcess, locator: str, stopped: bytes, tombstones: list[int], unreleased: list[int]) -> None:
    """Recovery must say exactly what the bytes show."""
    label = recoverer.role
    request = {"cmd": "open", "profile": "dmxp", "seg": locator, "mode": "rw"}
    handle = demand(recoverer.request(request), label, "open")["h"]
    call = {"cmd": "call", "h": handle, "verb": "dmxp.recover", "args": {"all_dead": True}}
    said = demand(recoverer.request(call), label, "recover")
    waiting = 1 if judge.number("dmxp", stopped, f"channel[{dmxp.CHANNEL}].waiters") else 0
    wanted = {"tombstones": len(tombstones), "possibly_lost": len(unreleased), "waiters_reset": waiting}
    for key, value in wanted.items():
        if int(said[key]) != value:
            raise Finding(f"recovery reports {key} {said[key]}, the bytes show {value}", on=label)


def _account(
    cast: Cast, shape: dmxp.Shape, left: list[Record], tombstones: list[int], unreleased: list[int], head_after: int, tail: int
) -> int:
    """Every position and every message. Returns how many messages only the dead have."""
    records = list(left)
    for reader in cast.readers:
        mine = history.parse(reader.history) if reader.history else []
        dmxp.grade_reader(reader, mine)
        records += mine
    dmxp.grade_content(cast, shape, records)
    dmxp.grade_producers(records)
    where = {record.position for record in records}
    if len(where) != len(records):
        raise Finding("a position was delivered more than once")
    gone = sorted(set(range(tail)) - where - set(tombstones))
    readers_died = any(reader.killed for reader in cast.readers)
    if gone and (not readers_died or gone[-1] >= head_after):
        raise Finding(f"{len(gone)} positions were lost that no dead reader can have taken, first {gone[0]}, last {gone[-1]}")
    if lost_twice := [position for position in unreleased if position < head_after - shape.capacity]:
        raise Finding(f"position {lost_twice[0]} stayed unreleased for more than a lap")
    _require_fit(cast, records, set(gone))
    return len(gone)


def _require_fit(cast: Cast, records: list[Record], gone: set[int]) -> None:
    """The messages that are missing must fit, in number and in place, into the positions that the dead took."""
    missing_in_all = 0
    ordered = sorted(gone)
    for writer in cast.writers:
        mine = sorted((one for one in records if one.actor == writer.number), key=lambda one: one.position)
        marks = [(-1, -1), *((one.position, one.sequence) for one in mine)]
        if not writer.killed:
            marks.append((1 << 62, writer.count("sent")))
        for (start, before), (end, after) in itertools.pairwise(marks):
            missing = after - before - 1
            missing_in_all += missing
            room = sum(start < position < end for position in ordered) if missing else 0
            if missing > room:
                what = f"{missing} messages of {writer.label} after sequence {before} are gone"
                raise Finding(f"{what}, and only {room} positions there are unaccounted for")
    if not any(writer.killed for writer in cast.writers) and missing_in_all != len(gone):
        raise Finding(f"{missing_in_all} messages are missing at {len(gone)} positions")
