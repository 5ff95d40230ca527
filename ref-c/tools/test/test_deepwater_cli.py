# SPDX-License-Identifier: MIT
"""Profile deepwater in the tools: feeds and chunks listed, dumped, followed, validated, recovered; hostile bases."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import ROOT, SHMWIRE, Driver, as_json, driver, message_lines, ok, run, wait_for

LAYOUT = json.loads((ROOT / "spec/generated/deepwater.layout.json").read_text(encoding="utf-8"))
STRUCTS = {struct["name"]: struct for struct in LAYOUT["structs"]}
SEED = 20261127
Fill = Callable[..., Path]


def fnv1a(text: bytes) -> str:
    value = 0xCBF29CE484222325
    for byte in text:
        value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    return f"{value:016x}"


def offset(name: str) -> tuple[int, int]:
    struct, _, member = name.partition(".")
    field = next(f for f in STRUCTS[struct]["fields"] if f["name"] == member)
    return int(field["offset"]), int(field["size"])


def poke(path: Path, name: str, value: int, base: int = 0) -> None:
    at, size = offset(name)
    with path.open("r+b") as file:
        file.seek(base + at)
        file.write(value.to_bytes(size, "little"))


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "base"
    yield path
    for left in Path("/dev/shm").glob(f"dw.{fnv1a(os.fsencode(os.path.realpath(path)))}.*"):
        left.unlink()


def write(d: Driver, path: Path, count: int, *, feed: str = "feed", first: int = 0, **options: Any) -> int:
    """Records of 100 bytes at 1000, 1010, …; the writer stays."""
    asked = {"feed": feed, "any": True, **options}
    handle = int(d.good("open", profile="deepwater", seg=str(path), mode="rw", options=asked)["h"])
    if count:
        append(d, handle, count, first)
    return handle


def append(d: Driver, handle: int, count: int, first: int = 0) -> None:
    d.good("write", h=handle, mode="batch", items=[
        {"data": {"hex": f"{i:04x}" * 50}, "ts": str(1000 + 10 * i), "type": i % 3} for i in range(first, first + count)])


def checked(name: str, *args: str | Path, code: int = 0) -> dict[str, Any]:
    done = run(*args, "--json")
    assert done.returncode == code, done.stderr + done.stdout
    value: dict[str, Any] = json.loads(done.stdout)
    jsonschema.Draft202012Validator(json.loads(ok("schema", name))).validate(value)
    return value


def sequences(text: str) -> list[int]:
    return [int(line["sequence"]) for line in message_lines(text)]


# --- looking ----------------------------------------------------------------------------------------------------------


def test_ls_and_inspect(base: Path) -> None:
    with driver() as d:
        write(d, base, 100, feed="a-b.C_1", persist=True)
        write(d, base, 0, feed="empty")
        feeds = checked("feeds", "ls", base)["feeds"]
        assert [(f["feed"], f["records"], f["writer_lives"], f["persist"]) for f in feeds] == [
            ("a-b.C_1", "100", True, True), ("empty", "0", True, False)]
        assert "a-b.C_1" in ok("ls", base) and "persists" in ok("ls", base)
        feed = checked("feed", "inspect", base / "a-b.C_1")
        assert [c["state"] for c in feed["list"]] == ["persisted", "persisted", "live"] and feed["answer"] == "OK"
        assert sum(int(c["records"]) for c in feed["list"]) == 100
        text = ok("inspect", base / "a-b.C_1")
        assert "100 records in 3 chunks; writer: lives" in text and "chunk[2]  live" in text
        assert ok("ls", base / "a-b.C_1") == text
    assert "writer: none" in ok("inspect", base / "a-b.C_1")
    assert "NOT_FOUND" not in ok("inspect", base)


def test_dump_line_is_exactly_this(base: Path) -> None:
    with driver() as d:
        write(d, base, 3)
        assert ok("dump", base / "feed", "--format", "jsonl").splitlines()[1] == (
            f'{{"sequence": "1", "timestamp_ns": "1010", "type": 1, "chunk": "0", "payload": "{"0001" * 50}"}}')
        assert "sequence 2 " in ok("dump", base / "feed", "--format=text")
        raw = subprocess.run([SHMWIRE, "dump", str(base / "feed"), "--format", "raw"], capture_output=True, check=True).stdout
        assert raw == b"".join(bytes.fromhex(f"{i:04x}" * 50) for i in range(3))


def test_dump_of_a_range_across_chunks(base: Path) -> None:
    with driver() as d:
        write(d, base, 100, persist=True)
    assert sequences(ok("dump", base / "feed")) == list(range(100))
    assert sequences(ok("dump", base / "feed", "--from", "1375", "--to", "1400")) == [38, 39, 40]
    assert sequences(ok("tail", base / "feed", "-n", "4")) == [96, 97, 98, 99]
    assert ok("dump", base / "feed", "--from", "999999") == ""
    assert run("dump", base / "feed", "--from", "oldest").returncode == 2


def test_dump_says_what_expired(base: Path) -> None:
    with driver() as d:
        write(d, base, 200, live_window=2)
        reader = d.good("open", profile="deepwater", seg=str(base), mode="ro")["h"]
        first = int(d.good("read", h=reader, mode="try", max=1)["items"][0]["seq"])
        assert first > 0 and sequences(ok("dump", base / "feed")) == list(range(first, 200))


def test_a_row_that_its_writer_died_over(base: Path) -> None:
    with driver() as d:
        write(d, base, 100, persist=True)
    poke(base / "feed/feed_registry.bin", "row.stamp", 5, STRUCTS["feed_registry"]["size"] + STRUCTS["row"]["size"])
    assert [c["state"] for c in checked("feed", "inspect", base / "feed")["list"]] == ["persisted", "changing", "persisted"]
    assert "chunk[1]  changing" in ok("inspect", base / "feed")
    for words, found in (
        (["dump"], range(39)), (["dump", "--to", "1100"], range(11)), (["dump", "--from", "1395"], []),
        (["tail", "-n", "70"], range(30, 39)), (["tail", "-n", "9"], range(91, 100)),
    ):  # fmt: skip
        done = run(words[0], base / "feed", *words[1:])
        whole = "9" in words or "1100" in words
        assert sequences(done.stdout) == list(found) and done.returncode == (0 if whole else 1), (words, done.stderr)
        assert whole or ("NOT_READY" in done.stderr and "shmwire gc" in done.stderr)
    done = run("validate", base / "feed")
    assert done.returncode == 1 and "chunk 1: NOT_READY: a writer died" in done.stdout
    ok("gc", base / "feed")
    assert sequences(ok("dump", base / "feed")) == list(range(100))


def test_files_are_recognised(base: Path) -> None:
    with driver() as d:
        write(d, base, 50, persist=True)
        live = [f"/{path.name}" for path in sorted(Path("/dev/shm").glob(f"dw.{fnv1a(os.fsencode(os.path.realpath(base)))}.*"))]
        assert len(live) == 4
        kinds = [as_json("inspect", name)["kind"] for name in live]
        assert sorted(set(kinds)) == ["data", "index"]
        rows = [row for row in as_json("ls")["segments"] if f"/{row['name']}" in live]
        assert sorted(row["kind"] for row in rows) == ["data", "data", "index", "index"]
    assert as_json("inspect", base / "registry.bin")["kind"] == "registry"
    assert as_json("inspect", base / "feed/feed_registry.bin")["fields"]["feed_registry.count"] == "2"
    ok("snapshot", base / "registry.bin", base / "copy.bin")
    poke(base / "copy.bin", "registry.generation", 7)
    assert [x["field"] for x in as_json("diff", base / "registry.bin", base / "copy.bin", code=1)["differences"]] == [
        "registry.generation"]


# --- following --------------------------------------------------------------------------------------------------------


def test_tail_follows_across_chunks_until_the_feed_is_retired(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with driver() as d:
        handle = write(d, base, 5, persist=True)
        with out.open("wb") as stdout:
            process = subprocess.Popen([SHMWIRE, "tail", "-f", "-n", "2", "--format", "jsonl", str(base / "feed")], stdout=stdout)
        try:
            wait_for(lambda: len(out.read_text(encoding="utf-8").splitlines()) == 2)
            append(d, handle, 90, 5)
            d.good("close", h=handle)
            append(d, write(d, base, 0, persist=True), 5, 95)
            wait_for(lambda: len(out.read_text(encoding="utf-8").splitlines()) == 97)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    assert sequences(out.read_text(encoding="utf-8")) == list(range(3, 100))


# --- validating and recovering ----------------------------------------------------------------------------------------


def test_validate_finds_a_flipped_byte(base: Path) -> None:
    with driver() as d:
        write(d, base, 100, persist=True)
    assert checked("validate-feeds", "validate", base)["valid"] is True
    path = base / "feed/chunk_00000001.data"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    value = checked("validate-feeds", "validate", base / "feed", code=1)
    assert [(f["code"], f["chunk"]) for f in value["findings"]] == [("CORRUPT", "1")] and "CRC" in value["findings"][0]["text"]
    assert "1 with errors" in run("validate", base).stdout


def test_gc_recovers_what_a_killed_writer_left(base: Path) -> None:
    d = Driver()
    try:
        write(d, base, 100, persist=True)
        assert checked("gc-feeds", "gc", base)["feeds"] == [{"feed": "feed", "action": "in use"}]
        d.process.kill()
        d.process.wait()
    finally:
        for pipe in (d.process.stdin, d.process.stdout, d.process.stderr):
            assert pipe is not None
            pipe.close()
    assert "dead" in ok("ls", base)
    assert checked("gc-feeds", "gc", base, "--dry-run", code=1)["feeds"][0]["action"] == "left by a dead writer"
    done = checked("gc-feeds", "gc", base / "feed")["feeds"][0]
    assert (done["action"], done["sealed"], done["persisted"]) == ("recovered", "1", "1")
    assert not list(Path("/dev/shm").glob(f"dw.{fnv1a(os.fsencode(os.path.realpath(base)))}.*"))
    assert sequences(ok("dump", base / "feed")) == list(range(100))


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_no_base_and_no_feed(base: Path, tmp_path: Path) -> None:
    with driver() as d:
        write(d, base, 1, feed="known")
    done = run("dump", tmp_path)
    assert done.returncode == 2 and "no base of feeds" in done.stderr
    (base / "other").mkdir()
    done = run("dump", base / "other")
    assert done.returncode == 2 and "known" in done.stderr and "NOT_FOUND" in done.stderr
    assert "name a feed" in run("dump", base).stderr
    assert run("dump", base / "known", "--profile", "slick").returncode == 2
    assert run("recover", base).returncode == 2


FAULTS = [("registry.magic", 1), ("registry.version", 2), ("registry.entry_size", 128), ("registry.capacity", 0),
          ("registry.capacity", 1 << 30), ("registry.count", 1 << 40), ("feed_registry.magic", 5), ("feed_registry.version", 9),
          ("feed_registry.row_size", 64), ("feed_registry.capacity", 0), ("feed_registry.count", 1 << 50)]


@pytest.mark.parametrize(("name", "value"), FAULTS, ids=str)
def test_broken_registries_are_named(base: Path, name: str, value: int) -> None:
    with driver() as d:
        write(d, base, 40, persist=True)
    path = base / ("registry.bin" if name.startswith("registry") else "feed/feed_registry.bin")
    poke(path, name, value)
    before = path.read_bytes()
    for words in (["ls", base], ["inspect", base / "feed"], ["validate", base], ["dump", base / "feed"], ["inspect", path]):
        assert run(*words).returncode in (1, 2, 3), words
    assert path.read_bytes() == before


def test_links_out_of_the_base_are_refused(base: Path, tmp_path: Path) -> None:
    with driver() as d:
        write(d, base, 40, persist=True)
    (base / "feed").rename(tmp_path / "elsewhere")
    (base / "feed").symlink_to(tmp_path / "elsewhere")
    assert "PERMISSION" in run("validate", base).stderr + run("validate", base).stdout


def test_random_damage(base: Path) -> None:
    with driver() as d:
        write(d, base, 100, persist=True)
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    files = sorted(path for path in base.rglob("*") if path.is_file())
    sound = {path: path.read_bytes() for path in files}
    for _ in range(25):
        path = dice.choice(files)
        data = bytearray(sound[path])
        for _ in range(dice.randint(1, 20)):
            data[dice.randrange(min(len(data), 1024))] = dice.randrange(256)
        path.write_bytes(data)
        for words in (["ls", base], ["inspect", base / "feed"], ["validate", base], ["dump", base / "feed"], ["inspect", path]):
            assert run(*words).returncode in (0, 1, 2, 3), (words, path)
        path.write_bytes(sound[path])
