# SPDX-License-Identifier: MIT
"""Benchmark actor of the Python implementation, profile deepwater. Peers are ENGINE-KIND: engine native or python; kind as in the
C actor: live (a feed in shared memory alone, the writer with credit), persist (chunks go to files, too), scan (all of a feed that
the other party has written and holds in shared memory), scan-disk (the same from files), seek-N (places in a persisted feed of N
chunks). Feeds lie in the directory PATH.base."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import cast

import actor
from actor import Tally
from credit import IN_FLIGHT, Credit
from credit import make as make_credit
from shmwire.deepwater import DEFAULT_CHUNK, DEFAULT_ROWS, Reader, Record, Writer
from shmwire.engine import Engine
from shmwire.errors import Timeout

STEP_NS = 10
SEEK_RECORDS = 4  # in each chunk
SEEK_CHUNK = 4096
SCAN_CHUNK = 1 << 24
SCAN_BYTES = 1 << 28  # what a scan goes over: far beyond the caches
INDEX_BYTES = 32  # of each record
WAIT_S = 1.0
PREPARED = 64  # records that are written with one call before anything is measured
U64 = (1 << 64) - 1


def sum_of(records: list[Record]) -> int:
    """What a scan does with each byte, at the speed of C and where it lies."""
    return sum(zlib.adler32(record.payload) for record in records)


def is_good(record: Record, size: int, i: int) -> bool:
    return record.sequence == i and actor.good(record.payload, size, i)


def count_bad(records: list[Record], size: int, first: int) -> int:
    """How many of some records in a row are wrong. The look of is_good, taken at all of them together: one by one it would cost
    more than the records."""
    numbers = range(first, first + len(records))
    payloads = [record.payload for record in records]
    good = [record.sequence for record in records] == list(numbers) and list(map(len, payloads)) == [size] * len(records)
    if good and size >= actor.WORD.size:
        good = [word for word, in map(actor.WORD.unpack_from, payloads)] == list(numbers)
    if good and size > actor.WORD.size:
        good = [payload[-1] for payload in payloads] == [i & 0xFF for i in numbers]
    return 0 if good else sum(not is_good(record, size, i) for record, i in zip(records, numbers, strict=True))


class Bench:
    """What one actor does."""

    def __init__(self, args: actor.Args) -> None:
        engine, _, kind = args.peer.partition("-")
        self.args = args
        self.engine = cast(Engine, engine)
        self.base = f"{args.seg}.base"
        self.scans = kind.startswith("scan")
        self.seek_chunks = int(kind.removeprefix("seek-")) if kind.startswith("seek-") else 0
        self.persists = bool(self.seek_chunks) or "persist" in kind or "disk" in kind
        #: How many records a scan goes over, again and again.
        self.scanned = min(args.count, SCAN_BYTES // (args.size + INDEX_BYTES))

    def writer(self, feed: str) -> Writer:
        if self.scans and not self.persists:
            window = 2 * self.scanned * (self.args.size + 8) // SCAN_CHUNK + 2
            return Writer(self.base, feed, persist=self.persists, feeds=2, chunk_size=SCAN_CHUNK, live_window=window,
                          engine=self.engine)
        if self.seek_chunks:
            return Writer(self.base, feed, persist=True, feeds=2, chunk_size=SEEK_CHUNK, rows=max(self.seek_chunks, DEFAULT_ROWS),
                          engine=self.engine)
        chunk_size = SCAN_CHUNK if self.scans else DEFAULT_CHUNK
        return Writer(self.base, feed, persist=self.persists, feeds=2, chunk_size=chunk_size, engine=self.engine)

    def reader(self, feed: str) -> Reader:
        return Reader(self.base, feed, engine=self.engine)

    def append(self, out: Writer, i: int) -> None:
        out.append(STEP_NS * i, actor.payload_of(self.args.size, i))

    def append_many(self, out: Writer, i: int, count: int) -> None:
        out.append_many(zip(range(STEP_NS * i, STEP_NS * (i + count), STEP_NS), actor.payloads_of(self.args.size, i, count),
                            strict=True))

    def write_before(self, out: Writer) -> None:
        """What is read later: the records of a scan, or chunks of a few records to seek in."""
        for chunk in range(self.seek_chunks):
            self.append_many(out, chunk * SEEK_RECORDS, SEEK_RECORDS)
            out.rotate()
        if self.scans:
            for i in range(0, self.scanned, PREPARED):
                self.append_many(out, i, min(PREPARED, self.scanned - i))

    def make(self) -> None:
        for feed in ("there", "back"):
            with self.writer(feed) as out:
                if feed == "there" and self.persists:
                    self.write_before(out)
        make_credit(self.args)

    # Throughput.

    def write(self, out: Writer, credit: Credit) -> Tally:
        for i in range(0, 0 if self.scans else self.args.count, self.args.batch):
            credit.wait(i + self.args.batch)
            if self.args.batch > 1:
                self.append_many(out, i, self.args.batch)
            else:
                self.append(out, i)
        if self.persists:
            out.close()  # all of it is on the disk: this counts
        return Tally(self.args.count, leave=lambda: self.stay(out, credit))

    def read(self, source: Reader, credit: Credit) -> Tally:
        tally = self.seek(source) if self.seek_chunks else self.scan(source) if self.scans else self.follow(source, credit)
        credit.give(self.args.count)
        return tally

    def next(self, source: Reader, most: int) -> list[Record]:
        """Up to so many records; without batches by the call for one."""
        if self.args.batch > 1:
            return source.read_batch(most)
        record = source.next()
        return [] if record is None else [record]

    def judge(self, records: list[Record], first: int) -> int:
        """How many are wrong."""
        if len(records) == 1:
            return not is_good(records[0], self.args.size, first)
        return count_bad(records, self.args.size, first)

    def follow(self, source: Reader, credit: Credit) -> Tally:
        tally = Tally(0)
        told = 0
        while tally.messages < self.args.count:
            records = self.next(source, self.args.batch)
            tally.bad += self.judge(records, tally.messages)
            tally.messages += len(records)
            if not records or tally.messages - told >= IN_FLIGHT // 8:
                credit.give(tally.messages)
                told = tally.messages
            if not records:
                actor.relax(self.args)
        return tally

    def scan(self, source: Reader) -> Tally:
        """All of the feed, again from its beginning until count records are read, and every byte of them."""
        tally = Tally(0)
        at = 0
        while tally.messages < self.args.count:
            if at == self.scanned:
                source.oldest()
                at = 0
            records = self.next(source, min(self.args.batch, self.args.count - tally.messages))
            if not records:
                raise EOFError("the feed ends before its last record")
            tally.sum = (tally.sum + sum_of(records)) & U64
            tally.bad += self.judge(records, at)
            tally.messages += len(records)
            at += len(records)
        return tally

    def seek(self, source: Reader) -> Tally:
        tally = Tally(self.args.count)
        state = 1
        for _ in range(self.args.count):
            state = (state * 6364136223846793005 + 1442695040888963407) & U64  # Knuth's generator: anywhere, not in order
            wanted = (state >> 33) % (self.seek_chunks * SEEK_RECORDS)
            began = time.monotonic_ns()
            record = source.seek_time(STEP_NS * wanted).next()
            tally.samples.append(time.monotonic_ns() - began)
            tally.bad += record is None or not is_good(record, self.args.size, wanted)
        return tally

    # Round trips.

    def exchange(self, out: Writer, back: Reader, credit: Credit) -> Tally:
        sent = received = misplaced = 0

        def write(payload: bytes) -> None:
            nonlocal sent
            out.append(STEP_NS * sent, payload)
            sent += 1

        def read() -> bytes | None:
            nonlocal received, misplaced
            try:
                record = back.read(WAIT_S, spin=WAIT_S)
            except Timeout:
                return None
            misplaced += record.sequence != received
            received += 1
            return cast(bytes, record.payload)

        tally = actor.exchange(self.args, write, read)
        tally.bad += misplaced
        tally.leave = lambda: self.stay(out, credit)
        return tally

    # A writer that leaves takes along what is in shared memory alone.

    def stay(self, out: Writer, credit: Credit) -> None:
        """Until all readers are through. Of round trips pong is the reader by number, 0: it keeps its last record until ping has
        it."""
        if self.args.role == "ping":
            credit.give(self.args.count, 0)
        credit.outlast(self.args.count)
        out.close()


def prepare(args: actor.Args) -> Callable[[], Tally]:
    """Open, and write what the other one scans; what is left is to run."""
    bench, credit = Bench(args), Credit(args)
    if args.role == "read":
        source = bench.reader("there")
        return lambda: bench.read(source, credit)
    out = bench.writer("back" if args.role == "pong" else "there")
    if args.role == "write":
        bench.write_before(out)
        return lambda: bench.write(out, credit)
    back = bench.reader("back" if args.role == "ping" else "there")
    return lambda: bench.exchange(out, back, credit)


if __name__ == "__main__":
    actor.main(lambda args: Bench(args).make(), prepare)
