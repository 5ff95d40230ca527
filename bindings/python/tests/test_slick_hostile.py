# SPDX-License-Identifier: MIT
"""Hostile bytes: whatever a queue holds, every call ends soon, in a value or a registry exception, the same of both engines."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest
import shmwire
from shmwire import slick
from shmwire.slick import layout
from slick_support import NO_INDEX, RawQueue, item

SIZE = 8
LENGTH = layout.SLOT_TABLE_OFFSET + SIZE * (layout.SLOT_SIZE + 8)
ROUNDS = 600


def seed() -> int:
    """SHMWIRE_TEST_SEED, or 1."""
    return int(os.environ.get("SHMWIRE_TEST_SEED", "1"))


def disturb(random_: random.Random, raw: RawQueue) -> None:
    """One to five faults in the header and the slots."""
    index = raw.reserved[0]
    for _ in range(random_.randint(1, 5)):
        near = max(0, index + random_.randint(-20, 20))
        value = random_.choice([0, 1, 7, 8, 9, near, near, near, 2**47, 2**48 - 1, 2**63, NO_INDEX - 1, NO_INDEX])
        kind = random_.randrange(10)
        if kind == 0:
            raw.poke_u32(random_.choice([8, 12, 24, 48]), value % 2**32)
        elif kind == 1:
            raw.set_reserved(random_.choice([near, value % 2**48]), random_.choice([0, 1, 3, 8, 9, 2**16 - 1]))
        elif kind == 2:
            raw.poke_u64(random_.choice([layout.HEADER_LAST_PUBLISHED_OFFSET, layout.HEADER_SETTLED_OFFSET]), value)
        elif kind <= 6:
            raw.poke_u64(raw.at(random_.randrange(SIZE)), value)
        else:
            elements = random_.choice([0, 2, 5, 8, 9, 2**31, 2**32 - 1])
            raw.poke_u32(raw.at(random_.randrange(SIZE), layout.SLOT_SIZE_OFFSET), elements)


def note(said: list[object], call: Callable[[], object]) -> None:
    try:
        said.append(call())
    except shmwire.ShmwireException as error:
        said.append(error.name)


def ask(queue: slick.Queue, start: slick.Start, cursor: slick.Cursor | None, said: list[object]) -> None:
    """What one reader says."""
    reader = queue.reader(start, cursor=cursor)
    note(said, reader.next)
    note(said, lambda: list(reader.batch(3, max_bytes=40)))
    note(said, lambda: [(view.index, view.lost, bytes(view.data)) for view in [reader.view()] if view is not None])
    for _ in range(3):
        note(said, lambda: list(reader.batch(64)))
    note(said, reader.last)
    note(said, reader.info)
    note(said, lambda: reader.seek("oldest"))
    note(said, reader.next)
    note(said, reader.info)


def read(name: str, engine: slick.Engine, start: slick.Start) -> list[object]:
    """What readers say; nothing in the segment changes."""
    said: list[object] = []
    try:
        queue = slick.open(name, "r", timeout=0, engine=engine)
    except shmwire.ShmwireException as error:
        return [error.name]
    with queue:
        note(said, queue.validate)
        note(said, queue.header)
        note(said, queue.slots)
        ask(queue, start, None, said)
        with slick.Cursor.local(queue, start) as cursor:
            ask(queue, start, cursor, said)
            said.append(cursor.load())
    return said


def write(name: str, engine: slick.Engine, act: int) -> list[object]:
    """What a producer, or a recoverer, says."""
    said: list[object] = []
    try:
        queue = slick.open(name, timeout=0, engine=engine)
    except shmwire.ShmwireException as error:
        return [error.name]
    with queue:
        producer = queue.producer(stall=0.0)
        if act == 0:
            note(said, lambda: queue.recover(all_dead=True))
        elif act == 1:
            note(said, queue.reset)
        for elements in (1, 3, 2, 8):
            note(said, lambda wanted=elements: producer.write(bytes(wanted * queue.element_size)))
        note(said, lambda: producer.write_batch([bytes(2 * queue.element_size)] * 7))
        note(said, lambda: producer.info())
        note(said, queue.info)
    return said


def wholes(name: str) -> list[bytes]:
    """Segments as they are at work: of one producer, of two, with an item left unpublished, with one given up."""
    found = []
    for generation in slick.GENERATIONS:
        for count in (3, 9, 23):
            with slick.create(name, SIZE, element_size=8, generation=generation) as queue:
                producers = [queue.producer(), queue.producer()]
                for number in range(count):
                    producers[number % 2].write(item(number, 1 + number % 3))
                found.append(RawQueue(name).bytes())
                with pytest.raises(ZeroDivisionError), producers[0].reserve(2) as claim:
                    claim.view[:] = item(99, 2)
                    producers[1].write(item(100))
                    found.append(RawQueue(name).bytes())
                    raise ZeroDivisionError
            shmwire.unlink(name)
    return found


def test_engines_agree(name: str) -> None:
    """The same bytes, the same calls: the same answers and the same bytes from both engines."""
    random_, raw = random.Random(seed()), RawQueue(name)
    print("seed", seed())
    good = wholes(name)
    slick.create(name, SIZE, element_size=8).close()
    differing = set()
    for number in range(ROUNDS):
        raw.poke(0, random_.choice(good))
        disturb(random_, raw)
        broken = raw.bytes()
        start = random_.choice(["oldest", "latest", 0, 1, 5, random_.randrange(60), 2**48 - 1])
        looks = [read(name, engine, start) for engine in slick.ENGINES]
        assert looks[0] == looks[1], (number, start)
        assert raw.bytes() == broken, number
        differing.add(str(looks[0][3:6]))
        ends, act = [], random_.randrange(3)
        for engine in slick.ENGINES:
            raw.poke(0, broken)
            ends.append((write(name, engine, act), raw.bytes()))
        assert ends[0] == ends[1], (number, act)
        assert raw.path.stat().st_size == len(broken) == LENGTH
    assert len(differing) > 50  # the faults reached the readers


@pytest.mark.parametrize("size", [0, 1, 63, 64, 191, 192, LENGTH - 1])
def test_shortened_file(name: str, engine: slick.Engine, size: int) -> None:
    """[slick.segment.size]"""
    slick.create(name, SIZE, element_size=8, engine=engine).close()
    os.truncate(RawQueue(name).path, size)
    assert read(name, engine, 0) == ["TRUNCATED"]
    os.truncate(RawQueue(name).path, LENGTH)


def test_marks_without_end(name: str, engine: slick.Engine) -> None:
    """[slick.read.bounded]: slots that lead on and on, as far as the reservation goes."""
    with slick.create(name, SIZE, element_size=8, engine=engine) as queue:
        raw = RawQueue(name)
        raw.set_reserved(2**47, 1)
        for slot in range(SIZE):
            raw.set_slot(slot, 2**47 - 16 + slot + 1)
        for start in (0, 3, 2**46, 2**47 - 20, "oldest"):
            said: list[object] = []
            ask(queue, start, None, said)
            assert "CORRUPT" not in said or start
        assert queue.reader().next() is None
