# SPDX-License-Identifier: MIT
"""From results to what people ask: which classes does a driver pass, what is found, which rules have evidence."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from . import requirements, rules
from .cases import CLASSES, Corpus
from .config import DriverConfig
from .model import Result, Unit
from .plan import Selection
from .pool import Capabilities


@dataclass
class ClassResult:
    """One driver, one class: PASS, FAIL, XFAIL (known failures only), partial (not all was asked for) or - (not claimed)."""

    verdict: str
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    not_applicable: int = 0

    def record(self) -> dict[str, Any]:
        counts = {"passed": self.passed, "n/a": self.not_applicable}
        return {"verdict": self.verdict, **counts, "failed": self.failed, "missing": self.missing}


@dataclass
class Run:
    """Everything that reports are made of."""

    corpus: Corpus
    configs: list[DriverConfig]
    caps: dict[str, Capabilities]
    selection: Selection
    results: list[Result]
    not_applicable: list[tuple[Unit, str]]
    seed: int
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)  # of the run as a whole: leftovers, drifted requirements

    @property
    def names(self) -> list[str]:
        return [config.name for config in self.configs]

    @property
    def profiles(self) -> list[str]:
        found = {result.unit.case.profile for result in self.results} | {unit.case.profile for unit, _ in self.not_applicable}
        return sorted(found)

    def counts(self) -> Counter[str]:
        tally = Counter(result.verdict for result in self.results)
        tally["N/A"] += len(self.not_applicable)
        return tally

    def findings(self) -> list[Result]:
        return [result for result in self.results if result.failed]

    def harness_errors(self) -> list[Result]:
        return [result for result in self.results if result.verdict == "HARNESS-ERROR"]


def classes(run: Run, profile: str) -> dict[str, dict[str, ClassResult]]:
    """driver -> class -> result, for every class of the profile."""
    wanted = requirements.frozen(profile)
    table: dict[str, dict[str, ClassResult]] = {}
    for name in run.names:
        claimed = run.caps[name].classes(profile)
        table[name] = {}
        for cls in CLASSES:
            if cls in wanted:
                table[name][cls] = _grade(run, profile, name, cls, wanted[cls]) if cls in claimed else ClassResult("-")
    return table


def _grade(run: Run, profile: str, name: str, cls: str, required: list[str]) -> ClassResult:
    """A class is PASS only when every required case ran for this driver and passed, and nothing failed because of it."""
    if not run.selection.takes_class(cls) or (run.selection.profiles and profile not in run.selection.profiles):
        return ClassResult("not run")
    result = ClassResult("PASS")
    passed: set[str] = set()
    failed: set[str] = set()
    known: set[str] = set()
    mine = [one for one in run.results if one.unit.cls == cls and one.unit.case.profile == profile and name in one.unit.drivers]
    for one in mine:
        if one.verdict == "PASS":
            passed.add(one.unit.case.id)
        elif one.verdict == "XFAIL":
            known.add(one.unit.case.id)
        elif one.unit.case.level == "MUST" and (name in one.blame or not one.blame):
            failed.add(one.unit.case.id)
    left_out = [unit for unit, _ in run.not_applicable if unit.cls == cls and name in unit.drivers]
    excused = {unit.case.id for unit in left_out} | {one.unit.case.id for one in mine if one.verdict == "N/A"}
    result.passed = len(passed - failed - known)
    result.failed = sorted(failed)
    result.not_applicable = len(excused - passed - failed)
    ran = {one.unit.case.id for one in mine}
    whole = not run.selection.partial
    result.missing = [case for case in required if whole and case not in ran and case not in excused]
    if result.failed:
        result.verdict = "FAIL"
    elif known:
        result.verdict = "XFAIL"
    elif run.selection.partial:
        result.verdict = "partial"
    elif result.missing or not passed:
        result.verdict = "FAIL"
    return result


def coverage(run: Run, profile: str) -> dict[str, dict[str, int]]:
    """rule -> driver -> cases that name the rule and passed. Only passing cases count."""
    table: dict[str, dict[str, int]] = {rule: dict.fromkeys(run.names, 0) for rule in rules.load(profile)}
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for result in run.results:
        if result.verdict != "PASS" or result.unit.case.profile != profile:
            continue
        for rule in result.unit.case.rules:
            for name in result.unit.drivers:
                seen[rule, name].add(result.unit.case.id)
    for (rule, name), cases in seen.items():
        if rule in table:
            table[rule][name] = len(cases)
    return table


def exit_code(run: Run) -> int:
    """0 as expected, 1 findings, 3 the suite itself failed, 5 nothing was run."""
    if run.harness_errors():
        return 3
    if not run.results:
        return 5
    graded = [one for profile in run.profiles for classes_of in classes(run, profile).values() for one in classes_of.values()]
    if run.findings() or run.problems or any(one.verdict == "FAIL" for one in graded):
        return 1
    return 0
