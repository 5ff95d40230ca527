# SPDX-License-Identifier: MIT
"""What a step expects, and whether a reply is that: {"ok": …}, {"err": […]}, {"one_of": […]}, {"any": true}."""

from __future__ import annotations

import hashlib
from typing import Any

from .errors import Finding, NonStrict
from .protocol import DRIVER_CODES, Reply, data_bytes


def _plain(value: Any) -> Any:
    """Numbers and decimal strings compare equal; u64 travels as a string."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def differences(wanted: Any, got: Any, where: str = "") -> list[str]:
    """Every place where `got` is not what `wanted` says. Keys that `wanted` does not name are not compared."""
    if isinstance(wanted, dict):
        if not isinstance(got, dict):
            return [f"{where}: expected {wanted}, got {got}"]
        if where.endswith("data") and ("hex" in wanted or "pat" in wanted):
            return _data_differences(data_bytes(wanted), got, where)
        found = []
        for key, value in wanted.items():
            path = f"{where}.{key}" if where else key
            if key not in got:
                found.append(f"{path}: missing")
            else:
                found += differences(value, got[key], path)
        return found
    if isinstance(wanted, list):
        return _list_differences(wanted, got, where)
    return [] if _plain(wanted) == _plain(got) else [f"{where}: expected {wanted}, got {got}"]


def _list_differences(wanted: list[Any], got: Any, where: str) -> list[str]:
    if not isinstance(got, list):
        return [f"{where}: expected a list, got {got}"]
    if len(wanted) != len(got):
        return [f"{where}: expected {len(wanted)} elements, got {len(got)}"]
    found = []
    for index, (one, other) in enumerate(zip(wanted, got, strict=True)):
        found += differences(one, other, f"{where}[{index}]")
    return found


def _data_differences(wanted: bytes, got: dict[str, Any], where: str) -> list[str]:
    """By content: a reply may have either form."""
    if "hex" not in got:
        form = {"len": str(len(wanted)), "sha256": hashlib.sha256(wanted).hexdigest(), "head": wanted[:32].hex()}
        return [] if form == got else [f"{where}: expected {len(wanted)} bytes {form}, got {got}"]
    have = bytes.fromhex(got["hex"])
    if have == wanted:
        return []
    if len(have) != len(wanted):
        return [f"{where}: expected {len(wanted)} bytes {wanted[:32].hex()}, got {len(have)} bytes {have[:32].hex()}"]
    first = next(i for i in range(len(have)) if have[i] != wanted[i])
    shown = slice(first, first + 16)
    return [f"{where}: first difference at byte {first}: expected {wanted[shown].hex()}, got {have[shown].hex()}"]


def mismatch(expect: dict[str, Any], reply: Reply) -> list[str]:
    """Why the reply is not what is expected; empty if it is."""
    if "one_of" in expect:
        tried = [mismatch(one, reply) for one in expect["one_of"]]
        if any(not one for one in tried):
            return []
        return [f"none of {len(tried)} permitted answers: " + " | ".join("; ".join(one[:2]) for one in tried)]
    if "any" in expect:
        return ["INTERNAL is never an answer"] if reply.code == "INTERNAL" else []
    if "err" in expect:
        return _wrong_error(expect, reply)
    return differences(expect.get("ok", {}), reply.body) if reply.kind == "ok" else [f"expected ok, got {reply.brief()}"]


def _wrong_error(expect: dict[str, Any], reply: Reply) -> list[str]:
    if reply.code not in expect["err"]:
        return [f"expected error {' or '.join(expect['err'])}, got {reply.code or reply.brief()}"]
    return differences({key: value for key, value in expect.items() if key != "err"}, reply.body)


def _codes(expect: dict[str, Any]) -> set[str]:
    if "one_of" in expect:
        return set().union(*(_codes(one) for one in expect["one_of"]))
    return set(expect.get("err", []))


def _only_errors(expect: dict[str, Any]) -> bool:
    return all(_only_errors(one) for one in expect["one_of"]) if "one_of" in expect else "err" in expect


def require(expect: dict[str, Any], reply: Reply, on: str, what: str) -> None:
    """Raise unless the reply is what is expected. An honest error of another name than asked for is NON-STRICT."""
    if reply.kind == "skip":
        raise Finding(f"{what}: skip inside a claimed class: {reply.body['reason']}", on=on)
    complaints = mismatch(expect, reply)
    if not complaints:
        return
    wrong_name = reply.kind == "err" and _only_errors(expect) and reply.code not in _codes(expect)
    kind = NonStrict if wrong_name and reply.code not in DRIVER_CODES else Finding
    raise kind(f"{what}: {'; '.join(complaints[:4])}", on=on, diff=complaints)


def require_ok(reply: Reply, on: str, what: str) -> None:
    """A step without `expect` must answer ok."""
    require({"ok": {}}, reply, on, what)


def require_rejected(codes: list[str], reply: Reply, on: str, what: str) -> bool:
    """A step of a case with `reject`: True if it was the error asked for, False if it was no error yet."""
    if reply.kind == "ok":
        return False
    require({"err": codes}, reply, on, what)
    return True
