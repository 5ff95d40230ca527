# SPDX-License-Identifier: MIT
"""The extension modules, where they were built: everything else asks here whether they are there.

SHMWIRE_NO_EXTENSION=1 in the environment hides them, so that the mode without a compiler can be tried on any machine.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType


def _load(name: str) -> ModuleType | None:
    if os.environ.get("SHMWIRE_NO_EXTENSION", "") not in ("", "0"):
        return None
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ImportError:
        return None


#: Atomic primitives and the SIGBUS guard (needed by the python engine for anything but looking), or None.
ext_atomic = _load("_ext_atomic")
#: The C implementation (the native engine), or None.
ext_refc = _load("_ext_refc")
