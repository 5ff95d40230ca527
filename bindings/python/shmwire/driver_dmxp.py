# SPDX-License-Identifier: MIT
"""Profile dmxp behind the driver protocol (spec/driver-protocol.md, sections 2 and 5), over the package's public API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final, cast

from . import atomic, dmxp
from .dmxp.message import ID_POSITION
from .driver_codec import (
    U16,
    U32,
    U64,
    BadRequest,
    DriverDefect,
    Json,
    UnknownCommand,
    data,
    data_reply,
    flag,
    integer,
    octal,
    table,
    text,
    word,
)
from .errors import Closed, Empty, Full, InvalidArgumentError, ShmwireError, ShmwireException, Timeout, UnsupportedError

ALL_CLASSES: Final = ("inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery")
FEATURES: Final = ("batch", "split", "inject", "sleep-hook")
MOST_ITEMS: Final = 1024  # of one reply, so that it stays below the protocol's 4 MiB
_META_LIMITS: Final = {"message_id": U64, "timestamp_ns": U64, "message_type": U32, "sender_pid": U32, "sender_runtime": U16,
                       "flags": U16}


def capabilities() -> Json:
    """What this build can do: everything, or only looking where there is no extension module."""
    if not atomic.AVAILABLE:
        return {"classes": ["inspect"], "features": []}
    return {"classes": list(ALL_CLASSES), "features": list(FEATURES)}


@dataclass
class Injection:
    """What messages that are sent from now on carry, where the request does not say."""

    clock_ns: int | None = None
    clock_step_ns: int = 0
    pid: int | None = None
    runtime: int | None = None
    boot_ns: int = 0

    def update(self, body: Json) -> None:
        """Take over what an inject request gives."""
        for name, limit in (("clock_ns", U64), ("clock_step_ns", U64), ("pid", U32), ("runtime", U16),
                            ("boot_ns", U64)):
            if body.get(name) is not None:
                setattr(self, name, integer(body, name, limit))

    def meta(self, item: Json, ahead: int = 0) -> dmxp.MetaFields:
        """Meta of a message that comes `ahead` messages from now."""
        meta: dict[str, int] = {"message_id": ID_POSITION}
        if self.clock_ns is not None:
            meta["timestamp_ns"] = (self.clock_ns + ahead * self.clock_step_ns) & U64
        if self.pid is not None:
            meta["sender_pid"] = self.pid
        if self.runtime is not None:
            meta["sender_runtime"] = self.runtime
        given = table(item, "meta")
        meta |= {name: integer(given, name, limit) for name, limit in _META_LIMITS.items() if given.get(name) is not None}
        return cast(dmxp.MetaFields, meta)

    def sent(self, messages: int) -> None:
        """The clock ticks once for every message sent."""
        if self.clock_ns is not None:
            self.clock_ns = (self.clock_ns + messages * self.clock_step_ns) & U64


def answer_word(answer: ShmwireException | None) -> str:
    """The `st` of a result."""
    return answer.name.lower() if answer is not None else "ok"


class DmxpClaim:
    """A claim that the runner holds."""

    def __init__(self, claim: dmxp.Claim, injection: Injection) -> None:
        self._claim = claim
        self._injection = injection

    def commit(self, body: Json) -> Json:
        """Command commit."""
        payload, meta = data(body, "data"), self._injection.meta(body)
        if len(payload) <= len(self._claim.view):  # otherwise commit itself must refuse the length
            self._claim.view[:len(payload)] = payload
        self._claim.commit(len(payload), **meta)
        self._injection.sent(1)
        return {}

    def abandon(self) -> Json:
        """Command abandon."""
        self._claim.abandon()
        return {}


class DmxpHandle:
    """A segment that the runner had created or opened, its channels attached at their first use."""

    def __init__(self, segment: dmxp.Segment, injection: Injection) -> None:
        self.segment = segment
        self.injection = injection
        self._channels: dict[int, dmxp.Channel] = {}
        self._pending: dict[int, ShmwireError] = {}

    @classmethod
    def create(cls, engine: dmxp.Engine, body: Json, injection: Injection) -> DmxpHandle:
        """Command create."""
        options = table(body, "options")
        size = integer(options, "size", U64, dmxp.DEFAULT_SIZE)
        layout = integer(options, "payload_layout", U32, dmxp.LAYOUT_CRATE)
        mode = octal(options, "mode", dmxp.DEFAULT_MODE)
        return cls(dmxp.create(text(body, "seg"), size, payload_layout=layout, mode=mode, engine=engine), injection)

    @classmethod
    def open(cls, engine: dmxp.Engine, body: Json, injection: Injection) -> DmxpHandle:
        """Command open; `mode` is rw where the request has none (live actors)."""
        mode = "r" if word(body, "mode", ("ro", "rw"), "rw") == "ro" else "rw"
        payload = word(table(body, "options"), "payload", ("crate", "document", "auto"), "crate")
        timeout = integer(body, "timeout_ms", U32, 0) / 1000
        segment = dmxp.open(text(body, "seg"), cast(dmxp.Mode, mode), payload=cast(dmxp.PayloadChoice, payload),
                            ready_timeout=timeout, engine=engine)
        return cls(segment, injection)

    def close(self) -> None:
        """Let go of the segment and its channels. Claims stay claimed."""
        self._channels.clear()
        self.segment.close()

    def seek(self, body: Json) -> Json:
        """Command seek."""
        raise UnsupportedError("profile dmxp has no private cursor")

    def channel(self, body: Json) -> dmxp.Channel:
        """The channel that a request names."""
        number = integer(body, "channel", U32)
        if number >= dmxp.MAX_CHANNELS:
            raise InvalidArgumentError(f"channel {number}")
        if number not in self._channels:
            self._channels[number] = self.segment.channel(number)
        return self._channels[number]

    # Inspect and verbs ----------------------------------------------------------------------------------------------

    def inspect(self) -> Json:
        """Every field by its layout name."""
        info = self.segment.info()
        names = ("magic", "version", "max_channels", "channel_count", "payload_layout")
        found = {f"header.{name}": str(getattr(info, name)) for name in names}
        for channel in self.segment.channels():
            entry = self.segment.channel_info(channel)
            found |= {f"channel[{channel}].{field.name}": str(getattr(entry, field.name)) for field in fields(entry)}
        return found

    def call(self, verb: str, args: Json) -> Json:
        """A profile verb."""
        if verb == "dmxp.channel_create":
            capacity = integer(args, "capacity", U64, dmxp.DEFAULT_CAPACITY) or dmxp.DEFAULT_CAPACITY
            self.segment.create_channel(integer(args, "channel", U32), capacity, counted_waiters=flag(args, "counted_waiters"))
            return {}
        if verb == "dmxp.channel_remove":
            self.segment.remove_channel(integer(args, "channel", U32))
            return {}
        if verb == "dmxp.channels":
            return {"channels": self.segment.channels()}
        if verb == "dmxp.validate":
            self.segment.validate()
            return {}
        if verb == "dmxp.recover":
            report = self.segment.recover(all_dead=flag(args, "all_dead"))
            return {"tombstones": str(report.tombstones), "possibly_lost": str(report.possibly_lost),
                    "waiters_reset": str(report.waiters_reset), "count_repaired": report.count_repaired}
        raise UnknownCommand(f"verb {verb}")

    # Writing --------------------------------------------------------------------------------------------------------

    def write(self, body: Json) -> Json:
        """Command write."""
        channel = self.channel(body)
        mode = word(body, "mode", ("try", "block", "batch"))
        items = body.get("items")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise BadRequest("items is missing or not an array of objects")
        if mode == "batch":
            return {"results": [self._write_batch(channel, items)]}
        timeout = integer(body, "timeout_ms", U32, 0) / 1000 if mode == "block" else None
        results: list[Json] = []
        for item in items:
            results.append(self._write_one(channel, item, timeout))
            if results[-1]["st"] != "ok":
                break
        return {"results": results}

    def _write_one(self, channel: dmxp.Channel, item: Json, timeout: float | None) -> Json:
        payload, meta = data(item, "data"), self.injection.meta(item)
        try:
            position = channel.try_send(payload, **meta) if timeout is None else channel.send(payload, timeout, **meta)
        except (Timeout, Closed) as answer:
            return {"st": answer_word(answer)}
        if position is None:
            return {"st": "full"}
        self.injection.sent(1)
        return {"st": "ok", "pos": str(position)}

    def _write_batch(self, channel: dmxp.Channel, items: list[Json]) -> Json:
        payloads = [data(item, "data") for item in items]
        metas = [self.injection.meta(item, ahead) for ahead, item in enumerate(items)]
        try:
            position = channel.send_batch(payloads, metas)
        except Closed:
            return {"st": "closed"}
        if position is None:
            return {"st": "full"}
        self.injection.sent(len(items))
        return {"st": "ok", "pos": str(position)}

    def claim(self, body: Json) -> tuple[DmxpClaim | None, Json]:
        """Command claim, without the claim handle."""
        try:
            claim = self.channel(body).claim()
        except (Full, Closed) as answer:
            return None, {"st": answer_word(answer)}
        return DmxpClaim(claim, self.injection), {"st": "ok", "pos": str(claim.position), "capacity": len(claim.view)}

    # Reading --------------------------------------------------------------------------------------------------------

    def read(self, body: Json) -> Json:
        """Command read. An error behind the first item is the answer of the next read."""
        channel = self.channel(body)
        reading = Reading(channel, body)
        pending = self._pending.pop(channel.id, None)
        if pending is not None:
            raise pending
        items: list[dmxp.Message] = []
        answer: ShmwireException | None = None
        with SleepHook(self, channel, body):
            try:
                for message in reading.messages():
                    items.append(message)
            except ShmwireException as error:
                answer = error
        if isinstance(answer, ShmwireError):
            if not items:
                raise answer
            self._pending[channel.id] = answer
        return {"st": "ok" if items else answer_word(answer), "items": [message_reply(message) for message in items]}


def message_reply(message: dmxp.Message) -> Json:
    """A message as it travels in a reply."""
    return {"data": data_reply(message.payload), "pos": str(message.position), "meta": {
        "message_id": str(message.message_id), "timestamp_ns": str(message.timestamp_ns), "message_type": message.message_type,
        "sender_pid": message.sender_pid, "sender_runtime": message.sender_runtime, "flags": message.flags}}


class Reading:
    """One read request: which messages it gets, until an exception says why there are no more."""

    def __init__(self, channel: dmxp.Channel, body: Json) -> None:
        self.channel = channel
        self.mode = word(body, "mode", ("try", "block", "batch", "peek"))
        self.limit = min(integer(body, "max", U64, 0), MOST_ITEMS)
        self.timeout = integer(body, "timeout_ms", U32, 0) / 1000
        self.size = integer(body, "buffer", U32, -1)
        if self.limit == 0:
            raise BadRequest("max is missing or 0")

    @property
    def max_size(self) -> int | None:
        """The receive buffer's size, None for one that holds everything."""
        return self.size if self.size >= 0 else None

    def messages(self) -> Iterator[dmxp.Message]:
        """At most `limit` messages; Empty, Timeout, Closed or an error when they end sooner."""
        if self.mode == "batch":
            batch = self.channel.receive_batch(self.limit, max_bytes=self.max_size)
            if not batch:
                raise Empty
            yield from batch
            return
        look = self.channel.peek(max_size=self.max_size) if self.mode == "peek" else None
        for number in range(self.limit):
            yield self._peek(look) if look is not None else self._take(first=number == 0)

    def _peek(self, look: Iterator[dmxp.Message]) -> dmxp.Message:
        try:
            return next(look)
        except StopIteration:
            raise Empty from None

    def _take(self, first: bool) -> dmxp.Message:
        if first and self.mode == "block":
            return self.channel.receive(self.timeout, spin=0, max_size=self.max_size)
        message = self.channel.try_receive(max_size=self.max_size)
        if message is None:
            raise Empty
        return message


class SleepHook:
    """`on_sleep` of a read request: send a message through a second handle just before the reader's first sleep."""

    def __init__(self, handle: DmxpHandle, channel: dmxp.Channel, body: Json) -> None:
        self._reader = channel
        self._injection = handle.injection
        self._plan = table(body, "on_sleep")
        self._other: DmxpHandle | None = None
        self._failed: ShmwireException | None = None
        self._sent = False
        if self._plan:
            self._payload, self._meta = data(self._plan, "data"), self._injection.meta(self._plan)
            engine = cast(dmxp.Engine, handle.segment.engine)
            self._other = DmxpHandle.open(engine, {"seg": self._plan.get("seg")}, self._injection)

    def __enter__(self) -> None:
        if self._other is not None:
            self._writer = self._other.channel(self._plan)
            self._reader.set_sleep_hook(self._send)

    def _send(self) -> None:
        if self._sent:
            return
        self._sent = True
        try:
            if self._writer.try_send(self._payload, **self._meta) is None:
                self._failed = Full()
            else:
                self._injection.sent(1)
        except ShmwireException as error:
            self._failed = error

    def __exit__(self, *_: object) -> None:
        if self._other is None:
            return
        self._reader.set_sleep_hook(None)
        self._other.close()
        if self._failed is not None:
            raise DriverDefect(f"on_sleep: the message was not sent: {self._failed}")
