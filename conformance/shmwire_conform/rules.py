# SPDX-License-Identifier: MIT
"""The rules of a spec chapter, as far as reports and `explain` need them: id, version, text, level, class, evidence.

spec/rules.py is the checker of these blocks (and is not part of an installed suite); this only reads blocks it has approved.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from .errors import UsageError
from .paths import SPEC

_BLOCK = re.compile(
    r"^> r\[(?P<id>[^\]]+)\] v(?P<version>\d+)\n(?P<text>(?:> .*\n)+?)> level: (?P<level>\w+); role: (?P<role>[\w-]+); "
    r"class: (?P<cls>[\w-]+); evidence: (?P<evidence>\w+)(?: \((?P<reason>.*)\))?$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Rule:
    id: str
    version: int
    text: str
    level: str
    cls: str
    evidence: str
    reason: str


@functools.cache
def load(profile: str) -> dict[str, Rule]:
    """Every rule of a profile's chapter, in its order."""
    path = SPEC / f"{profile}.md"
    try:
        chapter = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    rules = {}
    for found in _BLOCK.finditer(chapter):
        text = " ".join(line.removeprefix("> ") for line in found["text"].splitlines())
        version, level, cls = int(found["version"]), found["level"], found["cls"]
        rules[found["id"]] = Rule(found["id"], version, text, level, cls, found["evidence"], found["reason"] or "")
    return rules
