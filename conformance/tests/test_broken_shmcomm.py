# SPDX-License-Identifier: MIT
"""The cases of shmcomm against planted defects: each must fail, with the right verdict, in a case of the right rule."""

from __future__ import annotations

import pytest
from conftest import caster, require_caught, require_healthy

# defect, cases to run, verdict, rule that a failing case must name, words of the message
BROKEN = [
    ("no_recheck", "shmcomm/step/receive-lost*", "FAIL", "shmcomm.receive.lapped", ""),
    ("no_recheck", "shmcomm/step/receive-after-claim", "FAIL", "shmcomm.receive.recheck", "items"),
    ("no_recheck", "shmcomm/step/view*", "FAIL", "shmcomm.receive.view", "lapped"),
    ("no_recheck", "shmcomm/step/receive-recheck-size", "FAIL", "shmcomm.receive.recheck", ""),
    ("rechecks_behind_the_mark", "shmcomm/step/receive-recheck-mark", "FAIL", "shmcomm.receive.recheck", "CORRUPT"),
    ("keeps_the_byte", "shmcomm/step/lock-dead-released", "FAIL", "shmcomm.endpoint.number", "write lock on byte 99"),
    ("version_1_too", "shmcomm/hostile/version-*", "FAIL", "shmcomm.segment.version", "accepted"),
    ("head_believed", "shmcomm/hostile/head-*", "FAIL", "shmcomm.segment.positions", "accepted"),
    ("head_believed", "shmcomm/step/corrupt-*", "FAIL", "shmcomm.send.corrupt", ""),
    ("sizes_believed", "shmcomm/hostile/size-*", "FAIL", "shmcomm.receive.size", ""),
    ("sizes_believed", "shmcomm/step/corrupt-evict-*", "FAIL", "shmcomm.publish.evict", ""),
    ("marks_ignored", "shmcomm/golden/skip-*", "FAIL", "shmcomm.receive.skip", ""),
    ("losses_not_counted", "shmcomm/step/receive-lost", "FAIL", "shmcomm.receive.lost", "lost"),
    ("starts_at_tail", "shmcomm/golden/*-latest", "FAIL", "shmcomm.receive.start", ""),
    ("closes_early", "shmcomm/step/receive-closed", "FAIL", "shmcomm.receive.closed", ""),
    ("takes_from_the_living", "shmcomm/step/lock-*", "FAIL", "shmcomm.lock.alive", ""),
    ("waits_for_the_dead", "shmcomm/step/lock-dead-*", "FAIL", "shmcomm.lock.dead", "BUSY"),
    ("gives_up_at_once", "shmcomm/step/lock-busy", "FAIL", "shmcomm.lock.busy", "answered at once"),
    ("repairs_nothing", "shmcomm/step/lock-dead-uncounted", "FAIL", "shmcomm.recover.count", ""),
    ("repairs_nothing", "shmcomm/torn/*-recover", "FAIL", "shmcomm.recover.count", "count_repaired"),
    ("repairs_nothing", "shmcomm/step/recover-wake", "FAIL", "shmcomm.recover.wake", ""),
    ("repairs_no_dropped", "shmcomm/step/*evicting", "FAIL", "shmcomm.recover.dropped", "dropped_count"),
    ("lock_not_cleared_of_waiters", "shmcomm/step/lock-wake", "FAIL", "shmcomm.lock.wake", "not woken"),
    ("evicts_one_more", "shmcomm/golden/ends-with-the-ring-make", "FAIL", "shmcomm.publish.evict", "header.tail"),
    ("evicts_one_more", "shmcomm/step/evict-one", "FAIL", "shmcomm.publish.evict", "header.tail"),
    ("dropped_not_counted", "shmcomm/golden/lapped-make", "FAIL", "shmcomm.publish.dropped", "header.dropped_count"),
    ("pushes_over", "shmcomm/step/push-full-*", "FAIL", "shmcomm.push.full", ""),
    ("no_mark", "shmcomm/golden/skip-8-make", "FAIL", "shmcomm.send.frame", ""),
    ("padding_left", "shmcomm/step/send-extent", "FAIL", "shmcomm.send.frame", ""),
    ("clears_ahead", "shmcomm/step/send-extent", "FAIL", "shmcomm.send.extent", ""),
    ("sequences_of_its_own", "shmcomm/step/send-sequence", "FAIL", "shmcomm.send.sequence", "seq"),
    ("wakes_nobody", "shmcomm/step/wake-*", "FAIL", "shmcomm.wait.wake", "not woken"),
    ("wakes_nobody", "shmcomm/step/leave-last*", "FAIL", "shmcomm.leave.last", "not woken"),
    ("wakes_nobody", "shmcomm/step/remove-state", "FAIL", "shmcomm.remove.state", "not woken"),
    ("wakes_everybody", "shmcomm/step/wake-nobody*", "FAIL", "shmcomm.wait.no-call", "was woken"),
    ("sleeps_uncounted", "shmcomm/step/sleep-subscriber", "FAIL", "shmcomm.wait.count", "data_waiters"),
    ("polls", "shmcomm/step/sleep-shared-*", "FAIL", "shmcomm.wait.shared", "wakes found a sleeper"),
    ("no_last_look", "shmcomm/step/timeout-last-look", "FAIL", "shmcomm.wait.timeout", ""),
    ("keeps_no_lock", "shmcomm/step/endpoint-*", "FAIL", "shmcomm.endpoint.lock", "write lock"),
    ("number_of_the_dead", "shmcomm/step/endpoint-number-dead", "FAIL", "shmcomm.endpoint.number", "BUSY"),
    ("always_the_owner", "shmcomm/step/join-owner", "FAIL", "shmcomm.join.owner", "owner_"),
    ("never_closes", "shmcomm/step/leave-last*", "FAIL", "shmcomm.leave.last", ""),
    ("never_closes", "shmcomm/step/remove-state", "FAIL", "shmcomm.remove.state", ""),
    ("closes_on_others", "shmcomm/step/leave-others", "FAIL", "shmcomm.leave.others", ""),
    ("closes_on_others", "shmcomm/step/remove-alive", "FAIL", "shmcomm.remove.alive", "BUSY"),
    ("unlinks_what_is_left", "shmcomm/step/leave-last-pipeline", "FAIL", "shmcomm.leave.last", "no segment"),
    ("unlinks_what_is_left", "shmcomm/step/leave-drained*", "FAIL", "shmcomm.leave.drained", ""),
    ("removes_what_is_left", "shmcomm/step/remove-undelivered", "FAIL", "shmcomm.remove.undelivered", "full"),
    ("pulls_uncounted", "shmcomm/step/pull-count", "FAIL", "shmcomm.pull.count", "message_count"),
    ("any_reply", "shmcomm/step/request-late", "FAIL", "shmcomm.request.late", ""),
    ("any_reply", "shmcomm/step/request-order", "FAIL", "shmcomm.request.order", "OUT_OF_ORDER"),
    ("replies_blindly", "shmcomm/step/reply-killed-*", "FAIL", "shmcomm.reply.vanished", "closed"),
    ("sweeps_never", "shmcomm/step/reply-sweep-open", "FAIL", "shmcomm.reply.sweep", "must be none"),
    ("old_handle", "shmcomm/step/reply-recreated", "FAIL", "shmcomm.reply.recreated", ""),
    ("any_name", "shmcomm/step/name-invalid-create", "FAIL", "shmcomm.name.valid", "INVALID_NAME"),
    ("replaces_what_is_foreign", "shmcomm/hostile/*-rw", "FAIL", "shmcomm.join.foreign", ""),
    ("larger_messages", "shmcomm/step/too-large*", "FAIL", "shmcomm.send.too-large", "TOO_LARGE"),
]


@pytest.mark.parametrize(
    ("defect", "cases", "verdict", "rule", "words"), BROKEN, ids=[f"{one[0]}-{one[1][8:]}" for one in BROKEN]
)
def test_defect_is_caught(defect: str, cases: str, verdict: str, rule: str, words: str) -> None:
    require_caught(caster(defect), cases, verdict, rule, words)


def test_the_healthy_twin_passes_all_of_it() -> None:
    require_healthy(caster(), "shmcomm", classes=7, least=4)
