# SPDX-License-Identifier: MIT
"""Reports. results.jsonl is the source; every other form is made from the same run."""

from __future__ import annotations

from pathlib import Path

from ..summary import Run
from . import html, jsonl, junit, markdown


def write_all(run: Run, directory: Path) -> list[Path]:
    """results.jsonl, junit.xml, report.html, matrix.md and coverage.json in a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    return [
        jsonl.write(run, directory / "results.jsonl"),
        junit.write(run, directory / "junit.xml"),
        markdown.write(run, directory / "matrix.md"),
        jsonl.write_coverage(run, directory / "coverage.json"),
        html.write(run, directory / "report.html"),
    ]
