# SPDX-License-Identifier: MIT
"""Profile deepwater: see the package for what the functions are, and trees for how a directory is one string of bytes. Rules and
section numbers are those of spec/deepwater.md.

Names: registry, feed[i] (feed is feed[0]); of feed 0: feed_registry, row[r], memory[r].data, memory[r].index, memory[r].record[j]
(a chunk in shared memory), files[r].data and so on (one in files). Those of feed k stand behind feed[k]: feed[1].row[0].state."""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .. import trees
from .layout import Block, Finding, Image, load, lookups

LAYOUT = load("deepwater")
C, STRUCTS = LAYOUT.constants, LAYOUT.structs
READ_CLASS = "read"  # what a driver must claim to read a segment that another one made
GOES_WITH_ITS_MAKER = True  # a writer that leaves takes shared memory along, so that it is looked at before
NONE = C["NONE"]
_ENTRY = [(field.offset, field.size) for field in STRUCTS["record"].fields]
_NAME = re.compile(
    r"(?:feed\[(?P<feed>\d+)\]\.)?"
    r"(?P<what>registry|feed(?:\[(?P<entry>\d+)\])?|feed_registry|row\[(?P<row>\d+)\]"
    r"|(?P<where>memory|files)\[(?P<chunk>\d+)\]\.(?P<part>data|index|record\[(?P<record>\d+)\]))"
)


@dataclass(frozen=True)
class Record:
    """A record of a chunk, by its place."""

    chunk: int
    timestamp_ns: int
    offset: int
    length: int
    type: int
    sequence: int
    payload: bytes


@dataclass(frozen=True)
class Chunk:
    """A chunk in one place: `at` is the name of its blocks, such as "memory[3]"."""

    at: str
    data: str
    index: str


class Segment(Image):
    """The files of a base directory, hostile ones included: nothing here trusts a field."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.places = trees.places(data) if trees.is_tree(data) else {}
        self._blocks: dict[str, Block] = {}  # that were asked for: the bytes do not change
        self._texts: dict[str, str] = {}

    # -- files ---------------------------------------------------------------------------------------------------------

    def begin(self, file: str) -> int:
        if file not in self.places or self.places[file][0] != "f":
            raise IndexError(f"there is no {file}")
        return self.places[file][1]

    def size(self, file: str) -> int:
        return self.places[file][2] - self.begin(file) if file in self.places else 0

    def has(self, file: str) -> bool:
        return file in self.places

    def text(self, name: str) -> str:
        """A byte field that holds text, up to its first zero."""
        if name not in self._texts:
            raw = self.value(name)
            assert isinstance(raw, bytes)
            self._texts[name] = raw.split(b"\0")[0].decode("ascii", "replace")
        return self._texts[name]

    def directory(self, feed: int) -> str:
        return self.text(f"feed[{feed}].directory")

    def files_of(self, feed: int, chunk: int) -> dict[str, Chunk]:
        """The places of a chunk, whether it is there or not."""
        name, directory = self.text(f"feed[{feed}].name"), self.directory(feed)
        lead = f"feed[{feed}]." if feed else ""
        in_memory, in_files = f"{trees.MEMORY}{name}.{chunk}", f"{directory}/chunk_{chunk:08}"
        return {
            "memory": Chunk(f"{lead}memory[{chunk}]", f"{in_memory}.data", f"{in_memory}.idx"),
            "files": Chunk(f"{lead}files[{chunk}]", f"{in_files}.data", f"{in_files}.idx"),
        }

    # -- structures ----------------------------------------------------------------------------------------------------

    def block(self, name: str) -> Block:
        if name not in self._blocks:
            self._blocks[name] = self._find(name)
        return self._blocks[name]

    def _find(self, name: str) -> Block:
        found = _NAME.fullmatch(name)
        if not found:
            raise KeyError(f"no {name} in a deepwater base")
        feed = int(found["feed"] or 0)
        if found["what"] == "registry":
            return Block(name, self.begin("registry.bin"), STRUCTS["registry"])
        if found["what"].startswith("feed") and found["what"] != "feed_registry":
            index = int(found["entry"] or 0)
            return Block(name, self._element("registry.bin", "registry", "feed", index), STRUCTS["feed"])
        file = f"{self.directory(feed)}/feed_registry.bin"
        if found["what"] == "feed_registry":
            return Block(name, self.begin(file), STRUCTS["feed_registry"])
        if found["row"] is not None:
            return Block(name, self._element(file, "feed_registry", "row", int(found["row"])), STRUCTS["row"])
        chunk = self.files_of(feed, int(found["chunk"]))[found["where"]]
        if found["record"] is not None:
            return Block(name, self._element(chunk.index, "index", "record", int(found["record"])), STRUCTS["record"])
        part = found["part"]
        return Block(name, self.begin(chunk.data if part == "data" else chunk.index), STRUCTS[part])

    def _element(self, file: str, header: str, element: str, number: int) -> int:
        offset = STRUCTS[header].size + STRUCTS[element].size * number
        if offset + STRUCTS[element].size > self.size(file):
            raise IndexError(f"{element}[{number}] is not inside {file}")
        return self.begin(file) + offset

    def _there(self, name: str) -> Iterator[Block]:
        try:
            block = self.block(name)
        except (IndexError, KeyError):
            return
        if block.end <= len(self.data):
            yield block

    def _all(self, lead: str, what: str, count: int) -> Iterator[Block]:
        for number in range(count):
            yield from self._there(f"{lead}{what}[{number}]")

    def room(self, file: str, header: str, element: str) -> int:
        return max(0, self.size(file) - STRUCTS[header].size) // STRUCTS[element].size

    def blocks(self) -> Iterator[Block]:
        yield from self._there("registry")
        feeds = self.room("registry.bin", "registry", "feed")
        yield from self._all("", "feed", feeds)
        for feed in range(feeds):
            if not any(self._there(f"feed[{feed}]")) or not self.text(f"feed[{feed}].name"):
                continue
            lead = f"feed[{feed}]." if feed else ""
            yield from self._there(f"{lead}feed_registry")
            rows = self.room(f"{self.directory(feed)}/feed_registry.bin", "feed_registry", "row")
            yield from self._all(lead, "row", rows)
            for row in range(rows):
                for chunk in self.files_of(feed, row).values():
                    yield from self._there(f"{chunk.at}.data")
                    yield from self._there(f"{chunk.at}.index")
                    yield from self._all(f"{chunk.at}.", "record", self.room(chunk.index, "index", "record"))

    # -- chunks --------------------------------------------------------------------------------------------------------

    def feeds(self) -> range:
        return range(self.number("registry.count"))

    def chunk(self, feed: int, row: int) -> Chunk | None:
        """Where a reader finds a chunk when no writer lives (section 6)."""
        lead, at = f"feed[{feed}]." if feed else "", self.files_of(feed, row)
        state = self.number(f"{lead}row[{row}].state")
        if state == C["STATE_EXPIRED"]:
            return None
        order = ["files"] if state == C["STATE_PERSISTED"] else ["memory", "files"]
        return next((at[place] for place in order if self.has(at[place].data) and self.has(at[place].index)), None)

    def records(self, row: int, chunk: Chunk) -> list[Record]:
        """What entry_count covers."""
        count = self.number(f"{chunk.at}.index.entry_count")
        if count > self.room(chunk.index, "index", "record"):
            raise IndexError(f"{count} records are not inside {chunk.index}")
        begin, size = self.begin(chunk.index) + STRUCTS["index"].size, STRUCTS["record"].size
        return [self._record(row, chunk, self.raw(begin + size * j, size)) for j in range(count)]

    def _record(self, row: int, chunk: Chunk, entry: bytes) -> Record:
        timestamp, offset, length, type_, sequence = (int.from_bytes(entry[at : at + size], "little") for at, size in _ENTRY)
        begin = STRUCTS["data"].size + offset
        if begin + length > self.size(chunk.data):
            raise IndexError(f"record {sequence} of {chunk.at} is not inside {chunk.data}")
        payload = self.raw(self.begin(chunk.data) + begin, length)
        return Record(row, timestamp, offset, length, type_, sequence, payload)


# -- what readers must deliver ---------------------------------------------------------------------------------------------


def messages(data: bytes, feed: int = 0) -> list[Record]:
    """The records of a feed that are left, in their order."""
    segment, lead = Segment(data), f"feed[{feed}]." if feed else ""
    found: list[Record] = []
    for row in range(segment.number(f"{lead}feed_registry.count")):
        chunk = segment.chunk(feed, row)
        if chunk is not None:
            found += segment.records(row, chunk)
    return found


def shown(record: Record) -> dict[str, Any]:
    return {
        "data": {"hex": record.payload.hex()}, "seq": str(record.sequence), "ts": str(record.timestamp_ns), "type": record.type,
        "chunk": str(record.chunk),
    }  # fmt: skip


def items(data: bytes) -> list[dict[str, Any]]:
    return [shown(record) for record in messages(data)]


def reading(data: bytes) -> list[dict[str, Any]]:
    """From the oldest on, with the losses between; and what stands behind the last."""
    steps: list[dict[str, Any]] = [{"cmd": "open", "mode": "ro"}]
    run: list[dict[str, Any]] = []
    found = messages(data)
    for before, record in zip([None, *found], found, strict=False):
        lost = record.sequence - before.sequence - 1 if before is not None else 0
        if lost:
            steps += [
                _read(run),
                {"cmd": "read", "mode": "try", "expect": {"ok": {"st": "expired", "lost": str(lost), "items": []}}},
            ]
            run = []
        run.append(shown(record))
    retired = Segment(data).number("feed.flags") & C["FLAG_RETIRED"]
    end: dict[str, Any] = {"ok": {"st": "closed" if retired else "empty", "items": []}}
    return [*steps, *([_read(run)] if run else []), {"cmd": "read", "mode": "try", "expect": end}]


def _read(run: list[dict[str, Any]]) -> dict[str, Any]:
    return {"cmd": "read", "mode": "try", "max": len(run), "expect": {"ok": {"st": "ok", "items": run}}}


# -- what is wrong ---------------------------------------------------------------------------------------------------------


def findings(data: bytes) -> list[Finding]:
    """A base at rest, or between two calls of its writers: what breaks a rule of the format or an invariant of section 11."""
    segment = Segment(data)
    try:
        found = list(_registry(segment))
        for feed in [] if found else segment.feeds():
            found += _Feed(segment, feed).findings()
        return found
    except IndexError as error:
        return [Finding("open.size", "TRUNCATED", "base", str(error))]


def _registry(segment: Segment) -> Iterator[Finding]:
    yield from _header(segment, "registry", "REGISTRY_MAGIC", {"entry_size": C["FEED_SIZE"]})
    capacity, count = segment.number("registry.capacity"), segment.number("registry.count")
    if not 0 < capacity <= C["MAX_FEEDS"]:
        yield Finding("open.geometry", "BAD_GEOMETRY", "registry.capacity", f"{capacity}")
    elif segment.room("registry.bin", "registry", "feed") < capacity:
        yield Finding("open.size", "TRUNCATED", "registry.bin", f"{segment.size('registry.bin')} bytes for {capacity} feeds")
    if count > capacity:
        yield Finding("open.count", "CORRUPT", "registry.count", f"{count} of {capacity}")
    if segment.number("registry.generation") < count:
        yield Finding("feed.entry", "", "registry.generation", "below the number of feeds that were made")


def _header(segment: Segment, at: str, magic: str, fixed: dict[str, int]) -> Iterator[Finding]:
    """What the header of every file has: magic, version, sizes, and zeros."""
    if segment.number(f"{at}.magic") != C[magic]:
        yield Finding("open.magic", "BAD_MAGIC", f"{at}.magic", f"{segment.number(f'{at}.magic'):#x}")
    if segment.number(f"{at}.version") != C["VERSION"]:
        yield Finding("open.version", "BAD_VERSION", f"{at}.version", f"{segment.number(f'{at}.version')}")
    for name, wanted in fixed.items():
        if segment.number(f"{at}.{name}") != wanted:
            yield Finding("open.geometry", "BAD_GEOMETRY", f"{at}.{name}", f"{segment.number(f'{at}.{name}')} is not {wanted}")
    yield from _zeros(segment, at)


def _zeros(segment: Segment, at: str) -> Iterator[Finding]:
    for name in segment.nonzero(segment.block(at)):
        yield Finding("feed.entry", "", f"{at}.{name}", "not zero")


@functools.cache
def _good_name() -> re.Pattern[str]:
    return re.compile(rf"(?!\.\.?$)[A-Za-z0-9._-]{{1,{C['NAME_MAX']}}}")


class _Feed:
    """One feed, row by row."""

    def __init__(self, segment: Segment, feed: int) -> None:
        self.segment, self.feed = segment, feed
        self.entry, self.lead = f"feed[{feed}]", f"feed[{feed}]." if feed else ""
        self.header = f"{self.lead}feed_registry"
        self.next = 0  # the least sequence that may come
        self.time = 0  # the least timestamp
        self.gone = False  # whether a chunk has expired

    def number(self, name: str) -> int:
        return self.segment.number(name)

    def findings(self) -> list[Finding]:
        found = [
            *self._entry(),
            *_header(self.segment, self.header, "FEED_MAGIC", {"row_size": C["ROW_SIZE"], "feed_id": self.feed}),
        ]
        capacity, count = self.number(f"{self.header}.capacity"), self.number(f"{self.header}.count")
        if not 0 < capacity <= C["MAX_ROWS"]:
            found.append(Finding("open.geometry", "BAD_GEOMETRY", f"{self.header}.capacity", f"{capacity}"))
        if count > capacity:
            return [*found, Finding("open.count", "CORRUPT", f"{self.header}.count", f"{count} of {capacity}")]
        for row in range(count):
            found += self._row(row, f"{self.lead}row[{row}]")
        return [*found, *self._end(count), *self._strays(count)]

    def _entry(self) -> Iterator[Finding]:
        name, directory = self.segment.text(f"{self.entry}.name"), self.segment.directory(self.feed)
        if not _good_name().fullmatch(name):
            yield Finding("open.entry", "CORRUPT", f"{self.entry}.name", repr(name))
        if not directory or not all(_good_name().fullmatch(part) for part in directory.split("/")):
            yield Finding("open.directory", "CORRUPT", f"{self.entry}.directory", repr(directory))
        for field, text in (("name", name), ("directory", directory)):
            if self.segment.value(f"{self.entry}.{field}").rstrip(b"\0") != text.encode():  # type: ignore[union-attr]
                yield Finding("feed.entry", "", f"{self.entry}.{field}", "not zero behind its end")
        size, window, record = (self.number(f"{self.entry}.{one}") for one in ("chunk_size", "live_window", "record_size"))
        if not C["MIN_CHUNK"] <= size <= C["MAX_CHUNK"] or size % 8 or not window or record > size:
            yield Finding("open.entry", "CORRUPT", self.entry, f"chunk_size {size}, live_window {window}, record_size {record}")
        if self.number(f"{self.entry}.feed_id") != self.feed:
            yield Finding("open.entry", "CORRUPT", f"{self.entry}.feed_id", "not its index")
        yield from _zeros(self.segment, self.entry)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _row(self, row: int, at: str) -> Iterator[Finding]:
        state, first, start = (self.number(f"{at}.{name}") for name in ("state", "first_sequence", "start_ns"))
        if self.number(f"{at}.chunk_id") != row or not C["STATE_LIVE"] <= state <= C["STATE_EXPIRED"]:
            yield Finding("I1", "CORRUPT", at, f"chunk_id {self.number(f'{at}.chunk_id')}, state {state}")
            return
        if self.number(f"{at}.stamp") % 2:
            yield Finding("row.stamp", "CORRUPT", f"{at}.stamp", "odd")
        if first < self.next or start < self.time:
            yield Finding("I1", "", at, f"first_sequence {first} and start_ns {start} after {self.next} and {self.time}")
        if state == C["STATE_LIVE"] and self.number(f"{self.header}.latest") != row:
            yield Finding("I3", "", f"{at}.state", "live, and not the latest")
        yield from _zeros(self.segment, at)
        self.next, self.time = max(self.next, first), max(self.time, start)
        yield from self._chunk(row, at, state)
        self.next = max(self.next, first + self.number(f"{at}.record_count"))
        self.time = max(self.time, self.number(f"{at}.end_ns"))

    def _chunk(self, row: int, at: str, state: int) -> Iterator[Finding]:
        places = self.segment.files_of(self.feed, row)
        memory, files = ({self.segment.has(file) for file in (one.data, one.index)} for one in places.values())
        if memory == {True, False}:
            yield Finding("expire.state", "", f"{at}.state", "half of its shared memory")
        if state == C["STATE_EXPIRED"]:
            self.gone = True
            if True in memory:
                yield Finding("expire.state", "", f"{at}.state", "expired, and still in shared memory")
            return
        if state == C["STATE_PERSISTED"] and files != {True}:
            yield Finding("persist.order", "CORRUPT", f"{at}.state", "persisted, and not in files")
        elif state != C["STATE_PERSISTED"] and memory != {True}:
            yield Finding("I4", "", f"{at}.state", "not persisted, and not in shared memory")
        for name, chunk in places.items():
            if (
                self.segment.has(chunk.data)
                and self.segment.has(chunk.index)
                and (name == "memory" or state == C["STATE_PERSISTED"])
            ):
                yield from self._held(row, at, state, name, chunk)

    def _held(self, row: int, at: str, state: int, place: str, chunk: Chunk) -> Iterator[Finding]:
        """A chunk in one of its places."""
        fixed = {"chunk_id": row}
        yield from _header(self.segment, f"{chunk.at}.data", "DATA_MAGIC", fixed)
        yield from _header(self.segment, f"{chunk.at}.index", "INDEX_MAGIC", {"entry_size": C["RECORD_SIZE"], **fixed})
        room, entries = self.number(f"{chunk.at}.data.capacity"), self.number(f"{chunk.at}.index.capacity")
        count = self.number(f"{chunk.at}.index.entry_count")
        if (
            self.segment.size(chunk.data) < STRUCTS["data"].size + room
            or self.segment.room(chunk.index, "index", "record") < entries
        ):
            yield Finding("open.size", "TRUNCATED", chunk.at, f"shorter than {room} bytes and {entries} records need")
        if count > entries:
            yield Finding("read.bounds", "CORRUPT", f"{chunk.at}.index.entry_count", f"{count} of {entries}")
            return
        records = self.segment.records(row, chunk)
        used = max((one.offset + one.length for one in records), default=0)
        yield from self._records(at, chunk, records)
        if self.number(f"{chunk.at}.data.write_pos") != used:
            yield Finding("append.commit", "", f"{chunk.at}.data.write_pos", f"not the end of the last record, {used}")
        if place == "memory":
            yield from self._room(at, chunk, room, entries)
        if state != C["STATE_LIVE"]:
            yield from self._sealed(at, chunk, records, used)
        elif self.number(f"{at}.record_count") or self.number(f"{at}.end_ns") or self.number(f"{at}.data_bytes"):
            yield Finding("rotate.seal", "", at, "live, and says already what it holds")
        if place == "files":
            yield from self._files(at, chunk, records, used)

    def _room(self, at: str, chunk: Chunk, room: int, entries: int) -> Iterator[Finding]:
        """Section 5, rotating, step 2."""
        size, record = self.number(f"{self.entry}.chunk_size"), self.number(f"{self.entry}.record_size")
        wanted = size // record if record else max(64, size // 32)
        if room != size or self.number(f"{at}.data_capacity") != size or entries != wanted:
            yield Finding("rotate.when", "", chunk.at, f"room for {room} bytes and {entries} records, not {size} and {wanted}")

    def _records(self, at: str, chunk: Chunk, records: list[Record]) -> Iterator[Finding]:
        first, record_size = self.number(f"{at}.first_sequence"), self.number(f"{self.entry}.record_size")
        end, time = 0, self.number(f"{at}.start_ns")
        if records and records[0].timestamp_ns != time:
            yield Finding("append.commit", "", f"{at}.start_ns", f"{time}, and the first record has {records[0].timestamp_ns}")
        for j, record in enumerate(records):
            name = f"{chunk.at}.record[{j}]"
            if record.sequence != first + j:
                yield Finding("I2", "CORRUPT", name, f"sequence {record.sequence}, not {first + j}")
            if record.timestamp_ns < time:
                yield Finding("I5", "CORRUPT", name, f"timestamp {record.timestamp_ns} after {time}")
            begin = end if record_size else -(-end // C["RECORD_ALIGN"]) * C["RECORD_ALIGN"]
            if record.offset != begin or (record_size and record.length != record_size):
                yield Finding("append.placing", "", name, f"{record.length} bytes at {record.offset}, not at {begin}")
            elif any(self._bytes(chunk, end, begin)):
                yield Finding("append.placing", "", name, f"bytes {end} to {begin} before it are not zero")
            end, time = record.offset + record.length, record.timestamp_ns
        self.time = max(self.time, time)
        self.next = max(self.next, first + len(records))

    def _bytes(self, chunk: Chunk, begin: int, end: int) -> bytes:
        return self.segment.raw(self.segment.begin(chunk.data) + STRUCTS["data"].size + begin, end - begin)

    def _sealed(self, at: str, chunk: Chunk, records: list[Record], used: int) -> Iterator[Finding]:
        if not self.number(f"{chunk.at}.data.flags") & C["DATA_SEALED"]:
            yield Finding("rotate.seal", "", f"{chunk.at}.data.flags", "not sealed")
        if self.number(f"{chunk.at}.data.record_count") != len(records):
            yield Finding("rotate.seal", "", f"{chunk.at}.data.record_count", f"not {len(records)}")
        end = records[-1].timestamp_ns if records else self.number(f"{at}.start_ns")
        for name, wanted in (("record_count", len(records)), ("end_ns", end), ("data_bytes", used)):
            if self.number(f"{at}.{name}") != wanted:
                yield Finding("rotate.seal", "", f"{at}.{name}", f"{self.number(f'{at}.{name}')}, not {wanted}")

    def _files(self, at: str, chunk: Chunk, records: list[Record], used: int) -> Iterator[Finding]:
        index = self.segment.begin(chunk.index) + STRUCTS["index"].size
        crcs = {
            "data_crc": zlib.crc32(self._bytes(chunk, 0, used)),
            "index_crc": zlib.crc32(self.segment.raw(index, STRUCTS["record"].size * len(records))),
        }
        for name, wanted in crcs.items():
            if self.number(f"{at}.{name}") != wanted:
                yield Finding("persist.content", "CORRUPT", f"{at}.{name}", f"{self.number(f'{at}.{name}')}, not {wanted}")
        if self.number(f"{chunk.at}.data.capacity") != used or self.number(f"{chunk.at}.index.capacity") != len(records):
            yield Finding("persist.content", "", chunk.at, "not trimmed to what it holds")

    # -- the end -------------------------------------------------------------------------------------------------------

    def _end(self, count: int) -> Iterator[Finding]:
        latest = self.number(f"{self.header}.latest")
        if latest != NONE and (latest >= count or self.number(f"{self.lead}row[{latest}].state") != C["STATE_LIVE"]):
            yield Finding("I3", "CORRUPT", f"{self.header}.latest", f"{latest} is not the live one of {count} chunks")
        wanted = {"last_sequence": (self.next - 1) % (NONE + 1), "last_timestamp_ns": self.time}
        for name, least in wanted.items():
            have = self.number(f"{self.header}.{name}")
            # A chunk that is gone may have held more than its row says, if the machine stopped.
            if have != least and not (self.gone and least <= have != NONE):
                yield Finding("append.header", "", f"{self.header}.{name}", f"{have}, not {least}")

    def _strays(self, count: int) -> Iterator[Finding]:
        """Files that belong to no row."""
        name, directory = self.segment.text(f"{self.entry}.name"), self.segment.directory(self.feed)
        # A writer that died may have made the shared memory of the next row and not the row; the next chunk takes its place.
        known = {
            file
            for row in range(count + 1)
            for one in self.segment.files_of(self.feed, row).values()
            for file in (one.data, one.index)
        }
        for file in self.segment.places:
            if file.endswith(".tmp") and file.startswith(f"{directory}/"):
                yield Finding("recover.half-made", "", file, "half made, and left")
            elif re.fullmatch(rf"{trees.MEMORY}{re.escape(name)}\.\d+\.(data|idx)", file) and file not in known:
                yield Finding("rotate.order", "", file, "shared memory of no row")


fields, value, locate, encode, name_at = lookups(Segment)
