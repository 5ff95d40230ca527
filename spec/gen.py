#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write everything that follows from spec/layout/*.toml and spec/errors.toml, or check that it is up to date.

    spec/gen.py           write the generated files
    spec/gen.py --check   compare only; exit 1 and name each file that differs

Standard library only. Numbers are generated, algorithms never.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from emit import c, errors, go, hexpat, json_layout, ksy, markdown, python, rust
from emit.model import Profile, load_profile

ROOT = Path(__file__).resolve().parent.parent


def profile_outputs(profile: Profile) -> dict[str, str]:
    """Path (relative to the repository) -> content, for one profile."""
    name = profile.name
    return {
        f"ref-c/include/shmwire/{name}_layout.h": c.public_header(profile),
        f"ref-c/src/{name}/layout.h": c.internal_header(profile),
        f"bindings/go/{name}/layout.go": go.constants(profile),
        f"bindings/rust/src/{name}/layout.rs": rust.constants(profile),
        f"bindings/python/shmwire/{name}/layout.py": python.constants(profile),
        f"spec/generated/{name}.layout.json": json_layout.document(profile),
        f"spec/generated/{name}.ksy": ksy.document(profile),
        f"spec/generated/{name}.hexpat": hexpat.document(profile),
    }


def error_outputs(registry: dict[str, list[dict[str, object]]]) -> dict[str, str]:
    """The tables of results and errors, in every language."""
    return {
        "ref-c/include/shmwire/errors.h": errors.c_header(registry),
        "ref-c/src/error_table.h": errors.c_table(registry),
        "bindings/go/error_table.go": errors.go_table(registry),
        "bindings/rust/src/error_table.rs": errors.rust_table(registry),
        "bindings/python/shmwire/error_table.py": errors.python_table(registry),
    }


def all_outputs() -> dict[str, str]:
    outputs: dict[str, str] = {}
    profiles = [load_profile(path) for path in sorted((ROOT / "spec/layout").glob("*.toml"))]
    for profile in profiles:
        outputs.update(profile_outputs(profile))
    registry = tomllib.loads((ROOT / "spec/errors.toml").read_text(encoding="utf-8"))
    outputs.update(error_outputs(registry))
    for chapter in sorted((ROOT / "spec").glob("*.md")):
        text = chapter.read_text(encoding="utf-8")
        filled = markdown.fill(text, profiles, registry)
        if filled != text or markdown.has_blocks(text):
            outputs[str(chapter.relative_to(ROOT))] = filled
    return outputs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    check = parser.parse_args().check
    stale = []
    for relative, content in all_outputs().items():
        path = ROOT / relative
        if path.exists() and path.read_text(encoding="utf-8") == content:
            continue
        stale.append(relative)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    for relative in stale:
        print(("differs: " if check else "wrote ") + relative)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
