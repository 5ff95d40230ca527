# SPDX-License-Identifier: MIT
"""Profile deepwater at the size that it is for: 100,000 chunks in a feed, 10,000 feeds in a registry. Every implementation,
through its driver: how many pages a seek touches, and that nothing takes as long as looking at all of it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deepwater_scale import (
    EXPIRED,
    LAST,
    PERSISTED,
    RECORDS,
    ROWS,
    Client,
    make_chunk,
    make_feed,
    records_by_time,
    row_page,
    rows_by_sequence,
    rows_by_time,
    time_of,
)

DRIVERS = ["c", "go", "rust", "python", "native"]
MOST_PAGES = 50
SEEKS = 20
TARGETS = [(1, 3), (38_196, 11_111), (99_998, 19_999)]  # chunk, record in it
LONG_S = 5.0  # nothing here takes a tenth of it on a machine that is idle


@pytest.fixture(params=DRIVERS, scope="module")
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    with Client(request.param) as started:
        yield started


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """A directory that goes away at once: the feeds are of many megabytes."""
    path = tmp_path / "base"
    path.mkdir()
    yield path
    shutil.rmtree(path)


def next_sequence(client: Client, handle: int) -> int:
    """That of the next record, which is what its sequence says."""
    reply = client.ok("read", h=handle, mode="try", max=1)
    assert reply["st"] == "ok", reply
    item = reply["items"][0]
    sequence = int(item["seq"])
    assert item["data"] == {"hex": sequence.to_bytes(8, "little").hex()} and int(item["ts"]) == time_of(sequence)
    return sequence


@pytest.mark.parametrize(("chunk", "record"), TARGETS)
def test_a_seek_by_time_looks_at_few_pages(client: Client, base: Path, chunk: int, record: int) -> None:
    """Of the registry and of one index together. The rest is spoilt."""
    wanted = RECORDS * chunk + record
    moment = time_of(wanted) - 1  # between two records
    rows, records = rows_by_time(moment), records_by_time(chunk, moment)
    assert len(rows | {0}) + len(records | {0}) < MOST_PAGES
    make_feed(base, persist=True, state=PERSISTED, kept=rows)
    make_chunk(base, chunk, records)
    handle = client.reader(base, time=str(moment))
    assert next_sequence(client, handle) == wanted
    client.ok("seek", h=handle, time=str(moment))
    assert next_sequence(client, handle) == wanted


@pytest.mark.parametrize(("chunk", "record"), TARGETS)
def test_a_seek_by_sequence_looks_at_few_pages(client: Client, base: Path, chunk: int, record: int) -> None:
    wanted = RECORDS * chunk + record
    rows = rows_by_sequence(wanted)
    assert len(rows | {0}) < MOST_PAGES
    make_feed(base, persist=True, state=PERSISTED, kept=rows)
    make_chunk(base, chunk)
    handle = client.reader(base, sequence=str(wanted))
    assert next_sequence(client, handle) == wanted
    client.ok("seek", h=handle, sequence=str(wanted))
    assert next_sequence(client, handle) == wanted


def test_questions_look_at_the_header(client: Client, base: Path) -> None:
    """And latest_chunk, where there is one, at its row."""
    make_feed(base, persist=True, state=PERSISTED, kept={0, row_page(ROWS - 1)})
    make_chunk(base, 0)
    handle = client.reader(base)
    assert next_sequence(client, handle) == 0
    for moment in (time_of(LAST), time_of(LAST) + 1):
        reply = client.ok("call", h=handle, verb="deepwater.has_data_since", args={"time": str(moment)})
        assert reply["has"] is (moment <= time_of(LAST))
    with (base / "feed" / "feed_registry.bin").open("r+b") as file:
        file.seek(32)  # latest
        file.write((ROWS - 1).to_bytes(8, "little"))
    assert client.ok("call", h=handle, verb="deepwater.latest_chunk", args={})["chunk"] == str(ROWS - 1)


def test_pages_that_the_kernel_saw_touched(client: Client, base: Path) -> None:
    """Of a registry without a fault. Where the kernel does not tell, the tests above have to do."""
    make_feed(base, persist=True, state=PERSISTED)
    for chunk, _ in TARGETS:
        make_chunk(base, chunk)
    registry = base / "feed" / "feed_registry.bin"
    handle = client.reader(base, sequence=str(RECORDS))
    for chunk, record in TARGETS:
        wanted = RECORDS * chunk + record
        for where in ({"time": str(time_of(wanted))}, {"sequence": str(wanted)}):
            touched = 0
            for _ in range(SEEKS):  # another part of the kernel (DAMON, reclaim) may forget them in between: then once more
                told = client.forget_touches(registry)
                client.ok("seek", h=handle, **where)
                touched = client.touched(registry) if told else 1
                if touched != 0:
                    break
            assert 0 < touched < MOST_PAGES, (where, touched)
            print(where, touched)
            assert next_sequence(client, handle) == wanted


@pytest.mark.parametrize("where", [{"from": "oldest"}, {"time": "0"}, {"time": str(time_of(RECORDS * 38_196 + 5))},
                                   {"sequence": "7"}], ids=["oldest", "time-0", "time", "sequence"])
def test_expired_chunks_are_passed_over_at_once(client: Client, base: Path, where: dict[str, str]) -> None:
    """A feed that does not persist keeps the last chunks, live_window of them: nobody looks at the others."""
    rows = {row_page(row) for row in range(ROWS - 5, ROWS)}
    if "time" in where:
        rows |= rows_by_time(int(where["time"]))
    if "sequence" in where:
        rows |= rows_by_sequence(int(where["sequence"]))
    assert len(rows | {0}) < MOST_PAGES
    make_feed(base, persist=False, state=EXPIRED, kept=rows)
    handle = client.reader(base, **where)
    reply = client.ok("read", h=handle, mode="try", max=1)
    if "sequence" in where:
        assert (reply["st"], reply["lost"]) == ("expired", str(LAST + 1 - 7))
        reply = client.ok("read", h=handle, mode="try", max=1)
    assert reply["st"] == "empty"
    cursor = client.ok("call", h=handle, verb="deepwater.cursor", args={})
    assert cursor == {"chunk": str(ROWS), "sequence": str(LAST + 1)}


def test_what_a_power_failure_took_is_passed_over(client: Client, base: Path) -> None:
    """In a feed that persists what has expired can lie anywhere, so that every row is looked at, and at its state alone."""
    left = 99_998
    make_feed(base, persist=True, state=EXPIRED, left=left)
    make_chunk(base, left)
    began = time.monotonic()
    handle = client.reader(base)
    print("opened at the oldest in", time.monotonic() - began)
    assert time.monotonic() - began < LONG_S
    assert next_sequence(client, handle) == RECORDS * left


def test_a_writer_opens_and_goes_on(client: Client, base: Path) -> None:
    """Recovery looks at every row, which is in order."""
    make_feed(base, persist=True, state=PERSISTED)
    began = time.monotonic()
    handle = int(client.ok("open", profile="deepwater", seg=str(base), mode="rw", options={})["h"])
    print("writer opened in", time.monotonic() - began)
    assert time.monotonic() - began < LONG_S
    item = {"data": {"hex": "0123456789abcdef"}, "ts": str(time_of(LAST + 1))}
    assert client.ok("write", h=handle, mode="try", items=[item])["results"] == [{"st": "ok", "seq": str(LAST + 1)}]
    client.ok("close", h=handle)
    reader = client.reader(base, sequence=str(LAST + 1))
    assert client.ok("read", h=reader, mode="try", max=1)["items"][0]["chunk"] == str(ROWS)


def test_one_feed_of_very_many(client: Client, base: Path) -> None:
    """Found by its name, and without a look at the directories of the others, which are not there. The next one is made beside
    them."""
    names = [f"feed-{number:05d}" for number in range(10_000)]
    make_feed(base, persist=True, state=PERSISTED, others=names)
    make_chunk(base, 0)
    began = time.monotonic()
    assert next_sequence(client, client.reader(base)) == 0
    place = {"profile": "deepwater", "seg": str(base)}
    assert client.ask("open", **place, mode="ro", options={"feed": "none"})["err"]["code"] == "NOT_FOUND"
    assert client.ask("create", **place, options={"feed": names[-1]})["err"]["code"] == "EXISTS"
    handle = client.ok("create", **place, options={"feed": "one-more", "rows": 64})["h"]
    print("found, missed and made in", time.monotonic() - began)
    assert time.monotonic() - began < LONG_S
    client.ok("close", h=handle)
    assert client.ask("create", **place, options={"feed": "too-many"})["err"]["code"] == "FULL"
