# SPDX-License-Identifier: MIT
"""What travels through a channel, and what a look at a segment shows. Both engines use these types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final, Self, TypedDict, overload

from ..errors import InvalidArgumentError
from . import layout

#: A position, then the meta fields of a slot in the slot's own order (message_id to payload_len).
HEAD: Final = Struct("<QQQIIIHHI")
#: The same, then the offset of the payload in the blob of a batch.
BATCH_HEAD: Final = Struct("<QQQIIIHHII")
#: The meta fields of a slot alone.
META: Final = Struct("<QQIIIHHI")
_LENGTH_AND_OFFSET: Final = Struct(f"<{HEAD.size - 4}xII")

assert layout.SLOT_MESSAGE_ID_OFFSET + META.size == layout.SLOT_PAYLOAD_LEN_OFFSET + 4


class MetaFields(TypedDict, total=False):
    """What a sender may say about a message; everything has a default.

    message_id: u64; the position when not given (and for 2^64 - 1).
    timestamp_ns: u64, nanoseconds since the Unix epoch; the time of the call when not given (and for 0). Passing it saves
        a look at the clock.
    message_type: u32, the application's; 0.
    sender_pid: u32; this process (and for 0).
    sender_runtime: u16, a RUNTIME_ value; RUNTIME_PYTHON (and for 0).
    flags: u16, bits 0 to 14 the application's; 0. Bit 15 is refused.
    """

    message_id: int
    timestamp_ns: int
    message_type: int
    sender_pid: int
    sender_runtime: int
    flags: int


ID_POSITION: Final = 2**64 - 1
_LIMITS: Final = {
    "message_id": 2**64 - 1, "timestamp_ns": 2**64 - 1, "message_type": 2**32 - 1, "sender_pid": 2**32 - 1,
    "sender_runtime": 2**16 - 1, "flags": layout.MESSAGE_TOMBSTONE - 1,
}


def meta_values(meta: MetaFields) -> tuple[int, int, int, int, int, int]:
    """The six values in the order of MetaFields, defaults filled in, ranges checked (InvalidArgumentError)."""
    for name, value in meta.items():
        limit = _LIMITS.get(name)
        if limit is None:
            raise TypeError(f"unexpected meta field {name!r}")
        if not isinstance(value, int) or not 0 <= value <= limit:
            raise InvalidArgumentError(f"{name} of {value!r}, 0 to {limit} allowed")
    return (meta.get("message_id", ID_POSITION), meta.get("timestamp_ns", 0), meta.get("message_type", 0),
            meta.get("sender_pid", 0), meta.get("sender_runtime", 0), meta.get("flags", 0))


class Message:
    """A received or looked-at message: its payload, and what its sender said, decoded when asked for."""

    __slots__ = ("_head", "payload")

    def __init__(self, payload: bytes, head: bytes) -> None:
        #: The bytes that were sent.
        self.payload = payload
        self._head = head

    @property
    def position(self) -> int:
        """In channel order, from 0."""
        return int.from_bytes(self._head[0:8], "little")

    @property
    def message_id(self) -> int:
        """The position, unless the sender said otherwise."""
        return int.from_bytes(self._head[8:16], "little")

    @property
    def timestamp_ns(self) -> int:
        """Time of sending, nanoseconds since the Unix epoch, by the sender's clock."""
        return int.from_bytes(self._head[16:24], "little")

    @property
    def channel_id(self) -> int:
        """As the message says; the channel it came from, unless a foreign sender erred."""
        return int.from_bytes(self._head[24:28], "little")

    @property
    def message_type(self) -> int:
        """The application's."""
        return int.from_bytes(self._head[28:32], "little")

    @property
    def sender_pid(self) -> int:
        """Process id of the sender, in the sender's pid namespace."""
        return int.from_bytes(self._head[32:36], "little")

    @property
    def sender_runtime(self) -> int:
        """A RUNTIME_ value: which implementation sent it."""
        return int.from_bytes(self._head[36:38], "little")

    @property
    def flags(self) -> int:
        """Bits 0 to 14 the application's."""
        return int.from_bytes(self._head[38:40], "little")

    def meta(self) -> MetaFields:
        """All meta fields at once, as `send(payload, **message.meta())` takes them."""
        _, message_id, timestamp_ns, _, message_type, pid, runtime, flags, _ = HEAD.unpack_from(self._head)
        return MetaFields(message_id=message_id, timestamp_ns=timestamp_ns, message_type=message_type, sender_pid=pid,
                          sender_runtime=runtime, flags=flags)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self.payload == other.payload and self._head[:HEAD.size] == other._head[:HEAD.size]

    def __hash__(self) -> int:
        return hash((self.payload, self._head[:HEAD.size]))

    def __repr__(self) -> str:
        return (f"Message(position={self.position}, message_type={self.message_type}, sender_pid={self.sender_pid}, "
                f"sender_runtime={self.sender_runtime}, flags={self.flags}, message_id={self.message_id}, "
                f"timestamp_ns={self.timestamp_ns}, payload={self.payload!r})")


class MessageBatch(Sequence[Message]):
    """Messages that were received together: one blob, cut up when asked for."""

    __slots__ = ("_blob", "_heads")

    def __init__(self, blob: bytes, heads: bytes) -> None:
        self._blob = blob
        self._heads = heads

    def __len__(self) -> int:
        return len(self._heads) // BATCH_HEAD.size

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Message | Self:
        if isinstance(index, slice):
            heads = [self._head(i) for i in range(*index.indices(len(self)))]
            return type(self)(self._blob, b"".join(heads))
        head = self._head(range(len(self))[index])
        length, offset = _LENGTH_AND_OFFSET.unpack(head)
        return Message(self._blob[offset:offset + length], head)

    def _head(self, index: int) -> bytes:
        return self._heads[index * BATCH_HEAD.size:(index + 1) * BATCH_HEAD.size]

    def __iter__(self) -> Iterator[Message]:
        blob, heads, at = self._blob, self._heads, 0
        for length, offset in _LENGTH_AND_OFFSET.iter_unpack(heads):
            yield Message(blob[offset:offset + length], heads[at:at + BATCH_HEAD.size])
            at += BATCH_HEAD.size

    def payloads(self) -> list[bytes]:
        """The payloads alone, in order."""
        blob = self._blob
        return [blob[offset:offset + length] for length, offset in _LENGTH_AND_OFFSET.iter_unpack(self._heads)]

    def __repr__(self) -> str:
        return f"MessageBatch({list(self)!r})"


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """A segment as its header shows it."""

    size: int  #: bytes mapped
    version: int
    max_channels: int
    channel_count: int  #: as the header says; a hint
    payload_layout: int  #: as the header says: a LAYOUT_ value
    payload_capacity: int  #: largest payload that can be sent through this handle, bytes
    magic: int


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """A channel as its entry shows it, unchecked; a snapshot."""

    channel_id: int
    flags: int
    capacity: int  #: slots; 0 = removed or never there
    band_offset: int  #: bytes from the start of the segment
    signal: int
    waiters: int
    retired_capacity: int
    tail: int  #: next position to be produced
    head: int  #: next position to be consumed


@dataclass(frozen=True, slots=True)
class Recovery:
    """What recovery repaired."""

    tombstones: int  #: claimed, never published: abandoned
    possibly_lost: int  #: taken, never released: released, content perhaps never seen
    waiters_reset: int  #: channels whose waiters was not 0
    count_repaired: bool  #: channel_count was wrong
