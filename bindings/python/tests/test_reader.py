# SPDX-License-Identifier: MIT
"""Sections 6 and 7: consuming and looking."""

from __future__ import annotations

import pytest
import shmwire
from conftest import Raw
from shmwire import dmxp
from shmwire.dmxp import layout


def test_take_releases(channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.consume.claim, dmxp.consume.release]"""
    channel.send(b"one", message_id=8, timestamp_ns=9, message_type=10, sender_pid=11, sender_runtime=12, flags=13)
    message = channel.try_receive()
    assert message is not None
    assert (message.payload, message.position, message.channel_id) == (b"one", 0, 0)
    assert message.meta() == {"message_id": 8, "timestamp_ns": 9, "message_type": 10, "sender_pid": 11, "sender_runtime": 12,
                              "flags": 13}
    assert (message.message_id, message.timestamp_ns, message.message_type) == (8, 9, 10)
    assert (message.sender_pid, message.sender_runtime, message.flags) == (11, 12, 13)
    assert raw.u64(raw.slot(0)) == 4
    assert raw.u64(raw.entry(0, layout.CHANNEL_HEAD_OFFSET)) == 1


def test_many_laps(channel: dmxp.Channel) -> None:
    for position in range(41):
        assert channel.try_send(position.to_bytes(2, "little")) == position
        message = channel.try_receive()
        assert message is not None
        assert (message.position, message.payload) == (position, position.to_bytes(2, "little"))


def test_empty(channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.consume.empty]"""
    before = raw.bytes()
    assert channel.try_receive() is None
    assert len(channel.receive_batch()) == 0
    assert list(channel.peek()) == []
    assert list(channel.messages(0)) == []
    with pytest.raises(shmwire.Timeout):
        channel.receive(0)
    assert raw.bytes() == before


def test_message_is_a_value(channel: dmxp.Channel) -> None:
    channel.send(b"same", timestamp_ns=1)
    looked = next(channel.peek())
    taken = channel.try_receive()
    assert looked == taken
    assert hash(looked) == hash(taken)
    assert looked != b"same"
    assert repr(looked).startswith("Message(position=0, ")
    channel.send(b"same", timestamp_ns=1)
    assert channel.try_receive() != taken  # another position
    with pytest.raises(AttributeError):
        looked.colour = 1  # type: ignore[attr-defined]


def test_forwarding(channel: dmxp.Channel, raw: Raw) -> None:
    channel.send(b"x", timestamp_ns=5, message_type=6)
    message = channel.receive()
    channel.send(message.payload, **message.meta())
    assert channel.receive().meta() == message.meta()


def test_too_small(channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.consume.too-small]"""
    channel.send(b"x" * 100)
    before = raw.bytes()
    for call in (lambda: channel.try_receive(max_size=99), lambda: channel.receive(1, max_size=99),
                 lambda: channel.receive_batch(max_bytes=99), lambda: next(channel.peek(max_size=99))):
        with pytest.raises(shmwire.TooSmallError) as caught:
            call()
        assert caught.value.needed == 100
    assert raw.bytes() == before
    assert channel.receive(max_size=100).payload == b"x" * 100


def test_batch(channel: dmxp.Channel) -> None:
    for i in range(4):
        channel.send(bytes([i]) * (i + 1), message_type=i)
    assert [m.message_type for m in channel.receive_batch(2)] == [0, 1]
    batch = channel.receive_batch(10)
    assert len(batch) == 2
    assert batch.payloads() == [b"\2" * 3, b"\3" * 4]
    assert batch[-1].payload == b"\3" * 4
    assert batch[-1].position == 3
    assert [m.position for m in batch[::-1]] == [3, 2]
    assert list(batch) == [batch[0], batch[1]]
    assert repr(batch).startswith("MessageBatch([Message(position=2")
    with pytest.raises(IndexError):
        batch[2]
    with pytest.raises(shmwire.InvalidArgumentError):
        channel.receive_batch(0)


def test_batch_bounded_by_bytes(channel: dmxp.Channel) -> None:
    channel.send_batch([b"a" * 10, b"b" * 10, b"c" * 10])
    assert channel.receive_batch(max_bytes=25).payloads() == [b"a" * 10, b"b" * 10]
    assert channel.receive_batch(max_bytes=10).payloads() == [b"c" * 10]


def test_batch_stops_before_what_it_cannot_deliver(channel: dmxp.Channel, raw: Raw) -> None:
    channel.send_batch([b"good", b"bad", b"good"])
    raw.poke_u32(raw.slot(1, layout.SLOT_PAYLOAD_LEN_OFFSET), 5000)
    assert channel.receive_batch().payloads() == [b"good"]
    with pytest.raises(shmwire.CorruptError):
        channel.receive_batch()
    assert channel.receive_batch().payloads() == [b"good"]


@pytest.mark.parametrize("length", [1025, 2**16, 2**32 - 1])
def test_impossible_length(channel: dmxp.Channel, raw: Raw, length: int) -> None:
    """[dmxp.consume.payload-len]: taken, released, nothing read past the slot"""
    channel.send_batch([b"bad", b"good"])
    raw.poke_u32(raw.slot(0, layout.SLOT_PAYLOAD_LEN_OFFSET), length)
    look = channel.peek()
    with pytest.raises(shmwire.CorruptError):
        next(look)
    assert next(look).payload == b"good"
    with pytest.raises(shmwire.CorruptError):
        channel.try_receive()
    assert raw.u64(raw.slot(0)) == 4
    assert channel.receive().payload == b"good"


@pytest.mark.parametrize("sequence", [3, 5, 2**63, 2**64 - 1])
def test_impossible_sequence(channel: dmxp.Channel, raw: Raw, sequence: int) -> None:
    """[dmxp.consume.impossible]"""
    channel.send(b"x")
    raw.poke_u64(raw.slot(0), sequence)
    before = raw.bytes()
    for call in (channel.try_receive, lambda: channel.receive(1), channel.receive_batch, lambda: next(channel.peek())):
        with pytest.raises(shmwire.CorruptError):
            call()
    assert raw.bytes() == before


def test_peek(engine: dmxp.Engine, segment: dmxp.Segment, channel: dmxp.Channel, name: str, raw: Raw) -> None:
    """[dmxp.peek.whole, dmxp.peek.readonly]: skips what is claimed and what was abandoned"""
    channel.send(b"first")
    claim = channel.claim()
    channel.claim().abandon()
    channel.send(b"last")
    before = raw.bytes()
    with dmxp.open(name, "r", engine=engine) as reader:
        look = reader.channel(0).peek()
        assert [(m.position, m.payload) for m in look] == [(0, b"first"), (3, b"last")]
        assert list(look) == []
    assert raw.bytes() == before
    claim.commit(0)
    look = channel.peek()
    assert next(look).payload == b"first"
    assert channel.receive().payload == b"first"
    assert [m.position for m in look] == [1, 3]


def test_auto(engine: dmxp.Engine, segment: dmxp.Segment, channel: dmxp.Channel, name: str, raw: Raw) -> None:
    """[dmxp.layout.auto]: each message as its sender placed it"""
    raw.poke_u32(layout.HEADER_PAYLOAD_LAYOUT_OFFSET, 0)
    with dmxp.open(name, payload="document", engine=engine) as document, dmxp.open(name, payload="auto", engine=engine) as auto:
        document.channel(0).send(b"at 64")
        auto.channel(0).send(b"at 48")
        reader = auto.channel(0)
        assert [m.payload for m in reader.peek()] == [b"at 64", b"at 48"]
        assert reader.receive_batch().payloads() == [b"at 64", b"at 48"]
        document.channel(0).send(b"x")
        raw.poke_u32(raw.slot(2, layout.SLOT_PAYLOAD_LEN_OFFSET), 961)
        with pytest.raises(shmwire.CorruptError):
            reader.try_receive()


def test_declared_layout_wins(engine: dmxp.Engine, channel: dmxp.Channel, name: str) -> None:
    """[dmxp.layout.declared]"""
    channel.send(b"at 48")
    with dmxp.open(name, payload="document", engine=engine) as other:
        assert other.channel(0).receive().payload == b"at 48"
