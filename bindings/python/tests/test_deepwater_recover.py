# SPDX-License-Identifier: MIT
"""Profile deepwater: writers that die: at any moment, at every step of persisting, and what the next one makes of it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import shmwire
from conftest import finish, run_python
from deepwater_support import FEED, IMPORTS, base, fill, forget_memory, in_memory, reading, require, states, writing
from shmwire.deepwater import Cursor, Expired, collect, layout, retire, validate
from shmwire.engine import Engine

__all__ = ["base"]
PATIENCE = 60  # seconds: what fails fails by an answer, and never by this

#: Writes `count` records, says so, and is killed, or goes on until it is.
WRITE = IMPORTS + """
import os
base, engine, persist, count = sys.argv[1:]
writer = writing(base, engine, persist=persist == "True", rows=4096)
fill(writer, int(count))
print("there", flush=True)
while True:
    fill(writer, 7)
"""


def killed_writer(base: str, engine: Engine, persist: bool, count: int, delay: float) -> None:
    """A writer that dies `delay` seconds after its first `count` records."""
    process: subprocess.Popen[str] = run_python(WRITE, base, engine, str(persist), str(count))
    assert process.stdout is not None and process.stdout.readline() == "there\n", process.communicate()[1]
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)


def die(base: str, engine: Engine, count: int, persist: bool = True, **options: int) -> None:
    """A writer that dies behind `count` records."""
    code = IMPORTS + f"w = writing({base!r}, {engine!r}, persist={persist}, **{options!r})\nfill(w, {count})\n"
    finish(run_python(code + "sys.stdout.flush(); import os; os._exit(0)"), PATIENCE)


@pytest.mark.parametrize("persist", [False, True])
def test_killed_at_any_moment(base: str, engine: Engine, persist: bool) -> None:
    """What a reader saw comes again, or is told of; sequences go on."""
    other: Engine = "python" if engine == "native" else "native"
    seed = int(os.environ.get("SHMWIRE_TEST_SEED", "1"))
    rng = random.Random(seed)
    for turn in range(4):
        killed_writer(base, rng.choice([engine, other]), persist, 40, rng.random() / 50)
        with reading(base, engine, end_with_writer=True) as reader:
            seen = []
            while True:
                try:
                    seen += [record.sequence for record in reader.follow()]
                    break
                except Expired:
                    continue
        with writing(base, engine, rows=4096) as writer:
            assert writer.info().last_sequence == seen[-1], (seed, turn)
            with reading(base, other) as again:
                require(list(again.seek_sequence(seen[-1])), seen[-1], seen[-1] + 1)
        validate(base, FEED, engine)
        if persist:
            with reading(base, other) as again:
                require(list(again), 0, seen[-1] + 1)
                assert "expired" not in {chunk.state for chunk in again.chunks()}


def test_the_next_writer_recovers(base: str, engine: Engine) -> None:
    die(base, engine, 200, live_window=3)
    assert states(base, engine)[-1] == "live"
    Path(base, FEED, "chunk_00000009.data.tmp").write_bytes(b"half")
    Path(base, FEED, "notes.tmp").write_bytes(b"somebody's")
    with reading(base, engine) as reader:
        require(list(reader), 0, 200)
        assert reader.info().writer_pid != 0 and not reader.info().writer_lives
    with writing(base, engine) as writer:
        assert set(states(base, engine)) == {"persisted"}
        assert sorted(os.listdir(os.path.join(base, FEED)))[-1] == "notes.tmp"
        assert not [name for name in os.listdir(os.path.join(base, FEED)) if name.startswith("chunk") and name.endswith(".tmp")]
        fill(writer, 1)
    with reading(base, engine) as reader:
        require(list(reader), 0, 201)
    validate(base, FEED, engine)


@pytest.mark.parametrize("persist", [False, True])
def test_collecting(base: str, engine: Engine, persist: bool) -> None:
    die(base, engine, 200, persist, live_window=2)
    live = len(states(base, engine)) - 1
    with reading(base, engine) as held:
        assert held.next() is not None or not persist
        report = collect(base, FEED, engine)
        assert (report.sealed, report.persisted, report.adopted, report.expired, report.removed) == (1, int(persist), 0, 0, 0)
        again = collect(base, FEED, engine)
        assert (again.sealed, again.persisted) == (0, 0)
    if persist:
        assert in_memory(base) == [] and set(states(base, engine)) == {"persisted"}
    else:
        assert states(base, engine)[-2:] == ["sealed", "sealed"]
        assert in_memory(base) == sorted(f"{FEED}.{chunk}.{kind}" for chunk in (live - 1, live) for kind in ("data", "idx"))
    with reading(base, engine) as reader:
        assert reader.info().writer_pid == 0
        assert [record.sequence for record in reader][-1] == 199
    validate(base, FEED, engine)


def test_a_chunk_that_no_row_names(base: str, engine: Engine) -> None:
    """Made by a writer that died before it stored the count."""
    die(base, engine, 20)
    count = len(states(base, engine))
    hash_name = _memory_file(base, f"{FEED}.0.data").name.removesuffix(f"{FEED}.0.data")
    stray = Path("/dev/shm", f"{hash_name}{FEED}.{count}.data")
    stray.write_bytes(b"half")
    other = Path("/dev/shm", f"{hash_name}{FEED}-2.{count}.data")
    other.write_bytes(b"another feed's")
    with writing(base, engine) as writer:
        fill(writer, 1)
        require_memory = in_memory(base)
        assert f"{FEED}.{count}.data" in require_memory and f"{FEED}-2.{count}.data" in require_memory
    with reading(base, engine) as reader:
        require(list(reader), 0, 21)
    assert in_memory(base) == [f"{FEED}-2.{count}.data"]


def _memory_file(base: str, name: str) -> Path:
    found = [file for file in os.listdir("/dev/shm") if file.endswith("." + name) and name in in_memory(base)]
    assert len(found) == 1, found
    return Path("/dev/shm", found[0])


# The machine goes off -------------------------------------------------------------------------------------------------


def test_power_failure_loses_what_was_only_in_memory(base: str, engine: Engine) -> None:
    die(base, engine, 200)
    with reading(base, engine) as reader:
        live = reader.get_latest_chunk()
    forget_memory(base)
    assert collect(base, FEED, engine).expired == 1
    with writing(base, engine) as writer:
        assert writer.info().last_sequence == 199
        fill(writer, 3)
        with reading(base, engine) as reader:
            require(reader.read_batch(5), 0, 5)
            reader.seek_sequence(live.first_sequence)
            with pytest.raises(Expired) as gone:
                reader.next()
            assert gone.value.lost == live.record_count
            require(list(reader), 200, 203)


#: What is on the disk after each step of persisting chunk 0 (True: under its last name), and what becomes of it.
STEPS = [((None, None), "expired"), (("data.tmp", None), "expired"), (("data.tmp", "idx.tmp"), "expired"),
         (("data", "idx.tmp"), "expired"), (("data", "idx"), "persisted")]


@pytest.mark.parametrize(("files", "state"), STEPS, ids=str)
def test_power_failure_while_persisting(base: str, engine: Engine, tmp_path: Path, files: tuple[str | None, str | None],
                                        state: str) -> None:
    """The row still says that the chunk is live."""
    die(base, engine, 20)
    row = Path(base, FEED, "feed_registry.bin").read_bytes()
    kept = tmp_path / "kept"
    assert collect(base, FEED, engine).persisted == 1
    shutil.copytree(Path(base, FEED), kept)
    Path(base, FEED, "feed_registry.bin").write_bytes(row)
    for name in ("chunk_00000000.data", "chunk_00000000.idx"):
        Path(base, FEED, name).unlink()
    for name, kind in zip(files, ("data", "idx"), strict=True):
        if name is not None:
            shutil.copy(kept / f"chunk_00000000.{kind}", Path(base, FEED, f"chunk_00000000.{name}"))
    report = collect(base, FEED, engine)
    assert (report.adopted, report.expired) == (int(state == "persisted"), int(state == "expired"))
    assert states(base, engine) == [state]
    half_made = sum(name is not None and name.endswith("tmp") for name in files)
    there = sum(name is not None for name in files)
    assert half_made <= report.removed <= there  # half of a chunk may go too, and natively does
    with reading(base, engine) as reader:
        require(list(reader), 0, 20 if state == "persisted" else 0)
    if state == "persisted":
        validate(base, FEED, engine)


def test_half_a_file_is_never_taken(base: str, engine: Engine) -> None:
    die(base, engine, 20)
    row = Path(base, FEED, "feed_registry.bin").read_bytes()
    collect(base, FEED, engine)
    Path(base, FEED, "feed_registry.bin").write_bytes(row)
    index = Path(base, FEED, "chunk_00000000.idx")
    index.write_bytes(index.read_bytes()[:-1])
    assert collect(base, FEED, engine).expired == 1 and states(base, engine) == ["expired"]


def make_odd(base: str, chunk_id: int) -> None:
    """As a writer leaves a row that dies within a change."""
    at = layout.FEED_REGISTRY_SIZE + chunk_id * layout.ROW_SIZE + layout.ROW_STAMP_OFFSET
    with Path(base, FEED, "feed_registry.bin").open("r+b") as registry:
        registry.seek(at)
        stamp = registry.read(1)[0]
        registry.seek(at)
        registry.write(bytes([stamp + 1]))


def odd_middle(base: str, engine: Engine, **options: int) -> tuple[int, int]:
    """A dead writer's feed of 300 records, with an odd row that is neither the first nor the last: the first sequences of its
    chunk and of the next one."""
    die(base, engine, 300, **options)
    with reading(base, engine) as reader:
        begins = [chunk.first_sequence for chunk in reader.chunks()]
    assert len(begins) > 2
    make_odd(base, 1)
    return begins[1], begins[2]


def test_an_odd_row_is_no_damage(base: str, engine: Engine) -> None:
    """Who needs it is told to come again, who does not goes on, and nobody loses anything. [deepwater.read.odd]"""
    begin, end = odd_middle(base, engine)
    with reading(base, engine) as reader:
        require(list(reader), 0, begin)
        assert reader.next() is None
        with pytest.raises(shmwire.Timeout):
            reader.read(0.003, spin=0.001)
        for call in (lambda: reader.chunk(1), reader.chunks, lambda: reader.seek_time(10 * begin + 5)):
            with pytest.raises(shmwire.NotReadyError):
                call()
        assert reader.next() is None  # it stayed
        found = []
        with pytest.raises(shmwire.NotReadyError):
            for record in reader.range(0, 5000):
                found.append(record)
        require(found, 0, begin)
        require(list(reader.seek_sequence(end)), end, 300)
        reader.cursor = Cursor(1, begin + 1)
        assert reader.next() is None
        with pytest.raises(shmwire.NotReadyError):
            validate(base, FEED, engine)
        with writing(base, engine, persist=True) as writer:
            fill(writer, 1)
            require(list(reader), begin + 1, 301)
    validate(base, FEED, engine)


def test_an_odd_row_behind_expired_ones(base: str, engine: Engine) -> None:
    """It may be gone too: the reader is told of each loss when it is known."""
    die(base, engine, 300, persist=False, live_window=1)
    with reading(base, engine) as reader:
        begins = [chunk.first_sequence for chunk in reader.chunks()]
    make_odd(base, 1)
    for wait in (0.0, 0.002):
        with pytest.raises(shmwire.NotReadyError):
            reading(base, engine, wait=wait)
    with reading(base, engine, start="sequence", at=0) as reader:
        with pytest.raises(Expired) as gone:
            reader.next()
        assert gone.value.lost == begins[1] and reader.next() is None
        collect(base, FEED, engine)
        with pytest.raises(Expired) as gone:
            reader.next()
        assert gone.value.lost == begins[-1] - begins[1]
        require(list(reader), begins[-1], 300)


def test_an_odd_row_and_the_end(base: str, engine: Engine) -> None:
    """It is the end with the writer, and not because the feed is retired. [deepwater.read.end]"""
    begin, _ = odd_middle(base, engine)
    with reading(base, engine) as reader, reading(base, engine, end_with_writer=True) as ending:
        require(list(ending), 0, begin)
        with pytest.raises(shmwire.Closed):
            ending.next()
        with pytest.raises(shmwire.NotReadyError):
            list(ending.range(0, 5000))
        retire(base, FEED, engine)
        require(list(reader), 0, begin)
        assert reader.next() is None
        collect(base, FEED, engine)
        require(list(reader), begin, 300)
        with pytest.raises(shmwire.Closed):
            reader.next()


def test_recovery_refuses_what_is_corrupt(base: str, engine: Engine) -> None:
    """Records that cannot be are not sealed: nothing changes."""
    die(base, engine, 20)
    index = _memory_file(base, f"{FEED}.0.idx")
    raw = bytearray(index.read_bytes())
    raw[layout.INDEX_SIZE + layout.RECORD_SEQUENCE_OFFSET + 5 * layout.RECORD_SIZE] ^= 1
    index.write_bytes(raw)
    before = Path(base, FEED, "feed_registry.bin").read_bytes()
    for call in (lambda: collect(base, FEED, engine), lambda: writing(base, engine)):
        with pytest.raises(shmwire.CorruptError):
            call()
    assert Path(base, FEED, "feed_registry.bin").read_bytes() == before and states(base, engine) == ["live"]


# Checking -------------------------------------------------------------------------------------------------------------


def test_validation_finds_what_the_disk_lost(base: str, engine: Engine) -> None:
    with writing(base, engine, persist=True) as writer:
        fill(writer, 200)
    seed = 5
    rng = random.Random(seed)
    for chunk in range(2):
        for kind in ("data", "idx"):
            file = Path(base, FEED, f"chunk_{chunk:08d}.{kind}")
            whole = file.read_bytes()
            at = rng.randrange(64, len(whole))
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1:])
            with pytest.raises(shmwire.CorruptError, match=f"chunk {chunk}"):
                validate(base, FEED, engine)
            file.write_bytes(whole)
    validate(base, FEED, engine)
    Path(base, FEED, "chunk_00000001.data").unlink()
    with pytest.raises(shmwire.CorruptError, match="chunk 1"):
        validate(base, FEED, engine)
    with pytest.raises(shmwire.NotFoundError):
        validate(base, "other", engine)
