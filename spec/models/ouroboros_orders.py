# SPDX-License-Identifier: MIT
"""The ordering pairs of profile ouroboros (spec/ouroboros.md, section 6) as litmus tests for rc11.py: each as the chapter asks
for it, and weakened in each way that looks as if it would do.

off is a row's offset: 0 committed in the lap before, 1 beginning, 2 committed in the new lap. tok is its token: 0 old, 1 new. pay
is a word of the data area: 0 of the lap before, 1 of the new one. head is an entry's header: 0 not committed, 1 committed.
"""

from __future__ import annotations

from rc11 import ACQ, NA, REL, RLX, Litmus, Op, fence, load, store


def entry(commit: str, look: str, payload: str = RLX) -> Litmus:
    """R3, A3; and R0, A0, which have the same shape: payload, then the header with the commit bit."""
    return Litmus([[store("pay", 1, payload), store("head", 1, commit)],
                   [load("head", "h", look), load("pay", "p", payload)]],
                  assume=lambda r: r["h"] == 1, bad=lambda r: r["p"] == 0)


def next_header(before: bool) -> Litmus:
    """The word behind an entry still holds old bytes (9) when the header is committed: bad is a reader that sees them."""
    clear, commit = store("next", 0), store("head", 1, REL)
    return Litmus([[clear, commit] if before else [commit, clear], [load("head", "h", ACQ), load("next", "n", ACQ)]],
                  assume=lambda r: r["h"] == 1, bad=lambda r: r["n"] == 9, initial={"next": 9})


def row(commit: str, look: str) -> Litmus:
    """R1, A1: bad is a committed row without its first entry."""
    return Litmus([[store("head", 1, REL), store("off", 2, commit)], [load("off", "o", look), load("head", "h")]],
                  assume=lambda r: r["o"] == 2, bad=lambda r: r["h"] == 0)


def begin(first: str, second: str) -> list[Op]:
    """Step 3 without the fence."""
    return [store("off", 1, first), store("tok", 1, second)]


def old_offset(writer: list[Op], look: str, offset_first: bool = False) -> Litmus:
    """R2, A2: bad is the new token with the committed offset of the lap before. The token is loaded again after both."""
    loads = [load("tok", "t", look), load("off", "o", ACQ)]
    return Litmus([writer, [*(reversed(loads) if offset_first else loads), load("tok", "again", ACQ)]],
                  assume=lambda r: r["t"] == r["again"] == 1, bad=lambda r: r["o"] == 0)


def new_offset(commit: str, look: str, again: bool = True) -> Litmus:
    """R1, A1 once more: bad is the old token, before and after, with the committed offset of the new lap."""
    writer = [*begin(REL, REL), store("off", 2, commit)]
    reader = [load("tok", "t", ACQ), load("off", "o", look), *([load("tok", "again", ACQ)] if again else [])]
    return Litmus([writer, reader], assume=lambda r: r["o"] == 2, bad=lambda r: r["t"] == 0 and r.get("again", 0) == 0)


def lap(writer_fence: bool, reader_fence: bool, recheck: str = ACQ, token: str = REL) -> Litmus:
    """F4, F5: bad is a word of the new lap in a copy whose row looks as it did before."""
    writer = [*begin(REL, token), *([fence(REL)] if writer_fence else []), store("pay", 1)]
    reader = [load("pay", "p"), *([fence(ACQ)] if reader_fence else []), load("tok", "t", recheck), load("off", "o", recheck)]
    return Litmus([writer, reader], bad=lambda r: r["p"] == 1 and r["t"] == 0 and r["o"] == 0)


def cleared(writer_fence: bool, reader_fence: bool) -> Litmus:
    """F4, F5 for a row that is cleared (offset 1 for "none") in front of a longer entry."""
    writer = [store("off", 1, REL), *([fence(REL)] if writer_fence else []), store("pay", 1)]
    reader = [load("pay", "p"), *([fence(ACQ)] if reader_fence else []), load("off", "o", ACQ)]
    return Litmus([writer, reader], bad=lambda r: r["p"] == 1 and r["o"] == 0)


def header_of_the_next_lap(look: str, writer_fence: bool = True) -> Litmus:
    """F4, A3: the word that a reader takes for a header is payload of the new lap; step 4 must find out."""
    writer = [*begin(REL, REL), *([fence(REL)] if writer_fence else []), store("pay", 1)]
    return Litmus([writer, [load("pay", "h", look), load("tok", "t", ACQ), load("off", "o", ACQ)]],
                  bad=lambda r: r["h"] == 1 and r["t"] == 0 and r["o"] == 0)


# Name, test, verdict wanted, what it says.
TESTS: list[tuple[str, Litmus, str, str]] = [
    ("R3-A3", entry(REL, ACQ, NA), "never", "an entry: release and acquire"),
    ("R3-A3/relaxed-commit", entry(RLX, ACQ), "sometimes", "old bytes under a committed header"),
    ("R3-A3/relaxed-look", entry(REL, RLX), "sometimes", "the same from the other side"),
    ("R3-A3/relaxed-plain", entry(RLX, ACQ, NA), "race", "with plain payload: undefined"),
    ("R3-A3/next-header", next_header(True), "never", "the next header is cleared before the commit"),
    ("R3-A3/next-header-late", next_header(False), "sometimes", "cleared after it: old bytes are taken for a header"),
    ("R1-A1", row(REL, ACQ), "never", "a committed row has its first entry"),
    ("R1-A1/relaxed-commit", row(RLX, ACQ), "sometimes", "a reader starts at an entry that it cannot see"),
    ("R1-A1/relaxed-look", row(REL, RLX), "sometimes", "the same from the other side"),
    ("R1-A1/token-again", new_offset(REL, ACQ), "never", "the token, loaded again, tells of a row that began anew"),
    ("R1-A1/token-once", new_offset(REL, ACQ, again=False), "sometimes", "a new offset with the old token"),
    ("R1-A1/token-again-relaxed-look", new_offset(REL, RLX), "sometimes", "the second load may come early"),
    ("R2-A2", old_offset(begin(REL, REL), ACQ), "never", "token first, offset second; stored the other way round"),
    ("R2-A2/relaxed-token", old_offset(begin(REL, RLX), ACQ), "sometimes", "a new token before the offset is taken back"),
    ("R2-A2/relaxed-look", old_offset(begin(REL, REL), RLX), "sometimes", "the same from the other side"),
    ("R2-A2/offset-first", old_offset(begin(REL, REL), ACQ, offset_first=True), "sometimes",
     "the source's readers: old offset, new token"),
    ("R2-A2/token-stored-first", old_offset(begin(REL, REL)[::-1], ACQ), "sometimes", "the source's writer: the same"),
    ("F4-F5", lap(True, True), "never", "release fence after the token, acquire fence after the copy"),
    ("F4-F5/no-writer-fence", lap(False, True), "sometimes", "R2 orders what is before it, not the stores behind it"),
    ("F4-F5/no-reader-fence", lap(True, False), "sometimes", "acquire orders what comes after it, not before"),
    ("F4-F5/no-fences", lap(False, False), "sometimes", "the source"),
    ("F4-F5/relaxed-recheck", lap(True, True, RLX), "never", "behind the fence the row may be loaded relaxed"),
    ("F4-F5/relaxed-token", lap(True, True, ACQ, RLX), "never", "before the fence the token may be stored relaxed"),
    ("F4-F5/cleared", cleared(True, True), "never", "a cleared row is a row that changed"),
    ("F4-F5/cleared-no-writer-fence", cleared(False, True), "sometimes", "the fence is needed for clearing as well"),
    ("F4-F5/cleared-no-reader-fence", cleared(True, False), "sometimes", "on both sides"),
    ("F4-A3", header_of_the_next_lap(ACQ), "never", "an acquire load of a header is as good as F5"),
    ("F4-A3/relaxed-look", header_of_the_next_lap(RLX), "sometimes", "a relaxed one is not: CORRUPT for a good segment"),
    ("F4-A3/no-writer-fence", header_of_the_next_lap(ACQ, False), "sometimes", "and the writer's fence is needed"),
]
