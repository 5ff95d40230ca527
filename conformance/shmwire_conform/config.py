# SPDX-License-Identifier: MIT
"""driver.toml: how a driver is started, and which failures of it are known."""

from __future__ import annotations

import fnmatch
import os
import subprocess
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .errors import UsageError
from .paths import DRIVERS

_KEYS = {"name": str, "command": list, "cwd": str, "env": dict, "known": str, "time_scale": (int, float), "build": list}


@dataclass(frozen=True)
class DriverConfig:
    """One driver: its name in reports and how to start it. Deadlines are multiplied by time_scale."""

    name: str
    command: tuple[str, ...]
    cwd: Path
    env: dict[str, str] = field(default_factory=dict)
    known: Path | None = None
    time_scale: float = 1.0
    build: tuple[tuple[str, ...], ...] = ()

    def argv(self) -> list[str]:
        """The command with a relative program path made absolute; a bare word is looked up in PATH."""
        program = self.command[0]
        if "/" in program and not os.path.isabs(program):
            program = str((self.cwd / program).absolute())
        return [program, *self.command[1:]]

    def describe(self) -> dict[str, Any]:
        """What a transcript needs to start this driver again."""
        how = {"command": list(self.command), "cwd": str(self.cwd), "env": self.env}
        return {"name": self.name, **how, "time_scale": self.time_scale}


@dataclass(frozen=True)
class KnownFailure:
    """One entry of a known-failure file: run anyway, XFAIL if it fails, XPASS (a finding) if it does not."""

    case: str
    driver: str
    reason: str
    issue: str

    def covers(self, case_id: str, drivers: list[str]) -> bool:
        return fnmatch.fnmatchcase(case_id, self.case) and (self.driver == "*" or self.driver in drivers)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None


def _argv(value: Any, path: Path, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(word, str) and word for word in value):
        raise UsageError(f"{path}: {key} must be a list of words, the program first")
    return tuple(value)


def load_driver(source: str) -> DriverConfig:
    """A driver.toml by path, or one of the built-in descriptions by name (c, go, rust, python, native)."""
    path = Path(source)
    if not path.is_file() and "/" not in source and (DRIVERS / f"{source}.toml").is_file():
        path = DRIVERS / f"{source}.toml"
    data = _toml(path)
    for key, value in data.items():
        if key not in _KEYS or not isinstance(value, _KEYS[key]):  # type: ignore[arg-type]
            raise UsageError(f"{path}: {key}: not a key of driver.toml, or of the wrong type")
    for key in ("name", "command"):
        if key not in data:
            raise UsageError(f"{path}: {key} is missing")
    base = path.resolve().parent
    return DriverConfig(
        name=data["name"],
        command=_argv(data["command"], path, "command"),
        cwd=(base / data.get("cwd", ".")).resolve(),
        env={key: str(value) for key, value in data.get("env", {}).items()},
        known=base / data["known"] if "known" in data else None,
        time_scale=float(data.get("time_scale", 1.0)),
        build=tuple(_argv(step, path, "build") for step in data.get("build", [])),
    )


def quick_driver(argv: list[str]) -> DriverConfig:
    """The driver behind `run -- COMMAND ARGS`."""
    if not argv:
        raise UsageError("no command after --")
    return DriverConfig(name=Path(argv[0]).name, command=tuple(argv), cwd=Path.cwd())


def distinct(drivers: list[DriverConfig]) -> list[DriverConfig]:
    """The same drivers with names that differ, in the order given."""
    seen: dict[str, int] = {}
    named = []
    for driver in drivers:
        count = seen.get(driver.name, 0) + 1
        seen[driver.name] = count
        named.append(driver if count == 1 else replace(driver, name=f"{driver.name}-{count}"))
    return named


def build(driver: DriverConfig) -> None:
    """Run the driver's build commands, if it has any."""
    for step in driver.build:
        try:
            environment = {**os.environ, **driver.env}
            done = subprocess.run(step, cwd=driver.cwd, env=environment, capture_output=True, text=True, check=False)
        except OSError as error:
            raise UsageError(f"{driver.name}: build: {step[0]}: {error.strerror}") from None
        if done.returncode != 0:
            raise UsageError(f"{driver.name}: build failed: {' '.join(step)}\n{done.stdout}{done.stderr}")


def load_known(path: Path) -> list[KnownFailure]:
    """[[known]] tables with case (glob), driver (or "*"), reason and issue."""
    data = _toml(path)
    entries = data.get("known", [])
    if not isinstance(entries, list) or set(data) - {"known"}:
        raise UsageError(f"{path}: expected [[known]] tables and nothing else")
    known = []
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) - {"case", "driver", "reason", "issue"}:
            raise UsageError(f"{path}: a [[known]] table has case, driver, reason and issue")
        if not entry.get("case") or not entry.get("reason"):
            raise UsageError(f"{path}: case and reason are needed in every [[known]] table")
        known.append(KnownFailure(entry["case"], entry.get("driver", "*"), entry["reason"], entry.get("issue", "")))
    return known
