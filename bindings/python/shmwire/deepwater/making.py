# SPDX-License-Identifier: MIT
"""Profile deepwater, section 4, python engine: making registries and feeds, under the lock of the global registry."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Final

from .. import map as mapping
from ..atomic import RELAXED, RELEASE, Words
from ..errors import ExistsError, Full, NotFoundError, from_os_error
from . import layout
from .record import FeedOptions
from .registry import Entry, Place, Registry, locate, locked, open_registry
from .tree import FEED_FILE, REGISTRY_FILE, Base, Descriptor, open_directory, open_file

_MAGIC_BYTES: Final = 8


def _unfinished(fd: int) -> bool:
    """Shorter than a header, or magic 0: its maker is dead, or was never there."""
    short = os.fstat(fd).st_size < layout.REGISTRY_SIZE
    return short or os.pread(fd, _MAGIC_BYTES, layout.REGISTRY_MAGIC_OFFSET) == bytes(_MAGIC_BYTES)


def _zeros(fd: int, name: str, size: int, header: int) -> mapping.Mapping:
    """Make an open file one of `size` zeros, its header's pages allocated, and map it. The descriptor stays the caller's."""
    own = os.dup(fd)
    try:
        os.ftruncate(own, 0)
        os.ftruncate(own, size)
        made = mapping.map_fd(own, name, size, writable=True)
    except OSError as error:
        os.close(own)
        raise from_os_error(error, name) from None
    try:
        made.reserve(0, header)  # a full disk answers here, and not by SIGBUS
    except BaseException:
        made.close()
        raise
    return made


def _build_registry(fd: int, capacity: int) -> None:
    """Write the header of an empty registry."""
    made = _zeros(fd, REGISTRY_FILE, layout.REGISTRY_SIZE + capacity * layout.FEED_SIZE, layout.REGISTRY_SIZE)
    window, words = made.window, Words(made.window)
    window.put_u32(layout.REGISTRY_VERSION_OFFSET, layout.VERSION)
    window.put_u32(layout.REGISTRY_ENTRY_SIZE_OFFSET, layout.FEED_SIZE)
    window.put_u32(layout.REGISTRY_CAPACITY_OFFSET, capacity)
    # R0: pairs with A0; the header before it
    words.store_u64(layout.REGISTRY_MAGIC_OFFSET, layout.REGISTRY_MAGIC, RELEASE)
    words.close()
    made.close()


def _build_feed_registry(directory: Descriptor, feed_id: int, options: FeedOptions) -> None:
    """Make the registry of a feed. One that is there is of a maker that died before it made the entry: nobody has found it."""
    with contextlib.closing(Descriptor(open_file(directory, FEED_FILE, os.O_RDWR | os.O_CREAT, options.mode))) as file:
        size = layout.FEED_REGISTRY_SIZE + options.rows * layout.ROW_SIZE
        made = _zeros(file.fd, FEED_FILE, size, layout.FEED_REGISTRY_SIZE)
    window, words = made.window, Words(made.window)
    window.put_u32(layout.FEED_REGISTRY_VERSION_OFFSET, layout.VERSION)
    window.put_u32(layout.FEED_REGISTRY_ROW_SIZE_OFFSET, layout.ROW_SIZE)
    window.put_u32(layout.FEED_REGISTRY_CAPACITY_OFFSET, options.rows)
    window.put_u64(layout.FEED_REGISTRY_FEED_ID_OFFSET, feed_id)
    words.store_u64(layout.FEED_REGISTRY_LATEST_OFFSET, layout.NONE, RELAXED)  # published by R0, as all of this
    words.store_u64(layout.FEED_REGISTRY_LAST_SEQUENCE_OFFSET, layout.NONE, RELAXED)
    words.store_u64(layout.FEED_REGISTRY_MAGIC_OFFSET, layout.FEED_MAGIC, RELEASE)  # R0: pairs with A0; the header
    if options.persist:
        _sync(made.fd)
    words.close()
    made.close()


def find_or_make(path: str, name: bytes, options: FeedOptions) -> Place:
    """A writer's way in: find the feed, or make base, registry and feed. ExistsError, Full, NotFoundError.
    [deepwater.feed.existing, deepwater.feed.full]"""
    if options.making == "open":
        return locate(path, name, writable=True)
    base = Base(path, options.mode)
    with locked(base, os.O_RDWR | os.O_CREAT, options.mode) as fd:
        if _unfinished(fd):
            _build_registry(fd, options.feeds)
        registry = open_registry(base, writable=True)
        try:
            entry = _take_or_add(base, registry, name, options)
            return Place(base, registry, entry, open_directory(base, entry.directory))
        except BaseException:
            registry.close()
            raise


def _take_or_add(base: Base, registry: Registry, name: bytes, options: FeedOptions) -> Entry:
    try:
        entry = registry.find(name)
    except NotFoundError:
        return registry.entry(_add(base, registry, name, options))
    if options.making == "create":
        raise ExistsError(f"feed {entry.name!r} of {base.path}")
    return entry


def _add(base: Base, registry: Registry, name: bytes, options: FeedOptions) -> int:
    """The directory and the feed's registry first, the entry next, and then the count: its index. [deepwater.feed.entry]"""
    feed_id = registry.count()
    if feed_id >= registry.capacity:
        raise Full(f"the registry has room for {registry.capacity} feeds")
    with contextlib.closing(open_directory(base, name, options.mode)) as directory:
        _build_feed_registry(directory, feed_id, options)
        if options.persist:
            _sync(directory.fd)
            _sync(base.directory.fd)
    registry.mapped.reserve(registry.at(feed_id), layout.FEED_SIZE)
    window, words = registry.window, registry.words

    def at(field: int) -> int:
        return registry.at(feed_id, field)

    window.write(at(0), bytes(layout.FEED_SIZE))  # beyond count: nobody reads it yet
    window.write(at(layout.FEED_NAME_OFFSET), name)
    window.write(at(layout.FEED_DIRECTORY_OFFSET), name)
    window.put_u32(at(layout.FEED_FEED_ID_OFFSET), feed_id)
    window.put_u64(at(layout.FEED_CHUNK_SIZE_OFFSET), options.chunk_size)
    window.put_u32(at(layout.FEED_LIVE_WINDOW_OFFSET), options.live_window)
    window.put_u32(at(layout.FEED_RECORD_SIZE_OFFSET), options.record_size)
    window.put_u64(at(layout.FEED_CREATED_NS_OFFSET), options.clock_ns or time.time_ns())
    window.put_u64(at(layout.FEED_ROTATE_NS_OFFSET), options.rotate_ns)
    words.store_u32(at(layout.FEED_FLAGS_OFFSET), layout.FLAG_PERSIST if options.persist else 0, RELAXED)  # R1 publishes it
    if options.persist:  # a count on the disk never covers an entry of zeros
        _sync(registry.mapped.fd)
    words.store_u64(layout.REGISTRY_COUNT_OFFSET, feed_id + 1, RELEASE)  # R1: pairs with A1; the entry
    registry.changed()
    if options.persist:  # a chunk that no registry names is lost
        _sync(registry.mapped.fd)
    return feed_id


def _sync(fd: int) -> None:
    """Write a file or directory to the disk. SystemError."""
    try:
        os.fsync(fd)
    except OSError as error:
        raise from_os_error(error, "the registry") from None
