# SPDX-License-Identifier: MIT
"""What travels through a channel, and what a look at a segment shows. Both engines use these types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from struct import Struct
from typing import Final, TypedDict, overload

from ..errors import InvalidArgumentError
from . import layout

#: A position, then the meta fields of a slot in the slot's own order (message_id to payload_len).
HEAD: Final = Struct("<QQQIIIHHI")
#: The same, then the offset of the payload in the blob of a batch.
BATCH_HEAD: Final = Struct("<QQQIIIHHII")
#: The meta fields of a slot alone.
META: Final = Struct("<QQIIIHHI")
_HEAD_WORDS: Final = BATCH_HEAD.size // 4
_OFFSET_WORD: Final = HEAD.size // 4

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


#: A message_id that stands for the position.
ID_POSITION: Final = 2**64 - 1

MetaValues = tuple[int, int, int, int, int, int]
#: All defaults.
NO_META: Final[MetaValues] = (ID_POSITION, 0, 0, 0, 0, 0)
_LIMITS: Final = (("message_id", 2**64 - 1), ("timestamp_ns", 2**64 - 1), ("message_type", 2**32 - 1), ("sender_pid", 2**32 - 1),
                  ("sender_runtime", 2**16 - 1), ("flags", layout.MESSAGE_TOMBSTONE - 1))


def check_meta(values: MetaValues) -> MetaValues:
    """The six values in the order of MetaFields, their ranges checked: InvalidArgumentError."""
    for value, (name, limit) in zip(values, _LIMITS, strict=True):
        if not isinstance(value, int) or not 0 <= value <= limit:
            raise InvalidArgumentError(f"{name} of {value!r}, 0 to {limit} allowed")
    return values


def meta_values(meta: MetaFields) -> MetaValues:
    """The six values, defaults filled in, names and ranges checked."""
    unknown = meta.keys() - {name for name, _ in _LIMITS}
    if unknown:
        raise TypeError(f"unexpected meta fields: {', '.join(sorted(unknown))}")
    return check_meta((meta.get("message_id", ID_POSITION), meta.get("timestamp_ns", 0), meta.get("message_type", 0),
                       meta.get("sender_pid", 0), meta.get("sender_runtime", 0), meta.get("flags", 0)))


class Message:
    """A received or looked-at message: its payload, and what its sender said, decoded when asked for."""

    __slots__ = ("_at", "_heads", "payload")

    def __init__(self, payload: bytes, heads: bytes, at: int = 0) -> None:
        #: The bytes that were sent.
        self.payload = payload
        self._heads = heads
        self._at = at

    def _number(self, offset: int, size: int) -> int:
        at = self._at + offset
        return int.from_bytes(self._heads[at:at + size], "little")

    @property
    def position(self) -> int:
        """In channel order, from 0."""
        return self._number(0, 8)

    @property
    def message_id(self) -> int:
        """The position, unless the sender said otherwise."""
        return self._number(8, 8)

    @property
    def timestamp_ns(self) -> int:
        """Time of sending, nanoseconds since the Unix epoch, by the sender's clock."""
        return self._number(16, 8)

    @property
    def channel_id(self) -> int:
        """Index of the channel."""
        return self._number(24, 4)

    @property
    def message_type(self) -> int:
        """The application's."""
        return self._number(28, 4)

    @property
    def sender_pid(self) -> int:
        """Process id of the sender, in the sender's pid namespace."""
        return self._number(32, 4)

    @property
    def sender_runtime(self) -> int:
        """A RUNTIME_ value: which implementation sent it."""
        return self._number(36, 2)

    @property
    def flags(self) -> int:
        """Bits 0 to 14 the application's."""
        return self._number(38, 2)

    def meta(self) -> MetaFields:
        """All meta fields at once, as `send(payload, **message.meta())` takes them."""
        _, message_id, timestamp_ns, _, message_type, pid, runtime, flags, _ = HEAD.unpack_from(self._heads, self._at)
        return MetaFields(message_id=message_id, timestamp_ns=timestamp_ns, message_type=message_type, sender_pid=pid,
                          sender_runtime=runtime, flags=flags)

    def head(self) -> bytes:
        """Position and meta fields as they were packed (HEAD)."""
        return self._heads[self._at:self._at + HEAD.size]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self.payload == other.payload and self.head() == other.head()

    def __hash__(self) -> int:
        return hash((self.payload, self.head()))

    def __repr__(self) -> str:
        return (f"Message(position={self.position}, message_type={self.message_type}, sender_pid={self.sender_pid}, "
                f"sender_runtime={self.sender_runtime}, flags={self.flags}, message_id={self.message_id}, "
                f"timestamp_ns={self.timestamp_ns}, payload={self.payload!r})")


class MessageBatch(Sequence[Message]):
    """Messages that were received together: one blob of payloads, one behind the other, cut up when asked for."""

    __slots__ = ("_blob", "_heads", "_starts")

    def __init__(self, blob: bytes, heads: bytes) -> None:
        self._blob = blob
        self._heads = heads
        #: Where each payload begins in the blob, and where the last one ends.
        self._starts = [*memoryview(heads).cast("I")[_OFFSET_WORD::_HEAD_WORDS].tolist(), len(blob)] if heads else [0]

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        return Message(self._blob[self._starts[at]:self._starts[at + 1]], self._heads, at * BATCH_HEAD.size)

    def __iter__(self) -> Iterator[Message]:
        return map(Message, self.payloads(), repeat(self._heads), range(0, len(self._heads), BATCH_HEAD.size))

    @property
    def blob(self) -> bytes:
        """All payloads, one behind the other."""
        return self._blob

    @property
    def offsets(self) -> list[int]:
        """Where each payload begins in the blob, and where the last one ends."""
        return self._starts

    def payloads(self) -> list[bytes]:
        """The payloads alone, in order."""
        blob = self._blob
        return [blob[start:end] for start, end in pairwise(self._starts)]

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
    removals: int  #: how often a channel of this entry has been removed


@dataclass(frozen=True, slots=True)
class Recovery:
    """What recovery repaired."""

    tombstones: int  #: claimed, never published: abandoned
    possibly_lost: int  #: taken, never released: released, content perhaps never seen
    waiters_reset: int  #: channels whose waiters was not 0
    count_repaired: bool  #: channel_count was wrong
