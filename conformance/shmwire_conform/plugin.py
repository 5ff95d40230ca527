# SPDX-License-Identifier: MIT
"""pytest plugin: `pytest --shmwire-driver A.toml [--shmwire-driver B.toml]` collects every run of the suite as a test item.

Items are named CASE[FLOW-DRIVERS]; -k, -x, --junitxml and the rest of pytest work on them. Runs that a driver does not claim are
skips; a skip that a driver answers inside a claimed class is a failure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from . import config as driver_config
from . import engine, plan
from .cases import CLASSES, KINDS, everything
from .live import schedule as live
from .model import Result, Unit
from .plan import Selection
from .pool import Pool
from .report import terminal
from .runner import Runner, finish
from .segments import Segments
from .summary import Run


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("shmwire", "conformance of shared-memory segment formats")
    group.addoption("--shmwire-driver", action="append", default=[], metavar="FILE", help="driver.toml, or a built-in name")
    group.addoption("--shmwire-tier", choices=("quick", "full"), default="quick", help="full: every ordered pair of drivers")
    group.addoption("--shmwire-class", action="append", default=[], choices=CLASSES, help="only this class")
    group.addoption("--shmwire-kind", action="append", default=[], choices=KINDS, help="only cases of this kind")
    group.addoption("--shmwire-case", action="append", default=[], metavar="GLOB", help="only cases whose id matches")
    group.addoption("--shmwire-seed", type=int, default=1, metavar="N", help="of live runs")


class Suite:
    """What all items share: drivers, pool, segments, and the results so far."""

    def __init__(self, options: Any) -> None:
        self.corpus = everything()
        loaded = [driver_config.load_driver(source) for source in options.shmwire_driver]
        configs = driver_config.distinct(loaded)
        names = [one.name for one in configs]
        caps = engine.capabilities(configs)
        classes, kinds, cases = (tuple(one) for one in (options.shmwire_class, options.shmwire_kind, options.shmwire_case))
        chosen = Selection(classes=classes, kinds=kinds, cases=cases, tier=options.shmwire_tier)
        self.plan = plan.make(self.corpus, names, caps, chosen)
        self.live_units = live.plan(self.corpus, names, caps, chosen, self.plan)
        self.segments, self.pool = Segments(), Pool()
        known = engine.known_failures(engine.Options(configs))
        self.runner = Runner(self.corpus, {one.name: one for one in configs}, self.segments, self.pool, known)
        self.live = live.Live(self.runner, options.shmwire_seed)
        self.run = Run(self.corpus, configs, caps, chosen, [], self.plan.not_applicable, options.shmwire_seed)

    def perform(self, unit: Unit) -> Result:
        result = finish(self.live.run(unit), self.runner.known) if unit.flow == "live" else self.runner.run(unit)
        self.run.results.append(result)
        return result

    def close(self) -> None:
        self.pool.close()
        self.segments.clean()


class ConformItem(pytest.Item):
    """One unit of the plan."""

    def __init__(self, *, suite: Suite, unit: Unit, reason: str = "", **rest: Any) -> None:
        super().__init__(**rest)
        self.suite, self.unit, self.reason = suite, unit, reason
        self.add_marker(unit.cls.replace("-", "_"))

    def runtest(self) -> None:
        if self.reason:
            pytest.skip(self.reason)
        result = self.suite.perform(self.unit)
        if result.verdict == "XFAIL":
            pytest.xfail(result.known)
        if result.failed or result.verdict == "HARNESS-ERROR":
            raise ConformFailure(result)
        if result.verdict == "N/A":
            pytest.skip(result.message)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, ConformFailure):
            result = excinfo.value.result
            return "\n".join([*terminal.finding_lines(result), "", result.transcript_text])
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.unit.case.directory / "case.json", None, self.name


class ConformFailure(Exception):
    """Carries the result to the report."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.message)
        self.result = result


_SUITE = pytest.StashKey[Suite]()


def _items(session: pytest.Session, suite: Suite) -> Iterable[ConformItem]:
    runnable = [(unit, "") for unit in [*suite.plan.units, *suite.live_units]]
    for unit, reason in [*runnable, *suite.plan.not_applicable]:
        name = f"{unit.case.id}[{unit.flow}-{'-'.join(unit.drivers)}]"
        item: ConformItem = ConformItem.from_parent(session, name=name, suite=suite, unit=unit, reason=reason)
        yield item


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the suite's items before other plugins select among them."""
    if config.option.shmwire_driver:
        suite = Suite(config.option)
        config.stash[_SUITE] = suite
        items.extend(_items(session, suite))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    suite = config.stash.get(_SUITE, None)
    if suite is None or not suite.run.results:
        return
    terminalreporter.section("shmwire classes")
    for profile in suite.run.profiles:
        for line in terminal.class_matrix(suite.run, profile):
            terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    suite = config.stash.get(_SUITE, None)
    if suite is not None:
        suite.close()
