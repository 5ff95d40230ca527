# SPDX-License-Identifier: MIT
"""The oracle of ouroboros against the fixtures, whose expectations come from operations and not from decoding, and against
damage."""

from __future__ import annotations

import re
from typing import Any

import pytest
from shmwire_conform.cases import Case, Corpus
from shmwire_conform.oracle import ouroboros
from shmwire_conform.protocol import data_bytes

CORPUS = Corpus()
C = ouroboros.C
COMMITTED = C["ROW_COMMITTED"]
BROKEN = "ouroboros/captured/last-chunk-defect"  # what the source system's writer leaves, which is not sound


def image(case_id: str) -> bytes:
    data = CORPUS.image(case_id)
    assert data is not None
    return data


def cases(*kinds: str) -> list[Case]:
    return [case for case in CORPUS if case.profile == "ouroboros" and case.kind in kinds]


def readings(case: Case) -> list[tuple[str, list[dict[str, Any]]]]:
    """(start, items) of every reader that the case opens; a step that expects nothing certain ends the reader's list."""
    found: list[tuple[str, list[dict[str, Any]]]] = []
    for step in case.steps("read"):
        if step["cmd"] == "open":
            found.append((step.get("options", {}).get("from", "auto"), []))
        elif step["cmd"] == "read":
            found[-1][1].extend(step["expect"]["ok"].get("items", []))
    return found


READ = [case for case in cases("golden", "captured", "torn") if case.cls == "read"]


@pytest.mark.parametrize("case", READ, ids=lambda case: case.id)
def test_messages_are_those_that_the_case_expects(case: Case) -> None:
    data = image(case.id)
    for start, items in readings(case):
        found = ouroboros.messages(data, start)
        assert [(str(m.sequence), m.chunk, str(m.token)) for m in found] == [(i["seq"], i["chunk"], i["token"]) for i in items]
        assert [m.payload for m in found] == [data_bytes(item["data"]) for item in items]


def test_enough_cases_are_read() -> None:
    assert len(READ) > 200
    assert sum(len(items) for case in READ for _, items in readings(case)) > 1000


@pytest.mark.parametrize(
    "case", [case for case in cases("golden", "captured") if case.cls == "inspect"], ids=lambda case: case.id
)
def test_fields_are_those_that_inspect_expects(case: Case) -> None:
    wanted = next(step for step in case.steps("read") if step["cmd"] == "inspect")["expect"]["ok"]["fields"]
    fields = ouroboros.fields(image(case.id))
    assert {name: fields[name] for name in wanted} == wanted


@pytest.mark.parametrize("case", [case for case in cases("golden", "captured") if "file" in case.raw], ids=lambda case: case.id)
def test_valid_segments_have_no_findings(case: Case) -> None:
    rules = [finding.rule for finding in ouroboros.findings(image(case.id))]
    assert rules == (["ouroboros.read.sequence"] if case.id == BROKEN else [])


@pytest.mark.parametrize("case", [case for case in cases("hostile") if "reject" in case.raw], ids=lambda case: case.id)
def test_hostile_segments_are_found_out(case: Case) -> None:
    """With the code that the case asks of a driver, and by the rule that the case names."""
    found = [finding for finding in ouroboros.findings(image(case.id)) if finding.code]
    assert found[0].code in case.raw["reject"]
    assert {finding.rule for finding in found} & set(case.rules)


@pytest.mark.parametrize("case", cases("hostile"), ids=lambda case: case.id)
def test_hostile_patches_hit_the_field_they_name(case: Case) -> None:
    base = image(case.raw["base"]["case"])
    for entry in case.raw["base"]["patch"]:
        if "truncate" in entry:
            assert len(image(case.id)) == int(entry["truncate"])
        elif "field" in entry:
            assert ouroboros.locate(base, entry["field"]) == (int(entry["off"]), len(entry["hex"]) // 2)
            assert re.fullmatch(re.escape(entry["field"]) + r"(\+\d+)?", ouroboros.name_at(base, int(entry["off"])))


def test_encode_then_value_is_the_identity() -> None:
    data = bytearray(image("ouroboros/golden/first-lap"))
    for name, number in (("header.magic", 1), ("row[3].token", 1 << 63), ("entry[80].header", 77)):
        offset, new = ouroboros.encode(bytes(data), name, number)
        data[offset : offset + len(new)] = new
        assert ouroboros.value(bytes(data), name) == number
        assert ouroboros.name_at(bytes(data), offset) == name


def test_bytes_have_names() -> None:
    data = image("ouroboros/golden/one-entry")
    wanted = {
        0: "header.magic",
        15: "header.chunk_count+3",
        16: "row[0].offset",
        79: "row[3].token+7",
        80: "entry[80].header",
        84: "entry[80].payload",
        88: "entry[80].payload+4",
        89: "free+89",
        92: "entry[92].header",
        96: "free+96",
    }
    assert {offset: ouroboros.name_at(data, offset) for offset in wanted} == wanted
    assert ouroboros.value(data, "entry[80].payload") == data[84:89]


def test_unknown_names_and_starts_are_refused() -> None:
    data = image("ouroboros/golden/first-lap")
    for name in ("header.colour", "row.offset", "chunk[0].offset", "entry[80].length", "magic"):
        with pytest.raises(KeyError):
            ouroboros.locate(data, name)
    with pytest.raises(ValueError, match="newest"):
        ouroboros.messages(data, "newest")


@pytest.mark.parametrize("size", range(0, 420, 7))
def test_no_length_is_too_short_to_decode(size: int) -> None:
    """Fields that are not wholly inside are left out; nothing is read past the end."""
    data = image("ouroboros/golden/first-lap")[:size]
    fields = ouroboros.fields(data)
    assert ("header.magic" in fields) == (size >= 8)
    assert size >= 344 or ouroboros.findings(data)
    assert len(ouroboros.messages(data)) <= 14 if size >= 16 else fields.keys() <= {"header.magic", "header.version"}


@pytest.mark.parametrize(
    ("base", "stores", "rule"),
    [
        ("first-lap", {"row[1].token": 12}, "ouroboros.read.sequence"),
        ("first-lap", {"row[1].token": 0}, "ouroboros.write.commit-row"),
        ("first-lap", {"row[2].token": 9}, "ouroboros.write.clear"),
        ("first-lap", {"row[2].offset": 408}, "ouroboros.write.commit-row"),
        ("first-lap", {"row[0].offset": COMMITTED | 78}, "ouroboros.read.row-offset"),
        ("first-lap", {"entry[80].header": 1 << 31 | 3}, "ouroboros.read.length"),
        ("next-header-clears", {"row[1].offset": COMMITTED | 128, "row[1].token": 2}, "ouroboros.write.clear"),
        ("exact-fill", {"row[0].token": 5}, "ouroboros.read.sequence"),
    ],
)
def test_damage_is_named_by_its_rule(base: str, stores: dict[str, int], rule: str) -> None:
    sound = image(f"ouroboros/golden/{base}")
    data = bytearray(sound)
    for name, number in stores.items():
        offset, new = ouroboros.encode(sound, name, number)
        data[offset : offset + len(new)] = new
    assert rule in {finding.rule for finding in ouroboros.findings(bytes(data))}
