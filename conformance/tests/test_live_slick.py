# SPDX-License-Identifier: MIT
"""The judge of live slick runs must notice every way in which items can go wrong, on histories made by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from shmwire_conform import judge
from shmwire_conform.cases import everything
from shmwire_conform.errors import Finding, HarnessError
from shmwire_conform.live import history, schedule, slick, slick_judge, slick_kill
from shmwire_conform.live.cast import Actor
from shmwire_conform.live.history import RECORD, Record
from shmwire_conform.live.slick_judge import Account, Layout, Rest
from shmwire_conform.segments import Segments

SEED, WIDTH = 77, 24
RAW: dict[str, Any] = {
    "plan": "pair", "writers": 1, "readers": 2, "size": 8, "element_size": WIDTH, "elements": [3, 1, 2],
    "slow_us": [0, 5], "from": ["index", "latest"],
}  # fmt: skip
ALONE = slick.Shape.of(RAW)
TWO = slick.Shape.of({**RAW, "writers": 2})
SHARED = slick.Shape.of({**RAW, "writers": 2, "shared": "runner"})
COUNT = 9
# 3 1 2 elements in turn in a ring of 8: indices 0 3 4, padding 6 and 7, 8 11 12, padding 14 and 15, 16 19 20, end 22.
PLACES = [0, 3, 4, 8, 11, 12, 16, 19, 20]


def item(index: int, sequence: int, lost: int = 0, actor: int = 1) -> Record:
    elements = ALONE.elements[sequence % 3]
    length = elements * WIDTH
    return Record(actor, elements, sequence, index, length, 0, history.payload_crc(actor, sequence, length, SEED), lost)


def log() -> list[Record]:
    """Everything that a lone producer wrote."""
    return [item(index, sequence) for sequence, index in enumerate(PLACES)]


def actor(label: str, plan: dict[str, Any], summary: dict[str, Any] | None, path: Path | None = None) -> Actor:
    return Actor(label, "x", None, plan, path, summary, killed=summary is None)  # type: ignore[arg-type]


def writers_of(shape: slick.Shape, count: int, dead: int = 0, **said: int) -> list[Actor]:
    """Writers 1, 2, …, of which the first few are dead."""
    found = []
    for number in range(1, shape.writers + 1):
        plan = {"role": "write", "actor": number, "seed": SEED, "count": count}
        found.append(actor(f"w{number - 1}:x", plan, None if number <= dead else {"sent": count, "given_up": 0, **said}))
    return found


def readers_of(directory: Path, histories: list[list[Record]], dead: int = 0, **said: Any) -> list[Actor]:
    found = []
    for i, records in enumerate(histories):
        path = directory / f"h{i}"
        path.write_bytes(b"".join(RECORD.pack(*dataclasses.astuple(record)) for record in records))
        summary = {"received": len(records), "lost": sum(one.skipped for one in records), "ended": True, **said}
        plan = {"role": "read", "limit_ms": 100, **({"index": "0"} if i == 0 else {"from": "latest"})}
        found.append(actor(f"r{i}:x", plan, None if i < dead else summary, path))
    return found


@pytest.fixture
def at_rest(monkeypatch: pytest.MonkeyPatch) -> Rest:
    """A segment that is not looked into: these tests are about records."""
    monkeypatch.setattr(slick_judge, "grade_rest", lambda *_: None)
    return Rest(b"", 22, 22)


def judge_all(
    directory: Path, rest: Rest, shape: slick.Shape, histories: list[list[Record]], count: int = COUNT, **said: Any
) -> tuple[int, int]:
    of_writers = {key: said.pop(key) for key in ("sent", "given_up") if key in said}
    cast: Any = SimpleNamespace(writers=writers_of(shape, count, **of_writers), readers=readers_of(directory, histories, **said))
    return slick_judge.grade(cast, shape, rest)


# -- one producer: everything is known -----------------------------------------------------------------------------------


def lapped() -> list[Record]:
    """3 is overtaken while it is copied: 3 to 7 are lost. 12 is read, then the mark is followed, and 16 and 19 are lost."""
    return [item(0, 0), item(8, 3, 5), item(11, 4), item(12, 5), item(20, 8, 4)]


def test_good_histories_pass(tmp_path: Path, at_rest: Rest) -> None:
    assert judge_all(tmp_path, at_rest, ALONE, [log(), lapped()]) == (14, 9)


def test_padding_is_passed_or_lost_as_a_whole(tmp_path: Path, at_rest: Rest) -> None:
    """From 4 to 19 two paddings of 2 are in between: 13 indices less 0, 2 or 4."""
    for lost in (9, 11, 13):
        assert judge_all(tmp_path, at_rest, ALONE, [[*log()[:3], item(19, 7, lost), item(20, 8)]]) == (5, lost)
    for lost in (8, 10, 12, 14):
        words = rf"index 19 reports {lost} lost of 13 indices since 6; the padding in between is \[2, 2\]"
        with pytest.raises(Finding, match=words):
            judge_all(tmp_path, at_rest, ALONE, [[*log()[:3], item(19, 7, lost), item(20, 8)]])


Spoil = Callable[[list[Record]], list[Record]]
DEFECTS: list[tuple[str, Spoil]] = [
    ("index 3 was delivered after the item that ends at 4", lambda r: [*r[:2], r[1], *r[2:]]),
    ("index 4 was delivered after the item that ends at 11", lambda r: [*r[:2], r[3], r[2], *r[4:]]),
    ("index 8 reports 0 lost of 4 indices since 4", lambda r: [*r[:2], *r[3:]]),
    ("index 8 reports 3 lost of 2 indices since 6", lambda r: [*r[:3], item(8, 3, 3), *r[4:]]),
    ("index 8 reports 1 lost of 2 indices since 6", lambda r: [*r[:3], item(8, 3, 1), *r[4:]]),
    ("index 3 reports 1 lost of 0 indices since 3", lambda r: [r[0], item(3, 1, 1), *r[2:]]),
    ("index 8 reports 7 lost of 8 indices since 0", lambda r: [item(8, 3, 7), *r[4:]]),
    ("message 3 lies at index 9, not 8", lambda r: [*r[:3], item(9, 3), *r[5:]]),
    ("message 5 of writer 1 after 8", lambda r: [*r[:4], dataclasses.replace(r[4], sequence=8), *r[5:]]),
    ("message 9 of writer 1, which nobody sent", lambda r: [*r, item(22, 9)]),
    ("message 8 of writer 2, which nobody sent", lambda r: [*r[:-1], item(20, 8, actor=2)]),
    ("index 3: 2 elements, 24 bytes; w0:x sent 1 ", lambda r: [r[0], dataclasses.replace(r[1], message_type=2), *r[3:]]),
    ("index 3: 1 elements, 48 bytes; w0:x sent 1 ", lambda r: [r[0], dataclasses.replace(r[1], length=48), *r[2:]]),
    ("message 2 of w0:x is not what was sent", lambda r: [*r[:2], dataclasses.replace(r[2], crc=r[2].crc ^ 1), *r[3:]]),
    ("came to index 20 of 22: the last item must become readable", lambda r: r[:-1]),
    ("came to index 0 of 22", lambda r: []),
]  # fmt: skip


@pytest.mark.parametrize(("words", "spoil"), DEFECTS, ids=[f"{i}-{words[:30]}" for i, (words, _) in enumerate(DEFECTS)])
def test_a_spoiled_history_is_found(tmp_path: Path, at_rest: Rest, words: str, spoil: Spoil) -> None:
    with pytest.raises(Finding, match=words):
        judge_all(tmp_path, at_rest, ALONE, [spoil(log())])


def test_where_a_reader_begins_is_its_own_affair(tmp_path: Path, at_rest: Rest) -> None:
    late = [item(8, 3, 5), *log()[4:]]
    assert judge_all(tmp_path, at_rest, ALONE, [log(), late]) == (15, 5)
    with pytest.raises(Finding, match="r1:x: index 8 reports 9 lost of 8 indices since 0; there are not so many"):
        judge_all(tmp_path, at_rest, ALONE, [log(), [item(8, 3, 9), *log()[4:]]])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("r0:x counts 1 torn", {"torn": 1}),
        ("r0:x counts 2 corrupt", {"corrupt": 2}),
        ("says received 8, its history has 9", {"received": 8}),
        ("says lost 3, its history has 0", {"lost": 3}),
        ("was not done after 100 ms", {"ended": False}),
        ("w0:x sent 8 of 9", {"sent": 8}),
        ("w0:x gave up 1 reservations, and nobody died", {"given_up": 1}),
    ],
)
def test_what_actors_say_must_agree(tmp_path: Path, at_rest: Rest, words: str, said: dict[str, Any]) -> None:
    with pytest.raises(Finding, match=words):
        judge_all(tmp_path, at_rest, ALONE, [log()], **said)


# -- several producers: bounds -------------------------------------------------------------------------------------------


def mixed() -> list[Record]:
    """Messages 0 to 3 of two producers: 0 3 | 6 7 padding | 8 11 12 | 14 15 padding | 16 19 22."""
    places = [(0, 1, 0), (3, 2, 0), (8, 2, 1), (9, 1, 1), (10, 1, 2), (12, 2, 2), (16, 1, 3), (19, 2, 3)]
    return [item(index, sequence, actor=number) for index, number, sequence in places]


def test_several_producers_pass(tmp_path: Path, at_rest: Rest) -> None:
    assert judge_all(tmp_path, at_rest, TWO, [mixed(), mixed()], count=4) == (16, 0)
    for lost in (6, 10):  # from 6 to 16 are 10 indices and two ends of the ring, of 2 at most each
        assert judge_all(tmp_path, at_rest, TWO, [[*mixed()[:2], item(16, 3, lost), mixed()[-1]]], count=4) == (4, lost)


def test_bounds_of_several_producers(tmp_path: Path, at_rest: Rest) -> None:
    for lost in (5, 11):
        with pytest.raises(Finding, match=f"index 16 reports {lost} lost of 10 indices since 6; at most 4 of them are padding"):
            judge_all(tmp_path, at_rest, TWO, [[*mixed()[:2], item(16, 3, lost), mixed()[-1]]], count=4)
    with pytest.raises(Finding, match="index 10 reports 2 lost of 1 indices since 9; at most 0"):
        judge_all(tmp_path, at_rest, TWO, [[*mixed()[:3], item(10, 2, 2, 1), *mixed()[5:]]], count=4)


def test_an_index_holds_one_item(tmp_path: Path, at_rest: Rest) -> None:
    with pytest.raises(Finding, match="index 10 was delivered as message 2 of writer 1 and message 2 of 2"):
        judge_all(tmp_path, at_rest, TWO, [mixed(), [*mixed()[:4], item(10, 2, actor=2), *mixed()[6:]]], count=4)


def test_items_do_not_overlap_or_cross_the_end(tmp_path: Path, at_rest: Rest) -> None:
    with pytest.raises(Finding, match="the item of index 2 begins before 3, where the one before it ends"):
        judge_all(tmp_path, at_rest, TWO, [mixed(), [item(2, 0, 0, 2), *mixed()[2:]]], count=4)
    with pytest.raises(Finding, match="index 6: 3 elements cross the end of the ring of 8"):
        judge_all(tmp_path, at_rest, TWO, [[item(0, 0), item(3, 1), item(6, 3, actor=2)]], count=4)


def test_each_writer_reserves_in_its_order(tmp_path: Path, at_rest: Rest) -> None:
    first, second = [item(0, 0), item(8, 3, 3), *mixed()[7:]], [item(0, 0), item(12, 2, 9)]
    with pytest.raises(Finding, match="writer 1 reserved out of order: message 2 lies behind message 3, at index 12"):
        judge_all(tmp_path, at_rest, TWO, [first, second], count=4)


# -- a shared cursor -----------------------------------------------------------------------------------------------------


def test_consumers_share_the_items(tmp_path: Path, at_rest: Rest) -> None:
    every = mixed()
    assert judge_all(tmp_path, at_rest, SHARED, [every[0::2], every[1::2]], count=4) == (8, 0)
    overtaken = [[every[0], item(10, 2, 4), every[6]], [every[1], every[5], every[7]]]
    assert judge_all(tmp_path, at_rest, SHARED, overtaken, count=4) == (6, 4)


def test_consumers_get_nothing_twice_and_lose_nothing(tmp_path: Path, at_rest: Rest) -> None:
    every = mixed()
    with pytest.raises(Finding, match="the consumers were given message 1 of writer 2, index 8 more than once"):
        judge_all(tmp_path, at_rest, SHARED, [every[0::2], [every[1], every[2], *every[3::2]]], count=4)
    with pytest.raises(Finding, match="the consumers: index 12 reports 0 lost of 2 indices since 10"):
        judge_all(tmp_path, at_rest, SHARED, [[every[0], every[2], every[6]], every[1::2]], count=4)
    with pytest.raises(Finding, match="the consumers came to index 19 of 22"):
        judge_all(tmp_path, at_rest, SHARED, [every[0::2], every[1:7:2]], count=4)


def test_with_credit_everything_arrives(tmp_path: Path, at_rest: Rest) -> None:
    shape = dataclasses.replace(TWO, credit=True)
    assert judge_all(tmp_path, at_rest, shape, [mixed()], count=4) == (8, 0)
    with pytest.raises(Finding, match="r0:x got 4 of 8 items with credit, 10 indices lost"):
        judge_all(tmp_path, at_rest, shape, [[*mixed()[:2], item(16, 3, 10), mixed()[-1]]], count=4)


# -- kill runs -----------------------------------------------------------------------------------------------------------


def kill_writers(directory: Path, records: list[Record], given_up: int = 1, sent: int = 4) -> tuple[int, int]:
    writers = writers_of(TWO, 4, dead=1, given_up=given_up, sent=sent)
    cast: Any = SimpleNamespace(writers=writers, readers=readers_of(directory, [records]))
    return slick_kill._grade_writers_killed(cast, TWO, Rest(b"", 22))


def test_what_died_may_be_missing(tmp_path: Path, at_rest: Rest) -> None:
    kept = [one for one in mixed() if one.actor == 2 or one.sequence < 2]
    hole = [*kept[:-1], item(19, 3, 0, 2)]
    assert kill_writers(tmp_path, hole) == (len(hole), 0)
    with pytest.raises(Finding, match="nobody gave up the reservation of the claimer"):
        kill_writers(tmp_path, hole, given_up=0)
    with pytest.raises(Finding, match="w1:x sent 3 of 4"):
        kill_writers(tmp_path, hole, given_up=0, sent=3)
    assert kill_writers(tmp_path, hole, given_up=2, sent=3) == (len(hole), 0)
    with pytest.raises(Finding, match="19 indices are missing and not reported as lost; the dead held 12 at most"):
        kill_writers(tmp_path, [item(19, 3, 0, 2)])
    with pytest.raises(Finding, match="index 3 reports 1 lost of 0 since 3"):
        kill_writers(tmp_path, [mixed()[0], item(3, 0, 1, 2), *mixed()[2:]])
    with pytest.raises(Finding, match="came to index 10 of 22"):
        kill_writers(tmp_path, mixed()[:4])


def kill_readers(directory: Path, dead: list[Record], living: list[Record], taken: int) -> tuple[int, int]:
    readers = readers_of(directory, [dead, living], dead=1)
    cast: Any = SimpleNamespace(writers=writers_of(SHARED, 4), readers=readers)
    return slick_kill._grade_readers_killed(cast, SHARED, Rest(b"", 22, 22), taken)


def test_the_dead_keep_what_they_took(tmp_path: Path, at_rest: Rest) -> None:
    every = mixed()
    assert kill_readers(tmp_path, every[:1], every[1:], 3) == (0, 8)
    assert kill_readers(tmp_path, every[:1], every[3:], 10) == (6, 6)
    with pytest.raises(Finding, match="index 12 reports 0 lost of 4 indices since 8"):
        kill_readers(tmp_path, every[:1], [every[1], *every[5:]], 8)
    with pytest.raises(Finding, match="were given message 1 of writer 2, index 8 more than once"):
        kill_readers(tmp_path, every[:3], every[2:], 9)


# -- the segment, and the rest -------------------------------------------------------------------------------------------


REST = "slick/golden/batch-laps"


def test_the_segment_is_looked_at() -> None:
    writers: Any = SimpleNamespace(writers=writers_of(TWO, COUNT))
    data = everything().image(REST)
    assert data is not None
    reserved = slick_judge.reserved_index(data)
    slick_judge.grade_rest(writers, Rest(data, reserved))
    offset, broken = judge.oracle("slick").encode(data, "slot[0].size", 0)
    with pytest.raises(Finding, match="invariants broken at rest"):
        slick_judge.grade_rest(writers, Rest(data[:offset] + broken + data[offset + len(broken) :], reserved))


def test_of_a_long_ring_the_indices_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slick_judge, "_LOOK", 1)
    writers: Any = SimpleNamespace(writers=writers_of(TWO, COUNT))
    data = everything().image(REST)
    assert data is not None
    reserved = slick_judge.reserved_index(data)
    slick_judge.grade_rest(writers, Rest(data, reserved))
    offset, above = judge.oracle("slick").encode(data, "slot[1].data_index", reserved + 1)
    with pytest.raises(Finding, match=f"a slot holds {reserved + 1}, and {reserved} is not reserved yet"):
        slick_judge.grade_rest(writers, Rest(data[:offset] + above + data[offset + len(above) :], reserved))


def test_what_producers_and_consumers_leave_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"header.settled": 0}
    monkeypatch.setattr(judge, "number", lambda _profile, _data, name: fields[name])
    alone: Any = SimpleNamespace(writers=writers_of(ALONE, COUNT))
    two: Any = SimpleNamespace(writers=writers_of(TWO, COUNT))
    slick_judge.grade_words(alone, Rest(b"", 22, 22))
    with pytest.raises(Finding, match="the shared cursor stands at 21, not at 22"):
        slick_judge.grade_words(alone, Rest(b"", 22, 21))
    fields["header.settled"] = 16
    slick_judge.grade_words(two, Rest(b"", 22))
    with pytest.raises(Finding, match="settled is 16: a producer that met no other"):
        slick_judge.grade_words(alone, Rest(b"", 22))
    with pytest.raises(Finding, match="settled is 16, and 15 is not reserved yet"):
        slick_judge.grade_words(two, Rest(b"", 15))


def test_layout_of_a_lone_producer() -> None:
    layout = Layout.of(ALONE, COUNT)
    assert layout.index == PLACES and layout.pads == [(6, 2), (14, 2)]
    assert [layout.between(*ends) for ends in ((0, 6), (6, 8), (4, 16), (8, 14), (6, 22))] == [[], [2], [2, 2], [], [2, 2]]
    far = Account(ALONE, Layout.of(ALONE, 600))
    end = far.layout.index[-1] if far.layout else 0
    assert far.complaint(0, end, end) == "" and far.complaint(0, end, end // 2) != "" and far.complaint(0, end, end + 1) != ""


def test_credit_leaves_room_for_all_writers() -> None:
    """A batch of each writer, and padding before it."""
    assert dataclasses.replace(ALONE, size=1024, writers=4, write_batch=16).window() == 1024 - 4 * (16 * 3 + 2)
    with pytest.raises(HarnessError, match="a ring of 8 has no room"):
        dataclasses.replace(ALONE, writers=2).window()


def test_who_writes_and_who_reads() -> None:
    assert slick.casting(dataclasses.replace(TWO, writers=3), ("a", "b")) == (["a", "b", "a"], ["b", "a"])
    assert slick.casting(ALONE, ("a", "b")) == (["a"], ["b", "a"])
    assert slick.mixes(["a", "b", "c"]) == [("a", "b", "c"), ("b", "c", "a"), ("c", "a", "b")]


def test_plans_of_actors() -> None:
    def plan(shape: slick.Shape, role: str, number: int) -> dict[str, Any]:
        return slick.plan_of(shape, role, number, "/x", COUNT, SEED, 100)

    readers = [plan(ALONE, "read", slick.READERS_FROM + i) for i in range(3)]
    assert [one["slow_us"] for one in readers] == [0, 5, 0]
    assert [(one.get("index"), one.get("from")) for one in readers] == [("0", None), (None, "latest"), ("0", None)]
    assert all(one["until"] == "/dev/shm/x.until" and one["count"] == 0 for one in readers)
    assert plan(ALONE, "write", 1)["sizes"] == [72, 24, 48] and "credit" not in plan(ALONE, "write", 1)
    roomy = dataclasses.replace(TWO, size=64, credit=True)
    assert plan(roomy, "read", slick.READERS_FROM + 1)["credit"] == {"path": "/dev/shm/x.credit", "slot": 1}
    assert plan(roomy, "write", 2)["credit"] == {"path": "/dev/shm/x.credit", "window": 54}
    shared = dataclasses.replace(roomy, shared="driver")
    assert plan(shared, "write", 2)["credit"] == {"path": "/dev/shm/x.cursor", "window": 54}
    consumer = plan(shared, "read", slick.READERS_FROM)
    assert consumer["cursor"] == "/x.cursor" and "credit" not in consumer


def test_what_lies_beside_a_segment_goes_with_it() -> None:
    segments = Segments("-test-beside")
    try:
        locator, other = segments.posix(), segments.posix()
        names = [locator, segments.beside(locator, "until"), segments.beside(locator, "cursor"), other]
        for name in names:
            segments.file_of(name).write_bytes(b"x")
        segments.remove(locator)
        assert [segments.file_of(name).exists() for name in names] == [False, False, False, True]
    finally:
        segments.clean()
    assert segments.leftovers() == []


def test_every_live_case_can_be_run() -> None:
    """Credit fits into the ring, batches have items of one length, and payloads have room for their head."""
    cases = [case for case in everything() if case.kind == "live" and case.profile == "slick"]
    assert len(cases) >= 20 and "slick" in schedule._PROFILES
    for case in cases:
        shape = slick.Shape.of(case.raw["live"])
        assert min(shape.lengths()) >= history.HEAD.size and max(shape.lengths()) <= history.LONGEST
        assert shape.largest <= shape.size
        assert shape.write_batch == 1 or len(shape.elements) == 1
        assert not shape.credit or shape.window() > 0
        assert ("share" in case.needs) == bool(shape.shared) and ("batch" in case.needs) == (shape.write_batch > 1)
