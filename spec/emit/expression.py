# SPDX-License-Identifier: MIT
"""Expressions of the layout files (`at`, `count`, overlay selectors) in the words of an emitter, and who contains whom."""

from __future__ import annotations

import re
from collections.abc import Callable

from .model import Profile, Region, Struct

WORD = re.compile(r"[A-Za-z_][\w.]*")


def translate(profile: Profile, expression: str, field: Callable[[str, str], str]) -> str:
    """Constants become numbers; `struct.field` becomes what field(struct, field) says."""

    def word(match: re.Match[str]) -> str:
        struct, _, name = match[0].partition(".")
        if name:
            profile.field(match[0])
            return field(struct, name)
        return str(profile.constant(struct).value)

    return WORD.sub(word, expression)


def type_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def array_name(struct: Struct) -> str:
    if not struct.count and struct.chain is None:
        return struct.name
    return struct.name[:-1] + "ies" if struct.name.endswith("y") else struct.name + "s"


def children(profile: Profile, parent: str) -> list[Struct]:
    """The structs placed by fields of `parent`; with "" those at fixed places of the segment."""
    return [struct for struct in profile.structs if struct.parent == parent and not struct.separate]


def regions_of(profile: Profile, parent: str) -> list[Region]:
    return [region for region in profile.regions if region.parent == parent]


def inner_first(profile: Profile) -> list[Struct]:
    """Every struct, after those that it contains; single ones at fixed places before all, since others refer to them."""
    done: list[Struct] = []

    def visit(struct: Struct) -> None:
        for child in children(profile, struct.name):
            visit(child)
        done.append(struct)

    for struct in sorted(children(profile, ""), key=lambda s: bool(s.count)):
        visit(struct)
    return done + [struct for struct in profile.structs if struct.separate]
