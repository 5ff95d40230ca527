# SPDX-License-Identifier: MIT
"""A shmcomm segment in plain Python: header, frames, membership, lock and repair. Shares nothing with the suite."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import random
import struct
import time
from typing import Any

from logger import Refused, path_of

HEADER = {
    "magic": (0, "Q"), "version": (8, "Q"), "head": (16, "Q"), "tail": (24, "Q"), "writer_lock": (32, "I"),
    "lock_epoch": (36, "I"), "message_count": (40, "Q"), "dropped_count": (48, "Q"), "capacity": (56, "Q"),
    "pattern": (64, "I"), "state": (68, "I"), "data_signal": (72, "I"), "data_waiters": (76, "I"), "space_signal": (80, "I"),
    "space_waiters": (84, "I"), "owner_pid": (88, "I"), "serializer": (92, "I"), "heartbeat_ns": (96, "Q"),
    "instance": (104, "Q"), "owner_endpoint": (112, "I"),
}  # fmt: skip
MAGIC, RING, FRAME, SKIP, U64 = 0x53484D434F4D4D31, 128, 40, (1 << 64) - 1, (1 << 64) - 1
PUBSUB, PIPELINE, REQUEST, REPLY = 1, 2, 3, 4
KEEPER_BASE, MOST, WAITING = 0x80000000, 0x7FFFFFFF, 0x80000000
FRAME_FIELDS = ("size", "sequence", "timestamp_ns", "correlation_id", "sender", "content_type", "flags")
FRAME_FORM, LOCK_FORM = "<QQQQIHH", "hhqqi4x"
SLICE, PATIENCE, PATIENT_SLICE = 0.01, 0.1, 1.0
_FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine(), 98)
_libc = ctypes.CDLL(None, use_errno=True)


class Impossible(Exception):
    """A size that no frame can have."""


class Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def align(size: int) -> int:
    return (size + 7) & ~7


def needs(capacity: int, at: int, extent: int) -> int:
    inside = at % capacity
    return extent if inside + extent <= capacity else capacity - inside + extent


def locks(fd: int, command: int, kind: int, byte: int, length: int = 1) -> int:
    """F_OFD_SETLK or F_OFD_GETLK; the kind of the lock in the answer."""
    answer = fcntl.fcntl(fd, command, struct.pack(LOCK_FORM, kind, os.SEEK_SET, byte, length, 0))
    return int(struct.unpack(LOCK_FORM, answer)[0])


class Channel:
    """A mapped segment. `who` is what the driver injected: pid and boot_ns."""

    def __init__(self, fd: int, *, writable: bool) -> None:
        self.fd, self.writable, self.size = fd, writable, os.fstat(fd).st_size
        if self.size < RING:
            raise Refused("TRUNCATED")
        self.map = mmap.mmap(fd, self.size) if writable else mmap.mmap(fd, self.size, prot=mmap.PROT_READ)

    def __getitem__(self, name: str) -> int:
        offset, form = HEADER[name]
        return int(struct.unpack_from(f"<{form}", self.map, offset)[0])

    def __setitem__(self, name: str, value: int) -> None:
        offset, form = HEADER[name]
        struct.pack_into(f"<{form}", self.map, offset, value & (U64 if form == "Q" else 0xFFFFFFFF))

    def check(self) -> None:
        """Section 3."""
        if self["magic"] != MAGIC:
            raise Refused("BAD_MAGIC" if self["magic"] else "NOT_READY")
        if self["version"] != 2:
            raise Refused("BAD_VERSION")
        self.capacity = self["capacity"]
        power = self.capacity & (self.capacity - 1) == 0 and 4096 <= self.capacity <= 1 << 38
        if not power or not 1 <= self["pattern"] <= 4 or self["state"] not in (1, 2) or self["serializer"] > 0xFFFF:
            raise Refused("BAD_GEOMETRY")
        if self.size < RING + self.capacity:
            raise Refused("TRUNCATED")
        self.positions()

    def positions(self) -> tuple[int, int]:
        tail, head = self["tail"], self["head"]
        if tail % 8 or head % 8 or (head - tail) & U64 > self.capacity:
            raise Refused("CORRUPT")
        return tail, head

    # -- frames --------------------------------------------------------------------------------------------------------

    def place(self, at: int) -> int:
        return RING + at % self.capacity

    def word(self, at: int) -> int:
        return int(struct.unpack_from("<Q", self.map, self.place(at))[0])

    def step(self, at: int, head: int) -> tuple[int, int]:
        """Position of the next frame at or behind a mark, and its size."""
        size, inside = self.word(at), at % self.capacity
        if size == SKIP:
            begin = at - inside + self.capacity
            if inside == 0 or begin - at >= head - at:
                raise Impossible
            at, inside, size = begin, 0, self.word(begin)
        if size < 32 or align(8 + size) > min(self.capacity // 2, head - at, self.capacity - inside):
            raise Impossible
        return at, size

    def message(self, at: int, size: int) -> dict[str, Any]:
        begin = self.place(at)
        found: dict[str, Any] = dict(zip(FRAME_FIELDS, struct.unpack_from(FRAME_FORM, self.map, begin), strict=True))
        return {**found, "data": bytes(self.map[begin + FRAME : begin + 8 + size]), "position": at, "end": at + align(8 + size)}

    def frames(self) -> list[dict[str, Any]]:
        tail, head = self.positions()
        found = []
        while tail != head:
            try:
                found.append(self.message(*self.step(tail, head)))
            except Impossible:
                raise Refused("CORRUPT") from None
            tail = found[-1]["end"]
        return found

    def fields(self) -> dict[str, str]:
        found = {f"header.{name}": str(self[name]) for name in HEADER}
        for one in self.frames():
            name = f"frame[{one['sequence']}]"
            found |= {f"{name}.{each}": str(one[each]) for each in (*FRAME_FIELDS, "position")}
            found[f"{name}.payload"] = one["data"][:64].hex()
        return found

    # -- sleeping ------------------------------------------------------------------------------------------------------

    def futex(self, name: str, operation: int, value: int, seconds: float | None = None) -> None:
        word = ctypes.c_uint32.from_buffer(self.map, HEADER[name][0])
        timeout = None if seconds is None else ctypes.byref(Timespec(int(seconds), int(seconds % 1 * 1e9)))
        _libc.syscall(ctypes.c_long(_FUTEX), ctypes.byref(word), operation, ctypes.c_uint32(value), timeout, None, 0)
        del word

    def sleep(self, name: str, value: int, seconds: float) -> None:
        self.futex(name, 0, value, max(0.0, seconds))

    def rouse(self, name: str, count: int = 1 << 30) -> None:
        self.futex(name, 1, count)

    def wake(self, kind: str) -> None:
        if self[f"{kind}_waiters"]:
            self[f"{kind}_waiters"] = 0
            self[f"{kind}_signal"] += 1
            self.rouse(f"{kind}_signal")

    def count_sleeper(self, kind: str) -> None:
        if self[f"{kind}_waiters"] == 0:
            self[f"{kind}_waiters"] = 1

    # -- who lives -----------------------------------------------------------------------------------------------------

    def lives(self, number: int) -> bool:
        return locks(self.fd, fcntl.F_OFD_GETLK, fcntl.F_RDLCK, number) != fcntl.F_UNLCK

    def kept(self) -> bool:
        return locks(self.fd, fcntl.F_OFD_GETLK, fcntl.F_RDLCK, KEEPER_BASE + 1, MOST) != fcntl.F_UNLCK

    def membership(self) -> int:
        """A description that holds the membership lock, or -1 if the file has no name any more."""
        fd = os.open(f"/proc/self/fd/{self.fd}", os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd
        os.close(fd)
        return -1

    def shut(self) -> None:
        """State 2, and everybody learns of it."""
        self["state"] = 2
        for kind in ("data", "space"):
            self[f"{kind}_signal"] += 1
            self.rouse(f"{kind}_signal")

    # -- lock and repair -----------------------------------------------------------------------------------------------

    def lock(self, number: int, limit: float) -> bool:
        """Section 5. True if the lock was taken from a dead owner."""
        begun, mine = time.monotonic(), number
        while True:
            held = self["writer_lock"]
            if held & MOST == 0:
                self["writer_lock"] = mine | (held & WAITING)
                return False
            self["writer_lock"] = held | WAITING
            mine = number | WAITING
            self.sleep("writer_lock", held | WAITING, SLICE)
            if self["writer_lock"] == held | WAITING and self.succeed(held, mine):
                self["lock_epoch"] += 1
                self.mended = self.repair()
                return True
            if time.monotonic() >= limit and time.monotonic() >= begun + PATIENCE:
                raise Refused("BUSY")

    def succeed(self, held: int, mine: int) -> bool:
        """Take the lock from an owner that does not live, with its byte held; what names oneself names nobody."""
        owner, other = held & MOST, held & MOST != mine & MOST
        if self.lives(owner):
            return False
        try:
            if other:
                locks(self.fd, fcntl.F_OFD_SETLK, fcntl.F_WRLCK, owner)
        except OSError:
            return False
        self["writer_lock"] = mine
        if other:
            locks(self.fd, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, owner)
        return True

    def unlock(self) -> None:
        held = self["writer_lock"]
        self["writer_lock"] = 0
        if held & WAITING:
            self.rouse("writer_lock", 1)

    def repair(self) -> bool:
        """Section 10; whether a count was wrong."""
        try:
            frames = self.frames()
        except Refused:
            self.unlock()
            raise
        before = self["message_count"], self["dropped_count"]
        if frames:
            self["message_count"] = max(self["message_count"], frames[-1]["sequence"] + 1)
        if self["pattern"] == PUBSUB:
            self["dropped_count"] = frames[0]["sequence"] if frames else self["message_count"]
        self.wake("data")
        return before != (self["message_count"], self["dropped_count"])

    def close(self) -> None:
        self.map.close()
        os.close(self.fd)


def create(locator: str, capacity: int, pattern: int, options: dict[str, Any], who: dict[str, int], number: int) -> Channel:
    """A new segment; its number's locks and the membership lock are taken before anybody can see its magic."""
    if capacity & (capacity - 1) or not 4096 <= capacity <= 1 << 38:
        raise Refused("INVALID_ARGUMENT")
    fd = os.open(path_of(locator), os.O_RDWR | os.O_CREAT | os.O_EXCL, int(options.get("mode", "0600"), 8))
    os.ftruncate(fd, RING + capacity)
    channel = Channel(fd, writable=True)
    values = {
        "version": 2, "capacity": capacity, "pattern": pattern, "state": 1, "serializer": int(options.get("serializer", 0)),
        "owner_pid": who["pid"], "owner_endpoint": number, "heartbeat_ns": who["boot_ns"],
        "instance": int(options.get("identity", {}).get("instance", 0)) or random.getrandbits(63) + 1,
    }  # fmt: skip
    for name, value in values.items():
        channel[name] = value
    channel["magic"] = MAGIC
    channel.check()
    return channel


def attach(locator: str, timeout: float, *, writable: bool) -> Channel:
    """An existing segment, checked; waits for one that is not there or not ready."""
    limit = time.monotonic() + timeout
    while True:
        late, fd = time.monotonic() >= limit, -1
        try:
            fd = os.open(path_of(locator), os.O_RDWR if writable else os.O_RDONLY)
            channel = Channel(fd, writable=writable)
            channel.check()
            return channel
        except FileNotFoundError:
            if late:
                raise Refused("NOT_FOUND") from None
        except Refused as error:
            os.close(fd)
            if late or str(error) not in ("NOT_READY", "TRUNCATED") or not unfinished(locator):
                raise
        time.sleep(0.002)


def unfinished(locator: str) -> bool:
    """Shorter than a header, or without a magic."""
    with open(path_of(locator), "rb") as file:
        head = file.read(RING)
    return len(head) < RING or not any(head[:8])


def remove(locator: str, *, insist: bool) -> str:
    """Section 10: a stale channel."""
    try:
        channel = attach(locator, 0, writable=True)
    except Refused as error:
        if str(error) in ("NOT_READY", "TRUNCATED") and unfinished(locator):
            os.unlink(path_of(locator))
            return "ok"
        raise
    try:
        held = channel.membership()
        try:
            if channel.kept():
                raise Refused("BUSY")
            if channel["pattern"] == PIPELINE and channel["head"] != channel["tail"] and not insist:
                return "full"
            channel.shut()
            os.unlink(path_of(locator))
        finally:
            os.close(held)
    finally:
        channel.close()
    return "ok"
