# SPDX-License-Identifier: MIT
"""Profile shmcomm: what both engines take and give. Plain values; nothing here touches a segment."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final, Literal, NamedTuple

from . import layout

Role = Literal["publisher", "subscriber", "pusher", "puller", "requester", "replier", "observer"]
Making = Literal["any", "create", "join"]

ROLES: Final[tuple[Role, ...]] = ("publisher", "subscriber", "pusher", "puller", "requester", "replier", "observer")
#: Of the channel that a role is opened on; an observer looks into any.
PATTERN_OF: Final[dict[Role, int]] = {
    "publisher": layout.PATTERN_PUBSUB, "subscriber": layout.PATTERN_PUBSUB, "pusher": layout.PATTERN_PIPELINE,
    "puller": layout.PATTERN_PIPELINE, "requester": layout.PATTERN_REQUEST, "replier": layout.PATTERN_REQUEST,
}
PATTERN_NAMES: Final = {
    layout.PATTERN_PUBSUB: "pubsub", layout.PATTERN_PIPELINE: "pipeline", layout.PATTERN_REQUEST: "request",
    layout.PATTERN_REPLY: "reply",
}
#: Roles that keep the channel they are opened on, and make it where it is not there.
KEEPERS: Final = frozenset({"publisher", "pusher", "replier"})
#: Roles that only look: no endpoints.
LOOKERS: Final = frozenset({"subscriber", "observer"})

U64: Final = 2**64 - 1
#: The whole of a frame's head: size, sequence, timestamp_ns, correlation_id, sender, content_type, flags.
FRAME: Final = Struct("<QQQQIHH")
DEFAULT_READY_TIMEOUT: Final = layout.DEFAULT_READY_TIMEOUT_NS / 1e9


class Meta(NamedTuple):
    """What a sender may say about a message."""

    timestamp_ns: int = 0  #: nanoseconds since the Unix epoch; 0 = now
    content_type: int | None = None  #: layout.CONTENT_… or the application's; None = the channel's serializer
    flags: int = 0  #: the application's


NO_META: Final = Meta()


class Message(NamedTuple):
    """A message as received."""

    sequence: int
    timestamp_ns: int
    correlation_id: int
    lost: int  #: subscribers: sequences between the message delivered before and this one [shmcomm.receive.lost]
    position: int  #: of its frame in the ring's count of bytes
    taken_ns: int  #: CLOCK_MONOTONIC when it was received: a replier asks later whether the requester still lives
    sender: int  #: endpoint number
    content_type: int
    flags: int
    payload: bytes | memoryview  #: a copy; of a view, where it lies


@dataclass(frozen=True, slots=True)
class Options:
    """How an endpoint is opened."""

    capacity: int = 0  #: bytes, a power of two, of what is made; 0 = the default
    mode: int = layout.DEFAULT_MODE  #: permission bits of what is made, before the umask
    serializer: int = layout.CONTENT_RAW  #: content type of messages whose sender does not say, of a channel that is made
    making: Making = "any"  #: what keepers do about a channel that is there, or is not
    oldest: bool = False  #: subscribers: begin with the oldest message held
    read_only: bool = False  #: subscribers: map nothing writable; waiting then polls
    sole: bool = False  #: publishers, pushers: hold the writers' lock from open to close
    tell_lost: bool = False  #: subscribers: Lapped once before a message behind a loss
    wait: float = DEFAULT_READY_TIMEOUT  #: seconds to wait for a channel that is not there or not ready
    # What is otherwise drawn at random or asked of the system, for tests and replays; 0 = as always:
    endpoint: int = 0  #: endpoint number; BusyError if it is taken
    pid: int = 0  #: for owner_pid
    instance: int = 0  #: of a segment that is made
    boot_ns: int = 0  #: for heartbeat_ns
    correlation_id: int = 0  #: of the first request


@dataclass(frozen=True, slots=True)
class Info:
    """The header, and what an endpoint has done."""

    capacity: int  #: bytes of the ring
    max_payload: int  #: bytes
    head: int
    tail: int
    message_count: int
    dropped_count: int
    instance: int
    heartbeat_ns: int
    pattern: int
    state: int
    writer_lock: int
    lock_epoch: int
    data_waiters: int
    space_waiters: int
    owner_pid: int
    owner_endpoint: int
    serializer: int
    endpoint: int  #: the number of this endpoint; 0 for subscribers and observers
    keeper_lives: bool  #: False: the channel is stale
    sent: int = 0
    received: int = 0
    lost: int = 0  #: subscribers: sequences overwritten before they came to them
    refused: int = 0  #: sends that were answered Full or Timeout for want of room
    discarded: int = 0  #: requesters: replies that came too late
    unanswered: int = 0  #: repliers: replies that were dropped because the requester is gone
    takeovers: int = 0  #: locks taken from dead owners


class Recovered(NamedTuple):
    """What recover() found to do."""

    lock_taken: bool  #: from a dead owner
    count_repaired: bool  #: message_count or dropped_count
    swept: int  #: reply channels of dead requesters removed; of a service's request channel


@dataclass(slots=True)
class Counters:
    """What an endpoint counts for itself."""

    sent: int = 0
    received: int = 0
    lost: int = 0
    refused: int = 0
    discarded: int = 0
    unanswered: int = 0
    takeovers: int = 0


def extent_of(size: int) -> int:
    """Bytes of a frame in the ring. [shmcomm.send.frame]"""
    return (8 + size + 7) // 8 * 8


def signed(difference: int) -> int:
    """A difference of positions modulo 2^64 as a signed number."""
    difference &= U64
    return difference - (U64 + 1) if difference > U64 >> 1 else difference
