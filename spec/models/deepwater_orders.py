# SPDX-License-Identifier: MIT
"""The ordering pairs of profile deepwater (spec/deepwater.md, section 10) as litmus tests for rc11.py: each as the chapter asks
for it, and weakened in each way that looks as if it would do. Sleeping and waking (R7, S8) is shmcomm's: its R4 and S6.

pay is a word of a header, a row or a record: 0 before, 1 filled. entries is entry_count, word and field are two fields of a row.
"""

from __future__ import annotations

from rc11 import ACQ, NA, REL, RLX, SC, Litmus, Op, fence, load, store


def publish(word: str, covers: str, look: str, payload: str = RLX) -> Litmus:
    """R0 to R4 with A0 to A4: fill, cover; look, read. Bad: what is covered is not there."""
    return Litmus([[store("pay", 1, payload), store(word, 1, covers)],
                   [load(word, "w", look), load("pay", "p", payload)]],
                  assume=lambda r: r["w"] == 1, bad=lambda r: r["p"] == 0)


def latest_in_count(covers: str, look: str) -> Litmus:
    """R3, A3: bad is a latest chunk above the count that is loaded after it."""
    return Litmus([[store("count", 1, REL), store("latest", 1, covers)], [load("latest", "l", look), load("count", "c", ACQ)]],
                  assume=lambda r: r["l"] == 1, bad=lambda r: r["c"] == 0)


def row(writer: list[Op], reader: list[Op]) -> Litmus:
    """R5, A5 and F6, F6: two fields change from 0 to 1 under a stamp that goes from 0 over 1 to 2. Bad: an even stamp, twice the
    same, and fields that it does not have."""
    return Litmus([writer, reader], assume=lambda r: r["s"] == r["t"] and r["s"] != 1,
                  bad=lambda r: (r["f"], r["g"]) != ((1, 1) if r["s"] == 2 else (0, 0)))


def row_in_one(stamp: str) -> Litmus:
    """The stamp raised once, behind the fields."""
    return row([store("field", 1), store("word", 1), store("stamp", 2, stamp)], READ)


def sealed(seal: str, look: str) -> Litmus:
    """R9, A9: the last record, then the seal. Bad: a reader that leaves the chunk before its last record."""
    return Litmus([[store("entries", 1, REL), store("flags", 1, seal)], [load("flags", "f", look), load("entries", "n", ACQ)]],
                  assume=lambda r: r["f"] == 1, bad=lambda r: r["n"] == 0)


def sealed_count_first() -> Litmus:
    """entry_count loaded before flags, and not again."""
    return Litmus([[store("entries", 1, REL), store("flags", 1, REL)], [load("entries", "n", ACQ), load("flags", "f", ACQ)]],
                  assume=lambda r: r["f"] == 1, bad=lambda r: r["n"] == 0)


def next_row(order: str) -> Litmus:
    """Rotation: count, then the seal. Bad: a chunk that is sealed, and no row behind it: the reader waits for no reason."""
    return Litmus([[store("count", 2, REL), store("flags", 1, order)], [load("flags", "f", ACQ), load("count", "c", ACQ)]],
                  assume=lambda r: r["f"] == 1, bad=lambda r: r["c"] == 0)


def behind_expired(last_first: bool, look: str = ACQ) -> Litmus:
    """Section 6, "Expired": a new row, count, a record in it, last_sequence. Bad: a record that is believed to be in the rows
    below a count that does not cover it."""
    loads = [load("last", "l", look), load("count", "c", ACQ)]
    return Litmus([[store("count", 1, REL), store("last", 1, REL)], loads if last_first else loads[::-1]],
                  assume=lambda r: r["l"] == 1, bad=lambda r: r["c"] == 0)


def has_data(last: str, look: str) -> Litmus:
    """last_timestamp_ns (relaxed), then last_sequence. Bad: a first record without its time."""
    return Litmus([[store("time", 1), store("last", 1, last)], [load("last", "l", look), load("time", "t")]],
                  assume=lambda r: r["l"] == 1, bad=lambda r: r["t"] == 0)


CHANGE = [store("stamp", 1), fence(REL), store("field", 1), store("word", 1), store("stamp", 2, REL)]
READ = [load("stamp", "s", ACQ), load("field", "f"), load("word", "g"), fence(ACQ), load("stamp", "t")]


def without(ops: list[Op], place: int, *instead: Op) -> list[Op]:
    return [*ops[:place], *instead, *ops[place + 1:]]


# Name, test, verdict wanted, what it says.
TESTS: list[tuple[str, Litmus, str, str]] = [
    ("R0-A0", publish("magic", REL, ACQ, NA), "never", "a file with its magic has its header"),
    ("R0-A0/relaxed-publish", publish("magic", RLX, ACQ), "sometimes", "a capacity of 0 under a valid magic"),
    ("R0-A0/relaxed-open", publish("magic", REL, RLX), "sometimes", "the same from the other side"),
    ("R2-A2", publish("count", REL, ACQ, NA), "never", "a row below count is complete"),
    ("R2-A2/relaxed-publish", publish("count", RLX, ACQ), "sometimes", "a row of zeros"),
    ("R2-A2/relaxed-look", publish("count", REL, RLX), "sometimes", "the same from the other side"),
    ("R3-A3", latest_in_count(REL, ACQ), "never", "latest is never above the count that is loaded after it"),
    ("R3-A3/relaxed-publish", latest_in_count(RLX, ACQ), "sometimes", "a latest chunk that is not there"),
    ("R3-A3/relaxed-look", latest_in_count(REL, RLX), "sometimes", "the same from the other side"),
    ("R4-A4", publish("entries", REL, ACQ, NA), "never", "a record below entry_count is whole: plain bytes do"),
    ("R4-A4/relaxed-commit", publish("entries", RLX, ACQ, NA), "race", "the bytes and the reader meet"),
    ("R4-A4/relaxed-look", publish("entries", REL, RLX, NA), "race", "the same from the other side"),
    ("R4-A4/start", publish("entries", REL, ACQ), "never", "nor does the row lack the time of the first record"),
    ("R5-A5-F6", row(CHANGE, READ), "never", "a row under an even stamp that stays is whole"),
    ("R5-A5-F6/relaxed-stamp", row(without(CHANGE, 4, store("stamp", 2)), READ), "sometimes", "a new stamp, old fields"),
    ("R5-A5-F6/relaxed-look", row(CHANGE, without(READ, 0, load("stamp", "s"))), "sometimes", "the same from the other side"),
    ("R5-A5-F6/no-writer-fence", row(without(CHANGE, 1), READ), "sometimes", "new fields under the old stamp"),
    ("R5-A5-F6/release-instead", row(without(CHANGE[1:], 0, store("stamp", 1, REL)), READ), "sometimes",
     "a release store holds nothing back"),
    ("R5-A5-F6/fence-first", row([CHANGE[1], CHANGE[0], *CHANGE[2:]], READ), "sometimes", "before the store it is the wrong one"),
    ("R5-A5-F6/no-reader-fence", row(CHANGE, without(READ, 3)), "sometimes", "the second look at the stamp is done first"),
    ("R5-A5-F6/acquire-recheck", row(CHANGE, without(READ[:4], 3, load("stamp", "t", ACQ))), "sometimes",
     "an acquire load holds back what follows"),
    ("R5-A5-F6/seq-cst-recheck", row(CHANGE, without(READ[:4], 3, load("stamp", "t", SC))), "sometimes",
     "so does a sequentially consistent one"),
    ("R5-A5-F6/one-addition", row_in_one(REL), "sometimes", "one addition does not show that a change is under way"),
    ("R9-A9", sealed(REL, ACQ), "never", "who finds the seal finds all records"),
    ("R9-A9/relaxed-seal", sealed(RLX, ACQ), "sometimes", "a chunk left before its last record"),
    ("R9-A9/relaxed-look", sealed(REL, RLX), "sometimes", "the same from the other side"),
    ("R9-A9/count-first", sealed_count_first(), "sometimes", "entry_count must be loaded again behind flags"),
    ("R9-A9/next-row", next_row(REL), "never", "who finds the seal finds the next row, if there is one"),
    ("R9-A9/next-row-relaxed", next_row(RLX), "sometimes", "a reader that takes a rotation for the end"),
    ("behind-expired", behind_expired(True), "never", "last_sequence, then count: what counts as lost is in rows below count"),
    ("behind-expired/count-first", behind_expired(False), "sometimes", "records of a new row passed over"),
    ("behind-expired/relaxed-look", behind_expired(True, RLX), "sometimes", "the same by a load that is done late"),
    ("has-data", has_data(REL, ACQ), "never", "who finds a last sequence finds a last time"),
    ("has-data/relaxed-store", has_data(RLX, ACQ), "sometimes", "data, and no time"),
    ("has-data/relaxed-look", has_data(REL, RLX), "sometimes", "the same from the other side"),
]
