# SPDX-License-Identifier: MIT
"""What the tests of profile shmcomm share: names that nobody else uses, engines, raw segments."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Raw
from shmwire.engine import Engine
from shmwire.shmcomm import Message, Options, Role, open_endpoint
from shmwire.shmcomm.core import Endpoint

_count = itertools.count()
SMALL = 4096
#: Messages of 24 bytes take 64 bytes of the ring.
EXTENT = 64


def fresh_name() -> str:
    """A channel's name that nobody else uses."""
    return f"shmw-py-{os.getpid()}-{next(_count)}"


def left_over(name: str) -> list[str]:
    """The segments that there are of a name."""
    return sorted(file for file in os.listdir("/dev/shm") if name in file)


@pytest.fixture
def topic() -> Iterator[str]:
    """A channel's name; what is left of it is removed, and must be expected by the test."""
    fresh = fresh_name()
    yield fresh
    for file in left_over(fresh):
        os.unlink(f"/dev/shm/{file}")


def opened(engine: Engine, role: Role, name: str, **options: object) -> Endpoint:
    """An endpoint with a small ring that waits for nothing, unless the test says otherwise."""
    merged: dict[str, object] = {"capacity": SMALL, "wait": 0.0} | options
    return open_endpoint(role, name, Options(**merged), engine)  # type: ignore[arg-type]


def drain(endpoint: Endpoint) -> list[Message]:
    """All that is there; one batch may come to less."""
    found: list[Message] = []
    while batch := endpoint.receive_batch(100):
        found += batch
    return found


def body(number: int) -> bytes:
    """A payload of 24 bytes that says which one it is."""
    return number.to_bytes(8, "little") * 3


def raw_of(kind: str, name: str) -> Raw:
    """The bytes of a channel's segment; kind: pub, push or req."""
    return Raw(f"/shmcomm_{kind}_{name}")


def copy_of(kind: str, name: str, folder: Path) -> Path:
    """A regular file with the bytes of a channel."""
    copied = folder / "segment.bin"
    copied.write_bytes(raw_of(kind, name).bytes())
    return copied
