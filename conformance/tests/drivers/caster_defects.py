# SPDX-License-Identifier: MIT
"""Defects for channel.py, member.py and service.py: each is what an implementer may get wrong, as small as can be."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

Modules = Any  # of the three modules: .channel, .member, .service


def no_recheck(m: Modules) -> None:
    """What was copied is delivered, whether tail has passed it or not."""
    m.service.Subscriber.overtaken = lambda *_: False


def rechecks_behind_the_mark(m: Modules) -> None:
    """Tail is compared with the position that a mark leads to."""
    plain = m.service.Subscriber.look

    def look(self: Any, head: int, room: int | None) -> Any:
        if self.ch.word(self.cursor) == m.channel.SKIP:
            self.cursor += self.ch.capacity - self.cursor % self.ch.capacity
        return plain(self, head, room)

    m.service.Subscriber.look = look


def keeps_the_byte(m: Modules) -> None:
    """The byte of a dead owner is taken with its lock, and kept."""
    import fcntl

    def succeed(self: Any, held: int, mine: int) -> bool:
        if self.lives(held & m.channel.MOST):
            return False
        m.channel.locks(self.fd, fcntl.F_OFD_SETLK, fcntl.F_WRLCK, held & m.channel.MOST)
        self["writer_lock"] = mine
        return True

    m.channel.Channel.succeed = succeed


def version_1_too(m: Modules) -> None:
    """The package in the wild has the same magic."""
    plain = m.channel.Channel.__getitem__
    m.channel.Channel.__getitem__ = lambda self, name: 2 if name == "version" and plain(self, name) == 1 else plain(self, name)


def head_believed(m: Modules) -> None:
    """Positions are not looked at."""
    m.channel.Channel.positions = lambda self: (self["tail"], self["head"])


def sizes_believed(m: Modules) -> None:
    """A size is bounded by the ring's end only, and 0 is a message."""
    plain = m.channel.Channel.step

    def step(self: Any, at: int, head: int) -> tuple[int, int]:
        try:
            found: tuple[int, int] = plain(self, at, head)
            return found
        except m.channel.Impossible:
            return at, max(32, min(self.word(at), self.capacity - at % self.capacity - 8))

    m.channel.Channel.step = step


def marks_ignored(m: Modules) -> None:
    """A mark is an impossible size."""
    plain = m.channel.Channel.step

    def step(self: Any, at: int, head: int) -> tuple[int, int]:
        if self.word(at) == m.channel.SKIP:
            raise m.channel.Impossible
        found: tuple[int, int] = plain(self, at, head)
        return found

    m.channel.Channel.step = step


def losses_not_counted(m: Modules) -> None:
    """Goes on at the right place and does not say what it missed."""
    plain = m.service.Subscriber.deliver

    def deliver(self: Any, message: dict[str, Any]) -> Any:
        self.expected = None
        return plain(self, message)

    m.service.Subscriber.deliver = deliver


def starts_at_tail(m: Modules) -> None:
    """Every subscriber gets what is held."""
    plain = m.service.Subscriber.seek
    m.service.Subscriber.seek = lambda self, start: plain(self, "oldest")


def closes_early(m: Modules) -> None:
    """CLOSED as soon as state says so, with messages left."""
    plain = m.service.Subscriber.receive

    def receive(self: Any, room: int | None = None) -> Any:
        if self.ch["state"] == 2:
            raise m.member.Closed
        return plain(self, room)

    m.service.Subscriber.receive = receive


def takes_from_the_living(m: Modules) -> None:
    """A lock that is held for long is taken."""

    def succeed(self: Any, held: int, mine: int) -> bool:
        self["writer_lock"] = mine
        return True

    m.channel.Channel.succeed = succeed


def waits_for_the_dead(m: Modules) -> None:
    """Nobody asks whether the owner lives."""
    m.channel.Channel.lives = lambda *_: True


def gives_up_at_once(m: Modules) -> None:
    """BUSY without patience."""
    m.channel.PATIENCE = m.member.channel.PATIENCE = 0


def repairs_nothing(m: Modules) -> None:
    """The lock is taken over and the counts stay."""
    m.channel.Channel.repair = lambda self: False


def repairs_no_dropped(m: Modules) -> None:
    """message_count is mended, dropped_count is not."""
    plain = m.channel.Channel.repair

    def repair(self: Any) -> Any:
        dropped = self["dropped_count"]
        found = plain(self)
        self["dropped_count"] = dropped
        return found

    m.channel.Channel.repair = repair


def lock_not_cleared_of_waiters(m: Modules) -> None:
    """A sleeper on the lock is left to its slice."""

    def unlock(self: Any) -> None:
        self["writer_lock"] = 0

    m.channel.Channel.unlock = unlock


def evicts_one_more(m: Modules) -> None:
    """Room is rounded up: a frame goes that could have stayed."""
    plain = m.member.Endpoint.evict
    m.member.Endpoint.evict = lambda self, tail, head, need: plain(self, tail, head, min(need + 8, self.ch.capacity))


def dropped_not_counted(m: Modules) -> None:
    """Evicts, and does not say so."""
    plain = m.member.Endpoint.evict

    def evict(self: Any, *rest: int) -> None:
        dropped = self.ch["dropped_count"]
        plain(self, *rest)
        self.ch["dropped_count"] = dropped

    m.member.Endpoint.evict = evict


def pushes_over(m: Modules) -> None:
    """A pusher evicts like a publisher."""
    m.member.PUBSUB = m.member.PIPELINE


def no_mark(m: Modules) -> None:
    """The frame goes to the start of the ring, and nothing leads to it."""
    m.member.SKIP = 0


def padding_left(m: Modules) -> None:
    """What stood there stays behind the payload."""
    plain = m.member.Endpoint.store

    def store(self: Any, at: int, data: bytes, meta: dict[str, Any]) -> Any:
        begin, extent = self.ch.place(at), m.channel.align(m.channel.FRAME + len(data))
        before = bytes(self.ch.map[begin : begin + extent])
        found = plain(self, at, data, meta)
        behind = m.channel.FRAME + len(data)
        self.ch.map[begin + behind : begin + extent] = before[behind:]
        return found

    m.member.Endpoint.store = store


def clears_ahead(m: Modules) -> None:
    """The word behind the new frame is cleared, as other rings do."""
    plain = m.member.Endpoint.store

    def store(self: Any, at: int, data: bytes, meta: dict[str, Any]) -> Any:
        found = plain(self, at, data, meta)
        behind = self.ch.place(self.ch["head"])
        self.ch.map[behind : behind + 8] = bytes(8)
        return found

    m.member.Endpoint.store = store


def sequences_of_its_own(m: Modules) -> None:
    """Each writer counts its own messages."""
    plain = m.member.Endpoint.store

    def store(self: Any, at: int, data: bytes, meta: dict[str, Any]) -> Any:
        count, own = self.ch["message_count"], self.counts["sent"]
        self.ch["message_count"] = own
        plain(self, at, data, meta)
        self.ch["message_count"] = count + 1
        return own

    m.member.Endpoint.store = store


def wakes_nobody(m: Modules) -> None:
    """The signal moves, and sleepers are left to their slice."""
    m.channel.Channel.rouse = lambda *_: None


def wakes_everybody(m: Modules) -> None:
    """A system call and a new signal for each message."""

    def wake(self: Any, kind: str) -> None:
        self[f"{kind}_waiters"] = 0
        self[f"{kind}_signal"] += 1
        self.rouse(f"{kind}_signal")

    m.channel.Channel.wake = wake


def sleeps_uncounted(m: Modules) -> None:
    """Nobody knows that it sleeps."""
    m.channel.Channel.count_sleeper = lambda *_: None


def polls(m: Modules) -> None:
    """No futex: a look every 2 ms."""
    import time

    m.channel.Channel.sleep = lambda self, name, value, seconds: time.sleep(min(0.002, max(0.0, seconds)))


def no_last_look(m: Modules) -> None:
    """When the time is over the answer is TIMEOUT."""
    import time

    plain = m.member.Endpoint.wait

    def wait(self: Any, kind: str, attempt: Callable[[], Any], limit: float) -> Any:
        return plain(self, kind, lambda: None if time.monotonic() >= limit else attempt(), limit)

    m.member.Endpoint.wait = wait


def keeps_no_lock(m: Modules) -> None:
    """Endpoints take numbers, and no locks on them."""
    m.member.locks = lambda *_: 2


def number_of_the_dead(m: Modules) -> None:
    """A number is free when its byte is."""
    plain = m.member.Endpoint.take

    def take(self: Any, ch: Any, number: int) -> Any:
        held, ch["writer_lock"] = ch["writer_lock"], 0
        found = plain(self, ch, number)
        ch["writer_lock"] = held
        return found

    m.member.Endpoint.take = take


def always_the_owner(m: Modules) -> None:
    """Who joins last owns the channel."""
    plain = m.member.Endpoint.enter

    def enter(self: Any, ch: Any) -> Any:
        found = plain(self, ch)
        if self.keeper:
            self.own(ch)
        return found

    m.member.Endpoint.enter = enter


def never_closes(m: Modules) -> None:
    """The last keeper takes the name away, and tells nobody."""
    m.channel.Channel.shut = lambda self: None


def closes_on_others(m: Modules) -> None:
    """Whoever made the channel closes it."""
    m.channel.Channel.kept = lambda *_: False


def unlinks_what_is_left(m: Modules) -> None:
    """A pipeline's name goes with its last pusher, messages or not."""
    m.member.PIPELINE = 99


def removes_what_is_left(m: Modules) -> None:
    """Whoever removes a pipeline need not insist."""
    plain = m.channel.remove
    m.channel.remove = lambda locator, *, insist: plain(locator, insist=True)


def pulls_uncounted(m: Modules) -> None:
    """message_count is the writers' business."""
    plain = m.member.Endpoint.receive

    def receive(self: Any, room: int | None = None) -> Any:
        count = self.ch["message_count"]
        found = plain(self, room)
        self.ch["message_count"] = count
        return found

    m.member.Endpoint.receive = receive


def any_reply(m: Modules) -> None:
    """The next reply is the reply."""
    plain = m.member.Endpoint.receive

    def receive(self: Any, room: int | None = None) -> Any:
        if not self.asked:
            return self.replies.receive(room)
        found = plain(self.replies, room)
        self.asked = 0 if found else self.asked
        return found

    m.service.Requester.receive = receive


def replies_blindly(m: Modules) -> None:
    """A reply channel that has a name has a reader."""
    m.service.AGE = float("inf")
    plain = m.service.Replier.find

    def find(self: Any, number: int, taken: float) -> Any:
        kept, m.channel.Channel.kept = m.channel.Channel.kept, lambda *_: True
        try:
            return plain(self, number, taken)
        finally:
            m.channel.Channel.kept = kept

    m.service.Replier.find = find


def sweeps_never(m: Modules) -> None:
    """What dead requesters left stays."""
    m.service.sweep = lambda locator: 0


def old_handle(m: Modules) -> None:
    """A reply channel is opened once."""
    plain = m.service.Replier.find

    def find(self: Any, number: int, taken: float) -> Any:
        known = self.known.get(number)
        return known if known is not None else plain(self, number, taken)

    m.service.Replier.find = find


def any_name(m: Modules) -> None:
    """What the file system takes is a name."""
    import re
    import sys

    sys.modules["__main__"].NAME = re.compile(r"(?s).*\Z")


def replaces_what_is_foreign(m: Modules) -> None:
    """What cannot be read is in the way."""
    m.channel.unfinished = lambda locator: os.path.exists(m.channel.path_of(locator))
    plain = m.member.Endpoint.join

    def join(self: Any, timeout: float) -> Any:
        try:
            return plain(self, timeout)
        except m.member.Refused as error:
            if str(error) not in ("BAD_VERSION", "BAD_MAGIC", "BAD_GEOMETRY") or not self.keeper:
                raise
            with contextlib.suppress(FileNotFoundError):
                os.unlink(m.channel.path_of(self.locator))
            return plain(self, timeout)

    m.member.Endpoint.join = join


def larger_messages(m: Modules) -> None:
    """The limit of a message is the ring."""
    m.member.Endpoint.refuse_large = lambda self, lengths: None


DEFECTS: tuple[Callable[[Any], None], ...] = (
    no_recheck, rechecks_behind_the_mark, keeps_the_byte, version_1_too, head_believed, sizes_believed, marks_ignored,
    losses_not_counted, starts_at_tail, closes_early, takes_from_the_living, waits_for_the_dead, gives_up_at_once,
    repairs_nothing, repairs_no_dropped, lock_not_cleared_of_waiters, evicts_one_more, dropped_not_counted, pushes_over,
    no_mark, padding_left, clears_ahead, sequences_of_its_own, wakes_nobody, wakes_everybody, sleeps_uncounted, polls,
    no_last_look, keeps_no_lock, number_of_the_dead, always_the_owner, never_closes, closes_on_others, unlinks_what_is_left,
    removes_what_is_left, pulls_uncounted, any_reply, replies_blindly, sweeps_never, old_handle, any_name,
    replaces_what_is_foreign, larger_messages,
)  # fmt: skip


def plant(name: str, modules: Modules) -> None:
    next(defect for defect in DEFECTS if defect.__name__ == name)(modules)
