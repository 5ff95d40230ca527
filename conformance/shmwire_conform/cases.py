# SPDX-License-Identifier: MIT
"""Cases: fixtures (bytes) and scenarios (steps), loaded, checked against their schema and turned into segment images."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import trees
from .errors import HarnessError
from .paths import FIXTURES, SCENARIOS, SCHEMAS
from .schema import Schema

KINDS = ("golden", "captured", "hostile", "torn", "step", "live")
CLASSES = ("inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery")


@dataclass(frozen=True)
class Case:
    """One case.json. `raw` is the whole of it; `directory` is where its bytes are."""

    id: str
    title: str
    profile: str
    kind: str
    cls: str
    level: str
    rules: tuple[str, ...]
    needs: tuple[str, ...]
    why: str
    directory: Path
    raw: dict[str, Any] = field(repr=False, hash=False, compare=False)

    def steps(self, block: str) -> list[dict[str, Any]]:
        """The steps of `read`, `make` or `steps`; empty if the case has no such block."""
        found: list[dict[str, Any]] = self.raw.get(block, [])
        return found

    @property
    def watched(self) -> bool:
        """Whether the runner looks for a moment that passes in microseconds."""
        return any(step["cmd"] == "watch" for step in self.steps("steps"))


def _case(raw: dict[str, Any], directory: Path) -> Case:
    return Case(
        id=raw["id"],
        title=raw["title"],
        profile=raw["profile"],
        kind=raw["kind"],
        cls=raw["class"],
        level=raw["level"],
        rules=tuple(raw["rules"]),
        needs=tuple(raw.get("needs", [])),
        why=raw.get("why", ""),
        directory=directory,
        raw=raw,
    )


@functools.cache
def _schema() -> Schema:
    return Schema(json.loads((SCHEMAS / "case-1.json").read_text(encoding="utf-8")))


def _load(path: Path) -> list[dict[str, Any]]:
    """The case or the list of cases in a file, each checked against the schema."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HarnessError(f"{path}: {error}") from None
    cases = value if isinstance(value, list) else [value]
    for raw in cases:
        if complaint := _schema().complaint(raw, "case"):
            raise HarnessError(f"{path}: {complaint}")
    return cases


class Corpus:
    """Every case there is, by id, in a stable order."""

    def __init__(self, roots: list[Path] | None = None) -> None:
        self.cases: dict[str, Case] = {}
        self._images: dict[str, bytes | None] = {}
        for root in roots if roots is not None else [FIXTURES, SCENARIOS]:
            paths = root.glob("**/case.json") if root == FIXTURES else root.glob("**/*.json")
            for path in sorted(paths):
                for raw in _load(path):
                    self._add(_case(raw, path.parent))

    def _add(self, case: Case) -> None:
        if case.id in self.cases:
            raise HarnessError(f"two cases have the id {case.id}")
        self.cases[case.id] = case

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases.values())

    def __len__(self) -> int:
        return len(self.cases)

    def get(self, case_id: str) -> Case:
        if case_id not in self.cases:
            raise HarnessError(f"no case {case_id}")
        return self.cases[case_id]

    def image(self, case_id: str) -> bytes | None:
        """The bytes of a case: its own file, or its base's with the patches applied in order. None: it has no bytes."""
        if case_id not in self._images:
            self._images[case_id] = self._resolve(case_id)
        return self._images[case_id]

    def _resolve(self, case_id: str) -> bytes | None:
        case = self.get(case_id)
        if "file" in case.raw:
            return _own_bytes(case, case.raw["file"])
        if "files" in case.raw:
            return trees.pack({one["path"]: trees.Entry("f", _own_bytes(case, one)) for one in case.raw["files"]})
        if "base" not in case.raw:
            return None
        base = self.image(case.raw["base"]["case"])
        if base is None:
            raise HarnessError(f"{case.id}: base {case.raw['base']['case']} has no bytes")
        return patched(base, case.raw["base"]["patch"], case.id)


@functools.cache
def everything() -> Corpus:
    """The corpus of this installation, loaded and checked once."""
    return Corpus()


def _own_bytes(case: Case, entry: dict[str, Any]) -> bytes:
    try:
        data = (case.directory / str(entry["path"])).read_bytes()
    except OSError as error:
        raise HarnessError(f"{case.id}: {entry['path']}: {error.strerror}") from None
    if len(data) != int(entry["size"]) or hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise HarnessError(f"{case.id}: {entry['path']} is not the file that case.json describes")
    return data


def patched(base: bytes, patch: list[dict[str, Any]], what: str) -> bytes:
    """The base with patches applied in order."""
    if trees.is_tree(base):
        return trees.patched(base, patch, what)
    data = bytearray(base)
    for entry in patch:
        if "truncate" in entry:
            size = int(entry["truncate"])
            data = data[:size] + bytes(max(0, size - len(data)))
            continue
        offset, new = int(entry["off"]), bytes.fromhex(entry["hex"])
        if offset + len(new) > len(data):
            raise HarnessError(f"{what}: patch at {offset} ends past the image")
        data[offset : offset + len(new)] = new
    return bytes(data)
