# SPDX-License-Identifier: MIT
"""Layout numbers and fields by name, for any profile."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..paths import SPEC

_WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}


@dataclass(frozen=True)
class Bits:
    """A part of an integer field: `width` bits from `shift` on."""

    name: str
    shift: int
    width: int

    def of(self, number: int) -> int:
        return number >> self.shift & ((1 << self.width) - 1)


@dataclass(frozen=True)
class Field:
    """One field of a structure: bytes [offset, offset + size) of it."""

    name: str
    offset: int
    size: int
    numeric: bool
    reserved: bool
    uninitialised: bool
    packed: tuple[Bits, ...] = ()

    @property
    def must_be_zero(self) -> bool:
        return self.reserved and not self.uninitialised


@dataclass(frozen=True)
class Struct:
    """`separate`: not a part of the profile's segment, but one of its own."""

    name: str
    size: int
    fields: tuple[Field, ...]
    separate: bool = False

    def field(self, name: str) -> Field:
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"{self.name} has no field {name}")

    def field_at(self, offset: int) -> Field:
        """The field that byte `offset` of the structure belongs to. Fields tile a structure without gaps."""
        return next(field for field in reversed(self.fields) if field.offset <= offset)


@dataclass(frozen=True)
class Region:
    """Elements without fields; how long and how many they are stands in the named fields."""

    name: str
    element: str
    count: str


@dataclass(frozen=True)
class Layout:
    profile: str
    constants: dict[str, int]
    structs: dict[str, Struct]
    regions: dict[str, Region]


@functools.cache
def load(profile: str) -> Layout:
    """spec/layout/PROFILE.toml, from the repository or from the installed package."""
    raw = tomllib.loads((SPEC / "layout" / f"{profile}.toml").read_text(encoding="utf-8"))
    constants = {name: item["value"] for name, item in raw["constants"].items() if isinstance(item["value"], int)}
    structs = {}
    for item in raw["struct"]:
        fields = tuple(
            Field(
                name=one["name"],
                offset=one["offset"],
                size=one["length"] if one["type"] == "bytes" else _WIDTHS[one["type"]],
                numeric=one["type"] != "bytes",
                reserved=bool(one.get("reserved")),
                uninitialised=bool(one.get("uninitialised")),
                packed=tuple(Bits(bits["name"], bits["shift"], bits["bits"]) for bits in one.get("packed", ())),
            )
            for one in item["field"]
        )
        structs[item["name"]] = Struct(item["name"], item["size"], fields, bool(item.get("separate")))
    regions = {one["name"]: Region(one["name"], one["element"], one["count"]) for one in raw.get("region", ())}
    return Layout(raw["profile"], constants, structs, regions)


@dataclass(frozen=True)
class Block:
    """One structure in one place, such as channel[3] at 1280."""

    name: str
    offset: int
    struct: Struct

    @property
    def end(self) -> int:
        return self.offset + self.struct.size


@dataclass(frozen=True)
class Finding:
    """Something wrong. `code` is the error that a participant must answer to it; "" for a state that only a segment at rest must
    not be in, and for what readers ignore."""

    rule: str
    code: str
    at: str
    text: str

    def __str__(self) -> str:
        return f"[{self.rule}] {self.at}: {self.text}" + (f" ({self.code})" if self.code else "")


class Image:
    """The bytes of a segment, addressed by block and field. Reads outside of the bytes raise IndexError, never wrap."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def blocks(self) -> Iterator[Block]:
        """Every structure of the segment, wholly inside the bytes or not. Profiles say which there are."""
        raise NotImplementedError

    def block(self, name: str) -> Block:
        """The structure with this name: "header", "channel[0].slot[3]". KeyError if the segment has none."""
        raise NotImplementedError

    def locate(self, name: str) -> tuple[int, int]:
        block_name, _, field_name = name.rpartition(".")
        block = self.block(block_name)
        field = block.struct.field(field_name)
        return block.offset + field.offset, field.size

    def raw(self, offset: int, size: int) -> bytes:
        if offset < 0 or offset + size > len(self.data):
            raise IndexError(f"bytes {offset} to {offset + size} of {len(self.data)}")
        return self.data[offset : offset + size]

    def number(self, name: str) -> int:
        """An integer field, or a part of a packed one: "header.reserved", "header.reserved.index"."""
        try:
            return int.from_bytes(self.raw(*self.locate(name)), "little")
        except KeyError:
            whole, _, part = name.rpartition(".")
            bits = next((bits for bits in self.packed(whole) if bits.name == part), None)
            if bits is None:
                raise
            return bits.of(self.number(whole))

    def packed(self, name: str) -> tuple[Bits, ...]:
        """The parts of a field, if it is one that has parts."""
        block, _, field = name.rpartition(".")
        try:
            return self.block(block).struct.field(field).packed
        except KeyError:
            return ()

    def fields(self) -> dict[str, str]:
        """Every field inside the bytes: decimal for integers, hex for byte fields."""
        out = {}
        for block in self.blocks():
            for field in block.struct.fields:
                begin = block.offset + field.offset
                if begin + field.size <= len(self.data):
                    piece = self.data[begin : begin + field.size]
                    out[f"{block.name}.{field.name}"] = str(int.from_bytes(piece, "little")) if field.numeric else piece.hex()
        return out

    def name_at(self, offset: int) -> str:
        """The field that a byte belongs to, with the distance from the field's start; "free+N" outside of every structure."""
        for block in self.blocks():
            if block.offset <= offset < block.end:
                field = block.struct.field_at(offset - block.offset)
                inside = offset - block.offset - field.offset
                return f"{block.name}.{field.name}" + (f"+{inside}" if inside else "")
        return f"free+{offset}"

    def nonzero(self, block: Block) -> list[str]:
        """Names of the reserved fields of a block that must be zero and are not."""
        reserved = [field for field in block.struct.fields if field.must_be_zero]
        return [f.name for f in reserved if any(self.raw(block.offset + f.offset, f.size))]

    def value(self, name: str) -> int | bytes:
        """An integer field or a part of one as a number, a byte field as its bytes."""
        block, _, field = name.rpartition(".")
        if self.packed(block) or self.block(block).struct.field(field).numeric:
            return self.number(name)
        return self.raw(*self.locate(name))


class Lookups(NamedTuple):
    """The functions of a profile's module that take bytes and a name, or an offset (see the package)."""

    fields: Callable[[bytes], dict[str, str]]
    value: Callable[[bytes, str], int | bytes]
    locate: Callable[[bytes, str], tuple[int, int]]
    encode: Callable[[bytes, str, int], tuple[int, bytes]]
    name_at: Callable[[bytes, int], str]


def lookups(image: type[Image]) -> Lookups:
    def encode(data: bytes, name: str, number: int) -> tuple[int, bytes]:
        offset, size = image(data).locate(name)
        return offset, number.to_bytes(size, "little")

    return Lookups(
        fields=lambda data: image(data).fields(),
        value=lambda data, name: image(data).value(name),
        locate=lambda data, name: image(data).locate(name),
        encode=encode,
        name_at=lambda data, offset: image(data).name_at(offset),
    )
