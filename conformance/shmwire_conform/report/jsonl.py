# SPDX-License-Identifier: MIT
"""results.jsonl: one record a line, told apart by `kind`: run, driver, result, not-applicable, class, problem."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import __version__, rules, summary
from ..summary import Run


def records(run: Run) -> Iterator[dict[str, Any]]:
    chosen = run.selection
    yield {
        "kind": "run", "schema": "shmwire-results/1", "suite": __version__, "tier": chosen.tier, "seed": run.seed,
        "seconds": round(run.seconds, 2), "drivers": run.names, "profiles": run.profiles, "partial": chosen.partial,
        "counts": dict(run.counts()), "exit": summary.exit_code(run),
    }  # fmt: skip
    for config in run.configs:
        yield {"kind": "driver", "name": config.name, "command": list(config.command), "hello": run.caps[config.name].hello}
    for result in run.results:
        yield {"kind": "result", **result.record()}
    for unit, reason in run.not_applicable:
        yield {
            "kind": "not-applicable", "case": unit.case.id, "flow": unit.flow, "class": unit.cls, "drivers": list(unit.drivers),
            "verdict": "N/A", "reason": reason,
        }  # fmt: skip
    for profile in run.profiles:
        for name, of_driver in summary.classes(run, profile).items():
            for cls, one in of_driver.items():
                yield {"kind": "class", "profile": profile, "driver": name, "class": cls, **one.record()}
    for problem in run.problems:
        yield {"kind": "problem", "text": problem}


def write(run: Run, path: Path) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for record in records(run):
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return path


def write_coverage(run: Run, path: Path) -> Path:
    """Rule coverage from passing cases: per profile, rule and driver the number of cases."""
    table = {}
    for profile in run.profiles:
        known = rules.load(profile)
        table[profile] = {
            rule: {"level": known[rule].level, "evidence": known[rule].evidence, "passing_cases": counts}
            for rule, counts in summary.coverage(run, profile).items()
        }
    path.write_text(json.dumps({"schema": "shmwire-coverage/1", "profiles": table}, indent=1) + "\n", encoding="utf-8")
    return path
