# SPDX-License-Identifier: MIT
"""Profile deepwater, section 5, python engine: copying a sealed chunk to files, so that neither a crash nor a power failure
leaves half of one under its name; and expiring, which comes after it."""

from __future__ import annotations

import contextlib
import os
import zlib
from typing import Final

from ..bytes import Window
from ..errors import NotFoundError, ShmwireException, from_os_error
from . import layout
from .feed import Feed, Row
from .segment import Chunk, attach_memory, unlink
from .tree import file_name, open_file

TEMPORARY: Final = ".tmp"
_STEP: Final = 1 << 30  # bytes of one call


def crcs(chunk: Chunk, used: int, records: int) -> tuple[int, int]:
    """CRC-32 of the first `used` bytes of the data, and of the first `records` entries."""
    data = chunk.data.window.view(layout.DATA_SIZE, used)
    return zlib.crc32(data), zlib.crc32(chunk.index.window.view(layout.INDEX_SIZE, records * layout.RECORD_SIZE))


def _headers(chunk: Chunk, row: Row) -> tuple[bytes, bytes]:
    """Headers as they are in files: trimmed to what there is, and sealed. [deepwater.persist.content]"""
    data = Window(memoryview(bytearray(layout.DATA_SIZE)), layout.DATA_SIZE, True)
    data.put_u64(layout.DATA_MAGIC_OFFSET, layout.DATA_MAGIC)  # private memory: R0 is the rename
    data.put_u32(layout.DATA_VERSION_OFFSET, layout.VERSION)
    data.put_u32(layout.DATA_FLAGS_OFFSET, layout.DATA_SEALED)
    data.put_u64(layout.DATA_CHUNK_ID_OFFSET, row.chunk_id)
    data.put_u64(layout.DATA_WRITE_POS_OFFSET, row.data_bytes)
    data.put_u64(layout.DATA_RECORD_COUNT_OFFSET, row.record_count)
    data.put_u64(layout.DATA_CAPACITY_OFFSET, row.data_bytes)
    data.put_u32(layout.DATA_WRITER_PID_OFFSET, chunk.data.window.u32(layout.DATA_WRITER_PID_OFFSET))
    index = Window(memoryview(bytearray(layout.INDEX_SIZE)), layout.INDEX_SIZE, True)
    index.put_u64(layout.INDEX_MAGIC_OFFSET, layout.INDEX_MAGIC)
    index.put_u32(layout.INDEX_VERSION_OFFSET, layout.VERSION)
    index.put_u32(layout.INDEX_ENTRY_SIZE_OFFSET, layout.RECORD_SIZE)
    index.put_u64(layout.INDEX_CHUNK_ID_OFFSET, row.chunk_id)
    index.put_u64(layout.INDEX_ENTRY_COUNT_OFFSET, row.record_count)
    index.put_u64(layout.INDEX_CAPACITY_OFFSET, row.record_count)
    return data.read(0, layout.DATA_SIZE), index.read(0, layout.INDEX_SIZE)


def _write_file(feed: Feed, name: str, mode: int, parts: tuple[bytes, memoryview]) -> None:
    """Write the parts to NAME.tmp, whole and on the disk, or leave nothing."""
    directory, temporary = feed.place.directory, name + TEMPORARY
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=directory.fd)  # of a writer that died
    fd = open_file(directory, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        for part in parts:
            left = memoryview(part)
            while left:
                left = left[os.write(fd, left[:_STEP]):]
        os.fsync(fd)
    except BaseException:
        os.unlink(temporary, dir_fd=directory.fd)
        raise
    finally:
        os.close(fd)


def persist(feed: Feed, chunk: Chunk, mode: int, row: Row) -> Row:
    """Copy a sealed chunk to its files, and then say so in its row: the row as it is then. SystemError, PermissionError.
    [deepwater.persist.order]"""
    names = file_name(row.chunk_id, "data"), file_name(row.chunk_id, "idx")
    directory = feed.place.directory.fd
    data, index = _headers(chunk, row)
    try:
        _write_file(feed, names[0], mode, (data, chunk.data.window.view(layout.DATA_SIZE, row.data_bytes)))
        entries = chunk.index.window.view(layout.INDEX_SIZE, row.record_count * layout.RECORD_SIZE)
        _write_file(feed, names[1], mode, (index, entries))
        for name in names:
            os.rename(name + TEMPORARY, name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    except ShmwireException:
        raise
    except OSError as error:
        raise from_os_error(error, f"chunk {row.chunk_id} of feed {feed.entry.name!r}") from None
    data_crc, index_crc = crcs(chunk, row.data_bytes, row.record_count)
    done = row._replace(state=layout.STATE_PERSISTED, data_crc=data_crc, index_crc=index_crc)
    feed.store_row(done)
    feed.flush()
    return done


def _let_go(feed: Feed, chunk_id: int, mode: int) -> None:
    """What a chunk that leaves shared memory becomes: first its row, then its name. [deepwater.expire.state]"""
    row = feed.own_row(chunk_id)
    if row.state < layout.STATE_PERSISTED and not (feed.entry.persist and _persist_late(feed, row, mode)):
        feed.store_row(row._replace(state=layout.STATE_EXPIRED))
    unlink(feed, chunk_id)


def _persist_late(feed: Feed, row: Row, mode: int) -> bool:
    """A chunk that could not be persisted when it was sealed; False if its memory is gone. Not lost as long as that can be
    tried again."""
    try:
        chunk = attach_memory(feed, row.chunk_id)
    except NotFoundError:
        return False
    with contextlib.closing(chunk):
        persist(feed, chunk, mode, row)
    return True


class Stayed(Exception):
    """Chunks that should have left shared memory are still there; `first` is the first of them."""

    def __init__(self, first: int, error: ShmwireException) -> None:
        super().__init__(str(error))
        self.first = first
        self.error = error


def expire(feed: Feed, first: int, end: int, mode: int) -> int:
    """The chunks from `first` to below `end` leave shared memory: `end`. What cannot be persisted
    stays, for the next rotation, leaving or recovery: Stayed. [deepwater.expire.window]"""
    stayed: Stayed | None = None
    for chunk_id in range(first, end):
        try:
            _let_go(feed, chunk_id, mode)
        except ShmwireException as error:
            stayed = stayed or Stayed(chunk_id, error)
    if stayed is not None:
        raise stayed
    return max(first, end)
