# SPDX-License-Identifier: MIT
"""Profile dmxp, sections 7 and 8, python engine: consuming, looking, sleeping. The steps are those of the chapter."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from ..atomic import ACQUIRE, RELAXED, RELEASE, SEQ_CST, fence
from ..errors import CorruptError, InvalidArgumentError, Timeout, TooSmallError
from ..wait import DEFAULT_SPIN, SLICE_NS, Deadline, to_ns
from . import layout
from .api import DEFAULT_BATCH
from .channel import U64, cursors, require_live_for_consumer
from .handle import CRATE, DOCUMENT, Area, Handle
from .message import META, Message, MessageBatch

_POSITION_SIZE: Final = 8
_OFFSET_SIZE: Final = 4


class Taken(NamedTuple):
    """A slot's meta, loaded once: everything after the load uses this copy."""

    meta: bytes
    area: Area
    length: int
    tombstone: bool

    @property
    def possible(self) -> bool:
        """Can the payload be as long as it says? [dmxp.consume.payload-len]"""
        return self.length <= self.area.capacity

    def impossible(self, position: int) -> CorruptError:
        """What to raise where it cannot."""
        return CorruptError(f"message {position} says {self.length} bytes, a slot holds {self.area.capacity}")


class Consumer(Handle):
    """The receiving half of a channel."""

    __slots__ = ()

    def _require_live_for_consumer(self) -> None:
        require_live_for_consumer(self._table, self.id, self._geometry)

    def _look_at_meta(self, slot: int) -> Taken:
        """Call it after an acquire load found the slot published."""
        meta = self._table.window.read(slot + layout.SLOT_MESSAGE_ID_OFFSET, META.size)
        _, _, _, _, _, runtime, flags, length = META.unpack(meta)
        area = self._placement.area
        if self._placement.by_message:  # [dmxp.layout.auto]
            area = DOCUMENT if runtime == layout.RUNTIME_UNSPECIFIED else CRATE
        return Taken(meta, area, length, flags & layout.MESSAGE_TOMBSTONE != 0)

    def _message(self, position: int, slot: int, taken: Taken) -> Message:
        """Copy the payload out. Its length has been checked against the slot."""
        payload = self._table.window.read(slot + taken.area.offset, taken.length)
        return Message(payload, position.to_bytes(_POSITION_SIZE, "little") + taken.meta)

    # Taking (section 7) ---------------------------------------------------------------------------------------------

    def _head_moved(self, head: int) -> bool:
        """Has the cursor moved that led to something odd?"""
        fence(ACQUIRE)  # if what we read was a later lap's, head is seen to have moved (with F6, R3)
        return self._table.words.load_u64(self._entry + layout.CHANNEL_HEAD_OFFSET, RELAXED) != head

    def _nothing_at(self, head: int, sequence: int) -> bool:
        """The slot of head is not published: True for empty, False to look again, else Closed or CorruptError.

        [dmxp.consume.empty, dmxp.consume.impossible, dmxp.channel.closed]
        """
        waiting = sequence in (head, (head - self.capacity + 1) & U64)
        if not waiting and self._head_moved(head):
            return False
        self._require_live_for_consumer()
        if not waiting:
            raise CorruptError(f"channel {self.id}: the slot of head {head} shows a sequence that no rule can produce")
        return True

    def _take(self, max_size: int, first: bool = True) -> Message | None:
        """Take the next message that can be delivered, or None. With first=False one that cannot is left for the next call."""
        words, cursor = self._table.words, self._entry + layout.CHANNEL_HEAD_OFFSET
        while True:
            head = words.load_u64(cursor, RELAXED)
            slot = self._slot(head)
            # A2: pairs with R2; meta and payload after the sequence that publishes them [dmxp.consume.claim]
            sequence = words.load_u64(slot + layout.SLOT_SEQUENCE_OFFSET, ACQUIRE)
            if sequence != (head + 1) & U64:
                if self._nothing_at(head, sequence):
                    return None
                continue
            taken = self._look_at_meta(slot)
            fits = taken.tombstone or taken.length <= max_size
            if not first and not (taken.possible and fits):
                return None
            if taken.possible and not fits:
                if self._head_moved(head):
                    continue
                raise TooSmallError(f"{taken.length} bytes wait, {max_size} asked for", taken.length)  # [dmxp.consume.too-small]
            # R5: pairs with A5; the tail behind this position, for those who compare the cursors
            if words.cas_u64(cursor, head, (head + 1) & U64, RELEASE) != head:
                continue
            message = self._copy_and_release(head, slot, taken)
            if message is not None:
                return message

    def _copy_and_release(self, head: int, slot: int, taken: Taken) -> Message | None:
        """Steps 5 and 6 at a position that is ours: the message, None for a tombstone, or CorruptError."""
        try:
            if not taken.possible:
                raise taken.impossible(head)
            return None if taken.tombstone else self._message(head, slot, taken)  # [dmxp.consume.tombstone]
        finally:
            # R3: pairs with A3; our last load from the slot before the producer of the next lap [dmxp.consume.release]
            self._table.words.store_u64(slot + layout.SLOT_SEQUENCE_OFFSET, (head + self.capacity) & U64, RELEASE)

    def try_receive(self, *, max_size: int | None = None) -> Message | None:
        self._table.words.require_writable()
        return self._take(layout.PAYLOAD_CAPACITY_CRATE if max_size is None else max_size)

    def receive_batch(self, limit: int = DEFAULT_BATCH, *, max_bytes: int | None = None) -> MessageBatch:
        if limit < 1:
            raise InvalidArgumentError(f"a batch of {limit}")
        room = limit * layout.PAYLOAD_CAPACITY_CRATE if max_bytes is None else max_bytes
        self._table.words.require_writable()
        payloads: list[bytes] = []
        heads: list[bytes] = []
        offset = 0
        while len(payloads) < limit:
            message = self._take(room - offset, first=not payloads)
            if message is None:
                break
            payloads.append(message.payload)
            heads.append(message.head() + offset.to_bytes(_OFFSET_SIZE, "little"))
            offset += len(message.payload)
        return MessageBatch(b"".join(payloads), b"".join(heads))

    # Sleeping (section 8) -------------------------------------------------------------------------------------------

    def receive(self, timeout: float | None = None, *, spin: float = DEFAULT_SPIN, max_size: int | None = None) -> Message:
        message = self.try_receive(max_size=max_size)
        if message is not None:
            return message
        deadline = Deadline(timeout)
        spin_until = time.monotonic_ns() + to_ns(spin)
        slept = False
        while True:
            last = deadline.expired()  # first, so that one look comes after it [dmxp.wait.timeout]
            # A4: pairs with R4; what was published before this value is found below [dmxp.wait.load-first]
            value = self._table.words.load_u32(self._entry + layout.CHANNEL_SIGNAL_OFFSET, ACQUIRE)
            message = self.try_receive(max_size=max_size)
            if message is not None:
                if slept:
                    self._pass_on()
                return message
            if last:
                raise Timeout(f"channel {self.id} stayed empty")
            if time.monotonic_ns() < spin_until:
                continue
            if self._hook is not None:
                self._hook()
            self._sleep(value, deadline)
            slept = True

    def _pass_on(self) -> None:
        """We were woken and leave. If that wake was meant for two messages, the next one's sleeper hears it from us.

        [dmxp.wait.pass-on]
        """
        words = self._table.words
        head = words.load_u64(self._entry + layout.CHANNEL_HEAD_OFFSET, RELAXED)
        sequence = words.load_u64(self._slot(head) + layout.SLOT_SEQUENCE_OFFSET, ACQUIRE)  # A2: pairs with R2
        if sequence == (head + 1) & U64:
            words.futex_wake(self._entry + layout.CHANNEL_SIGNAL_OFFSET, 1)

    def _sleep(self, value: int, deadline: Deadline) -> None:
        """Be counted, and sleep while nothing has been published since `value` was loaded.

        For a second at most, because not every producer signals [dmxp.wait.slice]; in slices, because Python's signal
        handlers run only between them. An interrupt that comes just after the addition leaves waiters too high: that costs
        needless wakes until a recovery, and loses nothing.
        """
        words, signal = self._table.words, self._entry + layout.CHANNEL_SIGNAL_OFFSET
        waiters = self._entry + layout.CHANNEL_WAITERS_OFFSET
        words.add_u32(waiters, 1)  # S5: before our look at signal; pairs with the producer's two operations [dmxp.wait.count]
        try:
            for _ in range(layout.WAIT_SLICE_NS // SLICE_NS):
                if words.load_u32(signal, SEQ_CST) != value or deadline.expired():  # S5: pairs with the producer's addition
                    break
                words.futex_wait(signal, value, deadline.remaining(SLICE_NS))
        finally:
            words.add_u32(waiters, -1)  # S5

    # Looking --------------------------------------------------------------------------------------------------------

    def peek(self, *, max_size: int | None = None) -> Iterator[Message]:
        return Look(self, layout.PAYLOAD_CAPACITY_CRATE if max_size is None else max_size)

    def _glimpse(self, position: int) -> Message | None:
        """Look at one position: None when there is nothing to deliver. CorruptError, Closed. [dmxp.peek.whole]"""
        words, slot = self._table.words, self._slot(position)
        sequence = words.load_u64(slot + layout.SLOT_SEQUENCE_OFFSET, ACQUIRE)  # A2: pairs with R2
        if sequence == position:
            return None  # claimed, not published
        if sequence != (position + 1) & U64:
            if words.load_u64(self._entry + layout.CHANNEL_HEAD_OFFSET, ACQUIRE) > position:
                return None  # consumed since we looked at head
            self._require_live_for_consumer()
            raise CorruptError(f"channel {self.id}: the slot of position {position} shows a sequence that no rule can produce")
        taken = self._look_at_meta(slot)
        message = self._message(position, slot, taken) if taken.possible else None
        fence(ACQUIRE)  # F6: pairs with F6; a copy with a later producer's bytes in it comes with a later sequence
        if words.load_u64(slot + layout.SLOT_SEQUENCE_OFFSET, RELAXED) != (position + 1) & U64:
            return None  # consumed meanwhile
        if not taken.possible:
            raise taken.impossible(position)
        return None if taken.tombstone else message


class Look(Iterator[Message]):
    """The iterator of peek. It goes on after a CorruptError, one position further. Loads only. [dmxp.peek.readonly]"""

    __slots__ = ("_channel", "_max_size", "_position")

    def __init__(self, channel: Consumer, max_size: int) -> None:
        self._channel = channel
        self._max_size = max_size
        self._position = 0

    def __next__(self) -> Message:
        channel = self._channel
        try:
            head, tail = cursors(channel._table, channel.id, channel._geometry)
        except CorruptError:
            self._position = U64  # nothing behind such cursors can be trusted: the next call finds the end
            channel._require_live_for_consumer()
            raise
        # A tail that has wrapped is hostile: the end is before the wrap then.
        end = tail if tail >= head else U64
        position = max(self._position, head)
        while position < end:
            self._position = position + 1
            message = channel._glimpse(position)
            if message is not None:
                return self._fitting(message)
            position += 1
        channel._require_live_for_consumer()
        raise StopIteration

    def _fitting(self, message: Message) -> Message:
        needed = len(message.payload)
        if needed > self._max_size:
            self._position -= 1
            raise TooSmallError(f"{needed} bytes wait, {self._max_size} asked for", needed)
        return message
