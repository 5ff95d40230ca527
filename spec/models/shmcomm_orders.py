# SPDX-License-Identifier: MIT
"""The ordering pairs of profile shmcomm (spec/shmcomm.md, section 11) as litmus tests for rc11.py: each as the chapter asks for
it, and weakened in each way that looks as if it would do.

lock is header.writer_lock: 1 held, 0 free. pay is a word of the ring: 0 or 1 of the lap before, 1 or 2 of the new one. head and
tail count frames, sig is a signal, wait its count of waiters.
"""

from __future__ import annotations

from rc11 import ACQ, NA, REL, RLX, SC, Litmus, Op, add, fence, load, store


def message(word: str, publish: str, look: str, payload: str = RLX) -> Litmus:
    """R0, A0 (the header, then the magic) and R2, A2 (frames, then head): fill, publish; look, read."""
    return Litmus([[store("pay", 1, payload), store(word, 1, publish)],
                   [load(word, "w", look), load("pay", "p", payload)]],
                  assume=lambda r: r["w"] == 1, bad=lambda r: r["p"] == 0)


def hand_over(free: str, take: str) -> Litmus:
    """R1, A1: what a writer stored under the lock, relaxed, is there for the next one. Bad: an old message_count."""
    return Litmus([[store("count", 1), add("lock", -1, free)], [add("lock", 2, take, "v"), load("count", "c")]],
                  assume=lambda r: r["v"] == 0, bad=lambda r: r["c"] == 0, initial={"lock": 1})


def hand_over_twice(middle: str) -> Litmus:
    """R1, A1 while a waiter sets bit 31 (8 here) between: the exchange that frees stands behind it."""
    return Litmus([[store("count", 1), add("lock", -9, REL, "f")], [add("lock", 8, middle)],
                   [add("lock", 2, ACQ, "v"), load("count", "c")]],
                  assume=lambda r: r["f"] == 9 and r["v"] == 0, bad=lambda r: r["c"] == 0, initial={"lock": 1})


def reuse(claim: str, look: str) -> Litmus:
    """R3, A3: a puller copies and takes; the writer finds the room and stores. Plain accesses: of relaxed ones RC11 keeps loads
    before stores, which machines need not do."""
    return Litmus([[load("pay", "p", NA), add("tail", 1, claim)], [load("tail", "t", look), store("pay", 2, NA)]],
                  assume=lambda r: r["t"] == 1, bad=lambda r: r["p"] == 2, initial={"pay": 1})


def reuse_of_two(second: str) -> Litmus:
    """The same for the first of two messages: the writer loads the tail of the second puller."""
    return Litmus([[load("pay", "p", NA), add("tail", 1, REL, "a")], [add("tail", 1, second, "b")],
                   [load("tail", "t", ACQ), store("pay", 2, NA)]],
                  assume=lambda r: r["a"] == 0 and r["b"] == 1 and r["t"] == 2, bad=lambda r: r["p"] == 2, initial={"pay": 1})


def raised(claim: str, look: str) -> Litmus:
    """R3, A3 for repair: a puller raises message_count and takes the frame that says so. Bad: an empty ring, an old count."""
    return Litmus([[add("count", 1), add("tail", 1, claim)], [load("tail", "t", look), load("count", "c")]],
                  assume=lambda r: r["t"] == 1, bad=lambda r: r["c"] == 0)


def to_tail(evict: str, look: str) -> Litmus:
    """R3, A3 for a subscriber that was overtaken: a publisher stores head (1); the next, who has taken the lock, moves tail up to
    it; the subscriber goes to tail and loads head. Bad: a head below its cursor."""
    return Litmus([[store("head", 1, REL), add("lock", -1, REL)], [add("lock", 2, ACQ, "v"), store("tail", 1, evict)],
                   [load("tail", "t", look), load("head", "h", ACQ)]],
                  assume=lambda r: r["v"] == 0 and r["t"] == 1, bad=lambda r: r["h"] == 0, initial={"lock": 1})


def signal_first(addition: str, look: str, wipe_first: bool = True) -> Litmus:
    """R4, A4: the waker wipes the count out (2 to 0), then adds to the signal. Bad: a sleeper that has loaded the new signal, and
    takes the count for one that still stands: it does not count itself, and nobody will wake it."""
    wipe, step = store("wait", 0), add("sig", 1, addition)
    return Litmus([[wipe, step] if wipe_first else [step, wipe], [load("sig", "s", look), load("wait", "w")]],
                  assume=lambda r: r["s"] == 1, bad=lambda r: r["w"] == 2, initial={"wait": 2})


def sleep_over(addition: str, look: str) -> Litmus:
    """R4, A4: bad is a sleeper that loaded the new signal and does not see what it was woken for."""
    return Litmus([[store("head", 1, REL), add("sig", 1, addition)], [load("sig", "s", look), load("head", "h", ACQ)]],
                  assume=lambda r: r["s"] == 1, bad=lambda r: r["h"] == 0)


def wake(waker: list[Op], sleeper: list[Op], publish: str = REL) -> Litmus:
    """S6: bad is a waker that saw no waiter and a sleeper that saw nothing to receive."""
    return Litmus([[store("head", 1, publish), *waker, load("wait", "w")], [add("wait", 1), *sleeper, load("head", "h", ACQ)]],
                  bad=lambda r: r["w"] == 0 and r["h"] == 0)


def wake_sc(publish: str, look: str, count: str, receive: str) -> Litmus:
    """S6 by the orders of the operations instead of fences."""
    return Litmus([[store("head", 1, publish), load("wait", "w", look)], [add("wait", 1, count), load("head", "h", receive)]],
                  bad=lambda r: r["w"] == 0 and r["h"] == 0)


def mended(sleeper_fence: bool, waker_fence: bool) -> Litmus:
    """S6 with counts that mend: the count stands at 1, of somebody long gone, so the sleeper does not add. One waker wipes it out
    and adds to the signal; another one publishes and finds 0. Bad: the sleeper has the old signal, has not seen the message, and
    the first waker's addition is not behind its load, so that nothing keeps it from sleeping or wakes it."""
    first = [store("wait", 0), add("sig", 1, REL)]
    second = [store("head", 1, REL), *([fence(SC)] if waker_fence else []), load("wait", "w")]
    sleeper = [load("sig", "s", ACQ), load("wait", "c"), *([fence(SC)] if sleeper_fence else []), load("head", "h", ACQ)]
    return Litmus([first, second, sleeper], assume=lambda r: r["c"] == 1 and r["w"] == 0,
                  bad=lambda r: r["s"] == 1 and r["h"] == 0,
                  initial={"wait": 1})


def mended_again(fences: bool) -> Litmus:
    """The same for a sleeper that was woken, loads the new signal, finds the count wiped out and adds."""
    more = [fence(SC)] if fences else []
    first = [store("wait", 0), add("sig", 1, REL)]
    second = [store("head", 1, REL), *more, load("wait", "w")]
    sleeper = [load("sig", "s", ACQ), add("wait", 1, RLX, "c"), *more, load("head", "h", ACQ)]
    return Litmus([first, second, sleeper], assume=lambda r: r["s"] == 1, bad=lambda r: r["w"] == 0 and r["h"] == 0,
                  initial={"wait": 1})


def lap(evict: list[Op], check: list[Op]) -> Litmus:
    """F5, F5: bad is a copy of the new frame's word with a tail that leaves the old frame held."""
    return Litmus([[*evict, store("pay", 1)], [load("pay", "p"), *check]], bad=lambda r: r["p"] == 1 and r.get("t", 0) == 0)


def lap_of_another(writer_fence: bool, taken: str = ACQ) -> Litmus:
    """F5, F5 where the bytes were evicted by one writer, who died or had no room, and are overwritten by the next, who only loads
    tail."""
    return Litmus([[store("tail", 1, REL), add("lock", -1, REL)],
                   [add("lock", 2, taken, "v"), load("tail", "w", ACQ), *([fence(REL)] if writer_fence else []), store("pay", 1)],
                   [load("pay", "p"), fence(ACQ), load("tail", "t")]],
                  assume=lambda r: r["v"] == 0 and r["w"] == 1, bad=lambda r: r["p"] == 1 and r["t"] == 0, initial={"lock": 1})


def closed(state: str, look: str) -> Litmus:
    """R7, A7: a message, then the close. Bad: a receiver that finds the channel closed, and head where it was."""
    return Litmus([[store("head", 1, REL), store("state", 2, state)], [load("state", "s", look), load("head", "h", ACQ)]],
                  assume=lambda r: r["s"] == 2, bad=lambda r: r["h"] == 0, initial={"state": 1})


def closed_head_first() -> Litmus:
    """Head loaded before state, and not again."""
    return Litmus([[store("head", 1, REL), store("state", 2, REL)], [load("head", "h", ACQ), load("state", "s", ACQ)]],
                  assume=lambda r: r["s"] == 2, bad=lambda r: r["h"] == 0, initial={"state": 1})


EVICT = [store("tail", 1, REL), fence(REL)]
RECHECK = [fence(ACQ), load("tail", "t")]

# Name, test, verdict wanted, what it says.
TESTS: list[tuple[str, Litmus, str, str]] = [
    ("R0-A0", message("magic", REL, ACQ, NA), "never", "a published segment has its header"),
    ("R0-A0/relaxed-publish", message("magic", RLX, ACQ), "sometimes", "a capacity of 0 under a valid magic"),
    ("R0-A0/relaxed-open", message("magic", REL, RLX), "sometimes", "the same from the other side"),
    ("R1-A1", hand_over(REL, ACQ), "never", "the next writer has message_count, relaxed as it is"),
    ("R1-A1/relaxed-free", hand_over(RLX, ACQ), "sometimes", "a sequence used twice"),
    ("R1-A1/relaxed-take", hand_over(REL, RLX), "sometimes", "the same from the other side"),
    ("R1-A1/waiter-between", hand_over_twice(RLX), "never", "a waiter's bit 31 takes nothing away"),
    ("R2-A2", message("head", REL, ACQ), "never", "a frame below head is whole"),
    ("R2-A2/relaxed-publish", message("head", RLX, ACQ), "sometimes", "bytes of a lap before"),
    ("R2-A2/relaxed-look", message("head", REL, RLX), "sometimes", "the same from the other side"),
    ("R3-A3", reuse(REL, ACQ), "never", "bytes are stored after they were copied"),
    ("R3-A3/relaxed-claim", reuse(RLX, ACQ), "race", "the copy and the next frame meet"),
    ("R3-A3/relaxed-look", reuse(REL, RLX), "race", "the same from the other side"),
    ("R3-A3/of-two", reuse_of_two(REL), "never", "the tail of a later puller vouches for the earlier ones"),
    ("R3-A3/of-two-relaxed", reuse_of_two(RLX), "never", "by being a read-modify-write, whatever its order"),
    ("R3-A3/count", raised(REL, ACQ), "never", "repair of an emptied ring finds the count raised"),
    ("R3-A3/count-relaxed-claim", raised(RLX, ACQ), "sometimes", "a sequence used twice"),
    ("R3-A3/count-relaxed-look", raised(REL, RLX), "sometimes", "the same from the other side"),
    ("R3-A3/to-tail", to_tail(REL, ACQ), "never", "tail is never above the head that is loaded after it"),
    ("R3-A3/to-tail-relaxed-evict", to_tail(RLX, ACQ), "sometimes", "a head below the cursor: taken for impossible"),
    ("R3-A3/to-tail-relaxed-look", to_tail(REL, RLX), "sometimes", "the same from the other side"),
    ("R4-A4", sleep_over(REL, ACQ), "never", "who loads the new signal sees what it was for"),
    ("R4-A4/relaxed-addition", sleep_over(RLX, ACQ), "sometimes", "a sleep over a message"),
    ("R4-A4/relaxed-load", sleep_over(REL, RLX), "sometimes", "the same from the other side"),
    ("R4-A4/count", signal_first(REL, ACQ), "never", "who loads the new signal finds the count wiped out"),
    ("R4-A4/count-relaxed-addition", signal_first(RLX, ACQ), "sometimes", "a sleeper that counts on a count that is gone"),
    ("R4-A4/count-relaxed-load", signal_first(REL, RLX), "sometimes", "the same from the other side"),
    ("R4-A4/wiped-late", signal_first(SC, ACQ, wipe_first=False), "sometimes", "the count wiped out after the signal"),
    ("R7-A7", closed(REL, ACQ), "never", "CLOSED only with nothing left"),
    ("R7-A7/relaxed-close", closed(RLX, ACQ), "sometimes", "CLOSED with messages left"),
    ("R7-A7/relaxed-look", closed(REL, RLX), "sometimes", "the same from the other side"),
    ("R7-A7/head-first", closed_head_first(), "sometimes", "head must be loaded again behind state"),
    ("F5-F5", lap(EVICT, RECHECK), "never", "a copy that was overwritten shows in tail"),
    ("F5-F5/relaxed-evict", lap([store("tail", 1), fence(REL)], RECHECK), "never", "the fences do it, not the order of tail"),
    ("F5-F5/no-recheck", lap(EVICT, []), "sometimes", "a torn message"),
    ("F5-F5/no-writer-fence", lap([store("tail", 1, REL)], RECHECK), "sometimes", "a release store holds nothing back"),
    ("F5-F5/seq-cst", lap([store("tail", 1, SC)], RECHECK), "sometimes", "nor does a sequentially consistent one"),
    ("F5-F5/fence-first", lap([fence(REL), store("tail", 1, REL)], RECHECK), "sometimes", "before the store it is the wrong one"),
    ("F5-F5/no-reader-fence", lap(EVICT, [load("tail", "t")]), "sometimes", "the look at tail is done first"),
    ("F5-F5/acquire-recheck", lap(EVICT, [load("tail", "t", ACQ)]), "sometimes", "an acquire load holds back what follows"),
    ("F5-F5/seq-cst-recheck", lap(EVICT, [load("tail", "t", SC)]), "sometimes", "so does a sequentially consistent one"),
    ("F5-F5/another", lap_of_another(True), "never", "bytes that another writer had evicted"),
    ("F5-F5/another-no-fence", lap_of_another(False), "sometimes", "the fence is due even if nothing is evicted"),
    ("S6", wake([fence(SC)], [fence(SC)]), "never", "one of the two sees the other"),
    ("S6/waker-only", wake([fence(SC)], []), "sometimes", "one side alone does not do"),
    ("S6/sleeper-only", wake([], [fence(SC)]), "sometimes", "nor does the other"),
    ("S6/acquire-release", wake([fence(REL), fence(ACQ)], [fence(REL), fence(ACQ)]), "sometimes", "wake left out, sleep begun"),
    ("S6/relaxed-head", wake([fence(SC)], [fence(SC)], RLX), "never", "the fences do it, not the order of head"),
    ("S6/orders-instead", wake_sc(SC, SC, SC, SC), "never", "four sequentially consistent operations: as good"),
    ("S6/three-of-four", wake_sc(REL, SC, SC, SC), "sometimes", "a release store of head is not enough then"),
    ("S6/mended", mended(True, True), "never", "a count of somebody gone serves, until it is wiped out"),
    ("S6/mended-again", mended_again(True), "never", "and then the sleeper counts itself again"),
    ("S6/mended-again-no-fences", mended_again(False), "sometimes", "which needs the fences as the first time"),
]
