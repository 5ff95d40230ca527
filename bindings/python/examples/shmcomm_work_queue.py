#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Count the primes below a number with four workers: jobs go out by one pipeline, results come back by another.

    shmcomm_work_queue.py primes 20000
"""

import multiprocessing
import sys

from shmwire.shmcomm import Puller, Pusher

WORKERS = 4
CHUNK = 500


def work(name: str) -> None:
    """Take jobs until their channel is closed and empty."""
    with Puller(f"{name}-jobs") as jobs, Pusher(f"{name}-results") as results:
        for begin, end in jobs:
            primes = sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(max(begin, 2), end))
            results.send(primes, timeout=10_000)  # wait for room: nothing is dropped


def main(name: str, below: str) -> None:
    limit = int(below)
    with Pusher(f"{name}-results") as own, Puller(f"{name}-results") as results:
        with Pusher(f"{name}-jobs") as jobs:
            workers = [multiprocessing.Process(target=work, args=(name,)) for _ in range(WORKERS)]
            for worker in workers:
                worker.start()
            chunks = [(begin, min(begin + CHUNK, limit)) for begin in range(0, limit, CHUNK)]
            for chunk in chunks:
                jobs.send(chunk, timeout=10_000)
            total = sum(results.recv(timeout=60_000) for _ in chunks)
        for worker in workers:
            worker.join()
        print("primes", total, "jobs", len(chunks), "refused", own.stats()["dropped"])


if __name__ == "__main__":
    main(*sys.argv[1:])
