# SPDX-License-Identifier: MIT
"""What must hold of the records of a live slick run: nothing torn, every index the item that its writer sent, in the order of
each writer, and every index between two items accounted for: reported as lost, or padding at an end of the ring that was passed.

Of a lone producer the layout is known: where each item lies, and how much padding each end of the ring has. Of several only the
bounds are: the gap less what is reported as lost is at least 0 and at most the largest item less one for each end passed.
A mark is followed without loss; but a reader that was overtaken may count the padding that it did not see as lost, so that
padding belongs to either side, whole.
"""

from __future__ import annotations

import bisect
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import judge
from ..errors import Finding
from ..segments import Segments
from . import history, tallies
from .cast import Actor, Cast
from .history import Record

if TYPE_CHECKING:
    from .slick import Shape

# What the fields of a record hold here: message_type the elements, position the index, skipped what was lost before.
_SUMS = 64  # ends of the ring in one gap, up to which every sum of their padding is looked at
_LOOK = 4096  # slots, up to which the oracle looks at a segment as a whole


@dataclass(frozen=True)
class Rest:
    """The segment and the shared cursor when all actors are done."""

    content: bytes
    reserved: int  # the index that is reserved next
    cursor: int | None = None

    @staticmethod
    def of(segments: Segments, locator: str, shape: Shape) -> Rest:
        content = segments.file_of(locator).read_bytes()
        cursor = None
        if shape.shared:
            data = segments.file_of(segments.beside(locator, "cursor")).read_bytes()
            cursor = int.from_bytes(data[:8], "little")
        return Rest(content, reserved_index(content), cursor)


def reserved_index(content: bytes) -> int:
    """The index that is reserved next; the header is enough."""
    field = judge.oracle("slick").HEADER.field("reserved")
    index = next(bits for bits in field.packed if bits.name == "index")
    return int.from_bytes(content[field.offset : field.offset + 8], "little") >> int(index.shift)


@dataclass
class Layout:
    """Where a lone producer's items lie: the index of each, and the padding before the ends of the ring."""

    index: list[int] = field(default_factory=list)
    pads: list[tuple[int, int]] = field(default_factory=list)  # first index, indices

    @staticmethod
    def of(shape: Shape, count: int) -> Layout:
        layout, place = Layout(), 0
        for i in range(count):
            elements = shape.elements[i % len(shape.elements)]
            pad = -place % shape.size
            if place % shape.size + elements > shape.size:
                layout.pads.append((place, pad))
                place += pad
            layout.index.append(place)
            place += elements
        return layout

    def between(self, start: int, end: int) -> list[int]:
        """The lengths of the padding in a range of indices."""
        first = bisect.bisect_left(self.pads, (start, 0))
        return [length for _, length in self.pads[first : bisect.bisect_left(self.pads, (end, 0))]]


@dataclass(frozen=True)
class Account:
    """Who may say what of a gap between two items."""

    shape: Shape
    layout: Layout | None = None

    def complaint(self, start: int, end: int, lost: int) -> str:
        """What is wrong with a gap of which so much is reported as lost; nothing if it can be."""
        if self.layout is not None:
            pads = self.layout.between(start, end)
            if len(pads) <= _SUMS:
                passed = end - start - lost
                return "" if passed >= 0 and _sums(pads) >> passed & 1 else f"the padding in between is {pads[:8]}"
            most = sum(pads)
        else:
            most = (end // self.shape.size - start // self.shape.size) * (self.shape.largest - 1)
        return "" if 0 <= end - start - lost <= most else f"at most {most} of them are padding"


def _sums(pads: list[int]) -> int:
    """Bit n is set if some of these lengths add up to n."""
    sums = 1
    for pad in pads:
        sums |= sums << pad
    return sums


# -- a run with an orderly end -------------------------------------------------------------------------------------------


def grade(cast: Cast, shape: Shape, rest: Rest) -> tuple[int, int]:
    """All of it. Returns how many items were received, and how many indices lost, by all readers."""
    for writer in cast.writers:
        tallies.require_sent(writer)
        if writer.count("given_up"):
            raise Finding(f"{writer.label} gave up {writer.count('given_up')} reservations, and nobody died", on=writer.label)
    layout = Layout.of(shape, cast.writers[0].plan["count"]) if len(cast.writers) == 1 else None
    seen = histories(cast)
    for reader, records in zip(cast.readers, seen, strict=True):
        grade_counts(reader, records)
        grade_order(reader, records)
    grade_items(cast, shape, seen, layout)
    account, total = Account(shape, layout), sum(writer.count("sent") for writer in cast.writers)
    for label, records, start in streams(cast, shape, seen):
        grade_once(label, records)
        grade_gaps(label, records, start, account)
        grade_end(label, records, rest)
        if shape.credit:
            grade_lossless(label, records, total)
    grade_rest(cast, rest)
    return sum(map(len, seen)), sum(record.skipped for records in seen for record in records)


def histories(cast: Cast) -> list[list[Record]]:
    return [history.parse(reader.history) if reader.history else [] for reader in cast.readers]


def streams(cast: Cast, shape: Shape, seen: list[list[Record]]) -> Iterator[tuple[str, list[Record], int | None]]:
    """What one cursor delivered, in its order, who read it, and where it began (None: somewhere)."""
    if shape.shared:
        taken = sorted((record for records in seen for record in records), key=lambda record: record.position)
        yield "the consumers", taken, 0
        return
    for reader, records in zip(cast.readers, seen, strict=True):
        yield reader.label, records, int(reader.plan["index"]) if "index" in reader.plan else None


def grade_counts(reader: Actor, records: list[Record]) -> None:
    """Nothing torn or corrupt; what the reader says of itself is what it wrote down; and it came to the end."""
    tallies.require_clean(reader, "items")
    tallies.require_said(reader, received=len(records), lost=sum(record.skipped for record in records))
    tallies.require_ended(reader)


def grade_order(reader: Actor, records: list[Record]) -> None:
    """Indices rise, each behind the end of the item before, and each writer's messages come in its order."""
    end, sequences = 0, dict[int, int]()
    for record in records:
        if record.position < end:
            what = f"index {record.position} was delivered after the item that ends at {end}"
            raise Finding(f"{reader.label}: {what}", on=reader.label)
        if record.sequence <= sequences.get(record.actor, -1):
            what = f"message {record.sequence} of writer {record.actor} after {sequences[record.actor]}"
            raise Finding(f"{reader.label}: {what}", on=reader.label)
        end, sequences[record.actor] = record.position + record.message_type, record.sequence


def grade_items(cast: Cast, shape: Shape, seen: list[list[Record]], layout: Layout | None = None) -> dict[int, Record]:
    """The items of all readers by index: one index holds one item, which is what its writer sent, and no two overlap."""
    writers = {writer.number: writer for writer in cast.writers}
    items: dict[int, Record] = {}
    for records in seen:
        for record in records:
            known = items.setdefault(record.position, record)
            if known is record:
                _grade_item(writers, shape, record, layout)
            elif (known.actor, known.sequence, known.length, known.crc) != (
                record.actor, record.sequence, record.length, record.crc,
            ):  # fmt: skip
                what = f"message {known.sequence} of writer {known.actor} and message {record.sequence} of {record.actor}"
                raise Finding(f"index {record.position} was delivered as {what}")
    _grade_log([items[index] for index in sorted(items)])
    return items


def _grade_item(writers: dict[int, Actor], shape: Shape, record: Record, layout: Layout | None) -> None:
    where = f"index {record.position}"
    writer = writers.get(record.actor)
    if writer is None or record.sequence >= writer.plan["count"]:
        raise Finding(f"{where}: message {record.sequence} of writer {record.actor}, which nobody sent")
    elements = shape.elements[record.sequence % len(shape.elements)]
    length = elements * shape.element_size
    if (record.message_type, record.length) != (elements, length):
        have = f"{record.message_type} elements, {record.length} bytes"
        raise Finding(f"{where}: {have}; {writer.label} sent {elements} elements, {length} bytes")
    if record.crc != history.payload_crc(record.actor, record.sequence, length, writer.plan["seed"]):
        raise Finding(f"{where}: the payload of message {record.sequence} of {writer.label} is not what was sent")
    if record.position % shape.size + elements > shape.size:
        raise Finding(f"{where}: {elements} elements cross the end of the ring of {shape.size}", on=writer.label)
    if layout is not None and record.position != layout.index[record.sequence]:
        wanted = layout.index[record.sequence]
        raise Finding(f"message {record.sequence} lies at index {record.position}, not {wanted}", on=writer.label)


def _grade_log(items: list[Record]) -> None:
    """In the order of indices: no two overlap, and each writer reserves in the order in which it sends."""
    end, sequences = 0, dict[int, int]()
    for item in items:
        if item.position < end:
            raise Finding(f"the item of index {item.position} begins before {end}, where the one before it ends")
        if item.sequence <= sequences.get(item.actor, -1):
            what = f"message {item.sequence} lies behind message {sequences[item.actor]}"
            raise Finding(f"writer {item.actor} reserved out of order: {what}, at index {item.position}")
        end, sequences[item.actor] = item.position + item.message_type, item.sequence


def grade_once(label: str, records: list[Record]) -> None:
    """No item is given twice by one cursor. Records as sorted by index; the same index has the same item by now."""
    for before, record in itertools.pairwise(records):
        if record.position == before.position:
            what = f"message {record.sequence} of writer {record.actor}, index {record.position}"
            raise Finding(f"{label} were given {what} more than once", on=_driver(label))


def grade_gaps(label: str, records: list[Record], start: int | None, account: Account) -> None:
    """Between two items lies what is reported as lost, and padding. Records of one cursor, rising."""
    end = start
    for record in records:
        index, lost = record.position, record.skipped
        complaint = account.complaint(end, index, lost) if end is not None else ""
        if end is None and lost > index:  # where such a reader began is its own affair: everything before can be lost
            complaint = "there are not so many"
        if complaint:
            gap = f"{index - (end or 0)} indices since {end or 0}"
            raise Finding(f"{label}: index {index} reports {lost} lost of {gap}; {complaint}", on=_driver(label))
        end = index + record.message_type


def grade_lossless(label: str, records: list[Record], total: int) -> None:
    """With credit everything arrives."""
    lost = sum(record.skipped for record in records)
    if lost or len(records) != total:
        raise Finding(f"{label} got {len(records)} of {total} items with credit, {lost} indices lost", on=_driver(label))


def grade_end(label: str, records: list[Record], rest: Rest) -> None:
    """The last item of all becomes readable, and with it each writer's last one that was not overwritten."""
    end = records[-1].position + records[-1].message_type if records else 0
    if end != rest.reserved:
        what = f"came to index {end} of {rest.reserved}: the last item must become readable"
        raise Finding(f"{label} {what}", on=_driver(label))


def _driver(label: str) -> str:
    """Whom a finding about a cursor blames: its reader, or nobody in particular of those who share one."""
    return label if ":" in label else ""


def grade_rest(cast: Cast, rest: Rest) -> None:
    """The bytes at rest: all of them, or of a long ring the indices in its slots (invariant I2)."""
    oracle = judge.oracle("slick")
    slots = rest.content[oracle.C["SLOT_TABLE_OFFSET"] :][: judge.number("slick", rest.content, "header.size") * oracle.SLOT.size]
    if len(slots) <= _LOOK * oracle.SLOT.size:
        if found := judge.findings("slick", rest.content):
            raise Finding(f"invariants broken at rest: {'; '.join(found[:3])}", diff=found)
    elif above := [one for one, _, _ in struct.iter_unpack("<QII", slots) if rest.reserved < one != oracle.NONE]:
        raise Finding(f"a slot holds {above[0]}, and {rest.reserved} is not reserved yet")
    grade_words(cast, rest)


def grade_words(cast: Cast, rest: Rest) -> None:
    """What producers tell each other, and the shared cursor."""
    settled = judge.number("slick", rest.content, "header.settled")
    if len(cast.writers) == 1 and settled:
        raise Finding(f"settled is {settled}: a producer that met no other leaves it as it is", on=cast.writers[0].label)
    if settled > rest.reserved:
        raise Finding(f"settled is {settled}, and {rest.reserved} is not reserved yet")
    if rest.cursor is not None and rest.cursor != rest.reserved:
        raise Finding(f"the shared cursor stands at {rest.cursor}, not at {rest.reserved}, and all is taken")
