# SPDX-License-Identifier: MIT
"""Profile shmcomm behind the driver protocol (spec/driver-protocol.md, section 8), over shmwire.shmcomm.core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Final, cast

from . import atomic
from .driver_codec import (
    U16,
    U32,
    U64,
    BadRequest,
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
from .driver_dmxp import Injection
from .driver_lossy import ALL_CLASSES, MOST_ITEMS, READING_CLASSES, max_size
from .engine import Engine
from .errors import Closed, Full, Lapped, ShmwireError, ShmwireException, ShmwireResult, Timeout, UnsupportedError
from .shmcomm import layout
from .shmcomm.core import Endpoint, open_endpoint, recover, remove
from .shmcomm.inspect import fields
from .shmcomm.message import ROLES, Making, Message, Meta, Options, Role

FEATURES: Final = ("batch", "split", "view", "lapped")
_CREATORS: Final = ("publisher", "pusher", "replier")
_MAKING: Final[dict[str, Making]] = {"join": "join", "any": "any"}
_TEXTS: Final = frozenset({"capacity", "max_payload", "head", "tail", "message_count", "dropped_count", "instance",
                           "heartbeat_ns", "sent", "received", "lost", "refused", "discarded", "unanswered", "takeovers"})


def capabilities() -> Json:
    """What this build can do: everything, or what takes no stores where there is no extension module."""
    if not atomic.AVAILABLE:
        return {"classes": list(READING_CLASSES), "features": ["batch", "view", "lapped"]}
    return {"classes": list(ALL_CLASSES), "features": list(FEATURES)}


def meta_of(body: Json, injection: Injection) -> Meta:
    """`meta` of a request."""
    given = table(body, "meta")
    content = integer(given, "content_type", U16) if given.get("content_type") is not None else None
    return Meta(integer(given, "timestamp_ns", U64, injection.clock_ns or 0), content, integer(given, "flags", U16, 0))


def options_of(body: Json, making: Making, injection: Injection) -> Options:
    """`options` of create and open."""
    given = table(body, "options")
    identity = table(given, "identity")
    start = word(given, "from", ("latest", "oldest"), "latest")
    return Options(
        capacity=integer(given, "capacity", U64, 0), mode=octal(given, "mode", layout.DEFAULT_MODE),
        serializer=integer(given, "serializer", U16, 0), making=making, oldest=start == "oldest",
        read_only=flag(given, "read_only"), sole=flag(given, "sole"), tell_lost=flag(given, "tell_lost"),
        wait=integer(body, "timeout_ms", U32, 0) / 1000, endpoint=integer(identity, "endpoint", layout.MAX_ENDPOINT, 0),
        instance=integer(identity, "instance", U64, 0), correlation_id=integer(identity, "correlation_id", U64, 0),
        pid=injection.pid or 0, boot_ns=injection.boot_ns)


def name_of(body: Json) -> str:
    """`options.name`, or the locator in `seg`."""
    given = table(body, "options")
    if given.get("name") is not None:
        return text(given, "name")
    seg = text(body, "seg")
    return seg if "/" in seg else "/" + seg


def message_reply(message: Message) -> Json:
    """A message as it travels in a reply."""
    meta = {"timestamp_ns": str(message.timestamp_ns), "content_type": message.content_type, "flags": message.flags,
            "correlation_id": str(message.correlation_id), "sender": message.sender}
    return {"data": data_reply(bytes(message.payload)), "seq": str(message.sequence), "lost": str(message.lost), "meta": meta}


class ShmcommClaim:
    """A claim that the runner holds."""

    def __init__(self, endpoint: Endpoint, view: memoryview) -> None:
        self._endpoint = endpoint
        self._view = view

    def commit(self, body: Json) -> Json:
        """Command commit."""
        payload = data(body, "data")
        if len(payload) != len(self._view):
            raise BadRequest(f"{len(payload)} bytes for a claim of {len(self._view)}")
        self._view[:] = payload
        return {"st": "ok", "seq": str(self._endpoint.commit())}

    def abandon(self) -> Json:
        """Command abandon."""
        self._endpoint.abandon()
        return {}


class ShmcommRoom:
    """What the handles of this profile share: views and requests have handles of their own."""

    def __init__(self, engine: Engine, injection: Injection) -> None:
        self.engine: Engine = engine
        self.injection = injection
        self._views: dict[int, tuple[Endpoint, Message]] = {}
        self._requests: dict[int, tuple[Endpoint, Message]] = {}

    def create(self, body: Json) -> ShmcommHandle:
        """Command create."""
        role = cast(Role, word(table(body, "options"), "role", _CREATORS))
        return self._open(role, body, "create")

    def open(self, body: Json) -> ShmcommHandle:
        """Command open."""
        given = table(body, "options")
        looking = word(body, "mode", ("ro", "rw")) == "ro"
        roles = ("observer", "subscriber") if looking else tuple(role for role in ROLES if role != "observer")
        role = cast(Role, word(given, "role", roles, "observer" if looking else None))
        return self._open(role, body, _MAKING[word(given, "making", ("join", "any"), "join")])

    def _open(self, role: Role, body: Json, making: Making) -> ShmcommHandle:
        options = options_of(body, making, self.injection)
        return ShmcommHandle(self, open_endpoint(role, name_of(body), options, self.engine))

    def keep_view(self, endpoint: Endpoint, view: Message) -> int:
        """A handle of a view."""
        self._views[len(self._views) + 1] = (endpoint, view)
        return len(self._views)

    def keep_request(self, endpoint: Endpoint, request: Message) -> int:
        """A handle of a request."""
        self._requests[len(self._requests) + 1] = (endpoint, request)
        return len(self._requests)

    # Verbs ----------------------------------------------------------------------------------------------------------

    def call(self, verb: str, args: Json) -> Json:
        """A profile verb that needs no handle of an endpoint."""
        verbs: dict[str, Callable[[Json], Json]] = {
            "shmcomm.view_check": self._view_check, "shmcomm.reply": self._reply, "shmcomm.recover": self._recover,
            "shmcomm.remove": self._remove}
        if verb not in verbs:
            raise UnknownCommand(f"verb {verb}")
        return verbs[verb](args)

    def _view_check(self, args: Json) -> Json:
        number = integer(args, "v", U64)
        if number not in self._views:
            raise BadRequest(f"v {number} is not a view")
        endpoint, view = self._views[number]
        return {"st": "ok" if endpoint.holds(view) else "lapped"}

    def _reply(self, args: Json) -> Json:
        number = integer(args, "request", U64)
        if number not in self._requests:
            raise BadRequest(f"request {number} is not one")
        endpoint, request = self._requests[number]
        try:
            endpoint.reply(request, data(args, "data"), meta_of(args, self.injection), integer(args, "timeout_ms", U32, 0) / 1000)
        except ShmwireResult as answer:
            return {"st": answer.name.lower()}
        self.injection.sent(1)
        return {"st": "ok"}

    def _recover(self, args: Json) -> Json:
        found = recover(text(args, "seg"), self.engine)
        return {"lock_taken": found.lock_taken, "count_repaired": found.count_repaired, "swept": found.swept}

    def _remove(self, args: Json) -> Json:
        try:
            remove(text(args, "seg"), flag(args, "insist"), self.engine)
        except Full:
            return {"st": "full"}
        return {"st": "ok"}


class ShmcommHandle:
    """One endpoint that the runner had opened."""

    def __init__(self, room: ShmcommRoom, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._room = room
        self._pending: ShmwireError | None = None

    def close(self) -> None:
        """Leave."""
        self.endpoint.close()

    def inspect(self) -> Json:
        """Every field by its layout name."""
        return dict(fields(self.endpoint.snapshot()))

    # Writing --------------------------------------------------------------------------------------------------------

    def write(self, body: Json) -> Json:
        """Command write. Ends with the first item whose answer is not "ok"."""
        items = body.get("items")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise BadRequest("items is missing or not an array of objects")
        mode = word(body, "mode", ("try", "block", "batch"))
        timeout = integer(body, "timeout_ms", U32, 0) / 1000 if mode == "block" else 0
        if mode == "batch":
            return self._write_batch([data(item, "data") for item in items], body)
        results: list[Json] = []
        for item in items:
            try:
                sequence = self.endpoint.send(data(item, "data"), meta_of(item, self._room.injection), timeout)
            except ShmwireResult as answer:
                results.append({"st": answer.name.lower()})
                break
            self._room.injection.sent(1)
            results.append({"st": "ok", "seq": str(sequence)})
        return {"results": results}

    def _write_batch(self, payloads: list[bytes], body: Json) -> Json:
        sent, stop = self.endpoint.send_batch(payloads, meta_of(body, self._room.injection))
        self._room.injection.sent(sent)
        if isinstance(stop, ShmwireError) and sent == 0:
            raise stop
        count = self.endpoint.info().message_count
        results = [{"st": "ok", "seq": str(count - sent + index)} for index in range(sent)]
        if stop is not None:
            results.append({"st": stop.name.lower()})
        return {"results": results}

    def claim(self, body: Json) -> tuple[ShmcommClaim | None, Json]:
        """Command claim, without the claim handle."""
        try:
            view = self.endpoint.claim(integer(body, "len", U64), meta_of(body, self._room.injection))
        except (Full, Timeout, Closed) as answer:
            return None, {"st": answer.name.lower()}
        self._room.injection.sent(1)
        return ShmcommClaim(self.endpoint, view), {"st": "ok", "capacity": str(len(view))}

    # Reading --------------------------------------------------------------------------------------------------------

    def read(self, body: Json) -> Json:
        """Command read. An error behind the first item is the answer of the next read."""
        mode = word(body, "mode", ("try", "block", "batch", "view", "peek"))
        if mode == "peek":
            raise UnsupportedError("observers look, others take")
        limit = min(integer(body, "max", U64, 1), MOST_ITEMS)
        if limit == 0:
            raise BadRequest("max is 0")
        pending, self._pending = self._pending, None
        if pending is not None:
            raise pending
        timeout = integer(body, "timeout_ms", U32, 0) / 1000 if mode == "block" else 0
        items: list[Json] = []
        answer: Json = {"st": "timeout" if mode == "block" else "empty"}
        try:
            self._fill(items, mode, limit, timeout, max_size(body))
        except Lapped as lapped:
            answer = {"st": "lapped", "lost": str(getattr(lapped, "count", 0))}
        except ShmwireError as error:
            if not items:
                raise
            self._pending = error
        except ShmwireException as result:
            answer = {"st": result.name.lower()}
        return (answer if not items else {"st": "ok"}) | {"items": items}

    def _fill(self, items: list[Json], mode: str, limit: int, timeout: float, most: int | None) -> None:
        if mode == "view":
            view = self.endpoint.view(timeout)
            if view is not None:
                items.append(message_reply(view) | {"view": self._room.keep_view(self.endpoint, view)})
            return
        if mode == "batch":
            items += [self._item(message) for message in self.endpoint.receive_batch(limit, timeout, most)]
            return
        while len(items) < limit:
            message = self.endpoint.receive(timeout if not items else 0, most)
            if message is None:
                break
            items.append(self._item(message))

    def _item(self, message: Message) -> Json:
        reply = message_reply(message)
        if self.endpoint.role == "replier":
            reply["request"] = self._room.keep_request(self.endpoint, message)
        return reply

    def seek(self, body: Json) -> Json:
        """Command seek."""
        self._pending = None
        self.endpoint.seek(word(body, "to", ("oldest", "latest")) == "oldest")
        return {}

    # Verbs ----------------------------------------------------------------------------------------------------------

    def call(self, verb: str, args: Json) -> Json:
        """A profile verb that has a handle."""
        verbs: dict[str, Callable[[Json], Json]] = {
            "shmcomm.info": self._info, "shmcomm.validate": self._validate}
        return verbs[verb](args) if verb in verbs else self._room.call(verb, args)

    def _info(self, _: Json) -> Json:
        found = {key: str(value) if key in _TEXTS else value for key, value in asdict(self.endpoint.info()).items()}
        return found | {"segment": self.endpoint.segment}

    def _validate(self, _: Json) -> Json:
        self.endpoint.validate()
        return {}
