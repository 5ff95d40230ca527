# SPDX-License-Identifier: MIT
"""Endpoints of profile shmcomm: every operation, both engines, and each engine with the other."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
import shmwire
from conftest import Raw
from shmcomm_support import EXTENT, SMALL, body, copy_of, drain, left_over, opened, raw_of, topic
from shmwire.engine import Engine
from shmwire.shmcomm import Meta, Options, layout, open_endpoint, recover, remove
from shmwire.shmcomm.inspect import fields, header
from shmwire.shmcomm.patterns import named, segment_name
from shmwire.shmcomm.reader import Lost

__all__ = ["topic"]
PAIRS = [("python", "python"), ("python", "native"), ("native", "python"), ("native", "native")]


@pytest.mark.parametrize(("here", "there"), PAIRS)
def test_publish_and_subscribe(here: Engine, there: Engine, topic: str) -> None:
    with opened(here, "publisher", topic) as pub, opened(there, "subscriber", topic) as sub:
        assert sub.receive() is None
        assert [pub.send(body(i)) for i in range(3)] == [0, 1, 2]
        found = [sub.receive() for _ in range(3)]
        seen = [(m.sequence, m.payload, m.lost, m.position) for m in found if m]
        assert seen == [(i, body(i), 0, EXTENT * i) for i in range(3)]
        assert all(m and m.sender == pub.info().endpoint and m.correlation_id == 0 for m in found)
        assert pub.send(b"", Meta(7, 9, 3)) == 3
        last = sub.receive()
        assert last and (last.timestamp_ns, last.content_type, last.flags, last.payload) == (7, 9, 3, b"")
    assert left_over(topic) == []


@pytest.mark.parametrize(("here", "there"), PAIRS)
def test_losses_are_counted(here: Engine, there: Engine, topic: str) -> None:
    """Two laps of a ring of 64 messages: the subscriber goes on at tail and says what it missed."""
    with opened(here, "publisher", topic) as pub, opened(there, "subscriber", topic) as sub:
        for i in range(200):
            pub.send(body(i))
        first = sub.receive()
        assert first and first.sequence == first.lost == 200 - SMALL // EXTENT
        rest = drain(sub)
        assert [m.sequence for m in rest] == list(range(first.sequence + 1, 200)) and not any(m.lost for m in rest)
        info = pub.info()
        assert (info.message_count, info.dropped_count, info.head - info.tail) == (200, first.lost, SMALL)
        assert sub.info().lost == first.lost


def test_losses_as_an_error(engine: Engine, topic: str) -> None:
    with opened(engine, "publisher", topic) as pub, opened(engine, "subscriber", topic, tell_lost=True) as sub:
        for i in range(100):
            pub.send(body(i))
        with pytest.raises(Lost) as lost:
            sub.receive()
        found = sub.receive()
        assert found and found.sequence == found.lost == lost.value.count == 36


def test_start_and_seek(engine: Engine, topic: str) -> None:
    with opened(engine, "publisher", topic) as pub:
        pub.send_batch([body(i) for i in range(5)])
        with opened(engine, "subscriber", topic, oldest=True) as old, opened(engine, "subscriber", topic) as new:
            assert new.receive() is None
            assert [m.sequence for m in old.receive_batch(9)] == [0, 1, 2, 3, 4]
            new.seek(oldest=True)
            assert [m.sequence for m in new.receive_batch(2)] == [0, 1]
            new.seek(oldest=False)
            assert new.receive() is None and new.info().lost == 0


@pytest.mark.parametrize(("here", "there"), PAIRS)
def test_views(here: Engine, there: Engine, topic: str) -> None:
    with opened(here, "publisher", topic) as pub, opened(there, "subscriber", topic) as sub:
        pub.send(body(1))
        view = sub.view()
        assert view and isinstance(view.payload, memoryview) and view.payload.readonly and bytes(view.payload) == body(1)
        assert sub.holds(view)
        for i in range(SMALL // EXTENT):
            pub.send(body(i))
        assert not sub.holds(view)
        again = sub.view()
        assert again and again.lost == 0
        sub.close()
        assert not sub.holds(again)
        assert bytes(again.payload)  # the mapping outlives the endpoint


@pytest.mark.parametrize(("here", "there"), PAIRS)
def test_wrapping_with_odd_sizes(here: Engine, there: Engine, topic: str) -> None:
    """Every size to the largest, across the end of the ring again and again."""
    with opened(here, "pusher", topic) as push, opened(there, "puller", topic) as pull:
        for size in [*range(0, 2008, 13), 2008] * 2:
            data = bytes(i & 0xFF for i in range(size))
            push.send(data)
            found = pull.receive(max_size=size)
            assert found and found.payload == data
        with pytest.raises(shmwire.TooLargeError, match="2008"):
            push.send(bytes(2009))
        with pytest.raises(shmwire.TooLargeError):
            push.send_batch([b"", bytes(2009)])
        assert push.info().message_count == push.info().sent == pull.info().received


def test_pipeline_refuses_and_waits(engine: Engine, topic: str) -> None:
    with opened(engine, "pusher", topic) as push, opened(engine, "puller", topic) as pull:
        sent, stop = push.send_batch([body(i) for i in range(70)])
        assert sent == SMALL // EXTENT and isinstance(stop, shmwire.Full)
        with pytest.raises(shmwire.Full):
            push.send(body(0))
        with pytest.raises(shmwire.Timeout):
            push.send(body(0), timeout=0.25)  # several slices of waiting: one refusal
        assert push.info().dropped_count == push.info().refused == 3
        taker = threading.Timer(0.05, lambda: pull.receive_batch(10))
        taker.start()
        assert push.send(body(64), timeout=10) == 64
        taker.join()
        assert [m.sequence for m in drain(pull)] == list(range(10, 65))


def test_batches_to_the_byte(engine: Engine, topic: str) -> None:
    with opened(engine, "pusher", topic) as push, opened(engine, "puller", topic) as pull:
        push.send_packed(b"aabbbc", [2, 3, 1])
        push.send_packed(b"xyz", 1)
        assert pull.receive_packed(4) == (b"aabbbcx", [2, 5, 6, 7])
        assert [m.payload for m in pull.receive_batch(9, max_bytes=1)] == [b"y"]
        push.send(bytes(100))
        assert pull.receive_batch(1, max_bytes=1)[0].payload == b"z"
        with pytest.raises(shmwire.TooSmallError) as small:
            pull.receive(max_size=99)
        assert small.value.needed == 100
        with pytest.raises(shmwire.TooSmallError):
            pull.receive_batch(2, max_bytes=10)
        found = pull.receive(max_size=100)
        assert found and len(found.payload) == 100
        with pytest.raises(shmwire.InvalidArgumentError):
            pull.receive_batch(0)


def test_claims(engine: Engine, topic: str) -> None:
    with opened(engine, "publisher", topic) as pub, opened(engine, "subscriber", topic) as sub, \
            opened(engine, "publisher", topic) as other:
        view = pub.claim(5)
        view[:] = b"first"
        with pytest.raises(shmwire.BusyError):
            pub.send(b"x")
        with pytest.raises(shmwire.BusyError):
            other.send(b"x")
        assert sub.receive() is None
        assert pub.commit() == 0
        before = raw_of("pub", topic).bytes(0, 64)
        pub.claim(100)[:] = bytes(100)
        pub.abandon()
        after = raw_of("pub", topic).bytes(0, 64)
        assert before == after
        for call in (pub.commit, pub.abandon):
            with pytest.raises(shmwire.OutOfOrderError):
                call()
        assert other.send(b"second") == 1
        assert [m.payload for m in drain(sub)] == [b"first", b"second"]
        with pytest.raises(shmwire.InvalidArgumentError):
            pub.claim(-1)
        kept = pub.claim(8)
        pub.close()
        kept[:] = bytes(8)  # late, and into memory that is still there
        assert other.send(b"third") == 2


def test_sole_writer(engine: Engine, topic: str) -> None:
    with opened(engine, "publisher", topic, sole=True) as pub:
        with pytest.raises(shmwire.BusyError):
            opened(engine, "publisher", topic, sole=True)
        with opened(engine, "publisher", topic) as other, pytest.raises(shmwire.BusyError):
            other.send(b"x")
        assert [pub.send(body(i)) for i in range(3)] == [0, 1, 2]
        pub.claim(3)[:] = b"abc"
        assert pub.commit() == 3
        assert pub.info().writer_lock & layout.MAX_ENDPOINT == pub.info().endpoint
    assert left_over(topic) == []


@pytest.mark.parametrize(("here", "there"), PAIRS)
def test_requests_and_replies(here: Engine, there: Engine, topic: str) -> None:
    with opened(here, "replier", topic) as rep, opened(there, "requester", topic) as one, \
            opened(there, "requester", topic) as two:
        with pytest.raises(shmwire.OutOfOrderError):
            one.receive()
        one.send(b"from one")
        two.send(b"from two")
        first, second = rep.receive(), rep.receive()
        assert first and second and first.correlation_id and first.sender == one.info().endpoint
        rep.reply(second, b"to two")
        rep.reply(first, b"to one")
        answers = [one.receive(1.0), two.receive(1.0)]
        assert [m.payload for m in answers if m] == [b"to one", b"to two"]
        one.send(b"given up")
        late = rep.receive()
        assert late
        rep.reply(late, b"late")
        one.send(b"again")
        again = rep.receive()
        assert again
        rep.reply(again, b"in time")
        answer = one.receive(1.0)
        assert answer and answer.payload == b"in time" and one.info().discarded == 1
        two.close()
        with pytest.raises(shmwire.Closed):
            rep.reply(second, b"nobody")
        assert rep.info().unanswered == 1
        assert len(left_over(topic)) == 2
    assert left_over(topic) == []


def test_close_and_drain(engine: Engine, topic: str) -> None:
    push, pull = opened(engine, "pusher", topic), opened(engine, "puller", topic)
    second = opened(engine, "pusher", topic)
    push.send(body(1))
    push.close()
    second.send(body(2))
    second.close()
    assert left_over(topic) == [f"shmcomm_push_{topic}"]
    for number in (1, 2):
        found = pull.receive(1.0)
        assert found and found.payload == body(number)
    with pytest.raises(shmwire.Closed):
        pull.receive(1.0)
    assert left_over(topic) == []
    pull.close()
    pull.close()
    for call in (pull.receive, pull.info, lambda: push.send(b"x"), push.snapshot):
        with pytest.raises(shmwire.Closed):
            call()
    last = push.last_info()
    assert last and last.sent == 1


def test_close_wakes_a_sleeper(engine: Engine, topic: str) -> None:
    pub, sub = opened(engine, "publisher", topic), opened(engine, "subscriber", topic)
    closer = threading.Timer(0.05, pub.close)
    closer.start()
    with pytest.raises(shmwire.Closed):
        sub.receive(30.0)
    closer.join()
    sub.close()


def test_takeover_of_a_pipeline(engine: Engine, topic: str) -> None:
    """Closed with messages: the next pusher opens it again, and the counts go on."""
    with opened(engine, "pusher", topic) as push:
        push.send(body(1))
        instance = push.info().instance
    with opened(engine, "pusher", topic, capacity=8192) as push:
        info = push.info()
        assert (info.instance, info.message_count, info.state, info.capacity) == (instance, 1, layout.STATE_OPEN, SMALL)
        assert info.owner_endpoint == info.endpoint
    assert raw_of("push", topic).u32(layout.HEADER_STATE_OFFSET) == layout.STATE_CLOSED
    with pytest.raises(shmwire.Full):
        remove(f"/shmcomm_push_{topic}", engine=engine)
    remove(f"/shmcomm_push_{topic}", insist=True, engine=engine)
    with pytest.raises(shmwire.NotFoundError):
        remove(f"/shmcomm_push_{topic}", engine=engine)


def test_header_of_a_new_channel(engine: Engine, topic: str) -> None:
    options = Options(capacity=8192, serializer=3, endpoint=77, pid=4711, instance=99, boot_ns=123, mode=0o640)
    with open_endpoint("publisher", topic, options, engine) as pub:
        raw = raw_of("pub", topic)
        assert raw.path.stat().st_mode & 0o777 == 0o640
        found = header(raw.bytes())
        assert found == {"magic": layout.MAGIC, "version": 2, "head": 0, "tail": 0, "writer_lock": 0, "lock_epoch": 0,
                         "message_count": 0, "dropped_count": 0, "capacity": 8192, "pattern": 1, "state": 1, "data_signal": 0,
                         "data_waiters": 0, "space_signal": 0, "space_waiters": 0, "owner_pid": 4711, "serializer": 3,
                         "heartbeat_ns": 123, "instance": 99, "owner_endpoint": 77}
        assert raw.bytes(116) == bytes(12 + 8192)
        assert pub.send(b"{}") == 0
        names = fields(pub.snapshot())
        assert names["frame[0].content_type"] == "3" and names["frame[0].sender"] == "77" and names["frame[0].payload"] == "7b7d"
        assert pub.segment == f"/shmcomm_pub_{topic}"
        with pytest.raises(shmwire.BusyError):
            open_endpoint("publisher", topic, options, engine)
        with pytest.raises(shmwire.ExistsError):
            open_endpoint("publisher", topic, Options(making="create"), engine)


def test_what_cannot_be_opened(engine: Engine, topic: str) -> None:
    for name in ("", "a b", "x" * 201, "ä"):
        with pytest.raises(shmwire.InvalidNameError):
            opened(engine, "publisher", name)
    for capacity in (4095, 5000, 2048, 2**39):
        with pytest.raises(shmwire.InvalidArgumentError):
            opened(engine, "publisher", topic, capacity=capacity)
    for role in ("subscriber", "puller", "requester"):
        with pytest.raises(shmwire.NotFoundError):
            opened(engine, role, topic)  # type: ignore[arg-type]
    with pytest.raises(shmwire.NotFoundError):
        opened(engine, "pusher", topic, making="join")
    with opened(engine, "publisher", topic) as pub, pytest.raises(shmwire.UnsupportedError):
        opened(engine, "puller", pub.segment)
    assert left_over(topic) == []


HOSTILE: list[tuple[int, bytes, type[Exception]]] = [
    (0, bytes(8), shmwire.NotReadyError), (0, b"SHMCOMM1", shmwire.BadMagicError),
    (8, b"\x01", shmwire.BadVersionError), (56, (3000).to_bytes(8, "little"), shmwire.BadGeometryError),
    (56, (8192).to_bytes(8, "little"), shmwire.TruncatedError), (64, b"\x05", shmwire.BadGeometryError),
    (68, b"\x03", shmwire.BadGeometryError), (92, b"\0\0\1", shmwire.BadGeometryError), (16, b"\x04", shmwire.CorruptError),
    (24, b"\xff" * 8, shmwire.CorruptError), (16, (8192).to_bytes(8, "little"), shmwire.CorruptError)]


@pytest.mark.parametrize(("offset", "data", "expected"), HOSTILE)
def test_hostile_headers(engine: Engine, topic: str, tmp_path: Path, offset: int, data: bytes, expected: type[Exception]) -> None:
    with opened(engine, "publisher", topic):
        file = copy_of("pub", topic, tmp_path)
    Raw(str(file)).poke(offset, data)
    before = file.read_bytes()
    for role in ("subscriber", "observer", "publisher"):
        with pytest.raises(expected):
            opened(engine, role, str(file), making="join")  # type: ignore[arg-type]
    assert file.read_bytes() == before


def test_hostile_frames(engine: Engine, topic: str, tmp_path: Path) -> None:
    """Each receiver says so, and stays; nothing is touched."""
    with opened(engine, "pusher", topic) as push:
        push.send_batch([body(i) for i in range(4)])
        file = copy_of("push", topic, tmp_path)
        for _ in range(60):
            push.send(body(0))
    raw = Raw(str(file))
    for size in (0, 31, 2**32, 2**64 - 1, 2**64 - 8, 4 * EXTENT - 7):
        raw.poke_u64(128, size)
        before = file.read_bytes()
        with opened(engine, "puller", str(file)) as pull:
            for _ in range(2):
                with pytest.raises(shmwire.CorruptError):
                    pull.receive()
            with pytest.raises(shmwire.CorruptError):
                pull.receive_batch(4)
        with opened(engine, "observer", str(file)) as look:
            with pytest.raises(shmwire.CorruptError):
                look.receive()
            with pytest.raises(shmwire.CorruptError):
                look.validate()
        assert file.read_bytes() == before


def test_observer_takes_nothing(engine: Engine, topic: str) -> None:
    with opened(engine, "replier", topic) as rep, opened(engine, "requester", topic) as req:
        req.send(b"q")
        with opened(engine, "observer", topic) as look:
            look.validate()
            found = look.receive()
            assert found and found.payload == b"q" and look.info().endpoint == 0
            for call in (lambda: look.send(b"x"), lambda: look.claim(1), lambda: look.reply(found, b"x")):
                with pytest.raises(shmwire.ShmwireError):
                    call()
        assert rep.receive() is not None


def test_unfinished_segments(engine: Engine, topic: str) -> None:
    file = Path(f"/dev/shm/shmcomm_pub_{topic}")
    for content in (b"", bytes(100), bytes(8192)):
        file.write_bytes(content)
        with pytest.raises((shmwire.NotReadyError, shmwire.TruncatedError)):
            opened(engine, "subscriber", topic)
        begin = time.monotonic()
        with opened(engine, "publisher", topic, wait=0.1) as pub:
            assert time.monotonic() - begin >= 0.1 and pub.send(b"x") == 0
        file.write_bytes(content)
        remove(f"/shmcomm_pub_{topic}", engine=engine)
        assert not file.exists()


def test_recover_by_hand(engine: Engine, topic: str) -> None:
    """A lock whose owner is nobody, a count behind the ring, and what evicted frames say."""
    with opened(engine, "publisher", topic) as pub:
        for i in range(70):
            pub.send(body(i))
        raw = raw_of("pub", topic)
        raw.poke_u32(layout.HEADER_WRITER_LOCK_OFFSET, 4711 | layout.LOCK_WAITERS)
        raw.poke_u64(layout.HEADER_MESSAGE_COUNT_OFFSET, 69)
        raw.poke_u64(layout.HEADER_DROPPED_COUNT_OFFSET, 0)
        found = recover(pub.segment, engine=engine)
        assert (found.lock_taken, found.count_repaired, found.swept) == (True, True, 0)
        info = pub.info()
        assert (info.message_count, info.dropped_count, info.lock_epoch, info.writer_lock) == (70, 6, 1, 0)
        again = recover(pub.segment, engine=engine)
        assert (again.lock_taken, again.count_repaired) == (False, False)
        pub.claim(1)
        with pytest.raises(shmwire.BusyError):
            recover(pub.segment, engine=engine)
        pub.abandon()


def test_writers_take_over_from_the_dead(engine: Engine, topic: str) -> None:
    with opened(engine, "pusher", topic) as push, opened(engine, "puller", topic) as pull:
        push.send(body(0))
        raw = raw_of("push", topic)
        raw.poke_u32(layout.HEADER_WRITER_LOCK_OFFSET, 4711)
        raw.poke_u64(layout.HEADER_MESSAGE_COUNT_OFFSET, 0)  # it died between head and message_count
        assert push.send(body(1)) == 1
        assert push.info().takeovers == push.info().lock_epoch == 1
        assert [m.sequence for m in drain(pull)] == [0, 1]


def test_names() -> None:
    assert segment_name(layout.PATTERN_REPLY, "svc", 7) == "/shmcomm_rep_svc_7"
    assert segment_name(layout.PATTERN_REPLY, "/some/file", 7) == "/some/file_rep_7"
    found = named("shmcomm_rep_a_b_17")
    assert found and (found.name, found.number, found.pattern) == ("a_b", 17, layout.PATTERN_REPLY)
    for other in ("shmcomm_rep_a", "shmcomm_rep_a_0", "shmcomm_rep_a_01", "shmcomm_pub_", "x", "shmcomm_pub_a b",
                  "shmcomm_rep_a_2147483648", f"shmcomm_pub_{'x' * 201}"):
        assert named(other) is None
    assert os.path.exists("/dev/shm")
