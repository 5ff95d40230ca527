# SPDX-License-Identifier: MIT
"""Profile deepwater behind the driver protocol (spec/driver-protocol.md, section 9), over shmwire.deepwater.core."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Final, cast

from . import atomic
from .deepwater import layout
from .deepwater.core import (
    Part,
    ReaderCore,
    WriterCore,
    collect,
    list_feeds,
    open_reader,
    open_writer,
    retire,
    validate,
)
from .deepwater.inspect import inspect
from .deepwater.record import STATES, Cursor, Expired, FeedOptions, Making, ReaderOptions, Record, Start
from .driver_codec import U32, U64, BadRequest, Json, UnknownCommand, data, data_reply, flag, integer, octal, table, text, word
from .driver_dmxp import Injection
from .driver_lossy import ALL_CLASSES, MOST_ITEMS, READING_CLASSES
from .engine import Engine
from .errors import ShmwireError, ShmwireException, UnsupportedError

FEATURES: Final = ("batch",)
DEFAULT_FEED: Final = "feed"
_DEFAULT_CHUNK: Final = 4096
BASE_VERBS: Final = ("deepwater.feeds", "deepwater.validate", "deepwater.retire", "deepwater.gc")
_NUMBERS: Final = {name: number for number, name in STATES.items()}


class Answered(ShmwireException):
    """What this profile answers as an error although it may be a result: FULL and CLOSED; and, of an item, behind others."""

    def __init__(self, error: ShmwireException, done: int | None = None) -> None:
        super().__init__(error.detail)
        self.error = error
        self.done = done  #: items that were appended before it


def capabilities() -> Json:
    """What this build can do: everything, or what takes no stores where there is no extension module."""
    classes = ALL_CLASSES if atomic.AVAILABLE else READING_CLASSES
    return {"classes": list(classes), "features": list(FEATURES)}


def feed_of(body: Json) -> str:
    """The feed that options or args name."""
    return text(body, "feed") if body.get("feed") is not None else DEFAULT_FEED


def feed_options(given: Json, making: Making, injection: Injection) -> FeedOptions:
    """`options` of create and of open "rw"."""
    return FeedOptions(
        persist=flag(given, "persist"), chunk_size=integer(given, "chunk_size", U64, _DEFAULT_CHUNK),
        live_window=integer(given, "live_window", U32, layout.DEFAULT_WINDOW), record_size=integer(given, "record_size", U32, 0),
        rotate_ns=integer(given, "rotate_ns", U64, 0), rows=integer(given, "rows", U32, layout.DEFAULT_ROWS),
        feeds=integer(given, "feeds", U32, layout.DEFAULT_FEEDS), mode=octal(given, "mode", layout.DEFAULT_MODE), making=making,
        pid=injection.pid or 0, clock_ns=injection.clock_ns or 0, boot_ns=injection.boot_ns)


def start_of(given: Json, key: str) -> tuple[Start, int]:
    """Where a reader begins, or goes."""
    starts: tuple[Start, ...] = ("time", "sequence")
    for start in starts:
        if given.get(start) is not None:
            return start, integer(given, start, U64)
    return cast(Start, word(given, key, ("oldest", "latest"), "oldest")), 0


def writer_for(engine: Engine, body: Json, injection: Injection, making: Making) -> WriterCore:
    """A writer by `seg` and `options`."""
    given = table(body, "options")
    try:
        return open_writer(text(body, "seg"), feed_of(given), feed_options(given, making, injection), engine)
    except ShmwireError:
        raise
    except ShmwireException as answer:
        raise Answered(answer) from None


def reader_for(engine: Engine, body: Json) -> ReaderCore:
    """A reader by `seg` and `options`."""
    given = table(body, "options")
    start, at = start_of(given, "from")
    options = ReaderOptions(start, at, flag(given, "end_with_writer"), flag(given, "read_only"),
                            integer(body, "timeout_ms", U32, 0) / 1000)
    return open_reader(text(body, "seg"), feed_of(given), options, engine)


def record_reply(record: Record) -> Json:
    """A record as it travels in a reply."""
    return {"data": data_reply(bytes(record.payload)), "seq": str(record.sequence), "ts": str(record.timestamp_ns),
            "type": record.type, "chunk": str(record.chunk_id)}


def part_of(item: Json) -> Part:
    """An item of a write."""
    return integer(item, "ts", U64), data(item, "data"), integer(item, "type", U32, 0)


class DeepwaterHandle:
    """A writer or a reader of a feed."""

    def __init__(self, body: Json, core: WriterCore | ReaderCore) -> None:
        self._place = text(body, "seg"), feed_of(table(body, "options"))
        self._core = core
        self._pending: ShmwireException | None = None  # met behind items: the answer of the next read

    @classmethod
    def create(cls, engine: Engine, body: Json, injection: Injection) -> DeepwaterHandle:
        """Command create."""
        return cls(body, writer_for(engine, body, injection, "create"))

    @classmethod
    def open(cls, engine: Engine, body: Json, injection: Injection) -> DeepwaterHandle:
        """Command open."""
        if word(body, "mode", ("ro", "rw")) == "ro":
            return cls(body, reader_for(engine, body))
        making: Making = "any" if flag(table(body, "options"), "any") else "open"
        return cls(body, writer_for(engine, body, injection, making))

    def close(self) -> None:
        """Let go; a writer leaves as the chapter says. What it could not persist is there for the next one."""
        with contextlib.suppress(ShmwireException):
            self._core.close()

    def inspect(self) -> Json:
        """Every field by its layout name."""
        return dict(inspect(*self._place))

    def _writer(self) -> WriterCore:
        if not isinstance(self._core, WriterCore):
            raise UnsupportedError("a reader does not write")
        return self._core

    def _reader(self) -> ReaderCore:
        if not isinstance(self._core, ReaderCore):
            raise UnsupportedError("a writer does not read")
        return self._core

    # Writing --------------------------------------------------------------------------------------------------------

    def write(self, body: Json) -> Json:
        """Command write. Answered."""
        writer, items = self._writer(), body.get("items")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise BadRequest("items is missing or not an array of objects")
        results: list[Json] = []
        if word(body, "mode", ("try", "batch")) == "batch":
            done, error = writer.append_batch([part_of(item) for item in items])
            if error is not None:
                raise Answered(error, done)
            last = writer.info().last_sequence or 0
            return {"results": [{"st": "ok", "seq": str(last + 1 - done + index)} for index in range(done)]}
        for item in items:
            try:
                results.append({"st": "ok", "seq": str(writer.append(part_of(item)))})
            except ShmwireException as stop:
                raise Answered(stop, len(results)) from None
        return {"results": results}

    # Reading --------------------------------------------------------------------------------------------------------

    def read(self, body: Json) -> Json:
        """Command read. What ends it behind the first item is the answer of the next one."""
        reader, mode = self._reader(), word(body, "mode", ("try", "block", "batch", "view", "peek"))
        if mode in ("view", "peek"):
            raise UnsupportedError("readers take nothing away: reading is looking")
        limit = min(integer(body, "max", U64, 1), MOST_ITEMS)
        if limit == 0:
            raise BadRequest("max is 0")
        items: list[Json] = []
        stop, self._pending = self._pending, None
        if stop is None:
            try:
                self._fill(reader, items, mode, limit, integer(body, "timeout_ms", U32, 0) / 1000)
            except ShmwireException as error:
                stop = error
        if items:
            self._pending = stop
            return {"st": "ok", "items": items}
        if isinstance(stop, Expired):
            return {"st": "expired", "lost": str(stop.lost), "items": []}
        if isinstance(stop, ShmwireError):
            raise stop
        return {"st": stop.name.lower() if stop is not None else "timeout" if mode == "block" else "empty", "items": []}

    def _fill(self, reader: ReaderCore, items: list[Json], mode: str, limit: int, timeout: float) -> None:
        if mode == "batch":
            items += [record_reply(record) for record in reader.next_batch(limit)]
            return
        while len(items) < limit:
            record = reader.wait_next(timeout) if mode == "block" and not items else reader.next()
            if record is None:
                break
            items.append(record_reply(record))

    def seek(self, body: Json) -> Json:
        """Command seek."""
        self._reader().seek(*start_of(body, "to"))
        self._pending = None
        return {}

    # Verbs ----------------------------------------------------------------------------------------------------------

    def call(self, verb: str, args: Json) -> Json:
        """A profile verb that has a handle."""
        verbs: dict[str, Callable[[Json], Json]] = {
            "deepwater.rotate": self._rotate, "deepwater.latest_chunk": self._latest_chunk,
            "deepwater.has_data_since": self._has_data_since, "deepwater.range": self._range, "deepwater.cursor": self._cursor,
            "deepwater.restore": self._restore}
        if verb not in verbs:
            raise UnknownCommand(f"verb {verb}")
        return verbs[verb](args)

    def _rotate(self, _: Json) -> Json:
        try:
            self._writer().rotate()
        except ShmwireError:
            raise
        except ShmwireException as answer:
            raise Answered(answer) from None
        return {}

    def _latest_chunk(self, _: Json) -> Json:
        chunk = self._reader().latest_chunk()
        return {"chunk": str(chunk.chunk_id), "state": _NUMBERS[chunk.state], "first_sequence": str(chunk.first_sequence),
                "start_ns": str(chunk.start_ns), "data_name": chunk.data_name, "index_name": chunk.index_name}

    def _has_data_since(self, args: Json) -> Json:
        return {"has": self._reader().has_data_since(integer(args, "time", U64))}

    def _range(self, args: Json) -> Json:
        reader, last = self._reader(), integer(args, "to", U64)
        reader.seek("time", integer(args, "from", U64))
        items: list[Json] = []
        try:
            while len(items) < MOST_ITEMS:
                record = reader.next_there()
                if record is None or record.timestamp_ns > last:
                    break
                items.append(record_reply(record))
        except ShmwireError:
            raise
        except ShmwireException:
            pass  # the end of the feed
        return {"items": items}

    def _cursor(self, _: Json) -> Json:
        cursor = self._reader().save()
        return {"chunk": str(cursor.chunk_id), "sequence": str(cursor.sequence)}

    def _restore(self, args: Json) -> Json:
        self._reader().restore(Cursor(integer(args, "chunk", U64), integer(args, "sequence", U64)))
        self._pending = None
        return {}


def call(engine: Engine, verb: str, args: Json) -> Json:
    """A profile verb that is about a base and has no handle."""
    seg, feed = text(args, "seg"), feed_of(args)
    if verb == "deepwater.feeds":
        return {"feeds": [info.name for info in list_feeds(seg, engine)]}
    if verb == "deepwater.validate":
        validate(seg, feed, engine)
        return {}
    if verb == "deepwater.retire":
        retire(seg, feed, engine)
        return {}
    if verb == "deepwater.gc":
        return {name: str(value) for name, value in asdict(collect(seg, feed, engine)).items()}
    raise UnknownCommand(f"verb {verb}")
