# SPDX-License-Identifier: MIT
"""Which live runs on which drivers, one at a time, each scaled to the slowest driver in it.

A `live` case is a shape: how many writers and readers, of which capacity, waiting how. Plans: "pair" runs it for ordered pairs of
drivers (writers of one, readers of the other), "mix" with all drivers at once, "kill-…" for the pairs of the quick tier, "commit"
for each driver alone. A profile may name other plans that are for all drivers at once (MIXED). What these mean for a profile is
up to its modules, which _PROFILES names.
"""

from __future__ import annotations

import random
import time
import traceback
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cases import Case, Corpus
from ..errors import Finding, HarnessError, UsageError
from ..model import Result, Unit
from ..plan import CapabilityTable, Demands, Plan, Selection, pairs
from ..process import DriverProcess, sanitizer_report
from ..runner import Runner, finish
from ..transcript import Transcript
from . import (
    deepwater,
    deepwater_kill,
    dmxp,
    dmxp_commit,
    dmxp_kill,
    ouroboros,
    ouroboros_kill,
    shmcomm,
    shmcomm_kill,
    slick,
    slick_kill,
)
from .cast import Cast

TARGET_S = 0.25  # what a run should take, as far as the number of messages decides it
LEAST_COUNT = 240
CALIBRATION_S = 0.05


@dataclass(frozen=True)
class Profile:
    """Modules with the same functions for every profile: of the plans pair and mix, of kill-…, and of commit, if there is one."""

    runs: Any
    kills: Any
    commits: Any = None


_PROFILES = {
    "deepwater": Profile(deepwater, deepwater_kill),
    "dmxp": Profile(dmxp, dmxp_kill, dmxp_commit),
    "ouroboros": Profile(ouroboros, ouroboros_kill),
    "slick": Profile(slick, slick_kill),
    "shmcomm": Profile(shmcomm, shmcomm_kill),
}


def plan(corpus: Corpus, names: list[str], caps: CapabilityTable, selection: Selection, into: Plan) -> list[Unit]:
    """Live units of the selection; what cannot run is noted in `into` as N/A."""
    own = Plan()
    for case in corpus:
        if case.kind == "live" and selection.takes(case) and selection.takes_class(case.cls):
            if case.profile not in _PROFILES:
                raise HarnessError(f"{case.id}: there is no live module for profile {case.profile}")
            _plan_case(own, case, names, caps, selection.tier)
    into.not_applicable += own.not_applicable
    return own.units


def _plan_case(own: Plan, case: Case, names: list[str], caps: CapabilityTable, tier: str) -> None:
    module = _PROFILES[case.profile].runs
    shape = module.Shape.of(case.raw["live"])
    needs = frozenset(case.needs)
    role = frozenset({case.cls}) | needs
    if shape.plan == "commit":
        for name in names:
            own.offer(Unit(case, "live", case.cls, (name,)), {"A": role}, caps)
        return
    if shape.plan in getattr(module, "MIXED", ("mix",)):
        able = [name for name in names if not planning_gap(role, case, caps, name)]
        for name in names:
            if name not in able:
                own.offer(Unit(case, "live", case.cls, (name,)), {"A": role}, caps)
        mixes = [mix for mix in module.mixes(able) if mix]
        chosen = mixes if shape.plan == "mix" or tier == "full" else mixes[:1]
        own.units += [Unit(case, "live", case.cls, mix) for mix in chosen]
        return
    whole: Demands = {"A": role, "B": role}
    for pair in pairs(names, tier if shape.plan == "pair" else "quick"):
        own.offer(Unit(case, "live", case.cls, pair), whole, caps)


def planning_gap(role: frozenset[str], case: Case, caps: CapabilityTable, name: str) -> bool:
    """Whether a driver cannot take part."""
    return bool(role - caps[name].classes(case.profile) - caps[name].features(case.profile))


class Live:
    """One series of live runs; remembers how fast each driver is."""

    def __init__(self, runner: Runner, seed: int) -> None:
        self._runner = runner
        self._seed = seed
        self._rates: dict[tuple[str, str], float] = {}

    # -- speed ---------------------------------------------------------------------------------------------------------

    def rate(self, profile: str, name: str) -> float:
        """Messages a second of one writer and one reader of a driver, measured once."""
        if (profile, name) not in self._rates:
            count, seconds = 500, 0.0
            while seconds < CALIBRATION_S and count <= 256_000:
                seconds = self._measure(profile, name, count)
                count *= 4
            self._rates[profile, name] = count / 4 / max(seconds, 1e-4)
        return self._rates[profile, name]

    def _measure(self, profile: str, name: str, count: int) -> float:
        module = _PROFILES[profile].runs
        shape, cast = module.Shape.of(module.CALIBRATION), self._new_cast(Transcript("calibration", {}))
        clean = False
        try:
            locator = self._prepare(cast, module, shape, [name], [name], count, 1, shape.limit_ms)
            path = self._runner.segments.file_of(locator)
            cast.arm()
            begun = time.monotonic()
            cast.go()
            cast.collect(cast.writers)
            seconds = time.monotonic() - begun
            module.end_readers(cast, locator, path)
            cast.reset()
            clean = True
            return seconds
        finally:
            cast.release(clean=clean)
            self._tidy(cast)

    def count_for(self, profile: str, shape: Any, names: tuple[str, ...]) -> int:
        """Messages of one writer: the shape's number, fewer if a driver is slow, whole batches."""
        slowest = min(self.rate(profile, name) for name in set(names))
        total: int = max(LEAST_COUNT, min(shape.count, int(slowest * TARGET_S / shape.rounds)))
        each = max(1, total // int(shape.writers))
        batch = int(shape.write_batch)
        return -(-each // batch) * batch

    # -- one run -------------------------------------------------------------------------------------------------------

    def _new_cast(self, transcript: Transcript) -> Cast:
        return Cast(self._runner.pool, transcript)

    def _take(self, name: str) -> DriverProcess:
        return self._runner.pool.take(self._runner.configs[name])

    def _prepare(
        self,
        cast: Cast,
        module: Any,
        shape: Any,
        writers: list[str],
        readers: list[str],
        count: int,
        seed: int,
        limit_ms: int,
    ) -> str:
        """Processes, segment and plans of all actors. Actor numbers start at 1 so that zeros in memory are nobody's."""
        segments = self._runner.segments
        creator = self._take(writers[0])
        cast.helper(creator, f"creator:{writers[0]}")
        locator: str = module.make_segment(creator, segments, shape)
        cast.locator = locator
        for index, name in enumerate(writers):
            plan_ = module.plan_of(shape, "write", index + 1, locator, count, seed, limit_ms)
            cast.add(f"w{index}:{name}", self._take(name), plan_, None)
        for index, name in enumerate(readers):
            plan_ = module.plan_of(shape, "read", 1000 + index, locator, count, seed, limit_ms)
            cast.add(f"r{index}:{name}", self._take(name), plan_, Path(segments.path()))
        return locator

    def _tidy(self, cast: Cast) -> None:
        if cast.locator:
            self._runner.segments.remove(cast.locator)
        for actor in cast.actors:
            if actor.history is not None:
                actor.history.unlink(missing_ok=True)

    def run(self, unit: Unit) -> Result:
        """One live unit, judged."""
        salt = zlib.crc32(unit.key.encode())
        rng = random.Random(self._seed ^ salt)
        params = {"flow": "live", "seed": self._seed, "drivers": list(unit.drivers)}
        described = {str(i): self._runner.configs[name].describe() for i, name in enumerate(unit.drivers)}
        transcript, begun = Transcript(unit.case.id, described, params), time.monotonic()
        try:
            result = Result(unit, "PASS", blame=sorted(set(unit.drivers)))
            for _ in range(_PROFILES[unit.case.profile].runs.Shape.of(unit.case.raw["live"]).rounds):
                result.details = self._round(unit, transcript, rng)
        except Finding as found:
            guilty = found.on.rpartition(":")[2]
            blame = [guilty] if guilty in unit.drivers else sorted(set(unit.drivers))
            result = Result(unit, found.verdict, found.message, blame, diff=found.diff)
        except (HarnessError, UsageError) as error:
            result = Result(unit, "HARNESS-ERROR", str(error))
        except Exception:
            result = Result(unit, "HARNESS-ERROR", traceback.format_exc(limit=-6))
        if len(unit.drivers) == 2:
            result.details["pair"] = list(unit.drivers)
        result.seconds = time.monotonic() - begun
        self._runner.keep_transcript(result, transcript)
        return result

    def _round(self, unit: Unit, transcript: Transcript, rng: random.Random) -> dict[str, object]:
        """Once through the plan, with a cast and a segment of its own."""
        cast, clean = self._new_cast(transcript), False
        try:
            details = self._perform(unit, cast, rng)
            _refuse_sanitizer_reports(cast)
            clean = True
            return details
        finally:
            cast.release(clean=clean)
            self._tidy(cast)

    def _perform(self, unit: Unit, cast: Cast, rng: random.Random) -> dict[str, object]:
        profile = unit.case.profile
        module, kills, commits = (getattr(_PROFILES[profile], part) for part in ("runs", "kills", "commits"))
        shape, segments = module.Shape.of(unit.case.raw["live"]), self._runner.segments
        if shape.plan == "commit":
            name = unit.drivers[0]
            return {"summary": commits.run(cast, segments, shape, cast.helper(self._take(name), f"creator:{name}"))}
        writers, readers = module.casting(shape, unit.drivers)
        seed = rng.randrange(1, 1 << 32)
        count = self.count_for(profile, shape, unit.drivers)
        if shape.plan.startswith("kill"):
            locator = self._prepare(cast, module, shape, writers, readers, count, seed, kills.LIMIT_MS)
            for role, name in kills.helpers(shape, unit.drivers):
                cast.helper(self._take(name), f"{role}:{name}")
            expected = count * shape.writers / min(self.rate(profile, name) for name in set(unit.drivers))
            outcome = kills.run(cast, segments, locator, shape, kills.moments(rng, expected))
        else:
            locator = self._prepare(cast, module, shape, writers, readers, count, seed, shape.limit_ms)
            outcome = module.run_to_end(cast, segments, locator, shape, rng)
        summary = shape.describe(count * shape.writers)
        return {"count": count * shape.writers, "seed": seed, "summary": f"{summary}{'; ' if outcome else ''}{outcome}"}


def _refuse_sanitizer_reports(cast: Cast) -> None:
    for process in [*(actor.process for actor in cast.actors), *cast.helpers]:
        if report := sanitizer_report(process.stderr_since()):
            raise Finding(f"sanitizer report: {report}", on=process.role)


def run_all(runner: Runner, units: list[Unit], seed: int, done: Callable[[Result], None]) -> list[Result]:
    """Every live unit in turn; then failures of pairs are laid at the door of the driver that fails with itself."""
    live = Live(runner, seed)
    results = []
    for unit in units:
        results.append(live.run(unit))
        done(results[-1])
    assign_blame(results)
    return [finish(result, runner.known) for result in results]


def assign_blame(results: list[Result]) -> None:
    """A pair fails because of both, unless just one of them fails the same case with itself, or one was caught in the act."""
    alone: dict[str, set[str]] = defaultdict(set)
    for result in results:
        if len(set(result.unit.drivers)) == 1 and result.failed:
            alone[result.unit.case.id].add(result.unit.drivers[0])
    for result in results:
        if result.failed and len(set(result.unit.drivers)) > 1 and len(result.blame) > 1:
            guilty = set(result.unit.drivers) & alone[result.unit.case.id]
            result.blame = sorted(guilty or set(result.unit.drivers))
