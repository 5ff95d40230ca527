# SPDX-License-Identifier: MIT
"""Defects for courier.py: what only shows when processes meet, or die. Each is as small as it can be; where the moment is short,
it is made longer by giving up the processor, so that no test needs luck."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import Any

MOMENT_S = 0.0002


def publishes_first(box: Any, _: Any) -> None:
    """head before the frame."""
    put, publish, kept = box.Channel.put, box.Channel.publish, []

    def late_put(self: Any, *what: Any) -> None:
        kept[:] = what

    def early(self: Any, head: int, count: int) -> None:
        publish(self, head, count)
        time.sleep(MOMENT_S)
        put(self, *kept)

    box.Channel.put, box.Channel.publish = late_put, early


def counts_first(box: Any, _: Any) -> None:
    """message_count before head."""

    def publish(self: Any, head: int, count: int) -> None:
        self.u64[box.COUNT] = count
        time.sleep(MOMENT_S)
        self.u64[box.HEAD] = head

    box.Channel.publish = publish


def never_checks(box: Any, _: Any) -> None:
    """A copy is delivered whatever was evicted meanwhile."""
    plain = box.Channel.copy

    def copy(self: Any, at: int, head: int) -> Any:
        fields, _, behind = plain(self, at, head)
        time.sleep(MOMENT_S)
        return fields, plain(self, at, head)[1], behind

    box.Channel.copy, box.Channel.whole = copy, lambda self, at: True


def checks_first(box: Any, _: Any) -> None:
    """tail is looked at before the copy, not behind it."""
    plain = box.Channel.copy

    def copy(self: Any, at: int, head: int) -> Any:
        if self.role == "subscriber" and self.u64[box.TAIL] > at:
            raise box.Lapped
        fields, _, behind = plain(self, at, head)
        time.sleep(MOMENT_S)
        return fields, plain(self, at, head)[1], behind

    box.Channel.copy, box.Channel.whole = copy, lambda self, at: True


def miscounts(box: Any, _: Any) -> None:
    """One less than was lost."""
    plain = box.Channel.next

    def next_(self: Any) -> Any:
        found = plain(self)
        return found and (*found[:2], max(0, found[2] - 1))

    box.Channel.next = next_


def drops_uncounted(box: Any, _: Any) -> None:
    """Evicted messages are not counted."""
    plain = box.Channel.make_room

    def make_room(self: Any, head: int, need: int) -> Any:
        before = self.u64[box.DROPPED]
        done = plain(self, head, need)
        if self.role == "publisher":
            self.u64[box.DROPPED] = before
        return done

    box.Channel.make_room = make_room


def refuses_uncounted(box: Any, _: Any) -> None:
    """Neither are calls that were refused."""
    plain = box.Channel.send

    def send(self: Any, *what: Any) -> Any:
        before = self.u64[box.DROPPED]
        done = plain(self, *what)
        if done[0] == "full":
            self.u64[box.DROPPED] = before
        return done

    box.Channel.send = send


def overwrites(box: Any, _: Any) -> None:
    """A pusher asks for nothing but that the frame fits into the ring."""
    plain = box.Channel.make_room
    box.Channel.make_room = lambda self, head, need: self.role == "pusher" or plain(self, head, need)


def writes_unlocked(box: Any, _: Any) -> None:
    """Nobody takes the lock."""

    def lock(_: Any) -> None:
        pass

    plain = box.Channel.put

    def put(self: Any, *what: Any) -> None:
        time.sleep(MOMENT_S)
        plain(self, *what)

    box.Channel.lock, box.Channel.put = lock, put


def stores_tail(box: Any, _: Any) -> None:
    """A puller stores tail without a look."""

    def claim(self: Any, _: int, behind: int) -> bool:
        time.sleep(MOMENT_S)
        self.u64[box.TAIL] = max(behind, self.u64[box.TAIL])
        return True

    box.Channel.claim = claim


def takes_first(box: Any, _: Any) -> None:
    """A puller takes the message, and copies it then."""

    def pull(self: Any) -> Any:
        tail, head = self.u64[box.TAIL], self.u64[box.HEAD]
        if tail == head:
            return None
        try:
            behind = self.copy(tail, head)[2]
        except box.Lapped:
            return None
        if not self.claim(tail, behind):
            return None
        time.sleep(MOMENT_S)
        try:
            fields, data, _ = self.copy(tail, head)
        except box.Lapped:
            fields, data = (56, 0, 0, 0, 0, 0, 0), bytes(24)
        return fields, data, 0

    box.Channel.pull = pull


def holds_nothing(box: Any, _: Any) -> None:
    """No endpoint holds the byte of its number."""
    plain = box.Channel.take_byte
    box.Channel.take_byte = lambda self, byte: byte < box.KEEPERS or plain(self, byte)


def keeps_nothing(box: Any, _: Any) -> None:
    """No keeper holds the byte of keepers."""
    plain = box.Channel.take_byte
    box.Channel.take_byte = lambda self, byte: byte >= box.KEEPERS or plain(self, byte)


def keeps_the_epoch(box: Any, _: Any) -> None:
    """Who takes the lock from the dead does not say so."""
    plain = box.Channel.repair

    def repair(self: Any) -> None:
        self.u32[box.EPOCH] -= 1
        plain(self)

    box.Channel.repair = repair


def forgets_the_dropped(box: Any, _: Any) -> None:
    """Repair sets dropped_count back."""
    plain = box.Channel.repair

    def repair(self: Any) -> None:
        plain(self)
        self.u64[box.DROPPED] = 0

    box.Channel.repair = repair


def leaves_the_name(box: Any, _: Any) -> None:
    """The last keeper leaves, and the name stays."""

    class Lasting(type(Path())):  # type: ignore[misc]
        def unlink(self, missing_ok: bool = False) -> None:
            del missing_ok

    box.Path = Lasting


def stays_open(box: Any, _: Any) -> None:
    """The last keeper leaves, and the channel stays open."""
    plain = box.Channel.leave

    def leave(self: Any) -> None:
        words = box.Words(self.path) if Path(self.path).exists() else None
        plain(self)
        if words is not None:
            words.u32[box.STATE] = 1
            words.close()

    box.Channel.leave = leave


def counts_the_busy(_: Any, courier: Any) -> None:
    """A lock that is held for long counts as want of room."""
    plain = courier.Actor.insist

    def insist(self: Any, send: Any, *what: Any) -> Any:
        def once(*given: Any) -> Any:
            try:
                return send(*given)
            except courier.Refused:
                return "full"

        return plain(self, once, *what)

    courier.Actor.insist = insist


def replies_twice(_: Any, courier: Any) -> None:
    """A reply is sent twice."""
    plain = courier.Replier.reply

    def reply(self: Any, *what: Any) -> Any:
        plain(self, *what)
        return plain(self, *what)

    courier.Replier.reply = reply


def replies_anything(_: Any, courier: Any) -> None:
    """A requester takes what comes for the reply to its request, and a replier answers the request before."""
    plain, before = courier.Replier.reply, [b"?"]

    def reply(self: Any, fields: Any, data: bytes) -> Any:
        data, before[0] = before[0], data
        return plain(self, fields, data)

    courier.Replier.reply = reply


def requests_by_another(box: Any, courier: Any) -> None:
    """A requester has one number in the request channel and another one in the name of its reply channel."""
    plain = courier.Channel.make

    class Channel(box.Channel):  # type: ignore[misc]
        @staticmethod
        def make(locator: str, pattern: int, capacity: int) -> None:
            plain(locator if pattern != 4 else f"{locator}1", pattern, capacity)

        def __init__(self, locator: str, role: str, pattern: int = 0) -> None:
            mine = pattern == 4 and role == "requester"
            super().__init__(f"{locator}1" if mine else locator, role, pattern)

    courier.Channel = Channel


def never_sweeps(_: Any, courier: Any) -> None:
    """The reply channels of the dead stay."""
    courier.Replier.sweep = lambda self: None


def makes_anew(box: Any, courier: Any) -> None:
    """A keeper that finds no other keeper makes a new channel."""
    plain = courier.opened

    def opened(locator: str, role: str, options: dict[str, Any]) -> Any:
        if options.get("making") == "any":
            Path(box.path_of(locator)).unlink()
        return plain(locator, role, options)

    courier.opened = opened


def restarts(box: Any, courier: Any) -> None:
    """A keeper that finds no other keeper counts from the beginning."""
    plain = courier.opened

    def opened(locator: str, role: str, options: dict[str, Any]) -> Any:
        end = plain(locator, role, options)
        if options.get("making") == "any":
            end.u64[box.COUNT] = 0
        return end

    courier.opened = opened


def takes_from_the_living(box: Any, _: Any) -> None:
    """Everybody looks dead to who waits for the lock."""
    plain = box.Channel.lives

    def lives(self: Any, byte: int, length: int = 1) -> Any:
        return length > 1 and plain(self, byte, length)

    slow = box.Channel.put

    def put(self: Any, *what: Any) -> None:
        time.sleep(MOMENT_S)
        slow(self, *what)

    box.Channel.lives, box.Channel.put = lives, put


def shares_a_description(box: Any, _: Any) -> None:
    """All numbers are locked for the process, not by a description of their own: a lock that the runner does not find behind a
    close of any other."""
    plain = box.byte_lock

    def byte_lock(fd: int, command: int, kind: int, byte: int, length: int = 1) -> int:
        if byte != box.GUARD and command == fcntl.F_OFD_SETLK:
            command = fcntl.F_SETLK
        return int(plain(fd, command, kind, byte, length))

    box.byte_lock = byte_lock
