# SPDX-License-Identifier: MIT
"""Profile slick in plain Python: queue, producer and reader, for the driver ticker.py. Good enough where one process works at a
time, or waits while another one works: its stores are not atomic, and a compare-and-swap is a look and a store."""

from __future__ import annotations

import mmap
import os
import struct
import time
from dataclasses import dataclass
from typing import Any

from logger import Refused, TooSmall, path_of

MAGIC, NONE, LIMIT, MOST, TRIES = 0x534C5131, (1 << 64) - 1, 1 << 48, 65535, 8
HEADER, SLOT, WORDS = 64, 16, ("reserved", "size", "element_size", "last_published", "header_magic", "settled", "init_state")
AT = dict(zip(WORDS, ((0, 8), (8, 4), (12, 4), (16, 8), (24, 4), (32, 8), (48, 4)), strict=True))
READY = {"1.2": 0, "1.3": 1, "1.4": 3}


class Closed(Exception):
    """Indices are used up."""


class Lapped(Exception):
    """Somebody gave the item up, or the reader was overtaken again and again."""


class Queue:
    """A mapped segment: its header is checked, its slots are not trusted."""

    def __init__(self, locator: str, timeout_ms: int, *, writable: bool) -> None:
        path = path_of(locator if "/" in locator else f"/{locator}")
        self.name, self.writable = locator if "/" in locator else f"/{locator}", writable
        fd = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        try:
            self.length = os.fstat(fd).st_size
            if self.length < HEADER:
                raise Refused("TRUNCATED")
            self.map = mmap.mmap(fd, self.length, prot=mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0))
        finally:
            os.close(fd)
        limit = time.monotonic() + timeout_ms / 1000
        while self.begun() and time.monotonic() < limit:
            time.sleep(0.001)
        self.check()

    @staticmethod
    def create(locator: str, size: int, element_size: int, generation: str, mode: int) -> Queue:
        if size < 1 or size & (size - 1) or size > 1 << 31 or element_size < 1:
            raise Refused("INVALID_ARGUMENT")
        name = locator if "/" in locator else f"/{locator}"
        fd = os.open(path_of(name), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        table = struct.pack("<QII", NONE, 1, 0) * size
        last = NONE if generation == "1.4" else 0
        os.ftruncate(fd, HEADER + (SLOT + element_size) * size)
        os.pwrite(fd, table, HEADER)
        os.pwrite(fd, struct.pack("<IQI", element_size, last, MAGIC if generation == "1.4" else 0), 12)
        os.pwrite(fd, struct.pack("<I", READY[generation]), 48)
        os.pwrite(fd, struct.pack("<I", size), 8)
        os.close(fd)
        return Queue(name, 0, writable=True)

    def begun(self) -> bool:
        state = self.word("init_state")
        return state == 2 or (state == 0 and self.word("size") == 0)

    def check(self) -> None:
        state, self.size, self.step = self.word("init_state"), self.word("size"), self.word("element_size")
        if self.begun():
            raise Refused("NOT_READY")
        if state > 3:
            raise Refused("BAD_VERSION")
        if state == 3 and self.word("header_magic") != MAGIC:
            raise Refused("BAD_MAGIC")
        if self.size < 1 or self.size & (self.size - 1) or self.step < 1:
            raise Refused("BAD_GEOMETRY")
        if HEADER + (SLOT + self.step) * self.size > self.length:
            raise Refused("TRUNCATED")
        self.generation = {0: "1.2", 1: "1.3", 3: "1.4"}[state]

    def word(self, name: str) -> int:
        offset, size = AT[name]
        return int.from_bytes(self.map[offset : offset + size], "little")

    def put(self, name: str, value: int) -> None:
        offset, size = AT[name]
        self.map[offset : offset + size] = value.to_bytes(size, "little")

    @property
    def next(self) -> int:
        """r of the chapter."""
        return self.word("reserved") >> 16

    def slot(self, index: int) -> tuple[int, int]:
        """data_index and size."""
        found: tuple[int, int] = struct.unpack_from("<QI", self.map, HEADER + SLOT * (index % self.size))
        return found

    def put_index(self, index: int, value: int) -> None:
        struct.pack_into("<Q", self.map, HEADER + SLOT * (index % self.size), value)

    def put_slot(self, index: int, size: int, value: int) -> None:
        struct.pack_into("<I", self.map, HEADER + SLOT * (index % self.size) + 8, size)
        self.put_index(index, value)

    def place(self, index: int) -> int:
        return HEADER + SLOT * self.size + self.step * (index % self.size)

    def settles(self, index: int) -> bool:
        """Whether an index is published or passed."""
        found, _ = self.slot(index)
        return found != NONE and 0 <= found - index < self.size

    def oldest(self, above: int = -1) -> int | None:
        """The lowest index of the last lap that is settled."""
        r = self.next
        return next((j for j in range(max(0, r - self.size, above + 1), r) if self.settles(j)), None)

    def start(self, options: dict[str, Any]) -> int:
        if "index" in options:
            return int(options["index"])
        if options.get("from", options.get("to", "oldest")) == "latest":
            return self.next
        found = self.oldest()
        return max(0, self.next - self.size) if found is None else found

    def overdue(self, index: int) -> bool:
        """Whether a reservation finds that its slot says more than its own."""
        found, _ = self.slot(index)
        return found != NONE and index < found <= self.next

    def bounded(self, index: int, elements: int, end: int) -> None:
        if elements == 0 or index % self.size + elements > self.size or index + elements > end:
            raise Refused("CORRUPT")

    def fields(self) -> dict[str, str]:
        found = {f"header.{name}": self.word(name) for name in WORDS}
        for k in range(self.size):
            found |= dict(zip((f"slot[{k}].data_index", f"slot[{k}].size"), self.slot(k), strict=True))
        return {name: str(value) for name, value in found.items()}

    def validate(self) -> None:
        for j in range(max(0, self.next - self.size), self.next):
            if self.slot(j)[0] == j:
                self.bounded(j, self.slot(j)[1], self.next)

    def reset(self) -> None:
        for k in range(self.size):
            self.put_slot(k, 1, NONE)
        if self.generation == "1.4":
            self.put("last_published", NONE)
        self.put("settled", 0)
        self.put("reserved", 0)

    def close(self) -> None:
        self.map.close()


class Producer:
    """Section 4 of the chapter."""

    def __init__(self, queue: Queue, stall_ms: int) -> None:
        self.queue, self.stall = queue, stall_ms / 1000
        self.known, self.written, self.given_up = 0, 0, 0
        self.claim: tuple[int, int] | None = None
        self.stuck, self.since = (-1, -1), 0.0

    def reserve(self, elements: int) -> int:
        queue = self.queue
        if elements == 0:
            raise Refused("INVALID_ARGUMENT")
        if elements > queue.size or elements > MOST:
            raise Refused("TOO_LARGE")
        if self.claim is not None:
            raise Refused("BUSY")
        self.stuck = (-1, -1)
        while True:
            word = queue.word("reserved")
            begin = word >> 16
            padding = begin % queue.size + elements > queue.size
            end = (begin // queue.size + 1) * queue.size if padding else begin + elements
            if end + (elements if padding else 0) >= LIMIT:
                raise Closed
            self.known = 0 if self.known > begin else self.known
            if self.known != begin and not self.settle(begin, word & MOST, end):
                continue
            queue.put("reserved", end << 16 | self.packed_size(end - begin))
            if not padding:
                self.claim = (begin, elements)
                return begin
            self.mark(begin, elements, end)
            self.known = end if self.known == begin else self.known

    def packed_size(self, elements: int) -> int:
        return elements

    def mark(self, begin: int, elements: int, end: int) -> None:
        if not self.queue.overdue(begin):
            self.queue.put_slot(begin, elements, end)

    def settle(self, begin: int, last: int, end: int) -> bool:
        """Section 4.1: whether to reserve now; otherwise everything is looked at anew."""
        queue, told = self.queue, self.queue.word("settled")
        told = 0 if told > begin else told
        if end <= told + queue.size:
            return True
        self.known = max(self.known, told)
        if begin > self.known + queue.size:
            if last == 0 or last > queue.size:
                raise Refused("CORRUPT")
            self.known = begin - last
        if not self.walk(begin):
            return False
        self.tell()
        if self.known == begin or end <= self.known + queue.size:
            return True
        if self.stuck != self.standing(begin):
            self.stuck, self.since = self.standing(begin), time.monotonic()
        if time.monotonic() - self.since < self.stall:
            time.sleep(0.001)
            return False
        self.give_up(begin, last)
        return self.known == begin or end <= self.known + queue.size

    def standing(self, begin: int) -> tuple[int, int]:
        """As long as this stays the same, the stall time runs."""
        return self.known, begin

    def walk(self, begin: int) -> bool:
        """Step 2: False to start over."""
        queue = self.queue
        while self.known < begin:
            found, elements = queue.slot(self.known)
            if found == self.known:
                if queue.next > self.known + queue.size:
                    return False
                queue.bounded(self.known, elements, begin)
                self.known += elements
            elif found != NONE and 0 < found - self.known < queue.size and found <= begin:
                self.known = found
            else:
                return not self.known + queue.size <= found < queue.next
        return True

    def tell(self) -> None:
        held = self.queue.word("settled")
        if not self.known < held <= self.queue.next and held != self.known:
            self.queue.put("settled", self.known)

    def give_up(self, begin: int, last: int) -> None:
        following = self.queue.oldest(self.known)
        if following is None or following >= begin:
            following = begin - last if begin - last > self.known else begin
        if following - self.known != self.queue.size:
            self.queue.put_index(self.known, following)
        self.known, self.given_up = following, self.given_up + 1
        self.tell()

    def fill(self, index: int, data: bytes) -> None:
        at = self.queue.place(index)
        self.queue.map[at : at + len(data)] = data

    def publish(self, index: int, data: bytes) -> None:
        queue, elements = self.queue, len(data) // self.queue.step
        self.fill(index, data)
        if queue.overdue(index):
            raise Lapped
        queue.put_slot(index, elements, index)
        self.known = index + elements if self.known == index else self.known
        self.raise_last(index)
        self.written += 1

    def raise_last(self, index: int) -> None:
        held = self.queue.word("last_published")
        if self.queue.generation == "1.4" and (held == NONE or held < index):
            self.queue.put("last_published", index)

    def commit(self, data: bytes) -> None:
        index, elements = self.claim or (0, 0)
        if len(data) != elements * self.queue.step:
            raise Refused("INVALID_ARGUMENT")
        self.claim = None
        self.publish(index, data)

    def abandon(self) -> None:
        index, elements = self.claim or (0, 0)
        if elements == self.queue.size:
            raise Refused("UNSUPPORTED")
        self.claim = None
        if self.queue.overdue(index):
            raise Lapped
        self.queue.put_slot(index, elements, index + elements)
        self.known = index + elements if self.known == index else self.known

    def elements(self, data: bytes) -> int:
        if not data or len(data) % self.queue.step:
            raise Refused("INVALID_ARGUMENT")
        return len(data) // self.queue.step

    def write(self, data: bytes) -> int:
        index = self.reserve(self.elements(data))
        self.claim = None
        self.publish(index, data)
        return index

    def batch(self, datas: list[bytes]) -> list[int]:
        """One reservation of as many items as lie before the end of the ring, and so on."""
        each, size, out = self.elements(datas[0]), self.queue.size, list[int]()
        while len(out) < len(datas):
            inside = self.queue.next % size
            room = (size - inside if inside + each <= size else size) // each
            count = max(1, min(len(datas) - len(out), room))
            index = self.reserve(count * each)
            self.claim = None
            for data in datas[len(out) : len(out) + count]:
                self.publish(index, data)
                out.append(index)
                index += each
        return out


@dataclass
class Look:
    """What one look from a cursor found: where it ended, what it passed, and the item if there is one."""

    cursor: int
    lost: int
    resets: int
    item: dict[str, Any] | None = None
    lapped: bool = False

    @property
    def behind(self) -> int:
        return self.cursor if self.item is None else self.cursor + int(self.item["elements"])


class Reader:
    """Section 5. `shared` is the map of a shared cursor, or None."""

    def __init__(self, queue: Queue, options: dict[str, Any], shared: mmap.mmap | None) -> None:
        self.queue, self.shared = queue, shared
        self.own = 0 if shared is not None else queue.start(options)
        self.owed, self.read, self.lost, self.resets = 0, 0, 0, 0

    @property
    def cursor(self) -> int:
        return self.own if self.shared is None else int.from_bytes(self.shared[:8], "little")

    def seek(self, options: dict[str, Any]) -> int:
        self.go(self.queue.start(options))
        self.owed = 0
        return self.cursor

    def go(self, cursor: int) -> None:
        if self.shared is None:
            self.own = cursor
        else:
            self.shared[:8] = cursor.to_bytes(8, "little")

    def look(self, c: int, room: int | None) -> Look:
        """Steps 1 to 7; nothing is stored."""
        queue, size, look = self.queue, self.queue.size, Look(c, 0, 0)
        tries = marks = 0
        while True:
            found, elements = queue.slot(look.cursor)
            r = queue.next
            if found == NONE or not look.cursor <= found <= r:
                if r < look.cursor and not look.resets:
                    look.cursor, look.resets = 0, 1
                    continue
                if r <= look.cursor + size:
                    return look
            else:
                behind = (found - look.cursor) % size
                look.lost, look.cursor = look.lost + found - behind - look.cursor, found
                marks += behind > 0
                if marks > size:
                    return look
                if behind:
                    continue
                if self.whole(look.cursor):
                    if queue.next > look.cursor:
                        look.item = self.copy(look, elements, room)
                    return look
            oldest = queue.oldest()
            if oldest is None:
                return look
            tries += 1
            look.lapped = tries == TRIES
            if look.lapped:
                return look
            look.lost, look.cursor = look.lost + oldest - look.cursor, oldest

    def whole(self, index: int) -> bool:
        return self.queue.next <= index + self.queue.size

    def copy(self, look: Look, elements: int, room: int | None) -> dict[str, Any]:
        queue, index = self.queue, look.cursor
        queue.bounded(index, elements, queue.next)
        length = elements * queue.step
        if room is not None and length > room:
            raise TooSmall(str(length))
        at = queue.place(index)
        return {"data": queue.map[at : at + length], "pos": index, "elements": elements}

    def take(self, room: int | None) -> dict[str, Any] | None:
        """The next item, or None for empty."""
        look = self.look(self.cursor, room)
        if look.lapped:
            raise Lapped
        if self.shared is None or look.item is not None or look.resets:
            self.go(look.behind)
        lost = look.lost if self.shared is not None else look.lost + self.owed
        self.resets += look.resets
        if look.item is None:
            self.owed = lost
            return None
        self.owed, self.lost, self.read = 0, self.lost + lost, self.read + 1
        return {**look.item, "lost": lost}

    def last(self, room: int | None) -> dict[str, Any] | None:
        queue, r = self.queue, self.queue.next
        told, count = queue.generation == "1.4", queue.word("reserved") & MOST
        said = queue.word("last_published") if told else r - count
        named = max(0, r - queue.size) <= said < r and queue.slot(said)[0] == said
        found = said if named and (told or queue.slot(said)[1] == count) else None  # a reservation may be a batch
        if found is None:
            found = next((j for j in range(r - 1, max(0, r - queue.size) - 1, -1) if queue.slot(j)[0] == j), None)
        if found is None:
            return None
        return self.copy(Look(found, 0, 0), queue.slot(found)[1], room)


def recover(queue: Queue, *, all_dead: bool) -> int:
    """Section 6. Returns how many marks were made."""
    if not queue.writable:
        raise Refused("PERMISSION")
    if not all_dead:
        raise Refused("BUSY")
    r, last, size = queue.next, queue.word("reserved") & MOST, queue.size
    settled = queue.word("settled")
    oldest = queue.oldest()
    at = settled if max(0, r - size) <= settled <= r else 0 if r <= size else r if oldest is None else oldest
    holes = 0
    while at < r:
        found, elements = queue.slot(at)
        if queue.settles(at):
            if found == at:
                queue.bounded(at, elements, r)
            at = at + elements if found == at else found
            continue
        following = queue.oldest(at)
        if following is None:
            following = r - last if r - last > at else r
        if following - at != size:
            queue.put_index(at, following)
            holes += 1
        at = following
    items = [j for j in range(max(0, r - size), r) if queue.slot(j)[0] == j]
    if items:
        Producer(queue, 0).raise_last(items[-1])
    if at > settled:
        queue.put("settled", at)
    return holes
