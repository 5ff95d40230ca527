# SPDX-License-Identifier: MIT
"""./dev bench --memory: how much memory endpoints take, and whether it grows with the number of messages.

Each entry runs with a tenth of its messages and with all of them. Anonymous memory is counted, what an actor had before it opened
anything left out: rings, feeds and files are shared, and an interpreter is there anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from measure import LIMIT_S, Absent, Peer, measure_once


@dataclass(frozen=True)
class Entry:
    """What is run, and what is allowed."""

    row: str
    measure: str
    size: int
    count: int
    most_kb: int
    most_growth_kb: int
    limit_s: float = LIMIT_S


@dataclass(frozen=True)
class Memory:
    """Of one party: its role, and KiB after a tenth and after all of the messages."""

    role: str
    tenth_kb: int
    whole_kb: int

    @property
    def growth_kb(self) -> int:
        return self.whole_kb - self.tenth_kb

    def within(self, entry: Entry) -> bool:
        return self.whole_kb <= entry.most_kb and self.growth_kb <= entry.most_growth_kb


def taken(actor: dict[str, Any]) -> int:
    return int(actor["anon_kb"]) - int(actor["base_kb"])


def look(peer: Peer, entry: Entry) -> list[Memory]:
    """Both runs, party by party."""
    tenth, whole = (measure_once(peer, entry.measure, entry.size, count - count % peer.batch, entry.limit_s).actors
                    for count in (entry.count // 10, entry.count))
    return [Memory(str(b["role"]), taken(a), taken(b)) for a, b in zip(tenth, whole, strict=True)]


def lines(entry: Entry, found: list[Memory]) -> list[str]:
    wanted = f"wanted <= {entry.most_kb:,} KiB, growth <= {entry.most_growth_kb:,}"
    return [f"  {entry.row:<22} {entry.measure:<9} {one.role:<5} {entry.count // 10:>11,}: {one.tenth_kb:>6,} KiB "
            f"{entry.count:>12,}: {one.whole_kb:>6,} KiB  {wanted}: {'met' if one.within(entry) else 'missed'}" for one in found]


def run(peers: dict[str, Peer], entries: list[Entry], scale: int = 1) -> bool:
    """Run and print them all; scale divides the counts (for a smoke run). Whether all were within their bounds."""
    good = True
    print("anonymous memory beyond that of the empty process, after a tenth and after all of the messages")
    for entry in entries:
        small = Entry(**{**vars(entry), "count": max(entry.count // scale, 10 * peers[entry.row].batch)})
        try:
            found = look(peers[entry.row], small)
        except Absent as why:
            print(f"  {entry.row:<22} absent ({why})")
            good = False  # what was not run is within no bounds
            continue
        print("\n".join(lines(small, found)), flush=True)
        good = good and all(one.within(entry) for one in found)
    return good
