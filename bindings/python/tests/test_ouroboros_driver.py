# SPDX-License-Identifier: MIT
"""The driver with profile ouroboros: what the conformance suite does not ask."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import iter_unpack

import pytest
from shmwire import ouroboros
from test_driver import Client


@pytest.fixture
def client(engine: ouroboros.Engine) -> Iterator[Client]:
    driver = Client(engine)
    yield driver
    driver.end()


def test_claims(client: Client) -> None:
    claims = client.ok("hello", proto=[1])["profiles"]["ouroboros"]
    assert set(claims["classes"]) == {"inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery"}
    assert claims["features"] == ["batch", "view"]


def test_refusals(client: Client, name: str) -> None:
    """A writer does not read, a reader does not write, and nothing of it harms the handle."""
    writer = client.ok("create", profile="ouroboros", seg=name, options={"chunk_count": 2, "chunk_target_size": "64"})["h"]
    reader = client.ok("open", profile="ouroboros", seg=name, mode="ro", options={})["h"]
    items = [{"data": {"hex": "61"}}]
    assert client.code("read", h=writer, mode="try", max=1) == "UNSUPPORTED"
    assert client.code("seek", h=writer, to="latest") == "UNSUPPORTED"
    assert client.code("write", h=reader, mode="try", items=items) == "UNSUPPORTED"
    assert client.code("read", h=reader, mode="peek", max=1) == "UNSUPPORTED"
    assert client.code("claim", h=writer, channel=0) == "UNSUPPORTED"
    assert client.code("open", profile="ouroboros", seg=name, mode="rw") == "UNSUPPORTED"
    assert client.code("open", profile="ouroboros", seg=name, mode="ro", options={"from": "first"}) == "BAD_REQUEST"
    assert client.code("seek", h=reader) == "BAD_REQUEST"
    assert client.code("call", h=reader, verb="ouroboros.view_check", args={"v": 1}) == "BAD_REQUEST"
    assert client.code("call", h=reader, verb="dmxp.validate") == "UNKNOWN_COMMAND"
    assert client.code("write", h=writer, mode="batch", items=[*items, {"data": {"hex": ""}}]) == "INVALID_ARGUMENT"
    results = client.ok("write", h=writer, mode="batch", items=items * 2)["results"]
    assert results == [{"st": "ok", "seq": "1"}, {"st": "ok", "seq": "2"}]
    assert [item["seq"] for item in client.ok("read", h=reader, mode="batch", max=9)["items"]] == ["1", "2"]
    assert client.ok("call", h=writer, verb="ouroboros.info", args={})["entries_written"] == "2"
    client.ok("close", h=writer)
    assert client.ok("open", profile="ouroboros", seg=name, mode="rw", options={"resume": True})["h"] > reader


@pytest.mark.parametrize("batch", [1, 16])
def test_live_records(client: Client, name: str, tmp_path: Path, batch: int) -> None:
    """The reader's records are what the writer wrote: CRC, sequences, skips."""
    with ouroboros.create(name, 4, 1 << 14):
        pass
    history = tmp_path / "history"
    plan = {"profile": "ouroboros", "seg": name, "count": 300, "batch": batch, "limit_ms": 10_000, "seed": 3}
    client.ok("arm", **plan, role="write", actor=9, sizes=[24, 61, 200])
    assert client.ok("go") == {"sent": 300, "full": 0}
    client.ok("arm", **plan, role="read", history=str(history), **{"from": "oldest"})
    assert client.ok("go") == {"received": 300, "torn": 0, "empty": 0, "corrupt": 0, "ended": True, "skipped": 0}
    records = list(iter_unpack("<IIQQIIII", history.read_bytes()))
    with ouroboros.Reader(name) as reader:
        entries = reader.read_batch(400)
    assert records == [(9, 0, i, i + 1, len(entry.data), 0, zlib.crc32(entry.data), 0) for i, entry in enumerate(entries)]
    assert len(records) == 300


def test_live_counts_what_is_torn(client: Client, name: str) -> None:
    with ouroboros.create(name, 2, 4096) as log:
        log.write_batch([b"no such payload", b"x" * 64])
    plan = {"profile": "ouroboros", "seg": name, "count": 2, "limit_ms": 5000}
    client.ok("arm", **plan, role="read")
    summary = client.ok("go")
    assert (summary["received"], summary["torn"], summary["ended"]) == (2, 2, True)
