# SPDX-License-Identifier: MIT
"""Segments that are directories: profile deepwater. A tree of files travels through the suite as one string of bytes, so that
all that compares, snapshots and patches bytes works on it as on the file of other profiles.

The string is `MAGIC`, then for each name in order a line "KIND SIZE NAME" and SIZE bytes: kind f is a file and its content, kind
l a symbolic link and its target. Names under memory/ stand for shared memory: memory/FEED.N.data is /dev/shm/dw.HASH.FEED.N.data.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import HarnessError

PROFILES = frozenset({"deepwater"})
MAGIC = b"shmwire-tree/1\n"
MEMORY = "memory/"
SHM = Path("/dev/shm")
_REAL = ".real"  # what a link that a patch makes leads to, beside it
_BASIS, _PRIME = 0xCBF29CE484222325, 0x100000001B3


@dataclass(frozen=True)
class Entry:
    """What has a name: kind "f" with its content, or "l" with its target."""

    kind: str
    data: bytes


def is_tree(image: bytes) -> bool:
    return image.startswith(MAGIC)


def pack(entries: Mapping[str, Entry]) -> bytes:
    parts = [MAGIC]
    for name in sorted(entries):
        entry = entries[name]
        parts += [f"{entry.kind} {len(entry.data)} {name}\n".encode(), entry.data]
    return b"".join(parts)


def places(image: bytes) -> dict[str, tuple[str, int, int]]:
    """Name -> its kind, and where in the string its bytes begin and end."""
    found, at = {}, len(MAGIC)
    while at < len(image):
        end = image.index(b"\n", at)
        kind, size, name = image[at:end].decode().split(" ", 2)
        found[name] = (kind, end + 1, end + 1 + int(size))
        at = end + 1 + int(size)
    return found


def unpack(image: bytes) -> dict[str, Entry]:
    return {name: Entry(kind, image[begin:end]) for name, (kind, begin, end) in places(image).items()}


def inside(image: bytes, offset: int) -> tuple[str, int]:
    """The file that a byte of the string is of, and its offset there."""
    for name, (_, begin, end) in places(image).items():
        if begin <= offset < end:
            return name, offset - begin
    raise HarnessError(f"byte {offset} is of no file of the tree")


# -- patches -------------------------------------------------------------------------------------------------------------


def patched(image: bytes, patch: list[dict[str, Any]], what: str) -> bytes:
    """The tree with patches applied in order; each names a file."""
    entries = unpack(image)
    for change in patch:
        _apply(entries, change, what)
    return pack(entries)


def _apply(entries: dict[str, Entry], change: dict[str, Any], what: str) -> None:
    name = change.get("file", "")
    if "create" in change:
        entries[name] = Entry("f", bytes(int(change["create"])))
        return
    if "link" in change:
        _link(entries, name, what)
        return
    if name not in entries:
        raise HarnessError(f"{what}: a patch of {name or 'no file'}, which is not there")
    if "remove" in change:
        del entries[name]
    elif "rename" in change:
        entries[change["rename"]] = entries.pop(name)
    elif "truncate" in change:
        size, data = int(change["truncate"]), entries[name].data
        entries[name] = Entry("f", data[:size] + bytes(max(0, size - len(data))))
    else:
        entries[name] = Entry("f", _stored(entries[name].data, change, f"{what}: {name}"))


def _link(entries: dict[str, Entry], name: str, what: str) -> None:
    """Put a file, or a directory with all that is in it, beside itself, and a symbolic link to it in its place."""
    moved = [one for one in entries if one == name or one.startswith(f"{name}/")]
    if not moved:
        raise HarnessError(f"{what}: a link in the place of {name}, which is not there")
    for one in moved:
        entries[name + _REAL + one.removeprefix(name)] = entries.pop(one)
    entries[name] = Entry("l", (name.rpartition("/")[2] + _REAL).encode())


def _stored(data: bytes, change: dict[str, Any], what: str) -> bytes:
    offset, new = int(change["off"]), bytes.fromhex(change["hex"])
    if offset + len(new) > len(data):
        raise HarnessError(f"{what}: patch at {offset} ends past the file")
    return data[:offset] + new + data[offset + len(new) :]


# -- on disk -------------------------------------------------------------------------------------------------------------


def prefix(base: Path) -> str:
    """What the names of a base's shared memory begin with."""
    value = _BASIS
    for byte in os.fsencode(os.path.realpath(base)):
        value = (value ^ byte) * _PRIME & 0xFFFF_FFFF_FFFF_FFFF
    return f"dw.{value:016x}."


def path_of(base: Path, name: str) -> Path:
    """Where a file of the tree is."""
    return SHM / (prefix(base) + name.removeprefix(MEMORY)) if name.startswith(MEMORY) else base / name


def place(image: bytes, base: Path) -> None:
    """Make a copy, open to its owner only."""
    base.mkdir(mode=0o700)
    for name, entry in unpack(image).items():
        path = path_of(base, name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if entry.kind == "l":
            path.symlink_to(entry.data.decode())
            continue
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(entry.data)


def memory(base: Path) -> list[Path]:
    """The base's shared memory, as files."""
    return sorted(SHM.glob(f"{prefix(base)}*")) if SHM.is_dir() else []


def collect(base: Path) -> bytes:
    """What stands there now; nothing if there is no base. Files come and go meanwhile, if somebody is at work."""
    if not base.is_dir():
        return b""
    entries: dict[str, Entry] = {}
    for directory, names, files in os.walk(base):
        linked = [name for name in names if (Path(directory) / name).is_symlink()]
        for path in (Path(directory) / name for name in [*files, *linked]):
            with contextlib.suppress(FileNotFoundError):
                entries[path.relative_to(base).as_posix()] = _entry(path)
    for path in memory(base):
        with contextlib.suppress(FileNotFoundError):
            entries[MEMORY + path.name.removeprefix(prefix(base))] = _entry(path)
    return pack(entries)


def _entry(path: Path) -> Entry:
    return Entry("l", os.readlink(path).encode()) if path.is_symlink() else Entry("f", path.read_bytes())


def remove(base: Path) -> None:
    """The base and its shared memory."""
    for path in memory(base):
        path.unlink(missing_ok=True)
    shutil.rmtree(base, ignore_errors=True)
