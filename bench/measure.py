# SPDX-License-Identifier: MIT
"""Start the actors of one measurement, wait for them, read their result lines, and judge whether the machine was quiet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHM = Path("/dev/shm")
ABSENT = 3
LIMIT_S = 30
PROBE_ROUNDS = 20_000  # some 5 ms
PROBE_TOLERANCE = 1.2
MEASURE_ROLES = {"throughput": ["read", "write"], "many": ["read", "read", "write", "write"], "roundtrip": ["pong", "ping"],
                 "alone": ["write"]}


class Absent(Exception):
    """The peer cannot run here."""


class Failed(Exception):
    """An actor crashed, hung, or reported wrong content."""


class Hung(Failed):
    """An actor gave no result in time."""


@dataclass(frozen=True)
class Peer:
    name: str
    command: tuple[str, ...]
    measures: tuple[str, ...]
    rate: float
    batch: int = 1
    ours: bool = False


@dataclass
class Sample:
    """One measurement: messages per second, or nanoseconds per round trip at the median."""

    value: float
    p99_ns: int = 0
    actors: list[dict[str, Any]] = field(default_factory=list)


def cpus() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def actor(peer: Peer, role: str, prefix: str, count: int, size: int, parties: int, party: int, cpu: int) -> subprocess.Popen[str]:
    argv = [*peer.command, role, "--seg", prefix, "--count", str(count), "--size", str(size), "--batch", str(peer.batch),
            "--cpu", str(cpu), "--barrier", f"{prefix}.barrier", "--parties", str(parties), "--party", str(party)]
    try:
        return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError as error:
        raise Absent(str(error)) from error


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise Hung(f"no result within {LIMIT_S} s") from error
    if process.returncode == ABSENT:
        raise Absent(out.strip())
    if process.returncode != 0:
        raise Failed(f"exit {process.returncode}: {err.strip()[-300:]}")
    result: dict[str, Any] = json.loads(out) if out.strip() else {}
    if result.get("bad"):
        raise Failed(f"{result['bad']} messages with wrong content")
    return result


def run_actors(peer: Peer, measure: str, size: int, count: int, prefix: str) -> list[dict[str, Any]]:
    """Make the segment, then run all roles at once. Kills what it started when one of them fails."""
    roles = MEASURE_ROLES[measure]
    finish(actor(peer, "make", prefix, count, size, 1, 0, cpus()[0]))
    Path(f"{prefix}.barrier").write_bytes(bytes(4096))
    available = cpus()
    running: list[subprocess.Popen[str]] = []
    try:
        for number, role in enumerate(roles):
            running.append(actor(peer, role, prefix, count, size, len(roles), number, available[number % len(available)]))
        return [finish(process) for process in running]
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()


def measure_once(peer: Peer, measure: str, size: int, count: int) -> Sample:
    """One measurement of count messages for each writer, in shared memory names of its own, removed afterwards."""
    count -= count % peer.batch
    with tempfile.TemporaryDirectory(prefix="shmw-bench-", dir=SHM) as room:
        results = run_actors(peer, measure, size, max(count, peer.batch), f"{room}/s")
    if measure == "roundtrip":
        ping = next(r for r in results if r["role"] == "ping")
        return Sample(float(ping["p50_ns"]), int(ping["p99_ns"]), results)
    takers = [r for r in results if r["role"] == "read"] or results
    total = sum(int(r["messages"]) for r in takers)
    longest = max(int(r["ns"]) for r in takers)
    return Sample(total * 1e9 / max(longest, 1), 0, results)


def probe(reference: Peer) -> float:
    return measure_once(reference, "roundtrip", 8, PROBE_ROUNDS).value


def calibrate(peer: Peer, measure: str, size: int, seconds: float) -> int:
    """How many messages take about `seconds`, found from two short runs."""
    rate = peer.rate / (10 if measure == "roundtrip" else 1)
    for _ in range(2):
        count = max(int(rate * seconds / 10), peer.batch, 100)
        sample = patient_measure(peer, measure, size, count)
        rate = 1e9 / sample.value if measure == "roundtrip" else sample.value / (2 if measure == "many" else 1)
    return max(int(rate * seconds), peer.batch, 200)


def patient_measure(peer: Peer, measure: str, size: int, count: int) -> Sample:
    """measure_once, given a second chance if the peer is not ours: pyzmq hangs now and then while it connects."""
    try:
        return measure_once(peer, measure, size, count)
    except Hung as why:
        if peer.ours:
            raise Failed(f"{peer.name}, {measure}, {size} bytes: {why}") from why
        print(f"{peer.name} hung, again", file=sys.stderr)
        return measure_once(peer, measure, size, count)


def quiet_measure(peer: Peer, reference: Peer, measure: str, size: int, count: int, tries: int = 3) -> tuple[Sample, bool]:
    """Measure between two probes; repeat when they differ. The flag says whether the machine was quiet in the end."""
    sample = Sample(0.0)
    for _ in range(tries):
        before = probe(reference)
        sample = patient_measure(peer, measure, size, count)
        after = probe(reference)
        if max(before, after) <= PROBE_TOLERANCE * min(before, after):
            return sample, True
    return sample, False
