# SPDX-License-Identifier: MIT
"""Producing: bytes of both engines, reservations, claims, refusals, reset, and what several producers owe each other."""

from __future__ import annotations

import array
import os
import random
import threading
import time

import pytest
import shmwire
from shmwire import slick, unlink
from shmwire.slick import layout
from slick_support import NO_INDEX, RawQueue, fill, item


@pytest.fixture
def rawqueue(name: str) -> RawQueue:
    return RawQueue(name)


@pytest.mark.parametrize("generation", slick.GENERATIONS)
def test_engines_write_the_same_bytes(name: str, generation: slick.Generation) -> None:
    """Many sizes, laps, batches, claims given up, resets, two producers; compared after each step."""
    random_ = random.Random(11)
    for size, element_size in ((1, 4), (2, 3), (8, 8), (16, 1)):
        names = {engine: f"{name}-{engine}" for engine in slick.ENGINES}
        queues = [slick.create(names[engine], size, element_size=element_size, generation=generation, engine=engine)
                  for engine in slick.ENGINES]
        try:
            producers = [[queue.producer() for _ in range(2)] for queue in queues]
            for step in range(200):
                which, elements, kind = random_.randrange(2), random_.randint(1, min(size, 5)), random_.randrange(8)
                items = [random_.randbytes(elements * element_size) for _ in range(random_.randint(1, 4))]
                answers = {str(_write(mine[which], kind, items)) for mine in producers}
                if kind == 7 and step % 5 == 0:
                    for queue in queues:
                        queue.reset()
                assert len(answers) == 1, (size, step, answers)
                one, other = (RawQueue(names[engine]).bytes() for engine in slick.ENGINES)
                assert one == other, (size, element_size, step, kind)
                assert len({queue.info() for queue in queues}) == 1
            assert len({mine[0].info() for mine in producers}) == 1
        finally:
            for queue, engine in zip(queues, slick.ENGINES, strict=True):
                queue.close()
                unlink(names[engine])


def _write(producer: slick.Producer, kind: int, items: list[bytes]) -> object:
    if kind < 3:
        return producer.write(items[0])
    if kind < 5:
        return producer.write_batch(items)
    claim = producer.reserve(max(1, len(items[0]) // 8))
    claim.view[:] = bytes(claim.capacity)
    if kind == 5:
        return claim.publish()
    try:
        claim.abandon()
    except shmwire.UnsupportedError:
        claim.publish()
    return claim.index


@pytest.mark.parametrize("generation", slick.GENERATIONS)
def test_made_as_it_must_be(name: str, engine: slick.Engine, rawqueue: RawQueue, generation: slick.Generation) -> None:
    """[slick.segment.init, slick.segment.create]"""
    with slick.create(name, 4, element_size=6, generation=generation, engine=engine) as queue:
        state = {"1.2": 0, "1.3": 1, "1.4": 3}[generation]
        expected = bytearray(64 + 4 * 16 + 4 * 6)
        expected[8:16] = (4).to_bytes(4, "little") + (6).to_bytes(4, "little")
        if generation == "1.4":
            expected[16:28] = b"\xff" * 8 + b"1QLS"
        expected[48] = state
        expected[64:128] = (b"\xff" * 8 + b"\1" + bytes(7)) * 4
        assert rawqueue.bytes() == bytes(expected)
        last = NO_INDEX if generation == "1.4" else 0
        assert queue.header() == slick.Header(0, 4, 6, last, layout.MAGIC if generation == "1.4" else 0, 0, state)
        assert queue.slots() == [slick.SlotInfo(NO_INDEX, 1)] * 4
        assert queue.info() == slick.QueueInfo(generation, 4, 6, 152, 0, 0)
        assert (queue.engine, queue.generation, queue.size, queue.element_size) == (engine, generation, 4, 6)
        with pytest.raises(FileExistsError):
            slick.create(name, 4, element_size=6, engine=engine)
        assert rawqueue.bytes() == bytes(expected)


def test_names(name: str, engine: slick.Engine, tmp_path: object) -> None:
    """[slick.segment.name, slick.segment.portable-name]"""
    with slick.create(name[1:], 2, element_size=8, engine=engine) as queue:
        assert queue.shm_name == name and queue.name == name[1:]
        with slick.open(name, engine=engine) as other:
            assert other.shm_name == name
        file = f"{tmp_path}/queue"
        with slick.create(file, 2, element_size=8, portable_name=True, engine=engine) as third:
            assert third.shm_name == file
    full = name + "-" * (31 - len(name))
    for spelled in (full, full[1:]):
        slick.create(spelled, 2, element_size=8, portable_name=True, engine=engine).close()
        unlink(full)
        with pytest.raises(shmwire.InvalidNameError):
            slick.create(spelled + "x", 2, element_size=8, portable_name=True, engine=engine)
    with pytest.raises(shmwire.InvalidNameError):
        slick.create("", 2, element_size=8, engine=engine)
    with pytest.raises(shmwire.InvalidNameError):
        slick.open("a\0b", engine=engine)


@pytest.mark.parametrize("arguments", [{"size": 0}, {"size": 3}, {"size": 2**32}, {"element_size": 0}, {"element_size": 2**32},
                                       {"generation": "1.1"}, {"mode": 0o1000}])
def test_create_arguments(name: str, engine: slick.Engine, arguments: dict[str, object]) -> None:
    """[slick.segment.argument]"""
    with pytest.raises(shmwire.InvalidArgumentError):
        slick.create(name, **{"element_size": 8, "engine": engine, **arguments})  # type: ignore[arg-type]
    with pytest.raises(shmwire.NotFoundError):
        slick.open(name, engine=engine)


def test_reservations(name: str, engine: slick.Engine, rawqueue: RawQueue) -> None:
    """[slick.reserve.packed, slick.reserve.wrap, slick.reserve.mark, slick.publish.first-slot, slick.publish.last]"""
    with slick.create(name, 8, element_size=8, engine=engine) as queue, queue.producer() as producer:
        assert fill(producer, 0, 2, elements=3) == [0, 3]
        assert rawqueue.reserved == (6, 3)
        untouched = (NO_INDEX, 1)
        assert rawqueue.slots(8) == [(0, 3), untouched, untouched, (3, 3), *[untouched] * 4]
        assert producer.write(item(2, 3)) == 8
        assert rawqueue.reserved == (11, 3) and rawqueue.last_published == 8
        assert rawqueue.slots(8) == [(8, 3), untouched, untouched, (3, 3), untouched, untouched, (8, 3), untouched]
        assert rawqueue.bytes(64 + 128, 24) == item(2, 3)
        assert rawqueue.settled == 0  # [slick.reserve.alone]


def test_refusals(name: str, engine: slick.Engine, rawqueue: RawQueue) -> None:
    """[slick.reserve.argument, slick.reserve.length, slick.reserve.one-claim]"""
    with slick.create(name, 4, element_size=8, engine=engine) as queue, queue.producer() as producer:
        before = rawqueue.bytes()
        for elements, error in ((0, shmwire.InvalidArgumentError), (-1, shmwire.InvalidArgumentError), (5, shmwire.TooLargeError),
                                (2**16, shmwire.TooLargeError), (2**40, shmwire.TooLargeError)):
            with pytest.raises(error):
                producer.reserve(elements)
        for data, error in ((b"", shmwire.InvalidArgumentError), (b"x" * 9, shmwire.InvalidArgumentError),
                            (b"x" * 40, shmwire.TooLargeError)):
            with pytest.raises(error):
                producer.write(data)
            with pytest.raises(error):
                producer.write_batch([data, data])
        with pytest.raises(shmwire.InvalidArgumentError):
            producer.write_batch([bytes(8), bytes(16)])
        assert producer.write_batch([]) == []
        assert rawqueue.bytes() == before
        with producer.reserve() as claim:
            for call in (producer.reserve, lambda: producer.write(bytes(8)), lambda: producer.write_batch([bytes(8)])):
                with pytest.raises(shmwire.BusyError):
                    call()
            claim.view[:] = b"finished"
        assert producer.write(array.array("I", [1, 2])) == 1
        assert producer.write_batch([bytearray(b"fourfour"), memoryview(b"5.555555")[::1]]) == [2, 3]
        assert producer.write(memoryview(b"a-b-c-d-e-f-g-h-")[::2]) == 4
        assert producer.info() == slick.ProducerInfo(5, 0)
        assert [found.data for found in queue.reader(4)] == [b"abcdefgh"]
    for call in (lambda: producer.write(bytes(8)), producer.reserve, lambda: producer.write_batch([bytes(8)]), queue.info,
                 queue.producer, queue.reader, queue.header, queue.reset, queue.validate, lambda: producer.write_batch([])):
        with pytest.raises(shmwire.Closed):
            call()
    assert producer.info().items_written == 5


def test_packed(name: str, engine: slick.Engine) -> None:
    """Items out of one buffer, over the end of the ring."""
    with slick.create(name, 4, element_size=2, engine=engine) as queue, queue.producer() as producer, queue.reader() as reader:
        assert producer.write_packed(b"aabbcc", 2) == [0, 1, 2]
        assert reader.batch().data == b"aabbcc"
        assert producer.write_packed(memoryview(bytearray(b"dddd.eeee."))[::1][:8], 4) == [4, 6]
        found = reader.batch()
        assert (found.indices(), found.payloads()) == ([4, 6], [b"dddd", b".eee"])
        assert producer.write_packed(b"", 2) == []
        before = queue.header()
        for blob, length in ((b"abc", 2), (b"abcd", 0), (b"abcd", -2), (b"abc", 1), (b"abcdef", 3), (b"", 0)):
            with pytest.raises(shmwire.InvalidArgumentError):
                producer.write_packed(blob, length)
        with pytest.raises(shmwire.TooLargeError):
            producer.write_packed(bytes(20), 10)
        assert queue.header() == before
        with producer.reserve(), pytest.raises(shmwire.BusyError):
            producer.write_packed(b"aa", 2)
        indices = producer.write_packed(bytes(200), 2)
        assert indices == list(range(indices[0], indices[0] + 100))
        assert producer.info().items_written == 3 + 2 + 1 + 100
    for blob in (b"aa", b""):
        with pytest.raises(shmwire.Closed):
            producer.write_packed(blob, 2)


def test_largest_reservation(name: str, engine: slick.Engine, rawqueue: RawQueue) -> None:
    """[slick.reserve.argument]: 65,535 elements and no more fit into the packed word; a batch is cut there."""
    with slick.create(name, 1 << 17, element_size=1, engine=engine) as queue, queue.producer() as producer:
        with pytest.raises(shmwire.TooLargeError):
            producer.write(bytes(65_536))
        assert producer.write(bytes(65_535)) == 0
        assert rawqueue.reserved == (65_535, 65_535)
        indices = producer.write_batch([bytes(2)] * 50_000)
        assert indices[:2] == [65_535, 65_537] and len(set(indices)) == 50_000
        queue.validate()


def test_claims(name: str, engine: slick.Engine, rawqueue: RawQueue) -> None:
    """[slick.publish.abandon]; a block publishes, and abandons on an exception."""
    with slick.create(name, 8, element_size=8, engine=engine) as queue:
        producer, reader = queue.producer(), queue.reader()
        with producer.reserve(2) as claim:
            assert (claim.index, claim.elements, claim.capacity) == (0, 2, 16)
            claim.view[:] = item(7, 2)
            assert reader.next() is None  # [slick.read.empty]
        found = reader.next()
        assert found is not None and found.data == item(7, 2)
        with pytest.raises(ZeroDivisionError), producer.reserve(3):
            raise ZeroDivisionError
        assert rawqueue.slots(8)[2] == (5, 3)
        assert reader.next() is None and reader.cursor == 5 and reader.lost == 0
        with producer.reserve() as claim:
            claim.view[:] = item(8)
            assert claim.publish() == 5
            for call in (claim.publish, claim.abandon):
                with pytest.raises(shmwire.OutOfOrderError):
                    call()
        with pytest.raises(ValueError, match="released"):
            claim.view[0] = 1
        found = reader.next()
        assert found is not None and found.data == item(8)
        whole = producer.reserve(8)
        with pytest.raises(shmwire.UnsupportedError):
            whole.abandon()
        assert whole.index == 8 and rawqueue.slots(8)[6] == (8, 8)
        whole.view[:] = item(9, 8)
        whole.publish()
        assert [found.data for found in reader] == [item(9, 8)]
        left = producer.reserve()
        producer.close()
        assert rawqueue.slots(8)[0] == (17, 1)  # abandoned
        with pytest.raises(shmwire.OutOfOrderError):
            left.publish()


def test_given_up_by_another(name: str, engine: slick.Engine, rawqueue: RawQueue) -> None:
    """[slick.publish.given-up]: who comes too late stores nothing."""
    with slick.create(name, 8, element_size=8, engine=engine) as queue, queue.producer() as producer:
        for finish in ("publish", "abandon"):
            claim = producer.reserve(2)
            rawqueue.poke_u64(rawqueue.at(claim.index % 8), claim.index + 2)
            before = rawqueue.bytes()
            with pytest.raises(shmwire.Lapped):
                getattr(claim, finish)()
            assert rawqueue.bytes() == before
            assert producer.write(item(1)) == claim.index + 2
        claim = producer.reserve(1)
        rawqueue.poke_u64(rawqueue.at(claim.index), claim.index + 2)  # above the reservation: nobody's mark
        claim.publish()
        assert rawqueue.slots(8)[claim.index] == (claim.index, 1)


def test_exhausted(name: str, engine: slick.Engine, rawqueue: RawQueue) -> None:
    """[slick.reserve.exhausted]"""
    with slick.create(name, 4, element_size=8, engine=engine) as queue:
        rawqueue.set_reserved(2**48 - 4, 1)
        rawqueue.set_slot(3, 2**48 - 5)
        with queue.producer() as producer:
            assert producer.write(item(1, 3)) == 2**48 - 4
            before = rawqueue.bytes()
            for elements in (1, 2, 4):
                with pytest.raises(shmwire.Closed):
                    producer.write(item(2, elements))
            assert rawqueue.bytes() == before
            queue.reset()
            assert producer.write(item(3)) == 0  # [slick.reset.clear]


@pytest.mark.parametrize("generation", slick.GENERATIONS)
def test_reset(name: str, engine: slick.Engine, rawqueue: RawQueue, generation: slick.Generation) -> None:
    """[slick.reset.clear, slick.read.reset]"""
    with slick.create(name, 4, element_size=8, generation=generation, engine=engine) as queue:
        fresh = rawqueue.bytes()
        producers, reader = [queue.producer(), queue.producer()], queue.reader()
        for number in range(9):
            fill(producers[number % 2], number, 1)
        assert [(found.index, found.lost) for found in reader] == [(8, 8)]
        assert rawqueue.settled > 0
        queue.reset()
        assert rawqueue.bytes(0, 64 + 64) == fresh[:128]
        assert producers[0].write(item(20)) == 0 and producers[1].write(item(21)) == 1
        assert [(found.index, found.data, found.lost) for found in reader] == [(0, item(20), 0), (1, item(21), 0)]
        assert reader.resets == 1 and reader.lost == 8


def test_read_only(name: str, engine: slick.Engine) -> None:
    slick.create(name, 4, element_size=8, engine=engine).close()
    with slick.open(name, "r", engine=engine) as queue:
        assert not queue.writable
        for call in (queue.producer, queue.reset, queue.recover):
            with pytest.raises(shmwire.PermissionError):
                call()
    with pytest.raises(shmwire.InvalidArgumentError):
        slick.open(name, "w", engine=engine)  # type: ignore[arg-type]


def test_settled_is_told(name: str, engine: slick.Engine, rawqueue: RawQueue) -> None:
    """[slick.reserve.told, slick.reserve.alone]"""
    with slick.create(name, 4, element_size=8, engine=engine) as queue:
        first, second = queue.producer(), queue.producer()
        fill(first, 0, 4)
        assert rawqueue.settled == 0
        fill(second, 4, 1)
        assert rawqueue.settled == 4
        fill(second, 5, 3)
        assert rawqueue.settled == 4
        fill(first, 8, 1)
        assert rawqueue.settled == 8 and queue.info().settled == 8


def test_waits_for_what_is_unpublished(name: str, engine: slick.Engine, rawqueue: RawQueue) -> None:
    """[slick.reserve.settled]: nobody reserves over an item that is being written; it is published while the other waits."""
    with slick.create(name, 4, element_size=8, engine=engine) as queue:
        slow, fast = queue.producer(), queue.producer(stall=20)
        claim = slow.reserve()
        fill(fast, 1, 3)
        done: list[int] = []
        thread = threading.Thread(target=lambda: done.append(fast.write(item(4))))
        thread.start()
        try:
            time.sleep(0.1)
            assert not done and rawqueue.reserved == (4, 1)
            claim.view[:] = item(0)
            claim.publish()
        finally:
            thread.join(15)
        assert done == [4] and fast.info().given_up == 0 and rawqueue.settled >= 1


@pytest.mark.parametrize("elements", [1, 2])
def test_gives_up(name: str, engine: slick.Engine, rawqueue: RawQueue, elements: int) -> None:
    """[slick.reserve.give-up]: after the stall time the slot is marked, readers pass it, and its owner learns of it."""
    with slick.create(name, 4, element_size=8, engine=engine) as queue:
        slow, fast, reader = queue.producer(), queue.producer(stall=0.05), queue.reader()
        claim = slow.reserve(elements)
        fill(fast, 1, 4 - elements)
        began = time.monotonic()
        assert fast.write(item(9)) == 4
        assert 0.05 <= time.monotonic() - began < 5
        assert fast.info() == slick.ProducerInfo(5 - elements, 1)
        assert rawqueue.slots(4)[1 if elements == 1 else 2][0] == (1 if elements == 1 else 2)
        assert rawqueue.settled >= elements
        with pytest.raises(shmwire.Lapped):
            claim.publish()
        assert [found.data for found in reader][-1] == item(9)
        queue.validate()


def test_fork(name: str, engine: slick.Engine, rawqueue: RawQueue) -> None:
    """An open claim is the parent's: the child abandons nothing, and may write itself."""
    with slick.create(name, 8, element_size=8, engine=engine) as queue, queue.producer() as producer:
        claim = producer.reserve()
        child = os.fork()
        if child == 0:
            try:
                queue.close()
                with slick.open(name, engine=engine) as own, own.producer() as other:
                    os._exit(0 if other.write(item(5)) == 1 else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert rawqueue.slots(8)[0] == (NO_INDEX, 1)
        claim.view[:] = item(4)
        claim.publish()
        assert [found.data for found in queue.reader()] == [item(4), item(5)]


def test_without_a_name(engine: slick.Engine) -> None:
    """For this process and its children."""
    with slick.create(None, 8, element_size=8, engine=engine) as queue:
        assert queue.shm_name == queue.name == ""
        child = os.fork()
        if child == 0:
            try:
                queue.producer().write(item(3))
                os._exit(0)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert [found.data for found in queue.reader()] == [item(3)]
        queue.validate()
        assert queue.recover(all_dead=True) == 0
        with pytest.raises(shmwire.InvalidArgumentError):
            slick.create(None, 3, element_size=8, engine=engine)


def test_threads(name: str, engine: slick.Engine) -> None:
    """Four threads with a producer each, two that share one."""
    with slick.create(name, 64, element_size=8, engine=engine) as queue:
        shared = queue.producer()
        producers = [queue.producer(), queue.producer(), shared, shared]

        def write(number: int) -> None:
            for i in range(200):
                producers[number].write(item(1000 * number + i, 1 + i % 3))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(producer.info().items_written for producer in set(producers)) == 800
        assert sum(producer.info().given_up for producer in set(producers)) == 0
        queue.validate()
        for found in queue.reader():
            number = int.from_bytes(found.data[:4], "little")
            assert found.data == item(number, found.elements) and found.elements == 1 + number % 1000 % 3
