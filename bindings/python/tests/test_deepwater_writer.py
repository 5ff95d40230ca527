# SPDX-License-Identifier: MIT
"""Profile deepwater: making feeds, appending, rotating, persisting, expiring and leaving, with both engines."""

from __future__ import annotations

import os
import zlib
from array import array
from pathlib import Path
from struct import unpack_from

import pytest
import shmwire
from deepwater_support import CHUNK, FEED, base, body, fill, in_memory, reading, require, states, writing
from shmwire.deepwater import Writer, collect, feeds, layout, retire, validate
from shmwire.engine import Engine

__all__ = ["base"]


# Making feeds ---------------------------------------------------------------------------------------------------------


def test_makes_base_and_feed(base: str, engine: Engine) -> None:
    with writing(base, engine, record_size=16, rotate_ns=99, persist=True, live_window=3) as writer:
        info = writer.info()
        assert (info.name, info.directory, info.feed_id, info.persist, info.retired) == (FEED, FEED, 0, True, False)
        assert (info.chunk_size, info.live_window, info.record_size, info.rotate_ns) == (CHUNK, 3, 16, 99)
        assert (info.chunks, info.latest, info.last_sequence) == (0, None, None)
        assert info.writer_lives and info.writer_pid == os.getpid() and info.heartbeat_ns > 0 and info.created_ns > 0
        assert writer.engine == engine and writer.base == os.path.realpath(base)
    assert sorted(os.listdir(base)) == ["registry.bin", FEED]
    assert os.listdir(os.path.join(base, FEED)) == ["feed_registry.bin"]
    registry = Path(base, "registry.bin").read_bytes()
    assert registry[:8] == b"DWGREG01" and len(registry) == 128 + 8 * 256
    assert registry[128:128 + 64] == FEED.encode().ljust(64, b"\0")


def test_an_existing_feed_stays_as_it_is(base: str, engine: Engine) -> None:
    writing(base, engine).close()
    with writing(base, engine, persist=True, chunk_size=8192, live_window=7) as writer:
        assert (writer.info().persist, writer.info().chunk_size, writer.info().live_window) == (False, CHUNK, 2)
    with pytest.raises(shmwire.ExistsError):
        writing(base, engine, exclusive=True)
    with pytest.raises(shmwire.NotFoundError, match="ticks"):
        writing(base, engine, create=False, feed="other")
    with pytest.raises(shmwire.NotFoundError):
        Writer(base + "-none", FEED, create=False, engine=engine)
    assert [info.name for info in feeds(base, engine)] == [FEED]


def test_a_full_base_changes_nothing(base: str, engine: Engine) -> None:
    for number in range(8):
        writing(base, engine, feed=f"f{number}").close()
    before = Path(base, "registry.bin").read_bytes()
    with pytest.raises(shmwire.Full):
        writing(base, engine, feed="ninth")
    assert Path(base, "registry.bin").read_bytes() == before and not Path(base, "ninth").exists()
    assert [info.feed_id for info in feeds(base, engine)] == list(range(8))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "é", "x" * 64, "a\0b"])
def test_refuses_names(base: str, engine: Engine, name: str) -> None:
    with pytest.raises(shmwire.InvalidNameError):
        writing(base, engine, feed=name)
    assert not os.path.exists(base)


WRONG = [{"chunk_size": 4088}, {"chunk_size": 4100}, {"chunk_size": 2**40 + 8}, {"chunk_size": 0}, {"live_window": 0},
         {"record_size": CHUNK + 1}, {"record_size": -1}, {"rows": 0}, {"rows": 2**24 + 1}, {"feeds": 0}, {"mode": 0o1000},
         {"rotate_ns": -1}, {"live_window": 2**32}, {"exclusive": True, "create": False}]


@pytest.mark.parametrize("options", WRONG, ids=str)
def test_refuses_arguments(base: str, engine: Engine, options: dict[str, int]) -> None:
    with pytest.raises(shmwire.InvalidArgumentError):
        writing(base, engine, **options)
    assert not os.path.exists(base)


def test_permissions(base: str, engine: Engine) -> None:
    with writing(base, engine, persist=True, mode=0o640) as writer:
        fill(writer, 1)
        memory = Path("/dev/shm", os.path.basename(reading(base, engine).get_latest_chunk().data_name))
        assert memory.stat().st_mode & 0o777 == 0o640 & ~_umask()
    assert Path(base, FEED).stat().st_mode & 0o777 == 0o750 & ~_umask()
    for name in ("feed_registry.bin", "chunk_00000000.data", "chunk_00000000.idx"):
        assert Path(base, FEED, name).stat().st_mode & 0o777 == 0o640 & ~_umask()


def _umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


def test_one_writer(base: str, engine: Engine) -> None:
    other: Engine = "python" if engine == "native" else "native"
    with writing(base, engine) as writer:
        fill(writer, 3)
        before = Path(base, FEED, "feed_registry.bin").read_bytes()
        for which in (engine, other):
            for call in (lambda which=which: writing(base, which), lambda which=which: retire(base, FEED, which),
                         lambda which=which: collect(base, FEED, which)):
                with pytest.raises(shmwire.BusyError):
                    call()
        assert Path(base, FEED, "feed_registry.bin").read_bytes() == before
        with reading(base, other) as reader:
            assert reader.info().writer_lives
    with reading(base, other) as reader:
        assert not reader.info().writer_lives
    with writing(base, other) as writer:
        fill(writer, 1)


def test_a_retired_feed(base: str, engine: Engine) -> None:
    with writing(base, engine, persist=True) as writer:
        fill(writer, 3)
    retire(base, FEED, engine)
    before = Path(base, FEED, "feed_registry.bin").read_bytes()
    with pytest.raises(shmwire.Closed):
        writing(base, engine)
    assert Path(base, FEED, "feed_registry.bin").read_bytes() == before
    assert feeds(base, engine)[0].retired
    with reading(base, engine) as reader:
        require(list(reader.follow()), 0, 3)
        with pytest.raises(shmwire.Closed):
            reader.next()


# Appending ------------------------------------------------------------------------------------------------------------


def test_appends_anything_with_bytes(base: str, engine: Engine) -> None:
    payloads = [b"abc", bytearray(b"de"), memoryview(b"-fgh-")[1:4], array("I", [1, 2]), b"", memoryview(b"abcdef")[::2]]
    with writing(base, engine) as writer:
        for number, payload in enumerate(payloads):
            assert writer.append(7, payload, type=number) == number
        with reading(base, engine) as reader:
            found = list(reader)
    assert [bytes(record.payload) for record in found] == [memoryview(payload).tobytes() for payload in payloads]
    assert [record.type for record in found] == list(range(len(payloads)))
    assert {record.timestamp_ns for record in found} == {7} and {record.chunk_id for record in found} == {0}


def test_places_records(base: str, engine: Engine) -> None:
    """Aligned where they vary, side by side where they do not; nothing in between."""
    with writing(base, engine) as writer, writing(base, engine, feed="fixed", record_size=5) as fixed:
        for number in range(3):
            writer.append(number, bytes([255]) * (5 + number))
            fixed.append(number, bytes([255]) * 5)
        for feed, offsets in ((FEED, [0, 8, 16]), ("fixed", [0, 5, 10])):
            with reading(base, engine, feed=feed) as reader:
                assert list(reader.index_array()["offset"]) == offsets
                data = Path("/dev/shm" + reader.get_latest_chunk().data_name).read_bytes()[64:]
        assert data[:15] == bytes([255]) * 15 and not any(data[15:])
        with reading(base, engine) as reader:
            data = Path("/dev/shm" + reader.get_latest_chunk().data_name).read_bytes()[64:]
        assert data[:24] == b"\xff" * 5 + bytes(3) + b"\xff" * 6 + bytes(2) + b"\xff" * 7 + bytes(1)


def test_refused_records_change_nothing(base: str, engine: Engine) -> None:
    with writing(base, engine) as writer, writing(base, engine, feed="fixed", record_size=8) as fixed:
        fill(writer, 5)
        before = Path(base, FEED, "feed_registry.bin").read_bytes()
        for error, arguments in ((shmwire.OutOfOrderError, (39, b"x")), (shmwire.TooLargeError, (50, bytes(CHUNK + 1))),
                                 (shmwire.InvalidArgumentError, (-1, b"x")), (shmwire.InvalidArgumentError, (2**64, b"x")),
                                 (shmwire.InvalidArgumentError, (50, b"x", -1)),
                                 (shmwire.InvalidArgumentError, (50, b"x", 2**32))):
            with pytest.raises(error):
                writer.append(*arguments)
        with pytest.raises(shmwire.InvalidArgumentError):
            fixed.append(0, b"seven..")
        assert Path(base, FEED, "feed_registry.bin").read_bytes() == before
        assert writer.append(40, body(5), 0) == 5  # the same time is in order
        assert writer.append(2**64 - 1, bytes(CHUNK)) == 6


def test_many_at_once(base: str, engine: Engine) -> None:
    records = [(10 * number, body(number), number % 5) for number in range(1000)]
    with writing(base, engine, live_window=20) as writer:
        assert writer.append_many(records[:1]) == 1
        assert writer.append_many(iter(records[1:])) == 999
        assert writer.append_many([]) == 0
        with reading(base, engine) as reader:
            require(list(reader), 0, 1000)
        with pytest.raises(shmwire.OutOfOrderError) as stopped:
            writer.append_many([(10_000, b"a"), (10_001, b"b"), (9_999, b"c"), (10_002, b"d")])
        assert stopped.value.appended == 2  # type: ignore[attr-defined]
        with pytest.raises(shmwire.InvalidArgumentError) as stopped_2:
            writer.append_many([(10_001, b"a"), (2**64, b"b")])
        assert stopped_2.value.appended == 1  # type: ignore[attr-defined]
        assert writer.info().last_sequence == 1002


# Chunks ---------------------------------------------------------------------------------------------------------------


def test_rotates_by_size_time_and_word(base: str, engine: Engine) -> None:
    with writing(base, engine, rotate_ns=1000, live_window=8) as writer:
        writer.rotate()  # nothing to do
        writer.append(5, bytes(2048))
        writer.append(5, bytes(2048))
        assert writer.info().chunks == 1
        writer.append(1004, b"")  # no bytes, and not 1000 ns after the first
        assert writer.info().chunks == 1
        writer.append(1004, b"x")  # no room
        assert writer.info().chunks == 2
        writer.append(2003, b"x")
        assert writer.info().chunks == 2
        writer.append(2004, b"x")  # 1000 ns after the chunk's first
        assert writer.info().chunks == 3
        writer.rotate()
        writer.rotate()  # the new one is empty
        assert writer.info().chunks == 4
        with reading(base, engine) as reader:
            chunks = reader.chunks()
    assert [chunk.first_sequence for chunk in chunks] == [0, 3, 5, 6]
    assert [(chunk.start_ns, chunk.end_ns) for chunk in chunks] == [(5, 1004), (1004, 2003), (2004, 2004), (2004, 0)]
    assert [chunk.data_bytes for chunk in chunks] == [4096, 9, 1, 0]


def test_rotates_when_the_index_is_full(base: str, engine: Engine) -> None:
    with writing(base, engine, live_window=8) as writer:
        for number in range(129):
            writer.append(number, b"")
        with reading(base, engine) as reader:
            assert [chunk.record_count for chunk in reader.chunks()] == [128, 1]


def test_no_more_rows(base: str, engine: Engine) -> None:
    with writing(base, engine, rows=2) as writer:
        writer.append(1, bytes(CHUNK))
        writer.append(1, bytes(CHUNK))
        for call in (lambda: writer.append(1, b"x"), writer.rotate):
            with pytest.raises(shmwire.Full):
                call()
        assert writer.info().last_sequence == 1 and writer.info().chunks == 2


def test_window_of_a_feed_that_expires(base: str, engine: Engine) -> None:
    with writing(base, engine, live_window=2) as writer:
        for number in range(5):
            writer.append(number, bytes(CHUNK))
            kept = range(max(0, number - 1), number + 1)
            assert in_memory(base) == sorted(f"{FEED}.{chunk}.{kind}" for chunk in kept for kind in ("data", "idx"))
        assert states(base, engine) == ["expired", "expired", "expired", "sealed", "live"]
    assert states(base, engine) == ["expired"] * 5 and in_memory(base) == []
    assert os.listdir(os.path.join(base, FEED)) == ["feed_registry.bin"]
    validate(base, FEED, engine)


def test_window_of_a_feed_that_persists(base: str, engine: Engine) -> None:
    with writing(base, engine, persist=True, live_window=2) as writer:
        fill(writer, 400)
        assert states(base, engine)[-3:] == ["persisted", "persisted", "live"]
        kept = (writer.info().chunks - 2, writer.info().chunks - 1)
        assert in_memory(base) == sorted(f"{FEED}.{chunk}.{kind}" for chunk in kept for kind in ("data", "idx"))
    assert set(states(base, engine)) == {"persisted"} and in_memory(base) == []
    with reading(base, engine) as reader:
        require(list(reader), 0, 400)
        assert reader.info().latest is None and reader.info().writer_pid == 0
        for chunk in reader.chunks():
            files = [Path(base, FEED, f"chunk_{chunk.chunk_id:08d}.{kind}").read_bytes() for kind in ("data", "idx")]
            assert len(files[0]) == 64 + chunk.data_bytes and len(files[1]) == 64 + 32 * chunk.record_count
            assert [zlib.crc32(file[64:]) for file in files] == [chunk.data_crc, chunk.index_crc]
            assert unpack_from("<I", files[0], layout.DATA_FLAGS_OFFSET)[0] == layout.DATA_SEALED
    validate(base, FEED, engine)


def test_the_next_writer_goes_on(base: str, engine: Engine) -> None:
    other: Engine = "python" if engine == "native" else "native"
    for which in (engine, other, engine):
        with writing(base, which, persist=True) as writer:
            fill(writer, 50)
            with pytest.raises(shmwire.OutOfOrderError):
                writer.append(0, b"")
    with reading(base, engine) as reader:
        require(list(reader), 0, 150)
        assert [chunk.first_sequence for chunk in reader.chunks()] == [0, 50, 100]


def test_closed(base: str, engine: Engine) -> None:
    writer = writing(base, engine)
    fill(writer, 1)
    writer.close()
    writer.close()
    for call in (lambda: writer.append(10, b"x"), lambda: writer.append_many([(10, b"x")]), writer.rotate, writer.info):
        with pytest.raises(shmwire.Closed):
            call()


# What the disk refuses ------------------------------------------------------------------------------------------------


def test_what_cannot_be_persisted_is_not_lost(base: str, engine: Engine) -> None:
    """A directory in the place of a file: renaming onto it fails, for root as well."""
    with writing(base, engine, persist=True, live_window=1) as writer:
        writer.append(0, body(0), 0)
        obstacle = Path(base, FEED, "chunk_00000000.idx")
        obstacle.mkdir()
        (obstacle / "full").touch()
        with pytest.raises(shmwire.ShmwireError):
            writer.rotate()
        assert states(base, engine) == ["sealed", "live"]
        writer.append(10, body(1), 1)
        with reading(base, engine) as reader:
            require(list(reader), 0, 2)
        (obstacle / "full").unlink()
        obstacle.rmdir()
        writer.rotate()
        assert states(base, engine) == ["persisted", "persisted", "live"]
        assert in_memory(base) == [f"{FEED}.2.data", f"{FEED}.2.idx"]
    with reading(base, engine) as reader:
        require(list(reader), 0, 2)
    validate(base, FEED, engine)


def test_what_cannot_be_persisted_stays_for_the_next_writer(base: str, engine: Engine) -> None:
    writer = writing(base, engine, persist=True, live_window=1)
    fill(writer, 5)
    obstacle = Path(base, FEED, "chunk_00000000.data")
    obstacle.mkdir()
    (obstacle / "full").touch()
    with pytest.raises(shmwire.ShmwireError):
        writer.close()
    assert states(base, engine) == ["sealed"] and in_memory(base) == [f"{FEED}.0.data", f"{FEED}.0.idx"]
    (obstacle / "full").unlink()
    obstacle.rmdir()
    with reading(base, engine) as reader:
        require(list(reader), 0, 5)
    assert collect(base, FEED, engine).persisted == 1
    assert states(base, engine) == ["persisted"] and in_memory(base) == []
    with reading(base, engine) as reader:
        require(list(reader), 0, 5)
