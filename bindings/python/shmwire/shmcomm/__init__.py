# SPDX-License-Identifier: MIT
"""Profile shmcomm: named channels in shared memory. Publishers and subscribers, pushers and pullers, requesters and repliers, any
number of each, in any process and language.

    from shmwire.shmcomm import Publisher, Subscriber

    pub = Publisher("robot_commands")
    sub = Subscriber("robot_commands")
    pub.send({"cmd": "move", "pos": [1.0, 2.0, 3.0]})
    msg = sub.recv(timeout=100)  # ms

    server, client = Replier("control_service"), Requester("control_service")
    client.send({"query": "status"})
    req = server.recv()
    server.send({"status": "ok"})
    response = client.recv(timeout=1000)

Time limits of sockets are milliseconds; only `wait`, for a channel that is not there yet, is seconds. Objects are pickled unless
the socket is told otherwise. Unpickling trusts the writer: anybody who may write a channel can run code in those who unpickle
from it. A socket that was opened with serializer "raw", "msgpack" or "json" never unpickles.

Two engines stand behind the same classes. `native`, the default where its extension module is there, runs every operation in the
C implementation. `python` is the protocol written in Python, to be read beside the specification; without any extension module
it still subscribes and observes. The environment variable SHMWIRE_ENGINE says which one to use where the caller does not.
"""

from __future__ import annotations

from ..engine import ENGINES, Engine, default_engine
from .channels import Channel, cleanup_stale, force_unlink, list_channels
from .core import Endpoint, open_endpoint, recover, remove
from .errors import (
    SHMArgumentError,
    SHMBufferFullError,
    SHMBusyError,
    SHMClosedError,
    SHMConnectionError,
    SHMCorruptError,
    SHMError,
    SHMExistsError,
    SHMFormatError,
    SHMFullError,
    SHMLostError,
    SHMNameError,
    SHMNotFoundError,
    SHMOrderError,
    SHMPermissionError,
    SHMSerializationError,
    SHMSystemError,
    SHMTimeoutError,
    SHMTooLargeError,
    SHMUnsupportedError,
)
from .layout import (
    CONTENT_JSON,
    CONTENT_MSGPACK,
    CONTENT_NDARRAY,
    CONTENT_PICKLE,
    CONTENT_RAW,
    DEFAULT_CAPACITY,
    DEFAULT_REPLY_CAPACITY,
    MAX_CAPACITY,
    MIN_CAPACITY,
)
from .message import Info, Message, Meta, Options, Recovered, Role
from .receiving import DEFAULT_BATCH, Puller, Received, Subscriber, View
from .sending import Publisher, Pusher
from .serialize import SERIALIZERS, Serializer
from .service import Replier, Requester
from .socket import close_all

__all__ = [
    "CONTENT_JSON", "CONTENT_MSGPACK", "CONTENT_NDARRAY", "CONTENT_PICKLE", "CONTENT_RAW", "DEFAULT_BATCH", "DEFAULT_CAPACITY",
    "DEFAULT_REPLY_CAPACITY", "ENGINES", "MAX_CAPACITY", "MIN_CAPACITY", "SERIALIZERS", "Channel", "Endpoint", "Engine", "Info",
    "Message", "Meta", "Options", "Publisher", "Puller", "Pusher", "Received", "Recovered", "Replier", "Requester", "Role",
    "SHMArgumentError", "SHMBufferFullError", "SHMBusyError", "SHMClosedError", "SHMConnectionError", "SHMCorruptError",
    "SHMError", "SHMExistsError", "SHMFormatError", "SHMFullError", "SHMLostError", "SHMNameError", "SHMNotFoundError",
    "SHMOrderError", "SHMPermissionError", "SHMSerializationError", "SHMSystemError", "SHMTimeoutError", "SHMTooLargeError",
    "SHMUnsupportedError", "Serializer", "Subscriber", "View", "cleanup_stale", "close_all", "default_engine", "force_unlink",
    "list_channels", "open_endpoint", "recover", "remove",
]
