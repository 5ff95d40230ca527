# SPDX-License-Identifier: MIT
"""What the tests of profile ouroboros share: fixtures as the suite sees them, rows and entries in raw bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conftest import ROOT, Raw
from shmwire.ouroboros import layout

FIXTURES = ROOT / "fixtures/ouroboros"
COMMITTED = layout.ROW_COMMITTED


def base_bytes(folder: Path) -> bytes:
    """The segment of a case: its own, or that of the case it is based on."""
    own = folder / "seg.bin"
    if own.exists():
        return own.read_bytes()
    case = json.loads((folder / "case.json").read_text())
    assert case["base"]["patch"] == []
    base: str = case["base"]["case"]
    return (FIXTURES.parent / base / "seg.bin").read_bytes()


def reading_cases() -> list[tuple[str, str, list[dict[str, Any]]]]:
    """(case, start, items) of every captured and golden case that opens a log and reads it in one go."""
    found = []
    for kind in ("captured", "golden"):
        for folder in sorted((FIXTURES / kind).iterdir()):
            case = json.loads((folder / "case.json").read_text())
            steps = case.get("read", [])
            if len(steps) < 2 or steps[0]["cmd"] != "open" or steps[1]["cmd"] != "read" or steps[1]["mode"] != "try":
                continue
            if case.get("base", {}).get("patch", []):
                continue
            items = steps[1]["expect"]["ok"].get("items", [])
            found.append((f"{kind}/{folder.name}", steps[0].get("options", {}).get("from", "auto"), items))
    return found


class RawLog(Raw):
    """The bytes of a log."""

    def row(self, index: int) -> int:
        """Where a row lies."""
        return layout.ROW_TABLE_OFFSET + layout.ROW_SIZE * index

    def set_row(self, index: int, offset: int, token: int) -> None:
        self.poke_u64(self.row(index), offset)
        self.poke_u64(self.row(index) + layout.ROW_TOKEN_OFFSET, token)
