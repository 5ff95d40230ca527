# SPDX-License-Identifier: MIT
"""ouroboros_shm_generator: the command line that test suites of the source system know, against our writer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, driver, ok

GENERATOR = os.environ.get("OUROBOROS_SHM_GENERATOR", str(ROOT / "build/bin/ouroboros_shm_generator"))
MEMORY = Path("/dev/shm")


def arguments(segment: str, out: Path, /, **options: int | str) -> list[str]:
    settings = {"name": segment, "size": 4096, "count": 50, "min-size": 1, "max-size": 100, "seed": 7, "interval": 0,
                "json-out": str(out), **{key.replace("_", "-"): value for key, value in options.items()}}
    return [GENERATOR, *(word for key, value in settings.items() for word in (f"--{key}", str(value)))]


def generate(words: list[str], code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code, done.stderr
    return done


def records(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(out.read_text(encoding="utf-8"))["records"]
    assert [r["index"] for r in found] == list(range(len(found)))
    assert all(len(r["payload_hex"]) == 2 * r["payload_size"] for r in found)
    return found


@pytest.mark.parametrize(("size", "chunks", "target"), [
    (33 + 4, 1, 5), (1103, 1, 1071), (1104, 4, 256), (4096, 4, 1004), (1 << 20, 4, 262124)])
def test_geometry_and_announcement(shm_name: str, tmp_path: Path, size: int, chunks: int, target: int) -> None:
    done = generate(arguments(shm_name, tmp_path / "out", size=size, max_size=1))
    data_offset = 16 + 16 * chunks
    assert json.loads(done.stdout) == {"shm_name": shm_name, "buffer_size": size, "chunk_target_size": target,
                                       "chunk_count": chunks, "max_entry_size": size - data_offset - 4}
    assert done.stdout.count("\n") == 1 and (MEMORY / shm_name[1:]).stat().st_size == size
    assert "0 errors" in ok("validate", shm_name)


def test_records_are_what_readers_find(shm_name: str, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    generate(arguments(shm_name[1:], out, count=300))  # laps; the name without its slash
    found = records(out)
    assert len(found) == 300 and {r["payload_size"] for r in found} <= set(range(1, 101))
    read = [json.loads(line) for line in ok("dump", shm_name, "--from", "oldest").splitlines()]
    assert len(read) > 10 and read[-1]["sequence"] == "300"
    for entry in read:
        assert entry["payload"] == found[int(entry["sequence"]) - 1]["payload_hex"]
    with driver() as d:  # and the segment has no writer any more
        d.good("open", profile="ouroboros", seg=shm_name, mode="rw", options={"resume": True})


def test_same_seed_same_payloads(shm_name: str, tmp_path: Path) -> None:
    outs = []
    for i, seed in enumerate((5, 5, 6)):
        out = tmp_path / f"{i}.json"
        generate([*arguments(shm_name, out, seed=seed), "--unlink-at-exit"])
        assert not (MEMORY / shm_name[1:]).exists()
        outs.append(out.read_bytes())
    assert outs[0] == outs[1] != outs[2]


def test_the_last_of_two_switches_counts(shm_name: str, tmp_path: Path) -> None:
    generate([*arguments(shm_name, tmp_path / "out"), "--unlink-at-exit", "--no-unlink-at-exit"])
    assert (MEMORY / shm_name[1:]).exists()


def test_interval_and_delay_are_microseconds(shm_name: str, tmp_path: Path) -> None:
    began = time.monotonic()
    generate(arguments(shm_name, tmp_path / "out", count=10, interval=20_000, initial_delay=100_000))
    assert 0.3 <= time.monotonic() - began < 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("wait", ["interval", "initial_delay"])
def test_a_signal_removes_the_segment(shm_name: str, tmp_path: Path, number: signal.Signals, wait: str) -> None:
    out = tmp_path / "out"
    words = [*arguments(shm_name, out, count=1000, **{wait: 30_000_000}), "--no-unlink-at-exit"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["shm_name"] == shm_name  # announced before the first entry
        expected = 1 if wait == "interval" else 0
        end = time.monotonic() + 10
        while len(ok("dump", shm_name).splitlines()) < expected:
            assert time.monotonic() < end
        process.send_signal(number)
        assert process.wait(5) == 0
    assert not (MEMORY / shm_name[1:]).exists() and len(records(out)) == expected


@pytest.mark.parametrize("change", [
    {"size": 36}, {"size": 0}, {"size": "x"}, {"size": "-1"}, {"count": "-1"}, {"min_size": 0}, {"min_size": 101},
    {"max_size": 0}, {"max_size": 4096}, {"seed": "18446744073709551616"}, {"interval": "1.5"}, {"initial_delay": ""},
    {"name": ""}, {"name": "/"}, {"name": "a/b"}, {"name": "/a/b"}, {"name": "x" * 255}, {"json_out": ""}, {"nonsense": 1},
])
def test_wrong_arguments_are_exit_2(shm_name: str, tmp_path: Path, change: dict[str, int | str]) -> None:
    done = generate(arguments(shm_name, tmp_path / "out", **change), code=2)
    assert done.stdout == "" and done.stderr.startswith("ouroboros_shm_generator: ")
    assert not (MEMORY / shm_name[1:]).exists() and list(tmp_path.iterdir()) == []


def test_every_required_argument_is_required(shm_name: str, tmp_path: Path) -> None:
    words = arguments(shm_name, tmp_path / "out")
    optional = {"--seed"}
    for at in range(1, len(words), 2):
        left = words[:at] + words[at + 2:]
        if words[at] not in optional:
            assert f"{words[at]} is missing" in generate(left, code=2).stderr
    assert f"{words[-2]} needs a value" in generate(words[:-1], code=2).stderr
    generate([GENERATOR, *(f"{words[i]}={words[i + 1]}" for i in range(1, len(words), 2))])


def test_failures_are_exit_1(shm_name: str, tmp_path: Path) -> None:
    words = arguments(shm_name, tmp_path / "no/such/out")
    generate(words, code=1)
    assert not (MEMORY / shm_name[1:]).exists()
    generate(arguments(shm_name, tmp_path / "out"))
    before = (MEMORY / shm_name[1:]).read_bytes()
    generate(arguments(shm_name, tmp_path / "out"), code=1)
    assert (MEMORY / shm_name[1:]).read_bytes() == before, "a name that is taken is left alone"


def test_help_names_every_flag() -> None:
    text = generate([GENERATOR, "--help"]).stdout
    for flag in ("name", "size", "count", "min-size", "max-size", "seed", "interval", "initial-delay", "json-out",
                 "unlink-at-exit", "no-unlink-at-exit"):
        assert f"  --{flag} " in text
