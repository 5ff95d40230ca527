# SPDX-License-Identifier: MIT
"""A case in words: what it asks and why, its rules as the spec has them, its bytes with field names, its steps."""

from __future__ import annotations

import json
from typing import Any

from .. import judge, rules, trees
from ..cases import Case, Corpus


def _step(step: dict[str, Any]) -> str:
    shown = {key: value for key, value in step.items() if key not in ("cmd", "on", "expect")}
    who = f"{step['on']}: " if "on" in step else ""
    text = f"{who}{step['cmd']} {json.dumps(shown, ensure_ascii=False) if shown else ''}".rstrip()
    return text + (f"  =>  {json.dumps(step['expect'], ensure_ascii=False)}" if "expect" in step else "")


def _patches(corpus: Corpus, case: Case) -> list[str]:
    lines = [f"bytes: those of {case.raw['base']['case']}" + (", changed here:" if case.raw["base"]["patch"] else "")]
    base = corpus.image(case.raw["base"]["case"]) or b""
    for patch in case.raw["base"]["patch"]:
        if trees.is_tree(base):
            lines.append("    " + ", ".join(f"{key} {value}" for key, value in patch.items()))
            continue
        if "truncate" in patch:
            lines.append(f"    cut to {patch['truncate']} bytes")
            continue
        offset, new = int(patch["off"]), patch["hex"]
        name = patch.get("field") or judge.name_at(case.profile, base, offset)
        lines.append(f"    {name} at {offset}: {base[offset : offset + len(new) // 2].hex()} -> {new}")
    return lines


def case_lines(corpus: Corpus, case: Case) -> list[str]:
    """Bytes, steps and verdict conditions of a case."""
    lines = _patches(corpus, case) if "base" in case.raw else []
    for block in ("read", "make", "steps"):
        if case.steps(block):
            lines += [f"{block}:", *(f"  {index:>2}. {_step(step)}" for index, step in enumerate(case.steps(block), 1))]
    for key in ("reject", "unmodified", "after", "live", "crash_ok", "provenance"):
        if key in case.raw:
            lines.append(f"{key}: {json.dumps(case.raw[key], ensure_ascii=False)}")
    return lines


def field_lines(profile: str, data: bytes) -> list[str]:
    """Every field of a segment that is not zero, with its place; byte fields shortened."""
    lines = [f"{len(data)} bytes; fields that are not zero:"]
    for name, value in judge.oracle(profile).fields(data).items():
        if value.strip("0"):
            offset, _size = judge.locate(profile, data, name)
            shown = value if len(value) <= 64 else f"{value.rstrip('0')[:64]}… ({len(value) // 2} bytes)"
            lines.append(f"    {offset:>8}  {name:<40} {shown}")
    return lines


def explain(corpus: Corpus, case: Case) -> str:
    """Everything, for the command `explain`."""
    lines = [f"{case.id}: {case.title}", f"class {case.cls}, {case.level}; needs {', '.join(case.needs) or 'nothing more'}"]
    lines += [f"why: {case.why}", ""]
    known = rules.load(case.profile)
    for rule in case.rules:
        one = known.get(rule)
        lines.append(f"[{rule}] v{one.version}, {one.level}: {one.text}" if one else f"[{rule}]")
    lines += ["", *case_lines(corpus, case)]
    image = corpus.image(case.id)
    if image is not None:
        lines += ["", *field_lines(case.profile, image)]
    return "\n".join(lines)
