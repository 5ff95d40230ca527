# SPDX-License-Identifier: MIT
"""One case on one set of drivers: fills requests in, keeps handles, sends steps and checks what comes back."""

from __future__ import annotations

import json
import time
from typing import Any

from . import expect, runner_steps, trees
from .errors import DriverCrash, Finding, HarnessError, NotApplicable
from .process import DEADLINE_MS, DriverProcess, sanitizer_report
from .protocol import Reply
from .segments import Segments
from .transcript import Transcript

_NEEDS_HANDLE = frozenset({"inspect", "write", "claim", "read", "seek", "call", "close"})
_NEEDS_CLAIM = frozenset({"commit", "abandon"})
_NOT_SENT = frozenset({"on", "as", "expect", "within_ms", "h", "c", "v", "request", "name"})
_LONGEST = 200  # characters of a channel's name
_STDERR_LINES = 200  # of one driver and case that are kept


class _Numbers:
    """Handles, claims or views of one driver: the last one that is still open, and those with names."""

    def __init__(self) -> None:
        self._open: list[int] = []
        self._named: dict[str, int] = {}

    def add(self, value: int, name: str | None) -> None:
        self._open.append(value)
        if name is not None:
            self._named[name] = value

    def find(self, name: str | None, what: str) -> int:
        if name is not None and name in self._named:
            return self._named[name]
        if name is not None or not self._open:
            raise HarnessError(f"{what} {name or ''} is not there: no earlier step of this case got it")
        return self._open[-1]

    def drop(self, value: int) -> None:
        if value in self._open:
            self._open.remove(value)


class Session:
    """`drivers` maps roles (A, B) to running drivers; `locator` is the segment, where the case's bytes are put if it has any."""

    def __init__(self, profile: str, segments: Segments, drivers: dict[str, DriverProcess], transcript: Transcript) -> None:
        self.profile = profile
        self.segments = segments
        self.drivers = drivers
        self.transcript = transcript
        self.locator = segments.base() if profile in trees.PROFILES else segments.posix()
        self.last_actor = next(iter(drivers))
        self.runner = runner_steps.RunnerSteps(self)
        self._beside: dict[str, str] = {}  # other segments of the case, such as cursors: name -> locator
        self._name = ""  # of a channel, for cases that open by name; see words()
        self.started: dict[str, dict[str, Any]] = {}  # role -> the step whose reply is still to come
        self.may_crash = False
        self.dead: set[str] = set()
        self._handles = {role: _Numbers() for role in drivers}
        self._claims = {role: _Numbers() for role in drivers}
        self._views = {role: _Numbers() for role in drivers}
        self._requests = {role: _Numbers() for role in drivers}
        self._stderr: dict[str, bytes] = {}
        for role, process in drivers.items():
            process.role = role
            process.stderr_since()
            process.sink = lambda direction, line, role=role: transcript.add(role, direction, line)  # type: ignore[misc]

    # -- the segment ---------------------------------------------------------------------------------------------------

    def place(self, image: bytes, case_id: str) -> None:
        """Put a copy of a case's bytes where the drivers will find it."""
        self.locator = self.segments.copy_of(image)
        self.transcript.setup.append({"seg": self.locator, "case": case_id})

    def content(self, of: str = "") -> bytes:
        """The bytes of the segment, or of the one beside it with that name, as they are now; none if there is no segment. Of a
        segment that is a directory: all its files (see trees)."""
        path = self.segments.file_of(self.beside(of) if of else self.locator)
        if self.profile in trees.PROFILES:
            return trees.collect(path)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""

    def beside(self, name: str) -> str:
        """The locator of another segment of this case; the same name gives the same one, to every driver. What begins with "_"
        is put behind the segment's own locator; what has a slash is a POSIX name."""
        if name.startswith("_"):
            return self.locator + name
        if "/" in name:
            return str(self.words(name))
        if name not in self._beside:
            self._beside[name] = self.segments.posix()
        return self._beside[name]

    def called(self, name: str) -> str:
        """The segment's POSIX name, said in another way: without its slash, or so many characters long."""
        if self.locator.count("/") != 1:
            raise NotApplicable("the segment has no POSIX name")
        if name == "bare":
            return self.locator[1:]
        if len(self.locator) > int(name):
            raise HarnessError(f"{self.locator} is longer than {name} characters")
        return self._beside.setdefault(name, self.locator.ljust(int(name), "x"))

    def words(self, value: Any) -> Any:
        """A value of a step with the segment's locator for "$seg", the case's channel name for "$name", and the same name filled
        up to the greatest length for "$long", wherever they stand in it."""
        if isinstance(value, dict):
            return {key: self.words(inner) for key, inner in value.items()}
        if not isinstance(value, str) or "$" not in value:
            return value
        if "$name" in value or "$long" in value:
            if not self.segments.posix_ok:
                raise NotApplicable("there are no POSIX names here")
            self._name = self._name or self.segments.channel()
        if "$memory" in value:
            value = value.replace("$memory", f"/{trees.prefix(self.segments.file_of(self.locator))}")
        long = self._name.ljust(_LONGEST, "x")
        return value.replace("$seg", self.locator).replace("$name", self._name).replace("$long", long)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Drop every handle of every driver that is still there."""
        for role, process in self.drivers.items():
            if role not in self.dead:
                expect.require_ok(process.request({"cmd": "reset"}), role, "reset")

    def run(self, steps: list[dict[str, Any]], default_role: str = "A") -> None:
        """All steps in turn; each must answer what it expects, or ok."""
        for index, step in enumerate(steps, 1):
            role = step.get("on", default_role)
            what = f"step {index} ({step['cmd']}{'' if len(self.drivers) == 1 else f' on {role}'})"
            if role == "runner":
                self.transcript.add("runner", "!", json.dumps(step))
                self.runner.run(step, what)
            elif role not in self.dead:
                self._run_one(step, role, what)

    def _run_one(self, step: dict[str, Any], role: str, what: str) -> None:
        begun = time.monotonic()
        try:
            reply = self.ask(role, step)
        except DriverCrash:
            if self.may_crash and step.get("expect", {}).get("any"):
                self.dead.add(role)
                return
            raise
        self.check(step, reply, role, what, begun)

    def run_rejected(self, steps: list[dict[str, Any]], codes: list[str], role: str = "A") -> None:
        """Steps of a case with `reject`: the first error must be one of `codes`, and there must be one."""
        for index, step in enumerate(steps, 1):
            what = f"step {index} ({step['cmd']})"
            reply = self.ask(role, step)
            if "expect" in step:
                expect.require(step["expect"], reply, role, what)
            if expect.require_rejected(codes, reply, role, what):
                return
        raise Finding(f"accepted: no step answered {' or '.join(codes)}", on=role)

    def check(self, step: dict[str, Any], reply: Reply, role: str, what: str, begun: float) -> None:
        """Judge the reply to a step that was sent, or is waited for, since `begun`."""
        waited = (time.monotonic() - begun) * 1000
        expect.require(self.words(step.get("expect", {"ok": {}})), reply, role, what)
        allowed = int(step["within_ms"]) * self.drivers[role].config.time_scale if "within_ms" in step else waited
        if waited > allowed:
            raise Finding(f"{what}: the reply took {waited:.0f} ms, allowed are {allowed:.0f}", on=role)

    def ask(self, role: str, step: dict[str, Any]) -> Reply:
        self.send(role, step)
        return self.receive(role, step)

    def send(self, role: str, step: dict[str, Any]) -> None:
        if role not in self.drivers:
            raise HarnessError(f"step on {role}: this run has {', '.join(self.drivers)}")
        self.last_actor = role
        self.drivers[role].send(self.fill(role, step))

    def receive(self, role: str, step: dict[str, Any]) -> Reply:
        """The reply to a step sent before; handles in it are remembered."""
        reply = self.drivers[role].receive()
        command = step["cmd"]
        if reply.kind != "ok":
            return reply
        if command in ("create", "open"):
            self._handles[role].add(reply.body["h"], step.get("as"))
        elif command == "claim" and "c" in reply.body:
            self._claims[role].add(reply.body["c"], step.get("as"))
        elif command == "read" and step.get("mode") == "view":
            for item in reply.body.get("items", []):
                self._views[role].add(item["view"], step.get("as"))
        elif command == "read":
            for item in reply.body.get("items", []):
                if "request" in item:
                    self._requests[role].add(item["request"], step.get("as"))
        elif command == "close":
            self._handles[role].drop(self._handles[role].find(step.get("h"), "handle"))
        elif command in _NEEDS_CLAIM:
            self._claims[role].drop(self._claims[role].find(step.get("c"), "claim"))
        return reply

    def fill(self, role: str, step: dict[str, Any]) -> dict[str, Any]:
        """The request that a step stands for."""
        command = step["cmd"]
        request = {key: value for key, value in step.items() if key not in _NOT_SENT}
        if command in ("create", "open"):
            seg = self.called(step["name"]) if "name" in step else self.locator
            request |= {"profile": self.profile, "seg": seg}
        if command in _NEEDS_HANDLE and "seg" not in step.get("args", {}):
            request["h"] = self._handles[role].find(step.get("h"), "handle")
        if command in _NEEDS_CLAIM:
            request["c"] = self._claims[role].find(step.get("c"), "claim")
        if command == "read":
            request.setdefault("max", 1)
        if command == "call":
            request["args"] = {
                **step.get("args", {}),
                **({"v": self._views[role].find(step["v"], "view")} if "v" in step else {}),
                **({"request": self._requests[role].find(step["request"], "request")} if "request" in step else {}),
            }
        for key in ("options", "args"):
            if key in request:
                request[key] = self.words(request[key])
            if "cursor" in request.get(key, {}):
                request[key] = {**request[key], "cursor": self.beside(request[key]["cursor"])}
        if "on_sleep" in step:
            request["on_sleep"] = {**step["on_sleep"], "seg": self.locator}
        request.setdefault("deadline_ms", DEADLINE_MS + int(step.get("timeout_ms", 0)))
        return request

    # -- end -----------------------------------------------------------------------------------------------------------

    def _collect_stderr(self) -> None:
        for role, process in self.drivers.items():
            text = process.stderr_since()
            self._stderr[role] = self._stderr.get(role, b"") + text
            for line in text.decode("utf-8", "replace").splitlines()[-_STDERR_LINES:]:
                self.transcript.add(role, "2", line)

    def refuse_sanitizer_reports(self) -> None:
        """A sanitizer's report is a failure whatever the replies were."""
        self._collect_stderr()
        for role, text in self._stderr.items():
            if report := sanitizer_report(text):
                raise Finding(f"sanitizer report: {report}", on=role)

    def close(self) -> None:
        """Let go of locks and sleepers, keep what the drivers wrote to standard error, remove the segment."""
        self.runner.close()
        self._collect_stderr()
        for process in self.drivers.values():
            process.sink = None
        for locator in (self.locator, *self._beside.values()):
            self.segments.remove(locator)
        if self._name:
            self.segments.remove_channel(self._name)
