# SPDX-License-Identifier: MIT
"""Section 5: producing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from struct import pack

import numpy as np
import pytest
import shmwire
from conftest import Raw, finish, run_python
from shmwire import dmxp
from shmwire.dmxp import layout, writer

META: dmxp.MetaFields = {"message_id": 77, "timestamp_ns": 1_700_000_000_000_000_000, "message_type": 5, "sender_pid": 4242,
                         "sender_runtime": 1, "flags": 3}


def test_slot_bytes(channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.produce.meta, dmxp.produce.extent, dmxp.produce.publish]: the whole slot, the bytes nobody may touch included."""
    raw.poke(raw.slot(0, 8), b"\xee" * 1080)
    assert channel.try_send(b"hello", **META) == 0
    expected = pack("<QQQIIIHHI", 1, 77, 1_700_000_000_000_000_000, 0, 5, 4242, 1, 3, 5) + b"\xee" * 4 + b"hello"
    assert raw.bytes(raw.slot(0), 1088) == expected.ljust(1088, b"\xee")
    assert raw.u64(raw.entry(0, layout.CHANNEL_TAIL_OFFSET)) == 1
    assert raw.u32(raw.entry(0, layout.CHANNEL_SIGNAL_OFFSET)) == 1


def test_defaults(channel: dmxp.Channel, raw: Raw) -> None:
    before = time.time_ns()
    channel.send(b"a")
    channel.send(b"b")
    assert raw.u64(raw.slot(1, layout.SLOT_MESSAGE_ID_OFFSET)) == 1
    assert before <= raw.u64(raw.slot(1, layout.SLOT_TIMESTAMP_NS_OFFSET)) <= time.time_ns()
    assert raw.u32(raw.slot(1, layout.SLOT_SENDER_PID_OFFSET)) == os.getpid()
    assert raw.u32(raw.slot(1, layout.SLOT_SENDER_RUNTIME_OFFSET)) == 19  # flags, the upper half, 0


def test_document_layout(engine: dmxp.Engine, name: str, raw: Raw) -> None:
    """[dmxp.layout.declared]"""
    with dmxp.create(name, 1 << 18, payload_layout=dmxp.LAYOUT_DOCUMENT, engine=engine) as segment:
        channel = segment.create_channel(0, 2)
        assert channel.payload_capacity == 960
        channel.send(b"d" * 960)
        with pytest.raises(shmwire.TooLargeError):
            channel.try_send(b"d" * 961)
        assert raw.bytes(raw.slot(0, 64), 960) == b"d" * 960
        assert raw.bytes(raw.slot(0, 48), 16) == bytes(16)
        message = channel.try_receive()
        assert message is not None
        assert message.payload == b"d" * 960


@pytest.mark.parametrize(("payload", "offset", "runtime"), [("crate", 48, 19), ("auto", 48, 19), ("document", 64, 0)])
def test_undeclared_layout(engine: dmxp.Engine, segment: dmxp.Segment, channel: dmxp.Channel, name: str, raw: Raw,
                           payload: dmxp.PayloadChoice, offset: int, runtime: int) -> None:
    """[dmxp.layout.unspecified, dmxp.layout.auto, dmxp.layout.runtime]"""
    raw.poke_u32(layout.HEADER_PAYLOAD_LAYOUT_OFFSET, 0)
    with dmxp.open(name, payload=payload, engine=engine) as other:
        writer = other.channel(0)
        writer.send(b"placed", sender_runtime=0)
        writer.send(b"placed", sender_runtime=33)
        assert raw.bytes(raw.slot(0, offset), 6) == b"placed"
        assert raw.bytes(raw.slot(0, 36), 2)[0] == runtime
        assert raw.bytes(raw.slot(1, 36), 2)[0] == (33 if runtime else 0)
        assert [message.payload for message in writer.peek()] == [b"placed", b"placed"]
    with dmxp.open(name, "r", payload="auto", engine=engine) as reader:
        assert [message.payload for message in reader.channel(0).peek()] == [b"placed", b"placed"]


def test_full(channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.produce.full]"""
    for position in range(4):
        assert channel.try_send(b"x") == position
    before = raw.bytes()
    assert channel.try_send(b"y") is None
    assert channel.send_batch([b"y"]) is None
    began = time.monotonic()
    with pytest.raises(shmwire.Timeout):
        channel.send(b"y", 0.15)
    with pytest.raises(TimeoutError):
        channel.send(b"y", 0)
    with pytest.raises(shmwire.Full):
        channel.claim()
    assert 0.15 <= time.monotonic() - began < 5
    assert raw.bytes() == before


def test_too_large(channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.produce.too-large]"""
    before = raw.bytes()
    for call in (lambda: channel.try_send(b"x" * 1025), lambda: channel.send(b"x" * 1025), lambda: channel.send(bytearray(4000)),
                 lambda: channel.send_batch([b"", b"x" * 1025])):
        with pytest.raises(shmwire.TooLargeError):
            call()
    assert raw.bytes() == before
    assert channel.try_send(b"x" * 1024) == 0


@pytest.mark.parametrize("bad", [
    {"flags": 0x8000}, {"flags": -1}, {"message_type": 2**32}, {"message_id": 2**64}, {"sender_pid": -1},
    {"sender_runtime": 2**16}, {"timestamp_ns": -1}, {"message_type": "1"}, {"message_type": 1.0},
])
def test_bad_meta(channel: dmxp.Channel, raw: Raw, bad: dmxp.MetaFields) -> None:
    before = raw.bytes()
    for call in (lambda: channel.try_send(b"x", **bad), lambda: channel.send(b"x", 0, **bad),
                 lambda: channel.send_batch([b"x"], [bad])):
        with pytest.raises(shmwire.InvalidArgumentError):
            call()
    assert raw.bytes() == before
    with channel.claim() as claim:
        with pytest.raises(shmwire.InvalidArgumentError):
            claim.commit(0, **bad)
        claim.commit(0)


def test_unknown_meta(channel: dmxp.Channel) -> None:
    with pytest.raises(TypeError):
        channel.try_send(b"x", colour=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        channel.send_batch([b"x"], [{"colour": 1}])  # type: ignore[typeddict-unknown-key]


@pytest.mark.parametrize("make", [
    bytes, bytearray, memoryview, lambda data: np.frombuffer(data, dtype=np.uint8), lambda data: np.frombuffer(data, dtype="<u4"),
    lambda data: np.frombuffer(data, dtype=np.uint8).reshape(2, -1), lambda data: np.frombuffer(data, dtype=np.uint8)[::1],
])
def test_bytes_like(channel: dmxp.Channel, make: Callable[[bytes], bytes]) -> None:
    data = bytes(range(16))
    channel.send(make(data))
    channel.send_batch([make(data), b"", make(data)])
    assert channel.receive_batch().payloads() == [data, data, b"", data]


def test_not_contiguous(channel: dmxp.Channel) -> None:
    every_other = np.arange(16, dtype=np.uint8)[::2]
    channel.send(every_other)
    channel.send_batch([every_other, np.empty((3, 0), dtype=np.uint8)])
    assert channel.receive_batch().payloads() == [bytes(range(0, 16, 2))] * 2 + [b""]


def test_text_is_refused(channel: dmxp.Channel) -> None:
    for call in (lambda: channel.try_send("text"), lambda: channel.send_batch(["text"])):  # type: ignore[arg-type,list-item]
        with pytest.raises(TypeError):
            call()
    assert channel.try_receive() is None


def test_batch(channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.produce.batch-claim, dmxp.wait.signal]"""
    assert channel.try_send(b"first") == 0
    assert channel.send_batch([b"a", b"", b"ccc"], [{"message_type": i} for i in range(3)]) == 1
    assert raw.u32(raw.entry(0, layout.CHANNEL_SIGNAL_OFFSET)) == 4
    assert channel.send_batch([b"no room"]) is None
    assert [(m.payload, m.message_type, m.message_id) for m in channel.receive_batch()] == [
        (b"first", 0, 0), (b"a", 0, 1), (b"", 1, 2), (b"ccc", 2, 3)]
    before = raw.bytes()
    channel.send_batch([b"x"] * 2)
    assert channel.send_batch([b"y"] * 3) is None
    assert raw.u64(raw.entry(0, layout.CHANNEL_TAIL_OFFSET)) == 6
    for items, metas in (([], None), ([b"x"] * 5, None), ([b"x"], [])):
        with pytest.raises(shmwire.InvalidArgumentError):
            channel.send_batch(items, metas)
    assert raw.bytes() != before


def test_large_batch(engine: dmxp.Engine, name: str) -> None:
    with dmxp.create(name, 1 << 20, engine=engine) as segment:
        channel = segment.create_channel(0, 256)
        payloads = [bytes([i]) * (i % 7) for i in range(256)]
        assert channel.send_batch(payloads) == 0
        assert channel.receive_batch(200).payloads() == payloads[:200]
        assert channel.receive_batch(200).payloads() == payloads[200:]


def test_interrupted_between_claim_and_publication(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The python engine can be interrupted anywhere: what it claimed and did not publish becomes a tombstone."""
    calls = iter([KeyboardInterrupt(), None, None])

    def clock() -> int:
        error = next(calls)
        if error is not None:
            raise error
        return 5

    with dmxp.create(name, 1 << 18, engine="python") as segment:
        channel = segment.create_channel(0, 4)
        monkeypatch.setattr(writer.time, "time_ns", clock)
        with pytest.raises(KeyboardInterrupt):
            channel.send_batch([b"a", b"b"])
        assert (segment.channel_info(0).tail, segment.channel_info(0).signal) == (2, 2)
        channel.send(b"goes on", timestamp_ns=1)
        assert channel.receive(1).payload == b"goes on"


def test_claim(channel: dmxp.Channel, raw: Raw) -> None:
    with channel.claim() as claim:
        assert claim.position == 0
        assert len(claim.view) == 1024
        assert raw.u64(raw.slot(0)) == 0
        assert raw.u64(raw.entry(0, layout.CHANNEL_TAIL_OFFSET)) == 1
        claim.view[:4] = b"abcd"
        assert channel.try_send(b"behind") == 1
        assert channel.try_receive() is None  # [dmxp.consume.empty]: whatever stands behind it
        claim.commit(3, message_type=9)
        with pytest.raises(shmwire.OutOfOrderError):
            claim.commit(3)
        claim.abandon()
        with pytest.raises(ValueError, match="released"):
            claim.view[0] = 1
    assert [(m.payload, m.message_type) for m in channel.receive_batch()] == [(b"abc", 9), (b"behind", 0)]


def test_claim_too_long(channel: dmxp.Channel) -> None:
    with channel.claim() as claim:
        for length in (1025, -1):
            with pytest.raises(shmwire.TooLargeError):
                claim.commit(length)
        claim.commit(1024)
    message = channel.try_receive()
    assert message is not None
    assert len(message.payload) == 1024


def test_abandoned_claims(channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.produce.abandon, dmxp.consume.tombstone]"""
    with channel.claim():
        pass
    with pytest.raises(ZeroDivisionError), channel.claim() as claim:
        claim.view[0] = 1 // 0
    claim = channel.claim()
    claim.abandon()
    for index in range(3):
        assert raw.u64(raw.slot(index)) == index + 1
        assert raw.u32(raw.slot(index, layout.SLOT_PAYLOAD_LEN_OFFSET)) == 0
        assert raw.u32(raw.slot(index, layout.SLOT_SENDER_RUNTIME_OFFSET)) == 19 | 0x8000 << 16
    channel.send(b"delivered")
    assert [m.payload for m in channel.peek()] == [b"delivered"]
    message = channel.try_receive()
    assert message is not None
    assert message.position == 3
    assert raw.u64(raw.entry(0, layout.CHANNEL_HEAD_OFFSET)) == 4


def test_claim_with_numpy(channel: dmxp.Channel) -> None:
    with channel.claim() as claim:
        array = np.frombuffer(claim.view, dtype="<f8")
        array[:3] = [1.0, 2.5, -3.0]
        claim.commit(24)
    message = channel.try_receive()
    assert message is not None
    assert np.frombuffer(message.payload).tolist() == [1.0, 2.5, -3.0]


def test_view_outlives_the_segment(engine: dmxp.Engine, name: str) -> None:
    """A forgotten view is a dead end, not a crash."""
    segment = dmxp.create(name, 1 << 18, engine=engine)
    claim = segment.create_channel(0, 2).claim()
    view = claim.view[:]
    segment.close()
    del segment
    view[:4] = b"late"
    with pytest.raises(shmwire.Closed):
        claim.abandon()
    assert bytes(view[:4]) == b"late"


def test_impossible_sequence(channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.consume.impossible], for a producer"""
    raw.poke_u64(raw.slot(0), 99)
    before = raw.bytes()
    for call in (lambda: channel.try_send(b"x"), lambda: channel.send(b"x", 1), lambda: channel.send_batch([b"x"]),
                 channel.claim):
        with pytest.raises(shmwire.CorruptError):
            call()
    assert raw.bytes() == before


def test_fork(engine: dmxp.Engine, segment: dmxp.Segment, channel: dmxp.Channel) -> None:
    """The child goes on with its parent's channel and says its own process id."""
    channel.send(b"parent")
    child = os.fork()
    if child == 0:
        ok = channel.try_send(b"child") == 1
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert [(m.payload, m.sender_pid) for m in channel.receive_batch()] == [(b"parent", os.getpid()), (b"child", child)]


def test_sent_by_another_process(engine: dmxp.Engine, channel: dmxp.Channel, name: str) -> None:
    code = "import sys; from shmwire import dmxp; print(dmxp.open(sys.argv[1], engine=sys.argv[2]).channel(0).send(b'spawned'))"
    other = run_python(code, name, "native" if engine == "python" else "python")
    assert finish(other) == "0\n"
    message = channel.try_receive()
    assert message is not None
    assert (message.payload, message.sender_pid, message.sender_runtime) == (b"spawned", other.pid, 19)


def test_packed(segment: dmxp.Segment) -> None:
    """Payloads out of one buffer, into one blob."""
    channel = segment.create_channel(7, 8)
    assert channel.send_packed(b"abcdef", 3) == 0
    assert channel.send_packed(bytearray(b"xyz"), [1, 0, 2]) == 2
    batch = channel.receive_batch()
    assert batch.blob == b"abcdefxyz"
    assert batch.offsets == [0, 3, 6, 7, 7, 9]
    assert batch.payloads() == [b"abc", b"def", b"x", b"", b"yz"]
    assert channel.receive_batch().blob == b""
    for blob, lengths in ((b"abcd", 3), (b"abcd", 0), (b"abcd", [1, 2]), (b"abcd", [5, -1]), (b"", []), (b"", 1)):
        with pytest.raises(shmwire.InvalidArgumentError):
            channel.send_packed(blob, lengths)
    with pytest.raises(shmwire.TooLargeError):
        channel.send_packed(bytes(1025 + 3), [3, 1025])
    assert channel.try_receive() is None
