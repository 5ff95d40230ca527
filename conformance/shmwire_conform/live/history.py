# SPDX-License-Identifier: MIT
"""Histories of readers, and the self-certifying payloads that they are about (spec/driver-protocol.md, section 4)."""

from __future__ import annotations

import functools
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

MAGIC = 0x57524853
MESSAGE_TYPE = 1
END_TYPE = 0xFFFF_FFFF
LONGEST = 65536  # bytes of a payload
HEAD = struct.Struct("<IIQII")  # magic, actor, sequence, length, seed
RECORD = struct.Struct("<IIQQIIII")  # actor, message_type, sequence, position, length, sender_pid, crc, skipped


@dataclass(frozen=True, slots=True)
class Record:
    """One message as a reader received it."""

    actor: int
    message_type: int
    sequence: int
    position: int
    length: int
    sender_pid: int
    crc: int
    skipped: int = 0  # only in profiles whose readers can be overtaken


@functools.cache
def _body(base: int) -> bytes:
    """byte j = (31 base + 17 j + 101 (j >> 8)) mod 256, as long as the longest live payload of any case. Each row of
    256 bytes is the first one with a number added to its bytes."""
    row = bytes((31 * base + 17 * j) & 255 for j in range(256))
    return b"".join(row.translate(_plus(101 * k & 255)) for k in range(LONGEST // 256))


@functools.cache
def _plus(number: int) -> bytes:
    return bytes((byte + number) & 255 for byte in range(256))


def payload(actor: int, sequence: int, length: int, seed: int) -> bytes:
    """Message `sequence` of an actor, as it must have been sent."""
    head = HEAD.pack(MAGIC, actor, sequence, length, seed)
    return head + _body((actor + sequence + seed) & 255)[HEAD.size : length]


def payload_crc(actor: int, sequence: int, length: int, seed: int) -> int:
    return zlib.crc32(payload(actor, sequence, length, seed))


def parse(path: Path) -> list[Record]:
    """The whole records of a history file, in order; a killed reader may leave a partial one at the end."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    whole = len(data) // RECORD.size * RECORD.size
    return [Record(*values) for values in RECORD.iter_unpack(data[:whole])]


def of_payload(data: bytes, position: int, message_type: int, sender_pid: int) -> Record:
    """The record that a reader would have written for a message that the runner read itself."""
    actor, sequence = 0, 0
    if len(data) >= HEAD.size:
        _, actor, sequence, _, _ = HEAD.unpack_from(data)
    return Record(actor, message_type, sequence, position, len(data), sender_pid, zlib.crc32(data))
