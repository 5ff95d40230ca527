# SPDX-License-Identifier: MIT
"""Kaitai Struct: a parser of whole segments for a dozen languages, and for viewers. For looking at bytes at rest."""

from __future__ import annotations

import re

from .expression import array_name, children, regions_of, translate
from .model import Field, Overlay, Profile, Region, Struct

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


def numbered(profile: Profile, struct: Struct) -> bool:
    """Does the type need to know which of its row it is? It does if a chain of its own ends where that of the next one begins."""
    return any(child.chain for child in children(profile, struct.name))


def flag_lines(field: Field) -> list[str]:
    """What the highest bit says, and the rest."""
    if field.flag is None:
        return []
    shift = 8 * field.size - 1
    return [f"      {field.flag.name}:", f"        value: {quoted(f'({field.name} >> {shift}) != 0')}",
            f"      {field.flag.rest}:", f"        value: {quoted(f'{field.name} & {field.rest_mask}')}"]


def packed_lines(field: Field) -> list[str]:
    """The parts of a packed word, under the field's name and their own."""
    lines = []
    for part in field.packed:
        value = f"({field.name} >> {part.shift})" if part.shift else field.name
        value += "" if part is field.packed[0] else f" & {part.mask}"
        lines += [f"      {field.name}_{part.name}:", f"        value: {quoted(value)}", f"        doc: {quoted(part.doc + '.')}"]
    return lines


def region_lines(profile: Profile, region: Region) -> list[str]:
    """Null unless all of it lies in the file. Written so that nothing overflows where numbers have 32 bits."""
    at, element, count = (expression(profile, text, region.parent) for text in (region.at, region.element, region.count))
    if element == "1":  # bytes, as one: viewers and parsers need not make an object of each
        bound = f"{at} <= _root._io.size and {count} <= _root._io.size - ({at})"
        return [f"      {region.name}:", "        io: _root._io", f"        if: {quoted(bound)}", f"        pos: {quoted(at)}",
                f"        size: {quoted(count)}", f"        doc: {quoted(region.doc + '.')}"]
    steps = [f"{found[2]} <= _root._io.size / {found[1]}" for found in re.finditer(r"(\d+) \* (\w+)", at)]
    room = [f"{at} <= _root._io.size", f"{count} <= (_root._io.size - ({at})) / {element}"]
    bound = " and ".join([f"{element} > 0", *steps, *room])
    return [f"      {region.name}:", "        io: _root._io", f"        if: {quoted(bound)}", f"        pos: {quoted(at)}",
            f"        size: {quoted(element)}", "        repeat: expr", f"        repeat-expr: {quoted(count)}",
            f"        doc: {quoted(region.doc + '.')}"]


def chained_lines(profile: Profile, struct: Struct, indent: str) -> list[str]:
    """A chain as an instance of its parent: up to what ends it, the last element included."""
    chain, base = struct.chain, profile.field(struct.base)
    parent = next(s for s in profile.structs if s.name == struct.parent)
    assert chain is not None and base.flag is not None
    others = f"_root.{parent.parent}.{array_name(parent)}"
    at, room = base.flag.rest, f"_root._io.size - {struct.size}"
    after = f"{others}[index + 1]"
    following = f"(index + 1 < {others}.size and {after}.{base.flag.name} and {after}.{at} == _root._io.pos)"
    lines = [f"{array_name(struct)}:", "  io: _root._io",
             f"  if: {quoted(f'{base.flag.name} and {at} % {chain.align} == 0 and {at} <= {room}')}",
             f"  pos: {quoted(at)}", f"  type: {struct.name}", "  repeat: until",
             f"  repeat-until: {quoted(f'not _.whole or _root._io.pos > {room} or {following}')}"]
    return [indent + line for line in lines]


def body_lines(profile: Profile, struct: Struct) -> list[str]:
    """The bytes behind a chained struct and the padding up to the next one, which may be cut off by the end of the file."""
    chain = struct.chain
    assert chain is not None
    flag = profile.field(f"{struct.name}.{chain.length}").flag
    assert flag is not None
    pad = f"({chain.align} - _io.pos % {chain.align}) % {chain.align}"
    return [f"      - id: {chain.body}", "        if: whole", f"        size: {quoted(f'{flag.rest} - {struct.size}')}",
            f"        doc: {quoted(f'{flag.rest} - {struct.size} bytes.')}",
            "      - id: pad", f"        size: {quoted(f'(_io.size - _io.pos < {pad}) ? (_io.size - _io.pos) : ({pad})')}",
            f"        doc: {quoted(f'up to the next multiple of {chain.align}; never read.')}"]


def whole_lines(profile: Profile, struct: Struct) -> list[str]:
    """Is it an element, and does it lie in the file? Evaluated where the body begins, and kept."""
    chain = struct.chain
    assert chain is not None
    flag = profile.field(f"{struct.name}.{chain.length}").flag
    assert flag is not None
    value = f"{flag.name} and {flag.rest} >= {chain.least} and {flag.rest} - {struct.size} <= _io.size - _io.pos"
    return ["      whole:", f"        value: {quoted(value)}"]


def placed_lines(profile: Profile, struct: Struct, inside: str, indent: str) -> list[str]:
    """A struct, or a row of them, as an instance of the type that says where it is."""
    if struct.chain:
        return chained_lines(profile, struct, indent)
    base, count = (expression(profile, text, inside) for text in (struct.base, struct.count))
    lines = [f"{array_name(struct)}:"]
    if inside:
        bound = f"{count} <= _root._io.size / {struct.size} and {base} <= _root._io.size - {struct.size} * {count}"
        lines += ["  io: _root._io", f"  if: {quoted(bound)}"]
    number = "(_index)" if numbered(profile, struct) else ""
    lines += [f"  pos: {quoted(base)}", f"  size: {struct.size}", f"  type: {struct.name}{number}"]
    if struct.count:
        lines += ["  repeat: expr", f"  repeat-expr: {quoted(count)}"]
    return [indent + line for line in lines]


def whole_file_lines(struct: Struct) -> list[str]:
    """A struct at 0 of files of its own, as an instance of the root; lazy, so that those of other kinds do no harm."""
    return [f"  {struct.name}:", f"    if: {quoted(f'_root._io.size >= {struct.size}')}", "    pos: 0",
            f"    size: {struct.size}", f"    type: {struct.name}"]


def type_lines(profile: Profile, struct: Struct) -> list[str]:
    doc = f"{struct.doc} Nothing places it: read one where a position leads." if struct.loose else struct.doc
    lines = [f"  {struct.name}:", f"    doc: {quoted(doc)}"]
    if numbered(profile, struct):
        lines += ["    params:", "      - id: index", "        type: s4"]
    lines.append("    seq:")
    for field in struct.fields:
        lines += field_lines(field)
    if struct.chain:
        lines += body_lines(profile, struct)
    inner = children(profile, struct.name)
    regions = regions_of(profile, struct.name)
    flags = [line for field in struct.fields for line in flag_lines(field) + packed_lines(field)]
    if inner or struct.overlays or flags or regions:
        lines += ["    instances:", *flags]
    if struct.chain:
        lines += whole_lines(profile, struct)
    for child in inner:
        lines += placed_lines(profile, child, struct.name, "      ")
    for region in regions:
        lines += region_lines(profile, region)
    for overlay in struct.overlays:
        lines += overlay_lines(profile, struct, overlay)
    return lines


def document(profile: Profile) -> str:
    title = quoted(f"shmwire {profile.name}: {profile.title}")
    caution = quoted("A segment at rest. On a live one nothing orders the reads: use a driver or a library.")
    lines = ["# SPDX-License-Identifier: MIT", f"# {profile.banner}",
             "meta:", f"  id: shmwire_{profile.name}", f"  title: {title}",
             "  license: MIT", "  ks-version: '0.10'", "  endian: le", f"doc: {caution}", "instances:"]
    placed = children(profile, "")
    for struct in placed:
        lines += placed_lines(profile, struct, "", "  ")
    if not placed:  # files of several kinds: the magic says which of these it is
        lines += [line for struct in profile.structs if not struct.loose for line in whole_file_lines(struct)]
    lines.append("types:")
    for struct in profile.structs:
        lines += type_lines(profile, struct)
    return "\n".join([*lines, *enum_lines(profile), ""])
