# SPDX-License-Identifier: MIT
"""The benchmark runs, verifies content, reports absent peers, and computes ratios as it says. No figure is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

BENCH = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(BENCH))

import measure  # noqa: E402
import report  # noqa: E402
import run as bench_run  # noqa: E402

PEERS = {peer.name: peer for peer in bench_run.load_peers(BENCH / "peers.toml")[0]}


@pytest.mark.parametrize("name", sorted(PEERS))
def test_every_peer_measures_what_it_claims(name: str) -> None:
    peer = PEERS[name]
    for kind in peer.measures:
        sample = measure.patient_measure(peer, kind, 64, 8 * peer.batch * 25)
        assert sample.value > 0
        assert all(actor["bad"] == 0 for actor in sample.actors)


def test_small_and_large_payloads() -> None:
    for size in (8, 960):
        for name in ("c", "go", "rust", "native"):
            assert measure.measure_once(PEERS[name], "throughput", size, 200).value > 0


def liar(tmp_path: Path, line: str, code: int = 0) -> measure.Peer:
    path = tmp_path / "peer.py"
    path.write_text("import sys\nif sys.argv[2] == 'make':\n    sys.exit(0)\n" f"print({line!r})\nsys.exit({code})\n")
    return measure.Peer("liar", (sys.executable, str(path), "x"), ("throughput",), 1e6)


def test_wrong_content_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(measure.Failed, match="wrong content"):
        measure.measure_once(liar(tmp_path, '{"role":"read","messages":1,"ns":1,"bad":3}'), "throughput", 64, 10)


def test_a_crash_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(measure.Failed, match="exit 7"):
        measure.measure_once(liar(tmp_path, "", 7), "throughput", 64, 10)


def test_absent_peers_say_so(tmp_path: Path) -> None:
    with pytest.raises(measure.Absent, match="no licence"):
        measure.measure_once(liar(tmp_path, "absent: no licence", 3), "throughput", 64, 10)
    with pytest.raises(measure.Absent):
        measure.measure_once(measure.Peer("none", ("./not-there",), ("throughput",), 1.0), "throughput", 64, 10)


def test_nothing_is_left_behind() -> None:
    before = set(measure.SHM.iterdir())
    measure.measure_once(PEERS["c"], "roundtrip", 64, 100)
    assert [path for path in set(measure.SHM.iterdir()) - before if path.name.startswith("shmw-bench-")] == []


def row(peer: str, values: list[float], kind: str = "throughput") -> report.Row:
    return report.Row(peer, kind, 64, values, [0] * len(values))


def test_ratios_are_taken_by_repetition() -> None:
    assert report.ratio(row("a", [2.0, 9.0, 8.0]), row("b", [1.0, 3.0, 2.0])) == (3.0, 2.0, 4.0)
    assert report.ratio(row("a", []), row("b", [1.0])) is None


def test_wide_spread_is_inconclusive() -> None:
    assert "inconclusive" in report.text_ratio((1.0, 0.5, 1.0))
    assert "inconclusive" not in report.text_ratio((1.0, 0.9, 1.1))


def test_targets_are_met_missed_or_not_measured() -> None:
    rows = {("c", "throughput", 64): row("c", [10.0]), ("ff", "throughput", 64): row("ff", [40.0])}
    target = {"row": "c", "against": "ff", "measure": "throughput", "size": 64}
    lines = report.target_lines(rows, [{**target, "least": 0.25}, {**target, "least": 0.3}, {**target, "row": "x", "least": 1}])
    assert [line.rsplit(" ", 1)[1] for line in lines[:2]] == ["met", "missed"]
    assert "not measured" in lines[2]


def bench(*args: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(BENCH / "run.py"), *args]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_writes_its_three_forms(tmp_path: Path) -> None:
    done = bench("--quick", "--peer", "c", "--out", str(tmp_path), "--seed", "1")
    assert done.returncode == 0, done.stderr
    assert "throughput, 64 bytes" in done.stdout
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert {line["peer"] for line in lines[1:]} == {"c", "ff", "pingpong"}
    assert all(line["median"] > 0 for line in lines[1:])
    assert ElementTree.parse(tmp_path / "results.svg").getroot().tag.endswith("svg")


def test_an_unknown_peer_is_a_usage_error() -> None:
    done = bench("--peer", "nobody")
    assert done.returncode == 2
    assert "nobody" in done.stderr
