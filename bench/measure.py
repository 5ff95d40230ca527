# SPDX-License-Identifier: MIT
"""Start the actors of one measurement, wait for them, read their result lines, and judge whether the machine was quiet."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from load import Watch, wait_until_quiet
from shmwire_conform import trees

ROOT = Path(__file__).resolve().parent.parent
SHM = Path("/dev/shm")
DISK = ROOT / "build/bench"
ABSENT = 3
LIMIT_S = 30
MAKE_LIMIT_S = 300  # a feed of 100,000 chunks takes a while
LAPS = 8  # how often a segment of a given room is filled at least
FIRST_BYTES_PER_S = 1e9  # at most this is expected of a peer before it has been seen: its rate is that of small messages
PROBE_ROUNDS = 20_000  # some 5 ms
PROBE_TOLERANCE = 1.2
ROUNDTRIP = "roundtrip"
SCAN = "scan"
SEEK = "seek"
TIMES = {ROUNDTRIP, SEEK}  # measures of single calls, in nanoseconds; all others are rates
_FLOW = re.compile(r"(\d+)x(\d+)")


class Absent(Exception):
    """The peer cannot run here."""


class Failed(Exception):
    """An actor crashed, hung, or reported wrong content."""


class Hung(Failed):
    """An actor gave no result in time."""


def flow(measure: str) -> tuple[int, int]:
    """Writers and readers of a measure WxR."""
    found = _FLOW.fullmatch(measure)
    if found is None:
        raise ValueError(f"no measure: {measure}")
    return int(found[1]), int(found[2])


def roles(measure: str, *, hosted: bool = False) -> list[str]:
    """One for each party; those who read come first. hosted: what is scanned is held by a writer who is there."""
    if measure == ROUNDTRIP:
        return ["pong", "ping"]
    if measure in {SCAN, SEEK}:
        return ["read", "write"] if hosted else ["read"]
    writers, readers = flow(measure)
    return ["read"] * readers + ["write"] * writers


@dataclass(frozen=True)
class Peer:
    """A row of peers.toml."""

    name: str
    command: tuple[str, ...]
    measures: tuple[str, ...]
    rate: float  #: messages per second to start the calibration from, if they are small
    profile: str = "reference"
    batch: int = 1
    each: bool = False  #: every reader gets every message, not each message one reader
    room: int = 0  #: bytes of the segment; 0: as the peer likes
    least_size: int = 0  #: payload bytes below which there is no row
    most_size: int = 0  #: payload bytes above which there is no row; 0: there is one
    disk: bool = False  #: its files lie on a disk, not in shared memory
    hosted: bool = False  #: scans read what a writer that is there holds
    once: bool = False  #: the payload makes no difference: one size is enough
    ours: bool = False


@dataclass
class Sample:
    """One measurement: messages per second, or nanoseconds per round trip at the median."""

    value: float
    p99_ns: int = 0
    skipped: int = 0
    messages: int = 0
    longest_ns: int = 0
    least_ns: int = 0  #: of round trips: the shortest
    actors: list[dict[str, Any]] = field(default_factory=list)


def cpus() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def actor(peer: Peer, role: str, prefix: str, count: int, size: int, party: int, parties: list[str]) -> subprocess.Popen[str]:
    """Start one. Parties go round the CPUs, so each CPU gets readers and writers where there are more of both than CPUs."""
    available = cpus()
    options = {"seg": prefix, "count": count, "size": size, "batch": peer.batch, "cpu": available[party % len(available)],
               "barrier": f"{prefix}.barrier", "parties": len(parties), "party": party,
               "readers": sum(other in {"read", "pong"} for other in parties), "room": peer.room}
    argv = [*peer.command, role, *(str(word) for name, value in options.items() for word in (f"--{name}", value))]
    try:
        return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError as error:
        raise Absent(str(error)) from error


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The result line of an actor that has ended."""
    out, err = process.communicate()
    if process.returncode == ABSENT:
        raise Absent(out.strip())
    if process.returncode != 0:
        raise Failed(f"exit {process.returncode}: {err.strip()[-300:]}")
    result: dict[str, Any] = json.loads(out) if out.strip() else {}
    if result.get("bad"):
        raise Failed(f"{result['bad']} messages with wrong content")
    return result


def finish(processes: list[subprocess.Popen[str]], limit_s: float = LIMIT_S) -> list[dict[str, Any]]:
    """The results of all, or the first failure: one that fails leaves the others waiting. Sleeps meanwhile."""
    results: list[dict[str, Any]] = [{} for _ in processes]
    waiting = {os.pidfd_open(process.pid): number for number, process in enumerate(processes)}
    limit = time.monotonic() + limit_s
    try:
        while waiting:
            ready, _, _ = select.select(list(waiting), [], [], max(0.0, limit - time.monotonic()))
            if not ready:
                raise Hung(f"no result within {limit_s} s")
            for pidfd in ready:
                number = waiting.pop(pidfd)
                os.close(pidfd)
                results[number] = result_of(processes[number])
        return results
    finally:
        for pidfd in waiting:
            os.close(pidfd)


def run_actors(peer: Peer, measure: str, size: int, count: int, prefix: str, limit_s: float) -> list[dict[str, Any]]:
    """Make the segment, then run all roles at once: count messages for each writer. Kills what it started when one fails."""
    parties = roles(measure, hosted=peer.hosted)
    writers, readers = (1, 1) if measure in {ROUNDTRIP, SCAN, SEEK} else flow(measure)
    taken = count * writers if peer.each else count * writers // max(readers, 1)
    counts = {"read": taken, "write": count, "ping": count, "pong": count}
    running: list[subprocess.Popen[str]] = []
    try:
        running.append(actor(peer, "make", prefix, count, size, 0, parties))
        finish(running, MAKE_LIMIT_S)
        running.clear()
        Path(f"{prefix}.barrier").write_bytes(bytes(4096))
        for party, role in enumerate(parties):
            running.append(actor(peer, role, prefix, counts[role], size, party, parties))
        return finish(running, limit_s)
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()


@contextmanager
def room_for(peer: Peer) -> Iterator[str]:
    """A directory for what one measurement makes, removed afterwards with the shared memory of feeds in it."""
    home = DISK if peer.disk else SHM
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"shmw-bench-{os.getpid()}-", dir=home) as room:
        try:
            yield room
        finally:
            for left in trees.memory(Path(room) / "s.base"):
                left.unlink(missing_ok=True)  # of an actor that was killed


def rate_of(peer: Peer, takers: list[dict[str, Any]]) -> float:
    """Messages per second: of all together, or, where each reader gets every message, of the slowest."""
    if peer.each:
        return min(int(r["messages"]) * 1e9 / max(int(r["ns"]), 1) for r in takers)
    return sum(int(r["messages"]) for r in takers) * 1e9 / max(1, *(int(r["ns"]) for r in takers))


def measure_once(peer: Peer, measure: str, size: int, count: int, limit_s: float = LIMIT_S) -> Sample:
    """One measurement of count messages for each writer, in shared memory names of its own, removed afterwards."""
    count = max(count - count % peer.batch, peer.batch)
    with room_for(peer) as room:
        results = run_actors(peer, measure, size, count, f"{room}/s", limit_s)
    longest = max(int(r["ns"]) for r in results)
    if measure in TIMES:
        timed = next(r for r in results if r["role"] in {"ping", "read"})
        return Sample(float(timed["p50_ns"]), int(timed["p99_ns"]), 0, count, longest, int(timed.get("min_ns", 0)), results)
    takers = [r for r in results if r["role"] == "read"] or results
    skipped = sum(int(r.get("skipped", 0)) for r in takers)
    return Sample(rate_of(peer, takers), 0, skipped, sum(int(r["messages"]) for r in takers), longest, 0, results)


def probe(reference: Peer) -> float:
    return measure_once(reference, ROUNDTRIP, 8, PROBE_ROUNDS).value


def calibrate(peer: Peer, measure: str, size: int, seconds: float) -> int:
    """How many messages of each writer take about `seconds`, found from two short runs."""
    rate = min(peer.rate, FIRST_BYTES_PER_S / size) / (10 if measure in TIMES else 1)
    for _ in range(2):
        count = max(int(rate * seconds / 10), peer.batch, 100)
        rate = count * 1e9 / max(patient_measure(peer, measure, size, count).longest_ns, 1)
    return max(int(rate * seconds), peer.batch, 200, LAPS * peer.room // size)


def patient_measure(peer: Peer, measure: str, size: int, count: int) -> Sample:
    """measure_once, given a second chance if the peer is not ours: pyzmq hangs now and then while it connects."""
    try:
        return measure_once(peer, measure, size, count)
    except Failed as why:
        if peer.ours:
            raise Failed(f"{peer.name}, {measure}, {size} bytes: {why}") from why
        print(f"{peer.name}, {measure}, {size} bytes: {why}; again", file=sys.stderr)
        return measure_once(peer, measure, size, count)


def quiet_measure(peer: Peer, reference: Peer, measure: str, size: int, count: int, tries: int = 3,
                  patience: float = 0.0) -> tuple[Sample, bool]:
    """Measure between two probes; repeat when they differ, or when others used the machine meanwhile. The flag says whether it
    was quiet in the end. patience: seconds to wait for quiet before each try."""
    sample = Sample(0.0)
    for _ in range(tries):
        wait_until_quiet(patience)
        watch = Watch()
        before = probe(reference)
        sample = patient_measure(peer, measure, size, count)
        after = probe(reference)
        if watch.quiet() and max(before, after) <= PROBE_TOLERANCE * min(before, after):
            return sample, True
    return sample, False
