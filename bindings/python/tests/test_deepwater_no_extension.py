# SPDX-License-Identifier: MIT
"""Profile deepwater without any extension module: readers work, the rest says what is missing."""

from __future__ import annotations

import subprocess

import pytest
from conftest import run_python
from deepwater_support import base, fill, writing

from shmwire.engine import Engine

__all__ = ["base"]
LOOK = """
import sys
import shmwire
from shmwire import atomic
from shmwire.deepwater import *
base = sys.argv[1]
assert not atomic.AVAILABLE and "cffi" not in sys.modules
assert [info.name for info in feeds(base)] == ["ticks"]
with Reader(base, "ticks") as reader:
    assert reader.engine == "python"
    found = list(reader)
    assert len(found) == 300 and reader.info().writer_lives and reader.get_latest_chunk().state == "live"
    assert reader.seek_time(1000).next().sequence == 100
    reader.latest()
    print("ready", flush=True)
    found += [reader.read(20) for _ in range(3)]
    assert [record.sequence for record in found] == list(range(303))
    assert [record.sequence for record in reader.range(2990, 3010)] == [299, 300, 301]
validate(base, "ticks")
for call in (lambda: Writer(base, "ticks"), lambda: Reader(base, "ticks", engine="native"), lambda: retire(base, "ticks"),
             lambda: collect(base, "ticks"), lambda: Writer(base, "new")):
    try: call()
    except shmwire.UnsupportedError as error: assert "extension" in str(error)
    else: raise SystemExit("went through")
print(len(found))
"""


@pytest.mark.parametrize("there", ["python", "native"])
def test_reads_without_a_compiler(there: Engine, base: str) -> None:
    with writing(base, there, persist=True) as writer:
        fill(writer, 300)
        process: subprocess.Popen[str] = run_python(LOOK, base, env={"SHMWIRE_NO_EXTENSION": "1"})
        assert process.stdout is not None and process.stdout.readline() == "ready\n", process.communicate()[1]
        fill(writer, 3)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0 and out == "303\n", err
