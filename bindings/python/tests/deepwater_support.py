# SPDX-License-Identifier: MIT
"""What the tests of profile deepwater share: base directories of their own, what is left of them in shared memory, small
feeds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shmwire.deepwater import Reader, Record, Writer
from shmwire.deepwater.tree import Base
from shmwire.engine import Engine

CHUNK = 4096
FEED = "ticks"


def in_memory(base: str | Path) -> list[str]:
    """What is in shared memory of a base, without its hash: "ticks.0.data"."""
    if not os.path.isdir(base):
        return []
    root = Base(str(base))
    head = f"dw.{root.hash:016x}."
    root.close()
    return sorted(name.removeprefix(head) for name in os.listdir("/dev/shm") if name.startswith(head))


def forget_memory(base: str | Path, *names: str) -> None:
    """Unlink the names, all by default: as a power failure does, or a writer."""
    root = Base(str(base))
    for name in names or in_memory(base):
        os.unlink(f"/dev/shm/dw.{root.hash:016x}.{name}")
    root.close()


@pytest.fixture
def base(tmp_path: Path) -> Iterator[str]:
    """A base directory that is not there yet; nothing is left of it."""
    path = tmp_path / "base"
    yield str(path)
    if path.is_dir():
        forget_memory(path)


def writing(base: str, engine: Engine, **options: Any) -> Writer:
    """A writer of a small feed, which does not persist unless the test says so."""
    merged: dict[str, Any] = {"persist": False, "chunk_size": CHUNK, "live_window": 2, "rows": 64, "feeds": 8} | options
    return Writer(base, merged.pop("feed", FEED), engine=engine, **merged)


def reading(base: str, engine: Engine, **options: Any) -> Reader:
    """A reader of that feed."""
    return Reader(base, options.pop("feed", FEED), engine=engine, **options)


def body(number: int) -> bytes:
    """A payload that says which one it is, of one of nine lengths."""
    return number.to_bytes(8, "little") + bytes([number & 0xFF]) * (number % 9)


def fill(writer: Writer, count: int, step: int = 10) -> None:
    """`count` records behind those that there are, `step` nanoseconds apart, from time 0."""
    last = writer.info().last_sequence
    first = 0 if last is None else last + 1
    for number in range(first, first + count):
        assert writer.append(step * number, body(number), number % 5) == number


def require(records: list[Record], first: int, end: int, step: int = 10) -> None:
    """These are the records from `first` to below `end`, whole and in order."""
    assert [record.sequence for record in records] == list(range(first, end))
    for record in records:
        assert bytes(record.payload) == body(record.sequence), record
        assert (record.timestamp_ns, record.type) == (step * record.sequence, record.sequence % 5)


def states(base: str, engine: Engine) -> list[str]:
    """The states of all chunks."""
    with reading(base, engine) as reader:
        return [chunk.state for chunk in reader.chunks()]


#: For processes of the tests: what they need of this file.
IMPORTS = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom deepwater_support import *\n"
PYTHON = sys.executable
