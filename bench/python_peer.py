# SPDX-License-Identifier: MIT
"""Benchmark actor of the Python implementation, profile dmxp; peers `native` and `python` are its two engines."""

from __future__ import annotations

import time

import actor
from shmwire import dmxp

SLOTS = 256
FORTH, BACK = 0, 1
ROOM = dmxp.HEADER_SIZE + 2 * SLOTS * 1100


def make(args: actor.Args) -> None:
    with dmxp.create(args.seg, ROOM) as segment:
        for channel in (FORTH, BACK):
            segment.create_channel(channel, SLOTS, counted_waiters=True)


def write(args: actor.Args, channel: dmxp.Channel) -> None:
    for i in range(args.count):
        payload = actor.payload_of(args.size, i)
        while channel.try_send(payload, timestamp_ns=1) is None:
            pass


def write_batch(args: actor.Args, channel: dmxp.Channel) -> None:
    for first in range(0, args.count, args.batch):
        blob = actor.blob_of(args.size, first, args.batch)
        while channel.send_packed(blob, args.size) is None:
            pass


def read(args: actor.Args, channel: dmxp.Channel) -> int:
    bad = 0
    for i in range(args.count):
        while (message := channel.try_receive()) is None:
            pass
        bad += not actor.good(message.payload, args.size, i)
    return bad


def read_batch(args: actor.Args, channel: dmxp.Channel) -> int:
    bad = 0
    i = 0
    while i < args.count:
        batch = channel.receive_batch(min(args.batch, args.count - i))
        if count := len(batch):
            bad += actor.count_bad(batch.blob, count, args.size, i)
            i += count
    return bad


def exchange(args: actor.Args, out: dmxp.Channel, back: dmxp.Channel) -> tuple[int, list[int]]:
    bad = 0
    samples: list[int] = []
    pings = args.role == "ping"
    for i in range(args.count):
        began = time.monotonic_ns()
        if pings:
            out.try_send(actor.payload_of(args.size, i), timestamp_ns=1)
        while (message := back.try_receive()) is None:
            pass
        if not pings:
            out.try_send(message.payload, timestamp_ns=1)
        else:
            samples.append(time.monotonic_ns() - began)
        bad += not actor.good(message.payload, args.size, i)
    return bad, samples


def run(args: actor.Args, forth: dmxp.Channel, back: dmxp.Channel) -> tuple[int, list[int]]:
    if args.role == "ping":
        return exchange(args, forth, back)
    if args.role == "pong":
        return exchange(args, back, forth)
    if args.role == "write":
        (write_batch if args.batch > 1 else write)(args, forth)
        return 0, []
    return (read_batch if args.batch > 1 else read)(args, forth), []


def main() -> None:
    args = actor.parse()
    if args.role == "make":
        make(args)
        return
    actor.pin(args)
    engine: dmxp.Engine = "native" if args.peer == "native" else "python"
    with dmxp.open(args.seg, engine=engine) as segment:
        forth, back = segment.channel(FORTH), segment.channel(BACK)
        began = actor.barrier(args)
        bad, samples = run(args, forth, back)
        ns = time.monotonic_ns() - began
    actor.report(args, args.count, ns, bad, samples)


if __name__ == "__main__":
    main()
