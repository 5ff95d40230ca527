# SPDX-License-Identifier: MIT
"""One driver process: what it prints, how it dies, and that nothing is left of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from conftest import script
from shmwire_conform.errors import DriverCrash, DriverTimeout, Finding, HarnessError, ProtocolError, UsageError
from shmwire_conform.process import DriverProcess, sanitizer_report
from shmwire_conform.protocol import decode, encode, pattern, reply_form


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("def reply(ask): os._exit(3)", DriverCrash, "exited with status 3 during reset"),
        ("def reply(ask): os.kill(os.getpid(), signal.SIGSEGV)", DriverCrash, "died of SIGSEGV during reset"),
        ("def reply(ask): time.sleep(60)", DriverTimeout, "no reply within its deadline"),
        ("def reply(ask): print('hi', flush=True)", ProtocolError, "not a JSON reply"),
        ("def reply(ask): return {'ok': {}, 'err': {'code': 'CORRUPT'}}", ProtocolError, "valid under each of"),
        ("def reply(ask): return {'err': {'code': 'OOPS'}}", ProtocolError, "OOPS is not in the registry"),
        ("def reply(ask): say({'id': 99, 'ok': {}})", ProtocolError, "reply to request 99 where 2 was asked"),
        ("def reply(ask): os.write(1, b'x' * (5 << 20))", ProtocolError, "above 4194304 bytes"),
        ("def reply(ask): return {'ok': {'x': 1.5}}", ProtocolError, "floats are not part of the protocol"),
    ],
)
def test_bad_manners(tmp_path: Path, body: str, kind: type[Finding], words: str) -> None:
    process = DriverProcess(script(tmp_path, body), "A")
    process.greet()
    with pytest.raises(kind, match=words) as caught:
        process.request({"cmd": "reset", "deadline_ms": 50})
    assert caught.value.on == "A"
    process.kill()
    assert gone(process.pid)


def test_noise_after_a_reply_is_found_at_the_next_request(tmp_path: Path) -> None:
    body = "def reply(ask):\n    say({'id': ask['id'], 'ok': {}})\n    os.write(1, b'oops\\n')"
    process = DriverProcess(script(tmp_path, body))
    process.greet()
    process.request({"cmd": "reset"})
    assert process.ready(1.0)
    with pytest.raises(ProtocolError, match="oops"):
        process.request({"cmd": "reset"})
    process.kill()


def test_the_whole_group_goes(tmp_path: Path) -> None:
    """A driver's own child does not outlive it."""
    fork = "    child = os.fork()\n    if child == 0:\n        time.sleep(60)\n"
    body = f"def reply(ask):\n{fork}    return {{'ok': {{'child': child}}}}"
    process = DriverProcess(script(tmp_path, body))
    process.greet()
    child = int(process.request({"cmd": "reset"}).body["child"])
    process.kill()
    limit = time.monotonic() + 2
    while time.monotonic() < limit and not _finished(child):
        time.sleep(0.01)
    assert _finished(child)


def _finished(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_bye_has_a_limit(tmp_path: Path) -> None:
    body = "def reply(ask):\n    say({'id': ask['id'], 'ok': {}})\n    time.sleep(60)"
    process = DriverProcess(script(tmp_path, body))
    process.greet()
    with pytest.raises(DriverTimeout, match="still there 2 s after bye"):
        process.bye()
    assert gone(process.pid)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    config = script(tmp_path, "def reply(ask): pass")
    with pytest.raises(UsageError, match="cannot start"):
        DriverProcess(type(config)("none", ("no/such/program",), tmp_path))


def test_requests_are_checked_too() -> None:
    with pytest.raises(HarnessError, match="'mode' is a required property"):
        encode({"id": 1, "cmd": "read", "h": 1, "max": 1, "channel": 0})
    with pytest.raises(HarnessError, match="bytes"):
        encode({"id": 1, "cmd": "reset", "x": "y" * (1 << 20)})


def test_replies_are_strict_json() -> None:
    with pytest.raises(ProtocolError, match="twice in one object"):
        decode(b'{"id":1,"ok":{},"ok":{}}\n', 1, "reset")
    with pytest.raises(ProtocolError, match="pos"):
        item = b'{"data":{"hex":""},"pos":5,"meta":{}}'
        decode(b'{"id":1,"ok":{"st":"ok","items":[' + item + b"]}}\n", 1, "read")
    assert decode(b'{"id":1,"err":{"code":"TOO_SMALL","needed":"5"}}\n', 1, "read").code == "TOO_SMALL"


def test_data_forms() -> None:
    assert pattern(7, 3) == bytes([(31 * 7) & 255, (31 * 7 + 17) & 255, (31 * 7 + 34) & 255])
    assert pattern(0, 257)[256] == (17 * 256 + 101) & 255
    assert reply_form(b"\x01\x02") == {"hex": "0102"}
    long = reply_form(bytes(4097))
    assert long["len"] == "4097" and long["head"] == "00" * 32


def test_sanitizer_reports_are_seen() -> None:
    assert sanitizer_report(b"x\n==1==ERROR: AddressSanitizer: heap-buffer-overflow\n").startswith("==1==ERROR")
    assert sanitizer_report(b"all is well\n") == ""
