# SPDX-License-Identifier: MIT
"""How the native engines call the C implementation and take its answers. UnsupportedError at import without the extension
module."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ._native import ext_lane, ext_refc
from .errors import Closed, InvalidNameError, ShmwireException, UnsupportedError, from_code

if TYPE_CHECKING:
    from ._native import _ext_lane
    from ._native import _ext_refc as extension
elif ext_refc is None or ext_lane is None:
    raise UnsupportedError("the native engine takes the extension module, which is not installed")
else:
    extension, _ext_lane = ext_refc, ext_lane

#: The shortest ways (_native/lane.h).
lanes = _ext_lane

#: C data has no Python types.
CData = Any

ffi: Final = extension.ffi
lib: Final = extension.lib


def failure(code: int, handle: CData, what: str = "") -> ShmwireException:
    """The exception for a code. A null handle is one that has been closed."""
    if handle == ffi.NULL:
        return Closed("it has been closed")
    if not what and from_code(code).name == "SYSTEM" and ffi.errno:
        what = os.strerror(ffi.errno)
    return from_code(code, what)


def refuse(code: int, handle: CData, what: str = "") -> NoReturn:
    """Raise that exception."""
    raise failure(code, handle, what)


def check(code: int, handle: CData, what: str = "") -> None:
    """Nothing for OK, else that exception."""
    if code != 0:
        refuse(code, handle, what)


def locator(name: str) -> bytes:
    """C strings end at a NUL: a name that holds one would be another name."""
    raw = os.fsencode(name)
    if b"\0" in raw:
        raise InvalidNameError(repr(name))
    return raw


def closer(close: Callable[[CData], None], kept: object) -> Callable[[CData], None]:
    """What closes a C object with its last reference. Until then the object holds what has to outlive it."""
    def closing(pointer: CData, _kept: object = kept) -> None:
        close(pointer)
    return closing


def keeper(handle: CData) -> Callable[[CData], None]:
    """What "frees" a pointer into a mapping: nothing; but while the pointer lives it holds the mapping."""
    def nothing(_pointer: CData, _kept: CData = handle) -> None:
        pass
    return nothing
