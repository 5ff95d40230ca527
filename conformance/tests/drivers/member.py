# SPDX-License-Identifier: MIT
"""Endpoints of shmcomm channels in plain Python: joining and leaving, sending, receiving (spec/shmcomm.md, sections 4 to 8)."""

from __future__ import annotations

import fcntl
import os
import random
import struct
import time
from collections.abc import Callable
from typing import Any

import channel
from channel import FRAME, MOST, PIPELINE, PUBSUB, REPLY, REQUEST, SKIP, U64, Channel, Impossible, align, locks, needs
from logger import Refused, TooSmall, path_of

ROLES = {
    "publisher": PUBSUB, "subscriber": PUBSUB, "pusher": PIPELINE, "puller": PIPELINE, "requester": REQUEST, "replier": REQUEST,
}  # fmt: skip
KEEPERS = ("publisher", "pusher", "replier")
DEFAULT_CAPACITY = 4 << 20


class Lost(Exception):
    """A subscriber with tell_lost missed so many messages."""


class Closed(Exception):
    pass


class Full(Exception):
    pass


class Timeout(Exception):
    pass


class Endpoint:
    """One end of a channel. `pattern` overrides that of the role: repliers push into reply channels."""

    def __init__(self, role: str, locator: str, options: dict[str, Any], who: dict[str, int], timeout: float = 0) -> None:
        self.role, self.locator, self.options, self.who = role, locator, options, who
        self.pattern = int(options.get("pattern", ROLES.get(role, 0)))
        self.keeper = options.get("keeper", role in KEEPERS)
        self.number, self.sole, self.claimed = 0, False, False
        self.counts = dict.fromkeys(("sent", "received", "lost", "refused", "discarded", "unanswered", "takeovers"), 0)
        self.identity = options.get("identity", {})
        self.ch = self.join(timeout)

    # -- joining and leaving -------------------------------------------------------------------------------------------

    def join(self, timeout: float) -> Channel:
        making = self.options.get("making", "join")
        while True:
            there = os.path.exists(path_of(self.locator))
            if self.keeper and (making == "create" or (making == "any" and not there)):
                return self.make()
            try:
                ch = channel.attach(self.locator, timeout, writable=True)
            except Refused as error:
                if not self.keeper or making == "join" or str(error) not in ("NOT_READY", "TRUNCATED"):
                    raise
                if not channel.unfinished(self.locator):
                    raise
                os.unlink(path_of(self.locator))
                continue
            if self.enter(ch):
                return ch

    def make(self) -> Channel:
        capacity, number = int(self.options.get("capacity", DEFAULT_CAPACITY)), self.draw()
        ch = channel.create(self.locator, capacity, self.pattern, self.options, self.who, number)
        self.take(ch, number)
        return ch

    def draw(self) -> int:
        return int(self.identity.get("endpoint", 0)) or random.randint(1, MOST)

    def take(self, ch: Channel, number: int) -> bool:
        """Be the endpoint of that number, if nobody else is."""
        if number == ch["writer_lock"] & MOST:
            return False
        try:
            locks(ch.fd, fcntl.F_OFD_SETLK, fcntl.F_WRLCK, number)
        except OSError:
            return False
        if self.keeper:
            locks(ch.fd, fcntl.F_OFD_SETLK, fcntl.F_WRLCK, channel.KEEPER_BASE + number)
        self.number = number
        return True

    def enter(self, ch: Channel) -> bool:
        """Steps 2 to 6 of joining; False if the segment has lost its name."""
        if ch["pattern"] != self.pattern:
            ch.close()
            raise Refused("UNSUPPORTED")
        held = ch.membership()
        if held < 0:
            ch.close()
            return False
        try:
            alone = not ch.kept()
            while not self.take(ch, self.draw()):
                if self.identity.get("endpoint"):
                    ch.close()
                    raise Refused("BUSY")
            if self.keeper and (alone or ch["state"] == 2):
                self.own(ch)
        finally:
            os.close(held)
        if self.keeper:
            ch["heartbeat_ns"] = self.who["boot_ns"]
        return True

    def own(self, ch: Channel) -> None:
        ch["state"] = 1
        ch["owner_pid"], ch["owner_endpoint"] = self.who["pid"], self.number

    def leave(self) -> None:
        """Section 4."""
        ch = self.ch
        if ch["writer_lock"] & MOST == self.number:
            ch.unlock()
        held = ch.membership()
        if held >= 0:
            self.part(ch)
            os.close(held)
        ch.close()

    def part(self, ch: Channel) -> None:
        if self.keeper and not ch.kept():
            ch.shut()
            if ch["pattern"] != PIPELINE or ch["head"] == ch["tail"]:
                os.unlink(path_of(self.locator))
        elif self.role == "puller" and self.drained():
            os.unlink(path_of(self.locator))

    def drained(self) -> bool:
        """Whether the name of a closed pipeline is to go."""
        ch = self.ch
        return ch["pattern"] == PIPELINE and ch["state"] == 2 and ch["head"] == ch["tail"] and not ch.kept()

    close = leave

    # -- sending -------------------------------------------------------------------------------------------------------

    def lock(self, limit: float) -> None:
        if not self.sole and self.ch.lock(self.number, limit):
            self.counts["takeovers"] += 1

    def unlock(self) -> None:
        if not self.sole:
            self.ch.unlock()

    def keep_lock(self) -> None:
        """Sole writer: from now until the end."""
        self.lock(0)
        self.sole = True

    def refuse_large(self, lengths: list[int]) -> None:
        if any(align(FRAME + length) > self.ch.capacity // 2 for length in lengths):
            raise Refused("TOO_LARGE")

    def room(self, length: int) -> int | None:
        """With the lock held: the position of the frame, or None if there is no room; what is refused frees the lock."""
        ch, extent = self.ch, align(FRAME + length)
        try:
            if ch["pattern"] != PUBSUB and ch["state"] == 2:
                raise Closed
            tail, head = ch.positions()
            need = needs(ch.capacity, head, extent)
            if ch["pattern"] == PUBSUB:
                self.evict(tail, head, need)
            elif head + need - tail > ch.capacity:
                return None
            return head + need - extent
        except (Refused, Closed):
            self.unlock()
            raise

    def evict(self, tail: int, head: int, need: int) -> None:
        ch, gone, begin = self.ch, 0, tail
        while head + need - tail > ch.capacity:
            if ch.word(tail) == SKIP and tail % ch.capacity:
                tail += ch.capacity - tail % ch.capacity
                continue
            try:
                at, size = ch.step(tail, head)
            except Impossible:
                raise Refused("CORRUPT") from None
            tail, gone = at + align(8 + size), gone + 1
        if tail != begin:
            ch["dropped_count"] += gone
            ch["tail"] = tail

    def store(self, at: int, data: bytes, meta: dict[str, Any]) -> int:
        """The mark, the frame, head, and the count."""
        ch, sequence, head = self.ch, self.ch["message_count"], self.ch["head"]
        if at != head:
            struct.pack_into("<Q", ch.map, ch.place(head), SKIP)
        content, flags = int(meta.get("content_type", ch["serializer"])), int(meta.get("flags", 0))
        stamp, correlation = int(meta.get("timestamp_ns", 0)), int(meta.get("correlation_id", 0))
        begin, extent = ch.place(at), align(FRAME + len(data))
        frame = struct.pack(channel.FRAME_FORM, 32 + len(data), sequence, stamp, correlation, self.number, content, flags)
        ch.map[begin : begin + extent] = (frame + data).ljust(extent, b"\0")
        ch["head"] = at + extent
        ch["message_count"] = sequence + 1
        self.counts["sent"] += 1
        return sequence

    def send(self, data: bytes, meta: dict[str, Any], timeout: float = 0, *, wait: bool = False) -> int:
        """One message; its sequence."""
        limit = time.monotonic() + timeout
        at = self.acquire(len(data), limit, wait=wait)
        sequence = self.store(at, data, meta)
        self.ch.wake("data")
        self.unlock()
        return sequence

    def acquire(self, length: int, limit: float, *, wait: bool) -> int:
        """The lock and a position in the ring."""
        self.refuse_large([length])

        def attempt() -> int | None:
            self.lock(limit)
            at = self.room(length)
            if at is None:
                self.unlock()
            return at

        at = attempt()
        if at is None and wait:
            at = self.wait("space", attempt, limit)
        if at is None:
            self.ch["dropped_count"] += 1
            self.counts["refused"] += 1
            raise Timeout if wait else Full
        return at

    def batch(self, datas: list[bytes], meta: dict[str, Any]) -> tuple[list[int], str]:
        """Sequences, and what stopped it."""
        self.refuse_large([len(data) for data in datas])
        sent: list[int] = []
        for data in datas:
            try:
                sent.append(self.send(data, meta))
            except (Full, Closed) as error:
                return sent, type(error).__name__.lower()
        return sent, ""

    # -- waiting -------------------------------------------------------------------------------------------------------

    def wait(self, kind: str, attempt: Callable[[], Any], limit: float) -> Any:
        """Section 8. What the attempt returned, or None when the time is over; the last look comes after that."""
        ch = self.ch
        while True:
            signal = ch[f"{kind}_signal"]
            if ch.writable:
                ch.count_sleeper(kind)
            late = time.monotonic() >= limit
            found = attempt()
            if found is not None or late:
                return found
            if ch.writable:
                ch.sleep(f"{kind}_signal", signal, min(1.0, limit - time.monotonic()))
            else:
                time.sleep(0.001)
            self.slept()

    def slept(self) -> None:
        """Something to do between two sleeps."""

    # -- receiving -----------------------------------------------------------------------------------------------------

    def nothing(self, at: int) -> None:
        """Rule receive.closed."""
        if self.ch["state"] == 2 and self.ch["head"] == at:
            raise Closed

    def receive(self, room: int | None = None) -> dict[str, Any] | None:
        """A puller's next message, or None."""
        ch = self.ch
        tail, head = ch["tail"], ch["head"]
        if tail == head:
            if self.drained():
                held = ch.membership()
                if held >= 0:
                    os.unlink(path_of(self.locator))
                    os.close(held)
            self.nothing(tail)
            return None
        try:
            if (head - tail) & U64 > ch.capacity:
                raise Impossible
            message = ch.message(*ch.step(tail, head))
        except Impossible:
            raise Refused("CORRUPT") from None
        if room is not None and len(message["data"]) > room:
            raise TooSmall(len(message["data"]))
        if ch["message_count"] <= message["sequence"]:
            ch["message_count"] = message["sequence"] + 1
        ch["tail"] = message["end"]
        ch.wake("space")
        self.counts["received"] += 1
        return {**message, "lost": 0, "taken": time.monotonic()}


class Reply(Endpoint):
    """A requester's channel of replies."""

    def __init__(self, locator: str, options: dict[str, Any], who: dict[str, int], number: int) -> None:
        identity = {key: value for key, value in options.get("identity", {}).items() if key == "instance"}
        capacity = options.get("capacity", 1 << 20)
        mine = {"pattern": REPLY, "keeper": True, "making": "create", "capacity": capacity}
        super().__init__("reply", locator, {**mine, "identity": {**identity, "endpoint": number}}, who)
