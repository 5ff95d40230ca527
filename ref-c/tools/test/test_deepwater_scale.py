# SPDX-License-Identifier: MIT
"""Profile deepwater in the tools, at size: a base of 10,000 feeds, and what long scans show on a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from support import SHMWIRE, driver, ok
from test_deepwater_cli import append, base, fnv1a, offset, write

__all__ = ["base"]
FEEDS = 10_000
HANGS_S = 150  # a second or two is enough on a machine that is idle; what looks at all feeds for each one takes minutes
FLAT_KIB = 32 << 10  # of addresses: one feed of them all is mapped at a time
STOPPED_S = 1.3  # longer than a scan may go on without a line
ERASED = "\r\x1b[K"


def field(raw: bytearray, at: int, name: str, value: int | bytes) -> None:
    begin, size = offset(name)
    data = value.to_bytes(size, "little") if isinstance(value, int) else value.ljust(size, b"\0")
    raw[at + begin:at + begin + size] = data


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A base of 10,000 feeds that are at rest, all like the first one, which a writer has made."""
    path = tmp_path_factory.mktemp("many") / "base"
    with driver() as d:
        d.good("close", h=write(d, path, 0, feed="feed-00000", rows=1, feeds=1))
    header = bytearray((path / "registry.bin").read_bytes())
    entry, made = header[128:], bytearray((path / "feed-00000" / "feed_registry.bin").read_bytes())
    field(header, 0, "registry.capacity", FEEDS)
    field(header, 0, "registry.count", FEEDS)
    entries = bytearray()
    for number in range(FEEDS):
        name = f"feed-{number:05d}"
        field(entry, 0, "feed.name", name.encode())
        field(entry, 0, "feed.directory", name.encode())
        field(entry, 0, "feed.feed_id", number)
        entries += entry
        field(made, 0, "feed_registry.feed_id", number)
        (path / name).mkdir(exist_ok=True)
        (path / name / "feed_registry.bin").write_bytes(made)
    (path / "registry.bin").write_bytes(header[:128] + entries)
    yield path
    assert not list(Path("/dev/shm").glob(f"dw.{fnv1a(os.fsencode(os.path.realpath(path)))}.*"))


# --- 10,000 feeds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["ls"], ["ls", "--json"], ["validate"], ["gc", "--dry-run"]], ids=" ".join)
def test_all_of_ten_thousand_feeds(many: Path, tmp_path: Path, words: list[str]) -> None:
    """In time that grows with their number alone, and in memory that does not."""
    out = tmp_path / "out"
    began = time.monotonic()
    with out.open("wb") as file:
        limited = ["sh", "-c", f'ulimit -v {FLAT_KIB} && exec "$@"', "sh", SHMWIRE, *words, str(many)]
        subprocess.run(limited, stdout=file, check=True, timeout=HANGS_S)
    print(f"{' '.join(words)}: {time.monotonic() - began:.2f} s")
    text = out.read_text(encoding="utf-8")
    if words == ["validate"]:
        assert f"{FEEDS} feeds, 0 with errors" in text
    elif words[-1] == "--json":
        assert [feed["feed"] for feed in json.loads(text)["feeds"]] == [f"feed-{i:05d}" for i in range(FEEDS)]
    else:
        assert len(re.findall(r"feed-\d{5}", text)) == FEEDS


def test_one_of_ten_thousand_feeds(many: Path) -> None:
    """By its directory, which is called as the feed: the others are not opened for it."""
    began = time.monotonic()
    assert "0 records in 0 chunks" in ok("ls", many / f"feed-{FEEDS - 1:05d}")
    print(f"found in {time.monotonic() - began:.3f} s")


# --- what is shown meanwhile ------------------------------------------------------------------------------------------


def drained(terminal: int) -> str:
    text = b""
    with contextlib.suppress(OSError):  # of a terminal that nobody has open any more
        while some := os.read(terminal, 65536):
            text += some
    os.close(terminal)
    return text.decode()


def start(words: list[str], out: int | IO[Any] | None, **env: str) -> tuple[subprocess.Popen[bytes], int]:
    """With standard error, and standard output where `out` is None, on a terminal: its other end."""
    terminal, end = pty.openpty()
    process = subprocess.Popen([SHMWIRE, *words], stdin=subprocess.DEVNULL, stdout=end if out is None else out, stderr=end,
                               env={**os.environ, "TERM": "xterm", **env})
    os.close(end)
    return process, terminal


def stopped_in_the_middle(process: subprocess.Popen[bytes], begun: Path | None) -> bool:
    """Stop it for a while once its file has something in it; False if it was done before that."""
    time.sleep(0.03)
    while begun is not None and not begun.stat().st_size and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGSTOP)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        process.returncode = os.waitstatus_to_exitcode(status)
        return False
    time.sleep(STOPPED_S)
    process.send_signal(signal.SIGCONT)
    return True


def slowly(words: list[str], out: Path | None, **env: str) -> str:
    """What a scan that takes longer than a second shows on the terminal."""
    for _ in range(10):
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(out.open("wb")) if out is not None else None
            process, terminal = start(words, file, **env)
        stopped = stopped_in_the_middle(process, out if words[0] in ("ls", "dump") else None)
        text = drained(terminal)
        assert process.wait(30) == 0
        if stopped:
            return text
    raise AssertionError("it was always done too soon")


def lines_of(text: str) -> list[str]:
    """The lines that were drawn one over the other. Nothing of them is left."""
    assert text.startswith(ERASED) and text.endswith(ERASED)
    lines = [line for line in text.split(ERASED) if line]
    assert all(len(line) < 80 for line in lines)
    return lines


@pytest.mark.parametrize("verb", ["ls", "gc"])
def test_a_long_scan_of_a_base_shows_how_far_it_is(many: Path, tmp_path: Path, verb: str) -> None:
    words = [verb, *(["--dry-run"] if verb == "gc" else []), str(many)]
    shape = r"\[#* *\] +\d+ %  " + (r"\d+ of 10000 feeds" if verb == "ls" else r"feed \d+ of 10000(  \d+ of \d+ chunks)?")
    lines = lines_of(slowly(words, tmp_path / "out"))
    assert lines and all(re.fullmatch(shape, line) for line in lines), lines


def test_validate_shows_it_beside_its_output_on_the_same_terminal(many: Path) -> None:
    text = slowly(["validate", str(many)], None)
    assert re.search(r"%  feed \d+ of 10000", text)
    assert text.rpartition(ERASED)[2] == f"{many}: deepwater, 10000 feeds, 0 with errors\r\n"


def test_dump_shows_it(base: Path, tmp_path: Path) -> None:
    with driver() as d:
        handle = write(d, base, 0, chunk_size=str(1 << 22), rows=16, live_window=8)
        for first in range(0, 50_000, 500):
            append(d, handle, 500, first)
        lines = lines_of(slowly(["dump", str(base / "feed")], tmp_path / "out"))
        assert lines and all(re.fullmatch(r"\[#* *\] +\d+ %  \d+ of 50000 records", line) for line in lines), lines
        assert len((tmp_path / "out").read_text(encoding="utf-8").splitlines()) == 50_000


def test_nothing_is_shown_where_it_would_be_in_the_way(many: Path, tmp_path: Path) -> None:
    """Of a short scan; on a terminal that cannot erase; among the lines of the verb; and when another program reads those."""
    process, terminal = start(["validate", str(many / "feed-00000")], subprocess.DEVNULL)
    assert drained(terminal) == "" and process.wait(30) == 0
    assert slowly(["gc", "--dry-run", str(many)], tmp_path / "out", TERM="dumb") == ""
    assert ERASED not in slowly(["ls", str(many)], None)
    process, terminal = start(["validate", str(many)], subprocess.PIPE)
    stopped_in_the_middle(process, None)
    assert drained(terminal) == ""
    assert process.stdout is not None and b"10000 feeds" in process.stdout.read()
    process.stdout.close()
    assert process.wait(30) == 0
