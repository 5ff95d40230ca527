# SPDX-License-Identifier: MIT
"""Cases as plain files: DIR/PROFILE/KIND/SLUG/case.json and seg.bin, patches applied; DIR/index.json lists all of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from .cases import Case, Corpus
from .paths import SCHEMAS, SPEC


def _write(path: Path, data: bytes) -> dict[str, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"path": "", "sha256": hashlib.sha256(data).hexdigest(), "size": str(len(data))}


def export(corpus: Corpus, cases: list[Case], directory: Path) -> int:
    """Write the cases with every image resolved, the schemas, layouts and the error registry. Returns the number of files."""
    index: list[dict[str, Any]] = []
    for case in cases:
        room = directory / case.id
        files = [_write(room / "case.json", (json.dumps(case.raw, indent=1, ensure_ascii=False) + "\n").encode())]
        files[0]["path"] = f"{case.id}/case.json"
        image = corpus.image(case.id)
        if image is not None:
            files.append(_write(room / "seg.bin", image) | {"path": f"{case.id}/seg.bin"})
        index.append({"id": case.id, "kind": case.kind, "class": case.cls, "level": case.level, "files": files})
    extra = [*SCHEMAS.glob("*.json"), *(SPEC / "generated").glob("*.layout.json"), SPEC / "errors.toml"]
    for path in extra:
        shutil.copy(path, directory / path.name)
    _write(directory / "index.json", (json.dumps({"schema": "shmwire-export/1", "cases": index}, indent=1) + "\n").encode())
    return sum(len(entry["files"]) for entry in index) + len(extra) + 1
