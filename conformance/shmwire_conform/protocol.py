# SPDX-License-Identifier: MIT
"""Driver protocol 1: lines to and from a driver, checked against schemas/driver-1.json in both directions."""

from __future__ import annotations

import functools
import hashlib
import json
import tomllib
from dataclasses import dataclass
from typing import Any

from .errors import HarnessError, ProtocolError
from .paths import SCHEMAS, SPEC
from .schema import Schema

MAX_REQUEST = 1 << 20  # bytes of a runner's line
MAX_REPLY = 4 << 20  # bytes of a driver's line
INLINE = 4096  # bytes that a reply carries whole
DRIVER_CODES = frozenset({"UNKNOWN_COMMAND", "BAD_REQUEST", "INTERNAL"})


@dataclass(frozen=True)
class Reply:
    """One reply: kind is "ok", "err" or "skip", body what stands behind that word."""

    kind: str
    body: dict[str, Any]
    line: str

    @property
    def code(self) -> str:
        return str(self.body.get("code", "")) if self.kind == "err" else ""

    def brief(self) -> str:
        """The reply on one line, shortened for a message."""
        return self.line if len(self.line) <= 300 else self.line[:297] + "…"


@functools.cache
def error_codes() -> frozenset[str]:
    """Names that may stand in `code`: the errors of the registry, two answers that are errors of a call that makes or opens
    something, and the three of drivers."""
    registry = tomllib.loads((SPEC / "errors.toml").read_text(encoding="utf-8"))
    return frozenset(entry["name"] for entry in registry["error"]) | DRIVER_CODES | {"FULL", "CLOSED"}


@functools.cache
def _schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SCHEMAS / "driver-1.json").read_text(encoding="utf-8"))
    return loaded


@functools.cache
def _validator(*path: str) -> Schema | None:
    """The validator of one $defs entry, or None if there is none of that name."""
    node = _schema()["$defs"]
    for step in path:
        if step not in node:
            return None
        node = node[step]
    return Schema({"$defs": _schema()["$defs"], **node})


def _complaint(value: Any, *path: str) -> str:
    """What is wrong with a value by the $defs entry of that name; nothing if there is none."""
    schema = _validator(*path)
    return schema.complaint(value, "reply") if schema is not None else ""


def encode(request: dict[str, Any]) -> bytes:
    """A checked request as a line. A request that breaks the protocol is the suite's own fault."""
    line = json.dumps(request, separators=(",", ":"), ensure_ascii=True).encode("ascii") + b"\n"
    if len(line) > MAX_REQUEST:
        raise HarnessError(f"request of {len(line)} bytes: {line[:200]!r}")
    complaint = _complaint(request, "request") or _complaint(request, "requests", str(request.get("cmd")))
    if complaint:
        raise HarnessError(f"the runner's own request breaks the protocol: {complaint}: {line[:300]!r}")
    return line


def _no_float(text: str) -> Any:
    raise ValueError(f"number {text}: floats are not part of the protocol")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key stands twice in one object")
    return dict(pairs)


def decode(line: bytes, request_id: int | None, command: str, *, role: str = "") -> Reply:
    """The reply in a driver's line, or ProtocolError with the line quoted."""
    text = line.decode("utf-8", "replace").rstrip("\n")
    quoted = text if len(text) <= 400 else text[:400] + "…"
    try:
        value = json.loads(line.decode("utf-8"), parse_float=_no_float, parse_constant=_no_float, object_pairs_hook=_unique)
    except ValueError as error:
        raise ProtocolError(f"not a JSON reply ({error}): {quoted}", on=role) from None
    complaint = _complaint(value, "reply")
    if complaint:
        raise ProtocolError(f"{complaint}: {quoted}", on=role)
    if value["id"] != request_id:
        raise ProtocolError(f"reply to request {value['id']} where {request_id} was asked: {quoted}", on=role)
    kind = next(word for word in ("ok", "err", "skip") if word in value)
    body: dict[str, Any] = value[kind]
    if kind == "ok":
        complaint = _complaint(body, "replies", command)
    elif kind == "err" and body["code"] not in error_codes():
        complaint = f"code {body['code']} is not in the registry"
    if complaint:
        raise ProtocolError(f"{command}: {complaint}: {quoted}", on=role)
    return Reply(kind, body, text)


def pattern(seed: int, length: int) -> bytes:
    """{"pat":1}: byte i = (31 seed + 17 i + 101 (i >> 8)) mod 256."""
    return bytes((31 * seed + 17 * i + 101 * (i >> 8)) & 255 for i in range(length))


def data_bytes(value: dict[str, Any]) -> bytes:
    """The bytes that a request's or an expectation's data stands for."""
    if "hex" in value:
        return bytes.fromhex(value["hex"])
    return pattern(int(value["seed"]), int(value["len"]))


def reply_form(data: bytes) -> dict[str, str]:
    """How a reply must show these bytes."""
    if len(data) <= INLINE:
        return {"hex": data.hex()}
    return {"len": str(len(data)), "sha256": hashlib.sha256(data).hexdigest(), "head": data[:32].hex()}
