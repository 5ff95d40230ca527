# SPDX-License-Identifier: MIT
"""Live runs of actors with planted defects: each defect must be found by a case that names the rule it breaks."""

from __future__ import annotations

import re

import pytest
from conftest import ringer, run_suite

# defect, case, a rule that it breaks, what the finding says
BROKEN = [
    ("publishes_first", "two-to-one-4", "slick.publish.order", "counts [0-9]+ torn|is not what was sent"),
    ("never_checks", "slow-readers-4", "slick.read.recheck", "torn|was delivered after|lost of|lies at index|sent . elements"),
    ("checks_the_slot", "slow-readers-4", "slick.read.stale", "torn|was delivered after|lost of|lies at index|sent . elements"),
    ("miscounts", "slow-readers-4", "slick.read.oldest", "lost of"),
    ("stores_the_cursor", "share-credit", "slick.share.once", "more than once|was delivered after"),
    ("takes_unproved", "share-4", "slick.share.whole", "lost of"),
    ("reserves_over", "two-to-one-4", "slick.reserve.settled", "torn|is not what was sent|invariants|was delivered as"),
    ("tells_though_alone", "one-to-one-4", "slick.reserve.alone", "settled is"),
    ("leaves_early", "one-to-four-1024", "slick.read.oldest", "the last item must become readable"),
]


@pytest.mark.parametrize(("defect", "case", "rule", "words"), BROKEN, ids=[one[0] for one in BROKEN])
def test_defect_is_caught(defect: str, case: str, rule: str, words: str) -> None:
    run = run_suite([ringer(defect)], cases=(f"slick/live/{case}",))
    assert run.harness_errors() == [] and len(run.results) == 1
    (result,) = run.findings()
    assert rule in result.unit.case.rules
    assert re.search(words, result.message), result.message
    assert run.problems == []


def test_the_healthy_twin_passes() -> None:
    cases = {f"slick/live/{case}" for _, case, _, _ in BROKEN} | {"slick/live/kill-writers-4", "slick/live/kill-consumers-16"}
    run = run_suite([ringer()], cases=tuple(sorted(cases)))
    assert run.findings() == [] and run.harness_errors() == [] and run.problems == []
    assert len(run.results) == len(cases)
