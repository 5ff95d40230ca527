# SPDX-License-Identifier: MIT
"""What a person sees at the end of a run: the matrix of classes, the matrix of live pairs, and what was found."""

from __future__ import annotations

import os
import sys

from .. import summary
from ..model import Result
from ..summary import Run

_COLOUR = {"PASS": "32", "FAIL": "31", "partial": "33", "XFAIL": "33", "-": "2", "not run": "2"}


def paint(word: str, width: int, *, colour: bool) -> str:
    padded = word.ljust(width)
    code = _COLOUR.get(word.split(" ")[0]) or _COLOUR.get(word)
    return f"\033[{code}m{padded}\033[0m" if colour and code else padded


def use_colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def class_matrix(run: Run, profile: str, *, colour: bool = False) -> list[str]:
    """Classes by drivers; a cell is the verdict and, where something failed or is missing, how many of how many."""
    table = summary.classes(run, profile)
    names = list(table)
    classes = list(next(iter(table.values())))
    width = max(9, *(len(name) + 2 for name in names))
    lines = [f"{profile:<13}" + "".join(name.ljust(width) for name in names)]
    for cls in classes:
        cells = []
        for name in names:
            one = table[name][cls]
            bad = len(one.failed) + len(one.missing)
            cells.append(paint(f"{one.verdict} {bad}" if one.verdict == "FAIL" else one.verdict, width, colour=colour))
        lines.append(f"{cls:<13}" + "".join(cells))
    lines.append("PASS: every required case of the class ran and passed; FAIL n: n cases did not; -: not claimed by the driver")
    return lines


def live_matrix(run: Run, profile: str, *, colour: bool = False) -> list[str]:
    """Writers by readers: of how many live runs of a pair how many passed. Nothing if there were no pair runs."""
    cells: dict[tuple[str, str], list[bool]] = {}
    for result in run.results:
        pair = result.details.get("pair")
        if pair and result.unit.case.profile == profile:
            cells.setdefault((pair[0], pair[1]), []).append(not result.failed)
    if not cells:
        return []
    names = [name for name in run.names if any(name in pair for pair in cells)]
    width = max(9, *(len(name) + 2 for name in names))
    lines = ["live, writer > reader".ljust(24) + "".join(name.ljust(width) for name in names)]
    for writer in names:
        row = []
        for reader in names:
            runs = cells.get((writer, reader), [])
            text = f"{sum(runs)}/{len(runs)}" if runs else "-"
            row.append(f"\033[{32 if all(runs) else 31}m{text.ljust(width)}\033[0m" if colour and runs else text.ljust(width))
        lines.append(f"  {writer:<22}" + "".join(row))
    lines.append("n/m: n of m runs of that pair (writers of the row, readers of the column) kept every promise")
    return lines


def finding_lines(result: Result) -> list[str]:
    """One finding: verdict, case, drivers, what happened, the rules, and the first differing fields."""
    case = result.unit.case
    blamed = f"  [against {', '.join(result.blame)}]" if len(result.unit.drivers) > 1 and result.blame else ""
    lines = [f"{result.verdict} {case.id} ({' > '.join(result.unit.drivers)}, {result.unit.flow}){blamed}"]
    lines += [f"    {line}" for line in result.message.splitlines()[:6]]
    lines += [f"      {line}" for line in result.diff[1:5] if line not in result.message]
    lines.append(f"    rules: {', '.join(case.rules)}")
    if result.known:
        lines.append(f"    known failure that passed: {result.known}")
    return lines


def short_line(result: Result) -> str:
    """A finding in one line: who keeps only the end of the output (a CI log) still learns what failed and with what message."""
    drivers = " > ".join(result.unit.drivers)
    first = next(iter(result.message.splitlines()), "")
    return f"{result.verdict} {result.unit.case.id} ({drivers}, {result.unit.flow}): {first[:200]}"


def text(run: Run, *, colour: bool = False, most: int = 30) -> str:
    """The whole of it."""
    lines: list[str] = []
    found = run.findings() + run.harness_errors()
    for result in found[:most]:
        lines += [*finding_lines(result), ""]
    if len(found) > most:
        lines += [f"… and {len(found) - most} more (results.jsonl has all)", ""]
    for profile in run.profiles:
        lines += [*class_matrix(run, profile, colour=colour), ""]
        matrix = live_matrix(run, profile, colour=colour)
        lines += [*matrix, ""] if matrix else []
    lines += [f"problem: {problem}" for problem in run.problems]
    lines += [short_line(result) for result in found[:most]]
    counts = run.counts()
    order = sorted(counts, key=lambda verdict: (verdict != "PASS", verdict))
    tally = ", ".join(f"{counts[verdict]} {verdict}" for verdict in order if counts[verdict])
    lines.append(f"{tally or 'nothing ran'} in {run.seconds:.1f} s (tier {run.selection.tier}, seed {run.seed})")
    return "\n".join(lines)
