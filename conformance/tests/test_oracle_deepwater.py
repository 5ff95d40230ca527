# SPDX-License-Identifier: MIT
"""The oracle of deepwater against the fixtures, whose expectations come from operations and not from decoding, and against
damage; and directories as strings of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from shmwire_conform import judge, trees
from shmwire_conform.cases import Corpus
from shmwire_conform.errors import HarnessError
from shmwire_conform.expect import differences
from shmwire_conform.oracle import deepwater
from shmwire_conform.segments import Segments

CORPUS = Corpus()
GOLDEN = [case for case in CORPUS if case.profile == "deepwater" and "files" in case.raw]
FEED = "feed/feed_registry.bin"


def image(slug: str) -> bytes:
    data = CORPUS.image(f"deepwater/golden/{slug}")
    assert data is not None
    return data


def changed(slug: str, name: str, number: int) -> bytes:
    sound = image(slug)
    offset, new = deepwater.encode(sound, name, number)
    return sound[:offset] + new + sound[offset + len(new) :]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.id)
def test_golden_bases_are_sound_and_read_as_the_cases_say(case: Any) -> None:
    data = CORPUS.image(case.id)
    assert data is not None
    assert deepwater.findings(data) == []
    reading = CORPUS.get(f"{case.id}-oldest").steps("read")
    wanted = [item for step in reading if step["cmd"] == "read" for item in step["expect"]["ok"]["items"]]
    assert differences(wanted, deepwater.items(data)) == []


@pytest.mark.parametrize(
    ("slug", "name", "number", "rule"),
    [
        ("live", "registry.magic", 1, "open.magic"),
        ("live", "registry.count", 5, "open.count"),
        ("live", "registry.generation", 0, "feed.entry"),
        ("live", "feed.feed_id", 3, "open.entry"),
        ("live", "feed.live_window", 0, "open.entry"),
        ("live", "feed_registry.count", 17, "open.count"),
        ("live", "feed_registry.latest", 1, "I3"),
        ("live", "feed_registry.last_sequence", 9, "append.header"),
        ("live", "feed_registry.last_timestamp_ns", 9, "append.header"),
        ("sealed", "row[1].first_sequence", 1, "I1"),
        ("sealed", "row[0].stamp", 3, "row.stamp"),
        ("sealed", "row[0].record_count", 1, "rotate.seal"),
        ("sealed", "row[0].state", 1, "I3"),
        ("sealed", "row[0].state", 3, "persist.order"),
        ("sealed", "row[0].state", 4, "expire.state"),
        ("sealed", "memory[0].data.flags", 0, "rotate.seal"),
        ("sealed", "memory[1].record[0].sequence", 5, "I2"),
        ("live", "memory[0].record[1].timestamp_ns", 1, "I5"),
        ("variable", "files[0].record[2].offset", 24, "append.placing"),
        ("live", "memory[0].data.write_pos", 5, "append.commit"),
        ("live", "row[0].start_ns", 5, "append.commit"),
        ("live", "memory[0].index.entry_count", 200, "read.bounds"),
        ("persisted", "row[0].data_crc", 1, "persist.content"),
        ("persisted", "row[0].index_crc", 1, "persist.content"),
        ("persisted", "files[0].record[0].type", 9, "persist.content"),
    ],
)
def test_damage_is_found(slug: str, name: str, number: int, rule: str) -> None:
    found = deepwater.findings(changed(slug, name, number))
    assert rule in [one.rule for one in found], found


def test_files_that_are_gone_or_too_many() -> None:
    gone = trees.patched(image("persisted"), [{"file": "feed/chunk_00000000.idx", "remove": True}], "x")
    assert [one.rule for one in deepwater.findings(gone)] == ["persist.order"]
    stray = trees.patched(image("persisted"), [{"file": "memory/feed.7.data", "create": "64"}], "x")
    assert [one.rule for one in deepwater.findings(stray)] == ["rotate.order"]
    half = trees.patched(image("persisted"), [{"file": "feed/chunk_00000000.data.tmp", "create": "4"}], "x")
    assert [one.rule for one in deepwater.findings(half)] == ["recover.half-made"]


def test_names_of_bytes_and_fields() -> None:
    data = image("two-feeds")
    assert deepwater.value(data, "feed[1].feed_registry.feed_id") == 1
    offset, size = deepwater.locate(data, "row[0].state")
    assert size == 4 and trees.inside(data, offset) == (FEED, 128 + 12)
    assert deepwater.name_at(data, offset + 2) == "row[0].state+2"
    with pytest.raises(KeyError):
        deepwater.value(data, "slot[0].size")
    with pytest.raises(IndexError):
        deepwater.value(data, "memory[9].data.magic")


def test_a_tree_survives_being_placed(tmp_path: Path) -> None:
    data = trees.patched(image("three-chunks"), [{"file": "feed", "link": True}], "x")
    base = tmp_path / "base"
    trees.place(data, base)
    try:
        assert (base / "feed").is_symlink() and len(trees.memory(base)) == 4
        assert trees.collect(base) == data
    finally:
        trees.remove(base)
    assert trees.collect(base) == b"" and not trees.memory(base)


def test_segments_remove_the_shared_memory_of_their_bases() -> None:
    segments = Segments()
    try:
        locator = segments.copy_of(image("three-chunks"))
        assert len(segments.leftovers()) == 4
        segments.remove(locator)
        assert segments.leftovers() == [] and not Path(locator).exists()
    finally:
        segments.clean()


def test_differences_name_the_file_and_the_field() -> None:
    wanted, have = image("live"), changed("live", "row[0].start_ns", 77)
    lines = judge.byte_diff("deepwater", wanted, have)
    assert len(lines) == 1 and lines[0].startswith(f"{FEED}: row[0].start_ns (at 160)")
    gone = trees.patched(wanted, [{"file": "memory/feed.0.idx", "remove": True}], "x")
    assert judge.byte_diff("deepwater", wanted, gone) == ["memory/feed.0.idx: is not there"]
    assert judge.byte_diff("deepwater", gone, wanted) == ["memory/feed.0.idx: must not be there"]


def test_patches_of_what_is_not_there_are_refused() -> None:
    for patch in (
        {"file": "nobody", "off": "0", "hex": "00"},
        {"file": "nobody", "link": True},
        {"file": "registry.bin", "off": "1152", "hex": "00"},
    ):
        with pytest.raises(HarnessError):
            trees.patched(image("live"), [patch], "x")
