# SPDX-License-Identifier: MIT
"""The manners of shmwire-driver-c. What it says about dmxp is the conformance suite's business; here are the lines, the
handles, the truncated mapping and the live actors' records."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from support import driver, ok, pattern, poke, start_actor, summary

Make = Callable[..., Path]


def test_hello() -> None:
    with driver() as d:
        body = d.good("hello", proto=[1, 2], suite="test", env={})
        assert body["proto"] == 1 and body["impl"]["language"] == "c"
        assert set(body["profiles"]["dmxp"]["features"]) == {"batch", "split", "inject", "sleep-hook"}
        assert d.code("hello", proto=[2]) == "UNSUPPORTED"


BAD_LINES = [
    b"", b"nonsense", b"[]", b"7", b'{"id":1}', b'{"id":1,"cmd":7}', b'{"id":"x","cmd":"reset"}', b'{"id":1,"cmd":"reset"} x',
    b'{"id":1,"cmd":"read","h":99}', b'{"id":1,"cmd":"read","h":-1}', b'{"id":1,"cmd":"read","h":1.5}', b'{"id":1,"cmd":"go"}',
    b'{"id":1,"cmd":"open","profile":"dmxp"}', b'{"id":1,"cmd":"commit","c":1}', b'{"id":1,"cmd":"reset\0"}',
    b'{"id":1,"cmd":"reset","pad":"' + b"x" * (1 << 20) + b'"}',
]


@pytest.mark.parametrize("line", BAD_LINES, ids=range(len(BAD_LINES)))
def test_bad_requests_leave_the_driver_working(line: bytes) -> None:
    with driver() as d:
        assert d.line(line)["err"]["code"] == "BAD_REQUEST"
        assert d.good("reset") == {}


def test_unknown_command_and_profile() -> None:
    with driver() as d:
        assert d.code("fly") == "UNKNOWN_COMMAND"
        assert d.code("open", profile="nonsense", seg="/x", mode="rw") == "UNSUPPORTED"


def test_numbers_may_be_strings(segment: Make) -> None:
    with driver() as d:
        handle = d.open(segment(count=1))
        assert d.good("read", h=str(handle), channel="0", max="1", mode="try")["items"][0]["data"]["hex"] == pattern(1, 20).hex()


def test_error_after_items_is_the_next_answer(segment: Make) -> None:
    path = segment(count=3)
    poke(path, "slot.payload_len", 5000, slot=1)
    with driver() as d:
        handle = d.open(path)
        assert len(d.good("read", h=handle, channel=0, max=9, mode="try")["items"]) == 1
        assert d.code("read", h=handle, channel=0, max=9, mode="try") == "CORRUPT"
        assert [i["pos"] for i in d.good("read", h=handle, channel=0, max=9, mode="try")["items"]] == ["2"]


def test_truncated_mapping_is_an_error_and_not_the_end(segment: Make) -> None:
    path = segment(count=1)
    with driver() as d:
        handle = d.open(path)
        d.good("read", h=handle, channel=0, max=1, mode="peek")
        os.truncate(path, 4096)
        assert d.code("read", h=handle, channel=0, max=1, mode="peek") == "TRUNCATED"
        assert d.code("write", h=handle, channel=0, items=[{"data": {"hex": "00"}}], mode="try") == "TRUNCATED"
        assert d.good("reset") == {}


def test_sleep_hook_sends_through_a_second_handle(segment: Make) -> None:
    path = segment(count=0)
    with driver() as d:
        handle = d.open(path)
        on_sleep = {"seg": str(path), "channel": 0, "data": {"hex": "5a"}}
        body = d.good("read", h=handle, channel=0, max=1, mode="block", timeout_ms=5000, on_sleep=on_sleep)
        assert body["st"] == "ok" and body["items"][0]["data"]["hex"] == "5a"
        assert d.good("read", h=handle, channel=0, max=1, mode="block", timeout_ms=20)["st"] == "timeout"


def test_injected_clock_counts_messages_that_were_sent(segment: Make) -> None:
    with driver() as d:
        handle = d.open(segment(capacity=2, count=0))
        d.good("inject", clock_ns="1000", clock_step_ns="7", pid=99, runtime=5)
        results = d.send(handle, b"a", b"b", b"c")
        assert [r["st"] for r in results] == ["ok", "ok", "full"]
        items = d.good("read", h=handle, channel=0, max=9, mode="batch")["items"]
        assert [i["meta"]["timestamp_ns"] for i in items] == ["1000", "1007"]
        assert items[0]["meta"]["sender_pid"] == 99 and items[0]["meta"]["sender_runtime"] == 5
        d.send(handle, b"d")
        assert d.good("read", h=handle, channel=0, max=1, mode="try")["items"][0]["meta"]["timestamp_ns"] == "1014"


PLAN = {"profile": "dmxp", "channel": 0, "seed": 9, "stutter_us": 0, "limit_ms": 20000}


@pytest.mark.parametrize("wait", ["spin", "block"])
@pytest.mark.parametrize("batch", [1, 8])
def test_live_actors(segment: Make, tmp_path: Path, wait: str, batch: int) -> None:
    path, history, count, sizes = segment(capacity=4, count=0), tmp_path / "history", 500, [24, 25, 100, 1024]
    base = {**PLAN, "seg": str(path), "batch": batch, "wait": wait}
    reader = start_actor({**base, "role": "read", "actor": 0, "sizes": [], "history": str(history)})
    writer = start_actor({**base, "role": "write", "actor": 3, "count": count, "sizes": sizes})
    assert summary(writer)["sent"] == count
    with driver() as d:
        handle = d.open(path)
        end = {"data": {"hex": ""}, "meta": {"message_type": 0xFFFFFFFF}}
        d.good("write", h=handle, channel=0, mode="block", timeout_ms=5000, items=[end])
    got = summary(reader)
    assert (got["received"], got["torn"], got["corrupt"], got["ended"]) == (count, 0, 0, True)
    records = list(struct.iter_unpack("<IIQQIIII", history.read_bytes()))
    assert len(records) == count
    for i, (actor, kind, sequence, position, length, pid, crc, zero) in enumerate(records):
        head = struct.pack("<IIQII", 0x57524853, 3, i, length, 9)
        payload = head + bytes((31 * (3 + i + 9) + 17 * j + 101 * (j >> 8)) & 255 for j in range(24, length))
        assert (actor, kind, sequence, position, length, zero) == (3, 1, i, i, sizes[i % 4], 0)
        assert crc == zlib.crc32(payload) and pid == writer.pid
    assert ok("validate", path)


def test_reader_ends_at_its_limit(segment: Make) -> None:
    path = str(segment(count=0))
    plan = {**PLAN, "seg": path, "role": "read", "actor": 0, "sizes": [], "batch": 1, "wait": "block", "limit_ms": 100}
    assert summary(start_actor(plan))["ended"] is False
