# SPDX-License-Identifier: MIT
"""Profile deepwater: what goes in and comes out of a feed, the same with both engines."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final, Literal, NamedTuple

from ..errors import ExpiredError, InvalidArgumentError
from . import layout

U64: Final = 0xFFFF_FFFF_FFFF_FFFF
U32: Final = 0xFFFF_FFFF
#: record of the chapter: timestamp_ns, offset, length, type, sequence.
ENTRY: Final = Struct("<QQIIQ")

Start = Literal["oldest", "latest", "time", "sequence"]
Making = Literal["any", "create", "open"]
State = Literal["live", "sealed", "persisted", "expired"]
STATES: Final[dict[int, State]] = {layout.STATE_LIVE: "live", layout.STATE_SEALED: "sealed",
                                   layout.STATE_PERSISTED: "persisted", layout.STATE_EXPIRED: "expired"}


class Expired(ExpiredError):
    """Records that came next are gone. Raised once: the reader stands behind them, and reading goes on."""

    def __init__(self, detail: str = "", lost: int = 0) -> None:
        super().__init__(detail)
        #: How many.
        self.lost = lost


class Record(NamedTuple):
    """A record as read.

    payload: its bytes. With the engine `python` a read-only memoryview of the bytes where they lie: records are written once, so
        it stays what it is, and it keeps the chunk mapped for as long as anybody has it, even when the chunk's name is gone and
        the reader closed. With the engine `native` a copy.
    lost: records that expired directly before this one; an Expired has told of them.
    """

    sequence: int
    timestamp_ns: int  #: as the writer gave it
    chunk_id: int
    type: int  #: the application's
    payload: bytes | memoryview
    lost: int = 0


class Cursor(NamedTuple):
    """A place to come back to [deepwater.read.cursor]. Plain data: store it as you like."""

    chunk_id: int  #: a hint, for a quick return
    sequence: int  #: of the record that comes next


class ChunkInfo(NamedTuple):
    """A chunk, as its row has it."""

    chunk_id: int
    state: State
    first_sequence: int
    record_count: int  #: of a live chunk as its index has it; 0 if that cannot be reached
    start_ns: int
    end_ns: int
    data_bytes: int
    data_capacity: int  #: bytes
    data_crc: int
    index_crc: int
    data_name: str  #: what other programs open while the chunk is in shared memory
    index_name: str


class FeedInfo(NamedTuple):
    """A feed, as its entry and its registry have it."""

    name: str
    directory: str  #: relative to the base directory
    feed_id: int
    persist: bool
    retired: bool
    chunk_size: int  #: bytes of records
    live_window: int  #: chunks kept in shared memory
    record_size: int  #: bytes of each record; 0 = they vary
    created_ns: int  #: since the Unix epoch
    rotate_ns: int  #: age at which a chunk is rotated; 0 = by size only
    chunks: int
    latest: int | None  #: the chunk that is being written
    last_sequence: int | None
    last_timestamp_ns: int
    heartbeat_ns: int  #: of CLOCK_BOOTTIME
    writer_pid: int
    waiters: int
    writer_lives: bool


@dataclass
class Recovered:
    """What recovery did."""

    sealed: int = 0  #: chunks that a dead writer left live
    persisted: int = 0
    adopted: int = 0  #: found whole in files although their row did not say so
    expired: int = 0  #: nowhere to be found
    removed: int = 0  #: temporary files


@dataclass(frozen=True)
class FeedOptions:
    """How a feed is made; of one that is there already only the last five count."""

    persist: bool = False
    chunk_size: int = layout.DEFAULT_CHUNK
    live_window: int = layout.DEFAULT_WINDOW
    record_size: int = 0
    rotate_ns: int = 0
    rows: int = layout.DEFAULT_ROWS
    feeds: int = layout.DEFAULT_FEEDS
    mode: int = layout.DEFAULT_MODE
    making: Making = "any"
    pid: int = 0  #: instead of the process's, as clock_ns and boot_ns: for tests and replays; 0 = as always
    clock_ns: int = 0
    boot_ns: int = 0


@dataclass(frozen=True)
class ReaderOptions:
    """Where a reader begins, and when it ends."""

    start: Start = "oldest"
    at: int = 0  #: the timestamp or sequence
    end_with_writer: bool = False
    read_only: bool = False
    wait: float = 0.0  #: seconds for a feed that is not there yet


def require_options(options: FeedOptions) -> None:
    """InvalidArgumentError. [deepwater.feed.argument]"""
    size = options.chunk_size
    sizes = layout.MIN_CHUNK <= size <= layout.MAX_CHUNK and size % layout.RECORD_ALIGN == 0 and 0 <= options.record_size <= size
    window = 1 <= options.live_window <= U32 and 0 <= options.rotate_ns <= U64 and options.record_size <= U32
    room = 1 <= options.rows <= layout.MAX_ROWS and 1 <= options.feeds <= layout.MAX_FEEDS and 0 < options.mode <= 0o777
    if not (sizes and window and room):
        raise InvalidArgumentError(f"chunk_size {size}, live_window {options.live_window}, record_size {options.record_size}, "
                                   f"rotate_ns {options.rotate_ns}, rows {options.rows}, feeds {options.feeds}, "
                                   f"mode {options.mode:o}")


def require_u64(value: int, what: str) -> int:
    """InvalidArgumentError for what a u64 does not hold."""
    if not 0 <= value <= U64:
        raise InvalidArgumentError(f"{what} {value}")
    return value
