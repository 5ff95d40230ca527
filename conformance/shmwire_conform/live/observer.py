# SPDX-License-Identifier: MIT
"""Threads of the runner that watch the bytes of a segment while drivers work on it, for orders that no reply can show.

A memoryview of native words reads each with one load. Two loads of one observer must not be reordered: x86-64 does not do that,
and for other machines `between` takes and releases a lock.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from pathlib import Path

from ..errors import Finding
from ..judge import oracle

_fence = threading.Lock()


def between() -> None:
    with _fence:
        pass


class _Words:
    """A file as u64 and u32 words, read-only."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            self._map = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
        self._bytes = memoryview(self._map)
        self.u64 = self._bytes.cast("Q")
        self.u32 = self._bytes.cast("I")

    def close(self) -> None:
        self.u64.release()
        self.u32.release()
        self._bytes.release()
        self._map.close()


class Observer(threading.Thread):
    """Watches until it is stopped; keeps the first violation, and how often it had something to look at."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.words = _Words(path)
        self._stopping = False
        self.violation = ""
        self.looks = 0
        self.start()

    def run(self) -> None:
        while not self._stopping and not self.violation:
            self.look()

    def look(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self._stopping = True
        self.join()
        self.words.close()

    def require(self) -> None:
        """Raise what was seen."""
        if self.violation:
            raise Finding(self.violation)


class BatchOrder(Observer):
    """One writer, batches of n: whenever a later position of a batch is seen published, all before it must be.

    The later one is loaded first, so that a publication between the two loads cannot look like a violation. Sequences only
    grow, so a released or lapped position passes as well.
    """

    def __init__(self, path: Path, channel: int, batch: int) -> None:
        layout, constants = oracle("dmxp").LAYOUT.structs, oracle("dmxp").C
        entry = constants["CHANNEL_TABLE_OFFSET"] + layout["channel"].size * channel
        with path.open("rb") as file:
            data = file.read(entry + layout["channel"].size)
        field = layout["channel"].field
        self._capacity = int.from_bytes(data[entry + field("capacity").offset :][:8], "little")
        self._band = int.from_bytes(data[entry + field("band_offset").offset :][:8], "little")
        self._tail = (entry + field("tail").offset) // 8
        self._stride = layout["slot"].size
        self._batch = batch
        self._later = 0
        super().__init__(path)

    def _word(self, position: int) -> int:
        word: int = (self._band + self._stride * (position % self._capacity)) // 8
        return word

    def look(self) -> None:
        """At the batch that was claimed last, each time at another of its later positions."""
        words, tail = self.words.u64, self.words.u64[self._tail]
        if tail < self._batch:
            return
        first = (tail - 1) // self._batch * self._batch
        self._later = self._later % (self._batch - 1) + 1
        later = first + self._later
        if words[self._word(later)] < later + 1:
            return
        between()
        self.looks += 1
        for earlier in range(first, later):
            seen = words[self._word(earlier)]
            if seen < earlier + 1:
                what = f"position {later} was published while position {earlier} of the same batch was not"
                self.violation = f"{what} (sequence {seen})"
                return


class Commit(Observer):
    """Channels 0, 1, … are being created: the moment a capacity is not 0, the whole of its channel must be there."""

    def __init__(self, path: Path, count: int, capacity: int) -> None:
        layout, constants = oracle("dmxp").LAYOUT.structs, oracle("dmxp").C
        self._field = {one.name: one.offset for one in layout["channel"].fields}
        self._table, self._entry = constants["CHANNEL_TABLE_OFFSET"], layout["channel"].size
        self._slot, self._least = layout["slot"].size, constants["HEADER_SIZE"]
        self._count, self._capacity, self._next = count, capacity, 0
        super().__init__(path)

    def look(self) -> None:
        if self._next == self._count:
            time.sleep(0.001)
            return
        entry = self._table + self._entry * self._next
        capacity = self.words.u64[(entry + self._field["capacity"]) // 8]
        if capacity:
            between()
            self._check(entry, capacity)
            self._next += 1
            self.looks += 1

    def finish(self, count: int) -> None:
        """Stop once all channels have been looked at, at the latest after half a second."""
        limit = time.monotonic() + 0.5
        while self.looks < count and not self.violation and time.monotonic() < limit:
            time.sleep(0.001)
        self.stop()

    def _check(self, entry: int, capacity: int) -> None:
        """The last slot first: it is the one that is initialised last."""
        words, name = self.words.u64, f"channel {self._next}: its capacity was published before "
        band = words[(entry + self._field["band_offset"]) // 8]
        if band < self._least or capacity != self._capacity:
            self.violation = f"{name}its band_offset ({band}), capacity {capacity}"
            return
        for index in range(capacity - 1, -1, -1):
            if words[(band + self._slot * index) // 8] != index:
                self.violation = f"{name}the sequence of its slot {index}"
                return
        if self.words.u32[(entry + self._field["channel_id"]) // 4] != self._next:
            self.violation = f"{name}its channel_id"
