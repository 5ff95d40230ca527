# SPDX-License-Identifier: MIT
"""spec/rules.lock: id, version and hash of every rule there ever was, one per line. Rules change by a new version only."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from .blocks import Rule

BANNER = """\
# Rules by id: version, SHA-256 of the normalised text, and `retired` for those that are gone. Ids are never reused.
# Written by `spec/rules.py --update`; a text that changes needs a new version in its chapter first.
"""
LINE = re.compile(r"^([a-z0-9.-]+) v([1-9][0-9]*) ([0-9a-f]{64})( retired)?$")


@dataclass(frozen=True)
class Entry:
    id: str
    version: int
    digest: str
    retired: bool = False

    def __str__(self) -> str:
        return f"{self.id} v{self.version} {self.digest}{' retired' if self.retired else ''}"


def read_lock(path: Path, problems: list[str]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    if not path.exists():
        problems.append(f"{path.name}: not there; run spec/rules.py --update")
        return entries
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        match = LINE.match(line)
        if not match or match[1] in entries:
            problems.append(f"{path.name}:{number}: {'listed twice' if match else 'malformed'}: {line}")
            continue
        entries[match[1]] = Entry(match[1], int(match[2]), match[3], bool(match[4]))
    return entries


def write_lock(path: Path, entries: dict[str, Entry]) -> None:
    path.write_text(BANNER + "".join(f"{entries[key]}\n" for key in sorted(entries)), encoding="utf-8")


def compare_one(rule: Rule, entry: Entry) -> str:
    """What is wrong with a rule against its lock entry; empty when nothing is, "newer" when its version went up."""
    if entry.retired:
        return "was retired; ids are never reused"
    if rule.version < entry.version:
        return f"went back from v{entry.version} to v{rule.version}"
    if rule.version > entry.version:
        return "newer" if rule.digest != entry.digest else f"is v{rule.version} now, but its text is that of v{entry.version}"
    return "" if rule.digest == entry.digest else f"has another text under the same version, v{rule.version}"


def check_lock(rules: list[Rule], entries: dict[str, Entry]) -> list[str]:
    problems = []
    for rule in rules:
        entry = entries.get(rule.id)
        finding = "newer" if entry is None else compare_one(rule, entry)
        if finding == "newer":
            problems.append(f"{rule.where}: r[{rule.id}] v{rule.version} is not locked; run spec/rules.py --update")
        elif finding:
            problems.append(f"{rule.where}: r[{rule.id}] {finding}")
    present = {rule.id for rule in rules}
    problems += [f"rules.lock: r[{key}] vanished; run spec/rules.py --update --retire {key} if that is meant"
                 for key, entry in entries.items() if key not in present and not entry.retired]
    return problems


def update_lock(rules: list[Rule], entries: dict[str, Entry], retire: list[str]) -> tuple[dict[str, Entry], list[str]]:
    """The lock that the chapters ask for, and what forbids writing it."""
    problems, result = [], dict(entries)
    present = {rule.id for rule in rules}
    for key in retire:
        if key in present or key not in entries:
            problems.append(f"cannot retire r[{key}]: it {'still stands in a chapter' if key in present else 'was never locked'}")
        else:
            result[key] = replace(entries[key], retired=True)
    for rule in rules:
        finding = compare_one(rule, entries[rule.id]) if rule.id in entries else "newer"
        if finding not in ("", "newer"):
            problems.append(f"{rule.where}: r[{rule.id}] {finding}")
        result[rule.id] = Entry(rule.id, rule.version, rule.digest)
    problems += [f"r[{key}] vanished; name it with --retire if that is meant"
                 for key, entry in result.items() if key not in present and not entry.retired]
    return result, problems
