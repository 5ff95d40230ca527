# SPDX-License-Identifier: MIT
"""What the tests share: both engines, names that nobody else uses, raw access to a segment's bytes."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import unpack_from

import pytest
from shmwire import dmxp, path, unlink
from shmwire.dmxp import layout

ROOT = Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "fixtures/dmxp"
ENTRY = layout.CHANNEL_TABLE_OFFSET
_count = itertools.count()


@pytest.fixture(params=["python", "native"])
def engine(request: pytest.FixtureRequest) -> dmxp.Engine:
    """Each test that asks for it runs once with each engine."""
    chosen: dmxp.Engine = request.param
    return chosen


@pytest.fixture
def name() -> Iterator[str]:
    """A name for one segment, removed afterwards."""
    fresh = f"/shmw-py-{os.getpid()}-{next(_count)}"
    yield fresh
    with contextlib.suppress(FileNotFoundError):
        unlink(fresh)


@pytest.fixture
def segment(engine: dmxp.Engine, name: str) -> Iterator[dmxp.Segment]:
    """A segment of 256 KiB without channels."""
    with dmxp.create(name, 1 << 18, engine=engine) as made:
        yield made


@pytest.fixture
def channel(segment: dmxp.Segment) -> dmxp.Channel:
    """Channel 0 with 4 slots."""
    return segment.create_channel(0, 4)


class Raw:
    """A segment's file: tests look at bytes, not at what an engine says about them."""

    def __init__(self, name: str) -> None:
        self.path = Path(path(name))

    def bytes(self, offset: int = 0, length: int | None = None) -> bytes:
        data = self.path.read_bytes()
        return data[offset:] if length is None else data[offset:offset + length]

    def u64(self, offset: int) -> int:
        value: int = unpack_from("<Q", self.bytes(), offset)[0]
        return value

    def u32(self, offset: int) -> int:
        value: int = unpack_from("<I", self.bytes(), offset)[0]
        return value

    def poke(self, offset: int, data: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def poke_u64(self, offset: int, value: int) -> None:
        self.poke(offset, (value % 2**64).to_bytes(8, "little"))

    def poke_u32(self, offset: int, value: int) -> None:
        self.poke(offset, value.to_bytes(4, "little"))

    def entry(self, channel: int, field: int) -> int:
        """Offset of a field of a channel entry."""
        return ENTRY + layout.CHANNEL_SIZE * channel + field

    def slot(self, index: int, field: int = 0, band: int = layout.HEADER_SIZE) -> int:
        """Offset of a field of a slot."""
        return band + layout.SLOT_SIZE * index + field


@pytest.fixture
def raw(name: str) -> Raw:
    """The bytes of the segment `name`."""
    return Raw(name)


def run_python(code: str, *args: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Another process with this package. A SIGINT reaches it although it may have been started where that is ignored."""
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    return subprocess.Popen([sys.executable, "-c", listening + code, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env={**os.environ, **(env or {})})


def finish(process: subprocess.Popen[str], timeout: float = 20.0) -> str:
    """Its standard output, once it has ended well."""
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return out
