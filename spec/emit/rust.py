# SPDX-License-Identifier: MIT
"""Rust constants: `pub` when public, `pub(crate)` offsets and sizes."""

from __future__ import annotations

from .model import Constant, Profile

RUST_TYPES = {"u8": "u8", "u16": "u16", "u32": "u32", "u64": "u64", "string": "&str"}


def grouped(value: int) -> str:
    return f"{value:_}" if value > 99_999 else str(value)


def literal(constant: Constant) -> str:
    if isinstance(constant.value, str):
        return f'"{constant.value}"'
    if constant.base == "oct":
        return f"0o{constant.value:o}"
    if constant.base == "hex":
        text = f"{constant.value:X}"
        groups = [text[max(0, i - 4):i] for i in range(len(text), 0, -4)][::-1]
        return "0x" + "_".join(groups)
    return grouped(constant.value)


def constants(profile: Profile) -> str:
    lines = ["// SPDX-License-Identifier: MIT", f"// {profile.banner}",
             f"//! Layout numbers of profile {profile.name}: {profile.title}.", ""]
    for c in profile.constants:
        visibility = "pub" if c.public else "pub(crate)"
        lines += [f"/// {c.doc}.", f"{visibility} const {c.name}: {RUST_TYPES[c.type]} = {literal(c)};"]
    for struct in profile.structs:
        lines += ["", f"/// {struct.doc}", f"pub(crate) const {profile.size_name(struct)}: u64 = {grouped(struct.size)};"]
        for field in struct.fields:
            if field.reserved:
                continue
            name = f"{struct.name}_{field.name}_OFFSET".upper()
            lines += [f"/// {field.type}: {field.doc}.", f"pub(crate) const {name}: u64 = {field.offset};"]
    return "\n".join(lines) + "\n"
