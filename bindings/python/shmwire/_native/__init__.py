# SPDX-License-Identifier: MIT
"""The extension modules, where they were built: everything else asks here whether they are there.

SHMWIRE_NO_EXTENSION=1 in the environment hides them, so that the mode without a compiler can be tried on any machine.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from importlib.machinery import ExtensionFileLoader
from types import ModuleType


def _load(name: str) -> ModuleType | None:
    if os.environ.get("SHMWIRE_NO_EXTENSION", "") not in ("", "0"):
        return None
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ImportError:
        return None


def _load_lane(library: ModuleType | None) -> ModuleType | None:
    """The second module that lies in the library of the native engine."""
    if library is None or library.__file__ is None:
        return None
    name = f"{__name__}._ext_lane"
    loader = ExtensionFileLoader(name, library.__file__)
    spec = importlib.util.spec_from_file_location(name, library.__file__, loader=loader)
    if spec is None:
        return None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


#: Atomic primitives and the SIGBUS guard (needed by the python engine for anything but looking), or None.
ext_atomic = _load("_ext_atomic")
#: The C implementation (the native engine), or None.
ext_refc = _load("_ext_refc")
#: The shortest way to send and take one message (the native engine), or None.
ext_lane = _load_lane(ext_refc)
