# SPDX-License-Identifier: MIT
"""Profile shmcomm without any extension module: subscribers and observers work, the rest says what is missing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import run_python
from shmcomm_support import SMALL, body, copy_of, opened, topic
from shmwire.engine import Engine

__all__ = ["topic"]
LOOK = """
import sys
import shmwire
from shmwire import atomic
from shmwire.shmcomm import *
name, file = sys.argv[1:]
assert not atomic.AVAILABLE and "cffi" not in sys.modules
with Subscriber(name, oldest=True) as sub, open_endpoint("observer", file) as look:
    assert sub.engine == look.engine == "python"
    assert [c.name for c in list_channels(name)] == [name]
    print("ready", flush=True)
    found = [sub.recv_bytes(timeout=20000) for _ in range(3)]
    assert [m.payload for m in look.receive_batch(9)] == found[:2], found
    look.validate()
    assert look.view() is None
    for role in ("publisher", "pusher", "puller", "requester", "replier"):
        for making in ("any", "join"):
            try: open_endpoint(role, name, Options(capacity=4096, wait=0, making=making))
            except shmwire.UnsupportedError as error: assert "extension" in str(error)
            else: raise SystemExit(role + " went through")
    for call in (lambda: look.send(b"x"), lambda: Publisher(name, engine="native"), lambda: look.claim(1)):
        try: call()
        except shmwire.UnsupportedError: pass
        else: raise SystemExit("went through")
    try: sub.recv()
    except SHMClosedError: print(len(found), "and closed")
"""


@pytest.mark.parametrize("there", ["python", "native"])
def test_subscribes_without_a_compiler(there: Engine, topic: str, tmp_path: Path) -> None:
    with opened(there, "publisher", topic, capacity=SMALL) as pub:
        pub.send(body(1))
        pub.send(body(2))
        file = copy_of("pub", topic, tmp_path)
        process: subprocess.Popen[str] = run_python(LOOK, topic, str(file), env={"SHMWIRE_NO_EXTENSION": "1"})
        assert process.stdout is not None and process.stdout.readline() == "ready\n", process.communicate()[1]
        pub.send(body(3))
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0 and out == "3 and closed\n", err
