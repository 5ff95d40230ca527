# SPDX-License-Identifier: MIT
"""Benchmark actor of the Python implementation, profile shmcomm. Peers are ENGINE-KIND: engine native or python, kind as in the C
actor: words joined by dashes, pub, push or req; view, sleep. Ping writes PATH, pong PATH.back; the writer makes the channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import actor
from actor import Tally
from credit import IN_FLIGHT, Credit
from credit import make as make_credit
from shmwire import shmcomm
from shmwire.shmcomm import Endpoint, Message

MOST_RING = 1 << 26
HEADROOM = 64
WRITER_BITS = 56
READY_S = 10.0
WAIT_S = 1.0


def capacity_of(args: actor.Args) -> int:
    """For twice what is in flight, so that the publisher never evicts what a subscriber with credit has yet to read."""
    frame = args.size + HEADROOM
    capacity = 8192
    while capacity < 2 * IN_FLIGHT * frame and (capacity < MOST_RING or capacity < 4 * frame):
        capacity *= 2
    return capacity


class Bench:
    """What one actor does."""

    def __init__(self, args: actor.Args) -> None:
        engine, _, self.kind = args.peer.partition("-")
        self.args = args
        self.engine = cast(shmcomm.Engine, engine)
        self.push = "push" in self.kind
        self.sleeps = "sleep" in self.kind
        self.capacity = capacity_of(args)
        self.window = min(IN_FLIGHT, self.capacity // 2 // (args.size + HEADROOM))
        lossy = not self.push and args.role in {"read", "write"}
        self.credit = Credit(args) if lossy else None

    def open(self, role: shmcomm.Role, path: str) -> Endpoint:
        sole = role in {"publisher", "pusher"} and self.args.parties - self.args.readers == 1
        return shmcomm.open_endpoint(role, path, shmcomm.Options(capacity=self.capacity, sole=sole, wait=READY_S), self.engine)

    def writer(self, path: str) -> Endpoint:
        return self.open("pusher" if self.push else "publisher", path)

    def reader(self, path: str) -> Endpoint:
        return self.open("puller" if self.push else "subscriber", path)

    # Throughput. Of several publishers each waits by its own count.

    def write(self, out: Endpoint) -> Tally:
        args = self.args
        first = args.party - args.readers << WRITER_BITS
        for i in range(0, args.count, args.batch):
            if self.credit:
                self.credit.wait(i + args.batch + IN_FLIGHT - self.window)
            if args.batch > 1:
                out.send_packed(actor.blob_of(args.size, first + i, args.batch), args.size, timeout=None)
            else:
                out.send(actor.payload_of(args.size, first + i), timeout=None)
        return Tally(args.count)

    def read(self, source: Endpoint) -> Tally:
        tally = Tally(0)
        take = self.batch if self.args.batch > 1 else self.view if "view" in self.kind else self.copy
        told = 0
        while tally.messages < self.args.count:
            got = take(source, tally)
            if self.credit and tally.messages != told and (not got or tally.messages - told > self.window // 8):
                self.credit.give(tally.messages)
                told = tally.messages
            if not got:
                actor.relax(self.args)
        return tally

    def timeout(self) -> float:
        return WAIT_S if self.sleeps else 0.0

    # Each takes one or more messages, counts them, and answers whether there were any. A pull among several has gaps.

    def copy(self, source: Endpoint, tally: Tally) -> bool:
        message = source.receive(self.timeout(), spin=0)
        if message is None:
            return False
        self.count(message, tally)
        return True

    def view(self, source: Endpoint, tally: Tally) -> bool:
        message = source.view(self.timeout(), spin=0)
        if message is None:
            return False
        good = Tally(0)
        self.count(message, good)
        tally.messages += 1
        tally.bad += good.bad + (not source.holds(message))  # with credit nothing is overwritten
        return True

    def count(self, message: Message, tally: Tally) -> None:
        size = self.args.size
        number = actor.WORD.unpack_from(message.payload)[0] if size >= actor.WORD.size else 0
        follows = self.push or number == message.sequence or size < actor.WORD.size
        tally.bad += not (follows and actor.good(message.payload, size, number))
        tally.messages += 1

    def batch(self, source: Endpoint, tally: Tally) -> bool:
        blob, ends = source.receive_packed(self.args.batch, self.timeout(), spin=0)
        if ends:
            tally.bad += actor.count_bad(blob, len(ends), self.args.size, tally.messages)
            tally.messages += len(ends)
        return bool(ends)

    # Round trips.

    def exchange(self, out: Endpoint, back: Endpoint) -> Tally:
        spin = 0.0 if self.sleeps else WAIT_S

        def read() -> bytes | None:
            message = back.receive(WAIT_S, spin=spin)
            return None if message is None else cast(bytes, message.payload)

        return actor.exchange(self.args, lambda payload: out.send(payload, timeout=None), read)

    def request(self, client: Endpoint) -> Tally:
        return self.exchange(client, client)

    def answer(self, server: Endpoint) -> Tally:
        spin = 0.0 if self.sleeps else WAIT_S
        tally = Tally(self.args.count)
        for i in range(self.args.count):
            request = None
            while request is None:
                request = server.receive(WAIT_S, spin=spin)
            server.reply(request, request.payload, timeout=None)
            tally.bad += not actor.good(request.payload, self.args.size, i)
        return tally


def prepare(args: actor.Args) -> Callable[[], Tally]:
    """Make what this role keeps, then wait for what the other one keeps; what is left is to run."""
    bench = Bench(args)
    if "req" in bench.kind:
        end = bench.open("requester" if args.role == "ping" else "replier", args.seg)
        return lambda: bench.request(end) if args.role == "ping" else bench.answer(end)
    if args.role == "write":
        out = bench.writer(args.seg)
        return lambda: bench.write(out)
    if args.role == "read":
        source = bench.reader(args.seg)
        return lambda: bench.read(source)
    there, here = (args.seg, f"{args.seg}.back") if args.role == "ping" else (f"{args.seg}.back", args.seg)
    out = bench.writer(there)
    back = bench.reader(here)
    return lambda: bench.exchange(out, back)


if __name__ == "__main__":
    actor.main(make_credit, prepare)
