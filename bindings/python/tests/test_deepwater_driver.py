# SPDX-License-Identifier: MIT
"""The driver with profile deepwater: what the conformance suite does not ask, and live actors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from struct import iter_unpack
from typing import Any

import pytest
from deepwater_support import base, in_memory
from test_driver import Client

from shmwire.engine import Engine

__all__ = ["base"]
RECORD = "<IIQQIIII"


@pytest.fixture
def client(engine: Engine) -> Iterator[Client]:
    driver = Client(engine)
    yield driver
    driver.end()
    driver.process.communicate(timeout=30)


def make(client: Client, base: str, **options: Any) -> int:
    options = {"rows": 64, "feeds": 2, **options}
    handle: int = client.ok("create", profile="deepwater", seg=base, options=options)["h"]
    return handle


def item(text: str, ts: int, **more: Any) -> dict[str, Any]:
    return {"data": {"hex": text}, "ts": str(ts), **more}


def test_claims(client: Client) -> None:
    claims = client.ok("hello", proto=[1])["profiles"]["deepwater"]
    assert set(claims["classes"]) == {"inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery"}
    assert claims["features"] == ["batch"]


def test_refusals(client: Client, base: str) -> None:
    """Nothing of it harms the handles."""
    writer = make(client, base)
    reader = client.ok("open", profile="deepwater", seg=base, mode="ro")["h"]
    opened = {"profile": "deepwater", "seg": base}
    assert client.code("create", **opened) == "EXISTS"
    assert client.code("open", **opened, mode="rw") == "BUSY"
    assert client.code("open", **opened, mode="rx") == "BAD_REQUEST"
    assert client.code("open", **opened, mode="ro", options={"feed": "none"}) == "NOT_FOUND"
    assert client.code("open", **opened, mode="ro", options={"from": "middle"}) == "BAD_REQUEST"
    assert client.code("create", **opened, options={"feed": "a/b"}) == "INVALID_NAME"
    assert client.code("create", **opened, options={"feed": "b", "live_window": 0}) == "INVALID_ARGUMENT"
    assert client.code("write", h=reader, mode="try", items=[item("00", 1)]) == "UNSUPPORTED"
    assert client.code("read", h=writer, mode="try", max=1) == "UNSUPPORTED"
    assert client.code("seek", h=writer, to="latest") == "UNSUPPORTED"
    assert client.code("read", h=reader, mode="view", max=1) == "UNSUPPORTED"
    assert client.code("read", h=reader, mode="try", max=0) == "BAD_REQUEST"
    assert client.code("claim", h=writer, len=1) == "UNSUPPORTED"
    assert client.code("write", h=writer, mode="block", items=[]) == "BAD_REQUEST"
    assert client.code("write", h=writer, mode="try", items=[{"data": {"hex": "00"}}]) == "BAD_REQUEST"
    assert client.code("call", h=reader, verb="deepwater.rotate", args={}) == "UNSUPPORTED"
    assert client.code("call", h=writer, verb="deepwater.cursor", args={}) == "UNSUPPORTED"
    assert client.code("call", h=writer, verb="deepwater.nothing", args={}) == "UNKNOWN_COMMAND"
    assert client.code("call", verb="deepwater.rotate", args={}) == "BAD_REQUEST"
    assert client.code("call", verb="deepwater.gc", args={"seg": base}) == "BUSY"
    assert client.ok("read", h=reader, mode="block", max=1, timeout_ms=1)["st"] == "timeout"
    assert client.ok("read", h=reader, mode="try", max=1) == {"st": "empty", "items": []}


def test_items_done_before_an_error(client: Client, base: str) -> None:
    writer = make(client, base, rows=1)
    for mode, first in (("try", 5), ("batch", 6)):
        reply = client.ask("write", h=writer, mode=mode, items=[item("00", first), item("01", first), item("02", 1)])
        assert (reply["err"]["code"], reply["err"]["done"]) == ("OUT_OF_ORDER", 2)
    assert client.ok("write", h=writer, mode="batch", items=[item("03", 7), item("04", 8)])["results"] == [
        {"st": "ok", "seq": "4"}, {"st": "ok", "seq": "5"}]
    big = {"data": {"pat": 1, "seed": 1, "len": 4096}, "ts": "9"}
    reply = client.ask("write", h=writer, mode="try", items=[big])
    assert (reply["err"]["code"], reply["err"]["done"]) == ("FULL", 0)
    make(client, base, feed="second")
    assert client.code("create", profile="deepwater", seg=base, options={"feed": "third"}) == "FULL"


def test_expired_comes_behind_items(client: Client, base: str) -> None:
    writer = make(client, base, live_window=1)
    reader = client.ok("open", profile="deepwater", seg=base, mode="ro")["h"]
    client.ok("write", h=writer, mode="try", items=[item("00", 1), item("01", 2)])
    assert client.ok("read", h=reader, mode="try", max=1)["items"][0]["seq"] == "0"
    for number in range(3):
        client.ok("call", h=writer, verb="deepwater.rotate", args={})
        client.ok("write", h=writer, mode="try", items=[item("02", 3 + number, type=7)])
    found = client.ok("read", h=reader, mode="try", max=9)
    assert found == {"st": "ok", "items": [{"data": {"hex": "01"}, "seq": "1", "ts": "2", "type": 0, "chunk": "0"}]}
    assert client.ok("read", h=reader, mode="try", max=9) == {"st": "expired", "lost": "2", "items": []}
    assert client.ok("read", h=reader, mode="try", max=9) == {
        "st": "ok", "items": [{"data": {"hex": "02"}, "seq": "4", "ts": "5", "type": 7, "chunk": "3"}]}
    client.ok("close", h=writer)
    client.ok("call", verb="deepwater.retire", args={"seg": base})
    assert client.ok("read", h=reader, mode="block", max=1, timeout_ms=10_000)["st"] == "closed"
    assert client.code("open", profile="deepwater", seg=base, mode="rw") == "CLOSED"
    assert client.ok("call", verb="deepwater.feeds", args={"seg": base}) == {"feeds": ["feed"]}


def test_injection(client: Client, base: str) -> None:
    client.ok("inject", clock_ns="1000", pid=7, boot_ns="99")
    writer = make(client, base, persist=True)
    client.ok("write", h=writer, mode="try", items=[item("0011", 5, type=3)])
    fields = client.ok("inspect", h=writer)["fields"]
    wanted = {"registry.count": "1", "feed.name": "feed", "feed.directory": "feed", "feed.flags": "1", "feed.created_ns": "1000",
              "feed_registry.writer_pid": "7", "feed_registry.heartbeat_ns": "99", "feed_registry.last_sequence": "0",
              "row[0].state": "1", "row[0].start_ns": "5", "row[0].data_capacity": "4096"}
    assert {key: fields[key] for key in wanted} == wanted
    client.ok("close", h=writer)
    assert client.ok("call", verb="deepwater.validate", args={"seg": base}) == {}
    assert in_memory(base) == []


# Live -----------------------------------------------------------------------------------------------------------------


def live(engine: Engine, base: str, history: Path, writing: dict[str, Any], reading: dict[str, Any]
         ) -> tuple[Any, Any, list[Any]]:
    """One writer and one reader at full speed: their summaries, and the reader's records."""
    writer, reader = Client(engine), Client(engine)
    try:
        plan = {"profile": "deepwater", "seg": base, "actor": 3, "seed": 9, "limit_ms": 60_000, "count": 300}
        options = {"chunk_size": "4096", "rows": 512, "feeds": 2, **writing.pop("open", {})}
        writer.ok("arm", **plan, **writing, open=options, role="write", sizes=[24, 40, 100])
        reader.ok("arm", **plan, **reading, role="read", history=str(history))
        answers: dict[str, Any] = {}
        threads = [threading.Thread(target=lambda name=name, who=who: answers.update({name: who.ok("go")}))
                   for name, who in (("write", writer), ("read", reader))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
        assert in_memory(base) != []  # the writer stays until it is told to go
        for one in (writer, reader):
            one.ok("reset")
            one.ok("bye")
            one.process.wait(20)
        return answers["write"], answers["read"], list(iter_unpack(RECORD, history.read_bytes()))
    finally:
        for one in (writer, reader):
            one.end()
            one.process.communicate(timeout=30)


@pytest.mark.parametrize("batch", [1, 16])
def test_live_actors(engine: Engine, base: str, tmp_path: Path, batch: int) -> None:
    wrote, read, records = live(engine, base, tmp_path / "history",
                                {"open": {"persist": True}, "rotate_every": 20, "batch": batch},
                                {"wait": "block", "batch": batch, "from": "oldest"})
    assert (wrote["sent"], wrote["full"]) == (300, 0)
    assert (read["received"], read["torn"], read["corrupt"], read["lost"], read["ended"]) == (300, 0, 0, 0, True)
    assert [record[2] for record in records] == [record[3] for record in records] == list(range(300))
    assert {record[0] for record in records} == {3} and {record[1] for record in records} == {1}
    assert len({record[5] for record in records}) > 5 and all(record[7] == 0 for record in records)
    assert all(record[4] in (24, 40, 100) and record[6] for record in records)
    assert in_memory(base) == []


def test_live_reader_counts_what_expired(engine: Engine, base: str, tmp_path: Path) -> None:
    wrote, read, records = live(engine, base, tmp_path / "history", {"open": {"live_window": 1}, "rotate_every": 7},
                                {"slow_us": 300, "sequence": "0"})
    assert wrote["sent"] == 300 and read["ended"] and read["torn"] == read["corrupt"] == 0
    assert read["received"] + read["lost"] == 300 == len(records) + sum(record[7] for record in records)
    assert records[-1][3] == 299
