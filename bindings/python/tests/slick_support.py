# SPDX-License-Identifier: MIT
"""What the tests of profile slick share: fixtures as the suite sees them, the header and the slots in raw bytes."""

from __future__ import annotations

import json
from typing import Any

from conftest import ROOT, Raw
from shmwire import slick
from shmwire.slick import layout

FIXTURES = ROOT / "fixtures/slick"
NO_INDEX = layout.NO_INDEX


def item(number: int, elements: int = 1) -> bytes:
    """An item of 8-byte elements that says which one it is."""
    return number.to_bytes(4, "little") * 2 * elements


def fill(producer: slick.Producer, first: int, count: int, elements: int = 1) -> list[int]:
    """Write items `first`, `first` + 1, …: their indices."""
    return [producer.write(item(first + i, elements)) for i in range(count)]


def load(case: str) -> dict[str, Any]:
    """The case.json of "captured/v14-lapped" and its like."""
    found: dict[str, Any] = json.loads((FIXTURES / case / "case.json").read_text())
    return found


def base_bytes(case: str) -> bytes:
    """The segment of a case: its own, or that of the case it is based on."""
    own = FIXTURES / case / "seg.bin"
    if own.exists():
        return own.read_bytes()
    base = load(case)["base"]
    assert base["patch"] == []
    return (FIXTURES.parent / base["case"] / "seg.bin").read_bytes()


def cases(key: str) -> list[str]:
    """All captured and golden cases that have `key` and no patch."""
    found = []
    for kind in ("captured", "golden"):
        for folder in sorted((FIXTURES / kind).iterdir()):
            case = json.loads((folder / "case.json").read_text())
            if key in case and not case.get("base", {}).get("patch", []):
                found.append(f"{kind}/{folder.name}")
    return found


class RawQueue(Raw):
    """The bytes of a queue."""

    def at(self, slot: int, field: int = layout.SLOT_DATA_INDEX_OFFSET) -> int:
        """Where a slot's field lies."""
        return layout.SLOT_TABLE_OFFSET + layout.SLOT_SIZE * slot + field

    def set_slot(self, slot: int, data_index: int, size: int = 1) -> None:
        self.poke_u64(self.at(slot), data_index)
        self.poke_u32(self.at(slot, layout.SLOT_SIZE_OFFSET), size)

    def slots(self, size: int) -> list[tuple[int, int]]:
        """data_index and size of each."""
        return [(self.u64(self.at(i)), self.u32(self.at(i, layout.SLOT_SIZE_OFFSET))) for i in range(size)]

    def set_reserved(self, index: int, elements: int) -> None:
        self.poke_u64(layout.HEADER_RESERVED_OFFSET, index << 16 | elements)

    @property
    def reserved(self) -> tuple[int, int]:
        """Index and elements."""
        word = self.u64(layout.HEADER_RESERVED_OFFSET)
        return word >> 16, word & 0xFFFF

    @property
    def settled(self) -> int:
        return self.u64(layout.HEADER_SETTLED_OFFSET)

    @property
    def last_published(self) -> int:
        return self.u64(layout.HEADER_LAST_PUBLISHED_OFFSET)
