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
from emit import ksy
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
    assert {c["name"]: c["value"] for c in document["constants"]} == {c.name: str(c.value) for c in profile.constants}
    found = {(s["name"], f["name"]): (f["offset"], f["size"]) for s in document["structs"] for f in s["fields"]}
    assert found == {(s.name, f.name): (f.offset, f.size) for s in profile.structs for f in s.fields}


def hexpat_offsets(text: str) -> dict[str, dict[str, int]]:
    """Offsets that an ImHex pattern implies: fields lie one after the other, placed ones (`@`) do not count."""
    widths = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
    widths |= {m[1]: int(m[2]) // 8 for m in re.finditer(r"^enum (\w+) : u(\d+)", text, re.M)}
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
