# SPDX-License-Identifier: MIT
"""Defects for logger.py: each is what an implementer of ouroboros, or the source system, got wrong, as small as it can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def clears_next_row(log: Any) -> None:
    """The source's writer: every move to a chunk clears the row after it, whatever it overwrites."""
    plain = log.Writer.begin_chunk

    def begin_chunk(self: Any, index: int, offset: int) -> None:
        plain(self, index, offset)
        if index + 1 < self.rows:
            self.put_row(index + 1, 0, 0)

    log.Writer.begin_chunk = begin_chunk


def clears_by_targets(log: Any) -> None:
    """The source's writer: which rows are overwritten is counted in targets, not told by their offsets."""

    def clear(self: Any, end: int) -> None:
        for i in range(self.chunk + 1, self.rows):
            if self.base + i * self.target < end:
                self.put_row(i, 0, 0)

    log.Writer.clear = clear


def forgets_next_header(log: Any) -> None:
    """A row is cleared for the entry's bytes only, not for the header of nothing behind it."""
    plain = log.Writer.clear
    log.Writer.clear = lambda self, end: plain(self, end if end + 4 > self.size else end - 4)


def jumps_to_newest_at_wrap(log: Any) -> None:
    """The source's reader: a wrap leads to the highest token, even if that chunk was read already."""

    def wrap(self: Any) -> bool:
        found = self.best()
        if found is None:
            return False
        self.next = found[1][2] + 1
        self.enter(*found)
        return True

    log.Reader.wrap = wrap


def adopts_only_in_time(log: Any) -> None:
    """The source's reader: a row that was committed after its first entry was read is never taken up."""
    log.Reader.follows = lambda self, row: row[1] == self.cursor and row[2] == self.next - 1


def forgets_skips(log: Any) -> None:
    """Goes on at the right place after a lap and does not say what it missed."""
    plain = log.Reader.enter

    def enter(self: Any, index: int, row: Any) -> None:
        plain(self, index, row)
        self.owed = 0

    log.Reader.enter = enter


def ignores_the_row(log: Any) -> None:
    """Does not look whether the chunk has begun anew under it."""
    plain = log.Reader.row

    def row(self: Any, index: int) -> Any:
        found = plain(self, index)
        return (True, found[1], self.row_seen[2]) if index == self.chunk and self.row_seen[0] else found

    log.Reader.row = row


def trusts_offsets(log: Any) -> None:
    """Follows a row wherever it leads."""
    log.Segment.checked = lambda self, row: row[1] % self.size & ~3


def trusts_lengths(log: Any) -> None:
    """Copies what is there of an entry that passes the end."""
    log.Segment.length = lambda self, at: self.word(at) & ~log.C32 if self.word(at) & log.C32 else 0


def table_in_32_bits(log: Any) -> None:
    """The source's Go reader: the size of the table is computed in 32 bits."""
    plain = log.Segment.__init__

    def init(self: Any, *args: Any, **named: Any) -> None:
        real, log.ROW = log.ROW, Narrow(log.ROW)
        try:
            plain(self, *args, **named)
        finally:
            log.ROW = real

    log.Segment.__init__ = init


class Narrow(int):
    """A number whose products keep 32 bits."""

    def __mul__(self, other: Any) -> int:
        return int(self) * int(other) & 0xFFFF_FFFF

    __rmul__ = __mul__


def no_lock(log: Any) -> None:
    """Two writers at once."""
    log.fcntl = type("none", (), {"LOCK_EX": 0, "LOCK_NB": 0, "flock": staticmethod(lambda *_: None)})


def resumes_at_the_chunk(log: Any) -> None:
    """Takes over at the newest chunk's first entry instead of behind its last."""

    def resume(self: Any) -> None:
        found = self.best()
        self.chunk, (_, self.begin, self.count) = found
        self.cursor = self.begin

    log.Writer.resume = resume


def wraps_for_ever(log: Any) -> None:
    """A wrap mark that leads to itself is followed again and again."""

    def wrap(self: Any) -> bool:
        row = self.row(0)
        if not row[0] or row[2] < self.next - 1:
            return False
        self.enter(0, row)
        return True

    log.Reader.wrap = wrap


DEFECTS: tuple[Callable[[Any], None], ...] = (
    clears_next_row, clears_by_targets, forgets_next_header, jumps_to_newest_at_wrap, adopts_only_in_time, forgets_skips,
    ignores_the_row, trusts_offsets, trusts_lengths, table_in_32_bits, no_lock, resumes_at_the_chunk, wraps_for_ever,
)  # fmt: skip


def plant(name: str, log: Any) -> None:
    next(defect for defect in DEFECTS if defect.__name__ == name)(log)
