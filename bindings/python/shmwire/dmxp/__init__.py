# SPDX-License-Identifier: MIT
"""Profile dmxp: up to 256 bounded queues in one segment, any number of producers and consumers in any processes.

    from shmwire import dmxp

    with dmxp.create("/queue") as segment:
        channel = segment.create_channel(0)
        channel.send(b"hello")
        print(channel.receive(timeout=1.0).payload)

Two engines stand behind the same classes. `native`, the default where its extension module is there, runs every operation
in the C implementation. `python` is the protocol written in Python, to be read beside the specification; with the atomic
primitives of the extension it takes part in live segments, without them it inspects and peeks. The environment variable
SHMWIRE_ENGINE says which one to use where the caller does not.
"""

from __future__ import annotations

from typing import Literal

from ..engine import ENGINES, Engine, default_engine, is_native
from ..errors import InvalidArgumentError
from . import layout, segment
from .api import DEFAULT_BATCH, Channel, Claim, Segment
from .handle import PayloadChoice
from .layout import (
    DEFAULT_CAPACITY,
    DEFAULT_MODE,
    DEFAULT_NAME,
    DEFAULT_SIZE,
    HEADER_SIZE,
    LAYOUT_CRATE,
    LAYOUT_DOCUMENT,
    LAYOUT_UNSPECIFIED,
    MAX_CHANNELS,
    MESSAGE_TOMBSTONE,
    MIN_CAPACITY,
    PAYLOAD_CAPACITY_CRATE,
    PAYLOAD_CAPACITY_DOCUMENT,
    RUNTIME_PYTHON,
)
from .message import ChannelInfo, Message, MessageBatch, MetaFields, Recovery, SegmentInfo

__all__ = [
    "DEFAULT_BATCH", "DEFAULT_CAPACITY", "DEFAULT_MODE", "DEFAULT_NAME", "DEFAULT_SIZE", "ENGINES", "HEADER_SIZE",
    "LAYOUT_CRATE", "LAYOUT_DOCUMENT", "LAYOUT_UNSPECIFIED", "MAX_CHANNELS", "MESSAGE_TOMBSTONE", "MIN_CAPACITY",
    "PAYLOAD_CAPACITY_CRATE", "PAYLOAD_CAPACITY_DOCUMENT", "RUNTIME_PYTHON", "Channel", "ChannelInfo", "Claim", "Engine",
    "Message", "MessageBatch", "MetaFields", "Mode", "PayloadChoice", "Recovery", "Segment", "SegmentInfo", "create",
    "default_engine", "open",
]

Mode = Literal["r", "rw"]


def create(name: str = DEFAULT_NAME, size: int = DEFAULT_SIZE, *, payload_layout: int = LAYOUT_CRATE, mode: int = DEFAULT_MODE,
           engine: Engine | None = None) -> Segment:
    """Make a segment and attach to it for reading and writing.

    name: "/queue" for shared memory, or, with any other slash in it, the path of a regular file.
    size: bytes, at least HEADER_SIZE.
    payload_layout: LAYOUT_CRATE (payloads up to 1024 bytes) or LAYOUT_DOCUMENT (960).
    mode: permission bits, before the umask.

    ExistsError when the name is taken, and then nothing is touched; InvalidNameError, InvalidArgumentError, PermissionError,
    SystemError (no room). [dmxp.segment.create]
    """
    if is_native(engine):
        from . import native
        return native.create(name, size, payload_layout, mode)
    return segment.create(name, size, payload_layout, mode)


def open(name: str = DEFAULT_NAME, mode: Mode = "rw", *, payload: PayloadChoice = "crate", ready_timeout: float = 0.0,
         engine: Engine | None = None) -> Segment:
    """Attach to a segment.

    mode: "rw", or "r" for a read-only mapping, which can peek and inspect.
    payload: how to read payloads where the segment does not say; "auto" goes by each message's sender.
    ready_timeout: seconds to wait for a creator that has not published the segment yet.

    NotFoundError, TruncatedError, NotReadyError, BadMagicError, BadVersionError, BadGeometryError, PermissionError.
    [dmxp.segment.*]
    """
    if mode not in ("r", "rw") or payload not in ("crate", "document", "auto"):
        raise InvalidArgumentError(f"mode {mode!r}, payload {payload!r}")
    if is_native(engine):
        from . import native
        return native.attach(name, mode == "rw", payload, ready_timeout)
    return segment.attach(name, mode == "rw", payload, ready_timeout)


assert layout.HEADER_SIZE == layout.CHANNEL_TABLE_OFFSET + layout.MAX_CHANNELS * layout.CHANNEL_SIZE
