# SPDX-License-Identifier: MIT
"""The litmus checker, on tests whose answers everybody knows; and the runner's judgement of Spin's output.

The models themselves are run by spec/models/run.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))

from rc11 import ACQ, NA, REL, RLX, SC, Litmus, add, check, fence, load, store
from run import ALL, MEMORY_MB, Outcome, as_expected, judge


def store_buffering(write: str, read: str) -> Litmus:
    return Litmus([[store("x", 1, write), load("y", "a", read)], [store("y", 1, write), load("x", "b", read)]],
                bad=lambda r: r["a"] == r["b"] == 0)


def load_buffering(order: str) -> Litmus:
    return Litmus([[load("x", "a", order), store("y", 1, order)], [load("y", "b", order), store("x", 1, order)]],
                bad=lambda r: r["a"] == r["b"] == 1)


def message_passing(write: str, read: str) -> Litmus:
    return Litmus([[store("x", 1), store("y", 1, write)], [load("y", "a", read), load("x", "b")]],
                bad=lambda r: r["a"] == 1 and r["b"] == 0)


def independent_readers(order: str) -> Litmus:
    """Two readers see two independent stores in different orders."""
    return Litmus([[store("x", 1, SC if order == SC else REL)], [store("y", 1, SC if order == SC else REL)],
                 [load("x", "a", order), load("y", "b", order)], [load("y", "c", order), load("x", "d", order)]],
                bad=lambda r: r["a"] == r["c"] == 1 and r["b"] == r["d"] == 0)


def release_sequence(middle: str) -> Litmus:
    """A read-modify-write by another thread continues the release sequence of the first store."""
    return Litmus([[store("x", 1, NA), store("y", 1, REL)], [add("y", 1, middle, "m")],
                   [load("y", "a", ACQ), load("x", "b", NA)]],
                assume=lambda r: r["a"] == 2 and r["m"] == 1, bad=lambda r: r["b"] == 0)


KNOWN = [
    ("SB relaxed", store_buffering(RLX, RLX), "sometimes"),
    ("SB release acquire", store_buffering(REL, ACQ), "sometimes"),
    ("SB sc", store_buffering(SC, SC), "never"),
    ("SB one relaxed load", store_buffering(SC, RLX), "sometimes"),
    ("SB sc fences", Litmus([[store("x", 1), fence(SC), load("y", "a")], [store("y", 1), fence(SC), load("x", "b")]],
                          bad=lambda r: r["a"] == r["b"] == 0), "never"),
    ("SB acquire and release fences", Litmus(
        [[store("x", 1), fence(REL), fence(ACQ), load("y", "a")], [store("y", 1), fence(REL), fence(ACQ), load("x", "b")]],
        bad=lambda r: r["a"] == r["b"] == 0), "sometimes"),
    ("LB relaxed, which RC11 forbids", load_buffering(RLX), "never"),
    ("MP relaxed", message_passing(RLX, RLX), "sometimes"),
    ("MP release", message_passing(REL, RLX), "sometimes"),
    ("MP release acquire", message_passing(REL, ACQ), "never"),
    ("MP fences", Litmus([[store("x", 1), fence(REL), store("y", 1)], [load("y", "a"), fence(ACQ), load("x", "b")]],
                       bad=lambda r: r["a"] == 1 and r["b"] == 0), "never"),
    ("MP plain", Litmus([[store("x", 1, NA), store("y", 1)], [load("y", "a"), load("x", "b", NA)]],
                      assume=lambda r: r["a"] == 1, bad=lambda r: r["b"] == 0), "race"),
    ("IRIW acquire", independent_readers(ACQ), "sometimes"),
    ("IRIW sc", independent_readers(SC), "never"),
    ("coherence of reads", Litmus([[store("x", 1)], [load("x", "a"), load("x", "b")]], bad=lambda r: r["a"] == 1 and r["b"] == 0),
     "never"),
    ("coherence of writes", Litmus([[store("x", 1), store("x", 2)], [load("x", "a"), load("x", "b")]],
                                 bad=lambda r: r["a"] == 2 and r["b"] == 1), "never"),
    ("atomic additions", Litmus([[add("x", 1, RLX, "a")], [add("x", 1, RLX, "b")]], bad=lambda r: r["a"] == r["b"]), "never"),
    ("2+2W", Litmus([[store("x", 1), store("y", 2)], [store("y", 1), store("x", 2)], [load("x", "a"), load("x", "b")],
                   [load("y", "c"), load("y", "d")]],
                  bad=lambda r: (r["a"], r["b"], r["c"], r["d"]) == (2, 1, 2, 1)), "sometimes"),
    ("release sequence", release_sequence(RLX), "never"),
    ("initial values", Litmus([[load("x", "a")]], bad=lambda r: r["a"] == 7, initial={"x": 7}), "sometimes"),
]


@pytest.mark.parametrize(("name", "test", "verdict"), KNOWN, ids=[k[0] for k in KNOWN])
def test_known_litmus_tests(name: str, test: Litmus, verdict: str) -> None:
    assert check(test) == verdict, name


GOOD = "State-vector 104 byte, depth reached 297, errors: 0\n  8669042 states, stored\n"
BAD = "pan:1: assertion violated (received==(2*2)) (at depth 161)\n" \
      "State-vector 1 byte, depth reached 1, errors: 1\n 130 states, stored\n"


@pytest.mark.parametrize(("output", "verdict"), [
    (GOOD, "holds"), (BAD, "fails"), ("pan: oops", "no report"),
    ("error: max search depth too small\n" + GOOD, "cut short"),
    (f"pan: reached -DMEMLIM bound\n\t{MEMORY_MB}\n" + GOOD, "cut short"),
    (GOOD.replace("errors: 0", "errors: 1"), "1 errors"),
])
def test_judging_spin(output: str, verdict: str) -> None:
    assert judge(output, 0).verdict == verdict


def test_a_model_passes_only_for_its_own_reason() -> None:
    holds = next(m for m in ALL if not m.fails)
    fails = next(m for m in ALL if m.fails)
    assert as_expected(holds, Outcome("holds", "", 1, 0))
    assert not as_expected(holds, Outcome("cut short", "", 1, 0))
    assert not as_expected(holds, Outcome("fails", "x", 1, 0))
    assert as_expected(fails, Outcome("fails", f"({fails.fails}(2*2))", 1, 0))
    assert not as_expected(fails, Outcome("fails", "something else", 1, 0))
    assert not as_expected(fails, Outcome("holds", "", 1, 0))
