# SPDX-License-Identifier: MIT
"""A driver of profile shmcomm in plain Python (channel.py, member.py, service.py), and, with --broken NAME, one defect in it.

Its stores are not atomic, so it does not claim live; but it sleeps and wakes, and holds the locks of its endpoints, as the
chapter says.
"""

from __future__ import annotations

import os
import re
import sys
import time
import types
from typing import Any

import channel
import logger
import member
import service
from logger import Refused, TooSmall, asked, shown
from member import Closed, Endpoint, Full, Lost, Timeout

NAME = re.compile(r"[A-Za-z0-9._-]{1,200}\Z")
PREFIX = {1: "pub", 2: "push", 3: "req"}
CLASSES = {
    "subscriber": service.Subscriber,
    "observer": service.Subscriber,
    "requester": service.Requester,
    "replier": service.Replier,
}
INFO_32 = (
    "pattern",
    "state",
    "writer_lock",
    "lock_epoch",
    "data_waiters",
    "space_waiters",
    "owner_pid",
    "owner_endpoint",
    "serializer",
)
INFO_64 = ("head", "tail", "message_count", "dropped_count", "instance", "heartbeat_ns", "capacity")


class Driver(logger.Driver):
    def __init__(self) -> None:
        super().__init__()
        self.reset({})

    def hello(self, _: dict[str, Any]) -> dict[str, Any]:
        classes = ["inspect", "read", "write", "write-exact", "blocking", "hardened", "recovery"]
        me = {"name": "caster", "version": "1"}
        claims = {"shmcomm": {"classes": classes, "features": ["batch", "split", "view", "lapped"]}}
        return {"proto": 1, "driver": me, "impl": {**me, "language": "python"}, "profiles": claims}

    def reset(self, ask: dict[str, Any]) -> dict[str, Any]:
        for handle in self.handles.values():
            handle.close()
        self.handles.clear()
        self.owed.clear()
        self.who = {"pid": os.getpid(), "boot_ns": time.clock_gettime_ns(time.CLOCK_BOOTTIME)}
        self.clock, self.clock_step = 0, 0
        self.claims: dict[int, tuple[Endpoint, int, int, dict[str, Any]]] = {}
        self.viewed: dict[int, tuple[service.Subscriber, int]] = {}
        self.requests: dict[int, tuple[service.Replier, dict[str, Any]]] = {}
        return {}

    def inject(self, ask: dict[str, Any]) -> dict[str, Any]:
        self.who |= {name: int(ask[name]) for name in ("pid", "boot_ns") if name in ask}
        self.clock, self.clock_step = int(ask.get("clock_ns", self.clock)), int(ask.get("clock_step_ns", self.clock_step))
        return {}

    def meta(self, given: dict[str, Any] | None) -> dict[str, Any]:
        """With the time of sending."""
        now = self.clock or time.time_ns()
        if self.clock:
            self.clock += self.clock_step
        return {"timestamp_ns": now, **(given or {})}

    # -- opening -------------------------------------------------------------------------------------------------------

    @staticmethod
    def locator(ask: dict[str, Any], role: str) -> str:
        options = ask.get("options", {})
        if ask["profile"] != "shmcomm":
            raise Refused("UNSUPPORTED")
        if "name" not in options:
            return str(ask["seg"])
        if not NAME.match(options["name"]):
            raise Refused("INVALID_NAME")
        return f"/shmcomm_{PREFIX[member.ROLES.get(role, 1)]}_{options['name']}"

    def enter(self, ask: dict[str, Any], role: str, options: dict[str, Any]) -> dict[str, Any]:
        kind = CLASSES.get(role, Endpoint)
        handle = kind(role, self.locator(ask, role), options, self.who, ask.get("timeout_ms", 0) / 1000)
        if options.get("sole"):
            try:
                handle.keep_lock()
            except Refused:
                handle.close()
                raise
        return self.keep(handle)

    def create(self, ask: dict[str, Any]) -> dict[str, Any]:
        options = ask.get("options", {})
        return self.enter(ask, options["role"], {**options, "making": "create"})

    def open(self, ask: dict[str, Any]) -> dict[str, Any]:
        options = ask.get("options", {})
        return self.enter(ask, options.get("role", "observer"), {**options, "how": ask["mode"]})

    def inspect(self, ask: dict[str, Any]) -> dict[str, Any]:
        return {"fields": self.handles[ask["h"]].ch.fields()}

    # -- sending -------------------------------------------------------------------------------------------------------

    def write(self, ask: dict[str, Any]) -> dict[str, Any]:
        handle, wait = self.handles[ask["h"]], ask["mode"] == "block"
        if ask["mode"] == "batch":
            sent, stop = handle.batch([asked(item["data"]) for item in ask["items"]], self.meta(ask["items"][0].get("meta")))
            return {"results": [{"st": "ok", "seq": str(one)} for one in sent] + ([{"st": stop}] if stop else [])}
        results: list[dict[str, Any]] = []
        for item in ask["items"]:
            try:
                sequence = handle.send(
                    asked(item["data"]), self.meta(item.get("meta")), ask.get("timeout_ms", 0) / 1000, wait=wait
                )
            except (Full, Timeout, Closed) as error:
                results.append({"st": type(error).__name__.lower()})
                break
            results.append({"st": "ok", "seq": str(sequence)})
        return {"results": results}

    def claim(self, ask: dict[str, Any]) -> dict[str, Any]:
        handle, length = self.handles[ask["h"]], ask["len"]
        try:
            at = handle.acquire(length, 0, wait=False)
        except (Full, Closed) as error:
            return {"st": type(error).__name__.lower()}
        self.last += 1
        self.claims[self.last] = (handle, at, length, self.meta(ask.get("meta")))
        return {"st": "ok", "c": self.last, "capacity": str(length)}

    def commit(self, ask: dict[str, Any]) -> dict[str, Any]:
        handle, at, _, meta = self.claims.pop(ask["c"])
        sequence = handle.store(at, asked(ask["data"]), meta)
        handle.ch.wake("data")
        handle.unlock()
        return {"st": "ok", "seq": str(sequence)}

    def abandon(self, ask: dict[str, Any]) -> dict[str, Any]:
        self.claims.pop(ask["c"])[0].unlock()
        return {}

    # -- receiving -----------------------------------------------------------------------------------------------------

    def item(self, handle: Any, message: dict[str, Any], mode: str) -> dict[str, Any]:
        meta = {name: message[name] for name in ("sender", "content_type", "flags")}
        meta |= {name: str(message[name]) for name in ("timestamp_ns", "correlation_id")}
        item = {"data": shown(message["data"]), "seq": str(message["sequence"]), "lost": str(message["lost"]), "meta": meta}
        if isinstance(handle, service.Replier):
            self.last += 1
            self.requests[self.last], item["request"] = (handle, message), self.last
        if mode == "view":
            self.last += 1
            self.viewed[self.last], item["view"] = (handle, message["position"]), self.last
        return item

    def read(self, ask: dict[str, Any]) -> dict[str, Any]:
        number, handle, items = ask["h"], self.handles[ask["h"]], list[dict[str, Any]]()
        if number in self.owed:
            raise self.owed.pop(number)
        limit, most = time.monotonic() + ask.get("timeout_ms", 0) / 1000, 1 if ask["mode"] == "view" else ask["max"]

        def attempt() -> dict[str, Any] | None:
            return handle.receive(ask.get("buffer"))

        stop = "timeout" if ask["mode"] == "block" else "empty"
        try:
            while len(items) < most:
                waits = ask["mode"] == "block" and not items
                message = attempt() or (handle.wait("data", attempt, limit) if waits else None)
                if message is None:
                    break
                items.append(self.item(handle, message, ask["mode"]))
        except (Refused, TooSmall) as error:
            if not items:
                raise
            self.owed[number] = error
        except Closed:
            stop = "closed"
        except Lost as lost:
            return {"st": "ok", "items": items} if items else {"st": "lapped", "lost": str(lost), "items": []}
        except service.Lapped:
            stop = "lapped"
        return {"st": "ok" if items else stop, "items": items}

    def seek(self, ask: dict[str, Any]) -> dict[str, Any]:
        self.handles[ask["h"]].seek(ask["to"])
        return {}

    # -- verbs ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def info(handle: Endpoint) -> dict[str, Any]:
        ch = handle.ch
        found: dict[str, Any] = {name: ch[name] for name in INFO_32} | {name: str(ch[name]) for name in INFO_64}
        found |= {name: str(count) for name, count in handle.counts.items()}
        return {**found, "max_payload": str(ch.capacity // 2 - 40), "endpoint": handle.number, "keeper_lives": ch.kept(),
                "segment": handle.locator}  # fmt: skip

    def answer_request(self, args: dict[str, Any]) -> str:
        replier, request = self.requests[args["request"]]
        try:
            replier.reply(request, asked(args["data"]), self.meta(args.get("meta")), args.get("timeout_ms", 0) / 1000)
        except (Full, Timeout, Closed) as error:
            return type(error).__name__.lower()
        return "ok"

    def call(self, ask: dict[str, Any]) -> dict[str, Any]:
        verb, args = ask["verb"].removeprefix("shmcomm."), ask["args"]
        if verb == "recover":
            return recover(args["seg"])
        if verb == "remove":
            return {"st": channel.remove(args["seg"], insist=args["insist"])}
        if verb == "reply":
            return {"st": self.answer_request(args)}
        if verb == "view_check":
            subscriber, position = self.viewed[args["v"]]
            return {"st": "lapped" if subscriber.overtaken(position) else "ok"}
        handle = self.handles[ask["h"]]
        if verb not in ("info", "validate"):
            raise Refused("UNSUPPORTED")
        if verb == "validate":
            handle.ch.frames()
        return self.info(handle) if verb == "info" else {}


def recover(locator: str) -> dict[str, Any]:
    ch = channel.attach(locator, 0, writable=True)
    try:
        held, mended = ch["writer_lock"] & channel.MOST, False
        if held:
            if ch.lives(held):
                raise Refused("BUSY")
            ch["writer_lock"] = 1 | channel.WAITING
            ch["lock_epoch"] += 1
            mended = ch.repair()
            ch.unlock()
        swept = service.sweep(locator) if ch["pattern"] == channel.REQUEST else 0
    finally:
        ch.close()
    return {"lock_taken": held != 0, "count_repaired": mended, "swept": swept}


def main() -> None:
    if "--broken" in sys.argv:
        import caster_defects

        modules = types.SimpleNamespace(channel=channel, member=member, service=service)
        caster_defects.plant(sys.argv[sys.argv.index("--broken") + 1], modules)
    logger.skeleton.Driver, logger.skeleton.answer = Driver, logger.answer
    logger.skeleton.main()


if __name__ == "__main__":
    main()
