# SPDX-License-Identifier: MIT
"""The driver with profile shmcomm: what the conformance suite does not ask, and live actors of every role."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import iter_unpack
from typing import Any

import pytest
import shmwire
from shmcomm_support import left_over, topic
from shmwire.engine import Engine
from test_driver import Client

__all__ = ["topic"]
RECORD = "<IIQQIIII"


@pytest.fixture
def client(engine: Engine) -> Iterator[Client]:
    driver = Client(engine)
    yield driver
    driver.end()


def make(client: Client, seg: str, role: str = "publisher", **options: Any) -> int:
    options = {"role": role, "capacity": "4096", **options}
    handle: int = client.ok("create", profile="shmcomm", seg=seg, options=options)["h"]
    return handle


def item(text: str, **meta: Any) -> dict[str, Any]:
    return {"data": {"hex": text}, "meta": meta} if meta else {"data": {"hex": text}}


def test_claims(client: Client) -> None:
    claims = client.ok("hello", proto=[1])["profiles"]["shmcomm"]
    assert set(claims["classes"]) == {"inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery"}
    assert claims["features"] == ["batch", "split", "view", "lapped"]


def test_refusals(client: Client, topic: str) -> None:
    """Nothing of it harms the handle."""
    seg = f"/{topic}"
    writer = make(client, seg)
    sub = client.ok("open", profile="shmcomm", seg=seg, mode="rw", options={"role": "subscriber"})["h"]
    assert client.code("create", profile="shmcomm", seg=seg, options={"role": "publisher"}) == "EXISTS"
    assert client.code("create", profile="shmcomm", seg=seg, options={"role": "puller"}) == "BAD_REQUEST"
    assert client.code("open", profile="shmcomm", seg=seg, mode="ro", options={"role": "publisher"}) == "BAD_REQUEST"
    assert client.code("open", profile="shmcomm", seg=seg, mode="rw", options={}) == "BAD_REQUEST"
    assert client.code("open", profile="shmcomm", seg=seg, mode="rw", options={"role": "puller"}) == "UNSUPPORTED"
    assert client.code("open", profile="shmcomm", options={"name": "a b", "role": "puller"}, mode="rw") == "INVALID_NAME"
    assert client.code("write", h=sub, mode="try", items=[item("00")]) == "UNSUPPORTED"
    assert client.code("read", h=writer, mode="try", max=1) == "UNSUPPORTED"
    assert client.code("read", h=sub, mode="peek", max=1) == "UNSUPPORTED"
    assert client.code("call", verb="shmcomm.view_check", args={"v": 1}) == "BAD_REQUEST"
    assert client.code("call", verb="shmcomm.reply", args={"request": 1, "data": {"hex": ""}}) == "BAD_REQUEST"
    assert client.code("call", verb="shmcomm.nothing", args={}) == "UNKNOWN_COMMAND"
    assert client.code("call", verb="shmcomm.remove", args={"seg": seg, "insist": True}) == "BUSY"
    assert client.code("write", h=writer, mode="try", items=[{"data": {"pat": 1, "seed": 1, "len": 2009}}]) == "TOO_LARGE"
    claim = client.ok("claim", h=writer, len=2)
    assert claim == {"st": "ok", "c": claim["c"], "capacity": "2"}
    assert client.code("claim", h=writer, len=2) == "BUSY"
    assert client.code("commit", c=claim["c"], data={"hex": "00"}) == "BAD_REQUEST"
    assert client.ok("commit", c=claim["c"], data={"hex": "0001"}) == {"st": "ok", "seq": "0"}
    assert client.ok("write", h=writer, mode="batch", items=[item("02"), item("03")])["results"] == [
        {"st": "ok", "seq": "1"}, {"st": "ok", "seq": "2"}]
    found = client.ok("read", h=sub, mode="batch", max=9)["items"]
    assert [one["data"]["hex"] for one in found] == ["0001", "02", "03"]


def test_injection_and_names(client: Client, topic: str) -> None:
    client.ok("inject", clock_ns="1000", clock_step_ns="10", pid=7, boot_ns="99")
    writer = client.ok("create", profile="shmcomm", options={"role": "pusher", "name": topic, "serializer": 3, "capacity": "4096",
                                                             "identity": {"endpoint": 5, "instance": "6"}})["h"]
    items = [item("00"), item("01", content_type=9, flags=1), item("02", timestamp_ns="5")]
    client.ok("write", h=writer, mode="try", items=items)
    fields = client.ok("inspect", h=writer)["fields"]
    wanted = {"header.owner_pid": "7", "header.heartbeat_ns": "99", "header.owner_endpoint": "5", "header.instance": "6",
              "frame[0].timestamp_ns": "1000", "frame[0].content_type": "3", "frame[1].timestamp_ns": "1010",
              "frame[1].content_type": "9", "frame[1].flags": "1", "frame[2].timestamp_ns": "5", "frame[2].payload": "02"}
    assert {key: fields[key] for key in wanted} == wanted
    assert client.ok("call", h=writer, verb="shmcomm.info", args={})["segment"] == f"/shmcomm_push_{topic}"
    client.ok("close", h=writer)
    assert client.ok("call", verb="shmcomm.remove", args={"seg": f"/shmcomm_push_{topic}"}) == {"st": "full"}
    assert client.ok("call", verb="shmcomm.remove", args={"seg": f"/shmcomm_push_{topic}", "insist": True}) == {"st": "ok"}


# Live -----------------------------------------------------------------------------------------------------------------


def live(engine: Engine, topic: str, pattern: tuple[str, str, str], history: Path, **more: Any) -> tuple[Any, Any, list[Any]]:
    """One writer and one reader at full speed: their summaries, and the reader's records."""
    creator, writes, reads = pattern
    seg, limit = f"/{topic}", 60_000
    runner, writer, reader = Client(engine), Client(engine), Client(engine)
    try:
        kept = make(runner, seg, creator)
        plan = {"profile": "shmcomm", "seg": seg, "actor": 3, "seed": 9, "limit_ms": limit, "wait": "block", **more}
        reader.ok("arm", **plan, role="read", **{"as": reads}, history=str(history), ends=1)
        writer.ok("arm", **plan, role="write", **{"as": writes}, count=300, sizes=[24, 40, 100])
        answers: dict[str, Any] = {}
        threads = [threading.Thread(target=lambda name=name, who=who: answers.update({name: who.ok("go")}))
                   for name, who in (("write", writer), ("read", reader))]
        for thread in threads:
            thread.start()
        threads[0].join(90)
        sender = kept
        if creator == "replier":
            sender = runner.ok("open", profile="shmcomm", seg=seg, mode="rw", options={"role": "requester"})["h"]
        end = {"data": {"hex": ""}, "meta": {"content_type": 0xFFFF}}
        assert runner.ok("write", h=sender, mode="block", timeout_ms=10_000, items=[end])["results"][0]["st"] == "ok"
        threads[1].join(90)
        for one in (writer, reader, runner):
            one.ok("bye")
            one.process.wait(20)
        return answers["write"], answers["read"], list(iter_unpack(RECORD, history.read_bytes()))
    finally:
        for one in (writer, reader, runner):
            one.end()


PATTERNS = [("publisher", "publisher", "subscriber"), ("pusher", "pusher", "puller"), ("replier", "requester", "replier")]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("batch", [1, 16])
def test_live_actors(engine: Engine, topic: str, tmp_path: Path, pattern: tuple[str, str, str], batch: int) -> None:
    if pattern[2] != "replier":
        wrote, read, records = _with_credit(engine, topic, pattern, tmp_path, batch)
    else:
        wrote, read, records = live(engine, topic, pattern, tmp_path / "history")
        assert (wrote["replied"], wrote["timeouts"], wrote["mismatched"]) == (300, 0, 0)
    assert wrote["sent"] == 300
    assert (read["received"], read["torn"], read["corrupt"], read["lost"], read["ended"]) == (300, 0, 0, 0, True)
    assert [record[2] for record in records] == list(range(300)) and {record[0] for record in records} == {3}
    assert len({record[1] for record in records}) == 1 and all(record[7] == 0 for record in records)
    assert all(record[6] and record[4] in (24, 40, 100) for record in records)
    assert left_over(topic) == []


def _with_credit(engine: Engine, topic: str, pattern: tuple[str, str, str], folder: Path, batch: int
                 ) -> tuple[Any, Any, list[Any]]:
    """Publishers wait for their reader here: nothing may be lost."""
    more: dict[str, Any] = {"batch": batch}
    if pattern[0] == "publisher":
        credit = folder / "credit"
        credit.write_bytes(bytes(64))
        more |= {"credit": {"path": str(credit), "window": 20, "slot": 0}, "view": batch == 1, "flush": True}
    return live(engine, topic, pattern, folder / "history", **more)


def test_records_name_the_payload(engine: Engine, topic: str, tmp_path: Path) -> None:
    from shmwire.driver_live import make_payload

    _, _, records = live(engine, topic, PATTERNS[1], tmp_path / "history")
    sizes = [24, 40, 100]
    for record in records[:10]:
        payload = make_payload(3, record[2], 9, sizes[record[2] % 3], 100)
        assert record[6] == zlib.crc32(payload) and record[4] == len(payload)
    assert os.path.exists("/dev/shm") and shmwire.__version__


def test_a_lock_that_is_held_for_long_is_no_want_of_room(engine: Engine, topic: str) -> None:
    """A pusher that is answered BUSY meanwhile tries again, and does not count it."""
    seg = f"/{topic}"
    runner, writer = Client(engine), Client(engine)
    try:
        kept = make(runner, seg, "pusher")
        plan = {"profile": "shmcomm", "seg": seg, "actor": 3, "seed": 9, "limit_ms": 60_000, "wait": "spin"}
        writer.ok("arm", **plan, role="write", **{"as": "pusher"}, count=3, sizes=[24])
        claim = runner.ok("claim", h=kept, len=8)["c"]
        held = threading.Timer(0.5, lambda: runner.ok("abandon", c=claim))
        held.start()
        assert writer.ok("go") == {"sent": 3, "full": 0}
        held.join()
        fields = runner.ok("inspect", h=kept)["fields"]
        assert (fields["header.message_count"], fields["header.dropped_count"]) == ("3", "0")
    finally:
        for one in (writer, runner):
            one.end()
