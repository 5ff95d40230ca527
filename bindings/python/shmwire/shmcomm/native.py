# SPDX-License-Identifier: MIT
"""Profile shmcomm, native engine: whole operations in the C implementation, one crossing each.

Ways in. Sending, and taking what is there, one by one and packed, go through the lane (_native/shmcomm_lane.h); everything else
through cffi. The lane is the endpoint's lock too.

Lifetimes. close() leaves the channel at once, but what is mapped goes away with the last view that refers to it. A wait is a row
of short calls: Python's signal handlers run in between.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final, cast

from ..bytes import packed
from ..errors import (
    BusyError,
    Closed,
    InvalidArgumentError,
    Lapped,
    ShmwireException,
    SystemError,
    TooSmallError,
    from_code,
)
from ..refc import CData, check, failure, ffi, keeper, lanes, lib, locator
from ..wait import DEFAULT_SPIN, SLICE_NS, Deadline, to_ns
from . import layout
from .core import Endpoint
from .message import NO_META, ROLES, Info, Making, Message, Meta, Options, Recovered, Role
from .patterns import any_segment, is_locator
from .reader import Lost
from .recover import sweep

#: struct shmw_shmcomm_message as it lies in memory; shmcomm_calls.h checks it.
HEAD: Final = Struct("<QQQQQQIHHQQQ")
_ROLES: Final[dict[Role, int]] = {role: number for number, role in enumerate(ROLES, 1)}
_MAKING: Final[dict[Making, int]] = {
    "any": lib.SHMW_SHMCOMM_JOIN_OR_CREATE, "create": lib.SHMW_SHMCOMM_CREATE_ONLY, "join": lib.SHMW_SHMCOMM_JOIN_ONLY}
_OK: Final = 0
_EMPTY: Final = 1
_LAPPED: Final = 3
_TIMEOUT: Final = 4
_BUSY: Final = BusyError.code
_TOO_SMALL: Final = TooSmallError.code
_FIRST_ROOM: Final = 1 << 16  # bytes of the receive buffer; it grows with the messages
_BATCH_ROOM: Final = 1 << 20
_ANY_SIZE: Final = 1 << 62
_NEVER: Final = Deadline(None)
_MESSAGE: Final = tuple.__new__  # without the detour through Python code that NamedTuple's own has
_FIELDS: Final = tuple(Info.__dataclass_fields__)
_SWEEP_NS: Final = layout.WAIT_SLICE_NS


def _options(options: Options) -> CData:
    wait = min(to_ns(options.wait), 2**62)
    return ffi.new("struct shmw_shmcomm_options *", {
        "capacity": options.capacity, "mode": options.mode, "serializer": options.serializer, "making": _MAKING[options.making],
        "oldest": options.oldest, "read_only": options.read_only, "sole": options.sole, "tell_lost": options.tell_lost,
        "no_wait": wait == 0, "ready_timeout_ns": wait, "identity": {
            "endpoint": options.endpoint, "pid": options.pid, "instance": options.instance, "boot_ns": options.boot_ns,
            "correlation_id": options.correlation_id}})


class NativeEndpoint(Endpoint):
    """An endpoint of the native engine."""

    def __init__(self, role: Role, name: str, options: Options) -> None:
        super().__init__()
        self.engine = "native"
        self.role = role
        self.name = name
        self._handle: CData = ffi.NULL
        self._kept: CData = ffi.gc(lib.shmwpy_shmcomm_keep(), lib.shmwpy_shmcomm_unmap)
        self._info: Info | None = None
        out = ffi.new("shmw_shmcomm **")
        if not 0 <= options.capacity < 2**64 or not 0 <= options.mode < 2**32 or not 0 <= options.serializer < 2**16:
            raise InvalidArgumentError(f"capacity {options.capacity}, mode {options.mode}, serializer {options.serializer}")
        target = any_segment(name) if role == "observer" and not is_locator(name) else name
        code = lib.shmw_shmcomm_open(_ROLES[role], locator(target), _options(options), out)
        check(code, out, f"{name}: {from_code(code).text}" if code != _OK else "")
        self._handle = out[0]
        self._message = ffi.new("struct shmw_shmcomm_message *")
        self.lock = self._lane = self._new_lane()
        self.segment = os.fsdecode(ffi.string(lib.shmw_shmcomm_segment(self._handle)))
        self._serializer = self._look().serializer
        self._sequence = ffi.new("uint64_t *")
        self._count = ffi.new("size_t *")
        self._most = 0  # messages that a batch has had room for
        self._messages: CData = ffi.NULL
        self._ends: CData = ffi.NULL
        self._room = _FIRST_ROOM
        self._buffer = ffi.new("char[]", self._room)
        self._bytes = ffi.buffer(self._buffer)
        self._head = ffi.buffer(self._message)
        self._places: tuple[int, int, int, int, object] = 0, 0, 0, 0, None
        self._claims = False  # is a claim open?
        self._swept = time.monotonic_ns()

    def close(self) -> None:
        with self.lock:
            if self._handle != ffi.NULL:
                with contextlib.suppress(ShmwireException):  # in a forked child it is the parent's
                    self._info = self._look()
                handle, self._handle = self._handle, ffi.NULL
                self._lane.close()
                lib.shmwpy_shmcomm_close(handle, self._kept)

    def __del__(self) -> None:
        if getattr(self, "_handle", ffi.NULL) != ffi.NULL:
            self.close()

    def _new_lane(self) -> lanes.ShmcommLane:
        endpoint, found = (int(ffi.cast("uintptr_t", pointer)) for pointer in (self._handle, self._message))
        return lanes.ShmcommLane(endpoint, found, self._message, Message, threading.RLock())

    def after_fork(self) -> None:
        self.lock = self._lane = self._new_lane()

    def _code(self, answer: int) -> int:
        """The code in an answer of the lane that is no success."""
        if answer == SystemError.code:
            ffi.errno = self._lane.cause
        return answer if answer > -1000 else -1000 - answer

    def _failure(self, code: int, what: str = "") -> ShmwireException:
        return failure(code, self._handle, what)

    def _check(self, code: int, what: str = "") -> None:
        if code != _OK:
            raise self._failure(code, what)

    # Sending --------------------------------------------------------------------------------------------------------

    def _content(self, meta: Meta) -> int:
        return self._serializer if meta.content_type is None else meta.content_type

    def _about(self, meta: Meta) -> tuple[int, ...]:
        """For the lane."""
        return () if meta is NO_META else (meta.timestamp_ns, self._content(meta), meta.flags)

    def _meta(self, meta: Meta) -> CData:
        return ffi.new("struct shmw_shmcomm_meta *", {
            "timestamp_ns": meta.timestamp_ns, "content_type": self._content(meta), "flags": meta.flags})

    def _repeat(self, call: Callable[[int], int], timeout: float | None) -> int:
        """A call that waits for room, again until it has it or the time is up."""
        if timeout == 0:
            return call(0)
        deadline = Deadline(timeout)
        while True:
            slice_ns = deadline.remaining(SLICE_NS)
            code = call(slice_ns)
            if not self._goes_on(code) or deadline.expired():
                return code
            if code == _TIMEOUT:
                lib.shmwpy_shmcomm_go_on(self._handle)

    def _goes_on(self, code: int) -> bool:
        """May a call that came back too early, for its slice was over, be made again?"""
        return code == _TIMEOUT or (code == _BUSY and not self._claims)

    def send(self, data: bytes | memoryview, meta: Meta = NO_META, timeout: float | None = 0) -> int:
        deadline = Deadline(timeout) if timeout else _NEVER
        limit = 0 if timeout == 0 else deadline.remaining(SLICE_NS)
        about = self._about(meta)
        while (answer := self._lane.send(data, limit, *about)) < 0:
            with self.lock:
                code = self._code(answer)
                if timeout == 0 or not self._goes_on(code) or deadline.expired():
                    raise self._failure(code, self._too_large(code, len(data)))
                if code == _TIMEOUT:
                    lib.shmwpy_shmcomm_go_on(self._handle)
                limit = deadline.remaining(SLICE_NS)
        return answer

    def _too_large(self, code: int, length: int) -> str:
        name = from_code(code).name
        if name == "TOO_LARGE":
            info = self._look()
            return f"{length} bytes; a ring of {info.capacity} takes {info.max_payload} at most"
        return f"{self.segment} is full" if name in ("FULL", "TIMEOUT") else ""

    def send_batch(self, parts: Sequence[bytes | memoryview], meta: Meta = NO_META, timeout: float | None = 0
                   ) -> tuple[int, ShmwireException | None]:
        return self.send_packed(b"".join(parts), [len(part) for part in parts], meta, timeout)

    def send_packed(self, blob: bytes | memoryview, lengths: int | Sequence[int], meta: Meta = NO_META, timeout: float | None = 0
                    ) -> tuple[int, ShmwireException | None]:
        packed(len(blob), lengths)
        deadline, done = Deadline(timeout) if timeout else _NEVER, 0
        limit = 0 if timeout == 0 else deadline.remaining(SLICE_NS)
        about = self._about(meta)
        while True:
            sent, answer = self._lane.send_packed(blob, lengths, done, limit, *about)
            done += sent
            if answer == _OK:
                return done, None
            with self.lock:
                code = self._code(answer)
                if timeout == 0 or not self._goes_on(code) or deadline.expired():
                    return done, self._stopped(code, lengths)
                if code == _TIMEOUT:
                    lib.shmwpy_shmcomm_go_on(self._handle)
                limit = deadline.remaining(SLICE_NS)

    def _stopped(self, code: int, lengths: int | Sequence[int]) -> ShmwireException:
        """What stopped a batch. Raised if it is about the batch as a whole."""
        stop = self._failure(code, self._too_large(code, lengths if isinstance(lengths, int) else max(lengths, default=0)))
        if stop.name in ("TOO_LARGE", "UNSUPPORTED", "OUT_OF_ORDER") or self._handle == ffi.NULL:
            raise stop
        return stop

    def claim(self, length: int, meta: Meta = NO_META, timeout: float | None = 0) -> memoryview:
        if length < 0:
            raise InvalidArgumentError(f"{length} bytes")
        with self.lock:
            raw, about = ffi.new("struct shmw_shmcomm_claim *"), self._meta(meta)
            code = self._repeat(
                lambda limit: lib.shmw_shmcomm_claim(self._handle, min(length, _ANY_SIZE), about, limit, raw), timeout)
            self._check(code, self._too_large(code, length))
            self._claims = True
            return self._lent(raw.data, length)

    def _lent(self, data: CData, length: int) -> memoryview:
        """Bytes of the segment: they hold the mapping, so no access through them can hit memory that is gone."""
        pointer = ffi.gc(ffi.cast("char *", data), keeper(self._kept))
        return memoryview(ffi.buffer(pointer, length))

    def commit(self) -> int:
        with self.lock:
            self._claims = False
            self._check(lib.shmw_shmcomm_commit(self._handle, self._sequence))
            return int(self._sequence[0])

    def abandon(self) -> None:
        with self.lock:
            self._claims = False
            self._check(lib.shmw_shmcomm_abandon(self._handle))

    def reply(self, request: Message, data: bytes | memoryview, meta: Meta = NO_META, timeout: float | None = 0) -> None:
        source = data if isinstance(data, bytes) else ffi.from_buffer(data)
        with self.lock:
            raw = ffi.new("struct shmw_shmcomm_message *", {
                "correlation_id": request.correlation_id, "sender": request.sender, "taken_ns": request.taken_ns,
                "sequence": request.sequence})
            about = self._meta(meta)
            limit = 2**62 if timeout is None else to_ns(timeout)
            code = lib.shmw_shmcomm_reply(self._handle, raw, source, len(data), about, limit)
            self._check(code, f"requester {request.sender}")

    # Receiving ------------------------------------------------------------------------------------------------------

    def _grow(self, needed: int) -> None:
        """Make the buffer larger: half as much again, so that growing messages do not mean a new one each."""
        self._room = max(needed, self._room * 3 // 2)
        self._buffer = ffi.new("char[]", self._room)
        self._bytes = ffi.buffer(self._buffer)
        self._place()

    def _place(self) -> None:
        """Note where batches go, for the lane: bytes, addresses, and what holds that memory."""
        memory = self._buffer, self._messages, self._ends
        buffer, messages, ends = (int(ffi.cast("uintptr_t", part)) for part in memory)
        self._places = self._room, buffer, messages, ends, memory

    def _sweep(self) -> None:
        """The C calls are too short to come to it. [shmcomm.reply.sweep]"""
        now = time.monotonic_ns()
        if self.role == "replier" and now - self._swept >= _SWEEP_NS:
            self._swept = now
            sweep(self.name)

    def _await(self, call: Callable[[int, int], int], timeout: float | None, spin: float) -> int:
        """A call that receives, again until there is something or the time is up; OK, EMPTY or TIMEOUT."""
        if timeout == 0:
            return self._judged(call(0, 0))
        deadline, spin_ns = Deadline(timeout), to_ns(spin)
        while True:
            code = self._judged(call(deadline.remaining(SLICE_NS), spin_ns))
            if code == _OK:
                return code
            self._sweep()
            if deadline.expired():
                return code
            spin_ns = 0

    def _judged(self, code: int) -> int:
        if code in (_OK, _EMPTY, _TIMEOUT):
            return code
        if code == _LAPPED:
            lost = int(self._message.lost)
            raise Lost(lost) if lost else Lapped("publishers overtook the subscriber again and again")
        raise self._failure(code)

    def receive(self, timeout: float | None = 0, max_size: int | None = None, spin: float = DEFAULT_SPIN) -> Message | None:
        if max_size is None:  # what is there already, by the shortest way
            found = self._lane.receive()
            if type(found) is Message:
                return found
            if not self._is_to_wait(found, timeout):
                return None
        with self.lock:
            message = self._message

            def call(limit: int, spin_ns: int) -> int:
                message.lost = 0
                while True:
                    size = self._room if max_size is None else min(max_size, self._room)
                    code: int = lib.shmw_shmcomm_receive(self._handle, self._buffer, size, limit, spin_ns, message)
                    if code != _TOO_SMALL:
                        return code
                    needed = int(message.length)
                    if max_size is not None and needed > max_size:
                        raise TooSmallError(f"a message of {needed} bytes", needed)
                    self._grow(needed)

            return self._received() if self._await(call, timeout, spin) == _OK else None

    def _is_to_wait(self, answer: object, timeout: float | None) -> bool:
        """Is the slower call to be made, after this answer of the lane to a call that receives? Raises what it may be."""
        code = _EMPTY if answer is None else self._code(cast(int, answer))
        if code not in (_EMPTY, _TOO_SMALL):
            with self.lock:
                self._judged(code)
        return code == _TOO_SMALL or timeout != 0

    def _received(self) -> Message:
        """The message in the buffer."""
        head = HEAD.unpack_from(self._head)
        if head[3]:
            self._message.lost = 0  # what is found there after LAPPED is then of that call
        return _MESSAGE(Message, (*head[:9], self._bytes[head[10]:head[10] + head[9]]))

    def _taken(self, raw: CData, payload: bytes | memoryview) -> Message:
        sequence, timestamp, correlation, lost, position, taken, sender, content, flags, _, _, _ = HEAD.unpack(ffi.buffer(raw))
        return Message(sequence, timestamp, correlation, lost, position, taken, sender, content, flags, payload)

    def _prepare(self, limit: int) -> None:
        """Buffers of a batch."""
        if limit < 1:
            raise InvalidArgumentError(f"a batch of {limit}")
        if limit > self._most:
            self._messages = ffi.new("struct shmw_shmcomm_message[]", limit)
            self._ends = ffi.new("uint64_t[]", limit)
            self._place()
            self._most = limit
        if self._room < _BATCH_ROOM:
            self._grow(_BATCH_ROOM)

    def _batch(self, limit: int, max_bytes: int | None, timeout: float | None, spin: float) -> int:
        """receive_packed of the C side: how many there are."""
        self._prepare(limit)

        def call(wait: int, spin_ns: int) -> int:
            self._messages[0].lost = 0
            while True:
                size = self._room if max_bytes is None else min(max_bytes, self._room)
                code: int = lib.shmwpy_shmcomm_receive_packed(self._handle, self._buffer, size, self._messages, limit, wait,
                                                              spin_ns, self._count, self._ends)
                if code == _LAPPED:
                    self._message.lost = self._messages[0].lost
                if code != _TOO_SMALL:
                    return code
                needed = int(self._messages[0].length)
                if max_bytes is not None and needed > max_bytes:
                    raise TooSmallError(f"a message of {needed} bytes", needed)
                self._grow(needed)

        return int(self._count[0]) if self._await(call, timeout, spin) == _OK else 0

    def _batch_at_once(self, limit: int, max_bytes: int | None) -> tuple[bytes, list[int]] | int | None:
        """What is there already, by the shortest way."""
        if not 0 < limit <= self._most or self._room < _BATCH_ROOM:
            with self.lock:
                self._prepare(limit)
        room, buffer, messages, ends, keep = self._places
        size = room if max_bytes is None else max(0, min(max_bytes, room))
        return self._lane.receive_packed(limit, size, buffer, messages, ends, keep)

    def receive_batch(self, limit: int, timeout: float | None = 0, max_bytes: int | None = None, spin: float = DEFAULT_SPIN
                      ) -> list[Message]:
        with self.lock:
            count = self._batch(limit, max_bytes, timeout, spin)
            if not count:
                return []
            ends = ffi.unpack(self._ends, count)
            blob = ffi.buffer(self._buffer, ends[-1])
            found, begin = [], 0
            heads = HEAD.iter_unpack(ffi.buffer(self._messages, count * HEAD.size))
            for (sequence, stamp, correlation, lost, at, taken, sender, content, flags, _, _, _), end in zip(
                    heads, ends, strict=True):
                found.append(Message(sequence, stamp, correlation, lost, at, taken, sender, content, flags, blob[begin:end]))
                begin = end
            return found

    def receive_packed(self, limit: int, timeout: float | None = 0, max_bytes: int | None = None, spin: float = DEFAULT_SPIN
                       ) -> tuple[bytes, list[int]]:
        found = self._batch_at_once(limit, max_bytes)
        if type(found) is tuple:
            return found
        with self.lock:
            if not self._is_to_wait(found, timeout):
                return b"", []
            count = self._batch(limit, max_bytes, timeout, spin)
            if not count:
                return b"", []
            ends = ffi.unpack(self._ends, count)
            return ffi.buffer(self._buffer, ends[-1])[:], ends

    def view(self, timeout: float | None = 0, spin: float = DEFAULT_SPIN) -> Message | None:
        with self.lock:
            raw = self._message

            def call(limit: int, spin_ns: int) -> int:
                raw.lost = 0
                code: int = lib.shmw_shmcomm_view(self._handle, limit, spin_ns, raw)
                return code

            if self._await(call, timeout, spin) != _OK:
                return None
            return self._taken(raw, self._lent(raw.data, raw.length).toreadonly())

    def holds(self, message: Message) -> bool:
        with self.lock:
            if self._handle == ffi.NULL:
                return False
            raw = ffi.new("struct shmw_shmcomm_message *", {"position": message.position, "length": len(message.payload)})
            return int(lib.shmw_shmcomm_view_check(self._handle, raw)) == _OK

    def seek(self, oldest: bool) -> None:
        with self.lock:
            self._check(lib.shmw_shmcomm_seek(self._handle, oldest))

    # Everything else ------------------------------------------------------------------------------------------------

    def info(self) -> Info:
        with self.lock:
            return self._look()

    def last_info(self) -> Info | None:
        return self._info

    def _look(self) -> Info:
        raw = ffi.new("struct shmw_shmcomm_info *")
        self._check(lib.shmw_shmcomm_info(self._handle, raw))
        return Info(**{name: getattr(raw, name) for name in _FIELDS})

    def snapshot(self) -> bytes:
        with self.lock:
            size = lib.shmwpy_shmcomm_size(self._handle)
            if size == 0:
                raise Closed("it has been closed")
            out = ffi.new("char[]", size)
            lib.shmwpy_shmcomm_snapshot(self._handle, out)
            return bytes(ffi.buffer(out))

    def validate(self) -> None:
        with self.lock:
            finding, position = ffi.new("const char **"), ffi.new("uint64_t *")
            code = lib.shmw_shmcomm_validate(self._handle, finding, position)
            if code != _OK:
                what = ffi.string(finding[0]).decode() if finding[0] != ffi.NULL else ""
                raise self._failure(code, f"position {position[0]}: {what}" if position[0] != 2**64 - 1 else what)


def recover(where: str) -> Recovered:
    """See core.recover."""
    report = ffi.new("struct shmw_shmcomm_recovered *")
    check(lib.shmw_shmcomm_recover(locator(where), report), report, where)
    return Recovered(report.lock_taken, report.count_repaired, report.swept)


def remove(where: str, insist: bool) -> None:
    """See core.remove."""
    check(lib.shmw_shmcomm_remove(locator(where), insist), where, where)

