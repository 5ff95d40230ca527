# SPDX-License-Identifier: MIT
"""One driver process: start, ask, time out, abort, clean up. Only processes started here are ever signalled."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import IO, Any

from . import __version__
from .config import DriverConfig
from .errors import DriverCrash, DriverTimeout, ProtocolError, UsageError
from .protocol import MAX_REPLY, Reply, decode, encode

HELLO_MS = 30_000
DEADLINE_MS = 2_000
GRACE_S = 2.0  # past a deadline, before SIGABRT
ABORT_S = 1.0  # between SIGABRT and SIGKILL
BYE_S = 2.0
_SANITIZER = (b"Sanitizer:", b"runtime error:", b"WARNING: DATA RACE")

Sink = Callable[[str, str], None]  # (direction, line): ">" request, "<" reply, "!" event, "2" standard error


class DriverProcess:
    """A running driver. Not thread-safe: one thread at a time talks to it."""

    def __init__(self, config: DriverConfig, role: str = "") -> None:
        self.config = config
        self.role = role
        self.sink: Sink | None = None
        self.hello: dict[str, Any] = {}
        self._next = 1
        self._pending: tuple[int, str, float] | None = None  # id, command, seconds allowed
        self._buffer = bytearray()
        self._stderr: IO[bytes] = tempfile.TemporaryFile()
        self._stderr_seen = 0
        try:
            self.process = subprocess.Popen(
                config.argv(),
                cwd=config.cwd,
                env={**os.environ, **config.env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise UsageError(f"driver {config.name}: cannot start {config.command[0]}: {error.strerror}") from None
        assert self.process.stdin is not None and self.process.stdout is not None
        self._in = self.process.stdin.fileno()
        self._out = self.process.stdout.fileno()
        os.set_blocking(self._in, False)
        with contextlib.suppress(OSError):  # it may be gone already; the first request will say so
            resource.prlimit(self.pid, resource.RLIMIT_CORE, (0, 0))

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def _record(self, direction: str, line: str) -> None:
        if self.sink is not None:
            self.sink(direction, line)

    # -- requests ------------------------------------------------------------------------------------------------------

    def greet(self) -> dict[str, Any]:
        """Say hello; the capabilities in the reply are frozen for the run."""
        env = {"arch": platform.machine(), "page_size": os.sysconf("SC_PAGESIZE"), "cpus": os.cpu_count() or 1}
        suite = f"shmwire-conform {__version__}"
        reply = self.request({"cmd": "hello", "proto": [1], "suite": suite, "env": env, "deadline_ms": HELLO_MS})
        if reply.kind != "ok":
            raise ProtocolError(f"hello must succeed: {reply.brief()}", on=self.role)
        self.hello = reply.body
        return self.hello

    def request(self, message: dict[str, Any]) -> Reply:
        """Send one request and wait for its reply."""
        self.send(message)
        return self.receive()

    def send(self, message: dict[str, Any]) -> int:
        """Send one request without waiting; receive() gets the reply. Returns the request's id."""
        self._refuse_noise()
        request = {"id": self._next, **message}
        request.setdefault("deadline_ms", DEADLINE_MS)
        line = encode(request)
        self._pending = (self._next, str(message["cmd"]), request["deadline_ms"] / 1000 * self.config.time_scale)
        self._next += 1
        self._record(">", line.decode("ascii").rstrip("\n"))
        self._write(line)
        return int(request["id"])

    def send_raw(self, line: bytes, command: str, request_id: int | None, deadline_ms: int = DEADLINE_MS) -> None:
        """Send a line as it is, unchecked: for the probes of doctor and for replay."""
        self._refuse_noise()
        self._pending = (request_id if request_id is not None else -1, command, deadline_ms / 1000 * self.config.time_scale)
        if request_id is not None:
            self._next = max(self._next, request_id + 1)
        self._record(">", line[:400].decode("utf-8", "replace").rstrip("\n"))
        self._write(line)

    def receive_line(self) -> tuple[bytes, int | None, str]:
        """The next line, with the id and the command of the request that waits for it."""
        assert self._pending is not None, "no request is waiting"
        request_id, command, allowed = self._pending
        self._pending = None
        line = self._read_line(command, time.monotonic() + allowed + GRACE_S)
        self._record("<", line.decode("utf-8", "replace").rstrip("\n"))
        return line, (None if request_id == -1 else request_id), command

    def receive(self) -> Reply:
        """The reply to the request that was sent last."""
        line, request_id, command = self.receive_line()
        return decode(line, request_id, command, role=self.role)

    def ready(self, seconds: float) -> bool:
        """Whether a reply (or the end of the process) is there within that time."""
        if b"\n" in self._buffer:
            return True
        return bool(select.select([self._out], [], [], max(0.0, seconds))[0])

    def _refuse_noise(self) -> None:
        """Between requests nothing may stand on standard output."""
        noise = bytes(self._buffer)
        while not noise and select.select([self._out], [], [], 0)[0]:
            noise = os.read(self._out, 4096)
            if not noise:
                self._died("before the next request")
        if noise:
            text = noise[:300].decode("utf-8", "replace").rstrip("\n")
            self._record("<", text)
            self.kill()
            raise ProtocolError(f"standard output that no request asked for: {text}", on=self.role)

    def _write(self, line: bytes) -> None:
        view = memoryview(line)
        limit = time.monotonic() + GRACE_S + DEADLINE_MS / 1000 * self.config.time_scale
        while view:
            if not select.select([], [self._in], [], max(0.0, limit - time.monotonic()))[1]:
                self._abort("the driver does not read its standard input")
            try:
                view = view[os.write(self._in, view) :]
            except BlockingIOError:
                continue
            except (BrokenPipeError, OSError):
                self._died("while a request was sent")

    def _read_line(self, command: str, limit: float) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_REPLY:
                self.kill()
                raise ProtocolError(f"{command}: a reply line above {MAX_REPLY} bytes", on=self.role)
            if not select.select([self._out], [], [], max(0.0, limit - time.monotonic()))[0]:
                self._abort(f"{command}: no reply within its deadline and {GRACE_S:g} s of grace")
            data = os.read(self._out, 1 << 16)
            if not data:
                self._died(f"during {command}")
            self._buffer += data
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line

    # -- ends ----------------------------------------------------------------------------------------------------------

    def _died(self, when: str) -> None:
        if self._buffer:
            text = bytes(self._buffer[:300]).decode("utf-8", "replace")
            self._record("<", text)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(ABORT_S)
        status = self.process.poll()
        self.kill()
        if status is None:
            how = "closed its standard output"
        elif status < 0:
            how = f"died of {signal.Signals(-status).name}"
        else:
            how = f"exited with status {status}"
        self._record("!", f"{how} {when}")
        raise DriverCrash(f"the driver {how} {when}{self._last_words()}", on=self.role)

    def _abort(self, why: str) -> None:
        """SIGABRT first, so that the driver can show its stack; then SIGKILL to its process group."""
        self._record("!", why)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(ABORT_S)
        self.kill()
        raise DriverTimeout(f"{why}{self._last_words()}", on=self.role)

    def kill(self) -> None:
        """End this driver's process group at once and reap it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self._close_pipes()

    def bye(self) -> None:
        """Ask the driver to leave; it has two seconds."""
        if not self.alive:
            self._close_pipes()
            return
        try:
            self.request({"cmd": "bye"})
            self.process.wait(BYE_S * self.config.time_scale)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DriverTimeout(f"still there {BYE_S:g} s after bye", on=self.role) from None
        self._close_pipes()

    def dismiss(self) -> None:
        """bye without complaints: for the end of a run."""
        try:
            self.bye()
        except Exception:  # whatever it did wrong now was not asked of it by a case
            self.kill()

    def _close_pipes(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None and not pipe.closed:
                with contextlib.suppress(OSError):
                    pipe.close()

    # -- standard error ------------------------------------------------------------------------------------------------

    def stderr_since(self) -> bytes:
        """What the driver wrote to standard error since the last call."""
        if self._stderr.closed:
            return b""
        self._stderr.seek(self._stderr_seen)
        text = self._stderr.read()
        self._stderr_seen += len(text)
        return text

    def _last_words(self) -> str:
        self._stderr.seek(self._stderr_seen)
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        return f"; standard error ends with: {lines[-1][:300]}" if lines else ""


def sanitizer_report(stderr: bytes) -> str:
    """The first line of a sanitizer's or race detector's report, or nothing."""
    for line in stderr.splitlines():
        if any(mark in line for mark in _SANITIZER):
            return line.decode("utf-8", "replace")
    return ""
