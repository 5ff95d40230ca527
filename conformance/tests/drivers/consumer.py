# SPDX-License-Identifier: MIT
"""The skeleton with consuming added (class read), and, with --broken NAME, one defect planted in it.

Good enough for fixtures, where one process works at a time: its stores are not atomic, so it claims neither live nor write.
"""

from __future__ import annotations

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

MASK = (1 << 64) - 1
Refused = skeleton.Refused


class TooSmall(Exception):
    """Carries the size that is needed."""


class Segment(skeleton.Segment):  # type: ignore[misc]
    """A segment that may be mapped for writing."""

    def __init__(self, locator: str, choice: str, timeout_ms: int, *, writable: bool = False) -> None:
        super().__init__(locator, choice, timeout_ms)
        self.path = locator if locator.count("/") > 1 else "/dev/shm" + locator
        if writable:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            self.map.close()
            self.map = mmap.mmap(fd, self.size)
            os.close(fd)

    def store(self, offset: int, value: int) -> None:
        struct.pack_into("<Q", self.map, offset, value & MASK)

    def release(self, one: dict[str, int], at: int, head: int) -> None:
        self.store(at, head + one["capacity"])

    def consume(self, index: int, buffer: int) -> dict[str, Any] | None:
        """The next message; None when the channel is empty."""
        while True:
            one = self.channel(index)
            head, capacity = one["head"], one["capacity"]
            at = one["band_offset"] + skeleton.SLOT * (head % capacity)
            sequence = self.word(at)
            if sequence in (head, (head - capacity + 1) & MASK):
                return None
            if sequence != (head + 1) & MASK:
                raise Refused("CORRUPT")
            slot = self.map[at : at + skeleton.SLOT]
            try:
                item = self.message(slot, head)
            except Refused:
                self.store(self.head_at(index), head + 1)
                self.release(one, at, head)
                raise
            if item is not None and len(item["data"]["hex"]) // 2 > buffer:
                raise TooSmall(str(len(item["data"]["hex"]) // 2))
            self.store(self.head_at(index), head + 1)
            self.release(one, at, head)
            if item is not None:
                return dict(item)

    @staticmethod
    def head_at(index: int) -> int:
        return int(128 + skeleton.ENTRY * index + 256)


class Driver(skeleton.Driver):  # type: ignore[misc]
    """Classes inspect, hardened and read."""

    segment_type = Segment

    def __init__(self) -> None:
        super().__init__()
        self.writable: set[int] = set()
        self.owed: Exception | None = None  # an error met after some items: the answer of the next read

    def hello(self, ask: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = super().hello(ask)
        reply["profiles"]["dmxp"]["classes"].append("read")
        return reply

    def reset(self, ask: dict[str, Any]) -> dict[str, Any]:
        self.owed = None
        return dict(super().reset(ask))

    def open(self, ask: dict[str, Any]) -> dict[str, Any]:
        if ask["profile"] != "dmxp":
            raise Refused("UNSUPPORTED")
        choice, writable = ask.get("options", {}).get("payload", "crate"), ask["mode"] == "rw"
        segment = self.segment_type(ask["seg"], choice, ask.get("timeout_ms", 0), writable=writable)
        self.last += 1
        self.handles[self.last] = segment
        if writable:
            self.writable.add(self.last)
        return {"h": self.last}

    def read(self, ask: dict[str, Any]) -> dict[str, Any]:
        if ask["mode"] == "peek":
            return dict(super().read(ask))
        if ask["h"] not in self.writable:
            raise Refused("PERMISSION")
        if ask["mode"] != "try":
            raise Refused("UNSUPPORTED")
        if self.owed is not None:
            error, self.owed = self.owed, None
            raise error
        items: list[dict[str, Any]] = []
        while len(items) < ask["max"]:
            try:
                item = self.handles[ask["h"]].consume(ask["channel"], ask.get("buffer", 1024))
            except (Refused, TooSmall) as error:
                if not items:
                    raise
                self.owed = error
                break
            if item is None:
                break
            items.append(item)
        return {"st": "ok" if items else "empty", "items": items}


# -- defects: each is what an implementer got wrong, as small as it can be ---------------------------------------------


def payload_offset(driver: type[Driver]) -> None:
    """The document layout in a segment that declares the crate layout: 16 bytes too late."""
    skeleton.AREA[2] = (64, 1024)


def slot_not_released(driver: type[Driver]) -> None:
    """The consumer of the source's documents: head moves on, the slot's sequence stays."""
    Segment.release = lambda self, one, at, head: None  # type: ignore[method-assign]


def trusts_payload_len(driver: type[Driver]) -> None:
    """Copies as many bytes as payload_len says."""
    skeleton.AREA.update({1: (64, 1 << 32), 2: (48, 1 << 32)})


def accepts_version_2(driver: type[Driver]) -> None:
    """Does not look at the version."""
    real = struct.unpack_from

    def without_version(form: str, buffer: Any, offset: int = 0) -> tuple[Any, ...]:
        values = real(form, buffer, offset)
        return (1, *values[1:]) if (form, offset) == ("<IIII", 8) else values

    skeleton.struct.unpack_from = without_version


def writes_while_read_only(driver: type[Driver]) -> None:
    """Counts its looks in the segment."""
    plain = driver.read

    def read(self: Driver, ask: dict[str, Any]) -> dict[str, Any]:
        with open(self.handles[ask["h"]].path, "r+b") as file:
            file.seek(128 + 24)
            file.write(b"\x09")
        return plain(self, ask)

    driver.read = read  # type: ignore[method-assign]


def hangs(driver: type[Driver]) -> None:
    """Spins for ever on a state that no rule can produce."""
    plain = driver.read

    def read(self: Driver, ask: dict[str, Any]) -> dict[str, Any]:
        try:
            return plain(self, ask)
        except Refused:
            time.sleep(3600)
            raise

    driver.read = read  # type: ignore[method-assign]


def crashes(driver: type[Driver]) -> None:
    """Dies where it should say CORRUPT."""
    plain = driver.read

    def read(self: Driver, ask: dict[str, Any]) -> dict[str, Any]:
        try:
            return plain(self, ask)
        except Refused:
            os.kill(os.getpid(), 11)
            raise

    driver.read = read  # type: ignore[method-assign]


def prints_noise(driver: type[Driver]) -> None:
    """A debugging line on standard output, which is for replies."""
    plain = driver.inspect

    def inspect(self: Driver, ask: dict[str, Any]) -> dict[str, Any]:
        os.write(REPLIES, b"debug: inspecting\n")
        return dict(plain(self, ask))

    driver.inspect = inspect


def skips(driver: type[Driver]) -> None:
    """Claims class read and then does not do it."""
    driver.skipping = True  # type: ignore[attr-defined]


def reads_claimed_slot(driver: type[Driver]) -> None:
    """Takes the message at head without looking at its sequence."""

    def word(self: Segment, offset: int) -> int:
        value = int(struct.unpack_from("<Q", self.map, offset)[0])
        inside = (offset - skeleton.HEADER) % skeleton.SLOT == 0 and offset >= skeleton.HEADER
        return self.word(self.head_at(0)) + 1 if inside else value

    Segment.word = word  # type: ignore[method-assign]


def wrong_error(driver: type[Driver]) -> None:
    """Refuses for the right reason under the wrong name."""
    plain = driver.open

    def open_(self: Driver, ask: dict[str, Any]) -> dict[str, Any]:
        try:
            return plain(self, ask)
        except Refused:
            raise Refused("CORRUPT") from None

    driver.open = open_  # type: ignore[method-assign]


DEFECTS = (
    payload_offset, slot_not_released, trusts_payload_len, accepts_version_2, writes_while_read_only, hangs, crashes,
    prints_noise, skips, reads_claimed_slot, wrong_error,
)  # fmt: skip
REPLIES = 1


def main() -> None:
    global REPLIES
    REPLIES = os.dup(1)
    if "--broken" in sys.argv:
        name = sys.argv[sys.argv.index("--broken") + 1]
        next(defect for defect in DEFECTS if defect.__name__ == name)(Driver)
    plain = skeleton.answer

    def answer(driver: Driver, ask: dict[str, Any]) -> dict[str, Any]:
        if getattr(driver, "skipping", False) and ask.get("cmd") == "read" and ask.get("mode") != "peek":
            return {"skip": {"reason": "not today"}}
        try:
            return dict(plain(driver, ask))
        except TooSmall as error:
            return {"err": {"code": "TOO_SMALL", "needed": str(error)}}

    skeleton.Driver, skeleton.answer = Driver, answer
    skeleton.main()


if __name__ == "__main__":
    main()
