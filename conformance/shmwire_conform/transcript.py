# SPDX-License-Identifier: MIT
"""What went over the lines during one case: kept for the report, and enough to do it all again."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = "shmwire-transcript/1"
MAX_LINE = 20_000  # characters of one line that are kept


@dataclass
class Transcript:
    """Entries are {"who", "dir", "line", "ms"}: dir > request, < reply, ! event or runner step, 2 standard error."""

    case: str
    drivers: dict[str, dict[str, Any]]
    params: dict[str, Any] = field(default_factory=dict)
    setup: list[dict[str, str]] = field(default_factory=list)  # {"seg", "case"}: copies of fixtures
    entries: list[dict[str, Any]] = field(default_factory=list)
    _start: float = field(default_factory=time.monotonic)

    def add(self, who: str, direction: str, line: str) -> None:
        if len(line) > MAX_LINE and direction != ">":
            line = line[:MAX_LINE] + "…"
        milliseconds = round((time.monotonic() - self._start) * 1000, 1)
        self.entries.append({"who": who, "dir": direction, "line": line, "ms": milliseconds})

    def save(self, path: Path) -> None:
        head = {"schema": SCHEMA, "case": self.case, "drivers": self.drivers, "params": self.params, "setup": self.setup}
        with path.open("w", encoding="utf-8") as file:
            file.write(json.dumps(head) + "\n")
            for entry in self.entries:
                file.write(json.dumps(entry) + "\n")

    def text(self) -> str:
        """For people: one line an entry."""
        return "\n".join(f"{entry['ms']:>8} {entry['who']:<6} {entry['dir']} {entry['line']}" for entry in self.entries)


def load(path: Path) -> Transcript:
    """Read back what save() wrote. ValueError if it is something else."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = json.loads(lines[0]) if lines else {}
    if not isinstance(head, dict) or head.get("schema") != SCHEMA:
        raise ValueError(f"not a {SCHEMA} file")
    return Transcript(head["case"], head["drivers"], head["params"], head["setup"], [json.loads(line) for line in lines[1:]])
