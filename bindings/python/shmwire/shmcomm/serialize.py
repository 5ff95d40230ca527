# SPDX-License-Identifier: MIT
"""Profile shmcomm: from objects to payloads and back. What a message is, its content type says; which ones this end takes, and
what it makes of an object, the serializer that the socket was opened with.

Unpickling runs what the writer says. A socket that was opened with "raw", "msgpack" or "json" never does it.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any, Final, Literal, get_args

from ..bytes import contiguous
from . import array, layout
from .errors import SHMArgumentError, SHMSerializationError

Serializer = Literal["pickle", "msgpack", "json", "raw"]
SERIALIZERS: Final[tuple[Serializer, ...]] = get_args(Serializer)
CONTENT_TYPES: Final[dict[Serializer, int]] = {
    "raw": layout.CONTENT_RAW, "pickle": layout.CONTENT_PICKLE, "msgpack": layout.CONTENT_MSGPACK, "json": layout.CONTENT_JSON}

Payload = bytes | memoryview | array.Encoded


def _msgpack() -> Any:
    try:
        import msgpack  # type: ignore[import-untyped]
    except ImportError:
        raise SHMSerializationError("msgpack is not installed") from None
    return msgpack


def _raw(value: object) -> bytes | memoryview:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise SHMSerializationError(f"serializer raw takes bytes, not {type(value).__name__}")
    return contiguous(value)


def _pack(value: object) -> bytes:
    packed: bytes = _msgpack().packb(value, use_bin_type=True)
    return packed


def _unpack(payload: bytes | memoryview) -> object:
    return _msgpack().unpackb(payload, raw=False, strict_map_key=False)


def _to_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _to_pickle(value: object) -> bytes:
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _from_json(payload: bytes | memoryview) -> object:
    return json.loads(bytes(payload))


_ENCODERS: Final[dict[Serializer, Callable[[object], bytes | memoryview]]] = {
    "raw": _raw, "pickle": _to_pickle, "msgpack": _pack, "json": _to_json}
_DECODERS: Final[dict[int, Callable[[bytes | memoryview], object]]] = {
    layout.CONTENT_PICKLE: pickle.loads, layout.CONTENT_MSGPACK: _unpack, layout.CONTENT_JSON: _from_json,
    layout.CONTENT_NDARRAY: array.decode}


class Codec:
    """Both directions for one serializer."""

    __slots__ = ("_encode", "content_type", "serializer")

    def __init__(self, serializer: Serializer) -> None:
        if serializer not in SERIALIZERS:
            raise SHMArgumentError(f"serializer {serializer!r}, one of {', '.join(SERIALIZERS)} is wanted")
        self.serializer = serializer
        self.content_type = CONTENT_TYPES[serializer]
        self._encode = _ENCODERS[serializer]

    def encode(self, value: object) -> tuple[int, Payload]:
        """Content type and payload. Arrays go as arrays with every serializer, and bytes as bytes with pickle.
        SHMSerializationError."""
        if type(value) is bytes and self.content_type == layout.CONTENT_PICKLE:
            return layout.CONTENT_RAW, value
        encoded = array.encode(value)
        if encoded is not None:
            return layout.CONTENT_NDARRAY, encoded
        try:
            return self.content_type, self._encode(value)
        except SHMSerializationError:
            raise
        except Exception as error:  # pickling runs the object's own code
            raise SHMSerializationError(f"{type(value).__name__} with {self.serializer}: {error}") from error

    def decode(self, content_type: int, payload: bytes | memoryview) -> object:
        """The object of a message; bytes where the content type is raw or the application's. SHMSerializationError, and for
        pickles always unless the serializer is pickle."""
        decoder = _DECODERS.get(content_type)
        if decoder is None:
            return payload if isinstance(payload, bytes) else bytes(payload)
        if content_type == layout.CONTENT_PICKLE and self.content_type != layout.CONTENT_PICKLE:
            raise SHMSerializationError(f"a pickle came, and a socket of serializer {self.serializer} does not unpickle")
        try:
            return decoder(payload)
        except SHMSerializationError:
            raise
        except Exception as error:  # unpickling runs the writer's code
            raise SHMSerializationError(f"a message of content type {content_type}: {type(error).__name__}: {error}") from error
