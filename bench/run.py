# SPDX-License-Identifier: MIT
"""./dev bench: measure every peer of peers.toml, interleaved and in random order, and report ratios.

    ./dev bench                      sizes 8, 64, 256, 960; 7 repetitions; some ten minutes
    ./dev bench --quick              one size, one short repetition: does it run, nothing more
    ./dev bench --profile ouroboros  the rows of that profile; sizes 16, 64, 256, 1024, 4096, 65536; some forty minutes
    ./dev bench --profile slick      the rows of that profile; element sizes 8, 64, 256, 1024; some forty minutes
    ./dev bench --profile shmcomm    the rows of that profile, beside ZeroMQ; sizes 10, 64, 1024, 65536, 1 MiB, 10 MB; some hours
    ./dev bench --profile deepwater  the rows of that profile, beside SQLite and a plain file; 16 to 4096 bytes; some two hours
    ./dev bench --memory             memory of endpoints instead (with --profile: of shmcomm or deepwater)
    ./dev bench --peer c --peer ff   only these rows (references that ratios need are added)
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import time
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import memory
from measure import Absent, Failed, Peer, calibrate, quiet_measure
from report import Key, Row, table, target_lines, write_jsonl, write_svg

ROOT = Path(__file__).resolve().parent.parent
REFERENCES = {"ff", "pingpong"}
SIZES = {"dmxp": [8, 64, 256, 960], "ouroboros": [16, 64, 256, 1024, 4096, 65536], "slick": [8, 64, 256, 1024],
         "deepwater": [16, 64, 256, 1024, 4096], "shmcomm": [10, 64, 1024, 65536, 1 << 20, 10_000_000]}


def members(family: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a family: each of its languages with each of its kinds."""
    common = {key: value for key, value in family.items() if key not in {"languages", "kinds"}}
    for language, kind in product(family["languages"], family["kinds"]):
        if language["name"] in kind.get("only", [language["name"]]):
            own = {key: value for key, value in (language | kind).items() if key not in {"suffix", "peer", "prefix", "only"}}
            command = [*language["command"], language.get("prefix", "") + kind["peer"]]
            yield common | own | {"name": f"{family['name']}-{language['name']}{kind['suffix']}", "command": command}


def load_memory(path: Path) -> list[memory.Entry]:
    return [memory.Entry(**row) for row in tomllib.loads(path.read_text(encoding="utf-8")).get("memory", [])]


def load_peers(path: Path) -> tuple[list[Peer], list[dict[str, object]]]:
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    rows = raw["peer"] + [row for family in raw.get("family", []) for row in members(family)]
    peers = [Peer(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}) for row in rows]
    return peers, raw.get("target", [])


def plan(peers: list[Peer], sizes: list[int]) -> list[tuple[Peer, str, int]]:
    jobs = []
    for size in sizes:
        for peer in peers:
            for measure in peer.measures:
                if peer.least_size <= size <= (peer.most_size or size) and (size == sizes[0] or not peer.once):
                    jobs.append((peer, measure, size))
    return jobs


def calibrate_all(jobs: list[tuple[Peer, str, int]], seconds: float, rows: dict[Key, Row]) -> dict[Key, int]:
    counts: dict[Key, int] = {}
    for peer, measure, size in jobs:
        key = (peer.name, measure, size)
        rows[key] = Row(*key, ours=peer.ours)
        try:
            counts[key] = calibrate(peer, measure, size, seconds)
        except Absent as why:
            rows[key].absent = str(why) or "not built"
    return counts


def repeat(jobs: list[tuple[Peer, str, int]], counts: dict[Key, int], rows: dict[Key, Row], pingpong: Peer, seed: int,
           times: int, patience: float) -> None:
    order = random.Random(seed)
    for number in range(times):
        order.shuffle(jobs)
        for peer, measure, size in jobs:
            key = (peer.name, measure, size)
            if key not in counts:
                continue
            sample, quiet = quiet_measure(peer, pingpong, measure, size, counts[key], patience=patience)
            rows[key].values.append(sample.value)
            rows[key].least.append(sample.least_ns)
            rows[key].p99.append(sample.p99_ns)
            rows[key].skipped.append(sample.skipped)
            rows[key].messages.append(sample.messages)
            rows[key].noisy += not quiet
        print(f"repetition {number + 1} of {times} done", file=sys.stderr)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one size, one short repetition")
    parser.add_argument("--memory", action="store_true", help="instead: memory of endpoints, after up to 100,000,000 messages")
    parser.add_argument("--profile", choices=sorted(SIZES), default="dmxp", help="whose rows, beside the references")
    parser.add_argument("--peer", action="append", default=[], help="only this row (repeatable)")
    parser.add_argument("--size", action="append", type=int, default=[], help="payload bytes (repeatable)")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.25, help="length of one measurement")
    parser.add_argument("--patience", type=float, default=0.0, help="seconds to wait for a quiet machine before each measurement")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench")
    return parser.parse_args()


def main() -> int:
    args = parse()
    peers, targets = load_peers(ROOT / "bench/peers.toml")
    if args.peer:
        unknown = set(args.peer) - {p.name for p in peers}
        if unknown:
            print(f"bench: no such peer: {', '.join(sorted(unknown))}", file=sys.stderr)
            return 2
        peers = [p for p in peers if p.name in set(args.peer) | REFERENCES]
    else:
        peers = [p for p in peers if p.profile in {args.profile, "reference"}]
    shown_rows = {p.name for p in peers}
    if args.memory:
        entries = [entry for entry in load_memory(ROOT / "bench/peers.toml") if entry.row in shown_rows]
        if not entries:
            print("bench: no memory entry among these rows (--profile shmcomm or deepwater)", file=sys.stderr)
            return 2
        return 0 if memory.run({p.name: p for p in peers}, entries, 1000 if args.quick else 1) else 1
    targets = [target for target in targets if target["row"] in shown_rows]
    sizes = args.size or ([64] if args.quick else SIZES[args.profile])
    times, seconds = (1, 0.02) if args.quick else (args.repetitions, args.seconds)
    pingpong = next(p for p in peers if p.name == "pingpong")
    rows: dict[Key, Row] = {}
    jobs = plan(peers, sizes)
    print(f"seed {args.seed}, {len(os.sched_getaffinity(0))} CPUs, {times} repetitions of {seconds} s", file=sys.stderr)
    try:
        counts = calibrate_all(jobs, seconds, rows)
        repeat(jobs, counts, rows, pingpong, args.seed, times, args.patience)
    except Failed as why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    about = {"seed": args.seed, "repetitions": times, "seconds": seconds, "machine": platform.machine(), "cpus": os.cpu_count()}
    write_jsonl(args.out / "results.jsonl", rows, about)
    write_svg(args.out / "results.svg", rows)
    print(table(rows))
    print("\ntargets")
    print("\n".join(target_lines(rows, targets)))
    shown = args.out.relative_to(ROOT) if args.out.is_relative_to(ROOT) else args.out
    print(f"\nwrote {shown}/results.jsonl and results.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
