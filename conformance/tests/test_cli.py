# SPDX-License-Identifier: MIT
"""The command line, as a user meets it: words out, exit status."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import HERE, SKELETON, consumer, script
from shmwire_conform import doctor
from shmwire_conform.cases import everything
from shmwire_conform.cli import main

TOML = str(SKELETON / "driver.toml")


def test_run_and_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--driver", TOML, "--case", "dmxp/golden/one-message", "--report", str(tmp_path)]) == 0
    assert "1 PASS" in capsys.readouterr().out
    transcript = next((tmp_path / "transcripts").iterdir())
    assert main(["replay", str(transcript)]) == 0
    late = [sys.executable, str(HERE / "drivers" / "consumer.py"), "--broken", "payload_offset"]
    assert main(["replay", str(transcript), "--", *late]) == 1
    assert "(recorded)" in capsys.readouterr().out


def test_quick_command_and_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, str(HERE / "drivers" / "consumer.py")]
    assert main(["run", "--case", "dmxp/golden/one-message", "--", *command, "--broken", "payload_offset"]) == 1
    assert main(["run", "--case", "no/such/case", "--", *command]) == 5
    assert main(["run", "--driver", "no-such.toml"]) == 2
    assert main(["run", "--", "no-such-program"]) == 2
    assert main(["explain", "dmxp/golden/no-such-case"]) == 2
    assert "no case dmxp/golden/no-such-case" in capsys.readouterr().err


def test_driver_toml_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "driver.toml"
    for text, words in (
        ('name = "x"', "command is missing"),
        ('name = "x"\ncommand = "a b"', "wrong type"),
        ('name = "x"\ncommand = []', "list of words"),
        ('name = "x"\ncommand = ["y"]\ncolour = "red"', "colour: not a key"),
        ("name = ", "Invalid value"),
    ):
        path.write_text(text, encoding="utf-8")
        assert main(["run", "--driver", str(path)]) == 2
        assert words in capsys.readouterr().err


def test_list_and_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--kind", "hostile", "--rule", "dmxp.segment.version", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found and all("dmxp.segment.version" in one["rules"] for one in found)
    assert main(["explain", found[0]["id"]]) == 0
    text = capsys.readouterr().out
    assert "MUST refuse with BAD_VERSION a version other than 1" in text and "header.version" in text


def test_export(tmp_path: Path) -> None:
    assert main(["export", str(tmp_path), "--case", "dmxp/hostile/magic-*"]) == 0
    index = json.loads((tmp_path / "index.json").read_text(encoding="utf-8"))
    assert index["cases"]
    corpus = everything()
    for entry in index["cases"]:
        assert (tmp_path / entry["id"] / "seg.bin").read_bytes() == corpus.image(entry["id"])
    assert (tmp_path / "case-1.json").is_file() and (tmp_path / "dmxp.layout.json").is_file()


def test_doctor_on_the_healthy_and_the_ill(tmp_path: Path) -> None:
    assert all(check.ok for check in doctor.examine(consumer()))
    rude = doctor.examine(script(tmp_path, "def reply(ask): return {'ok': {}} if ask['cmd'] != 'bye' else None"))
    failed = {check.name for check in rude if not check.ok}
    assert "an unknown command is UNKNOWN_COMMAND" in failed and "a segment that is not there is NOT_FOUND" in failed
    dying = doctor.examine(script(tmp_path, "def reply(ask): os._exit(1)"))
    assert not any(check.ok for check in dying if check.name.startswith("bye"))


def test_pytest_plugin(tmp_path: Path) -> None:
    broken = tmp_path / "late.toml"
    command = [sys.executable, str(HERE / "drivers" / "consumer.py"), "--broken", "payload_offset"]
    broken.write_text(f'name = "late"\ncommand = {json.dumps(command)}\n', encoding="utf-8")
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", "-v"]
    argv += ["--shmwire-driver", TOML, "--shmwire-driver", str(broken)]
    argv += ["--shmwire-case", "dmxp/golden/one-message", "--shmwire-case", "dmxp/golden/one-message-make"]
    installed = any(one.name == "shmwire-conform" for one in importlib.metadata.entry_points(group="pytest11"))
    argv += [] if installed else ["-p", "shmwire_conform.plugin"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "dmxp/golden/one-message[read-skeleton] PASSED" in done.stdout
    assert "dmxp/golden/one-message[read-late] FAILED" in done.stdout
    assert "rules: dmxp.peek.readonly, dmxp.layout.declared" in done.stdout and "write-exact not claimed" in done.stdout
    assert "shmwire classes" in done.stdout


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    """SIGTERM while a driver is deep in a request: the driver goes, and so do the segments."""
    note = "open('pid', 'w').write(str(os.getpid()))\n"
    body = f"{note}def reply(ask):\n    if ask['cmd'] == 'open':\n        time.sleep(60)\n    return {{'ok': {{}}}}"
    config = script(tmp_path, body)
    argv = [sys.executable, "-m", "shmwire_conform", "run", "--case", "dmxp/golden/one-message", "--", *config.command]
    run = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    prefix = f"shmw-conf-{run.pid}-"
    limit = time.monotonic() + 60
    while time.monotonic() < limit and not any(path.iterdir() for path in Path("/dev/shm").glob(f"{prefix}*") if path.is_dir()):
        time.sleep(0.02)
    time.sleep(0.2)
    run.terminate()
    _, errors = run.communicate(timeout=10)
    assert run.returncode == 130 and b"interrupted" in errors
    assert not list(Path("/dev/shm").glob(f"{prefix}*"))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text(encoding="ascii")), 0)
