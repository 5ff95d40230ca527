# SPDX-License-Identifier: MIT
"""Rule blocks of the spec chapters: parsing, and what a well-formed block is.

    > r[profile.topic.name] v1
    > One sentence with exactly one RFC 2119 keyword.
    > level: MUST; role: any; class: hardened; evidence: test

Lines inside code fences are not looked at, so that chapters can show examples.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

CLASSES = ("inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery")
ROLES = ("any", "creator", "producer", "consumer", "reader", "writer", "recoverer", "endpoint", "keeper", "publisher",
         "subscriber", "receiver", "puller", "requester", "replier")
KEYWORD = re.compile(r"\b(MUST NOT|MUST|SHOULD NOT|SHOULD|MAY|SHALL NOT|SHALL|REQUIRED|RECOMMENDED|OPTIONAL)\b")
LEVEL_OF = {"MUST": "MUST", "MUST NOT": "MUST", "SHOULD": "SHOULD", "SHOULD NOT": "SHOULD", "MAY": "MAY"}
HEAD = re.compile(r"^> r\[([a-z0-9-]+(?:\.[a-z0-9-]+){2})\] v([1-9][0-9]*)$")
META = re.compile(r"^level: ([A-Z]+); role: ([a-z]+); class: ([a-z-]+); evidence: (test|review)(?: \((.+)\))?$")


@dataclass(frozen=True)
class Rule:
    id: str
    version: int
    text: str  # normalised: one line, single spaces
    level: str
    role: str
    klass: str
    evidence: str
    reason: str
    chapter: str
    line: int

    @property
    def profile(self) -> str:
        return self.id.split(".")[0]

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def where(self) -> str:
        return f"{self.chapter}:{self.line}"


def visible_lines(text: str) -> list[str]:
    """The chapter's lines, those inside code fences blanked, so that line numbers stay."""
    lines, fenced = [], False
    for line in text.splitlines():
        fence = line.startswith("```")
        fenced ^= fence
        lines.append("" if fence or fenced else line)
    return lines


def split_blocks(lines: list[str]) -> list[tuple[int, list[str]]]:
    """(line number, quoted lines) of every quoted paragraph that holds a rule head."""
    blocks, at = [], 0
    while at < len(lines):
        if not lines[at].startswith(">"):
            at += 1
            continue
        end = at
        while end < len(lines) and lines[end].startswith(">"):
            end += 1
        if any(line.lstrip("> ").startswith("r[") for line in lines[at:end]):
            blocks.append((at + 1, lines[at:end]))
        at = end
    return blocks


def parse_block(chapter: str, number: int, lines: list[str], problems: list[str]) -> Rule | None:
    where = f"{chapter}:{number}"
    head = HEAD.match(lines[0])
    if not head:
        problems.append(f"{where}: not a rule head (want `> r[profile.topic.name] v1`): {lines[0]}")
        return None
    if len(lines) < 3 or any(not line.startswith("> ") for line in lines):
        problems.append(f"{where}: r[{head[1]}] needs a text and a metadata line, each after `> `")
        return None
    meta = META.match(lines[-1][2:])
    if not meta:
        problems.append(f"{where}: r[{head[1]}] has a malformed metadata line: {lines[-1]}")
        return None
    text = " ".join(" ".join(line[2:] for line in lines[1:-1]).split())
    rule = Rule(head[1], int(head[2]), text, meta[1], meta[2], meta[3], meta[4], meta[5] or "", chapter, number)
    problems += check_rule(rule)
    return rule


def check_rule(rule: Rule) -> list[str]:
    found = KEYWORD.findall(rule.text)
    problems = []
    if len(found) != 1:
        problems.append(f"has {len(found)} RFC 2119 keywords, not one: {', '.join(found) or 'none'}")
    elif found[0] not in LEVEL_OF:
        problems.append(f"says {found[0]}; the chapters use MUST, SHOULD and MAY")
    elif LEVEL_OF[found[0]] != rule.level:
        problems.append(f"says {found[0]} but has level {rule.level}")
    if rule.klass not in CLASSES:
        problems.append(f"has the unknown class {rule.klass}")
    if rule.role not in ROLES:
        problems.append(f"has the unknown role {rule.role}")
    if rule.evidence == "review" and not rule.reason:
        problems.append("has evidence review without a reason in brackets")
    if rule.evidence == "test" and rule.reason:
        problems.append("has evidence test and a reason, which only review takes")
    if rule.profile != Path(rule.chapter).stem:
        problems.append(f"stands in {rule.chapter}, not in {rule.profile}.md")
    return [f"{rule.where}: r[{rule.id}] {problem}" for problem in problems]


def load_rules(spec: Path, problems: list[str]) -> list[Rule]:
    """Every rule of every chapter, in order; problems gets a line for each thing that is wrong."""
    rules: list[Rule] = []
    seen: dict[str, Rule] = {}
    for chapter in sorted(spec.glob("*.md")):
        name = f"{spec.name}/{chapter.name}"
        for number, lines in split_blocks(visible_lines(chapter.read_text(encoding="utf-8"))):
            rule = parse_block(name, number, lines, problems)
            if rule is None:
                continue
            if rule.id in seen:
                problems.append(f"{rule.where}: r[{rule.id}] stands already at {seen[rule.id].where}")
                continue
            seen[rule.id] = rule
            rules.append(rule)
    return rules
