# SPDX-License-Identifier: MIT
"""The cases of slick against planted defects: each must fail, with the right verdict, in a case of the right rule."""

from __future__ import annotations

import pytest
from conftest import require_caught, require_healthy, ticker

# defect, cases to run, verdict, rule that a failing case must name, words of the message
BROKEN = [
    ("no_recheck", "slick/step/reserved-again", "FAIL", "slick.read.recheck", "items"),
    ("no_recheck", "slick/step/view-lapped", "FAIL", "slick.read.view", "lapped"),
    ("no_recheck", "slick/torn/lap-multi-*", "FAIL", "slick.read.recheck", ""),
    ("no_recheck", "slick/step/batch-reserved-again", "FAIL", "slick.read.batch", ""),
    ("no_recheck", "slick/step/share-whole", "FAIL", "slick.share.whole", ""),
    ("lap_is_the_item", "slick/golden/stale-under-multi-from-*", "FAIL", "slick.read.stale", ""),
    ("lap_is_the_item", "slick/step/stale-item", "FAIL", "slick.read.oldest", ""),
    ("recheck_off_by_one", "slick/torn/lap-part-*", "FAIL", "slick.read.recheck", ""),
    ("elements_8_bytes_off", "slick/captured/v14-first-lap-*", "FAIL", "slick.read.deliver", "first difference at byte 0"),
    ("elements_8_bytes_off", "slick/golden/captured-v13-lapped-make", "FAIL", "slick.segment.init", "element["),
    ("unpacked_word", "slick/golden/unpublished-middle-*", "FAIL", "slick.read.last", ""),
    ("reserves_in_two_steps", "slick/golden/size-after-multi-make", "FAIL", "slick.reserve.packed", "header.reserved"),
    ("losses_not_counted", "slick/step/lapped", "FAIL", "slick.read.lapped", "lost"),
    ("losses_not_counted", "slick/step/share-lost", "FAIL", "slick.share.lost", "lost"),
    ("marks_count_as_lost", "slick/step/follow-laps", "FAIL", "slick.read.mark", "lost"),
    ("no_mark", "slick/golden/captured-v14-wrap-mark-make", "FAIL", "slick.reserve.mark", "slot[6]"),
    ("marks_ignored", "slick/golden/wrap-mark-from-6", "FAIL", "slick.read.mark", ""),
    ("reset_ignored", "slick/step/reset*", "FAIL", "slick.read.reset", ""),
    ("reset_keeps_last", "slick/golden/reset-make", "FAIL", "slick.reset.clear", "header.last_published"),
    ("last_is_the_reservation", "slick/step/last-unpublished*", "FAIL", "slick.read.last", ""),
    ("last_falls", "slick/golden/out-of-order-make", "FAIL", "slick.publish.last", "header.last_published"),
    ("last_falls", "slick/golden/first-lap-13-make", "FAIL", "slick.publish.last", "header.last_published"),
    ("no_bounds", "slick/hostile/slot-size-0", "FAIL", "slick.read.bounds", "expected 3 elements"),
    ("no_bounds", "slick/hostile/slot-size-past-end", "FAIL", "slick.read.bounds", "expected 6 elements"),
    ("indices_believed", "slick/hostile/index-10", "FAIL", "slick.read.uncovered", ""),
    ("table_in_32_bits", "slick/hostile/element-size-2-29", "FAIL", "slick.segment.size", "accepted"),
    ("waits_for_nobody", "slick/step/settled-waits", "FAIL", "slick.reserve.settled", "answered at once"),
    ("waits_for_nobody", "slick/step/told", "FAIL", "slick.reserve.told", "header.settled"),
    ("waits_for_ever", "slick/step/give-up", "TIMEOUT", "slick.reserve.give-up", "no reply within its deadline"),
    ("stalls_at_the_item", "slick/step/give-up-later", "FAIL", "slick.reserve.give-up", "answered at once"),
    ("tells_nobody", "slick/step/told", "FAIL", "slick.reserve.told", "header.settled"),
    ("publishes_what_was_given_up", "slick/step/give-up", "FAIL", "slick.publish.given-up", "lapped"),
    ("index_first", "slick/step/publish-order", "FAIL", "slick.publish.order", "had changed when"),
    ("begins_again_at_0", "slick/step/closed-near-limit", "FAIL", "slick.reserve.exhausted", "closed"),
    ("shared_cursor_stands", "slick/step/share-two", "FAIL", "slick.share.once", "items"),
    ("abandons_silently", "slick/step/abandon", "FAIL", "slick.publish.abandon", "slot[1]"),
    ("marks_only_one", "slick/step/recover-*", "FAIL", "slick.recover.holes", "slot["),
    ("recovers_no_last", "slick/step/recover-last-*", "FAIL", "slick.recover.last", "header.last_published"),
    ("recovers_unasked", "slick/step/recover-busy", "FAIL", "slick.recover.dead", "BUSY"),
    ("name_as_given", "slick/step/name*", "FAIL", "slick.segment.name", "shm_name"),
    ("creates_over", "slick/step/exists*", "FAIL", "slick.segment.create", "EXISTS"),
    ("two_claims", "slick/step/one-claim", "FAIL", "slick.reserve.one-claim", "BUSY"),
    ("starts_at_the_lap", "slick/golden/*-oldest", "FAIL", "slick.read.oldest", ""),
]


@pytest.mark.parametrize(
    ("defect", "cases", "verdict", "rule", "words"), BROKEN, ids=[f"{one[0]}-{one[1][6:]}" for one in BROKEN]
)
def test_defect_is_caught(defect: str, cases: str, verdict: str, rule: str, words: str) -> None:
    require_caught(ticker(defect), cases, verdict, rule, words)


def test_the_healthy_twin_passes_all_of_it() -> None:
    require_healthy(ticker(), "slick", classes=7, least=4)
