# SPDX-License-Identifier: MIT
"""The judge of live ouroboros runs must notice every way in which entries can go wrong, on histories made by hand."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from shmwire_conform.cases import everything
from shmwire_conform.errors import Finding
from shmwire_conform.live import history, ouroboros, schedule
from shmwire_conform.live.cast import Actor
from shmwire_conform.live.history import RECORD, Record

SEED, LENGTHS, COUNT = 77, [24, 65], 14
SHAPE = ouroboros.Shape.of(
    {
        "plan": "pair",
        "readers": 2,
        "chunk_count": 4,
        "chunk_target_size": "64",
        "sizes": LENGTHS,
        "slow_us": [0, 5],
        "from": ["latest"],
    }
)
REST = "ouroboros/golden/first-lap"  # 14 entries


def entry(sequence: int, skipped: int = 0) -> Record:
    length = LENGTHS[(sequence - 1) % 2]
    crc = history.payload_crc(1, sequence - 1, length, SEED)
    return Record(1, 0, sequence - 1, sequence, length, 0, crc, skipped)


def whole() -> list[Record]:
    """Entries 3 to 14, of which 6 and 7 were skipped."""
    return [entry(3, 2), entry(4), entry(5), entry(8, 2), *(entry(n) for n in range(9, COUNT + 1))]


def judge_all(path: Path, records: list[Record], sent: int = COUNT, ended: bool = True, **said: int) -> tuple[int, int]:
    rows = (RECORD.pack(*dataclasses.astuple(record)) for record in records)
    path.write_bytes(b"".join(rows))
    writer = Actor("w0:x", "x", None, {"role": "write", "actor": 1, "seed": SEED, "count": COUNT}, None, {"sent": sent})  # type: ignore[arg-type]
    summary = {"received": len(records), "skipped": sum(record.skipped for record in records), "ended": ended, **said}
    reader = Actor("r0:x", "x", None, {"role": "read", "limit_ms": 100}, path, summary)  # type: ignore[arg-type]
    cast: Any = SimpleNamespace(writers=[writer], readers=[reader])
    content = everything().image(REST)
    assert content is not None
    return ouroboros.grade(cast, SHAPE, content)


def test_a_good_history_passes(tmp_path: Path) -> None:
    assert judge_all(tmp_path / "h", whole()) == (10, 4)


DEFECTS: list[tuple[str, Callable[[list[Record]], list[Record]]]] = [
    ("entry 4 again", lambda r: [*r[:2], r[1], *r[2:]]),
    ("entry 3 after 5", lambda r: [*r[:3], r[0], *r[3:]]),
    ("entry 8 reports 0 skipped, and 2 are missing", lambda r: [*r[:3], entry(8), *r[4:]]),
    ("entry 9 reports 0 skipped, and 3 are missing", lambda r: [*r[:3], *r[4:]]),
    ("entry 8 reports 3 skipped, and 2 are missing", lambda r: [*r[:3], entry(8, 3), *r[4:]]),
    ("entry 3 reports 3 skipped", lambda r: [entry(3, 3), *r[1:]]),
    ("message 4 of writer 1 under sequence 9", lambda r: [*r[:4], dataclasses.replace(r[4], sequence=4), *r[5:]]),
    ("of writer 2 under sequence 14", lambda r: [*r[:-1], dataclasses.replace(r[-1], actor=2)]),
    ("entry 4 has 66 bytes, w0:x sent 65", lambda r: [r[0], dataclasses.replace(r[1], length=66), *r[2:]]),
    ("entry 5 is not what w0:x sent", lambda r: [*r[:2], dataclasses.replace(r[2], crc=r[2].crc ^ 1), *r[3:]]),
    ("came to entry 13 of 14", lambda r: r[:-1]),
    ("came to entry 0 of 14", lambda r: []),
]  # fmt: skip


@pytest.mark.parametrize(("words", "spoil"), DEFECTS, ids=[f"{i}-{words[:20]}" for i, (words, _) in enumerate(DEFECTS)])
def test_a_spoiled_history_is_found(tmp_path: Path, words: str, spoil: Callable[[list[Record]], list[Record]]) -> None:
    with pytest.raises(Finding, match=words):
        judge_all(tmp_path / "h", spoil(whole()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("1 torn", {"torn": 1}),
        ("2 corrupt", {"corrupt": 2}),
        ("says received 9", {"received": 9}),
        ("says skipped 3", {"skipped": 3}),
    ],
)
def test_counts_must_agree_with_the_history(tmp_path: Path, words: str, said: dict[str, int]) -> None:
    with pytest.raises(Finding, match=words):
        judge_all(tmp_path / "h", whole(), **said)


def test_a_writer_or_reader_that_is_not_done_is_found(tmp_path: Path) -> None:
    with pytest.raises(Finding, match="sent 13 of 14"):
        judge_all(tmp_path / "h", whole(), sent=13)
    with pytest.raises(Finding, match="the last entry must become readable"):
        judge_all(tmp_path / "h", whole(), ended=False)


def test_the_segment_is_looked_at() -> None:
    writer = Actor("w0:x", "x", None, {"role": "write", "actor": 1}, None, None)  # type: ignore[arg-type]
    data = everything().image(REST)
    assert data is not None
    ouroboros.grade_rest(writer, data, COUNT)
    with pytest.raises(Finding, match="the last entry in the segment is 14, not 15"):
        ouroboros.grade_rest(writer, data, COUNT + 1)
    with pytest.raises(Finding, match="invariants broken"):
        ouroboros.grade_rest(writer, data[:24] + struct.pack("<Q", 5) + data[32:], COUNT)


def test_who_writes_and_who_reads() -> None:
    assert ouroboros.casting(SHAPE, ("a", "b")) == (["a"], ["b", "b"])
    assert ouroboros.mixes(["a", "b", "c"]) == [("a", "b", "c"), ("b", "c", "a"), ("c", "a", "b")]
    mixed = dataclasses.replace(SHAPE, plan="mix", readers=4)
    assert ouroboros.casting(mixed, ("b", "c", "a")) == (["b"], ["b", "c", "a", "b"])


def test_readers_differ_as_the_shape_says() -> None:
    plans = [ouroboros.plan_of(SHAPE, "read", ouroboros.READERS_FROM + i, "/x", COUNT, SEED, 100) for i in range(3)]
    assert [(plan["slow_us"], plan["from"]) for plan in plans] == [(0, "latest"), (5, "latest"), (0, "latest")]
    assert "from" not in ouroboros.plan_of(SHAPE, "write", 1, "/x", COUNT, SEED, 100)


def test_every_profile_with_live_cases_has_a_module() -> None:
    for case in everything():
        if case.kind == "live":
            assert schedule._PROFILES[case.profile].runs.Shape.of(case.raw["live"]).readers >= 1
