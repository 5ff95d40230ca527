# SPDX-License-Identifier: MIT
"""Units of work and their results: what the runner plans, what it found, and what the reports are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .cases import Case

VERDICTS = (
    "PASS", "NON-STRICT", "FAIL", "CRASH", "TIMEOUT", "PROTOCOL-ERROR", "XFAIL", "XPASS", "N/A", "HARNESS-ERROR",
)  # fmt: skip
FAILURES = frozenset({"FAIL", "CRASH", "TIMEOUT", "PROTOCOL-ERROR", "NON-STRICT"})
FLOWS = ("read", "write", "write-exact", "step", "live")


@dataclass(frozen=True)
class Unit:
    """One case, one flow, one assignment of drivers to roles. `cls` is the class that it counts for."""

    case: Case
    flow: str
    cls: str
    drivers: tuple[str, ...]  # names in the order of the roles: (A,) or (A, B)
    params: tuple[tuple[str, Any], ...] = ()

    @property
    def key(self) -> str:
        return f"{self.case.id} [{self.flow}] {' > '.join(self.drivers)}"


@dataclass
class Result:
    """What became of a unit. `blame` names the drivers that the verdict counts against (all of them when it passed)."""

    unit: Unit
    verdict: str
    message: str = ""
    blame: list[str] = field(default_factory=list)
    seconds: float = 0.0
    diff: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    transcript: str = ""  # file, relative to the report directory
    transcript_text: str = ""
    known: str = ""  # reason of the known failure that covers this unit

    @property
    def failed(self) -> bool:
        """Whether this is a finding: a failure that is not known, or a known one that passed."""
        if self.verdict == "NON-STRICT":
            return self.unit.case.level == "MUST"
        return self.verdict in FAILURES or self.verdict == "XPASS"

    def record(self) -> dict[str, Any]:
        """The line of results.jsonl."""
        case = self.unit.case
        return {
            "case": case.id, "title": case.title, "profile": case.profile, "case_kind": case.kind, "flow": self.unit.flow,
            "class": self.unit.cls, "level": case.level, "rules": list(case.rules), "drivers": list(self.unit.drivers),
            "params": dict(self.unit.params), "verdict": self.verdict, "finding": self.failed, "message": self.message,
            "blame": self.blame, "seconds": round(self.seconds, 3), "diff": self.diff, "details": self.details,
            "transcript": self.transcript, "known": self.known,
        }  # fmt: skip
