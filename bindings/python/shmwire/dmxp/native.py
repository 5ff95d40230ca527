# SPDX-License-Identifier: MIT
"""Profile dmxp, native engine: whole operations in the C implementation, one crossing each.

Lifetimes. Nothing is detached or unmapped by hand: the C objects go away with the last reference to them, and every call
holds one while it runs. So close() under a running call cannot crash; later calls get a null handle and raise Closed.

Ways in. Sending and taking one message without waiting go through the lane (_native/lane.h), a few CPython methods that keep
the GIL; calls that may wait, batches and all the rest go through cffi, which lets go of it.

Threads. A call that needs a buffer takes a cell from the channel's pool and puts it back: taking and putting are single
operations on a list, so no two calls share a cell, and no lock is needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, cast
from weakref import WeakSet

from .._native import ext_lane, ext_refc
from ..bytes import contiguous
from ..errors import (
    Closed,
    Empty,
    Full,
    InvalidArgumentError,
    InvalidNameError,
    NotFoundError,
    OutOfOrderError,
    Timeout,
    TooLargeError,
    TooSmallError,
    UnsupportedError,
    from_code,
)
from ..wait import DEFAULT_SPIN, SLICE_NS, Deadline, to_ns
from . import layout
from .api import DEFAULT_BATCH, Channel, Claim, Segment, SleepHook
from .handle import PayloadChoice
from .message import (
    BATCH_HEAD,
    ID_POSITION,
    ChannelInfo,
    Message,
    MessageBatch,
    MetaFields,
    MetaValues,
    Recovery,
    SegmentInfo,
    check_meta,
    meta_values,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from .._native import _ext_lane as lanes
    from .._native import _ext_refc as extension
elif ext_refc is None or ext_lane is None:
    raise UnsupportedError("the native engine takes the extension module, which is not installed")
else:
    extension, lanes = ext_refc, ext_lane

#: C data has no Python types.
CData = Any

ffi: Final = extension.ffi
lib: Final = extension.lib

#: From here on the word that a call returns is no value but 2^64 + error, or 2^64 - 1000 - result (_native/dmxp_calls.h).
FAILED: Final = 2**64 - 4096
_HEAD: Final = BATCH_HEAD.size
_LARGEST: Final = layout.PAYLOAD_CAPACITY_CRATE
_META: Final = Struct("<QQIIHH4x")
_META_NAMES: Final = ("message_id", "timestamp_ns", "message_type", "sender_pid", "sender_runtime", "flags")
_SLOT_ROOM: Final = _HEAD + _LARGEST
_FULL: Final = 2**64 - 1000 - Full.code
_EMPTY: Final = 2**64 - 1000 - Empty.code
_TIMEOUT: Final = 2**64 - 1000 - Timeout.code

_CHOICES: Final = {"crate": lib.SHMW_DMXP_CHOOSE_CRATE, "document": lib.SHMW_DMXP_CHOOSE_DOCUMENT,
                   "auto": lib.SHMW_DMXP_CHOOSE_AUTO}

# Bound once: an attribute of lib is looked up on every call otherwise.
_send: Final = lib.shmwpy_dmxp_send
_receive: Final = lib.shmwpy_dmxp_receive


def _code(word: int) -> int:
    """The code of the registry in a word from FAILED on."""
    negative = word - 2**64
    return -1000 - negative if negative <= -1000 else negative


def _check(code: int, handle: CData, what: str = "") -> None:
    """Nothing for OK, else the exception. A null handle is one that has been closed."""
    if code != 0:
        _refuse(code, handle, what)


def _refuse(code: int, handle: CData, what: str = "") -> NoReturn:
    if handle == ffi.NULL:
        raise Closed("the segment has been closed")
    if not what and from_code(code).name == "SYSTEM" and ffi.errno:
        what = os.strerror(ffi.errno)
    raise from_code(code, what)


def _lane_of(handle: CData) -> lanes.Lane:
    """The shortest way into a channel; it holds the channel. That of a null handle refuses every call."""
    return lanes.Lane(int(ffi.cast("uintptr_t", handle)), handle, Message)


def _fields(values: MetaValues) -> dict[str, int]:
    """Values in the order of MetaFields, as cffi fills a struct shmw_dmxp_meta by name."""
    return dict(zip(_META_NAMES, values, strict=True))


def _packed(metas: Sequence[MetaFields]) -> bytes:
    """Metas as an array of struct shmwpy_meta. Senders often repeat one object: it is taken apart once."""
    held, known = list(metas), dict[int, bytes]()  # held: an id means something only while its object lives
    for meta in held:
        if id(meta) not in known:
            known[id(meta)] = _META.pack(*meta_values(meta))
    return b"".join([known[id(meta)] for meta in held])


class _Cell(NamedTuple):
    """Room for one received message: a head, then the payload."""

    buffer: CData
    view: Any


def _new_cell() -> _Cell:
    buffer = ffi.new("char[]", _SLOT_ROOM)
    return _Cell(buffer, ffi.buffer(buffer))


class _BatchCell(NamedTuple):
    """Room for `limit` messages received together."""

    limit: int
    messages: CData
    heads: CData
    blob: CData
    heads_view: Any
    blob_view: Any


def _new_batch_cell(limit: int) -> _BatchCell:
    heads, blob = ffi.new("struct shmwpy_head[]", limit), ffi.new("char[]", limit * _LARGEST)
    return _BatchCell(limit, ffi.new("struct shmw_dmxp_message[]", limit), heads, blob, ffi.buffer(heads), ffi.buffer(blob))


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
        self._lane = _lane_of(handle)
        self._pool: list[_Cell] = []
        self._batch_pool: list[_BatchCell] = []
        self._hook: _Hook | None = None
        self.id = channel
        self.capacity = capacity
        self.payload_capacity = payload_capacity

    def _detach(self) -> None:
        self._handle = ffi.NULL
        self._lane = _lane_of(ffi.NULL)

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
        if word in (_FULL, _TIMEOUT):
            return
        code = _code(word)
        what = f"{length} bytes, {self.payload_capacity} fit into a slot" if code == TooLargeError.code else ""
        _refuse(code, self._handle, what)

    def send_batch(self, items: Sequence[ReadableBuffer], metas: Sequence[MetaFields] | None = None) -> int | None:
        if not 1 <= len(items) <= self.capacity or (metas is not None and len(metas) != len(items)):
            raise InvalidArgumentError(f"a batch of {len(items)}, 1 to {self.capacity} allowed, and one entry of metas for each")
        payloads = cast("Sequence[bytes]", items)
        if set(map(type, items)) != {bytes}:
            payloads = [bytes(contiguous(item)) for item in items]
        lengths = list(map(len, payloads))
        given = b"" if metas is None else _packed(metas)
        word = lib.shmwpy_dmxp_send_batch(self._handle, b"".join(payloads), lengths, len(lengths), given, len(given))
        if word < FAILED:
            return word
        self._not_sent(word, max(lengths))
        return None

    def claim(self) -> NativeClaim:
        claim = ffi.new("struct shmw_dmxp_claim *")
        code = lib.shmw_dmxp_claim(self._handle, claim)
        if code == Full.code:
            raise Full(f"channel {self.id} is full")
        _check(code, self._handle)
        return NativeClaim(self, claim)

    # Consumers ------------------------------------------------------------------------------------------------------

    def try_receive(self, *, max_size: int | None = None) -> Message | None:
        found = self._lane.receive(_LARGEST if max_size is None else min(max_size, _LARGEST))
        if found is None or type(found) is Message:
            return found
        return self._not_taken(cast(int, found), max_size)

    def _not_taken(self, code: int, max_size: int | None) -> Message | None:
        """Say why. A message that is too long is still there: the slower call says how long it is."""
        if code == TooSmallError.code:
            return self._receive_once(0, 0, max_size)
        _refuse(_code(code + 2**64), self._handle)

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
        cell = pool.pop() if pool else _new_cell()
        buffer, view = cell
        try:
            room = _LARGEST if max_size is None else min(max_size, _LARGEST)
            word = _receive(self._handle, buffer, room, timeout_ns, spin_ns)
            if self._hook is not None:
                self._hook.reraise()
            if word < FAILED:
                return Message(view[_HEAD:_HEAD + word], view[:_HEAD])
            self._not_received(word, buffer)
            return None
        finally:
            pool.append(cell)

    def _not_received(self, word: int, buffer: CData) -> None:
        if word in (_EMPTY, _TIMEOUT):
            return
        code = _code(word)
        if code == TooSmallError.code:
            needed = ffi.cast("struct shmwpy_head *", buffer).length
            raise TooSmallError(f"{needed} bytes wait", needed)
        _refuse(code, self._handle)

    def receive_batch(self, limit: int = DEFAULT_BATCH, *, max_bytes: int | None = None) -> MessageBatch:
        if limit < 1:
            raise InvalidArgumentError(f"a batch of {limit}")
        limit = min(limit, self.capacity)
        pool = self._batch_pool
        cell = pool.pop() if pool else _new_batch_cell(limit)
        if cell.limit < limit:
            cell = _new_batch_cell(limit)
        try:
            room = cell.limit * _LARGEST if max_bytes is None else min(max_bytes, cell.limit * _LARGEST)
            word = lib.shmwpy_dmxp_receive_batch(self._handle, cell.heads, cell.blob, room, cell.messages, limit)
            if word >= FAILED:
                self._not_received(word, cell.heads)
                return MessageBatch(b"", b"")
            last = cell.heads[word - 1]
            return MessageBatch(cell.blob_view[:last.offset + last.length], cell.heads_view[:word * _HEAD])
        finally:
            pool.append(cell)

    def peek(self, *, max_size: int | None = None) -> Iterator[Message]:
        return NativeLook(self, _LARGEST if max_size is None else min(max_size, _LARGEST))

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
        self._cell = _new_cell()

    def __next__(self) -> Message:
        buffer, view = self._cell
        word = lib.shmwpy_dmxp_peek(self._channel._handle, self._position, buffer, self._max_size)
        if word < FAILED:
            return Message(view[_HEAD:_HEAD + word], view[:_HEAD])
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
        given = ffi.new("struct shmw_dmxp_meta *", _fields(values))
        handle = self._channel._handle
        _check(lib.shmw_dmxp_commit(handle, self._claim, length, given), handle)
        self._end()

    def abandon(self) -> None:
        if not self._open:
            return
        handle = self._channel._handle
        _check(lib.shmw_dmxp_abandon(handle, self._claim), handle)
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


class NativeSegment(Segment):
    """A segment of the native engine."""

    __slots__ = ("_channels", "_handle", "engine", "size", "writable")

    def __init__(self, handle: CData, writable: bool) -> None:
        self.engine = "native"
        self._handle = handle
        self._channels: WeakSet[NativeChannel] = WeakSet()
        self.writable = writable
        self.size = self.info().size

    def close(self) -> None:
        self._handle = ffi.NULL
        for channel in list(self._channels):
            channel._detach()
        self._channels.clear()

    def info(self) -> SegmentInfo:
        info = ffi.new("struct shmw_dmxp_segment_info *")
        _check(lib.shmw_dmxp_info(self._handle, info), self._handle)
        return SegmentInfo(size=info.size, version=info.version, max_channels=info.max_channels, channel_count=info.channel_count,
                           payload_layout=info.payload_layout, payload_capacity=info.payload_capacity,
                           magic=layout.MAGIC)  # no other value gets past open

    def create_channel(self, channel: int, capacity: int = layout.DEFAULT_CAPACITY, *,
                       counted_waiters: bool = False) -> NativeChannel:
        if not 0 <= channel < layout.MAX_CHANNELS or not 0 < capacity < 2**64:
            raise InvalidArgumentError(f"channel {channel} with {capacity} slots")
        options = ffi.new("struct shmw_dmxp_channel_options *", {"capacity": capacity, "counted_waiters": counted_waiters})
        _check(lib.shmw_dmxp_channel_create(self._handle, channel, options), self._handle)
        return self.channel(channel)

    def remove_channel(self, channel: int) -> None:
        _check(lib.shmw_dmxp_channel_remove(self._handle, _id(channel)), self._handle)

    def channels(self) -> list[int]:
        ids, count = ffi.new("uint32_t[]", layout.MAX_CHANNELS), ffi.new("size_t *")
        _check(lib.shmw_dmxp_channel_list(self._handle, ids, layout.MAX_CHANNELS, count), self._handle)
        return list(ids[0:count[0]])

    def channel(self, channel: int) -> NativeChannel:
        if not 0 <= channel < layout.MAX_CHANNELS:
            raise NotFoundError(f"no channel {channel}")
        segment, out = self._handle, ffi.new("shmw_dmxp_channel **")
        _check(lib.shmw_dmxp_attach(segment, channel, out), segment, f"channel {channel}")
        handle = ffi.gc(out[0], _detacher(segment))
        attached = NativeChannel(handle, channel, self.channel_info(channel).capacity, self.info().payload_capacity)
        self._channels.add(attached)
        return attached

    def channel_info(self, channel: int) -> ChannelInfo:
        info = ffi.new("struct shmw_dmxp_channel_info *")
        _check(lib.shmw_dmxp_channel_info(self._handle, _id(channel), info), self._handle)
        return ChannelInfo(channel_id=info.channel_id, flags=info.flags, capacity=info.capacity, band_offset=info.band_offset,
                           signal=info.signal, waiters=info.waiters, retired_capacity=info.retired_capacity, tail=info.tail,
                           head=info.head, removals=info.removals)

    def validate(self) -> None:
        finding, channel = ffi.new("const char **"), ffi.new("uint32_t *")
        code = lib.shmw_dmxp_validate(self._handle, finding, channel)
        if code == 0:
            return
        what = ffi.string(finding[0]).decode() if finding[0] != ffi.NULL else ""
        _refuse(code, self._handle, what if channel[0] >= layout.MAX_CHANNELS else f"channel {channel[0]}: {what}")

    def recover(self, *, all_dead: bool = False) -> Recovery:
        report = ffi.new("struct shmw_dmxp_recovery *")
        _check(lib.shmw_dmxp_recover(self._handle, all_dead, report), self._handle)
        return Recovery(tombstones=report.tombstones, possibly_lost=report.possibly_lost, waiters_reset=report.waiters_reset,
                        count_repaired=report.count_repaired)


def _id(channel: int) -> int:
    if not 0 <= channel < layout.MAX_CHANNELS:
        raise InvalidArgumentError(f"channel {channel}")
    return channel


def _detacher(segment: CData) -> Callable[[CData], None]:
    """What frees a channel. It holds the segment, which must go after all of its channels."""
    def detach(channel: CData, _kept: CData = segment) -> None:
        lib.shmw_dmxp_detach(channel)
    return detach


# Making and attaching -------------------------------------------------------------------------------------------------


def create(name: str, size: int, payload_layout: int, mode: int) -> NativeSegment:
    """Make a segment. [dmxp.segment.create]"""
    sane = layout.HEADER_SIZE <= size < 2**63 and payload_layout in (layout.LAYOUT_DOCUMENT, layout.LAYOUT_CRATE)
    if not sane or not 0 <= mode <= 0o777:
        raise InvalidArgumentError(f"a segment of {size} bytes, payload_layout {payload_layout}, mode {mode:o}")
    options = ffi.new("struct shmw_dmxp_create_options *", {"size": size, "payload_layout": payload_layout, "mode": mode,
                                                            "sender_runtime": layout.RUNTIME_PYTHON})
    out = ffi.new("shmw_dmxp_segment **")
    _check(lib.shmw_dmxp_create(_locator(name), options, out), out, name)
    return NativeSegment(ffi.gc(out[0], lib.shmw_dmxp_close), writable=True)


def attach(name: str, writable: bool, choice: PayloadChoice, ready_timeout: float) -> NativeSegment:
    """Attach to a segment. [dmxp.segment.*]"""
    wait = min(to_ns(ready_timeout), 2**62)
    options = ffi.new("struct shmw_dmxp_open_options *", {
        "read_only": not writable, "payload_choice": _CHOICES[choice], "ready_timeout_ns": wait,
        "sender_runtime": layout.RUNTIME_PYTHON})
    out = ffi.new("shmw_dmxp_segment **")
    _check(lib.shmw_dmxp_open(_locator(name), options, out), out, name)
    return NativeSegment(ffi.gc(out[0], lib.shmw_dmxp_close), writable)


def _locator(name: str) -> bytes:
    """C strings end at a NUL: a name that holds one would be another name."""
    raw = os.fsencode(name)
    if b"\0" in raw:
        raise InvalidNameError(repr(name))
    return raw
