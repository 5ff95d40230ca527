# SPDX-License-Identifier: MIT
"""The ordering pairs of profile slick (spec/slick.md, section 7) as litmus tests for rc11.py: each as the chapter asks for it,
and weakened in each way that looks as if it would do.

res is header.reserved: 0 as long as the item of the lap before is whole, 1 when its elements are reserved again. pay is a word
of the elements: 0 of the lap before, 1 of the new one. idx is the slot's data_index: 0 before, 1 published. set is
header.settled.
"""

from __future__ import annotations

from rc11 import ACQ, NA, REL, RLX, SC, Litmus, Op, add, fence, load, store


def message(word: str, commit: str, look: str, payload: str = RLX) -> Litmus:
    """R0, A0 (slots, then the state that publishes) and R2, A2 (elements and slot.size, then data_index)."""
    return Litmus([[store("pay", 1, payload), store(word, 1, commit)],
                   [load(word, "w", look), load("pay", "p", payload)]],
                  assume=lambda r: r["w"] == 1, bad=lambda r: r["p"] == 0)


def last(raise_: str, look: str) -> Litmus:
    """R3, A3: last_published is raised by CAS behind the publication. Bad: the slot that it names is not yet written."""
    return Litmus([[store("pay", 1), store("idx", 1, REL), add("last", 1, raise_)],
                   [load("last", "l", look), load("idx", "i", ACQ), load("pay", "p")]],
                  assume=lambda r: r["l"] == 1, bad=lambda r: r["i"] == 0 or r["p"] == 0)


def settled(raise_: str, look: str, seen: str = ACQ) -> Litmus:
    """R1, A1: the first thread publishes, the second finds it published (A2) and raises settled, the third reserves the elements
    again and stores to them. Bad: the first one's store comes behind that of the next lap, and is found in its item."""
    return Litmus([[store("pay", 1), store("idx", 1, REL)],
                   [load("idx", "i", seen), add("set", 1, raise_)],
                   [load("set", "s", look), store("pay", 2), load("pay", "p")]],
                  assume=lambda r: r["i"] == r["s"] == 1, bad=lambda r: r["p"] == 1)


def told(reserve: str, look: str) -> Litmus:
    """R6, A6: settled is raised, then the reservation that stands on it is made. Bad: who finds the reservation, and not what it
    stands on, takes all before it for settled."""
    return Litmus([[add("set", 1, REL), add("res", 1, reserve)], [load("res", "r", look), load("set", "s", ACQ)]],
                  assume=lambda r: r["r"] == 1, bad=lambda r: r["s"] == 0)


def alone(reserve: str, look: str) -> Litmus:
    """R6, A6 for a producer alone: its item of the lap before is published, then it reserves the next. Bad: who goes by the
    reservation stores to those elements, and the old store comes behind its own."""
    return Litmus([[store("pay", 1), store("idx", 1, REL), add("res", 1, reserve)],
                   [load("res", "r", look), store("pay", 2), load("pay", "p")]],
                  assume=lambda r: r["r"] == 1, bad=lambda r: r["p"] == 1)


def chain(between: str) -> Litmus:
    """R6, A6 across somebody else's reservation: a read-modify-write goes on with what it found released."""
    return Litmus([[add("set", 1, REL), add("res", 1, REL)], [add("res", 1, between)],
                   [load("res", "r", ACQ), load("set", "s", ACQ)]],
                  assume=lambda r: r["r"] == 2, bad=lambda r: r["s"] == 0)


def shared(take: str, look: str) -> Litmus:
    """R4, A4: a consumer that has seen the reservation takes an item. Bad: the next finds the reservation below the cursor."""
    return Litmus([[add("res", 1, REL)], [load("res", "a"), add("cur", 1, take)], [load("cur", "c", look), load("res", "r")]],
                  assume=lambda r: r["a"] == r["c"] == 1, bad=lambda r: r["r"] == 0)


def lap(reserve: list[Op], check: list[Op]) -> Litmus:
    """F5, F5: bad is a copy of the new lap's word with a reservation that leaves the old item whole."""
    return Litmus([[*reserve, store("pay", 1)], [load("pay", "p"), *check]], bad=lambda r: r["p"] == 1 and r.get("r", 0) == 0)


def slot_size(writer_fence: bool, reader_fence: bool) -> Litmus:
    """F5, F5 for slot.size (pay): a producer that looks for what is settled reads it, and looks at the reservation again."""
    return Litmus([[add("res", 1, REL), *([fence(REL)] if writer_fence else []), store("pay", 1), store("idx", 1, REL)],
                   [load("idx", "i", ACQ), load("pay", "p"), *([fence(ACQ)] if reader_fence else []), load("res", "r")]],
                  assume=lambda r: r["i"] == 0, bad=lambda r: r["p"] == 1 and r["r"] == 0)


def fences(order: str = REL) -> list[Op]:
    """The reservation as the chapter asks for it, with the writer's fence behind it."""
    return [add("res", 1, order), fence(REL)]


RECHECK = [fence(ACQ), load("res", "r")]

# Name, test, verdict wanted, what it says.
TESTS: list[tuple[str, Litmus, str, str]] = [
    ("R0-A0", message("state", REL, ACQ, NA), "never", "a ready segment has its slots"),
    ("R0-A0/relaxed-publish", message("state", RLX, ACQ), "sometimes", "a ready segment whose slots are still 0"),
    ("R0-A0/relaxed-open", message("state", REL, RLX), "sometimes", "the same from the other side"),
    ("R2-A2", message("idx", REL, ACQ), "never", "a published item has its elements and its size"),
    ("R2-A2/relaxed-publish", message("idx", RLX, ACQ), "sometimes", "old bytes in an item"),
    ("R2-A2/relaxed-look", message("idx", REL, RLX), "sometimes", "the same from the other side"),
    ("R3-A3", last(REL, ACQ), "never", "last_published names a slot that is written"),
    ("R3-A3/relaxed-raise", last(RLX, ACQ), "sometimes", "the last item's slot is not yet written"),
    ("R3-A3/relaxed-look", last(REL, RLX), "sometimes", "the same from the other side"),
    ("R1-A1", settled(REL, ACQ), "never", "what is settled is done with, also for who was only told"),
    ("R1-A1/relaxed-raise", settled(RLX, ACQ), "sometimes", "a late store in an item of the next lap"),
    ("R1-A1/relaxed-look", settled(REL, RLX), "sometimes", "the same from the other side"),
    ("R1-A1/relaxed-A2", settled(REL, ACQ, RLX), "sometimes", "who raises settled must have acquired the publication"),
    ("R6-A6", told(REL, ACQ), "never", "who finds a reservation finds settled as it was raised for it"),
    ("R6-A6/relaxed-reserve", told(RLX, ACQ), "sometimes", "an old settled: what is not settled is taken for it"),
    ("R6-A6/relaxed-look", told(REL, RLX), "sometimes", "the same from the other side"),
    ("R6-A6/alone", alone(REL, ACQ), "never", "a producer alone vouches for its items by its next reservation"),
    ("R6-A6/alone-relaxed", alone(RLX, ACQ), "sometimes", "its old store lands in the next lap"),
    ("R6-A6/chain", chain(REL), "never", "across a reservation of another producer"),
    ("R6-A6/chain-relaxed", chain(RLX), "never", "even of one of the source system: it is a read-modify-write"),
    ("R4-A4", shared(REL, ACQ), "never", "the reservation is never below a shared cursor"),
    ("R4-A4/relaxed-take", shared(RLX, ACQ), "sometimes", "a reset that never was"),
    ("R4-A4/relaxed-look", shared(REL, RLX), "sometimes", "the same from the other side"),
    ("F5-F5", lap(fences(), RECHECK), "never", "a copy that was overwritten shows in the reservation"),
    ("F5-F5/relaxed-reserve", lap(fences(RLX), RECHECK), "never", "the fences do it, not the order of the CAS"),
    ("F5-F5/no-recheck", lap(fences(), []), "sometimes", "erratum E1: a torn item"),
    ("F5-F5/no-writer-fence", lap([add("res", 1, REL)], RECHECK), "sometimes", "a release CAS does not hold back what follows"),
    ("F5-F5/acq-rel", lap([add("res", 1, "acq_rel")], RECHECK), "sometimes", "nor does an acquire-release one"),
    ("F5-F5/seq-cst", lap([add("res", 1, SC)], RECHECK), "sometimes", "nor a sequentially consistent one"),
    ("F5-F5/seq-cst-both", lap([add("res", 1, SC)], [fence(ACQ), load("res", "r", SC)]), "sometimes", "nor with such a look"),
    ("F5-F5/no-reader-fence", lap(fences(), [load("res", "r")]), "sometimes", "the look at the reservation is done first"),
    ("F5-F5/acquire-recheck", lap(fences(), [load("res", "r", ACQ)]), "sometimes", "an acquire load holds back what follows"),
    ("F5-F5/seq-cst-recheck", lap(fences(), [load("res", "r", SC)]), "sometimes", "so does a sequentially consistent one"),
    ("F5-F5/fence-first", lap([fence(REL), add("res", 1, REL)], RECHECK), "sometimes", "a fence before the CAS is the wrong one"),
    ("F5-F5/size", slot_size(True, True), "never", "slot.size, read by a producer that looks for what is settled"),
    ("F5-F5/size-no-writer-fence", slot_size(False, True), "sometimes", "the size of another lap"),
    ("F5-F5/size-no-reader-fence", slot_size(True, False), "sometimes", "the same from the other side"),
]
