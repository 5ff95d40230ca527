# SPDX-License-Identifier: MIT
"""Who watches and who is watched run apart, and only as long as it takes."""

from __future__ import annotations

import os
import subprocess
import sys

from shmwire_conform import cores
from shmwire_conform.cases import everything

SLEEPER = [sys.executable, "-c", "import sys; sys.stdin.read()"]


def test_apart_and_back() -> None:
    allowed = os.sched_getaffinity(0)
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE) as process:
        with cores.apart(process.pid):
            mine, its = os.sched_getaffinity(0), os.sched_getaffinity(process.pid)
            assert mine | its == allowed
            assert len(mine) == 1
            assert bool(mine & its) == (len(allowed) == 1)  # with one core there is nothing to keep apart
        assert os.sched_getaffinity(0) == os.sched_getaffinity(process.pid) == allowed
        process.communicate(b"")


def test_a_process_with_a_core_of_its_own_keeps_it() -> None:
    allowed = os.sched_getaffinity(0)
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE) as process:
        os.sched_setaffinity(process.pid, {min(allowed)})
        with cores.apart(process.pid):
            assert os.sched_getaffinity(process.pid) == {min(allowed)}
        assert os.sched_getaffinity(process.pid) == {min(allowed)}
        assert os.sched_getaffinity(0) == allowed
        process.communicate(b"")


def test_a_process_that_is_gone_is_no_error() -> None:
    allowed = os.sched_getaffinity(0)
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE) as process:
        process.communicate(b"")
    with cores.apart(process.pid):
        pass
    assert os.sched_getaffinity(0) == allowed


def test_watched_cases_are_known_by_their_steps() -> None:
    watched = {case.id for case in everything().cases.values() if case.watched}
    assert {"dmxp/step/batch-watched", "shmcomm/step/count-order", "slick/step/publish-order"} <= watched
    assert "dmxp/step/batch-over-the-edge" not in watched
