# SPDX-License-Identifier: MIT
"""A driver's manners: framing, errors, capabilities, leaving in time. Nothing here judges the implementation behind it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from .cases import everything
from .config import DriverConfig, build
from .errors import Finding, HarnessError, UsageError
from .plan import Selection, make
from .pool import Capabilities, Pool
from .process import DriverProcess
from .protocol import MAX_REQUEST, Reply, decode
from .runner import Runner
from .segments import Segments


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    message: str = ""


def _probe_line(process: DriverProcess, line: bytes, command: str, request_id: int | None) -> Reply:
    process.send_raw(line, command, request_id)
    raw, _, _ = process.receive_line()
    return decode(raw, request_id, command)


def _expect(reply: Reply, *codes: str) -> None:
    if reply.kind != "err" or reply.code not in codes:
        raise Finding(f"expected error {' or '.join(codes)}, got {reply.brief()}")


def _hello(process: DriverProcess) -> None:
    hello = process.greet()
    if not hello["profiles"]:
        raise Finding("hello claims no profile, so no case can be run")


def _hello_again(process: DriverProcess) -> None:
    if process.hello != process.greet():
        raise Finding("a second hello claims something else; capabilities are frozen")


def _unknown_command(process: DriverProcess) -> None:
    _expect(process.request({"cmd": "no-such-command"}), "UNKNOWN_COMMAND")


def _unknown_field(process: DriverProcess) -> None:
    reply = process.request({"cmd": "reset", "x_unknown": {"nested": [1, "2", None]}})
    if reply.kind != "ok":
        raise Finding(f"unknown request fields are to be ignored: {reply.brief()}")


def _bad_handle(process: DriverProcess) -> None:
    _expect(process.request({"cmd": "close", "h": 987654}), "BAD_REQUEST")


def _missing_field(process: DriverProcess) -> None:
    number = process.send({"cmd": "reset"}) + 1
    process.receive()
    line = json.dumps({"id": number, "cmd": "open", "deadline_ms": 2000}).encode() + b"\n"
    _expect(_probe_line(process, line, "open", number), "BAD_REQUEST")


def _not_found(process: DriverProcess) -> None:
    profile = sorted(process.hello["profiles"])[0]
    mode = "ro" if "inspect" in process.hello["profiles"][profile]["classes"] else "rw"
    _expect(process.request({"cmd": "open", "profile": profile, "seg": "/shmw-no-such-segment", "mode": mode}), "NOT_FOUND")


def _unknown_profile(process: DriverProcess) -> None:
    reply = process.request({"cmd": "open", "profile": "no-such-profile", "seg": "/shmw-no-such-segment", "mode": "ro"})
    _expect(reply, "UNSUPPORTED", "BAD_REQUEST")


def _malformed(process: DriverProcess) -> None:
    """A line that is no JSON gets BAD_REQUEST, with id null, and the driver goes on."""
    _expect(_probe_line(process, b'{"id":1,"cmd":\n', "malformed", None), "BAD_REQUEST")


def _long_line(process: DriverProcess) -> None:
    """A valid line of just under 1 MiB must be taken."""
    number = process.send({"cmd": "reset"}) + 1
    process.receive()
    head = json.dumps({"id": number, "cmd": "reset", "deadline_ms": 2000})[:-1] + ',"x_filler":"'
    line = (head + "x" * (MAX_REQUEST - len(head) - 3) + '"}\n').encode()
    reply = _probe_line(process, line, "reset", number)
    if reply.kind != "ok":
        raise Finding(f"a request of {len(line)} bytes: {reply.brief()}")


def _survives(process: DriverProcess) -> None:
    reply = process.request({"cmd": "reset"})
    if reply.kind != "ok":
        raise Finding(f"after the errors above, reset must still work: {reply.brief()}")


def _quiet(process: DriverProcess) -> None:
    """Nothing but replies on standard output, now and after a while."""
    if process.ready(0.2):
        raise Finding("there is something on standard output that no request asked for")


def _leaves(process: DriverProcess) -> None:
    begun = time.monotonic()
    process.bye()
    status = process.process.returncode
    if status != 0:
        raise Finding(f"exit status {status} after bye, {time.monotonic() - begun:.1f} s")


_CHECKS: tuple[tuple[str, Callable[[DriverProcess], None]], ...] = (
    ("hello, as the schema has it", _hello),
    ("hello again, the same", _hello_again),
    ("an unknown command is UNKNOWN_COMMAND", _unknown_command),
    ("unknown fields are ignored", _unknown_field),
    ("an unknown handle is BAD_REQUEST", _bad_handle),
    ("a missing field is BAD_REQUEST", _missing_field),
    ("an unknown profile is refused", _unknown_profile),
    ("a segment that is not there is NOT_FOUND", _not_found),
    ("a line that is no JSON is BAD_REQUEST", _malformed),
    ("a line of 1 MiB is taken", _long_line),
    ("errors do not stop it", _survives),
    ("standard output carries replies only", _quiet),
    ("bye: gone within 2 s, with status 0", _leaves),
)


def _manners(driver: DriverConfig) -> tuple[list[Check], dict[str, object] | None]:
    """Every check in turn; one that ends the process is followed by a fresh process, and stays a failure."""
    checks: list[Check] = []
    hello: dict[str, object] | None = None
    process = DriverProcess(driver)
    try:
        for name, check in _CHECKS:
            if not process.alive:
                process.kill()
                process = DriverProcess(driver)
                process.greet()
            try:
                check(process)
                checks.append(Check(name, True))
            except Finding as found:
                checks.append(Check(name, False, found.message))
                if check is _hello:
                    return checks, None
            hello = process.hello
    finally:
        process.kill()
    return checks, hello


def _smoke(driver: DriverConfig, caps: Capabilities) -> list[Check]:
    """The first case of each claimed class, so that a gross mistake shows before a whole run does."""
    corpus, segments, pool = everything(), Segments(), Pool()
    runner = Runner(corpus, {driver.name: driver}, segments, pool)
    plan = make(corpus, [driver.name], {driver.name: caps}, Selection())
    checks = []
    try:
        for profile in caps.profiles:
            for cls in sorted(caps.classes(profile)):
                units = [unit for unit in plan.units if unit.cls == cls and unit.case.profile == profile]
                if units:
                    result = runner.run(units[0])
                    passed = result.verdict == "PASS"
                    message = "" if passed else f"{result.verdict}: {result.message}"
                    checks.append(Check(f"{profile} {cls}: {units[0].case.id}", passed, message))
    finally:
        pool.close()
        segments.clean()
    return checks


def examine(driver: DriverConfig) -> list[Check]:
    """All checks of one driver."""
    build(driver)
    try:
        checks, hello = _manners(driver)
    except (Finding, HarnessError) as error:
        return [Check("start", False, str(error))]
    if hello is None:
        return checks
    try:
        return checks + _smoke(driver, Capabilities(hello))
    except UsageError as error:
        return [*checks, Check("smoke", False, str(error))]
