# SPDX-License-Identifier: MIT
"""The examples of the log run as they are printed."""

from __future__ import annotations

from test_examples import run


def test_write_and_follow(name: str) -> None:
    assert run("log_write.py", name, "hello", "world") == "entry 1\nentry 2\n"
    assert run("log_write.py", name, "again") == "entry 3\n"
    assert run("log_follow.py", name).splitlines() == ["1 hello", "2 world", "3 again"]
