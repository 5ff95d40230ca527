# SPDX-License-Identifier: MIT
"""Turn samples into medians, ratios, a terminal table, JSON lines and an SVG chart."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from xml.sax.saxutils import escape

from measure import ROUNDTRIP, SCAN, SEEK, TIMES, flow

INCONCLUSIVE_SPREAD = 1.5
BAR_HEIGHT = 16
LABEL_WIDTH = 210
CHART_WIDTH = 520


@dataclass
class Row:
    """All repetitions of one peer, measure and size."""

    peer: str
    measure: str
    size: int
    values: list[float] = field(default_factory=list)
    least: list[int] = field(default_factory=list)  #: of round trips, the shortest of each repetition
    p99: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    noisy: int = 0
    absent: str = ""
    ours: bool = False

    @property
    def value(self) -> float:
        return median(self.values) if self.values else 0.0


Key = tuple[str, str, int]


def ratio(row: Row, base: Row) -> tuple[float, float, float] | None:
    """Median, least and greatest of the ratios taken repetition by repetition."""
    pairs = [a / b for a, b in zip(row.values, base.values, strict=False) if b]
    return (median(pairs), min(pairs), max(pairs)) if pairs else None


def reference_of(measure: str) -> str:
    """The row that others are held against; none for seeks."""
    return {ROUNDTRIP: "pingpong", SCAN: "memread", SEEK: ""}.get(measure, "ff")


def base_row(rows: dict[Key, Row], row: Row) -> Row | None:
    if row.measure == ROUNDTRIP:
        return next((r for r in rows.values() if r.peer == "pingpong"), None)
    if row.measure == SCAN:
        return rows.get(("memread", SCAN, row.size))
    return None if row.measure == SEEK else rows.get(("ff", "1x1", row.size))


def text_value(row: Row) -> str:
    if row.absent:
        return f"absent ({row.absent})"
    if row.measure in TIMES:
        return f"{row.value:,.0f} ns"
    return f"{row.value / 1e6:,.3f} M/s {row.value * row.size / 1e6:>9,.0f} MB/s"


def text_ratio(found: tuple[float, float, float] | None) -> str:
    if found is None:
        return ""
    middle, least, most = found
    mark = "  inconclusive" if least > 0 and most / least > INCONCLUSIVE_SPREAD else ""
    return f"{middle:7.3f}  [{least:.3f} … {most:.3f}]{mark}"


def title(measure: str, size: int) -> str:
    """What a measure is, in words."""
    if measure == ROUNDTRIP:
        return f"round trip, {size} bytes (median; ratio to pingpong)"
    if measure == SCAN:
        return f"scan, {size} bytes (each byte of each record read; ratio to memread)"
    if measure == SEEK:
        return f"seek, {size} bytes (median of going to a time and reading the record)"
    writers, readers = flow(measure)
    who = f"{writers} writer{'s' * (writers != 1)}, {readers or 'no'} reader{'s' * (readers != 1)}"
    return f"throughput {measure}, {size} bytes ({who}; ratio to ff)"


def order(measure: str) -> tuple[bool, str]:
    """Times of single calls come last."""
    return measure in TIMES, measure


def notes(row: Row) -> str:
    """What else there is to say of a row."""
    found = []
    if row.p99 and row.measure in TIMES:
        found.append(f"min {min(row.least, default=0):,} p99 {median(row.p99):,.0f} ns")
    if sum(row.skipped):
        found.append(f"skipped {100 * sum(row.skipped) / (sum(row.skipped) + sum(row.messages)):.3g} %")
    if row.noisy:
        found.append(f"({row.noisy} noisy)")
    return "  " + ", ".join(found) if found else ""


def table(rows: dict[Key, Row]) -> str:
    lines = []
    for measure in sorted({key[1] for key in rows}, key=order):
        for size in sorted({key[2] for key in rows if key[1] == measure}):
            lines.append("\n" + title(measure, size))
            for row in (r for k, r in rows.items() if k[1] == measure and k[2] == size):
                base = base_row(rows, row)
                compared = text_ratio(ratio(row, base) if base else None)
                lines.append(f"  {row.peer:<26} {text_value(row):>27}  {compared}{notes(row)}")
    return "\n".join(lines)


def target_name(target: dict[str, Any]) -> str:
    what = f"{target['row']}, skipped" if "most_skipped" in target else target["row"]
    what = f"{target['row']} / {target['against']}" if "against" in target else what
    measure, other = target["measure"], target.get("against_measure")
    return f"{what}, {measure}{' / ' + other if other else ''}, {target['size']} bytes"


def skipped_line(row: Row | None, target: dict[str, Any]) -> str:
    """A target for what a reader misses, all repetitions together."""
    if row is None or not row.values:
        return f"  {target_name(target):<60} not measured (wanted <= {target['most_skipped']})"
    missed = sum(row.skipped)
    verdict = "met" if missed <= target["most_skipped"] else "missed"
    counted = f"{missed:,} of {missed + sum(row.messages):,}"
    return f"  {target_name(target):<60} {counted}  wanted <= {target['most_skipped']}: {verdict}"


def longest_line(row: Row | None, target: dict[str, Any]) -> str:
    """A target for a time that its source names: it holds for this machine only."""
    if row is None or not row.values:
        return f"  {target_name(target):<60} not measured (wanted <= {target['most_ns']:,} ns)"
    verdict = "met" if row.value <= target["most_ns"] else "missed"
    return f"  {target_name(target):<60} {row.value:,.0f} ns  wanted <= {target['most_ns']:,} ns: {verdict}"


def target_lines(rows: dict[Key, Row], targets: Iterable[dict[str, Any]]) -> list[str]:
    lines = []
    for target in targets:
        row = rows.get((target["row"], target["measure"], target["size"]))
        if "most_skipped" in target or "most_ns" in target:
            lines.append((skipped_line if "most_skipped" in target else longest_line)(row, target))
            continue
        base = rows.get((target["against"], target.get("against_measure", target["measure"]), target["size"]))
        if target["against"] == "pingpong":
            base = next((r for r in rows.values() if r.peer == "pingpong"), None)
        found = ratio(row, base) if row and base else None
        wanted = f">= {target['least']}" if "least" in target else f"<= {target['most']}"
        name = target_name(target)
        if found is None:
            lines.append(f"  {name:<60} not measured (wanted {wanted})")
            continue
        met = found[0] >= target["least"] if "least" in target else found[0] <= target["most"]
        lines.append(f"  {name:<60} {text_ratio(found)}  wanted {wanted}: {'met' if met else 'missed'}")
    return lines


def write_jsonl(path: Path, rows: dict[Key, Row], about: dict[str, Any]) -> None:
    lines = [json.dumps({"kind": "run", **about})]
    for row in rows.values():
        base = base_row(rows, row)
        found = ratio(row, base) if base else None
        lines.append(json.dumps({
            "kind": "row", "peer": row.peer, "measure": row.measure, "size": row.size,
            "unit": "ns" if row.measure in TIMES else "1/s", "median": row.value, "values": row.values,
            "min_ns": row.least, "p99_ns": row.p99,
            "bytes_per_s": None if row.measure in TIMES else row.value * row.size, "skipped": row.skipped,
            "messages": row.messages, "noisy": row.noisy, "absent": row.absent, "reference": reference_of(row.measure),
            "ratio": found[0] if found else None, "ratio_range": found[1:] if found else None}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def bars(title: str, rows: list[Row], y: int) -> tuple[list[str], int]:
    """One titled group of horizontal bars, longest = largest value; returns the SVG lines and the next free y."""
    out = [f'<text x="10" y="{y}" font-weight="bold">{escape(title)}</text>']
    top = max((r.value for r in rows), default=1.0) or 1.0
    for row in rows:
        y += BAR_HEIGHT + 4
        width = max(1.0, row.value / top * CHART_WIDTH)
        colour = "#3b6ea5" if row.ours else "#b8b8b8"
        out.append(f'<text x="{LABEL_WIDTH - 6}" y="{y}" text-anchor="end">{escape(row.peer)}</text>')
        out.append(f'<rect x="{LABEL_WIDTH}" y="{y - 12}" width="{width:.1f}" height="{BAR_HEIGHT}" fill="{colour}"/>')
        out.append(f'<text x="{LABEL_WIDTH + width + 6:.1f}" y="{y}">{escape(text_value(row))}</text>')
    return out, y + 2 * BAR_HEIGHT


def write_svg(path: Path, rows: dict[Key, Row]) -> None:
    y = 2 * BAR_HEIGHT
    body: list[str] = []
    for measure in sorted({key[1] for key in rows}, key=order):
        for size in sorted({key[2] for key in rows if key[1] == measure}):
            group = [r for k, r in rows.items() if k[1] == measure and k[2] == size and r.values]
            if group:
                lines, y = bars(title(measure, size), group, y)
                body += lines
    width = LABEL_WIDTH + CHART_WIDTH + 220
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" font-family="sans-serif" font-size="12">'
            f'<rect width="{width}" height="{y}" fill="white"/>')
    path.write_text("\n".join([head, *body, "</svg>", ""]), encoding="utf-8")
