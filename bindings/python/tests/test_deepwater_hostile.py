# SPDX-License-Identifier: MIT
"""Hostile bytes: whatever a base holds, every call ends soon, in a value or a registry exception."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from deepwater_support import FEED, base, fill, in_memory, reading, writing

import shmwire
from shmwire.deepwater import collect, feeds, layout, validate
from shmwire.deepwater.inspect import inspect
from shmwire.engine import Engine

__all__ = ["base"]
ROUNDS = 150
MOST = 2000  # records that a reader may give before it must have come to an end


def seed() -> int:
    """SHMWIRE_TEST_SEED, or 1."""
    return int(os.environ.get("SHMWIRE_TEST_SEED", "1"))


def note(said: list[object], call: Callable[[], object]) -> None:
    try:
        said.append(call())
    except shmwire.ShmwireException as error:
        said.append(error.name)


def ask(base: str, engine: Engine) -> list[object]:
    """What one engine says of a base, as plain values."""
    said: list[object] = []
    try:
        reader = reading(base, engine)
    except shmwire.ShmwireException as error:
        return [error.name]
    with reader:
        for start in (reader.oldest, reader.latest, lambda: reader.seek_time(200), lambda: reader.seek_sequence(70)):
            note(said, lambda start=start: start() is reader)
            for _ in range(6):
                note(said, lambda: [(record.sequence, record.timestamp_ns, record.type, bytes(record.payload))
                                    for record in reader.read_batch(MOST)])
        note(said, lambda: reader.has_data_since(100))
        note(said, lambda: reader.get_latest_chunk().chunk_id)
        note(said, lambda: [chunk.state for chunk in reader.chunks()])
    note(said, lambda: validate(base, FEED, engine))
    return said


def disturb(random_: random.Random, folder: Path, memory: list[Path]) -> None:
    """One to four faults in registries, chunks and indices."""
    feed = folder / FEED
    headers = [(folder / "registry.bin", 400), (feed / "feed_registry.bin", 600)]
    chunks = [(file, 200) for file in [*feed.glob("chunk_*"), *memory]]
    for _ in range(random_.randint(1, 4)):
        file, most = random_.choice(random_.choice([headers, chunks, chunks]))
        with file.open("r+b") as opened:
            size = os.fstat(opened.fileno()).st_size
            width = random_.choice([1, 4, 8])
            opened.seek(random_.randrange(0, min(most, size - 8)) // width * width)
            value = random_.choice([0, 1, 2, 3, 4, 64, 128, 4096, 2**16, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1,
                                    random_.getrandbits(64)])
            opened.write((value % 256**width).to_bytes(width, "little"))


@pytest.fixture
def template(base: str, tmp_path: Path) -> Path:
    """A base at rest: two persisted chunks, one sealed and one live in shared memory, whose writer has left no lock."""
    with writing(base, "python", persist=True, rows=16) as writer:
        fill(writer, 250)
    return Path(base)


def test_both_engines_say_the_same(template: Path, base: str) -> None:
    """And neither crashes, nor hangs."""
    rng = random.Random(seed())
    whole = template.parent / "whole"
    shutil.copytree(template, whole)
    refused = 0
    for turn in range(ROUNDS):
        shutil.rmtree(template)
        shutil.copytree(whole, template)
        disturb(rng, template, [])
        said = ask(base, "python")
        assert said == ask(base, "native"), (seed(), turn)
        refused += any(isinstance(one, str) for one in said[:-3])
        for engine in ("python", "native"):
            note(said, lambda engine=engine: len(feeds(base, engine)))
        assert said[-1] == said[-2], (seed(), turn)
        note(said, lambda: len(inspect(base, FEED)))
    assert refused > ROUNDS // 4, (seed(), refused)  # the faults are felt


def test_recovering_hostile_bases(template: Path, base: str) -> None:
    """A recovery may refuse; what it leaves can be read or is refused, too."""
    rng = random.Random(seed() + 1)
    whole = template.parent / "whole"
    shutil.copytree(template, whole)
    for _ in range(ROUNDS // 3):
        for engine in ("python", "native"):
            shutil.rmtree(template)
            shutil.copytree(whole, template)
            disturb(rng, template, [])
            said: list[object] = []
            note(said, lambda engine=engine: collect(base, FEED, engine))
            said += ask(base, "python")
            assert said and in_memory(base) == []


# Where names lead -----------------------------------------------------------------------------------------------------


def entry_directory(base: str, directory: bytes) -> None:
    """Change where the entry says that the feed is."""
    with Path(base, "registry.bin").open("r+b") as file:
        file.seek(layout.REGISTRY_SIZE + layout.FEED_DIRECTORY_OFFSET)
        file.write(directory.ljust(96, b"\0")[:96])


DIRECTORIES = [b"", b"/etc", b"..", b"ticks/../ticks", b"ticks/", b"./ticks", b"x" * 96, b"a b", b"x" * 64]


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_refuses_directories(template: Path, base: str, engine: Engine, directory: bytes) -> None:
    entry_directory(base, directory)
    for call in (lambda: reading(base, engine), lambda: writing(base, engine), lambda: feeds(base, engine),
                 lambda: collect(base, FEED, engine), lambda: validate(base, FEED, engine)):
        with pytest.raises(shmwire.CorruptError):
            call()


def test_directories_below(template: Path, base: str, engine: Engine) -> None:
    (template / "deep").mkdir()
    (template / FEED).rename(template / "deep" / "down")
    entry_directory(base, b"deep/down")
    with reading(base, engine) as reader:
        assert len(list(reader)) == 250 and reader.info().directory == "deep/down"


@pytest.mark.parametrize("link", ["", "feed_registry.bin", "chunk_00000000.data", "chunk_00000000.idx"])
def test_refuses_links(template: Path, base: str, engine: Engine, link: str) -> None:
    """The feed's directory, its registry, and files of chunks."""
    victim = template / FEED / link if link else template / FEED
    moved = template / "moved"
    victim.rename(moved)
    victim.symlink_to(moved)
    with pytest.raises(shmwire.PermissionError):
        list(reading(base, engine))
    if not link.startswith("chunk"):
        with pytest.raises(shmwire.PermissionError):
            writing(base, engine)


def test_refuses_a_link_to_the_registry(template: Path, base: str, engine: Engine) -> None:
    (template / "registry.bin").rename(template / "moved")
    (template / "registry.bin").symlink_to(template / "moved")
    for call in (lambda: reading(base, engine), lambda: writing(base, engine), lambda: feeds(base, engine)):
        with pytest.raises(shmwire.PermissionError):
            call()


def test_a_base_may_be_a_link(template: Path, base: str, engine: Engine) -> None:
    """Its real path counts."""
    link = template.parent / "link"
    link.symlink_to(template)
    with writing(str(link), engine) as writer, reading(base, engine) as reader:
        fill(writer, 1)
        assert writer.base == reader.base == os.path.realpath(base)
        assert reader.seek_sequence(250).next() is not None


def test_a_count_that_grows_above_the_rows(template: Path, base: str, engine: Engine) -> None:
    """Raised after the reader has opened."""
    with reading(base, engine) as reader:
        assert len(reader.read_batch(10)) == 10
        with Path(base, FEED, "feed_registry.bin").open("r+b") as file:
            file.seek(layout.FEED_REGISTRY_COUNT_OFFSET)
            file.write((2**40).to_bytes(8, "little"))
        with pytest.raises(shmwire.CorruptError):
            list(reader)
        for call in (reader.oldest, reader.latest, lambda: reader.seek_time(5), reader.info, lambda: reader.chunk(17),
                     lambda: reader.chunk(2**39), reader.read_batch):
            said: list[object] = []
            note(said, call)
            assert said and (said[0] == "CORRUPT" or engine == "native"), said
