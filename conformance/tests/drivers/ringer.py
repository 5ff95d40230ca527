# SPDX-License-Identifier: MIT
"""Live actors of profile slick in plain Python and, with --broken NAME, one defect planted in them.

Good enough to try the live oracle on. Producers take turns under a file lock, so that reserving needs no compare-and-swap, and
words are memoryviews of native words, which one load or store reads or writes; `fence` keeps two of them in order. It claims
nothing but what live cases need.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import mmap
import os
import struct
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import logger
from logger import Refused, path_of, skeleton

NONE, TABLE, PAYLOAD = (1 << 64) - 1, 64, 0x57524853
HEAD, RECORD = struct.Struct("<IIQII"), struct.Struct("<IIQQIIII")
GENERATIONS = {"1.2": 0, "1.3": 1, "1.4": 3}  # init_state
RESERVED, LAST, SETTLED = 0, 2, 4  # as u64 words
_lock = threading.Lock()


def fence() -> None:
    with _lock:
        pass


class Words:
    """A mapped file as native words; `fd` is for locks."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR)
        self.map = mmap.mmap(self.fd, 0)
        self.bytes = memoryview(self.map)
        self.u64 = self.bytes[: len(self.bytes) // 8 * 8].cast("Q")
        self.u32 = self.bytes[: len(self.bytes) // 4 * 4].cast("I")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        for view in (self.u64, self.u32, self.bytes, self.map):
            view.release() if isinstance(view, memoryview) else view.close()
        os.close(self.fd)


class Ring(Words):
    """The segment: indices, slots, elements."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.size, self.width, self.last = self.u32[2], self.u32[3], self.u32[12] == 3
        self.base = TABLE + 16 * self.size

    @staticmethod
    def make(path: str, size: int, width: int, state: int) -> None:
        table = struct.pack("<QII", NONE, 1, 0) * size
        last, magic = (NONE, 0x534C5131) if state == 3 else (0, 0)
        head = struct.pack("<QIIQI20xI12x", 0, size, width, last, magic, state)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(head + table + bytes(size * width))

    def next(self) -> int:
        return self.u64[RESERVED] >> 16

    def slot(self, index: int) -> int:
        """Its data_index, as a word's number."""
        return (TABLE + 16 * (index % self.size)) // 8

    def found(self, index: int) -> int:
        return self.u64[self.slot(index)]

    def span(self, index: int, elements: int) -> slice:
        begin = self.base + index % self.size * self.width
        return slice(begin, begin + elements * self.width)

    def store(self, index: int, elements: int, data_index: int) -> None:
        self.u32[self.slot(index) * 2 + 2] = elements
        fence()
        self.u64[self.slot(index)] = data_index

    def leads_on(self, index: int) -> int:
        """Where a mark of who reserved index leads to; 0: there is none."""
        found = self.found(index)
        return found if index < found < index + self.size and found <= self.next() else 0


class Producer:
    """Section 4 of the chapter, one producer at a time."""

    def __init__(self, ring: Ring, stall_ms: int) -> None:
        self.ring, self.stall, self.known, self.given_up = ring, stall_ms / 1000, 0, 0

    def walk(self, limit: int) -> None:
        while self.known < limit:
            if self.ring.found(self.known) == self.known:
                self.known += self.ring.u32[self.ring.slot(self.known) * 2 + 2]
            elif on := self.ring.leads_on(self.known):
                self.known = on
            else:
                return

    def may_reserve(self, at: int, end: int) -> bool:
        if self.known == at:
            return True
        self.known = max(self.known, self.ring.u64[SETTLED])
        if at > self.known + self.ring.size:
            self.known = at - (self.ring.u64[RESERVED] & 0xFFFF)
        self.walk(at)
        self.ring.u64[SETTLED] = max(self.known, self.ring.u64[SETTLED])
        return self.known == at or end <= self.known + self.ring.size

    def give_up(self, at: int) -> None:
        hole, self.known = self.known, self.known + 1
        while self.known < at and self.ring.found(self.known) != self.known and not self.ring.leads_on(self.known):
            self.known += 1
        self.ring.u64[self.ring.slot(hole)] = self.known
        self.given_up += 1

    def try_reserve(self, elements: int) -> int:
        """An index, or -1: not now."""
        while True:
            at = self.ring.next()
            room = self.ring.size - at % self.ring.size
            taken = elements if elements <= room else room
            if not self.may_reserve(at, at + taken):
                return -1
            self.ring.u64[RESERVED] = at + taken << 16 | taken
            fence()
            if taken == elements <= room:
                return at
            self.mark(at, elements, at + room)

    def mark(self, at: int, elements: int, end: int) -> None:
        self.ring.store(at, elements, end)
        self.known = end if self.known == at else self.known

    def put(self, index: int, data: bytes) -> None:
        self.ring.bytes[self.ring.span(index, len(data) // self.ring.width)] = data

    def publish(self, index: int, elements: int) -> None:
        self.ring.store(index, elements, index)
        if self.known == index:
            self.known = index + elements
        if self.ring.last and not index < self.ring.u64[LAST] < NONE:
            self.ring.u64[LAST] = index

    def reserve(self, elements: int) -> int:
        """With the lock held again and again. Returns with it held."""
        limit, seen = time.monotonic() + self.stall, -1
        while True:
            fcntl.flock(self.ring.fd, fcntl.LOCK_EX)
            index = self.try_reserve(elements)
            if index >= 0:
                return index
            if self.known != seen:
                limit, seen = time.monotonic() + self.stall, self.known
            if time.monotonic() >= limit:
                self.give_up(self.ring.next())
            fcntl.flock(self.ring.fd, fcntl.LOCK_UN)
            time.sleep(0.0005)

    def write(self, data: bytes) -> None:
        index = self.reserve(len(data) // self.ring.width)
        self.put(index, data)
        fence()
        self.publish(index, len(data) // self.ring.width)
        fcntl.flock(self.ring.fd, fcntl.LOCK_UN)


class Reader:
    """Section 5 of the chapter."""

    def __init__(self, ring: Ring, cursor: int, shared: Words | None) -> None:
        self.ring, self.cursor, self.shared, self.lost = ring, cursor, shared, 0

    def oldest(self, reserved: int) -> int:
        for index in range(max(0, reserved - self.ring.size), reserved):
            if self.ring.found(index) == index or self.ring.leads_on(index):
                return index
        return -1

    def find(self) -> bool:
        """Steps 1 to 3 and 7: whether there is an item at the cursor."""
        for _ in range(8 * self.ring.size):
            found = self.ring.found(self.cursor)
            fence()
            if found == self.cursor:
                return True
            reserved = self.ring.next()
            if found < self.cursor or found > reserved:
                if reserved <= self.cursor + self.ring.size or not self.resync(reserved):
                    return False
                continue
            beyond = (found - self.cursor) % self.ring.size
            self.lost += found - beyond - self.cursor
            self.cursor = found
        return False

    def resync(self, reserved: int) -> bool:
        index = self.oldest(reserved)
        if index < 0:
            return False
        self.lost += index - self.cursor
        self.cursor = index
        return True

    def copy(self) -> tuple[int, bytes]:
        elements = self.ring.u32[self.ring.slot(self.cursor) * 2 + 2]
        return elements, bytes(self.ring.bytes[self.ring.span(self.cursor, elements)])

    def whole(self) -> bool:
        fence()
        return self.ring.next() <= self.cursor + self.ring.size

    def take(self, begin: int, end: int) -> bool:
        self.cursor = end
        if self.shared is None:
            return True
        with self.shared.locked():
            if self.shared.u64[0] != begin:
                return False
            self.shared.u64[0] = end
        return True

    def look(self) -> tuple[int, bytes] | None:
        """Elements and bytes of the next item, proved whole; it begins at the cursor then."""
        for _ in range(8):
            if not self.find():
                return None
            item = self.copy()
            if self.whole():
                return item
            self.resync(self.ring.next())
        return None

    def next(self) -> tuple[int, int, bytes, int] | None:
        """Index, elements, data, lost; None: empty, or overtaken again and again."""
        while True:
            if self.shared is not None:
                self.cursor, self.lost = self.shared.u64[0], 0
            begin, item = self.cursor, self.look()
            if item is None:
                return None
            index, (elements, data) = self.cursor, item
            if self.take(begin, index + elements):
                lost, self.lost = self.lost, 0
                return index, elements, data, lost


class Writing:
    """An actor that writes."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan, self.ring = plan, Ring(path_of(plan["seg"]))
        self.producer = Producer(self.ring, plan["open"]["stall_ms"])
        self.credit = Words(plan["credit"]["path"]) if "credit" in plan else None

    def has_credit(self, elements: int) -> bool:
        if self.credit is None:
            return True
        slowest = min(self.credit.u64[::8])
        return self.ring.next() + elements <= slowest + self.plan["credit"]["window"]

    def go(self) -> dict[str, Any]:
        plan, sent, limit = self.plan, 0, time.monotonic() + self.plan["limit_ms"] / 1000
        while sent < plan["count"] and time.monotonic() < limit:
            length = plan["sizes"][sent % len(plan["sizes"])]
            if not self.has_credit(length // self.ring.width):
                time.sleep(0)
                continue
            self.producer.write(payload(plan["actor"], sent, length, plan["seed"]))
            sent += 1
            if plan["stutter_us"] and sent % 64 == 0:
                time.sleep(plan["stutter_us"] / 1e6)
        return {"sent": sent, "full": 0, "given_up": self.producer.given_up}

    def close(self) -> None:
        for words in (self.ring, self.credit):
            if words is not None:
                words.close()


class Reading:
    """An actor that reads."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan, self.ring, self.until = plan, Ring(path_of(plan["seg"])), Words(path_of(plan["until"]))
        self.shared = Words(path_of(plan["cursor"])) if "cursor" in plan else None
        self.credit = Words(plan["credit"]["path"]) if "credit" in plan else None
        self.reader = Reader(self.ring, int(plan.get("index", "0")), self.shared)
        self.records: list[bytes] = []
        self.torn, self.lost = 0, 0

    def tell(self, index: int) -> None:
        if self.credit is not None:
            self.credit.u64[8 * self.plan["credit"]["slot"]] = index

    def keep(self, index: int, elements: int, data: bytes, lost: int) -> None:
        magic, actor, sequence, length, seed = HEAD.unpack_from(data)
        self.torn += magic != PAYLOAD or length != len(data) or data != payload(actor, sequence, length, seed)
        self.lost += lost
        self.records.append(RECORD.pack(actor, elements, sequence, index, len(data), 0, zlib.crc32(data), lost))
        self.tell(index + elements)

    def go(self) -> dict[str, Any]:
        ended, limit, pause = False, time.monotonic() + self.plan["limit_ms"] / 1000, self.plan["slow_us"] / 1e6
        while not ended and time.monotonic() < limit:
            over = bool(self.until.bytes[0])
            item = self.reader.next()
            if item is None:
                ended = over
                time.sleep(0)
                continue
            self.keep(*item)
            if pause:
                time.sleep(pause)
        self.tell(NONE)
        Path(self.plan["history"]).write_bytes(b"".join(self.records))
        figures = {"received": len(self.records), "torn": self.torn, "lost": self.lost, "ended": ended}
        return {**figures, "empty": 0, "corrupt": 0, "lapped": 0}

    def close(self) -> None:
        for words in (self.ring, self.until, self.shared, self.credit):
            if words is not None:
                words.close()


PLUS = [bytes((101 * k + byte) & 255 for byte in range(256)) for k in range(256)]


@functools.cache
def pattern(base: int, rows: int) -> bytes:
    row = bytes((base + 17 * j) & 255 for j in range(256))
    return b"".join(row.translate(PLUS[k]) for k in range(rows))


def payload(actor: int, sequence: int, length: int, seed: int) -> bytes:
    body = pattern(31 * (actor + sequence + seed) & 255, -(-length // 256))
    return HEAD.pack(PAYLOAD, actor, sequence, length, seed) + body[HEAD.size : length]


class Driver:
    def __init__(self) -> None:
        self.actor: Any = None
        self.rings: dict[int, Ring] = {}

    def hello(self, _: dict[str, Any]) -> dict[str, Any]:
        me = {"name": "ringer", "version": "1"}
        claims = {"classes": ["write", "read", "recovery", "live"], "features": ["split", "share"]}
        return {"proto": 1, "driver": me, "impl": {**me, "language": "python"}, "profiles": {"slick": claims}}

    def reset(self, _: dict[str, Any]) -> dict[str, Any]:
        for thing in (self.actor, *self.rings.values()):
            if thing is not None:
                thing.close()
        self.actor = None
        self.rings.clear()
        return {}

    def create(self, ask: dict[str, Any]) -> dict[str, Any]:
        options = ask["options"]
        Ring.make(path_of(ask["seg"]), options["size"], options["element_size"], GENERATIONS[options["generation"]])
        return self.open(ask)

    def open(self, ask: dict[str, Any]) -> dict[str, Any]:
        number = len(self.rings) + 1
        self.rings[number] = Ring(path_of(ask["seg"]))
        return {"h": number}

    def close(self, ask: dict[str, Any]) -> dict[str, Any]:
        self.rings[ask["h"]].close()
        self.rings[ask["h"]] = None  # type: ignore[assignment]
        return {}

    def claim(self, ask: dict[str, Any]) -> dict[str, Any]:
        ring = self.rings[ask["h"]]
        index = Producer(ring, 250).reserve(ask["elements"])
        fcntl.flock(ring.fd, fcntl.LOCK_UN)
        return {"st": "ok", "c": 1, "pos": str(index), "capacity": ask["elements"] * ring.width}

    def call(self, ask: dict[str, Any]) -> dict[str, Any]:
        if ask["verb"] == "slick.cursor_create":
            Path(path_of(ask["args"]["cursor"])).write_bytes(bytes(8))
            return {}
        if ask["verb"] != "slick.recover":
            raise Refused("UNSUPPORTED")
        ring = self.rings[ask["h"]]
        producer, end = Producer(ring, 0), ring.next()
        producer.known = ring.u64[SETTLED]
        if producer.known < end - ring.size:
            producer.known = max(0, Reader(ring, 0, None).oldest(end))
        producer.walk(end)
        while producer.known < end:
            producer.give_up(end)
            producer.walk(end)
        return {"holes": str(producer.given_up)}

    def arm(self, ask: dict[str, Any]) -> dict[str, Any]:
        self.actor = (Writing if ask["role"] == "write" else Reading)(ask)
        return {}

    def go(self, _: dict[str, Any]) -> dict[str, Any]:
        return dict(self.actor.go())

    def bye(self, _: dict[str, Any]) -> dict[str, Any]:
        return {}


def main() -> None:
    if "--broken" in sys.argv:
        import ringer_defects

        getattr(ringer_defects, sys.argv[sys.argv.index("--broken") + 1])(sys.modules[__name__])
    skeleton.Driver, skeleton.answer = Driver, logger.answer
    skeleton.main()


if __name__ == "__main__":
    main()
