# SPDX-License-Identifier: MIT
"""Profile slick, native engine: producers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final
from weakref import ref

from ..bytes import contiguous, packed
from ..errors import InvalidArgumentError, TooLargeError
from ..refc import CData, check, closer, ffi, keeper, lib
from ..wait import to_ns
from . import layout
from .api import Claim, Producer
from .item import ProducerInfo

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: What b"".join takes as it is, and len() counts in bytes.
_PLAIN: Final = frozenset({bytes, bytearray})


class NativeClaim(Claim):
    """A claim of the native engine."""

    def __init__(self, producer: NativeProducer, raw: CData, queue: CData) -> None:
        # The pointer holds the queue, and the view the pointer: no write through it can hit memory that is gone.
        pointer = ffi.gc(ffi.cast("char *", raw.data), keeper(queue))
        super().__init__(raw.index, raw.elements, memoryview(ffi.buffer(pointer, raw.capacity)))
        self._producer = producer
        self._raw = raw

    def _publish(self) -> None:
        self._producer.finish(lib.shmw_slick_publish, self._raw)

    def _abandon(self) -> None:
        self._producer.finish(lib.shmw_slick_abandon, self._raw)


class NativeProducer(Producer):
    """A producer of the native engine."""

    def __init__(self, queue: CData, element_size: int, stall: float) -> None:
        super().__init__()
        self.engine = "native"
        self._element_size = element_size
        self._queue = queue
        options = ffi.new("struct shmw_slick_producer_options *", {"stall_ns": min(max(to_ns(stall), 1), 2**62)})
        out = ffi.new("shmw_slick_producer **")
        check(lib.shmw_slick_producer_open(queue, options, out), queue)
        self._handle = ffi.gc(out[0], closer(lib.shmw_slick_producer_close, queue))
        self._index = ffi.new("uint64_t *")
        self._written = ffi.new("size_t *")
        self._capacity = 0  # of the array of a batch
        self._indices: CData = ffi.NULL
        self._info = ProducerInfo(0, 0)
        self._claim: ref[NativeClaim] | None = None  # weak: the claim holds its producer

    def _reserve(self, elements: int) -> NativeClaim:
        if elements < 0:
            raise InvalidArgumentError(f"a reservation of {elements} elements")
        if elements > layout.MAX_ELEMENTS:
            raise TooLargeError(f"{elements} elements, {layout.MAX_ELEMENTS} at most")
        raw = ffi.new("struct shmw_slick_claim *")
        check(lib.shmw_slick_reserve(self._handle, elements, raw), self._handle)
        claim = NativeClaim(self, raw, self._queue)
        self._claim = ref(claim)
        return claim

    def finish(self, call: Callable[[CData, CData], int], raw: CData) -> None:
        """Publish or abandon a claim."""
        with self._lock:
            check(call(self._handle, raw), self._handle)

    def _write(self, data: ReadableBuffer) -> int:
        payload = contiguous(data)
        source = payload if isinstance(payload, bytes) else ffi.from_buffer(payload)
        code = lib.shmw_slick_write(self._handle, source, len(payload), self._index)
        if code != 0:
            check(code, self._handle, f"{len(payload)} bytes, elements have {self._element_size}")
        return int(self._index[0])

    def _write_batch(self, items: Sequence[ReadableBuffer]) -> list[int]:
        if not items and self._handle != ffi.NULL:
            return []
        plain: Sequence[ReadableBuffer] = items if _PLAIN.issuperset(map(type, items)) else [contiguous(data) for data in items]
        lengths = set(map(len, plain))  # type: ignore[arg-type]
        if len(lengths) > 1:
            raise InvalidArgumentError("the items of a batch have one length")
        return self._write_run(b"".join(plain), max(lengths, default=0), len(plain))

    def _write_packed(self, blob: ReadableBuffer, length: int) -> list[int]:
        whole = contiguous(blob)
        _, count = packed(len(whole), length)
        if count == 0 and self._handle != ffi.NULL:
            return []
        return self._write_run(whole if isinstance(whole, bytes) else ffi.from_buffer(whole), length, count)

    def _write_run(self, source: bytes | CData, length: int, count: int) -> list[int]:
        """Write `count` items of `length` bytes that lie one behind the other."""
        if count > self._capacity:
            self._indices = ffi.new("uint64_t[]", count)
            self._capacity = count
        code = lib.shmw_slick_write_batch(self._handle, source, length, count, self._indices, self._written)
        if code != 0:
            check(code, self._handle, f"{length} bytes, elements have {self._element_size}")
        return list(ffi.unpack(self._indices, count))

    def info(self) -> ProducerInfo:
        with self._lock:
            return self._look()

    def _look(self) -> ProducerInfo:
        if self._handle != ffi.NULL:
            info = ffi.new("struct shmw_slick_producer_info *")
            check(lib.shmw_slick_producer_info(self._handle, info), self._handle)
            self._info = ProducerInfo(info.items_written, info.given_up)
        return self._info

    def _close(self) -> None:
        self._look()  # the counters stay
        claim = self._claim() if self._claim is not None else None
        if claim is not None:
            claim.release()
        self._handle = ffi.NULL  # the last reference: an open claim is abandoned here
        self._queue = ffi.NULL
