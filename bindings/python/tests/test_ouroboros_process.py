# SPDX-License-Identifier: MIT
"""Other processes: without the extension, readers that come and go, the source system's generator."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import shmwire
from conftest import ROOT, Raw, finish, run_python
from ouroboros_support import FIXTURES, reading_cases
from shmwire import ouroboros

HIDDEN = {"SHMWIRE_NO_EXTENSION": "1"}
GENERATOR = Path(os.environ.get("OUROBOROS_SHM_GENERATOR", "") or ROOT / "build/bin/ouroboros_shm_generator")
FOLLOW = """
import sys
import shmwire
from shmwire import _native, atomic, ouroboros
assert _native.ext_atomic is None and _native.ext_refc is None and not atomic.AVAILABLE and "cffi" not in sys.modules
with ouroboros.Reader(sys.argv[1]) as reader:
    assert reader.engine == "python"
    for payload in reader.read_all():
        print(payload.hex(), flush=True)
    print("attached", flush=True)
    for entry in reader.follow(timeout=20):
        print(entry.data.hex(), entry.sequence_number, entry.skipped, flush=True)
        if entry.data == b"end":
            break
    reader.validate()
for call in (lambda: ouroboros.create("/shmw-py-never"), lambda: ouroboros.resume(sys.argv[1]),
             lambda: ouroboros.Reader(sys.argv[1], engine="native")):
    try:
        call()
        raise SystemExit("went through")
    except shmwire.UnsupportedError as error:
        assert "extension" in str(error)
"""


def test_without_extension_live(name: str, engine: ouroboros.Engine) -> None:
    """A reader that needs no compiler follows a log over laps while it is written."""
    with ouroboros.create(name, 4, 1024, engine=engine) as log:
        log.write_batch([b"before", b"too"])
        process = run_python(FOLLOW, name, env=HIDDEN)
        assert process.stdout is not None
        assert [process.stdout.readline().strip() for _ in range(3)] == [b"before".hex(), b"too".hex(), "attached"]
        for i in range(3000):
            log.write(i.to_bytes(4, "little") * 6)
        log.write(b"end")
        lines = [line.split() for line in finish(process).splitlines()]
    last = 2
    for data, sequence, skipped in lines:
        assert int(sequence) == last + 1 + int(skipped)
        last = int(sequence)
        assert bytes.fromhex(data) == ((last - 3).to_bytes(4, "little") * 6 if last < 3003 else b"end")
    assert last == 3003


def test_without_extension_captures(tmp_path: Path) -> None:
    """What the source system wrote."""
    case, _, items = next(found for found in reading_cases() if found[0] == "captured/three-laps-ascii-auto")
    source = FIXTURES / "captured/three-laps-ascii/seg.bin"
    assert case and items
    file = tmp_path / "segment.bin"
    file.write_bytes(source.read_bytes())
    code = "import sys\nfrom shmwire import ouroboros\nfor data in ouroboros.Reader(sys.argv[1]): print(data.hex())"
    assert finish(run_python(code, str(file), env=HIDDEN)).split() == [item["data"]["hex"] for item in items]


@pytest.mark.parametrize("hidden", [{}, HIDDEN])
def test_a_reader_leaves_the_segment(name: str, engine: ouroboros.Engine, raw: Raw, hidden: dict[str, str]) -> None:
    """A process that reads and exits, tidily or not, removes nothing."""
    with ouroboros.create(name, engine=engine) as log:
        log.write(b"stays")
        before, chosen = raw.bytes(), "python" if hidden else engine
        for ending in ("reader.close()", "pass", "import os; os._exit(0)"):
            code = ("import sys\nfrom shmwire import ouroboros\nreader = ouroboros.Reader(sys.argv[1], engine=sys.argv[2])\n"
                    f"print(reader.read_all(), flush=True)\n{ending}")
            assert finish(run_python(code, name, chosen, env=hidden)) == "[b'stays']\n"
            assert raw.bytes() == before
        assert log.write(b"and goes on") == 2
    with ouroboros.Reader(name, engine=engine) as reader:
        assert reader.read_all() == [b"stays", b"and goes on"]


@pytest.mark.parametrize("size", [8192, 600])
def test_generator(name: str, engine: ouroboros.Engine, tmp_path: Path, size: int) -> None:
    """As the source system's own tests drive it: every record that was not overwritten, in order, while it is written."""
    assert GENERATOR.exists(), "the generator is not built: ./dev build, or OUROBOROS_SHM_GENERATOR names another one"
    file = tmp_path / "records.json"
    command = [str(GENERATOR), "--name", name, "--size", str(size), "--count", "150", "--min-size", "4", "--max-size", "60",
               "--seed", "7", "--interval", "300", "--initial-delay", "1000", "--json-out", str(file), "--no-unlink-at-exit"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        with _attach(name, engine) as reader:
            entries = []
            for entry in reader.follow(timeout=5):
                entries.append(entry)
                if entry.sequence_number == 150:
                    break
            out, _ = process.communicate(timeout=20)
            said = json.loads(out)
            assert process.returncode == 0
            assert said["buffer_size"] == size == reader.size and said["chunk_count"] == reader.chunk_count
        records = json.loads(file.read_text())["records"]
        assert len(records) == 150
        assert entries and entries[-1].sequence_number == 150
        # What the first one skipped, between attaching and reading, lies before it.
        assert entries[0].sequence_number + sum(entry.skipped for entry in entries[1:]) + len(entries) - 1 == 150
        for entry in entries:
            assert entry.data.hex() == records[entry.sequence_number - 1]["payload_hex"]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(10)


def _attach(name: str, engine: ouroboros.Engine) -> ouroboros.Reader:
    for _ in range(2000):
        try:
            return ouroboros.Reader(name, engine=engine, ready_timeout=5)
        except shmwire.NotFoundError:
            finish(run_python("pass"))
    raise AssertionError("no segment")
