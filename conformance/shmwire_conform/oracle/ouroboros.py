# SPDX-License-Identifier: MIT
"""Profile ouroboros: see the package for what the functions are. Rules and section numbers are those of spec/ouroboros.md.

Entries have no index of their own: entry[80] is the one at offset 80, and its payload is a field beside the layout's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from .layout import Block, Field, Finding, Image, Struct, load, lookups

LAYOUT = load("ouroboros")
C = LAYOUT.constants
HEADER, ROW, ENTRY = (LAYOUT.structs[name] for name in ("header", "row", "entry"))
STARTS = ("auto", "latest", "oldest")
READ_CLASS = "read"  # what a driver must claim to read a segment that another one made
_WORD, _COMMITTED = C["ENTRY_HEADER_SIZE"], C["ENTRY_COMMITTED"]
_NAME = re.compile(r"(row|entry)\[(\d+)\]")


def align(offset: int) -> int:
    return -(-offset // C["ENTRY_ALIGN"]) * C["ENTRY_ALIGN"]


@dataclass(frozen=True)
class Row:
    """A row of the chunk table as it stands; `offset` is without the commit bit."""

    index: int
    offset: int
    token: int
    committed: bool


@dataclass(frozen=True)
class Message:
    """An entry that a reader must deliver, met under the row `chunk` with `token`."""

    sequence: int
    payload: bytes
    chunk: int
    token: int
    offset: int


class Corrupt(Exception):
    """What a reader must answer CORRUPT to."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


class Segment(Image):
    """The bytes of an ouroboros segment, hostile ones included: nothing here trusts a field."""

    def row_block(self, index: int) -> Block:
        return Block(f"row[{index}]", C["ROW_TABLE_OFFSET"] + ROW.size * index, ROW)

    def entry_block(self, offset: int) -> Block:
        """Header and payload, as long as the header says, within the bytes."""
        length = self.number_at(offset) & ~_COMMITTED
        inside = max(0, min(length, len(self.data) - offset) - _WORD)
        payload = (Field("payload", _WORD, inside, numeric=False, reserved=False, uninitialised=False),) if inside else ()
        return Block(f"entry[{offset}]", offset, Struct("entry", _WORD + inside, (*ENTRY.fields, *payload)))

    def number_at(self, offset: int) -> int:
        return int.from_bytes(self.raw(offset, _WORD), "little")

    def block(self, name: str) -> Block:
        if name == "header":
            return Block("header", 0, HEADER)
        found = _NAME.fullmatch(name)
        if not found:
            raise KeyError(f"no {name} in an ouroboros segment")
        return self.row_block(int(found[2])) if found[1] == "row" else self.entry_block(int(found[2]))

    @property
    def rows_inside(self) -> int:
        """Rows of the table that the bytes hold."""
        if len(self.data) < C["ROW_TABLE_OFFSET"]:
            return 0
        return min(self.number("header.chunk_count"), (len(self.data) - C["ROW_TABLE_OFFSET"]) // ROW.size)

    @property
    def data_offset(self) -> int:
        return align(C["ROW_TABLE_OFFSET"] + ROW.size * self.number("header.chunk_count"))

    def row(self, index: int) -> Row:
        offset = self.number(f"row[{index}].offset")
        token = self.number(f"row[{index}].token")
        committed = bool(offset & C["ROW_COMMITTED"]) and (token != 0 or index == 0)  # a cleared row's token is no chunk's
        return Row(index, offset & ~C["ROW_COMMITTED"], token, committed)

    def rows(self) -> list[Row]:
        return [self.row(i) for i in range(self.rows_inside)]

    def room(self, offset: int) -> bool:
        """Whether a header fits there."""
        return offset + _WORD <= len(self.data)

    def places(self) -> list[int]:
        """Offsets of everything that a walk from any row passes: entries, wrap marks, and the header after the last entry."""
        found: set[int] = set()
        for row in self.rows():
            at = row.offset
            while at % C["ENTRY_ALIGN"] == 0 and self.data_offset <= at and self.room(at) and at not in found:
                found.add(at)
                word = self.number_at(at)
                if not word & _COMMITTED or word & ~_COMMITTED < C["MIN_LENGTH"]:
                    break
                at = align(at + (word & ~_COMMITTED))
        return sorted(found)

    def blocks(self) -> Iterator[Block]:
        yield self.block("header")
        yield from (self.row_block(i) for i in range(self.rows_inside))
        yield from (self.entry_block(at) for at in self.places())

    # Checks that every way in makes (sections 3 and 5).

    def enter(self, row: Row) -> Row:
        """The row, if a reader may go where it leads."""
        if row.offset % C["ENTRY_ALIGN"] or row.offset < self.data_offset or not self.room(row.offset):
            text = f"{row.offset} in a segment of {len(self.data)} bytes with entries from {self.data_offset}"
            raise Corrupt(Finding("ouroboros.read.row-offset", "CORRUPT", f"row[{row.index}].offset", text))
        return row

    def length_at(self, offset: int) -> int:
        """The length of the committed header there, 1 for a wrap mark, 0 for a header that is not committed."""
        word = self.number_at(offset)
        length = word & ~_COMMITTED
        if not word & _COMMITTED:
            return C["LENGTH_NONE"]
        if length != C["LENGTH_WRAP"] and not C["MIN_LENGTH"] <= length <= len(self.data) - offset:
            raise Corrupt(Finding("ouroboros.read.length", "CORRUPT", f"entry[{offset}].header", f"length {length}"))
        return length


class Reader:
    """A reader of a segment that nobody changes: section 5, where a look is enough because nothing moves."""

    def __init__(self, seg: Segment) -> None:
        self.seg = seg
        self.row: Row | None = None
        self.cursor = 0
        self.next = 1

    def start(self, strategy: str) -> None:
        committed = [row for row in self.seg.rows() if row.committed]
        if not committed:
            return
        by_token = sorted(committed, key=lambda row: row.token)
        first = self.seg.row(0)
        if strategy == "auto" and first.committed and first.token == 0:
            self.go(first)
        else:
            self.go(by_token[0] if strategy == "oldest" else by_token[-1])

    def go(self, row: Row) -> None:
        self.row = self.seg.enter(row)
        self.cursor, self.next = row.offset, row.token + 1

    def wrap(self) -> bool:
        """Whether chunk 0 could be entered from the end of the segment."""
        first = self.seg.row(0)
        if not first.committed or first.token < self.next - 1:
            return False
        self.go(first)
        return True

    def adopt(self) -> None:
        """Step 2: the next row, when the cursor has come to it."""
        assert self.row is not None
        if self.row.index + 1 < self.seg.rows_inside:
            row = self.seg.row(self.row.index + 1)
            follows = self.row.token < row.token <= self.next - 1 and self.row.offset < row.offset <= self.cursor
            self.row = row if row.committed and follows else self.row

    def take(self) -> Message | None:
        """The next entry; None where a reader answers EMPTY."""
        for _ in range(self.seg.rows_inside + 2):  # wrap marks that lead only to wrap marks
            if self.row is None:
                return None
            if not self.seg.room(self.cursor):
                if not self.wrap():
                    return None
                continue
            self.adopt()
            length = self.seg.length_at(self.cursor)
            if length == C["LENGTH_NONE"] or (length == C["LENGTH_WRAP"] and not self.wrap()):
                return None
            if length != C["LENGTH_WRAP"]:
                return self.deliver(length)
        return None

    def deliver(self, length: int) -> Message:
        assert self.row is not None
        payload = self.seg.raw(self.cursor + _WORD, length - _WORD)
        message = Message(self.next, payload, self.row.index, self.row.token, self.cursor)
        self.cursor, self.next = align(self.cursor + length), self.next + 1
        return message


# Findings: section 3, then the rows, then what lies behind each.


def _header(seg: Segment) -> Iterator[Finding]:
    magic, version, count = (seg.number(f"header.{name}") for name in ("magic", "version", "chunk_count"))
    if magic == 0:
        yield Finding("ouroboros.segment.not-ready", "NOT_READY", "header.magic", "0: the creator has not published the segment")
    elif magic != C["MAGIC"]:
        yield Finding("ouroboros.segment.magic", "BAD_MAGIC", "header.magic", f"{magic:#x}, not {C['MAGIC']:#x}")
    if version != C["VERSION"]:
        yield Finding("ouroboros.segment.version", "BAD_VERSION", "header.version", f"{version}, not {C['VERSION']}")
    if count == 0:
        yield Finding("ouroboros.segment.chunk-count", "BAD_GEOMETRY", "header.chunk_count", "0")
    if C["ROW_TABLE_OFFSET"] + ROW.size * count > len(seg.data):
        text = f"{count} rows in {len(seg.data)} bytes"
        yield Finding("ouroboros.segment.size", "TRUNCATED", "header.chunk_count", text)


def _rows(seg: Segment) -> Iterator[Finding]:
    """Committed rows must lead somewhere; at rest there are no others, and a row of nothing is 0 throughout."""
    for row in seg.rows():
        name = f"row[{row.index}]"
        if row.committed:
            try:
                seg.enter(row)
            except Corrupt as corrupt:
                yield corrupt.finding
        elif row.offset:
            yield Finding("ouroboros.write.commit-row", "", f"{name}.offset", "a chunk that began and holds no entry")
        elif row.token:
            yield Finding("ouroboros.write.clear", "", f"{name}.token", f"{row.token} in a row without a chunk")


def _walk(seg: Segment, begin: int, stop: int | None = None) -> tuple[int, int]:
    """Where the entries from an offset on end, wrap mark and `stop` included; and how many they are."""
    at, count = begin, 0
    while seg.room(at) and at != stop:
        length = seg.length_at(at)
        if length < C["MIN_LENGTH"]:
            break
        at, count = align(at + length), count + 1
    return at, count


def _chains(seg: Segment) -> Iterator[Finding]:
    """From the oldest row on, the entries between two rows must be as many as their tokens say and end where the next begins."""
    rows = sorted((row for row in seg.rows() if row.committed), key=lambda row: row.token)
    if not rows:
        yield Finding("ouroboros.segment.init", "", "row[0].offset", "no chunk is committed")
    for row in rows:
        try:
            _walk(seg, row.offset)
        except Corrupt as corrupt:
            yield corrupt.finding
            return
    for row, after in pairwise(rows):
        stop = after.offset if after.index else None  # chunk 0 follows where the walk ends at the wrap
        end, count = _walk(seg, row.offset, stop)
        if row.token + count != after.token or stop not in (None, end):
            text = f"token {after.token} at {after.offset}; entries from row[{row.index}] on: {count} after {row.token}, to {end}"
            yield Finding("ouroboros.read.sequence", "", f"row[{after.index}].token", text)
    yield from _order(seg, rows)


def _order(seg: Segment, rows: list[Row]) -> Iterator[Finding]:
    """The lap: rows 0 to the current one carry the newest tokens, those above it are older and begin behind its last entry."""
    if not rows:
        return
    current = rows[-1]
    end, _ = _walk(seg, current.offset)
    end += _WORD if seg.room(end) else 0
    for row in rows[:-1]:
        if row.index > current.index and row.offset < end:
            text = f"{row.offset} is below {end}, the end of what was written last"
            yield Finding("ouroboros.write.clear", "", f"row[{row.index}].offset", text)
    lap = [row.token for row in sorted(rows, key=lambda row: row.index)]
    turns = sum(one > other for one, other in pairwise(lap))
    if turns > 1 or (turns == 1 and lap[-1] > lap[0]):
        yield Finding(
            "ouroboros.write.next-chunk", "", "row[0].token", f"tokens {lap} are not those of one lap and the one before"
        )


def findings(data: bytes) -> list[Finding]:
    """What is wrong with a segment at rest. Entries are looked at only where the table holds."""
    if len(data) < HEADER.size:
        return [Finding("ouroboros.segment.size", "TRUNCATED", "header", f"{len(data)} bytes")]
    seg = Segment(data)
    out = list(_header(seg))
    if not any(one.code in ("TRUNCATED", "BAD_GEOMETRY") for one in out):
        wrong = list(_rows(seg))
        out += wrong if any(one.code for one in wrong) else [*wrong, *_chains(seg)]
    return out


fields, value, locate, encode, name_at = lookups(Segment)


def messages(data: bytes, choice: str = "auto") -> list[Message]:
    """Every entry that a reader with this start must deliver, in order; ends where it is answered CORRUPT."""
    if choice not in STARTS:
        raise ValueError(f"{choice} is none of {STARTS}")
    reader, found = Reader(Segment(data)), []
    try:
        reader.start(choice)
        while (message := reader.take()) is not None:
            found.append(message)
    except Corrupt:
        pass
    return found


def items(data: bytes) -> list[dict[str, object]]:
    """What a reader must deliver, in the form of the items of a `read` reply: from the oldest entry on."""
    return [
        {"data": {"hex": one.payload.hex()}, "seq": str(one.sequence), "chunk": one.chunk, "token": str(one.token)}
        for one in messages(data, "oldest")
    ]


def reading(data: bytes) -> list[dict[str, object]]:
    """The steps of a driver that reads the segment without changing it, with the answers that it must give."""
    found = items(data)
    answer: dict[str, object] = {"st": "ok" if found else "empty", "items": found}
    return [
        {"cmd": "open", "mode": "ro", "options": {"from": "oldest"}},
        {"cmd": "read", "mode": "try", "max": 4096, "expect": {"ok": answer}},
        {"cmd": "close"},
    ]
