# SPDX-License-Identifier: MIT
"""Cases and rules: every rule id that a case names exists, every rule with evidence test is named by a case, and every
case that a chapter mentions exists."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from .blocks import Rule, visible_lines

CASE_GLOBS = ("fixtures/*/*/*/case.json", "conformance/shmwire_conform/scenarios/**/*.json")

MENTION = re.compile(r"`([a-z0-9]+/(?:golden|captured|hostile|torn|step|live)/[a-z0-9-]+)`")


def find_cases(value: Any) -> list[dict[str, Any]]:
    """Every object with an id and a list of rules: a case.json is one, a scenario file may hold several."""
    if isinstance(value, list):
        return [case for item in value for case in find_cases(item)]
    if not isinstance(value, dict):
        return []
    if isinstance(value.get("id"), str) and isinstance(value.get("rules"), list):
        return [value]
    return [case for item in value.values() for case in find_cases(item)]


def load_citations(root: Path, problems: list[str]) -> dict[str, list[str]]:
    """Rule id -> ids of the cases that name it."""
    citations: dict[str, list[str]] = defaultdict(list)
    for pattern in CASE_GLOBS:
        paths = sorted(root.glob(pattern))
        if not paths:
            problems.append(f"{pattern}: no such file; nothing is evidence for any rule")
        for path in paths:
            try:
                cases = find_cases(json.loads(path.read_text(encoding="utf-8")))
            except ValueError as error:
                problems.append(f"{path.relative_to(root)}: {error}")
                continue
            if not cases:
                problems.append(f"{path.relative_to(root)}: holds no case (an object with id and rules)")
            for case in cases:
                if not case["rules"]:
                    problems.append(f"{path.relative_to(root)}: case {case['id']} names no rule")
                for rule in case["rules"]:
                    citations[rule].append(case["id"])
    return citations


def check_coverage(rules: list[Rule], citations: dict[str, list[str]]) -> list[str]:
    known = {rule.id for rule in rules}
    problems = [f"case {case} names r[{key}], which no chapter has"
                for key, cases in sorted(citations.items()) if key not in known for case in cases]
    problems += [f"{rule.where}: r[{rule.id}] has evidence test, and no case names it"
                 for rule in rules if rule.evidence == "test" and rule.id not in citations]
    return problems


def check_mentions(spec: Path, citations: dict[str, list[str]]) -> list[str]:
    """Case ids in the prose of the chapters; those inside code fences are examples."""
    known = {case for cases in citations.values() for case in cases}
    return [f"{spec.name}/{chapter.name}:{number}: there is no case {case}"
            for chapter in sorted(spec.glob("*.md"))
            for number, line in enumerate(visible_lines(chapter.read_text(encoding="utf-8")), 1)
            for case in MENTION.findall(line) if case not in known]
