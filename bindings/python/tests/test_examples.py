# SPDX-License-Identifier: MIT
"""The examples run as they are printed."""

from __future__ import annotations

import subprocess
import sys

from conftest import ROOT
from shmwire import dmxp

EXAMPLES = ROOT / "bindings/python/examples"


def run(script: str, *args: str) -> str:
    done = subprocess.run([sys.executable, str(EXAMPLES / script), *args], capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


def test_send_and_receive(name: str) -> None:
    assert run("send.py", name, "hello", "world") == "sent at position 0\nsent at position 1\n"
    assert run("send.py", name, "again") == "sent at position 2\n"
    lines = [line.split() for line in run("receive.py", name).splitlines()]
    assert [(line[0], line[2]) for line in lines] == [("0", "hello"), ("1", "world"), ("2", "again")]
    with dmxp.open(name) as segment:
        assert segment.channels() == [0]
