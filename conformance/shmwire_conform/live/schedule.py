# SPDX-License-Identifier: MIT
"""Live runs: which, on whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..model import Result, Unit


def plan(*_: Any) -> list[Unit]:
    """Nothing yet."""
    return []


def run_all(*_: Any, **__: Callable[[Result], None]) -> list[Result]:
    """Nothing yet."""
    return []
