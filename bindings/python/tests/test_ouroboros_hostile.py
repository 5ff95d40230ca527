# SPDX-License-Identifier: MIT
"""Hostile bytes: whatever a log holds, every call ends soon, in a value or a registry exception, the same of both engines."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import shmwire
from ouroboros_support import COMMITTED, RawLog
from shmwire import ouroboros
from shmwire.ouroboros import layout

SIZE = 16 + 16 * 4 + 4 * 64
INTERESTING = [0, 1, 2, 3, 4, 5, 79, 80, 84, 144, 332, 335, 336, 337, 2**30, 2**31 - 4, 2**31 - 1]
ROUNDS = 700


def seed() -> int:
    """SHMWIRE_TEST_SEED, or 1."""
    return int(os.environ.get("SHMWIRE_TEST_SEED", "1"))


def disturb(random_: random.Random, log: RawLog, entries: list[int]) -> None:
    """One to five faults in the header, the rows and the entries."""
    for _ in range(random_.randint(1, 5)):
        kind = random_.randrange(8)
        value = random_.choice([random_.choice(INTERESTING), random_.getrandbits(64)])
        if kind == 0:
            log.poke_u32(random_.choice([0, 4, 8, 12]), value % 2**32)
        elif kind <= 2:
            offset = random_.choice([value, *entries]) % 2**63
            log.poke_u64(log.row(random_.randrange(4)), random_.choice([0, COMMITTED]) | offset)
        elif kind == 3:
            log.poke_u64(log.row(random_.randrange(4)) + layout.ROW_TOKEN_OFFSET, random_.choice([value, random_.randrange(30)]))
        else:
            length = random_.choice([value, 1, 8, 32, 60]) % 2**31
            log.poke_u32(random_.choice(entries), random_.choice([0, layout.ENTRY_COMMITTED]) | length)


def note(said: list[object], call: Callable[[], object]) -> None:
    try:
        said.append(call())
    except shmwire.ShmwireException as error:
        said.append(error.name)


def read(name: str, engine: ouroboros.Engine, start: ouroboros.Start) -> list[object]:
    """What a reader says; nothing in the segment changes."""
    said: list[object] = []
    try:
        reader = ouroboros.open(name, start, engine=engine)
    except shmwire.ShmwireException as error:
        return [error.name]
    with reader:
        note(said, reader.validate)
        note(said, reader.rows)
        note(said, reader.read_next_entry)
        note(said, lambda: reader.read_batch(3, max_bytes=50))
        note(said, lambda: [bytes(view.data) for view in [reader.read_next_view()] if view is not None])
        note(said, reader.read_all)
        note(said, lambda: reader.seek("latest"))
        note(said, lambda: reader.read_batch(64))
        said += [reader.total_entries_read, reader.total_skipped, reader.next_sequence]
    return said


def write(name: str, engine: ouroboros.Engine) -> list[object]:
    """What a writer that takes over says."""
    said: list[object] = []
    try:
        log = ouroboros.resume(name, 64, engine=engine)
    except shmwire.ShmwireException as error:
        return [error.name]
    with log:
        note(said, log.info)
        for size in (5, 60, 28, 28, 28):
            note(said, lambda length=size: log.write(b"w" * length))
    return said


def test_engines_agree(name: str) -> None:
    """The same bytes, the same calls: the same answers and the same bytes from both engines."""
    random_, raw = random.Random(seed()), RawLog(name)
    print("seed", seed())
    wholes = []
    for count in (3, 9, 23):
        with ouroboros.create(name, 4, 64, SIZE) as log:
            log.write_batch([bytes([i]) * (28 if i % 3 else 12) for i in range(count)])
        wholes.append(raw.bytes())
        shmwire.unlink(name)
    ouroboros.create(name, 4, 64, SIZE).close()
    differing = set()
    for number in range(ROUNDS):
        raw.poke(0, random_.choice(wholes))
        disturb(random_, raw, [80, 96, 112, 128, 144, 176, 208, 240, 304])
        broken = raw.bytes()
        start = random_.choice(ouroboros.STARTS)
        looks = [read(name, engine, start) for engine in ouroboros.ENGINES]
        assert looks[0] == looks[1], number
        assert raw.bytes() == broken, number
        differing.add(str(looks[0][:3]))
        ends = []
        for engine in ouroboros.ENGINES:
            raw.poke(0, broken)
            ends.append((write(name, engine), raw.bytes()))
        assert ends[0] == ends[1], number
        assert raw.path.stat().st_size == len(broken)
    assert len(differing) > 50  # the faults reached the readers


def test_shortened_file(name: str, engine: ouroboros.Engine) -> None:
    """[ouroboros.segment.size]"""
    ouroboros.create(name, 4, 64, engine=engine).close()
    raw = RawLog(name)
    for size in (0, 1, 15, 16, 79):
        os.truncate(raw.path, size)
        found = read(name, engine, "auto")
        assert found in (["TRUNCATED"], ["NOT_READY"]), (size, found)
        os.truncate(raw.path, SIZE)
        raw.poke_u64(0, layout.MAGIC)
        raw.poke_u32(8, 1)
        raw.poke_u32(12, 4)
