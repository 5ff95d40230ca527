# SPDX-License-Identifier: MIT
"""What must hold of the records of a live shmcomm run: nothing torn, every sequence the message that its sender sent, in the
order of each sender, and every sequence accounted for.

Publish and subscribe: what a subscriber did not get it reported as lost, to the message; with credit it got everything.
Pipelines and requests: every sequence went to one receiver, and none is missing; a reply came for each request, and one only.
The bytes at rest: the counts are exact, the lock is free, the channel is closed, and its name is gone unless messages are left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import judge
from ..errors import Finding
from . import history, tallies
from .cast import Actor, Cast
from .history import Record
from .shmcomm_held import LAYOUT, number_of

if TYPE_CHECKING:
    from .shmcomm import Shape

# What the fields of a record hold here: message_type the sender, position the message's sequence, skipped what was lost before.
_LOOK = 1 << 16  # bytes of a ring, up to which the oracle looks at a segment as a whole
_CLOSED = LAYOUT.constants["STATE_CLOSED"]
_BEGIN, _SKIP = LAYOUT.constants["RING_OFFSET"], LAYOUT.constants["SKIP"].to_bytes(8, "little")
MANY = (1 << 32) - 1  # a record's loss that is this or more


@dataclass(frozen=True)
class Rest:
    """What is there when all have left."""

    content: bytes  # of the channel
    ends: int  # messages END in it
    refused: int  # answers FULL to the runner's own
    armed: frozenset[int]  # numbers of the endpoints that were there when the run began
    replies: dict[int, bytes]  # reply channels by the number of their requester
    named: bool  # whether the channel's name is still there
    left: list[int]  # numbers of the requesters whose reply channel has a name

    def number(self, name: str) -> int:
        return number_of(self.content, name)

    @property
    def total(self) -> int:
        """Messages that actors published."""
        return self.number("message_count") - self.ends


# -- a run with an orderly end -------------------------------------------------------------------------------------------


def grade(cast: Cast, shape: Shape, rest: Rest) -> str:
    """All of it. Returns what was received, in words."""
    for writer in cast.writers:
        tallies.require_sent(writer)
    seen, log = grade_records(cast, shape, rest)
    if (total := sum(writer.count("sent") for writer in cast.writers)) != rest.total:
        raise Finding(f"message_count is {rest.number('message_count')} after {total} messages and {rest.ends} ENDs")
    if shape.pattern == "pubsub":
        for reader, records in zip(cast.readers, seen, strict=True):
            grade_losses(reader, records, rest.total)
            if shape.credit:
                grade_lossless(reader, records, rest.total)
    else:
        grade_once(cast, seen, rest.total)
    if shape.pattern == "request":
        grade_replies(cast, senders_of(log.values()), rest)
    elif shape.pattern == "pipeline":
        grade_refused(cast, rest)
    if epoch := rest.number("lock_epoch"):
        raise Finding(f"lock_epoch is {epoch}, and nobody died")
    grade_rest(shape, rest)
    return summary(seen)


def summary(seen: list[list[Record]]) -> str:
    lost = sum(record.skipped for records in seen for record in records)
    return f"{sum(map(len, seen))} received" + (f", {lost} lost and reported so" if lost else "")


def grade_records(cast: Cast, shape: Shape, rest: Rest) -> tuple[list[list[Record]], dict[int, Record]]:
    """What holds of records however a run ends. Returns the histories, and the messages by their sequence."""
    seen = [history.parse(reader.history) if reader.history else [] for reader in cast.readers]
    for reader, records in zip(cast.readers, seen, strict=True):
        if not reader.killed:
            tallies.require_clean(reader, "messages")
            tallies.require_said(reader, received=len(records))
            tallies.require_ended(reader)
        grade_order(reader, records, lossy=shape.pattern == "pubsub")
    log = grade_messages(cast, shape, seen)
    grade_senders(cast, log.values(), rest)
    return seen, log


def grade_order(reader: Actor, records: list[Record], *, lossy: bool) -> None:
    """Sequences rise, and each sender's messages come in its order; who cannot be overtaken reports no loss."""
    before, sent = -1, dict[int, int]()
    for record in records:
        if record.position <= before:
            raise Finding(f"{reader.label}: sequence {record.position} was delivered after {before}", on=reader.label)
        if record.sequence <= sent.get(record.actor, -1):
            what = f"message {record.sequence} of writer {record.actor} after {sent[record.actor]}"
            raise Finding(f"{reader.label}: {what}", on=reader.label)
        if record.skipped and not lossy:
            raise Finding(f"{reader.label}: sequence {record.position} reports {record.skipped} lost", on=reader.label)
        before, sent[record.actor] = record.position, record.sequence


def grade_messages(cast: Cast, shape: Shape, seen: list[list[Record]]) -> dict[int, Record]:
    """The messages of all readers by sequence: one sequence is one message, which is what its writer sent; and in the order of
    sequences each writer's messages rise. Who publishes under a lock does not publish out of order."""
    writers = {writer.number: writer for writer in cast.writers}
    log: dict[int, Record] = {}
    for records in seen:
        for record in records:
            known = log.setdefault(record.position, record)
            if known is record:
                _grade_message(writers, shape, record)
            elif (known.actor, known.sequence, known.message_type) != (record.actor, record.sequence, record.message_type):
                what = f"message {known.sequence} of writer {known.actor} and message {record.sequence} of {record.actor}"
                raise Finding(f"sequence {record.position} was delivered as {what}")
            elif known.crc != record.crc:
                raise Finding(f"sequence {record.position} was delivered with two payloads")
    last = dict[int, int]()
    for sequence in sorted(log):
        record = log[sequence]
        if record.sequence <= last.get(record.actor, -1):
            what = f"message {record.sequence} lies behind message {last[record.actor]}"
            raise Finding(f"writer {record.actor} published out of order: {what}, at sequence {sequence}")
        last[record.actor] = record.sequence
    return log


def _grade_message(writers: dict[int, Actor], shape: Shape, record: Record) -> None:
    where, writer = f"sequence {record.position}", writers.get(record.actor)
    if writer is None or record.sequence >= writer.plan["count"]:
        raise Finding(f"{where}: message {record.sequence} of writer {record.actor}, which nobody sent")
    lengths = shape.lengths()
    length = lengths[record.sequence % len(lengths)]
    if record.length != length:
        raise Finding(f"{where}: {record.length} bytes; {writer.label} sent {length}")
    if record.crc != history.payload_crc(record.actor, record.sequence, length, writer.plan["seed"]):
        raise Finding(f"{where}: the payload of message {record.sequence} of {writer.label} is not what was sent")


def senders_of(records: Iterable[Record]) -> dict[int, set[int]]:
    """The endpoint numbers that each writer's messages carry."""
    found: dict[int, set[int]] = defaultdict(set)
    for record in records:
        found[record.actor].add(record.message_type)
    return found


def grade_senders(cast: Cast, records: Iterable[Record], rest: Rest) -> None:
    """Each writer has one number, which no other has, and whose byte was locked when the run began."""
    taken: dict[int, int] = {}
    labels = {writer.number: writer.label for writer in cast.writers}
    for actor, numbers in senders_of(records).items():
        if len(numbers) != 1:
            raise Finding(f"messages of {labels[actor]} carry the senders {sorted(numbers)}", on=labels[actor])
        (number,) = numbers
        if number not in rest.armed:
            raise Finding(f"{labels[actor]} sends as endpoint {number}, and nobody held that number", on=labels[actor])
        if taken.setdefault(number, actor) != actor:
            raise Finding(f"{labels[actor]} and {labels[taken[number]]} both send as endpoint {number}")


# -- publish and subscribe -----------------------------------------------------------------------------------------------


def grade_losses(reader: Actor, records: list[Record], total: int) -> None:
    """Losses are exact, message by message and in all. A subscriber that wants the oldest message may have found none yet, and
    then what is evicted before its first look is lost or not, as it sees it."""
    oldest = (reader.plan.get("open") or {}).get("from") == "oldest"
    begun = records[0].position if records and oldest and not records[0].skipped else 0
    next_ = begun
    for record in records:
        gap = record.position - next_
        if record.skipped != min(gap, MANY):
            what = f"sequence {record.position} reports {record.skipped} lost, and {gap} lie before it"
            raise Finding(f"{reader.label}: {what}", on=reader.label)
        next_ = record.position + 1
    have = len(records) + reader.count("lost")
    if have != total - begun and (records or not oldest or have):
        what = f"{len(records)} received and {reader.count('lost')} lost are not the {total - begun} messages that were published"
        raise Finding(f"{reader.label}: {what}", on=reader.label)


def grade_lossless(reader: Actor, records: list[Record], total: int) -> None:
    """With credit everything arrives."""
    if len(records) != total:
        what = f"got {len(records)} of {total} messages with credit, {reader.count('lost')} lost"
        raise Finding(f"{reader.label} {what}", on=reader.label)


# -- pipelines and requests ----------------------------------------------------------------------------------------------


def grade_once(cast: Cast, seen: list[list[Record]], total: int, missing: int = 0, before: int = 0) -> int:
    """Every sequence went to one receiver. `missing` may be gone with those who died when `before` were published. Returns how
    many are."""
    taken: dict[int, str] = {}
    for reader, records in zip(cast.readers, seen, strict=True):
        for record in records:
            if record.position in taken:
                raise Finding(f"sequence {record.position} was taken by {taken[record.position]} and by {reader.label}")
            taken[record.position] = reader.label
    if above := [sequence for sequence in taken if sequence >= total]:
        raise Finding(f"sequence {min(above)} was delivered, and {total} messages were published")
    gone = sorted(set(range(total)) - set(taken))
    if len(gone) > missing:
        raise Finding(f"{len(gone)} messages are lost, and {missing} can have died with their receiver; first sequence {gone[0]}")
    if gone and gone[-1] >= before:
        raise Finding(f"sequence {gone[-1]} is lost, and nobody died after it was published")
    return len(gone)


def grade_refused(cast: Cast, rest: Rest) -> None:
    """dropped_count of a pipeline is the number of calls that found no room [shmcomm.push.full]."""
    full = sum(writer.count("full") for writer in cast.writers) + rest.refused
    if (dropped := rest.number("dropped_count")) != full:
        raise Finding(f"dropped_count is {dropped}, and {full} calls were answered FULL or TIMEOUT")


def grade_replies(cast: Cast, senders: dict[int, set[int]], rest: Rest, unanswered: int = 0) -> int:
    """A reply for each request, in the channel of its sender, and one only. `unanswered` requests may have died with their
    replier; requesters that died are not asked. Returns how many did."""
    missing, numbers = 0, set[int]()
    for writer in cast.writers:
        number = next(iter(senders.get(writer.number, {0})))
        numbers.add(number)
        if writer.killed:
            continue
        if number not in rest.replies:
            raise Finding(f"{writer.label} sends as endpoint {number}, and there was no reply channel {number}", on=writer.label)
        missing += _grade_requester(writer, number_of(rest.replies[number], "message_count"))
    if missing > unanswered:
        raise Finding(f"{missing} requests got no reply, and {unanswered} can have died with their replier")
    for number, content in rest.replies.items():
        if number not in numbers and (count := number_of(content, "message_count")):
            raise Finding(f"reply channel {number} has {count} replies, and its requester sent none but END")
    return missing


def _grade_requester(writer: Actor, replies: int) -> int:
    """What it says must agree with what was sent to it. Returns how many requests were not answered."""
    sent, replied, late, wrong = (writer.count(word) for word in ("sent", "replied", "timeouts", "mismatched"))
    if wrong:
        raise Finding(f"{writer.label} got {wrong} replies that are not its requests", on=writer.label)
    if replied + late != sent:
        raise Finding(f"{writer.label} sent {sent} requests, got {replied} replies and {late} timeouts", on=writer.label)
    if replies > sent:
        raise Finding(f"{writer.label} sent {sent} requests, and {replies} replies were sent to it")
    if replied > replies:
        raise Finding(f"{writer.label} says replied {replied}, and {replies} replies were sent to it", on=writer.label)
    if late and replies == sent and not writer.plan.get("reply_ms"):
        raise Finding(f"{writer.label} waited {late} times in vain, and all of its replies are there", on=writer.label)
    return sent - replies


# -- the bytes at rest ---------------------------------------------------------------------------------------------------


def grade_rest(shape: Shape, rest: Rest) -> None:
    """All have left: the lock is free, the channel closed and its frames whole, and no name stays but that of a pipeline which
    holds messages."""
    if lock := rest.number("writer_lock") & ~LAYOUT.constants["LOCK_WAITERS"]:
        raise Finding(f"endpoint {lock} has left with the lock")
    if rest.number("state") != _CLOSED:
        raise Finding(f"state is {rest.number('state')} when the last keeper has left")
    if rest.left:
        raise Finding(f"reply channels are left: {rest.left}")
    held = rest.number("head") != rest.number("tail")
    if rest.named != (held and shape.pattern == "pipeline"):
        raise Finding(f"the name is {'still there' if rest.named else 'gone'}, and the ring is {'not ' if held else ''}empty")
    if shape.pattern == "pubsub":
        _grade_dropped(rest)
    for what, content in [("", rest.content), *((f" of reply channel {n}", one) for n, one in rest.replies.items())]:
        _grade_bytes(what, content)


def _grade_dropped(rest: Rest) -> None:
    """dropped_count of publishers is the number of messages evicted: the first sequence that is held."""
    head, tail, capacity = (rest.number(name) for name in ("head", "tail", "capacity"))
    oldest = rest.number("message_count")
    if head != tail:
        offset = _BEGIN + tail % capacity
        if rest.content[offset : offset + 8] == _SKIP:
            offset = _BEGIN
        field = LAYOUT.structs["frame"].field("sequence")
        oldest = int.from_bytes(rest.content[offset + field.offset :][: field.size], "little")
    if (dropped := rest.number("dropped_count")) != oldest:
        raise Finding(f"dropped_count is {dropped}, and the oldest message held is {oldest}")


def _grade_bytes(what: str, content: bytes) -> None:
    """The oracle's invariants; of a large ring, those of the header."""
    header = LAYOUT.structs["header"].size
    if len(content) <= _LOOK + header:
        if found := judge.findings("shmcomm", content):
            raise Finding(f"invariants{what} broken at rest: {'; '.join(found[:3])}", diff=found)
        return
    head, tail, capacity = (number_of(content, name) for name in ("head", "tail", "capacity"))
    if head % 8 or tail % 8 or not 0 <= head - tail <= capacity:
        raise Finding(f"invariants{what} broken at rest: head {head}, tail {tail}, capacity {capacity}")
