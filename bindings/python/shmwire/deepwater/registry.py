# SPDX-License-Identifier: MIT
"""Profile deepwater, sections 1.1, 3 and 4, python engine: the global registry, which says what feeds there are.

Reading order beside the chapter: tree.py (1), this file, making.py and feed.py (3, 4), segment.py (1.3, 3), writer.py and
persist.py (5), reader.py and seek.py (6), wake.py (7), recover.py (8), validate.py (9).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from .. import map as mapping
from .. import ofd
from ..atomic import ACQUIRE, RELEASE, Words
from ..errors import (
    BadGeometryError,
    BadMagicError,
    BadVersionError,
    CorruptError,
    NotFoundError,
    NotReadyError,
    TruncatedError,
)
from ..wait import Backoff, Deadline
from . import layout
from .record import U64
from .tree import LOCK_BYTE, REGISTRY_FILE, Base, Descriptor, name_good, open_directory, open_file

_BLOCK: Final = 1024  # entries that are searched together
_SHOWN: Final = 8  # names in an error


class Entry(NamedTuple):
    """A feed's entry, copied and checked: from here on the copy counts."""

    name: str
    directory: bytes
    feed_id: int
    chunk_size: int
    live_window: int
    record_size: int
    created_ns: int
    rotate_ns: int
    persist: bool


def _text(raw: bytes, what: str) -> bytes:
    """What stands before the first zero, which must be there. CorruptError. [deepwater.open.entry]"""
    text, zero, _ = raw.partition(b"\0")
    if not zero:
        raise CorruptError(f"a {what} without an end")
    return text


class Registry:
    """The global registry, mapped and its header checked."""

    __slots__ = ("capacity", "mapped", "window", "words")

    def __init__(self, mapped: mapping.Mapping) -> None:
        """BadMagicError, BadVersionError, BadGeometryError, NotReadyError, TruncatedError, CorruptError."""
        self.mapped = mapped
        self.window = mapped.window
        self.words = Words(mapped.window)
        self.capacity = self._check()

    def close(self) -> None:
        """Let go of the mapping."""
        self.words.close()
        self.mapped.close()

    def _check(self) -> int:
        """Section 3: the capacity. [deepwater.open.*]"""
        window = self.window
        magic = self.words.load_u64(layout.REGISTRY_MAGIC_OFFSET, ACQUIRE)  # A0: pairs with R0; the header after it
        if magic == 0:
            raise NotReadyError("its maker has not finished it")
        if magic != layout.REGISTRY_MAGIC:
            raise BadMagicError(f"magic {magic:#x} of {REGISTRY_FILE}")
        version = window.u32(layout.REGISTRY_VERSION_OFFSET)
        if version != layout.VERSION:
            raise BadVersionError(f"version {version}; {layout.VERSION} is read")
        size, capacity = window.u32(layout.REGISTRY_ENTRY_SIZE_OFFSET), window.u32(layout.REGISTRY_CAPACITY_OFFSET)
        if size != layout.FEED_SIZE or not 1 <= capacity <= layout.MAX_FEEDS:
            raise BadGeometryError(f"{capacity} entries of {size} bytes")
        if layout.REGISTRY_SIZE + capacity * layout.FEED_SIZE > window.size:
            raise TruncatedError(f"{window.size} bytes for {capacity} entries")
        self.capacity = capacity
        self.count()
        return capacity

    def count(self) -> int:
        """Feeds. CorruptError. [deepwater.open.count]"""
        count = self.words.load_u64(layout.REGISTRY_COUNT_OFFSET, ACQUIRE)  # A1: pairs with R1; the entries below it
        if count > self.capacity:
            raise CorruptError(f"{count} feeds in a registry of {self.capacity}")
        return count

    @staticmethod
    def at(feed_id: int, field: int = 0) -> int:
        """Where a field of an entry lies."""
        return layout.REGISTRY_SIZE + feed_id * layout.FEED_SIZE + field

    def flags(self, feed_id: int) -> int:
        """FLAG_PERSIST, FLAG_RETIRED."""
        return self.words.load_u32(self.at(feed_id, layout.FEED_FLAGS_OFFSET), ACQUIRE)

    def entry(self, feed_id: int) -> Entry:
        """An entry below count. CorruptError. [deepwater.open.entry]"""
        window, at = self.window, self.at
        entry = Entry(
            os.fsdecode(_text(self._name(feed_id), "name")),
            _text(window.read(at(feed_id, layout.FEED_DIRECTORY_OFFSET), layout.DIRECTORY_MAX + 1), "directory"),
            window.u32(at(feed_id, layout.FEED_FEED_ID_OFFSET)), window.u64(at(feed_id, layout.FEED_CHUNK_SIZE_OFFSET)),
            window.u32(at(feed_id, layout.FEED_LIVE_WINDOW_OFFSET)), window.u32(at(feed_id, layout.FEED_RECORD_SIZE_OFFSET)),
            window.u64(at(feed_id, layout.FEED_CREATED_NS_OFFSET)), window.u64(at(feed_id, layout.FEED_ROTATE_NS_OFFSET)),
            self.flags(feed_id) & layout.FLAG_PERSIST != 0)
        size = entry.chunk_size
        if entry.feed_id != feed_id or not name_good(os.fsencode(entry.name)):
            raise CorruptError(f"entry {feed_id} is of feed {entry.feed_id}, {entry.name!r}")
        if not layout.MIN_CHUNK <= size <= layout.MAX_CHUNK or size % layout.RECORD_ALIGN != 0:
            raise CorruptError(f"feed {entry.name}: chunk_size {size}")
        if entry.live_window == 0 or entry.record_size > size:
            raise CorruptError(f"feed {entry.name}: live_window {entry.live_window}, record_size {entry.record_size}")
        return entry

    def find(self, name: bytes) -> Entry:
        """The entry of that name. NotFoundError with names that there are, CorruptError. [deepwater.base.registry]

        There can be very many: blocks of entries are searched with one call each."""
        wanted, count = name + b"\0", self.count()
        for begin in range(0, count, _BLOCK):
            entries = self.window.read(self.at(begin), layout.FEED_SIZE * (min(begin + _BLOCK, count) - begin))
            at = entries.find(wanted)
            while at >= 0:
                if at % layout.FEED_SIZE == layout.FEED_NAME_OFFSET:
                    return self.entry(begin + at // layout.FEED_SIZE)
                at = entries.find(wanted, at + 1)
        names = [os.fsdecode(self._name(feed_id).partition(b"\0")[0]) for feed_id in range(min(count, _SHOWN))]
        shown = ", ".join(names) + (", …" if count > _SHOWN else "")
        raise NotFoundError(f"feed {os.fsdecode(name)!r}; there are: {shown or 'none'}")

    def _name(self, feed_id: int) -> bytes:
        return self.window.read(self.at(feed_id, layout.FEED_NAME_OFFSET), layout.NAME_MAX + 1)

    def changed(self) -> None:
        """generation += 1; the lock is held."""
        generation = self.words.load_u64(layout.REGISTRY_GENERATION_OFFSET, ACQUIRE)
        self.words.store_u64(layout.REGISTRY_GENERATION_OFFSET, (generation + 1) & U64, RELEASE)


@contextlib.contextmanager
def locked(base: Base, flags: int, mode: int) -> Iterator[int]:
    """Hold the lock of the registry's file, waiting for it, through a description of its own: its descriptor."""
    own = Descriptor(open_file(base.directory, REGISTRY_FILE, flags, mode))
    try:
        ofd.take_waiting(own.fd, LOCK_BYTE)
        yield own.fd
    finally:
        ofd.give(own.fd, LOCK_BYTE)
        own.close()


# Opening --------------------------------------------------------------------------------------------------------------


def map_file(directory: Descriptor, name: str, writable: bool, least: int) -> mapping.Mapping:
    """Map a file as long as it is. TruncatedError below `least` bytes."""
    fd = open_file(directory, name, os.O_RDWR if writable else os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        if size < least:
            raise TruncatedError(f"{name}: {size} bytes, at least {least} wanted")
        return mapping.map_fd(fd, name, size, writable)
    except BaseException:
        os.close(fd)
        raise


def open_registry(base: Base, writable: bool) -> Registry:
    """Map and check the registry as it is now."""
    mapped = map_file(base.directory, REGISTRY_FILE, writable, layout.REGISTRY_SIZE)
    try:
        return Registry(mapped)
    except BaseException:
        mapped.close()
        raise


class Place(NamedTuple):
    """Where a feed is: its base, the registry, its entry and its directory."""

    base: Base
    registry: Registry
    entry: Entry
    directory: Descriptor

    def close(self) -> None:
        """Let go of all of it."""
        self.directory.close()
        self.registry.close()
        self.base.close()


def locate(path: str, name: bytes, writable: bool) -> Place:
    """Find a feed as things are now."""
    base = Base(path)
    registry = open_registry(base, writable)
    try:
        entry = registry.find(name)
        return Place(base, registry, entry, open_directory(base, entry.directory))
    except BaseException:
        registry.close()
        raise


def find(path: str, name: bytes, writable: bool, deadline: Deadline) -> Place:
    """The same, waiting for makers at work: for what is absent, empty or unpublished. [deepwater.open.not-ready]"""
    backoff = Backoff(deadline)
    while True:
        last = deadline.expired()
        try:
            return locate(path, name, writable)
        except (NotFoundError, NotReadyError, TruncatedError):
            if last:
                raise
        backoff.pause()
