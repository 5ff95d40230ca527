# SPDX-License-Identifier: MIT
"""The judge of live deepwater runs must notice every way in which records can go wrong, on histories made by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from shmwire_conform import judge
from shmwire_conform.cases import everything
from shmwire_conform.errors import Finding
from shmwire_conform.live import deepwater, deepwater_kill, history
from shmwire_conform.live.cast import Actor
from shmwire_conform.live.history import MESSAGE_TYPE, RECORD, Record

SEED, LENGTHS, COUNT = 77, [24, 65], 14
SHAPE = deepwater.Shape.of({"plan": "pair", "readers": 2, "chunk_size": "4096", "sizes": LENGTHS, "from": ["latest"]})
KEEPS = dataclasses.replace(SHAPE, persist=True, lossless=True)
WRITER = Actor("w0:x", "x", None, {"role": "write", "actor": 1, "seed": SEED, "count": COUNT}, None, {"sent": COUNT})  # type: ignore[arg-type]


def record(sequence: int, lost: int = 0) -> Record:
    length = LENGTHS[sequence % 2]
    crc = history.payload_crc(1, sequence, length, SEED)
    return Record(1, MESSAGE_TYPE, sequence, sequence, length, sequence // 4, crc, lost)


def part() -> list[Record]:
    """Records 2 to 13, of which 5 and 6 were lost; the reader began at the third."""
    return [record(2), record(3), record(4), record(7, 2), *(record(n) for n in range(8, COUNT))]


def whole() -> list[Record]:
    return [record(n) for n in range(COUNT)]


def judge_all(
    path: Path, records: list[Record], shape: deepwater.Shape = SHAPE, *, ended: bool = True, **said: int
) -> tuple[int, int]:
    path.write_bytes(b"".join(RECORD.pack(*dataclasses.astuple(one)) for one in records))
    summary = {"received": len(records), "lost": sum(one.skipped for one in records), "ended": ended, **said}
    reader = Actor("r0:x", "x", None, {"role": "read", "limit_ms": 100}, path, summary)  # type: ignore[arg-type]
    cast: Any = SimpleNamespace(readers=[reader])
    return deepwater.grade_readers(cast, shape, COUNT, lambda sequence: (WRITER, sequence))


def image(case: str) -> bytes:
    data = everything().image(f"deepwater/{case}")
    assert data is not None
    return data


def test_good_histories_pass(tmp_path: Path) -> None:
    assert judge_all(tmp_path / "h", part()) == (10, 2)
    assert judge_all(tmp_path / "h", whole(), KEEPS) == (14, 0)


DEFECTS: list[tuple[str, Callable[[list[Record]], list[Record]]]] = [
    ("record 3 after 3", lambda r: [*r[:2], r[1], *r[2:]]),
    ("record 2 after 4", lambda r: [*r[:3], r[0], *r[3:]]),
    ("record 7 reports 0 lost, and 2 are missing", lambda r: [*r[:3], record(7), *r[4:]]),
    ("record 8 reports 0 lost, and 3 are missing", lambda r: [*r[:3], *r[4:]]),
    ("record 7 reports 3 lost, and 2 are missing", lambda r: [*r[:3], record(7, 3), *r[4:]]),
    ("record 2 reports 3 lost", lambda r: [record(2, 3), *r[1:]]),
    ("record 8 is of chunk 0, after 1", lambda r: [*r[:4], dataclasses.replace(r[4], sender_pid=0), *r[5:]]),
    ("message 3 of writer 1 under sequence 8", lambda r: [*r[:4], dataclasses.replace(r[4], sequence=3), *r[5:]]),
    ("of writer 2 under sequence 13", lambda r: [*r[:-1], dataclasses.replace(r[-1], actor=2)]),
    ("record 3 has 66 bytes, w0:x sent 65", lambda r: [r[0], dataclasses.replace(r[1], length=66), *r[2:]]),
    ("record 4 is not what w0:x sent", lambda r: [*r[:2], dataclasses.replace(r[2], crc=r[2].crc ^ 1), *r[3:]]),
    ("came to record 12 of 14", lambda r: r[:-1]),
    ("came to record -1 of 14", lambda r: []),
]  # fmt: skip


@pytest.mark.parametrize(("words", "spoil"), DEFECTS, ids=[f"{i}-{words[:20]}" for i, (words, _) in enumerate(DEFECTS)])
def test_a_spoiled_history_is_found(tmp_path: Path, words: str, spoil: Callable[[list[Record]], list[Record]]) -> None:
    with pytest.raises(Finding, match=words):
        judge_all(tmp_path / "h", spoil(part()))


def test_a_feed_that_keeps_all_loses_nothing(tmp_path: Path) -> None:
    for records in (whole()[2:], [*whole()[:5], record(7, 2), *whole()[8:]]):
        with pytest.raises(Finding, match="2 before it are missing, of a feed that keeps all"):
            judge_all(tmp_path / "h", records, KEEPS)


@pytest.mark.parametrize("said", [{"torn": 1}, {"corrupt": 2}, {"received": 9}, {"lost": 3}], ids=str)
def test_counts_must_agree_with_the_history(tmp_path: Path, said: dict[str, int]) -> None:
    with pytest.raises(Finding, match=r"counts|says"):
        judge_all(tmp_path / "h", part(), **said)


def test_a_reader_that_is_not_done_is_found(tmp_path: Path) -> None:
    with pytest.raises(Finding, match="the last record must become readable"):
        judge_all(tmp_path / "h", part(), ended=False)


def test_nothing_excuses_corrupt(tmp_path: Path) -> None:
    """Not a row that stands open either: it is told of, and that is all."""
    with pytest.raises(Finding, match="2 corrupt"):
        judge_all(tmp_path / "h", part(), corrupt=2)
    assert deepwater_kill._stands_open(image("torn/expire-27-row-expire"))
    assert not deepwater_kill._stands_open(image("torn/expire-26-row-seal"))


def test_the_base_is_looked_at() -> None:
    def grade(data: bytes, count: int, shape: deepwater.Shape = SHAPE) -> None:
        deepwater.grade_rest(WRITER, data, shape, count, lambda sequence: (WRITER, sequence))

    sealed = image("golden/sealed")
    records = len(judge.oracle("deepwater").messages(sealed))
    with pytest.raises(Finding, match=f"the last record in the base is {records - 1}, not {records}"):
        grade(sealed, records + 1)
    with pytest.raises(Finding, match="record 0 in the base is not message 0 of w0:x"):
        grade(sealed, records)
    with pytest.raises(Finding, match="records are left of a feed that keeps all"):
        grade(image("golden/gap"), 10, KEEPS)
    with pytest.raises(Finding, match="invariants broken"):
        grade(image("torn/expire-27-row-expire"), records)


def test_what_a_writer_leaves_is_looked_at() -> None:
    deepwater.grade_left(WRITER, image("golden/all-expired"), SHAPE, COUNT)
    deepwater.grade_left(WRITER, image("golden/persisted"), KEEPS, 3)
    with pytest.raises(Finding, match="files are in shared memory"):
        deepwater.grade_left(WRITER, image("golden/sealed"), SHAPE, 3)
    with pytest.raises(Finding, match="3 records are left"):
        deepwater.grade_left(WRITER, image("golden/persisted"), SHAPE, 3)


def test_who_writes_and_who_reads() -> None:
    assert deepwater.casting(SHAPE, ("a", "b")) == (["a"], ["b", "b"])
    plans = [deepwater.plan_of(SHAPE, "read", deepwater.READERS_FROM + i, "/x", COUNT, SEED, 100) for i in range(2)]
    assert [(plan["count"], plan["from"]) for plan in plans] == [(COUNT, "latest")] * 2
    assert deepwater.goal_of(dataclasses.replace(SHAPE, plan="kill-writer"), COUNT) == 3 * COUNT
