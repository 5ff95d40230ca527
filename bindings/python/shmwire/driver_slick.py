# SPDX-License-Identifier: MIT
"""Profile slick behind the driver protocol (spec/driver-protocol.md, section 7), over the package's public API."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final, cast

from . import atomic, slick
from . import map as mapping
from .atomic import ACQUIRE, RELEASE, Words
from .driver_codec import U32, U64, Json, UnknownCommand, data, data_reply, flag, integer, octal, table, text, word
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
from .errors import Closed, InvalidArgumentError, Lapped, ShmwireError, ShmwireResult, Timeout
from .wait import Deadline

FEATURES: Final = ("batch", "split", "view", "share")
CREDIT_STRIDE: Final = 64  # bytes from one reader's word to the next
READER_GONE: Final = U64
CREDIT_NAP: Final = 20e-6  # seconds


def capabilities() -> Json:
    """What this build can do: everything, or what takes no stores where there is no extension module."""
    if not atomic.AVAILABLE:
        return {"classes": list(READING_CLASSES), "features": ["batch", "view"]}
    return {"classes": list(ALL_CLASSES), "features": list(FEATURES)}


def _start(body: Json, key: str, default: str | None = None) -> slick.Start:
    """`index`, or one of the two words under `key`."""
    if body.get("index") is not None:
        return integer(body, "index", U64)
    return cast(slick.Start, word(body, key, ("oldest", "latest"), default))


class SlickClaim:
    """A claim that the runner holds."""

    def __init__(self, claim: slick.Claim) -> None:
        self._claim = claim

    def commit(self, body: Json) -> Json:
        """Command commit."""
        payload = data(body, "data")
        if len(payload) != self._claim.capacity:
            raise InvalidArgumentError(f"{len(payload)} bytes for a claim of {self._claim.capacity}")
        self._claim.view[:] = payload
        return _answer(self._claim.publish)

    def abandon(self) -> Json:
        """Command abandon."""
        return _answer(self._claim.abandon)


def _answer(call: Callable[[], object]) -> Json:
    try:
        call()
    except Lapped:
        return {"st": "lapped"}
    return {"st": "ok"}


class SlickHandle(LossyHandle):
    """A queue that the runner had created or opened, and the producer and the reader of this handle."""

    def __init__(self, queue: slick.Queue, options: Json) -> None:
        super().__init__()
        self.queue = queue
        self._used_producer: slick.Producer | None = None
        self._used_reader: slick.Reader | None = None
        self._cursor: slick.Cursor | None = None
        try:
            self._start = _start(options, "from", "oldest")
            self._cursor_name = text(options, "cursor") if options.get("cursor") is not None else None
            self._stall = integer(options, "stall_ms", U32, int(slick.DEFAULT_STALL * 1000)) / 1000
        except BaseException:
            queue.close()
            raise

    @classmethod
    def create(cls, engine: slick.Engine, body: Json) -> SlickHandle:
        """Command create."""
        options = table(body, "options")
        generation = word(options, "generation", slick.GENERATIONS, "1.4")
        return cls(slick.create(text(body, "seg"), integer(options, "size", U64, slick.DEFAULT_SIZE),
                                element_size=integer(options, "element_size", U64), mode=octal(options, "mode",
                                slick.DEFAULT_MODE), generation=cast(slick.Generation, generation), portable_name=flag(options,
                                "portable_name"), engine=engine), options)

    @classmethod
    def open(cls, engine: slick.Engine, body: Json) -> SlickHandle:
        """Command open."""
        mode: slick.Mode = "r" if word(body, "mode", ("ro", "rw")) == "ro" else "rw"
        timeout = integer(body, "timeout_ms", U32, 0) / 1000
        return cls(slick.open(text(body, "seg"), mode, timeout=timeout, engine=engine), table(body, "options"))

    def close(self) -> None:
        """Let go of the queue and of the shared cursor."""
        self._views.clear()
        self.queue.close()
        if self._cursor is not None:
            self._cursor.close()

    @property
    def producer(self) -> slick.Producer:
        """The producer of this handle."""
        if self._used_producer is None:
            self._used_producer = self.queue.producer(stall=self._stall)
        return self._used_producer

    @property
    def reader(self) -> slick.Reader:
        """The reader of this handle."""
        if self._used_reader is None:
            if self._cursor_name is not None and self._cursor is None:
                self._cursor = slick.Cursor.open(self._cursor_name)
            self._used_reader = self.queue.reader(self._start, cursor=self._cursor)
        return self._used_reader

    # Inspect and verbs ----------------------------------------------------------------------------------------------

    def inspect(self) -> Json:
        """Every field by its layout name."""
        found = {f"header.{name}": str(value) for name, value in self.queue.header()._asdict().items()}
        for number, slot in enumerate(self.queue.slots()):
            found |= {f"slot[{number}].data_index": str(slot.data_index), f"slot[{number}].size": str(slot.size)}
        return found

    def call(self, verb: str, args: Json) -> Json:
        """A profile verb."""
        verbs: dict[str, Callable[[Json], Json]] = {
            "slick.info": self._info, "slick.validate": self._validate, "slick.last": self._last, "slick.reset": self._reset,
            "slick.recover": self._recover, "slick.view_check": self.view_check, "slick.cursor_create": self._cursor_create}
        if verb not in verbs:
            raise UnknownCommand(f"verb {verb}")
        return verbs[verb](args)

    def _info(self, _: Json) -> Json:
        info, used, read = self.queue.info(), self._used_producer, self._used_reader
        wrote = used.info() if used is not None else slick.ProducerInfo(0, 0)
        seen = read.info() if read is not None else slick.ReaderInfo(0, 0, 0, 0)
        return {"generation": info.generation, "shm_name": self.queue.shm_name, "size": info.size,
                "element_size": info.element_size, "next_index": str(info.next_index), "settled": str(info.settled),
                **{name: str(value) for name, value in (wrote._asdict() | seen._asdict()).items()}}

    def _validate(self, _: Json) -> Json:
        self.queue.validate()
        return {}

    def _last(self, _: Json) -> Json:
        try:
            item = self.reader.last()
        except Lapped:
            return {"st": "lapped", "items": []}
        return {"st": "empty" if item is None else "ok", "items": [] if item is None else [item_reply(item, lost=False)]}

    def _reset(self, _: Json) -> Json:
        self.queue.reset()
        return {}

    def _recover(self, args: Json) -> Json:
        return {"holes": str(self.queue.recover(all_dead=flag(args, "all_dead")))}

    def _cursor_create(self, args: Json) -> Json:
        slick.Cursor.create(text(args, "cursor"), self.queue, _start(args, "from", "oldest")).close()
        return {}

    # Writing and reading --------------------------------------------------------------------------------------------

    def write(self, body: Json) -> Json:
        """Command write. Ends with the first item whose answer is not "ok"."""
        producer, mode, items = self.producer, word(body, "mode", ("try", "block", "batch")), payloads(body)
        results: list[Json] = []
        try:
            if mode == "batch":
                results += [{"st": "ok", "pos": str(index)} for index in producer.write_batch(items)]
            else:
                for item in items:
                    results.append({"st": "ok", "pos": str(producer.write(item))})
        except ShmwireResult as answer:
            results.append({"st": answer.name.lower()})
        return {"results": results}

    def claim(self, body: Json) -> tuple[SlickClaim | None, Json]:
        """Command claim, without the claim handle."""
        try:
            claim = self.producer.reserve(integer(body, "elements", U64))
        except Closed:
            return None, {"st": "closed"}
        return SlickClaim(claim), {"st": "ok", "pos": str(claim.index), "capacity": claim.capacity}

    def fill(self, items: list[Json], mode: str, limit: int, body: Json) -> None:
        reader, most = self.reader, max_size(body)
        if mode == "view":
            view = reader.view()
            if view is not None:
                items.append(self.keep_view(view, item_reply(view)))
            return
        if mode == "batch":
            items += [item_reply(item) for item in reader.batch(limit, max_bytes=most)]
            return
        if mode == "block":
            items.append(item_reply(reader.read(integer(body, "timeout_ms", U32, 0) / 1000, max_size=most)))
        while len(items) < limit:
            item = reader.next(max_size=most)
            if item is None:
                break
            items.append(item_reply(item))

    def seek(self, body: Json) -> Json:
        """Command seek."""
        self._pending = None
        return {"cursor": str(self.reader.seek(_start(body, "to")))}


def item_reply(item: slick.Item | slick.View, *, lost: bool = True) -> Json:
    """An item as it travels in a reply."""
    reply: Json = {"data": data_reply(bytes(item.data)), "pos": str(item.index), "elements": item.elements}
    return reply | {"lost": str(item.lost)} if lost else reply


# Live -----------------------------------------------------------------------------------------------------------------


class Credit:
    """The file in which readers say how far they are. One word each, 64 bytes apart."""

    def __init__(self, plan: Json, writable: bool) -> None:
        credit = table(plan, "credit")
        self.window = integer(credit, "window", U64, 0)
        self._at = CREDIT_STRIDE * integer(credit, "slot", U32, 0)
        self._mapped = mapping.open_existing(text(credit, "path"), writable, 8, Deadline(0))
        self._words = Words(self._mapped.window)
        self._offsets = range(0, self._mapped.window.size - 7, CREDIT_STRIDE)

    def close(self) -> None:
        """Let go of the file."""
        self._words.close()
        self._mapped.close()

    def tell(self, index: int) -> None:
        """This reader has everything below `index`."""
        self._words.store_u64(self._at, index, RELEASE)

    def slowest(self) -> int:
        """Every reader has everything below the answer."""
        return min(self._words.load_u64(offset, ACQUIRE) for offset in self._offsets)


class SlickWriterActor(LossyActor):
    """A producer at full speed, or as far ahead of the slowest reader as it has credit for."""

    def __init__(self, engine: slick.Engine, plan: Json) -> None:
        super().__init__(plan)
        self._handle = _open_for(engine, plan, "rw")
        self._credit: Credit | None = None
        try:
            queue = self._handle.queue
            self._sizes = take_sizes(plan, min(queue.size, slick.MAX_ELEMENTS) * queue.element_size)
            if any(size % queue.element_size != 0 for size in self._sizes):
                raise InvalidArgumentError(f"sizes that are no multiples of {queue.element_size}")
            if plan.get("credit") is not None:
                self._credit = Credit(plan, writable=False)
                self.batch = max(1, min(self.batch, self._credit.window // (max(self._sizes) // queue.element_size)))
            self._producer = self._handle.producer
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the queue; what was written stays."""
        self._handle.close()
        if self._credit is not None:
            self._credit.close()

    def run(self) -> Json:
        """Go: the summary, when all is written, an answer is not ok, or the time is up."""
        end, sent, largest = time.monotonic_ns() + self.limit_ns, 0, max(self._sizes)
        with contextlib.suppress(ShmwireResult, ShmwireError):
            while sent < self.count and time.monotonic_ns() <= end:
                number = min(self.batch, self.count - sent)
                batch = [make_payload(self.actor, i, self.seed, self._sizes[i % len(self._sizes)], largest)
                         for i in range(sent, sent + number)]
                for _, alike in groupby(batch, len):
                    items = list(alike)
                    if not self._await_credit(items, end):
                        break
                    self._write(items)
                    self.pause(sent, sent + len(items))
                    sent += len(items)
        return {"sent": sent, "full": 0, "given_up": self._producer.info().given_up}

    def _write(self, items: list[bytes]) -> None:
        if len(items) > 1:
            self._producer.write_batch(items)
        else:
            self._producer.write(items[0])

    def _await_credit(self, items: list[bytes], end: int) -> bool:
        """Until the items end within the window, padding included; False when the time is up."""
        if self._credit is None:
            return True
        queue = self._handle.queue
        elements = len(items[0]) // queue.element_size
        while True:
            begin = queue.info().next_index
            padding = -begin % queue.size
            ahead = begin + len(items) * elements + (padding if padding < len(items) * elements else 0)
            if ahead <= self._credit.slowest() + self._credit.window:
                return True
            if time.monotonic_ns() > end:
                return False
            time.sleep(CREDIT_NAP)


class SlickReaderActor(LossyReaderActor):
    """A reader that ends when it was told that all is written, and there is nothing more."""

    def __init__(self, engine: slick.Engine, plan: Json) -> None:
        super().__init__(plan)
        self.tally |= {"lapped": 0, "lost": 0}
        self._credit: Credit | None = None
        self._until: mapping.Mapping | None = None
        self._handle: SlickHandle | None = None
        try:
            self._handle = _open_for(engine, plan, "ro")
            self._reader = self._handle.reader
            if plan.get("credit") is not None:
                self._credit = Credit(plan, writable=True)
            if plan.get("until") is not None:
                self._until = mapping.open_existing(text(plan, "until"), False, 1, Deadline(0))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        super().close()
        for held in (self._handle, self._credit, self._until):
            if held is not None:
                held.close()

    def run(self) -> Json:
        try:
            return super().run()
        finally:
            if self._credit is not None:
                self._credit.tell(READER_GONE)

    def receive(self) -> bool:
        told = self._until is not None and self._until.window.read(0, 1) != b"\0"  # first: what was written is there then
        try:
            items = self._receive()
        except Lapped:
            self.tally["lapped"] += 1
            return True
        for item in items:
            self.tally["lost"] += item.lost
            self.judge(item.data, item.elements, item.index, item.lost)
            if self._credit is not None:
                self._credit.tell(item.index + item.elements)
        self.tally["ended"] = told and not items
        return bool(items)

    def _receive(self) -> Sequence[slick.Item]:
        if self.batch > 1:
            return self._reader.batch(self.batch)
        try:
            item = self._reader.read(self.wait) if self.wait else self._reader.next()
        except Timeout:
            item = None
        return [item] if item is not None else []


def _open_for(engine: slick.Engine, plan: Json, mode: str) -> SlickHandle:
    """The queue of a plan. Options stand in the plan itself, or in `open`."""
    keys = ("from", "index", "cursor", "stall_ms")
    options = table(plan, "options") | table(plan, "open") | {key: plan[key] for key in keys if plan.get(key) is not None}
    return SlickHandle.open(engine, {"seg": plan.get("seg"), "mode": mode, "options": options})


def arm(engine: slick.Engine, plan: Json) -> SlickWriterActor | SlickReaderActor:
    """Prepare an actor."""
    if word(plan, "role", ("write", "read")) == "write":
        return SlickWriterActor(engine, plan)
    return SlickReaderActor(engine, plan)
