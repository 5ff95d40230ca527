# SPDX-License-Identifier: MIT
"""What the suite's own tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from shmwire_conform import engine, summary
from shmwire_conform.cases import Corpus, everything
from shmwire_conform.config import DriverConfig, KnownFailure
from shmwire_conform.plan import Selection
from shmwire_conform.summary import Run

HERE = Path(__file__).resolve().parent
SKELETON = HERE.parent / "skeleton"


def skeleton() -> DriverConfig:
    return DriverConfig("skeleton", (sys.executable, "driver.py"), SKELETON)


def planted(name: str, defect: str) -> DriverConfig:
    """A driver of tests/drivers, with a defect planted in it if one is named."""
    extra = ("--broken", defect) if defect else ()
    return DriverConfig(defect or name, (sys.executable, str(HERE / "drivers" / f"{name}.py"), *extra), HERE)


def consumer(defect: str = "") -> DriverConfig:
    """The skeleton that also consumes; with a defect planted in it, if one is named."""
    return planted("consumer", defect)


def logger(defect: str = "") -> DriverConfig:
    """A driver of profile ouroboros."""
    return planted("logger", defect)


def ticker(defect: str = "") -> DriverConfig:
    """A driver of profile slick."""
    return planted("ticker", defect)


def caster(defect: str = "") -> DriverConfig:
    """A driver of profile shmcomm."""
    return planted("caster", defect)


def ringer(defect: str = "") -> DriverConfig:
    """Live actors of profile slick; with a defect planted in them, if one is named."""
    extra = ("--broken", defect) if defect else ()
    return DriverConfig(defect or "ringer", (sys.executable, str(HERE / "drivers" / "ringer.py"), *extra), HERE)


def script(tmp_path: Path, body: str, name: str = "script") -> DriverConfig:
    """A driver that is a few lines of Python: `reply(request)` gives what stands beside the id."""
    frame = (
        "import json, os, sys, time, signal\n"
        "ME = {'name': 's', 'version': '1'}\n"
        "HELLO = {'proto': 1, 'driver': ME, 'impl': {**ME, 'language': 'python'},\n"
        "         'profiles': {'dmxp': {'classes': ['inspect'], 'features': []}}}\n"
        "def say(value):\n    os.write(1, (json.dumps(value) + '\\n').encode())\n"
        f"{body}\n"
        "for line in sys.stdin:\n"
        "    ask = json.loads(line)\n"
        "    if ask['cmd'] == 'hello':\n        say({'id': ask['id'], 'ok': HELLO})\n        continue\n"
        "    found = reply(ask)\n"
        "    if found is not None:\n        say({'id': ask['id'], **found})\n"
        "    if ask['cmd'] == 'bye':\n        break\n"
    )
    path = tmp_path / f"{name}.py"
    path.write_text(frame, encoding="utf-8")
    return DriverConfig(name, (sys.executable, str(path)), tmp_path)


def run_suite(
    drivers: list[DriverConfig], *, known: list[KnownFailure] | None = None, report: Path | None = None, seed: int = 1,
    **chosen: object,
) -> Run:
    """A run without a terminal."""
    selection = Selection(**chosen)  # type: ignore[arg-type]
    options = engine.Options(drivers, selection, jobs=2, seed=seed, report=report, known=known or [])
    return engine.execute(options, lambda *_: None)


def require_caught(driver: DriverConfig, cases: str, verdict: str, rule: str, words: str) -> Run:
    """A driver with a planted defect fails the cases, one of them naming the rule, with that verdict and those words."""
    run = run_suite([driver], cases=(cases,))
    caught = [one for one in run.findings() if rule in one.unit.case.rules]
    assert caught, f"{driver.name} passes every case that names {rule}"
    assert any(one.verdict == verdict and words in one.message for one in caught), [(one.verdict, one.message) for one in caught]
    assert all(one.blame == [driver.name] for one in caught)
    assert summary.exit_code(run) == 1
    return run


def require_healthy(driver: DriverConfig, profile: str, classes: int, least: int) -> None:
    """It passes every case of the profile, in so many classes that have at least so many cases each."""
    run = run_suite([driver], profiles=(profile,))
    assert run.findings() == [] and run.harness_errors() == []
    claimed = [one for one in summary.classes(run, profile)[driver.name].values() if one.verdict != "-"]
    assert len(claimed) == classes and all(one.verdict == "PASS" and one.passed >= least for one in claimed)


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return everything()
