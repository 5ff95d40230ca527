# SPDX-License-Identifier: MIT
"""Benchmark actor of the Python implementation, profile shmcomm. Peers are ENGINE-KIND: engine native or python, kind as in the C
actor: words joined by dashes, pub, push or req; view, sleep. Bytes are sent as they are (serializer raw). Ping writes PATH, pong
PATH.back; whoever writes makes the channel."""

from __future__ import annotations

from collections.abc import Callable

import actor
from actor import Tally
from credit import IN_FLIGHT, Credit
from credit import make as make_credit
from shmwire import shmcomm

MOST_RING = 1 << 26
HEADROOM = 64
WRITER_BITS = 56
READY_S = 10.0


def capacity_of(args: actor.Args) -> int:
    """For twice what is in flight, so that the publisher never evicts what a subscriber with credit has yet to read."""
    frame = args.size + HEADROOM
    capacity = 8192
    while capacity < 2 * IN_FLIGHT * frame and (capacity < MOST_RING or capacity < 4 * frame):
        capacity *= 2
    return capacity


class Bench:
    """Both ends of one actor."""

    def __init__(self, args: actor.Args) -> None:
        engine, _, kind = args.peer.partition("-")
        self.args = args
        self.push = "push" in kind
        self.request = "req" in kind
        self.views = "view" in kind
        self.spins = "sleep" not in kind
        self.capacity = capacity_of(args)
        self.window = min(IN_FLIGHT, self.capacity // 2 // (args.size + HEADROOM))
        self.options = {"engine": engine, "serializer": "raw"}
        self.credit = Credit(args) if not self.push and not self.request and args.role in {"read", "write"} else None

    def writer(self, path: str) -> shmcomm.Publisher | shmcomm.Pusher:
        make = shmcomm.Pusher if self.push else shmcomm.Publisher
        sole = self.args.parties - self.args.readers == 1
        return make(path, capacity=self.capacity, sole=sole, **self.options)

    def reader(self, path: str) -> shmcomm.Subscriber | shmcomm.Puller:
        make = shmcomm.Puller if self.push else shmcomm.Subscriber
        return make(path, wait=READY_S, **self.options)

    # Throughput -----------------------------------------------------------------------------------------------------

    def write(self, out: shmcomm.Publisher | shmcomm.Pusher) -> Tally:
        args = self.args
        first = args.party - args.readers << WRITER_BITS
        timeout = None if not self.push else 10_000
        for i in range(0, args.count, args.batch):
            if self.credit:
                self.credit.wait(i + args.batch + IN_FLIGHT - self.window)
            if args.batch > 1:
                out.send_many(actor.payloads_of(args.size, first + i, args.batch), timeout=timeout)
            else:
                out.send_bytes(actor.payload_of(args.size, first + i), timeout=timeout)
        return Tally(args.count)
