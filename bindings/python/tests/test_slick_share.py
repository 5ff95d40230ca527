# SPDX-License-Identifier: MIT
"""Shared cursors: each item goes to one reader, whatever the call, the engine and the thread."""

from __future__ import annotations

import contextlib
import mmap
import threading
from collections.abc import Iterator

import pytest
import shmwire
from shmwire import slick
from slick_support import RawQueue, fill, item
from test_slick_reader import shown


@pytest.fixture
def queue(engine: slick.Engine, name: str) -> Iterator[slick.Queue]:
    """Eight elements of 8 bytes."""
    with slick.create(name, 8, element_size=8, engine=engine) as made:
        yield made


@pytest.fixture
def producer(queue: slick.Queue) -> slick.Producer:
    return queue.producer()


def test_shared(queue: slick.Queue, producer: slick.Producer, name: str, engine: slick.Engine) -> None:
    """[slick.share.once]: each item goes to one reader, whatever the call and the engine."""
    other: slick.Engine = "python" if engine == "native" else "native"
    shared = f"{name}-cursor"
    try:
        with slick.Cursor.create(shared, queue) as cursor, slick.open(name, "r", engine=other) as again, \
                slick.Cursor.open(shared) as opened:
            readers = [queue.reader(cursor=cursor), again.reader(cursor=opened)]
            fill(producer, 0, 7)
            assert [shown(readers[i % 2].next()) for i in range(2)] == [(0, 0, 0), (1, 0, 1)]
            assert [found.index for found in readers[0].batch(2)] == [2, 3]
            view = readers[1].view()
            assert view is not None and view.index == 4
            assert readers[0].cursor == readers[1].cursor == cursor.load() == 5
            fill(producer, 7, 20)
            assert shown(readers[1].next()) == (21, 16, 21)
            assert readers[1].lost == 16 and readers[0].lost == 0  # [slick.share.lost]
            assert readers[0].seek("latest") == 27 == cursor.load() and readers[1].next() is None
            queue.reset()
            fill(producer, 90, 2)
            assert [shown(reader.next()) for reader in readers] == [(0, 0, 90), (1, 0, 91)]
            assert sorted(reader.resets for reader in readers) == [0, 1]
            assert [reader.next() for reader in readers] == [None, None] and cursor.load() == 2
            cursor.close()  # too early, and yet no reason to crash
            with contextlib.suppress(shmwire.Closed):
                assert readers[0].next() is None
            with pytest.raises(FileExistsError):
                slick.Cursor.create(shared, queue)
    finally:
        shmwire.unlink(shared)


def test_shared_empty_stores_nothing(queue: slick.Queue, producer: slick.Producer) -> None:
    """What a look that finds nothing passed is still there for the next one."""
    cursor = slick.Cursor.local(queue)
    readers = [queue.reader(cursor=cursor) for _ in range(2)]
    with pytest.raises(ZeroDivisionError), producer.reserve(2):
        raise ZeroDivisionError
    assert readers[0].next() is None and cursor.load() == 0
    fill(producer, 1, 1)
    assert shown(readers[1].next()) == (2, 0, 1) and cursor.load() == 3


def test_cursor_memory(queue: slick.Queue, producer: slick.Producer, name: str) -> None:
    """A cursor in a buffer of the caller's."""
    fill(producer, 0, 3)
    memory = mmap.mmap(-1, 64)
    cursor = slick.Cursor.over(memoryview(memory)[8:24])
    reader = queue.reader(cursor=cursor)
    assert shown(reader.next()) == (0, 0, 0) and memory[8:16] == (1).to_bytes(8, "little")
    for buffer in (memoryview(memory)[4:12], bytearray(7), memoryview(bytes(16)), memoryview(memory)[::2]):
        with pytest.raises(shmwire.InvalidArgumentError):
            slick.Cursor.over(buffer)
    with pytest.raises(shmwire.NotFoundError):
        slick.Cursor.open(f"{name}-cursor")
    short = f"{name}-short"
    try:
        RawQueue(short).path.write_bytes(bytes(7))
        with pytest.raises(shmwire.TruncatedError):
            slick.Cursor.open(short)
    finally:
        shmwire.unlink(short)
    assert [slick.Cursor.local(queue, start).load() for start in ("oldest", "latest", 2)] == [0, 3, 2]


def test_threads_share_the_work(name: str, engine: slick.Engine) -> None:
    """Four readers of one cursor, and four threads of one reader: every item once."""
    with slick.create(name, 1 << 12, element_size=8, engine=engine) as queue:
        queue.producer().write_batch([item(i) for i in range(3000)])
        cursor, one = slick.Cursor.local(queue), queue.reader()
        for readers in ([queue.reader(cursor=cursor) for _ in range(4)], [one] * 4):
            seen: list[int] = []

            def read(reader: slick.Reader, seen: list[int] = seen) -> None:
                while batch := reader.batch(7):
                    seen += batch.indices()
                    seen += [found.index for found in [reader.next()] if found is not None]

            threads = [threading.Thread(target=read, args=(reader,)) for reader in readers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(seen) == list(range(3000))
            assert sum(reader.info().items_read for reader in set(readers)) == 3000
