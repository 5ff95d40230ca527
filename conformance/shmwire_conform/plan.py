# SPDX-License-Identifier: MIT
"""Which cases run on which drivers. What a driver does not claim is planned as N/A, so that nothing vanishes silently."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field

from . import judge
from .cases import Case, Corpus
from .model import Unit
from .pool import Capabilities

CapabilityTable = dict[str, Capabilities]


@dataclass(frozen=True)
class Selection:
    """What the command line asks for; empty means everything."""

    profiles: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    tier: str = "quick"

    @property
    def partial(self) -> bool:
        """Whether whole classes are no longer looked at, so that no class can be said to pass."""
        return bool(self.cases or self.kinds or self.rules)

    def takes(self, case: Case) -> bool:
        return (
            (not self.profiles or case.profile in self.profiles)
            and (not self.kinds or case.kind in self.kinds)
            and (not self.cases or any(fnmatch.fnmatchcase(case.id, glob) for glob in self.cases))
            and (not self.rules or any(fnmatch.fnmatchcase(rule, glob) for glob in self.rules for rule in case.rules))
        )

    def takes_class(self, cls: str) -> bool:
        return not self.classes or cls in self.classes


# Role -> every class and feature that its driver must claim.
Demands = dict[str, frozenset[str]]


def missing(claims: frozenset[str], profile: str, caps: Capabilities) -> str:
    """What a driver does not claim of what a role takes; empty if it can take the role."""
    if profile not in caps.profiles:
        return f"profile {profile} is not claimed"
    lacking = sorted(claims - caps.classes(profile) - caps.features(profile))
    return f"{', '.join(lacking)} not claimed" if lacking else ""


def demands(case: Case, flow: str) -> Demands:
    """What each role of a case takes: its `roles`, or else its class and `needs`."""
    if flow == "step":
        shared = frozenset(case.needs)
        return {role: frozenset(claims) | shared for role, claims in case.raw["roles"].items()}
    if flow == "write":
        return {
            "A": frozenset({"write", *case.needs}) - {"inject", "write-exact"},
            "B": frozenset({judge.read_class(case.profile)}),
        }
    return {"A": frozenset({case.cls, *case.needs})}


def pairs(names: list[str], tier: str, center: str = "c") -> list[tuple[str, str]]:
    """Ordered pairs: full = all; quick = every driver with itself, and with the reference both ways round."""
    if tier == "full":
        return [(one, other) for one in names for other in names]
    hub = center if center in names else names[0]
    found = [(name, name) for name in names]
    for name in names:
        if name != hub:
            found += [(hub, name), (name, hub)]
    return found


@dataclass
class Plan:
    """Units to run, and units that cannot be run with the reason."""

    units: list[Unit] = field(default_factory=list)
    not_applicable: list[tuple[Unit, str]] = field(default_factory=list)

    def offer(self, unit: Unit, roles: Demands, caps: CapabilityTable) -> None:
        """Plan a unit if every driver can take its role and one of them claims the class it counts for."""
        profile = unit.case.profile
        for role, name in zip(roles, unit.drivers, strict=True):
            if reason := missing(roles[role], profile, caps[name]):
                self.not_applicable.append((unit, f"{name} as {role}: {reason}"))
                return
        if not any(unit.cls in caps[name].classes(profile) for name in unit.drivers):
            self.not_applicable.append((unit, f"class {unit.cls} is not claimed"))
            return
        self.units.append(unit)


def make(corpus: Corpus, names: list[str], caps: CapabilityTable, selection: Selection) -> Plan:
    """The whole plan but the live runs, in the order of the case ids."""
    plan = Plan()
    for case in corpus:
        if not selection.takes(case) or case.kind == "live":
            continue
        if case.kind == "step":
            _plan_step(plan, case, names, caps, selection)
        else:
            _plan_static(plan, case, names, caps, selection)
    return plan


def _plan_static(plan: Plan, case: Case, names: list[str], caps: CapabilityTable, selection: Selection) -> None:
    """One run a driver; a case that makes bytes is also a plain `write` case, read back by other drivers."""
    flow = "write-exact" if case.steps("make") else "read"
    if selection.takes_class(case.cls):
        for name in names:
            plan.offer(Unit(case, flow, case.cls, (name,)), demands(case, flow), caps)
    if flow == "write-exact" and selection.takes_class("write"):
        for pair in pairs(names, selection.tier):
            plan.offer(Unit(case, "write", "write", pair), demands(case, "write"), caps)


def _plan_step(plan: Plan, case: Case, names: list[str], caps: CapabilityTable, selection: Selection) -> None:
    if not selection.takes_class(case.cls):
        return
    wanted = demands(case, "step")
    groups = [(name,) for name in names] if len(wanted) == 1 else pairs(names, selection.tier)
    for group in groups:
        plan.offer(Unit(case, "step", case.cls, group), wanted, caps)
