# SPDX-License-Identifier: MIT
"""Profile ouroboros behind the driver protocol (spec/driver-protocol.md, section 6), over the package's public API."""

from __future__ import annotations

import time
from typing import Final, cast

from . import atomic, ouroboros
from .driver_codec import U32, U64, Json, UnknownCommand, data_reply, flag, integer, table, text, word
from .driver_live import make_payload
from .driver_lossy import (
    ALL_CLASSES,
    READING_CLASSES,
    LossyActor,
    LossyHandle,
    LossyReaderActor,
    max_size,
    payloads,
    take_sizes,
)
from .errors import UnsupportedError

FEATURES: Final = ("batch", "view")


def capabilities() -> Json:
    """What this build can do: everything, or what takes no writer where there is no extension module."""
    if not atomic.AVAILABLE:
        return {"classes": list(READING_CLASSES), "features": list(FEATURES)}
    return {"classes": list(ALL_CLASSES), "features": list(FEATURES)}


def _start(body: Json, key: str, default: str | None) -> ouroboros.Start:
    return cast(ouroboros.Start, word(body, key, ouroboros.STARTS, default))


def _target(options: Json) -> int | None:
    return integer(options, "chunk_target_size", U64, 0) or None


class OuroborosHandle(LossyHandle):
    """A log that the runner had created or opened: its writer or a reader, and the views that were taken."""

    def __init__(self, log: ouroboros.Writer | ouroboros.Reader) -> None:
        super().__init__()
        self._log = log

    @classmethod
    def create(cls, engine: ouroboros.Engine, body: Json) -> OuroborosHandle:
        """Command create."""
        options = table(body, "options")
        count = integer(options, "chunk_count", U32, 0) or ouroboros.DEFAULT_CHUNK_COUNT
        target = _target(options) or ouroboros.DEFAULT_CHUNK_TARGET
        size = integer(options, "size", U64, 0) or None
        return cls(ouroboros.create(text(body, "seg"), count, target, size, engine=engine))

    @classmethod
    def open(cls, engine: ouroboros.Engine, body: Json) -> OuroborosHandle:
        """Command open."""
        options = table(body, "options")
        if word(body, "mode", ("ro", "rw")) == "rw":
            if not flag(options, "resume"):
                raise UnsupportedError("rw without resume: a log has one writer")
            return cls(ouroboros.resume(text(body, "seg"), _target(options), engine=engine))
        timeout = integer(body, "timeout_ms", U32, 0) / 1000
        return cls(ouroboros.open(text(body, "seg"), _start(options, "from", "auto"), ready_timeout=timeout, engine=engine))

    def close(self) -> None:
        """Let go of the log; a writer gives its lock back."""
        self._views.clear()
        self._log.close()

    def _reader(self) -> ouroboros.Reader:
        if not isinstance(self._log, ouroboros.Reader):
            raise UnsupportedError("the handle is a writer")
        return self._log

    def _writer(self) -> ouroboros.Writer:
        if not isinstance(self._log, ouroboros.Writer):
            raise UnsupportedError("the handle is a reader")
        return self._log

    # Inspect and verbs ----------------------------------------------------------------------------------------------

    def inspect(self) -> Json:
        """Every field by its layout name."""
        found = {f"header.{name}": str(value) for name, value in self._log.header()._asdict().items()}
        for number, row in enumerate(self._log.rows()):
            found |= {f"row[{number}].offset": str(row.offset), f"row[{number}].token": str(row.token)}
        return found

    def call(self, verb: str, args: Json) -> Json:
        """A profile verb."""
        if verb == "ouroboros.info":
            return self._info()
        if verb == "ouroboros.validate":
            self._reader().validate()
            return {}
        if verb == "ouroboros.view_check":
            return self.view_check(args)
        raise UnknownCommand(f"verb {verb}")

    def _info(self) -> Json:
        if isinstance(self._log, ouroboros.Writer):
            info = self._log.info()
            return {"entries_written": str(info.entries_written), "max_payload": str(info.max_payload),
                    "chunk_target_size": str(info.chunk_target_size), "chunk_count": info.chunk_count}
        reader = self._log
        return {"total_entries_read": str(reader.total_entries_read), "total_skipped": str(reader.total_skipped),
                "next_sequence": str(reader.next_sequence), "chunk_count": reader.chunk_count}

    # Writing and reading --------------------------------------------------------------------------------------------

    def write(self, body: Json) -> Json:
        """Command write."""
        writer, mode, items = self._writer(), word(body, "mode", ("try", "block", "batch")), payloads(body)
        sequences = writer.write_batch(items) if mode == "batch" else [writer.write(payload) for payload in items]
        return {"results": [{"st": "ok", "seq": str(sequence)} for sequence in sequences]}

    def read(self, body: Json) -> Json:
        """Command read."""
        self._reader()
        return super().read(body)

    def fill(self, items: list[Json], mode: str, limit: int, body: Json) -> None:
        reader, most = self._reader(), max_size(body)
        if mode == "view":
            view = reader.read_next_view()
            if view is not None:
                items.append(self.keep_view(view, item_reply(view)))
            return
        if mode == "batch":
            items += [item_reply(entry) for entry in reader.read_batch(limit, max_bytes=most)]
            return
        timeout = integer(body, "timeout_ms", U32, 0) / 1000 if mode == "block" else 0.0
        while len(items) < limit:
            entry = reader.read_next_entry(0.0 if items else timeout, max_size=most)
            if entry is None:
                break
            items.append(item_reply(entry))

    def seek(self, body: Json) -> Json:
        """Command seek."""
        reader, start = self._reader(), _start(body, "to", None)
        self._pending = None
        reader.seek(start)
        return {}


def item_reply(entry: ouroboros.Entry | ouroboros.View) -> Json:
    """An entry as it travels in a reply."""
    return {"data": data_reply(bytes(entry.data)), "seq": str(entry.sequence_number), "chunk": entry.chunk_info.index,
            "token": str(entry.chunk_info.token), "skipped": str(entry.skipped)}


# Live -----------------------------------------------------------------------------------------------------------------


class LogWriterActor(LossyActor):
    """A writer at full speed. It takes the segment over: the runner had it made, and the maker let go of it."""

    def __init__(self, engine: ouroboros.Engine, plan: Json) -> None:
        super().__init__(plan)
        self._writer = ouroboros.resume(text(plan, "seg"), _target(table(plan, "options")), engine=engine)
        try:
            self._sizes = take_sizes(plan, self._writer.max_payload)
        except BaseException:
            self._writer.close()
            raise

    def close(self) -> None:
        """Give the log up."""
        self._writer.close()

    def run(self) -> Json:
        """Go: the summary, when all is written or the time is up."""
        end, sent, largest = time.monotonic_ns() + self.limit_ns, 0, max(self._sizes)
        while sent < self.count and time.monotonic_ns() <= end:
            number = min(self.batch, self.count - sent)
            batch = [make_payload(self.actor, i, self.seed, self._sizes[i % len(self._sizes)], largest)
                     for i in range(sent, sent + number)]
            if number > 1:
                self._writer.write_batch(batch)
            else:
                self._writer.write(batch[0])
            self.pause(sent, sent + number)
            sent += number
        return {"sent": sent, "full": 0}


class LogReaderActor(LossyReaderActor):
    """A reader that ends with sequence `count`."""

    def __init__(self, engine: ouroboros.Engine, plan: Json) -> None:
        super().__init__(plan)
        self.tally["skipped"] = 0
        options = table(plan, "options")
        start = _start(plan if plan.get("from") is not None else options, "from", "auto")
        try:
            self._reader = ouroboros.open(text(plan, "seg"), start, engine=engine)
        except BaseException:
            super().close()
            raise

    def close(self) -> None:
        self._reader.close()
        super().close()

    def receive(self) -> bool:
        entries = self._reader.read_batch(self.batch) if self.batch > 1 else []
        if not entries:
            entry = self._reader.read_next_entry(self.wait)
            entries = [entry] if entry is not None else []
        for entry in entries:
            self.tally["skipped"] += entry.skipped
            self.judge(entry.data, 0, entry.sequence_number, entry.skipped)
            self.tally["ended"] = self.tally["ended"] or entry.sequence_number >= self.count
        return bool(entries)


def arm(engine: ouroboros.Engine, plan: Json) -> LogWriterActor | LogReaderActor:
    """Prepare an actor."""
    if word(plan, "role", ("write", "read")) == "write":
        return LogWriterActor(engine, plan)
    return LogReaderActor(engine, plan)
