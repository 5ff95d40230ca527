# SPDX-License-Identifier: MIT
"""Profile ouroboros behind the driver protocol (spec/driver-protocol.md, section 6), over the package's public API."""

from __future__ import annotations

import os
import time
import zlib
from typing import IO, Any, Final, cast

from . import atomic, ouroboros
from .driver_codec import U32, U64, BadRequest, Json, UnknownCommand, data, data_reply, flag, integer, table, text, word
from .driver_live import HEAD, LARGEST_BATCH, RECORD, SPINS_BEFORE_YIELD, STUTTER_EVERY, is_whole, make_payload
from .errors import CorruptError, Lapped, ShmwireError, ShmwireException, UnsupportedError

ALL_CLASSES: Final = ("inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery")
READING_CLASSES: Final = ("inspect", "read", "blocking", "hardened")
FEATURES: Final = ("batch", "view")
MOST_ITEMS: Final = 1024  # of one reply, so that it stays below the protocol's 4 MiB
BLOCK_SLICE: Final = 0.05  # seconds, so that limit_ms is looked at while blocked


def capabilities() -> Json:
    """What this build can do: everything, or what takes no writer where there is no extension module."""
    if not atomic.AVAILABLE:
        return {"classes": list(READING_CLASSES), "features": list(FEATURES)}
    return {"classes": list(ALL_CLASSES), "features": list(FEATURES)}


def _start(body: Json, key: str, default: str | None) -> ouroboros.Start:
    return cast(ouroboros.Start, word(body, key, ouroboros.STARTS, default))


def _target(options: Json) -> int | None:
    return integer(options, "chunk_target_size", U64, 0) or None


class OuroborosHandle:
    """A log that the runner had created or opened: its writer or a reader, and the views that were taken."""

    def __init__(self, log: ouroboros.Writer | ouroboros.Reader) -> None:
        self._log = log
        self._views: list[ouroboros.View] = []
        self._pending: ShmwireError | None = None

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
            return self._view_check(integer(args, "v", U64))
        raise UnknownCommand(f"verb {verb}")

    def _info(self) -> Json:
        if isinstance(self._log, ouroboros.Writer):
            info = self._log.info()
            return {"entries_written": str(info.entries_written), "max_payload": str(info.max_payload),
                    "chunk_target_size": str(info.chunk_target_size), "chunk_count": info.chunk_count}
        reader = self._log
        return {"total_entries_read": str(reader.total_entries_read), "total_skipped": str(reader.total_skipped),
                "next_sequence": str(reader.next_sequence), "chunk_count": reader.chunk_count}

    def _view_check(self, number: int) -> Json:
        if not 1 <= number <= len(self._views):
            raise BadRequest(f"v {number} is not a view of this handle")
        try:
            self._views[number - 1].check()
        except Lapped:
            return {"st": "lapped"}
        return {"st": "ok"}

    # Writing and reading --------------------------------------------------------------------------------------------

    def write(self, body: Json) -> Json:
        """Command write."""
        writer, mode, items = self._writer(), word(body, "mode", ("try", "block", "batch")), body.get("items")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise BadRequest("items is missing or not an array of objects")
        payloads = [data(item, "data") for item in items]
        sequences = writer.write_batch(payloads) if mode == "batch" else [writer.write(payload) for payload in payloads]
        return {"results": [{"st": "ok", "seq": str(sequence)} for sequence in sequences]}

    def read(self, body: Json) -> Json:
        """Command read. An error behind the first item is the answer of the next read."""
        reader, mode = self._reader(), word(body, "mode", ("try", "block", "batch", "view", "peek"))
        if mode == "peek":
            raise UnsupportedError("readers take nothing away: reading is looking")
        limit = min(integer(body, "max", U64, 1), MOST_ITEMS)
        if limit == 0:
            raise BadRequest("max is 0")
        pending, self._pending = self._pending, None
        if pending is not None:
            raise pending
        items: list[Json] = []
        try:
            self._fill(items, reader, mode, limit, body)
        except ShmwireError as error:
            if not items:
                raise
            self._pending = error
        except ShmwireException as error:
            return {"st": error.name.lower(), "items": items}
        return {"st": "ok" if items else "timeout" if mode == "block" else "empty", "items": items}

    def _fill(self, items: list[Json], reader: ouroboros.Reader, mode: str, limit: int, body: Json) -> None:
        size = integer(body, "buffer", U32, -1)
        most = size if size >= 0 else None
        if mode == "view":
            view = reader.read_next_view()
            if view is not None:
                self._views.append(view)
                items.append(item_reply(view) | {"view": len(self._views)})
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


class LogActor:
    """What the two live actors share of their plan."""

    def __init__(self, plan: Json) -> None:
        self.actor = integer(plan, "actor", U32, 0)
        self.seed = integer(plan, "seed", U32, 0)
        self.count = integer(plan, "count", U64, 0)
        self.batch = integer(plan, "batch", LARGEST_BATCH, 1) or 1
        self.stutter = integer(plan, "stutter_us", U32, 0) / 1e6
        self.limit_ns = integer(plan, "limit_ms", U32) * 1_000_000

    def _pause(self, before: int, after: int) -> None:
        if self.stutter and before // STUTTER_EVERY != after // STUTTER_EVERY:
            time.sleep(self.stutter)


class LogWriterActor(LogActor):
    """A writer at full speed. It takes the segment over: the runner had it made, and the maker let go of it."""

    def __init__(self, engine: ouroboros.Engine, plan: Json) -> None:
        super().__init__(plan)
        self._writer = ouroboros.resume(text(plan, "seg"), _target(table(plan, "options")), engine=engine)
        try:
            self._sizes = self._take_sizes(plan)
        except BaseException:
            self._writer.close()
            raise

    def _take_sizes(self, plan: Json) -> list[int]:
        sizes, most = plan.get("sizes"), self._writer.max_payload
        if not isinstance(sizes, list) or not sizes:
            raise BadRequest("sizes is missing or empty")
        if not all(isinstance(size, int) and HEAD.size <= size <= most for size in sizes):
            raise BadRequest(f"sizes holds something else than {HEAD.size} to {most}")
        return sizes

    def close(self) -> None:
        """Give the log up."""
        self._writer.close()

    def run(self) -> Json:
        """Go: the summary, when all is written or the time is up."""
        end, sent, largest = time.monotonic_ns() + self.limit_ns, 0, max(self._sizes)
        while sent < self.count and time.monotonic_ns() <= end:
            number = min(self.batch, self.count - sent)
            payloads = [make_payload(self.actor, i, self.seed, self._sizes[i % len(self._sizes)], largest)
                        for i in range(sent, sent + number)]
            if number > 1:
                self._writer.write_batch(payloads)
            else:
                self._writer.write(payloads[0])
            self._pause(sent, sent + number)
            sent += number
        return {"sent": sent, "full": 0}


class LogReaderActor(LogActor):
    """A reader at full speed, and its history file."""

    def __init__(self, engine: ouroboros.Engine, plan: Json) -> None:
        super().__init__(plan)
        self.wait = BLOCK_SLICE if word(plan, "wait", ("spin", "block"), "spin") == "block" else 0.0
        self.slow = integer(plan, "slow_us", U32, 0) / 1e6
        options = table(plan, "options")
        start = _start(plan if plan.get("from") is not None else options, "from", "auto")
        self._history: IO[bytes] | None = open(text(plan, "history"), "wb") if plan.get("history") is not None else None
        self._spins = 0
        self._tally: dict[str, Any] = {"received": 0, "torn": 0, "empty": 0, "corrupt": 0, "ended": False, "skipped": 0}
        try:
            self._reader = ouroboros.open(text(plan, "seg"), start, engine=engine)
        except BaseException:
            if self._history is not None:
                self._history.close()
            raise

    def close(self) -> None:
        """Let go of everything."""
        self._reader.close()
        if self._history is not None:
            self._history.close()

    def run(self) -> Json:
        """Go: the summary, when sequence `count` has been read or the time is up."""
        end, calls, tally = time.monotonic_ns() + self.limit_ns, 0, self._tally
        while not tally["ended"]:
            calls += 1
            before = tally["received"]
            found = self._receive()
            self._pause(before, tally["received"])
            if (not found or self.slow or calls % STUTTER_EVERY == 0) and time.monotonic_ns() > end:
                break
        if self._history is not None:
            self._history.flush()
        return tally

    def _receive(self) -> bool:
        try:
            entries = self._reader.read_batch(self.batch) if self.batch > 1 else []
            if not entries:
                entry = self._reader.read_next_entry(self.wait)
                entries = [entry] if entry is not None else []
        except CorruptError:
            self._tally["corrupt"] += 1
            return False
        for entry in entries:
            self._judge(entry)
            if self.slow:
                time.sleep(self.slow)
        if not entries:
            self._tally["empty"] += 1
            self._spins += 1
            if self._spins % SPINS_BEFORE_YIELD == 0:
                os.sched_yield()
        return bool(entries)

    def _judge(self, entry: ouroboros.Entry) -> None:
        payload, tally = entry.data, self._tally
        tally["received"] += 1
        tally["skipped"] += entry.skipped
        tally["torn"] += not is_whole(payload, max(len(payload), HEAD.size))
        tally["ended"] = tally["ended"] or entry.sequence_number >= self.count
        if self._history is None:
            return
        _, actor, sequence, _, _ = HEAD.unpack_from(payload) if len(payload) >= HEAD.size else (0, 0, 0, 0, 0)
        self._history.write(RECORD.pack(actor, 0, sequence, entry.sequence_number, len(payload), 0, zlib.crc32(payload),
                                        min(entry.skipped, U32)))


def arm(engine: ouroboros.Engine, plan: Json) -> LogWriterActor | LogReaderActor:
    """Prepare an actor."""
    if word(plan, "role", ("write", "read")) == "write":
        return LogWriterActor(engine, plan)
    return LogReaderActor(engine, plan)
