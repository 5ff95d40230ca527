# SPDX-License-Identifier: MIT
"""matrix.md: the matrices and the rule coverage as Markdown tables."""

from __future__ import annotations

from pathlib import Path

from .. import rules, summary
from ..summary import Run


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _classes(run: Run, profile: str) -> list[str]:
    table = summary.classes(run, profile)
    names = list(table)
    lines = [_row(["class", *names]), _row(["---"] * (len(names) + 1))]
    for cls in next(iter(table.values())):
        cells = []
        for name in names:
            one = table[name][cls]
            bad = len(one.failed) + len(one.missing)
            good = f"{one.verdict} {one.passed}" if one.passed else one.verdict
            cells.append(f"**FAIL** {bad}" if one.verdict == "FAIL" else good)
        lines.append(_row([cls, *cells]))
    legend = "The number is how many cases passed, or after FAIL how many did not. `-`: the driver does not claim the class."
    return [*lines, "", legend]


def _live(run: Run, profile: str) -> list[str]:
    cells: dict[tuple[str, str], list[bool]] = {}
    for result in run.results:
        if (pair := result.details.get("pair")) and result.unit.case.profile == profile:
            cells.setdefault((pair[0], pair[1]), []).append(not result.failed)
    if not cells:
        return []
    names = [name for name in run.names if any(name in pair for pair in cells)]
    lines = ["", "Live runs, writers of the row and readers of the column:", ""]
    lines += [_row(["", *names]), _row(["---"] * (len(names) + 1))]
    for writer in names:
        row = [cells.get((writer, reader), []) for reader in names]
        lines.append(_row([writer, *(f"{sum(runs)}/{len(runs)}" if runs else "-" for runs in row)]))
    return lines


def _coverage(run: Run, profile: str) -> list[str]:
    known = rules.load(profile)
    lines = ["", "Rules with the number of passing cases that name them:", ""]
    lines += [_row(["rule", "level", *run.names]), _row(["---"] * (len(run.names) + 2))]
    for rule, counts in summary.coverage(run, profile).items():
        cells = ["review" if known[rule].evidence == "review" else str(counts[name]) for name in run.names]
        lines.append(_row([f"`{rule}`", known[rule].level, *cells]))
    return lines


def write(run: Run, path: Path) -> Path:
    lines = ["# Conformance matrix", ""]
    for config in run.configs:
        lines.append(f"- {config.name}: {run.caps[config.name].implementation}")
    for profile in run.profiles:
        lines += ["", f"## {profile}", "", *_classes(run, profile), *_live(run, profile), *_coverage(run, profile)]
    found = run.findings()
    lines += ["", "## Findings", ""]
    for one in found:
        lines.append(f"- {one.verdict} `{one.unit.case.id}` ({' > '.join(one.unit.drivers)}): {one.message.splitlines()[0]}")
    lines += ["None."] if not found else []
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
