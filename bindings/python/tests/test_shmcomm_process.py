# SPDX-License-Identifier: MIT
"""Profile shmcomm between processes: forks and spawns, kills, exits, and a million messages."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest
import shmwire
from conftest import finish, run_python
from shmcomm_support import SMALL, body, left_over, opened, topic
from shmwire.engine import Engine
from shmwire.shmcomm import Publisher, Puller, Pusher, Replier, Requester, Subscriber, layout, list_channels, recover

__all__ = ["topic"]
PATIENCE = 20_000  # ms: what fails fails by an answer, and never by this


def until(look: Callable[[], bool], what: str) -> None:
    """Wait for something that another process does."""
    limit = time.monotonic() + PATIENCE / 1000
    while not look():
        assert time.monotonic() < limit, what
        time.sleep(0.005)


@pytest.fixture(params=["fork", "spawn"])
def context(request: pytest.FixtureRequest) -> BaseContext:
    """Both ways in which multiprocessing starts processes."""
    chosen: BaseContext = multiprocessing.get_context(request.param)
    return chosen


# Children of multiprocessing ------------------------------------------------------------------------------------------


def _work(pull: Puller, results: Pusher, count: int) -> None:
    for _ in range(count):
        number = pull.recv(timeout=PATIENCE)
        assert results.send((os.getpid(), number, number * number), timeout=PATIENCE)


def _publish(pub: Publisher, count: int) -> None:
    for number in range(count):
        pub.send(number)


def _serve(server: Replier, count: int) -> None:
    for _ in range(count):
        server.send(server.recv(timeout=PATIENCE) + 1)


def _ask(client: Requester, count: int, results: Pusher) -> None:
    results.send([client.request(number, timeout=PATIENCE) for number in range(count)])


def start(context: BaseContext, target: Callable[..., None], *args: Any) -> Any:
    process = context.Process(target=target, args=args)  # type: ignore[attr-defined]
    process.start()
    return process


def join(*processes: Any) -> None:
    for process in processes:
        process.join(PATIENCE / 1000)
        assert process.exitcode == 0


def test_workers(engine: Engine, topic: str, context: BaseContext) -> None:
    """Sockets that are handed to children work there, as endpoints of their own; the parent's stay as they were."""
    with Pusher(topic, engine=engine) as push, Puller(topic, engine=engine) as pull, \
            Pusher(topic + "-r", engine=engine) as results, Puller(topic + "-r", engine=engine) as answers:
        workers = [start(context, _work, pull, results, 10) for _ in range(3)]
        push.send_many(list(range(30)), timeout=PATIENCE)
        found = [answers.recv(timeout=PATIENCE) for _ in range(30)]
        join(*workers)
        assert sorted(number for _, number, _ in found) == list(range(30))
        assert all(square == number * number for _, number, square in found)
        assert {pid for pid, _, _ in found} <= {worker.pid for worker in workers}
        assert push.send("still") and pull.recv(timeout=PATIENCE) == "still"
    assert left_over(topic) == []


def test_publishers_and_services(engine: Engine, topic: str, context: BaseContext) -> None:
    with Publisher(topic, engine=engine) as pub, Subscriber(topic, engine=engine) as sub, \
            Replier(topic, engine=engine) as server, Requester(topic, engine=engine) as client, \
            Pusher(topic, engine=engine) as results, Puller(topic, engine=engine) as answers:
        publishers = [start(context, _publish, pub, 20) for _ in range(2)]
        found = [sub.recv_message(timeout=PATIENCE) for _ in range(40)]
        join(*publishers)
        assert sorted(received.value for received in found) == sorted([*range(20)] * 2)
        assert len({received.sender for received in found}) == 2 and [f.sequence for f in found] == list(range(40))
        pub.send("parent")
        assert sub.recv(timeout=PATIENCE) == "parent"
        serving = start(context, _serve, server, 15)
        asking = start(context, _ask, client, 10, results)
        assert [client.request(number, timeout=PATIENCE) for number in range(5)] == list(range(1, 6))
        assert answers.recv(timeout=PATIENCE) == list(range(1, 11))
        join(serving, asking)
        assert not any(channel.stale for channel in list_channels(topic))


def test_a_child_holds_no_lock_of_its_parent(engine: Engine, topic: str) -> None:
    """The parent's endpoint is gone when the parent leaves, though a child that was forked from it lives on."""
    pub = opened(engine, "publisher", topic, sole=True)
    number = pub.info().endpoint
    sub = opened(engine, "subscriber", topic)
    ready, wait = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"?"
        try:
            pub.send(b"x")
        except shmwire.OutOfOrderError:
            answer = b"o"
        pub.close()
        os.write(ready[1], answer)
        os.read(wait[0], 1)
        os._exit(0)
    assert os.read(ready[0], 1) == b"o"
    assert pub.send(b"mine") == 0 and pub.info().writer_lock & layout.MAX_ENDPOINT == number
    os.kill(child, 0)
    with opened(engine, "publisher", topic) as other:
        pub.close()
        assert other.info().keeper_lives
    with pytest.raises(shmwire.Closed):
        for _ in range(2):
            sub.receive(10.0)
    assert left_over(topic) == []
    os.write(wait[1], b"x")
    os.waitpid(child, 0)
    for end in (*ready, *wait):
        os.close(end)


def test_subscribers_go_on_in_a_child(engine: Engine, topic: str) -> None:
    with Publisher(topic, engine=engine) as pub, Subscriber(topic, engine=engine) as sub:
        pub.send(1)
        child = os.fork()
        if child == 0:
            os._exit(17 if [sub.recv(timeout=PATIENCE), sub.recv(timeout=PATIENCE)] == [1, 2] else 1)
        pub.send(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
        assert [sub.recv(timeout=0), sub.recv(timeout=0)] == [1, 2]


def test_descriptors_are_closed_by_exec(engine: Engine, topic: str) -> None:
    with opened(engine, "pusher", topic), opened(engine, "puller", topic):
        look = "import os; print(sorted(os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd') " \
               "if os.path.exists(f'/proc/self/fd/{fd}')))"
        out = subprocess.run([sys.executable, "-c", look], close_fds=False, capture_output=True, text=True, check=True).stdout
        assert topic not in out


# Exits and kills ------------------------------------------------------------------------------------------------------

LEAVE = """
import sys
from shmwire.shmcomm import *
name, engine, kind = sys.argv[1:]
socket = {"sub": Subscriber, "pub": Publisher, "pull": Puller, "req": Requester}[kind](name, engine=engine)
if kind in ("pub", "req"): socket.send("from the child")
print("open", flush=True)
if kind == "sub": socket.recv(timeout=20000)
"""


def test_who_exits_leaves_the_channel(engine: Engine, topic: str) -> None:
    """Without a close: a subscriber leaves everything, a publisher itself, a requester nothing."""
    with Publisher(topic, engine=engine) as pub, Subscriber(topic, engine=engine) as sub:
        reader = run_python(LEAVE, topic, engine, "sub")
        assert reader.stdout is not None and reader.stdout.readline() == "open\n"
        pub.send("for it")
        finish(reader)
        assert left_over(topic) == [f"shmcomm_pub_{topic}"] and sub.recv(timeout=0) == "for it"
        finish(run_python(LEAVE, topic, engine, "pub"))
        assert sub.recv(timeout=PATIENCE) == "from the child"
        assert pub.send("still here") and sub.recv(timeout=0) == "still here"
    with Replier(topic, engine=engine) as server:
        finish(run_python(LEAVE, topic, engine, "req"))
        assert server.recv(timeout=PATIENCE) == "from the child"
        assert left_over(topic) == [f"shmcomm_req_{topic}"]
    finish(run_python(LEAVE, topic, engine, "pub"))
    assert left_over(topic) == []


HOLD = """
import sys, time
from shmwire.shmcomm import Options, open_endpoint
name, engine, kind = sys.argv[1:]
end = open_endpoint(kind, name, Options(capacity=4096), engine)
if kind == "requester": end.send(b"never answered")
else:
    end.send(b"before")
    end.claim(100)[:] = bytes(100)
print(end.info().endpoint, flush=True)
time.sleep(60)
"""


def hold(topic: str, engine: Engine, kind: str) -> tuple[subprocess.Popen[str], int]:
    process = run_python(HOLD, topic, engine, kind)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("holder", ["python", "native"])
def test_a_killed_holder_of_the_lock(engine: Engine, holder: Engine, topic: str) -> None:
    """While it lives others are BUSY; once it is dead the next one takes the lock and nothing visible is lost."""
    with opened(engine, "pusher", topic) as push, opened(engine, "puller", topic) as pull:
        process, number = hold(topic, holder, "pusher")
        assert push.info().writer_lock & layout.MAX_ENDPOINT == number
        begin = time.monotonic()
        with pytest.raises(shmwire.BusyError):
            push.send(b"x")
        assert time.monotonic() - begin >= layout.LOCK_PATIENCE_NS / 1e9
        with pytest.raises(shmwire.BusyError):
            recover(push.segment, engine=engine)
        kill(process)
        assert push.send(b"after") == 1
        info = push.info()
        assert (info.lock_epoch, info.takeovers, info.writer_lock & layout.MAX_ENDPOINT) == (1, 1, 0)
        found = [pull.receive(1.0), pull.receive(1.0)]
        assert [(m.sequence, m.payload) for m in found if m] == [(0, b"before"), (1, b"after")]


def test_a_killed_keeper_leaves_a_stale_channel(engine: Engine, topic: str) -> None:
    process, _ = hold(topic, engine, "publisher")
    sub = opened(engine, "subscriber", topic, oldest=True)
    kill(process)
    assert [channel.stale for channel in list_channels(topic)] == [True]
    found = sub.receive()
    assert found and found.payload == b"before"
    with opened(engine, "publisher", topic) as pub:
        assert pub.send(b"after") == 1
        found = sub.receive(1.0)
        assert found and found.lost == 0 and found.payload == b"after"
    sub.close()
    assert left_over(topic) == []


def test_killed_requesters_leave_nothing(engine: Engine, topic: str) -> None:
    """A replier that answers one, one that opens, and one that sleeps: each removes what the dead left."""
    with Replier(topic, serializer="raw", engine=engine) as server:
        process, number = hold(topic, engine, "requester")
        asked = server.recv_message(timeout=PATIENCE)
        assert asked.sender == number
        kill(process)
        time.sleep(2 * layout.LIVENESS_AGE_NS / 1e9)
        assert server.send(b"nobody there", to=asked) is False
        assert left_over(topic) == [f"shmcomm_req_{topic}"]
        kill(hold(topic, engine, "requester")[0])
        assert len(left_over(topic)) == 2
        with Replier(topic, engine=engine):
            assert left_over(topic) == [f"shmcomm_req_{topic}"]
        server.recv(timeout=PATIENCE)
        kill(hold(topic, engine, "requester")[0])
        server.recv(timeout=PATIENCE)
        begin = time.monotonic()
        while len(left_over(topic)) > 1:
            assert time.monotonic() < begin + 15
            with pytest.raises(shmwire.Timeout):
                server.recv(timeout=200)
        kill(hold(topic, engine, "requester")[0])
        assert recover(server.segment, engine=engine).swept == 1


def test_interrupts_end_a_wait(engine: Engine, topic: str) -> None:
    code = LEAVE.replace('print("open", flush=True)\n', 'print("open", flush=True)\ntry: socket.recv()\n'
                         'except KeyboardInterrupt: print("interrupted"); sys.exit(0)\n')
    with Publisher(topic, engine=engine) as pub:
        process = run_python(code, topic, engine, "sub")
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        until(lambda: pub._ready().info().data_waiters > 0, "it never slept")
        process.send_signal(signal.SIGINT)
        assert "interrupted" in finish(process)
        assert pub.send("x")


# A million messages ---------------------------------------------------------------------------------------------------


def resident() -> int:
    """Bytes of memory of this process that no file stands behind."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def test_a_million_messages_without_growth(topic: str) -> None:
    """Native: batches, so that it is quick. What is counted is right to the last message."""
    data, count, batch = body(7) * 2, 1_000_000, 500
    blob = data * batch
    with Publisher(topic, engine="native") as pub, Subscriber(topic, engine="native") as sub:
        def turn(messages: int) -> None:
            for _ in range(messages // batch):
                assert pub.send_packed(blob, len(data)) == batch
                left = batch
                while left:
                    _, ends = sub.recv_packed(batch, timeout=PATIENCE)
                    left -= len(ends)

        turn(100_000)
        gc.collect()
        before, descriptors = resident(), len(os.listdir("/proc/self/fd"))
        tracemalloc.start()
        turn(count)
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert grown < 100_000 and resident() - before < 4 << 20 and len(os.listdir("/proc/self/fd")) == descriptors
        stats = sub.stats()
        assert (stats["received"], stats["lost"], stats["messages"]) == (count + 100_000, 0, count + 100_000)


def test_no_growth_one_by_one(engine: Engine, topic: str) -> None:
    """Every role, opened and closed and used again and again."""
    def turn(rounds: int) -> None:
        for number in range(rounds):
            with Replier(topic, capacity=SMALL, engine=engine) as server, \
                    Requester(topic, capacity=SMALL, engine=engine) as client, \
                    Pusher(topic, capacity=SMALL, engine=engine) as push, Puller(topic, engine=engine) as pull:
                client.send(number)
                server.send(server.recv(timeout=PATIENCE))
                assert client.recv(timeout=PATIENCE) == number
                for i in range(20):
                    assert push.send(i) and pull.recv(timeout=PATIENCE) == i

    turn(20)
    gc.collect()
    descriptors = len(os.listdir("/proc/self/fd"))
    tracemalloc.start()
    turn(100)
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 100_000 and len(os.listdir("/proc/self/fd")) == descriptors
    assert left_over(topic) == []
