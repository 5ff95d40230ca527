# SPDX-License-Identifier: MIT
"""Queues of the source system and of the generator: read by both engines, and written again byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Raw
from shmwire import slick
from shmwire.driver_codec import data
from slick_support import base_bytes, cases, load


def reading() -> list[tuple[str, slick.Start, list[dict[str, Any]]]]:
    """(case, start, items) of every case that opens a queue and reads it in one go."""
    found = []
    for case in cases("read"):
        steps = load(case)["read"]
        if len(steps) < 2 or steps[0]["cmd"] != "open" or steps[1]["cmd"] != "read" or steps[1]["mode"] != "try":
            continue
        options, expected = steps[0].get("options", {}), steps[1].get("expect", {}).get("ok")
        if expected is None or "cursor" in options:
            continue
        start = int(options["index"]) if "index" in options else options.get("from", "oldest")
        found.append((case, start, expected.get("items", [])))
    return found


READING = reading()
#: What the source system's own writer left, made by create and writes of whole items alone.
MAKING = [case for case in cases("make") if case.startswith("golden/captured-")]


def test_there_are_cases() -> None:
    assert len(READING) > 100 and len(MAKING) >= 12
    assert sum(len(items) for case, _, items in READING if case.startswith("captured/")) > 100
    assert {load(case)["make"][0]["options"].get("generation", "1.4") for case in MAKING} == {"1.2", "1.3", "1.4"}


@pytest.mark.parametrize(("case", "start", "items"), READING, ids=[case.replace("/", "-") for case, _, _ in READING])
def test_read(engine: slick.Engine, case: str, start: slick.Start, items: list[dict[str, Any]], tmp_path: Path) -> None:
    """What case.json expects, through each way of reading of the package's own API."""
    whole = base_bytes(case)
    file = tmp_path / "segment.bin"
    file.write_bytes(whole)
    expected = [(int(item["pos"]), item["elements"], int(item["lost"]), data(item, "data")) for item in items]
    with slick.open(str(file), "r", engine=engine) as queue:
        queue.validate()
        for way in (list, lambda reader: reader.batch(1024), lambda reader: reader.follow(timeout=0)):
            reader = queue.reader(start)
            assert [(item.index, item.elements, item.lost, item.data) for item in way(reader)] == expected
            assert reader.next() is None
            assert reader.info().items_read == len(expected) and reader.lost >= sum(lost for _, _, lost, _ in expected)
        reader, views = queue.reader(start), []
        while (view := reader.view()) is not None:
            views.append((view.index, view.elements, view.lost, bytes(view.data)))
            assert view.data.readonly and view.is_valid()
        assert views == expected
    assert file.read_bytes() == whole


@pytest.mark.parametrize("case", MAKING)
def test_make(engine: slick.Engine, case: str, name: str, raw: Raw) -> None:
    """The source system's bytes, of each generation."""
    create, *steps = load(case)["make"]
    options = create["options"]
    with slick.create(name, options["size"], element_size=options["element_size"], generation=options.get("generation", "1.4"),
                      engine=engine) as queue:
        producer = queue.producer()
        for step in steps:
            assert step["cmd"] == "write"
            for item, result in zip(step["items"], step["expect"]["ok"]["results"], strict=True):
                assert producer.write(data(item, "data")) == int(result["pos"])
    expected = base_bytes(case)
    found = raw.bytes()
    assert found == expected[:len(found)] and not any(expected[len(found):])
