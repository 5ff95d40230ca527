# SPDX-License-Identifier: MIT
"""Feeds of very many chunks, put together byte by byte, and how much of them a driver looks at. For test_deepwater_scale.py.

What is looked at is found out in two ways. The registry and an index are spoilt wherever a binary search has no business: a look
there ends in CORRUPT. And the kernel is asked which pages of its mapping the driver has touched, where it tells.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from struct import Struct
from typing import Any, Final

from shmwire_conform.config import load_driver
from shmwire_conform.paths import SPEC

PAGE: Final = 4096
ROWS: Final = 100_000
RECORDS: Final = 20_000  # in each chunk
LENGTH: Final = 8  # of each record
STEP: Final = 10  # nanoseconds from record to record: record s is of time STEP * s
LAST: Final = ROWS * RECORDS - 1
NONE: Final = (1 << 64) - 1
PERSISTED, EXPIRED = 3, 4
SPOILT: Final = b"\xee"  # in a row: an even stamp, no such chunk, no such state

_REGISTRY = Struct("<QIII4xQQ88x")
_ENTRY = Struct("<64s96sIIQIIQQ56x")
_HEADER = Struct("<QIIIIQQQQQIIQ48x")
_ROW = Struct("<QIIQQQQQQII56x")
_DATA = Struct("<QIIQQQQI12x")
_INDEX = Struct("<QIIQQQ24x")
_RECORD = Struct("<QQIIQ")


def _constants() -> dict[str, int]:
    layout = json.loads((SPEC / "generated/deepwater.layout.json").read_text(encoding="utf-8"))
    return {constant["name"]: int(constant["value"]) for constant in layout["constants"]}


MAGIC: Final = {kind: _constants()[f"{kind}_MAGIC"] for kind in ("REGISTRY", "FEED", "DATA", "INDEX")}


def time_of(sequence: int) -> int:
    return STEP * sequence


# Binary searches, as anybody writes them ------------------------------------------------------------------------------


def way(count: int, before: Callable[[int], bool]) -> list[int]:
    """The places that a binary search over `count` of them looks at: how many are `before` what is wanted?"""
    seen, low, high = [], 0, count
    while low < high:
        middle = (low + high) // 2
        seen.append(middle)
        low, high = (middle + 1, high) if before(middle) else (low, middle)
    return seen


def row_page(row: int) -> int:
    return (_HEADER.size + _ROW.size * row) // PAGE


def record_page(record: int) -> int:
    return (_INDEX.size + _RECORD.size * record) // PAGE


def rows_by_time(time: int) -> set[int]:
    """Pages of the registry."""
    return {row_page(row) for row in way(ROWS, lambda row: time_of(RECORDS * row) < time)}


def rows_by_sequence(sequence: int) -> set[int]:
    """Pages of the registry. The last row's chunk says where the feed ends."""
    return {row_page(row) for row in [*way(ROWS, lambda row: RECORDS * row <= sequence), ROWS - 1]}


def records_by_time(chunk: int, time: int) -> set[int]:
    """Pages of a chunk's index."""
    return {record_page(i) for i in way(RECORDS, lambda i: time_of(RECORDS * chunk + i) < time)}


# Making feeds ---------------------------------------------------------------------------------------------------------


def _spoil(image: bytes, kept: Iterable[int]) -> bytes:
    """The same with every page spoilt but these."""
    spoilt = bytearray(SPOILT * len(image))
    for page in kept:
        spoilt[PAGE * page:PAGE * (page + 1)] = image[PAGE * page:PAGE * (page + 1)]
    return bytes(spoilt)


@cache
def _rows(state: int, left: int | None) -> bytes:
    size = RECORDS * LENGTH
    return b"".join(_ROW.pack(row, 4, PERSISTED if row == left else state, RECORDS * row, RECORDS, time_of(RECORDS * row),
                              time_of(RECORDS * (row + 1) - 1), size, size, 0, 0) for row in range(ROWS))


def make_chunk(base: Path, chunk: int, kept: set[int] | None = None) -> None:
    """A persisted chunk; with nothing but the pages `kept` of its index, and the one with its header."""
    size = RECORDS * LENGTH
    first = RECORDS * chunk
    name = base / "feed" / f"chunk_{chunk:08d}"
    name.with_suffix(".data").write_bytes(
        _DATA.pack(MAGIC["DATA"], 1, 1, chunk, size, RECORDS, size, 0)
        + b"".join((first + i).to_bytes(LENGTH, "little") for i in range(RECORDS)))
    index = _INDEX.pack(MAGIC["INDEX"], 1, _RECORD.size, chunk, RECORDS, RECORDS) + b"".join(
        _RECORD.pack(time_of(first + i), LENGTH * i, LENGTH, 0, first + i) for i in range(RECORDS))
    name.with_suffix(".idx").write_bytes(index if kept is None else _spoil(index, {0, *kept}))


def _make_registry(base: Path, names: list[str], persist: bool) -> None:
    """The global registry, with room for one feed more. live_window is 4."""
    entries = [_ENTRY.pack(name.encode(), name.encode(), number, int(persist), RECORDS * LENGTH, 4, LENGTH, 1, 0)
               for number, name in enumerate(names)]
    (base / "registry.bin").write_bytes(
        _REGISTRY.pack(MAGIC["REGISTRY"], 1, _ENTRY.size, len(names) + 1, len(names), len(names)) + b"".join(entries)
        + bytes(_ENTRY.size))


def make_feed(base: Path, *, persist: bool, state: int, left: int | None = None, kept: set[int] | None = None,
              others: Sequence[str] = ()) -> None:
    """A feed of ROWS chunks of that state, but for one that is `left`, without any of them; with nothing but the pages `kept` of
    its registry, and the header. Before it in the global registry there are others, which have no directories."""
    _make_registry(base, [*others, "feed"], persist)
    (base / "feed").mkdir()
    header = _HEADER.pack(MAGIC["FEED"], 1, _ROW.size, ROWS + 8, 0, ROWS, NONE, time_of(LAST), LAST, 0, 0, 0, len(others))
    image = header + _rows(state, left)
    if kept is not None:
        image = header + _spoil(image, kept)[len(header):]
    image += bytes(8 * _ROW.size)
    with (base / "feed" / "feed_registry.bin").open("wb", buffering=0) as file:
        for at in range(0, len(image), PAGE):  # as a writer does: of one large write the kernel makes pages of 2 MiB
            file.write(image[at:at + PAGE])


# Drivers --------------------------------------------------------------------------------------------------------------


class Client:
    """A driver, one request at a time."""

    def __init__(self, name: str) -> None:
        config = load_driver(name)
        self.process = subprocess.Popen(config.argv(), cwd=config.cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._last = 0
        self.ok("hello", proto=[1])  # started: what is measured later is not that

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, cmd: str, **fields: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self._last += 1
        self.process.stdin.write(json.dumps({"id": self._last, "cmd": cmd, **fields}).encode() + b"\n")
        self.process.stdin.flush()
        reply: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert reply["id"] == self._last
        return reply

    def ok(self, cmd: str, **fields: Any) -> dict[str, Any]:
        reply = self.ask(cmd, **fields)
        assert "ok" in reply, (cmd, fields, reply)
        body: dict[str, Any] = reply["ok"]
        return body

    def reader(self, base: Path, **options: Any) -> int:
        return int(self.ok("open", profile="deepwater", seg=str(base), mode="ro", options=options)["h"])

    # Pages that it touches --------------------------------------------------------------------------------------------

    def _file(self, path: Path) -> list[tuple[int, int]]:
        """Where it has mapped a file."""
        found = []
        for line in Path(f"/proc/{self.process.pid}/maps").read_text(encoding="utf-8").splitlines():
            if line.endswith(str(path)):
                begin, end = line.split(" ")[0].split("-")
                found.append((int(begin, 16), int(end, 16)))
        return found

    def forget_touches(self, path: Path) -> bool:
        """All pages of the file are there, and none is touched; False where the kernel does not do that."""
        memory = os.open(f"/proc/{self.process.pid}/mem", os.O_RDONLY)
        try:
            for begin, end in self._file(path):  # so that the kernel brings no neighbour in with a page that is touched
                for at in range(begin, end, 1 << 20):
                    os.pread(memory, min(1 << 20, end - at), at)
            Path(f"/proc/{self.process.pid}/clear_refs").write_text("1", encoding="ascii")
        except OSError:
            return False
        finally:
            os.close(memory)
        return self.touched(path) == 0

    def touched(self, path: Path) -> int:
        """How many pages of the file it has touched since. -1 if the kernel counts larger ones."""
        pages, here = 0, False
        for line in Path(f"/proc/{self.process.pid}/smaps").read_text(encoding="utf-8").splitlines():
            word = line.split(":")[0]
            if "-" in line.split(" ")[0]:
                here = line.endswith(str(path))
            elif here and word in ("FilePmdMapped", "ShmemPmdMapped") and line.split()[1] != "0":
                return -1
            elif here and word == "Referenced":
                pages += int(line.split()[1]) * 1024 // PAGE
        return pages
