# SPDX-License-Identifier: MIT
"""A suite is as good as what it catches: each planted defect must fail, with the right verdict, in a case of the right rule."""

from __future__ import annotations

import pytest
from conftest import consumer, require_caught, run_suite, skeleton
from shmwire_conform import summary

# defect, cases to run, verdict, rule that a failing case must name, words of the message
BROKEN = [
    ("payload_offset", "dmxp/golden/one-message*", "FAIL", "dmxp.layout.declared", "data"),
    ("slot_not_released", "dmxp/golden/*-consume", "FAIL", "dmxp.consume.release", "sequence"),
    ("trusts_payload_len", "dmxp/hostile/payload-len*", "FAIL", "dmxp.consume.payload-len", ""),
    ("accepts_version_2", "dmxp/hostile/version-*", "FAIL", "dmxp.segment.version", "accepted"),
    ("writes_while_read_only", "dmxp/golden/one-message", "FAIL", "dmxp.peek.readonly", "modified: channel[0].signal"),
    ("hangs", "dmxp/hostile/sequence-head-2-consume", "TIMEOUT", "dmxp.consume.impossible", "no reply within its deadline"),
    ("crashes", "dmxp/hostile/payload-len*", "CRASH", "dmxp.consume.payload-len", "died of SIGSEGV"),
    ("prints_noise", "dmxp/golden/one-message", "PROTOCOL-ERROR", "dmxp.peek.readonly", "debug: inspecting"),
    ("skips", "dmxp/golden/one-message-consume", "FAIL", "dmxp.consume.release", "skip inside a claimed class: not today"),
    ("reads_claimed_slot", "dmxp/golden/claimed-unpublished*", "FAIL", "dmxp.consume.empty", ""),
    ("wrong_error", "dmxp/hostile/version-*", "NON-STRICT", "dmxp.segment.version", "got CORRUPT"),
]


@pytest.mark.parametrize(("defect", "cases", "verdict", "rule", "words"), BROKEN, ids=[entry[0] for entry in BROKEN])
def test_defect_is_caught(defect: str, cases: str, verdict: str, rule: str, words: str) -> None:
    require_caught(consumer(defect), cases, verdict, rule, words)


@pytest.mark.parametrize("driver", [skeleton(), consumer()], ids=["skeleton", "consumer"])
def test_the_healthy_twin_passes_all_of_it(driver: object) -> None:
    run = run_suite([driver])  # type: ignore[list-item]
    assert run.findings() == [] and run.harness_errors() == []
    claimed = [one for one in summary.classes(run, "dmxp")[driver.name].values() if one.verdict != "-"]  # type: ignore[attr-defined]
    assert claimed and all(one.verdict == "PASS" and one.passed > 20 for one in claimed)


def test_a_skip_fails_the_class_that_was_claimed() -> None:
    run = run_suite([consumer("skips")], classes=("read",))
    graded = summary.classes(run, "dmxp")["skips"]["read"]
    assert graded.verdict == "FAIL" and "dmxp/golden/one-message-consume" in graded.failed
