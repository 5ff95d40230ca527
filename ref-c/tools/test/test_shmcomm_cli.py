# SPDX-License-Identifier: MIT
"""Profile shmcomm in the tools: what each verb prints of a channel, hostile files, live channels, stale ones."""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

LAYOUT = json.loads((ROOT / "spec/generated/shmcomm.layout.json").read_text(encoding="utf-8"))
STRUCTS = {struct["name"]: struct for struct in LAYOUT["structs"]}
HEADER = {field["name"]: field for field in STRUCTS["header"]["fields"]}
FRAME = {field["name"]: field for field in STRUCTS["frame"]["fields"]}
READERS = [["inspect"], ["validate"], ["dump"], ["tail"], ["recover", "--dry-run"]]
RING = 128
KEEPER_BASE = 1 << 31
SEED = 20261127
Make = Callable[..., Path]


@pytest.fixture
def channel(tmp_path: Path) -> Make:
    """A ring of 4096 bytes with messages of 20 bytes: frames of 64 bytes, from byte 128 on."""

    def make(name: str = "channel.bin", **options: int | str) -> Path:
        settings = {"capacity": 4096, "size": 20, "count": 3, **options}
        ok("gen", tmp_path / name, "--profile=shmcomm", *(f"--{key}={value}" for key, value in settings.items()))
        return tmp_path / name

    return make


def poke(path: Path, offset: int, value: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(value.to_bytes(size, "little"))


def poke_header(path: Path, name: str, value: int) -> None:
    poke(path, HEADER[name]["offset"], value, HEADER[name]["size"])


def header(path: Path, name: str) -> int:
    data = path.read_bytes()
    at = int(HEADER[name]["offset"])
    return int.from_bytes(data[at:at + int(HEADER[name]["size"])], "little")


@contextmanager
def held(path: Path, *offsets: int) -> Iterator[None]:
    """Write locks of an open file description of ours on those bytes: as if endpoints with these numbers lived."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        for offset in offsets:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0))
        yield
    finally:
        os.close(fd)


def sequences(text: str) -> list[int]:
    return [int(message["sequence"]) for message in message_lines(text)]


# --- gen, dump, tail --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pubsub", "pipeline"])
def test_gen_is_deterministic_and_recognised(channel: Make, kind: str) -> None:
    a, b = (channel(name, seed=9, pattern=kind) for name in ("a.bin", "b.bin"))
    assert a.read_bytes() == b.read_bytes() != channel("c.bin", seed=8, pattern=kind).read_bytes()
    assert a.stat().st_size == RING + 4096 and a.stat().st_mode & 0o777 == 0o600
    value = as_json("inspect", a)
    assert (value["profile"], value["channel"]["pattern"], value["channel"]["messages"]) == ("shmcomm", kind, "3")
    assert (value["channel"]["state"], value["channel"]["keeper"]) == ("open", "dead")
    before = a.read_bytes()
    assert "EXISTS" in run("gen", "--profile=shmcomm", a).stderr and a.read_bytes() == before
    assert not list(a.parent.glob("*.new"))


def test_gen_json_and_refusals(tmp_path: Path) -> None:
    value = as_json("gen", "--profile=shmcomm", tmp_path / "d.bin", "--count=7")
    assert (value["capacity"], value["pattern"], value["messages"]) == ("65536", "pubsub", "7")
    assert run("gen", "--profile=shmcomm", tmp_path / "e.bin", "--capacity=5000").returncode == 2
    assert run("gen", "--profile=shmcomm", tmp_path / "e.bin", "--capacity=4096", "--size=2009").returncode == 2
    done = run("gen", "--profile=shmcomm", "--pattern=pipeline", tmp_path / "e.bin", "--capacity=4096", "--count=65")
    assert done.returncode == 2 and "does not hold" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["d.bin"]


def test_dump_line_is_exactly_this(channel: Make) -> None:
    path = channel(count=2)
    assert ok("dump", path, "--profile", "shmcomm", "--format", "jsonl").splitlines()[1] == (
        '{"sequence": "1", "timestamp_ns": "1700000000001000000", "sender": 1, "content_type": "raw", "correlation_id": "0", '
        f'"payload": "{pattern(2, 20).hex()}"}}')
    text = ok("dump", path, "--format=text")
    assert "sequence 1 " in text and "2023-11-14T22:13:20.001" in text and "    0000  1f 30" in text
    raw = subprocess.run([SHMWIRE, "dump", str(path), "--format", "raw"], capture_output=True, check=True).stdout
    assert raw == pattern(1, 20) + pattern(2, 20)


def test_dump_shows_what_is_held_and_takes_nothing(channel: Make) -> None:
    path = channel(count=100)
    before = path.read_bytes()
    assert sequences(ok("dump", path)) == list(range(36, 100))
    assert sequences(ok("tail", path, "-n", "3")) == [97, 98, 99]
    assert ok("tail", path, "-n", "0") == "" == ok("dump", channel("empty.bin", count=0))
    assert path.read_bytes() == before


def test_dump_names_content_types_and_correlations(channel: Make) -> None:
    path = channel(count=3)
    poke(path, RING + FRAME["content_type"]["offset"], 2, 2)
    poke(path, RING + 64 + FRAME["content_type"]["offset"], 777, 2)
    poke(path, RING + 128 + FRAME["correlation_id"]["offset"], 5, 8)
    poke(path, RING + 128 + FRAME["flags"]["offset"], 3, 2)
    lines = message_lines(ok("dump", path))
    assert [line["content_type"] for line in lines] == ["msgpack", "777", "raw"]
    assert lines[2]["correlation_id"] == "5" and lines[2]["flags"] == 3 and "flags" not in lines[0]
    assert "correlation 5  flags 0x0003" in ok("dump", path, "--format=text")


def test_dump_of_a_corrupt_frame(channel: Make) -> None:
    path = channel()
    poke(path, RING + 64, 31, 8)
    done = run("dump", path)
    assert done.returncode == 1 and "CORRUPT" in done.stderr


# --- inspect, validate, diff ------------------------------------------------------------------------------------------


def test_inspect_text_and_json(channel: Make) -> None:
    path = channel(count=40)
    text = ok("inspect", path)
    assert "pattern         1 (pubsub)" in text and "none lives: stale" in text and "writer_lock     free" in text
    assert "40 messages in 2560 of 4096 bytes; good" in text and "and 8 more (--json)" in text
    fields = as_json("inspect", path)["fields"]
    assert set(fields) >= {f"header.{name}" for name in HEADER if name != "reserved"}
    assert fields["frame[39].position"] == str(39 * 64) and fields["frame[39].size"] == "52"


FAULTS: list[tuple[str, int, str]] = [
    ("magic", 0, "shmcomm.segment.not-ready"),
    ("version", 1, "shmcomm.segment.version"), ("version", 3, "shmcomm.segment.version"),
    ("capacity", 4095, "shmcomm.segment.geometry"), ("capacity", 2048, "shmcomm.segment.geometry"),
    ("capacity", 8192, "shmcomm.segment.size"), ("pattern", 0, "shmcomm.segment.geometry"),
    ("pattern", 5, "shmcomm.segment.geometry"), ("state", 3, "shmcomm.segment.geometry"),
    ("serializer", 65536, "shmcomm.segment.geometry"), ("head", 12, "shmcomm.segment.positions"),
    ("tail", 4096, "shmcomm.segment.positions"), ("head", 8192, "shmcomm.segment.positions"),
    ("message_count", 2, "shmcomm.send.order"), ("message_count", 9, "shmcomm.send.order"),
]


@pytest.mark.parametrize(("name", "value", "rule"), FAULTS, ids=lambda v: str(v))
def test_validate_names_the_rule(channel: Make, name: str, value: int, rule: str) -> None:
    path = channel()
    assert as_json("validate", path)["valid"] is True
    poke_header(path, name, value)
    found = as_json("validate", "--profile=shmcomm", path, code=1)
    assert rule in [f["rule"] for f in found["findings"] if f["severity"] == "error"]


@pytest.mark.parametrize(("offset", "value", "rule"), [
    (RING, 0, "shmcomm.receive.size"), (RING, 5000, "shmcomm.receive.size"), (RING + 64 + 8, 7, "shmcomm.send.sequence"),
    (RING + 63, 1, "shmcomm.send.frame"), (RING, (1 << 64) - 1, "shmcomm.receive.size"),
])
def test_validate_looks_at_frames(channel: Make, offset: int, value: int, rule: str) -> None:
    path = channel()
    poke(path, offset, value, 1 if offset == RING + 63 else 8)
    assert rule in [f["rule"] for f in as_json("validate", path, code=1)["findings"]]
    assert as_json("inspect", path, code=1)["channel"]["good"] is False


def test_diff_and_snapshot_name_fields(channel: Make, tmp_path: Path) -> None:
    a, b = channel("a.bin", seed=1), channel("b.bin", seed=2)
    ok("snapshot", a, tmp_path / "copy.bin")
    assert as_json("diff", a, tmp_path / "copy.bin")["equal"] is True
    poke_header(b, "dropped_count", 5)
    names = [d["field"] for d in as_json("diff", a, b, code=1)["differences"]]
    assert names == ["header.dropped_count", "frame[0].payload", "frame[1].payload", "frame[2].payload"]


# --- ls, top, gc, recover ---------------------------------------------------------------------------------------------


def test_ls_shows_pattern_keeper_and_counts(channel: Make, tmp_path: Path) -> None:
    path = channel(count=70)
    poke_header(path, "data_waiters", 2)
    row = as_json("ls", "--dir", tmp_path)["segments"][0]
    assert (row["kind"], row["keeper"], row["published"], row["waiting"]) == ("pubsub", "dead", "70", "64")
    assert (row["dropped"], row["asleep"], row["owner_pid"], row["per_second"]) == ("6", "2", 1, 0)
    assert re.search(r"^channel.bin +shmcomm +pubsub .* stale ", ok("ls", "--dir", tmp_path), re.M)
    with held(path, 77, KEEPER_BASE + 77):
        assert as_json("ls", "--dir", tmp_path)["segments"][0]["keeper"] == "lives"


def test_top_has_rates(channel: Make, tmp_path: Path) -> None:
    path = channel(pattern="pipeline")
    with driver() as d:
        h = d.good("open", profile="shmcomm", seg=str(path), mode="rw", options={"role": "pusher"})["h"]
        process = subprocess.Popen([SHMWIRE, "top", "--json", "--dir", str(tmp_path), "--interval-ms", "200", "--rounds", "3"],
                                   stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        seen = []
        for _ in range(3):
            d.good("write", h=h, items=[{"data": {"hex": "00"}}] * 5, mode="try")
            seen.append(json.loads(process.stdout.readline())["segments"][0])
        assert process.wait(10) == 0
        process.stdout.close()
        assert seen[2]["per_second"] > 0 and seen[2]["keeper"] == "lives"
        d.good("close", h=h)


def test_gc_removes_stale_channels_only(channel: Make, tmp_path: Path) -> None:
    stale, live, full, drained = (channel(f"{name}.bin", pattern="pipeline" if name in ("full", "drained") else "pubsub",
                                          count=0 if name == "drained" else 3) for name in ("stale", "live", "full", "drained"))
    (tmp_path / "noise").write_bytes(bytes(5000))
    (tmp_path / "shmcomm_pub_unfinished").write_bytes(bytes(5000))
    with held(live, 5, KEEPER_BASE + 5):
        dry = as_json("gc", "--dry-run", "--dir", tmp_path, code=1)
        assert {Path(s["path"]).name: s["action"] for s in dry["segments"]} == {
            "drained.bin": "stale", "full.bin": "kept", "shmcomm_pub_unfinished": "stale", "stale.bin": "stale"}
        assert all(path.exists() for path in (stale, live, full, drained))
        assert "kept: holds 3 messages" in ok("gc", "--dir", tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["full.bin", "live.bin", "noise"]
        assert as_json("gc", "--insist", "--dir", tmp_path)["segments"][0]["action"] == "removed"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["live.bin", "noise"]


def test_recover_takes_the_lock_of_the_dead(channel: Make) -> None:
    path = channel()
    assert "lock good, counts good" in ok("recover", "--dry-run", path)
    poke_header(path, "writer_lock", 99)
    poke_header(path, "message_count", 2)
    before = path.read_bytes()
    dry = as_json("recover", "--dry-run", path, code=1)
    assert dry["lock_taken"] is True and dry["count_repaired"] is True and path.read_bytes() == before
    with held(path, 99):
        assert run("recover", path).returncode != 0 and header(path, "writer_lock") & 0x7FFFFFFF == 99
    done = as_json("recover", path)
    assert (done["lock_taken"], done["count_repaired"], done["swept"]) == (True, True, 0)
    assert (header(path, "writer_lock"), header(path, "message_count"), header(path, "lock_epoch")) == (0, 3, 1)


# --- live -------------------------------------------------------------------------------------------------------------


def test_tail_follows_a_live_channel(tmp_path: Path) -> None:
    path, out, err = tmp_path / "live.bin", tmp_path / "out", tmp_path / "err"
    with driver() as d:
        h = d.good("create", profile="shmcomm", seg=str(path), options={"role": "publisher", "capacity": "4096"})["h"]
        process = follow(path, out, err, "-n", "50")  # which may start before, between or after the writes
        try:
            for number in range(50):
                d.good("write", h=h, items=[{"data": {"hex": f"{number:02x}"}}], mode="try")
            wait_for(lambda: len(out.read_text(encoding="utf-8").splitlines()) == 50)
            d.good("close", h=h)
            wait_for(lambda: "has been removed" in err.read_text(encoding="utf-8"))
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
    assert [line["payload"] for line in message_lines(out.read_text(encoding="utf-8"))] == [f"{n:02x}" for n in range(50)]


def lines_of(d: Driver, path: Path) -> list[dict[str, Any]]:
    h = d.good("open", profile="shmcomm", seg=str(path), mode="ro")["h"]
    items: list[dict[str, Any]] = d.good("read", h=h, mode="try", max=1000)["items"]
    d.good("close", h=h)
    return items


def test_command_and_driver_agree(channel: Make) -> None:
    path = channel(count=90)
    with driver() as d:
        items = lines_of(d, path)
    dumped = [(m["sequence"], m["payload"]) for m in message_lines(ok("dump", path))]
    assert [(i["seq"], i["data"]["hex"]) for i in items] == dumped


# --- hostile ----------------------------------------------------------------------------------------------------------


def test_hostile_fixtures(tmp_path: Path) -> None:
    """Every verb that looks: a named failure or an answer, and the file stays as it is."""
    cases = fixture_cases("hostile", "shmcomm")
    assert len(cases) >= 30
    path = tmp_path / "seg.bin"
    for case in cases:
        data = fixture_bytes(case)
        path.write_bytes(data)
        for words in READERS:
            done = run(*words, "--profile", "shmcomm", path)
            assert done.returncode in (0, 1, 2), (case["id"], words, done.stderr)
        assert path.read_bytes() == data, case["id"]


def test_random_damage(channel: Make, tmp_path: Path) -> None:
    base = channel(count=90).read_bytes()
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    path = tmp_path / "damaged.bin"
    for _ in range(25):
        data = bytearray(base)
        for _ in range(dice.randint(1, 40)):
            data[dice.choice([dice.randrange(16, 128), dice.randrange(128, len(data))])] = dice.randrange(256)
        path.write_bytes(data)
        for words in (["inspect"], ["validate"], ["dump", "--format", "text"], ["recover", "--dry-run"], ["diff", path]):
            assert run(*words, "--profile", "shmcomm", path).returncode in (0, 1, 2)
        assert path.read_bytes() == bytes(data)


@pytest.mark.parametrize("size", [0, 1, 8, 23, 127, 128, 129, 4223])
def test_truncated(channel: Make, size: int) -> None:
    path = channel()
    os.truncate(path, size)
    for words in READERS:
        assert run(*words, "--profile", "shmcomm", path).returncode in (1, 2)
    assert path.stat().st_size == size
