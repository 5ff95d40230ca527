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

INCONCLUSIVE_SPREAD = 1.5
BAR_HEIGHT = 16
LABEL_WIDTH = 150
CHART_WIDTH = 520


@dataclass
class Row:
    """All repetitions of one peer, measure and size."""

    peer: str
    measure: str
    size: int
    values: list[float] = field(default_factory=list)
    p99: list[int] = field(default_factory=list)
    noisy: int = 0
    absent: str = ""

    @property
    def value(self) -> float:
        return median(self.values) if self.values else 0.0


Key = tuple[str, str, int]


def ratio(row: Row, base: Row) -> tuple[float, float, float] | None:
    """Median, least and greatest of the ratios taken repetition by repetition."""
    pairs = [a / b for a, b in zip(row.values, base.values, strict=False) if b]
    return (median(pairs), min(pairs), max(pairs)) if pairs else None


def reference_of(measure: str) -> str:
    return "pingpong" if measure == "roundtrip" else "ff"


def base_row(rows: dict[Key, Row], row: Row) -> Row | None:
    if row.measure == "roundtrip":
        return next((r for r in rows.values() if r.peer == "pingpong"), None)
    return rows.get(("ff", "throughput", row.size))


def text_value(row: Row) -> str:
    if row.absent:
        return f"absent ({row.absent})"
    if row.measure == "roundtrip":
        return f"{row.value:,.0f} ns"
    return f"{row.value / 1e6:,.2f} M/s"


def text_ratio(found: tuple[float, float, float] | None) -> str:
    if found is None:
        return ""
    middle, least, most = found
    mark = "  inconclusive" if least > 0 and most / least > INCONCLUSIVE_SPREAD else ""
    return f"{middle:7.3f}  [{least:.3f} … {most:.3f}]{mark}"


def table(rows: dict[Key, Row]) -> str:
    lines = []
    for measure in ("throughput", "many", "roundtrip", "alone"):
        sizes = sorted({key[2] for key in rows if key[1] == measure})
        for size in sizes:
            unit = "round trip, median" if measure == "roundtrip" else "messages a second"
            lines.append(f"\n{measure}, {size} bytes ({unit}; ratio to {reference_of(measure)})")
            for row in (r for k, r in rows.items() if k[1] == measure and k[2] == size):
                base = base_row(rows, row)
                lines.append(f"  {row.peer:<16} {text_value(row):>16}  {text_ratio(ratio(row, base) if base else None)}"
                             + (f"  p99 {median(row.p99):,.0f} ns" if row.p99 and row.measure == "roundtrip" else "")
                             + (f"  ({row.noisy} noisy)" if row.noisy else ""))
    return "\n".join(lines)


def target_lines(rows: dict[Key, Row], targets: Iterable[dict[str, Any]]) -> list[str]:
    lines = []
    for target in targets:
        row = rows.get((target["row"], target["measure"], target["size"]))
        base = rows.get((target["against"], target.get("against_measure", target["measure"]), target["size"]))
        if target["against"] == "pingpong":
            base = next((r for r in rows.values() if r.peer == "pingpong"), None)
        found = ratio(row, base) if row and base else None
        wanted = f">= {target['least']}" if "least" in target else f"<= {target['most']}"
        name = f"{target['row']} / {target['against']}, {target['measure']}, {target['size']} bytes"
        if found is None:
            lines.append(f"  {name:<56} not measured (wanted {wanted})")
            continue
        met = found[0] >= target["least"] if "least" in target else found[0] <= target["most"]
        lines.append(f"  {name:<56} {text_ratio(found)}  wanted {wanted}: {'met' if met else 'missed'}")
    return lines


def write_jsonl(path: Path, rows: dict[Key, Row], about: dict[str, Any]) -> None:
    lines = [json.dumps({"kind": "run", **about})]
    for row in rows.values():
        base = base_row(rows, row)
        found = ratio(row, base) if base else None
        lines.append(json.dumps({
            "kind": "row", "peer": row.peer, "measure": row.measure, "size": row.size,
            "unit": "ns" if row.measure == "roundtrip" else "1/s", "median": row.value, "values": row.values, "p99_ns": row.p99,
            "noisy": row.noisy, "absent": row.absent, "reference": reference_of(row.measure),
            "ratio": found[0] if found else None, "ratio_range": found[1:] if found else None}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def bars(title: str, rows: list[Row], y: int) -> tuple[list[str], int]:
    """One titled group of horizontal bars, longest = largest value; returns the SVG lines and the next free y."""
    out = [f'<text x="10" y="{y}" font-weight="bold">{escape(title)}</text>']
    top = max((r.value for r in rows), default=1.0) or 1.0
    for row in rows:
        y += BAR_HEIGHT + 4
        width = max(1.0, row.value / top * CHART_WIDTH)
        colour = "#3b6ea5" if row.peer.split("-")[0] in {"c", "go", "rust", "native", "python"} else "#b8b8b8"
        out.append(f'<text x="{LABEL_WIDTH - 6}" y="{y}" text-anchor="end">{escape(row.peer)}</text>')
        out.append(f'<rect x="{LABEL_WIDTH}" y="{y - 12}" width="{width:.1f}" height="{BAR_HEIGHT}" fill="{colour}"/>')
        out.append(f'<text x="{LABEL_WIDTH + width + 6:.1f}" y="{y}">{escape(text_value(row))}</text>')
    return out, y + 2 * BAR_HEIGHT


def write_svg(path: Path, rows: dict[Key, Row]) -> None:
    y = 2 * BAR_HEIGHT
    body: list[str] = []
    for measure in ("throughput", "many", "roundtrip"):
        for size in sorted({key[2] for key in rows if key[1] == measure}):
            group = [r for k, r in rows.items() if k[1] == measure and k[2] == size and r.values]
            if group:
                lines, y = bars(f"{measure}, {size} bytes", group, y)
                body += lines
    width = LABEL_WIDTH + CHART_WIDTH + 140
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" font-family="sans-serif" font-size="12">'
            f'<rect width="{width}" height="{y}" fill="white"/>')
    path.write_text("\n".join([head, *body, "</svg>", ""]), encoding="utf-8")
