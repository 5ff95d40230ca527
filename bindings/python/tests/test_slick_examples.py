# SPDX-License-Identifier: MIT
"""The examples of the queue run as they are printed."""

from __future__ import annotations

from test_examples import run


def test_publish_and_subscribe(name: str) -> None:
    assert run("ticks_publish.py", name, "17.5", "18") == "tick 0\ntick 1\n"
    assert run("ticks_publish.py", name, "16.25") == "tick 2\n"
    assert run("ticks_subscribe.py", name).splitlines() == ["0 17.5", "1 18.0", "2 16.25"]
