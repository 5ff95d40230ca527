# SPDX-License-Identifier: MIT
"""A whole run: probe the drivers, plan, run everything, clean up, and check the run itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import config as driver_config
from . import plan as planning
from . import requirements
from .cases import everything
from .config import DriverConfig, KnownFailure
from .errors import Finding, UsageError
from .live import schedule as live
from .model import Result
from .plan import Selection
from .pool import Capabilities, Pool, probe
from .runner import Runner
from .segments import Segments
from .summary import Run

Progress = Callable[[Result, int, int], None]


@dataclass
class Options:
    """What `run` was asked for."""

    drivers: list[DriverConfig]
    selection: Selection = field(default_factory=Selection)
    jobs: int = 2
    seed: int = 1
    report: Path | None = None
    known: list[KnownFailure] = field(default_factory=list)


def known_failures(options: Options) -> list[KnownFailure]:
    """Those of the command line and those that a driver's own description names; the latter only for that driver."""
    known = list(options.known)
    for config in options.drivers:
        if config.known is not None:
            known += [one for one in driver_config.load_known(config.known) if one.driver in ("*", config.name)]
    return known


def capabilities(configs: list[DriverConfig]) -> dict[str, Capabilities]:
    """Every driver's hello. A driver that cannot say hello cannot be graded: that is for the user to mend."""
    caps = {}
    for config in configs:
        driver_config.build(config)
        try:
            caps[config.name] = probe(config)
        except Finding as found:
            raise UsageError(f"driver {config.name}: hello: {found.message} (try shmwire-conform doctor)") from None
    return caps


def _transcripts(report: Path | None) -> Path | None:
    if report is None:
        return None
    directory = report / "transcripts"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def _shortened(lines: list[str], most: int = 5) -> list[str]:
    """The first few of many."""
    return lines if len(lines) <= most else [*lines[:most], f"… and {len(lines) - most} more (shmwire-conform freeze --check)"]


def execute(options: Options, progress: Progress) -> Run:
    """Run what is selected. Raises UsageError when a driver cannot be started."""
    begun = time.monotonic()
    corpus = everything()
    configs = driver_config.distinct(options.drivers)
    caps = capabilities(configs)
    names = [config.name for config in configs]
    plan = planning.make(corpus, names, caps, options.selection)
    live_units = live.plan(corpus, names, caps, options.selection, plan)
    run = Run(corpus, configs, caps, options.selection, [], plan.not_applicable, options.seed)
    segments, pool = Segments(), Pool()
    table = {config.name: config for config in configs}
    runner = Runner(corpus, table, segments, pool, known_failures(options), _transcripts(options.report))
    total = len(plan.units) + len(live_units)
    try:
        results = runner.run_all(plan.units, options.jobs, lambda result: progress(result, len(plan.units), total))
        if live_units:
            results += live.run_all(runner, live_units, options.seed, lambda result: progress(result, total, total))
    except BaseException:
        pool.kill()
        raise
    finally:
        left = pool.close()
        names_left = segments.leftovers()
        segments.clean()
    run.results = results
    run.problems += [f"driver process {pid} had to be left behind" for pid in left]
    run.problems += [f"left in shared memory: {name}" for name in names_left]
    if not options.selection.partial:
        for profile in run.profiles:
            run.problems += _shortened(requirements.drift(corpus, profile))
    run.seconds = time.monotonic() - begun
    return run
