# SPDX-License-Identifier: MIT
"""The cases of ouroboros against planted defects: each must fail, with the right verdict, in a case of the right rule."""

from __future__ import annotations

import pytest
from conftest import logger, require_caught, require_healthy

# defect, cases to run, verdict, rule that a failing case must name, words of the message
BROKEN = [
    ("clears_next_row", "ouroboros/golden/several-laps-make", "FAIL", "ouroboros.write.clear", "row["),
    ("clears_next_row", "ouroboros/golden/captured-three-laps-ascii-make", "FAIL", "ouroboros.write.clear", "row["),
    ("clears_by_targets", "ouroboros/golden/drifted-clear-make", "FAIL", "ouroboros.write.clear", "row["),
    ("forgets_next_header", "ouroboros/golden/next-header-clears-make", "FAIL", "ouroboros.write.clear", "row[1]"),
    ("jumps_to_newest_at_wrap", "ouroboros/step/wrap-store-by-store", "FAIL", "ouroboros.read.wrap", ""),
    ("adopts_only_in_time", "ouroboros/step/late-row*", "FAIL", "ouroboros.read.no-repeat", ""),
    ("forgets_skips", "ouroboros/step/lapped*", "FAIL", "ouroboros.read.skipped", "skipped"),
    ("ignores_the_row", "ouroboros/step/lapped*", "FAIL", "ouroboros.read.skipped", ""),
    ("ignores_the_row", "ouroboros/step/view-*", "FAIL", "ouroboros.read.view", "lapped"),
    ("trusts_offsets", "ouroboros/hostile/row-in-table", "FAIL", "ouroboros.read.row-offset", "accepted"),
    ("trusts_lengths", "ouroboros/hostile/length-past-end", "FAIL", "ouroboros.read.length", "accepted"),
    ("table_in_32_bits", "ouroboros/hostile/chunk-count-2-28*", "CRASH", "ouroboros.segment.size", "struct.error"),
    ("no_lock", "ouroboros/step/one-writer", "FAIL", "ouroboros.segment.one-writer", "BUSY"),
    ("resumes_at_the_chunk", "ouroboros/step/resume-*", "FAIL", "ouroboros.write.resume", ""),
    ("wraps_for_ever", "ouroboros/hostile/wrap-loop", "TIMEOUT", "ouroboros.read.wrap-loop", "no reply within its deadline"),
]


@pytest.mark.parametrize(
    ("defect", "cases", "verdict", "rule", "words"), BROKEN, ids=[f"{one[0]}-{one[1][17:]}" for one in BROKEN]
)
def test_defect_is_caught(defect: str, cases: str, verdict: str, rule: str, words: str) -> None:
    require_caught(logger(defect), cases, verdict, rule, words)


def test_the_healthy_twin_passes_all_of_it() -> None:
    require_healthy(logger(), "ouroboros", classes=7, least=4)
