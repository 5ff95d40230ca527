# SPDX-License-Identifier: MIT
"""Defects for ringer.py: what only shows when processes meet. Each is as small as it can be; where the moment is short, it is
made longer by giving up the processor, so that no test needs luck."""

from __future__ import annotations

import time
from typing import Any


def publishes_first(ring: Any) -> None:
    """The index before the elements."""

    def write(self: Any, data: bytes) -> None:
        index = self.reserve(len(data) // self.ring.width)
        self.publish(index, len(data) // self.ring.width)
        time.sleep(0.0002)
        self.put(index, data)
        ring.fcntl.flock(self.ring.fd, ring.fcntl.LOCK_UN)

    ring.Producer.write = write


def never_checks(ring: Any) -> None:
    """A copy is delivered whatever has been reserved meanwhile."""
    ring.Reader.whole = lambda self: True


def checks_the_slot(ring: Any) -> None:
    """An unchanged data_index is taken for proof."""
    ring.Reader.whole = lambda self: self.ring.found(self.cursor) == self.cursor


def miscounts(ring: Any) -> None:
    """One less than was lost."""
    plain = ring.Reader.resync

    def resync(self: Any, reserved: int) -> bool:
        before = self.lost
        done = bool(plain(self, reserved))
        self.lost -= self.lost > before
        return done

    ring.Reader.resync = resync


def stores_the_cursor(ring: Any) -> None:
    """A shared cursor is stored to, not compared first."""

    def take(self: Any, begin: int, end: int) -> bool:
        self.cursor = end
        if self.shared is not None:
            time.sleep(0.0001)
            self.shared.u64[0] = end
        return True

    ring.Reader.take = take


def takes_unproved(ring: Any) -> None:
    """The item is taken before the copy is proved whole, and then nobody gets it."""
    whole, take = ring.Reader.look, ring.Reader.take

    def look(self: Any) -> Any:
        begin = self.cursor
        if self.shared is None or not self.find():
            return None if self.shared is not None else whole(self)
        elements, data = self.copy()
        time.sleep(0.0001)
        taken = take(self, begin, self.cursor + elements)
        self.cursor -= elements
        return (elements, data) if taken and self.whole() else None

    ring.Reader.look = look
    ring.Reader.take = lambda self, begin, end: self.shared is not None or take(self, begin, end)


def reserves_over(ring: Any) -> None:
    """Producers do not ask whether the lap before is settled; nor do they hold the lock while they fill their item."""
    ring.Producer.may_reserve = lambda self, at, end: True

    def write(self: Any, data: bytes) -> None:
        index = self.reserve(len(data) // self.ring.width)
        ring.fcntl.flock(self.ring.fd, ring.fcntl.LOCK_UN)
        self.put(index, data)
        for _ in range(30 if index % 64 == 0 else 0):  # now and then it takes its time, while the others go round and round
            time.sleep(0.0001)
            self.put(index, data)
        self.publish(index, len(data) // self.ring.width)

    ring.Producer.write = write


def tells_though_alone(ring: Any) -> None:
    """settled is raised by a producer that never met another."""
    plain = ring.Producer.publish

    def publish(self: Any, index: int, elements: int) -> None:
        plain(self, index, elements)
        self.ring.u64[ring.SETTLED] = index

    ring.Producer.publish = publish


def leaves_early(ring: Any) -> None:
    """A reader ends when it is told to, whatever is left."""
    plain = ring.Reading.keep

    def keep(self: Any, *item: Any) -> None:
        if not self.until.bytes[0]:
            plain(self, *item)

    ring.Reading.keep = keep
