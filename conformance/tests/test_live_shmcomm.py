# SPDX-License-Identifier: MIT
"""The judge of live shmcomm runs must notice every way in which messages can go wrong, on histories made by hand."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from shmwire_conform.cases import everything
from shmwire_conform.errors import Finding, HarnessError
from shmwire_conform.live import history, schedule, shmcomm, shmcomm_judge, shmcomm_kill
from shmwire_conform.live.cast import Actor, Cast
from shmwire_conform.live.history import RECORD, Record
from shmwire_conform.live.shmcomm_held import HEADER, KEEPER_BASE, LAYOUT, Held
from shmwire_conform.live.shmcomm_judge import Rest
from shmwire_conform.live.shmcomm_watch import CountOrder
from shmwire_conform.pool import Pool
from shmwire_conform.segments import Segments
from shmwire_conform.transcript import Transcript

SEED, COUNT = 77, 4
RAW: dict[str, Any] = {
    "plan": "pair", "pattern": "pubsub", "writers": 2, "readers": 2, "capacity": "4096", "sizes": [24, 30, "max"],
}  # fmt: skip
PUBSUB = shmcomm.Shape.of(RAW)
PIPELINE = shmcomm.Shape.of({**RAW, "pattern": "pipeline"})
REQUEST = shmcomm.Shape.of({**RAW, "pattern": "request"})
SENDERS = {1: 501, 2: 502}
ORDER = [(1, 0), (2, 0), (2, 1), (1, 1), (1, 2), (2, 2), (1, 3), (2, 3)]  # writer and its message, by sequence


def record(at: int, lost: int = 0, **other: int) -> Record:
    """The message that has sequence `at`, or something like it."""
    actor, number = ORDER[at]
    length = PUBSUB.lengths()[number % 3]
    crc = history.payload_crc(actor, number, length, SEED)
    return dataclasses.replace(Record(actor, SENDERS[actor], number, at, length, 0, crc, lost), **other)


def log() -> list[Record]:
    """Everything that two writers sent."""
    return [record(sequence) for sequence in range(len(ORDER))]


def actor(label: str, plan: dict[str, Any], summary: dict[str, Any] | None, path: Path | None = None) -> Actor:
    return Actor(label, "x", None, plan, path, summary, killed=summary is None)  # type: ignore[arg-type]


def writers_of(dead: int = 0, **said: int) -> list[Actor]:
    """Two writers, of which the first few are dead."""
    told = {"sent": COUNT, "full": 0, "replied": COUNT, "timeouts": 0, "mismatched": 0, **said}
    plans = [{"role": "write", "actor": number, "seed": SEED, "count": COUNT} for number in SENDERS]
    return [actor(f"w{i}:x", plan, None if i < dead else told) for i, plan in enumerate(plans)]


def readers_of(directory: Path, histories: list[list[Record]], dead: int = 0, **said: Any) -> list[Actor]:
    """The second one asks for the oldest message."""
    found = []
    for i, records in enumerate(histories):
        path = directory / f"h{i}"
        path.write_bytes(b"".join(RECORD.pack(*dataclasses.astuple(record)) for record in records))
        summary = {"received": len(records), "lost": sum(one.skipped for one in records), "ended": True, **said}
        plan = {"role": "read", "limit_ms": 100, "open": {"from": "oldest" if i == 1 else "latest"}}
        found.append(actor(f"r{i}:x", plan, None if i < dead else summary, path))
    return found


def cast_of(writers: list[Actor], readers: list[Actor]) -> Any:
    return SimpleNamespace(writers=writers, readers=readers, actors=[*writers, *readers])


def header(size: int = 0, **fields: int) -> bytes:
    """A channel that all have left, empty unless something else is said."""
    usual = {"magic": LAYOUT.constants["MAGIC"], "version": 2, "capacity": 4096, "pattern": 1, "state": 2, "instance": 1}
    data = bytearray(HEADER.size + (size or 4096))
    for name, value in (usual | fields).items():
        field = HEADER.field(name)
        data[field.offset : field.offset + field.size] = value.to_bytes(field.size, "little")
    return bytes(data)


def rest(ends: int = 1, named: bool = False, left: tuple[int, ...] = (), refused: int = 0, **fields: int) -> Rest:
    count = len(ORDER) + ends
    content = header(**{"message_count": count, "dropped_count": count, "head": 64 * count, "tail": 64 * count} | fields)
    replies = {number: header(pattern=4, message_count=COUNT) for number in SENDERS.values()}
    return Rest(content, ends, refused, frozenset({*SENDERS.values(), 9}), replies, named=named, left=list(left))


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment that the oracle does not look into: these tests are about records and counts."""
    monkeypatch.setattr(shmcomm_judge.judge, "findings", lambda *_: [])


def judge_all(
    directory: Path, shape: shmcomm.Shape, histories: list[list[Record]], at_rest: Rest | None = None, **said: Any
) -> str:
    words = ("sent", "full", "replied", "timeouts", "mismatched")
    of_writers = {key: said.pop(key) for key in words if key in said}
    cast = cast_of(writers_of(**of_writers), readers_of(directory, histories, **said))
    usual = rest() if shape.pattern == "pubsub" else rest(dropped_count=0)
    return shmcomm_judge.grade(cast, shape, at_rest or usual)


# -- publish and subscribe -----------------------------------------------------------------------------------------------


def lossy() -> list[Record]:
    return [record(1, 1), record(2), record(6, 3), record(7)]


def test_subscribers_pass(tmp_path: Path, unseen: None) -> None:
    assert judge_all(tmp_path, PUBSUB, [log(), log()]) == "16 received"
    assert judge_all(tmp_path, PUBSUB, [lossy(), log()]) == "12 received, 4 lost and reported so"
    oldest = [record(3), *log()[4:]]  # begun behind an eviction
    assert judge_all(tmp_path, PUBSUB, [log(), oldest]) == "13 received"
    with pytest.raises(Finding, match="sequence 3 reports 0 lost, and 3 lie before it"):
        judge_all(tmp_path, PUBSUB, [oldest, log()])


@pytest.mark.parametrize(
    ("words", "records"),
    [
        ("sequence 6 reports 2 lost, and 3 lie before it", [*lossy()[:2], record(6, 2), record(7)]),
        ("sequence 2 was delivered after 2", [*log()[:3], record(2), *log()[3:]]),
        ("sequence 1 was delivered after 3", [log()[0], record(3, 2), *log()[1:3], *log()[4:]]),
        ("8 messages that were published", log()[:-1]),
        ("which nobody sent", [*log()[:-1], record(7, sequence=4)]),
        ("message 3 of writer 7, which nobody sent", [*log()[:-1], record(7, actor=7)]),
        ("sequence 1: 31 bytes; w1:x sent 24", [log()[0], record(1, length=31), *log()[2:]]),
        ("sequence 1: the payload of message 0 of w1:x is not what was sent", [log()[0], record(1, crc=1), *log()[2:]]),
        ("message 0 of writer 1 after 0", [*log()[:3], record(3, sequence=0, length=24), *log()[4:]]),
        ("carry the senders", [*log()[:3], record(3, message_type=502), *log()[4:]]),
        ("w0:x sends as endpoint 77, and nobody held", [dataclasses.replace(one, message_type=77) for one in log()]),
    ],
)
def test_broken_records_are_found(tmp_path: Path, unseen: None, words: str, records: list[Record]) -> None:
    with pytest.raises(Finding, match=words):
        judge_all(tmp_path, PUBSUB, [records, []] if "senders" in words or "endpoint" in words else [records, log()])


def test_two_senders_have_two_numbers(tmp_path: Path, unseen: None) -> None:
    with pytest.raises(Finding, match="both send as endpoint 9"):
        judge_all(tmp_path, PUBSUB, [[dataclasses.replace(one, message_type=9) for one in log()], []])


def test_a_sequence_is_one_message(tmp_path: Path, unseen: None) -> None:
    other = dataclasses.replace(record(0), position=1)
    with pytest.raises(Finding, match="sequence 1 was delivered as message 0 of writer 2 and message 0 of 1"):
        judge_all(tmp_path, PUBSUB, [log(), [other, *log()[2:]]])


def test_each_writer_publishes_in_its_order(tmp_path: Path, unseen: None) -> None:
    first, second = [record(0), record(3, 2)], [record(4)]
    swapped = [dataclasses.replace(record(0), sequence=1, length=30, crc=record(3).crc), *log()[1:3]]
    with pytest.raises(Finding, match="writer 1 published out of order: message 1 lies behind message 1, at sequence 3"):
        judge_all(tmp_path, PUBSUB, [swapped, [*first[1:], *second]])


def test_with_credit_everything_arrives(tmp_path: Path, unseen: None) -> None:
    shape = dataclasses.replace(PUBSUB, credit=True)
    assert judge_all(tmp_path, shape, [log(), log()]) == "16 received"
    with pytest.raises(Finding, match="r0:x got 4 of 8 messages with credit, 4 lost"):
        judge_all(tmp_path, shape, [lossy(), log()])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("counts 1 torn", {"torn": 1}),
        ("counts 2 corrupt", {"corrupt": 2}),
        ("says received 7, its history has 8", {"received": 7}),
        ("not done after 100 ms", {"ended": False}),
        ("8 received and 1 lost are not the 8", {"lost": 1}),
        ("w0:x sent 3 of 4", {"sent": 3}),
    ],
)
def test_what_actors_say_must_agree(tmp_path: Path, unseen: None, words: str, said: dict[str, Any]) -> None:
    with pytest.raises(Finding, match=words):
        judge_all(tmp_path, PUBSUB, [log(), log()], **said)


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("message_count is 10 after 8 messages and 1 ENDs", {"message_count": 10}),
        ("dropped_count is 7, and the oldest message held is 9", {"dropped_count": 7}),
        ("endpoint 5 has left with the lock", {"writer_lock": 5}),
        ("lock_epoch is 1, and nobody died", {"lock_epoch": 1}),
        ("state is 1 when the last keeper has left", {"state": 1}),
        ("the name is still there, and the ring is empty", {"named": True}),
        ("reply channels are left: \\[3\\]", {"left": (3,)}),
    ],
)
def test_what_stays_is_looked_at(tmp_path: Path, unseen: None, words: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Finding, match=words):
        judge_all(tmp_path, PUBSUB, [log(), log()], rest(**fields))


def test_the_oracle_is_asked(tmp_path: Path) -> None:
    with pytest.raises(Finding, match="invariants broken at rest"):
        judge_all(tmp_path, PUBSUB, [log(), log()], rest(head=64 * 9 + 4, tail=64 * 9 + 4))
    with pytest.raises(Finding, match="invariants broken at rest: head 4"):
        shmcomm_judge._grade_bytes("", header(size=1 << 17, capacity=1 << 17, head=4))


def test_the_oldest_frame_tells_what_was_dropped() -> None:
    """Also behind a mark."""
    content = bytearray(header(head=8192 + 64, tail=4096 + 1024, dropped_count=5, message_count=9))
    frame = struct.pack("<QQ", 56, 5)
    content[128 + 1024 : 128 + 1024 + 16] = frame
    shmcomm_judge._grade_dropped(Rest(bytes(content), 0, 0, frozenset(), {}, named=False, left=[]))
    content[128 + 1024 : 128 + 1024 + 8] = b"\xff" * 8
    content[128 : 128 + 16] = struct.pack("<QQ", 56, 6)
    with pytest.raises(Finding, match="dropped_count is 5, and the oldest message held is 6"):
        shmcomm_judge._grade_dropped(Rest(bytes(content), 0, 0, frozenset(), {}, named=False, left=[]))


# -- pipelines and requests ----------------------------------------------------------------------------------------------


def test_pullers_share_the_messages(tmp_path: Path, unseen: None) -> None:
    assert judge_all(tmp_path, PIPELINE, [log()[0::2], log()[1::2]]) == "8 received"


@pytest.mark.parametrize(
    ("words", "one", "other"),
    [
        ("sequence 2 was taken by r0:x and by r1:x", log()[0::2], log()[1:3] + log()[3::2]),
        ("1 messages are lost, and 0 can have died", log()[0::2], log()[1:7:2]),
        ("sequence 2 reports 1 lost", [log()[0], record(2, 1), *log()[4::2]], log()[1::2]),
        ("sequence 0 was delivered after 2", [log()[2], log()[0]], log()[1::2]),
    ],
)
def test_pullers_get_nothing_twice(
    tmp_path: Path, unseen: None, words: str, one: list[Record], other: list[Record]
) -> None:
    with pytest.raises(Finding, match=words):
        judge_all(tmp_path, PIPELINE, [one, other])


def test_refusals_are_counted(tmp_path: Path, unseen: None) -> None:
    halves = [log()[0::2], log()[1::2]]
    assert judge_all(tmp_path, PIPELINE, halves, rest(dropped_count=7, refused=1), full=3) == "8 received"
    with pytest.raises(Finding, match="dropped_count is 7, and 6 calls were answered FULL"):
        judge_all(tmp_path, PIPELINE, halves, rest(dropped_count=7), full=3)


def test_the_name_of_a_pipeline_stays_with_its_messages(tmp_path: Path, unseen: None) -> None:
    halves = [log()[0::2], log()[1::2]]
    left = {"dropped_count": 0, "tail": 64 * 8}
    assert judge_all(tmp_path, PIPELINE, halves, rest(named=True, **left)) == "8 received"
    with pytest.raises(Finding, match="the name is gone, and the ring is not empty"):
        judge_all(tmp_path, PIPELINE, halves, rest(**left))


def with_replies(counts: dict[int, int]) -> Rest:
    replies = {number: header(pattern=4, message_count=count) for number, count in counts.items()}
    return dataclasses.replace(rest(dropped_count=0), replies=replies)


def test_each_request_has_one_reply(tmp_path: Path, unseen: None) -> None:
    halves = [log()[0::2], log()[1::2]]
    assert judge_all(tmp_path, REQUEST, halves, with_replies({501: 4, 502: 4, 600: 0})) == "8 received"
    for words, counts in (
        ("w0:x sent 4 requests, and 5 replies were sent to it", {501: 5, 502: 4}),
        ("w1:x says replied 4, and 3 replies were sent to it", {501: 4, 502: 3}),
        ("w1:x sends as endpoint 502, and there was no reply channel 502", {501: 4, 503: 4}),
        ("reply channel 600 has 1 replies, and its requester sent none but END", {501: 4, 502: 4, 600: 1}),
    ):
        with pytest.raises(Finding, match=words):
            judge_all(tmp_path, REQUEST, halves, with_replies(counts))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("got 1 replies that are not its requests", {"mismatched": 1}),
        ("sent 4 requests, got 3 replies and 0 timeouts", {"replied": 3}),
        ("waited 1 times in vain, and all of its replies are there", {"replied": 3, "timeouts": 1}),
    ],
)
def test_what_requesters_say_must_agree(tmp_path: Path, unseen: None, words: str, said: dict[str, int]) -> None:
    with pytest.raises(Finding, match=words):
        judge_all(tmp_path, REQUEST, [log()[0::2], log()[1::2]], **said)


def test_unanswered_requests_are_found(tmp_path: Path, unseen: None) -> None:
    with pytest.raises(Finding, match="2 requests got no reply, and 0 can have died"):
        judge_all(
            tmp_path, REQUEST, [log()[0::2], log()[1::2]], with_replies({501: 3, 502: 3}), replied=3, timeouts=1
        )


# -- kill runs -----------------------------------------------------------------------------------------------------------


def kill_writers(directory: Path, shape: shmcomm.Shape, histories: list[list[Record]], at_rest: Rest) -> str:
    cast = cast_of(writers_of(dead=1), readers_of(directory, histories))
    return shmcomm_kill._grade_writers_killed(cast, shape, at_rest)


def test_what_died_stops_somewhere(tmp_path: Path, unseen: None) -> None:
    """Writer 1 dies behind its second message; sequences go on without a gap."""
    kept = [one for one in log() if one.actor == 2 or one.sequence < 2]
    whole = [dataclasses.replace(one, position=i) for i, one in enumerate(kept)]
    fewer = {"message_count": 7, "dropped_count": 0}
    assert kill_writers(tmp_path, PIPELINE, [whole[0::2], whole[1::2]], rest(**fewer)) == "6 received"
    with pytest.raises(Finding, match="1 messages are lost, and 0 can have died"):
        kill_writers(tmp_path, PIPELINE, [whole[0::2], whole[1:5:2]], rest(**fewer))
    left = [one for one in whole if (one.actor, one.sequence) != (1, 0)]
    gap = [dataclasses.replace(one, position=i) for i, one in enumerate(left)]
    with pytest.raises(Finding, match="1 of the first 2 messages of w0:x are missing"):
        kill_writers(tmp_path, PIPELINE, [gap, []], rest(message_count=6, dropped_count=0))
    short = [one for one in whole if (one.actor, one.sequence) != (2, 3)]
    with pytest.raises(Finding, match="w1:x sent 4 messages, and 3 were received"):
        kill_writers(tmp_path, PIPELINE, [short, []], rest(message_count=6, dropped_count=0))


def kill_readers(directory: Path, dead: list[Record], living: list[Record], before: int, shape: shmcomm.Shape = PIPELINE) -> str:
    cast = cast_of(writers_of(), readers_of(directory, [dead, living], dead=1))
    return shmcomm_kill._grade_readers_killed(cast, shape, rest(dropped_count=0), before)


def test_the_dead_keep_what_they_took(tmp_path: Path, unseen: None) -> None:
    assert kill_readers(tmp_path, log()[:1], log()[2:], 3) == "7 received, 1 with the dead"
    with pytest.raises(Finding, match="2 messages are lost, and 1 can have died"):
        kill_readers(tmp_path, log()[:1], log()[3:], 3)
    with pytest.raises(Finding, match="sequence 1 is lost, and nobody died after it was published"):
        kill_readers(tmp_path, log()[:1], log()[2:], 1)
    with pytest.raises(Finding, match="sequence 0 was taken by r0:x and by r1:x"):
        kill_readers(tmp_path, log()[:1], log(), 3)
    batches = dataclasses.replace(PIPELINE, read_batch=2)
    assert kill_readers(tmp_path, log()[:1], log()[3:], 3, batches) == "6 received, 2 with the dead"


def test_who_dies() -> None:
    plan = {"role": "write"}
    cast = cast_of([actor(f"w{i}:x", plan, {}) for i in range(4)], [actor(f"r{i}:x", {"role": "read"}, {}) for i in range(2)])

    def victims(shape: shmcomm.Shape, kind: str) -> list[str]:
        return [one.label for one in shmcomm_kill._victims(cast, dataclasses.replace(shape, plan=kind))]

    assert victims(PIPELINE, "kill-writers") == ["w0:x", "w1:x"]
    assert victims(PIPELINE, "kill-readers") == ["r0:x"]
    assert victims(PIPELINE, "kill-keepers") == ["w0:x", "w1:x", "w2:x", "w3:x"]
    assert victims(REQUEST, "kill-keepers") == ["r0:x", "r1:x"]


# -- who lives -----------------------------------------------------------------------------------------------------------


def lock_byte(path: Path, byte: int) -> int:
    fd = os.open(path, os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("@hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    return fd


def test_the_kernel_is_asked_who_lives(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.write_bytes(header())
    held = Held(path)
    assert held.endpoints() == held.keepers() == frozenset()
    fds = [lock_byte(path, byte) for byte in (9, 1, 500, KEEPER_BASE - 1, KEEPER_BASE + 9, 2 * KEEPER_BASE - 1)]
    try:
        assert held.endpoints() == {1, 9, 500, KEEPER_BASE - 1}
        assert held.keepers() == {9, KEEPER_BASE - 1}
        os.close(fds.pop(0))
        assert held.endpoints() == {1, 500, KEEPER_BASE - 1}
        assert held.is_at(path) and held.named and held.number("instance") == 1
        path.unlink()
        assert not held.is_at(path) and not held.named and held.content() == header()
    finally:
        held.close()
        for fd in fds:
            os.close(fd)


def test_locks_are_required_when_all_are_armed() -> None:
    segments = Segments("-test-stage")
    locator = segments.posix()
    path, fds = segments.file_of(locator), list[int]()
    try:
        path.write_bytes(header())
        with shmcomm.Stage.of(segments, locator, REQUEST) as stage:
            for byte in (501, 502, 11, 12, 13, KEEPER_BASE + 11, KEEPER_BASE + 12):
                fds.append(lock_byte(path, byte))
            with pytest.raises(Finding, match="2 keepers hold a lock, of 3 that joined"):
                stage.require_armed()
            fds.append(lock_byte(path, KEEPER_BASE + 13))
            for number in (501, 502):
                one = path.with_name(f"{path.name}_rep_{number}")
                one.write_bytes(header(pattern=4))
                fds.append(lock_byte(one, number))
            with pytest.raises(Finding, match="the reply channel 501 has the endpoints \\[501\\]"):
                stage.require_armed()
            fds += [lock_byte(path.with_name(f"{path.name}_rep_{number}"), KEEPER_BASE + number) for number in (501, 502)]
            stage.require_armed()
            assert stage.armed == {501, 502, 11, 12, 13}
            fds.append(lock_byte(path, KEEPER_BASE + 77))
            with pytest.raises(Finding, match="4 keepers hold a lock"):
                stage.require_armed()
        assert not list(path.parent.glob(f"{path.name}_rep_*"))
    finally:
        for fd in fds:
            os.close(fd)
        segments.clean()
    assert segments.leftovers() == []


def test_counts_are_watched(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    for count, words in ((3, ""), (4, "message_count was 4 when head was 192: 3 messages")):
        path.write_bytes(header(head=192, message_count=count))
        observer = CountOrder(path, 64)
        while not observer.looks and not observer.violation:
            pass
        observer.stop()
        assert observer.violation == words


# -- plans ---------------------------------------------------------------------------------------------------------------


def test_credit_leaves_room_for_all_writers() -> None:
    """A batch of each, END, and the end of the ring; frames of 64, 72 and 2048 bytes."""
    assert PUBSUB.extents() == [64, 72, 2048]
    small = dataclasses.replace(PUBSUB, sizes=(24, 30), write_batch=4)
    assert small.window() == 4096 // 72 - 2 * 4 - 2
    with pytest.raises(HarnessError, match="a ring of 4096 bytes has no room"):
        PUBSUB.window()


def test_plans_of_actors() -> None:
    def plan(shape: shmcomm.Shape, role: str, number: int) -> dict[str, Any]:
        return shmcomm.plan_of(shape, role, number, "/x", COUNT, SEED, 100)

    two = shmcomm.Shape.of({**RAW, "sizes": [24], "credit": True, "from": ["latest", "oldest"], "view": [False, True]})
    first, second = (plan(two, "read", shmcomm.READERS_FROM + i) for i in range(2))
    assert (first["as"], first["open"], first["view"]) == ("subscriber", {"from": "latest"}, False)
    assert (second["open"], second["view"]) == ({"from": "oldest"}, True)
    assert second["credit"] == {"path": "/dev/shm/x.credit", "slot": 1} and "flush" not in second
    assert plan(two, "write", 1)["credit"] == {"path": "/dev/shm/x.credit", "window": 60}
    dying = dataclasses.replace(REQUEST, plan="kill-readers", reply_ms=300)
    assert plan(dying, "read", shmcomm.READERS_FROM)["flush"] is True
    asking = plan(dying, "write", 1)
    assert (asking["as"], asking["open"], asking["reply_ms"]) == ("requester", {"capacity": "4096"}, 300)
    assert plan(PIPELINE, "write", 1)["as"] == "pusher" and plan(PIPELINE, "read", 1000)["as"] == "puller"


def test_who_writes_and_who_reads() -> None:
    assert shmcomm.casting(dataclasses.replace(PUBSUB, writers=3), ("a", "b")) == (["a", "b", "a"], ["b", "a"])
    assert shmcomm.mixes(["a", "b", "c"]) == [("a", "b", "c"), ("b", "c", "a"), ("c", "a", "b")]


def test_collecting_has_an_end() -> None:
    """A reader that says nothing is not waited for for ever, whatever the runner does meanwhile."""

    class Silent:
        role, alive = "r0:x", True

        def ready(self, _: float) -> bool:
            return False

        def receive(self) -> Any:
            raise Finding("no reply within its deadline")

    cast = Cast(Pool(), Transcript("test", {}))
    cast.actors.append(Actor("r0:x", "x", Silent(), {"role": "read", "limit_ms": -3990}, None))  # type: ignore[arg-type]
    with pytest.raises(Finding, match="no reply"):
        cast.collect(cast.readers, lambda: None)


def test_every_live_case_can_be_run() -> None:
    """Credit fits into the ring, payloads have room for their head, and what a case does is in its needs."""
    cases = [case for case in everything() if case.kind == "live" and case.profile == "shmcomm"]
    assert len(cases) >= 30 and "shmcomm" in schedule._PROFILES
    for case in cases:
        shape = shmcomm.Shape.of(case.raw["live"])
        assert shape.pattern in shmcomm.ROLES and shape.sweep in ("open", "slice")
        assert min(shape.lengths()) >= history.HEAD.size and max(shape.lengths()) <= history.LONGEST
        assert max(shape.extents()) <= shape.capacity // 2
        assert not shape.credit or shape.window() > 0
        assert ("batch" in case.needs) == (max(shape.write_batch, shape.read_batch) > 1)
        assert ("view" in case.needs) == any(shape.view)
        assert ("blocking" in case.needs) == (shape.wait == "block")
        assert ("recovery" in case.needs) == shape.plan.startswith("kill")
        claims = shape.held_ms > 0 or (shape.plan == "kill-writers" and shape.pattern != "request")
        assert ("split" in case.needs) == claims
        assert shape.held_ms == 0 or shape.held_ms * 1_000_000 > shmcomm.LAYOUT.constants["LOCK_PATIENCE_NS"]
        if "count-order" in shape.observe:
            assert len(set(shape.extents())) == 1 and shape.capacity % shape.extents()[0] == 0


def test_rules_that_only_live_cases_show_are_named() -> None:
    named = {rule for case in everything() if case.kind == "live" and case.profile == "shmcomm" for rule in case.rules}
    wanted = "endpoint.lock lock.hold send.order receive.recheck pull.claim pull.count lock.dead reply.sweep"
    assert {f"shmcomm.{rule}" for rule in wanted.split()} <= named
