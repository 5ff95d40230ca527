# SPDX-License-Identifier: MIT
"""pyzmq as a peer: `ipc` and `tcp` are PUSH/PULL for throughput and PAIR for round trips, where the reading side binds;
`pub-ipc` and `pub-tcp` PUB/SUB, where the publisher binds, waits for all subscribers and never drops; `req-ipc` and `req-tcp`
REQ/REP."""

from __future__ import annotations

import time
from pathlib import Path

import actor

try:
    import zmq
except ImportError as why:
    actor.absent(why)

WAIT_S = 5.0
DONE = 8  # bytes behind a party's word in the barrier file
QUEUED_BYTES = 1 << 26
MOST_QUEUED = 1000


def bind(args: actor.Args, socket: zmq.Socket[bytes]) -> None:
    socket.bind("tcp://127.0.0.1:*" if args.peer.endswith("tcp") else f"ipc://{args.seg}.sock")
    new = Path(f"{args.seg}.address.new")
    new.write_bytes(socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0"))
    new.rename(f"{args.seg}.address")


def connect(args: actor.Args, socket: zmq.Socket[bytes]) -> None:
    path = Path(f"{args.seg}.address")
    limit = time.monotonic() + WAIT_S
    while not path.exists() and time.monotonic() < limit:
        time.sleep(0.001)
    socket.connect(path.read_text(encoding="ascii"))


def exchange(args: actor.Args, socket: zmq.Socket[bytes]) -> tuple[int, list[int]]:
    bad = 0
    samples: list[int] = []
    pings = args.role == "ping"
    for i in range(args.count):
        began = time.monotonic_ns()
        if pings:
            socket.send(actor.payload_of(args.size, i))
        payload = socket.recv()
        bad += not actor.good(payload, args.size, i)
        if not pings:
            socket.send(payload)
        else:
            samples.append(time.monotonic_ns() - began)
    return bad, samples


def one_way(args: actor.Args, socket: zmq.Socket[bytes]) -> int:
    bad = 0
    if args.role == "write":
        for i in range(args.count):
            socket.send(actor.payload_of(args.size, i))
    else:
        for i in range(args.count):
            bad += not actor.good(socket.recv(), args.size, i)
    return bad


def await_other(args: actor.Args) -> None:
    """Until the other side is done too, by a byte behind its word in the barrier file. A PULL socket that is at its high-water
    mark when the other side closes loses what it has not read yet (libzmq 4.3), linger or not, and would wait for it for ever."""
    path = Path(args.barrier)
    with path.open("r+b") as file:
        file.seek(actor.STRIDE * args.party + DONE)
        file.write(b"\1")
    others = [actor.STRIDE * other + DONE for other in range(args.parties) if other != args.party]
    while not all(path.read_bytes()[at] for at in others):
        time.sleep(0.001)


def kind_of(args: actor.Args) -> int:
    if args.peer.startswith("pub"):
        return zmq.XPUB if args.role == "write" else zmq.SUB
    if args.peer.startswith("req"):
        return zmq.REQ if args.role == "ping" else zmq.REP
    return {"write": zmq.PUSH, "read": zmq.PULL, "ping": zmq.PAIR, "pong": zmq.PAIR}[args.role]


def meet(args: actor.Args, context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    """A socket with queues as deep as by default, but not of more than 64 MiB; a publisher waits instead of dropping, and before
    anything else for a message from each subscriber."""
    kind = kind_of(args)
    socket = context.socket(kind)
    queued = min(MOST_QUEUED, max(2, QUEUED_BYTES // (args.size + 1)))
    socket.setsockopt(zmq.SNDHWM, queued)
    socket.setsockopt(zmq.RCVHWM, queued)
    if kind == zmq.XPUB:
        socket.setsockopt(zmq.XPUB_NODROP, 1)
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # tell of each subscriber, not of each new topic
    if kind == zmq.SUB:
        socket.setsockopt(zmq.SUBSCRIBE, b"")
    (bind if kind in {zmq.XPUB, zmq.PULL} or args.role == "pong" else connect)(args, socket)
    for _ in range(args.readers if kind == zmq.XPUB else 0):
        socket.recv()
    return socket


def main() -> None:
    args = actor.parse()
    if args.role == "make":
        return
    context = zmq.Context()
    socket = meet(args, context)
    actor.pin(args)
    began = actor.barrier(args)
    bad, samples = exchange(args, socket) if args.role in {"ping", "pong"} else (one_way(args, socket), [])
    ns = time.monotonic_ns() - began
    await_other(args)
    socket.close()
    context.term()
    actor.report(args, args.count, ns, bad, samples)


if __name__ == "__main__":
    main()
