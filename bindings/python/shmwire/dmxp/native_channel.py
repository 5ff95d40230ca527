# SPDX-License-Identifier: MIT
"""Profile dmxp, native engine: channels and claims.

Ways in. Sending and taking one message without waiting go through the lane (_native/dmxp_lane.h), a few CPython methods that keep
the GIL; calls that may wait, batches and all the rest go through cffi, which lets go of it.

Threads. A call that needs a buffer takes a cell from the channel's pool and puts it back: taking and putting are single
operations on a list, so no two calls share a cell, and no lock is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, cast

from ..bytes import contiguous, packed
from ..errors import Closed, Full, InvalidArgumentError, OutOfOrderError, Timeout, TooLargeError, TooSmallError
from ..refc import CData, check, ffi, lib, refuse
from ..wait import DEFAULT_SPIN, SLICE_NS, Deadline, to_ns
from .api import DEFAULT_BATCH, Channel, Claim, SleepHook
from .message import ID_POSITION, Message, MessageBatch, MetaFields, MetaValues, check_meta
from .native_call import (
    EMPTY_WORD,
    FAILED,
    FULL_WORD,
    HEAD_SIZE,
    LARGEST,
    TIMEOUT_WORD,
    BatchCell,
    Cell,
    code_of,
    lane_of,
    meta_fields,
    new_batch_cell,
    new_cell,
    packed_metas,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# Bound once: an attribute of lib is looked up on every call otherwise.
_send: Final = lib.shmwpy_dmxp_send
_receive: Final = lib.shmwpy_dmxp_receive


@ffi.def_extern()  # type: ignore[misc]  # cffi's decorator has no type
def shmwpy_dmxp_on_sleep(context: CData) -> None:
    """The C implementation calls this; it must not raise."""
    cast(_Hook, ffi.from_handle(context)).run()


class _Hook:
    """A sleep hook, and what it raised."""

    def __init__(self, function: SleepHook) -> None:
        self.function = function
        self.error: BaseException | None = None
        self.handle = ffi.new_handle(self)

    def run(self) -> None:
        try:
            self.function()
        except BaseException as error:
            self.error = error

    def reraise(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error


class NativeChannel(Channel):
    """A channel of the native engine."""

    __slots__ = ("__weakref__", "_batch_pool", "_handle", "_hook", "_lane", "_pool", "capacity", "id", "payload_capacity")

    def __init__(self, handle: CData, channel: int, capacity: int, payload_capacity: int) -> None:
        self._handle = handle
        self._lane = lane_of(handle)
        self._pool: list[Cell] = []
        self._batch_pool: list[BatchCell] = []
        self._hook: _Hook | None = None
        self.id = channel
        self.capacity = capacity
        self.payload_capacity = payload_capacity

    def _detach(self) -> None:
        self._handle = ffi.NULL
        self._lane = lane_of(ffi.NULL)

    # Producers ------------------------------------------------------------------------------------------------------

    def try_send(self, data: ReadableBuffer, *, message_id: int = ID_POSITION, timestamp_ns: int = 0, message_type: int = 0,
                 sender_pid: int = 0, sender_runtime: int = 0, flags: int = 0) -> int | None:
        if type(data) is not bytes:
            return self._send(data, 0, (message_id, timestamp_ns, message_type, sender_pid, sender_runtime, flags))
        try:
            if timestamp_ns or message_type or sender_pid or sender_runtime or flags or message_id is not ID_POSITION:
                position = self._lane.send(data, message_id, timestamp_ns, message_type, sender_pid, sender_runtime, flags)
            else:
                position = self._lane.send(data)
        except (OverflowError, TypeError):
            check_meta((message_id, timestamp_ns, message_type, sender_pid, sender_runtime, flags))
            raise
        if position is not None and position < 0:
            self._not_sent(position + 2**64, len(data))
        return position

    def send(self, data: ReadableBuffer, timeout: float | None = None, *,
             message_id: int = ID_POSITION, timestamp_ns: int = 0, message_type: int = 0,
             sender_pid: int = 0, sender_runtime: int = 0, flags: int = 0) -> int:
        position = self.try_send(data, message_id=message_id, timestamp_ns=timestamp_ns, message_type=message_type,
                                 sender_pid=sender_pid, sender_runtime=sender_runtime, flags=flags)
        if position is not None:
            return position
        values = (message_id, timestamp_ns, message_type, sender_pid, sender_runtime, flags)
        deadline = Deadline(timeout)
        while True:  # in slices, so that Python's signal handlers run
            last = deadline.expired()
            position = self._send(data, deadline.remaining(SLICE_NS), values)
            if position is not None:
                return position
            if last:
                raise Timeout(f"channel {self.id} stayed full")

    def _send(self, data: ReadableBuffer, timeout_ns: int, values: MetaValues) -> int | None:
        payload = data if type(data) is bytes else contiguous(data)
        raw = payload if isinstance(payload, bytes) else ffi.from_buffer(payload)
        try:
            word = _send(self._handle, raw, len(payload), timeout_ns, *values)
        except (OverflowError, TypeError):
            check_meta(values)
            raise
        if word < FAILED:
            return word
        self._not_sent(word, len(payload))
        return None

    def _not_sent(self, word: int, length: int) -> None:
        if word in (FULL_WORD, TIMEOUT_WORD):
            return
        code = code_of(word)
        what = f"{length} bytes, {self.payload_capacity} fit into a slot" if code == TooLargeError.code else ""
        refuse(code, self._handle, what)

    def send_batch(self, items: Sequence[ReadableBuffer], metas: Sequence[MetaFields] | None = None) -> int | None:
        if not 1 <= len(items) <= self.capacity or (metas is not None and len(metas) != len(items)):
            raise InvalidArgumentError(f"a batch of {len(items)}, 1 to {self.capacity} allowed, and one entry of metas for each")
        payloads = cast("Sequence[bytes]", items)
        if set(map(type, items)) != {bytes}:
            payloads = [bytes(contiguous(item)) for item in items]
        lengths = list(map(len, payloads))
        given = b"" if metas is None else packed_metas(metas)
        word = lib.shmwpy_dmxp_send_batch(self._handle, b"".join(payloads), lengths, 0, len(lengths), given, len(given))
        if word < FAILED:
            return word
        self._not_sent(word, max(lengths))
        return None

    def send_packed(self, blob: ReadableBuffer, lengths: int | Sequence[int]) -> int | None:
        whole = contiguous(blob)
        each, count = packed(len(whole), lengths)
        if not 1 <= count <= self.capacity:
            raise InvalidArgumentError(f"a batch of {count}, 1 to {self.capacity} allowed")
        raw = whole if isinstance(whole, bytes) else ffi.from_buffer(whole)
        given = ffi.NULL if isinstance(lengths, int) else list(lengths)
        word = lib.shmwpy_dmxp_send_batch(self._handle, raw, given, each, count, b"", 0)
        if word < FAILED:
            return word
        self._not_sent(word, each if isinstance(lengths, int) else max(lengths))
        return None

    def claim(self) -> NativeClaim:
        claim = ffi.new("struct shmw_dmxp_claim *")
        code = lib.shmw_dmxp_claim(self._handle, claim)
        if code == Full.code:
            raise Full(f"channel {self.id} is full")
        check(code, self._handle)
        return NativeClaim(self, claim)

    # Consumers ------------------------------------------------------------------------------------------------------

    def try_receive(self, *, max_size: int | None = None) -> Message | None:
        found = self._lane.receive(LARGEST if max_size is None else min(max_size, LARGEST))
        if found is None or type(found) is Message:
            return found
        return self._not_taken(cast(int, found), max_size)

    def _not_taken(self, code: int, max_size: int | None) -> Message | None:
        """Say why. A message that is too long is still there: the slower call says how long it is."""
        if code != TooSmallError.code:
            refuse(code_of(code + 2**64), self._handle)
        return self._receive_once(0, 0, max_size)

    def receive(self, timeout: float | None = None, *, spin: float = DEFAULT_SPIN, max_size: int | None = None) -> Message:
        message = self.try_receive(max_size=max_size)
        if message is not None:
            return message
        deadline, spin_ns, slept = Deadline(timeout), to_ns(spin), False
        while True:  # in slices, so that Python's signal handlers run
            last = deadline.expired()
            message = self._receive_once(deadline.remaining(SLICE_NS), spin_ns, max_size)
            if message is not None:
                if slept:  # in an earlier slice; within one, the C implementation sees to it
                    lib.shmwpy_dmxp_pass_on(self._handle)
                return message
            if last:
                raise Timeout(f"channel {self.id} stayed empty")
            spin_ns, slept = 0, True

    def _receive_once(self, timeout_ns: int, spin_ns: int, max_size: int | None) -> Message | None:
        pool = self._pool
        cell = pool.pop() if pool else new_cell()
        buffer, view = cell
        try:
            room = LARGEST if max_size is None else min(max_size, LARGEST)
            word = _receive(self._handle, buffer, room, timeout_ns, spin_ns)
            if self._hook is not None:
                self._hook.reraise()
            if word < FAILED:
                return Message(view[HEAD_SIZE:HEAD_SIZE + word], view[:HEAD_SIZE])
            self._not_received(word, buffer)
            return None
        finally:
            pool.append(cell)

    def _not_received(self, word: int, buffer: CData) -> None:
        if word in (EMPTY_WORD, TIMEOUT_WORD):
            return
        code = code_of(word)
        if code == TooSmallError.code:
            needed = ffi.cast("struct shmwpy_head *", buffer).length
            raise TooSmallError(f"{needed} bytes wait", needed)
        refuse(code, self._handle)

    def receive_batch(self, limit: int = DEFAULT_BATCH, *, max_bytes: int | None = None) -> MessageBatch:
        if limit < 1:
            raise InvalidArgumentError(f"a batch of {limit}")
        limit = min(limit, self.capacity)
        pool = self._batch_pool
        cell = pool.pop() if pool else new_batch_cell(limit)
        if cell.limit < limit:
            cell = new_batch_cell(limit)
        try:
            room = cell.limit * LARGEST if max_bytes is None else min(max_bytes, cell.limit * LARGEST)
            word = lib.shmwpy_dmxp_receive_batch(self._handle, cell.heads, cell.blob, room, cell.messages, limit)
            if word >= FAILED:
                self._not_received(word, cell.heads)
                return MessageBatch(b"", b"")
            last = cell.heads[word - 1]
            return MessageBatch(cell.blob_view[:last.offset + last.length], cell.heads_view[:word * HEAD_SIZE])
        finally:
            pool.append(cell)

    def peek(self, *, max_size: int | None = None) -> Iterator[Message]:
        return NativeLook(self, LARGEST if max_size is None else min(max_size, LARGEST))

    def set_sleep_hook(self, hook: SleepHook | None) -> None:
        if self._handle == ffi.NULL:
            raise Closed("the segment has been closed")
        self._hook = _Hook(hook) if hook is not None else None
        if self._hook is not None:
            lib.shmw_dmxp_set_sleep_hook(self._handle, lib.shmwpy_dmxp_on_sleep, self._hook.handle)
        else:
            lib.shmw_dmxp_set_sleep_hook(self._handle, ffi.NULL, ffi.NULL)


class NativeLook(Iterator[Message]):
    """The iterator of peek."""

    __slots__ = ("_cell", "_channel", "_max_size", "_position")

    def __init__(self, channel: NativeChannel, max_size: int) -> None:
        self._channel = channel
        self._max_size = max_size
        self._position = ffi.new("uint64_t *")
        self._cell = new_cell()

    def __next__(self) -> Message:
        buffer, view = self._cell
        word = lib.shmwpy_dmxp_peek(self._channel._handle, self._position, buffer, self._max_size)
        if word < FAILED:
            return Message(view[HEAD_SIZE:HEAD_SIZE + word], view[:HEAD_SIZE])
        self._channel._not_received(word, buffer)
        raise StopIteration


class NativeClaim(Claim):
    """A claimed slot of the native engine."""

    __slots__ = ("_channel", "_claim", "_open", "position", "view")

    def __init__(self, channel: NativeChannel, claim: CData) -> None:
        self._channel = channel
        self._claim = claim
        self._open = True
        self.position = int(claim.position)
        handle = channel._handle
        # The view holds the channel, and the channel the mapping, for as long as anybody holds the view.
        payload = ffi.gc(ffi.cast("char *", claim.payload), _Keeper(handle))
        self.view = memoryview(ffi.buffer(payload, claim.capacity)).cast("B")

    def commit(self, length: int, *, message_id: int = ID_POSITION, timestamp_ns: int = 0, message_type: int = 0,
               sender_pid: int = 0, sender_runtime: int = 0, flags: int = 0) -> None:
        if not self._open:
            raise OutOfOrderError("the claim has been committed or abandoned")
        if not 0 <= length <= len(self.view):
            raise TooLargeError(f"{length} bytes, {len(self.view)} fit into a slot")
        values = check_meta((message_id, timestamp_ns, message_type, sender_pid, sender_runtime, flags))
        given = ffi.new("struct shmw_dmxp_meta *", meta_fields(values))
        handle = self._channel._handle
        check(lib.shmw_dmxp_commit(handle, self._claim, length, given), handle)
        self._end()

    def abandon(self) -> None:
        if not self._open:
            return
        handle = self._channel._handle
        check(lib.shmw_dmxp_abandon(handle, self._claim), handle)
        self._end()

    def _end(self) -> None:
        self._open = False
        try:
            self.view.release()
        except BufferError:  # somebody, such as a NumPy array, still has a view of the view
            return


class _Keeper:
    """A destructor that does nothing but hold something for as long as what it belongs to."""

    def __init__(self, kept: CData) -> None:
        self.kept = kept

    def __call__(self, _: CData) -> None:
        return
