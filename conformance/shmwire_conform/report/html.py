# SPDX-License-Identifier: MIT
"""report.html: one self-contained page with the matrices, a section for each case, and the rule coverage."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import jinja2

from .. import __version__, rules, summary
from ..model import Result
from ..paths import TEMPLATES
from ..summary import Run
from .explain import case_lines

_MAX_TRANSCRIPT = 20_000  # characters of a transcript on the page; the file has all


def _cases(run: Run) -> list[dict[str, Any]]:
    """One entry a case, the failing ones first, with its results by drivers."""
    grouped: dict[str, list[Result]] = defaultdict(list)
    for result in run.results:
        grouped[result.unit.case.id].append(result)
    entries = []
    for case_id, results in grouped.items():
        case = run.corpus.get(case_id)
        known = rules.load(case.profile)
        entries.append(
            {
                "id": case_id,
                "anchor": case_id.replace("/", "-"),
                "case": case,
                "rules": [known[rule] for rule in case.rules if rule in known],
                "failed": any(result.failed or result.verdict == "HARNESS-ERROR" for result in results),
                "results": results,
                "steps": "\n".join(case_lines(run.corpus, case)),
            }
        )
    return sorted(entries, key=lambda entry: (not entry["failed"], entry["id"]))


def _pairs(run: Run) -> dict[str, dict[str, str]]:
    cells: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for result in run.results:
        if pair := result.details.get("pair"):
            cells[pair[0]][pair[1]].append(not result.failed)
    return {writer: {reader: f"{sum(runs)}/{len(runs)}" for reader, runs in row.items()} for writer, row in cells.items()}


def write(run: Run, path: Path) -> Path:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.globals["max_transcript"] = _MAX_TRANSCRIPT
    profiles = [
        {
            "name": profile,
            "classes": summary.classes(run, profile),
            "coverage": summary.coverage(run, profile),
            "rules": rules.load(profile),
        }
        for profile in run.profiles
    ]
    page = environment.get_template("report.html.j2").render(
        run=run, version=__version__, profiles=profiles, cases=_cases(run), pairs=_pairs(run), counts=run.counts()
    )
    path.write_text(page, encoding="utf-8")
    return path
