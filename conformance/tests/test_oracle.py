# SPDX-License-Identifier: MIT
"""The oracle against the fixtures, whose expectations come from operations and not from decoding; and against damage."""

from __future__ import annotations

import re
from typing import Any

import pytest
from shmwire_conform.cases import Case, Corpus
from shmwire_conform.oracle import dmxp
from shmwire_conform.oracle.layout import load
from shmwire_conform.protocol import data_bytes

CORPUS = Corpus()
KINDS = ("golden", "captured", "torn")
C = load("dmxp").constants


def image(case_id: str) -> bytes:
    data = CORPUS.image(case_id)
    assert data is not None
    return data


def cases(*kinds: str) -> list[Case]:
    return [case for case in CORPUS if case.profile == "dmxp" and case.kind in kinds]


def choice_of(case: Case) -> str:
    options = case.steps("read")[0].get("options", {})
    return str(options.get("payload", "crate"))


def peeks(case: Case) -> list[dict[str, Any]]:
    return [step for step in case.steps("read") if step["cmd"] == "read" and step["mode"] == "peek" and "ok" in step["expect"]]


PEEKED = [case for case in cases(*KINDS) if peeks(case)]


@pytest.mark.parametrize("case", PEEKED, ids=lambda case: case.id)
def test_messages_are_those_that_the_case_expects(case: Case) -> None:
    """Position, payload and meta of every message, in order, for the choice of layout that the case makes."""
    data = image(case.id)
    for step in peeks(case):
        expected = step["expect"]["ok"].get("items", [])
        found = [m for m in dmxp.messages(data, choice_of(case)) if m.channel == step["channel"]][: step["max"]]
        assert [str(m.position) for m in found] == [item["pos"] for item in expected]
        for message, item in zip(found, expected, strict=True):
            assert message.payload == data_bytes(item["data"])
            assert {name: int(value) for name, value in item["meta"].items()} == {k: message.meta[k] for k in item["meta"]}


def test_enough_cases_are_peeked() -> None:
    assert len(PEEKED) > 150


@pytest.mark.parametrize("case", cases("golden"), ids=lambda case: case.id)
def test_fields_are_those_that_inspect_expects(case: Case) -> None:
    fields = dmxp.fields(image(case.id))
    for step in case.steps("read"):
        if step["cmd"] == "inspect":
            wanted = step["expect"]["ok"]["fields"]
            assert {name: fields[name] for name in wanted} == wanted


@pytest.mark.parametrize("case", [case for case in cases("golden", "captured") if "file" in case.raw], ids=lambda case: case.id)
def test_valid_segments_have_no_findings(case: Case) -> None:
    """But for the two that hold a claimed position, where that is the one finding."""
    rules = [finding.rule for finding in dmxp.findings(image(case.id))]
    assert rules == (["dmxp.produce.publish"] if "claimed" in case.id else [])


def decoded_code(data: bytes) -> str:
    codes = [finding.code for finding in dmxp.findings(data) if finding.code]
    return codes[0] if codes else ""


@pytest.mark.parametrize("case", [case for case in cases("hostile") if "reject" in case.raw], ids=lambda case: case.id)
def test_hostile_segments_are_found_out(case: Case) -> None:
    """With the code that the case asks of a driver, and by one of the rules that the case names."""
    found = dmxp.findings(image(case.id))
    assert decoded_code(image(case.id)) in case.raw["reject"]
    assert {finding.rule for finding in found if finding.code} & set(case.rules)


@pytest.mark.parametrize("case", cases("hostile"), ids=lambda case: case.id)
def test_hostile_patches_hit_the_field_they_name(case: Case) -> None:
    base = image(case.raw["base"]["case"])
    for entry in case.raw["base"]["patch"]:
        if "truncate" in entry:
            assert len(image(case.id)) == int(entry["truncate"])
            continue
        named = dmxp.name_at(base, int(entry["off"]))
        assert re.fullmatch(re.escape(entry["field"]) + r"(\+\d+)?", named), f"{named} is not {entry['field']}"
        if not entry["field"].endswith(".payload"):
            offset, size = dmxp.locate(base, entry["field"])
            assert (offset, size) == (int(entry["off"]), len(entry["hex"]) // 2)


@pytest.mark.parametrize("case", [case for case in cases("hostile") if "reject" not in case.raw], ids=lambda case: case.id)
def test_harmless_faults_forbid_no_reader(case: Case) -> None:
    """Cases without `reject` have a finding with a code only where a step expects an error or reads past one."""
    errors = [step for step in case.steps("read") if "err" in str(step.get("expect"))]
    empty = all("NOT_FOUND" in str(step["expect"]) for step in errors)
    assert bool(decoded_code(image(case.id))) == (bool(errors) and not empty)


PATCHED = [case for case in cases("golden", "captured", "hostile", "torn") if "patch" in case.raw.get("after", {})]


@pytest.mark.parametrize("case", PATCHED, ids=lambda case: case.id)
def test_after_consuming_nothing_is_left(case: Case) -> None:
    """The file that a consumer must leave: heads moved by what was taken, slots free, and no field changed but those two."""
    data = bytearray(image(case.id))
    names = set()
    for entry in case.raw["after"]["patch"]:
        offset, new = int(entry["off"]), bytes.fromhex(entry["hex"])
        names.add(dmxp.name_at(bytes(data), offset).rsplit(".", 1)[1])
        data[offset : offset + len(new)] = new
    assert names == {"head", "sequence"}
    stopped = {finding.rule for finding in dmxp.findings(image(case.id)) if not finding.code}
    left = dmxp.messages(bytes(data), choice_of(case))
    assert not left or "dmxp.produce.publish" in stopped


def test_encode_then_value_is_the_identity() -> None:
    data = bytearray(image("dmxp/golden/several-channels"))
    for name, number in (("header.magic", 1), ("channel[255].head", 1 << 63), ("channel[3].slot[2].payload_len", 77)):
        offset, new = dmxp.encode(bytes(data), name, number)
        data[offset : offset + len(new)] = new
        assert dmxp.value(bytes(data), name) == number
        assert dmxp.name_at(bytes(data), offset) == name


def test_every_byte_of_the_header_and_table_has_a_name() -> None:
    data = image("dmxp/golden/empty")
    wanted = {
        0: "header.magic",
        7: "header.magic+7",
        8: "header.version",
        24: "header.pad",
        127: "header.pad+103",
        128: "channel[0].channel_id",
        511: "channel[0].pad3+111",
        512: "channel[1].channel_id",
        C["HEADER_SIZE"] - 1: "channel[255].pad3+111",
        C["HEADER_SIZE"]: f"free+{C['HEADER_SIZE']}",
    }
    assert {offset: dmxp.name_at(data, offset) for offset in wanted} == wanted


def test_unknown_names_and_channels_are_refused() -> None:
    data = image("dmxp/golden/full")
    for name in ("header.colour", "channel[256].head", "channel[0].slot.head", "slot[0].sequence", "magic"):
        with pytest.raises(KeyError):
            dmxp.locate(data, name)
    with pytest.raises(ValueError, match="guess"):
        dmxp.messages(data, "guess")


@pytest.mark.parametrize("size", [0, 1, 8, 127, 128, 400, C["HEADER_SIZE"] - 1, C["HEADER_SIZE"], C["HEADER_SIZE"] + 1500])
def test_no_length_is_too_short_to_decode(size: int) -> None:
    """Fields that are not wholly inside are left out; nothing is read past the end."""
    whole = image("dmxp/golden/full")
    fields = dmxp.fields(whole[:size])
    everything = dmxp.fields(whole)
    assert fields.items() <= everything.items()
    assert ("header.magic" in fields) == (size >= 8)
    assert dmxp.findings(whole[:size])


def damaged(data: bytes, *stores: tuple[str, int]) -> bytes:
    out = bytearray(data)
    for name, number in stores:
        offset, new = dmxp.encode(data, name, number)
        out[offset : offset + len(new)] = new
    return bytes(out)


@pytest.mark.parametrize(
    ("base", "stores", "rule"),
    [
        ("full", [("channel[0].waiters", 1)], "dmxp.wait.count"),
        ("full", [("channel[0].flags", 2)], "dmxp.segment.fields"),
        ("full", [("header.channel_count", 2)], "dmxp.channel.lock"),
        ("full", [("channel[9].band_offset", 98432)], "dmxp.channel.commit"),
        ("full", [("channel[0].retired_capacity", 4)], "dmxp.channel.commit"),
        ("full", [("channel[0].slot[2].channel_id", 7)], "dmxp.produce.meta"),
        ("full", [("channel[0].slot[2].flags", 0x8000)], "dmxp.produce.abandon"),
        ("full", [("channel[0].slot[2].sequence", 2)], "dmxp.produce.publish"),
        ("drained", [("channel[0].slot[1].sequence", 6)], "dmxp.consume.release"),
        ("drained", [("channel[0].slot[1].sequence", 7)], "dmxp.consume.impossible"),
        ("removed-channel", [("channel[0].retired_capacity", 64)], "dmxp.channel.placement"),
    ],
)
def test_damage_is_named_by_its_rule(base: str, stores: list[tuple[str, int]], rule: str) -> None:
    sound = image(f"dmxp/golden/{base}")
    assert rule not in {finding.rule for finding in dmxp.findings(sound)}
    assert {finding.rule for finding in dmxp.findings(damaged(sound, *stores))} == {rule}


def test_padding_must_be_zero_but_where_it_is_uninitialised() -> None:
    sound = bytearray(image("dmxp/golden/full"))
    slot_pad, _ = dmxp.locate(bytes(sound), "channel[0].slot[1].pad")
    sound[slot_pad] = 0xFF
    assert dmxp.findings(bytes(sound)) == []
    for name in ("header.pad", "channel[0].pad1", "channel[200].pad3"):
        offset, size = dmxp.locate(bytes(sound), name)
        dirty = bytearray(sound)
        dirty[offset + size - 1] = 1
        assert "dmxp.segment.fields" in {finding.rule for finding in dmxp.findings(bytes(dirty))}
