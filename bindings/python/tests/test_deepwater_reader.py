# SPDX-License-Identifier: MIT
"""Profile deepwater: reading, choosing, waiting, questions and arrays, with both engines."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import shmwire
from deepwater_support import CHUNK, FEED, base, body, fill, forget_memory, reading, require, states, writing
from shmwire.deepwater import Cursor, Expired, Reader, Writer, feeds, retire, validate
from shmwire.engine import Engine

__all__ = ["base"]


@pytest.fixture
def writer(base: str, engine: Engine) -> Iterator[Writer]:
    """A writer with 300 records in at least four chunks, all of them there."""
    with writing(base, engine, persist=True) as made:
        fill(made, 300)
        assert made.info().chunks >= 3
        yield made


# Reading on -----------------------------------------------------------------------------------------------------------


def test_reads_over_the_ends_of_chunks(writer: Writer, base: str, engine: Engine) -> None:
    with reading(base, engine) as reader:
        assert reader.engine == engine
        require(list(reader), 0, 300)
        assert reader.next() is None and list(reader) == []
        fill(writer, 2)
        require([reader.next(), reader.next()], 300, 302)  # type: ignore[list-item]
        fill(writer, 300)
        writer.rotate()
        require(list(reader), 302, 602)
    with reading(base, engine) as reader:
        batches = []
        while batch := reader.read_batch(50):
            assert len(batch) <= 50 and len({record.chunk_id for record in batch}) == 1
            batches += batch
        require(batches, 0, 602)
        with pytest.raises(shmwire.InvalidArgumentError):
            reader.read_batch(0)


def test_payloads_outlive_chunk_and_reader(writer: Writer, base: str, engine: Engine) -> None:
    with reading(base, engine) as reader:
        found = list(reader)
    writer.close()
    forget_memory(base)
    require(found, 0, 300)
    if engine == "python":
        with pytest.raises(TypeError):
            found[0].payload[0] = 1  # type: ignore[index]


def test_a_held_chunk_stays_readable(base: str, engine: Engine) -> None:
    with writing(base, engine, live_window=1) as writer:
        fill(writer, 20)
        with reading(base, engine) as reader:
            require([reader.read(0)], 0, 1)
            writer.rotate()
            writer.append(1000, body(20), 0)
            assert states(base, engine) == ["expired", "live"]
            require([next(iter(reader)) for _ in range(19)], 1, 20)
            assert reader.read(0).sequence == 20


def test_expired_is_told_once(base: str, engine: Engine) -> None:
    with writing(base, engine, live_window=1) as writer, reading(base, engine) as reader:
        fill(writer, 10)
        writer.rotate()
        fill(writer, 10)
        writer.rotate()
        fill(writer, 5)
        with pytest.raises(Expired) as gone:
            reader.next()
        assert gone.value.lost == 20 and isinstance(gone.value, shmwire.ExpiredError)
        records = list(reader)
        assert [record.lost for record in records] == [20, 0, 0, 0, 0]
        require(records, 20, 25)
        writer.rotate()
        fill(writer, 5)
        writer.rotate()
        with pytest.raises(Expired) as gone:
            list(reader)
        assert gone.value.lost == 5 and reader.next() is None
    with reading(base, engine) as reader:  # nothing is left, and nothing counts as lost
        assert reader.next() is None and reader.cursor.sequence == 30


def test_expired_while_iterating(base: str, engine: Engine) -> None:
    """An iterator goes on after the exception."""
    with writing(base, engine, live_window=1) as writer, reading(base, engine) as reader:
        fill(writer, 3)
        records = iter(reader)
        assert next(records).sequence == 0
        for _ in range(3):
            writer.rotate()
            fill(writer, 3)
        assert [next(records).sequence, next(records).sequence] == [1, 2]
        with pytest.raises(Expired, match="6 records"):
            next(records)
        assert [record.sequence for record in records] == [9, 10, 11]


def test_moved_to_files(writer: Writer, base: str, engine: Engine) -> None:
    """A name that is gone while the row still says shared memory: the files have it."""
    with reading(base, engine) as reader:
        live = reader.get_latest_chunk().chunk_id
        writer.close()
        forget_memory(base)
        assert reader.seek_sequence(0).next() is not None and reader.chunk(live).state == "persisted"
        require(list(reader), 1, 300)


def test_two_engines_two_readers(writer: Writer, base: str) -> None:
    with reading(base, "python") as first, reading(base, "native") as second:
        for one, other in zip(first, second, strict=True):
            assert one._replace(payload=bytes(one.payload)) == other


# Choosing -------------------------------------------------------------------------------------------------------------


def test_seeks(writer: Writer, base: str, engine: Engine) -> None:
    with reading(base, engine) as reader:
        for number in (299, 0, 128, 127, 129, 1, 42):
            require([reader.seek_sequence(number).read(0)], number, number + 1)
            for time_ns in (10 * number, 10 * number - 9):
                if time_ns >= 0:
                    require([reader.seek_time(time_ns).read(0)], number, number + 1)
        for reader_at_end in (reader.latest, lambda: reader.seek_sequence(300), lambda: reader.seek_sequence(2**64 - 1),
                              lambda: reader.seek_time(2991), lambda: reader.seek_time(2**64 - 1)):
            reader_at_end()
            assert reader.next() is None
        assert reader.cursor.sequence == 300
        fill(writer, 1)
        require(list(reader), 300, 301)
        require(list(reader.oldest()), 0, 301)
        for wrong in (-1, 2**64):
            for call in (reader.seek_time, reader.seek_sequence, reader.has_data_since):
                with pytest.raises(shmwire.InvalidArgumentError):
                    call(wrong)


def test_seek_finds_the_first_of_many_with_one_time(base: str, engine: Engine) -> None:
    """Times that are the same, over the ends of chunks."""
    seed = 20261127
    rng = random.Random(seed)
    times = sorted(rng.choice(range(0, 60, 3)) for _ in range(400))
    with writing(base, engine, persist=True) as writer:
        for number, time_ns in enumerate(times):
            writer.append(time_ns, body(number))
            if rng.random() < 0.03:
                writer.rotate()
        with reading(base, engine) as reader:
            for wanted in range(64):
                record = reader.seek_time(wanted).next()
                first = next((number for number, time_ns in enumerate(times) if time_ns >= wanted), None)
                assert (record.sequence if record is not None else None) == first, (seed, wanted)
                last = rng.choice(range(64))
                found = [found.sequence for found in reader.range(wanted, last)]
                assert found == [n for n, time_ns in enumerate(times) if wanted <= time_ns <= last], (seed, wanted, last)


def test_ranges(writer: Writer, base: str, engine: Engine) -> None:
    with reading(base, engine) as reader:
        require(list(reader.range(100, 200)), 10, 21)
        require([reader.read(0)], 21, 22)  # it goes on behind the range
        assert list(reader.range(101, 109)) == []
        require(list(reader.range(0, 0)), 0, 1)
        require(list(reader.range(2985, 2**64)), 299, 300)
        assert list(reader.range(200, 100)) == []
        partly = reader.range(0, 2990)
        require([next(partly), next(partly)], 0, 2)
        require([reader.read(0)], 2, 3)
        require(list(partly), 3, 300)


def test_seek_behind_what_expired(base: str, engine: Engine) -> None:
    with writing(base, engine, live_window=1) as writer:
        fill(writer, 10)
        writer.rotate()
        fill(writer, 10)
        with reading(base, engine) as reader:
            assert reader.read(0).sequence == 10 and reader.seek_time(0).read(0).sequence == 10
            reader.seek_sequence(4)
            with pytest.raises(Expired) as gone:
                reader.next()
            assert gone.value.lost == 6 and reader.read(0).sequence == 10


def test_seek_over_a_gap(base: str, engine: Engine) -> None:
    """A chunk in the middle was lost with the power: its neighbours are there."""
    for _ in range(3):
        with writing(base, engine, persist=True) as writer:
            fill(writer, 10)
    registry = Path(base, FEED, "feed_registry.bin")
    raw = bytearray(registry.read_bytes())
    raw[128 + 128 + 12] = 4  # the state of row 1
    registry.write_bytes(raw)
    for kind in ("data", "idx"):
        Path(base, FEED, f"chunk_00000001.{kind}").unlink()
    with reading(base, engine) as reader:
        for time_ns in (101, 150, 190, 200):
            assert reader.seek_time(time_ns).read(0).sequence == 20
        assert reader.seek_time(90).read(0).sequence == 9
        with pytest.raises(Expired, match="10 records"):
            reader.next()
        assert reader.read(0).sequence == 20


# Cursors --------------------------------------------------------------------------------------------------------------


def test_cursors(writer: Writer, base: str, engine: Engine) -> None:
    other: Engine = "python" if engine == "native" else "native"
    places = []
    with reading(base, engine) as reader:
        places.append((reader.cursor, 0))
        for record in reader:
            places.append((reader.cursor, record.sequence + 1))
    with reading(base, other) as reader:
        random.Random(1).shuffle(places)
        for cursor, sequence in places[:60]:
            reader.cursor = Cursor(*cursor)
            assert reader.cursor.sequence == sequence
            record = reader.next()
            assert (record.sequence if record is not None else 300) == sequence
        reader.cursor = Cursor(2**40, 7)  # the chunk is a hint
        assert reader.read(0).sequence == 7
        reader.cursor = Cursor(0, 200)
        assert reader.read(0).sequence == 200
        with pytest.raises(shmwire.InvalidArgumentError):
            reader.cursor = Cursor(0, -1)


def test_a_cursor_outlives_writer_and_memory(writer: Writer, base: str, engine: Engine) -> None:
    with reading(base, engine) as reader:
        for _ in range(299):
            reader.read(0)
        cursor = reader.cursor
    writer.close()
    with writing(base, engine) as again:
        fill(again, 2)
        with reading(base, engine) as reader:
            reader.cursor = cursor
            require(list(reader), 299, 302)


# Waiting --------------------------------------------------------------------------------------------------------------


def test_waits_and_times_out(writer: Writer, base: str, engine: Engine) -> None:
    with reading(base, engine) as reader:
        reader.latest()
        for timeout in (0, 0.02):
            with pytest.raises(shmwire.Timeout):
                reader.read(timeout)
        assert list(reader.follow(timeout=0.01)) == []
        with pytest.raises(shmwire.InvalidArgumentError):
            reader.read(-1)
        assert writer.info().waiters == 1  # it has counted itself, and nobody was woken since
        fill(writer, 1)
        assert writer.info().waiters == 0
        require(list(reader.follow(timeout=0)), 300, 301)


@pytest.mark.parametrize("read_only", [False, True])
def test_follows_a_writer(writer: Writer, base: str, engine: Engine, read_only: bool) -> None:
    """It sleeps before the first record comes; the end is the end of the feed."""
    found = []
    with reading(base, engine, read_only=read_only, end_with_writer=True) as reader:
        reader.latest()

        def follow() -> None:
            found.extend(reader.follow(timeout=60, spin=0))

        thread = threading.Thread(target=follow)
        thread.start()
        if not read_only:
            for _ in range(10_000):
                if writer.info().waiters:
                    break
                time.sleep(0.001)
            assert writer.info().waiters == 1
        for _ in range(20):
            fill(writer, 10)
        writer.close()
        thread.join(90)
        assert not thread.is_alive()
    require(found, 300, 500)


def test_ends_with_the_writer_only_if_asked(base: str, engine: Engine) -> None:
    with writing(base, engine, persist=True) as writer:
        fill(writer, 2)
    with reading(base, engine) as reader:
        require(list(reader), 0, 2)
        assert reader.next() is None
    with reading(base, engine, end_with_writer=True) as reader:
        require(list(reader.follow()), 0, 2)
        for call in (reader.next, reader.read, reader.read_batch):
            with pytest.raises(shmwire.Closed):
                call()


def test_retiring_wakes_and_ends(writer: Writer, base: str, engine: Engine) -> None:
    writer.close()
    found: list[int] = []
    with reading(base, engine) as reader:
        reader.seek_sequence(299)
        thread = threading.Thread(target=lambda: found.extend(record.sequence for record in reader.follow(spin=0)))
        thread.start()
        for _ in range(10_000):
            if feeds(base, engine)[0].waiters:
                break
            time.sleep(0.001)
        retire(base, FEED, engine)
        thread.join(90)
        assert not thread.is_alive() and found == [299]


def test_waits_for_a_feed(base: str, engine: Engine) -> None:
    found: list[object] = []

    def read() -> None:
        with reading(base, engine, wait=60) as reader:
            found.append(reader.read(60).sequence)

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.05)
    with writing(base, engine) as writer:
        fill(writer, 1)
        thread.join(90)
    assert not thread.is_alive() and found == [0]
    with pytest.raises(shmwire.NotFoundError, match=f"there are: {FEED}"):
        reading(base, engine, feed="other", wait=0.02)
    with pytest.raises(shmwire.NotFoundError):
        Reader(base + "-none", FEED, engine=engine)
    with pytest.raises(shmwire.InvalidNameError):
        reading(base, engine, feed="../ticks")


# Questions ------------------------------------------------------------------------------------------------------------


def test_questions(base: str, engine: Engine) -> None:
    with writing(base, engine) as writer, reading(base, engine) as reader:
        assert not reader.has_data_since(0)
        with pytest.raises(shmwire.NotFoundError):
            reader.get_latest_chunk()
        fill(writer, 5)
        assert reader.has_data_since(0) and reader.has_data_since(40) and not reader.has_data_since(41)
        chunk = reader.get_latest_chunk()
        assert (chunk.chunk_id, chunk.state, chunk.first_sequence, chunk.record_count) == (0, "live", 0, 5)
        assert (chunk.start_ns, chunk.end_ns, chunk.data_capacity) == (0, 40, CHUNK)
        for name in (chunk.data_name, chunk.index_name):
            assert Path("/dev/shm" + name).exists()
        assert reader.chunk(0) == chunk and reader.chunks() == [chunk]
        for number in (1, -1, 2**63):
            with pytest.raises(shmwire.NotFoundError):
                reader.chunk(number)
        assert reader.info() == writer.info()._replace(waiters=0)
        writer.rotate()
        assert reader.get_latest_chunk().chunk_id == 1
    reader = reading(base, engine)
    assert reader.has_data_since(40)
    with pytest.raises(shmwire.NotFoundError):
        reader.get_latest_chunk()
    reader.close()
    reader.close()
    for call in (reader.next, reader.read_batch, reader.info, reader.oldest, reader.get_latest_chunk, lambda: reader.cursor,
                 lambda: reader.read(1), reader.chunks, lambda: reader.has_data_since(1), lambda: reader.index_array(0)):
        with pytest.raises(shmwire.Closed):
            call()


# Arrays ---------------------------------------------------------------------------------------------------------------

TICK = np.dtype([("price", "<f8"), ("size", "<u4"), ("side", "u1"), ("pad", "u1", (3,))])


def test_records_as_an_array(base: str, engine: Engine) -> None:
    rows = np.zeros(600, TICK)
    rows["price"], rows["size"] = np.arange(600) / 4, np.arange(600)
    with writing(base, engine, persist=True, record_size=TICK.itemsize) as writer:
        writer.append_many([(number, row.tobytes()) for number, row in enumerate(rows)])
        reader = reading(base, engine)
        arrays = [reader.records_array(TICK, chunk.chunk_id) for chunk in reader.chunks()]
        assert [len(found) for found in arrays] == [256, 256, 88]
        live = reader.latest().records_array(TICK)
        assert len(live) == 88
        assert reader.seek_sequence(300).records_array(TICK)[300 - 256] == rows[300]
        index = reader.index_array(1)
        assert list(index["sequence"]) == list(range(256, 512)) and index["length"].min() == TICK.itemsize
        for call in (lambda: reader.records_array("<u8"), lambda: reader.records_array(object)):
            with pytest.raises(shmwire.InvalidArgumentError):
                call()
        with pytest.raises(shmwire.NotFoundError):
            reader.records_array(TICK, 3)
        with pytest.raises(ValueError, match="read-only"):
            live["size"] = 0
        reader.close()
    forget_memory(base)
    assert (np.concatenate(arrays) == rows).all()  # over mappings that only the arrays hold now


def test_arrays_that_cannot_be(base: str, engine: Engine) -> None:
    with writing(base, engine, live_window=1) as writer:
        fill(writer, 3)
        writer.rotate()
        with reading(base, engine) as reader:
            with pytest.raises(shmwire.InvalidArgumentError):
                reader.records_array("u1", 1)
            assert len(reader.index_array(1)) == 0
            with pytest.raises(Expired):
                reader.index_array(0)
    validate(base, FEED, engine)
