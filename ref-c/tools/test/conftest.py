# SPDX-License-Identifier: MIT
"""Segments for the tests: files in a directory that goes away, or names in shared memory that do."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import ok

COUNTER = itertools.count()


@pytest.fixture
def segment(tmp_path: Path) -> Callable[..., Path]:
    """Make a segment file: segment(count=3, capacity=8, …) as the options of `shmwire gen`."""

    def make(name: str = "", **options: int | str) -> Path:
        path = tmp_path / (name or f"seg-{next(COUNTER)}.bin")
        settings = {"capacity": 8, "count": 3, "size": 20, **options}
        words = [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()]
        ok("gen", path, *words)
        return path

    return make


@pytest.fixture
def shm_name() -> Iterator[str]:
    """A POSIX name that is free before and after."""
    name = f"/shmw-tools-{os.getpid()}-{next(COUNTER)}"
    yield name
    Path(f"/dev/shm{name}").unlink(missing_ok=True)
