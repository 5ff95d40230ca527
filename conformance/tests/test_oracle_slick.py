# SPDX-License-Identifier: MIT
"""The oracle of slick against the fixtures, whose expectations come from operations and not from decoding, and against damage."""

from __future__ import annotations

import re
from typing import Any

import pytest
from shmwire_conform.cases import Case, Corpus
from shmwire_conform.oracle import slick
from shmwire_conform.protocol import data_bytes

CORPUS = Corpus()
NONE = slick.NONE


def image(case_id: str) -> bytes:
    data = CORPUS.image(case_id)
    assert data is not None
    return data


def golden(slug: str, stores: dict[str, int] | None = None) -> bytes:
    """A golden segment with some fields changed."""
    sound = image(f"slick/golden/{slug}")
    data = bytearray(sound)
    for name, number in (stores or {}).items():
        offset, new = slick.encode(sound, name, number)
        data[offset : offset + len(new)] = new
    return bytes(data)


def cases(*kinds: str) -> list[Case]:
    return [case for case in CORPUS if case.profile == "slick" and case.kind in kinds]


def readings(case: Case) -> list[tuple[str | int, list[dict[str, Any]]]]:
    """(start, items) of every reader that the case opens."""
    found: list[tuple[str | int, list[dict[str, Any]]]] = []
    for step in case.steps("read"):
        if step["cmd"] == "open":
            options = step.get("options", {})
            found.append((int(options["index"]) if "index" in options else options.get("from", "oldest"), []))
        elif step["cmd"] == "read":
            found[-1][1].extend(step["expect"]["ok"].get("items", []))
    return found


READ = [case for case in cases("golden", "captured", "torn") if case.cls == "read" and not case.id.endswith("-last")]


@pytest.mark.parametrize("case", READ, ids=lambda case: case.id)
def test_messages_are_those_that_the_case_expects(case: Case) -> None:
    data = image(case.id)
    for start, items in readings(case):
        found = slick.messages(data, start)
        assert [(str(m.index), m.elements, str(m.lost)) for m in found] == [(i["pos"], i["elements"], i["lost"]) for i in items]
        assert [m.payload for m in found] == [data_bytes(item["data"]) for item in items]


def test_enough_cases_are_read() -> None:
    assert len(READ) > 250
    assert sum(len(items) for case in READ for _, items in readings(case)) > 1200


@pytest.mark.parametrize(
    "case", [case for case in cases("golden", "captured") if case.cls == "inspect"], ids=lambda case: case.id
)
def test_fields_are_those_that_inspect_expects(case: Case) -> None:
    wanted = next(step for step in case.steps("read") if step["cmd"] == "inspect")["expect"]["ok"]["fields"]
    fields = slick.fields(image(case.id))
    assert {name: fields[name] for name in wanted} == wanted


@pytest.mark.parametrize("case", [case for case in cases("golden", "captured") if "file" in case.raw], ids=lambda case: case.id)
def test_valid_segments_have_no_findings(case: Case) -> None:
    assert slick.findings(image(case.id)) == []


@pytest.mark.parametrize(
    "case",
    [case for case in cases("hostile") if "reject" in case.raw and "slick.reserve.settled" not in case.rules],
    ids=lambda case: case.id,
)
def test_hostile_segments_are_found_out(case: Case) -> None:
    """With the code that the case asks of a driver, and by the rule that the case names."""
    found = [finding for finding in slick.findings(image(case.id)) if finding.code]
    assert found[0].code in case.raw["reject"]
    assert {finding.rule for finding in found} & set(case.rules)


@pytest.mark.parametrize("case", cases("hostile"), ids=lambda case: case.id)
def test_hostile_patches_hit_the_field_they_name(case: Case) -> None:
    base = image(case.raw["base"]["case"])
    for entry in case.raw["base"]["patch"]:
        if "truncate" in entry:
            assert len(image(case.id)) == int(entry["truncate"])
        elif "field" in entry:
            assert slick.locate(base, entry["field"]) == (int(entry["off"]), len(entry["hex"]) // 2)
            assert re.fullmatch(re.escape(entry["field"]) + r"(\+\d+)?", slick.name_at(base, int(entry["off"])))


def test_encode_then_value_is_the_identity() -> None:
    for name, number in (("header.header_magic", 1), ("slot[3].data_index", 1 << 63), ("header.settled", 77)):
        data = golden("first-lap", {name: number})
        assert slick.value(data, name) == number
        assert slick.name_at(data, slick.locate(data, name)[0]) == name


def test_the_packed_word_has_parts() -> None:
    data = golden("size-after-multi")
    assert slick.value(data, "header.reserved") == 6 << 16 | 1
    assert slick.value(data, "header.reserved.index") == 6
    assert slick.value(data, "header.reserved.size") == 1


def test_bytes_have_names() -> None:
    data = golden("one-item")
    wanted = {
        0: "header.reserved",
        11: "header.size+3",
        16: "header.last_published",
        52: "header.padding_52",
        64: "slot[0].data_index",
        127: "slot[3].padding_12+3",
        128: "element[0].data",
        153: "element[1].data+1",
    }
    assert {offset: slick.name_at(data, offset) for offset in wanted} == wanted
    assert slick.name_at(data + bytes(8), len(data) + 1) == f"free+{len(data) + 1}"
    assert slick.value(data, "element[0].data") == data[128:152]


def test_unknown_names_and_starts_are_refused() -> None:
    data = golden("first-lap")
    names = ("header.colour", "slot.size", "row[0].offset", "element[1].size", "cursor.next", "header.reserved.colour", "size")
    for name in names:
        with pytest.raises(KeyError):
            slick.locate(data, name)
    with pytest.raises(ValueError, match="newest"):
        slick.messages(data, "newest")


@pytest.mark.parametrize("size", range(0, 385, 6))
def test_no_length_is_too_short_to_decode(size: int) -> None:
    """Fields that are not wholly inside are left out; nothing is read past the end."""
    data = golden("first-lap")[:size]
    fields = slick.fields(data) if size >= 64 else {}
    assert ("header.reserved" in fields) == (size >= 64)
    assert [one.code for one in slick.findings(data)] == ([] if size == 384 else ["TRUNCATED"])


# Three items more in a full ring.
OVER = {"header.reserved": 11 << 16 | 1, "header.last_published": 10, **{f"slot[{k}].data_index": 8 + k for k in range(3)}}


def test_a_hole_is_not_damage_as_long_as_it_is_told() -> None:
    hole = {**OVER, "slot[4].data_index": NONE}
    assert slick.findings(golden("exactly-full", OVER)) == []
    assert slick.findings(golden("exactly-full", {**hole, "header.settled": 4})) == []


@pytest.mark.parametrize(
    ("base", "stores", "rule"),
    [
        ("first-lap", {"header.padding_28": 1}, "slick.segment.init"),
        ("first-lap", {"slot[2].padding_12": 1}, "slick.segment.init"),
        ("first-lap-13", {"header.header_magic": 1}, "slick.segment.init"),
        ("first-lap-13", {"header.last_published": 7}, "slick.publish.last"),
        ("first-lap", {"header.last_published": 6}, "slick.publish.last"),
        ("first-lap", {"header.last_published": 8}, "slick.publish.last"),
        ("first-lap", {"header.last_published": NONE}, "slick.publish.last"),
        ("abandoned", {"header.last_published": 6}, "slick.publish.last"),
        ("first-lap", {"slot[4].data_index": 12}, "slick.publish.order"),
        ("first-lap", {"slot[4].data_index": 4}, "slick.reserve.packed"),
        ("first-lap", {"slot[5].data_index": 2}, "slick.publish.first-slot"),
        ("exactly-full", {"slot[6].size": 3}, "slick.read.bounds"),
        ("exactly-full", {"slot[6].size": 2}, "slick.reserve.packed"),
        ("unpublished-middle", {"header.settled": 3}, "slick.reserve.told"),
        ("exactly-full", {"header.settled": 9}, "slick.reserve.told"),
        ("exactly-full", {**OVER, "slot[4].data_index": NONE}, "slick.reserve.told"),
    ],
)
def test_damage_is_named_by_its_rule(base: str, stores: dict[str, int], rule: str) -> None:
    assert rule in {finding.rule for finding in slick.findings(golden(base, stores))}
