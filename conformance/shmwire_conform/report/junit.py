# SPDX-License-Identifier: MIT
"""JUnit XML: one suite a driver combination, for CI systems."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

from ..model import Result
from ..summary import Run


def _clean(text: str) -> str:
    """XML 1.0 has no control characters."""
    return "".join(char if char in "\t\n\r" or ord(char) >= 32 else f"\\x{ord(char):02x}" for char in text)


def _add(parent: ET.Element, result: Result) -> None:
    case = result.unit.case
    name = f"{case.id} [{result.unit.flow}]"
    group = f"{case.profile}.{result.unit.cls}"
    node = ET.SubElement(parent, "testcase", name=name, classname=group, time=f"{result.seconds:.3f}")
    body = _clean("\n".join([result.message, *result.diff, f"rules: {', '.join(case.rules)}", result.transcript_text]))
    if result.verdict == "HARNESS-ERROR":
        ET.SubElement(node, "error", type=result.verdict, message=_clean(result.message[:500])).text = body
    elif result.failed:
        ET.SubElement(node, "failure", type=result.verdict, message=_clean(result.message[:500])).text = body
    elif result.verdict not in ("PASS", "NON-STRICT"):
        ET.SubElement(node, "skipped", message=_clean(f"{result.verdict}: {result.known or result.message}"))


def write(run: Run, path: Path) -> Path:
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in run.results:
        groups[" > ".join(result.unit.drivers)].append(result)
    root = ET.Element("testsuites", name="shmwire-conform")
    for name, results in groups.items():
        errors = sum(result.verdict == "HARNESS-ERROR" for result in results)
        failures = sum(result.failed for result in results)
        suite = ET.SubElement(root, "testsuite", name=name, tests=str(len(results)), failures=str(failures), errors=str(errors))
        for result in results:
            _add(suite, result)
    for problem in run.problems:
        suite = ET.SubElement(root, "testsuite", name="run", tests="1", failures="1", errors="0")
        node = ET.SubElement(suite, "testcase", name=_clean(problem[:80]), classname="run")
        ET.SubElement(node, "failure", type="FAIL", message=_clean(problem))
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    return path
