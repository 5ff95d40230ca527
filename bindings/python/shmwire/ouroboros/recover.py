# SPDX-License-Identifier: MIT
"""Profile ouroboros, section 4, resuming, python engine: where a writer that died, at whatever instruction, left its log."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import CorruptError
from . import layout
from .segment import Log, after


@dataclass(slots=True)
class Walk:
    """Where a walk from entry to entry stands."""

    chunk: int
    offset: int  #: of the chunk
    cursor: int
    entries: int  #: since the segment was made
    committed: bool  #: is the chunk's row, or may it be now?
    lap_ended: bool = False  #: at a wrap mark, or where no header fits

    def pass_entry(self, log: Log) -> bool:
        """Pass the entry at the cursor; False where the walk ends."""
        self.lap_ended = not log.header_fits(self.cursor)
        if self.lap_ended:
            return False
        header = log.load_header(self.cursor)  # A3: pairs with R3
        if header & layout.ENTRY_COMMITTED == 0:
            return False
        length = header & layout.MAX_LENGTH
        self.lap_ended = length == layout.LENGTH_WRAP
        if self.lap_ended:
            return False
        if not log.is_entry(self.cursor, header):
            raise CorruptError(f"an entry of {length} bytes at {self.cursor}")
        self.cursor = after(self.cursor, length)
        self.entries = (self.entries + 1) % 2**64
        self.committed = True
        return True


def find_end(log: Log) -> Walk:
    """The end of a log. CorruptError for what no writer leaves. [ouroboros.write.resume]"""
    zero = log.load_row(0)
    begun = not zero.committed and zero.offset != 0
    if not log.offset_possible(log.data_offset) or (begun and zero.offset != log.data_offset):
        raise CorruptError(f"row 0 with offset {zero.offset}")
    return _from_row_zero(log, zero.token) if begun else _from_newest(log)


def _from_row_zero(log: Log, token: int) -> Walk:
    """Row 0 was begun and not committed: its offset is stored, its token perhaps not yet.

    If chunk 0 ends at a header without C, the new lap has been written to, after the token. If the lap in chunk 0 is whole,
    the token may be that lap's own; the newest row knows then how many entries it has, if it describes a part of it. If it
    does not, the entries count twice at worst: sequences are left out, and none comes again.
    """
    newest = log.newest()
    before_newest: int | None = None
    walk = Walk(0, log.data_offset, log.data_offset, token, committed=False)
    while True:
        cursor, entries = walk.cursor, walk.entries
        if not walk.pass_entry(log):
            break
        if newest is not None and cursor == newest[1].offset:
            before_newest = entries
    if not walk.lap_ended:
        return walk
    if newest is not None and not log.offset_possible(newest[1].offset):
        raise CorruptError(f"a row with offset {newest[1].offset}")
    if newest is not None and before_newest is not None:
        walk.entries = (newest[1].token + walk.entries - before_newest) % 2**64
    walk.committed = False  # the lap that is there is not the one that row 0 describes by now
    return walk


def _from_newest(log: Log) -> Walk:
    newest = log.newest()
    if newest is None or not log.offset_possible(newest[1].offset):
        raise CorruptError("no chunk to go on from")
    chunk, row = newest
    walk = Walk(chunk, row.offset, row.offset, row.token, committed=True)
    _enter_next_row(log, walk)
    while walk.pass_entry(log):  # bounded: each entry takes 8 bytes, and no step goes back
        _enter_next_row(log, walk)
    return walk


def _enter_next_row(log: Log, walk: Walk) -> None:
    """The next row, when the writer had begun its chunk right here. One with another token is left to the next write."""
    if walk.chunk + 1 >= log.chunk_count:
        return
    row = log.load_row(walk.chunk + 1)
    if row.committed or row.offset != walk.cursor or row.token != walk.entries:
        return
    walk.chunk += 1
    walk.offset = row.offset
    walk.committed = False
