# SPDX-License-Identifier: MIT
"""Profile shmcomm: see the package for what the functions are. Rules and section numbers are those of spec/shmcomm.md.

frame[17] is the frame of the message with sequence 17, if it is held. Beside its fields it has position (in the ring's count of
bytes), payload, and padding, the zeros behind it. mark[4088] is the mark at position 4088; its only field is size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .layout import Block, Field, Finding, Image, Struct, load, lookups

LAYOUT = load("shmcomm")
C = LAYOUT.constants
HEADER, FRAME = LAYOUT.structs["header"], LAYOUT.structs["frame"]
READ_CLASS = "read"  # what a driver must claim to read a segment that another one made
GOES_WITH_ITS_MAKER = True
STARTS = ("oldest", "latest")
PATTERNS = {C[f"PATTERN_{name}"]: name.lower() for name in ("PUBSUB", "PIPELINE", "REQUEST", "REPLY")}
U64 = (1 << 64) - 1
_NAME = re.compile(r"(frame|mark)\[(\d+)\]")


@dataclass(frozen=True)
class Message:
    """A message that a reader must deliver."""

    sequence: int
    position: int
    timestamp_ns: int
    correlation_id: int
    sender: int
    content_type: int
    flags: int
    payload: bytes
    lost: int = 0


@dataclass(frozen=True)
class Place:
    """A frame that is held, or a mark: what it is called, its position, its size and where the next one begins."""

    position: int
    size: int
    end: int
    sequence: int = -1  # a mark has none

    @property
    def mark(self) -> bool:
        return self.size == C["SKIP"]


class Corrupt(Exception):
    """What a receiver must answer CORRUPT to."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def _wrong_frame(at: str, text: str) -> Corrupt:
    return Corrupt(Finding("shmcomm.receive.size", "CORRUPT", at, text))


class Segment(Image):
    """The bytes of a channel, hostile ones included: nothing here trusts a field."""

    def header(self, name: str) -> int:
        return self.number(f"header.{name}")

    @property
    def capacity(self) -> int:
        return self.header("capacity")

    @property
    def tail(self) -> int:
        return self.header("tail")

    @property
    def head(self) -> int:
        return self.header("head")

    def sound(self) -> bool:
        """Whether ring and positions can be walked at all."""
        return len(self.data) >= HEADER.size and not list(_header(self))

    def offset(self, position: int) -> int:
        return int(C["RING_OFFSET"]) + position % self.capacity

    def word(self, position: int, inside: int, size: int = 8) -> int:
        return int.from_bytes(self.raw(self.offset(position) + inside, size), "little")

    def walk(self) -> Iterator[Place]:
        """Frames and marks from tail to head, in order; raises Corrupt where a receiver must stop."""
        at, head, skipped = self.tail, self.head, False
        while at != head:
            place = self.place(at, head, behind_mark=skipped)
            yield place
            at, skipped = place.end, place.mark

    def place(self, at: int, head: int, *, behind_mark: bool) -> Place:
        """Section 7.1, steps 2 and 3."""
        size, inside, where = self.word(at, 0), at % self.capacity, f"ring+{at}"
        if size == C["SKIP"]:
            end = at - inside + self.capacity
            if behind_mark or inside == 0 or end - at >= head - at:
                raise _wrong_frame(where, "a mark that no frame follows")
            return Place(at, size, end)
        extent = (size + 8 + 7) & ~7
        room = min(self.capacity // 2, head - at, self.capacity - inside)
        if size < C["MESSAGE_HEADER_SIZE"] or extent > room:
            raise _wrong_frame(where, f"a size of {size} where up to {room} bytes are held")
        return Place(at, size, at + extent, self.word(at, FRAME.field("sequence").offset))

    def held(self) -> list[Place]:
        """What can be walked of it."""
        found = []
        try:
            for place in self.walk():
                found.append(place)
        except Corrupt:
            pass
        return found

    def message(self, place: Place) -> Message:
        values = {
            field.name: self.word(place.position, field.offset, field.size) for field in FRAME.fields if field.name != "size"
        }
        begin = self.offset(place.position) + FRAME.size
        payload = self.raw(begin, place.size - C["MESSAGE_HEADER_SIZE"])
        return Message(position=place.position, payload=payload, **values)

    # Names.

    def frame_block(self, place: Place) -> Block:
        length = place.size - C["MESSAGE_HEADER_SIZE"]
        extent = place.end - place.position
        parts = [Field("payload", FRAME.size, length, numeric=False, reserved=False, uninitialised=False)]
        if extent > FRAME.size + length:
            zeros = extent - FRAME.size - length
            parts.append(Field("padding", FRAME.size + length, zeros, numeric=False, reserved=True, uninitialised=False))
        name = f"frame[{place.sequence}]"
        return Block(name, self.offset(place.position), Struct("frame", extent, (*FRAME.fields, *parts)))

    def mark_block(self, place: Place) -> Block:
        return Block(f"mark[{place.position}]", self.offset(place.position), Struct("mark", 8, FRAME.fields[:1]))

    def frames(self) -> list[Place]:
        return [place for place in self.held() if not place.mark] if self.sound() else []

    def block(self, name: str) -> Block:
        if name == "header":
            return Block("header", 0, HEADER)
        found = _NAME.fullmatch(name)
        if found and self.sound():
            for place in self.held():
                if place.mark and found[1] == "mark" and place.position == int(found[2]):
                    return self.mark_block(place)
                if not place.mark and found[1] == "frame" and place.sequence == int(found[2]):
                    return self.frame_block(place)
        raise KeyError(f"no {name} in this channel")

    def blocks(self) -> Iterator[Block]:
        yield self.block("header")
        if self.sound():
            yield from (self.mark_block(one) if one.mark else self.frame_block(one) for one in self.held())

    def value(self, name: str) -> int | bytes:
        block, _, field = name.rpartition(".")
        if field == "position":
            sequence = int(block.partition("[")[2][:-1])
            return next(place.position for place in self.frames() if place.sequence == sequence)
        return super().value(name)


# Findings: section 3, then the chain of frames, then the words that count.


def _header(seg: Segment) -> Iterator[Finding]:
    magic = seg.header("magic")
    if magic != C["MAGIC"]:
        rule, code = ("magic", "BAD_MAGIC") if magic else ("not-ready", "NOT_READY")
        yield Finding(f"shmcomm.segment.{rule}", code, "header.magic", f"{magic:#x}, not {C['MAGIC']:#x}")
        return
    version = seg.header("version")
    if version != C["VERSION"]:
        yield Finding("shmcomm.segment.version", "BAD_VERSION", "header.version", str(version))
        return
    geometry = list(_geometry(seg))
    yield from geometry
    if not geometry:
        yield from _positions(seg)


def _geometry(seg: Segment) -> Iterator[Finding]:
    size = seg.capacity
    wrong = []
    if size & (size - 1) or not C["MIN_CAPACITY"] <= size <= C["MAX_CAPACITY"]:
        wrong.append(("capacity", f"{size} is no power of two from {C['MIN_CAPACITY']} to {C['MAX_CAPACITY']}"))
    if seg.header("pattern") not in PATTERNS:
        wrong.append(("pattern", f"{seg.header('pattern')} is no pattern"))
    if seg.header("state") not in (C["STATE_OPEN"], C["STATE_CLOSED"]):
        wrong.append(("state", f"{seg.header('state')} is no state"))
    if seg.header("serializer") > 0xFFFF:
        wrong.append(("serializer", f"{seg.header('serializer')} is no content type"))
    for name, text in wrong:
        yield Finding("shmcomm.segment.geometry", "BAD_GEOMETRY", f"header.{name}", text)
    if not wrong and len(seg.data) < C["RING_OFFSET"] + size:
        text = f"a ring of {size} bytes in {len(seg.data)}"
        yield Finding("shmcomm.segment.size", "TRUNCATED", "header.capacity", text)


def _positions(seg: Segment) -> Iterator[Finding]:
    """I1."""
    for name in ("head", "tail"):
        if seg.header(name) % C["FRAME_ALIGN"]:
            text = f"{seg.header(name)} is no multiple of {C['FRAME_ALIGN']}"
            yield Finding("shmcomm.segment.positions", "CORRUPT", f"header.{name}", text)
    if (seg.head - seg.tail) & U64 > seg.capacity:
        text = f"tail {seg.tail} and head {seg.head} in a ring of {seg.capacity}"
        yield Finding("shmcomm.segment.positions", "CORRUPT", "header.head", text)


def _identity(seg: Segment) -> Iterator[Finding]:
    """What a creator leaves, and what nobody changes."""
    for name in seg.nonzero(seg.block("header")):
        yield Finding("shmcomm.segment.init", "", f"header.{name}", "not 0")
    if seg.header("instance") == 0:
        yield Finding("shmcomm.segment.init", "", "header.instance", "0")
    if not 1 <= seg.header("owner_endpoint") <= C["MAX_ENDPOINT"]:
        yield Finding("shmcomm.segment.init", "", "header.owner_endpoint", f"{seg.header('owner_endpoint')} is no endpoint")


def _chain(seg: Segment) -> Iterator[Finding]:
    """I2: whole frames whose sequences rise by 1."""
    last: Place | None = None
    try:
        for place in seg.walk():
            if place.mark:
                continue
            if last is not None and place.sequence != (last.sequence + 1) & U64:
                at, text = f"frame[{place.sequence}].sequence", f"{place.sequence} behind {last.sequence}"
                yield Finding("shmcomm.send.sequence", "", at, text)
            yield from _frame(seg, place)
            last = place
    except Corrupt as found:
        yield found.finding


def _frame(seg: Segment, place: Place) -> Iterator[Finding]:
    """What a message carries by its pattern, and the zeros behind it."""
    name, message = f"frame[{place.sequence}]", seg.message(place)
    for zeros in seg.nonzero(seg.frame_block(place)):
        yield Finding("shmcomm.send.frame", "", f"{name}.{zeros}", "not 0")
    if not 1 <= message.sender <= C["MAX_ENDPOINT"]:
        yield Finding("shmcomm.send.sender", "", f"{name}.sender", f"{message.sender} is no endpoint")
    pairs = PATTERNS[seg.header("pattern")] in ("request", "reply")
    if (message.correlation_id != 0) != pairs:
        text = f"{message.correlation_id} in a channel of pattern {seg.header('pattern')}"
        yield Finding("shmcomm.send.sender", "", f"{name}.correlation_id", text)


def _counts(seg: Segment) -> Iterator[Finding]:
    """I3, and dropped_count of a pubsub channel; while somebody holds the lock, or died with it, both may lag."""
    frames, count, dropped = seg.frames(), seg.header("message_count"), seg.header("dropped_count")
    after = (frames[-1].sequence + 1) & U64 if frames else count
    free = seg.header("writer_lock") & C["MAX_ENDPOINT"] == C["LOCK_FREE"]
    if count != after and (free or count > after):
        text = f"{count}, and the last message is {after - 1}"
        yield Finding("shmcomm.recover.count", "", "header.message_count", text)
    if PATTERNS[seg.header("pattern")] != "pubsub" or not free:
        return
    first = frames[0].sequence if frames else count
    if dropped != first:
        text = f"{dropped}, and the oldest message held is {first}"
        yield Finding("shmcomm.publish.dropped", "", "header.dropped_count", text)


def findings(data: bytes) -> list[Finding]:
    """What is wrong at rest. A lock that somebody holds is not. Frames count where the header holds."""
    if len(data) < HEADER.size:
        return [Finding("shmcomm.segment.size", "TRUNCATED", "header", f"{len(data)} bytes")]
    seg = Segment(data)
    out = list(_header(seg))
    if not out:
        for look in (_identity, _chain, _counts):
            out += look(seg)
    return out


fields, value, locate, encode, name_at = lookups(Segment)


def messages(data: bytes, choice: str = "oldest") -> list[Message]:
    """Every message that an observer or a subscriber must deliver, in order; ends where it is answered CORRUPT."""
    if choice not in STARTS:
        raise ValueError(f"{choice} is none of {STARTS}")
    seg = Segment(data)
    if choice == "latest":
        return []
    found: list[Message] = []
    for place in seg.held():
        if not place.mark:
            message = seg.message(place)
            gap = (message.sequence - found[-1].sequence - 1) & U64 if found else 0
            lost = gap if gap < 1 << 63 else 0
            found.append(Message(**{**vars(message), "lost": lost}))
    return found


def items(data: bytes) -> list[dict[str, object]]:
    """What a reader must deliver, in the form of the items of a `read` reply."""
    return [
        {
            "data": {"hex": one.payload.hex()},
            "seq": str(one.sequence),
            "lost": str(one.lost),
            "meta": {
                "timestamp_ns": str(one.timestamp_ns),
                "correlation_id": str(one.correlation_id),
                "sender": one.sender,
                "content_type": one.content_type,
                "flags": one.flags,
            },
        }
        for one in messages(data)
    ]


def reading(data: bytes) -> list[dict[str, object]]:
    """The steps of a driver that reads the channel without changing it, with the answers that it must give."""
    found = items(data)
    nothing = "closed" if Segment(data).header("state") == C["STATE_CLOSED"] else "empty"
    answer: dict[str, object] = {"st": "ok" if found else nothing, "items": found}
    return [
        {"cmd": "open", "mode": "ro"},
        {"cmd": "read", "mode": "try", "max": 4096, "expect": {"ok": answer}},
        {"cmd": "close"},
    ]
