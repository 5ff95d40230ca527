# SPDX-License-Identifier: MIT
"""shmwire-driver-python: this package behind driver protocol 1 (spec/driver-protocol.md), for either engine.

One request a line on standard input, one reply a line on standard output. Whatever else prints ends up on standard error.

A segment that somebody truncates raises SIGBUS where it is touched, which no Python handler can survive. The extension's
handler (shmwire/_native/guard.h) cuts the process off from the segment, so that nothing which the interrupted call still
stores reaches it, and counts. A request during which the count grew is answered TRUNCATED, and so is every later one on the
same handle.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import IO, Any, Final, cast

from . import (
    __version__,
    driver_deepwater,
    driver_deepwater_live,
    driver_dmxp,
    driver_live,
    driver_ouroboros,
    driver_shmcomm,
    driver_shmcomm_live,
    driver_slick,
)
from ._native import ext_atomic, ext_refc
from .driver_codec import U64, BadRequest, Json, UnknownCommand, integer, table, text
from .driver_deepwater import Answered, DeepwaterHandle
from .driver_dmxp import DmxpClaim, DmxpHandle, Injection
from .driver_lossy import LossyReaderActor
from .driver_ouroboros import LogWriterActor, OuroborosHandle
from .driver_shmcomm import ShmcommClaim, ShmcommHandle, ShmcommRoom
from .driver_slick import SlickClaim, SlickHandle, SlickWriterActor
from .engine import ENGINES, Engine
from .errors import ShmwireException, TooSmallError, TruncatedError, UnsupportedError, from_os_error

PROTOCOL: Final = 1
LONGEST_LINE: Final = 1 << 20
SHORTENED: Final = "the segment was shortened under its mapping"

PROFILES: Final = ("deepwater", "dmxp", "ouroboros", "shmcomm", "slick")

Handle = DeepwaterHandle | DmxpHandle | OuroborosHandle | ShmcommHandle | SlickHandle
Claim = DmxpClaim | ShmcommClaim | SlickClaim
Actor = (driver_live.Actor | LogWriterActor | SlickWriterActor | LossyReaderActor | driver_shmcomm_live.WriterActor
         | driver_deepwater_live.WriterActor)


class Driver:
    """The state between requests: handles, claims, what is injected, an armed actor."""

    def __init__(self, engine: Engine) -> None:
        self.engine: Engine = engine
        self.leaving = False
        self._injection = Injection()
        self._shmcomm = ShmcommRoom(engine, self._injection)
        self._handles: dict[int, Handle] = {}
        self._claims: dict[int, tuple[Claim, int]] = {}  # and the handle it belongs to
        self._truncated: set[int] = set()
        self._actor: Actor | None = None
        self._last_id = 0
        self._commands: dict[str, Callable[[Json], Json]] = {
            "hello": self._hello, "reset": self._reset, "inject": self._inject, "create": self._create, "open": self._open,
            "inspect": self._inspect, "write": self._write, "claim": self._claim, "commit": self._commit,
            "abandon": self._abandon, "read": self._read, "seek": self._seek, "call": self._call, "arm": self._arm,
            "go": self._go, "close": self._close, "bye": self._bye,
        }

    # Requests and replies -------------------------------------------------------------------------------------------

    def handle(self, line: str) -> Json:
        """The reply to one line."""
        number: Any = None
        try:
            body = json.loads(line)
            if not isinstance(body, dict) or isinstance(body.get("id"), bool) or not isinstance(body.get("id", 0), int):
                raise BadRequest("not a JSON object with a numeric id")
            number = body.get("id")
            return {"id": number, "ok": self._run(body)}
        except ShmwireException as error:
            return {"id": number, "err": error_reply(error)}
        except json.JSONDecodeError as error:
            return failure(number, "BAD_REQUEST", f"not JSON: {error}")
        except BadRequest as error:
            return failure(number, "BAD_REQUEST", str(error))
        except UnknownCommand as error:
            return failure(number, "UNKNOWN_COMMAND", str(error))
        except Exception as error:
            return failure(number, "INTERNAL", f"{type(error).__name__}: {error}")

    def _run(self, body: Json) -> Json:
        name = text(body, "cmd")
        command = self._commands.get(name)
        if command is None:
            raise UnknownCommand(name)
        before, owner = guard_hits(), self._owner(body)
        try:
            return command(body)
        finally:
            # Whatever came of a request during which the segment lost pages is worth nothing.
            if guard_hits() != before:
                self._truncated.add(owner)
                raise TruncatedError(SHORTENED)

    def _owner(self, body: Json) -> int:
        """The segment handle that a request is about; 0 for none."""
        claimed, named = body.get("c"), body.get("h")
        if isinstance(claimed, int) and claimed in self._claims:
            return self._claims[claimed][1]
        return named if isinstance(named, int) else 0

    def _add(self, handle: Handle) -> Json:
        self._last_id += 1
        self._handles[self._last_id] = handle
        return {"h": self._last_id}

    def _segment(self, body: Json) -> Handle:
        number = integer(body, "h", U64)
        if number not in self._handles:
            raise BadRequest(f"h {number} is not a handle")
        if number in self._truncated:
            raise TruncatedError(SHORTENED)
        return self._handles[number]

    def _claimed(self, body: Json) -> tuple[Claim, int]:
        number = integer(body, "c", U64)
        if number not in self._claims:
            raise BadRequest(f"c {number} is not a claim")
        claim, owner = self._claims[number]
        if owner in self._truncated:
            raise TruncatedError(SHORTENED)
        return claim, number

    # Commands -------------------------------------------------------------------------------------------------------

    def _hello(self, body: Json) -> Json:
        offered = body.get("proto", [PROTOCOL])
        if not isinstance(offered, list) or PROTOCOL not in offered:
            raise UnsupportedError(f"this driver speaks protocol {PROTOCOL}")
        name = "shmwire-python" if self.engine == "python" else "shmwire-python-native"
        implementation = {"name": name, "version": __version__, "language": "python"}
        if self.engine == "native":
            implementation["binding_of"] = "shmwire-c"
        return {"proto": PROTOCOL, "driver": {"name": "shmwire-driver-python", "version": __version__}, "impl": implementation,
                "profiles": {"deepwater": driver_deepwater.capabilities(), "dmxp": driver_dmxp.capabilities(),
                             "ouroboros": driver_ouroboros.capabilities(), "shmcomm": driver_shmcomm.capabilities(),
                             "slick": driver_slick.capabilities()}}

    def _reset(self, _: Json) -> Json:
        self.close_all()
        return {}

    def close_all(self) -> None:
        """Drop all handles, claims, injections and the armed actor."""
        self._disarm()
        self._claims.clear()
        for handle in self._handles.values():
            handle.close()
        self._handles.clear()
        self._truncated.clear()
        self._injection = Injection()
        self._shmcomm = ShmcommRoom(self.engine, self._injection)

    def _inject(self, body: Json) -> Json:
        self._injection.update(body)
        return {}

    def _profile(self, body: Json) -> str:
        profile = text(body, "profile")
        if profile not in PROFILES:
            raise UnsupportedError(f"profile {profile}")
        return profile

    def _create(self, body: Json) -> Json:
        profile = self._profile(body)
        if profile == "ouroboros":
            return self._add(OuroborosHandle.create(self.engine, body))
        if profile == "slick":
            return self._add(SlickHandle.create(self.engine, body))
        if profile == "shmcomm":
            return self._add(self._shmcomm.create(body))
        if profile == "deepwater":
            return self._add(DeepwaterHandle.create(self.engine, body, self._injection))
        return self._add(DmxpHandle.create(self.engine, body, self._injection))

    def _open(self, body: Json) -> Json:
        text(body, "mode")
        profile = self._profile(body)
        if profile == "ouroboros":
            return self._add(OuroborosHandle.open(self.engine, body))
        if profile == "slick":
            return self._add(SlickHandle.open(self.engine, body))
        if profile == "shmcomm":
            return self._add(self._shmcomm.open(body))
        if profile == "deepwater":
            return self._add(DeepwaterHandle.open(self.engine, body, self._injection))
        return self._add(DmxpHandle.open(self.engine, body, self._injection))

    def _inspect(self, body: Json) -> Json:
        return {"fields": self._segment(body).inspect()}

    def _write(self, body: Json) -> Json:
        return self._segment(body).write(body)

    def _read(self, body: Json) -> Json:
        return self._segment(body).read(body)

    def _seek(self, body: Json) -> Json:
        return self._segment(body).seek(body)

    def _claim(self, body: Json) -> Json:
        handle = self._segment(body)
        if isinstance(handle, DeepwaterHandle | OuroborosHandle):
            raise UnsupportedError("the profile has no claims")
        claim, reply = handle.claim(body)
        if claim is not None:
            self._last_id += 1
            self._claims[self._last_id] = (claim, integer(body, "h", U64))
            reply["c"] = self._last_id
        return reply

    def _commit(self, body: Json) -> Json:
        claim, number = self._claimed(body)
        reply = claim.commit(body)
        del self._claims[number]
        return reply

    def _abandon(self, body: Json) -> Json:
        claim, number = self._claimed(body)
        reply = claim.abandon()
        del self._claims[number]
        return reply

    def _call(self, body: Json) -> Json:
        verb = text(body, "verb")
        if body.get("h") is None and verb.startswith("shmcomm."):  # some of its verbs are about no handle, or one of their own
            return self._shmcomm.call(verb, table(body, "args"))
        if body.get("h") is None and verb in driver_deepwater.BASE_VERBS:
            return driver_deepwater.call(self.engine, verb, table(body, "args"))
        return self._segment(body).call(verb, table(body, "args"))

    def _close(self, body: Json) -> Json:
        number = integer(body, "h", U64)
        if number not in self._handles:
            raise BadRequest(f"h {number} is not a handle")
        self._claims = {key: held for key, held in self._claims.items() if held[1] != number}
        self._handles.pop(number).close()
        return {}

    def _bye(self, _: Json) -> Json:
        self.leaving = True
        return {}

    # Live -----------------------------------------------------------------------------------------------------------

    def _arm(self, body: Json) -> Json:
        profile = self._profile(body)
        self._disarm()
        try:
            if profile == "ouroboros":
                self._actor = driver_ouroboros.arm(self.engine, body)
            elif profile == "slick":
                self._actor = driver_slick.arm(self.engine, body)
            elif profile == "deepwater":
                self._actor = driver_deepwater_live.arm(self.engine, body, self._injection)
            elif profile == "shmcomm":
                self._actor = driver_shmcomm_live.arm(self._shmcomm, body)
            else:
                self._actor = self._arm_dmxp(body)
        except OSError as error:
            if isinstance(error, ShmwireException):
                raise
            raise from_os_error(error, "history") from None
        return {}

    def _arm_dmxp(self, body: Json) -> Actor:
        request = {"seg": text(body, "seg"), "options": body.get("options")}
        segment = DmxpHandle.open(self.engine, request, self._injection).segment
        return driver_live.arm(body, driver_live.port_of(segment, body))

    def _go(self, _: Json) -> Json:
        if self._actor is None:
            raise BadRequest("go without arm")
        try:
            return self._actor.run()
        finally:
            if not isinstance(self._actor, driver_deepwater_live.WriterActor):  # that one stays until it is disarmed
                self._disarm()

    def _disarm(self) -> None:
        actor, self._actor = self._actor, None
        if actor is not None:
            actor.close()


def guard_hits() -> int:
    """From how many shortened segments the process was cut off so far."""
    return cast(int, ext_atomic.lib.shmwpy_guard_hits()) if ext_atomic is not None else 0


def error_reply(error: ShmwireException) -> Json:
    """An `err` object. A result where only success makes sense is a defect of the driver or the library."""
    if isinstance(error, Answered):
        found = error.error
        reply: Json = {"code": found.name, "detail": found.detail or found.text}
        return reply | ({"done": error.done} if error.done is not None else {})
    reply = {"code": error.name if error.code < 0 else "INTERNAL", "detail": error.detail or error.text}
    if isinstance(error, TooSmallError):
        reply["needed"] = str(error.needed)
    return reply


def failure(number: Any, code: str, detail: str) -> Json:
    """A reply with one of the codes that only drivers use."""
    return {"id": number, "err": {"code": code, "detail": detail}}


def serve(driver: Driver, requests: IO[bytes], replies: IO[bytes]) -> None:
    """Answer until bye, the end of the input, or until nobody reads the replies."""
    while not driver.leaving:
        line = requests.readline(LONGEST_LINE + 1)
        if not line:
            break
        if len(line) > LONGEST_LINE:
            while line and not line.endswith(b"\n"):
                line = requests.readline(LONGEST_LINE)
            line = b""
        reply = driver.handle(line.decode("utf-8", errors="replace"))
        try:
            replies.write(json.dumps(reply, separators=(",", ":")).encode() + b"\n")
            replies.flush()
        except BrokenPipeError:
            break
    driver.close_all()


def main_native() -> None:
    """Entry of the console script shmwire-driver-native."""
    main("native")


def main(default: Engine = "python") -> None:
    """Entry of the console script shmwire-driver-python."""
    parser = argparse.ArgumentParser(description="shmwire for Python behind driver protocol 1")
    parser.add_argument("--engine", choices=ENGINES, default=default, help="default: %(default)s")
    engine = parser.parse_args().engine
    if engine == "native" and ext_refc is None:
        parser.error("the native engine takes the extension module, which is not installed")
    if ext_atomic is not None and ext_atomic.lib.shmwpy_guard_install() != 0:
        parser.error("cannot handle SIGBUS")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(Driver(engine), sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
