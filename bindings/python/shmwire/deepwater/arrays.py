# SPDX-License-Identifier: MIT
"""Profile deepwater: chunks as NumPy arrays, over the very bytes. NumPy is imported only when one is asked for."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..bytes import Window
from ..errors import CorruptError, InvalidArgumentError, UnsupportedError
from . import layout

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


def _numpy() -> ModuleType:
    try:
        import numpy
    except ImportError:
        raise UnsupportedError("arrays take numpy, which is not installed") from None
    return numpy


def _over(window: Window, at: int, count: int, dtype: Any) -> Array:
    """`count` elements at an offset. The array keeps the mapping alive. CorruptError for what is not wholly in it."""
    if at + count * dtype.itemsize > window.size:
        raise CorruptError(f"{count} records of {dtype.itemsize} bytes in a chunk of {window.size}")
    view = window.view(at, count * dtype.itemsize).toreadonly()
    found: Array = _numpy().frombuffer(view, dtype) if count else _numpy().empty(0, dtype)
    return found


def records(window: Window, count: int, record_size: int, dtype: Any) -> Array:
    """The first `count` records of a chunk whose records have one size. [deepwater.append.placing]"""
    kind = _numpy().dtype(dtype)
    if record_size == 0 or kind.itemsize != record_size or kind.hasobject:
        raise InvalidArgumentError(f"{kind} has {kind.itemsize} bytes; the records of the feed have "
                                   f"{record_size or 'no common size'}")
    return _over(window, layout.DATA_SIZE, count, kind)


def entries(window: Window, count: int) -> Array:
    """The first `count` entries of a chunk's index."""
    kind = _numpy().dtype([("timestamp_ns", "<u8"), ("offset", "<u8"), ("length", "<u4"), ("type", "<u4"), ("sequence", "<u8")])
    return _over(window, layout.INDEX_SIZE, count, kind)
