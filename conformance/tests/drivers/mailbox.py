# SPDX-License-Identifier: MIT
"""Profile shmcomm in plain Python: channels and their endpoints, for the live actors of courier.py.

Good enough where all participants are of this kind: words are memoryviews of native words, which one load or store reads or
writes, a compare-and-swap is done under a lock that all of them share (a byte of the file that no endpoint can have), and who
waits looks again every now and then instead of sleeping on a signal.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import random
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from logger import Refused, path_of

MAGIC, SKIP, RING, KEEPERS, GUARD = 0x53484D434F4D4D31, (1 << 64) - 1, 128, 1 << 31, 1 << 62
HEAD, TAIL, COUNT, DROPPED, CAPACITY, INSTANCE = 2, 3, 5, 6, 7, 13  # as u64 words
LOCK, EPOCH, PATTERN, STATE, OWNER = 8, 9, 16, 17, 28  # as u32 words
FRAME = struct.Struct("<QQQQIHH")
REPLY = 4  # pattern of a reply channel
PATTERNS = {"publisher": 1, "subscriber": 1, "pusher": 2, "puller": 2, "requester": 3, "replier": 3}
KEEPER_ROLES = ("publisher", "pusher", "replier")
PAUSE_S = 0.0002
_fence = threading.Lock()


class Lapped(Exception):
    """Overtaken while copying."""


def fence() -> None:
    with _fence:
        pass


class Words:
    """A mapped file as native words."""

    def __init__(self, path: str) -> None:
        self.path, self.fd = path, os.open(path, os.O_RDWR)
        self.map = mmap.mmap(self.fd, 0)
        self.bytes = memoryview(self.map)
        self.u64, self.u32 = self.bytes.cast("Q"), self.bytes.cast("I")

    def close(self) -> None:
        for view in (self.u64, self.u32, self.bytes):
            view.release()
        self.map.close()
        os.close(self.fd)


def byte_lock(fd: int, command: int, kind: int, byte: int, length: int = 1) -> int:
    """An open-file-description lock, or the question for one; returns the kind that the kernel names."""
    done = fcntl.fcntl(fd, command, struct.pack("@hhqqi4x", kind, os.SEEK_SET, byte, length, 0))
    return int(struct.unpack("@hhqqi4x", done)[0])


class Channel(Words):
    """One endpoint of a channel, or with role "subscriber" none."""

    def __init__(self, locator: str, role: str, pattern: int = 0) -> None:
        super().__init__(path_of(locator))
        self.role, self.number, self.keeper, self.cursor, self.expected = role, 0, False, 0, 0
        self.capacity = self.u64[CAPACITY]
        if self.u32[PATTERN] != (pattern or PATTERNS[role]):
            raise Refused("UNSUPPORTED")

    @staticmethod
    def make(locator: str, pattern: int, capacity: int) -> None:
        """A reply channel is unfinished, without a magic, until its requester keeps it: else a replier that sweeps meanwhile
        would take it for a dead one's."""
        head = bytearray(RING)
        struct.pack_into("<QQQQ", head, 0, 0 if pattern == REPLY else MAGIC, 2, 0, 0)
        struct.pack_into("<QII", head, 56, capacity, pattern, 1)
        struct.pack_into("<Q", head, 104, random.getrandbits(63) | 1)
        with os.fdopen(os.open(path_of(locator), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(head + bytes(capacity))

    # -- words, locks, membership ----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        byte_lock(self.fd, fcntl.F_OFD_SETLKW, fcntl.F_WRLCK, GUARD)
        try:
            yield
        finally:
            byte_lock(self.fd, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, GUARD)

    def swap(self, words: memoryview, at: int, old: int, new: int) -> bool:
        """Compare and swap."""
        with self.guarded():
            if words[at] != old:
                return False
            words[at] = new
            return True

    def lives(self, byte: int, length: int = 1) -> bool:
        return byte_lock(self.fd, fcntl.F_OFD_GETLK, fcntl.F_RDLCK, byte, length) != fcntl.F_UNLCK

    def keeper_lives(self) -> bool:
        return self.lives(KEEPERS + 1, KEEPERS - 1)

    @contextlib.contextmanager
    def membership(self) -> Iterator[None]:
        fd = os.open(f"/proc/self/fd/{self.fd}", os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(fd)

    def take_byte(self, byte: int) -> bool:
        try:
            byte_lock(self.fd, fcntl.F_OFD_SETLK, fcntl.F_WRLCK, byte)
        except BlockingIOError:
            return False
        return True

    def join(self, *, keeper: bool, number: int = 0) -> Channel:
        self.keeper = keeper
        with self.membership():
            wanted = number or random.randrange(1, KEEPERS)
            while not self.take_byte(wanted):
                wanted = random.randrange(1, KEEPERS)
            self.number = wanted
            if keeper:
                if self.u32[STATE] == 2 or not self.keeper_lives():
                    self.u32[STATE], self.u32[OWNER] = 1, wanted
                self.take_byte(KEEPERS + wanted)
        return self

    def leave(self) -> None:
        """Section 4, and close."""
        if self.number:
            with self.membership():
                for byte in (self.number, KEEPERS + self.number):
                    byte_lock(self.fd, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, byte)
                drained = self.u64[HEAD] == self.u64[TAIL]
                if self.keeper and not self.keeper_lives():
                    self.u32[STATE] = 2
                    if self.u32[PATTERN] != 2 or drained:
                        Path(self.path).unlink(missing_ok=True)
                elif self.role == "puller" and self.u32[STATE] == 2 and drained:
                    Path(self.path).unlink(missing_ok=True)
        self.close()

    def lock(self) -> None:
        limit = time.monotonic() + 0.1
        while True:
            seen = self.u32[LOCK]
            owner = seen & (KEEPERS - 1)
            if owner == 0:
                if self.swap(self.u32, LOCK, seen, self.number):
                    return
            elif not self.lives(owner) and self.swap(self.u32, LOCK, seen, self.number):
                self.u32[EPOCH] += 1
                self.repair()
                return
            elif time.monotonic() > limit:
                raise Refused("BUSY")
            time.sleep(PAUSE_S)

    def unlock(self) -> None:
        with self.guarded():
            self.u32[LOCK] = 0

    def repair(self) -> None:
        """Section 10: the counts, from the frames that are held."""
        at, head, first = self.u64[TAIL], self.u64[HEAD], -1
        while at < head:
            size, sequence = self.u64[self.word(at)], 0
            if size != SKIP:
                sequence = self.u64[self.word(at) + 1]
                first = sequence if first < 0 else first
                self.u64[COUNT] = max(self.u64[COUNT], sequence + 1)
            at = self.behind(at, size)
        if self.u32[PATTERN] == 1:
            self.u64[DROPPED] = first if first >= 0 else self.u64[COUNT]

    # -- frames ----------------------------------------------------------------------------------------------------------

    def word(self, position: int) -> int:
        return (RING + position % self.capacity) // 8

    def behind(self, position: int, size: int) -> int:
        if size == SKIP:
            return position + self.capacity - position % self.capacity
        return position + (8 + size + 7) // 8 * 8

    def need(self, position: int, extent: int) -> int:
        room = self.capacity - position % self.capacity
        return extent if extent <= room else room + extent

    def make_room(self, head: int, need: int) -> bool:
        tail = self.u64[TAIL]
        if self.u32[PATTERN] != 1:
            return head + need - tail <= self.capacity
        evicted = 0
        while head + need - tail > self.capacity:
            size = self.u64[self.word(tail)]
            evicted += size != SKIP
            tail = self.behind(tail, size)
        self.u64[DROPPED] += evicted
        self.u64[TAIL] = tail
        return True

    def put(self, head: int, need: int, data: bytes, sequence: int, content: int, correlation: int) -> None:
        """The frame, wherever it goes."""
        extent = (40 + len(data) + 7) // 8 * 8
        if need != extent:
            self.u64[self.word(head)] = SKIP
        at = RING + (head + need - extent) % self.capacity
        frame = FRAME.pack(32 + len(data), sequence, time.time_ns(), correlation, self.number, content, 0)
        self.bytes[at : at + extent] = (frame + data).ljust(extent, b"\0")

    def publish(self, head: int, count: int) -> None:
        """The count is stored, not added to: a puller may have raised it by now."""
        fence()
        self.u64[HEAD] = head
        fence()
        self.u64[COUNT] = count

    def send(self, data: bytes, content: int = 0, correlation: int = 0) -> tuple[str, int]:
        """One message, or why not, and its sequence. BUSY is Refused."""
        self.lock()
        try:
            if self.u32[PATTERN] != 1 and self.u32[STATE] == 2:
                return "closed", 0
            head, sequence = self.u64[HEAD], self.u64[COUNT]
            need = self.need(head, (40 + len(data) + 7) // 8 * 8)
            if not self.make_room(head, need):
                self.u64[DROPPED] += 1
                return "full", 0
            fence()
            self.put(head, need, data, sequence, content, correlation)
            self.publish(head + need, sequence + 1)
        finally:
            self.unlock()
        return "ok", sequence

    # -- receiving -------------------------------------------------------------------------------------------------------

    def copy(self, at: int, head: int) -> tuple[tuple[int, ...], bytes, int]:
        """Header and payload of the frame at a position, and the position behind it; of anything impossible nothing."""
        if self.u64[self.word(at)] == SKIP:
            at = self.behind(at, SKIP)
        room = min(self.capacity // 2, head - at, self.capacity - at % self.capacity)
        if room < FRAME.size:
            raise Lapped
        fields = FRAME.unpack_from(self.bytes, RING + at % self.capacity)
        if not 32 <= fields[0] <= room - 8:
            raise Lapped
        begin = RING + at % self.capacity + FRAME.size
        return fields, bytes(self.bytes[begin : begin + fields[0] - 32]), self.behind(at, fields[0])

    def whole(self, at: int) -> bool:
        fence()
        return self.u64[TAIL] <= at

    def next(self) -> tuple[tuple[int, ...], bytes, int] | None:
        """For a subscriber: fields, payload, lost."""
        for _ in range(8):
            head = self.u64[HEAD]
            if self.cursor == head:
                return None
            with contextlib.suppress(Lapped):
                fields, data, behind = self.copy(self.cursor, head)
                if self.whole(self.cursor):
                    lost = fields[1] - self.expected
                    self.cursor, self.expected = behind, fields[1] + 1
                    return fields, data, lost
            self.cursor = max(self.cursor, self.u64[TAIL])
        return None

    def claim(self, tail: int, behind: int) -> bool:
        return self.swap(self.u64, TAIL, tail, behind)

    def pull(self) -> tuple[tuple[int, ...], bytes, int] | None:
        """For a puller, a requester's reply channel and a replier's requests. Nothing, too, if there is nothing sensible."""
        for _ in range(64):
            tail = self.u64[TAIL]
            fence()
            head = self.u64[HEAD]
            if tail == head:
                return None
            with contextlib.suppress(Lapped):
                fields, data, behind = self.copy(tail, head)
                self.raise_count(tail, fields[1] + 1)
                if self.claim(tail, behind):
                    return fields, data, 0
        return None

    def raise_count(self, tail: int, count: int) -> None:
        with self.guarded():
            if self.u64[COUNT] < count and self.u64[TAIL] == tail:
                self.u64[COUNT] = count
