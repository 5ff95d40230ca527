# SPDX-License-Identifier: MIT
"""Logs of the original system and of the generator, read by both engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ouroboros_support import FIXTURES, base_bytes, reading_cases
from shmwire import ouroboros
from shmwire.driver_codec import data

CASES = reading_cases()


def test_there_are_cases() -> None:
    assert len(CASES) > 60
    assert sum(len(items) for name, _, items in CASES if name.startswith("captured/")) > 20


@pytest.mark.parametrize(("case", "start", "items"), CASES, ids=[name.replace("/", "-") for name, _, _ in CASES])
def test_read(engine: ouroboros.Engine, case: str, start: ouroboros.Start, items: list[dict[str, Any]], tmp_path: Path) -> None:
    """What case.json expects, through each way of reading of the package's own API."""
    whole = base_bytes(FIXTURES / case)
    file = tmp_path / "segment.bin"
    file.write_bytes(whole)
    expected = [data(item, "data") for item in items]
    with ouroboros.open(str(file), start, engine=engine) as reader:
        entries = list(reader.follow(timeout=0))
        assert reader.read_next_entry() is None
        assert reader.total_entries_read == len(expected)
    assert [entry.data for entry in entries] == expected
    assert [str(entry.sequence_number) for entry in entries] == [item["seq"] for item in items]
    for entry, item in zip(entries, items, strict=True):
        assert (entry.chunk_info.index, str(entry.chunk_info.token)) == (item["chunk"], item["token"])
        assert str(entry.skipped) == item.get("skipped", "0")
    with ouroboros.open(str(file), start, engine=engine) as reader:
        assert reader.read_all() == expected
    with ouroboros.open(str(file), start, engine=engine) as reader:
        assert list(reader) == expected
    with ouroboros.open(str(file), start, engine=engine) as reader:
        views = []
        while (view := reader.read_next_view()) is not None:
            views.append(bytes(view.data))
            assert view.data.readonly and view.is_valid()
        assert views == expected
    assert file.read_bytes() == whole
