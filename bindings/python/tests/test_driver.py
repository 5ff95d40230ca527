# SPDX-License-Identifier: MIT
"""The driver: manners of the protocol, and what the conformance suite does not ask."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import iter_unpack, unpack_from
from typing import Any

import pytest
from conftest import Raw
from shmwire import dmxp
from shmwire.dmxp import layout
from shmwire.driver_codec import pattern


class Client:
    """A driver process, and how to ask it."""

    def __init__(self, engine: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "shmwire.driver", "--engine", engine], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._id = 0

    def raw(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        reply: dict[str, Any] = json.loads(self.process.stdout.readline())
        return reply

    def ask(self, cmd: str, **fields: Any) -> dict[str, Any]:
        self._id += 1
        reply = self.raw(json.dumps({"id": self._id, "cmd": cmd, **fields}))
        assert reply.pop("id") == self._id
        return reply

    def ok(self, cmd: str, **fields: Any) -> dict[str, Any]:
        reply = self.ask(cmd, **fields)
        assert "ok" in reply, reply
        answer: dict[str, Any] = reply["ok"]
        return answer

    def code(self, cmd: str, **fields: Any) -> str:
        reply = self.ask(cmd, **fields)
        assert "err" in reply, reply
        code: str = reply["err"]["code"]
        return code

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def client(engine: dmxp.Engine) -> Iterator[Client]:
    driver = Client(engine)
    yield driver
    driver.end()


@pytest.fixture
def made(client: Client, name: str) -> int:
    """The handle of a fresh segment with channel 0 of 4 slots."""
    handle: int = client.ok("create", profile="dmxp", seg=name, options={"size": 1 << 18})["h"]
    client.ok("call", h=handle, verb="dmxp.channel_create", args={"channel": 0, "capacity": "4"})
    return handle


def test_hello(client: Client, engine: str) -> None:
    hello = client.ok("hello", proto=[1, 2])
    assert hello["proto"] == 1
    assert hello["impl"]["language"] == "python"
    assert hello["impl"].get("binding_of") == ("shmwire-c" if engine == "native" else None)
    assert len(hello["profiles"]["dmxp"]["classes"]) == 8
    assert client.code("hello", proto=[2]) == "UNSUPPORTED"


def test_manners(client: Client, made: int) -> None:
    for line in ("", "nonsense", "[1]", '{"id":"x","cmd":"hello"}', '{"id":true,"cmd":"hello"}', "\x00", "x" * (1 << 21)):
        assert client.raw(line)["err"]["code"] == "BAD_REQUEST"
    assert client.raw('{"cmd":"hello","colour":1}')["ok"]["proto"] == 1
    assert client.code("paint") == "UNKNOWN_COMMAND"
    assert client.code("call", h=made, verb="dmxp.paint") == "UNKNOWN_COMMAND"
    assert client.code("create", profile="paint", seg="/x") == "UNSUPPORTED"
    assert client.code("seek", h=made, to="0") == "UNSUPPORTED"
    for fields in ({}, {"h": 99}, {"h": "1x"}, {"h": 1.5}, {"h": True}, {"h": None}):
        assert client.code("inspect", **fields) == "BAD_REQUEST"
    for data in (None, {}, {"hex": "0"}, {"hex": "AA"}, {"hex": "0g"}, {"pat": 2, "seed": 1, "len": 1}, {"pat": 1, "len": 1}):
        assert client.code("write", h=made, channel=0, mode="try", items=[{"data": data}]) == "BAD_REQUEST"
    for fields in ({"mode": "try"}, {"mode": "fast", "max": 1}, {"mode": "try", "max": 0}, {"mode": "try", "max": -1}):
        assert client.code("read", h=made, channel=0, **fields) == "BAD_REQUEST"
    assert client.code("read", h=made, channel=256, mode="try", max=1) == "INVALID_ARGUMENT"
    assert client.code("go") == "BAD_REQUEST"
    assert client.ok("reset") == {}
    assert client.code("inspect", h=made) == "BAD_REQUEST"
    assert client.ok("bye") == {}
    assert client.process.wait(2) == 0


def test_pattern_and_long_data() -> None:
    assert pattern(7, 300)[:3] == bytes([217, 234, 251])
    assert pattern(7, 300)[256] == (31 * 7 + 17 * 256 + 101) % 256
    from shmwire.driver_codec import data_reply
    long = pattern(1, 5000)
    assert data_reply(long) == {"len": "5000", "sha256": hashlib.sha256(long).hexdigest(), "head": long[:32].hex()}
    assert data_reply(long[:4096]) == {"hex": long[:4096].hex()}


def test_injection(client: Client, made: int, raw: Raw) -> None:
    client.ok("inject", clock_ns="1000", clock_step_ns=5, pid=77, runtime=33)
    items = [{"data": {"hex": "aa"}}, {"data": {"hex": "bb"}, "meta": {"sender_pid": 1, "message_type": 2}}]
    assert client.ok("write", h=made, channel=0, mode="try", items=items)["results"] == [
        {"st": "ok", "pos": "0"}, {"st": "ok", "pos": "1"}]
    client.ok("write", h=made, channel=0, mode="batch", items=items)
    assert client.ok("write", h=made, channel=0, mode="block", items=items, timeout_ms=20)["results"] == [{"st": "timeout"}]
    assert [raw.u64(raw.slot(i, layout.SLOT_TIMESTAMP_NS_OFFSET)) for i in range(4)] == [1000, 1005, 1010, 1015]
    assert [raw.u32(raw.slot(i, layout.SLOT_SENDER_PID_OFFSET)) for i in range(4)] == [77, 1, 77, 1]
    assert raw.u32(raw.slot(0, layout.SLOT_SENDER_RUNTIME_OFFSET)) == 33
    client.ok("reset")


def test_claim(client: Client, made: int) -> None:
    claim = client.ok("claim", h=made, channel=0)
    assert (claim["st"], claim["pos"], claim["capacity"]) == ("ok", "0", 1024)
    assert client.code("commit", c=claim["c"], data={"pat": 1, "seed": 1, "len": 1025}) == "TOO_LARGE"
    client.ok("commit", c=claim["c"], data={"hex": "0102"}, meta={"message_type": 4})
    assert client.code("commit", c=claim["c"], data={"hex": "00"}) == "BAD_REQUEST"
    client.ok("abandon", c=client.ok("claim", h=made, channel=0)["c"])
    read = client.ok("read", h=made, channel=0, mode="try", max=9)
    assert [(item["pos"], item["data"]["hex"], item["meta"]["message_type"]) for item in read["items"]] == [("0", "0102", 4)]


def test_error_behind_items_comes_next(client: Client, made: int, raw: Raw) -> None:
    client.ok("write", h=made, channel=0, mode="try", items=[{"data": {"hex": "aa"}}] * 3)
    raw.poke_u32(raw.slot(1, layout.SLOT_PAYLOAD_LEN_OFFSET), 4096)
    read = client.ok("read", h=made, channel=0, mode="try", max=9)
    assert (read["st"], len(read["items"])) == ("ok", 1)
    assert client.code("read", h=made, channel=0, mode="try", max=9) == "CORRUPT"
    assert len(client.ok("read", h=made, channel=0, mode="try", max=9)["items"]) == 1


def test_too_small(client: Client, made: int) -> None:
    client.ok("write", h=made, channel=0, mode="try", items=[{"data": {"pat": 1, "seed": 0, "len": 50}}])
    for mode in ("try", "block", "batch", "peek"):
        reply = client.ask("read", h=made, channel=0, mode=mode, max=1, buffer=49, timeout_ms=100)
        assert (reply["err"]["code"], reply["err"]["needed"]) == ("TOO_SMALL", "50")


def test_truncated_under_its_mapping(client: Client, made: int, name: str, raw: Raw) -> None:
    """SIGBUS becomes an answer, the driver lives on, and the damaged handle stays refused."""
    for _ in range(3):
        client.ok("write", h=made, channel=0, mode="try", items=[{"data": {"hex": "aa"}}])
    os.truncate(raw.path, 4096)
    for _ in range(2):
        assert client.code("read", h=made, channel=0, mode="try", max=9) == "TRUNCATED"
    assert client.code("open", profile="dmxp", seg=name, mode="ro") == "TRUNCATED"
    client.ok("close", h=made)
    assert client.ok("hello", proto=[1])["proto"] == 1
    os.truncate(raw.path, 0)


@pytest.mark.parametrize(("batch", "wait"), [(1, "spin"), (1, "block"), (4, "spin"), (4, "block")])
def test_live_actors(engine: dmxp.Engine, name: str, tmp_path: Path, batch: int, wait: str) -> None:
    common: dict[str, Any] = {"profile": "dmxp", "seg": name, "channel": 0, "seed": 5, "batch": batch, "wait": wait,
                              "limit_ms": 15000}
    writer, reader = Client(engine), Client("native" if engine == "python" else "python")
    history = tmp_path / "history"
    summary: dict[str, Any] = {}
    try:
        with dmxp.create(name, 1 << 18) as segment:
            channel = segment.create_channel(0, 8)
            channel.send_batch([b"not whole", b"x"], [{"message_type": 1}] * 2)
            writer.ok("arm", **common, role="write", actor=3, count=300, sizes=[24, 25, 300, 1024], stutter_us=10)
            reader.ok("arm", **common, role="read", history=str(history))
            reading = threading.Thread(target=lambda: summary.update(reader.ok("go")))
            reading.start()
            assert writer.ok("go")["sent"] == 300
            channel.send(b"", 15, message_type=0xFFFFFFFF)
            reading.join(20)
    finally:
        writer.end()
        reader.end()
    assert summary | {"empty": 0} == {"received": 302, "torn": 2, "empty": 0, "corrupt": 0, "ended": True}
    records = list(iter_unpack("<IIQQIIII", history.read_bytes()))
    assert [record[3] for record in records] == list(range(302))
    assert records[1][6] == zlib.crc32(b"x")
    assert [(record[0], record[1], record[2], record[4]) for record in records[2:]] == [
        (3, 1, i, (24, 25, 300, 1024)[i % 4]) for i in range(300)]


def test_nothing_is_stored_behind_the_fault(client: Client, name: str, raw: Raw) -> None:
    """The payload's page is gone, that of the sequence is not: the message must not be published."""
    handle = client.ok("create", profile="dmxp", seg=name, options={"size": 106496})["h"]
    client.ok("call", h=handle, verb="dmxp.channel_create", args={"channel": 0, "capacity": 4})
    client.ok("write", h=handle, channel=0, mode="try", items=[{"data": {"hex": "00"}}] * 3)
    os.truncate(raw.path, 102400)
    long = [{"data": {"pat": 1, "seed": 3, "len": 1000}}]
    assert client.code("write", h=handle, channel=0, mode="try", items=long) == "TRUNCATED"
    assert raw.u64(raw.entry(0, layout.CHANNEL_TAIL_OFFSET)) == 4
    assert raw.u64(raw.slot(3)) == 3
    assert client.ok("hello", proto=[1])["proto"] == 1


def test_live_payload() -> None:
    from shmwire.driver_live import is_whole, make_payload
    payload = make_payload(3, 70000, 9, 40, 1024)
    assert unpack_from("<IIQII", payload) == (0x57524853, 3, 70000, 40, 9)
    assert payload[24:] == bytes((31 * (3 + 70000 + 9) + 17 * j + 101 * (j >> 8)) % 256 for j in range(24, 40))
    assert is_whole(payload, 1024)
    for at in (0, 8, 16, 20, 30):
        torn = bytearray(payload)
        torn[at] ^= 1
        assert not is_whole(bytes(torn), 1024)


def test_live_limits(client: Client, made: int, name: str) -> None:
    plan = {"profile": "dmxp", "seg": name, "channel": 0, "role": "write", "count": 10, "sizes": [24], "limit_ms": 50}
    client.ok("arm", **plan)
    summary = client.ok("go")
    assert summary["sent"] == 4
    assert summary["full"] > 0
    client.ok("arm", **{**plan, "role": "read", "limit_ms": 50})
    assert client.ok("go") | {"empty": 1} == {"received": 4, "torn": 0, "empty": 1, "corrupt": 0, "ended": False}
    for change in ({"sizes": []}, {"sizes": [23]}, {"sizes": [1025]}, {"role": "paint"}, {"limit_ms": None}):
        assert client.code("arm", **{**plan, **change}) == "BAD_REQUEST"
    assert client.code("arm", **{**plan, "channel": 9}) == "NOT_FOUND"
    assert client.code("arm", **{**plan, "role": "read", "history": "/nowhere/at/all"}) == "NOT_FOUND"
