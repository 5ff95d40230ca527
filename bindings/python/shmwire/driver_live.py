# SPDX-License-Identifier: MIT
"""Live actors of the driver protocol (spec/driver-protocol.md, section 4): one writer or reader at full speed."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterable
from functools import cache
from struct import Struct
from typing import IO, Any, Final, Protocol

from . import dmxp
from .driver_codec import U32, U64, BadRequest, Json, integer, pattern, text, word
from .errors import Closed, CorruptError, Timeout

PAYLOAD_MAGIC: Final = 0x57524853
HEAD: Final = Struct("<IIQII")  # magic, actor, sequence, length, seed
RECORD: Final = Struct("<IIQQIIII")
TYPE_DATA: Final = 1
TYPE_END: Final = 0xFFFF_FFFF
STUTTER_EVERY: Final = 64
LARGEST_BATCH: Final = 1024
SPINS_BEFORE_YIELD: Final = 64
BLOCK_SLICE: Final = 0.05  # seconds, so that limit_ms is looked at while blocked


class Port(Protocol):
    """What an actor needs of a profile: one channel, opened for it alone."""

    largest_payload: int
    largest_batch: int

    def send(self, payloads: list[bytes], timeout: float) -> bool:
        """All of them or none; False when there was no room for `timeout` seconds. Closed."""

    def receive(self, limit: int, timeout: float) -> Iterable[dmxp.Message]:
        """What is there, up to `limit`, after up to `timeout` seconds. Closed, CorruptError."""

    def close(self) -> None:
        """Let go of the segment."""


class DmxpPort:
    """Profile dmxp for a live actor."""

    def __init__(self, segment: dmxp.Segment, channel: dmxp.Channel) -> None:
        self._segment = segment
        self._channel = channel
        self.largest_payload = channel.payload_capacity
        self.largest_batch = min(channel.capacity, LARGEST_BATCH)
        self._metas: list[dmxp.MetaFields] = [{"message_type": TYPE_DATA}] * LARGEST_BATCH

    def send(self, payloads: list[bytes], timeout: float) -> bool:
        if len(payloads) > 1:
            return self._channel.send_batch(payloads, self._metas[:len(payloads)]) is not None
        if timeout == 0:
            return self._channel.try_send(payloads[0], message_type=TYPE_DATA) is not None
        try:
            self._channel.send(payloads[0], timeout, message_type=TYPE_DATA)
        except Timeout:
            return False
        return True

    def receive(self, limit: int, timeout: float) -> Iterable[dmxp.Message]:
        if limit > 1:
            batch = self._channel.receive_batch(limit)
            if batch or timeout == 0:
                return batch
        try:
            message = self._channel.receive(timeout, spin=0) if timeout > 0 else self._channel.try_receive()
        except Timeout:
            return ()
        return (message,) if message is not None else ()

    def close(self) -> None:
        self._segment.close()


@cache
def _pattern(base: int, length: int) -> bytes:
    return pattern(base, length)


def make_payload(actor: int, sequence: int, seed: int, length: int, largest: int) -> bytes:
    """A payload that says what it must hold."""
    body = _pattern((actor + sequence + seed) & 0xFF, largest)
    return HEAD.pack(PAYLOAD_MAGIC, actor, sequence, length, seed) + body[HEAD.size:length]


def is_whole(payload: bytes, largest: int) -> bool:
    """Does a payload hold what it says?"""
    if len(payload) < HEAD.size:
        return False
    magic, actor, sequence, length, seed = HEAD.unpack_from(payload)
    if magic != PAYLOAD_MAGIC or length != len(payload):
        return False
    return payload[HEAD.size:] == _pattern((actor + sequence + seed) & 0xFF, largest)[HEAD.size:length]


class Actor:
    """An armed actor: its plan, its port, and, of a reader, its history file."""

    def __init__(self, plan: Json, port: Port) -> None:
        self.port = port
        self.writes = word(plan, "role", ("write", "read")) == "write"
        self.wait = BLOCK_SLICE if word(plan, "wait", ("spin", "block"), "spin") == "block" else 0.0
        self.actor = integer(plan, "actor", U32, 0)
        self.seed = integer(plan, "seed", U32, 0)
        self.count = integer(plan, "count", U64, 0)
        # A batch that the channel can never take at once would be full for ever.
        self.batch = min(integer(plan, "batch", LARGEST_BATCH, 1) or 1, port.largest_batch)
        self.stutter = integer(plan, "stutter_us", U32, 0) / 1e6
        self.limit_ns = integer(plan, "limit_ms", U32) * 1_000_000
        self.sizes = self._sizes(plan) if self.writes else []
        self._spins = 0
        self._largest = max(port.largest_payload, dmxp.PAYLOAD_CAPACITY_CRATE)
        self._history: IO[bytes] | None = None
        if not self.writes and plan.get("history") is not None:
            self._history = open(text(plan, "history"), "wb")

    def _sizes(self, plan: Json) -> list[int]:
        sizes = plan.get("sizes")
        least, most = HEAD.size, self.port.largest_payload
        if not isinstance(sizes, list) or not sizes:
            raise BadRequest("sizes is missing or empty")
        if not all(isinstance(size, int) and least <= size <= most for size in sizes):
            raise BadRequest(f"sizes holds something else than {least} to {most}")
        return sizes

    def close(self) -> None:
        """Let go of everything."""
        self.port.close()
        if self._history is not None:
            self._history.close()

    def run(self) -> Json:
        """Go: the actor's summary, when it is done."""
        return self._write() if self.writes else self._read()

    def _spin(self) -> None:
        """After an answer that changed nothing: let others run now and then."""
        self._spins += 1
        if self._spins % SPINS_BEFORE_YIELD == 0:
            os.sched_yield()

    def _stutter(self, before: int, after: int) -> None:
        if self.stutter and before // STUTTER_EVERY != after // STUTTER_EVERY:
            time.sleep(self.stutter)

    # Writing --------------------------------------------------------------------------------------------------------

    def _write(self) -> Json:
        end = time.monotonic_ns() + self.limit_ns
        sent = full = 0
        try:
            while sent < self.count:
                number = min(self.batch, self.count - sent)
                payloads = [make_payload(self.actor, i, self.seed, self.sizes[i % len(self.sizes)], self._largest)
                            for i in range(sent, sent + number)]
                while not self.port.send(payloads, self.wait):
                    full += 1
                    if time.monotonic_ns() > end:
                        return {"sent": sent, "full": full}
                    self._spin()
                self._stutter(sent, sent + number)
                sent += number
        except Closed:
            pass
        return {"sent": sent, "full": full}

    # Reading --------------------------------------------------------------------------------------------------------

    def _read(self) -> Json:
        end = time.monotonic_ns() + self.limit_ns
        tally: dict[str, Any] = {"received": 0, "torn": 0, "empty": 0, "corrupt": 0, "ended": False}
        calls = 0
        try:
            while not tally["ended"]:
                calls += 1
                before = tally["received"]
                found = self._receive(tally)
                self._stutter(before, tally["received"])
                if (not found or calls % STUTTER_EVERY == 0) and time.monotonic_ns() > end:
                    break
        except Closed:
            pass
        if self._history is not None:
            self._history.flush()
        return tally

    def _receive(self, tally: dict[str, Any]) -> bool:
        """One call, judged. Messages that stand behind END in the same batch are judged as well: they have been consumed."""
        try:
            messages = self.port.receive(self.batch, self.wait)
        except CorruptError:
            tally["corrupt"] += 1
            return False
        found = False
        for message in messages:
            found = True
            if message.message_type == TYPE_END:
                tally["ended"] = True
                continue
            tally["received"] += 1
            tally["torn"] += not is_whole(message.payload, self._largest)
            self._record(message)
        if not found:
            tally["empty"] += 1
            self._spin()
        return found

    def _record(self, message: dmxp.Message) -> None:
        if self._history is None:
            return
        payload = message.payload
        _, actor, sequence, _, _ = HEAD.unpack_from(payload) if len(payload) >= HEAD.size else (0, 0, 0, 0, 0)
        self._history.write(RECORD.pack(actor, message.message_type, sequence, message.position, len(payload),
                                        message.sender_pid, zlib.crc32(payload), 0))


def arm(plan: Json, port: Port) -> Actor:
    """Prepare an actor; the port is closed again when the plan is malformed."""
    try:
        return Actor(plan, port)
    except BaseException:
        port.close()
        raise


def port_of(segment: dmxp.Segment, plan: Json) -> DmxpPort:
    """Attach to the channel that a plan names."""
    try:
        return DmxpPort(segment, segment.channel(integer(plan, "channel", U32)))
    except BaseException:
        segment.close()
        raise
