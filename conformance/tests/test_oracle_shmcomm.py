# SPDX-License-Identifier: MIT
"""The oracle of shmcomm against the fixtures, whose expectations come from operations, never from decoding, and damage."""

from __future__ import annotations

import re
from typing import Any

import pytest
from shmwire_conform.cases import Case, Corpus
from shmwire_conform.oracle import shmcomm
from shmwire_conform.protocol import data_bytes

CORPUS = Corpus()
U64 = (1 << 64) - 1


def image(case_id: str) -> bytes:
    data = CORPUS.image(case_id)
    assert data is not None
    return data


def golden(slug: str, stores: dict[str, int] | None = None) -> bytes:
    """A golden segment with some fields changed."""
    sound = image(f"shmcomm/golden/{slug}")
    data = bytearray(sound)
    for name, number in (stores or {}).items():
        offset, new = shmcomm.encode(sound, name, number)
        data[offset : offset + len(new)] = new
    return bytes(data)


def cases(*kinds: str) -> list[Case]:
    return [case for case in CORPUS if case.profile == "shmcomm" and case.kind in kinds]


def expected(case: Case) -> list[dict[str, Any]]:
    """The items that a case asks of whoever reads it."""
    return [
        item
        for step in case.steps("read")
        if step["cmd"] == "read" and "ok" in step["expect"]
        for item in step["expect"]["ok"].get("items", [])
    ]


READ = [case for case in cases("golden", "torn") if case.cls == "read" and "reject" not in case.raw]


@pytest.mark.parametrize("case", READ, ids=lambda case: case.id)
def test_messages_are_those_that_the_case_expects(case: Case) -> None:
    found = shmcomm.messages(image(case.id), "latest" if case.id.endswith("-latest") else "oldest")
    wanted = expected(case)
    assert [(str(m.sequence), str(m.lost)) for m in found] == [(item["seq"], item["lost"]) for item in wanted]
    assert [m.payload for m in found] == [data_bytes(item["data"]) for item in wanted]
    for message, item in zip(found, wanted, strict=True):
        assert {name: str(getattr(message, name)) for name in item["meta"]} == {k: str(v) for k, v in item["meta"].items()}


def test_enough_cases_are_read() -> None:
    assert len(READ) > 200
    assert sum(len(expected(case)) for case in READ) > 600


@pytest.mark.parametrize("case", [case for case in cases("golden") if case.cls == "inspect"], ids=lambda case: case.id)
def test_fields_are_those_that_inspect_expects(case: Case) -> None:
    wanted = next(step for step in case.steps("read") if step["cmd"] == "inspect")["expect"]["ok"]["fields"]
    for name, said in wanted.items():
        found = shmcomm.value(image(case.id), name)
        assert (found[:64].hex() if isinstance(found, bytes) else str(found)) == said, name


@pytest.mark.parametrize("case", [case for case in cases("golden") if "file" in case.raw], ids=lambda case: case.id)
def test_valid_segments_have_no_findings(case: Case) -> None:
    assert shmcomm.findings(image(case.id)) == []


@pytest.mark.parametrize(
    "case",
    [case for case in cases("hostile") if "reject" in case.raw and case.raw["reject"] != ["UNSUPPORTED"]],
    ids=lambda case: case.id,
)
def test_hostile_segments_are_found_out(case: Case) -> None:
    """With the code that the case asks of a driver, and by the rule that the case names."""
    found = [finding for finding in shmcomm.findings(image(case.id)) if finding.code]
    assert found[0].code in case.raw["reject"]
    assert {finding.rule for finding in found} & set(case.rules)


CORRUPT = [case for case in cases("hostile") if any("err" in step.get("expect", {}) for step in case.steps("read"))]


@pytest.mark.parametrize("case", CORRUPT, ids=lambda case: case.id)
def test_frames_that_cannot_be_are_found_out(case: Case) -> None:
    """Behind the messages that the case has delivered."""
    data = image(case.id)
    assert "CORRUPT" in {finding.code for finding in shmcomm.findings(data)}
    if case.cls == "hardened" and expected(case):
        assert [str(m.sequence) for m in shmcomm.messages(data)] == [item["seq"] for item in expected(case)]


def test_enough_frames_cannot_be() -> None:
    assert len(CORRUPT) > 25


@pytest.mark.parametrize("case", cases("hostile"), ids=lambda case: case.id)
def test_hostile_patches_hit_the_field_they_name(case: Case) -> None:
    base = image(case.raw["base"]["case"])
    for entry in case.raw["base"]["patch"]:
        if "truncate" in entry:
            assert len(image(case.id)) == int(entry["truncate"])
        elif "field" in entry:
            assert shmcomm.locate(base, entry["field"]) == (int(entry["off"]), len(entry["hex"]) // 2)
            assert re.fullmatch(re.escape(entry["field"]) + r"(\+\d+)?", shmcomm.name_at(base, int(entry["off"])))


def test_encode_then_value_is_the_identity() -> None:
    for name, number in (("header.magic", 1), ("frame[3].sender", 77), ("header.data_waiters", 9), ("frame[0].flags", 513)):
        data = golden("first-lap", {name: number})
        assert shmcomm.value(data, name) == number
        assert shmcomm.name_at(data, shmcomm.locate(data, name)[0]) == name


def test_bytes_have_names() -> None:
    data = golden("first-lap")
    wanted = {
        0: "header.magic",
        35: "header.writer_lock+3",
        127: "header.reserved+11",
        128: "frame[0].size",
        166: "frame[0].flags",
        168: "frame[0].payload",
        192: "frame[1].size",
        233: "frame[1].padding",
        239: "frame[1].padding+6",
        900: "free+900",
    }
    assert {offset: shmcomm.name_at(data, offset) for offset in wanted} == wanted
    assert shmcomm.value(data, "frame[1].payload") == data[232:233]
    assert shmcomm.value(data, "frame[2].position") == 112
    marked = golden("skip-mark")
    assert shmcomm.name_at(marked, 128 + 3000) == "mark[3000].size"
    assert shmcomm.value(marked, "mark[3000].size") == U64


def test_unknown_names_and_starts_are_refused() -> None:
    data = golden("first-lap")
    for name in ("header.colour", "frame.size", "frame[9].size", "frame[0].colour", "slot[0].size", "mark[8].size", "size"):
        with pytest.raises(KeyError):
            shmcomm.locate(data, name)
    with pytest.raises(ValueError, match="newest"):
        shmcomm.messages(data, "newest")


@pytest.mark.parametrize("size", range(0, 4225, 96))
def test_no_length_is_too_short_to_decode(size: int) -> None:
    """Fields that are not wholly inside are left out; nothing is read past the end."""
    data = golden("first-lap")[:size]
    fields = shmcomm.fields(data) if size >= 128 else {}
    assert ("header.head" in fields) == (size >= 128)
    assert [one.code for one in shmcomm.findings(data)] == ([] if size == 4224 else ["TRUNCATED"])


@pytest.mark.parametrize(
    ("base", "stores", "rule"),
    [
        ("first-lap", {"header.instance": 0}, "shmcomm.segment.init"),
        ("first-lap", {"header.owner_endpoint": 0}, "shmcomm.segment.init"),
        ("first-lap", {"header.owner_endpoint": 1 << 31}, "shmcomm.segment.init"),
        ("first-lap", {"header.message_count": 5}, "shmcomm.recover.count"),
        ("first-lap", {"header.message_count": 7}, "shmcomm.recover.count"),
        ("writer-died", {"header.message_count": 4}, "shmcomm.recover.count"),
        ("first-lap", {"header.dropped_count": 1}, "shmcomm.publish.dropped"),
        ("lapped", {"header.dropped_count": 3}, "shmcomm.publish.dropped"),
        ("first-lap", {"frame[2].sequence": 3}, "shmcomm.send.sequence"),
        ("first-lap", {"frame[2].sender": 0}, "shmcomm.send.sender"),
        ("first-lap", {"frame[2].sender": 1 << 31}, "shmcomm.send.sender"),
        ("first-lap", {"frame[2].correlation_id": 1}, "shmcomm.send.sender"),
        ("requests", {"frame[2].correlation_id": 0}, "shmcomm.send.sender"),
        ("first-lap", {"frame[1].size": 32}, "shmcomm.receive.size"),
        ("first-lap", {"frame[5].size": U64}, "shmcomm.receive.size"),
        ("first-lap", {"header.head": 696}, "shmcomm.receive.size"),
    ],
)
def test_damage_is_named_by_its_rule(base: str, stores: dict[str, int], rule: str) -> None:
    assert rule in {finding.rule for finding in shmcomm.findings(golden(base, stores))}


def test_what_a_dead_writer_leaves_is_no_damage() -> None:
    assert shmcomm.findings(golden("first-lap", {"header.writer_lock": 5, "header.message_count": 5})) == []
    assert shmcomm.findings(golden("lapped", {"header.writer_lock": 0x80000005, "header.dropped_count": 9})) == []


def test_zeros_behind_a_payload_are_zeros() -> None:
    data = bytearray(golden("first-lap"))
    data[shmcomm.locate(bytes(data), "frame[1].padding")[0]] = 1
    assert [(one.rule, one.at) for one in shmcomm.findings(bytes(data))] == [("shmcomm.send.frame", "frame[1].padding")]
