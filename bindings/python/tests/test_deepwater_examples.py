# SPDX-License-Identifier: MIT
"""The examples of the feeds run as they are printed."""

from __future__ import annotations

from deepwater_support import base, in_memory
from test_examples import run

__all__ = ["base"]


def test_record_and_replay(base: str) -> None:
    assert run("trades_record.py", base, "BTC-USD", "3") == "recorded 0 to 2\n"
    assert run("trades_record.py", base, "BTC-USD", "2") == "recorded 3 to 4\n"
    lines = run("trades_replay.py", base, "BTC-USD").splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["0", "1", "2", "3", "4"]
    assert lines[-1] == "2 chunks, 5 trades, volume 15"
    assert in_memory(base) == []
