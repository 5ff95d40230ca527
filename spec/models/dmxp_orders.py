# SPDX-License-Identifier: MIT
"""The ordering pairs of profile dmxp (spec/dmxp.md, section 10) as litmus tests for rc11.py: each as the chapter asks for
it, and weakened in each way that looks as if it would do.

seq is a slot's sequence, with a capacity of 4: 0 free, 1 published, 4 released, 5 published in the next lap. pay is a
word of payload.
"""

from __future__ import annotations

from rc11 import ACQ, NA, REL, RLX, SC, Litmus, add, fence, load, store


def hand_over(publish: str, look: str, payload: str) -> Litmus:
    """R2, A2; and R0, A0 and R1, A1, which have the same shape: fill, publish; look, read."""
    return Litmus([[store("pay", 1, payload), store("seq", 1, publish)],
                 [load("seq", "s", look), load("pay", "p", payload)]],
                assume=lambda r: r["s"] == 1, bad=lambda r: r["p"] == 0)


def hand_back(release: str, look: str) -> Litmus:
    """R3, A3: the consumer's last access, then the next producer's first store. Plain accesses: each owns the slot."""
    return Litmus([[load("pay", "p", NA), store("seq", 4, release)],
                 [load("seq", "s", look), store("pay", 2, NA)]],
                assume=lambda r: r["s"] == 4, bad=lambda r: r["p"] == 2, initial={"seq": 1, "pay": 1})


def signal_first(addition: str, look: str) -> Litmus:
    """R4, A4: bad is a consumer that saw the new signal and not the publication, and sleeps on that signal."""
    return Litmus([[store("seq", 1, REL), add("signal", 1, addition)],
                 [load("signal", "v", look), load("seq", "s", ACQ)]],
                bad=lambda r: r["v"] == 1 and r["s"] == 0)


def signal_late() -> Litmus:
    """The order of the source: empty first, signal second."""
    return Litmus([[store("seq", 1, REL), add("signal", 1, SC)],
                 [load("seq", "s", ACQ), load("signal", "v", SC)]],
                bad=lambda r: r["s"] == 0 and r["v"] == 1)


def wake(addition: str, look: str, count: str, recheck: str) -> Litmus:
    """S5: bad is a producer that saw no sleeper and a sleeper that saw the old signal."""
    return Litmus([[add("signal", 1, addition), load("waiters", "w", look)],
                 [add("waiters", 1, count), load("signal", "v", recheck)]],
                bad=lambda r: r["w"] == 0 and r["v"] == 0)


def wake_fenced() -> Litmus:
    return Litmus([[add("signal", 1, REL), fence(SC), load("waiters", "w")],
                 [add("waiters", 1), fence(SC), load("signal", "v")]],
                bad=lambda r: r["w"] == 0 and r["v"] == 0)


def wake_crowd() -> Litmus:
    """S5 while another sleeper comes and goes: its additions must not hide the one who stays."""
    return Litmus([[add("signal", 1, SC), load("waiters", "w", SC)],
                 [add("waiters", 1, SC), load("signal", "v", SC)],
                 [add("waiters", 1, SC), add("waiters", -1, SC)]],
                bad=lambda r: r["w"] == 0 and r["v"] == 0)


def look(producer_fence: bool, reader_fence: bool, recheck: str = RLX, one_process: bool = False, claim: str = RLX) -> Litmus:
    """F6: a look at position 0 while a consumer releases it and a producer fills position 4. Bad: the new payload with the
    old sequence before and after. one_process: the consumer is the producer, and its own release is in its store buffer."""
    release = [store("seq", 4, REL)]
    produce = [load("seq", "s", ACQ), add("tail", 1, claim), *([fence(REL)] if producer_fence else []),
               store("pay", 2), store("seq", 5, REL)]
    reader = [load("seq", "before", ACQ), load("pay", "p"), *([fence(ACQ)] if reader_fence else []),
              load("seq", "after", recheck)]
    return Litmus([release + produce, reader] if one_process else [release, produce, reader],
                assume=lambda r: r["s"] == 4 and r["before"] == 1, bad=lambda r: r["p"] == 2 and r["after"] == 1,
                initial={"seq": 1, "pay": 1})


def cursors(swap: str) -> Litmus:
    """Section 11: a look at head, tail, head again. Bad: head past tail, though head stood still."""
    return Litmus([[add("tail", 1, swap), store("seq", 1, REL)],
                 [load("seq", "s", ACQ), add("head", 1, swap)],
                 [load("head", "h", ACQ), load("tail", "t", ACQ), load("head", "again", ACQ)]],
                assume=lambda r: r["s"] == 1, bad=lambda r: r["h"] == r["again"] == 1 and r["t"] == 0)


# Name, test, verdict wanted, what it says.
TESTS: list[tuple[str, Litmus, str, str]] = [
    ("R2-A2", hand_over(REL, ACQ, NA), "never", "publication: release and acquire"),
    ("R2-A2/relaxed-publish", hand_over(RLX, ACQ, RLX), "sometimes", "an old payload under a new sequence"),
    ("R2-A2/relaxed-look", hand_over(REL, RLX, RLX), "sometimes", "the same from the other side"),
    ("R2-A2/relaxed-plain", hand_over(RLX, ACQ, NA), "race", "with plain payload: undefined"),
    ("R3-A3", hand_back(REL, ACQ), "never", "release of a slot"),
    ("R3-A3/relaxed-release", hand_back(RLX, ACQ), "race", "the copy and the next message meet"),
    ("R3-A3/relaxed-look", hand_back(REL, RLX), "race", "the same from the other side"),
    ("R4-A4", signal_first(SC, ACQ), "never", "signal first, then the look"),
    ("R4-A4/relaxed-addition", signal_first(RLX, ACQ), "sometimes", "a sleep over a published message"),
    ("R4-A4/relaxed-load", signal_first(SC, RLX), "sometimes", "the same from the other side"),
    ("R4-A4/check-first", signal_late(), "sometimes", "all sequentially consistent, and in the wrong order"),
    ("S5", wake(SC, SC, SC, SC), "never", "four sequentially consistent operations"),
    ("S5/crowd", wake_crowd(), "never", "the same while another sleeper comes and goes"),
    ("S5/fences", wake_fenced(), "never", "sequentially consistent fences instead: as good"),
    ("S5/acquire-release", wake("acq_rel", ACQ, "acq_rel", ACQ), "sometimes", "wake skipped, sleep begun"),
    ("S5/producer-only", wake(SC, SC, "acq_rel", ACQ), "sometimes", "one side alone does not do"),
    ("S5/consumer-only", wake("acq_rel", ACQ, SC, SC), "sometimes", "nor does the other"),
    ("S5/acquire-load", wake(SC, ACQ, SC, SC), "sometimes", "nor do three of the four"),
    ("F6", look(True, True), "never", "release fence in the producer, acquire fence in the look"),
    ("F6/one-process", look(True, True, one_process=True), "never", "the same, consumer and producer in one thread"),
    ("F6/no-producer-fence", look(False, True), "sometimes", "A3 alone does not order the stores behind it"),
    ("F6/no-producer-fence/one-process", look(False, True, one_process=True), "sometimes", "the same in one thread"),
    ("F6/sc-claim-instead", look(False, True, claim=SC), "sometimes", "no looker reads tail, so its order is nobody's pair"),
    ("F6/no-reader-fence", look(True, False), "sometimes", "the second load may come early"),
    ("F6/acquire-recheck", look(True, False, ACQ), "sometimes", "acquire orders what comes after it, not before"),
    ("cursors/relaxed-swap", cursors(RLX), "sometimes", "C11 allows it, x86-64, AArch64 and RISC-V do not: section 11"),
    ("cursors/release-swap", cursors("acq_rel"), "never", "where it has to hold by C11 alone"),
]
