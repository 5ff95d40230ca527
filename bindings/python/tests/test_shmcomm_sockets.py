# SPDX-License-Identifier: MIT
"""The sockets of profile shmcomm, as the source's document spells them: every public name, both engines."""

from __future__ import annotations

import asyncio
import builtins
import logging
import pickle
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import numpy as np
import pytest
import shmwire
from shmcomm_support import SMALL, left_over, topic
from shmwire import shmcomm
from shmwire.engine import Engine
from shmwire.shmcomm import (
    Publisher,
    Puller,
    Pusher,
    Replier,
    Requester,
    SHMBufferFullError,
    SHMClosedError,
    SHMConnectionError,
    SHMError,
    SHMSerializationError,
    SHMTimeoutError,
    Subscriber,
    cleanup_stale,
    force_unlink,
    list_channels,
)
from shmwire.shmcomm.array import decode, encode
from shmwire.shmcomm.serialize import Serializer

__all__ = ["topic"]


def test_the_source_s_examples(engine: Engine, topic: str) -> None:
    pub = Publisher(name=topic, engine=engine)
    sub = Subscriber(name=topic, engine=engine)
    assert pub.send({"cmd": "move", "pos": [1.0, 2.0, 3.0]}) is True
    assert sub.recv(timeout=100) == {"cmd": "move", "pos": [1.0, 2.0, 3.0]}
    server = Replier(name=topic, engine=engine)
    client = Requester(name=topic, engine=engine)
    client.send({"query": "status"})
    assert server.recv() == {"query": "status"}
    assert server.send({"status": "ok"}) is True
    assert client.recv(timeout=1000) == {"status": "ok"}
    for socket in (pub, sub, server, client):
        socket.close()
        socket.close()
        assert socket.closed
    assert left_over(topic) == []


OBJECTS: dict[Serializer, list[Any]] = {
    "pickle": [None, 1, "ä", {"a": (1, 2)}, b"bytes", bytearray(b"x"), {1, 2}, complex(1, 2)],
    "msgpack": [None, 1, "ä", {"a": [1, 2]}, b"bytes", {1: 2}, 1.5], "json": [None, 1, "ä", {"a": [1, 2]}, 1.5],
    "raw": [b"", b"bytes", bytes(1000)]}


@pytest.mark.parametrize("serializer", list(OBJECTS))
def test_serializers(engine: Engine, topic: str, serializer: Serializer) -> None:
    """What is sent comes back, one by one and in batches, with the content type of the serializer."""
    with Publisher(topic, serializer=serializer, engine=engine) as pub, \
            Subscriber(topic, serializer=serializer, engine=engine) as sub:
        array = np.arange(6, dtype="<i4").reshape(2, 3)
        for value in OBJECTS[serializer]:
            assert pub.send(value)
            assert sub.recv(timeout=1000) == value
        assert pub.send(array)
        found = sub.recv_message(timeout=1000)
        assert found.content_type == shmcomm.CONTENT_NDARRAY and (found.value == array).all()
        sent = [*OBJECTS[serializer], array]
        assert pub.send_many(sent) == len(sent)
        received: list[Any] = []
        while len(received) < len(sent):
            received += sub.recv_many(100, timeout=1000)
        assert received[:-1] == sent[:-1] and (received[-1] == array).all()


def test_what_is_on_the_wire(topic: str, engine: Engine) -> None:
    """Other languages read it: plain json, plain msgpack, plain bytes."""
    with Publisher(topic, engine=engine) as pub, Subscriber(topic, engine=engine) as sub:
        for serializer, wanted in (("json", b'{"a":1}'), ("msgpack", msgpack.packb({"a": 1}))):
            with Publisher(topic, serializer=serializer, engine=engine) as other:  # type: ignore[arg-type]
                other.send({"a": 1})
            assert sub.recv_bytes(timeout=1000) == wanted
        pub.send_bytes(memoryview(bytearray(b"0123"))[::2], content_type=99)
        found = sub.recv_message(timeout=1000)
        assert (found.value, found.content_type, found.sequence, found.lost) == (b"02", 99, 2, 0)
        assert found.sender > 0 and abs(found.timestamp_ns - time.time_ns()) < 60e9


class Trap:
    """What its pickle does when it is read."""

    sprung = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _spring, ()


def _spring() -> None:
    Trap.sprung = True


@pytest.mark.parametrize("serializer", ["raw", "msgpack", "json"])
def test_never_unpickles(engine: Engine, topic: str, serializer: Serializer) -> None:
    with Publisher(topic, engine=engine) as pub, Subscriber(topic, serializer=serializer, engine=engine) as sub:
        pub.send(Trap())
        with pytest.raises(SHMSerializationError, match=topic):
            sub.recv(timeout=1000)
        pub.send(Trap())
        with pytest.raises(SHMSerializationError, match="pickle"):
            sub.recv_many(2, timeout=1000)
        assert not Trap.sprung
        assert sub.stats()["errors"] == 2
        pub.send_many([np.ones(3), b"bytes"])
        assert (sub.recv(timeout=1000) == np.ones(3)).all()
        assert sub.recv(timeout=1000) == b"bytes"
    with Publisher(topic, engine=engine) as pub, Subscriber(topic, engine=engine) as trusting:
        pub.send(Trap())
        trusting.recv(timeout=1000)
        assert Trap.sprung
    Trap.sprung = False


def test_serialization_errors(engine: Engine, topic: str) -> None:
    for serializer, value in (("raw", "text"), ("json", {1, 2}), ("json", float("nan")), ("msgpack", object()),
                              ("pickle", threading.Lock())):
        with Publisher(topic, serializer=serializer, engine=engine) as pub:  # type: ignore[arg-type]
            with pytest.raises(SHMSerializationError, match=topic):
                pub.send(value)
            with pytest.raises(SHMSerializationError):
                pub.send_many([value])
            assert pub.stats()["sent"] == 0 and pub.stats()["errors"] == 2
    with pytest.raises(shmcomm.SHMArgumentError):
        Publisher(topic, serializer="yaml", engine=engine)  # type: ignore[arg-type]
    with Publisher(topic, engine=engine) as pub, Subscriber(topic, engine=engine) as sub:
        for kind, broken in ((1, b"\x80\x05."), (2, b"\xc1"), (3, b"{"), (4, b"\x01")):
            pub.send_bytes(broken, content_type=kind)
            with pytest.raises(SHMSerializationError):
                sub.recv(timeout=1000)


# Arrays ---------------------------------------------------------------------------------------------------------------

ARRAYS = [np.arange(24.0).reshape(2, 3, 4), np.zeros((0, 3), "<u2"), np.array(7), np.arange(10)[::3],
          np.asfortranarray(np.arange(12).reshape(3, 4)), np.array(["ab", "c"]), np.array([b"ab"]), np.array([True, False]),
          np.array([1 + 2j]), np.arange(3, dtype=">i8"), np.array(["2026-01-01"], "M8[s]"), np.arange(5, dtype="m8[ms]"),
          np.zeros((480, 640, 3), np.uint8), np.zeros((1,) * 32, np.int8), np.arange(6).reshape(2, 3).T]


@pytest.mark.parametrize("index", range(len(ARRAYS)))
def test_arrays(engine: Engine, topic: str, index: int) -> None:
    array = ARRAYS[index]
    with Publisher(topic, serializer="raw", engine=engine) as pub, Subscriber(topic, serializer="raw", engine=engine) as sub:
        for _ in range(3):
            assert pub.send(array)
            found = sub.recv(timeout=1000)
            assert found.dtype == array.dtype and found.shape == array.shape and (found == array).all()
            assert pub.send(array)
            view = sub.recv_view(timeout=1000)
            lent = view.array()
            assert (lent == array).all() and not lent.flags.writeable and view.valid() and view.content_type == 4
            assert lent.ndim < 2 or array.flags.c_contiguous == lent.flags.c_contiguous or not array.flags.f_contiguous
            view.check()


def test_arrays_that_are_pickled(engine: Engine, topic: str) -> None:
    """Objects and fields: content type 4 cannot say them."""
    odd = [np.array([{"a": 1}], dtype=object), np.zeros(2, [("x", "<i4"), ("y", "<f8")])]
    with Publisher(topic, engine=engine) as pub, Subscriber(topic, engine=engine) as sub:
        for array in odd:
            pub.send(array)
            found = sub.recv_message(timeout=1000)
            assert found.content_type == shmcomm.CONTENT_PICKLE and (found.value == array).all()
        with pytest.raises(SHMSerializationError):
            Publisher(topic, serializer="raw", engine=engine).send(odd[0])


def test_hostile_arrays() -> None:
    """Whatever a payload says of itself, it is an array or SHMSerializationError, and never more bytes than there are."""
    seed = 20240917
    rng = random.Random(seed)
    encoded = encode(np.arange(24, dtype="<u4").reshape(2, 3, 4))
    assert encoded
    good = bytes(encoded.join())
    assert (decode(good) == np.arange(24).reshape(2, 3, 4)).all()
    for cut in range(len(good)):
        with pytest.raises(SHMSerializationError):
            decode(good[:cut])
    for bad in (b"\x01\x00\x01\x02O8\0\0" + (1).to_bytes(8, "little") + bytes(8), good[:4] + b"V" + good[5:],
                b"\x01\x00\x02\x03<u4\0" + (2**63).to_bytes(8, "little") * 2, b"\x01\x00\x01\x06<i4,i4" + bytes(14)):
        with pytest.raises(SHMSerializationError):
            decode(bad)
    for _ in range(3000):
        broken = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(40)] = rng.randrange(256)
        try:
            found = decode(bytes(broken))
        except SHMSerializationError:
            continue
        assert found.nbytes <= len(good), seed


def test_views(engine: Engine, topic: str) -> None:
    with Publisher(topic, capacity=SMALL, engine=engine) as pub, Subscriber(topic, engine=engine) as sub:
        pub.send_bytes(b"lent")
        view = sub.recv_view(timeout=1000)
        assert bytes(view.data) == b"lent" and len(view) == 4 and view.lost == 0 and view.valid()
        with pytest.raises(SHMSerializationError):
            view.array()
        for _ in range(100):
            pub.send_bytes(bytes(24))
        assert not view.valid()
        with pytest.raises(shmcomm.SHMLostError):
            view.check()


def test_filling_in_place(engine: Engine, topic: str) -> None:
    with Publisher(topic, capacity=SMALL, engine=engine) as pub, Subscriber(topic, engine=engine) as sub:
        with pub.claim(5) as view:
            view[:] = b"hello"
        with pytest.raises(KeyError), pub.claim(5) as view:
            raise KeyError
        with pub.claim(5, content_type=7) as view:
            view[:] = b"again"
        assert [sub.recv_bytes(timeout=1000), sub.recv_message(timeout=1000).sequence] == [b"hello", 1]
        with pytest.raises(SHMBufferFullError, match="2008"), pub.claim(2009):
            pass


# Answers --------------------------------------------------------------------------------------------------------------


def test_full_and_timeouts(engine: Engine, topic: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "shmcomm")
    with Pusher(topic, capacity=SMALL, engine=engine) as push, Puller(topic, engine=engine) as pull:
        sent = 0
        while push.send(sent):
            sent += 1
        assert push.send(0, timeout=30) is False and push.stats()["refused"] == push.stats()["dropped"] == 2
        assert push.send_many([1, 2]) == 0 and push.send_packed(bytes(8), 4) == 0
        assert any("bytes are used" in record.message and record.levelno == logging.WARNING for record in caplog.records)
        assert any("open on" in record.message and record.levelno == logging.DEBUG for record in caplog.records)
        assert [pull.recv(timeout=0) for _ in range(sent)] == list(range(sent))
        begin = time.monotonic()
        with pytest.raises(SHMTimeoutError, match="50 ms") as answer:
            pull.recv(timeout=50)
        assert time.monotonic() - begin >= 0.05
        for kind in (TimeoutError, shmwire.Timeout, shmwire.ShmwireException, SHMError):
            assert isinstance(answer.value, kind)
        for call in (pull.recv, pull.recv_bytes, pull.recv_message, lambda timeout: pull.recv_many(1, timeout)):
            with pytest.raises(SHMTimeoutError):
                call(timeout=0)
        with pytest.raises(SHMError):
            pull.recv(timeout=-1)
        assert push.send_packed(b"abc", [1, 2]) == 2
        blob, ends = pull.recv_packed(10, timeout=1000)
        assert (blob, ends) == (b"abc", [1, 3])


def test_losses_are_told(engine: Engine, topic: str, caplog: pytest.LogCaptureFixture) -> None:
    with Publisher(topic, capacity=SMALL, engine=engine) as pub, Subscriber(topic, engine=engine) as sub, \
            Subscriber(topic, tell_lost=True, engine=engine) as strict:
        for _ in range(200):
            pub.send_bytes(bytes(24))
        found = sub.recv_message(timeout=0)
        assert found.lost == sub.stats()["lost"] == pub.stats()["dropped"] == 136
        assert [record.levelname for record in caplog.records if "136 messages lost" in record.message] == ["WARNING"]
        with pytest.raises(shmcomm.SHMLostError) as lost:
            strict.recv(timeout=0)
        assert lost.value.lost == 136 and isinstance(lost.value, shmwire.Lapped)
        assert strict.recv(timeout=0) == bytes(24)
        sub.seek("oldest")
        assert sub.recv_message(timeout=0).sequence == 136
        sub.seek()
        with pytest.raises(SHMTimeoutError):
            sub.recv(timeout=0)


def test_errors_catch_both_ways(engine: Engine, topic: str) -> None:
    begin = time.monotonic()
    with pytest.raises(SHMConnectionError, match=topic) as answer:
        Subscriber(topic, wait=0.2, engine=engine)
    assert time.monotonic() - begin >= 0.2
    assert isinstance(answer.value, (shmwire.NotFoundError, FileNotFoundError))
    with Publisher(topic, engine=engine) as pub:
        for kind, call in ((shmwire.UnsupportedError, lambda: Pusher(pub.segment, engine=engine)),
                           (shmwire.ExistsError, lambda: Publisher(topic, making="create", engine=engine)),
                           (shmwire.BusyError, lambda: force_unlink(topic))):
            with pytest.raises(SHMConnectionError, match=topic) as refused:
                call()
            assert isinstance(refused.value, kind)
        with pytest.raises(SHMBufferFullError) as large:
            pub.send(bytes(3 << 20))
        assert isinstance(large.value, shmwire.TooLargeError) and "2097112" in str(large.value)
        with pytest.raises(ValueError, match="a b"):
            Publisher("a b", engine=engine)
        with pytest.raises(shmwire.InvalidArgumentError):
            Pusher(topic, capacity=5000, engine=engine)
    with pytest.raises(SHMClosedError, match="closed") as closed:
        pub.send(1)
    assert isinstance(closed.value, (shmwire.Closed, SHMConnectionError))
    assert pub.stats()["sent"] == 0
    Path(f"/dev/shm/shmcomm_pub_{topic}").write_bytes((0x53484D434F4D4D31).to_bytes(8, "little") + b"\x01" + bytes(200))
    with pytest.raises(SHMConnectionError, match="version"):
        Subscriber(topic, wait=0, engine=engine)
    assert [(c.name, bool(c.problem)) for c in list_channels(topic)] == [(topic, True)]


def test_receivers_end_with_their_channel(engine: Engine, topic: str) -> None:
    push = Pusher(topic, engine=engine)
    first, second = Puller(topic, engine=engine), Puller(topic, engine=engine)
    push.send_many(list(range(10)))
    push.close()
    taken = [first.recv(), second.recv()]
    assert sorted([*taken, *first]) == list(range(10))
    assert list(second) == []
    with pytest.raises(SHMClosedError):
        first.recv()


def test_close_ends_a_recv_of_another_thread(engine: Engine, topic: str) -> None:
    with Publisher(topic, engine=engine):
        sub = Subscriber(topic, engine=engine)
        threading.Timer(0.1, sub.close).start()
        with pytest.raises(SHMClosedError):
            sub.recv()


def test_threads_share_a_socket(engine: Engine, topic: str) -> None:
    with Pusher(topic, engine=engine) as push, Puller(topic, engine=engine) as pull:
        each, found = 300, list[int]()

        def work(begin: int) -> None:
            for number in range(begin, begin + each):
                assert push.send(number, timeout=10_000)

        def take() -> None:
            for _ in range(each):
                found.append(pull.recv(timeout=10_000))

        threads = [threading.Thread(target=work, args=(i * each,)) for i in range(3)]
        threads += [threading.Thread(target=take) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(found) == list(range(3 * each))


# Services -------------------------------------------------------------------------------------------------------------


def test_services(engine: Engine, topic: str) -> None:
    with Replier(topic, engine=engine) as server, Requester(topic, engine=engine) as client:
        with pytest.raises(shmwire.OutOfOrderError):
            server.send("nothing was asked")
        with pytest.raises(shmwire.OutOfOrderError):
            client.recv(timeout=10)
        client.send_bytes(b"ping")
        assert server.recv_bytes(timeout=1000) == b"ping"
        assert server.send_bytes(b"pong") and client.recv_bytes(timeout=1000) == b"pong"
        with pytest.raises(shmwire.OutOfOrderError):
            server.send("twice")
        others = [Requester(topic, engine=engine) for _ in range(3)]
        for number, other in enumerate(others):
            other.send(number)
        asked = [server.recv_message(timeout=1000) for _ in others]
        for received in reversed(asked):
            assert server.send(np.full(1000, received.value), to=received)
        assert [int(other.recv(timeout=1000)[999]) for other in others] == [0, 1, 2]
        others[0].send("and goes")
        server.recv(timeout=1000)
        others[0].close()
        assert server.send("nobody") is False and server.stats()["unanswered"] == 1
        client.send("slow")
        slow = server.recv_message(timeout=1000)
        with pytest.raises(SHMTimeoutError):
            client.recv(timeout=10)
        client.send("next")
        server.send("late", to=slow)
        server.recv(timeout=1000)
        server.send("in time")
        assert client.recv(timeout=1000) == "in time" and client.stats()["discarded"] == 1


def test_request_in_one_call(engine: Engine, topic: str) -> None:
    with Replier(topic, serializer="json", engine=engine) as server, Requester(topic, serializer="json", engine=engine) as client:
        def serve() -> None:
            for question in range(3):
                server.send({"answer": server.recv(timeout=10_000)["question"] + question})

        thread = threading.Thread(target=serve)
        thread.start()
        assert [client.request({"question": 10}, timeout=10_000) for _ in range(3)] == [{"answer": 10 + i} for i in range(3)]
        thread.join()


# asyncio --------------------------------------------------------------------------------------------------------------


def test_asyncio(engine: Engine, topic: str) -> None:
    """Two receivers in one loop; time limits; cancelling takes nothing and leaves no thread."""
    async def work(push: Pusher, pull: Puller) -> None:
        waiting = asyncio.create_task(pull.recv_async())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        push.send("one")
        assert await asyncio.wait_for(waiting, 10) == "one"
        cancelled = asyncio.create_task(pull.recv_async())
        await asyncio.sleep(0.02)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        push.send("two")
        assert await pull.recv_async(timeout=10_000) == "two"
        with pytest.raises(SHMTimeoutError):
            await pull.recv_async(timeout=5)
        with pytest.raises(SHMTimeoutError):
            await pull.recv_async(timeout=0)

    async def serve(server: Replier, client: Requester) -> None:
        client.send("question")
        assert await server.recv_async(timeout=10_000) == "question"
        server.send("answer")
        assert await client.recv_async(timeout=10_000) == "answer"

    before = threading.active_count()
    with Pusher(topic, engine=engine) as push, Puller(topic, engine=engine) as pull:
        asyncio.run(work(push, pull))
        push.close()
        with pytest.raises(SHMClosedError):
            asyncio.run(pull.recv_async())
    with Replier(topic, engine=engine) as server, Requester(topic, engine=engine) as client:
        asyncio.run(serve(server, client))
    assert threading.active_count() == before


# Looking after --------------------------------------------------------------------------------------------------------


def test_channels_are_listed_and_removed(engine: Engine, topic: str) -> None:
    with Publisher(topic, engine=engine) as pub, Replier(topic, engine=engine), Requester(topic, engine=engine):
        pub.send("x")
        found = {channel.pattern: channel for channel in list_channels(topic)}
        assert set(found) == {"pubsub", "request", "reply"} and not any(channel.stale for channel in found.values())
        assert found["pubsub"].messages == 1 and found["pubsub"].segment == pub.segment and found["reply"].requester > 0
    assert list_channels(topic) == []
    with pytest.raises(shmcomm.SHMNotFoundError):
        force_unlink(topic)
    with Pusher(topic, engine=engine) as push:
        push.send("waits")
    assert [(channel.stale, channel.closed, channel.used > 0) for channel in list_channels(topic)] == [(True, True, True)]
    assert push.name not in " ".join(cleanup_stale())
    assert cleanup_stale(messages=True) == [f"/shmcomm_push_{topic}"]
    with Pusher(topic, engine=engine) as push:
        push.send("waits")
    assert force_unlink(topic) == 1


def test_sockets_are_pickled_by_name(engine: Engine, topic: str) -> None:
    with Publisher(topic, serializer="json", engine=engine) as pub:
        sub: Subscriber = pickle.loads(pickle.dumps(Subscriber(topic, serializer="json", engine=engine)))
        other: Publisher = pickle.loads(pickle.dumps(pub))
        assert other.segment == pub.segment and other.engine == engine and repr(other) == f"Publisher({topic!r})"
        assert other.send({"a": 1}) and sub.recv(timeout=1000) == {"a": 1}
        other.close()


def test_garbage_leaves_the_channel(engine: Engine, topic: str) -> None:
    pub = Publisher(topic, engine=engine)
    assert left_over(topic)
    del pub
    assert left_over(topic) == []


def test_every_public_name_is_documented() -> None:
    """With an example, where it is something to call on a socket."""
    for name in shmcomm.__all__:
        thing = getattr(shmcomm, name)
        assert isinstance(thing, (int, tuple)) or thing.__doc__ or name in ("Engine", "Role", "Serializer"), name
    for kind in (Publisher, Subscriber, Pusher, Puller, Requester, Replier):
        assert "Example:" in str(kind.__doc__)
        for method in dir(kind):
            if method.startswith(("send", "recv", "request", "seek", "claim", "stats", "close")) and method != "closed":
                assert "Example:" in str(getattr(kind, method).__doc__), (kind, method)
    for function in (list_channels, force_unlink, cleanup_stale):
        assert "Example:" in str(function.__doc__)


def test_without_numpy_and_msgpack(engine: Engine, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are optional: who needs one and has none gets SHMSerializationError."""
    whole = builtins.__import__

    def no_import(name: str, *rest: Any, **more: Any) -> Any:
        if name in ("numpy", "msgpack"):
            raise ImportError(name)
        return whole(name, *rest, **more)

    with Publisher(topic, engine=engine) as pub, Subscriber(topic, engine=engine) as sub:
        pub.send(np.ones(3))
        monkeypatch.setattr(builtins, "__import__", no_import)
        monkeypatch.delitem(sys.modules, "numpy")
        with pytest.raises(SHMSerializationError, match="numpy"):
            sub.recv(timeout=1000)
        other = Publisher(topic, serializer="msgpack", engine=engine)
        with pytest.raises(SHMSerializationError, match="msgpack"):
            other.send(1)
        other.close()
        assert pub.send({"a": 1}) and sub.recv(timeout=1000) == {"a": 1}
