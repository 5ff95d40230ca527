# SPDX-License-Identifier: MIT
"""Section 8: sleeping and waking."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable

import pytest
import shmwire
from conftest import Raw, finish, run_python
from shmwire import dmxp
from shmwire.dmxp import layout, native_channel, reader

WAITERS = layout.CHANNEL_WAITERS_OFFSET

RECEIVE = """
import sys
from shmwire import dmxp
channel = dmxp.open(sys.argv[1], engine=sys.argv[2]).channel(0)
print("ready", flush=True)
try:
    print(channel.receive(15, spin=0).payload.decode())
except KeyboardInterrupt:
    print("interrupted")
"""


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


def sleeper(name: str, engine: str, raw: Raw) -> subprocess.Popen[str]:
    """Another process, asleep in receive."""
    other = run_python(RECEIVE, name, engine)
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    until(lambda: raw.u32(raw.entry(0, WAITERS)) == 1)
    return other


class Asleep:
    """A thread in one plain FUTEX_WAIT of ten seconds on signal: only a wake ends it, no look at the queue does."""

    def __init__(self, name: str, raw: Raw) -> None:
        self._segment = dmxp.open(name, engine="python")
        self._raw = raw
        self._thread = threading.Thread(target=self._sleep)
        self._thread.start()
        time.sleep(0.2)  # it has to be inside

    def _sleep(self) -> None:
        signal_ = self._raw.entry(0, layout.CHANNEL_SIGNAL_OFFSET)
        self._segment._table.words.futex_wait(signal_, 0, 10_000_000_000)  # type: ignore[attr-defined]

    def woken(self) -> bool:
        """Has it been woken within a second?"""
        self._thread.join(1)
        return not self._thread.is_alive()

    def end(self, segment: dmxp.Segment) -> None:
        """Let it go, by a wake of our own."""
        words = self._segment._table.words  # type: ignore[attr-defined]
        while self._thread.is_alive():
            words.futex_wake(self._raw.entry(0, layout.CHANNEL_SIGNAL_OFFSET), 1)
            self._thread.join(0.01)


def test_every_publication_wakes(segment: dmxp.Segment, channel: dmxp.Channel, name: str, raw: Raw) -> None:
    """[dmxp.wait.wake, dmxp.channel.remove]: send, batch, commit, abandon and removal"""
    def commit() -> None:
        with channel.claim() as claim:
            claim.commit(0)

    for wake in (lambda: channel.send(b"x"), lambda: channel.send_batch([b"x"]), commit, lambda: channel.claim().abandon(),
                 lambda: segment.remove_channel(0)):
        raw.poke_u32(raw.entry(0, layout.CHANNEL_SIGNAL_OFFSET), 0)
        sleeper_ = Asleep(name, raw)
        wake()
        woken = sleeper_.woken()
        sleeper_.end(segment)
        assert woken


def test_counted_waiters_save_the_wake(segment: dmxp.Segment, name: str, raw: Raw) -> None:
    """[dmxp.wait.wake]: nobody is counted, so nobody is woken; with one counted, somebody is"""
    channel = segment.create_channel(0, 4, counted_waiters=True)
    sleeper_ = Asleep(name, raw)
    channel.send(b"x")
    woken = sleeper_.woken()
    sleeper_.end(segment)
    assert not woken
    raw.poke_u32(raw.entry(0, layout.CHANNEL_SIGNAL_OFFSET), 0)
    raw.poke_u32(raw.entry(0, WAITERS), 1)
    sleeper_ = Asleep(name, raw)
    channel.send(b"x")
    woken = sleeper_.woken()
    sleeper_.end(segment)
    assert woken


@pytest.mark.parametrize("counted", [False, True])
def test_wakes_another_process(engine: dmxp.Engine, segment: dmxp.Segment, name: str, raw: Raw, counted: bool) -> None:
    """[dmxp.wait.shared, dmxp.wait.wake, dmxp.wait.count]"""
    channel = segment.create_channel(0, 4, counted_waiters=counted)
    other = sleeper(name, "native" if engine == "python" else "python", raw)
    began = time.monotonic()
    channel.send(b"wake up")
    assert finish(other) == "wake up\n"
    assert time.monotonic() - began < 5
    assert raw.u32(raw.entry(0, WAITERS)) == 0


def test_keyboard_interrupt(engine: dmxp.Engine, channel: dmxp.Channel, name: str, raw: Raw) -> None:
    """It ends a blocking receive within a slice, and the sleeper is counted out again."""
    other = sleeper(name, engine, raw)
    began = time.monotonic()
    other.send_signal(signal.SIGINT)
    assert finish(other) == "interrupted\n"
    assert time.monotonic() - began < 3
    assert raw.u32(raw.entry(0, WAITERS)) == 0


def test_removal_wakes(segment: dmxp.Segment, channel: dmxp.Channel) -> None:
    """[dmxp.channel.remove]"""
    timer = threading.Timer(0.1, segment.remove_channel, (0,))
    timer.start()
    with pytest.raises(shmwire.Closed):
        channel.receive(10, spin=0)
    timer.join()


def test_wake_is_passed_on(channel: dmxp.Channel, raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """[dmxp.wait.pass-on]: one wake for two messages reaches both sleepers well before their sleep of a second ends."""
    monkeypatch.setattr(native_channel, "SLICE_NS", layout.WAIT_SLICE_NS)
    monkeypatch.setattr(reader, "SLICE_NS", layout.WAIT_SLICE_NS)
    taken: list[float] = []

    def take() -> None:
        channel.receive(10, spin=0)
        taken.append(time.monotonic())

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: raw.u32(raw.entry(0, WAITERS)) == 2)
    first = channel.claim()
    second = channel.claim()
    second.commit(0)  # wakes one, which finds nothing: position 0 is not there yet
    time.sleep(0.05)
    began = time.monotonic()
    first.commit(0)  # wakes one for two messages
    for thread in threads:
        thread.join(10)
    assert max(taken) - began < 0.5


def test_timeout(channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.wait.timeout]"""
    for timeout in (0.0, 0.05, 0.25):
        began = time.monotonic()
        with pytest.raises(shmwire.Timeout):
            channel.receive(timeout)
        assert timeout <= time.monotonic() - began < timeout + 3
    assert raw.u32(raw.entry(0, WAITERS)) == 0
    for bad in (-1, float("nan")):
        with pytest.raises(shmwire.InvalidArgumentError):
            channel.receive(bad)


def test_unsignalled_message_is_found(channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.wait.slice]: producers of the source's documents do not signal"""
    channel.send(b"quiet")
    sent = raw.bytes(raw.slot(0), layout.SLOT_SIZE)
    assert channel.receive().payload == b"quiet"

    def publish() -> None:
        raw.poke(raw.slot(1, 8), sent[8:])
        raw.poke_u64(raw.entry(0, layout.CHANNEL_TAIL_OFFSET), 2)
        raw.poke_u64(raw.slot(1), 2)

    timer = threading.Timer(0.1, publish)
    timer.start()
    began = time.monotonic()
    assert channel.receive(10, spin=0).payload == b"quiet"
    assert time.monotonic() - began < 5
    timer.join()


def test_sleep_hook(channel: dmxp.Channel, raw: Raw) -> None:
    """[dmxp.wait.load-first]: a message that comes after the last look and before the sleep is not slept through"""
    calls = []

    def send() -> None:
        calls.append(raw.u32(raw.entry(0, WAITERS)))
        if len(calls) == 1:
            channel.send(b"just in time")

    channel.set_sleep_hook(send)
    began = time.monotonic()
    assert channel.receive(10, spin=0).payload == b"just in time"
    assert time.monotonic() - began < 0.5
    assert calls == [0]
    channel.set_sleep_hook(None)
    with pytest.raises(shmwire.Timeout):
        channel.receive(0.01)
    assert calls == [0]


def test_sleep_hook_that_fails(channel: dmxp.Channel, raw: Raw) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    channel.set_sleep_hook(fail)
    with pytest.raises(ZeroDivisionError):
        channel.receive(0.3, spin=0)
    assert raw.u32(raw.entry(0, WAITERS)) == 0


def test_spinning_does_not_sleep(channel: dmxp.Channel) -> None:
    slept = threading.Event()
    channel.set_sleep_hook(slept.set)
    with pytest.raises(shmwire.Timeout):
        channel.receive(0, spin=1)
    assert not slept.is_set()
    timer = threading.Timer(0.05, channel.send, (b"while spinning",))
    timer.start()
    assert channel.receive(10, spin=10).payload == b"while spinning"
    assert not slept.is_set()
    timer.join()


def test_send_waits_for_room(channel: dmxp.Channel) -> None:
    channel.send_batch([b"1", b"2", b"3", b"4"])
    timer = threading.Timer(0.1, channel.try_receive)
    timer.start()
    assert channel.send(b"5", 10) == 4
    timer.join()
    assert channel.receive_batch().payloads() == [b"2", b"3", b"4", b"5"]


def test_messages(channel: dmxp.Channel) -> None:
    def feed() -> None:
        for i in range(20):
            channel.send(bytes([i]))

    thread = threading.Thread(target=feed)
    thread.start()
    assert [message.payload[0] for message in channel.messages(0.5)] == list(range(20))
    thread.join()


def test_close_under_a_sleeper(engine: dmxp.Engine, segment: dmxp.Segment, channel: dmxp.Channel) -> None:
    """No crash: the mapping stays until the sleeper has left."""
    seen: list[type[BaseException]] = []

    def sleep() -> None:
        try:
            channel.receive(5, spin=0)
        except shmwire.ShmwireException as error:
            seen.append(type(error))

    threads = [threading.Thread(target=sleep) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: segment.channel_info(0).waiters == 3)
    segment.close()
    for thread in threads:
        thread.join(10)
    assert seen == [shmwire.Closed] * 3


def test_process_ids_are_looked_up_after_a_fork(channel: dmxp.Channel) -> None:
    from shmwire import wait
    assert wait.process_id() == os.getpid()
    child = os.fork()
    if child == 0:
        os._exit(0 if wait.process_id() == os.getpid() else 1)
    assert os.waitpid(child, 0)[1] == 0
