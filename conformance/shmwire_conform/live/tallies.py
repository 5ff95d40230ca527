# SPDX-License-Identifier: MIT
"""What actors say of themselves, in all profiles: compared with what they were asked for and with what they wrote down."""

from __future__ import annotations

from typing import Any

from ..errors import Finding
from .cast import Actor


def require_sent(writer: Actor) -> None:
    """A writer sent all that its plan asked for."""
    if writer.count("sent") != writer.plan["count"]:
        what = f"sent {writer.count('sent')} of {writer.plan['count']}: no progress"
        raise Finding(f"{writer.label} {what}", on=writer.label)


def require_clean(reader: Actor, noun: str) -> None:
    """A reader met nothing torn or corrupt. `noun`: what the profile's messages are called."""
    for word in ("torn", "corrupt"):
        if reader.count(word):
            raise Finding(f"{reader.label} counts {reader.count(word)} {word} {noun}", on=reader.label)


def require_said(reader: Actor, **have: Any) -> None:
    """A reader's counts are those of its history."""
    for word, count in have.items():
        if reader.count(word) != count:
            raise Finding(f"{reader.label} says {word} {reader.count(word)}, its history has {count}", on=reader.label)


def require_ended(reader: Actor) -> None:
    """A reader came to the end within its time."""
    if not (reader.summary or {}).get("ended"):
        raise Finding(f"{reader.label} was not done after {reader.plan['limit_ms']} ms", on=reader.label)
