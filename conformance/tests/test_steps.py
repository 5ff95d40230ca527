# SPDX-License-Identifier: MIT
"""Steps of the runner, each against a script that behaves and one that does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import script
from shmwire_conform.cases import everything
from shmwire_conform.errors import Finding, HarnessError
from shmwire_conform.process import DriverProcess
from shmwire_conform.segments import Segments
from shmwire_conform.session import Session
from shmwire_conform.transcript import Transcript

SIGNAL_AT = 128 + 24

# Answers everything, except: close waits 0.3 s, inspect changes channel[0].signal and answers 0.2 s later, call wakes one
# sleeper on it.
BODY = """
import ctypes, mmap
def word():
    global where
    fd = os.open(where, os.O_RDWR)
    mapping = mmap.mmap(fd, 0)
    os.close(fd)
    return ctypes.c_uint32.from_buffer(mapping, 152)
def reply(ask):
    global where
    if ask['cmd'] == 'open':
        where = ask['seg']
        return {'ok': {'h': 1}}
    if ask['cmd'] == 'close':
        time.sleep(0.3)
    if ask['cmd'] == 'inspect':
        word().value += 1
        time.sleep(0.2)
        return {'ok': {'fields': {}}}
    if ask['cmd'] == 'call':
        ctypes.CDLL(None).syscall(202 if os.uname().machine == 'x86_64' else 98, ctypes.byref(word()), 1, 1, None, None, 0)
    return {'ok': {}}
"""
OPEN = {"on": "A", "cmd": "open", "mode": "rw"}
INSPECT = {"on": "A", "cmd": "inspect"}
WAKE = {"on": "A", "cmd": "call", "verb": "x"}


def runner(cmd: str, **rest: Any) -> dict[str, Any]:
    return {"on": "runner", "cmd": cmd, **rest}


SNAPSHOT = runner("snapshot", **{"as": "s"})
ASLEEP = runner("futex-wait", field="channel[0].signal")
THEN = [{"off": "384", "hex": "07", "field": "channel[0].head"}]

PASSING: dict[str, list[dict[str, Any]]] = {
    "bytes": [runner("bytes", off="8", hex="01000000")],
    "fields": [INSPECT, runner("fields", expect={"channel[0].signal": "2", "channel[0].capacity": "4"})],
    "invariants": [runner("invariants")],
    "same": [SNAPSHOT, runner("same", **{"as": "s"})],
    "changed": [SNAPSHOT, INSPECT, runner("changed", **{"as": "s"}, patch=[{"off": str(SIGNAL_AT), "hex": "02000000"}])],
    "poke": [runner("poke", field="channel[0].waiters", value="3"), runner("bytes", off=str(SIGNAL_AT + 4), hex="03000000")],
    "stat": [runner("stat", mode="0600", size="106496"), runner("truncate", size="4096"), runner("stat", size="4096")],
    "lock": [runner("lock"), runner("unlock"), runner("lock")],
    "woken": [ASLEEP, WAKE, runner("woken", **{"is": True}, within_ms=2000)],
    "asleep": [ASLEEP, runner("woken", **{"is": False}, within_ms=50)],
    "nobody": [runner("futex-wake", field="channel[0].signal", woken=0, within_ms=30)],
    "pending": [
        runner("start", step={"on": "A", "cmd": "close"}), runner("pending", on_driver="A", ms=100),
        runner("finish", on_driver="A", within_ms=1500),
    ],
    "watch": [
        runner("watch", step=INSPECT, off=str(SIGNAL_AT), hex="01000000", then=[{"off": "8", "hex": "01000000"}]),
    ],
}  # fmt: skip

FAILING: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "bytes": ("header.version", [runner("bytes", off="8", hex="02000000")]),
    "fields": ("channel\\[0\\].signal: expected 1, got 2", [INSPECT, runner("fields", expect={"channel[0].signal": "1"})]),
    "invariants": ("channel\\[0\\].waiters", [runner("poke", field="channel[0].waiters", value="3"), runner("invariants")]),
    "same": ("channel\\[0\\].signal", [SNAPSHOT, INSPECT, runner("same", **{"as": "s"})]),
    "changed": ("channel\\[0\\].signal", [SNAPSHOT, INSPECT, runner("changed", **{"as": "s"}, patch=[])]),
    "stat": ("mode: expected 0644, got 0600", [runner("stat", mode="0644")]),
    "absent": ("must be none", [runner("absent")]),
    "woken": ("not woken", [ASLEEP, runner("woken", **{"is": True}, within_ms=50)]),
    "asleep": ("was woken", [ASLEEP, WAKE, runner("woken", **{"is": False}, within_ms=500)]),
    "sleeper": ("0 wakes found a sleeper, expected 1", [runner("futex-wake", field="channel[0].signal", woken=1, within_ms=30)]),
    "pending": ("answered at once", [runner("start", step=INSPECT), runner("pending", on_driver="A", ms=1000)]),
    "finish": (
        "the reply took", [runner("start", step={"on": "A", "cmd": "close"}), runner("finish", on_driver="A", within_ms=50)],
    ),
    "within": ("the reply took", [{"on": "A", "cmd": "close", "within_ms": 50}]),
    "watch": (
        "had changed when channel\\[0\\].head was",
        [runner("watch", step=INSPECT, off=str(SIGNAL_AT), hex="01000000", then=THEN)],
    ),
}  # fmt: skip


HOLD = runner("hold", number="9", keeper=True)
EMPTY = "shmcomm/golden/empty-pubsub"

# Of profile shmcomm, on one of its segments.
CHANNEL_PASSING: dict[str, list[dict[str, Any]]] = {
    "held": [HOLD, runner("held", number="9", keeper=True, **{"is": True}), runner("held", number="8", **{"is": False})],
    "endpoint": [runner("hold", number="9"), runner("held", number=str(9 + (1 << 31)), **{"is": False})],
    "released": [HOLD, runner("release", number="9", keeper=True), runner("held", number="9", keeper=True, **{"is": False})],
    "place": [
        runner("place", of="_rep_9", case=EMPTY, patch=[{"off": "8", "hex": "03"}]), HOLD,
        runner("fields", of="_rep_9", expect={"header.version": "3"}), runner("held", of="_rep_9", number="9", **{"is": False}),
    ],
    "posix": [runner("place", of="/shmcomm_pub_$name", case=EMPTY), runner("stat", of="/shmcomm_pub_$name", size="4224")],
    "kill": [runner("kill", on_driver="A"), INSPECT, runner("invariants")],
}  # fmt: skip

CHANNEL_FAILING: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "held": ("no write lock on byte 9", [runner("held", number="9", **{"is": True})]),
    "keeper": (
        "no write lock on byte 2147483657",
        [runner("hold", number="9"), runner("held", number="9", keeper=True, **{"is": True})],
    ),
    "not held": ("a write lock on byte 9", [HOLD, runner("held", number="9", **{"is": False})]),
    "hold": ("somebody holds a lock on byte 9", [HOLD, HOLD]),
    "of": ("there is no segment", [runner("held", of="_rep_8", number="9", **{"is": False})]),
}  # fmt: skip


def perform(tmp_path: Path, steps: list[dict[str, Any]], profile: str = "dmxp", case: str = "dmxp/golden/one-message") -> None:
    image = everything().image(case)
    assert image is not None
    segments, process = Segments(), DriverProcess(script(tmp_path, BODY))
    process.greet()
    session = Session(profile, segments, {"A": process}, Transcript("x", {}))
    try:
        session.place(image, case)
        session.run([OPEN, *steps])
    finally:
        session.close()
        process.kill()
        left = segments.leftovers()
        segments.clean()
    assert left == []


@pytest.mark.parametrize("name", PASSING)
def test_met(tmp_path: Path, name: str) -> None:
    perform(tmp_path, PASSING[name])


@pytest.mark.parametrize("name", FAILING)
def test_not_met(tmp_path: Path, name: str) -> None:
    words, steps = FAILING[name]
    with pytest.raises(Finding, match=words) as caught:
        perform(tmp_path, steps)
    assert caught.value.on == "A"


@pytest.mark.parametrize("name", CHANNEL_PASSING)
def test_met_by_a_channel(tmp_path: Path, name: str) -> None:
    perform(tmp_path, CHANNEL_PASSING[name], "shmcomm", EMPTY)


@pytest.mark.parametrize("name", CHANNEL_FAILING)
def test_not_met_by_a_channel(tmp_path: Path, name: str) -> None:
    words, steps = CHANNEL_FAILING[name]
    with pytest.raises(Finding, match=words):
        perform(tmp_path, steps, "shmcomm", EMPTY)


def test_release_without_hold_is_the_suites_fault(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="without hold"):
        perform(tmp_path, [runner("release", number="9")], "shmcomm", EMPTY)


def test_one_futex_wake_is_counted(tmp_path: Path) -> None:
    """A sleeper in the same file is found by futex-wake."""
    perform(tmp_path, [ASLEEP, runner("futex-wake", field="channel[0].signal", woken=1, within_ms=500)])
