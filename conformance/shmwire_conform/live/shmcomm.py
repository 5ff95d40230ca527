# SPDX-License-Identifier: MIT
"""Live runs of profile shmcomm: publishers and subscribers with or without credit, pushers and pullers, requesters and repliers.

The creator of the channel stays its keeper until all actors have left, so that the channel is open for the whole run and
closed, and its name gone, behind it. Beside the segment lies the file `credit` of publishers that may lose nothing.
What must hold of the records is in shmcomm_judge; who lives is asked of the kernel (shmcomm_held).
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import Finding, HarnessError
from ..process import DriverProcess
from ..protocol import Reply
from ..segments import Segments
from . import history, shmcomm_judge
from .cast import Cast, demand
from .shmcomm_held import HEADER, LAYOUT, Held, number_of
from .shmcomm_judge import Rest
from .shmcomm_watch import CountOrder

LIMIT_MS = 12_000  # a run that takes so long makes no progress; a healthy one takes less than a second
END_S = 3.0  # in which a channel whose writers are done must have room for END, and its lock be free
ANOTHER_S = 0.25  # behind the last END, and with nothing left: a reader that still waits needs one more
CREDIT_SLOT = 64  # bytes of the credit file for each subscriber
READERS_FROM = 1000  # number of the first reader
OVERHEAD = LAYOUT.constants["FRAME_OVERHEAD"]
END_CONTENT = 0xFFFF
CALIBRATION: dict[str, Any] = {
    "plan": "pair", "pattern": "pubsub", "writers": 1, "readers": 1, "capacity": "65536", "sizes": [64],
}  # fmt: skip
MIXED = ("mix", "kill-writers", "kill-readers", "kill-keepers")  # plans for all drivers at once: who dies differs, not who can
# pattern: who makes the channel, who writes, who reads
ROLES = {
    "pubsub": ("publisher", "publisher", "subscriber"),
    "pipeline": ("pusher", "pusher", "puller"),
    "request": ("replier", "requester", "replier"),
}


@dataclass(frozen=True)
class Shape:
    """The `live` block of a case, with defaults."""

    plan: str  # pair, mix, kill-writers, kill-readers, kill-keepers
    pattern: str  # pubsub, pipeline, request
    writers: int
    readers: int
    capacity: int  # bytes of the ring, of reply channels too
    count: int  # messages in all, for drivers as fast as the fastest; slower ones send fewer
    sizes: tuple[int | str, ...]  # bytes of payloads, used in turn
    wait: str
    write_batch: int
    read_batch: int
    stutter_us: int
    slow_us: tuple[int, ...]  # of reader i: slow_us[i mod n]
    starts: tuple[str, ...]  # of subscriber i, in the same way: latest, oldest
    view: tuple[bool, ...]  # of subscriber i: it takes views
    read_only: tuple[bool, ...]  # of subscriber i: it maps nothing writable, and polls
    credit: bool  # nothing may be lost
    one_cpu: bool
    rounds: int  # so many times in all, each time on a fresh segment
    limit_ms: int
    reply_ms: int  # of requesters some of whose requests die
    held_ms: int  # so long another writer holds the lock from the start on: longer than LOCK_PATIENCE_NS
    sweep: str  # of the channels of dead requesters: by "open" of another replier, or behind a "slice" of the ones there are
    observe: tuple[str, ...]

    @staticmethod
    def of(raw: dict[str, Any]) -> Shape:
        return Shape(
            raw["plan"], raw["pattern"], raw["writers"], raw["readers"], int(raw["capacity"]), raw.get("count", 12_000),
            tuple(raw.get("sizes", [24, 25, 63, 64, 65, 500, "max"])), raw.get("wait", "spin"), raw.get("write_batch", 1),
            raw.get("read_batch", 1), raw.get("stutter_us", 0), tuple(raw.get("slow_us", [0])),
            tuple(raw.get("from", ["latest"])), tuple(raw.get("view", [False])), tuple(raw.get("read_only", [False])),
            raw.get("credit", False), raw.get("one_cpu", False), raw.get("rounds", 1), raw.get("limit_ms", LIMIT_MS),
            raw.get("reply_ms", 0), raw.get("held_ms", 0), raw.get("sweep", "open"), tuple(raw.get("observe", [])),
        )  # fmt: skip

    @property
    def roles(self) -> tuple[str, str, str]:
        return ROLES[self.pattern]

    def lengths(self) -> list[int]:
        """Payload lengths in bytes, used in turn."""
        largest = min(self.capacity // 2 - OVERHEAD, history.LONGEST)
        return [largest if size == "max" else int(size) for size in self.sizes]

    def extents(self) -> list[int]:
        """The same of the frames."""
        return [-(-(OVERHEAD + length) // 8) * 8 for length in self.lengths()]

    def window(self) -> int:
        """Messages that a publisher with credit may be ahead of the slowest subscriber. All publishers may find room at the same
        time, and then each sends a batch; END takes one place, and the end of the ring less than one."""
        window = self.capacity // max(self.extents()) - self.writers * self.write_batch - 2
        if window < self.write_batch:
            raise HarnessError(f"a ring of {self.capacity} bytes has no room for the credit of {self.writers} publishers")
        return window

    def describe(self, count: int) -> str:
        extras = [f"batches {self.write_batch}/{self.read_batch}"] if self.write_batch > 1 or self.read_batch > 1 else []
        extras += ["credit"] if self.credit else []
        extras += ["stutter"] if self.stutter_us else []
        extras += ["slow readers"] if any(self.slow_us) else []
        extras += ["views"] if any(self.view) else []
        extras += [f"lock held for {self.held_ms} ms"] if self.held_ms else []
        extras += ["one CPU"] if self.one_cpu else []
        extras += [f"{self.rounds} rounds"] if self.rounds > 1 else []
        actors = f"{count} messages, {self.writers} {self.roles[1]}s, {self.readers} {self.roles[2]}s"
        return ", ".join([f"{actors}, {self.capacity} bytes, {self.wait}", *extras])


def mixes(able: list[str]) -> list[tuple[str, ...]]:
    """One mix for each driver, which is the first to write; the others follow in turn."""
    return [tuple(able[i:] + able[:i]) for i in range(len(able))]


def casting(shape: Shape, names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Who writes and who reads: all take turns, the writers from the first on and the readers from the last on."""
    writers = [names[i % len(names)] for i in range(shape.writers)]
    return writers, [names[-1 - i % len(names)] for i in range(shape.readers)]


def make_segment(creator: DriverProcess, segments: Segments, shape: Shape) -> str:
    """A fresh channel, made by a driver, which stays its keeper; and the file of credit beside it."""
    locator = segments.posix()
    options = {"role": shape.roles[0], "capacity": str(shape.capacity), "serializer": 0}
    demand(creator.request({"cmd": "create", "profile": "shmcomm", "seg": locator, "options": options}), creator.role, "create")
    if shape.credit:
        segments.file_of(segments.beside(locator, "credit")).write_bytes(bytes(CREDIT_SLOT * shape.readers))
    return locator


def plan_of(shape: Shape, role: str, number: int, locator: str, count: int, seed: int, limit_ms: int) -> dict[str, Any]:
    """The `arm` request of one actor."""
    writes = role == "write"
    plan = {
        "profile": "shmcomm", "seg": locator, "role": role, "as": shape.roles[1 if writes else 2], "actor": number,
        "count": count if writes else 0, "sizes": shape.lengths(), "seed": seed,
        "batch": shape.write_batch if writes else shape.read_batch,
        "wait": shape.wait, "stutter_us": shape.stutter_us, "limit_ms": limit_ms,
    }  # fmt: skip
    return plan | (_writing(shape, locator) if writes else _reading(shape, locator, number - READERS_FROM))


def _writing(shape: Shape, locator: str) -> dict[str, Any]:
    more: dict[str, Any] = {"open": {"capacity": str(shape.capacity)} if shape.pattern == "request" else {}}
    if shape.credit:
        more["credit"] = {"path": _credit(locator), "window": shape.window()}
    if shape.reply_ms:
        more["reply_ms"] = shape.reply_ms
    return more


def _reading(shape: Shape, locator: str, index: int) -> dict[str, Any]:
    more: dict[str, Any] = {"slow_us": shape.slow_us[index % len(shape.slow_us)], "open": {}}
    if shape.plan.startswith("kill"):
        more["flush"] = True
    if shape.pattern != "pubsub":
        return more
    options: dict[str, Any] = {"from": shape.starts[index % len(shape.starts)]}
    if shape.read_only[index % len(shape.read_only)]:
        options["read_only"] = True
    more |= {"open": options, "ends": 1, "view": shape.view[index % len(shape.view)]}
    if shape.credit:
        more["credit"] = {"path": _credit(locator), "slot": index}
    return more


def _credit(locator: str) -> str:
    return str(Segments.file_of(Segments.beside(locator, "credit")))


# -- END -----------------------------------------------------------------------------------------------------------------


@dataclass
class Ends:
    """The messages END that the runner sent, and how often it was refused."""

    sent: int = 0
    refused: int = 0


def end_readers(cast: Cast, locator: str, path: Any) -> Ends:
    """When all writers are done: one END for all subscribers; one for each puller or replier, and more when a batch has swallowed
    some. Returns when all readers have answered."""
    ends, process, role = Ends(), _sender(cast), str(cast.writers[0].plan["as"])
    options = {"role": role, "capacity": "4096"} if role == "requester" else {"role": role}
    request = {"cmd": "open", "profile": "shmcomm", "seg": locator, "mode": "rw", "options": options}
    handle = demand(patient(process, request), process.role, "open")["h"]
    living = [reader for reader in cast.readers if not reader.killed]
    if role == "publisher":
        _send_end(process, handle, ends)
        cast.collect(living)
        return ends
    drained = _Drained(Path(path))

    def send() -> None:
        for _ in cast.pending():
            _send_end(process, handle, ends)

    send()
    cast.collect(living, lambda: send() if drained() else None)
    return ends


class _Drained:
    """Whether a ring has been empty for a while: then no END is on its way any more."""

    def __init__(self, path: Path) -> None:
        self._path, self._since = path, time.monotonic()

    def __call__(self) -> bool:
        with self._path.open("rb") as file:
            header = file.read(HEADER.size)
        now = time.monotonic()
        if number_of(header, "head") != number_of(header, "tail"):
            self._since = now
        elif now - self._since > ANOTHER_S:
            self._since = now
            return True
        return False


def _sender(cast: Cast) -> DriverProcess:
    """Who sends END: the creator, or, if it died, whoever keeps the channel to its end."""
    return next(one for one in [*cast.played("creator"), *cast.played("closer")] if one.alive)


def _send_end(process: DriverProcess, handle: int, ends: Ends) -> None:
    item = {"data": {"hex": ""}, "meta": {"content_type": END_CONTENT}}
    limit = time.monotonic() + END_S
    while True:
        request = {"cmd": "write", "h": handle, "mode": "try", "items": [item]}
        state = demand(patient(process, request), process.role, "write of END")["results"][0]["st"]
        if state == "ok":
            ends.sent += 1
            return
        ends.refused += 1
        if state != "full" or time.monotonic() > limit:
            raise Finding(f"END could not be sent: {state}", on=process.role)
        time.sleep(0.001)


def patient(process: DriverProcess, request: dict[str, Any]) -> Reply:
    """The answer, once it is not BUSY any more, at the latest after END_S."""
    limit = time.monotonic() + END_S
    while True:
        reply = process.request(request)
        if reply.code != "BUSY" or time.monotonic() > limit:
            return reply


# -- what the runner watches ---------------------------------------------------------------------------------------------


@dataclass
class Stage:
    """The channel of a run, and the reply channels of a service, held open."""

    shape: Shape
    path: Path
    channel: Held
    replies: dict[int, Held] = field(default_factory=dict)
    armed: frozenset[int] = frozenset()  # numbers of all endpoints when all actors were armed

    @staticmethod
    @contextlib.contextmanager
    def of(segments: Segments, locator: str, shape: Shape) -> Iterator[Stage]:
        path = segments.file_of(locator)
        stage = Stage(shape, path, Held(path))
        try:
            yield stage
        finally:
            for held in (stage.channel, *stage.replies.values()):
                held.close()
            for number in stage.reply_names():
                stage.reply_path(number).unlink(missing_ok=True)

    def reply_path(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}_rep_{number}")

    def reply_names(self) -> list[int]:
        """Numbers of the requesters whose reply channels have a name."""
        start = f"{self.path.name}_rep_"
        return sorted(int(one.name[len(start) :]) for one in self.path.parent.glob(f"{start}*"))

    def hold_replies(self) -> None:
        """Open the reply channels that are new."""
        for number in self.reply_names():
            if number not in self.replies:
                self.replies[number] = Held(self.reply_path(number))

    def require_armed(self) -> None:
        """All endpoints hold their locks before any of them has stored a message, and nobody holds another's
        [shmcomm.endpoint.lock]."""
        shape, self.armed = self.shape, self.channel.endpoints()
        joined = shape.writers + (0 if shape.pattern == "pubsub" else shape.readers) + 1
        kept = (shape.readers if shape.pattern == "request" else shape.writers) + 1
        keepers = self.channel.keepers()
        for what, have, wanted in (("endpoints", self.armed, joined), ("keepers", keepers, kept)):
            if len(have) != wanted:
                raise Finding(f"{len(have)} {what} hold a lock, of {wanted} that joined: {sorted(have)}")
        if not keepers <= self.armed:
            raise Finding(f"keepers {sorted(keepers - self.armed)} hold no lock of an endpoint")
        self._require_replies()

    def _require_replies(self) -> None:
        self.hold_replies()
        if self.shape.pattern == "request" and len(self.replies) != self.shape.writers:
            raise Finding(f"{self.shape.writers} requesters have {len(self.replies)} reply channels: {sorted(self.replies)}")
        for number, held in self.replies.items():
            if not held.endpoints() == held.keepers() == {number}:
                raise Finding(f"the reply channel {number} has the endpoints {sorted(held.endpoints())}")
            if number not in self.armed:
                raise Finding(f"there is no endpoint {number} in the request channel that could have reply channel {number}")

    def rest(self, ends: Ends) -> Rest:
        """Everything as it stands when all have left."""
        replies = {number: held.content() for number, held in self.replies.items()}
        named, left = self.channel.named, self.reply_names()
        return Rest(self.channel.content(), ends.sent, ends.refused, self.armed, replies, named=named, left=left)


def _claim(cast: Cast, locator: str, shape: Shape) -> tuple[DriverProcess, int]:
    """Another writer opens a claim, and has the lock until it is abandoned: who, and which."""
    (process,) = cast.played("creator")
    request = {"cmd": "open", "profile": "shmcomm", "seg": locator, "mode": "rw", "options": {"role": shape.roles[1]}}
    handle = demand(process.request(request), process.role, "open")["h"]
    return process, demand(process.request({"cmd": "claim", "h": handle, "len": 8}), process.role, "claim")["c"]


def _abandon(process: DriverProcess, claim: int) -> None:
    demand(process.request({"cmd": "abandon", "c": claim}), process.role, "abandon")


def run_to_end(cast: Cast, segments: Segments, locator: str, shape: Shape, rng: random.Random) -> str:
    """Arm, go, collect, then judge. Returns what else there is to say."""
    cast.arm()
    with Stage.of(segments, locator, shape) as stage:
        stage.require_armed()
        observer = CountOrder(stage.path, shape.extents()[0]) if "count-order" in shape.observe else None
        if shape.one_cpu:
            cast.pin({rng.choice(sorted(os.sched_getaffinity(0)))})
        try:
            holder = _claim(cast, locator, shape) if shape.held_ms else None
            cast.go()
            if holder is not None:
                time.sleep(shape.held_ms / 1000)
                _abandon(*holder)
            cast.collect(cast.writers)
        finally:
            if observer is not None:
                observer.stop()
        ends = end_readers(cast, locator, stage.path)
        if shape.one_cpu:
            cast.pin(os.sched_getaffinity(0))
        stage.hold_replies()
        cast.reset()
        if observer is not None:
            observer.require()
        return shmcomm_judge.grade(cast, shape, stage.rest(ends))

