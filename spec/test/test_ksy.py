# SPDX-License-Identifier: MIT
"""The generated Kaitai description, compiled and run over every golden and captured segment.

It is compared with two things that do not come from it: the case's own expectations (fields, messages), and every field
of every struct unpacked by layout.json. A missing compiler is a failure, never a skip.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import struct
import subprocess
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPILER = ROOT / "build/npm/node_modules"
FORMATS = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q"}
LEAST_CASES = 30  # fewer means that the fixtures were not found


def segments(profile: str) -> list[Path]:
    """Directories of the cases that carry bytes at rest."""
    return sorted(path.parent for kind in ("golden", "captured") for path in ROOT.glob(f"fixtures/{profile}/{kind}/*/seg.bin"))


def case_name(path: Path) -> str:
    return "/".join(path.parts[-3:])


@pytest.fixture(scope="session")
def parsers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, types.ModuleType]:
    """Profile -> the compiled Python module."""
    if importlib.util.find_spec("kaitaistruct") is None:
        pytest.fail("the kaitaistruct package is missing: run ./dev setup and use build/venv/bin/python")
    if shutil.which("node") is None or not (COMPILER / "kaitai-struct-compiler").is_dir():
        pytest.fail("the Kaitai Struct compiler is missing: run ./dev setup")
    where = tmp_path_factory.mktemp("ksy")
    modules = {}
    for source in sorted(ROOT.glob("spec/generated/*.ksy")):
        command = ["node", str(ROOT / "spec/test/compile_ksy.js"), str(COMPILER), str(source), str(where)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{source.name}: {done.stderr}"
        spec = importlib.util.spec_from_file_location(source.stem, where / f"shmwire_{source.stem}.py")
        assert spec is not None and spec.loader is not None
        modules[source.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[source.stem])
    return modules


def parse(parsers: dict[str, types.ModuleType], directory: Path, data: bytes | None = None) -> Any:
    profile = directory.parts[-3]
    name = "Shmwire" + profile.capitalize()
    return getattr(parsers[profile], name).from_bytes((directory / "seg.bin").read_bytes() if data is None else data)


def layout(directory: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / f"spec/generated/{directory.parts[-3]}.layout.json").read_text(encoding="utf-8"))
    return loaded


def unpack(fields: list[dict[str, Any]], data: bytes, at: int) -> dict[str, int | bytes]:
    """Every field of one struct, by the layout's offsets."""
    values: dict[str, int | bytes] = {}
    for field in fields:
        start = at + field["offset"]
        if field["type"] == "bytes":
            values[field["name"]] = data[start:start + field["size"]]
        else:
            values[field["name"]] = struct.unpack_from(FORMATS[field["type"]], data, start)[0]
    return values


def compare(where: str, parsed: Any, expected: dict[str, int | bytes]) -> None:
    for name, value in expected.items():
        found = getattr(parsed, name)
        assert (found if isinstance(value, bytes) else int(found)) == value, f"{where}.{name}"


def steps(directory: Path, command: str) -> Iterator[dict[str, Any]]:
    """The `ok` expectations of one command, as long as the case reads with the default payload layout."""
    case = json.loads((directory / "case.json").read_text(encoding="utf-8"))
    reading = case.get("read", [])
    if any({*step.get("options", {})} - {"role", "from"} for step in reading if step["cmd"] == "open"):
        return
    for step in reading:
        if step["cmd"] == command and "ok" in step.get("expect", {}):
            yield {**step, "ok": step["expect"]["ok"]}


def same_bytes(data: dict[str, Any], found: bytes) -> bool:
    """The three ways in which the driver protocol writes bytes."""
    if "hex" in data:
        return found == bytes.fromhex(data["hex"])
    if "pat" in data:
        return found == bytes((31 * data["seed"] + 17 * i + 101 * (i >> 8)) & 255 for i in range(data["len"]))
    return len(found) == int(data["len"]) and hashlib.sha256(found).hexdigest() == data["sha256"]


def with_expectations(profile: str) -> list[Path]:
    return [directory for directory in segments(profile) if [*steps(directory, "inspect"), *steps(directory, "read")]]


@pytest.mark.parametrize("profile", ["dmxp", "ouroboros", "slick", "shmcomm"])
def test_there_are_cases(profile: str) -> None:
    assert len(segments(profile)) >= LEAST_CASES
    assert len(with_expectations(profile)) >= LEAST_CASES - 5


@pytest.mark.parametrize("directory", segments("dmxp"), ids=case_name)
def test_every_field_is_where_the_layout_says(parsers: dict[str, types.ModuleType], directory: Path) -> None:
    """The header, all channel entries, all slots of live channels."""
    data, parsed = (directory / "seg.bin").read_bytes(), parse(parsers, directory)
    structs = {item["name"]: item for item in layout(directory)["structs"]}
    constants = {item["name"]: item["value"] for item in layout(directory)["constants"]}
    compare("header", parsed.header, unpack(structs["header"]["fields"], data, 0))
    entries = int(constants["MAX_CHANNELS"])
    assert len(parsed.channels) == entries
    for index in range(entries):
        at = int(constants["CHANNEL_TABLE_OFFSET"]) + structs["channel"]["size"] * index
        entry = unpack(structs["channel"]["fields"], data, at)
        compare(f"channel[{index}]", parsed.channels[index], entry)
        assert len(parsed.channels[index].slots) == entry["capacity"]
        for number, slot in enumerate(parsed.channels[index].slots):
            slot_at = int(entry["band_offset"]) + structs["slot"]["size"] * number
            compare(f"channel[{index}].slot[{number}]", slot, unpack(structs["slot"]["fields"], data, slot_at))


@pytest.mark.parametrize("directory", with_expectations("dmxp"), ids=case_name)
def test_fields_and_messages_are_those_of_the_case(parsers: dict[str, types.ModuleType], directory: Path) -> None:
    parsed = parse(parsers, directory)
    for step in steps(directory, "inspect"):
        for path, value in step["ok"].get("fields", {}).items():
            owner, field = path.split(".")
            name, _, index = owner.rstrip("]").partition("[")
            target = parsed.channels[int(index)] if name == "channel" else parsed.header
            assert str(int(getattr(target, field))) == value, path
    for step in steps(directory, "read"):
        channel = parsed.channels[int(step["channel"])]
        for item in step["ok"].get("items", []):
            slot = channel.slots[int(item["pos"]) % channel.capacity]
            assert same_bytes(item["data"], slot.message), f"position {item['pos']}"
            compare("meta", slot, {name: int(value) for name, value in item.get("meta", {}).items()})


def test_a_row_that_leaves_the_segment_is_null(parsers: dict[str, types.ModuleType]) -> None:
    """A hostile capacity or band must not make a viewer read, or allocate, past the file."""
    directory = ROOT / "fixtures/dmxp/golden/one-message"
    original = (directory / "seg.bin").read_bytes()
    channel = next(item for item in layout(directory)["structs"] if item["name"] == "channel")
    fields = {f["name"]: f["offset"] for f in channel["fields"]}
    for name, value in (("capacity", 1 << 63), ("capacity", 8), ("band_offset", 1 << 63), ("band_offset", len(original))):
        data = bytearray(original)
        struct.pack_into("<Q", data, 128 + fields[name], value)
        parsed = parsers["dmxp"].ShmwireDmxp.from_bytes(bytes(data))
        assert parsed.channels[0].slots is None, (name, value)


def test_a_length_or_layout_that_makes_no_sense_gives_no_message(parsers: dict[str, types.ModuleType]) -> None:
    directory = ROOT / "fixtures/dmxp/golden/one-message"
    original = (directory / "seg.bin").read_bytes()
    structs = {item["name"]: {f["name"]: f["offset"] for f in item["fields"]} for item in layout(directory)["structs"]}
    good = parsers["dmxp"].ShmwireDmxp.from_bytes(original)
    assert good.channels[0].slots[0].message == b"hello"
    length_at = good.channels[0].band_offset + structs["slot"]["payload_len"]
    for at, value in ((length_at, 1025), (length_at, 0xFFFFFFFF), (structs["header"]["payload_layout"], 3)):
        data = bytearray(original)
        struct.pack_into("<I", data, at, value)
        assert parsers["dmxp"].ShmwireDmxp.from_bytes(bytes(data)).channels[0].slots[0].message is None, (at, value)


# --- ouroboros --------------------------------------------------------------------------------------------------------


def chunk_of(data: bytes, rows: list[dict[str, int]], index: int) -> list[tuple[int, bytes | None]]:
    """(header, payload) of a chunk's entries by the chapter's words, what ends it included, with payload None."""
    found: list[tuple[int, bytes | None]] = []
    at = rows[index]["offset"] & (1 << 63) - 1
    following = rows[index + 1]["offset"] if index + 1 < len(rows) else 0
    while at + 4 <= len(data) and at | 1 << 63 != following:
        header = struct.unpack_from("<I", data, at)[0]
        length = header & (1 << 31) - 1
        whole = header >> 31 == 1 and 5 <= length <= len(data) - at
        found.append((header, data[at + 4:at + length] if whole else None))
        if not whole:
            break
        at = (at + length + 3) & ~3
    return found


def rows_of(directory: Path, data: bytes) -> list[dict[str, int]]:
    structs = {item["name"]: item for item in layout(directory)["structs"]}
    table = next(int(c["value"]) for c in layout(directory)["constants"] if c["name"] == "ROW_TABLE_OFFSET")
    count = int(unpack(structs["header"]["fields"], data, 0)["chunk_count"])
    size = structs["row"]["size"]
    return [{k: int(v) for k, v in unpack(structs["row"]["fields"], data, table + size * i).items()} for i in range(count)]


@pytest.mark.parametrize("directory", segments("ouroboros"), ids=case_name)
def test_every_row_and_entry_is_where_the_layout_says(parsers: dict[str, types.ModuleType], directory: Path) -> None:
    data, parsed = (directory / "seg.bin").read_bytes(), parse(parsers, directory)
    rows = rows_of(directory, data)
    header = next(item for item in layout(directory)["structs"] if item["name"] == "header")
    compare("header", parsed.header, unpack(header["fields"], data, 0))
    assert len(parsed.header.rows) == len(rows)
    for index, (row, expected) in enumerate(zip(parsed.header.rows, rows, strict=True)):
        compare(f"row[{index}]", row, dict(expected))
        assert row.committed == bool(expected["offset"] >> 63)
        if not row.committed:
            assert row.entries is None
            continue
        found = [(entry.header, entry.payload if entry.whole else None) for entry in row.entries]
        assert found == chunk_of(data, rows, index), f"row[{index}]"


@pytest.mark.parametrize("directory", with_expectations("ouroboros"), ids=case_name)
def test_rows_and_entries_are_those_of_the_case(parsers: dict[str, types.ModuleType], directory: Path) -> None:
    parsed = parse(parsers, directory)
    for step in steps(directory, "inspect"):
        for path, value in step["ok"].get("fields", {}).items():
            owner, field = path.split(".")
            name, _, index = owner.rstrip("]").partition("[")
            assert str(getattr(parsed.header.rows[int(index)] if name == "row" else parsed.header, field)) == value, path
    for step in steps(directory, "read"):
        for item in step["ok"].get("items", []):
            row = parsed.header.rows[int(item["chunk"])]
            assert str(row.token) == item["token"]
            entry = row.entries[int(item["seq"]) - row.token - 1]
            assert same_bytes(item["data"], entry.payload), f"sequence {item['seq']}"


def test_a_row_that_leads_nowhere_has_no_entries(parsers: dict[str, types.ModuleType]) -> None:
    directory = ROOT / "fixtures/ouroboros/golden/first-lap"
    original = (directory / "seg.bin").read_bytes()
    good = parse(parsers, directory).header.rows[0].position
    for value in (0, good, 1 << 63 | good + 2, 1 << 63 | len(original), 1 << 63 | len(original) - 3, (1 << 64) - 1):
        data = bytearray(original)
        struct.pack_into("<Q", data, 16, value)
        assert parse(parsers, directory, bytes(data)).header.rows[0].entries is None, value
    assert parse(parsers, directory).header.rows[0].entries[0].whole


def test_an_impossible_length_ends_the_chunk(parsers: dict[str, types.ModuleType]) -> None:
    directory = ROOT / "fixtures/ouroboros/golden/first-lap"
    original = (directory / "seg.bin").read_bytes()
    at = parse(parsers, directory).header.rows[0].position
    for length in (0, 1, 2, 3, 4, len(original) - at + 1, (1 << 31) - 1):
        data = bytearray(original)
        struct.pack_into("<I", data, at, 1 << 31 | length)
        entries = parse(parsers, directory, bytes(data)).header.rows[0].entries
        assert [(entry.whole, entry.length) for entry in entries] == [(False, length)]


def test_a_table_that_leaves_the_segment_is_null(parsers: dict[str, types.ModuleType]) -> None:
    directory = ROOT / "fixtures/ouroboros/golden/first-lap"
    data = bytearray((directory / "seg.bin").read_bytes())
    for count in (len(data) // 16, 1 << 28, (1 << 32) - 1):
        struct.pack_into("<I", data, 12, count)
        assert parse(parsers, directory, bytes(data)).header.rows is None, count


# --- slick ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("directory", segments("slick"), ids=case_name)
def test_every_slot_and_element_is_where_the_layout_says(parsers: dict[str, types.ModuleType], directory: Path) -> None:
    data, parsed = (directory / "seg.bin").read_bytes(), parse(parsers, directory)
    structs = {item["name"]: item for item in layout(directory)["structs"]}
    header = {name: int(value) for name, value in unpack(structs["header"]["fields"], data, 0).items()}
    compare("header", parsed.header, dict(header))
    assert (parsed.header.reserved_index, parsed.header.reserved_size) == (header["reserved"] >> 16, header["reserved"] & 0xFFFF)
    assert len(parsed.header.slots) == header["size"]
    for index, slot in enumerate(parsed.header.slots):
        compare(f"slot[{index}]", slot, unpack(structs["slot"]["fields"], data, 64 + 16 * index))
    elements = data[64 + 16 * header["size"]:64 + (16 + header["element_size"]) * header["size"]]
    assert {len(element) for element in parsed.header.data} == {header["element_size"]}
    assert b"".join(parsed.header.data) == elements


@pytest.mark.parametrize("directory", with_expectations("slick"), ids=case_name)
def test_slots_and_items_are_those_of_the_case(parsers: dict[str, types.ModuleType], directory: Path) -> None:
    header = parse(parsers, directory).header
    for step in steps(directory, "inspect"):
        for path, value in step["ok"].get("fields", {}).items():
            owner, field = path.split(".")
            name, _, index = owner.rstrip("]").partition("[")
            assert str(int(getattr(header.slots[int(index)] if name == "slot" else header, field))) == value, path
    for step in steps(directory, "read"):
        for item in step["ok"].get("items", []):
            place = int(item["pos"]) % header.size
            slot = header.slots[place]
            assert (str(slot.data_index), slot.size) == (item["pos"], item["elements"])
            assert same_bytes(item["data"], b"".join(header.data[place:place + slot.size])), f"index {item['pos']}"


def test_a_ring_that_leaves_the_segment_is_null(parsers: dict[str, types.ModuleType]) -> None:
    """A hostile size or element_size must not make a viewer read, or allocate, past the file."""
    directory = ROOT / "fixtures/slick/golden/first-lap"
    original = (directory / "seg.bin").read_bytes()
    good = parse(parsers, directory).header
    fields = {f["name"]: f["offset"] for f in layout(directory)["structs"][0]["fields"]}
    room = (len(original) - 64) // good.size - 16
    assert len(good.data) == good.size
    wrong = [("size", value, False) for value in (len(original) // 16, 1 << 28, (1 << 32) - 1)]
    wrong += [("element_size", value, True) for value in (room + 1, (1 << 32) - 1, 0)]
    for name, value, slots in wrong:
        data = bytearray(original)
        struct.pack_into("<I", data, fields[name], value)
        hostile = parse(parsers, directory, bytes(data)).header
        assert hostile.data is None, (name, value)
        assert (hostile.slots is not None) == slots, (name, value)


def test_a_cursor_is_read_by_itself(parsers: dict[str, types.ModuleType]) -> None:
    """It lies in a segment of its own: a type, and not a part of the ring's map."""
    module = parsers["slick"]
    assert not hasattr(parse(parsers, ROOT / "fixtures/slick/golden/first-lap"), "cursor")
    stream = module.KaitaiStream(module.BytesIO(struct.pack("<Q", (1 << 48) - 1)))
    assert module.ShmwireSlick.Cursor(stream).next == (1 << 48) - 1


# --- shmcomm ----------------------------------------------------------------------------------------------------------


def frames_of(parsers: dict[str, types.ModuleType], header: Any) -> Iterator[tuple[int, Any, bytes]]:
    """(position, frame, payload) of what is held, found by the chapter's words and read by the loose type."""
    module, at = parsers["shmcomm"], header.tail
    while at != header.head:
        place = at % header.capacity
        if header.ring[place:place + 8] == b"\xff" * 8:
            at += header.capacity - place
            continue
        frame = module.ShmwireShmcomm.Frame(module.KaitaiStream(module.BytesIO(header.ring[place:place + 40])))
        yield at, frame, header.ring[place + 40:place + 8 + frame.size]
        at += (8 + frame.size + 7) // 8 * 8


def test_every_field_and_the_ring_are_where_the_layout_says(parsers: dict[str, types.ModuleType]) -> None:
    for directory in segments("shmcomm"):
        data, parsed = (directory / "seg.bin").read_bytes(), parse(parsers, directory)
        header = next(item for item in layout(directory)["structs"] if item["name"] == "header")
        expected = unpack(header["fields"], data, 0)
        compare(f"{case_name(directory)}: header", parsed.header, expected)
        assert parsed.header.ring == data[128:128 + int(expected["capacity"])], directory


@pytest.mark.parametrize("directory", [d for d in with_expectations("shmcomm") if [*steps(d, "inspect")]], ids=case_name)
def test_header_and_frames_are_those_of_the_case(parsers: dict[str, types.ModuleType], directory: Path) -> None:
    header = parse(parsers, directory).header
    frames = {f"frame[{frame.sequence}]": (at, frame, payload) for at, frame, payload in frames_of(parsers, header)}
    named = set()
    for step in steps(directory, "inspect"):
        for path, value in step["ok"].get("fields", {}).items():
            owner, field = path.split(".")
            if owner == "header":
                assert str(int(getattr(header, field))) == value, path
                continue
            named.add(owner)
            at, frame, payload = frames[owner]
            found = {"position": str(at), "payload": payload[:64].hex()}.get(field) or str(int(getattr(frame, field, 0)))
            assert found == value or (field, value, payload) == ("payload", "", b""), path
    assert named == set(frames)


def test_a_ring_longer_than_the_segment_is_null(parsers: dict[str, types.ModuleType]) -> None:
    directory = ROOT / "fixtures/shmcomm/golden/one-message"
    original = (directory / "seg.bin").read_bytes()
    assert len(parse(parsers, directory).header.ring) == len(original) - 128
    for capacity in (len(original) - 127, 1 << 38, (1 << 64) - 1):
        data = bytearray(original)
        struct.pack_into("<Q", data, 56, capacity)
        assert parse(parsers, directory, bytes(data)).header.ring is None, capacity


# --- deepwater --------------------------------------------------------------------------------------------------------


def files_of(kind: str) -> list[Path]:
    """Files of the golden bases, by what their names end in."""
    return sorted(path for path in ROOT.glob("fixtures/deepwater/golden/*/**/*") if path.is_file() and path.name.endswith(kind))


KINDS = {"registry": "/registry.bin", "feed_registry": "feed_registry.bin", "data": ".data", "index": ".idx"}


@pytest.mark.parametrize("struct", KINDS)
def test_files_of_feeds(parsers: dict[str, types.ModuleType], struct: str) -> None:
    """The header of every file of a base; the rows and records that lie behind it, one by one."""
    spec = json.loads((ROOT / "spec/generated/deepwater.layout.json").read_text(encoding="utf-8"))
    structs = {item["name"]: item for item in spec["structs"]}
    elements = {"registry": "feed", "feed_registry": "row", "index": "record"}
    paths = [path for path in files_of(KINDS[struct].removeprefix("/")) if struct != "registry" or path.name == "registry.bin"]
    assert len(paths) >= 8
    for path in paths:
        data = path.read_bytes()
        header = getattr(parsers["deepwater"].ShmwireDeepwater.from_bytes(data), struct)
        compare(path.name, header, unpack(structs[struct]["fields"], data, 0))
        if struct not in elements:
            continue
        element, begin = structs[elements[struct]], int(structs[struct]["size"])
        size = int(element["size"])
        kind = getattr(parsers["deepwater"].ShmwireDeepwater, str(element["name"]).capitalize())
        for number in range(int(getattr(header, "entry_count" if struct == "index" else "count"))):
            part = data[begin + size * number:begin + size * (number + 1)]
            compare(f"{path.name}[{number}]", kind.from_bytes(part), unpack(element["fields"], part, 0))


def test_a_file_that_is_too_short_is_null(parsers: dict[str, types.ModuleType]) -> None:
    parsed = parsers["deepwater"].ShmwireDeepwater.from_bytes(files_of("feed_registry.bin")[0].read_bytes()[:127])
    assert parsed.feed_registry is None
