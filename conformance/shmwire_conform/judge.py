# SPDX-License-Identifier: MIT
"""What the suite asks its oracle about a segment's bytes. The oracle of a profile is shmwire_conform.oracle.PROFILE, pure
Python from spec/layout, and shares no code with any implementation."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from . import trees
from .errors import HarnessError

_PIECE = 16  # bytes of a field that a difference shows


@functools.cache
def oracle(profile: str) -> Any:
    try:
        return importlib.import_module(f"shmwire_conform.oracle.{profile}")
    except ImportError as error:
        raise HarnessError(f"profile {profile} has no oracle: {error}") from None


def field_values(profile: str, data: bytes, names: list[str]) -> dict[str, str]:
    """The named fields, integers in decimal, byte fields in hex; a field outside of the bytes is left out."""
    values = {}
    for name in names:
        try:
            value = oracle(profile).value(data, name)
        except IndexError:
            continue
        values[name] = value.hex() if isinstance(value, bytes) else str(value)
    return values


def number(profile: str, data: bytes, name: str) -> int:
    return int(oracle(profile).value(data, name))


def locate(profile: str, data: bytes, name: str) -> tuple[int, int]:
    """Offset and size of a field, in bytes."""
    place: tuple[int, int] = oracle(profile).locate(data, name)
    return place


def constant(profile: str, name: str) -> int:
    """A constant of the profile's layout."""
    return int(oracle(profile).C[name])


def goes_with_its_maker(profile: str) -> bool:
    """Whether a segment may lose its name when the handle that made it is closed, so that it is looked at before."""
    return bool(getattr(oracle(profile), "GOES_WITH_ITS_MAKER", False))


def findings(profile: str, data: bytes) -> list[str]:
    """What is wrong with a segment at rest, one line each, the rule first."""
    return [str(one) for one in oracle(profile).findings(data)]


def messages(profile: str, data: bytes) -> list[dict[str, Any]]:
    """What a reader must deliver, in the form of the items of a `read` reply."""
    return list(oracle(profile).items(data))


def reading(profile: str, data: bytes) -> list[dict[str, Any]]:
    """Steps that read a segment without changing it, with the answers that the bytes demand."""
    return list(oracle(profile).reading(data))


def read_class(profile: str) -> str:
    """The class that a driver must claim for those steps."""
    return str(oracle(profile).READ_CLASS)


def name_at(profile: str, data: bytes, offset: int) -> str:
    return str(oracle(profile).name_at(data, offset))


def byte_diff(profile: str, wanted: bytes, have: bytes, limit: int = 40) -> list[str]:
    """One line for each field that differs, with both values in hex; lengths first."""
    if trees.is_tree(wanted) or trees.is_tree(have):
        return _tree_diff(profile, wanted or trees.MAGIC, have or trees.MAGIC)[:limit]
    lines = [] if len(wanted) == len(have) else [f"size: expected {len(wanted)} bytes, got {len(have)}"]
    longer = wanted if len(wanted) >= len(have) else have
    common = min(len(wanted), len(have))
    offset = next_difference(wanted, have, 0, common)
    while offset < common and len(lines) < limit:
        start, end = _extent(profile, longer, offset, common)
        name = name_at(profile, longer, start)
        lines.append(f"{name} (at {start}): expected {wanted[start:end].hex()}, got {have[start:end].hex()}")
        offset = next_difference(wanted, have, end, common)
    return lines if offset >= common else [*lines, "… more differences are not shown"]


def _tree_diff(profile: str, wanted: bytes, have: bytes) -> list[str]:
    """The same for all files of a directory; those that only one side has come first."""
    mine, theirs = trees.places(wanted), trees.places(have)
    lines = [f"{name}: is not there" for name in sorted(set(mine) - set(theirs))]
    lines += [f"{name}: must not be there" for name in sorted(set(theirs) - set(mine))]
    for name in sorted(set(mine) & set(theirs)):
        (kind, begin, end), (other, at, stop) = mine[name], theirs[name]
        one, two = wanted[begin:end], have[at:stop]
        if kind != other:
            lines.append(f"{name}: expected kind {kind}, got {other}")
        elif len(one) != len(two):
            lines.append(f"{name}: expected {len(one)} bytes, got {len(two)}")
        offset = next_difference(one, two, 0, min(len(one), len(two)))
        while offset < min(len(one), len(two)):
            field, _, inside = name_at(profile, wanted, begin + offset).partition("+")
            size = _PIECE if field.startswith("free") else min(_PIECE, locate(profile, wanted, field)[1])
            start = offset - int(inside or 0) if not field.startswith("free") and size < _PIECE else offset
            expected, got = one[start : start + size].hex(), two[start : start + size].hex()
            lines.append(f"{name}: {field} (at {start}): expected {expected}, got {got}")
            offset = next_difference(one, two, max(start + size, offset + 1), min(len(one), len(two)))
    return lines


def _extent(profile: str, data: bytes, offset: int, common: int) -> tuple[int, int]:
    """The whole field around an offset if it is narrow, else a piece that begins there."""
    name = name_at(profile, data, offset)
    field, _, _inside = name.partition("+")
    if not field.startswith("free"):
        start, size = locate(profile, data, field)
        if size <= _PIECE:
            return start, min(start + size, common)
    return offset, min(offset + _PIECE, common)


def next_difference(one: bytes, other: bytes, start: int, end: int) -> int:
    """The first differing offset in [start, end), or end."""
    step = 4096
    while start < end and one[start : start + step] == other[start : start + step]:
        start += step
    while start < end and one[start] == other[start]:
        start += 1
    return min(start, end)
