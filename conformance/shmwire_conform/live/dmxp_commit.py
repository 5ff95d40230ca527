# SPDX-License-Identifier: MIT
"""Plan "commit" of profile dmxp: a driver makes channel after channel while the runner looks at the bytes."""

from __future__ import annotations

from ..process import DriverProcess
from ..segments import Segments
from . import dmxp
from .cast import Cast, demand
from .observer import Commit

CHANNELS = 24


def run(cast: Cast, segments: Segments, shape: dmxp.Shape, creator: DriverProcess) -> str:
    """Every channel must be whole at the moment its capacity appears. Returns what was seen."""
    cast.locator = segments.posix()
    options = {"size": str(dmxp.bytes_needed(shape, CHANNELS)), "payload_layout": shape.payload_layout}
    request = {"cmd": "create", "profile": "dmxp", "seg": cast.locator, "options": options}
    handle = demand(creator.request(request), creator.role, "create")["h"]
    observer = Commit(segments.file_of(cast.locator), CHANNELS, shape.capacity)
    try:
        for channel in range(CHANNELS):
            args = {"channel": channel, "capacity": str(shape.capacity)}
            call = {"cmd": "call", "h": handle, "verb": "dmxp.channel_create", "args": args}
            demand(creator.request(call), creator.role, "channel_create")
    finally:
        observer.finish(CHANNELS)
    observer.require()
    demand(creator.request({"cmd": "reset"}), creator.role, "reset")
    return f"{observer.looks} channels of {shape.capacity} slots seen at the moment of their commit"
