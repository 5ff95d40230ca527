# SPDX-License-Identifier: MIT
"""Profile slick in the tools: what each verb prints of a ring, hostile files, live rings."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import (
    ROOT,
    SHMWIRE,
    Driver,
    as_json,
    driver,
    fixture_bytes,
    fixture_cases,
    follow,
    message_lines,
    ok,
    pattern,
    run,
    wait_for,
)

LAYOUT = json.loads((ROOT / "spec/generated/slick.layout.json").read_text(encoding="utf-8"))
STRUCTS = {struct["name"]: struct for struct in LAYOUT["structs"]}
READERS = [["inspect"], ["validate"], ["dump"], ["tail"], ["recover", "--dry-run"]]
GENERATIONS = ["1.2", "1.3", "1.4"]
NO_INDEX = (1 << 64) - 1
SEED = 20261127
Make = Callable[..., Path]


def indices(text: str) -> list[int]:
    return [int(item["index"]) for item in message_lines(text)]


@pytest.fixture
def ring(tmp_path: Path) -> Make:
    """A ring of 8 elements of 24 bytes: slots from byte 64, elements from byte 192, 384 bytes in all."""

    def make(name: str = "ring.bin", **options: int | str) -> Path:
        settings = {"capacity": 8, "size": 24, "count": 0, **options}
        ok("gen", tmp_path / name, "--profile=slick", *(f"--{key}={value}" for key, value in settings.items()))
        return tmp_path / name

    return make


def poke(path: Path, offset: int, value: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(value.to_bytes(size, "little"))


def slot(number: int) -> int:
    return 64 + 16 * number


# --- gen, dump, tail --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", GENERATIONS)
def test_gen_is_deterministic_and_recognised(ring: Make, generation: str) -> None:
    a, b = (ring(name, count=5, seed=9, generation=generation) for name in ("a.bin", "b.bin"))
    assert a.read_bytes() == b.read_bytes() != ring("c.bin", count=5, seed=8, generation=generation).read_bytes()
    assert a.stat().st_size == 64 + 16 * 8 + 24 * 8 and a.stat().st_mode & 0o777 == 0o600
    value = as_json("inspect", a)
    assert (value["profile"], value["ring"]["generation"]) == ("slick", generation)
    assert f"generation      {generation}" in ok("inspect", a)
    before = a.read_bytes()
    assert "EXISTS" in run("gen", "--profile=slick", a).stderr and a.read_bytes() == before


def test_gen_json(tmp_path: Path) -> None:
    value = as_json("gen", "--profile=slick", tmp_path / "d.bin", "--count=7", "--elements=2")
    assert (value["capacity"], value["element_size"], value["messages"]) == ("1024", "64", "7")


def test_dump_line_is_exactly_this(ring: Make) -> None:
    path = ring(count=2, elements=3)
    assert ok("dump", path, "--profile", "slick", "--format", "jsonl").splitlines()[1] == (
        f'{{"index": "3", "elements": 3, "data": "{pattern(2, 72).hex()}"}}')
    assert "index 3 " in ok("dump", path, "--format=text") and "    0000  1f 30" in ok("dump", path, "--format=text")
    raw = subprocess.run([SHMWIRE, "dump", str(path), "--format", "raw"], capture_output=True, check=True).stdout
    assert raw == pattern(1, 72) + pattern(2, 72)


def test_dump_begins_with_the_oldest_item_that_is_whole(ring: Make) -> None:
    assert indices(ok("dump", ring(count=11))) == list(range(3, 11))
    wrapped = ring("wrapped.bin", count=5, elements=3)  # 0, 3, then 8, 11, 16: 16 to 18 cover what 8 to 10 held
    assert indices(ok("dump", wrapped)) == [11, 16]
    assert ok("dump", ring("empty.bin")) == ""


def test_dump_passes_what_is_not_published(ring: Make) -> None:
    path = ring(count=5)
    poke(path, slot(2), NO_INDEX, 8)
    done = run("dump", path)
    assert done.returncode == 0 and indices(done.stdout) == [0, 1, 3, 4] and "1 reservation is not published" in done.stderr
    poke(path, slot(3) + 8, 7, 4)  # an item that passes the end of the ring
    done = run("dump", path)
    assert done.returncode == 1 and indices(done.stdout) == [0, 1, 4] and "CORRUPT" in done.stderr


def test_captured_rings_hold_what_was_written(tmp_path: Path) -> None:
    """Whole items of what the source system wrote, published ones only, are what dump prints."""
    cases = [case for case in fixture_cases("captured", "slick") if "file" in case]
    assert len(cases) >= 16
    for case in cases:
        path = tmp_path / "seg.bin"
        path.write_bytes(before := fixture_bytes(case))
        found = message_lines(ok("dump", path))
        assert found and path.read_bytes() == before
        size = int(as_json("inspect", path)["fields"]["header.size"])
        assert int(found[-1]["index"]) + found[-1]["elements"] - int(found[0]["index"]) <= size, case["id"]


def test_tail_shows_the_last(ring: Make) -> None:
    path = ring(count=11)
    assert indices(ok("tail", "-n", "3", path)) == [8, 9, 10]
    assert indices(ok("tail", path)) == list(range(3, 11))
    assert ok("tail", "-n", "0", path) == ""


def test_a_large_item_needs_a_larger_buffer(ring: Make) -> None:
    path = ring(size=50_000, count=2, elements=4)
    assert [len(item["data"]) for item in message_lines(ok("dump", path))] == [400_000] * 2


# --- inspect, ls, diff ------------------------------------------------------------------------------------------------


def test_inspect_prints_every_field_of_the_layout(ring: Make) -> None:
    value = as_json("inspect", ring(count=5))
    wanted = {f"header.{f['name']}" for f in STRUCTS["header"]["fields"] if not f["reserved"]}
    wanted |= {f"slot[{i}].{f['name']}" for i in range(8) for f in STRUCTS["slot"]["fields"] if not f["reserved"]}
    assert set(value["fields"]) == wanted
    assert value["fields"]["header.reserved"] == str(5 << 16 | 1) and value["fields"]["slot[5].data_index"] == str(NO_INDEX)
    assert value["ring"] == {"generation": "1.4", "next_index": "5", "oldest": "0", "items": "5", "elements": "5",
                             "unpublished": "0", "given_up": "0", "good": True}


def test_ls_shows_all_generations(ring: Make) -> None:
    paths = [ring(f"{generation}.bin", count=3, generation=generation) for generation in GENERATIONS]
    rows = as_json("ls", "--dir", paths[0].parent)["segments"]
    assert [(r["name"], r["profile"], r["waiting"]) for r in rows] == [(f"{g}.bin", "slick", "3") for g in GENERATIONS]


def test_files_that_are_no_rings_are_not_taken_for_one(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    zeros, noise = tmp_path / "zeros", tmp_path / "noise"
    zeros.write_bytes(bytes(4096))
    noise.write_bytes(dice.randbytes(4096))
    short = tmp_path / "short"
    short.write_bytes(struct.pack("<QII", 0, 8, 24) + bytes(48))  # a header of generation 1.2 and nothing behind it
    longer = tmp_path / "longer"
    longer.write_bytes(struct.pack("<QII", 0, 8, 24) + bytes(200_000))
    assert as_json("ls", "--dir", tmp_path)["segments"] == [], f"seed {SEED}"


def test_diff_names_every_field(ring: Make) -> None:
    base, other = ring(count=3), ring("other.bin", count=3)
    geometry = ("size", "element_size")  # with another one, everything behind has another name
    header = {int(f["offset"]): f"header.{f['name']}" for f in STRUCTS["header"]["fields"] if f["name"] not in geometry}
    slots = {slot(2) + int(f["offset"]): f"slot[2].{f['name']}" for f in STRUCTS["slot"]["fields"]}
    for offset, name in {**header, **slots, 192 + 24 * 3 + 5: "element[3]"}.items():
        data = bytearray(base.read_bytes())
        data[offset] ^= 0x40
        other.write_bytes(data)
        found = as_json("diff", "--profile=slick", base, other, code=1)["differences"]
        assert [d["field"] for d in found] == [name], offset
    assert as_json("diff", base, base)["equal"]


def test_options_of_other_profiles_are_refused(ring: Make) -> None:
    path = ring(count=3)
    for words in (["dump", "--channel", "0"], ["dump", "--from", "oldest"], ["tail", "--payload-layout", "crate"],
                  ["validate", "--stall-ms", "5"]):
        assert run(*words, path).returncode == 2
    for words in (["--capacity=7"], ["--capacity=0"], ["--size=0"], ["--generation=1.5"], ["--chunks=2"], ["--elements=0"],
                  ["--count=1", "--capacity=4", "--elements=5"]):
        assert run("gen", "--profile=slick", *words, path.with_name("x")).returncode == 2, words
    assert run("gen", "--elements=2", path.with_name("x")).returncode == 2, "of profile dmxp"
    assert run("bench", "--profile", "slick").returncode == 3 and not path.with_name("x").exists()


def test_schema_is_the_layout() -> None:
    assert json.loads(ok("schema", "slick")) == LAYOUT
    assert {p["name"] for p in as_json("version")["profiles"]} >= {"dmxp", "ouroboros", "slick"}


# --- validate, recover ------------------------------------------------------------------------------------------------

FAULTS = [
    (48, 4, 4, "slick.segment.state"),
    (48, 2, 4, "slick.segment.not-ready"),
    (24, 0, 4, "slick.segment.magic"),
    (8, 7, 4, "slick.segment.geometry"),
    (12, 0, 4, "slick.segment.geometry"),
    (8, 16, 4, "slick.segment.size"),
    (12, 0xFFFFFFFF, 4, "slick.segment.size"),
    (0, 5 << 16 | 9, 8, "slick.reserve.packed"),
    (0, 5 << 16, 8, "slick.reserve.packed"),
    (32, 6, 8, "slick.reserve.told"),
    (16, 5, 8, "slick.publish.last"),
    (slot(3), 6, 8, "slick.read.uncovered"),
    (slot(3), 5 << 40, 8, "slick.read.uncovered"),
    (slot(3) + 8, 0, 4, "slick.read.bounds"),
    (slot(3) + 8, 3, 4, "slick.read.bounds"),
    (slot(3) + 8, 6, 4, "slick.read.bounds"),
    (slot(3) + 8, 2, 4, "slick.publish.first-slot"),
]


@pytest.mark.parametrize(("offset", "value", "size", "rule"), FAULTS)
def test_validate_names_the_rule_of_one_fault(ring: Make, offset: int, value: int, size: int, rule: str) -> None:
    path = ring(count=5)
    assert as_json("validate", path)["findings"] == []
    poke(path, offset, value, size)
    before = path.read_bytes()
    found = as_json("validate", "--profile=slick", path, code=1)
    assert rule in {f["rule"] for f in found["findings"] if f["severity"] == "error"}
    assert f"[{rule}]" in run("inspect", "--profile=slick", path).stdout and path.read_bytes() == before


def test_recover_marks_what_was_never_published(ring: Make) -> None:
    path = ring(count=5)
    poke(path, slot(2), NO_INDEX, 8)
    before = path.read_bytes()
    notes = as_json("validate", path)["findings"]
    assert [(f["severity"], f["position"]) for f in notes] == [("note", "2")]
    assert as_json("recover", "--dry-run", path, code=1)["holes"] == "1" and path.read_bytes() == before
    assert as_json("recover", "--all-dead", path)["holes"] == "1"
    done = run("dump", path)
    assert indices(done.stdout) == [0, 1, 3, 4] and done.stderr == ""
    assert as_json("recover", "--dry-run", path)["holes"] == "0" and as_json("inspect", path)["ring"]["given_up"] == "1"


def rules_of(path: Path) -> set[str]:
    found = json.loads(run("validate", "--json", "--profile", "slick", path).stdout)["findings"]
    return {f["rule"] for f in found if f["severity"] == "error"}


def test_fixtures(tmp_path: Path) -> None:
    """Golden rings are sound, the others never harm; what an opener refuses has its rule named."""
    path = tmp_path / "seg.bin"
    for kind, least in (("golden", 12), ("captured", 16), ("hostile", 30), ("torn", 10)):
        cases = fixture_cases(kind, "slick")
        assert len(cases) >= least, kind
        for case in cases:
            path.write_bytes(before := fixture_bytes(case))
            rules = rules_of(path)
            opener = {rule for rule in case["rules"] if ".segment." in rule}
            if kind in ("golden", "captured"):
                assert rules == set(), case["id"]
            if case.get("reject") and opener:
                assert rules & opener, case["id"]
            if kind == "hostile":
                for words in READERS:
                    run(*words, "--profile", "slick", path)
            assert path.read_bytes() == before, case["id"]


# --- hostile ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 8, 63, 64, 65, 79, 80, 191, 192, 193, 383])
def test_truncated(ring: Make, size: int) -> None:
    path = ring(count=5)
    os.truncate(path, size)
    before = path.read_bytes()
    for words in READERS:
        assert run(*words, "--profile", "slick", path).returncode in (1, 2), words
    ok("ls", "--dir", path.parent)
    assert path.read_bytes() == before


def test_random_damage(ring: Make) -> None:
    base = ring(count=13, elements=2).read_bytes()
    dice = random.Random(SEED)
    path = ring("damaged.bin")
    for _ in range(25):
        data = bytearray(base)
        for _ in range(dice.randint(1, 20)):
            data[dice.randrange(len(data) // 2)] = dice.choice([0, 1, 0x80, 0xFF, dice.randrange(256)])
        path.write_bytes(data)
        for words in (*READERS, ["dump", "--format", "text"]):
            run(*words, "--profile", "slick", path)
        assert path.read_bytes() == data, f"seed {SEED}"


# --- live -------------------------------------------------------------------------------------------------------------


def opened(d: Driver, path: Path | str, mode: str = "rw", **options: Any) -> int:
    return int(d.good("open", profile="slick", seg=str(path), mode=mode, options=options)["h"])


def write(d: Driver, handle: int, *items: bytes) -> list[int]:
    results = d.good("write", h=handle, items=[{"data": {"hex": item.hex()}} for item in items], mode="try")["results"]
    return [int(r["pos"]) for r in results if r["st"] == "ok"]


def test_tail_follows_through_laps_and_counts_what_was_overwritten(ring: Make, tmp_path: Path) -> None:
    path, out, err = ring(count=2), tmp_path / "out", tmp_path / "err"
    process = follow(path, out, err)
    try:
        with driver() as d:
            handle = opened(d, path)
            for i in range(40):  # five laps, at a pace that can be followed
                assert write(d, handle, bytes([i]) * 24) == [2 + i]
                wait_for(lambda wanted=3 + i: out.read_bytes().count(b"\n") == wanted)  # type: ignore[misc]
            assert indices(out.read_text()) == list(range(42)) and err.read_bytes() == b""
            process.send_signal(signal.SIGSTOP)
            write(d, handle, *(bytes([i]) * 24 for i in range(100, 140)))
            process.send_signal(signal.SIGCONT)
            wait_for(lambda: out.read_bytes().endswith(b"\n") and indices(out.read_text())[-1] == 81)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    printed = indices(out.read_text())
    said = sum(int(n) for n in re.findall(r"(\d+) indices were overwritten", err.read_text()))
    assert printed == sorted(set(printed)) and said > 0 and len(printed) + said == 82


def test_looking_at_a_busy_ring_finds_nothing(ring: Make, tmp_path: Path) -> None:
    """Two producers at full speed: no verb may take a passing state for a broken one."""
    path = ring(capacity=64)
    plan = {"profile": "slick", "seg": str(path), "role": "write", "count": 10**9, "sizes": [24, 72, 48], "seed": 9, "batch": 1,
            "stutter_us": 0, "limit_ms": 2500}
    with driver() as one, driver() as two:
        for number, d in enumerate((one, two)):
            d.good("arm", **plan, actor=number)
            d.post("go")
        for number in range(8):
            for words in (["inspect"], ["validate"], ["dump"], ["tail"]):
                done = run(*words, path)
                assert done.returncode == 0, (words, done.stdout, done.stderr)
            run("snapshot", path, tmp_path / f"copy-{number}")
        assert all(d.reply()["ok"]["sent"] > 0 for d in (one, two))
