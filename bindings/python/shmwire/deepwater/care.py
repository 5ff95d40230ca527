# SPDX-License-Identifier: MIT
"""Profile deepwater, python engine: looking after feeds: listing, retiring (section 4), collecting (section 8)."""

from __future__ import annotations

import contextlib
import os

from .. import atomic
from ..atomic import RELAXED, RELEASE
from ..errors import UnsupportedError
from . import layout
from .feed import Feed, open_feed
from .record import FeedInfo, Recovered
from .recover import recover
from .registry import Place, locked, open_registry
from .tree import Base, open_directory
from .wake import wake


def list_feeds(base: str) -> list[FeedInfo]:
    """All feeds of a base directory, in the order in which they were made."""
    with contextlib.closing(open_registry(Base(base), writable=False)) as registry:
        count = registry.count()
    found = []
    for feed_id in range(count):
        root = Base(base)
        place_registry = open_registry(root, writable=False)
        try:
            entry = place_registry.entry(feed_id)
            feed = Feed(Place(root, place_registry, entry, open_directory(root, entry.directory)), writable=False)
        except BaseException:
            place_registry.close()
            raise
        with contextlib.closing(feed):
            found.append(feed.describe())
    return found


def _locked_feed(base: str, name: str) -> Feed:
    """A feed with its lock held. BusyError, UnsupportedError."""
    if not atomic.AVAILABLE:
        raise UnsupportedError("without the extension module there are only readers")
    feed = open_feed(base, name, writable=True)
    try:
        feed.lock()
    except BaseException:
        feed.close()
        raise
    return feed


def retire(base: str, name: str) -> None:
    """Nothing more will be written. [deepwater.feed.retire]"""
    with contextlib.closing(_locked_feed(base, name)) as feed:
        registry = feed.place.registry
        with locked(feed.place.base, os.O_RDWR, 0):
            flags = registry.flags(feed.entry.feed_id) | layout.FLAG_RETIRED
            registry.words.store_u32(registry.at(feed.entry.feed_id, layout.FEED_FLAGS_OFFSET), flags, RELEASE)
            registry.changed()
        wake(feed.words, always=True)


def collect(base: str, name: str) -> Recovered:
    """Recovery and nothing else. [deepwater.recover.busy]"""
    with contextlib.closing(_locked_feed(base, name)) as feed:
        keep = 0 if feed.entry.persist else feed.entry.live_window
        report, _ = recover(feed, layout.DEFAULT_MODE, keep)
        feed.words.store_u32(layout.FEED_REGISTRY_WRITER_PID_OFFSET, 0, RELAXED)
    return report
