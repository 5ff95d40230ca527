# SPDX-License-Identifier: MIT
"""What the drivers of the lossy profiles share, ouroboros and slick: reads that may end in an error behind items, views, and the
frame of their live actors."""

from __future__ import annotations

import os
import time
import zlib
from typing import IO, Any, Final, Protocol

from .driver_codec import U32, U64, BadRequest, Json, data, integer, text, word
from .driver_live import HEAD, LARGEST_BATCH, RECORD, SPINS_BEFORE_YIELD, STUTTER_EVERY, is_whole
from .errors import CorruptError, Lapped, ShmwireError, ShmwireException, UnsupportedError

ALL_CLASSES: Final = ("inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery")
READING_CLASSES: Final = ("inspect", "read", "blocking", "hardened")
MOST_ITEMS: Final = 1024  # of one reply, so that it stays below the protocol's 4 MiB
BLOCK_SLICE: Final = 0.05  # seconds, so that limit_ms is looked at while blocked


class Checked(Protocol):
    """A view, as far as the verb view_check goes."""

    def check(self) -> None:
        """Lapped once it may have been overwritten."""


class LossyHandle:
    """What a handle keeps of its reads: the views that were taken, and an error that was met behind items."""

    def __init__(self) -> None:
        self._views: list[Checked] = []
        self._pending: ShmwireError | None = None

    def view_check(self, args: Json) -> Json:
        """The verb of the same name."""
        number = integer(args, "v", U64)
        if not 1 <= number <= len(self._views):
            raise BadRequest(f"v {number} is not a view of this handle")
        try:
            self._views[number - 1].check()
        except Lapped:
            return {"st": "lapped"}
        return {"st": "ok"}

    def keep_view(self, view: Checked, reply: Json) -> Json:
        """The reply of a view: with a handle of it, which lives as long as this one."""
        self._views.append(view)
        return reply | {"view": len(self._views)}

    def read(self, body: Json) -> Json:
        """Command read. An error behind the first item is the answer of the next read."""
        mode = word(body, "mode", ("try", "block", "batch", "view", "peek"))
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
            self.fill(items, mode, limit, body)
        except ShmwireError as error:
            if not items:
                raise
            self._pending = error
        except ShmwireException as error:
            return {"st": "ok" if items else error.name.lower(), "items": items}
        return {"st": "ok" if items else "timeout" if mode == "block" else "empty", "items": items}

    def fill(self, items: list[Json], mode: str, limit: int, body: Json) -> None:
        """Read into `items`, as replies, up to `limit` of them."""
        raise NotImplementedError


def max_size(body: Json) -> int | None:
    """The receive buffer that a read asks for, bytes; None for one that holds everything."""
    size = integer(body, "buffer", U32, -1)
    return size if size >= 0 else None


def payloads(body: Json) -> list[bytes]:
    """The data of the items of a write."""
    items = body.get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise BadRequest("items is missing or not an array of objects")
    return [data(item, "data") for item in items]


# Live -----------------------------------------------------------------------------------------------------------------


class LossyActor:
    """What live writers and readers share of their plan."""

    def __init__(self, plan: Json) -> None:
        self.actor = integer(plan, "actor", U32, 0)
        self.seed = integer(plan, "seed", U32, 0)
        self.count = integer(plan, "count", U64, 0)
        self.batch = integer(plan, "batch", LARGEST_BATCH, 1) or 1
        self.stutter = integer(plan, "stutter_us", U32, 0) / 1e6
        self.limit_ns = integer(plan, "limit_ms", U32) * 1_000_000
        self._spins = 0

    def pause(self, before: int, after: int) -> None:
        """Stutter, where the plan says so."""
        if self.stutter and before // STUTTER_EVERY != after // STUTTER_EVERY:
            time.sleep(self.stutter)

    def spin(self) -> None:
        """After an answer that changed nothing: let others run now and then."""
        self._spins += 1
        if self._spins % SPINS_BEFORE_YIELD == 0:
            os.sched_yield()


def take_sizes(plan: Json, most: int) -> list[int]:
    """The payload lengths of a writer's plan."""
    sizes = plan.get("sizes")
    if not isinstance(sizes, list) or not sizes:
        raise BadRequest("sizes is missing or empty")
    if not all(isinstance(size, int) and HEAD.size <= size <= most for size in sizes):
        raise BadRequest(f"sizes holds something else than {HEAD.size} to {most}")
    return sizes


class LossyReaderActor(LossyActor):
    """A reader at full speed, and its history file."""

    def __init__(self, plan: Json) -> None:
        super().__init__(plan)
        self.wait = BLOCK_SLICE if word(plan, "wait", ("spin", "block"), "spin") == "block" else 0.0
        self.slow = integer(plan, "slow_us", U32, 0) / 1e6
        self.tally: dict[str, Any] = {"received": 0, "torn": 0, "empty": 0, "corrupt": 0, "ended": False}
        self._history: IO[bytes] | None = open(text(plan, "history"), "wb") if plan.get("history") is not None else None

    def close(self) -> None:
        """Let go of everything."""
        if self._history is not None:
            self._history.close()

    def run(self) -> Json:
        """Go: the summary, when the end has come or the time is up."""
        end, calls, tally = time.monotonic_ns() + self.limit_ns, 0, self.tally
        while not tally["ended"]:
            calls += 1
            before = tally["received"]
            found = self._look()
            self.pause(before, tally["received"])
            if (not found or self.slow or calls % STUTTER_EVERY == 0) and time.monotonic_ns() > end:
                break
        if self._history is not None:
            self._history.flush()
        return tally

    def _look(self) -> bool:
        try:
            found = self.receive()
        except CorruptError:
            self.tally["corrupt"] += 1
            return False
        if not found:
            self.tally["empty"] += 1
            self.spin()
        return found

    def receive(self) -> bool:
        """One call, judged; False when there was nothing."""
        raise NotImplementedError

    def judge(self, payload: bytes, second: int, position: int, lost: int, chunk: int = 0) -> None:
        """Count a payload and write its record; `second` is the record's second word, `chunk` its sixth."""
        tally = self.tally
        tally["received"] += 1
        tally["torn"] += not is_whole(payload, max(len(payload), HEAD.size))
        if self._history is not None:
            _, actor, sequence, _, _ = HEAD.unpack_from(payload) if len(payload) >= HEAD.size else (0, 0, 0, 0, 0)
            self._history.write(RECORD.pack(actor, second, sequence, position, len(payload), chunk, zlib.crc32(payload),
                                            min(lost, U32)))
        if self.slow:
            time.sleep(self.slow)
