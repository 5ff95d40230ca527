#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A reader of profile deepwater in standard-library Python, with defects that can be planted in it: diver.py [--broken DEFECT].

It reads files as they are when it is asked, one request at a time: enough for bases at rest, and for nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import struct
import sys
import time
from typing import Any

NONE, SHM = (1 << 64) - 1, "/dev/shm"
MAGICS = {"registry": b"DWGREG01", "feed": b"DWFREG01", "data": b"DWCHNK01", "index": b"DWINDX01"}
MOST = {"registry": 1 << 20, "feed": 1 << 24, "data": 1 << 40, "index": 1 << 40}
NAME = re.compile(rb"(?!\.\.?$)[A-Za-z0-9._-]{1,63}")
BROKEN = sys.argv[2] if sys.argv[1:2] == ["--broken"] else ""


class Refused(Exception):
    """An answer with an error name of spec/errors.toml."""


def content(base: str, parts: list[str]) -> bytes:
    """A file below the base, through no symbolic link."""
    at = base
    for part in parts:
        at = f"{at}/{part}"
        try:
            kind = os.lstat(at).st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise Refused("NOT_FOUND") from None
        if stat.S_ISLNK(kind) and BROKEN != "links_followed":
            raise Refused("PERMISSION")
    with open(at, "rb") as file:
        return file.read()


def header(data: bytes, kind: str, capacity_at: int, wide: bool, sizes: tuple[int, int], element: int = 0) -> int:
    """Check what every file begins with; returns its capacity."""
    if len(data) < sizes[0]:
        raise Refused("TRUNCATED")
    if data[:8] == bytes(8):
        raise Refused("NOT_READY")
    if data[:8] != MAGICS[kind]:
        raise Refused("BAD_MAGIC")
    if struct.unpack_from("<I", data, 8)[0] != 1 and BROKEN != "any_version":
        raise Refused("BAD_VERSION")
    capacity = int(struct.unpack_from("<Q" if wide else "<I", data, capacity_at)[0])
    if (element and struct.unpack_from("<I", data, 12)[0] != element) or capacity > MOST[kind] or (capacity == 0 and not wide):
        raise Refused("BAD_GEOMETRY")
    if sizes[0] + sizes[1] * capacity > len(data):
        raise Refused("TRUNCATED")
    return capacity


class Reader:
    """One open feed."""

    def __init__(self, base: str, feed: str, timeout_ms: int) -> None:
        self.base, self.feed = base, feed
        limit = time.monotonic() + timeout_ms / 1000
        while True:
            try:
                self.registry()
                self.rows()
                return
            except Refused as refused:
                if str(refused) not in ("NOT_FOUND", "NOT_READY", "TRUNCATED") or time.monotonic() >= limit:
                    raise
                time.sleep(0.005)

    def registry(self) -> None:
        data = content(self.base, ["registry.bin"])
        capacity, (count,) = header(data, "registry", 16, False, (128, 256), 256), struct.unpack_from("<Q", data, 24)
        if count > capacity:
            raise Refused("CORRUPT")
        for number in range(count):
            entry = data[128 + 256 * number : 384 + 256 * number]
            if entry[:64].split(b"\0")[0] == self.feed.encode():
                self.entry(entry, number)
                return
        raise Refused("NOT_FOUND")

    def entry(self, entry: bytes, number: int) -> None:
        feed_id, self.flags, size, window, record = struct.unpack_from("<IIQII", entry, 160)
        text = entry[64:160].split(b"\0")[0]
        good = 0 in entry[:64] and 0 in entry[64:160] and all(NAME.fullmatch(part) for part in text.split(b"/"))
        if not good or feed_id != number or not 4096 <= size <= 1 << 40 or size % 8 or not window or record > size:
            raise Refused("CORRUPT")
        self.parts = text.decode().split("/")

    def rows(self) -> list[dict[str, int]]:
        data = content(self.base, [*self.parts, "feed_registry.bin"])
        capacity = header(data, "feed", 16, False, (128, 128), 128)
        count, self.latest, self.last_ns, self.last = struct.unpack_from("<QQQQ", data, 24)
        if count > capacity:
            raise Refused("CORRUPT")
        names = ("id", "stamp", "state", "first", "count", "start")
        return [dict(zip(names, struct.unpack_from("<QIIQQQ", data, 128 + 128 * i), strict=True)) for i in range(count)]

    def row(self, rows: list[dict[str, int]], number: int) -> dict[str, int]:
        row = rows[number]
        if row["id"] != number or (self.odd(row) and BROKEN == "odd_corrupt"):
            raise Refused("CORRUPT")
        if self.odd(row):
            raise Refused("NOT_READY")  # nobody lives here: it stays so
        if not 1 <= row["state"] <= 4:
            raise Refused("CORRUPT")
        return row

    @staticmethod
    def odd(row: dict[str, int]) -> bool:
        return row["stamp"] % 2 == 1 and BROKEN != "stamps_ignored"

    # -- chunks --------------------------------------------------------------------------------------------------------

    def part(self, row: dict[str, int], suffix: str, memory: bool) -> bytes:
        if not memory:
            return content(self.base, [*self.parts, f"chunk_{row['id']:08}.{suffix}"])
        value = 0xCBF29CE484222325
        for byte in os.fsencode(os.path.realpath(self.base)):
            value = (value ^ byte) * 0x100000001B3 % (1 << 64)
        return content(SHM, [f"dw.{value:016x}.{self.feed}.{row['id']}.{suffix}"])

    def chunk(self, row: dict[str, int]) -> tuple[bytes, bytes] | None:
        """Its data and its index; None if it is gone."""
        if row["state"] == 4:
            return None
        for memory in (False,) if row["state"] == 3 else (True, False):
            with contextlib.suppress(FileNotFoundError):
                try:
                    return self.part(row, "data", memory), self.part(row, "idx", memory)
                except Refused as refused:
                    if str(refused) != "NOT_FOUND" or row["state"] == 3:
                        raise Refused("CORRUPT" if str(refused) == "NOT_FOUND" else str(refused)) from None
        return None

    def records(self, row: dict[str, int]) -> list[Any] | None:
        """All that entry_count covers; a fault takes the place of its record."""
        found = self.chunk(row)
        if found is None:
            return None
        data, index = found
        room, entries = header(data, "data", 40, True, (64, 1)), header(index, "index", 32, True, (64, 32), 32)
        (count,) = struct.unpack_from("<Q", index, 24)
        ids = {struct.unpack_from("<Q", one, 16)[0] for one in found}
        if ids != {row["id"]} or count > entries:
            raise Refused("CORRUPT")
        count -= 1 if BROKEN == "last_left_out" and count else 0
        return [self.record(row, data, index, room, i) for i in range(count)]

    @staticmethod
    def record(row: dict[str, int], data: bytes, index: bytes, room: int, i: int) -> Any:
        ts, offset, length, kind, sequence = struct.unpack_from("<QQIIQ", index, 64 + 32 * i)
        wrapped = (offset + length) % (1 << 64) if BROKEN == "sums_wrap" else offset + length
        if wrapped > room or (sequence != row["first"] + i and BROKEN != "sequence_believed"):
            return Refused("CORRUPT")
        payload = data[64 + offset : 64 + offset + length].hex()
        return {"data": {"hex": payload}, "seq": str(sequence), "ts": str(ts), "type": kind, "chunk": str(row["id"])}


class Handle:
    """Where a reader is: the sequence that it expects. `held` is the loss that is still to be told."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.next = reader, 0

    def seek(self, ask: dict[str, Any], key: str) -> None:
        rows = self.reader.rows()
        end = 0 if self.reader.last == NONE else self.reader.last + 1
        if "sequence" in ask:
            wanted = int(ask["sequence"])
            self.next = wanted if wanted <= end else min(wanted, self.end(rows, end))
        elif "time" in ask:
            self.next = self.at_time(rows, int(ask["time"]), end)
        elif ask.get(key, "oldest") == "latest":
            self.next = self.end(rows, end)
        else:
            self.next = self.oldest(rows, 0, end)

    def oldest(self, rows: list[dict[str, int]], begin: int, end: int) -> int:
        for number in range(begin, len(rows)):
            row = self.reader.row(rows, number)
            if row["state"] != 4:
                return row["first"]
        return end

    def end(self, rows: list[dict[str, int]], end: int) -> int:
        """Behind the last record, which the header may not say yet."""
        if not rows:
            return end
        last = self.reader.row(rows, len(rows) - 1)
        return end if last["state"] == 4 else max(end, last["first"] + len(self.reader.records(last) or []))

    def at_time(self, rows: list[dict[str, int]], time_ns: int, end: int) -> int:
        before = sum(row["start"] < time_ns for row in rows)
        found = self.reader.records(self.reader.row(rows, before - 1)) if before else None
        for record in found or []:
            if isinstance(record, Refused):
                raise record
            late = int(record["ts"]) > time_ns if BROKEN == "time_above" else int(record["ts"]) >= time_ns
            if late:
                return int(record["seq"])
        if found is None:
            return self.oldest(rows, before, end)
        return rows[before]["first"] if before < len(rows) else self.end(rows, end)

    def read(self, most: int) -> dict[str, Any]:
        rows, items = self.reader.rows(), []
        reach, gone = self.next, True  # behind what the rows say there was; whether the last of them is gone
        for number in range(len(rows)):
            row = rows[number]
            later = rows[number + 1]["first"] if number + 1 < len(rows) else NONE
            if later <= self.next:
                continue
            if self.reader.odd(row):
                return self.before_odd(row, rows, items)
            row = self.reader.row(rows, number)
            found = self.reader.records(row)
            gone = found is None
            if found is None:
                reach = max(reach, row["first"] + row["count"])
                continue
            if row["first"] > self.next:
                if items:
                    break
                if found and isinstance(found[0], Refused):
                    raise found[0]
                return self.lose(row["first"])
            for record in found[self.next - row["first"] :]:
                if isinstance(record, Refused) and not items:
                    raise record
                if isinstance(record, Refused) or len(items) == most:
                    return {"st": "ok", "items": items}
                items.append(record)
                self.next += 1
        return {"st": "ok", "items": items} if items else self.nothing(reach, gone)

    def before_odd(self, row: dict[str, int], rows: list[dict[str, int]], items: list[Any]) -> dict[str, Any]:
        """What a reader says that comes to a row whose writer died over it: nothing for now, and no end."""
        if BROKEN == "odd_corrupt" or row["id"] != rows.index(row):
            raise Refused("CORRUPT")
        if row["first"] > self.next and not items:
            return self.lose(row["first"])
        return {"st": "ok" if items else "empty", "items": items}

    def nothing(self, reach: int, gone: bool) -> dict[str, Any]:
        """There is no record: all that are gone were lost, if the last chunk is."""
        if gone and self.reader.last != NONE:
            reach = max(reach, self.reader.last + 1)
        if gone and reach > self.next:
            return self.lose(reach)
        return {"st": "closed" if self.reader.flags & 2 else "empty", "items": []}

    def lose(self, to: int) -> dict[str, Any]:
        lost, self.next = to - self.next, to
        return {"st": "expired", "lost": str(lost + (BROKEN == "losses_off_by_one")), "items": []}


class Driver:
    def __init__(self) -> None:
        self.handles: dict[int, Handle] = {}
        self.last = 0

    def hello(self, _: dict[str, Any]) -> dict[str, Any]:
        me = {"name": "diver", "version": "1"}
        claims = {"classes": ["read", "hardened"], "features": []}
        return {"proto": 1, "driver": me, "impl": {**me, "language": "python"}, "profiles": {"deepwater": claims}}

    def reset(self, _: dict[str, Any]) -> dict[str, Any]:
        self.handles.clear()
        return {}

    bye = reset

    def open(self, ask: dict[str, Any]) -> dict[str, Any]:
        if ask["mode"] != "ro":
            raise Refused("UNSUPPORTED")
        options = ask.get("options", {})
        handle = Handle(Reader(ask["seg"], options.get("feed", "feed"), ask.get("timeout_ms", 0)))
        handle.seek(options, "from")
        self.last += 1
        self.handles[self.last] = handle
        return {"h": self.last}

    def read(self, ask: dict[str, Any]) -> dict[str, Any]:
        handle = self.handles[ask["h"]]
        handle.reader.registry()
        return handle.read(ask["max"])

    def seek(self, ask: dict[str, Any]) -> dict[str, Any]:
        self.handles[ask["h"]].seek(ask, "to")
        return {}

    def call(self, ask: dict[str, Any]) -> dict[str, Any]:
        verb, args = ask["verb"].removeprefix("deepwater."), ask["args"]
        if verb == "feeds":
            return self.feeds(args["seg"])
        handle = self.handles[ask["h"]]
        reader, rows = handle.reader, handle.reader.rows()
        if verb == "has_data_since":
            since = int(args["time"]) + (BROKEN == "data_later")
            return {"has": reader.last != NONE and reader.last_ns >= since}
        if verb == "latest_chunk":
            if reader.latest == NONE:
                raise Refused("NOT_FOUND")
            if reader.latest >= len(rows):
                raise Refused("CORRUPT")
            row = reader.row(rows, reader.latest)
            return {
                "chunk": str(row["id"]),
                "state": row["state"],
                "first_sequence": str(row["first"]),
                "start_ns": str(row["start"]),
            }
        if verb == "range":
            checked = [reader.row(rows, number) for number in range(len(rows))]
            found = [record for row in checked for record in reader.records(row) or []]
            end = int(args["to"]) - (BROKEN == "range_open")
            return {"items": [one for one in found if int(args["from"]) <= int(one["ts"]) <= end]}
        raise Refused("UNSUPPORTED")

    @staticmethod
    def feeds(base: str) -> dict[str, Any]:
        data = content(base, ["registry.bin"])
        entries = [data[128 + 256 * i : 192 + 256 * i] for i in range(struct.unpack_from("<Q", data, 24)[0])]
        if not all(0 in one for one in entries):
            raise Refused("CORRUPT")
        return {"feeds": [one.split(b"\0")[0].decode() for one in entries]}

    def close(self, ask: dict[str, Any]) -> dict[str, Any]:
        del self.handles[ask["h"]]
        return {}


def answer(driver: Driver, ask: dict[str, Any]) -> dict[str, Any]:
    if ask.get("cmd") not in ("hello", "reset", "open", "read", "seek", "call", "close", "bye"):
        return {"err": {"code": "UNKNOWN_COMMAND"}}
    try:
        return {"ok": getattr(driver, ask["cmd"])(ask)}
    except Refused as refused:
        return {"err": {"code": str(refused)}}


def main() -> None:
    driver = Driver()
    for line in sys.stdin:
        ask = json.loads(line)
        print(json.dumps({"id": ask["id"], **answer(driver, ask)}), flush=True)
        if ask["cmd"] == "bye":
            break


if __name__ == "__main__":
    main()
