# SPDX-License-Identifier: MIT
"""The shortest ways of an endpoint (the native engine's lane): they answer as the longer ones do, and keep to its lock."""

from __future__ import annotations

import threading

import pytest
import shmwire
from shmcomm_support import body, opened, topic
from shmwire.engine import Engine
from shmwire.shmcomm import Meta

__all__ = ["topic"]
LONG = 65536  # bytes: the longest payload that goes by a lane
LIMIT_S = 60.0


@pytest.mark.parametrize("sole", [True, False])
def test_a_send_waits_for_a_claim_of_another_thread(engine: Engine, topic: str, sole: bool) -> None:
    with opened(engine, "publisher", topic, sole=sole) as pub, opened(engine, "subscriber", topic) as sub:
        begun, sent = threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            pub.send(b"second", timeout=LIMIT_S)
            sent.set()

        thread = threading.Thread(target=work)
        with pub.lock:
            room = pub.claim(5)
            thread.start()
            assert begun.wait(LIMIT_S) and not sent.wait(0.1)
            room[:] = b"first"
            pub.commit()
        thread.join(LIMIT_S)
        assert [message.payload for message in sub.receive_batch(10)] == [b"first", b"second"]


def test_a_holder_of_the_lock_sends_and_receives(engine: Engine, topic: str) -> None:
    with opened(engine, "publisher", topic, sole=True) as pub, opened(engine, "subscriber", topic) as sub:
        with pub.lock, pub.lock, sub.lock:
            assert pub.send(body(1)) == 0
            assert pub.send_packed(body(2) + body(3), 24) == (2, None)
            first = sub.receive()
            assert first and first.payload == body(1)
            assert sub.receive_packed(5) == (body(2) + body(3), [24, 48])
        with pytest.raises(ZeroDivisionError), pub.lock:
            raise ZeroDivisionError
        assert pub.send(body(4)) == 3


@pytest.mark.parametrize("length", [0, 1, LONG - 1, LONG, LONG + 1, 5 * LONG])
def test_lengths_around_the_longest_short_one(engine: Engine, topic: str, length: int) -> None:
    data = bytes(range(256)) * (length // 256) + bytes(length % 256)
    with opened(engine, "pusher", topic, capacity=1 << 20) as push, opened(engine, "puller", topic) as pull:
        push.send(data)
        found = pull.receive()
        assert found and found.payload == data
        assert push.send_packed(memoryview(data + b"x"), [length, 1]) == (2, None)
        assert pull.receive_packed(2) == (data + b"x", [length, length + 1])
        assert pull.receive() is None and pull.receive_packed(7) == (b"", [])


def test_packed_with_a_meta_and_limits(engine: Engine, topic: str) -> None:
    with opened(engine, "pusher", topic) as push, opened(engine, "puller", topic) as pull:
        assert push.send_packed(body(0) + body(1) + body(2), [24, 24, 24], Meta(5, 6, 7)) == (3, None)
        assert pull.receive_packed(2) == (body(0) + body(1), [24, 48])
        with pytest.raises(shmwire.TooSmallError) as small:
            pull.receive_packed(1, max_bytes=23)
        assert small.value.needed == 24
        found = pull.receive()
        assert found and (found.payload, found.timestamp_ns, found.content_type, found.flags) == (body(2), 5, 6, 7)
        assert push.send_packed(b"", []) == (0, None)
        for lengths in (7, [24, 25], [24, -24, 48], 0):
            with pytest.raises(shmwire.InvalidArgumentError):
                push.send_packed(body(0) + body(1), lengths)
        with pytest.raises(shmwire.InvalidArgumentError):
            pull.receive_packed(0)


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_packed_into_a_ring_that_fills(engine: Engine, topic: str, timeout: float) -> None:
    with opened(engine, "pusher", topic) as push, opened(engine, "puller", topic) as pull:
        done, stop = push.send_packed(b"".join(map(body, range(100))), 24, timeout=timeout)
        assert done == 64 and stop is not None and stop.name == ("TIMEOUT" if timeout else "FULL")
        assert push.info().refused == 1
        blob, ends = pull.receive_packed(100)
        assert blob == b"".join(map(body, range(64))) and ends == [24 * (i + 1) for i in range(64)]


def test_after_close_everything_is_closed(engine: Engine, topic: str) -> None:
    pub, sub = opened(engine, "publisher", topic, sole=True), opened(engine, "subscriber", topic)
    sub.receive_packed(3)
    for end in (sub, pub):
        end.close()
    for call in (sub.receive, lambda: sub.receive_packed(3), lambda: pub.send(b"x"), lambda: pub.send_packed(b"x", 1)):
        with pytest.raises(shmwire.Closed):
            call()


def test_threads_take_batches_of_growing_size(engine: Engine, topic: str) -> None:
    """Each larger limit moves the buffers that another thread may be about to use."""
    count, found = 4096, list[bytes]()
    with opened(engine, "pusher", topic, capacity=1 << 19) as push, opened(engine, "puller", topic) as pull:
        assert push.send_packed(b"".join(map(body, range(count))), 24) == (count, None)

        def take(limit: int) -> None:
            while True:
                blob, ends = pull.receive_packed(limit)
                if not ends:
                    return
                found.extend(blob[end - 24:end] for end in ends)
                limit += 1

        threads = [threading.Thread(target=take, args=(limit,)) for limit in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
    assert sorted(found) == sorted(map(body, range(count)))
