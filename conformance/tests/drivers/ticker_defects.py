# SPDX-License-Identifier: MIT
"""Defects for ring.py: each is what an implementer of slick, or the source system, got wrong, as small as it can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def no_recheck(ring: Any) -> None:
    """The source's reader: what a slot names is delivered, reserved again or not."""
    ring.Reader.whole = lambda *_: True


def lap_is_the_item(ring: Any) -> None:
    """An item is taken for whole until a later one has taken its own slot: stale items are delivered."""
    ring.Reader.whole = lambda self, index: self.queue.slot(index)[0] == index


def recheck_off_by_one(ring: Any) -> None:
    """The item that is just being overwritten still counts as whole."""
    ring.Reader.whole = lambda self, index: self.queue.next <= index + self.queue.size + 1


def elements_8_bytes_off(ring: Any) -> None:
    """The table of slots is taken for 8 bytes longer than it is."""
    plain = ring.Queue.place
    ring.Queue.place = lambda self, index: plain(self, index) + (8 if index % self.size + 1 < self.size else 0)


def unpacked_word(ring: Any) -> None:
    """The whole of header.reserved is taken for the index, as by a reader of releases before 1.2."""
    ring.Queue.next = property(lambda self: self.word("reserved"))


def reserves_in_two_steps(ring: Any) -> None:
    """The source's producer: the index is added first, and the size in the word is repaired for more than one element only."""
    plain = ring.Producer.packed_size
    held = lambda self: self.queue.word("reserved") & ring.MOST or 1  # noqa: E731
    ring.Producer.packed_size = lambda self, elements: held(self) if elements == 1 else plain(self, elements)


def losses_not_counted(ring: Any) -> None:
    """Goes on at the right place and does not say what it missed."""
    plain = ring.Reader.look

    def look(self: Any, c: int, room: Any) -> Any:
        found = plain(self, c, room)
        found.lost = 0
        return found

    ring.Reader.look = look


def marks_count_as_lost(ring: Any) -> None:
    """What a mark passes over is reported as lost."""
    plain = ring.Reader.look

    def look(self: Any, c: int, room: Any) -> Any:
        found = plain(self, c, room)
        found.lost = found.cursor - c if not found.resets else found.lost
        return found

    ring.Reader.look = look


def no_mark(ring: Any) -> None:
    """A producer that passes over the end of the ring tells nobody."""
    ring.Producer.mark = lambda *_: None


def marks_ignored(ring: Any) -> None:
    """A reader that comes to a mark waits for an item there."""
    plain = ring.Queue.slot

    def slot(self: Any, index: int) -> Any:
        found, elements = plain(self, index)
        return (found if (found - index) % self.size == 0 else ring.NONE), elements

    ring.Queue.slot = slot


def reset_ignored(ring: Any) -> None:
    """The source's reader: after a reset it waits until the indices have caught up with it."""
    plain = ring.Reader.look

    def look(self: Any, c: int, room: Any) -> Any:
        return ring.Look(c, 0, 0) if c > self.queue.next else plain(self, c, room)

    ring.Reader.look = look


def reset_keeps_last(ring: Any) -> None:
    """A reset that forgets last_published and settled."""
    plain = ring.Queue.reset

    def reset(self: Any) -> None:
        last, settled = self.word("last_published"), self.word("settled")
        plain(self)
        self.put("last_published", last)
        self.put("settled", settled)

    ring.Queue.reset = reset


def last_is_the_reservation(ring: Any) -> None:
    """The source's read_last of 1.2 and 1.3: the last reservation, published or not."""

    def last(self: Any, room: Any) -> Any:
        queue = self.queue
        index = queue.next - (queue.word("reserved") & ring.MOST)
        return self.copy(ring.Look(index, 0, 0), max(1, queue.slot(index)[1]), room) if queue.next else None

    ring.Reader.last = last


def last_falls(ring: Any) -> None:
    """last_published is stored, not raised."""
    ring.Producer.raise_last = lambda self, index: self.queue.put("last_published", index)


def no_bounds(ring: Any) -> None:
    """A slot's size is believed."""
    ring.Queue.bounded = lambda *_: None


def indices_believed(ring: Any) -> None:
    """A data_index above the reservation is taken for an item of a later lap."""
    plain = ring.Reader.look

    def look(self: Any, c: int, room: Any) -> Any:
        found, elements = self.queue.slot(c)
        if found != ring.NONE and found > self.queue.next and (found - c) % self.queue.size == 0:
            at = self.queue.place(found)
            data = self.queue.map[at : at + elements * self.queue.step]
            return ring.Look(found, found - c, 0, {"data": data, "pos": found, "elements": elements})
        return plain(self, c, room)

    ring.Reader.look = look


def table_in_32_bits(ring: Any) -> None:
    """The length that is needed is computed in 32 bits."""
    plain = ring.Queue.check

    def check(self: Any) -> None:
        length, size, step = self.length, self.word("size"), self.word("element_size")
        narrow = (ring.HEADER + (ring.SLOT + step) * size) & 0xFFFF_FFFF
        self.length = length if narrow > length else 1 << 80
        plain(self)
        self.length = length

    ring.Queue.check = check


def waits_for_nobody(ring: Any) -> None:
    """The source's producer: reserves over what another one is still writing."""
    ring.Producer.settle = lambda *_: True


def waits_for_ever(ring: Any) -> None:
    """A claim that is never published stops all producers."""
    plain = ring.Producer.__init__

    def init(self: Any, queue: Any, stall_ms: int) -> None:
        plain(self, queue, 3_600_000)

    ring.Producer.__init__ = init


def stalls_at_the_item(ring: Any) -> None:
    """The stall time runs although others still reserve."""
    ring.Producer.standing = lambda self, begin: (self.known, 0)


def tells_nobody(ring: Any) -> None:
    """What was found settled is not told in the header."""
    ring.Producer.tell = lambda *_: None


def publishes_what_was_given_up(ring: Any) -> None:
    """Does not look whether somebody gave the item up."""
    ring.Queue.overdue = lambda *_: False


def index_first(ring: Any) -> None:
    """The index is stored before the elements."""
    plain = ring.Producer.publish

    def publish(self: Any, index: int, data: bytes) -> None:
        self.queue.put_slot(index, len(data) // self.queue.step, index)
        ring.time.sleep(0.02)
        plain(self, index, data)

    ring.Producer.publish = publish


def begins_again_at_0(ring: Any) -> None:
    """Indices above 2^48 lose their upper bits."""
    ring.LIMIT = 1 << 80
    plain = ring.Queue.put
    ring.Queue.put = lambda self, name, value: plain(self, name, value & ring.NONE)


def shared_cursor_stands(ring: Any) -> None:
    """A consumer keeps its own copy of the shared cursor after its first look."""
    plain = ring.Reader.take

    def take(self: Any, room: Any) -> Any:
        if self.shared is not None:
            self.own, self.shared = self.cursor, None
        return plain(self, room)

    ring.Reader.take = take


def abandons_silently(ring: Any) -> None:
    """A claim that is given up leaves no mark."""

    def abandon(self: Any) -> None:
        self.claim = None

    ring.Producer.abandon = abandon


def marks_only_one(ring: Any) -> None:
    """Recovery marks the first hole of a lap and no other."""
    plain = ring.Queue.put_index

    def put_index(self: Any, index: int, value: int) -> None:
        if not any(0 < self.slot(j)[0] - j < self.size for j in range(index)):
            plain(self, index, value)

    ring.Queue.put_index = put_index


def recovers_no_last(ring: Any) -> None:
    """Recovery marks holes and leaves last_published as the dead producer left it."""
    plain = ring.recover

    def recover(queue: Any, *, all_dead: bool) -> int:
        last = queue.word("last_published")
        holes: int = plain(queue, all_dead=all_dead)
        queue.put("last_published", last)
        return holes

    ring.recover = recover


def recovers_unasked(ring: Any) -> None:
    """Recovery believes that producers are dead without being told."""
    plain = ring.recover
    ring.recover = lambda queue, *, all_dead: plain(queue, all_dead=True)


def name_as_given(ring: Any) -> None:
    """What is handed on as shm_name is the name as this program happened to say it."""
    plain = ring.Queue.__init__

    def init(self: Any, locator: str, timeout_ms: int, *, writable: bool) -> None:
        plain(self, locator, timeout_ms, writable=writable)
        self.name = locator.lstrip("/")

    ring.Queue.__init__ = init


def creates_over(ring: Any) -> None:
    """A creator empties what is there."""
    exclusive = ring.os.O_EXCL
    plain = ring.Queue.create

    def create(*args: Any) -> Any:
        ring.os.O_EXCL = 0
        try:
            return plain(*args)
        finally:
            ring.os.O_EXCL = exclusive

    ring.Queue.create = staticmethod(create)


def two_claims(ring: Any) -> None:
    """A second claim takes the place of the first."""
    plain = ring.Producer.reserve

    def reserve(self: Any, elements: int) -> int:
        self.claim = None
        index: int = plain(self, elements)
        return index

    ring.Producer.reserve = reserve


def starts_at_the_lap(ring: Any) -> None:
    """The oldest item is looked for at the first index of the last lap only."""
    ring.Queue.oldest = lambda self, above=-1: max(0, self.next - self.size) if self.next else None


DEFECTS: tuple[Callable[[Any], None], ...] = (
    no_recheck, lap_is_the_item, recheck_off_by_one, elements_8_bytes_off, unpacked_word, reserves_in_two_steps,
    losses_not_counted, marks_count_as_lost, no_mark, marks_ignored, reset_ignored, reset_keeps_last, last_is_the_reservation,
    last_falls, no_bounds, indices_believed, table_in_32_bits, waits_for_nobody, waits_for_ever, tells_nobody,
    publishes_what_was_given_up, index_first, begins_again_at_0, shared_cursor_stands, abandons_silently, marks_only_one,
    stalls_at_the_item, recovers_no_last, recovers_unasked, name_as_given, creates_over, two_claims, starts_at_the_lap,
)  # fmt: skip


def plant(name: str, ring: Any) -> None:
    next(defect for defect in DEFECTS if defect.__name__ == name)(ring)
