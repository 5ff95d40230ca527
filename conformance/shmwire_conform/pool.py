# SPDX-License-Identifier: MIT
"""Running drivers, kept between cases. A driver that failed a case is replaced; one that passed is reset and used again.

Hostile cases have drivers apart: what one of them spoils in silence must not show in a case of another kind."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from .config import DriverConfig
from .process import DriverProcess


@dataclass(frozen=True)
class Capabilities:
    """What a driver's hello said, frozen for the run."""

    hello: dict[str, Any] = field(hash=False)
    stderr: str = ""

    def classes(self, profile: str) -> frozenset[str]:
        return frozenset(self.hello["profiles"].get(profile, {}).get("classes", ()))

    def features(self, profile: str) -> frozenset[str]:
        return frozenset(self.hello["profiles"].get(profile, {}).get("features", ()))

    @property
    def profiles(self) -> list[str]:
        return sorted(self.hello["profiles"])

    @property
    def implementation(self) -> str:
        impl = self.hello["impl"]
        bound = f", binding of {impl['binding_of']}" if impl.get("binding_of") else ""
        return f"{impl['name']} {impl['version']} ({impl['language']}{bound})"


class Pool:
    """Thread-safe: any thread may take a process; it is that thread's own until it gives it back."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, bool], list[DriverProcess]] = {}
        self._all: list[DriverProcess] = []
        self._lock = threading.Lock()

    def take(self, config: DriverConfig, *, apart: bool = False) -> DriverProcess:
        """A greeted driver: an idle one if there is one. apart: of those that hostile cases have."""
        with self._lock:
            idle = self._idle.setdefault((config.name, apart), [])
            while idle:
                process = idle.pop()
                if process.alive:
                    return process
        process = DriverProcess(config)
        with self._lock:
            self._all = [one for one in self._all if one.alive]
            self._all.append(process)
        try:
            process.greet()
        except Exception:
            process.kill()
            raise
        return process

    def give(self, process: DriverProcess, *, clean: bool, apart: bool = False) -> None:
        """Hand a driver back to where it was taken from. One not clean (it failed, or a request is still open) is ended."""
        process.sink = None
        if clean and process.alive:
            with self._lock:
                self._idle.setdefault((process.config.name, apart), []).append(process)
        else:
            process.kill()

    def kill(self) -> None:
        """End every driver at once: the run was interrupted, and an actor in full swing would not hear bye."""
        with self._lock:
            processes, self._all, self._idle = self._all, [], {}
        for process in processes:
            process.kill()

    def close(self) -> list[int]:
        """Dismiss every driver; returns pids that were still there when they should not have been."""
        with self._lock:
            processes, self._all, self._idle = self._all, [], {}
        for process in processes:
            process.dismiss()
        return [process.pid for process in processes if process.alive]


def probe(config: DriverConfig) -> Capabilities:
    """Start a driver once, greet it, dismiss it."""
    process = DriverProcess(config)
    try:
        hello = process.greet()
        return Capabilities(hello)
    finally:
        process.dismiss()
