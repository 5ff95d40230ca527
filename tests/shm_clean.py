# SPDX-License-Identifier: MIT
"""Prove that a test run leaves nothing in /dev/shm: `mark` before, `check` after. Names made by others in between that
do not look like ours are reported as well, because a test must use the project's prefix."""

from __future__ import annotations

import json
import sys
from pathlib import Path

SHM = Path("/dev/shm")
MARK = Path(__file__).resolve().parent.parent / "build/.shm-before.json"
FOREIGN = ("sem.", "pulse-", "PostgreSQL.")


def names() -> set[str]:
    return {entry.name for entry in SHM.iterdir() if not entry.name.startswith(FOREIGN)}


def main() -> int:
    if sys.argv[1:] == ["mark"]:
        MARK.write_text(json.dumps(sorted(names())), encoding="utf-8")
        return 0
    left = sorted(names() - set(json.loads(MARK.read_text(encoding="utf-8"))))
    for name in left:
        print(f"left behind: {SHM / name}")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
