# SPDX-License-Identifier: MIT
"""What a thread of the runner sees while writers of profile shmcomm work: see observer."""

from __future__ import annotations

from pathlib import Path

from .observer import Observer, between
from .shmcomm_held import HEADER


class CountOrder(Observer):
    """All frames have one extent, which divides the capacity, so head is known from the number of messages: message_count
    never is ahead of it [shmcomm.send.order]. The count is loaded first: head only grows."""

    def __init__(self, path: Path, extent: int) -> None:
        self._extent = extent
        self._head, self._count = HEADER.field("head").offset // 8, HEADER.field("message_count").offset // 8
        super().__init__(path)

    def look(self) -> None:
        count = self.words.u64[self._count]
        between()
        head = self.words.u64[self._head]
        self.looks += 1
        if head < count * self._extent:
            self.violation = f"message_count was {count} when head was {head}: {head // self._extent} messages"
