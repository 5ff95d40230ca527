# SPDX-License-Identifier: MIT
"""Without the extension: the python engine inspects, validates and peeks, needs no compiler, and refuses the rest clearly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import FIXTURES, ROOT, finish, run_python
from shmwire import dmxp

HIDDEN = {"SHMWIRE_NO_EXTENSION": "1"}
LOOK = """
import json, sys
import shmwire
from shmwire import _native, atomic, dmxp
assert _native.ext_atomic is None and _native.ext_refc is None and not atomic.AVAILABLE
assert "cffi" not in sys.modules
with dmxp.open(sys.argv[1], sys.argv[2]) as segment:
    assert segment.engine == "python" and not segment.writable
    segment.validate()
    found = {number: [message.payload.hex() for message in segment.channel(number).peek()] for number in segment.channels()}
    channel = segment.channel(segment.channels()[0])
    refused = [lambda: channel.try_send(b"x"), lambda: channel.send(b"x"), lambda: channel.send_batch([b"x"]), channel.claim,
               channel.try_receive, channel.receive, channel.receive_batch, lambda: segment.create_channel(9, 2),
               lambda: segment.remove_channel(0), lambda: segment.recover(all_dead=True), lambda: dmxp.create("/shmw-py-never"),
               lambda: dmxp.open(sys.argv[1], engine="native")]
    for number, call in enumerate(refused):
        try:
            call()
            raise SystemExit(f"call {number} went through")
        except shmwire.UnsupportedError as error:
            assert "extension" in str(error), error
    print(json.dumps({"info": segment.info().size, "found": found}))
"""


def captured(case: str) -> tuple[Path, dict[str, list[str]]]:
    """A segment that the original system wrote, and what peeking at it must show by its own notes."""
    folder = FIXTURES / "captured" / case
    steps = json.loads((folder / "case.json").read_text())["read"]
    found: dict[str, list[str]] = {}
    for step in steps:
        if step["cmd"] == "read" and step["mode"] == "peek":
            found[str(step["channel"])] = [item["data"]["hex"] for item in step["expect"]["ok"]["items"]]
    return folder / "seg.bin", found


@pytest.mark.parametrize("case", ["crate-three-messages", "crate-lapped"])
@pytest.mark.parametrize("mode", ["r", "rw"])
def test_reads_captured_segments(case: str, mode: str, tmp_path: Path) -> None:
    source, expected = captured(case)
    assert expected
    file = tmp_path / "segment.bin"
    file.write_bytes(source.read_bytes())
    reply = json.loads(finish(run_python(LOOK, str(file), mode, env=HIDDEN)))
    assert reply["found"] == expected
    assert reply["info"] == source.stat().st_size
    assert file.read_bytes() == source.read_bytes()


def test_looks_at_a_live_segment(engine: dmxp.Engine, channel: dmxp.Channel, name: str) -> None:
    channel.send_batch([b"a", b"bb"])
    assert json.loads(finish(run_python(LOOK, name, "r", env=HIDDEN)))["found"] == {"0": ["61", "6262"]}


def test_driver_claims_only_inspect(channel: dmxp.Channel, name: str) -> None:
    channel.send(b"seen")
    requests = [{"id": 1, "cmd": "hello", "proto": [1]}, {"id": 2, "cmd": "open", "profile": "dmxp", "seg": name, "mode": "ro"},
                {"id": 3, "cmd": "read", "h": 1, "channel": 0, "mode": "peek", "max": 2}]
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run([sys.executable, "-m", "shmwire.driver"], input=lines, capture_output=True, text=True, timeout=20,
                          check=True, env={"PATH": "/usr/bin:/bin", **HIDDEN})
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    profiles = replies[0]["ok"]["profiles"]
    assert profiles.pop("dmxp") == {"classes": ["inspect"], "features": []}
    for able in profiles.values():
        assert able["classes"] == ["inspect", "read", "blocking", "hardened"]
    assert replies[2]["ok"]["items"][0]["data"] == {"hex": b"seen".hex()}


def test_installs_without_a_compiler(tmp_path: Path) -> None:
    """The switch of setup.py: no compiler is called, cffi is not asked for, and what is installed can look."""
    source = tmp_path / "source"
    target = tmp_path / "target"
    copy = subprocess.run(["cp", "-r", str(ROOT / "bindings/python"), str(source)], check=False)
    assert copy.returncode == 0
    for built in source.glob("shmwire/_native/*.so"):
        built.unlink()
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index",
               "--target", str(target), str(source)]
    environment = {"PATH": "/usr/bin:/bin", "CC": "/bin/false", "HOME": str(tmp_path), **HIDDEN}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(target.rglob("*.so"))
    metadata = next(target.glob("shmwire-*.dist-info")) / "METADATA"
    required = [line for line in metadata.read_text().splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]
    assert not required
    file, expected = captured("crate-three-messages")
    code = LOOK.replace("import json, sys", "import json, sys; sys.path.insert(0, sys.argv[3])")
    look = subprocess.run([sys.executable, "-c", code, str(file), "r", str(target)], capture_output=True, text=True, timeout=20,
                          cwd="/", check=False, env={"PATH": "/usr/bin:/bin"})
    assert look.returncode == 0, look.stderr
    assert json.loads(look.stdout)["found"] == expected
    log = ROOT / "fixtures/ouroboros/captured/three-laps-ascii/seg.bin"
    code = ("import sys; sys.path.insert(0, sys.argv[2])\nfrom shmwire import ouroboros\n"
            "print(len(ouroboros.Reader(sys.argv[1]).read_all()))")
    read = subprocess.run([sys.executable, "-c", code, str(log), str(target)], capture_output=True, text=True, timeout=20,
                          cwd="/", check=False, env={"PATH": "/usr/bin:/bin"})
    assert read.stdout == "5\n", read.stderr
