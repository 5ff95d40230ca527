# SPDX-License-Identifier: MIT
"""Profile deepwater: a registry of 10,000 feeds. Feeds of 100,000 chunks are for conformance/tests/test_deepwater_scale.py, in
every language."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from deepwater_support import base, reading, writing
from shmwire.deepwater import feeds, layout
from shmwire.engine import Engine
from shmwire.errors import ExistsError, Full, NotFoundError

__all__ = ["base"]
FEEDS = 10_000
MADE = 9_900  # from this one on by the library
LONG_S = 20.0  # a tenth of it is enough on a machine that is idle


def name_of(number: int) -> str:
    return f"feed-{number:05d}"


def add_entries(base: str, first: int, end: int) -> None:
    """Entries as that of feed 0, without a directory: what making all of them takes is the file system's."""
    with Path(base, "registry.bin").open("r+b") as file:
        file.seek(layout.REGISTRY_SIZE)
        entry = bytearray(file.read(layout.FEED_SIZE))
        file.seek(layout.REGISTRY_SIZE + first * layout.FEED_SIZE)
        for number in range(first, end):
            for at in (layout.FEED_NAME_OFFSET, layout.FEED_DIRECTORY_OFFSET):
                entry[at:at + len(name_of(number))] = name_of(number).encode()
            entry[layout.FEED_FEED_ID_OFFSET:layout.FEED_FEED_ID_OFFSET + 4] = number.to_bytes(4, "little")
            file.write(entry)
        file.seek(layout.REGISTRY_COUNT_OFFSET)
        file.write(end.to_bytes(8, "little"))


def test_ten_thousand_feeds_are_made_and_found(base: str, engine: Engine) -> None:
    began = time.monotonic()
    options: dict[str, Any] = {"live_window": 1, "rows": 1, "feeds": FEEDS}
    writing(base, engine, feed=name_of(0), **options).close()
    add_entries(base, 1, MADE)
    for number in range(MADE, FEEDS):
        writing(base, engine, feed=name_of(number), exclusive=True, **options).close()
    made = time.monotonic()
    for number in [0, *range(MADE, FEEDS)]:
        with reading(base, engine, feed=name_of(number)) as reader:
            assert reader.info().feed_id == number
    with pytest.raises(Full):
        writing(base, engine, feed="one-more", **options)
    with pytest.raises(ExistsError):
        writing(base, engine, feed=name_of(1), exclusive=True, **options)
    print(f"made {made - began:.2f} s, found {time.monotonic() - made:.2f} s")
    assert time.monotonic() - began < LONG_S


def test_who_misses_a_feed_sees_a_few_names(base: str, engine: Engine) -> None:
    for number in range(12):
        writing(base, engine, feed=name_of(number), feeds=16).close()
    with pytest.raises(NotFoundError, match=r"there are: feed-00000, .*feed-00007, …$"):
        reading(base, engine, feed="one-more")
    assert [info.name for info in feeds(base, engine)] == [name_of(number) for number in range(12)]
