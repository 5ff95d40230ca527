# SPDX-License-Identifier: MIT
"""Profile slick: see the package for what the functions are. Rules and section numbers are those of spec/slick.md.

The elements have no fields of their own: element[3].data is all of element 3. header.reserved.index and .size are its parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .layout import Block, Field, Finding, Image, Struct, load, lookups

LAYOUT = load("slick")
C = LAYOUT.constants
HEADER, SLOT = LAYOUT.structs["header"], LAYOUT.structs["slot"]
DATA = LAYOUT.regions["data"]
READ_CLASS = "read"  # what a driver must claim to read a segment that another one made
STARTS = ("oldest", "latest")  # or an index
NONE = C["NO_INDEX"]
_NAME = re.compile(r"(slot|element)\[(\d+)\]")


@dataclass(frozen=True)
class Message:
    """An item that a reader must deliver, and how many indices it lost before it."""

    index: int
    elements: int
    payload: bytes
    lost: int


@dataclass(frozen=True)
class Slot:
    """A slot as it stands, seen from index `at` that comes to it: section 1.2."""

    at: int
    data_index: int
    size: int
    ring: int

    @property
    def behind(self) -> int:
        """How far the data_index is above the index that made it; 0 for an item."""
        return (self.data_index - self.at) % self.ring

    @property
    def owner(self) -> int:
        """The index that was reserved by who stored the slot: that of the item, or the one that a mark passes over."""
        return self.data_index - self.behind

    @property
    def settles(self) -> bool:
        """Whether index `at` itself is published or passed."""
        return self.data_index != NONE and self.owner == self.at


class Corrupt(Exception):
    """What a reader must answer CORRUPT to."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


class Segment(Image):
    """The bytes of a slick segment, hostile ones included: nothing here trusts a field."""

    @property
    def size(self) -> int:
        return self.number(DATA.count)

    @property
    def element_size(self) -> int:
        return self.number(DATA.element)

    @property
    def reserved(self) -> int:
        """r of the chapter."""
        return self.number("header.reserved.index")

    @property
    def generation(self) -> str:
        """Section 1.4; "" for a segment that is not published."""
        state = self.number("header.init_state")
        ready = {C["STATE_READY_14"]: "1.4", C["STATE_READY_13"]: "1.3"}
        return ready.get(state, "1.2" if state == C["STATE_NONE"] and self.size else "")

    @property
    def needed(self) -> int:
        return HEADER.size + (SLOT.size + self.element_size) * self.size

    def element_offset(self, number: int) -> int:
        return int(C["SLOT_TABLE_OFFSET"]) + SLOT.size * self.size + self.element_size * number

    def slot_block(self, number: int) -> Block:
        return Block(f"slot[{number}]", C["SLOT_TABLE_OFFSET"] + SLOT.size * number, SLOT)

    def element_block(self, number: int) -> Block:
        data = Field("data", 0, self.element_size, numeric=False, reserved=False, uninitialised=False)
        return Block(f"element[{number}]", self.element_offset(number), Struct("element", self.element_size, (data,)))

    def block(self, name: str) -> Block:
        if name == "header":
            return Block("header", 0, HEADER)
        found = _NAME.fullmatch(name)
        if not found:
            raise KeyError(f"no {name} in a slick segment")
        return self.slot_block(int(found[2])) if found[1] == "slot" else self.element_block(int(found[2]))

    @property
    def slots_inside(self) -> int:
        """Slots that the bytes hold."""
        if len(self.data) < HEADER.size:
            return 0
        return int(min(self.size, (len(self.data) - C["SLOT_TABLE_OFFSET"]) // SLOT.size))

    def blocks(self) -> Iterator[Block]:
        yield self.block("header")
        inside = self.slots_inside
        yield from (self.slot_block(k) for k in range(inside))
        if inside and inside == self.size and self.element_size:
            room = (len(self.data) - self.element_offset(0)) // self.element_size
            yield from (self.element_block(k) for k in range(min(self.size, max(0, room))))

    def slot(self, index: int) -> Slot:
        """The slot of an index."""
        name = f"slot[{index % self.size}]"
        return Slot(index, self.number(f"{name}.data_index"), self.number(f"{name}.size"), self.size)

    @property
    def lap(self) -> range:
        """The indices whose elements are whole, if they are items: the last lap."""
        return range(max(0, self.reserved - self.size), self.reserved)

    def oldest(self) -> int | None:
        """The lowest index of the last lap that is published or marked."""
        return next((j for j in self.lap if self.slot(j).settles), None)

    def bounds(self, slot: Slot) -> str:
        """What is wrong with an item's size; "" if nothing is."""
        if slot.size == 0:
            return "no elements"
        if slot.at % self.size + slot.size > self.size:
            return f"{slot.size} elements at {slot.at % self.size} pass the end of the ring of {self.size}"
        if slot.at + slot.size > self.reserved:
            return f"{slot.size} elements at {slot.at} pass the reservation, {self.reserved}"
        return ""

    def item(self, slot: Slot) -> bytes:
        if wrong := self.bounds(slot):
            raise Corrupt(Finding("slick.read.bounds", "CORRUPT", f"slot[{slot.at % self.size}].size", wrong))
        return self.raw(self.element_offset(slot.at % self.size), slot.size * self.element_size)


class Reader:
    """A reader of a segment that nobody changes: section 5, where a look is enough because nothing moves."""

    def __init__(self, seg: Segment, start: str | int) -> None:
        self.seg = seg
        self.lost = 0
        self.cursor = self.begin(start)

    def begin(self, start: str | int) -> int:
        if isinstance(start, int):
            return start
        if start == "latest":
            return self.seg.reserved
        oldest = self.seg.oldest()
        return self.seg.lap.start if oldest is None else oldest

    def overtaken(self) -> bool:
        """Step 7: whether there is an item to go on at."""
        oldest = self.seg.oldest()
        if oldest is None:
            return False
        self.lost += oldest - self.cursor
        self.cursor = oldest
        return True

    def take(self) -> Message | None:
        """The next item; None where a reader answers EMPTY."""
        seg = self.seg
        if self.cursor > seg.reserved:
            self.cursor = 0
        for _ in range(seg.size + 2):  # a mark of each slot, and one look back
            slot = seg.slot(self.cursor)
            if slot.data_index == NONE or not self.cursor <= slot.data_index <= seg.reserved:
                if seg.reserved <= self.cursor + seg.size or not self.overtaken():
                    return None
                continue
            self.lost += slot.owner - self.cursor
            self.cursor = slot.data_index if slot.behind else slot.owner
            if slot.behind:
                continue
            if seg.reserved > self.cursor + seg.size:
                if not self.overtaken():
                    return None
                continue
            return self.deliver(seg.slot(self.cursor)) if self.cursor < seg.reserved else None
        return None

    def deliver(self, slot: Slot) -> Message:
        message = Message(slot.at, slot.size, self.seg.item(slot), self.lost)
        self.cursor, self.lost = slot.at + slot.size, 0
        return message


# Findings: section 3, then slots and items, then the words that tell about them.


def _header(seg: Segment) -> Iterator[Finding]:
    state, size = seg.number("header.init_state"), seg.size
    if state == C["STATE_BEGUN"] or (state == C["STATE_NONE"] and size == 0):
        text = f"{state}, size {size}: the creator has not published the segment"
        yield Finding("slick.segment.not-ready", "NOT_READY", "header.init_state", text)
        return
    if state > C["STATE_READY_14"]:
        yield Finding("slick.segment.state", "BAD_VERSION", "header.init_state", str(state))
    magic = seg.number("header.header_magic")
    if state == C["STATE_READY_14"] and magic != C["MAGIC"]:
        yield Finding("slick.segment.magic", "BAD_MAGIC", "header.header_magic", f"{magic:#x}, not {C['MAGIC']:#x}")
    if size == 0 or size & (size - 1) or size > C["MAX_SIZE"]:
        yield Finding("slick.segment.geometry", "BAD_GEOMETRY", "header.size", f"{size} is no power of two up to 2^31")
    if seg.element_size == 0:
        yield Finding("slick.segment.geometry", "BAD_GEOMETRY", "header.element_size", "0")
    if seg.needed > len(seg.data):
        text = f"{size} elements of {seg.element_size} bytes in {len(seg.data)}, {seg.needed} are needed"
        yield Finding("slick.segment.size", "TRUNCATED", "header", text)


def _padding(seg: Segment) -> Iterator[Finding]:
    """What a generation does not have is 0."""
    names = [f"header.{name}" for name in seg.nonzero(seg.block("header"))]
    names += [f"slot[{k}].{name}" for k in range(seg.size) for name in seg.nonzero(seg.slot_block(k))]
    if seg.generation != "1.4":
        names += [f"header.{name}" for name in ("last_published", "header_magic") if seg.number(f"header.{name}")]
    for name in names:
        rule = "slick.publish.last" if name.endswith("last_published") else "slick.segment.init"
        yield Finding(rule, "", name, "not 0")


def _indices(seg: Segment) -> Iterator[Finding]:
    """I2: nothing is published that is not reserved; and a slot is stored by who reserved an index of it."""
    for k in range(seg.size):
        slot = seg.slot(k)
        if slot.data_index == NONE:
            continue
        if slot.data_index > seg.reserved:
            text = f"{slot.data_index} is above the reservation, {seg.reserved}"
            yield Finding("slick.publish.order", "", f"slot[{k}].data_index", text)
        elif slot.owner < 0:
            text = f"{slot.data_index} belongs to no index of this slot"
            yield Finding("slick.publish.first-slot", "", f"slot[{k}].data_index", text)


def _items(seg: Segment) -> Iterator[Finding]:
    """The last lap: sizes within bounds (I6), and no index that belongs to two items (I1)."""
    end = 0
    for j in seg.lap:
        slot = seg.slot(j)
        if not slot.settles:
            continue
        if j < end:
            text = f"{j} lies in an item or a mark that ends at {end}"
            yield Finding("slick.reserve.packed", "", f"slot[{j % seg.size}].data_index", text)
        if slot.behind:
            end = slot.data_index
        elif wrong := seg.bounds(slot):
            yield Finding("slick.read.bounds", "CORRUPT", f"slot[{j % seg.size}].size", wrong)
            end = j + 1
        else:
            end = j + slot.size


def _hole(seg: Segment, before: int) -> int | None:
    """The lowest index from the oldest item on, below `before`, that is not settled."""
    at = seg.oldest()
    while at is not None and at < before:
        slot = seg.slot(at)
        if not slot.settles:
            return at
        at = slot.data_index if slot.behind else at + max(1, slot.size)
    return None


def _settled(seg: Segment) -> Iterator[Finding]:
    """I4, and that settled says the truth."""
    settled, last = seg.number("header.settled"), seg.reserved - seg.number("header.reserved.size")
    if settled > seg.reserved:
        yield Finding("slick.reserve.told", "", "header.settled", f"{settled} is above the reservation, {seg.reserved}")
        return
    hole = _hole(seg, settled)
    if hole is not None:
        yield Finding("slick.reserve.told", "", "header.settled", f"{settled}, and index {hole} is not settled")
    hole = _hole(seg, last)
    if seg.reserved > settled + seg.size and hole is not None:
        text = f"{settled}, reserved up to {seg.reserved} in a ring of {seg.size}, and index {hole} is not settled"
        yield Finding("slick.reserve.told", "", "header.settled", text)


def _last(seg: Segment) -> Iterator[Finding]:
    """I5, of generation 1.4."""
    if seg.generation != "1.4":
        return
    said = seg.number("header.last_published")
    items = [j for j in seg.lap if seg.slot(j).settles and not seg.slot(j).behind]
    text = ""
    if said == NONE:
        text = f"nothing, and {items[-1]} is published" if items else ""
    elif said >= seg.reserved:
        text = f"{said} is not below the reservation, {seg.reserved}"
    elif items and said < items[-1]:
        text = f"{said}, and {items[-1]} is published"
    elif said in seg.lap and said not in items:
        text = f"{said} is not published"
    if text:
        yield Finding("slick.publish.last", "", "header.last_published", text)


def findings(data: bytes) -> list[Finding]:
    """What is wrong at rest; reservations that nobody has published are not. Slots count where the header holds."""
    if len(data) < HEADER.size:
        return [Finding("slick.segment.size", "TRUNCATED", "header", f"{len(data)} bytes")]
    seg = Segment(data)
    out = list(_header(seg))
    if not out:
        for look in (_padding, _indices, _items, _settled, _last):
            out += look(seg)
    return out


fields, value, locate, encode, name_at = lookups(Segment)


def messages(data: bytes, choice: str | int = "oldest") -> list[Message]:
    """Every item that a reader with this start must deliver, in order; ends where it is answered CORRUPT."""
    if choice not in STARTS and not isinstance(choice, int):
        raise ValueError(f"{choice} is none of {STARTS} and no index")
    reader, found = Reader(Segment(data), choice), []
    try:
        while (message := reader.take()) is not None:
            found.append(message)
    except Corrupt:
        pass
    return found


def items(data: bytes) -> list[dict[str, object]]:
    """What a reader must deliver, in the form of the items of a `read` reply: from the oldest item on."""
    return [
        {"data": {"hex": one.payload.hex()}, "pos": str(one.index), "elements": one.elements, "lost": str(one.lost)}
        for one in messages(data)
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
