# SPDX-License-Identifier: MIT
"""Send the requests of a transcript again, to the same driver or another, and compare the replies line by line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .cases import everything
from .config import DriverConfig
from .errors import Finding, UsageError
from .process import DriverProcess
from .runner_steps import RunnerSteps
from .segments import Segments
from .session import Session
from .transcript import Transcript, load

_VOLATILE = re.compile(r'"(timestamp_ns|sender_pid|sender_runtime|detail)": ?("[^"]*"|\d+)')


def _config(described: dict[str, Any]) -> DriverConfig:
    return DriverConfig(
        described["name"], tuple(described["command"]), Path(described["cwd"]), described["env"], None, described["time_scale"]
    )


def _same(recorded: str, now: str) -> bool:
    """Equal but for what differs from run to run: times, process ids, free text."""
    return _VOLATILE.sub("", recorded).replace(" ", "") == _VOLATILE.sub("", now).replace(" ", "")


class _Replay:
    """Old locators are replaced by fresh ones; the runner's own steps are done again; blocking requests stay open."""

    def __init__(self, old: Transcript, processes: dict[str, DriverProcess], segments: Segments) -> None:
        self.lines: list[str] = []
        self.same = True
        self._session = Session("", segments, processes, Transcript(old.case, old.drivers))
        corpus = everything()
        self._session.profile = old.case.split("/", maxsplit=1)[0]
        self._moved = {}
        for entry in old.setup:
            image = corpus.image(entry["case"]) or b""
            self._session.place(image, entry["case"])
            self._moved[entry["seg"]] = self._session.locator
        self._runner: RunnerSteps = self._session.runner
        self._first = dict.fromkeys(processes, True)

    def request(self, role: str, line: str) -> None:
        value = json.loads(line)
        for key, holder in (("seg", value), ("seg", value.get("on_sleep", {}))):
            if key in holder:
                holder[key] = self._moved.setdefault(holder[key], self._session.locator)
        raw = (json.dumps(value, separators=(",", ":")) + "\n").encode("ascii")
        self._session.last_actor = role
        self._session.drivers[role].send_raw(raw, value["cmd"], value["id"], int(value.get("deadline_ms", 2000)))
        self.lines.append(f"{role} > {line}")

    def reply(self, role: str, recorded: str) -> None:
        now = self._session.drivers[role].receive_line()[0].decode("utf-8", "replace").rstrip("\n")
        same = _same(recorded, now)
        self.same &= same
        self.lines.append(f"{role} < {now}")
        if not same:
            self.lines.append(f"{role} ≠ {recorded}  (recorded)")

    def runner_step(self, line: str) -> None:
        step = json.loads(line)
        self.lines.append(f"runner ! {line}")
        if step["cmd"] in ("start", "pending", "finish", "watch"):
            return  # their requests and replies stand in the transcript by themselves
        self._runner.run(step, step["cmd"])

    def close(self) -> None:
        self._session.close()


def replay(path: Path, drivers: list[DriverConfig]) -> tuple[bool, list[str]]:
    """Whether every reply was as recorded, and the exchange as lines. Other drivers take the roles A, B in the order given."""
    try:
        old = load(path)
    except (ValueError, KeyError, IndexError) as error:
        raise UsageError(f"{path}: {error}") from None
    if old.params.get("flow") == "live":
        raise UsageError(f"{path}: live runs depend on timing: run the case again with --seed {old.params.get('seed')}")
    configs = {role: _config(described) for role, described in old.drivers.items()}
    configs |= dict(zip(configs, drivers, strict=False))
    segments = Segments()
    processes = {role: DriverProcess(config, role) for role, config in configs.items()}
    try:
        for process in processes.values():
            process.greet()
        player = _Replay(old, processes, segments)
        try:
            _play(player, old)
        finally:
            player.close()
        return player.same, player.lines
    finally:
        for process in processes.values():
            process.dismiss()
        segments.clean()


def _play(player: _Replay, old: Transcript) -> None:
    for entry in old.entries:
        try:
            if entry["who"] == "runner":
                player.runner_step(entry["line"])
            elif entry["dir"] == ">":
                player.request(entry["who"], entry["line"])
            elif entry["dir"] == "<":
                player.reply(entry["who"], entry["line"])
        except Finding as found:
            player.lines.append(f"{entry['who']} ! {found.verdict}: {found.message}")
            player.same = False
            return
