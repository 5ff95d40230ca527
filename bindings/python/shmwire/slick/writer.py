# SPDX-License-Identifier: MIT
"""Profile slick, section 4, python engine: reserving, publishing, abandoning."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..atomic import ACQUIRE, RELEASE, fence
from ..bytes import contiguous
from ..errors import BusyError, Closed, InvalidArgumentError, Lapped, OutOfOrderError, TooLargeError, UnsupportedError
from ..wait import process_id
from . import layout
from .api import Claim, Producer
from .item import ProducerInfo
from .segment import Ring, index_of
from .settle import SETTLED, WAITING, Patience, Settlement

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class PythonClaim(Claim):
    """A claim of the python engine."""

    def __init__(self, producer: PythonProducer, index: int, elements: int, view: memoryview) -> None:
        super().__init__(index, elements, view)
        self._producer = producer

    def _publish(self) -> None:
        self._producer.finish(self, give_up=False)

    def _abandon(self) -> None:
        self._producer.finish(self, give_up=True)


class PythonProducer(Producer):
    """A producer of the python engine."""

    def __init__(self, ring: Ring, stall: float) -> None:
        super().__init__()
        self.engine = "python"
        self._ring: Ring | None = ring
        self._settlement = Settlement(ring)
        self._stall = stall
        self._claim: PythonClaim | None = None
        self._owner = 0  # process that made the open claim
        self._written = self._given_up = 0
        ring.words.require_writable()

    def _open(self) -> Ring:
        if self._ring is None:
            raise Closed("the producer has been closed")
        return self._ring

    # Reserving ------------------------------------------------------------------------------------------------------

    def _open_claim(self) -> PythonClaim | None:
        """The open claim. One that was open at a fork is the parent's."""
        return self._claim if self._owner == process_id() else None

    def _checked(self, elements: int) -> Ring:
        """Step 1. [slick.reserve.argument, slick.reserve.one-claim]"""
        ring = self._open()
        if elements <= 0:
            raise InvalidArgumentError(f"a reservation of {elements} elements")
        if elements > min(ring.size, layout.MAX_ELEMENTS):
            raise TooLargeError(f"{elements} elements, {min(ring.size, layout.MAX_ELEMENTS)} at most")
        if self._open_claim() is not None:
            raise BusyError("a claim of this producer is open")
        return ring

    def _checked_data(self, data: ReadableBuffer) -> tuple[bytes | memoryview, int]:
        """Data and its elements. [slick.reserve.length]"""
        payload, element_size = contiguous(data), self._open().element_size
        if len(payload) == 0 or len(payload) % element_size != 0:
            raise InvalidArgumentError(f"{len(payload)} bytes, a multiple of {element_size} is wanted")
        return payload, len(payload) // element_size

    def _reserve_items(self, elements: int, most: int) -> tuple[int, int]:
        """Steps 2 to 6 for up to `most` items of so many elements each: the index of the first, and how many they are."""
        ring, patience = self._open(), Patience(self._stall)
        while True:
            # A6: pairs with R6; settled, and what was found settled, by who reserved last
            reserved = ring.load_reserved(ACQUIRE)  # 2.
            begin = index_of(reserved)
            room = ring.size - begin % ring.size
            count = min(most, min(room, layout.MAX_ELEMENTS) // elements)
            end = begin + count * elements if count > 0 else begin + room  # padding [slick.reserve.wrap]
            if end + (elements if count == 0 else 0) >= layout.INDEX_LIMIT:
                raise Closed("the indices of the queue are used up")  # [slick.reserve.exhausted]
            if not self._may_reserve(reserved, end, patience):  # 3.
                continue
            desired = end << layout.RESERVED_SIZE_BITS | (end - begin)  # [slick.reserve.packed]
            # R6: pairs with A6; settled before the reservation that rests on it
            if ring.words.cas_u64(layout.HEADER_RESERVED_OFFSET, reserved, desired, RELEASE) != reserved:  # 4.
                continue
            # F5: pairs with F5 of reading; the reservation before any store to the ring [slick.reserve.fence]
            fence(RELEASE)  # 5.
            if count > 0:
                return begin, count
            self._mark_padding(ring, begin, elements, end)  # 6.

    def _may_reserve(self, reserved: int, end: int, patience: Patience) -> bool:
        """Step 3; False to load reserved again, after a pause where somebody is waited for."""
        settlement = self._settlement
        begin = index_of(reserved)
        if settlement.known > begin:  # only a reset brings that about
            settlement.known = 0
        if settlement.known == begin:
            return True  # [slick.reserve.alone]
        looked = settlement.allows(reserved, end)
        if looked == WAITING and patience.exhausted(settlement.known, begin) and settlement.give_up(reserved):
            self._given_up += 1
            settlement.ring.raise_settled(settlement.known)
        return looked == SETTLED

    def _mark_padding(self, ring: Ring, begin: int, elements: int, end: int) -> None:
        """Step 6: readers go on behind the end of the ring. [slick.reserve.mark]"""
        if not self._is_given_up(ring, begin):
            ring.set_slot(begin, elements, end)
        self._settlement.passed(begin, end)

    def _is_given_up(self, ring: Ring, index: int) -> bool:
        """Has somebody else marked our slot, or reserved beyond it? [slick.publish.given-up]"""
        found = ring.data_index(index)
        return found != layout.NO_INDEX and index < found <= ring.next_index()

    # Publishing -----------------------------------------------------------------------------------------------------

    def _publish_item(self, index: int, elements: int) -> None:
        """Steps 7 and 8. [slick.publish.order, slick.publish.first-slot]"""
        self._settle_item(index, elements, index)
        self._written += 1

    def _settle_item(self, index: int, elements: int, data_index: int) -> None:
        ring = self._open()
        if self._is_given_up(ring, index):
            raise Lapped("the item was given up")
        ring.set_slot(index, elements, data_index)
        self._settlement.passed(index, index + elements)

    def _abandon_item(self, index: int, elements: int) -> None:
        """[slick.publish.abandon]"""
        if elements == self._open().size:
            raise UnsupportedError("a claim of the whole ring has no index behind it that a mark could name")
        self._settle_item(index, elements, index + elements)

    def _publish_last(self, index: int, elements: int) -> None:
        """Steps 7 to 9."""
        self._publish_item(index, elements)
        self._open().raise_last_published(index)

    def finish(self, claim: PythonClaim, *, give_up: bool) -> None:
        """Publish or abandon the open claim. OutOfOrderError for another one."""
        with self._lock:
            self._open()
            if claim is not self._open_claim():
                raise OutOfOrderError("not the open claim of this producer")
            try:
                (self._abandon_item if give_up else self._publish_last)(claim.index, claim.elements)
            except UnsupportedError:
                raise  # the claim stays
            except BaseException:
                self._claim = None
                raise
            self._claim = None

    # Calls ----------------------------------------------------------------------------------------------------------

    def _reserve(self, elements: int) -> PythonClaim:
        ring = self._checked(elements)
        index, _ = self._reserve_items(elements, 1)
        self._owner = process_id()
        self._claim = PythonClaim(self, index, elements, ring.view(index, elements))
        return self._claim

    def _write(self, data: ReadableBuffer) -> int:
        payload, elements = self._checked_data(data)
        ring = self._checked(elements)
        index, _ = self._reserve_items(elements, 1)
        ring.window.write(ring.element_at(index), payload)
        self._publish_last(index, elements)
        return index

    def _write_batch(self, items: Sequence[ReadableBuffer]) -> list[int]:
        ring, payloads = self._open(), [self._checked_data(data) for data in items]
        if not payloads:
            return []
        elements = payloads[0][1]
        if any(other != elements for _, other in payloads):
            raise InvalidArgumentError("the items of a batch have one length")
        self._checked(elements)
        indices: list[int] = []
        while len(indices) < len(payloads):
            first, count = self._reserve_items(elements, len(payloads) - len(indices))
            batch = payloads[len(indices):len(indices) + count]
            ring.window.write(ring.element_at(first), b"".join([payload for payload, _ in batch]))
            indices += self._publish_run(range(first, first + count * elements, elements), elements)
        return indices

    def _publish_run(self, indices: range, elements: int) -> range:
        """Publish items that lie side by side, and raise last_published once for all: the last of them is the highest."""
        for number, index in enumerate(indices):
            try:
                self._publish_item(index, elements)
            except Lapped:
                if number > 0:
                    self._open().raise_last_published(index - elements)
                if number + 1 < len(indices):  # what is left of the run is passed over
                    with contextlib.suppress(Lapped):
                        self._abandon_item(index + elements, (len(indices) - number - 1) * elements)
                raise
        self._open().raise_last_published(indices[-1])
        return indices

    def info(self) -> ProducerInfo:
        return ProducerInfo(self._written, self._given_up)

    def _close(self) -> None:
        ring, claim = self._ring, self._open_claim()
        if ring is not None and claim is not None:
            claim.release()
            with contextlib.suppress(Lapped, UnsupportedError, Closed):
                self._abandon_item(claim.index, claim.elements)
        self._claim = self._ring = None
