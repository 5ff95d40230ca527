# SPDX-License-Identifier: MIT
"""Hostile bytes: whatever a segment holds, every call ends soon, in a value or in an exception of the registry."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable

import pytest
import shmwire
from conftest import Raw
from shmwire import dmxp
from shmwire.dmxp import layout

INTERESTING = [0, 1, 2, 3, 4, 5, 127, 128, 960, 1024, 1025, 98431, 98432, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1088, 2**64 - 1]
ROUNDS = 600


def seed() -> int:
    """SHMWIRE_TEST_SEED, or 1."""
    return int(os.environ.get("SHMWIRE_TEST_SEED", "1"))


def disturb(random_: random.Random, raw: Raw) -> None:
    """One to six faults in the header, the first two entries and the first band."""
    words = [*range(0, 24, 4), *(raw.entry(c, f) for c in (0, 1) for f in (0, 4, 8, 16, 24, 28, 32, 128, 256)),
             *(raw.slot(i, f) for i in range(4) for f in (0, 8, 28, 36, 40))]
    for _ in range(random_.randint(1, 6)):
        at = random_.choice(words)
        width = random_.choice([1, 4, 8])
        value = random_.choice([random_.choice(INTERESTING), random_.getrandbits(64)])
        raw.poke(at, (value % 2 ** (8 * width)).to_bytes(width, "little"))


def calls(segment: dmxp.Segment, channel: dmxp.Channel) -> list[Callable[[], object]]:
    return [segment.validate, segment.info, segment.channels, lambda: segment.channel(0), lambda: segment.channel(1),
            lambda: segment.channel_info(0), lambda: list(channel.peek()), lambda: channel.try_send(b"x" * 40),
            lambda: channel.send_batch([b"a", b"b"]), lambda: channel.send(b"x", 0.001), channel.try_receive,
            lambda: channel.receive_batch(4), lambda: channel.receive(0.001), lambda: segment.create_channel(2, 2),
            lambda: segment.remove_channel(1), lambda: segment.recover(all_dead=True)]


@pytest.mark.parametrize("round_", range(3))
def test_hostile_bytes(engine: dmxp.Engine, name: str, raw: Raw, round_: int) -> None:
    random_ = random.Random(seed() * 1000 + round_)
    print("seed", seed(), "round", round_)
    with dmxp.create(name, 1 << 17, engine=engine) as first:
        first.create_channel(0, 4).send_batch([b"one", b"two"])
        first.create_channel(1, 2)
    whole = raw.bytes()
    began = time.monotonic()
    for _ in range(ROUNDS // 3):
        raw.poke(0, whole)
        with dmxp.open(name, engine=engine) as attached:
            channel = attached.channel(0)
            disturb(random_, raw)
            for call in random_.sample(calls(attached, channel), 6):
                with contextlib.suppress(shmwire.ShmwireException):
                    call()
            with contextlib.suppress(shmwire.ShmwireException), dmxp.open(name, "r", engine=engine) as again:
                for number in again.channels():
                    with contextlib.suppress(shmwire.ShmwireException):
                        list(again.channel(number).peek())
        assert raw.path.stat().st_size == len(whole)
    assert time.monotonic() - began < 25


def test_readers_touch_nothing(engine: dmxp.Engine, name: str, raw: Raw) -> None:
    random_ = random.Random(seed())
    with dmxp.create(name, 1 << 17, engine=engine) as first:
        first.create_channel(0, 4).send_batch([b"one", b"two"])
        first.create_channel(1, 2)
    whole = raw.bytes()
    for _ in range(ROUNDS // 3):
        raw.poke(0, whole)
        disturb(random_, raw)
        before = raw.bytes()
        with contextlib.suppress(shmwire.ShmwireException), dmxp.open(name, "r", engine=engine) as segment:
            for call in (segment.validate, lambda: [list(segment.channel(c).peek()) for c in segment.channels()]):
                with contextlib.suppress(shmwire.ShmwireException):
                    call()
        assert raw.bytes() == before


def test_engines_agree(name: str, raw: Raw) -> None:
    """The same bytes, the same calls: the same answers from both engines."""
    random_ = random.Random(seed() + 7)
    with dmxp.create(name, 1 << 17) as first:
        first.create_channel(0, 4).send_batch([b"one", b"two"])
        first.create_channel(1, 2)
    whole = raw.bytes()
    for number in range(ROUNDS):
        raw.poke(0, whole)
        disturb(random_, raw)
        broken = raw.bytes()
        answers = {}
        for engine in dmxp.ENGINES:
            raw.poke(0, broken)
            answers[engine] = answer(name, engine), raw.bytes()
        assert answers["python"][0] == answers["native"][0], number
        assert answers["python"][1] == answers["native"][1], number


def answer(name: str, engine: dmxp.Engine) -> list[object]:
    """What an engine says and does, timestamps and positions near 2^64 left out."""
    said: list[object] = []

    def note(call: Callable[[], object]) -> None:
        try:
            said.append(call())
        except shmwire.ShmwireException as error:
            said.append(error.name)

    try:
        segment = dmxp.open(name, engine=engine)
    except shmwire.ShmwireException as error:
        return [error.name]
    with segment:
        note(segment.validate)
        note(segment.channels)
        for number in (0, 1):
            try:
                channel = segment.channel(number)
            except shmwire.ShmwireException as error:
                said.append(error.name)
                continue
            if segment.channel_info(number).tail > 2**64 - 5000:
                continue
            note(lambda looked=channel: list(looked.peek()))
            note(lambda sender=channel: sender.try_send(b"sent", timestamp_ns=1, sender_pid=2))
            for _ in range(3):
                note(channel.try_receive)
        note(lambda: segment.recover(all_dead=True))
    return said


assert layout.SLOT_SIZE == 1088
