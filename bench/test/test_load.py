# SPDX-License-Identifier: MIT
"""Others' use of the machine is seen, our own and our children's is not."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import load

SPIN = "import time\nwhile time.process_time() < 0.3:\n    pass\n"


def test_own_work_and_that_of_children_is_no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = iter([100.0, 100.4])
    own = iter([5.0, 5.4])
    monkeypatch.setattr(load, "_busy", lambda: next(busy))
    monkeypatch.setattr(load, "_own", lambda: next(own))
    watch = load.Watch()
    time.sleep(0.1)
    assert watch.others() == 0.0


def test_children_are_counted_once_they_are_waited_for() -> None:
    before = load._own()
    subprocess.run([sys.executable, "-c", SPIN], check=True)
    assert load._own() - before > 0.2


def test_the_work_of_others_is_load(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = iter([100.0, 104.0])
    monkeypatch.setattr(load, "_busy", lambda: next(busy))
    watch = load.Watch()
    time.sleep(0.1)
    assert not watch.quiet()


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load.Watch, "quiet", lambda self: False)
    began = time.monotonic()
    load.wait_until_quiet(0.3)
    assert 0.2 < time.monotonic() - began < 5.0
