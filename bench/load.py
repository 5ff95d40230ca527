# SPDX-License-Identifier: MIT
"""What else the machine is doing: processor time that neither this process nor its children used."""

from __future__ import annotations

import os
import time
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
TOLERANCE = 0.1  # of all processor time
LOOK_S = 0.2
IDLE_FIELDS = (3, 4)  # idle, iowait; what comes after them is work, steal included
COUNTED_FIELDS = 8  # guest time, behind them, is in user time already


def _busy() -> float:
    """Seconds of work of all processors since the machine started."""
    fields = list(map(int, Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:1 + COUNTED_FIELDS]))
    return (sum(fields) - sum(fields[i] for i in IDLE_FIELDS)) * TICK


def _own() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Watch:
    """How much of the machine others used since this object was made. Children count once they have been waited for."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy = _busy()
        self._own = _own()

    def others(self) -> float:
        """Their share of all processor time, from 0."""
        elapsed = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        # The counters move in ticks, one of which may be missing on each processor.
        unsure = TICK * (os.cpu_count() or 1)
        return max(0.0, _busy() - self._busy - (_own() - self._own) - unsure) / max(elapsed, TICK)

    def quiet(self) -> bool:
        return self.others() <= TOLERANCE


def wait_until_quiet(patience: float) -> None:
    """Return when the machine has been quiet for a moment, or when the patience, in seconds, is at an end."""
    limit = time.monotonic() + patience
    while time.monotonic() < limit:
        watch = Watch()
        time.sleep(LOOK_S)
        if watch.quiet():
            return
