# SPDX-License-Identifier: MIT
"""Fill the generated blocks of spec chapters: `<!-- gen:WHAT ARGS -->` … `<!-- /gen -->`."""

from __future__ import annotations

import re
from typing import Any

from .model import Field, Profile, Struct

BLOCK = re.compile(r"(<!-- gen:(?P<what>[a-z-]+)(?P<args>[^>]*?) -->\n)(?P<body>.*?)(<!-- /gen -->)", re.S)


def has_blocks(text: str) -> bool:
    return BLOCK.search(text) is not None


def order(field: Field) -> str:
    if field.reserved:
        return "uninitialised" if field.uninitialised else "zero"
    if field.atomic:
        labels = f" ({', '.join(field.labels)})" if field.labels else ""
        return f"atomic; store {field.store}, load {field.load}{labels}"
    return f"plain; published by `{field.published_by}`" if field.published_by else "plain"


def struct_table(struct: Struct) -> str:
    where = f"Size {struct.size} bytes, at `{struct.at}`" + (f", `{struct.count}` of them." if struct.count else ".")
    if struct.separate:
        where = f"Size {struct.size} bytes" + ("." if struct.loose else ", at 0 of a segment of its own.")
    if struct.chain:
        where = f"Size {struct.size} bytes and a body of {struct.chain.least - struct.size} or more, the first at `{struct.at}`."
    lines = [f"{struct.doc} {where}", "", "| offset | size | type | field | order | writer | meaning |",
             "|---:|---:|---|---|---|---|---|"]
    for f in struct.fields:
        kind = f"u8[{f.size}]" if f.type == "bytes" else f.type
        lines.append(f"| {f.offset} | {f.size} | {kind} | {f.name} | {order(f)} | {f.writer or '-'} | {f.doc} |")
    return "\n".join(lines + [line for field in struct.fields for line in packed_table(field)])


def packed_table(field: Field) -> list[str]:
    """What the bits of a packed word say, the highest first."""
    rows = [f"| {part.shift + part.bits - 1}..{part.shift} | {part.name} | {part.doc} |" for part in field.packed]
    return ["", f"| bits of {field.name} | part | meaning |", "|---:|---|---|", *rows] if rows else []


def drawing(struct: Struct) -> str:
    """One line per run of fields: offset, a bar, the name. Padding is dotted."""
    lines = ["```text"]
    for f in struct.fields:
        fill = "." if f.reserved else "-"
        lines.append(f"{f.offset:>6} +{fill * 40}+")
        mark = " *" if f.atomic else ""
        size = f"{f.size} bytes" if f.type == "bytes" else f.type
        lines.append(f"       | {(f.name + mark):<22}{size:>16} |")
    lines += [f"{struct.size:>6} +{'-' * 40}+", "       * atomic", "```"]
    return "\n".join(lines)


def constants_table(profile: Profile) -> str:
    lines = ["| constant | value | type | meaning |", "|---|---:|---|---|"]
    for c in profile.constants:
        value = f"0{c.value:o}" if isinstance(c.value, int) and c.base == "oct" else c.literal
        lines.append(f"| {c.name} | {value} | {c.type} | {c.doc} |")
    return "\n".join(lines)


def error_table(registry: dict[str, list[dict[str, Any]]]) -> str:
    lines = ["| code | name | kind | meaning |", "|---:|---|---|---|"]
    for kind in ("result", "error"):
        lines += [f"| {e['code']} | {e['name']} | {kind} | {e['text']} |" for e in registry[kind]]
    return "\n".join(lines)


def fill(text: str, profiles: list[Profile], registry: dict[str, list[dict[str, Any]]]) -> str:
    by_name = {p.name: p for p in profiles}

    def replace(match: re.Match[str]) -> str:
        args = match["args"].split()
        what = match["what"]
        if what == "errors":
            body = error_table(registry)
        elif what == "constants":
            body = constants_table(by_name[args[0]])
        else:
            struct = next(s for s in by_name[args[0]].structs if s.name == args[1])
            body = {"struct": struct_table, "drawing": drawing}[what](struct)
        return f"{match[1]}{body}\n{match[5]}"

    return BLOCK.sub(replace, text)
