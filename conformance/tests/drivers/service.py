# SPDX-License-Identifier: MIT
"""Subscribers, requesters and repliers of shmcomm in plain Python (spec/shmcomm.md, sections 7.1 and 9)."""

from __future__ import annotations

import contextlib
import glob
import random
import time
from typing import Any

import channel
from channel import REPLY, U64, Impossible
from logger import Refused, TooSmall, path_of
from member import Closed, Endpoint, Lost, Reply

AGE = 0.001


class Lapped(Exception):
    """Overtaken again and again."""


class Subscriber(Endpoint):
    """Or an observer: of any pattern, from the oldest message."""

    def __init__(self, role: str, locator: str, options: dict[str, Any], who: dict[str, int], timeout: float) -> None:
        super().__init__(role, locator, options, who, timeout)
        self.views: dict[int, int] = {}
        self.seek("oldest" if role == "observer" else options.get("from", "latest"))

    def join(self, timeout: float) -> channel.Channel:
        ch = channel.attach(self.locator, timeout, writable=self.options["how"] == "rw" and not self.options.get("read_only"))
        if self.role != "observer" and ch["pattern"] != self.pattern:
            ch.close()
            raise Refused("UNSUPPORTED")
        return ch

    def seek(self, start: str) -> None:
        self.cursor = self.ch["tail" if start == "oldest" else "head"]
        self.expected = None if start == "oldest" else self.ch["message_count"]

    def leave(self) -> None:
        self.ch.close()

    close = leave

    def overtaken(self, at: int) -> bool:
        """Whether tail has passed a position, as a signed difference."""
        return 0 < (self.ch["tail"] - at) & U64 < 1 << 63

    def receive(self, room: int | None = None) -> dict[str, Any] | None:
        ch = self.ch
        for _ in range(8):
            head = ch["head"]
            if self.cursor == head:
                self.nothing(head)
                return None
            found = self.look(head, room)
            if found is not None:
                return self.deliver(found)
            self.cursor = ch["tail"]
            if (ch["head"] - self.cursor) & U64 > ch.capacity:
                raise Refused("CORRUPT")
        raise Lapped

    def look(self, head: int, room: int | None) -> dict[str, Any] | None:
        """Steps 2 to 5; None if the message was overtaken."""
        message = None
        if (head - self.cursor) & U64 <= self.ch.capacity:
            with contextlib.suppress(Impossible):
                message = self.ch.message(*self.ch.step(self.cursor, head))
        if self.overtaken(self.cursor):
            return None
        if message is None:
            raise Refused("CORRUPT")
        if room is not None and len(message["data"]) > room:
            raise TooSmall(len(message["data"]))
        return message

    def deliver(self, message: dict[str, Any]) -> dict[str, Any]:
        lost = (message["sequence"] - (message["sequence"] if self.expected is None else self.expected)) & U64
        lost = lost if lost < 1 << 63 else 0
        self.counts["lost"] += lost
        self.expected = message["sequence"]
        if lost and self.options.get("tell_lost"):
            raise Lost(lost)
        self.expected += 1
        self.cursor = message["end"]
        self.counts["received"] += 1
        return {**message, "lost": lost}


class Requester(Endpoint):
    """One request at a time."""

    def __init__(self, role: str, locator: str, options: dict[str, Any], who: dict[str, int], timeout: float) -> None:
        super().__init__(role, locator, options, who, timeout)
        self.correlation = int(self.identity.get("correlation_id", 0)) or random.getrandbits(63) + 1
        self.asked = 0
        while True:
            try:
                self.replies = Reply(f"{reply_stem(locator)}_{self.number}", options, who, self.number)
                return
            except FileExistsError:
                self.again()

    def again(self) -> None:
        """The name of the reply channel is taken: a dead requester's is removed, a living one's means another number."""
        try:
            channel.remove(f"{reply_stem(self.locator)}_{self.number}", insist=True)
        except Refused as error:
            super().close()
            if str(error) != "BUSY" or self.identity.get("endpoint"):
                raise
            self.ch = self.join(0)

    def send(self, data: bytes, meta: dict[str, Any], timeout: float = 0, *, wait: bool = False) -> int:
        while Endpoint.receive(self.replies) is not None:
            pass
        number = self.correlation
        sequence = super().send(data, {**meta, "correlation_id": number}, timeout, wait=wait)
        self.asked, self.correlation = number, (number + 1) & U64 or 1
        return sequence

    def receive(self, room: int | None = None) -> dict[str, Any] | None:
        if not self.asked:
            raise Refused("OUT_OF_ORDER")
        while (message := self.replies.receive(room)) is not None:
            if message["correlation_id"] == self.asked:
                self.asked = 0
                return message
            self.counts["discarded"] += 1
        return None

    def wait(self, kind: str, attempt: Any, limit: float) -> Any:
        return self.replies.wait(kind, attempt, limit) if kind == "data" else super().wait(kind, attempt, limit)

    def leave(self) -> None:
        self.replies.close()
        super().leave()

    close = leave


class Replier(Endpoint):
    def __init__(self, role: str, locator: str, options: dict[str, Any], who: dict[str, int], timeout: float) -> None:
        super().__init__(role, locator, options, who, timeout)
        self.known: dict[int, Endpoint] = {}
        sweep(locator)

    def slept(self) -> None:
        sweep(self.locator)

    def reply(self, request: dict[str, Any], data: bytes, meta: dict[str, Any], timeout: float) -> None:
        """Section 9; raises Closed if it was dropped."""
        to = self.find(request["sender"], request["taken"])
        if to is None:
            self.counts["unanswered"] += 1
            raise Closed
        to.send(data, {**meta, "correlation_id": request["correlation_id"]}, timeout, wait=timeout > 0)

    def find(self, number: int, taken: float) -> Endpoint | None:
        locator, to, fresh = f"{reply_stem(self.locator)}_{number}", self.known.get(number), False
        if to is not None and to.ch["state"] == 2:
            self.known.pop(number).ch.close()
            to = None
        if to is None:
            try:
                to = Endpoint("reply", locator, {"pattern": REPLY, "keeper": False}, self.who)
            except Refused:
                return None
            self.known[number], fresh = to, True
        if to.ch["state"] == 2:
            return None
        if (fresh or time.monotonic() - taken >= AGE) and not to.ch.kept():
            channel.remove(locator, insist=True)
            return None
        return to

    def leave(self) -> None:
        for to in self.known.values():
            to.ch.close()
        sweep(self.locator)
        super().leave()

    close = leave


def reply_stem(locator: str) -> str:
    return locator.replace("/shmcomm_req_", "/shmcomm_rep_", 1) if locator.startswith("/shmcomm_req_") else f"{locator}_rep"


def sweep(locator: str) -> int:
    """Remove the reply channels of a service whose requester does not live."""
    swept = 0
    for path in glob.glob(f"{glob.escape(path_of(reply_stem(locator)))}_*"):
        if not path.rpartition("_")[2].isdigit():
            continue
        with contextlib.suppress(Refused):
            ch = channel.attach(path, 0, writable=True)
            mine = ch["pattern"] == REPLY
            ch.close()
            swept += mine and channel.remove(path, insist=True) == "ok"
    return swept
