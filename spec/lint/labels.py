# SPDX-License-Identifier: MIT
"""Ordering labels: the table of the profile's chapter, the layout file, the rule texts and the comments of every
implementation name the same ones.

The chapter's section "Memory order" has one table row per pair, `| R2 | A2 | … |`; a label that is its own partner (a
fence or sequentially consistent pair) stands in both columns, and must be commented at two places at least.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from .blocks import Rule

ROW = re.compile(r"^\| ([A-Z][0-9]+) \| ([A-Z][0-9]+) \|", re.M)
LABEL = re.compile(r"\b([RASF][0-9]+)\b")
COMMENT = {
    ".c": re.compile(r"/\*.*?\*/|//[^\n]*", re.S), ".h": re.compile(r"/\*.*?\*/|//[^\n]*", re.S),
    ".go": re.compile(r"/\*.*?\*/|//[^\n]*", re.S), ".rs": re.compile(r"/\*.*?\*/|//[^\n]*", re.S),
    ".py": re.compile(r"#[^\n]*"),
}
# Implementation -> (profile room, shared rooms): where its comments stand. A shared room is searched without its sub-rooms.
ROOMS = {
    "C": ("ref-c/src/{profile}", ("ref-c/src",)),
    "Go": ("bindings/go/{profile}", ("bindings/go", "bindings/go/internal/shm")),
    "Rust": ("bindings/rust/src/{profile}", ("bindings/rust/src",)),
    "Python": ("bindings/python/shmwire/{profile}", ("bindings/python/shmwire",)),
}


def chapter_pairs(chapter: Path) -> list[tuple[str, str]]:
    """The rows of the chapter's "Memory order" table."""
    text = chapter.read_text(encoding="utf-8")
    start = re.search(r"^## [0-9]+\. Memory order$", text, re.M)
    if not start:
        return []
    section = text[start.end():].split("\n## ")[0]
    return [(row[1], row[2]) for row in ROW.finditer(section)]


def check_chapter(root: Path, profile: str, rules: list[Rule]) -> tuple[dict[str, int], list[str]]:
    """Label -> least number of places in an implementation; and what the chapter and the layout disagree on."""
    pairs = chapter_pairs(root / f"spec/{profile}.md")
    if not pairs:
        return {}, [f"spec/{profile}.md: no section `N. Memory order` with a table of label pairs"]
    places = {label: 2 if first == second else 1 for first, second in pairs for label in (first, second)}
    layout = tomllib.loads((root / f"spec/layout/{profile}.toml").read_text(encoding="utf-8"))
    used = {(label, f"spec/layout/{profile}.toml: field {struct['name']}.{field['name']}")
            for struct in layout["struct"] for field in struct["field"] for label in field.get("labels", ())}
    used |= {(label, f"{rule.where}: r[{rule.id}]")
             for rule in rules if rule.profile == profile for label in LABEL.findall(rule.text)}
    return places, [f"{where} names {label}, which the chapter's table lacks"
                    for label, where in sorted(used) if label not in places]


def comments_of(root: Path, room: str, deep: bool) -> str:
    """All comments of a room's sources, generated layout files excluded."""
    found = []
    for path in sorted((root / room).rglob("*") if deep else (root / room).glob("*")):
        pattern = COMMENT.get(path.suffix)
        if pattern is None or path.stem == "layout" or not path.is_file():
            continue
        found += pattern.findall(path.read_text(encoding="utf-8"))
    return "\n".join(found)


def check_labels(root: Path, rules: list[Rule]) -> list[str]:
    problems = []
    for layout in sorted((root / "spec/layout").glob("*.toml")):
        profile = layout.stem
        places, found = check_chapter(root, profile, rules)
        problems += found
        for name, (room, shared) in ROOMS.items():
            rooms = [comments_of(root, room.format(profile=profile), True), *(comments_of(root, s, False) for s in shared)]
            text = "\n".join(rooms)
            for label, least in places.items():
                count = len(re.findall(rf"\b{label}\b", text))
                if count < least:
                    problems.append(f"{room.format(profile=profile)}: {name} comments on {label} {count} times, {least} wanted")
            for label in sorted(set(LABEL.findall(text)) - set(places)):
                if not shared_profiles(root, label, profile):
                    problems.append(f"{room.format(profile=profile)}: {name} comments on {label}, which no chapter's table has")
    return problems


def shared_profiles(root: Path, label: str, but: str) -> bool:
    """Does another profile have the label? Shared rooms serve all profiles."""
    others = (path.stem for path in (root / "spec/layout").glob("*.toml") if path.stem != but)
    return any(label in pair for other in others for pair in chapter_pairs(root / f"spec/{other}.md"))
