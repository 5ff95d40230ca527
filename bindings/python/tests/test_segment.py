# SPDX-License-Identifier: MIT
"""Section 3: making a segment, attaching to one."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
import shmwire
from conftest import Raw
from shmwire import dmxp
from shmwire.dmxp import layout


def test_header_bytes(segment: dmxp.Segment, raw: Raw) -> None:
    """[dmxp.segment.fields]: every byte of the header and the channel table."""
    head = (0x444D58505F4D454D).to_bytes(8, "little") + b"\x01\0\0\0" + b"\0\x01\0\0" + b"\0\0\0\0" + b"\x02\0\0\0"
    assert raw.bytes(0, layout.HEADER_SIZE) == head.ljust(layout.HEADER_SIZE, b"\0")
    assert segment.size == 1 << 18 == raw.path.stat().st_size
    assert segment.engine in ("python", "native")


def test_mode_and_layout(engine: dmxp.Engine, name: str, raw: Raw) -> None:
    """[dmxp.segment.mode]"""
    with dmxp.create(name, layout.HEADER_SIZE, payload_layout=dmxp.LAYOUT_DOCUMENT, engine=engine) as segment:
        assert raw.path.stat().st_mode & 0o777 == 0o600
        assert raw.u32(layout.HEADER_PAYLOAD_LAYOUT_OFFSET) == 1
        assert segment.info().payload_capacity == 960


def test_asked_mode(engine: dmxp.Engine, name: str, raw: Raw) -> None:
    old = os.umask(0o022)
    try:
        dmxp.create(name, layout.HEADER_SIZE, mode=0o664, engine=engine).close()
    finally:
        os.umask(old)
    assert raw.path.stat().st_mode & 0o777 == 0o644


def test_exists_changes_nothing(engine: dmxp.Engine, segment: dmxp.Segment, name: str, raw: Raw) -> None:
    """[dmxp.segment.create]"""
    before = raw.bytes()
    with pytest.raises(shmwire.ExistsError), dmxp.create(name, engine=engine):
        pass
    assert raw.bytes() == before
    with pytest.raises(FileExistsError):
        dmxp.create(name, engine=engine)


@pytest.mark.parametrize(("size", "layout_", "mode"), [(98431, 2, 0o600), (1 << 20, 0, 0o600), (1 << 20, 3, 0o600),
                                                        (1 << 20, 2, 0o1777), (-1, 2, 0o600), (1 << 63, 2, 0o600)])
def test_create_refuses(engine: dmxp.Engine, name: str, raw: Raw, size: int, layout_: int, mode: int) -> None:
    with pytest.raises(shmwire.InvalidArgumentError):
        dmxp.create(name, size, payload_layout=layout_, mode=mode, engine=engine)
    assert not raw.path.exists()


@pytest.mark.parametrize("bad", ["", "/", ".", "..", "/..", "a" * 256, "a\0b"])
def test_names(engine: dmxp.Engine, bad: str) -> None:
    with pytest.raises(shmwire.InvalidNameError):
        dmxp.create(bad, engine=engine)
    with pytest.raises(shmwire.InvalidNameError):
        dmxp.open(bad, engine=engine)
    with pytest.raises(ValueError, match="INVALID_NAME"):
        shmwire.path(bad)


def test_path_of_a_file(engine: dmxp.Engine, tmp_path: Path) -> None:
    file = str(tmp_path / "segment.bin")
    with dmxp.create(file, 1 << 18, engine=engine) as segment:
        segment.create_channel(0, 2).send(b"in a file")
    with dmxp.open(file, "r", engine=engine) as segment:
        assert [message.payload for message in segment.channel(0).peek()] == [b"in a file"]
    shmwire.unlink(file)
    assert not Path(file).exists()


def test_symbolic_link_is_not_followed(engine: dmxp.Engine, segment: dmxp.Segment, name: str, raw: Raw) -> None:
    link = raw.path.with_name(raw.path.name + "-link")
    link.symlink_to(raw.path)
    try:
        with pytest.raises(shmwire.ShmwireError):
            dmxp.open(link.name, engine=engine)
    finally:
        link.unlink()


def test_missing(engine: dmxp.Engine, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        dmxp.open(name, engine=engine)
    with pytest.raises(shmwire.NotFoundError):
        shmwire.unlink(name)


@pytest.mark.parametrize(("offset", "value", "error"), [
    (layout.HEADER_MAGIC_OFFSET, b"DMXP", shmwire.BadMagicError),
    (layout.HEADER_MAGIC_OFFSET, bytes(8), shmwire.NotReadyError),
    (layout.HEADER_VERSION_OFFSET, b"\x02", shmwire.BadVersionError),
    (layout.HEADER_MAX_CHANNELS_OFFSET, b"\xff\0", shmwire.BadGeometryError),
    (layout.HEADER_PAYLOAD_LAYOUT_OFFSET, b"\x03", shmwire.BadGeometryError),
])
def test_hostile_header(engine: dmxp.Engine, segment: dmxp.Segment, name: str, raw: Raw, offset: int, value: bytes,
                        error: type[Exception]) -> None:
    """[dmxp.segment.magic, .not-ready, .version, .header]"""
    raw.poke(offset, value)
    before = raw.bytes()
    for mode in ("r", "rw"):
        with pytest.raises(error):
            dmxp.open(name, mode, engine=engine)  # type: ignore[arg-type]
    assert raw.bytes() == before


@pytest.mark.parametrize("size", [0, 1, 98431])
def test_short(engine: dmxp.Engine, segment: dmxp.Segment, name: str, raw: Raw, size: int) -> None:
    """[dmxp.segment.size]"""
    os.truncate(raw.path, size)
    with pytest.raises(shmwire.TruncatedError):
        dmxp.open(name, engine=engine)


def test_waits_for_the_creator(engine: dmxp.Engine, segment: dmxp.Segment, name: str, raw: Raw) -> None:
    """[dmxp.segment.not-ready]"""
    magic = raw.bytes(0, 8)
    raw.poke(0, bytes(8))
    began = time.monotonic()
    with pytest.raises(shmwire.NotReadyError):
        dmxp.open(name, ready_timeout=0.1, engine=engine)
    assert 0.1 <= time.monotonic() - began < 5
    timer = threading.Timer(0.1, raw.poke, (0, magic))
    timer.start()
    dmxp.open(name, ready_timeout=10, engine=engine).close()
    timer.join()


def test_read_only(engine: dmxp.Engine, segment: dmxp.Segment, channel: dmxp.Channel, name: str, raw: Raw) -> None:
    channel.send(b"stays")
    before = raw.bytes()
    with dmxp.open(name, "r", engine=engine) as reader:
        assert not reader.writable
        looked = reader.channel(0)
        assert [message.payload for message in looked.peek()] == [b"stays"]
        refused = [lambda: looked.try_send(b""), lambda: looked.send_batch([b""]), looked.claim, looked.try_receive,
                   lambda: looked.receive(0), looked.receive_batch, lambda: reader.create_channel(1, 2),
                   lambda: reader.remove_channel(0), lambda: reader.recover(all_dead=True)]
        for call in refused:
            with pytest.raises(shmwire.PermissionError):
                call()
        reader.validate()
    assert raw.bytes() == before


def test_close(segment: dmxp.Segment, channel: dmxp.Channel) -> None:
    channel.send(b"x")
    look = channel.peek()
    segment.close()
    segment.close()
    calls = [segment.info, segment.channels, segment.validate, lambda: segment.channel(0), lambda: channel.try_send(b"y"),
             lambda: channel.send_batch([b"y"]), channel.claim, channel.try_receive, lambda: channel.receive(0),
             channel.receive_batch, lambda: next(look), lambda: segment.create_channel(1, 2),
             lambda: segment.recover(all_dead=True)]
    for call in calls:
        with pytest.raises(shmwire.Closed):
            call()


def test_default_engine(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv("SHMWIRE_ENGINE", raising=False)
    assert dmxp.default_engine() == "native"
    monkeypatch.setenv("SHMWIRE_ENGINE", "python")
    with dmxp.create(name, 1 << 17) as segment:
        assert segment.engine == "python"
    monkeypatch.setenv("SHMWIRE_ENGINE", "perl")
    with pytest.raises(shmwire.InvalidArgumentError):
        dmxp.open(name)


def test_bad_arguments(name: str) -> None:
    with pytest.raises(shmwire.InvalidArgumentError):
        dmxp.open(name, "w")  # type: ignore[arg-type]
    with pytest.raises(shmwire.InvalidArgumentError):
        dmxp.open(name, payload="none")  # type: ignore[arg-type]
    with pytest.raises(shmwire.InvalidArgumentError):
        dmxp.open(name, engine="perl")  # type: ignore[arg-type]
