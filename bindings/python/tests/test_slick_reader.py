# SPDX-License-Identifier: MIT
"""Reading: where it begins, laps and losses, marks, stale items, views, batches, attaching and its errors."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest
import shmwire
from shmwire import slick
from shmwire.slick import layout
from slick_support import NO_INDEX, RawQueue, fill, item

SIZE = 8


@pytest.fixture
def queue(engine: slick.Engine, name: str) -> Iterator[slick.Queue]:
    """Eight elements of 8 bytes."""
    with slick.create(name, SIZE, element_size=8, engine=engine) as made:
        yield made


@pytest.fixture
def producer(queue: slick.Queue) -> slick.Producer:
    return queue.producer()


@pytest.fixture
def rawqueue(name: str) -> RawQueue:
    return RawQueue(name)


def shown(found: slick.Item | None) -> tuple[int, int, int] | None:
    """Index, lost and the number in the data."""
    return None if found is None else (found.index, found.lost, int.from_bytes(found.data[:4], "little"))


def test_items(queue: slick.Queue, producer: slick.Producer) -> None:
    """Live: what is written after a loop has ended is in the next one; each kind of call goes on where the other ended."""
    reader = queue.reader()
    assert reader.next() is None and reader.last() is None and len(reader.batch()) == 0 and reader.view() is None
    for number in range(40):
        fill(producer, number, 1, elements=1 + number % 3)
        found = reader.next()
        assert found is not None and found.data == item(number, 1 + number % 3) and found.lost == 0
        assert found.elements == 1 + number % 3 and found.index == reader.cursor - found.elements
    assert reader.info() == slick.ReaderInfo(queue.info().next_index, 40, 0, 0)
    fill(producer, 40, 3)
    assert [shown(found) for found in reader] == [(reader.cursor - 3 + i, 0, 40 + i) for i in range(3)]
    reader.close()
    assert reader.info().items_read == 43
    for call in (reader.next, reader.batch, reader.view, reader.last, lambda: reader.seek("latest"), lambda: reader.read(0)):
        with pytest.raises(shmwire.Closed):
            call()


def test_starts(queue: slick.Queue, producer: slick.Producer) -> None:
    """[slick.read.start]"""
    assert queue.reader("oldest").cursor == queue.reader("latest").cursor == 0
    fill(producer, 0, 11)
    assert [queue.reader(start).cursor for start in ("oldest", "latest", 0, 7, 2**48 - 1)] == [3, 11, 0, 7, 2**48 - 1]
    reader = queue.reader()
    assert shown(reader.next()) == (3, 0, 3) and len(reader.batch()) == 7
    assert [reader.seek(start) for start in ("oldest", "latest", 5)] == [3, 11, 5]
    assert shown(reader.next()) == (5, 0, 5) and reader.info() == slick.ReaderInfo(6, 9, 0, 0)
    for start in ("newest", -1, 2**48):
        with pytest.raises(shmwire.InvalidArgumentError):
            queue.reader(start)  # type: ignore[arg-type]
        with pytest.raises(shmwire.InvalidArgumentError):
            reader.seek(start)  # type: ignore[arg-type]


@pytest.mark.parametrize("ahead", [1, 7, 8, 9, 12, 16, 17, 100])
@pytest.mark.parametrize("behind", [0, 1, 5, 8])
def test_exact_losses(queue: slick.Queue, producer: slick.Producer, behind: int, ahead: int) -> None:
    """[slick.read.lapped, slick.read.oldest]: delivered and lost together are all indices, none twice."""
    reader = queue.reader()
    fill(producer, 0, 8)
    last = -1
    for _ in range(behind):
        found = reader.next()
        assert found is not None
        last = found.index
    fill(producer, 8, ahead)
    lost = 0
    for found in reader.batch() if ahead % 2 else reader:
        assert found.index == last + found.lost + 1 and found.data == item(found.index)
        last, lost = found.index, lost + found.lost
    assert last == 7 + ahead and reader.lost == lost == 8 + ahead - reader.info().items_read


def test_marks(queue: slick.Queue, producer: slick.Producer) -> None:
    """[slick.read.mark]: what a mark passes is not lost; what was overwritten before it is."""
    reader = queue.reader()
    fill(producer, 0, 2, elements=3)
    fill(producer, 2, 1, elements=3)  # behind the end of the ring
    assert shown(reader.next()) == (8, 8, 2) and reader.lost == 8  # slot 0 names the item of the next lap
    late = queue.reader(3)
    assert [shown(found) for found in late] == [(3, 0, 1), (8, 0, 2)] and late.lost == 0
    fill(producer, 3, 4)  # up to index 15
    fill(producer, 7, 1, elements=4)
    assert shown(queue.reader(15).next()) == (16, 0, 7)
    assert shown(queue.reader(7).next()) == (16, 8, 7)


def test_stale(queue: slick.Queue, producer: slick.Producer) -> None:
    """[slick.read.stale, slick.read.oldest]: a slot that still names an item which a later one covers."""
    fill(producer, 0, 8)
    fill(producer, 8, 1, elements=5)
    for start in (1, 2, 4):
        reader = queue.reader(start)
        assert shown(reader.next()) == (5, 5 - start, 5)
        assert [found.index for found in reader.batch()] == [6, 7, 8]
        view = queue.reader(start).view()
        assert view is not None and view.index == 5 and view.lost == 5 - start


def test_hole(queue: slick.Queue, producer: slick.Producer) -> None:
    """[slick.read.empty]: an item that is not published holds readers up, also a lap later; then they pass it."""
    fill(producer, 0, 2)
    claim = queue.producer().reserve()
    fill(producer, 3, 2)
    reader = queue.reader()
    assert [found.index for found in reader] == [0, 1] and reader.cursor == 2
    assert queue.reader("oldest").cursor == 0 and shown(reader.last()) == (4, 0, 4)
    claim.view[:] = item(2)
    claim.publish()
    assert [shown(found) for found in reader] == [(2, 0, 2), (3, 0, 3), (4, 0, 4)]


def test_overtaken_at_a_hole(queue: slick.Queue, producer: slick.Producer, rawqueue: RawQueue) -> None:
    """[slick.read.oldest]: the slot at the cursor was never stored to, and the ring came round."""
    fill(producer, 0, 8)
    fill(producer, 8, 2)
    rawqueue.set_slot(0, NO_INDEX)
    assert shown(queue.reader(0).next()) == (2, 2, 2)
    for slot in range(SIZE):
        rawqueue.set_slot(slot, NO_INDEX)
    reader = queue.reader(0)
    assert reader.next() is None and reader.cursor == 0 and queue.reader().cursor == 2


def test_reset_noticed(queue: slick.Queue, producer: slick.Producer) -> None:
    """[slick.read.reset]"""
    fill(producer, 0, 6)
    reader = queue.reader("latest")
    assert reader.next() is None
    queue.reset()
    assert reader.next() is None and reader.info() == slick.ReaderInfo(0, 0, 0, 1)
    fill(producer, 50, 1)
    assert shown(reader.next()) == (0, 0, 50)
    reader.seek(2**40)
    assert [found.data for found in reader.batch()] == [item(50)] and reader.resets == 2


def test_uncovered(queue: slick.Queue, producer: slick.Producer, rawqueue: RawQueue) -> None:
    """[slick.read.uncovered, slick.read.bounds]"""
    fill(producer, 0, 3)
    for slot, data_index in ((3, 3), (3, 11), (3, 16), (2, 2**63)):
        rawqueue.set_slot(slot, data_index)
        reader = queue.reader(slot)
        assert reader.next() is None and reader.cursor == slot
    rawqueue.set_slot(2, 2)
    for elements in (0, 2, 7, 2**32 - 1):
        rawqueue.set_slot(2, 2, elements)
        reader = queue.reader(1)
        assert len(reader.batch()) == 1
        for call in (reader.next, reader.batch, reader.view, reader.last, reader.read):
            with pytest.raises(shmwire.CorruptError):
                call()
        assert reader.cursor == 2
        with pytest.raises(shmwire.CorruptError):
            queue.validate()


def test_sizes(queue: slick.Queue, producer: slick.Producer) -> None:
    reader = queue.reader()
    fill(producer, 0, 1, elements=3)
    fill(producer, 1, 1)
    for call in (lambda: reader.next(max_size=23), lambda: reader.batch(max_bytes=23), lambda: reader.read(1, max_size=23),
                 lambda: reader.next(max_size=0)):
        with pytest.raises(shmwire.TooSmallError) as caught:
            call()
        assert caught.value.needed == 24 and reader.cursor == 0
    with pytest.raises(shmwire.TooSmallError):
        reader.last(max_size=7)
    assert [shown(found) for found in reader.batch(max_bytes=31)] == [(0, 0, 0)]
    assert shown(reader.next(max_size=8)) == (3, 0, 1)
    for arguments in ((0, None), (-1, None), (1, -1)):
        with pytest.raises(shmwire.InvalidArgumentError):
            reader.batch(arguments[0], max_bytes=arguments[1])


def test_larger_than_the_buffer(name: str, engine: slick.Engine) -> None:
    with slick.create(name, 16, element_size=30_000, engine=engine) as queue:
        payloads = [os.urandom(30_000 * elements) for elements in (1, 3, 2, 5, 1)]
        producer, ways = queue.producer(), [queue.reader() for _ in range(5)]
        for payload in payloads:
            producer.write(payload)
        assert [found.data for found in ways[0]] == payloads
        assert ways[1].read(1).data == payloads[0] and ways[2].batch(1).payloads() == payloads[:1]
        found = ways[3].last()
        assert found is not None and found.data == payloads[-1]
        gathered: list[bytes] = []
        while batch := ways[4].batch():
            gathered += batch.payloads()
        assert gathered == payloads


def test_batch(queue: slick.Queue, producer: slick.Producer) -> None:
    """[slick.read.batch]: a sequence of items."""
    fill(producer, 0, 3)
    fill(producer, 3, 1, elements=2)
    batch = queue.reader().batch()
    assert len(batch) == 4 and batch.indices() == [0, 1, 2, 3] and batch.data == b"".join(batch.payloads())
    assert batch.payloads() == [item(0), item(1), item(2), item(3, 2)] == [found.data for found in batch]
    assert batch[-1] == slick.Item(3, 2, 0, item(3, 2)) and batch[1:3] == [batch[1], batch[2]]
    with pytest.raises(IndexError):
        batch[4]
    assert [found.index for found in queue.reader().batch(2)] == [0, 1]


def test_views(queue: slick.Queue, producer: slick.Producer) -> None:
    """[slick.read.view]"""
    fill(producer, 0, 2)
    reader = queue.reader()
    first, second = reader.view(), reader.view()
    assert first is not None and second is not None and reader.view() is None
    assert bytes(first.data) == item(0) and first.data.readonly
    fill(producer, 2, 7)
    assert not first.is_valid() and second.is_valid()
    second.check()
    with pytest.raises(shmwire.Lapped):
        first.check()
    assert bytes(first.data) == item(8)  # it lies where it lay
    queue.close()
    assert not second.is_valid() and bytes(second.data) == item(1)  # the view holds the mapping
    with pytest.raises(TypeError):
        second.data[0] = 1


@pytest.mark.parametrize("generation", slick.GENERATIONS)
def test_last(name: str, engine: slick.Engine, generation: slick.Generation) -> None:
    """[slick.read.last]: published, whole, after laps too; the cursor stays."""
    with slick.create(name, 8, element_size=8, generation=generation, engine=engine) as queue:
        producer, reader = queue.producer(), queue.reader()
        for number in range(30):
            producer.write(item(number, 1 + number % 3))
            found = reader.last()
            assert found is not None and found.data == item(number, 1 + number % 3) and found.lost == 0
        claim = producer.reserve(2)
        assert reader.last() == found and reader.cursor == 0 and reader.info().items_read == 0
        claim.abandon()
        assert reader.last() == found


def test_waiting(queue: slick.Queue, producer: slick.Producer) -> None:
    """[slick.read.timeout]"""
    reader = queue.reader()
    for timeout in (0, 0.05, 0.25):
        began = time.monotonic()
        with pytest.raises(TimeoutError) as caught:
            reader.read(timeout)
        assert isinstance(caught.value, shmwire.Timeout)
        assert timeout <= time.monotonic() - began < timeout + 5
    timer = threading.Timer(0.15, fill, (producer, 0, 3))
    timer.start()
    assert reader.read(20).data == item(0)
    timer.join()
    assert [found.index for found in reader.follow(timeout=0.05)] == [1, 2]
    with pytest.raises(shmwire.InvalidArgumentError):
        reader.read(-1)


# Attaching ------------------------------------------------------------------------------------------------------------


def test_attach_errors(name: str, engine: slick.Engine, rawqueue: RawQueue) -> None:
    """[slick.segment.*]"""
    def refused(error: type[Exception]) -> None:
        with pytest.raises(error):
            slick.open(name, "r", timeout=0, engine=engine)

    refused(FileNotFoundError)
    slick.create(name, 4, element_size=8, engine=engine).close()
    whole = rawqueue.bytes()
    for field, value, error in (
            (layout.HEADER_INIT_STATE_OFFSET, 4, shmwire.BadVersionError),
            (layout.HEADER_INIT_STATE_OFFSET, layout.STATE_BEGUN, shmwire.NotReadyError),
            (layout.HEADER_HEADER_MAGIC_OFFSET, 0, shmwire.BadMagicError),
            (layout.HEADER_SIZE_OFFSET, 0, shmwire.BadGeometryError),
            (layout.HEADER_SIZE_OFFSET, 3, shmwire.BadGeometryError),
            (layout.HEADER_SIZE_OFFSET, 8, shmwire.TruncatedError),
            (layout.HEADER_SIZE_OFFSET, 2**31, shmwire.TruncatedError),
            (layout.HEADER_ELEMENT_SIZE_OFFSET, 0, shmwire.BadGeometryError),
            (layout.HEADER_ELEMENT_SIZE_OFFSET, 2**32 - 1, shmwire.TruncatedError)):
        rawqueue.poke(0, whole)
        rawqueue.poke_u32(field, value)
        refused(error)
    rawqueue.poke(0, whole)
    rawqueue.poke_u32(layout.HEADER_INIT_STATE_OFFSET, 0)
    with slick.open(name, "r", engine=engine) as queue:
        assert queue.generation == "1.2"
    rawqueue.poke_u32(layout.HEADER_SIZE_OFFSET, 0)
    refused(shmwire.NotReadyError)
    rawqueue.poke_u32(layout.HEADER_INIT_STATE_OFFSET, 1)
    refused(shmwire.BadGeometryError)
    for size in (0, 63):
        os.truncate(rawqueue.path, size)
        refused(shmwire.TruncatedError)


def test_waits_for_the_creator(name: str, engine: slick.Engine, rawqueue: RawQueue) -> None:
    """[slick.segment.not-ready]"""
    slick.create(name, 4, element_size=8, engine=engine).close()
    rawqueue.poke_u32(layout.HEADER_INIT_STATE_OFFSET, layout.STATE_BEGUN)
    began = time.monotonic()
    with pytest.raises(shmwire.NotReadyError):
        slick.open(name, timeout=0.1, engine=engine)
    assert time.monotonic() - began >= 0.1
    timer = threading.Timer(0.05, rawqueue.poke_u32, (layout.HEADER_INIT_STATE_OFFSET, layout.STATE_READY_14))
    timer.start()
    slick.open(name, timeout=20, engine=engine).close()
    timer.join()


def test_readers_touch_nothing(queue: slick.Queue, producer: slick.Producer, rawqueue: RawQueue, name: str) -> None:
    """[slick.segment.readonly]"""
    fill(producer, 0, 13)
    before = rawqueue.bytes()
    with slick.open(name, "r", engine=queue.engine) as again:
        reader = again.reader(0)
        assert list(reader)
        for call in (reader.last, reader.view, again.validate, again.info, again.header, again.slots):
            call()
        reader.seek("oldest")
        assert list(reader.batch())
    assert rawqueue.bytes() == before
