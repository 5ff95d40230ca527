# SPDX-License-Identifier: MIT
"""The judge of live runs must notice every way in which messages can go wrong, on histories made by hand; and the observers,
on bytes that a test writes in the wrong order."""

from __future__ import annotations

import dataclasses
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from shmwire_conform.cases import Corpus, everything
from shmwire_conform.errors import Finding
from shmwire_conform.judge import oracle
from shmwire_conform.live import dmxp, dmxp_kill, history, schedule
from shmwire_conform.live.cast import Actor
from shmwire_conform.live.history import Record
from shmwire_conform.live.observer import BatchOrder, Commit
from shmwire_conform.model import Result, Unit

SEED, LENGTHS = 77, [24, 65]
SHAPE = dmxp.Shape.of({"plan": "pair", "writers": 2, "readers": 2, "capacity": "16", "sizes": LENGTHS})


def record(actor: int, sequence: int, position: int) -> Record:
    length = LENGTHS[sequence % 2]
    data = history.payload(actor, sequence, length, SEED)
    return history.of_payload(data, position, history.MESSAGE_TYPE, 4000 + actor)


def cast_of(killed: tuple[str, ...] = (), sent: int = 4) -> Any:
    """Two writers of `sent` messages and two readers, without processes."""
    actors = []
    for label, role, number in (("w0:x", "write", 1), ("w1:x", "write", 2), ("r0:x", "read", 10), ("r1:x", "read", 11)):
        plan = {"role": role, "actor": number, "seed": SEED, "count": sent}
        summary = None if label in killed else {"sent": sent, "received": 4, "torn": 0, "corrupt": 0, "ended": True}
        actors.append(Actor(label, "x", None, plan, None, summary, killed=label in killed))  # type: ignore[arg-type]
    return SimpleNamespace(actors=actors, writers=actors[:2], readers=actors[2:])


def whole() -> list[Record]:
    """Two writers in turn, four messages each, positions 0 to 7."""
    return [record(1 + i % 2, i // 2, i) for i in range(8)]


def judge_all(records: list[Record]) -> None:
    cast = cast_of()
    for reader, mine in zip(cast.readers, (records[0::2], records[1::2]), strict=True):
        reader.summary["received"] = len(mine)
        dmxp.grade_reader(reader, mine)
    dmxp.grade_content(cast, SHAPE, records)
    dmxp.grade_multiset(records, {(w, i) for w in (1, 2) for i in range(4)})
    dmxp.grade_producers(records)


def test_a_good_history_passes() -> None:
    judge_all(whole())


def swapped(records: list[Record], one: int, other: int) -> list[Record]:
    records[one], records[other] = records[other], records[one]
    return records


def moved(records: list[Record], index: int, position: int) -> list[Record]:
    records[index] = dataclasses.replace(records[index], position=position)
    return records


DEFECTS: list[tuple[str, Callable[[list[Record]], list[Record]]]] = [
    ("were lost", lambda r: r[:-1]),
    ("more than once", lambda r: [*r, dataclasses.replace(r[3], position=9)][1:]),
    ("order of a producer broken", lambda r: swapped(r, 0, 4)),
    ("is not what was sent", lambda r: [dataclasses.replace(r[0], crc=r[0].crc ^ 1), *r[1:]]),
    ("writer w0:x sent 24", lambda r: [dataclasses.replace(r[0], length=25), *r[1:]]),
    ("that nobody sent", lambda r: [dataclasses.replace(r[0], actor=9), *r[1:]]),
    ("that nobody sent", lambda r: [dataclasses.replace(r[0], message_type=5), *r[1:]]),
    ("carry the process ids", lambda r: [dataclasses.replace(r[0], sender_pid=1), *r[1:]]),
    ("position 2 after 4", lambda r: moved(moved(r, 2, 4), 4, 2)),
]


@pytest.mark.parametrize(("words", "spoil"), DEFECTS, ids=[f"{i}-{words[:16]}" for i, (words, _) in enumerate(DEFECTS)])
def test_a_spoiled_history_is_found(words: str, spoil: Callable[[list[Record]], list[Record]]) -> None:
    with pytest.raises(Finding, match=words):
        judge_all(spoil(whole()))


def test_a_producer_claims_in_order() -> None:
    with pytest.raises(Finding, match="writer 1 claimed out of order: message 0 at 2, message 1 at 0"):
        dmxp.grade_producers(moved(moved(whole(), 0, 2), 2, 0))


def test_counts_must_agree_with_the_history() -> None:
    reader = cast_of().readers[0]
    with pytest.raises(Finding, match="says received 4, its history has 0"):
        dmxp.grade_reader(reader, [])
    reader.summary["torn"] = 1
    with pytest.raises(Finding, match="1 torn"):
        dmxp.grade_reader(reader, [])


# -- kill runs -------------------------------------------------------------------------------------------------------


def account(records: list[Record], killed: tuple[str, ...], *, tombstones: list[int], head: int, tail: int, sent: int = 4) -> int:
    cast = cast_of(killed, sent)
    for reader in cast.readers:
        if reader.summary:
            reader.summary["received"] = 0
    return dmxp_kill._account(cast, SHAPE, records, tombstones, [], head, tail)


def test_a_dead_reader_may_take_what_lies_below_head() -> None:
    kept = [one for one in whole() if one.position not in (2, 3)]
    assert account(kept, ("r0:x",), tombstones=[], head=4, tail=8) == 2


def test_nothing_may_be_missing_above_that_head() -> None:
    kept = [one for one in whole() if one.position not in (2, 6)]
    with pytest.raises(Finding, match="no dead reader can have taken, first 2, last 6"):
        account(kept, ("r0:x",), tombstones=[], head=4, tail=8)


def test_nothing_may_be_missing_when_no_reader_died() -> None:
    kept = [one for one in whole() if one.position != 2]
    with pytest.raises(Finding, match="no dead reader can have taken"):
        account(kept, ("w0:x",), tombstones=[], head=8, tail=8)


def test_a_dead_writer_leaves_a_prefix_and_tombstones() -> None:
    prefix = [one for one in whole() if not (one.actor == 1 and one.sequence >= 2)]
    assert account(prefix, ("w0:x",), tombstones=[4, 6], head=8, tail=8) == 0
    hole = [one for one in whole() if not (one.actor == 1 and one.sequence == 1)]
    with pytest.raises(Finding, match="1 messages of w0:x after sequence 0 are gone"):
        account(hole, ("w0:x",), tombstones=[2], head=8, tail=8)


def test_a_living_writer_loses_nothing_to_a_tombstone() -> None:
    kept = [one for one in whole() if not (one.actor == 2 and one.sequence == 3)]
    with pytest.raises(Finding, match="messages of w1:x after sequence 2 are gone"):
        account(kept, ("w0:x",), tombstones=[7], head=8, tail=8)


def test_damage_is_read_from_the_bytes() -> None:
    corpus = everything()
    image = corpus.image("dmxp/golden/claimed-unpublished")
    assert image is not None
    claimed, taken = dmxp_kill._damage(image)
    assert len(claimed) == 1 and taken == []
    full = corpus.image("dmxp/golden/full")
    assert full is not None
    offset, head = oracle("dmxp").encode(full, "channel[0].head", 2)
    assert dmxp_kill._damage(full[:offset] + head + full[offset + len(head) :]) == ([], [0, 1])


# -- observers -------------------------------------------------------------------------------------------------------


def put(path: Path, name: str, value: int) -> None:
    offset, data = oracle("dmxp").encode(path.read_bytes(), name, value)
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        file.write(data)


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    """A channel of 4 slots, in the wild."""
    image = everything().image("dmxp/golden/empty-channel")
    assert image is not None
    path = tmp_path / "segment"
    path.write_bytes(image)
    return path


@pytest.mark.parametrize(("order", "caught"), [((0, 1), False), ((1, 0), True)])
def test_batch_order_is_watched(segment: Path, order: tuple[int, ...], caught: bool) -> None:
    observer = BatchOrder(segment, 0, 2)
    put(segment, "channel[0].tail", 2)
    for position in order:
        put(segment, f"channel[0].slot[{position}].sequence", position + 1)
        threading.Event().wait(0.02)
    observer.stop()
    assert bool(observer.violation) is caught and (caught or observer.looks > 0)
    if caught:
        with pytest.raises(Finding, match="position 1 was published while position 0 of the same batch was not"):
            observer.require()


@pytest.mark.parametrize("early", [False, True])
def test_a_commit_before_its_slots_is_seen(segment: Path, early: bool) -> None:
    put(segment, "channel[0].capacity", 0)
    put(segment, "channel[0].slot[3].sequence", 0 if early else 3)
    observer = Commit(segment, 1, 4)
    put(segment, "channel[0].capacity", 4)
    observer.finish(1)
    assert observer.violation == ("channel 0: its capacity was published before the sequence of its slot 3" if early else "")


# -- the rest --------------------------------------------------------------------------------------------------------


def test_history_files(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(struct.pack("<IIQQIIII", 1, 1, 5, 6, 24, 7, 8, 0) + b"partial")
    assert history.parse(path) == [Record(1, 1, 5, 6, 24, 7, 8)]
    assert history.parse(tmp_path / "none") == []


def test_payloads_are_those_of_the_protocol() -> None:
    data = history.payload(3, 5, 30, 11)
    assert data[:24] == struct.pack("<IIQII", 0x57524853, 3, 5, 30, 11)
    assert data[24:] == bytes((31 * (3 + 5 + 11) + 17 * j + 101 * (j >> 8)) & 255 for j in range(24, 30))


def test_blame_follows_the_driver_that_fails_alone(corpus: Corpus) -> None:
    case = corpus.get("dmxp/live/one-to-one-capacity-2")

    def result(drivers: tuple[str, str], verdict: str) -> Result:
        return Result(Unit(case, "live", "live", drivers), verdict, blame=sorted(set(drivers)))

    results = [result(("a", "a"), "PASS"), result(("b", "b"), "FAIL"), result(("a", "b"), "FAIL"), result(("b", "c"), "FAIL")]
    schedule.assign_blame(results)
    assert [one.blame for one in results[2:]] == [["b"], ["b"]]
