# SPDX-License-Identifier: MIT
"""Writing: bytes of both engines, refusals, the lock, taking over after a death."""

from __future__ import annotations

import array
import os
import random
import signal
import subprocess
import sys

import pytest
import shmwire
from conftest import Raw, finish, run_python
from shmwire import ouroboros, unlink
from shmwire.ouroboros import layout

ENDLESS = """
import sys
from shmwire import ouroboros
log = ouroboros.create(sys.argv[1], 4, 256, engine=sys.argv[2])
number = 0
while True:
    number += 1
    log.write(number.to_bytes(4, "little") * (1 + number % 17))
    if number == 500:
        print("on the way", flush=True)
"""


def test_engines_write_the_same_bytes(name: str) -> None:
    """[ouroboros.write.*]: many sizes, laps, batches and take-overs; compared after each step."""
    random_ = random.Random(5)
    for count, target, size in ((1, 64, None), (3, 64, None), (6, 64, 700), (4, 100, None), (5, 33, 301)):
        names = {engine: f"{name}-{engine}" for engine in ouroboros.ENGINES}
        logs = {engine: ouroboros.create(names[engine], count, target, size, engine=engine) for engine in ouroboros.ENGINES}
        try:
            for step in range(150):
                payloads = [random_.randbytes(random_.choice([1, 7, 28, 33, 60])) for _ in range(random_.randint(1, 4))]
                assert len({log.write_batch(payloads) for log in logs.values()}) == 1
                assert len({log.write(payloads[0]) for log in logs.values()}) == 1
                if step % 30 == 29:
                    for engine in ouroboros.ENGINES:
                        logs[engine].close()
                        logs[engine] = ouroboros.resume(names[engine], target, engine=engine)
                one, other = (Raw(names[engine]).bytes() for engine in ouroboros.ENGINES)
                assert one == other, (count, target, size, step)
            assert len({log.info() for log in logs.values()}) == 1
        finally:
            for engine in ouroboros.ENGINES:
                logs[engine].close()
                unlink(names[engine])


def test_made_as_it_must_be(name: str, engine: ouroboros.Engine, raw: Raw) -> None:
    """[ouroboros.segment.init, ouroboros.segment.create]"""
    with ouroboros.create(name, 2, 50, engine=engine) as log:
        expected = bytearray(48 + 100)
        expected[:16] = b"GOLBORUO" + b"\1\0\0\0" + b"\2\0\0\0"
        expected[16:24] = (48 | layout.ROW_COMMITTED).to_bytes(8, "little")
        assert raw.bytes() == bytes(expected)
        assert log.info() == ouroboros.WriterInfo(148, 2, 50, 96, 0)
        assert log.header() == ouroboros.Header(layout.MAGIC, 1, 2)
        assert log.rows() == [ouroboros.RowInfo(48 | layout.ROW_COMMITTED, 0), ouroboros.RowInfo(0, 0)]
        with pytest.raises(FileExistsError):
            ouroboros.create(name, engine=engine)
        assert raw.bytes() == bytes(expected)


def test_refusals(name: str, engine: ouroboros.Engine, raw: Raw) -> None:
    with ouroboros.create(name, 2, 50, engine=engine) as log:
        assert log.write(b"x") == 1
        before = raw.bytes()
        for data, error in ((b"", shmwire.InvalidArgumentError), (b"x" * 97, shmwire.TooLargeError)):
            with pytest.raises(error):
                log.write(data)
            with pytest.raises(error):
                log.write_batch([b"fine", data])
        assert raw.bytes() == before and log.entries_written == 1
        assert log.write(b"x" * 96) == 2
        assert log.write(array.array("H", [1, 2, 3])) == 3
        assert log.write_batch([]) == range(4, 4)
        assert log.write_batch([bytearray(b"four"), memoryview(b"five")]) == range(4, 6)
    for call in (lambda: log.write(b"x"), lambda: log.write_batch([b"x"])):
        with pytest.raises(shmwire.Closed):
            call()
    with ouroboros.Reader(name, engine=engine) as reader:
        assert reader.read_all() == [b"\1\0\2\0\3\0", b"four", b"five"]
    for arguments in ((0, 64), (2, 0), (2, 64, 40), (1, 4), (2**32, 1)):
        with pytest.raises(shmwire.InvalidArgumentError):
            ouroboros.create(name + "-never", *arguments, engine=engine)


@pytest.mark.parametrize("other", ouroboros.ENGINES)
def test_one_writer(name: str, engine: ouroboros.Engine, other: ouroboros.Engine) -> None:
    """[ouroboros.segment.one-writer]"""
    with ouroboros.create(name, engine=engine) as log:
        log.write(b"first")
        with pytest.raises(shmwire.BusyError):
            ouroboros.resume(name, engine=other)
        child = os.fork()
        if child == 0:
            try:
                log.write(b"from the child")
            except shmwire.BusyError:
                log.close()  # not the child's to give back
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(shmwire.BusyError):
            ouroboros.resume(name, engine=other)
    with ouroboros.resume(name, engine=other) as log:
        assert log.write(b"second") == 2
    with ouroboros.Reader(name, engine=engine) as reader:
        assert reader.read_all() == [b"first", b"second"]


def test_lock_goes_with_the_object(name: str, engine: ouroboros.Engine) -> None:
    log = ouroboros.create(name, engine=engine)
    log.write(b"first")
    del log
    with ouroboros.resume(name, engine=engine) as again:
        assert again.entries_written == 1


@pytest.mark.parametrize("other", ouroboros.ENGINES)
def test_takes_over_after_a_kill(name: str, engine: ouroboros.Engine, other: ouroboros.Engine) -> None:
    """[ouroboros.write.resume]: the writer is killed at whatever it was doing; a reader sees no repeat and every gap counted."""
    writer = subprocess.Popen([sys.executable, "-c", ENDLESS, name, engine], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stdout.readline() == "on the way\n"
    with ouroboros.Reader(name, engine=other) as reader:
        reader.read_batch()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        with ouroboros.resume(name, 256, engine=other) as log:
            written = log.entries_written
            assert written >= 500
            last = reader.next_sequence - 1
            entries = reader.read_batch(1 << 12)
            assert log.write(b"after") == written + 1
            entries += reader.read_batch(1 << 12)
        for entry in entries:
            assert entry.sequence_number == last + 1 + entry.skipped
            last = entry.sequence_number
            if entry.sequence_number <= written:
                assert entry.data == last.to_bytes(4, "little") * (1 + last % 17)
        assert last == written + 1 and entries[-1].data == b"after"
        reader.validate()


def test_engines_meet(name: str, engine: ouroboros.Engine) -> None:
    """A writer at full speed in one process, a reader with the other engine here."""
    other: ouroboros.Engine = "python" if engine == "native" else "native"
    code = ("import sys; from shmwire import ouroboros\nlog = ouroboros.resume(sys.argv[1], engine=sys.argv[2])\n"
            "for i in range(1, 6001): log.write(i.to_bytes(4, 'little') * (1 + i % 13))")
    ouroboros.create(name, 4, 4096).close()
    with ouroboros.Reader(name, engine=engine) as reader:
        process = run_python(code, name, other)
        last = 0
        for entry in reader.follow(timeout=10):
            assert entry.sequence_number == last + 1 + entry.skipped
            last = entry.sequence_number
            assert entry.data == last.to_bytes(4, "little") * (1 + last % 13)
            if last == 6000:
                break
        finish(process)
        assert last == 6000
        assert reader.total_entries_read + reader.total_skipped == 6000


def test_packed(name: str, engine: ouroboros.Engine) -> None:
    """Payloads out of one buffer, into one blob."""
    with ouroboros.create(name, 4, 64, engine=engine) as log, ouroboros.Reader(name, engine=engine) as reader:
        assert log.write_packed(b"abcdef", 3) == range(1, 3)
        assert log.write_packed(bytearray(b"xyz"), [1, 2]) == range(3, 5)
        found = reader.read_packed()
        assert (found.blob, found.offsets, found.sequences, found.skipped) == (b"abcdefxyz", [0, 3, 6, 7, 9], [1, 2, 3, 4], 0)
        assert found.payloads() == [b"abc", b"def", b"x", b"yz"]
        assert len(found) == 4
        for blob, lengths in ((b"abcd", 3), (b"abcd", 0), (b"abcd", [1, 2]), (b"abcd", [0, 4]), (b"abcd", [5, -1])):
            with pytest.raises(shmwire.InvalidArgumentError):
                log.write_packed(blob, lengths)
        with pytest.raises(shmwire.TooLargeError):
            log.write_packed(bytes(3 + log.max_payload + 1), [3, log.max_payload + 1])
        assert log.write_packed(b"", []) == range(5, 5)
        assert len(reader.read_packed()) == 0
        log.write_packed(bytes(60 * 20), 60)
        late = reader.read_packed(2)
        assert late.skipped == late.sequences[0] - 5 > 0
