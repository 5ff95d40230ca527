# SPDX-License-Identifier: MIT
"""The generator: its output is up to date, it is deterministic, and a layout file that contradicts itself is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from emit import c, go, json_layout, ksy, markdown, python, rust
from emit.hexpat import document as hexpat
from emit.model import LayoutError, Profile, load_profile

ROOT = Path(__file__).resolve().parents[2]
LAYOUTS = sorted(ROOT.glob("spec/layout/*.toml"))

SMALL = """
profile = "small"
title = "a test"
revision = 1
byte_order = "little"

[constants]
TABLE = { value = 16, type = "u64", doc = "offset of the table" }
KIND_A = { value = 1, type = "u16", doc = "kind a" }

[[struct]]
name = "header"
doc = "The header."
size = 16
align = 8
at = "0"

[[struct.field]]
name = "count"
offset = 0
type = "u64"
atomic = true
store = "release"
load = "acquire"
doc = "how many"

[[struct.field]]
name = "kind"
offset = 8
type = "u16"
values = "KIND_"
published_by = "header.count"
doc = "KIND_ value"

[[struct.field]]
name = "pad"
offset = 10
type = "bytes"
length = 6
reserved = true
doc = "zero"

[[struct]]
name = "entry"
doc = "An entry."
size = 8
align = 8
at = "TABLE + 8 * i"
count = "header.count"

[[struct.field]]
name = "length"
offset = 0
type = "u32"
doc = "bytes of text"

[[struct.field]]
name = "area"
offset = 4
type = "bytes"
length = 4
doc = "room for text"

[[struct.overlay]]
name = "text"
doc = "the text"
select = "header.kind"
length = "length"

[[struct.overlay.case]]
values = [1]
offset = 4
capacity = 4
"""

# What is changed, into what, and a piece of the complaint.
DEFECTS = [
    ("gap", "offset = 8\n", "offset = 10\n", "the field before it ends at 8"),
    ("overlap", "offset = 8\n", "offset = 6\n", "the field before it ends at 8"),
    ("overlap of the last", "offset = 10", "offset = 9", "the field before it ends at 10"),
    ("misaligned", 'offset = 8\ntype = "u16"', 'offset = 8\ntype = "u8"\ndoc = "x"\n\n[[struct.field]]\nname = "odd"\n'
     'offset = 9\ntype = "u16"', "not aligned to 2"),
    ("too short", "length = 6", "length = 5", "is 16 bytes, its fields are 15"),
    ("too long", "length = 6", "length = 7", "is 16 bytes, its fields are 17"),
    ("value too wide", "value = 1,", "value = 65536,", "KIND_A does not fit u16"),
    ("negative value", "value = 1,", "value = -1,", "KIND_A does not fit u16"),
    ("stride", "8 * i", "9 * i", "`at` must end in `+ 8 * i`"),
    ("row without a count", 'count = "header.count"\n', "", "`at` must end in"),
    ("unknown constant", "TABLE + ", "TABEL + ", "no constant TABEL"),
    ("unknown field", "header.count\"\n\n", "header.cuont\"\n\n", "no field header.cuont"),
    ("published by nobody", 'published_by = "header.count"', 'published_by = "header.kind"', "which is not atomic"),
    ("no such values", 'values = "KIND_"', 'values = "SORT_"', "no constant begins with SORT_"),
    ("overlay too long", "capacity = 4", "capacity = 5", "ends at 9, past its struct of 8"),
    ("overlay ambiguous", "values = [1]", "values = [1, 1]", "selects one case"),
    ("same name twice", 'name = "area"', 'name = "length"', "two fields of one name"),
]

CHAINED = """
profile = "chained"
title = "a test"
revision = 1
byte_order = "little"

[constants]
FLAG = { value = 0x80000000, type = "u32", doc = "the flag" }
PLACED = { value = 0x8000000000000000, type = "u64", doc = "the flag of a row" }

[[struct]]
name = "header"
doc = "The header."
size = 8
align = 8
at = "0"

[[struct.field]]
name = "rows"
offset = 0
type = "u64"
doc = "how many"

[[struct]]
name = "row"
doc = "A row."
size = 8
align = 8
at = "8 + 8 * i"
count = "header.rows"

[[struct.field]]
name = "offset"
offset = 0
type = "u64"
flag = { bit = "PLACED", name = "there", rest = "place" }
doc = "where"

[[struct]]
name = "text"
doc = "A text."
size = 4
align = 4
at = "row.offset"
chain = { length = "head", align = 4, least = 5, body = "words" }

[[struct.field]]
name = "head"
offset = 0
type = "u32"
flag = { bit = "FLAG", name = "good", rest = "length" }
doc = "bytes"
"""

CHAIN_DEFECTS = [
    ("flag is no highest bit", "value = 0x80000000,", "value = 0x40000000,", "FLAG is not its highest bit"),
    ("counted chain", 'at = "row.offset"', 'at = "row.offset + 4 * i"\ncount = "header.rows"', "its length is not counted"),
    ("chain from nowhere", 'at = "row.offset"', 'at = "64"', "a place that a field names"),
    ("place without a flag", 'flag = { bit = "PLACED", name = "there", rest = "place" }\n', "", "goes by need a flag"),
    ("length without a flag", 'flag = { bit = "FLAG", name = "good", rest = "length" }\n', "", "goes by need a flag"),
    ("no room for a body", "least = 5", "least = 4", "leaves no body"),
    ("unknown length", 'length = "head"', 'length = "haed"', "no field text.haed"),
    ("unknown constant", "least = 5", 'least = "LEAST"', "LEAST is no number and no constant"),
]


PACKED = """
profile = "packed"
title = "a test"
revision = 1
byte_order = "little"

[constants]
TABLE = { value = 16, type = "u64", doc = "offset of the cells" }

[[struct]]
name = "header"
doc = "The header."
size = 16
align = 8
at = "0"

[[struct.field]]
name = "word"
offset = 0
type = "u64"
packed = [
    { name = "high", shift = 40, bits = 24, doc = "the high part" },
    { name = "middle", shift = 8, bits = 32, doc = "the middle part" },
    { name = "low", shift = 0, bits = 8, doc = "the low part" },
]
doc = "a word"

[[struct.field]]
name = "cells"
offset = 8
type = "u32"
doc = "how many"

[[struct.field]]
name = "width"
offset = 12
type = "u32"
doc = "bytes of a cell"

[[region]]
name = "area"
at = "TABLE + 4 * header.cells"
element = "header.width"
count = "header.cells"
doc = "the cells"

[[struct]]
name = "mate"
doc = "Elsewhere."
size = 4
align = 4
at = "0"
separate = true

[[struct.field]]
name = "next"
offset = 0
type = "u32"
doc = "next"
"""

PACKED_DEFECTS = [
    ("hole", "shift = 8, bits = 32", "shift = 9, bits = 31", "low ends at bit 8, 9 wanted"),
    ("overlapping parts", "shift = 8, bits = 32", "shift = 7, bits = 33", "low ends at bit 8, 7 wanted"),
    ("part of no bits", "shift = 8, bits = 32", "shift = 40, bits = 0", "middle ends at bit 40, 40 wanted"),
    ("wider than the word", "shift = 40, bits = 24", "shift = 40, bits = 25", "high ends at bit 65, 64 wanted"),
    ("lowest bits unnamed", '    { name = "low", shift = 0, bits = 8, doc = "the low part" },\n', "", "its parts leave 8 bits"),
    ("two parts of one name", 'name = "middle"', 'name = "low"', "two parts of one name"),
    ("declared twice", "TABLE = {", 'WORD_LOW_BITS = { value = 8, type = "u32", doc = "x" }\nTABLE = {', "are declared"),
    ("region of an unknown field", 'element = "header.width"', 'element = "header.witdh"', "no field header.witdh"),
    ("region of an unknown constant", "TABLE + 4", "TABEL + 4", "area: there is no constant TABEL"),
    ("region of two structs", 'count = "header.cells"', 'count = "mate.next"', "fields of one struct"),
    ("region of nobody", 'TABLE + 4 * header.cells"\nelement = "header.width"\ncount = "header.cells"',
     'TABLE"\nelement = "4"\ncount = "4"', "fields of one struct"),
    ("region named like a struct", 'name = "area"', 'name = "mate"', "a struct and of a region"),
    ("region named like a field", 'name = "area"', 'name = "word"', "a region and of a field"),
    ("separate, but not at 0", 'at = "0"\nseparate', 'at = "8"\nseparate', "if it is no part of the map"),
]


def load(tmp_path: Path, text: str) -> Profile:
    path = tmp_path / "small.toml"
    path.write_text(text, encoding="utf-8")
    return load_profile(path)


def test_generated_files_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "spec/gen.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_a_good_layout_is_accepted(tmp_path: Path) -> None:
    profile = load(tmp_path, SMALL)
    entry = profile.structs[1]
    assert (entry.base, entry.parent) == ("TABLE", "header")
    assert entry.overlays[0].cases[0].capacity == 4


@pytest.mark.parametrize(("what", "old", "new", "complaint"), DEFECTS, ids=[d[0] for d in DEFECTS])
def test_a_layout_that_contradicts_itself_is_refused(tmp_path: Path, what: str, old: str, new: str, complaint: str) -> None:
    assert SMALL.count(old) >= 1, what
    with pytest.raises(LayoutError, match=re.escape(complaint)):
        load(tmp_path, SMALL.replace(old, new, 1))


@pytest.mark.parametrize(("what", "old", "new", "complaint"), CHAIN_DEFECTS, ids=[d[0] for d in CHAIN_DEFECTS])
def test_a_chain_that_contradicts_itself_is_refused(tmp_path: Path, what: str, old: str, new: str, complaint: str) -> None:
    assert CHAINED.count(old) == 1, what
    with pytest.raises(LayoutError, match=re.escape(complaint)):
        load(tmp_path, CHAINED.replace(old, new))


@pytest.mark.parametrize(("what", "old", "new", "complaint"), PACKED_DEFECTS, ids=[d[0] for d in PACKED_DEFECTS])
def test_parts_regions_and_separate_structs_are_checked(tmp_path: Path, what: str, old: str, new: str, complaint: str) -> None:
    assert PACKED.count(old) == 1, what
    with pytest.raises(LayoutError, match=re.escape(complaint)):
        load(tmp_path, PACKED.replace(old, new))


def test_constants_follow_from_a_packed_word(tmp_path: Path) -> None:
    """Every part but the highest: taken off the low end one by one, they leave the highest."""
    profile = load(tmp_path, PACKED)
    derived = {k.name: (k.value, k.type) for k in profile.constants if k.name != "TABLE"}
    assert derived == {"WORD_MIDDLE_BITS": (32, "u32"), "WORD_MIDDLE_MASK": (0xFFFFFFFF, "u64"),
                       "WORD_LOW_BITS": (8, "u32"), "WORD_LOW_MASK": (0xFF, "u64")}
    assert "#define SHMW_PACKED_WORD_LOW_MASK UINT64_C(0xFF)" in c.internal_header(profile)
    assert "const wordMiddleBits uint32 = 32" in go.constants(profile)
    assert "pub(crate) const WORD_MIDDLE_MASK: u64 = 0xFFFF_FFFF;" in rust.constants(profile)
    assert "WORD_LOW_BITS: Final = 8" in python.constants(profile)


def test_emitters_take_a_packed_word_apart(tmp_path: Path) -> None:
    profile = load(tmp_path, PACKED)
    lines = ksy.document(profile).splitlines()
    values = {lines[n - 1].strip(" :"): line for n, line in enumerate(lines) if line.startswith("        value:")}
    assert values == {"word_high": "        value: '(word >> 40)'", "word_middle": "        value: '(word >> 8) & 4294967295'",
                      "word_low": "        value: 'word & 255'"}
    parts = re.findall(r"^    (\w+) : (\d+) ", hexpat(profile), re.M)
    assert parts == [("low", "8"), ("middle", "32"), ("high", "24")]
    assert "| 39..8 | middle | the middle part |" in markdown.struct_table(profile.structs[0])


def test_emitters_place_a_region_where_its_struct_says(tmp_path: Path) -> None:
    profile = load(tmp_path, PACKED)
    assert "      area:\n        io: _root._io\n        if: 'width > 0 and cells <= _root._io.size / 4 and" \
        in ksy.document(profile)
    assert "        AreaElement area[cells] @ 16 + 4 * cells" in hexpat(profile)
    assert "    u8 bytes[parent.width];" in hexpat(profile)
    regions = json.loads(json_layout.document(profile))["regions"]
    assert regions == [{"name": "area", "doc": "the cells", "at": "TABLE + 4 * header.cells", "element": "header.width",
                        "count": "header.cells"}]


def test_a_region_of_bytes_is_one_piece(tmp_path: Path) -> None:
    """An object for each byte would make a ring of some megabytes unreadable."""
    profile = load(tmp_path, PACKED.replace('element = "header.width"', 'element = "1"'))
    area = ksy.document(profile).split("      area:\n")[1].split("        doc:")[0].splitlines()
    assert [line.split(":")[0].strip() for line in area] == ["io", "if", "pos", "size"]
    assert area[-1].strip() == "size: 'cells'"
    assert "and cells <= _root._io.size - (" in area[1]
    assert "        u8 area[cells] @ " in hexpat(profile)
    assert "AreaElement" not in hexpat(profile)


def test_a_loose_struct_is_a_type_that_nothing_places(tmp_path: Path) -> None:
    profile = load(tmp_path, PACKED.replace("separate = true", "loose = true"))
    mate = profile.structs[1]
    assert (mate.loose, mate.separate) == (True, True)
    assert "mates" not in ksy.document(profile).split("types:")[0]
    assert "doc: 'Elsewhere. Nothing places it: read one where a position leads.'" in ksy.document(profile)
    assert "// Nothing places it: put one where a position leads.\nstruct Mate {" in hexpat(profile)
    assert "Mate mate" not in hexpat(profile)
    assert "segment of its own" not in markdown.struct_table(mate)
    assert [s.get("loose", False) for s in json.loads(json_layout.document(profile))["structs"]] == [False, True]


def test_a_separate_struct_is_not_on_the_map(tmp_path: Path) -> None:
    profile = load(tmp_path, PACKED)
    assert "\n  mate:\n    pos:" not in ksy.document(profile)
    assert "\n  mate:\n    doc:" in ksy.document(profile)
    assert "struct Mate {" in hexpat(profile)
    assert "Mate mate" not in hexpat(profile)
    assert "at 0 of a segment of its own" in markdown.struct_table(profile.structs[1])
    assert "sizeof(struct shmw_packed_wire_mate) == 4" in c.internal_header(profile)
    assert [s.get("separate", False) for s in json.loads(json_layout.document(profile))["structs"]] == [False, True]


def test_emitters_place_a_chain_inside_its_row(tmp_path: Path) -> None:
    profile = load(tmp_path, CHAINED)
    assert "      texts:\n        io: _root._io\n        if: 'there and place % 4 == 0 and place <= _root._io.size - 4'" \
        in ksy.document(profile)
    assert "Text texts[while(" in hexpat(profile)
    assert "import std.mem;" in hexpat(profile)


@pytest.mark.parametrize("path", LAYOUTS, ids=lambda path: path.stem)
def test_layout_json_says_what_the_layout_says(path: Path) -> None:
    profile = load_profile(path)
    document: dict[str, Any] = json.loads((ROOT / f"spec/generated/{path.stem}.layout.json").read_text(encoding="utf-8"))
    assert {c["name"]: c["value"] for c in document["constants"]} == {k.name: str(k.value) for k in profile.constants}
    found = {(s["name"], f["name"]): (f["offset"], f["size"]) for s in document["structs"] for f in s["fields"]}
    assert found == {(s.name, f.name): (f.offset, f.size) for s in profile.structs for f in s.fields}


def hexpat_offsets(text: str) -> dict[str, dict[str, int]]:
    """Offsets that an ImHex pattern implies: fields lie one after the other, placed ones (`@`) do not count."""
    widths = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
    widths |= {m[1]: int(m[2]) // 8 for m in re.finditer(r"^enum (\w+) : u(\d+)", text, re.M)}
    for bits in re.finditer(r"^bitfield (\w+) \{\n(.*?)^\};", text, re.M | re.S):
        widths[bits[1]] = sum(int(part) for part in re.findall(r"^    \w+ : (\d+)", bits[2], re.M)) // 8
    offsets: dict[str, dict[str, int]] = {}
    for struct in re.finditer(r"^struct (\w+) \{\n(.*?)^\};", text, re.M | re.S):
        at, fields = 0, offsets.setdefault(struct[1], {})
        for line in re.finditer(r"^    (\w+)(?: (\w+))?(?:\[(\d+)\])?(?: \[\[.*\]\])?;$", struct[2], re.M):
            kind, name, row = line[1], line[2], int(line[3] or 1)
            fields[name or f"padding at {at}"] = at
            at += row * widths.get(kind, 1)
        fields["end"] = at
    return offsets


@pytest.mark.parametrize("path", LAYOUTS, ids=lambda path: path.stem)
def test_the_imhex_pattern_implies_the_offsets_of_the_layout(path: Path) -> None:
    """No ImHex runs here, so the pattern is read back by the rules of its language that it uses."""
    profile = load_profile(path)
    text = (ROOT / f"spec/generated/{path.stem}.hexpat").read_text(encoding="utf-8")
    offsets = hexpat_offsets(text)
    for struct in profile.structs:
        expected = {(f"padding at {f.offset}" if f.reserved else f.name): f.offset for f in struct.fields}
        assert offsets["".join(p.capitalize() for p in struct.name.split("_"))] == {**expected, "end": struct.size}
    assert text.count("{") == text.count("}")
    assert text.count("(") == text.count(")")


def test_emitters_place_a_row_inside_the_type_that_counts_it(tmp_path: Path) -> None:
    profile = load(tmp_path, SMALL)
    assert "entries:\n        io: _root._io" in ksy.document(profile)
    assert "Entry entries[count] @ 16;" in hexpat(profile)
