# SPDX-License-Identifier: MIT
"""Live actors of profile shmcomm in plain Python and, with --broken NAME, one defect planted in them. It claims nothing but what
live cases need; mailbox.py has the channels."""

from __future__ import annotations

import random
import sys
import time
import zlib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import mailbox
from mailbox import COUNT, KEEPER_ROLES, PATTERNS, PAUSE_S, REPLY, Channel, Words

import logger
from logger import Refused, path_of, skeleton
from ringer import HEAD, PAYLOAD, RECORD, payload

END, NONE = 0xFFFF, (1 << 64) - 1
MOST_S = 5.0 if "--broken" in sys.argv else 60.0  # a defect may stop everybody


def opened(locator: str, role: str, options: dict[str, Any]) -> Channel:
    """An endpoint of the channel, or a subscriber. "any" makes the channel if it is not there."""
    if options.get("making") == "any" and not Path(path_of(locator)).exists():
        Channel.make(locator, PATTERNS[role], int(options.get("capacity", "65536")))
    channel = Channel(locator, role)
    if role == "subscriber":
        oldest = options.get("from") == "oldest"
        channel.cursor, channel.expected = channel.u64[mailbox.TAIL if oldest else mailbox.HEAD], channel.u64[COUNT]
        return channel
    return channel.join(keeper=role in KEEPER_ROLES)


class Requester:
    """Its endpoint in the request channel, and its reply channel."""

    def __init__(self, locator: str, options: dict[str, Any]) -> None:
        self.requests = Channel(locator, "requester").join(keeper=False)
        name = f"{locator}_rep_{self.requests.number}"
        Channel.make(name, REPLY, int(options.get("capacity", "65536")))
        self.replies = Channel(name, "requester", REPLY).join(keeper=True, number=self.requests.number)
        self.replies.u64[0] = mailbox.MAGIC
        self.correlation = random.getrandbits(62) + 1

    def send(self, data: bytes, content: int = 0) -> tuple[str, int]:
        while self.replies.pull() is not None:
            pass
        self.correlation += 1
        return self.requests.send(data, content, self.correlation)

    def receive(self) -> bytes | None:
        """The reply, if it is there; others are thrown away."""
        while (found := self.replies.pull()) is not None:
            if found[0][3] == self.correlation:
                return found[1]
        return None

    def close(self) -> None:
        self.replies.leave()
        self.requests.leave()


class Replier:
    """Its endpoint in the request channel, and the reply channels that it has used."""

    def __init__(self, locator: str, options: dict[str, Any]) -> None:
        self.locator, self.requests, self.known = locator, opened(locator, "replier", options), dict[int, Channel]()
        self.sweep()

    def sweep(self) -> None:
        """Remove the reply channels of the dead."""
        path = Path(path_of(self.locator))
        for one in path.parent.glob(f"{path.name}_rep_*"):
            try:
                words = Channel(f"{self.locator}_rep_{one.name.rpartition('_')[2]}", "replier", REPLY)
            except (FileNotFoundError, ValueError):  # gone, or empty still
                continue
            with words.membership():
                if words.u64[0] == mailbox.MAGIC and not words.keeper_lives():
                    words.u32[mailbox.STATE] = 2
                    one.unlink(missing_ok=True)
            words.close()

    def channel_of(self, number: int) -> Channel | None:
        known = self.known.get(number)
        if known is None or known.u32[mailbox.STATE] != 1:
            try:
                self.known[number] = Channel(f"{self.locator}_rep_{number}", "replier", REPLY).join(keeper=False)
            except FileNotFoundError:
                return None
        return self.known[number]

    def reply(self, fields: tuple[int, ...], data: bytes) -> str:
        channel = self.channel_of(fields[4])
        if channel is None or not channel.keeper_lives():
            return "closed"
        return channel.send(data, 0, fields[3])[0]

    def close(self) -> None:
        for channel in self.known.values():
            channel.leave()
        self.requests.leave()


def end_of(locator: str, role: str, options: dict[str, Any]) -> Any:
    """Whatever has that role."""
    kinds: dict[str, Any] = {"requester": Requester, "replier": Replier}
    return kinds[role](locator, options) if role in kinds else opened(locator, role, options)


class Actor:
    """A plan, and how long it may take."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.end: Any = end_of(plan["seg"], plan["as"], plan["open"])
        self.credit = Words(plan["credit"]["path"]) if "credit" in plan else None
        self.limit = 0.0

    def begin(self) -> None:
        self.limit = time.monotonic() + min(MOST_S, self.plan["limit_ms"] / 1000)

    @property
    def late(self) -> bool:
        return time.monotonic() > self.limit

    def insist(self, send: Any, *what: Any) -> tuple[str, int]:
        """Send until it is done or the limit has passed; returns the last answer, and how often it was "full"."""
        full = 0
        while True:
            try:
                state = send(*what)
            except Refused:  # BUSY
                state = "busy"
            state = state if isinstance(state, str) else state[0]
            full += state == "full"
            if state not in ("full", "busy") or self.late:
                return state, full
            time.sleep(PAUSE_S)

    def close(self) -> None:
        self.end.leave() if isinstance(self.end, Channel) else self.end.close()
        if self.credit is not None:
            self.credit.close()


class Writing(Actor):
    """Publishers, pushers, requesters."""

    def has_credit(self) -> bool:
        if self.credit is None:
            return True
        window = self.plan["credit"]["window"]
        return bool(self.end.u64[COUNT] + 1 <= min(self.credit.u64[::8]) + window)

    def exchange(self, data: bytes, said: dict[str, int]) -> None:
        """Wait for the reply to a request."""
        limit = min(self.limit, time.monotonic() + self.plan.get("reply_ms", self.plan["limit_ms"]) / 1000)
        while (reply := self.end.receive()) is None and time.monotonic() < limit:
            time.sleep(PAUSE_S)
        said["timeouts" if reply is None else "replied" if reply == data else "mismatched"] += 1

    def go(self) -> dict[str, int]:
        self.begin()
        plan, said = self.plan, {"sent": 0, "full": 0}
        asks = plan["as"] == "requester"
        if asks:
            said |= {"replied": 0, "timeouts": 0, "mismatched": 0}
        while said["sent"] < plan["count"] and not self.late:
            if not self.has_credit():
                time.sleep(PAUSE_S)
                continue
            length = plan["sizes"][said["sent"] % len(plan["sizes"])]
            data = payload(plan["actor"], said["sent"], length, plan["seed"])
            state, full = self.insist(self.end.send, data)
            said["full"] += full
            if state != "ok":
                break
            said["sent"] += 1
            if asks:
                self.exchange(data, said)
            if plan["stutter_us"] and said["sent"] % 64 == 0:
                time.sleep(plan["stutter_us"] / 1e6)
        return said


class Reading(Actor):
    """Subscribers, pullers, repliers."""

    def __init__(self, plan: dict[str, Any]) -> None:
        super().__init__(plan)
        self.history = open(plan["history"], "wb", buffering=0)
        self.slept = time.monotonic()
        self.said: dict[str, int] = {"received": 0, "torn": 0, "lost": 0}

    def idle(self) -> None:
        """Nothing to do; a replier that had nothing to do for a second sweeps."""
        time.sleep(PAUSE_S)
        if isinstance(self.end, Replier) and time.monotonic() > self.slept + 1:
            self.end.sweep()
            self.slept = time.monotonic()

    def tell(self, sequence: int) -> None:
        if self.credit is not None:
            self.credit.u64[8 * self.plan["credit"]["slot"]] = sequence

    def take(self) -> Any:
        if self.plan["as"] == "subscriber":
            return self.end.next()
        return self.end.pull() if isinstance(self.end, Channel) else self.end.requests.pull()

    def keep(self, fields: tuple[int, ...], data: bytes, lost: int) -> None:
        magic, actor, sequence, length, seed = HEAD.unpack_from(data.ljust(HEAD.size, b"\0"))
        self.said["torn"] += magic != PAYLOAD or length != len(data) or data != payload(actor, sequence, length, seed)
        self.said["received"] += 1
        lost = max(0, min(lost, (1 << 32) - 1))
        self.history.write(RECORD.pack(actor, fields[4], sequence, fields[1], len(data), 0, zlib.crc32(data), lost))

    def go(self) -> dict[str, Any]:
        self.begin()
        ended, pause = False, self.plan["slow_us"] / 1e6
        while not ended and not self.late:
            found = self.take()
            if found is None:
                self.idle()
                continue
            self.slept = time.monotonic()
            fields, data, lost = found
            self.said["lost"] += max(0, lost)
            ended = fields[5] == END
            if ended:
                break
            self.keep(fields, data, lost)
            if pause:
                time.sleep(pause)
            if isinstance(self.end, Replier):
                self.insist(self.end.reply, fields, data)
            self.tell(fields[1] + 1)
        self.tell(NONE)
        return {**self.said, "ended": ended, "empty": 0, "corrupt": 0}

    def close(self) -> None:
        super().close()
        self.history.close()


class Driver:
    def __init__(self) -> None:
        self.actor: Any = None
        self.handles: dict[int, Any] = {}
        self.claimed: Any = None

    def hello(self, _: dict[str, Any]) -> dict[str, Any]:
        me = {"name": "courier", "version": "1"}
        claims = {"classes": ["write", "read", "blocking", "recovery", "live"], "features": ["split"]}
        return {"proto": 1, "driver": me, "impl": {**me, "language": "python"}, "profiles": {"shmcomm": claims}}

    def reset(self, _: dict[str, Any]) -> dict[str, Any]:
        if self.actor is not None:
            self.actor.close()
        for end in self.handles.values():
            end.leave() if isinstance(end, Channel) else end.close()
        self.actor = None
        self.handles.clear()
        return {}

    def create(self, ask: dict[str, Any]) -> dict[str, Any]:
        options = ask["options"]
        Channel.make(ask["seg"], PATTERNS[options["role"]], int(options["capacity"]))
        return self.open(ask)

    def open(self, ask: dict[str, Any]) -> dict[str, Any]:
        options, number = ask["options"], len(self.handles) + 1
        self.handles[number] = end_of(ask["seg"], options["role"], options)
        return {"h": number}

    def write(self, ask: dict[str, Any]) -> dict[str, Any]:
        end, (item,) = self.handles[ask["h"]], ask["items"]
        state, sequence = end.send(bytes.fromhex(item["data"]["hex"]), item["meta"]["content_type"])
        return {"results": [{"st": state, "seq": str(sequence)} if state == "ok" else {"st": state}]}

    def claim(self, ask: dict[str, Any]) -> dict[str, Any]:
        self.claimed = self.handles[ask["h"]]
        self.claimed.lock()
        return {"st": "ok", "c": 1, "pos": "0", "capacity": str(ask["len"])}

    def abandon(self, _: dict[str, Any]) -> dict[str, Any]:
        self.claimed.unlock()
        return {}

    def arm(self, ask: dict[str, Any]) -> dict[str, Any]:
        self.actor = (Writing if ask["role"] == "write" else Reading)(ask)
        return {}

    def go(self, _: dict[str, Any]) -> dict[str, Any]:
        return dict(self.actor.go())

    def bye(self, _: dict[str, Any]) -> dict[str, Any]:
        return self.reset({})


def main() -> None:
    if "--broken" in sys.argv:
        import courier_defects

        getattr(courier_defects, sys.argv[sys.argv.index("--broken") + 1])(mailbox, sys.modules[__name__])
    skeleton.Driver, skeleton.answer = Driver, logger.answer
    skeleton.main()


if __name__ == "__main__":
    main()
