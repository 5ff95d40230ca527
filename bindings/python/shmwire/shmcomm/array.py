# SPDX-License-Identifier: MIT
"""Profile shmcomm, section 1.4: arrays as messages, content type 4. The elements travel as they lie in memory; nothing is
pickled. NumPy is imported only when there is an array."""

from __future__ import annotations

import re
import sys
from struct import pack, unpack_from
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from . import layout
from .errors import SHMSerializationError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

#: Plain elements alone: no objects, no fields, no subarrays.
_DTYPE: Final = re.compile(r"[<>|][biufcmMSUV][0-9]{1,9}(\[[0-9]{0,9}[A-Za-z]{1,8}\])?")


def _numpy() -> ModuleType:
    try:
        import numpy
    except ImportError:
        raise SHMSerializationError("the message is an array, and numpy is not installed") from None
    return numpy


class Encoded(NamedTuple):
    """An array on its way: what stands before the elements, and the elements where they are."""

    head: bytes
    order: str  #: "C" or "F"
    array: Array

    @property
    def length(self) -> int:
        """Bytes of the payload."""
        return len(self.head) + int(self.array.nbytes)

    def write(self, view: memoryview) -> None:
        """Put the payload where it belongs: the one copy that there is."""
        size = len(self.head)
        view[:size] = self.head
        if self.array.nbytes:
            target = _numpy().ndarray(self.array.shape, self.array.dtype, view, size, order=self.order)
            target[...] = self.array

    def join(self) -> bytearray:
        """The payload in private memory."""
        whole = bytearray(self.length)
        self.write(memoryview(whole))
        return whole


def encode(value: object) -> Encoded | None:
    """An array ready to be sent; None for anything else, and for arrays that content type 4 cannot say (objects, fields)."""
    numpy = sys.modules.get("numpy")
    if numpy is None or type(value) is not numpy.ndarray:
        return None
    array: Array = value
    name = array.dtype.str
    if array.ndim > layout.MAX_DIMENSIONS or array.dtype.fields is not None or not array.dtype.itemsize:
        return None
    if _DTYPE.fullmatch(name) is None:
        return None
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    code = layout.ORDER_FORTRAN if order == "F" else layout.ORDER_C
    head = bytes((layout.ARRAY_VERSION, code, array.ndim, len(name))) + name.encode()
    head += bytes(-len(head) % 8) + pack(f"<{array.ndim}Q", *array.shape)
    return Encoded(head, order, array)


def decode(payload: bytes | memoryview) -> Array:
    """The array of a payload, over the very bytes: read-only where they are. Everything in it is hostile.
    SHMSerializationError."""
    size = len(payload)
    if size < layout.ARRAY_SIZE:
        raise SHMSerializationError(f"an array of {size} bytes")
    version, order, dimensions, length = payload[:layout.ARRAY_SIZE]
    shape_at = (layout.ARRAY_SIZE + length + 7) // 8 * 8
    begin = shape_at + 8 * dimensions
    if version != layout.ARRAY_VERSION or order > layout.ORDER_FORTRAN or dimensions > layout.MAX_DIMENSIONS or begin > size:
        raise SHMSerializationError(f"an array of version {version}, order {order}, {dimensions} dimensions, {size} bytes")
    name = bytes(payload[layout.ARRAY_SIZE:layout.ARRAY_SIZE + length]).decode("ascii", errors="replace")
    if _DTYPE.fullmatch(name) is None:
        raise SHMSerializationError(f"an array of {name!r}")
    shape = unpack_from(f"<{dimensions}Q", payload, shape_at)
    try:
        kind = _numpy().dtype(name)
        count = 1
        for extent in shape:
            count *= extent
        if kind.itemsize == 0 or count * kind.itemsize != size - begin:
            raise SHMSerializationError(f"an array of {name} {shape} in {size - begin} bytes")
        found: Array = _numpy().ndarray(shape, kind, payload, begin, order="F" if order else "C")
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, SHMSerializationError):
            raise
        raise SHMSerializationError(f"an array of {name} {shape}: {error}") from None
    return found
