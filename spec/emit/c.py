# SPDX-License-Identifier: MIT
"""C11: public constants, and the internal overlay structs with a static assert on every offset and size."""

from __future__ import annotations

from .model import Constant, Field, Profile, Struct

C_TYPES = {"u8": "uint8_t", "u16": "uint16_t", "u32": "uint32_t", "u64": "uint64_t"}
C_MACROS = {"u8": "UINT8_C", "u16": "UINT16_C", "u32": "UINT32_C", "u64": "UINT64_C"}


def prefix(profile: Profile) -> str:
    return f"SHMW_{profile.name.upper()}_"


def define(profile: Profile, constant: Constant) -> str:
    literal = constant.literal
    if isinstance(constant.value, int):
        literal = f"0{constant.value:o}" if constant.base == "oct" else literal
        literal = f"{C_MACROS[constant.type]}({literal})"
    return f"/* {constant.doc} */\n#define {prefix(profile)}{constant.name} {literal}\n"


def public_header(profile: Profile) -> str:
    guard = f"SHMWIRE_{profile.name.upper()}_LAYOUT_H"
    lines = ["/* SPDX-License-Identifier: MIT */", f"/* {profile.banner} */", f"#ifndef {guard}", f"#define {guard}", "",
             "#include <stdint.h>", ""]
    lines += [define(profile, c) for c in profile.constants if c.public]
    lines += ["#endif", ""]
    return "\n".join(lines)


def member(field: Field) -> str:
    if field.type == "bytes":
        return f"    uint8_t {field.name}[{field.size}]; /* {field.offset}: {field.doc} */"
    kind = C_TYPES[field.type]
    kind = f"_Atomic({kind})" if field.atomic else kind
    return f"    {kind} {field.name}; /* {field.offset}: {field.doc} */"


def overlay(profile: Profile, struct: Struct) -> list[str]:
    tag = f"struct shmw_{profile.name}_wire_{struct.name}"
    lines = [f"/* {struct.doc} */", f"{tag} {{"]
    for index, field in enumerate(struct.fields):
        text = member(field)
        lines.append(text.replace("    ", f"    _Alignas({struct.align}) ", 1) if index == 0 else text)
    lines += ["};", f'_Static_assert(sizeof({tag}) == {struct.size}, "{profile.name} {struct.name} size");']
    for field in struct.fields:
        lines.append(f'_Static_assert(offsetof({tag}, {field.name}) == {field.offset}, '
                     f'"{profile.name} {struct.name}.{field.name}");')
    return [*lines, ""]


def internal_header(profile: Profile) -> str:
    guard = f"SHMW_SRC_{profile.name.upper()}_LAYOUT_H"
    lines = ["/* SPDX-License-Identifier: MIT */", f"/* {profile.banner} */", f"#ifndef {guard}", f"#define {guard}", "",
             "#include <stdatomic.h>", "#include <stddef.h>", "#include <stdint.h>", "",
             f'#include "shmwire/{profile.name}_layout.h"', ""]
    lines += [define(profile, c) for c in profile.constants if not c.public]
    for struct in profile.structs:
        # A struct's alignment in memory can exceed what its size divides by (slot: 1088 = 17 x 64).
        lines += overlay(profile, struct)
    lines += ["#endif", ""]
    return "\n".join(lines)
