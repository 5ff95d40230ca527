# SPDX-License-Identifier: MIT
"""Reading: where it begins, laps and what was skipped, boundaries, views, attaching and its errors."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest
import shmwire
from conftest import Raw
from ouroboros_support import COMMITTED, RawLog
from shmwire import ouroboros
from shmwire.ouroboros import layout


@pytest.fixture
def log(engine: ouroboros.Engine, name: str) -> Iterator[ouroboros.Writer]:
    """Three chunks of 64 bytes: two entries of 28 bytes each."""
    with ouroboros.create(name, 3, 64, engine=engine) as made:
        yield made


@pytest.fixture
def rawlog(name: str) -> RawLog:
    return RawLog(name)


def fill(log: ouroboros.Writer, count: int) -> list[bytes]:
    """So many entries of 28 bytes, the sequence in each."""
    payloads = [(log.entries_written + 1 + i).to_bytes(4, "little") * 7 for i in range(count)]
    for payload in payloads:
        log.write(payload)
    return payloads


def test_source_interface(log: ouroboros.Writer, name: str, engine: ouroboros.Engine) -> None:
    """What users of the source system call, with and without the leading slash."""
    payloads = fill(log, 4)
    for spelled in (name, name[1:]):
        with ouroboros.Reader(spelled, engine=engine) as reader:
            assert reader.chunk_count == 3
            assert reader.read_all() == payloads
            assert reader.total_entries_read == 4
        reader.close()
        assert reader.total_entries_read == 4
        with pytest.raises(shmwire.Closed):
            reader.read_next_entry()
    with ouroboros.Reader(name, engine=engine) as reader:
        entry = reader.read_next_entry()
        assert entry is not None and entry.data == payloads[0] and entry.sequence_number == 1
        assert entry.chunk_info == ouroboros.ChunkInfo(0, 0) and entry.is_valid()
        assert isinstance(reader, ouroboros.Reader)
        assert reader.engine == engine


def test_live_not_a_snapshot(log: ouroboros.Writer, name: str, engine: ouroboros.Engine) -> None:
    """Iteration ends when there is nothing, and goes on with what was written after attaching."""
    with ouroboros.Reader(name, engine=engine) as reader:
        assert list(reader) == []
        for _ in range(40):
            payloads = fill(log, 2)
            assert list(reader) == payloads
        payloads = fill(log, 1)
        for payload in reader:  # an entry that is written inside of the loop is seen by it
            if len(payloads) < 5:
                payloads += fill(log, 1)
            assert payload in payloads
        assert reader.total_entries_read == 80 + 5
        assert reader.total_skipped == 0


def test_starts(log: ouroboros.Writer, name: str, engine: ouroboros.Engine) -> None:
    fill(log, 6)
    first = {start: ouroboros.Reader(name, start, engine).read_next_entry() for start in ouroboros.STARTS}
    assert {start: entry and entry.sequence_number for start, entry in first.items()} == {"auto": 1, "latest": 5, "oldest": 1}
    fill(log, 1)
    with ouroboros.Reader(name, "oldest", engine) as reader:
        found = []
        for start in ouroboros.STARTS:
            reader.seek(start)
            entry = reader.read_next_entry()
            assert entry is not None and entry.skipped == 0
            found.append(entry.sequence_number)
        assert found == [7, 7, 3]
        with pytest.raises(shmwire.InvalidArgumentError):
            reader.seek("first")  # type: ignore[arg-type]


@pytest.mark.parametrize("behind", [0, 1, 2, 5])
@pytest.mark.parametrize("ahead", [1, 4, 6, 7, 8, 13, 100])
def test_exact_skips(log: ouroboros.Writer, name: str, engine: ouroboros.Engine, behind: int, ahead: int) -> None:
    """[ouroboros.read.skipped]: delivered and skipped together are all sequences, none twice."""
    fill(log, 6)
    with ouroboros.Reader(name, engine=engine) as reader:
        last = 0
        for _ in range(behind):
            entry = reader.read_next_entry()
            assert entry is not None
            last = entry.sequence_number
        fill(log, ahead)
        total = 0
        for entry in reader.read_batch():
            assert entry.sequence_number == last + entry.skipped + 1
            assert entry.data == entry.sequence_number.to_bytes(4, "little") * 7
            last = entry.sequence_number
            total += entry.skipped
        assert last == 6 + ahead
        assert reader.total_skipped == total == last - reader.total_entries_read
        assert reader.next_sequence == last + 1


def test_late_row(log: ouroboros.Writer, name: str, engine: ouroboros.Engine, rawlog: RawLog) -> None:
    """[ouroboros.read.no-repeat]: a caught-up reader crosses a boundary before the row is committed, and repeats nothing."""
    fill(log, 3)
    offset = rawlog.u64(rawlog.row(1))
    rawlog.poke_u64(rawlog.row(1), offset & ~COMMITTED)
    with ouroboros.Reader(name, engine=engine) as reader:
        assert [entry.chunk_info.index for entry in reader.read_batch()] == [0, 0, 0]
        rawlog.poke_u64(rawlog.row(1), offset)
        fill(log, 4)
        entries = reader.read_batch()
    assert [entry.sequence_number for entry in entries] == [4, 5, 6, 7]
    assert [entry.chunk_info.index for entry in entries] == [1, 2, 2, 0]
    assert [entry.skipped for entry in entries] == [0, 0, 0, 0]


def test_validity(log: ouroboros.Writer, name: str, engine: ouroboros.Engine) -> None:
    """[ouroboros.read.view]"""
    fill(log, 3)
    with ouroboros.Reader(name, engine=engine) as reader:
        view, entry = reader.read_next_view(), reader.read_next_entry()
        third = reader.read_next_view()
        assert view is not None and entry is not None and third is not None
        assert bytes(view.data) == b"\1\0\0\0" * 7 and view.data.readonly
        view.check()
        fill(log, 4)
        assert not view.is_valid() and not entry.is_valid() and third.is_valid()
        with pytest.raises(shmwire.Lapped):
            view.check()
        assert bytes(view.data[:4]) == b"\7\0\0\0"  # it lies where it lay: the log's own bytes
        assert entry.data == b"\2\0\0\0" * 7
        reader.close()
        assert not third.is_valid()
        assert bytes(third.data[:4]) == b"\3\0\0\0"  # the view holds the mapping
    with pytest.raises(TypeError):
        third.data[0] = 1


def test_sizes(log: ouroboros.Writer, name: str, engine: ouroboros.Engine) -> None:
    log.write(b"1" * 28)
    log.write(b"22")
    with ouroboros.Reader(name, engine=engine) as reader:
        for call in (lambda: reader.read_next_entry(max_size=27), lambda: reader.read_batch(max_bytes=27)):
            with pytest.raises(shmwire.TooSmallError) as caught:
                call()
            assert caught.value.needed == 28
        assert [entry.data for entry in reader.read_batch(max_bytes=29)] == [b"1" * 28]
        entry = reader.read_next_entry(max_size=2)
        assert entry is not None and entry.data == b"22"
        with pytest.raises(shmwire.InvalidArgumentError):
            reader.read_batch(0)


def test_larger_than_the_buffer(name: str, engine: ouroboros.Engine) -> None:
    payloads = [os.urandom(size) for size in (10, 70_000, 65_536, 300_000, 1)]
    with ouroboros.create(name, 2, 1 << 20, engine=engine) as log:
        for payload in payloads:
            log.write(payload)
        for way in ("read_all", "iterate", "batch"):
            with ouroboros.Reader(name, engine=engine) as reader:
                if way == "batch":
                    assert [entry.data for entry in reader.read_batch(3, max_bytes=1 << 20)] == payloads[:3]
                else:
                    assert (reader.read_all() if way == "read_all" else list(reader)) == payloads


def test_waiting(log: ouroboros.Writer, name: str, engine: ouroboros.Engine) -> None:
    """[ouroboros.read.timeout]"""
    with ouroboros.Reader(name, engine=engine) as reader:
        began = time.monotonic()
        assert reader.read_next_entry(0.05) is None
        assert 0.05 <= time.monotonic() - began < 2
        timer = threading.Timer(0.05, fill, (log, 3))
        timer.start()
        assert [entry.sequence_number for entry in reader.follow(timeout=0.5)] == [1, 2, 3]
        timer.join()
        with pytest.raises(shmwire.InvalidArgumentError):
            reader.read_next_entry(-1)


def test_read_all_ends(name: str, engine: ouroboros.Engine) -> None:
    """Also where a writer keeps ahead of the reader."""
    stop = threading.Event()
    with ouroboros.create(name, 4, 256, engine=engine) as log, ouroboros.Reader(name, engine=engine) as reader:
        def write() -> None:
            while not stop.is_set():
                log.write_batch([b"entry" * 4] * 20)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(5):
                assert set(reader.read_all()) <= {b"entry" * 4}
        finally:
            stop.set()
            thread.join()


def test_attach_errors(name: str, engine: ouroboros.Engine, rawlog: RawLog) -> None:
    """Each in both hierarchies."""
    def refused(own: type[Exception], registry: type[Exception]) -> None:
        with pytest.raises(own) as caught:
            ouroboros.Reader(name, engine=engine)
        assert isinstance(caught.value, ouroboros.ReaderError) and isinstance(caught.value, registry)

    refused(ouroboros.LogNotFoundError, FileNotFoundError)
    ouroboros.create(name, 3, 64, engine=engine).close()
    whole = rawlog.bytes()
    rawlog.poke_u64(layout.HEADER_MAGIC_OFFSET, layout.MAGIC ^ 1)
    refused(ouroboros.InvalidMagicError, shmwire.BadMagicError)
    rawlog.poke_u64(layout.HEADER_MAGIC_OFFSET, 0)
    refused(ouroboros.InvalidMagicError, shmwire.NotReadyError)
    rawlog.poke(0, whole)
    rawlog.poke_u32(layout.HEADER_VERSION_OFFSET, 2)
    refused(ouroboros.UnsupportedVersionError, shmwire.BadVersionError)
    rawlog.poke(0, whole)
    rawlog.poke_u32(layout.HEADER_CHUNK_COUNT_OFFSET, 0)
    refused(ouroboros.InvalidChunkCountError, shmwire.BadGeometryError)
    rawlog.poke_u32(layout.HEADER_CHUNK_COUNT_OFFSET, 2**28)
    refused(ouroboros.BufferTooSmallError, shmwire.TruncatedError)
    rawlog.poke(0, whole)
    rawlog.set_row(0, layout.ROW_TABLE_OFFSET + 3 * layout.ROW_SIZE, 0)
    refused(ouroboros.NoDataAvailableError, shmwire.Empty)
    with ouroboros.open(name, engine=engine) as reader:
        assert reader.read_next_entry() is None and reader.next_sequence == 0
        rawlog.poke(0, whole)
        assert reader.read_next_entry() is None and reader.next_sequence == 1
    with pytest.raises(ouroboros.InvalidLogNameError):
        ouroboros.Reader("", engine=engine)
    with pytest.raises(shmwire.InvalidArgumentError):
        ouroboros.Reader(name, "newest", engine)  # type: ignore[arg-type]
    with pytest.raises(shmwire.InvalidArgumentError):
        ouroboros.Reader(name, engine="c")  # type: ignore[arg-type]


def test_waits_for_the_writer(name: str, engine: ouroboros.Engine, rawlog: RawLog) -> None:
    ouroboros.create(name, 3, 64, engine=engine).close()
    rawlog.poke_u64(layout.HEADER_MAGIC_OFFSET, 0)
    timer = threading.Timer(0.05, rawlog.poke_u64, (layout.HEADER_MAGIC_OFFSET, layout.MAGIC))
    timer.start()
    with ouroboros.Reader(name, engine=engine, ready_timeout=5) as reader:
        assert reader.read_all() == []
    timer.join()


@pytest.mark.parametrize("length", [2, 3, 4, 161, 2**31 - 1])
def test_corrupt_entry(log: ouroboros.Writer, name: str, engine: ouroboros.Engine, rawlog: RawLog, length: int) -> None:
    """[ouroboros.read.length]: what comes before it is delivered, and the reader stays."""
    fill(log, 2)
    rawlog.poke_u32(64 + 32, length | layout.ENTRY_COMMITTED)
    with ouroboros.Reader(name, engine=engine) as reader:
        assert [entry.sequence_number for entry in reader.read_batch()] == [1]
        for _ in range(2):
            with pytest.raises(ouroboros.CorruptLogError) as caught:
                reader.read_next_entry()
            assert isinstance(caught.value, shmwire.CorruptError)
        with pytest.raises(shmwire.CorruptError):
            reader.validate()


def test_readers_touch_nothing(log: ouroboros.Writer, name: str, engine: ouroboros.Engine, raw: Raw) -> None:
    """[ouroboros.segment.readonly]"""
    fill(log, 7)
    before = raw.bytes()
    with ouroboros.Reader(name, engine=engine) as reader:
        reader.read_all()
        reader.seek("oldest")
        reader.read_next_view()
        reader.validate()
    assert raw.bytes() == before


def test_threads_share_a_reader(name: str, engine: ouroboros.Engine) -> None:
    """Each entry goes to one of them, whole."""
    with ouroboros.create(name, 4, 1 << 16, engine=engine) as log, ouroboros.Reader(name, engine=engine) as reader:
        payloads = [bytes([i % 251]) * (1 + i % 97) for i in range(1500)]
        log.write_batch(payloads)
        seen: list[tuple[int, bytes]] = []

        def read() -> None:
            while (entry := reader.read_next_entry()) is not None:
                seen.append((entry.sequence_number, entry.data))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(seen) == list(enumerate(payloads, 1))
