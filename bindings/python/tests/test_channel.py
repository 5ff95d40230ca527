# SPDX-License-Identifier: MIT
"""Section 4: the channel table."""

from __future__ import annotations

import fcntl
import os
import threading

import pytest
import shmwire
from conftest import Raw
from shmwire import dmxp
from shmwire.dmxp import layout

BAND = layout.HEADER_SIZE


def test_entry_bytes(segment: dmxp.Segment, raw: Raw) -> None:
    """[dmxp.channel.commit]: entry, slots, and nothing else."""
    segment.create_channel(3, 2, counted_waiters=True)
    assert raw.u32(layout.HEADER_CHANNEL_COUNT_OFFSET) == 1
    described = b"\x03\0\0\0\x01\0\0\0" + (2).to_bytes(8, "little") + BAND.to_bytes(8, "little")
    assert raw.bytes(raw.entry(3, 0), layout.CHANNEL_SIZE) == described.ljust(layout.CHANNEL_SIZE, b"\0")
    slots = b"".join(i.to_bytes(8, "little").ljust(layout.SLOT_SIZE, b"\0") for i in range(2))
    assert raw.bytes(BAND) == slots.ljust((1 << 18) - BAND, b"\0")


def test_placement_above_live_and_retired(segment: dmxp.Segment, raw: Raw) -> None:
    """[dmxp.channel.placement, dmxp.channel.remove]"""
    segment.create_channel(0, 2)
    segment.create_channel(1, 4)
    second = -(-(BAND + 2 * 1088) // 128) * 128
    assert segment.channel_info(1).band_offset == second
    segment.remove_channel(1)
    removed = segment.channel_info(1)
    assert (removed.capacity, removed.retired_capacity, removed.band_offset, removed.signal) == (0, 4, second, 1)
    segment.create_channel(1, 2)
    end = second + 4 * 1088
    assert raw.u64(raw.entry(1, layout.CHANNEL_BAND_OFFSET_OFFSET)) == -(-end // 128) * 128
    assert raw.u64(raw.entry(1, layout.CHANNEL_RETIRED_CAPACITY_OFFSET)) == 0
    assert segment.channels() == [0, 1]


def test_positions_never_come_again(segment: dmxp.Segment, channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.channel.start, dmxp.channel.remove]"""
    channel.send_batch([b"a", b"b"])
    for times in (1, 2):
        segment.remove_channel(0)
        assert raw.u64(raw.entry(0, layout.CHANNEL_REMOVALS_OFFSET)) == times
        segment.create_channel(0, 8)
    info = segment.channel_info(0)  # tail 2 + 4 retired slots: 8; 8 + 8 retired: 16
    assert (info.head, info.tail, info.removals, info.retired_capacity) == (16, 16, 2, 0)
    assert [raw.u64(raw.slot(i, band=info.band_offset)) for i in range(8)] == list(range(16, 24))
    assert segment.channel(0).send(b"x") == 16
    segment.validate()


def test_no_positions_left(segment: dmxp.Segment, channel: dmxp.Channel, raw: Raw) -> None:
    segment.remove_channel(0)
    raw.poke_u64(raw.entry(0, layout.CHANNEL_TAIL_OFFSET), 2**64 - 3)
    before = raw.bytes()
    with pytest.raises(shmwire.CorruptError):
        segment.create_channel(0, 4)
    assert raw.bytes() == before


def test_consumers_look_at_removals_producers_at_the_entry(segment: dmxp.Segment, channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.channel.closed]"""
    raw.poke_u64(raw.entry(0, layout.CHANNEL_REMOVALS_OFFSET), 1)
    assert channel.try_send(b"x") == 0
    assert channel.receive(1).payload == b"x"
    with pytest.raises(shmwire.Closed):
        channel.try_receive()
    assert segment.channel(0).try_receive() is None


def test_refusals(segment: dmxp.Segment, channel: dmxp.Channel, raw: Raw) -> None:
    before = raw.bytes()
    with pytest.raises(shmwire.ExistsError):
        segment.create_channel(0, 4)
    with pytest.raises(shmwire.TooLargeError):
        segment.create_channel(1, 1 << 10)
    with pytest.raises(shmwire.TooLargeError):
        segment.create_channel(1, 1 << 62)
    for capacity in (-2, 0, 1, 3, 6, 2**64):
        with pytest.raises(shmwire.InvalidArgumentError):
            segment.create_channel(1, capacity)
    for number in (-1, 256):
        with pytest.raises(shmwire.InvalidArgumentError):
            segment.create_channel(number, 2)
        with pytest.raises(shmwire.InvalidArgumentError):
            segment.channel_info(number)
        with pytest.raises(shmwire.InvalidArgumentError):
            segment.remove_channel(number)
        with pytest.raises(shmwire.NotFoundError):
            segment.channel(number)
    with pytest.raises(shmwire.NotFoundError):
        segment.remove_channel(9)
    with pytest.raises(shmwire.NotFoundError):
        segment.channel(9)
    assert raw.bytes() == before


def test_lock(engine: dmxp.Engine, segment: dmxp.Segment, name: str, raw: Raw) -> None:
    """[dmxp.channel.lock]: nobody makes a channel while somebody else holds the lock."""
    made = threading.Event()

    def make() -> None:
        with dmxp.open(name, engine=engine) as other:
            other.create_channel(5, 2)
        made.set()

    holder = os.open(raw.path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    thread = threading.Thread(target=make)
    thread.start()
    assert not made.wait(0.2)
    assert segment.channels() == []
    os.close(holder)
    assert made.wait(10)
    thread.join()
    assert segment.channels() == [5]


def test_removed_under_its_users(segment: dmxp.Segment, channel: dmxp.Channel) -> None:
    """[dmxp.channel.closed]"""
    segment.remove_channel(0)
    for call in (lambda: channel.try_send(b"x"), lambda: channel.send(b"x", 0), channel.claim, channel.try_receive,
                 lambda: channel.receive(1), channel.receive_batch, lambda: list(channel.peek())):
        with pytest.raises(shmwire.Closed):
            call()
    segment.create_channel(0, 4)
    with pytest.raises(shmwire.Closed):
        channel.try_send(b"x")


def test_what_was_sent_before_the_removal_can_be_taken(segment: dmxp.Segment, channel: dmxp.Channel) -> None:
    channel.send(b"x")
    segment.remove_channel(0)
    message = channel.try_receive()
    assert message is not None
    assert message.payload == b"x"


@pytest.mark.parametrize(("field", "value", "error"), [
    (layout.CHANNEL_CAPACITY_OFFSET, 3, shmwire.BadGeometryError),
    (layout.CHANNEL_CAPACITY_OFFSET, 1, shmwire.BadGeometryError),
    (layout.CHANNEL_CAPACITY_OFFSET, 2**63, shmwire.BadGeometryError),
    (layout.CHANNEL_CAPACITY_OFFSET, 0, shmwire.NotFoundError),
    (layout.CHANNEL_BAND_OFFSET_OFFSET, BAND + 64, shmwire.BadGeometryError),
    (layout.CHANNEL_BAND_OFFSET_OFFSET, BAND - 128, shmwire.BadGeometryError),
    (layout.CHANNEL_BAND_OFFSET_OFFSET, 2**64 - 128, shmwire.BadGeometryError),
    (layout.CHANNEL_BAND_OFFSET_OFFSET, (1 << 18) - 4 * 1088 + 128, shmwire.BadGeometryError),
    (layout.CHANNEL_BAND_OFFSET_OFFSET, BAND + 4352, shmwire.BadGeometryError),
    (layout.CHANNEL_CHANNEL_ID_OFFSET, 1 | 4 << 32, shmwire.BadGeometryError),
    (layout.CHANNEL_TAIL_OFFSET, 5, shmwire.CorruptError),
    (layout.CHANNEL_HEAD_OFFSET, 1, shmwire.CorruptError),
])
def test_hostile_entry(segment: dmxp.Segment, raw: Raw, field: int, value: int, error: type[Exception]) -> None:
    """[dmxp.channel.absent, .capacity, .band, .overlap, .id, .cursors]"""
    segment.create_channel(0, 4)
    segment.create_channel(1, 2)
    segment.channel(0)
    raw.poke_u64(raw.entry(0, field), value)
    before = raw.bytes()
    with pytest.raises(error):
        segment.channel(0)
    if error is not shmwire.NotFoundError:
        with pytest.raises(error):
            segment.validate()
        with pytest.raises(error):
            segment.recover(all_dead=True)
    assert raw.bytes() == before


def test_wrapped_cursors_are_fine(segment: dmxp.Segment, raw: Raw) -> None:
    """tail - head is computed modulo 2^64."""
    segment.create_channel(0, 4)
    raw.poke_u64(raw.entry(0, layout.CHANNEL_HEAD_OFFSET), 2**64 - 1)
    raw.poke_u64(raw.entry(0, layout.CHANNEL_TAIL_OFFSET), 2)
    assert segment.channel(0).capacity == 4
