# SPDX-License-Identifier: MIT
"""Which engine stands behind the classes of a profile."""

from __future__ import annotations

import os
from typing import Final, Literal

from ._native import ext_refc
from .errors import InvalidArgumentError, UnsupportedError

Engine = Literal["native", "python"]
ENGINES: Final[tuple[Engine, ...]] = ("native", "python")


def default_engine() -> Engine:
    """The engine where the caller does not say: SHMWIRE_ENGINE, else native where it is there, else python."""
    chosen = os.environ.get("SHMWIRE_ENGINE", "") or ("native" if ext_refc is not None else "python")
    if chosen == "native":
        return "native"
    if chosen == "python":
        return "python"
    raise InvalidArgumentError(f"SHMWIRE_ENGINE is {chosen!r}, one of {', '.join(ENGINES)} is wanted")


def is_native(engine: Engine | None) -> bool:
    """InvalidArgumentError for another word, UnsupportedError for native without its extension module."""
    chosen = engine or default_engine()
    if chosen not in ENGINES:
        raise InvalidArgumentError(f"engine {chosen!r}, one of {', '.join(ENGINES)} is wanted")
    if chosen == "native" and ext_refc is None:
        raise UnsupportedError("the native engine takes the extension module, which is not installed")
    return chosen == "native"
