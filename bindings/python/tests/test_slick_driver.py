# SPDX-License-Identifier: MIT
"""The driver with profile slick: what the conformance suite does not ask."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import iter_unpack, unpack_from
from typing import Any

import pytest
import shmwire
from shmwire import slick
from test_driver import Client


@pytest.fixture
def client(engine: slick.Engine) -> Iterator[Client]:
    driver = Client(engine)
    yield driver
    driver.end()


def make(client: Client, name: str, **options: Any) -> int:
    handle: int = client.ok("create", profile="slick", seg=name, options={"size": 8, "element_size": 8, **options})["h"]
    return handle


def test_claims(client: Client) -> None:
    claims = client.ok("hello", proto=[1])["profiles"]["slick"]
    assert set(claims["classes"]) == {"inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery"}
    assert claims["features"] == ["batch", "split", "view", "share"]


def test_refusals(client: Client, name: str) -> None:
    """Nothing of it harms the handle."""
    writer = make(client, name)
    reader = client.ok("open", profile="slick", seg=name, mode="ro", options={})["h"]
    items = [{"data": {"hex": "61" * 8}}]
    assert client.code("write", h=reader, mode="try", items=items) == "PERMISSION"
    assert client.code("claim", h=reader, elements=1) == "PERMISSION"
    assert client.code("read", h=reader, mode="peek", max=1) == "UNSUPPORTED"
    assert client.code("open", profile="slick", seg=name, mode="ro", options={"from": "first"}) == "BAD_REQUEST"
    assert client.code("create", profile="slick", seg=name, options={"element_size": 8, "generation": "1.1"}) == "BAD_REQUEST"
    assert client.code("create", profile="slick", seg=name, options={"element_size": 8}) == "EXISTS"
    assert client.code("create", profile="slick", seg=name, options={"size": 3, "element_size": 8}) == "INVALID_ARGUMENT"
    assert client.code("seek", h=reader) == "BAD_REQUEST"
    assert client.code("call", h=reader, verb="slick.view_check", args={"v": 1}) == "BAD_REQUEST"
    assert client.code("call", h=reader, verb="dmxp.validate") == "UNKNOWN_COMMAND"
    assert client.code("write", h=writer, mode="batch", items=[*items, {"data": {"hex": ""}}]) == "INVALID_ARGUMENT"
    assert client.ok("write", h=writer, mode="batch", items=items * 2)["results"] == [{"st": "ok", "pos": "0"},
                                                                                     {"st": "ok", "pos": "1"}]
    claim = client.ok("claim", h=writer, elements=2)
    assert claim.pop("c") > 0 and claim == {"st": "ok", "pos": "2", "capacity": 16}
    assert client.code("claim", h=writer, elements=1) == "BUSY"
    assert [found["pos"] for found in client.ok("read", h=reader, mode="batch", max=9)["items"]] == ["0", "1"]
    client.ok("close", h=writer)  # abandons
    assert client.ok("read", h=reader, mode="try", max=1) == {"st": "empty", "items": []}
    info = client.ok("call", h=reader, verb="slick.info", args={})
    assert (info["cursor"], info["items_read"], info["shm_name"], info["size"]) == ("4", "2", name, 8)


def test_claim_answers(client: Client, name: str) -> None:
    handle = make(client, name)
    for _ in range(2):
        claim = client.ok("claim", h=handle, elements=1)["c"]
        assert client.code("commit", c=claim, data={"hex": "00"}) == "INVALID_ARGUMENT"
        assert client.ok("commit", c=claim, data={"hex": "62" * 8}) == {"st": "ok"}
        assert client.code("commit", c=claim, data={"hex": "62" * 8}) == "BAD_REQUEST"
    claim = client.ok("claim", h=handle, elements=1)["c"]
    with slick.open(name) as queue:
        assert queue.recover(all_dead=True) == 1
    assert client.ok("abandon", c=claim) == {"st": "lapped"}
    assert client.ok("call", h=handle, verb="slick.last", args={})["items"][0] == {
        "data": {"hex": "62" * 8}, "pos": "1", "elements": 1}


def plan(name: str, **more: Any) -> dict[str, Any]:
    return {"profile": "slick", "seg": name, "limit_ms": 20_000, "seed": 3, **more}


@pytest.mark.parametrize("batch", [1, 16])
def test_live_records(client: Client, name: str, tmp_path: Path, batch: int) -> None:
    """The reader's records are what the writer wrote: CRC, sequences, indices."""
    history, until = tmp_path / "history", tmp_path / "until"
    until.write_bytes(b"\1")
    with slick.create(name, 1024, element_size=24) as queue:
        client.ok("arm", **plan(name, role="write", actor=9, count=300, batch=batch, sizes=[24, 48, 48, 72]))
        assert client.ok("go") == {"sent": 300, "full": 0, "given_up": 0}
        client.ok("arm", **plan(name, role="read", batch=batch, history=str(history), until=str(until), **{"from": "oldest"}))
        assert client.ok("go") == {"received": 300, "torn": 0, "empty": 1, "corrupt": 0, "lapped": 0, "ended": True, "lost": 0}
        items = list(queue.reader().batch(400))
    records = list(iter_unpack("<IIQQIIII", history.read_bytes()))
    assert records == [(9, found.elements, i, found.index, len(found.data), 0, zlib.crc32(found.data), 0)
                       for i, found in enumerate(items)]
    assert len(records) == 300


def test_live_ends_and_counts(client: Client, name: str, tmp_path: Path) -> None:
    """Torn payloads are counted, so is what was lost; a reader that nobody told ends with its time."""
    until = tmp_path / "until"
    until.write_bytes(b"\0")
    with slick.create(name, 4, element_size=24) as queue:
        queue.producer().write_batch([b"no such payload at all.."] * 6)
        client.ok("arm", **plan(name, role="read", until=str(until), index="0") | {"limit_ms": 100})
        summary = client.ok("go")
    assert (summary["received"], summary["torn"], summary["lost"], summary["ended"]) == (2, 2, 4, False)


def test_live_credit(client: Client, engine: slick.Engine, name: str, tmp_path: Path) -> None:
    """With credit nothing is lost in a small ring, although the reader is slower."""
    credit, until = tmp_path / "credit", tmp_path / "until"
    credit.write_bytes(bytes(128))
    credit.write_bytes(bytes(64) + b"\xff" * 8 + bytes(56))  # reader 1 has ended
    until.write_bytes(b"\0")
    other = Client(engine)
    try:
        with slick.create(name, 16, element_size=24):
            client.ok("arm", **plan(name, role="write", count=400, batch=3, sizes=[24, 72, 48], actor=1,
                                    credit={"path": str(credit), "window": 16}))
            other.ok("arm", **plan(name, role="read", until=str(until), credit={"path": str(credit), "slot": 0}))
            summaries: list[Any] = []
            thread = threading.Thread(target=lambda: summaries.append(other.ok("go")))
            thread.start()
            sent = client.ok("go")
            with until.open("r+b") as file:  # in place: the reader has it mapped, and write_bytes would shorten it first
                file.write(b"\1")
            thread.join(30)
    finally:
        other.end()
    assert sent == {"sent": 400, "full": 0, "given_up": 0}
    assert (summaries[0]["received"], summaries[0]["lost"], summaries[0]["ended"], summaries[0]["torn"]) == (400, 0, True, 0)
    assert unpack_from("<Q", credit.read_bytes())[0] == 2**64 - 1


def test_live_shared(client: Client, name: str, tmp_path: Path) -> None:
    until, cursor = tmp_path / "until", str(tmp_path / "cursor")
    until.write_bytes(b"\1")
    with slick.create(name, 64, element_size=24) as queue:
        queue.producer().write_batch([bytes(24)] * 9)
        slick.Cursor.create(cursor, queue).close()
        client.ok("arm", **plan(name, role="read", until=str(until), cursor=cursor))
        assert client.ok("go")["received"] == 9
        with slick.Cursor.open(cursor) as shared:
            assert shared.load() == 9
        for broken in ({"cursor": cursor + "-not"}, {"sizes": [25], "role": "write"}, {"sizes": [23], "role": "write"}):
            reply = client.ask("arm", **plan(name, **({"role": "read", "until": str(until)} | broken)))
            assert reply["err"]["code"] in ("NOT_FOUND", "INVALID_ARGUMENT", "BAD_REQUEST")
    shmwire.unlink(cursor)
