# SPDX-License-Identifier: MIT
"""ImHex pattern: the segment's fields by name and colour in a hex editor. For looking at bytes at rest."""

from __future__ import annotations

from .expression import array_name, children, inner_first, regions_of, translate, type_name
from .model import Field, Overlay, Profile, Region, Struct


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def expression(profile: Profile, text: str, inside: str) -> str:
    return translate(profile, text, lambda struct, field: field if struct == inside else f"{struct}.{field}")


def enum_name(profile: Profile, field: Field) -> str:
    """An enum has a width: values that fields of several widths have are several enums, the wider ones with their width."""
    widths = {f.size: f.type for struct in profile.structs for f in struct.fields if f.values == field.values}
    name = type_name(field.values.rstrip("_").lower())
    return name if field.size == min(widths) else name + field.type.upper()


def enum_lines(profile: Profile) -> list[str]:
    lines = []
    for field in {(f.values, f.size): f for struct in profile.structs for f in struct.fields if f.values}.values():
        names = [f"    {c.name[len(field.values):]} = {c.value}," for c in profile.named_values(field)]
        lines += [f"enum {enum_name(profile, field)} : {field.type} {{", *names, "};", ""]
    return lines


def packed_name(struct: Struct, field: Field) -> str:
    return type_name(f"{struct.name}_{field.name}")


def packed_lines(struct: Struct) -> list[str]:
    """A bit field lists its parts from the lowest bit on."""
    lines = []
    for field in struct.fields:
        parts = [f"    {part.name} : {part.bits} [[comment({quoted(part.doc)})]];" for part in reversed(field.packed)]
        if parts:
            lines += [f"bitfield {packed_name(struct, field)} {{", *parts, "};", ""]
    return lines


def region_type(region: Region) -> str:
    return f"{type_name(region.name)}Element"


def region_lines(profile: Profile, region: Region) -> list[str]:
    """In the struct that says where it is; placed only if all of it lies in the file."""
    at, element, count = (expression(profile, text, region.parent) for text in (region.at, region.element, region.count))
    if element == "1":
        return [f"    if ({at} <= sizeof($) && {count} <= sizeof($) - {at})",
                f"        u8 {region.name}[{count}] @ {at} [[comment({quoted(region.doc)})]];"]
    return [f"    if ({element} > 0 && {at} <= sizeof($) && {count} <= (sizeof($) - ({at})) / {element})",
            f"        {region_type(region)} {region.name}[{count}] @ {at} [[comment({quoted(region.doc)})]];"]


def region_types(profile: Profile, struct: Struct) -> list[str]:
    lines = []
    for region in regions_of(profile, struct.name):
        if region.element == "1":
            continue
        size = translate(profile, region.element, lambda _, field: f"parent.{field}")
        lines += [f"// {region.doc}", f"struct {region_type(region)} {{", f"    u8 bytes[{size}];", "};", ""]
    return lines


def field_line(profile: Profile, struct: Struct, field: Field) -> str:
    comment = f" [[comment({quoted(field.doc)})]]"
    if field.reserved:
        return f"    padding[{field.size}];"
    if field.type == "bytes":
        return f"    u8 {field.name}[{field.size}]{comment};"
    kind = packed_name(struct, field) if field.packed else enum_name(profile, field) if field.values else field.type
    return f"    {kind} {field.name}{comment};"


def overlay_lines(profile: Profile, struct: Struct, overlay: Overlay) -> list[str]:
    select, lines = expression(profile, overlay.select, struct.name), []
    selector = profile.field(overlay.select)
    names = {c.value: f"{enum_name(profile, selector)}::{c.name[len(selector.values):]}" for c in profile.named_values(selector)}
    for case in overlay.cases:
        match = " || ".join(f"{select} == {names.get(value, value)}" for value in case.values)
        place = f"@ addressof(this) + {case.offset} [[comment({quoted(overlay.doc)})]]"
        lines += [f"    if (({match}) && {overlay.length} <= {case.capacity})",
                  f"        u8 {overlay.name}[{overlay.length}] {place};"]
    return lines


def child_lines(profile: Profile, struct: Struct, inside: str) -> list[str]:
    """Placed only if the whole row lies in the file."""
    base, count = expression(profile, struct.base, inside), expression(profile, struct.count or "1", inside)
    row = f"[{count}]" if struct.count else ""
    return [f"    if ({count} <= sizeof($) / {struct.size} && {base} <= sizeof($) - {struct.size} * {count})",
            f"        {type_name(struct.name)} {array_name(struct)}{row} @ {base};"]


def chain_lines(profile: Profile, struct: Struct) -> list[str]:
    """In the parent: elements from its place on, while the word there says that one begins, up to the next parent's place."""
    chain, base = struct.chain, profile.field(struct.base)
    parent = next(s for s in profile.structs if s.name == struct.parent)
    assert chain is not None
    length = profile.field(f"{struct.name}.{chain.length}")
    count = translate(profile, parent.count, lambda _, field: f"parent.{field}")
    table = expression(profile, parent.base, "")
    top, word = f"0x{base.rest_mask + 1:X}", f"std::mem::read_unsigned($, {length.size})"
    return [f"    u64 following = addressof(this) + {2 * parent.size} <= {table} + {parent.size} * {count}"
            f" ? std::mem::read_unsigned(addressof(this) + {parent.size + base.offset}, {base.size}) : 0;",
            f"    if ({base.name} >= {top} && {base.name} % {chain.align} == 0)",
            f"        {type_name(struct.name)} {array_name(struct)}[while($ + {struct.size} <= sizeof($)"
            f" && $ != (following ^ {top}) && {word} >= 0x{length.rest_mask + 1 + chain.least:X}"
            f" && {word} - 0x{length.rest_mask + 1:X} <= sizeof($) - $)] @ {base.name} & 0x{base.rest_mask:X};"]


def body_lines(profile: Profile, struct: Struct) -> list[str]:
    """Behind a chained struct: its body, and what is left to the next multiple."""
    chain = struct.chain
    assert chain is not None
    length = profile.field(f"{struct.name}.{chain.length}")
    return [f"    if ({length.name} >= 0x{length.rest_mask + 1 + chain.least:X}) {{",
            f"        u8 {chain.body}[({length.name} & 0x{length.rest_mask:X}) - {struct.size}];",
            f"        padding[({chain.align} - $ % {chain.align}) % {chain.align}];", "    }"]


def struct_lines(profile: Profile, struct: Struct) -> list[str]:
    loose = ["// Nothing places it: put one where a position leads."] if struct.loose else []
    before = [*packed_lines(struct), *region_types(profile, struct), f"// {struct.doc}", *loose]
    lines = [*before, f"struct {type_name(struct.name)} {{"]
    lines += [field_line(profile, struct, field) for field in struct.fields]
    if struct.chain:
        lines += body_lines(profile, struct)
    for child in children(profile, struct.name):
        lines += chain_lines(profile, child) if child.chain else child_lines(profile, child, struct.name)
    for region in regions_of(profile, struct.name):
        lines += region_lines(profile, region)
    for overlay in struct.overlays:
        lines += overlay_lines(profile, struct, overlay)
    lines.append("};")
    if not struct.parent and not struct.separate:
        row = f"[{expression(profile, struct.count, '')}]" if struct.count else ""
        lines.append(f"{type_name(struct.name)} {array_name(struct)}{row} @ {expression(profile, struct.base, '')};")
    return [*lines, ""]


def document(profile: Profile) -> str:
    lines = ["// SPDX-License-Identifier: MIT", f"// {profile.banner}", "#pragma author shmwire",
             f"#pragma description shmwire {profile.name}: {profile.title}", "#pragma endian little",
             "#pragma array_limit 0x100000", "#pragma pattern_limit 0x1000000", ""]
    if any(struct.chain for struct in profile.structs):
        lines += ["import std.mem;", ""]
    lines += enum_lines(profile)
    for struct in inner_first(profile):
        lines += struct_lines(profile, struct)
    return "\n".join(lines)
