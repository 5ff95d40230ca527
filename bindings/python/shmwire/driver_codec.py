# SPDX-License-Identifier: MIT
"""The driver's view of a request and of a reply: fields, integers and bytes (spec/driver-protocol.md, section 1)."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, Final

LONGEST_DATA: Final = 64 << 20
INLINE_BYTES: Final = 4096
HEAD_BYTES: Final = 32
_EXACT_IN_JSON: Final = 2**53

U16: Final = 2**16 - 1
U32: Final = 2**32 - 1
U64: Final = 2**64 - 1

Json = dict[str, Any]


class BadRequest(Exception):
    """The request is malformed; code BAD_REQUEST."""


class UnknownCommand(Exception):
    """The request asks for a command or verb that there is not; code UNKNOWN_COMMAND."""


class DriverDefect(Exception):
    """The driver could not do what it was told; code INTERNAL."""


def text(body: Json, key: str) -> str:
    """A string that must be there."""
    value = body.get(key)
    if not isinstance(value, str):
        raise BadRequest(f"{key} is missing or not a string")
    return value


def word(body: Json, key: str, words: tuple[str, ...], default: str | None = None) -> str:
    """One of the words given."""
    value = default if body.get(key) is None and default is not None else text(body, key)
    if value not in words:
        raise BadRequest(f"{key} is not one of {', '.join(words)}")
    return value


def integer(body: Json, key: str, limit: int, default: int | None = None) -> int:
    """An integer from 0 to `limit`, as a number or as decimal digits."""
    value = body.get(key)
    if value is None:
        if default is None:
            raise BadRequest(f"{key} is missing")
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    elif isinstance(value, bool) or not isinstance(value, int) or value > _EXACT_IN_JSON:
        raise BadRequest(f"{key} is not an integer")
    if not 0 <= value <= limit:
        raise BadRequest(f"{key} is not in 0 to {limit}")
    return int(value)


def flag(body: Json, key: str) -> bool:
    """A boolean, false when it is not there."""
    value = body.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise BadRequest(f"{key} is neither true nor false")
    return value


def octal(body: Json, key: str, default: int) -> int:
    """Permission bits as an octal string."""
    if body.get(key) is None:
        return default
    try:
        return int(text(body, key), 8)
    except ValueError:
        raise BadRequest(f"{key} is not an octal string") from None


def table(body: Json, key: str) -> Json:
    """An object, empty when it is not there."""
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest(f"{key} is not an object")
    return value


def pattern(seed: int, length: int) -> bytes:
    """Byte i = (31 seed + 17 i + 101 (i >> 8)) mod 256. Rows of 256 bytes differ only in what they begin with."""
    rows = -(-length // 256)
    return b"".join([_row((31 * seed + 101 * row) & 0xFF) for row in range(rows)])[:length]


@cache
def _row(first: int) -> bytes:
    return bytes((first + 17 * i) & 0xFF for i in range(256))


def data(body: Json, key: str) -> bytes:
    """Bytes that must be there: {"hex": "…"} or {"pat": 1, "seed": s, "len": n}."""
    value = body.get(key)
    if not isinstance(value, dict):
        raise BadRequest(f"{key} is missing or not an object")
    if value.get("hex") is None:
        if integer(value, "pat", 1) != 1:
            raise BadRequest("pat is not 1")
        return pattern(integer(value, "seed", U64), integer(value, "len", LONGEST_DATA))
    digits = text(value, "hex")
    if len(digits) % 2 != 0 or not set(digits) <= set("0123456789abcdef"):
        raise BadRequest("hex holds something else than pairs of lower-case digits")
    return bytes.fromhex(digits)


def data_reply(payload: bytes) -> Json:
    """Bytes in a reply: all of them, or above 4,096 their length, digest and beginning."""
    if len(payload) <= INLINE_BYTES:
        return {"hex": payload.hex()}
    return {"len": str(len(payload)), "sha256": hashlib.sha256(payload).hexdigest(), "head": payload[:HEAD_BYTES].hex()}
