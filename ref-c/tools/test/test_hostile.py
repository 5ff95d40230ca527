# SPDX-License-Identifier: MIT
"""Files that are no segments, or broken ones, for every verb: a named failure, never a crash, a hang or a change."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import driver, fixture_bytes, fixture_cases, follow, ok, run, wait_for

Make = Callable[..., Path]
READERS = [["inspect"], ["validate"], ["dump"], ["tail"], ["recover", "--dry-run"], ["recover", "--all-dead"]]
KINDS = ["missing", "empty", "directory", "fifo", "tiny", "random", "zeros", "dangling"]
SEED = 20260101


def hostile(kind: str, directory: Path) -> Path:
    path = directory / kind
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind != "missing":
        size = {"empty": 0, "tiny": 7, "random": 200_000, "zeros": 200_000}[kind]
        path.write_bytes(bytes(size) if kind == "zeros" else random.Random(SEED).randbytes(size))
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_no_segment(words: list[str], kind: str, tmp_path: Path) -> None:
    path = hostile(kind, tmp_path)
    wanted = 2 if kind in ("missing", "directory", "fifo", "dangling") else 3
    done = run(*words, path)
    assert (done.returncode, done.stdout) == (wanted, ""), done.stderr
    assert done.stderr.startswith("shmwire: ") and str(path) in done.stderr
    forced = run(*words, "--profile", "dmxp", path)
    assert forced.returncode in ((1, 2) if wanted == 3 else (2,)), forced.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_no_segment_for_verbs_with_two_operands(kind: str, tmp_path: Path, segment: Make) -> None:
    path, good = hostile(kind, tmp_path), segment("good.bin")
    assert run("snapshot", path, tmp_path / "copy").returncode in (2, 3)
    assert not (tmp_path / "copy").exists() and not list(tmp_path.glob("copy.*"))
    for pair in ((path, good), (good, path)):
        assert run("diff", *pair).returncode in (1, 2)
    assert run("diff", path, path).returncode in (2, 3)


@pytest.mark.parametrize("size", [0, 1, 8, 23, 127, 128, 129, 511, 512, 98431, 98432, 98433, 99519, 100000])
def test_truncated(segment: Make, size: int) -> None:
    path = segment(channels=2, capacity=2, count=2)
    os.truncate(path, size)
    before = path.read_bytes()
    for words in READERS:
        assert run(*words, "--profile", "dmxp", path).returncode in (1, 2)
    ok("ls", "--dir", path.parent)
    assert path.read_bytes() == before


def test_random_damage(segment: Make, tmp_path: Path) -> None:
    """Single bytes of a sound segment replaced at random: every verb ends, nobody crashes, readers change nothing."""
    base = segment(channels=2, capacity=4, count=3).read_bytes()
    dice = random.Random(SEED)
    path = tmp_path / "damaged.bin"
    for _ in range(25):
        data = bytearray(base)
        for _ in range(dice.randint(1, 40)):
            data[dice.choice([dice.randrange(1200), dice.randrange(98432, len(data))])] = dice.randrange(256)
        path.write_bytes(data)
        for words in (["inspect"], ["validate"], ["dump", "--format", "text", "--all"], ["recover", "--dry-run"]):
            run(*words, "--profile", "dmxp", path)
        assert path.read_bytes() == data, f"seed {SEED}"


def rules_of(path: Path) -> set[str]:
    found = json.loads(run("validate", "--json", "--profile", "dmxp", path).stdout)["findings"]
    return {f["rule"] for f in found if f["severity"] == "error"}


def test_hostile_fixtures_are_named_by_their_rule(tmp_path: Path) -> None:
    cases = [case for case in fixture_cases("hostile") if case.get("reject")]
    assert cases
    for case in cases:
        path = tmp_path / "seg.bin"
        path.write_bytes(before := fixture_bytes(case))
        assert rules_of(path) & set(case["rules"]), case["id"]
        for words in (["inspect"], ["dump", "--all"], ["tail"], ["recover", "--dry-run"]):
            run(*words, "--profile", "dmxp", path)
        assert path.read_bytes() == before, case["id"]


def test_golden_fixtures_are_sound(tmp_path: Path) -> None:
    cases = fixture_cases("golden")
    assert cases
    for case in cases:
        path = tmp_path / "seg.bin"
        path.write_bytes(fixture_bytes(case))
        assert rules_of(path) == set(), case["id"]
        ok("dump", path)


def test_captured_fixtures(tmp_path: Path) -> None:
    """What the source system wrote is sound; only the consumer written from its document wedges a channel."""
    cases = fixture_cases("captured")
    assert cases
    for case in cases:
        path = tmp_path / "seg.bin"
        path.write_bytes(fixture_bytes(case))
        assert rules_of(path) == ({"dmxp.consume.release"} if "document-consumer-wedge" in case["id"] else set()), case["id"]


def test_segment_shortened_under_tail(segment: Make, tmp_path: Path) -> None:
    path, out, err = segment(), tmp_path / "out", tmp_path / "err"
    process = follow(path, out, err)
    try:
        wait_for(lambda: out.read_bytes().count(b"\n") == 3)
        os.truncate(path, 0)
        assert process.wait(10) == 2
        assert b"became shorter" in err.read_bytes()
    finally:
        process.kill()
        process.wait()


def test_tail_follows_without_consuming(segment: Make, tmp_path: Path) -> None:
    path, out, err = segment(count=3), tmp_path / "out", tmp_path / "err"
    assert ok("tail", "-n", "1", path) == ok("dump", path).splitlines(keepends=True)[2]
    process = follow(path, out, err, "-n", "1")
    try:
        wait_for(lambda: out.read_bytes().count(b"\n") == 1)
        with driver() as d:
            handle = d.open(path)
            d.send(handle, b"one", b"two")
            wait_for(lambda: out.read_bytes().count(b"\n") == 3)
            assert len(d.good("read", h=handle, channel=0, max=10, mode="peek")["items"]) == 5
            claim = d.good("claim", h=handle, channel=0)
            wait_for(lambda: b"waiting for it" in err.read_bytes())
            d.good("commit", c=claim["c"], data={"hex": "03"})
            wait_for(lambda: out.read_bytes().count(b"\n") == 4)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    assert b"consumed before" not in err.read_bytes()


def test_tail_says_that_the_name_is_gone(segment: Make, tmp_path: Path) -> None:
    path, out, err = segment(count=1), tmp_path / "out", tmp_path / "err"
    process = follow(path, out, err)
    try:
        wait_for(lambda: out.read_bytes().count(b"\n") == 1)
        path.unlink()
        wait_for(lambda: b"still following the old segment" in err.read_bytes())
        process.send_signal(signal.SIGHUP)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def test_tail_counts_what_it_could_not_see(segment: Make, tmp_path: Path) -> None:
    path, out, err = segment(count=0), tmp_path / "out", tmp_path / "err"
    process = follow(path, out, err)
    try:
        with driver() as d:
            handle = d.open(path)
            d.send(handle, b"first")
            wait_for(lambda: out.read_bytes().count(b"\n") == 1)
            process.send_signal(signal.SIGSTOP)
            d.send(handle, b"second", b"third")
            assert len(d.good("read", h=handle, channel=0, max=10, mode="try")["items"]) == 3
            d.send(handle, b"fourth")
            process.send_signal(signal.SIGCONT)
            wait_for(lambda: out.read_bytes().count(b"\n") == 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    assert b"channel 0: 2 consumed before they were seen" in err.read_bytes()


def test_looking_at_a_busy_segment_finds_nothing(segment: Make, tmp_path: Path) -> None:
    """Writer and reader at full speed over four slots: no verb may take a passing state for a broken one."""
    path = segment(capacity=4, count=0)
    plan = {"profile": "dmxp", "seg": str(path), "channel": 0, "actor": 1, "count": 10**9, "sizes": [24, 1000], "seed": 1,
            "batch": 1, "wait": "spin", "stutter_us": 0, "limit_ms": 2500}
    with driver() as writer, driver() as reader:
        for d, role in ((writer, "write"), (reader, "read")):
            d.good("arm", **{**plan, "role": role})
            d.post("go")
        end = time.monotonic() + 1.5
        rounds = 0
        while time.monotonic() < end:
            for words in (["validate"], ["inspect"], ["dump"], ["recover", "--dry-run"]):
                done = run(*words, path)
                assert done.returncode == 0 or words[0] == "recover", (words, done.stdout, done.stderr)
            run("snapshot", path, tmp_path / f"copy-{rounds}")
            rounds += 1
        assert rounds > 0
        assert writer.reply()["ok"]["sent"] > 0
        summary = reader.reply()["ok"]
        assert summary["received"] > 0 and summary["torn"] == 0 and summary["corrupt"] == 0
