# SPDX-License-Identifier: MIT
"""Section 9: checking a segment, repairing what dead processes left."""

from __future__ import annotations

import pytest
import shmwire
from conftest import Raw, finish, run_python
from shmwire import dmxp
from shmwire.dmxp import Recovery, layout

HOLD = """
import sys, time
from shmwire import dmxp
segment = dmxp.open(sys.argv[1])
print("up", flush=True)
time.sleep(60)
"""
LOOK = """
import sys
from shmwire import dmxp
print([message.payload for message in dmxp.open(sys.argv[1], "r", engine=sys.argv[2]).channel(0).peek()])
"""


def test_nothing_to_do(segment: dmxp.Segment, channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.recover.idle]"""
    channel.send_batch([b"a", b"b"])
    channel.receive()
    before = raw.bytes()
    segment.validate()
    assert segment.recover(all_dead=True) == Recovery(0, 0, 0, False)
    assert raw.bytes() == before


def test_dead_producer(segment: dmxp.Segment, channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.recover.producer]"""
    claim = channel.claim()
    channel.send(b"behind")
    assert channel.try_receive() is None
    segment.validate()
    assert segment.recover(all_dead=True) == Recovery(1, 0, 0, False)
    assert raw.u64(raw.slot(0)) == 1
    assert raw.u32(raw.slot(0, layout.SLOT_FLAGS_OFFSET) - 2) >> 16 == 0x8000
    assert raw.u32(raw.slot(0, layout.SLOT_PAYLOAD_LEN_OFFSET)) == 0
    assert channel.receive(1).payload == b"behind"
    del claim


def test_dead_consumer(segment: dmxp.Segment, channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.recover.consumer]"""
    channel.send_batch([b"lost", b"kept"])
    raw.poke_u64(raw.entry(0, layout.CHANNEL_HEAD_OFFSET), 1)
    segment.validate()
    channel.send_batch([b"x", b"y"])
    assert channel.try_send(b"wedged") is None
    assert segment.recover(all_dead=True) == Recovery(0, 1, 0, False)
    assert raw.u64(raw.slot(0)) == 4
    assert channel.try_send(b"free again") == 4
    assert channel.receive_batch().payloads() == [b"kept", b"x", b"y", b"free again"]


def test_waiters_and_count(segment: dmxp.Segment, channel: dmxp.Channel, raw: Raw) -> None:
    raw.poke_u32(raw.entry(0, layout.CHANNEL_WAITERS_OFFSET), 3)
    raw.poke_u32(layout.HEADER_CHANNEL_COUNT_OFFSET, 7)
    assert segment.recover(all_dead=True) == Recovery(0, 0, 1, True)
    assert raw.u32(raw.entry(0, layout.CHANNEL_WAITERS_OFFSET)) == 0
    assert raw.u32(layout.HEADER_CHANNEL_COUNT_OFFSET) == 1


def test_busy(engine: dmxp.Engine, segment: dmxp.Segment, channel: dmxp.Channel, name: str, raw: Raw) -> None:
    """[dmxp.recover.exclusive]: another process maps the segment"""
    channel.claim()
    other = run_python(HOLD, name)
    assert other.stdout is not None
    assert other.stdout.readline() == "up\n"
    before = raw.bytes()
    with pytest.raises(shmwire.BusyError):
        segment.recover()
    assert raw.bytes() == before
    other.kill()
    other.wait()


def test_exclusive_search(channel: dmxp.Channel, segment: dmxp.Segment, name: str) -> None:
    """The search itself: finds a process that maps the file, and only that one."""
    from shmwire import map as mapping
    with dmxp.open(name, engine="python") as mine:
        address = mine._table.words.address()  # type: ignore[attr-defined]
        identity = mapping._identity(address)
        assert identity is not None
        assert mapping._identity(address + 1) is None
        other, idle = run_python(HOLD, name), run_python("import time; print('up', flush=True); time.sleep(60)")
        for process in (other, idle):
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
        assert mapping._maps_file(str(other.pid), identity)
        assert not mapping._maps_file(str(idle.pid), identity)
        for process in (other, idle):
            process.kill()
            process.wait()
        assert not mapping._maps_file(str(other.pid), identity)


@pytest.mark.parametrize(("index", "sequence"), [(0, 2), (0, 0 - 1), (1, 3), (3, 4), (3, 3 - 4), (2, 10)])
def test_validate_finds_impossible_slots(segment: dmxp.Segment, channel: dmxp.Channel, raw: Raw, index: int,
                                         sequence: int) -> None:
    channel.send_batch([b"a", b"b"])
    segment.validate()
    raw.poke_u64(raw.slot(index), sequence)
    with pytest.raises(shmwire.CorruptError):
        segment.validate()


def test_validate_finds_impossible_lengths(segment: dmxp.Segment, channel: dmxp.Channel, raw: Raw) -> None:
    channel.send_batch([b"a", b"b"])
    raw.poke_u32(raw.slot(1, layout.SLOT_PAYLOAD_LEN_OFFSET), 1025)
    with pytest.raises(shmwire.CorruptError):
        segment.validate()
    channel.receive()
    with pytest.raises(shmwire.CorruptError):
        channel.receive()
    segment.validate()  # nobody will read it again


def test_validate_ignores_what_nobody_has_written_yet(segment: dmxp.Segment, channel: dmxp.Channel, raw: Raw) -> None:
    channel.send(b"a")
    claim = channel.claim()
    for index in (1, 2):  # claimed; free
        raw.poke_u32(raw.slot(index, layout.SLOT_PAYLOAD_LEN_OFFSET), 5000)
    segment.validate()
    claim.commit(0)
    segment.validate()


def test_validate_finds_a_broken_header(segment: dmxp.Segment, raw: Raw) -> None:
    raw.poke_u32(layout.HEADER_VERSION_OFFSET, 2)
    with pytest.raises(shmwire.BadVersionError):
        segment.validate()


KILLED = """
import os, sys
from shmwire import dmxp
segment = dmxp.open(sys.argv[1], engine=sys.argv[2])
claim = segment.channel(0).claim()
claim.view[:3] = b"bad"
os.kill(os.getpid(), 9)
"""


def test_after_a_real_death(engine: dmxp.Engine, segment: dmxp.Segment, channel: dmxp.Channel, name: str) -> None:
    killed = run_python(KILLED, name, engine)
    assert killed.wait(20) == -9
    channel.send(b"next")
    assert channel.try_receive() is None
    assert segment.recover(all_dead=True).tombstones == 1
    assert channel.receive(1).payload == b"next"


def test_readers_leave_the_segment(engine: dmxp.Engine, channel: dmxp.Channel, name: str, raw: Raw) -> None:
    """A reader that comes, looks and exits removes nothing (multiprocessing.shared_memory would)."""
    channel.send(b"stays")
    before = raw.bytes()
    for _ in range(2):
        assert finish(run_python(LOOK, name, engine)) == "[b'stays']\n"
    assert raw.path.exists()
    assert raw.bytes() == before
