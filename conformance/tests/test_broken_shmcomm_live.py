# SPDX-License-Identifier: MIT
"""Live runs of actors with planted defects: each defect must be found by a case that names the rule it breaks."""

from __future__ import annotations

import re

import pytest
from conftest import planted, run_suite
from shmwire_conform.config import DriverConfig

# Bytes that are no message, or of another lap: the first thing that the judge stumbles over.
GARBLED = "torn|not what was sent|nobody sent|sent [0-9]+$|delivered|lie before|taken by|lost|not done|progress|senders|after"
# defect, case, a rule that it breaks, what the finding says
BROKEN = [
    ("publishes_first", "one-to-one-4096", "shmcomm.send.order", GARBLED),
    ("counts_first", "count-order", "shmcomm.send.order", "message_count was [0-9]+ when head was"),
    ("never_checks", "one-to-one-4096", "shmcomm.receive.recheck", GARBLED),
    ("checks_first", "one-to-one-4096", "shmcomm.receive.recheck", GARBLED),
    ("miscounts", "slow-readers-4096", "shmcomm.receive.lost", "reports [0-9]+ lost, and"),
    ("drops_uncounted", "one-to-one-4096", "shmcomm.publish.dropped", "dropped_count is"),
    ("refuses_uncounted", "pipe-one-to-one-4096", "shmcomm.push.full", "calls were answered FULL"),
    ("counts_the_busy", "pipe-held", "shmcomm.push.full", "calls were answered FULL"),
    ("overwrites", "pipe-one-to-one-4096", "shmcomm.push.full", GARBLED),
    ("writes_unlocked", "two-to-one-4096", "shmcomm.lock.hold", GARBLED),
    ("takes_from_the_living", "two-to-one-4096", "shmcomm.lock.hold", GARBLED),
    ("stores_tail", "pipe-two-to-two-4096", "shmcomm.pull.claim", GARBLED),
    ("takes_first", "pipe-two-to-two-4096", "shmcomm.pull.claim", GARBLED),
    ("holds_nothing", "one-to-one-4096", "shmcomm.endpoint.lock", "0 endpoints hold a lock, of 2"),
    ("keeps_nothing", "two-to-one-4096", "shmcomm.endpoint.lock", "0 keepers hold a lock, of 3"),
    ("shares_a_description", "two-to-one-4096", "shmcomm.endpoint.lock", "endpoints hold a lock, of 3"),
    ("leaves_the_name", "one-to-one-4096", "shmcomm.leave.last", "the name is still there"),
    ("stays_open", "one-to-one-4096", "shmcomm.leave.last", "state is 1"),
    ("replies_twice", "request-one-to-one", "shmcomm.reply.pair", "sent [0-9]+ requests, and [0-9]+ replies were sent"),
    ("replies_anything", "request-one-to-one", "shmcomm.reply.pair", "replies that are not its requests"),
    ("requests_by_another", "mix-request-four-to-four", "shmcomm.request.number", "reply channel"),
    ("keeps_the_epoch", "kill-publishers-4096", "shmcomm.lock.dead", "lock_epoch is"),
    ("forgets_the_dropped", "kill-publishers-4096", "shmcomm.recover.dropped", "dropped_count is"),
    ("never_sweeps", "kill-requesters", "shmcomm.reply.sweep", "of dead requesters are there still when another"),
    ("never_sweeps", "kill-requesters-slice", "shmcomm.reply.sweep", "of dead requesters are there still when repliers"),
    ("makes_anew", "kill-keepers-pipe", "shmcomm.join.takeover", "made a new channel"),
    ("restarts", "kill-keepers-pubsub", "shmcomm.join.takeover", GARBLED),
]


def courier(defect: str = "") -> DriverConfig:
    """Live actors of profile shmcomm; with a defect planted in them, if one is named."""
    return planted("courier", defect)


@pytest.mark.parametrize(("defect", "case", "rule", "words"), BROKEN, ids=[f"{one[0]}-{one[1]}" for one in BROKEN])
def test_defect_is_caught(defect: str, case: str, rule: str, words: str) -> None:
    for seed in range(1, 6):  # a kill falls where it falls: the defect need not show under every seed
        run = run_suite([courier(defect)], cases=(f"shmcomm/live/{case}",), seed=seed)
        assert run.harness_errors() == [] and len(run.results) == 1
        if any(re.search(words, result.message) for result in run.findings()):
            break  # on a busy machine something else may show first
    (result,) = run.findings()
    assert rule in result.unit.case.rules
    assert re.search(words, result.message), result.message
    if defect not in LEAVING:
        assert run.problems == []


LEAVING = {"leaves_the_name", "never_sweeps"}  # names stay behind, and the suite says so


def test_the_healthy_twin_passes() -> None:
    cases = {f"shmcomm/live/{case}" for _, case, _, _ in BROKEN}
    run = run_suite([courier()], cases=tuple(sorted(cases)))
    assert run.findings() == [] and run.harness_errors() == [] and run.problems == []
    assert len(run.results) == len(cases)
