# SPDX-License-Identifier: MIT
"""Profile deepwater: feeds of records in chunks, live in shared memory and persisted in files. One writer for each feed, any
number of readers, who need no lock and no writer. Specification: spec/deepwater.md. Rule ids in brackets name the rules that a
call implements.

    from shmwire.deepwater import Reader, Writer

    with Writer("/var/feeds", "coinbase-BTC-USD") as writer:
        writer.append(timestamp_ns, trade)

    with Reader("/var/feeds", "coinbase-BTC-USD") as reader:
        for record in reader.follow(timeout=1.0):
            print(record.sequence, record.timestamp_ns, bytes(record.payload))
"""

from __future__ import annotations

from .api import DEFAULT_BATCH, Reader, Records, Writer, collect, feeds, retire, validate
from .layout import DEFAULT_CHUNK, DEFAULT_FEEDS, DEFAULT_MODE, DEFAULT_ROWS, DEFAULT_WINDOW, MIN_CHUNK, NAME_MAX
from .record import ChunkInfo, Cursor, Expired, FeedInfo, Record, Recovered, State

__all__ = [
    "DEFAULT_BATCH", "DEFAULT_CHUNK", "DEFAULT_FEEDS", "DEFAULT_MODE", "DEFAULT_ROWS", "DEFAULT_WINDOW", "MIN_CHUNK", "NAME_MAX",
    "ChunkInfo", "Cursor", "Expired", "FeedInfo", "Reader", "Record", "Records", "Recovered", "State", "Writer", "collect",
    "feeds", "retire", "validate",
]
