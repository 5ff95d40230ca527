# SPDX-License-Identifier: MIT
"""The actors of a live run: one pooled driver process each, armed together, started together, collected, or killed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import Finding
from ..pool import Pool
from ..process import DriverProcess
from ..protocol import Reply
from ..transcript import Transcript

SLACK_MS = 4000  # between an actor's own limit and the deadline of its `go`


@dataclass
class Actor:
    """One actor: `driver` is the name in reports, `label` tells w0 from w1."""

    label: str
    driver: str
    process: DriverProcess
    plan: dict[str, Any]
    history: Path | None = None
    summary: dict[str, Any] | None = None
    killed: bool = False

    @property
    def number(self) -> int:
        """The writer's name in its payloads."""
        return int(self.plan["actor"])

    def count(self, key: str) -> int:
        return int((self.summary or {}).get(key, 0))


@dataclass
class Cast:
    """All actors of one run. A Finding's `on` is the label of one of them, which ends in the name of its driver."""

    pool: Pool
    transcript: Transcript
    actors: list[Actor] = field(default_factory=list)
    helpers: list[DriverProcess] = field(default_factory=list)
    locator: str = ""  # of the segment, once it is made

    @property
    def writers(self) -> list[Actor]:
        return [actor for actor in self.actors if actor.plan["role"] == "write"]

    @property
    def readers(self) -> list[Actor]:
        return [actor for actor in self.actors if actor.plan["role"] == "read"]

    def listen(self, process: DriverProcess, label: str) -> None:
        process.role = label
        process.stderr_since()
        process.sink = lambda direction, line: self.transcript.add(label, direction, line)

    def add(self, label: str, process: DriverProcess, plan: dict[str, Any], history: Path | None) -> Actor:
        self.listen(process, label)
        plan = {**plan, "history": str(history)} if history else plan
        actor = Actor(label, process.config.name, process, plan, history)
        self.actors.append(actor)
        return actor

    def helper(self, process: DriverProcess, label: str) -> DriverProcess:
        """A process that takes part without being an actor (it makes the segment, or is made to die)."""
        self.listen(process, label)
        self.helpers.append(process)
        return process

    def played(self, role: str) -> list[DriverProcess]:
        """The helpers in this role."""
        return [one for one in self.helpers if one.role.partition(":")[0] == role]

    def promote(self, helper: DriverProcess, label: str, plan: dict[str, Any]) -> Actor:
        """A helper becomes an actor, on a plan that is known only now, and is armed."""
        self.helpers.remove(helper)
        actor = self.add(label, helper, plan, None)
        demand(helper.request({"cmd": "arm", **actor.plan}), label, "arm")
        return actor

    # -- the run -------------------------------------------------------------------------------------------------------

    def arm(self) -> None:
        for actor in self.actors:
            actor.process.send({"cmd": "arm", **actor.plan})
        for actor in self.actors:
            demand(actor.process.receive(), actor.label, "arm")

    def go(self, actors: list[Actor] | None = None) -> None:
        """Start these actors, or all of them: readers first, so that no writer runs alone for long."""
        for actor in actors if actors is not None else [*self.readers, *self.writers]:
            actor.process.send({"cmd": "go", "deadline_ms": actor.plan["limit_ms"] + SLACK_MS})

    def collect(self, actors: list[Actor], meanwhile: Callable[[], None] | None = None) -> None:
        """Wait for the summaries of these actors; `meanwhile` runs now and then while one is still missing, until all should be
        done."""
        end = time.monotonic() + max((actor.plan["limit_ms"] + SLACK_MS for actor in actors), default=0) / 1000
        for actor in actors:
            while meanwhile is not None and not actor.process.ready(0.01) and time.monotonic() < end:
                meanwhile()
            if actor.summary is None and not actor.killed:
                actor.summary = demand(actor.process.receive(), actor.label, "go")

    def pending(self) -> list[Actor]:
        """Readers that have not answered yet."""
        return [actor for actor in self.readers if actor.summary is None and not actor.killed and not actor.process.ready(0)]

    def kill(self, actor: Actor) -> None:
        self.transcript.add(actor.label, "!", "SIGKILL from the runner")
        actor.killed = True
        actor.process.kill()

    def pin(self, cpus: set[int]) -> None:
        """Bind every thread of every actor to these CPUs."""
        for actor in self.actors:
            for task in _tasks(actor.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(task, cpus)

    def reset(self) -> None:
        """Every process that lives drops its handles."""
        for actor in self.actors:
            if not actor.killed:
                demand(actor.process.request({"cmd": "reset"}), actor.label, "reset")
        for helper in self.helpers:
            if helper.alive:
                demand(helper.request({"cmd": "reset"}), helper.role, "reset")

    def release(self, *, clean: bool) -> None:
        """Give the processes back; after a failure they are ended instead."""
        for process in [*(actor.process for actor in self.actors), *self.helpers]:
            for line in process.stderr_since().decode("utf-8", "replace").splitlines()[-50:]:
                self.transcript.add(process.role, "2", line)
            self.pool.give(process, clean=clean)


def _tasks(pid: int) -> list[int]:
    try:
        return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return [pid]


def demand(reply: Reply, label: str, what: str) -> dict[str, Any]:
    """The body of an `ok` reply; anything else is a finding against the actor."""
    if reply.kind != "ok":
        raise Finding(f"{what} of {label}: {reply.brief()}", on=label)
    return reply.body


def pause(seconds: float) -> None:
    time.sleep(max(0.0, seconds))
