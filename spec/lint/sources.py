# SPDX-License-Identifier: MIT
"""Lints over the sources: atomics and unsafe code only in the files that own them, a licence line in every source file,
and no name of a package host or path of somebody's machine anywhere.

The hosts are kept as digests, because a file that named them would break its own rule.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

SOURCE_SUFFIXES = {".c", ".h", ".go", ".rs", ".py", ".sh", ".js", ".pml", ".litmus", ".cmake"}
SPDX = "SPDX-License-Identifier: MIT"
TEXT_LIMIT = 4 << 20

# The type _Atomic(T) may be named anywhere, to pass a field's address on; operations on it may not.
C_ATOMICS = re.compile(r"\bstdatomic\.h\b|\batomic_\w+|\b_Atomic\b(?!\()|\b__atomic_\w+|\b__sync_\w+")
C_LIBRARY = re.compile(r"^ref-c/(include|src|tools)/")  # benches and tests have rings of their own to compare with
C_ATOMIC_HOME = re.compile(r"^ref-c/src/(atomic\.h|[a-z]+/layout\.h)$")
GO_UNSAFE = re.compile(r'^\s*(?:import\s+)?(?:[\w.]+\s+)?"unsafe"|\bunsafe\.[A-Z]', re.M)
GO_UNSAFE_HOME = re.compile(r"^bindings/go/internal/shm/")
RUST_UNSAFE = re.compile(r"\bunsafe\b(?!_)")
RUST_UNSAFE_HOME = re.compile(r"^bindings/rust/src/((atomic|bytes|map|wait)\.rs|(bytes|map)/[a-z_]+\.rs)$")
RUST_ATOMICS = re.compile(r"\bsync::atomic\b")
RUST_ATOMIC_HOME = re.compile(r"^bindings/rust/(src/atomic\.rs$|tests/|benches/|examples/)")

C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
C_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')
# First 16 hex digits of the SHA-256 of each host, or of its last two labels.
HOST_DIGESTS = frozenset((
    "00a7dc5a0cc38858", "03eabd6c5c4ff24d", "048e76c14ef34200", "0fd460f0568e29c1", "26b9cccfe247fdba", "271dacc9f4d0caf8",
    "344aa72d23ae6fdb", "3530c4415dd857fb", "3ca29e55be4befa4", "41f537c02c91f978", "4445b86dcaaff098", "51c6b9f69c48a75b",
    "668fb7edafc1add3", "6742ce45033ee24b", "71741fe2460a6150", "75adac515f0bd3db", "789e46d79514e280", "8400b8bd0d6e064d",
    "85b03f9a57d95879", "8743857e3ea00fd1", "87d14f070cb96869", "8b5bb5eb9d758455", "9c6b05022d03bb05", "9da5f32d96412512",
    "a4aa2ac280bb8d1a", "b8dcf6bbdcdf9b14", "be1bed06b74e0496", "be57af6b78a7faca", "c3db8466ffcd8589", "d8b3f7b1f01332e6",
    "e2dd3580aeebec64", "f65219c547f9c032",
))
HOST = re.compile(r"\b[a-z0-9-]+(?:\.[a-z0-9-]+)+\b", re.I)
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:root|w[o]rk|home/[a-z]\w*|Users/[A-Za-z]\w*)(?:/|\b)")


def list_files(root: Path) -> list[str]:
    """What git tracks or would add; relative paths."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted(name for name in set(listed) if name and (root / name).is_file())


def blank(match: re.Match[str]) -> str:
    """Comments and strings become white space, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", match[0])


def code_of(text: str) -> str:
    return C_STRING.sub(blank, C_COMMENT.sub(blank, text))


def hits(pattern: re.Pattern[str], text: str) -> list[int]:
    return [text.count("\n", 0, match.start()) + 1 for match in pattern.finditer(text)]


def check_ownership(name: str, text: str) -> list[str]:
    """Atomics and unsafe code outside the files that own them."""
    suffix = Path(name).suffix
    problems = []
    if suffix in (".c", ".h") and C_LIBRARY.match(name) and not C_ATOMIC_HOME.match(name):
        problems += [f"{name}:{line}: atomics belong into ref-c/src/atomic.h" for line in hits(C_ATOMICS, code_of(text))]
    if suffix == ".go" and not GO_UNSAFE_HOME.match(name):
        code = C_COMMENT.sub(blank, text)
        problems += [f"{name}:{line}: unsafe belongs into bindings/go/internal/shm" for line in hits(GO_UNSAFE, code)]
    if suffix == ".rs" and not RUST_UNSAFE_HOME.match(name) and "/tests/" not in name:  # tests fork
        found = hits(RUST_UNSAFE, code_of(text))
        problems += [f"{name}:{line}: unsafe belongs into atomic.rs, bytes, map or wait.rs" for line in found]
    if suffix == ".rs" and not RUST_ATOMIC_HOME.match(name):
        found = hits(RUST_ATOMICS, code_of(text))
        problems += [f"{name}:{line}: atomics belong into bindings/rust/src/atomic.rs" for line in found]
    return problems


def is_source(name: str, text: str) -> bool:
    path = Path(name)
    return path.suffix in SOURCE_SUFFIXES or path.name == "CMakeLists.txt" or (not path.suffix and text.startswith("#!"))


def check_licence(name: str, text: str) -> list[str]:
    if not is_source(name, text) or not text or SPDX in "\n".join(text.splitlines()[:5]):
        return []
    return [f"{name}: no `{SPDX}` in its first lines"]


def host_digest(host: str) -> str:
    return hashlib.sha256(host.lower().encode()).hexdigest()[:16]


def names_package_host(token: str) -> bool:
    labels = token.lower().split(".")
    return any(host_digest(".".join(labels[at:])) in HOST_DIGESTS for at in range(len(labels) - 1))


def check_names(name: str, text: str) -> list[str]:
    problems = []
    for match in HOST.finditer(text):
        if names_package_host(match[0]):
            problems.append(f"{name}:{text.count(chr(10), 0, match.start()) + 1}: names a package host")
    problems += [f"{name}:{line}: a path of one machine" for line in hits(MACHINE_PATH, text)]
    return problems


def check_sources(root: Path) -> list[str]:
    problems = []
    for name in list_files(root):
        data = (root / name).read_bytes()
        if len(data) > TEXT_LIMIT or b"\0" in data:
            continue
        text = data.decode("utf-8", errors="replace")
        problems += check_ownership(name, text) + check_licence(name, text) + check_names(name, text)
    return problems
