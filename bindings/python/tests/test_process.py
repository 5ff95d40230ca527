# SPDX-License-Identifier: MIT
"""Many processes and threads on one channel: every message exactly once, each producer's in order."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
import shmwire
from conftest import finish, run_python
from shmwire import dmxp

WRITER = """
import sys
from shmwire import dmxp
name, engine, actor, count, batch = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
channel = dmxp.open(name, engine=engine).channel(0)
sent = 0
while sent < count:
    number = min(batch, count - sent)
    payloads = [f"{actor}:{i}".encode() for i in range(sent, sent + number)]
    if batch == 1:
        channel.send(payloads[0], 20)
    elif channel.send_batch(payloads) is None:
        continue
    sent += number
"""
READER = """
import sys
from shmwire import dmxp
name, engine, batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
channel = dmxp.open(name, engine=engine).channel(0)
while True:
    messages = channel.receive_batch(batch) if batch > 1 else []
    for message in messages or [channel.receive(20, spin=0)]:
        print(message.position, message.payload.decode())
        if message.payload == b"end":
            sys.exit()
"""
COUNT = 400


@pytest.mark.parametrize("capacity", [2, 16])
@pytest.mark.parametrize("counted", [False, True])
def test_exactly_once(name: str, capacity: int, counted: bool) -> None:
    """[dmxp.consume.order]: two writers and two readers, one of each engine."""
    with dmxp.create(name, 1 << 18) as segment:
        channel = segment.create_channel(0, capacity, counted_waiters=counted)
        readers = [run_python(READER, name, "python", "1"), run_python(READER, name, "native", "1" if capacity == 2 else "4")]
        writers = [run_python(WRITER, name, "native", "0", str(COUNT), "2"),
                   run_python(WRITER, name, "python", "1", str(COUNT), "1")]
        for writer in writers:
            finish(writer, 30)
        for _ in readers:
            channel.send(b"end", 20)
        histories = [[tuple(line.split()) for line in finish(reader, 30).splitlines()] for reader in readers]
    for history in histories:
        positions = [int(position) for position, _ in history]
        assert positions == sorted(positions)
        for actor in "01":
            own = [int(text[2:]) for _, text in history if text.startswith(f"{actor}:")]
            assert own == sorted(own)
    everything = Counter(text for history in histories for _, text in history)
    assert everything == Counter({f"{actor}:{i}": 1 for actor in (0, 1) for i in range(COUNT)} | {"end": 2})
    assert sorted(int(position) for history in histories for position, _ in history) == list(range(2 * COUNT + 2))


def test_threads_share_a_channel(channel: dmxp.Channel) -> None:
    """No two calls share a buffer: every payload arrives whole."""
    count, seen = 300, []
    lock = threading.Lock()

    def write(actor: int) -> None:
        for i in range(count):
            channel.send(bytes([actor]) * (i + 1), 20)

    def read() -> None:
        while True:
            try:
                message = channel.receive(1.0, spin=0)
            except shmwire.Timeout:
                return
            with lock:
                seen.append(message.payload)

    threads = [threading.Thread(target=write, args=(actor,)) for actor in (1, 2)]
    threads += [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert Counter(seen) == Counter(bytes([actor]) * (i + 1) for actor in (1, 2) for i in range(count))


def test_batches_from_threads(engine: dmxp.Engine, name: str) -> None:
    with dmxp.create(name, 1 << 20, engine=engine) as segment:
        channel = segment.create_channel(0, 64)
        seen: list[list[bytes]] = [[], []]

        def read(mine: list[bytes]) -> None:
            while b"end" not in mine:
                mine += [message.payload for message in channel.receive_batch(1 + len(mine) % 7)]

        threads = [threading.Thread(target=read, args=(mine,)) for mine in seen]
        for thread in threads:
            thread.start()
        batches = [[f"{i}.{j}".encode() * (j + 1) for j in range(8)] for i in range(60)]
        for batch in batches:
            while channel.send_batch(batch) is None:
                pass
        while any(thread.is_alive() for thread in threads):
            channel.try_send(b"end")
        got = Counter(payload for mine in seen for payload in mine if payload != b"end")
        assert got == Counter(payload for batch in batches for payload in batch)
