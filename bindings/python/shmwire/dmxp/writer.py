# SPDX-License-Identifier: MIT
"""Profile dmxp, section 5, python engine: producing. The steps are those of the chapter, in its order.

A KeyboardInterrupt can end Python code between any two steps. One that comes between claim and publication makes the
position a tombstone, so that consumers are not held up.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..atomic import ACQUIRE, RELAXED, RELEASE, SEQ_CST, fence
from ..bytes import contiguous
from ..errors import CorruptError, Full, InvalidArgumentError, OutOfOrderError, Timeout, TooLargeError
from ..wait import Backoff, Deadline, process_id
from . import layout
from .api import Claim
from .channel import U64, require_live_for_producer
from .handle import Handle
from .message import ID_POSITION, META, NO_META, MetaFields, MetaValues, check_meta, meta_values

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_FREE: Final = 0
_FULL: Final = 1
_ODD: Final = 2

class Producer(Handle):
    """The sending half of a channel."""

    __slots__ = ()

    # Claiming (steps 2 to 5) ----------------------------------------------------------------------------------------

    def _look_at_run(self, position: int, count: int) -> int:
        """Are the slots of [position, position + count) free? _ODD: one of them shows something that tail rules out."""
        for p in range(position, position + count):
            # A3: pairs with R3; the last consumer is done with the slot before we write to it
            sequence = self._table.words.load_u64(self._slot(p) + layout.SLOT_SEQUENCE_OFFSET, ACQUIRE)
            if sequence == p:
                continue
            previous = (p - self.capacity) & U64  # the position that had the slot before: claimed, or published
            return _FULL if sequence in (previous, (previous + 1) & U64) else _ODD
        return _FREE

    def _claim_run(self, count: int) -> int | None:
        """Take positions [p, p + count): p, or None when full. Loops only while other producers move tail.

        [dmxp.produce.claim, dmxp.produce.full, dmxp.produce.batch-claim]
        """
        require_live_for_producer(self._table, self.id, self._geometry)
        words, tail = self._table.words, self._entry + layout.CHANNEL_TAIL_OFFSET
        position = words.load_u64(tail, RELAXED)
        while True:
            run = self._look_at_run(position, count)
            if run == _FULL:
                return None
            if run == _FREE:
                found = words.cas_u64(tail, position, (position + count) & U64, RELAXED)
                if found == position:
                    break
                position = found
                continue
            now = words.load_u64(tail, RELAXED)
            if now == position:  # nobody moved: no rule leads here [dmxp.consume.impossible]
                require_live_for_producer(self._table, self.id, self._geometry)
                raise CorruptError(f"channel {self.id}: the slot of tail {position} shows a sequence that no rule can produce")
            position = now
        fence(RELEASE)  # F6: a look that sees our stores below also sees the sequence of this lap [dmxp.produce.fence]
        return position

    # Filling and publishing (steps 6 to 8) --------------------------------------------------------------------------

    def _fill(self, position: int, data: bytes | memoryview | None, length: int, values: MetaValues, flags: int) -> None:
        """Meta and payload, and not one byte more. `data` is None where it is in place. [dmxp.produce.meta, .extent]"""
        message_id, timestamp_ns, message_type, pid, runtime, _ = values
        own = runtime or layout.RUNTIME_PYTHON
        runtime = layout.RUNTIME_UNSPECIFIED if self._placement.runtime_fixed else own  # [dmxp.layout.runtime]
        slot = self._slot(position)
        self._table.window.write(slot + layout.SLOT_MESSAGE_ID_OFFSET, META.pack(
            position if message_id == ID_POSITION else message_id, timestamp_ns or time.time_ns(), self.id, message_type,
            pid or process_id(), runtime, flags, length))
        if data is not None:
            self._table.window.write(slot + self._placement.area.offset, data)

    def _publish(self, position: int) -> None:
        # R2: pairs with A2; meta and payload before the sequence [dmxp.produce.publish]
        self._table.words.store_u64(self._slot(position) + layout.SLOT_SEQUENCE_OFFSET, (position + 1) & U64, RELEASE)

    def _bury(self, position: int) -> None:
        """Publish a tombstone. [dmxp.produce.abandon]"""
        self._fill(position, None, 0, NO_META, layout.MESSAGE_TOMBSTONE)
        self._publish(position)

    def _announce(self, count: int) -> None:
        """Tell sleepers of `count` publications. [dmxp.wait.signal, dmxp.wait.wake]"""
        words, signal = self._table.words, self._entry + layout.CHANNEL_SIGNAL_OFFSET
        # R4: pairs with A4; the publications before the signal. S5: this store before the load of waiters below
        words.add_u32(signal, count)
        # S5: pairs with the sleeper's increment of waiters and its look at signal: one of us sees the other
        if self._counted_waiters and words.load_u32(self._entry + layout.CHANNEL_WAITERS_OFFSET, SEQ_CST) == 0:
            return
        words.futex_wake(signal, count)

    def _send_run(self, items: Sequence[tuple[bytes | memoryview, MetaValues]]) -> int | None:
        """All of section 5 for messages that have been checked: the first position, or None when there is no room."""
        first = self._claim_run(len(items))
        if first is None:
            return None
        published = 0
        try:
            for data, values in items:
                self._fill((first + published) & U64, data, len(data), values, values[5])
                self._publish((first + published) & U64)  # one by one, in order [dmxp.produce.batch-order]
                published += 1
        finally:
            for position in range(first + published, first + len(items)):
                self._bury(position & U64)
            self._announce(len(items))
        return first

    # The public calls -----------------------------------------------------------------------------------------------

    def _checked(self, data: ReadableBuffer, values: MetaValues) -> tuple[bytes | memoryview, MetaValues]:
        """Step 1: everything that can be wrong with a message, before anything is touched. [dmxp.produce.too-large]"""
        self._table.words.require_writable()
        payload = contiguous(data)
        if len(payload) > self.payload_capacity:
            raise TooLargeError(f"{len(payload)} bytes, {self.payload_capacity} fit into a slot")
        return payload, check_meta(values)

    def try_send(self, data: ReadableBuffer, *, message_id: int = ID_POSITION, timestamp_ns: int = 0, message_type: int = 0,
                 sender_pid: int = 0, sender_runtime: int = 0, flags: int = 0) -> int | None:
        return self._send_run((self._checked(data, (message_id, timestamp_ns, message_type, sender_pid, sender_runtime, flags)),))

    def send(self, data: ReadableBuffer, timeout: float | None = None, *,
             message_id: int = ID_POSITION, timestamp_ns: int = 0, message_type: int = 0,
             sender_pid: int = 0, sender_runtime: int = 0, flags: int = 0) -> int:
        item = (self._checked(data, (message_id, timestamp_ns, message_type, sender_pid, sender_runtime, flags)),)
        position = self._send_run(item)
        if position is not None:
            return position
        deadline = Deadline(timeout)
        backoff = Backoff(deadline)
        while True:
            last = deadline.expired()
            position = self._send_run(item)
            if position is not None:
                return position
            if last:
                raise Timeout(f"channel {self.id} stayed full")
            backoff.pause()

    def send_batch(self, items: Sequence[ReadableBuffer], metas: Sequence[MetaFields] | None = None) -> int | None:
        self._table.words.require_writable()
        if not 1 <= len(items) <= self.capacity or (metas is not None and len(metas) != len(items)):
            raise InvalidArgumentError(f"a batch of {len(items)}, 1 to {self.capacity} allowed, and one entry of metas for each")
        values = [meta_values(meta) for meta in metas] if metas is not None else [NO_META] * len(items)
        return self._send_run([self._checked(data, value) for data, value in zip(items, values, strict=True)])

    def claim(self) -> PythonClaim:
        self._table.words.require_writable()
        position = self._claim_run(1)
        if position is None:
            raise Full(f"channel {self.id} is full")
        return PythonClaim(self, position)


class PythonClaim(Claim):
    """A claimed slot of the python engine."""

    __slots__ = ("_channel", "_open", "position", "view")

    def __init__(self, channel: Producer, position: int) -> None:
        self._channel = channel
        self._open = True
        self.position = position
        area = channel._placement.area
        self.view = channel._table.window.view(channel._slot(position) + area.offset, area.capacity)

    def commit(self, length: int, *, message_id: int = ID_POSITION, timestamp_ns: int = 0, message_type: int = 0,
               sender_pid: int = 0, sender_runtime: int = 0, flags: int = 0) -> None:
        if not self._open:
            raise OutOfOrderError("the claim has been committed or abandoned")
        if not 0 <= length <= len(self.view):
            raise TooLargeError(f"{length} bytes, {len(self.view)} fit into a slot")
        values = check_meta((message_id, timestamp_ns, message_type, sender_pid, sender_runtime, flags))
        self._channel._fill(self.position, None, length, values, flags)
        self._end()
        self._channel._publish(self.position)
        self._channel._announce(1)

    def abandon(self) -> None:
        if not self._open:
            return
        self._end()
        self._channel._bury(self.position)
        self._channel._announce(1)

    def _end(self) -> None:
        self._open = False
        with contextlib.suppress(BufferError):  # somebody, such as a NumPy array, still has a view of the view
            self.view.release()
