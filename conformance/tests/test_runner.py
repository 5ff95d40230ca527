# SPDX-License-Identifier: MIT
"""Runs as a whole: selection, known failures, frozen requirements, what N/A is, and the reports of all that."""

from __future__ import annotations

import json
import os
import re
import threading
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from conftest import consumer, run_suite, script, skeleton
from shmwire_conform import report, requirements, summary
from shmwire_conform.cases import Corpus
from shmwire_conform.config import KnownFailure
from shmwire_conform.errors import UsageError
from shmwire_conform.model import Result, Unit
from shmwire_conform.plan import pairs
from shmwire_conform.pool import Pool
from shmwire_conform.report import terminal
from shmwire_conform.runner import Runner, finish
from shmwire_conform.segments import Segments

ONE = ("dmxp/golden/one-message",)


@pytest.mark.parametrize("profile", ["dmxp", "ouroboros", "slick", "shmcomm", "deepwater"])
def test_the_frozen_sets_are_those_of_the_cases(corpus: Corpus, profile: str) -> None:
    assert requirements.drift(corpus, profile) == []


def test_nothing_selected_is_not_a_success() -> None:
    run = run_suite([skeleton()], cases=("dmxp/golden/no-such-case",))
    assert run.results == [] and summary.exit_code(run) == 5


def test_what_is_not_claimed_is_not_applicable_and_never_a_pass() -> None:
    run = run_suite([skeleton()], cases=("dmxp/golden/one-message-consume",))
    assert run.results == [] and [reason for _, reason in run.not_applicable] == ["skeleton as A: read not claimed"]
    assert summary.classes(run, "dmxp")["skeleton"]["read"].verdict == "-"


def test_a_partial_run_passes_no_class() -> None:
    run = run_suite([skeleton()], cases=ONE)
    assert [one.verdict for one in run.results] == ["PASS"] and summary.exit_code(run) == 0
    assert summary.classes(run, "dmxp")["skeleton"]["inspect"].verdict == "partial"


def test_a_required_case_that_is_missing_fails_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_suite([skeleton()], classes=("inspect",))
    frozen = requirements.frozen("dmxp")
    assert summary.classes(run, "dmxp")["skeleton"]["inspect"].verdict == "PASS"
    more = {**frozen, "inspect": [*frozen["inspect"], "dmxp/golden/taken-away"]}
    monkeypatch.setattr(requirements, "frozen", lambda profile: more)
    graded = summary.classes(run, "dmxp")["skeleton"]["inspect"]
    assert graded.verdict == "FAIL" and graded.missing == ["dmxp/golden/taken-away"]
    assert summary.exit_code(run) == 1


def test_freezing_refuses_to_lose_a_case(corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(requirements, "REQUIREMENTS", tmp_path)
    path, count = requirements.freeze(corpus, "dmxp", [])
    assert count > 100 and requirements.drift(corpus, "dmxp") == []
    path.write_text(path.read_text().replace("inspect = [", 'inspect = [\n    "dmxp/golden/old",'))
    assert requirements.drift(corpus, "dmxp") == ["inspect: dmxp/golden/old is required and there is no such MUST case"]
    with pytest.raises(UsageError, match="required cases are gone: dmxp/golden/old"):
        requirements.freeze(corpus, "dmxp", [])
    requirements.freeze(corpus, "dmxp", ["dmxp/golden/old"])
    assert requirements.drift(corpus, "dmxp") == []


def test_known_failures_are_run_and_an_unexpected_pass_is_a_finding() -> None:
    known = [KnownFailure("dmxp/golden/one-mess*", "*", "reads 16 bytes late", "issue 7")]
    broken = run_suite([consumer("payload_offset")], cases=ONE, known=known)
    assert [one.verdict for one in broken.results] == ["XFAIL"] and summary.exit_code(broken) == 0
    assert summary.classes(broken, "dmxp")["payload_offset"]["inspect"].verdict == "XFAIL"
    mended = run_suite([skeleton()], cases=ONE, known=known)
    assert [one.verdict for one in mended.results] == ["XPASS"] and summary.exit_code(mended) == 1


def test_a_should_that_is_not_met_is_non_strict_and_no_finding(corpus: Corpus) -> None:
    case = next(one for one in corpus if one.level == "SHOULD")
    result = finish(Result(Unit(case, "step", case.cls, ("x",)), "FAIL", "no", ["x"]), [])
    assert result.verdict == "NON-STRICT" and not result.failed
    must = corpus.get(ONE[0])
    assert Result(Unit(must, "read", must.cls, ("x",)), "NON-STRICT", "no", ["x"]).failed


def test_pairs() -> None:
    assert pairs(["c", "go", "py"], "full") == [(a, b) for a in ("c", "go", "py") for b in ("c", "go", "py")]
    quick = pairs(["go", "c", "py"], "quick")
    assert set(quick) == {("c", "c"), ("go", "go"), ("py", "py"), ("c", "go"), ("go", "c"), ("c", "py"), ("py", "c")}
    assert len(quick) == 7 and pairs(["x"], "quick") == [("x", "x")]


def test_a_driver_that_cannot_say_hello_stops_the_run(tmp_path: Path) -> None:
    mute = script(tmp_path, "def reply(ask): return None\nos.close(1)")
    with pytest.raises(UsageError, match="hello"):
        run_suite([mute], cases=ONE)


def test_nothing_is_left_in_shared_memory() -> None:
    run = run_suite([consumer()], cases=("dmxp/golden/one-message*",))
    assert run.problems == []
    mine = f"shmw-conf-{os.getpid()}-"
    assert not [path for path in Path("/dev/shm").iterdir() if path.name.startswith(mine)]


def test_reports(tmp_path: Path) -> None:
    """One run with a passing, a failing and a not applicable case, in every form."""
    run = run_suite([skeleton(), consumer("payload_offset")], cases=ONE, report=tmp_path)
    report.write_all(run, tmp_path)
    records = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    results = {record["drivers"][0]: record for record in records if record["kind"] == "result"}
    assert results["skeleton"]["verdict"] == "PASS" and results["payload_offset"]["verdict"] == "FAIL"
    assert "dmxp.layout.declared" in results["payload_offset"]["rules"]
    assert (tmp_path / results["skeleton"]["transcript"]).is_file()
    assert records[0]["exit"] == 1 and records[0]["partial"] is True

    suites = ET.parse(tmp_path / "junit.xml").getroot()
    assert len(suites.findall(".//testcase")) == 2 and len(suites.findall(".//failure")) == 1

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page), "the page must not need anything else"
    assert "payload at slot + 64 when payload_layout is 1" in page and "first difference at byte 0: expected 68656c6c6f" in page

    coverage = json.loads((tmp_path / "coverage.json").read_text(encoding="utf-8"))["profiles"]["dmxp"]
    assert coverage["dmxp.layout.declared"]["passing_cases"] == {"skeleton": 1, "payload_offset": 0}
    assert "**FAIL** 1" in (tmp_path / "matrix.md").read_text(encoding="utf-8")
    text = terminal.text(run)
    assert text.splitlines()[-2].startswith("FAIL dmxp/golden/one-message (payload_offset, read): ")  # for the end of a log
    assert "FAIL dmxp/golden/one-message (payload_offset, read)" in text and "rules: dmxp.peek.readonly" in text


def test_watched_cases_come_last_one_at_a_time_and_results_in_order(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["dmxp/step/batch-watched", "dmxp/step/claim-full", "shmcomm/step/count-order", "dmxp/step/abandon-skipped"]
    units = [Unit(corpus.cases[name], "step", "write", ("any",)) for name in names]
    ran: list[str] = []

    def run(_self: Runner, unit: Unit) -> Result:
        assert not unit.case.watched or threading.current_thread() is threading.main_thread()
        ran.append(unit.case.id)
        return Result(unit, "PASS")

    monkeypatch.setattr(Runner, "run", run)
    told: list[str] = []
    segments = Segments()
    try:
        results = Runner(corpus, {}, segments, Pool()).run_all(units, 2, lambda result: told.append(result.unit.case.id))
    finally:
        segments.clean()
    assert [result.unit.case.id for result in results] == names
    assert ran[2:] == told[2:] == [names[0], names[2]]
    assert sorted(ran[:2]) == sorted(told[:2]) == sorted([names[1], names[3]])
