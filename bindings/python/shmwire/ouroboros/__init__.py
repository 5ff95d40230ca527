# SPDX-License-Identifier: MIT
"""Profile ouroboros: a log in shared memory. One writer, any number of readers; the oldest entries are overwritten.

    from shmwire import ouroboros

    with ouroboros.create("/log", chunk_count=4, chunk_target_size=1 << 16) as log:
        log.write(b"hello")
        with ouroboros.Reader("/log") as reader:
            print(reader.read_all())

Two engines stand behind the same classes. `native`, the default where its extension module is there, runs every operation in
the C implementation. `python` is the protocol written in Python, to be read beside the specification. It reads live logs without
any extension module (on machines other than x86-64, which may reorder loads, only logs at rest); writing takes the atomic
primitives of the extension. The environment variable SHMWIRE_ENGINE says which one to use where the caller does not.
"""

from __future__ import annotations

from ..engine import ENGINES, Engine, default_engine, is_native
from ..errors import InvalidArgumentError
from . import layout
from .api import DEFAULT_BATCH, STARTS, Reader, Start, Writer
from .entry import ChunkInfo, Entry, Header, PackedEntries, RowInfo, View, WriterInfo
from .errors import (
    BufferTooSmallError,
    CorruptLogError,
    InvalidChunkCountError,
    InvalidLogNameError,
    InvalidMagicError,
    LogNotFoundError,
    LogPermissionError,
    LogSystemError,
    NoDataAvailableError,
    NotPublishedError,
    ReaderError,
    UnsupportedVersionError,
)
from .layout import DEFAULT_CHUNK_COUNT, DEFAULT_CHUNK_TARGET, DEFAULT_MODE

__all__ = [
    "DEFAULT_BATCH", "DEFAULT_CHUNK_COUNT", "DEFAULT_CHUNK_TARGET", "DEFAULT_MODE", "ENGINES", "STARTS", "BufferTooSmallError",
    "ChunkInfo", "CorruptLogError", "Engine", "Entry", "Header", "InvalidChunkCountError", "InvalidLogNameError",
    "InvalidMagicError", "LogNotFoundError", "LogPermissionError", "LogSystemError", "NoDataAvailableError", "NotPublishedError",
    "PackedEntries", "Reader", "ReaderError", "RowInfo", "Start", "UnsupportedVersionError", "View", "Writer", "WriterInfo",
    "create", "default_engine", "open", "resume",
]


def create(name: str, chunk_count: int = DEFAULT_CHUNK_COUNT, chunk_target_size: int = DEFAULT_CHUNK_TARGET,
           size: int | None = None, *, mode: int = DEFAULT_MODE, engine: Engine | None = None) -> Writer:
    """Make a log and become its writer.

    name: "/log" or "log" for shared memory; with any other slash in it, the path of a regular file.
    chunk_count: rows of the chunk table, at least 1; with 2 and more a reader that was overtaken finds a place to go on at once.
    chunk_target_size: bytes after which the next chunk begins.
    size: bytes of the segment; None for 16 + 16 x chunk_count + chunk_count x chunk_target_size.
    mode: permission bits, before the umask.

    ExistsError when the name is taken, and then nothing is touched; InvalidArgumentError where no entry would fit,
    InvalidNameError, PermissionError, SystemError (no room). [ouroboros.segment.create]
    """
    table_end = layout.ROW_TABLE_OFFSET + layout.ROW_SIZE * chunk_count
    total = table_end + chunk_count * chunk_target_size if size is None else size
    sane = 1 <= chunk_count < 2**32 and 1 <= chunk_target_size < 2**63 and 0 < mode <= 0o777
    if not sane or not table_end + layout.MIN_LENGTH <= total < 2**63:
        raise InvalidArgumentError(f"{chunk_count} chunks of {chunk_target_size} bytes in {total}, mode {mode:o}")
    if is_native(engine):
        from . import native
        return native.create(name, chunk_count, chunk_target_size, total, mode)
    from . import writer
    return writer.create(name, chunk_count, chunk_target_size, total, mode)


def resume(name: str, chunk_target_size: int | None = None, *, engine: Engine | None = None) -> Writer:
    """Become the writer of a log that has none any more, behind its last entry.

    chunk_target_size: not in the segment; None for what the size formula gives.

    BusyError while it has a writer, CorruptError, and the registry's errors of attaching. [ouroboros.write.resume]
    """
    if chunk_target_size is not None and not 1 <= chunk_target_size < 2**63:
        raise InvalidArgumentError(f"chunks of {chunk_target_size} bytes")
    if is_native(engine):
        from . import native
        return native.resume(name, chunk_target_size)
    from . import writer
    return writer.resume(name, chunk_target_size)


def open(name: str, start: Start = "auto", *, ready_timeout: float = 0.0, engine: Engine | None = None) -> Reader:
    """A reader, also of a log without a committed chunk: it answers that there is nothing yet until there is one."""
    return Reader(name, start, engine, ready_timeout=ready_timeout, require_data=False)
