# SPDX-License-Identifier: MIT
"""Profile shmcomm, section 1.5: the segments' names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from .. import map as mapping
from ..errors import InvalidNameError
from . import layout

PREFIXES: Final = {
    layout.PATTERN_PUBSUB: "/shmcomm_pub_", layout.PATTERN_PIPELINE: "/shmcomm_push_", layout.PATTERN_REQUEST: "/shmcomm_req_",
    layout.PATTERN_REPLY: "/shmcomm_rep_",
}
_NAME: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{layout.NAME_MAX}}}")
_SEGMENT: Final = re.compile(r"shmcomm_(pub|push|req|rep)_([A-Za-z0-9._-]+)")
_KINDS: Final = {"pub": layout.PATTERN_PUBSUB, "push": layout.PATTERN_PIPELINE, "req": layout.PATTERN_REQUEST,
                 "rep": layout.PATTERN_REPLY}


def is_locator(name: str) -> bool:
    """Anything with a slash in it names a segment and not a channel."""
    return "/" in name


def segment_name(pattern: int, name: str, number: int = 0) -> str:
    """The segment of a channel; `number`: the requester's, of a reply channel. InvalidNameError. [shmcomm.name.valid]"""
    if is_locator(name):
        return f"{name}_rep_{number}" if pattern == layout.PATTERN_REPLY else name
    if _NAME.fullmatch(name) is None:
        raise InvalidNameError(f"{name!r} is not 1 to {layout.NAME_MAX} characters of A-Z a-z 0-9 . _ -")
    return f"{PREFIXES[pattern]}{name}{f'_{number}' if pattern == layout.PATTERN_REPLY else ''}"


def any_segment(name: str) -> str:
    """The segment of the channel `name` of whatever pattern; that of publish/subscribe if there is none. InvalidNameError."""
    candidates = [segment_name(pattern, name) for pattern in PREFIXES if pattern != layout.PATTERN_REPLY]
    return next((found for found in candidates if os.path.exists(mapping.path(found))), candidates[0])


class Named(NamedTuple):
    """A segment's name, taken apart."""

    segment: str
    pattern: int
    name: str
    number: int  #: of the requester; 0 but for reply channels


def named(file: str) -> Named | None:
    """What the name of a file in the directory of shared memory says; None if it is no channel's."""
    match = _SEGMENT.fullmatch(file)
    if match is None:
        return None
    pattern, name = _KINDS[match[1]], match[2]
    if pattern != layout.PATTERN_REPLY:
        return Named("/" + file, pattern, name, 0) if len(name) <= layout.NAME_MAX else None
    name, _, digits = name.rpartition("_")
    return Named("/" + file, pattern, name, int(digits)) if name and _is_number(digits) else None


def _is_number(digits: str) -> bool:
    plain = digits.isascii() and digits.isdigit() and len(digits) <= 10 and not digits.startswith("0")
    return plain and 0 < int(digits) <= layout.MAX_ENDPOINT


def reply_segments(name: str) -> Iterator[tuple[str, int]]:
    """The reply channels of a service that there are now: segment and number of the requester."""
    prefix = segment_name(layout.PATTERN_REPLY, name, 0).removesuffix("0")
    folder, begin = os.path.split(mapping.path(prefix))
    for file in os.listdir(folder):
        digits = file.removeprefix(begin)
        if file.startswith(begin) and _is_number(digits):
            yield prefix + digits, int(digits)


def service_names(locator: str) -> list[str]:
    """Under which names the service of a request channel may be used: by its segment, and by name."""
    full = mapping.full_name(locator)
    found = named(full[1:]) if mapping.path(locator) != full else None
    return [full, found.name] if found is not None and found.pattern == layout.PATTERN_REQUEST else [full]
