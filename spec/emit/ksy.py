# SPDX-License-Identifier: MIT
"""Kaitai Struct: a parser of whole segments for a dozen languages, and for viewers. For looking at bytes at rest."""

from __future__ import annotations

from .expression import array_name, children, translate
from .model import Field, Overlay, Profile, Struct

KSY_TYPES = {"u8": "u1", "u16": "u2", "u32": "u4", "u64": "u8"}


def quoted(text: str) -> str:
    """A YAML single-quoted scalar."""
    return "'" + text.replace("'", "''") + "'"


def expression(profile: Profile, text: str, inside: str) -> str:
    """A layout expression, seen from a struct's type: its own fields by name, those of single structs from the root."""
    return translate(profile, text, lambda struct, field: field if struct == inside else f"_root.{struct}.{field}")


def enum_name(field: Field) -> str:
    return field.values.rstrip("_").lower()


def enum_lines(profile: Profile) -> list[str]:
    lines = []
    for field in {f.values: f for struct in profile.structs for f in struct.fields if f.values}.values():
        lines.append(f"  {enum_name(field)}:")
        for constant in profile.named_values(field):
            name = constant.name[len(field.values):].lower()
            lines += [f"    {constant.value}:", f"      id: {name}", f"      doc: {quoted(constant.doc)}"]
    return ["enums:", *lines] if lines else []


def field_lines(field: Field) -> list[str]:
    order = f" Atomic: store {field.store}, load {field.load}." if field.atomic else ""
    kind = f"size: {field.size}" if field.type == "bytes" else f"type: {KSY_TYPES[field.type]}"
    lines = [f"      - id: {field.name}", f"        {kind}"]
    if field.values:
        lines.append(f"        enum: {enum_name(field)}")
    return [*lines, f"        doc: {quoted(field.doc + '.' + order)}"]


def overlay_lines(profile: Profile, struct: Struct, overlay: Overlay) -> list[str]:
    """Null when the selector is unknown or the length does not fit; a segment is never trusted."""
    select = expression(profile, overlay.select, struct.name) + (".to_i" if profile.field(overlay.select).values else "")
    fits: list[str] = []
    offset = str(overlay.cases[-1].offset)
    for case in reversed(overlay.cases):
        match = " or ".join(f"{select} == {value}" for value in case.values)
        fits.insert(0, f"(({match}) and {overlay.length} <= {case.capacity})")
        if case is not overlay.cases[-1]:
            offset = f"(({match}) ? {case.offset} : {offset})"
    return [f"      {overlay.name}:", f"        if: {quoted(' or '.join(fits))}", f"        pos: {quoted(offset)}",
            f"        size: {overlay.length}", f"        doc: {quoted(overlay.doc + '.')}"]


def placed_lines(profile: Profile, struct: Struct, inside: str, indent: str) -> list[str]:
    """A struct, or a row of them, as an instance of the type that says where it is."""
    base, count = (expression(profile, text, inside) for text in (struct.base, struct.count))
    lines = [f"{array_name(struct)}:"]
    if inside:
        bound = f"{count} <= _root._io.size / {struct.size} and {base} <= _root._io.size - {struct.size} * {count}"
        lines += ["  io: _root._io", f"  if: {quoted(bound)}"]
    lines += [f"  pos: {quoted(base)}", f"  size: {struct.size}", f"  type: {struct.name}"]
    if struct.count:
        lines += ["  repeat: expr", f"  repeat-expr: {quoted(count)}"]
    return [indent + line for line in lines]


def type_lines(profile: Profile, struct: Struct) -> list[str]:
    lines = [f"  {struct.name}:", f"    doc: {quoted(struct.doc)}", "    seq:"]
    for field in struct.fields:
        lines += field_lines(field)
    inner = children(profile, struct.name)
    if inner or struct.overlays:
        lines.append("    instances:")
    for child in inner:
        lines += placed_lines(profile, child, struct.name, "      ")
    for overlay in struct.overlays:
        lines += overlay_lines(profile, struct, overlay)
    return lines


def document(profile: Profile) -> str:
    title = quoted(f"shmwire {profile.name}: {profile.title}")
    caution = quoted("A segment at rest. On a live one nothing orders the reads: use a driver or a library.")
    lines = ["# SPDX-License-Identifier: MIT", f"# {profile.banner}",
             "meta:", f"  id: shmwire_{profile.name}", f"  title: {title}",
             "  license: MIT", "  ks-version: '0.10'", "  endian: le", f"doc: {caution}", "instances:"]
    for struct in children(profile, ""):
        lines += placed_lines(profile, struct, "", "  ")
    lines.append("types:")
    for struct in profile.structs:
        lines += type_lines(profile, struct)
    return "\n".join([*lines, *enum_lines(profile), ""])
