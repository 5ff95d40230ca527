# SPDX-License-Identifier: MIT
"""The cases of deepwater against a sound reader and against planted defects: each must fail in a case of the right rule."""

from __future__ import annotations

import pytest
from conftest import planted, require_caught, require_healthy

# defect, cases to run, rule that a failing case must name, words of the message
BROKEN = [
    ("links_followed", "deepwater/hostile/link-*", "deepwater.open.symlink", "accepted"),
    ("any_version", "deepwater/hostile/feed-version-2", "deepwater.open.version", "accepted"),
    ("stamps_ignored", "deepwater/torn/row-odd", "deepwater.read.row", "items"),
    ("odd_corrupt", "deepwater/torn/row-odd", "deepwater.read.odd", "CORRUPT"),
    ("last_left_out", "deepwater/golden/persisted-oldest", "deepwater.read.commit", "elements"),
    ("sums_wrap", "deepwater/hostile/record-offset-max*", "deepwater.read.bounds", "accepted"),
    ("sequence_believed", "deepwater/hostile/record-sequence-skips", "deepwater.read.sequence", "accepted"),
    ("time_above", "deepwater/golden/three-left-time", "deepwater.read.seek-time", "items"),
    ("losses_off_by_one", "deepwater/golden/gap-sequence", "deepwater.read.expired", "lost"),
    ("data_later", "deepwater/golden/three-chunks-latest", "deepwater.read.has-data", "has"),
    ("range_open", "deepwater/golden/variable-range", "deepwater.read.range", "items"),
]


@pytest.mark.parametrize(("defect", "cases", "rule", "words"), BROKEN, ids=[one[0] for one in BROKEN])
def test_defect_is_caught(defect: str, cases: str, rule: str, words: str) -> None:
    require_caught(planted("diver", defect), cases, "FAIL", rule, words)


def test_sound_reader_passes() -> None:
    require_healthy(planted("diver", ""), "deepwater", 2, 100)
