# SPDX-License-Identifier: MIT
"""A driver of profile ouroboros in plain Python, writer and reader, and, with --broken NAME, one defect planted in it.

Good enough for fixtures and scenarios, where one process works at a time: its stores are not atomic, so it does not claim live.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import mmap
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

_SKELETON = Path(__file__).resolve().parents[2] / "skeleton" / "driver.py"
_spec = importlib.util.spec_from_file_location("skeleton_driver", _SKELETON)
assert _spec is not None and _spec.loader is not None
skeleton: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(skeleton)

MAGIC, TABLE, ROW, C64, C32 = 0x4F55524F424C4F47, 16, 16, 1 << 63, 1 << 31
Refused = skeleton.Refused
Row = tuple[bool, int, int]  # committed, offset, token


class TooSmall(Exception):
    """Carries the size that is needed."""


def align(offset: int) -> int:
    return (offset + 3) & ~3


def path_of(locator: str) -> str:
    return locator if locator.count("/") > 1 else "/dev/shm" + locator


class Segment:
    """A mapped segment: header checked, rows and words by number."""

    def __init__(self, fd: int, timeout_ms: int, *, writable: bool) -> None:
        self.size = os.fstat(fd).st_size
        self.fd = fd if writable else -1
        if self.size < TABLE:
            raise Refused("TRUNCATED")
        self.map = mmap.mmap(fd, self.size) if writable else mmap.mmap(fd, self.size, prot=mmap.PROT_READ)
        limit = time.monotonic() + timeout_ms / 1000
        while self.number(0) == 0 and time.monotonic() < limit:
            time.sleep(0.001)
        magic, version, self.rows = struct.unpack_from("<QII", self.map)
        if magic != MAGIC:
            raise Refused("BAD_MAGIC" if magic else "NOT_READY")
        if version != 1:
            raise Refused("BAD_VERSION")
        if self.rows == 0:
            raise Refused("BAD_GEOMETRY")
        self.base = align(TABLE + ROW * self.rows)
        if TABLE + ROW * self.rows > self.size:
            raise Refused("TRUNCATED")

    def number(self, offset: int) -> int:
        return int(struct.unpack_from("<Q", self.map, offset)[0])

    def word(self, offset: int) -> int:
        return int(struct.unpack_from("<I", self.map, offset)[0])

    def row(self, index: int) -> Row:
        offset, token = struct.unpack_from("<QQ", self.map, TABLE + ROW * index)
        # A cleared row has token 0 whatever lap it is cleared for, so only row 0 is believed with it (read.token-first).
        return bool(offset & C64) and (index == 0 or token != 0), offset & ~C64, token

    def best(self) -> tuple[int, Row] | None:
        committed = [(i, row) for i in range(self.rows) if (row := self.row(i))[0]]
        return max(committed, key=lambda one: one[1][2]) if committed else None

    def checked(self, row: Row) -> int:
        if row[1] % 4 or row[1] < self.base or row[1] + 4 > self.size:
            raise Refused("CORRUPT")
        return row[1]

    def length(self, at: int) -> int:
        """0: nothing committed; 1: wrap mark."""
        word = self.word(at)
        if not word & C32:
            return 0
        length = word & ~C32
        if length != 1 and not 5 <= length <= self.size - at:
            raise Refused("CORRUPT")
        return length

    def fields(self) -> dict[str, str]:
        names = ("magic", "version", "chunk_count")
        found = {f"header.{name}": value for name, value in zip(names, struct.unpack_from("<QII", self.map), strict=True)}
        for i in range(self.rows):
            at = TABLE + ROW * i
            found |= {f"row[{i}].offset": self.number(at), f"row[{i}].token": self.number(at + 8)}
        return {name: str(value) for name, value in found.items()}

    def validate(self) -> None:
        for row in (self.row(i) for i in range(self.rows)):
            at = self.checked(row) if row[0] else self.size
            while at + 4 <= self.size and (length := self.length(at)) > 1:
                at = align(at + length)

    def close(self) -> None:
        self.map.close()
        if self.fd >= 0:
            os.close(self.fd)


class Writer(Segment):
    """Section 4 of the chapter."""

    def __init__(self, fd: int, target: int, *, fresh: bool) -> None:
        super().__init__(fd, 0, writable=True)
        self.target = target or (self.size - TABLE - ROW * self.rows) // self.rows
        self.chunk, self.begin, self.cursor, self.count, self.committed = 0, self.base, self.base, 0, True
        self.due = False  # the next entry begins chunk 0, whatever its size
        if not fresh:
            self.resume()

    @staticmethod
    def create(fd: int, rows: int, target: int, size: int) -> Writer:
        os.ftruncate(fd, size)
        base = align(TABLE + ROW * rows)
        os.pwrite(fd, struct.pack("<IIQQ", 1, rows, base | C64, 0), 8)
        os.pwrite(fd, struct.pack("<Q", MAGIC), 0)
        return Writer(fd, target, fresh=True)

    def walk(self, at: int) -> tuple[int, list[int], bool]:
        """Where a walk from an offset ends, the offsets that it passed, and whether that is the wrap."""
        passed = []
        while at + 4 <= self.size:
            length = self.length(at)
            if length <= 1:
                return at, passed, length == 1
            passed.append(at)
            at = align(at + length)
        return at, passed, True

    def resume(self) -> None:
        """The cases of section 4, in their order."""
        committed, offset, token = self.row(0)
        found = self.best()
        if not committed and offset:
            at, passed, wrapped = self.walk(self.checked((False, offset, token)))
            if not wrapped:
                self.chunk, self.begin, self.cursor, self.committed = 0, offset, at, False
                self.count = token + len(passed)
                if passed:
                    self.commit_row()
                return
            self.count, self.cursor, self.due = token + len(passed), at, True
            if found is not None and found[1][1] in passed:
                self.count = found[1][2] + len(self.walk(found[1][1])[1])
            return
        if found is None:
            raise Refused("CORRUPT")
        self.chunk, (_, self.begin, self.count) = found
        self.cursor = self.checked(found[1])
        while True:
            self.adopt()
            if self.cursor + 4 > self.size or (length := self.length(self.cursor)) == 1:
                self.due = True
                return
            if length == 0:
                return
            self.cursor, self.count = align(self.cursor + length), self.count + 1
            self.commit_row()

    def adopt(self) -> None:
        following = self.row(self.chunk + 1) if self.chunk + 1 < self.rows else (True, 0, 0)
        if following == (False, self.cursor, self.count):
            self.chunk, self.begin, self.committed = self.chunk + 1, self.cursor, False

    def put_row(self, index: int, offset: int, token: int) -> None:
        struct.pack_into("<Q", self.map, TABLE + ROW * index, offset)
        struct.pack_into("<Q", self.map, TABLE + ROW * index + 8, token)

    def put_word(self, at: int, value: int) -> None:
        if at + 4 <= self.size:
            struct.pack_into("<I", self.map, at, value)

    def begin_chunk(self, index: int, offset: int) -> None:
        self.chunk, self.begin, self.cursor, self.committed = index, offset, offset, False
        self.put_row(index, offset, self.count)

    def commit_row(self) -> None:
        if not self.committed:
            struct.pack_into("<Q", self.map, TABLE + ROW * self.chunk, self.begin | C64)
            self.committed = True

    def clear(self, end: int) -> None:
        for i in range(self.chunk + 1, self.rows):
            _, offset, _ = self.row(i)
            if offset and offset < end:
                self.put_row(i, 0, 0)

    def write(self, payload: bytes) -> int:
        length = 4 + len(payload)
        if not payload:
            raise Refused("INVALID_ARGUMENT")
        if self.base + length > self.size:
            raise Refused("TOO_LARGE")
        if self.due or self.cursor + length > self.size:
            self.put_word(self.cursor, C32 | 1)
            self.due = False
            self.begin_chunk(0, self.base)
        elif self.cursor - self.begin >= self.target and self.chunk + 1 < self.rows:
            self.begin_chunk(self.chunk + 1, self.cursor)
        end = align(self.cursor + length)
        self.clear(end + 4 if end + 4 <= self.size else end)
        self.put_word(self.cursor, length)
        self.map[self.cursor + 4 : self.cursor + length] = payload
        self.put_word(end, 0)
        self.put_word(self.cursor, length | C32)
        self.commit_row()
        self.cursor, self.count = end, self.count + 1
        return self.count

    def info(self) -> dict[str, Any]:
        most = str(self.size - self.base - 4)
        target = str(self.target)
        return {"entries_written": str(self.count), "max_payload": most, "chunk_target_size": target, "chunk_count": self.rows}


class Reader(Segment):
    """Section 5 of the chapter."""

    def __init__(self, fd: int, timeout_ms: int, start: str) -> None:
        super().__init__(fd, timeout_ms, writable=False)
        self.start, self.chunk, self.row_seen, self.cursor, self.next = start, -1, (False, 0, 0), 0, 0
        self.owed, self.read, self.skipped = 0, 0, 0

    def seek(self, start: str) -> None:
        self.start, self.chunk, self.owed = start, -1, 0

    def begin(self) -> bool:
        committed = [(i, row) for i in range(self.rows) if (row := self.row(i))[0]]
        if not committed:
            return False
        committed.sort(key=lambda one: one[1][2])
        chosen = committed[0] if self.start == "oldest" else committed[-1]
        if self.start == "auto" and self.row(0)[::2] == (True, 0):
            chosen = (0, self.row(0))
        self.next = chosen[1][2] + 1
        self.enter(*chosen)
        return True

    def enter(self, index: int, row: Row) -> None:
        at = self.checked(row)
        self.owed += row[2] + 1 - self.next
        self.chunk, self.row_seen, self.cursor, self.next = index, row, at, row[2] + 1

    def wrap(self) -> bool:
        row = self.row(0)
        if not row[0] or row[2] < self.next - 1 or row == self.row_seen:
            return False
        self.enter(0, row)
        return True

    def lapped(self) -> bool:
        best = self.best()
        if best is None or best[1][2] < self.next - 1:
            return False
        self.enter(*best)
        return True

    def take(self, room: int | None) -> dict[str, Any] | None:
        """The next entry; None: empty."""
        if self.chunk < 0 and not self.begin():
            return None
        while True:
            if self.cursor + 4 > self.size:
                if not self.wrap():
                    return None
                continue
            if self.chunk + 1 < self.rows:
                row = self.row(self.chunk + 1)
                if row[0] and self.follows(row):
                    self.chunk, self.row_seen = self.chunk + 1, row
            if self.row(self.chunk)[::2] != (True, self.row_seen[2]):
                if not self.lapped():
                    return None
                continue
            length = self.length(self.cursor)
            if length == 0 or (length == 1 and not self.wrap()):
                return None
            if length > 1:
                return self.deliver(length, room)

    def follows(self, row: Row) -> bool:
        """Whether the cursor has come to the next row."""
        return bool(self.row_seen[2] < row[2] <= self.next - 1 and self.row_seen[1] < row[1] <= self.cursor)

    def deliver(self, length: int, room: int | None) -> dict[str, Any]:
        if room is not None and length - 4 > room:
            raise TooSmall(str(length - 4))
        data = self.map[self.cursor + 4 : self.cursor + length]
        item = {"data": shown(data), "seq": str(self.next), "chunk": self.chunk, "token": str(self.row_seen[2])}
        item["skipped"], self.skipped, self.owed = str(self.owed), self.skipped + self.owed, 0
        self.cursor, self.next, self.read = align(self.cursor + length), self.next + 1, self.read + 1
        return item

    def view_ok(self, chunk: int, token: int) -> bool:
        return self.row(chunk)[::2] == (True, token)

    def info(self) -> dict[str, Any]:
        counts = {"total_entries_read": str(self.read), "total_skipped": str(self.skipped)}
        return {**counts, "next_sequence": str(self.next), "chunk_count": self.rows}


def shown(data: bytes) -> dict[str, str]:
    if len(data) <= 4096:
        return {"hex": data.hex()}
    return {"len": str(len(data)), "sha256": hashlib.sha256(data).hexdigest(), "head": data[:32].hex()}


def asked(data: dict[str, Any]) -> bytes:
    if "hex" in data:
        return bytes.fromhex(data["hex"])
    return bytes((31 * data["seed"] + 17 * i + 101 * (i >> 8)) & 255 for i in range(data["len"]))


class Driver:
    def __init__(self) -> None:
        self.handles: dict[int, Any] = {}
        self.views: dict[int, tuple[Reader, int, int]] = {}
        self.owed: dict[int, Exception] = {}  # an error met after some items: the answer of the next read
        self.last = 0

    def hello(self, _: dict[str, Any]) -> dict[str, Any]:
        classes = ["inspect", "read", "write", "write-exact", "blocking", "hardened", "recovery"]
        me = {"name": "logger", "version": "1"}
        claims = {"ouroboros": {"classes": classes, "features": ["batch", "view"]}}
        return {"proto": 1, "driver": me, "impl": {**me, "language": "python"}, "profiles": claims}

    def reset(self, _: dict[str, Any]) -> dict[str, Any]:
        for handle in self.handles.values():
            handle.close()
        self.handles.clear()
        self.views.clear()
        self.owed.clear()
        return {}

    def keep(self, handle: Any) -> dict[str, Any]:
        self.last += 1
        self.handles[self.last] = handle
        return {"h": self.last}

    def create(self, ask: dict[str, Any]) -> dict[str, Any]:
        options = ask.get("options", {})
        rows, target = int(options.get("chunk_count", 4)), int(options.get("chunk_target_size", 262144))
        size = int(options.get("size", TABLE + ROW * rows + rows * target))
        if rows == 0 or size < TABLE + ROW * rows + 5:
            raise Refused("INVALID_ARGUMENT")
        fd = os.open(path_of(ask["seg"]), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return self.keep(Writer.create(fd, rows, target, size))

    def open(self, ask: dict[str, Any]) -> dict[str, Any]:
        options = ask.get("options", {})
        writable = ask["mode"] == "rw"
        fd = os.open(path_of(ask["seg"]), os.O_RDWR if writable else os.O_RDONLY)
        try:
            if writable:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return self.keep(Writer(fd, int(options.get("chunk_target_size", 0)), fresh=False))
            reader = self.keep(Reader(fd, ask.get("timeout_ms", 0), options.get("from", "auto")))
        except BlockingIOError:
            os.close(fd)
            raise Refused("BUSY") from None
        except Refused:
            os.close(fd)
            raise
        os.close(fd)
        return reader

    def inspect(self, ask: dict[str, Any]) -> dict[str, Any]:
        return {"fields": self.handles[ask["h"]].fields()}

    def write(self, ask: dict[str, Any]) -> dict[str, Any]:
        writer = self.handles[ask["h"]]
        if not isinstance(writer, Writer):
            raise Refused("UNSUPPORTED")
        return {"results": [{"st": "ok", "seq": str(writer.write(asked(item["data"])))} for item in ask["items"]]}

    def read(self, ask: dict[str, Any]) -> dict[str, Any]:
        number, reader, items = ask["h"], self.handles[ask["h"]], []
        limit = time.monotonic() + ask.get("timeout_ms", 0) / 1000
        if ask["mode"] == "peek":
            raise Refused("UNSUPPORTED")
        if number in self.owed:
            raise self.owed.pop(number)
        while len(items) < (1 if ask["mode"] == "view" else ask["max"]):
            late = time.monotonic() >= limit
            try:
                item = reader.take(ask.get("buffer"))
            except (Refused, TooSmall) as error:
                if not items:
                    raise
                self.owed[number] = error
                break
            if item is None and (late or items or ask["mode"] != "block"):
                break
            if item is None:
                time.sleep(0.002)
                continue
            items.append(item)
            if ask["mode"] == "view":
                self.last += 1
                item["view"] = self.last
                self.views[self.last] = (reader, item["chunk"], int(item["token"]))
        return {"st": "ok" if items else "timeout" if ask["mode"] == "block" else "empty", "items": items}

    def seek(self, ask: dict[str, Any]) -> dict[str, Any]:
        self.handles[ask["h"]].seek(ask["to"])
        return {}

    def call(self, ask: dict[str, Any]) -> dict[str, Any]:
        verb, handle = ask["verb"], self.handles[ask["h"]]
        if verb == "ouroboros.info":
            return dict(handle.info())
        if verb == "ouroboros.validate":
            handle.validate()
            return {}
        if verb == "ouroboros.view_check":
            reader, chunk, token = self.views[ask["args"]["v"]]
            return {"st": "ok" if reader.view_ok(chunk, token) else "lapped"}
        raise Refused("UNSUPPORTED")

    def close(self, ask: dict[str, Any]) -> dict[str, Any]:
        self.handles.pop(ask["h"]).close()
        return {}

    def bye(self, _: dict[str, Any]) -> dict[str, Any]:
        return {}


def answer(driver: Driver, ask: dict[str, Any]) -> dict[str, Any]:
    method = getattr(driver, str(ask.get("cmd")), None)
    if method is None or ask["cmd"] in ("keep", "finish", "mine", "taken"):
        return {"err": {"code": "UNKNOWN_COMMAND", "detail": str(ask.get("cmd"))}}
    try:
        return {"ok": method(ask)}
    except TooSmall as error:
        return {"err": {"code": "TOO_SMALL", "needed": str(error)}}
    except Refused as error:
        return {"err": {"code": str(error)}}
    except (FileExistsError, FileNotFoundError) as error:
        return {"err": {"code": "EXISTS" if isinstance(error, FileExistsError) else "NOT_FOUND"}}
    except (KeyError, TypeError, ValueError) as error:
        return {"err": {"code": "BAD_REQUEST", "detail": repr(error)}}


def main() -> None:
    if "--broken" in sys.argv:
        import logger_defects

        logger_defects.plant(sys.argv[sys.argv.index("--broken") + 1], sys.modules[__name__])
    skeleton.Driver, skeleton.answer = Driver, answer
    skeleton.main()


if __name__ == "__main__":
    main()
