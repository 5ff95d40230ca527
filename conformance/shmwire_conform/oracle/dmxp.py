# SPDX-License-Identifier: MIT
"""Profile dmxp: see the package for what the functions are. Rules and section numbers are those of spec/dmxp.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .layout import Block, Finding, Image, load, lookups

LAYOUT = load("dmxp")
C = LAYOUT.constants
HEADER, CHANNEL, SLOT = (LAYOUT.structs[name] for name in ("header", "channel", "slot"))
META = ("message_id", "timestamp_ns", "message_type", "sender_pid", "sender_runtime", "flags")
CHOICES = ("crate", "document", "auto")
READ_CLASS = "inspect"  # what a driver must claim to look at a segment that another one made
_WIDE = ("message_id", "timestamp_ns")  # u64 fields of meta travel as decimal strings
_MASK = (1 << 64) - 1
_NAME = re.compile(r"channel\[(\d+)\](?:\.slot\[(\d+)\])?")


@dataclass(frozen=True)
class Message:
    """A message that a reader must deliver."""

    channel: int
    position: int
    payload: bytes
    meta: dict[str, int]


class Segment(Image):
    """The bytes of a dmxp segment, hostile ones included: nothing here trusts a field."""

    def channel(self, index: int) -> Block:
        return Block(f"channel[{index}]", C["CHANNEL_TABLE_OFFSET"] + CHANNEL.size * index, CHANNEL)

    def slot(self, channel: int, index: int) -> Block:
        begin = self.entry(channel, "band_offset") + SLOT.size * index
        return Block(f"channel[{channel}].slot[{index}]", begin, SLOT)

    def entry(self, channel: int, field: str) -> int:
        return self.number(f"channel[{channel}].{field}")

    def block(self, name: str) -> Block:
        if name == "header":
            return Block("header", 0, HEADER)
        found = _NAME.fullmatch(name)
        if not found or int(found[1]) >= C["MAX_CHANNELS"]:
            raise KeyError(f"no {name} in a dmxp segment")
        return self.channel(int(found[1])) if found[2] is None else self.slot(int(found[1]), int(found[2]))

    def blocks(self) -> Iterator[Block]:
        """Header, entries, and the slots of live and of retired bands as far as the bytes go. Live bands come first."""
        yield self.block("header")
        entries = [i for i in range(C["MAX_CHANNELS"]) if self.channel(i).end <= len(self.data)]
        yield from (self.channel(i) for i in entries)
        for field in ("capacity", "retired_capacity"):
            for i in entries:
                begin = self.entry(i, "band_offset")
                inside = max(0, -(-(len(self.data) - begin) // SLOT.size)) if begin >= C["HEADER_SIZE"] else 0
                yield from (self.slot(i, s) for s in range(min(self.entry(i, field), inside)))

    def live(self) -> list[int]:
        return [i for i in range(C["MAX_CHANNELS"]) if self.channel(i).end <= len(self.data) and self.entry(i, "capacity")]

    # Messages (sections 6 and 7).

    def layout_of(self, runtime: int, choice: str) -> int:
        """The payload layout of a message: the declared one, else the caller's choice."""
        declared = self.number("header.payload_layout")
        if declared != C["LAYOUT_UNSPECIFIED"]:
            return declared
        document = choice == "document" or (choice == "auto" and runtime == C["RUNTIME_UNSPECIFIED"])
        return C["LAYOUT_DOCUMENT"] if document else C["LAYOUT_CRATE"]

    def message(self, channel: int, position: int, choice: str) -> Message | None:
        """The message at a position; None if it is not published, a tombstone, or longer than its layout allows."""
        slot = self.slot(channel, position % self.entry(channel, "capacity"))
        if self.number(f"{slot.name}.sequence") != (position + 1) & _MASK:
            return None
        meta = {name: self.number(f"{slot.name}.{name}") for name in META}
        document = self.layout_of(meta["sender_runtime"], choice) == C["LAYOUT_DOCUMENT"]
        most = C["PAYLOAD_CAPACITY_DOCUMENT"] if document else C["PAYLOAD_CAPACITY_CRATE"]
        length = self.number(f"{slot.name}.payload_len")
        if meta["flags"] & C["MESSAGE_TOMBSTONE"] or length > most:
            return None
        begin = slot.offset + (C["PAYLOAD_OFFSET_DOCUMENT"] if document else C["PAYLOAD_OFFSET_CRATE"])
        return Message(channel, position, self.raw(begin, length), meta)

    def messages(self, channel: int, choice: str) -> list[Message]:
        head, capacity = self.entry(channel, "head"), self.entry(channel, "capacity")
        count = (self.entry(channel, "tail") - head) & _MASK
        found = [self.message(channel, (head + k) & _MASK, choice) for k in range(min(count, capacity))]
        return [message for message in found if message is not None]


# Findings: sections 2 to 4, in the order in which a participant meets them.


def _header(seg: Segment) -> Iterator[Finding]:
    wanted = (
        ("magic", C["MAGIC"], "segment.magic", "BAD_MAGIC"),
        ("version", C["VERSION"], "segment.version", "BAD_VERSION"),
        ("max_channels", C["MAX_CHANNELS"], "segment.header", "BAD_GEOMETRY"),
    )
    for name, value, rule, code in wanted:
        have = seg.number(f"header.{name}")
        if name == "magic" and have == 0:
            yield Finding("dmxp.segment.not-ready", "NOT_READY", "header.magic", "0: the creator has not published the segment")
        elif have != value:
            yield Finding(f"dmxp.{rule}", code, f"header.{name}", f"{have:#x}, not {value:#x}")
    layout = seg.number("header.payload_layout")
    if layout > C["LAYOUT_CRATE"]:
        yield Finding("dmxp.segment.header", "BAD_GEOMETRY", "header.payload_layout", f"{layout} is no layout")
    if seg.nonzero(seg.block("header")):
        yield Finding("dmxp.segment.fields", "", "header.pad", "not zero")
    if seg.number("header.channel_count") != len(seg.live()):
        yield Finding("dmxp.channel.lock", "", "header.channel_count", f"there are {len(seg.live())} live channels")


def _entry_bytes(seg: Segment, i: int) -> Iterator[Finding]:
    """What a creator must leave zero, in live, removed and never used entries."""
    name = f"channel[{i}]"
    for pad in seg.nonzero(seg.channel(i)):
        yield Finding("dmxp.segment.fields", "", f"{name}.{pad}", "not zero")
    if seg.entry(i, "flags") & ~C["CHANNEL_COUNTED_WAITERS"]:
        yield Finding("dmxp.segment.fields", "", f"{name}.flags", "bits without a meaning are set")
    if seg.entry(i, "waiters"):
        yield Finding("dmxp.wait.count", "", f"{name}.waiters", f"{seg.entry(i, 'waiters')} with nobody asleep")
    retired = seg.entry(i, "retired_capacity")
    if seg.entry(i, "capacity"):
        if retired:
            yield Finding("dmxp.channel.commit", "", f"{name}.retired_capacity", "not 0 in a live entry")
    elif not retired and any(seg.raw(seg.channel(i).offset, CHANNEL.size)):
        yield Finding("dmxp.channel.commit", "", name, "made and never committed, or a removal that kept no retired_capacity")


def _geometry(seg: Segment, i: int) -> Iterator[Finding]:
    """The checks of an attaching participant. Python's integers do not overflow."""
    name = f"channel[{i}]"
    capacity, begin = seg.entry(i, "capacity"), seg.entry(i, "band_offset")
    if seg.entry(i, "channel_id") != i:
        yield Finding("dmxp.channel.id", "BAD_GEOMETRY", f"{name}.channel_id", f"{seg.entry(i, 'channel_id')} in entry {i}")
    if capacity < C["MIN_CAPACITY"] or capacity & (capacity - 1):
        yield Finding("dmxp.channel.capacity", "BAD_GEOMETRY", f"{name}.capacity", f"{capacity} is not a power of two, 2 or more")
    end = begin + SLOT.size * capacity
    if begin % C["BAND_ALIGN"] or begin < C["HEADER_SIZE"] or end > len(seg.data):
        text = f"band {begin} to {end} in {len(seg.data)} bytes"
        yield Finding("dmxp.channel.band", "BAD_GEOMETRY", f"{name}.band_offset", text)
    if (seg.entry(i, "tail") - seg.entry(i, "head")) & _MASK > capacity:
        text = f"head {seg.entry(i, 'head')}, tail {seg.entry(i, 'tail')}, capacity {capacity}"
        yield Finding("dmxp.channel.cursors", "CORRUPT", f"{name}.tail", text)


def _overlaps(seg: Segment) -> Iterator[Finding]:
    """Live bands must share no byte with each other, nor with a retired one."""
    bands = []
    for i in range(C["MAX_CHANNELS"]):
        slots = seg.entry(i, "capacity") or seg.entry(i, "retired_capacity")
        if slots:
            begin = seg.entry(i, "band_offset")
            bands.append((begin, begin + SLOT.size * slots, i, bool(seg.entry(i, "capacity"))))
    bands.sort()
    for a in range(len(bands)):
        for b in range(a + 1, len(bands)):
            (_, end, i, one_live), (begin, _, k, other_live) = bands[a], bands[b]
            if begin < end and one_live and other_live:
                yield Finding("dmxp.channel.overlap", "BAD_GEOMETRY", f"channel[{k}].band_offset", f"overlaps channel[{i}]")
            elif begin < end and (one_live or other_live):
                text = f"channels {i} and {k}: a live band in a retired one"
                yield Finding("dmxp.channel.placement", "", f"channel[{k}].band_offset", text)


def _slots(seg: Segment, i: int) -> Iterator[Finding]:
    """Section 2: positions [head, tail) published, the rest of the lap free."""
    head, tail, capacity = (seg.entry(i, name) for name in ("head", "tail", "capacity"))
    pending = (tail - head) & _MASK
    for k in range(capacity):
        position = (head + k) & _MASK
        name = f"channel[{i}].slot[{position % capacity}]"
        have = seg.number(f"{name}.sequence")
        taken = (position - capacity + 1) & _MASK
        if k < pending and have == (position + 1) & _MASK:
            yield from _published(seg, i, name)
        elif k < pending and have == position:
            yield Finding("dmxp.produce.publish", "", f"{name}.sequence", f"position {position} is claimed and not published")
        elif k >= pending and have == taken:
            text = f"position {position - capacity} is taken and not released"
            yield Finding("dmxp.consume.release", "", f"{name}.sequence", text)
        elif k < pending or have != position:
            yield Finding("dmxp.consume.impossible", "CORRUPT", f"{name}.sequence", f"{have} at the turn of position {position}")


def _published(seg: Segment, i: int, slot: str) -> Iterator[Finding]:
    length, flags = seg.number(f"{slot}.payload_len"), seg.number(f"{slot}.flags")
    document = seg.number("header.payload_layout") == C["LAYOUT_DOCUMENT"]
    most = C["PAYLOAD_CAPACITY_DOCUMENT"] if document else C["PAYLOAD_CAPACITY_CRATE"]
    if length > most:
        yield Finding("dmxp.consume.payload-len", "CORRUPT", f"{slot}.payload_len", f"{length} is above {most}")
    if seg.number(f"{slot}.channel_id") != i:
        yield Finding("dmxp.produce.meta", "", f"{slot}.channel_id", f"{seg.number(f'{slot}.channel_id')} in channel {i}")
    if flags & C["MESSAGE_TOMBSTONE"] and length:
        yield Finding("dmxp.produce.abandon", "", f"{slot}.payload_len", f"{length} in a tombstone")


def findings(data: bytes) -> list[Finding]:
    """What is wrong with a segment at rest. Slots are looked at only where the geometry holds."""
    if len(data) < C["HEADER_SIZE"]:
        return [Finding("dmxp.segment.size", "TRUNCATED", "header", f"{len(data)} bytes")]
    seg = Segment(data)
    out = list(_header(seg))
    for i in range(C["MAX_CHANNELS"]):
        out += _entry_bytes(seg, i)
    for i in seg.live():
        wrong = list(_geometry(seg, i))
        out += wrong if wrong else _slots(seg, i)
    return [*out, *_overlaps(seg)]


fields, value, locate, encode, name_at = lookups(Segment)


def channels(data: bytes) -> list[int]:
    return Segment(data).live()


def messages(data: bytes, choice: str = "crate") -> list[Message]:
    """Published messages of every live channel, oldest first, as a reader with this choice must deliver them. Only for segments
    whose geometry holds (see findings)."""
    if choice not in CHOICES:
        raise ValueError(f"{choice} is none of {CHOICES}")
    seg = Segment(data)
    return [message for channel in seg.live() for message in seg.messages(channel, choice)]


def items(data: bytes) -> list[dict[str, Any]]:
    """The same in the form of the items of a `read` reply, with the channel of each."""
    found = []
    for one in messages(data):
        meta = {name: str(value) if name in _WIDE else value for name, value in one.meta.items()}
        found.append({"channel": one.channel, "pos": str(one.position), "data": {"hex": one.payload.hex()}, "meta": meta})
    return found


def reading(data: bytes) -> list[dict[str, Any]]:
    """The steps of a driver that looks at every channel without changing it, with the answers that it must give."""
    by_channel: dict[int, list[dict[str, Any]]] = {channel: [] for channel in channels(data)}
    for item in items(data):
        by_channel[item["channel"]].append({key: item[key] for key in ("data", "pos", "meta")})
    steps: list[dict[str, Any]] = [{"cmd": "open", "mode": "ro"}]
    for channel, found in by_channel.items():
        answer = {"ok": {"st": "ok" if found else "empty", "items": found}}
        steps.append({"cmd": "read", "channel": channel, "mode": "peek", "max": 4096, "expect": answer})
    return [*steps, {"cmd": "close"}]
