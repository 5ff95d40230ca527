# SPDX-License-Identifier: MIT
"""Profile deepwater between processes and threads: forks, many readers, a writer that rotates all the time."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from conftest import finish, run_python
from deepwater_support import FEED, IMPORTS, base, fill, in_memory, reading, require, writing

import shmwire
from shmwire.deepwater import Expired, Reader, Writer, validate
from shmwire.engine import Engine

__all__ = ["base"]
PATIENCE = 60

FOLLOW = IMPORTS + """
base, engine, count, read_only = sys.argv[1:]
with reading(base, engine, read_only=read_only == "True") as reader:
    print("there", flush=True)
    found = []
    for record in reader.follow(timeout=60):
        found.append(record)
        if len(found) == int(count):
            break
    require(found, 0, int(count))
    print(len({record.chunk_id for record in found}))
"""


@pytest.mark.parametrize("read_only", [False, True])
def test_readers_follow_through_rotations(base: str, engine: Engine, read_only: bool) -> None:
    """Readers of both engines, in processes of their own, miss nothing of a feed that persists."""
    other: Engine = "python" if engine == "native" else "native"
    count = 3000
    with writing(base, engine, persist=True, rows=1024) as writer:
        readers = [run_python(FOLLOW, base, which, str(count), str(read_only)) for which in (engine, other)]
        for reader in readers:
            assert reader.stdout is not None and reader.stdout.readline() == "there\n"
        for _ in range(count // 60):
            fill(writer, 60)
            writer.rotate()
        for reader in readers:
            assert int(finish(reader, PATIENCE)) >= count // 60
    validate(base, FEED, engine)


def test_threads_share_a_reader(base: str, engine: Engine) -> None:
    """Each record goes to one of them."""
    found: list[int] = []
    with writing(base, engine, persist=True, rows=1024) as writer, reading(base, engine, end_with_writer=True) as reader:
        def take() -> None:
            for record in reader.follow(timeout=PATIENCE):
                found.append(record.sequence)

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(40):
            fill(writer, 25)
        writer.close()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
    assert sorted(found) == list(range(1000))


def test_close_ends_a_wait(base: str, engine: Engine) -> None:
    """By another thread."""
    ended: list[str] = []
    with writing(base, engine):
        reader = reading(base, engine)

        def wait() -> None:
            try:
                reader.read(PATIENCE)
            except shmwire.Closed as error:
                ended.append(error.name)

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        reader.close()
        thread.join(PATIENCE)
        assert not thread.is_alive() and ended == ["CLOSED"]


# Forks ----------------------------------------------------------------------------------------------------------------


def _in_child(writer: Writer, reader: Reader, results: int) -> None:
    answers = []
    for call in (lambda: writer.append(10**9, b"x"), writer.rotate, lambda: writer.append_many([(10**9, b"x")])):
        try:
            call()
            answers.append("went through")
        except shmwire.OutOfOrderError:
            answers.append("refused")
    writer.close()
    answers.append(str(len(list(reader))))
    os.write(results, " ".join(answers).encode())


def test_a_forked_child(base: str, engine: Engine) -> None:
    """The writer is the parent's; the reader goes on in both. The child's close changes nothing."""
    context = multiprocessing.get_context("fork")
    with writing(base, engine) as writer, reading(base, engine) as reader:
        fill(writer, 10)
        require([reader.read(0)], 0, 1)
        answer, results = os.pipe()
        child = context.Process(target=_in_child, args=(writer, reader, results))
        child.start()
        child.join(PATIENCE)
        assert child.exitcode == 0 and os.read(answer, 100) == b"refused refused refused 9"
        for end in (answer, results):
            os.close(end)
        fill(writer, 5)
        require(list(reader), 1, 15)


FORK_AND_DIE = IMPORTS + """
import os, signal, time
base, engine = sys.argv[1:]
writer = writing(base, engine)
fill(writer, 3)
there, ready = os.pipe()
child = os.fork()
if child == 0:
    os.write(ready, b"x")
    time.sleep(600)
os.read(there, 1)  # what a fork does in the child is done
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_lock_dies_with_the_writer_and_not_with_its_children(base: str, engine: Engine) -> None:
    process: subprocess.Popen[str] = run_python(FORK_AND_DIE, base, engine)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.wait(PATIENCE)
    try:
        with writing(base, engine) as writer:
            fill(writer, 2)
            with reading(base, engine) as reader:
                require(list(reader), 0, 5)
    finally:
        os.kill(child, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)


# Interrupts -----------------------------------------------------------------------------------------------------------

INTERRUPTED = IMPORTS + """
base, engine = sys.argv[1:]
writer = writing(base, engine, persist=True, rows=65536)
print("there", flush=True)
try:
    while True:
        fill(writer, 100)
        writer.rotate()
except KeyboardInterrupt:
    pass
try:
    writer.close()
except KeyboardInterrupt:
    raise SystemExit("twice")
print("left")
"""


def test_a_keyboard_interrupt(base: str, engine: Engine) -> None:
    """At any moment of appending and rotating: what was appended is there, whether the writer left or gave up."""
    for delay in (0.01, 0.03, 0.06):
        process: subprocess.Popen[str] = run_python(INTERRUPTED, base, engine)
        assert process.stdout is not None and process.stdout.readline() == "there\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        assert finish(process, PATIENCE) == "left\n"
        with writing(base, engine) as writer:
            last = writer.info().last_sequence
        with reading(base, engine) as reader:
            require(list(reader), 0, 0 if last is None else last + 1)
        validate(base, FEED, engine)


# Left behind ----------------------------------------------------------------------------------------------------------


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_nothing_is_left_open(base: str, engine: Engine) -> None:
    def turn() -> None:
        with writing(base, engine, persist=True) as writer, reading(base, engine) as reader:
            fill(writer, 300)
            for record in reader:
                assert record.payload
            with pytest.raises(shmwire.NotFoundError):
                reading(base, engine, feed="none")
            with pytest.raises(shmwire.BusyError):
                writing(base, engine)
            list(reader.oldest())
        gc.collect()

    turn()
    files, maps = open_files(), len(Path("/proc/self/maps").read_text().splitlines())
    for _ in range(5):
        turn()
    assert open_files() == files and len(Path("/proc/self/maps").read_text().splitlines()) <= maps + 5
    assert in_memory(base) == []


def test_a_slow_reader_of_a_feed_that_expires(base: str, engine: Engine) -> None:
    """Every record is read or told of."""
    total = lost = 0
    with writing(base, engine, live_window=1, rows=4096) as writer, reading(base, engine) as reader:
        for turn in range(60):
            fill(writer, 9)
            writer.rotate()
            if turn % 7 == 3:
                try:
                    for record in reader:
                        total += 1
                        assert record.sequence == total + lost - 1
                except Expired as gone:
                    lost += gone.lost
        while True:
            try:
                for record in reader:
                    total += 1
                    assert record.sequence == total + lost - 1
                break
            except Expired as gone:
                lost += gone.lost
        assert total + lost == 540 and lost > 0
