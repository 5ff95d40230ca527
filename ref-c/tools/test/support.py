# SPDX-License-Identifier: MIT
"""What the tests of the tools share: running them, making segments, poking fields by their layout names."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema

ROOT = Path(__file__).resolve().parents[3]
SHMWIRE = os.environ.get("SHMWIRE_BIN", str(ROOT / "build/bin/shmwire"))
DRIVER = os.environ.get("SHMWIRE_DRIVER", str(ROOT / "build/bin/shmwire-driver-c"))
LAYOUT = json.loads((ROOT / "spec/generated/dmxp.layout.json").read_text(encoding="utf-8"))
STRUCTS = {struct["name"]: struct for struct in LAYOUT["structs"]}
CONSTANTS = {constant["name"]: constant["value"] for constant in LAYOUT["constants"]}
SECONDS = 30


def run(*args: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command. A crash is a failure of every test."""
    done = subprocess.run([SHMWIRE, *map(str, args)], capture_output=True, text=True, timeout=SECONDS, check=False, cwd=cwd,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)
    assert done.returncode in (0, 1, 2, 3), f"{args}: exit {done.returncode}: {done.stderr}"
    return done


def ok(*args: str | Path, cwd: Path | None = None) -> str:
    done = run(*args, cwd=cwd)
    assert done.returncode == 0, f"{args}: exit {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def as_json(verb: str, *args: str | Path, code: int = 0) -> dict[str, Any]:
    """What a verb prints with --json, checked against its schema."""
    done = run(verb, "--json", *args)
    assert done.returncode == code, f"{args}: exit {done.returncode}: {done.stdout}{done.stderr}"
    value: dict[str, Any] = json.loads(done.stdout)
    jsonschema.Draft202012Validator(json.loads(ok("schema", verb))).validate(value)
    return value


def message_lines(text: str) -> list[dict[str, Any]]:
    """The lines of dump and tail, each checked against the schema."""
    checker = jsonschema.Draft202012Validator(json.loads(ok("schema", "dump")))
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        checker.validate(line)
    return lines


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def follow(path: Path, out: Path, err: Path, *words: str) -> subprocess.Popen[bytes]:
    """`tail -f` with its output in files; the caller ends it."""
    with out.open("wb") as stdout, err.open("wb") as stderr:
        return subprocess.Popen([SHMWIRE, "tail", "-f", "--format", "jsonl", *words, str(path)], stdout=stdout, stderr=stderr)


def field(name: str) -> dict[str, Any]:
    """Offset within its struct, and size, of a field such as channel.head."""
    struct, _, member = name.partition(".")
    found: dict[str, Any] = next(f for f in STRUCTS[struct]["fields"] if f["name"] == member)
    return found


def offset_of(name: str, *, channel: int = 0, slot: int = 0, band: int = 0) -> int:
    """Offset within the segment of a field of the header, of a channel's entry or of a slot."""
    struct = name.partition(".")[0]
    base = 0
    if struct == "channel":
        base = int(CONSTANTS["CHANNEL_TABLE_OFFSET"]) + int(STRUCTS["channel"]["size"]) * channel
    elif struct == "slot":
        base = (band or int(CONSTANTS["HEADER_SIZE"])) + int(STRUCTS["slot"]["size"]) * slot
    return base + int(field(name)["offset"])


def poke(path: Path, name: str, value: int, *, channel: int = 0, slot: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(offset_of(name, channel=channel, slot=slot))
        file.write(value.to_bytes(int(field(name)["size"]), "little"))


def pattern(seed: int, length: int) -> bytes:
    return bytes((31 * seed + 17 * i + 101 * (i >> 8)) & 255 for i in range(length))


FIXTURES = ROOT / "fixtures"


def fixture_bytes(case: dict[str, Any]) -> bytes:
    """The segment of a case: its own file, or its base with the patches applied (spec/fixtures.md)."""
    if "base" not in case:
        return Path(FIXTURES, case["id"], case["file"]["path"]).read_bytes()
    base = json.loads((FIXTURES / case["base"]["case"] / "case.json").read_text(encoding="utf-8"))
    data = bytearray(fixture_bytes(base))
    for patch in case["base"]["patch"]:
        if "truncate" in patch:
            del data[int(patch["truncate"]):]
        else:
            new = bytes.fromhex(patch["hex"])
            data[int(patch["off"]):int(patch["off"]) + len(new)] = new
    return bytes(data)


def fixture_cases(kind: str, profile: str = "dmxp") -> list[dict[str, Any]]:
    cases = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((FIXTURES / profile / kind).glob("*/case.json"))]
    return [case for case in cases if "base" in case or "file" in case]


class Driver:
    """The driver under test, one request at a time."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.last = 0

    def line(self, text: bytes) -> dict[str, Any]:
        """Send a line as it is; the reply to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + b"\n")
        self.process.stdin.flush()
        return self.reply()

    def reply(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        reply: dict[str, Any] = json.loads(self.process.stdout.readline())
        return reply

    def post(self, cmd: str, **fields: Any) -> None:
        """Send a request and leave its reply for later."""
        assert self.process.stdin is not None
        self.last += 1
        self.process.stdin.write(json.dumps({"id": self.last, "cmd": cmd, **fields}).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, cmd: str, **fields: Any) -> dict[str, Any]:
        self.post(cmd, **fields)
        reply = self.reply()
        assert reply["id"] == self.last
        return reply

    def good(self, cmd: str, **fields: Any) -> dict[str, Any]:
        reply = self.ask(cmd, **fields)
        assert "ok" in reply, reply
        body: dict[str, Any] = reply["ok"]
        return body

    def code(self, cmd: str, **fields: Any) -> str:
        reply = self.ask(cmd, **fields)
        assert "err" in reply, reply
        return str(reply["err"]["code"])

    def open(self, path: Path | str, mode: str = "rw") -> int:
        return int(self.good("open", profile="dmxp", seg=str(path), mode=mode)["h"])

    def send(self, handle: int, *payloads: bytes, channel: int = 0, **meta: Any) -> list[dict[str, str]]:
        items = [{"data": {"hex": payload.hex()}, "meta": meta} for payload in payloads]
        results: list[dict[str, str]] = self.good("write", h=handle, channel=channel, items=items, mode="try")["results"]
        return results


@contextmanager
def driver() -> Iterator[Driver]:
    started = Driver()
    try:
        yield started
        assert started.ask("bye")["ok"] == {}
        assert started.process.wait(SECONDS) == 0
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.wait()
        for pipe in (started.process.stdin, started.process.stdout, started.process.stderr):
            assert pipe is not None
            pipe.close()


def start_actor(plan: dict[str, Any]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps({"id": 1, "cmd": "arm", **plan}).encode() + b"\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline()) == {"id": 1, "ok": {}}
    process.stdin.write(b'{"id":2,"cmd":"go"}\n')
    process.stdin.flush()
    return process


def summary(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    body: dict[str, Any] = json.loads(process.stdout.readline())["ok"]
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()
    return body
