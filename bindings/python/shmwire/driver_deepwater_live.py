# SPDX-License-Identifier: MIT
"""Live actors of profile deepwater (spec/driver-protocol.md, section 9): the writer or a reader of a feed at full speed."""

from __future__ import annotations

import contextlib
import time
from typing import Final

from .deepwater.core import Part, ReaderCore
from .deepwater.record import Expired, Record
from .driver_codec import U64, Json, integer, table
from .driver_deepwater import reader_for, writer_for
from .driver_dmxp import Injection
from .driver_live import TYPE_DATA, make_payload
from .driver_lossy import LossyActor, LossyReaderActor, take_sizes
from .engine import Engine
from .errors import Closed, ShmwireException

STEP_NS: Final = 1000  # between the timestamps of two messages
_LARGEST: Final = 1 << 20  # bytes of a payload


class WriterActor(LossyActor):
    """The writer of a feed. It stays open after its answer: what it leaves behind is not what readers on their way expect."""

    def __init__(self, engine: Engine, plan: Json, injection: Injection) -> None:
        super().__init__(plan)
        body = {"seg": plan.get("seg"), "options": table(plan, "open")}
        self._rotate_every = integer(plan, "rotate_every", U64, 0)
        self._writer = writer_for(engine, body, injection, "any")
        try:
            self.sizes = take_sizes(plan, min(self._writer.info().chunk_size, _LARGEST))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave."""
        with contextlib.suppress(ShmwireException):
            self._writer.close()

    def run(self) -> Json:
        """Go: the summary, when all is written, an answer was an error, or the time is up."""
        end, sent, writer = time.monotonic_ns() + self.limit_ns, 0, self._writer
        last = writer.info().last_sequence
        first = 0 if last is None else last + 1  # one that takes over goes on behind the one before
        while sent < self.count and time.monotonic_ns() <= end:
            done, stop = writer.append_batch(self._parts(first, sent))
            before, sent = sent, sent + done
            try:
                if stop is None and self._rotate_every and before // self._rotate_every != sent // self._rotate_every:
                    writer.rotate()
            except ShmwireException as error:
                stop = error
            if stop is not None:
                break
            self.pause(before, sent)
        return {"sent": sent, "full": 0}

    def _parts(self, first: int, sent: int) -> list[Part]:
        """The next batch; `first`: the sequence of this writer's message 0."""
        sizes, largest = self.sizes, max(self.sizes)
        indices = range(sent, min(self.count, sent + self.batch))
        payloads = [make_payload(self.actor, index, self.seed, sizes[index % len(sizes)], largest) for index in indices]
        return [(STEP_NS * (first + index), payload, TYPE_DATA) for index, payload in zip(indices, payloads, strict=True)]


class ReaderActor(LossyReaderActor):
    """A reader of a feed."""

    def __init__(self, engine: Engine, plan: Json) -> None:
        super().__init__(plan)
        self.tally["lost"] = 0
        self._missed = 0  # before the next record
        self._reader: ReaderCore | None = None
        options = {key: plan[key] for key in ("from", "sequence") if plan.get(key) is not None} | table(plan, "open")
        try:
            self._reader = reader_for(engine, {"seg": plan.get("seg"), "options": options, "timeout_ms": plan.get("limit_ms")})
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        super().close()
        if self._reader is not None:
            self._reader.close()

    def receive(self) -> bool:
        reader = self._reader
        if reader is None:
            return False
        try:
            records = self._receive(reader)
        except Expired as expired:  # counted with the record that comes next
            self._missed += expired.lost
            return False
        except Closed:
            self.tally["ended"] = True
            return False
        for record in records:
            self.tally["lost"] += self._missed
            self.judge(bytes(record.payload), record.type, record.sequence, self._missed, record.chunk_id)
            self._missed = 0
            self.tally["ended"] = self.tally["ended"] or record.sequence + 1 >= self.count > 0
        return bool(records)

    def _receive(self, reader: ReaderCore) -> list[Record]:
        if self.batch > 1:
            records = reader.next_batch(self.batch)
            if records or not self.wait:
                return records
        record = reader.wait_next(self.wait)
        return [record] if record is not None else []


def arm(engine: Engine, plan: Json, injection: Injection) -> WriterActor | ReaderActor:
    """Prepare an actor."""
    if plan.get("role") == "read":
        return ReaderActor(engine, plan)
    return WriterActor(engine, plan, injection)
