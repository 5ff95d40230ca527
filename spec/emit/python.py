# SPDX-License-Identifier: MIT
"""Python constants, all Final."""

from __future__ import annotations

from .model import Profile


def constants(profile: Profile) -> str:
    lines = ["# SPDX-License-Identifier: MIT", f"# {profile.banner}", "# ruff: noqa: E501",
             f'"""Layout numbers of profile {profile.name}: {profile.title}."""', "", "from typing import Final", ""]
    for c in profile.constants:
        literal = f"0o{c.value:o}" if isinstance(c.value, int) and c.base == "oct" else c.literal
        lines += [f"#: {c.doc}.", f"{c.name}: Final = {literal}"]
    for struct in profile.structs:
        lines += ["", f"#: {struct.doc}", f"{profile.size_name(struct)}: Final = {struct.size}"]
        for field in struct.fields:
            if field.reserved:
                continue
            name = f"{struct.name}_{field.name}_OFFSET".upper()
            lines += [f"#: {field.type}: {field.doc}.", f"{name}: Final = {field.offset}"]
    return "\n".join(lines) + "\n"
