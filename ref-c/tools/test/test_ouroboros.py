# SPDX-License-Identifier: MIT
"""Profile ouroboros in the tools: what each verb prints of a log, hostile files, live logs, and the driver's half."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import struct
import subprocess
import time
import zlib
from collections.abc import Callable
from pathlib import Path

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
    start_actor,
    summary,
    wait_for,
)

LAYOUT = json.loads((ROOT / "spec/generated/ouroboros.layout.json").read_text(encoding="utf-8"))
STRUCTS = {struct["name"]: struct for struct in LAYOUT["structs"]}
MAGIC = int(next(constant["value"] for constant in LAYOUT["constants"] if constant["name"] == "MAGIC"))
COMMITTED, ENTRY_COMMITTED = 1 << 63, 1 << 31
READERS = [["inspect"], ["validate"], ["dump"], ["dump", "--from", "oldest"], ["tail"]]
SEED = 20260102
Make = Callable[..., Path]


def sequences(text: str) -> list[int]:
    return [int(entry["sequence"]) for entry in message_lines(text)]


@pytest.fixture
def log(tmp_path: Path) -> Make:
    """A log of three chunks of 64 bytes: each holds two entries of 28 bytes; chunk 0 begins at byte 64."""

    def make(name: str = "log.bin", **options: int) -> Path:
        settings = {"chunks": 3, "chunk-target": 64, "size": 28, "count": 0, **options}
        ok("gen", tmp_path / name, "--profile=ouroboros", *(f"--{key}={value}" for key, value in settings.items()))
        return tmp_path / name

    return make


def poke(path: Path, offset: int, value: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(value.to_bytes(size, "little"))


# --- gen, dump, tail --------------------------------------------------------------------------------------------------


def test_gen_is_deterministic_and_known_by_its_magic(log: Make) -> None:
    a, b = log("a.bin", count=5, seed=9), log("b.bin", count=5, seed=9)
    assert a.read_bytes() == b.read_bytes() != log("c.bin", count=5, seed=8).read_bytes()
    assert a.stat().st_size == 16 + 16 * 3 + 3 * 64 and a.stat().st_mode & 0o777 == 0o600
    assert as_json("inspect", a)["profile"] == "ouroboros"
    before = a.read_bytes()
    assert "EXISTS" in run("gen", "--profile=ouroboros", a).stderr and a.read_bytes() == before
    value = as_json("gen", "--profile=ouroboros", a.with_name("d.bin"), "--count=7")
    assert (value["chunks"], value["chunk_target_size"], value["messages"]) == (4, "262144", "7")


def test_dump_line_is_exactly_this(log: Make) -> None:
    path = log(count=3)
    assert ok("dump", path, "--profile", "ouroboros", "--format", "jsonl").splitlines()[2] == (
        f'{{"sequence": "3", "chunk": 1, "token": "2", "payload": "{pattern(3, 28).hex()}"}}')
    assert "sequence 3 " in ok("dump", path, "--format=text") and "    0000  1f 30" in ok("dump", path, "--format=text")
    raw = subprocess.run([SHMWIRE, "dump", str(path), "--format", "raw"], capture_output=True, check=True).stdout
    assert raw == pattern(1, 28) + pattern(2, 28) + pattern(3, 28)


def test_dump_starts(log: Make) -> None:
    path = log(count=8)  # the second lap is in chunk 0
    assert sequences(ok("dump", path)) == sequences(ok("dump", path, "--from", "auto")) == [7, 8]
    assert sequences(ok("dump", path, "--from", "latest")) == [7, 8]
    assert sequences(ok("dump", path, "--from", "oldest")) == [5, 6, 7, 8], "clearing the next header cost chunk 1"


def test_captured_logs_read_as_the_source_system_reads_them(tmp_path: Path) -> None:
    starts = ("auto", "latest", "oldest")
    cases = [case for case in fixture_cases("captured", "ouroboros") if case["id"].rpartition("-")[2] in starts]
    assert len(cases) >= 15
    for case in cases:
        path = tmp_path / "seg.bin"
        path.write_bytes(before := fixture_bytes(case))
        start = case["id"].rpartition("-")[2]
        wanted = [item for step in case["read"][1:] for item in step["expect"]["ok"].get("items", [])]
        found = message_lines(ok("dump", "--from", start, path))
        assert [(e["sequence"], e["payload"]) for e in found] == [(i["seq"], i["data"]["hex"]) for i in wanted], case["id"]
        assert path.read_bytes() == before


def test_tail_shows_the_last_across_chunks(log: Make) -> None:
    path = log(count=8)
    assert sequences(ok("tail", "-n", "3", path)) == [6, 7, 8]
    assert sequences(ok("tail", path)) == [5, 6, 7, 8]
    assert ok("tail", "-n", "0", path) == ""


def test_tail_goes_on_behind_a_cut(log: Make) -> None:
    path = log(count=5)
    poke(path, 64, 0, 4)  # what defect 1 of the source does to the first entry
    done = run("tail", path)
    assert sequences(done.stdout) == [5] and "4 entries were overwritten" in done.stderr
    assert sequences(ok("dump", path)) == []


def test_a_large_entry_needs_a_larger_buffer(log: Make) -> None:
    path = log(**{"chunk-target": 500_000, "size": 300_000, "count": 3})
    assert [len(e["payload"]) for e in message_lines(ok("dump", path))] == [600_000] * 3


# --- inspect, ls, diff ------------------------------------------------------------------------------------------------


def test_inspect_prints_every_field_of_the_layout(log: Make) -> None:
    value = as_json("inspect", log(count=5))
    wanted = {f"header.{f['name']}" for f in STRUCTS["header"]["fields"]}
    wanted |= {f"row[{i}].{f['name']}" for i in range(3) for f in STRUCTS["row"]["fields"]}
    assert set(value["fields"]) == wanted
    assert value["fields"]["row[1].offset"] == str(COMMITTED | 128) and value["fields"]["row[1].token"] == "2"
    assert value["chunks"][2] == {"chunk": 2, "state": "committed", "offset": "192", "token": "4", "entries": "1", "good": True}
    assert "offset 192 (committed)  token 4" in ok("inspect", log("again.bin", count=5))


def test_ls(log: Make) -> None:
    path = log(count=8)
    rows = as_json("ls", "--dir", path.parent)["segments"]
    assert [(r["name"], r["profile"], r["channels"], r["waiting"]) for r in rows] == [("log.bin", "ouroboros", "1", "4")]


def test_diff_names_every_field(log: Make) -> None:
    base, other = log(count=3, size=27), log("other.bin", count=3, size=27)
    places = {0: "header.magic", 8: "header.version", 12: "header.chunk_count", 48: "row[2].offset", 24: "row[0].token",
              96: "chunk[0].entry[1].header", 110: "chunk[0].entry[1].payload", 127: "chunk[0].entry[1].pad",
              128: "chunk[1].entry[0].header", 161: "chunk[1].entry[1].header", 200: "free[200]"}
    for offset, name in places.items():
        data = bytearray(base.read_bytes())
        data[offset] ^= 0x40
        other.write_bytes(data)
        assert [d["field"] for d in as_json("diff", base, other, code=1)["differences"]] == [name], offset
    assert as_json("diff", base, base)["equal"]
    names = {f"header.{f['name']}" for f in STRUCTS["header"]["fields"]} | {f".{f['name']}" for f in STRUCTS["row"]["fields"]}
    assert names == {name if name.startswith("header") else name[6:] for name in list(places.values())[:5]}


def test_snapshot(log: Make, tmp_path: Path) -> None:
    path = log(count=8)
    assert as_json("snapshot", path, tmp_path / "copy.bin")["consistent"]
    assert (tmp_path / "copy.bin").read_bytes() == path.read_bytes()


def test_what_a_log_does_not_have(log: Make) -> None:
    path = log(count=3)
    before = path.read_bytes()
    done = run("recover", path)
    assert (done.returncode, done.stdout) == (3, "") and "UNSUPPORTED" in done.stderr and "resumes" in done.stderr
    assert run("bench", "--profile", "ouroboros").returncode == 3
    for words in (["dump", "--channel", "0"], ["dump", "--all"], ["tail", "--payload-layout", "crate"],
                  ["validate", "--stall-ms", "5"], ["dump", "--from", "first"]):
        assert run(*words, path).returncode == 2
    assert run("gen", "--profile=ouroboros", "--capacity=8", path.with_name("x")).returncode == 2
    assert run("gen", "--chunks=8", path.with_name("x")).returncode == 2, "of profile dmxp"
    for words in (["--chunks=0"], ["--chunk-target=0"], ["--size=0"], ["--count=1", "--size=9999", "--chunk-target=64"]):
        assert run("gen", "--profile=ouroboros", *words, path.with_name("x")).returncode == 2
    assert path.read_bytes() == before and not path.with_name("x").exists()


def test_schema_is_the_layout() -> None:
    assert json.loads(ok("schema", "ouroboros")) == LAYOUT
    assert "ouroboros" in {p["name"] for p in as_json("version")["profiles"]}


# --- validate ---------------------------------------------------------------------------------------------------------

FAULTS = [
    (8, 2, 4, "ouroboros.segment.version"),
    (12, 0, 4, "ouroboros.segment.chunk-count"),
    (12, 17, 4, "ouroboros.segment.size"),
    (32, COMMITTED | 130, 8, "ouroboros.read.row-offset"),
    (32, COMMITTED | 48, 8, "ouroboros.read.row-offset"),
    (32, COMMITTED | 256, 8, "ouroboros.read.row-offset"),
    (32, (1 << 64) - 4, 8, "ouroboros.read.row-offset"),
    (96, ENTRY_COMMITTED, 4, "ouroboros.read.length"),
    (96, ENTRY_COMMITTED | 4, 4, "ouroboros.read.length"),
    (96, ENTRY_COMMITTED | 161, 4, "ouroboros.read.length"),
    (96, (1 << 32) - 1, 4, "ouroboros.read.length"),
    (96, 0, 4, "ouroboros.write.next-chunk"),
    (96, ENTRY_COMMITTED | 36, 4, "ouroboros.write.next-chunk"),
    (128, 0, 4, "ouroboros.write.commit-row"),
    (40, 3, 8, "ouroboros.write.begin"),
]


@pytest.mark.parametrize(("offset", "value", "size", "rule"), FAULTS)
def test_validate_names_the_rule_of_one_fault(log: Make, offset: int, value: int, size: int, rule: str) -> None:
    path = log(count=5)
    assert as_json("validate", path)["findings"] == []
    poke(path, offset, value, size)
    before = path.read_bytes()
    found = as_json("validate", path, code=1)
    assert rule in {f["rule"] for f in found["findings"] if f["severity"] == "error"}
    assert f"[{rule}]" in run("inspect", path).stdout and path.read_bytes() == before


def test_validate_finds_an_overwritten_chunk(log: Make) -> None:
    path = log(count=8)  # chunk 1 has been cleared: make it what it was, as the source's writer would leave it
    poke(path, 40, 2, 8)
    poke(path, 32, COMMITTED | 124, 8)
    rules = {f["rule"] for f in as_json("validate", path, code=1)["findings"]}
    assert "ouroboros.write.clear" in rules


def test_validate_of_what_is_not_there_yet(log: Make) -> None:
    path = log(count=0)
    assert as_json("validate", path)["findings"] == [] and ok("dump", path) == "" == ok("tail", path)
    poke(path, 32, 128, 8)  # chunk 1 is beginning
    found = as_json("validate", path)["findings"]
    assert [(f["severity"], f["chunk"]) for f in found] == [("note", 1)]
    assert as_json("inspect", path)["chunks"][1]["state"] == "beginning"
    poke(path, 0, 0, 8)
    rules = [f["rule"] for f in as_json("validate", "--profile=ouroboros", path, code=1)["findings"]]
    assert rules == ["ouroboros.segment.not-ready"] and run("validate", path).returncode == 3
    assert run("dump", "--profile=ouroboros", path).returncode == 1


def rules_of(path: Path) -> set[str]:
    found = json.loads(run("validate", "--json", "--profile", "ouroboros", path).stdout)["findings"]
    return {f["rule"] for f in found if f["severity"] == "error"}


def test_fixtures(tmp_path: Path) -> None:
    """Golden logs are sound, the others never harm; what an opener refuses has its rule named."""
    path = tmp_path / "seg.bin"
    for kind, least in (("golden", 10), ("captured", 5), ("hostile", 20), ("torn", 10)):
        cases = fixture_cases(kind, "ouroboros")
        assert len(cases) >= least, kind
        for case in cases:
            path.write_bytes(before := fixture_bytes(case))
            rules = rules_of(path)
            opener = {rule for rule in case["rules"] if ".segment." in rule}
            if kind == "golden" or (kind == "captured" and "defect" not in case["id"]):
                assert rules == set(), case["id"]
            if kind == "captured" and "defect" in case["id"]:
                assert rules == {"ouroboros.write.commit-row"}, case["id"]
            if case.get("reject") and opener:
                assert rules & opener, case["id"]
            if kind == "hostile":
                for words in READERS:
                    run(*words, "--profile", "ouroboros", path)
            assert path.read_bytes() == before, case["id"]


# --- hostile ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 8, 15, 16, 17, 63, 64, 65, 67, 100, 255])
def test_truncated(log: Make, size: int) -> None:
    path = log(count=5)
    os.truncate(path, size)
    before = path.read_bytes()
    for words in READERS:
        assert run(*words, "--profile", "ouroboros", path).returncode in ((0, 1) if size > 64 else (1,)), words
    ok("ls", "--dir", path.parent)
    assert path.read_bytes() == before


def test_random_damage(log: Make) -> None:
    base = log(count=8).read_bytes()
    dice = random.Random(SEED)
    path = log("damaged.bin")
    for _ in range(25):
        data = bytearray(base)
        for _ in range(dice.randint(1, 20)):
            data[dice.randrange(12, len(data))] = dice.choice([0, 1, 0x80, 0xFF, dice.randrange(256)])
        path.write_bytes(data)
        for words in (*READERS, ["dump", "--format", "text"]):
            run(*words, "--profile", "ouroboros", path)
        assert path.read_bytes() == data, f"seed {SEED}"


def test_rows_that_all_lead_over_the_same_bytes(tmp_path: Path) -> None:
    """60,000 rows that name one chunk of 120,000 entries: looked at in bounded time."""
    count = 60_000
    start = 16 + 16 * count
    rows = b"".join(struct.pack("<QQ", COMMITTED | start, i) for i in range(count))
    body = struct.pack("<II", ENTRY_COMMITTED | 8, 0) * 120_000
    path = tmp_path / "seg.bin"
    path.write_bytes(struct.pack("<QII", MAGIC, 1, count) + rows + body)
    began = time.monotonic()
    assert run("validate", path).returncode == 1
    run("inspect", path)
    run("ls", "--dir", tmp_path)
    assert time.monotonic() - began < 15


# --- live -------------------------------------------------------------------------------------------------------------


def resume(d: Driver, path: Path | str) -> int:
    return int(d.good("open", profile="ouroboros", seg=str(path), mode="rw", options={"resume": True})["h"])


def reader(d: Driver, path: Path | str, start: str = "auto") -> int:
    return int(d.good("open", profile="ouroboros", seg=str(path), mode="ro", options={"from": start})["h"])


def write(d: Driver, handle: int, *payloads: bytes) -> list[str]:
    items = [{"data": {"hex": payload.hex()}} for payload in payloads]
    return [r["seq"] for r in d.good("write", h=handle, items=items, mode="try")["results"] if r["st"] == "ok"]


def test_tail_follows_through_laps_and_counts_what_was_overwritten(log: Make, tmp_path: Path) -> None:
    path, out, err = log(count=2), tmp_path / "out", tmp_path / "err"
    process = follow(path, out, err)
    try:
        with driver() as d:
            handle = resume(d, path)
            for i in range(40):  # six laps and more, at a pace that can be followed
                write(d, handle, bytes([i]) * 28)
                wait_for(lambda wanted=3 + i: out.read_bytes().count(b"\n") == wanted)  # type: ignore[misc]
            assert sequences(out.read_text()) == list(range(1, 43)) and err.read_bytes() == b""
            process.send_signal(signal.SIGSTOP)
            write(d, handle, *(bytes([i]) * 28 for i in range(100, 140)))
            process.send_signal(signal.SIGCONT)
            wait_for(lambda: out.read_bytes().endswith(b"\n") and sequences(out.read_text())[-1] == 82)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    printed = sequences(out.read_text())
    said = sum(int(n) for n in re.findall(r"(\d+) entries were overwritten", err.read_text()))
    assert printed == sorted(set(printed)) and said > 0 and len(printed) + said == 82


def test_tail_of_a_log_that_is_shortened_or_removed(log: Make, tmp_path: Path) -> None:
    for name, harm, code in (("a", lambda p: os.truncate(p, 0), 2), ("b", lambda p: p.unlink(), 0)):
        path, out, err = log(f"{name}.bin", count=3), tmp_path / f"{name}.out", tmp_path / f"{name}.err"
        process = follow(path, out, err)
        try:
            wait_for(lambda out=out: out.read_bytes().count(b"\n") == 3)  # type: ignore[misc]
            harm(path)
            said = b"became shorter" if code else b"still following"
            wait_for(lambda said=said, err=err: said in err.read_bytes())  # type: ignore[misc]
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == code
        finally:
            process.kill()
            process.wait()


PLAN = {"profile": "ouroboros", "seed": 9, "stutter_us": 0, "limit_ms": 20000}


def test_looking_at_a_busy_log_finds_nothing(log: Make, tmp_path: Path) -> None:
    """A writer at full speed over three small chunks: no verb may take a passing state for a broken one."""
    path = log(**{"chunk-target": 300})
    with driver() as writer:
        plan = {**PLAN, "seg": str(path), "role": "write", "actor": 1, "count": 10**9, "sizes": [24, 200, 31], "limit_ms": 2500}
        writer.good("arm", **plan)
        writer.post("go")
        end = time.monotonic() + 1.5
        rounds = 0
        while time.monotonic() < end:
            for words in READERS:
                done = run(*words, path)
                assert done.returncode == 0, (words, done.stdout, done.stderr)
            run("snapshot", path, tmp_path / f"copy-{rounds}")
            rounds += 1
        assert rounds > 0 and writer.reply()["ok"]["sent"] > 0


# --- driver -----------------------------------------------------------------------------------------------------------


def test_driver_create_write_read(tmp_path: Path) -> None:
    path = str(tmp_path / "log.bin")
    with driver() as d:
        hello = d.good("hello", proto=[1])["profiles"]["ouroboros"]
        assert set(hello["features"]) == {"batch", "view"} and len(hello["classes"]) == 8
        options = {"chunk_count": 3, "chunk_target_size": "64"}
        w = int(d.good("create", profile="ouroboros", seg=path, options=options)["h"])
        assert d.code("create", profile="ouroboros", seg=path, options=options) == "EXISTS"
        assert write(d, w, b"one", b"two") == ["1", "2"]
        batch = d.good("write", h=w, channel=5, items=[{"data": {"hex": "03"}}], mode="batch")
        assert batch["results"] == [{"st": "ok", "seq": "3"}]
        r = reader(d, path)
        item = {"data": {"hex": b"one".hex()}, "seq": "1", "chunk": 0, "token": "0", "skipped": "0"}
        assert d.good("read", h=r, max=1, mode="try") == {"items": [item], "st": "ok"}
        short = d.ask("read", h=r, max=1, mode="try", buffer=2)["err"]
        assert (short["code"], short["needed"]) == ("TOO_SMALL", "3")
        assert [i["seq"] for i in d.good("read", h=r, max=9, mode="batch")["items"]] == ["2", "3"]
        assert d.good("read", h=r, max=9, mode="block", timeout_ms=20)["st"] == "timeout"
        assert d.good("read", h=r, max=9, mode="try")["st"] == "empty" and d.code("read", h=r, mode="peek") == "UNSUPPORTED"
        assert d.good("call", h=r, verb="ouroboros.info") == {
            "total_entries_read": "3", "total_skipped": "0", "next_sequence": "4", "chunk_count": 3}
        assert d.good("call", h=w, verb="ouroboros.info") == {
            "entries_written": "3", "max_payload": "188", "chunk_target_size": "64", "chunk_count": 3}
        assert d.code("write", h=r, items=[], mode="try") == d.code("read", h=w, mode="try") == "UNSUPPORTED"
        assert d.code("write", h=w, items=[{"data": {"hex": ""}}], mode="try") == "INVALID_ARGUMENT"
        assert d.code("write", h=w, items=[{"data": {"pat": 1, "seed": 1, "len": 189}}], mode="try") == "TOO_LARGE"
        assert d.good("seek", h=r, to="oldest") == {} and d.good("read", h=r, mode="try")["items"][0]["seq"] == "1"
        assert d.code("seek", h=r) == d.code("seek", h=r, to="end") == "BAD_REQUEST"


def test_driver_takes_over_and_inspects(log: Make) -> None:
    path = log(count=5)
    with driver() as d, driver() as other:
        w = resume(d, path)
        assert other.code("open", profile="ouroboros", seg=str(path), mode="rw", options={"resume": True}) == "BUSY"
        assert write(d, w, b"x") == ["6"]
        fields = d.good("inspect", h=w)["fields"]
        assert fields == as_json("inspect", path)["fields"]
        assert fields == d.good("inspect", h=reader(d, path))["fields"]
        assert d.good("call", h=w, verb="ouroboros.validate") == {}
        poke(path, 96, ENTRY_COMMITTED | 3, 4)
        assert d.code("call", h=w, verb="ouroboros.validate") == "CORRUPT"
        r = reader(d, path)
        assert len(d.good("read", h=r, max=9, mode="try")["items"]) == 1
        assert d.code("read", h=r, max=9, mode="try") == "CORRUPT"


def test_driver_views(log: Make) -> None:
    path = log(count=2)
    with driver() as d:
        w, r = resume(d, path), reader(d, path)
        views = [d.good("read", h=r, max=1, mode="view")["items"][0] for _ in range(2)]
        assert [v["data"]["hex"] for v in views] == [pattern(1, 28).hex(), pattern(2, 28).hex()]
        check = [{"h": r, "verb": "ouroboros.view_check", "args": {"v": v["view"]}} for v in views]
        assert [d.good("call", **c)["st"] for c in check] == ["ok", "ok"]
        write(d, w, *(b"more" for _ in range(40)))
        assert [d.good("call", **c)["st"] for c in check] == ["lapped", "lapped"]
        assert d.code("call", h=r, verb="ouroboros.view_check", args={"v": 99}) == "BAD_REQUEST"


def test_truncated_mapping_is_an_error_and_not_the_end(log: Make) -> None:
    path = log(count=3)
    with driver() as d:
        w, r = resume(d, path), reader(d, path)
        os.truncate(path, 0)
        assert d.code("read", h=r, mode="try") == d.code("inspect", h=r) == "TRUNCATED"
        assert d.code("write", h=w, mode="try", items=[{"data": {"hex": "00"}}]) == "TRUNCATED"
        assert d.good("reset") == {}


@pytest.mark.parametrize(("wait", "batch", "slow_us"), [("spin", 1, 0), ("spin", 8, 0), ("block", 1, 0), ("block", 8, 500)])
def test_live_actors(log: Make, tmp_path: Path, wait: str, batch: int, slow_us: int) -> None:
    """Every record is a true entry, sequences rise, gaps are counted, and the last entry arrives."""
    path, history, count, sizes = log(**{"chunk-target": 600}), tmp_path / "history", 3000, [24, 25, 100, 700]
    base = {**PLAN, "seg": str(path), "batch": batch, "wait": wait, "count": count}
    plan = {**base, "role": "read", "actor": 0, "sizes": [], "history": str(history), "from": "oldest", "slow_us": slow_us}
    actor = start_actor(plan)
    writer = start_actor({**base, "role": "write", "actor": 3, "sizes": sizes, "stutter_us": 200})
    assert summary(writer) == {"sent": count, "full": 0}
    got = summary(actor)
    records = list(struct.iter_unpack("<IIQQIIII", history.read_bytes()))
    assert (got["torn"], got["corrupt"], got["ended"], got["received"]) == (0, 0, True, len(records))
    last = 0
    for actor_id, kind, i, sequence, length, zero, crc, skipped in records:
        head = struct.pack("<IIQII", 0x57524853, 3, i, length, 9)
        payload = head + bytes((31 * (3 + i + 9) + 17 * j + 101 * (j >> 8)) & 255 for j in range(24, length))
        assert (actor_id, kind, sequence, length, zero, crc) == (3, 0, i + 1, sizes[i % 4], 0, zlib.crc32(payload))
        assert last == 0 or sequence == last + skipped + 1
        last = sequence
    assert last == count and got["skipped"] == sum(r[7] for r in records)
    assert ok("validate", path)
