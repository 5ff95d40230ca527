# SPDX-License-Identifier: MIT
"""The benchmark runs, verifies content, reports absent peers, and computes ratios as it says. No figure is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

BENCH = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(BENCH))

import measure  # noqa: E402
import memory  # noqa: E402
import report  # noqa: E402
import run as bench_run  # noqa: E402

PEERS = {peer.name: peer for peer in bench_run.load_peers(BENCH / "peers.toml")[0]}
LONG = "-100000"  # a feed of so many chunks takes a minute to make; the same actors with fewer are run here


@pytest.mark.parametrize("name", sorted(name for name in PEERS if not name.endswith(LONG)))
def test_every_peer_measures_what_it_claims(name: str) -> None:
    peer = PEERS[name]
    for kind in peer.measures:
        sample = measure.patient_measure(peer, kind, max(64, peer.least_size), 8 * peer.batch * 25)
        assert sample.value > 0
        assert all(actor["bad"] == 0 for actor in sample.actors)
        assert [actor["role"] for actor in sample.actors] == measure.roles(kind, hosted=peer.hosted)
        if kind in measure.TIMES:
            ping = sample.actors[-1]
            assert 0 < ping["min_ns"] <= ping["p50_ns"] <= ping["p99_ns"]
            assert sample.least_ns == ping["min_ns"]
        if peer.profile not in {"ouroboros", "slick", "shmcomm"} or "free" not in peer.command[-1]:
            assert sample.skipped == 0


def test_small_and_large_payloads() -> None:
    for size in (8, 960):
        for name in ("c", "go", "rust", "native"):
            assert measure.measure_once(PEERS[name], "1x1", size, 200).value > 0
    for size in (1, 7, 8, 9, 65536):
        for language in ("c", "go", "rust", "native", "python"):
            for kind in ("", "-view", "-free"):
                peer = PEERS[f"ouroboros-{language}{kind}"]
                assert measure.measure_once(peer, "1x1", size, 300).value > 0, peer.name


def test_elements_of_any_size() -> None:
    for size in (1, 7, 8, 9, 1024):
        for language in ("c", "go", "rust", "native", "python"):
            for kind in ("", "-13", "-view", "-free", "-batch32"):
                peer = PEERS[f"slick-{language}{kind}"]
                assert measure.measure_once(peer, "1x1", size, 320).value > 0, peer.name


@pytest.mark.parametrize("language", ["c", "go", "rust", "native", "python"])
def test_records_of_any_size(language: str) -> None:
    for size in (0, 1, 7, 8, 9, 4096):
        for kind, what in (("", "1x1"), ("", measure.ROUNDTRIP), ("-batch32", "1x1"), ("-scan-batch32", measure.SCAN)):
            sample = measure.measure_once(PEERS[f"deepwater-{language}{kind}"], what, size, 320)
            assert sample.value > 0, (kind, what, size)
            assert all(actor["bad"] == 0 for actor in sample.actors)


def test_scans_look_at_the_same_bytes() -> None:
    """C, Go and Rust add up the same words, whatever the calls; Python's checksum of them is the same in both engines."""
    for languages in (("c", "go", "rust"), ("native", "python")):
        for kind in ("-scan", "-scan-batch32", "-disk"):
            peers = [PEERS[f"deepwater-{language}{kind}"] for language in languages]
            sums = {measure.measure_once(peer, measure.SCAN, 103, 320).actors[0]["sum"] for peer in peers}
            assert len(sums) == 1, sums
            assert sums != {0}


def test_several_writers_lose_nothing_with_credit() -> None:
    for language in ("c", "go", "rust", "native", "python"):
        for kind in ("", "-batch32"):
            sample = measure.measure_once(PEERS[f"slick-{language}{kind}"], "2x1", 64, 3200)
            assert [actor["messages"] for actor in sample.actors] == [6400, 3200, 3200]
            assert sample.skipped == 0


def test_seeks_among_many_chunks() -> None:
    for name in sorted(name for name in PEERS if name.endswith(LONG)):
        peer = PEERS[name]
        few = replace(peer, command=(*peer.command[:-1], peer.command[-1].replace(LONG, "-300")))
        assert few.command != peer.command
        assert measure.measure_once(few, measure.SEEK, 16, 500).value > 0, name


def test_shared_memory_of_a_killed_feed_is_removed(tmp_path: Path) -> None:
    """Of a writer that ends without leaving: the chunk that it wrote."""
    script = ("import os, sys; from shmwire.deepwater import Writer; os.mkdir(sys.argv[1]);"
              "writer = Writer(sys.argv[1], 'there'); writer.append(1, b'x'); os._exit(0)")
    made: list[Path] = []
    with pytest.raises(measure.Failed), measure.room_for(liar(tmp_path, "", code=1)) as room:
        subprocess.run([sys.executable, "-c", script, f"{room}/s.base"], check=True)
        made += measure.trees.memory(Path(room) / "s.base")
        raise measure.Failed("killed")
    assert len(made) == 2 and not any(path.exists() for path in made)


MEMORY = bench_run.load_memory(BENCH / "peers.toml")


@pytest.mark.parametrize("entry", MEMORY, ids=[entry.row for entry in MEMORY])
def test_memory_of_endpoints_is_counted(entry: memory.Entry) -> None:
    peer = PEERS[entry.row]
    few = replace(entry, count=20_000)
    found = memory.look(peer, few)
    assert [one.role for one in found] == measure.roles(entry.measure, hosted=peer.hosted)
    assert all(one.whole_kb >= 0 for one in found) and len(memory.lines(few, found)) == len(found)


def test_memory_that_is_not_counted_is_not_within_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    gone = replace(PEERS[MEMORY[0].row], command=("build/bin/no-such-actor", "pub"))
    assert not memory.run({gone.name: gone}, [MEMORY[0]], 1000)
    assert "absent" in capsys.readouterr().out


def test_memory_that_grows_is_missed() -> None:
    entry = replace(MEMORY[0], most_kb=100, most_growth_kb=10)
    for tenth, whole, good in ((90, 100, True), (89, 100, False), (101, 101, False)):
        one = memory.Memory("read", tenth, whole)
        assert one.within(entry) is good
        assert memory.lines(entry, [one])[0].endswith("met" if good else "missed")


def test_rings_of_a_given_room() -> None:
    for language in ("c", "go", "rust"):
        peer = replace(PEERS[f"slick-{language}-free"], room=4096)
        sample = measure.measure_once(peer, "1x1", 64, 100_000)
        assert sample.messages + sample.skipped == 100_000, peer.name


CHANNELS = sorted(name for name, peer in PEERS.items() if peer.profile == "shmcomm" or "zmq" in name)


@pytest.mark.parametrize("size", [0, 10, 65536, 1 << 20])
def test_payloads_of_any_size_through_channels_and_zeromq(size: int) -> None:
    for name in CHANNELS:
        peer = PEERS[name]
        if not peer.least_size <= size <= (peer.most_size or size):
            continue
        for kind in set(peer.measures) & {"1x1", measure.ROUNDTRIP}:
            sample = measure.patient_measure(peer, kind, size, 24 if size > 1024 else 2 * peer.batch)
            assert sample.value > 0, name
            assert all(actor["bad"] == 0 for actor in sample.actors), name


@pytest.mark.parametrize("name", [name for name in CHANNELS if "1x10" in PEERS[name].measures])
def test_every_subscriber_gets_every_message(name: str) -> None:
    """More than ZeroMQ's queues hold, and than a ring: whoever drops is found out."""
    count = 12_000
    sample = measure.patient_measure(PEERS[name], "1x4", 64, count)
    assert [actor["messages"] for actor in sample.actors] == [count] * 5
    assert sample.skipped == 0


@pytest.mark.parametrize("language", ["c", "go", "rust", "native"])
def test_pullers_share_the_messages(language: str) -> None:
    sample = measure.measure_once(PEERS[f"shmcomm-{language}-push"], "2x2", 64, 2000)
    assert [actor["messages"] for actor in sample.actors] == [2000] * 4
    assert sample.messages == 4000


def test_several_publishers_lose_nothing_with_credit() -> None:
    sample = measure.measure_once(PEERS["shmcomm-c-lock"], "2x2", 64, 3000)
    assert [actor["messages"] for actor in sample.actors] == [6000, 6000, 3000, 3000]


def test_what_a_free_publisher_evicts_is_counted() -> None:
    sample = measure.measure_once(replace(PEERS["shmcomm-c-free"], room=4096), "1x1", 64, 200_000)
    assert sample.messages + sample.skipped == 200_000
    assert sample.actors[0]["messages"] == sample.messages > 0


def test_batches_of_any_size() -> None:
    for size in (4, 8, 9, 100):
        for name in ("native-batch32", "ouroboros-native-batch32"):
            assert measure.measure_once(PEERS[name], "1x1", size, 640).value > 0


def test_every_reader_gets_every_message() -> None:
    sample = measure.measure_once(PEERS["ouroboros-c"], "1x4", 64, 1000)
    assert [actor["messages"] for actor in sample.actors] == [1000] * 5
    shared = measure.measure_once(PEERS["c"], "2x1", 64, 1000)
    assert [actor["messages"] for actor in shared.actors] == [2000, 1000, 1000]


def test_measures_are_writers_by_readers() -> None:
    assert measure.roles("2x3") == ["read"] * 3 + ["write"] * 2
    assert measure.roles("1x0") == ["write"]
    with pytest.raises(ValueError, match="sideways"):
        measure.roles("sideways")


def test_the_slowest_reader_counts_where_each_gets_all() -> None:
    takers = [{"messages": 10, "ns": 5}, {"messages": 10, "ns": 10}]
    assert measure.rate_of(measure.Peer("all", (), (), 1.0, each=True), takers) == 1e9
    assert measure.rate_of(measure.Peer("one", (), (), 1.0), takers) == 2e9


def test_rows_end_at_their_most_size() -> None:
    small, any_size = replace(PEERS["shmcomm-c-batch32"], most_size=100, once=False), PEERS["shmcomm-c"]
    jobs = bench_run.plan([small, any_size], [64, 100, 101])
    assert {size for peer, _, size in jobs if peer is small} == {64, 100}
    assert {size for peer, _, size in jobs if peer is any_size} == {64, 100, 101}


def test_families_are_products() -> None:
    family = {"name": "f", "profile": "p", "languages": [{"name": "a", "command": ["x"], "rate": 1.0},
                                                         {"name": "b", "command": ["y"], "prefix": "q-", "rate": 2.0}],
              "kinds": [{"suffix": "", "peer": "k", "measures": ["1x1"]},
                        {"suffix": "-s", "peer": "l", "measures": ["1x2"], "only": ["b"], "batch": 3}]}
    rows = list(bench_run.members(family))
    assert [row["name"] for row in rows] == ["f-a", "f-b", "f-b-s"]
    assert [row["command"] for row in rows] == [["x", "k"], ["y", "q-k"], ["y", "q-l"]]
    assert rows[2] == {"name": "f-b-s", "profile": "p", "command": ["y", "q-l"], "measures": ["1x2"], "batch": 3, "rate": 2.0}


def test_targets_name_rows() -> None:
    for target in bench_run.load_peers(BENCH / "peers.toml")[1]:
        row = PEERS[target["row"]]
        assert target["measure"] in row.measures
        assert row.least_size <= target["size"] <= (row.most_size or target["size"])
        assert target["size"] in bench_run.SIZES[row.profile]
        if "against" in target:
            assert target.get("against_measure", target["measure"]) in PEERS[target["against"]].measures


def liar(tmp_path: Path, line: str, code: int = 0) -> measure.Peer:
    path = tmp_path / "peer.py"
    path.write_text("import sys\nif sys.argv[2] == 'make':\n    sys.exit(0)\n" f"print({line!r})\nsys.exit({code})\n")
    return measure.Peer("liar", (sys.executable, str(path), "x"), ("1x1",), 1e6)


def test_wrong_content_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(measure.Failed, match="wrong content"):
        measure.measure_once(liar(tmp_path, '{"role":"read","messages":1,"ns":1,"bad":3}'), "1x1", 64, 10)


def test_a_crash_ends_the_wait_for_the_others(tmp_path: Path) -> None:
    path = tmp_path / "peer.py"
    path.write_text("import sys, time\nif sys.argv[2] == 'read':\n    time.sleep(60)\nsys.exit(7 * (sys.argv[2] == 'write'))\n")
    peer = measure.Peer("half", (sys.executable, str(path), "x"), ("1x1",), 1e6)
    with pytest.raises(measure.Failed, match="exit 7"):
        measure.measure_once(peer, "1x1", 64, 10)


def test_a_crash_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(measure.Failed, match="exit 7"):
        measure.measure_once(liar(tmp_path, "", 7), "1x1", 64, 10)


def test_absent_peers_say_so(tmp_path: Path) -> None:
    with pytest.raises(measure.Absent, match="no licence"):
        measure.measure_once(liar(tmp_path, "absent: no licence", 3), "1x1", 64, 10)
    with pytest.raises(measure.Absent):
        measure.measure_once(measure.Peer("none", ("./not-there",), ("1x1",), 1.0), "1x1", 64, 10)


def test_nothing_is_left_behind() -> None:
    before = set(measure.SHM.iterdir())
    measure.measure_once(PEERS["c"], "roundtrip", 64, 100)
    assert [path for path in set(measure.SHM.iterdir()) - before if path.name.startswith(f"shmw-bench-{os.getpid()}-")] == []


def row(peer: str, values: list[float], kind: str = "1x1") -> report.Row:
    return report.Row(peer, kind, 64, values, [0] * len(values))


def test_ratios_are_taken_by_repetition() -> None:
    assert report.ratio(row("a", [2.0, 9.0, 8.0]), row("b", [1.0, 3.0, 2.0])) == (3.0, 2.0, 4.0)
    assert report.ratio(row("a", []), row("b", [1.0])) is None


def test_wide_spread_is_inconclusive() -> None:
    assert "inconclusive" in report.text_ratio((1.0, 0.5, 1.0))
    assert "inconclusive" not in report.text_ratio((1.0, 0.9, 1.1))


def test_targets_are_met_missed_or_not_measured() -> None:
    rows = {("c", "1x1", 64): row("c", [10.0]), ("ff", "1x1", 64): row("ff", [40.0])}
    target = {"row": "c", "against": "ff", "measure": "1x1", "size": 64}
    lines = report.target_lines(rows, [{**target, "least": 0.25}, {**target, "least": 0.3}, {**target, "row": "x", "least": 1}])
    assert [line.rsplit(" ", 1)[1] for line in lines[:2]] == ["met", "missed"]
    assert "not measured" in lines[2]


def test_what_readers_miss_has_targets() -> None:
    lossy = row("c", [10.0, 10.0])
    lossy.skipped, lossy.messages = [0, 2], [100, 98]
    target = {"row": "c", "measure": "1x1", "size": 64}
    lines = report.target_lines({("c", "1x1", 64): lossy}, [{**target, "most_skipped": 2}, {**target, "most_skipped": 1}])
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["met", "missed"]
    assert "2 of 200" in lines[0]
    assert "skipped 1 %" in report.notes(lossy)
    assert "not measured" in report.target_lines({}, [{**target, "most_skipped": 1}])[0]


def test_times_have_targets() -> None:
    trip = row("a", [900.0, 1100.0, 1000.0], measure.ROUNDTRIP)
    target = {"row": "a", "measure": measure.ROUNDTRIP, "size": 64}
    lines = report.target_lines({("a", measure.ROUNDTRIP, 64): trip}, [{**target, "most_ns": 1000}, {**target, "most_ns": 999}])
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["met", "missed"]
    assert "not measured" in report.target_lines({}, [{**target, "most_ns": 1}])[0]


def bench(*args: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(BENCH / "run.py"), *args]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_writes_its_three_forms(tmp_path: Path) -> None:
    done = bench("--quick", "--peer", "c", "--out", str(tmp_path), "--seed", "1")
    assert done.returncode == 0, done.stderr
    assert "throughput 1x1, 64 bytes" in done.stdout
    assert "MB/s" in done.stdout
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert {line["peer"] for line in lines[1:]} == {"c", "ff", "pingpong"}
    assert all(line["median"] > 0 for line in lines[1:])
    assert ElementTree.parse(tmp_path / "results.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize("size", [8, 1 << 20, 10_000_000])
def test_a_calibration_begins_small(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """The rate of a row is that of small messages: so many of 1 MiB would take minutes."""
    counts: list[int] = []

    def one(_peer: measure.Peer, _measure: str, _size: int, count: int) -> measure.Sample:
        counts.append(count)
        return measure.Sample(1.0, longest_ns=100_000 * count)

    monkeypatch.setattr(measure, "measure_once", one)
    assert measure.calibrate(measure.Peer("any", (), (), 2e7), "1x1", size, 0.5) == 5000
    assert counts[0] * size <= max(5e7, 100 * size)
    assert counts[0] >= 100


def test_an_unknown_peer_is_a_usage_error() -> None:
    done = bench("--peer", "nobody")
    assert done.returncode == 2
    assert "nobody" in done.stderr
