# SPDX-License-Identifier: MIT
"""Steps that the runner does itself (spec/fixtures.md, section 3). The file is read and written through the file system, never
through a mapping, except in the futex steps."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import cores, expect, judge, trees
from .cases import everything, patched
from .errors import Finding, HarnessError
from .futex import Sleeper, mapped_word, wake

if TYPE_CHECKING:
    from .process import DriverProcess
    from .session import Session

_POLL_S = 0.003
_FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, pid


class RunnerSteps:
    """The runner's side of one session. Findings are laid at the door of the driver that acted last."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock: int | None = None
        self._sleeper: Sleeper | None = None
        self._snapshots: dict[str, bytes] = {}
        self._held: dict[tuple[Path, int], int] = {}  # file and byte -> the description that holds its lock
        self._stopped: set[str] = set()  # roles whose driver has SIGSTOP
        self._before = ""  # the word of the runner's step before
        self._begun = self._begun_before = 0.0  # of the present step, and of the one before
        self._of = ""  # the segment of the present step: "" is the one under test
        self._file = ""  # the file of the present step, where segments are directories

    def run(self, step: dict[str, Any], what: str) -> None:
        method = getattr(self, "_do_" + step["cmd"].replace("-", "_"), None)
        if method is None:
            raise HarnessError(f"{what}: the runner has no such step")
        self._of, self._file = str(step.get("of", "")), str(step.get("file", ""))
        self._begun_before, self._begun = self._begun, time.monotonic()
        method(step, what)
        self._before = step["cmd"]

    def close(self) -> None:
        for role in list(self._stopped):
            self._continue(role)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()
        if self._sleeper is not None:
            self._sleeper.end()
            self._sleeper = None

    @property
    def _path(self) -> Path:
        session = self._session
        path = session.segments.file_of(session.beside(self._of) if self._of else session.locator)
        return trees.path_of(path, self._file) if self._file else path

    def _finding(self, message: str, diff: list[str] | None = None) -> Finding:
        return Finding(message, on=self._session.last_actor, diff=diff)

    def _content(self, what: str) -> bytes:
        content = self._session.content(self._of)
        if not content:
            raise self._finding(f"{what}: there is no segment")
        return content

    def _offset(self, step: dict[str, Any], what: str) -> int:
        """Where a field is. In a segment that is a directory the step goes to the file of the field."""
        content = self._content(what)
        offset = judge.locate(self._session.profile, content, step["field"])[0]
        if trees.is_tree(content):
            self._file, offset = trees.inside(content, offset)
        return offset

    # -- looking -------------------------------------------------------------------------------------------------------

    def _require_equal(self, wanted: bytes, have: bytes, what: str) -> None:
        if wanted != have:
            diff = judge.byte_diff(self._session.profile, wanted, have)
            raise self._finding(f"{what}: {diff[0]}", diff)

    def _do_bytes(self, step: dict[str, Any], what: str) -> None:
        content = self._path.read_bytes() if self._file else self._content(what)
        offset, wanted = int(step["off"]), bytes.fromhex(step["hex"])
        self._require_equal(content[:offset] + wanted + content[offset + len(wanted) :], content, what)

    def _do_fields(self, step: dict[str, Any], what: str) -> None:
        limit = time.monotonic() + int(step.get("within_ms", 0)) / 1000
        while True:
            found = judge.field_values(self._session.profile, self._content(what), list(step["expect"]))
            complaints = expect.differences(step["expect"], found)
            if not complaints:
                return
            if time.monotonic() >= limit:
                raise self._finding(f"{what}: {'; '.join(complaints[:4])}", complaints)
            time.sleep(_POLL_S)

    def _do_invariants(self, _step: dict[str, Any], what: str) -> None:
        found = judge.findings(self._session.profile, self._content(what))
        if found:
            raise self._finding(f"{what}: {'; '.join(found[:4])}", found)

    def _do_snapshot(self, step: dict[str, Any], what: str) -> None:
        self._snapshots[step["as"]] = self._content(what)

    def _do_same(self, step: dict[str, Any], what: str) -> None:
        self._require_equal(self._snapshots[step["as"]], self._content(what), what)

    def _do_changed(self, step: dict[str, Any], what: str) -> None:
        self._require_equal(patched(self._snapshots[step["as"]], step["patch"], what), self._content(what), what)

    def _do_stat(self, step: dict[str, Any], what: str) -> None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            raise self._finding(f"{what}: there is no segment") from None
        have = {"mode": f"{status.st_mode & 0o7777:04o}", "size": str(status.st_size)}
        complaints = expect.differences({key: step[key] for key in have if key in step}, have)
        if complaints:
            raise self._finding(f"{what}: {'; '.join(complaints)}")

    def _do_absent(self, _step: dict[str, Any], what: str) -> None:
        if self._path.exists():
            raise self._finding(f"{what}: there is {self._file or 'a segment'} where there must be none")

    def _do_present(self, _step: dict[str, Any], what: str) -> None:
        if not self._path.exists():
            raise self._finding(f"{what}: there is no {self._file}")

    # -- changing ------------------------------------------------------------------------------------------------------

    def _do_poke(self, step: dict[str, Any], what: str) -> None:
        if "hex" in step:
            offset, data = int(step["off"]), bytes.fromhex(step["hex"])
        else:
            size = judge.locate(self._session.profile, self._content(what), step["field"])[1]
            offset, data = self._offset(step, what), int(step["value"]).to_bytes(size, "little")
        with self._path.open("r+b", buffering=0) as file:
            file.seek(offset)
            file.write(data)

    def _do_truncate(self, step: dict[str, Any], _what: str) -> None:
        os.truncate(self._path, int(step["size"]))

    def _do_remove(self, _step: dict[str, Any], _what: str) -> None:
        self._path.unlink()

    def _do_mkdir(self, _step: dict[str, Any], _what: str) -> None:
        self._path.mkdir(0o700)

    def _do_write(self, step: dict[str, Any], _what: str) -> None:
        """A file where none is yet."""
        with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(bytes.fromhex(step["hex"]))

    def _do_place(self, step: dict[str, Any], what: str) -> None:
        """A copy of a case's bytes where nothing is yet; not "the" segment of the case, unless the step has no `of`."""
        image = everything().image(step["case"])
        if image is None:
            raise HarnessError(f"{what}: {step['case']} has no bytes")
        with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(patched(image, step.get("patch", []), what))

    # -- lock, sleep, wake ---------------------------------------------------------------------------------------------

    def _do_lock(self, _step: dict[str, Any], what: str) -> None:
        self._lock = os.open(self._path, os.O_RDWR)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._finding(f"{what}: somebody still holds the segment lock") from None

    def _do_unlock(self, _step: dict[str, Any], what: str) -> None:
        if self._lock is None:
            raise HarnessError(f"{what}: unlock without lock")
        os.close(self._lock)
        self._lock = None

    def _bytes_of(self, step: dict[str, Any]) -> list[int]:
        """The bytes of a file whose locks say that an endpoint lives, and that it is a keeper."""
        number = int(step["number"])
        return [number, judge.constant(self._session.profile, "KEEPER_BASE") + number] if step.get("keeper") else [number]

    def _do_hold(self, step: dict[str, Any], what: str) -> None:
        """Be an endpoint with a number, or a keeper, as far as locks go."""
        for byte in self._bytes_of(step):
            descriptor = os.open(self._path, os.O_RDWR)
            self._held[self._path, byte] = descriptor
            try:
                fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
            except OSError:
                raise self._finding(f"{what}: somebody holds a lock on byte {byte}") from None

    def _do_release(self, step: dict[str, Any], what: str) -> None:
        for byte in self._bytes_of(step):
            if (self._path, byte) not in self._held:
                raise HarnessError(f"{what}: release of byte {byte} without hold")
            os.close(self._held.pop((self._path, byte)))

    def _do_held(self, step: dict[str, Any], what: str) -> None:
        """Whether somebody, the runner included, holds write locks on the bytes of a number."""
        try:
            descriptor = os.open(self._path, os.O_RDWR)
        except FileNotFoundError:
            raise self._finding(f"{what}: there is no segment") from None
        try:
            for byte in self._bytes_of(step):
                asked = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, byte, 1, 0)
                answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)
                if (struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK) != step["is"]:
                    raise self._finding(f"{what}: {'no' if step['is'] else 'a'} write lock on byte {byte}")
        finally:
            os.close(descriptor)

    @staticmethod
    def _do_sleep(step: dict[str, Any], _what: str) -> None:
        time.sleep(int(step["ms"]) / 1000)

    def _do_futex_wait(self, step: dict[str, Any], what: str) -> None:
        offset = self._offset(step, what)  # says also which file
        self._sleeper = Sleeper(self._path, offset)

    def _do_woken(self, step: dict[str, Any], what: str) -> None:
        sleeper, self._sleeper = self._sleeper, None
        if sleeper is None:
            raise HarnessError(f"{what}: woken without futex-wait")
        woken = sleeper.woken(int(step["within_ms"]) / 1000)
        result = sleeper.result
        sleeper.end()
        if woken != step["is"]:
            raise self._finding(f"{what}: the sleeper was {'woken' if woken else 'not woken'} ({result or 'still asleep'})")

    def _do_futex_wake(self, step: dict[str, Any], what: str) -> None:
        wanted, woken = int(step["woken"]), 0
        limit = time.monotonic() + int(step["within_ms"]) / 1000
        offset = self._offset(step, what)
        with mapped_word(self._path, offset) as word:
            while time.monotonic() < limit and (woken < wanted or wanted == 0):
                woken += 1 if wake(word) > 0 else 0
                if woken > wanted:
                    break
                time.sleep(_POLL_S)
            del word
        if woken != wanted:
            raise self._finding(f"{what}: {woken} wakes found a sleeper, expected {wanted}")

    # -- requests that go on while the runner looks or others run --------------------------------------------------------

    def _do_watch(self, step: dict[str, Any], what: str) -> None:
        """The first time that the bytes at `off` are seen changed, or the file is seen gone, those of `then` must stand there."""
        inner, role, begun = step["step"], step["step"]["on"], time.monotonic()
        path, offset, before = self._path, int(step.get("off", 0)), bytes.fromhex(step.get("hex", ""))
        driver = self._session.drivers[role]
        with cores.apart(driver.pid):
            self._session.send(role, inner)
            missing = self._watch(driver, path if "gone" in step else offset, before, step["then"])
        self._session.check(inner, self._session.receive(role, inner), role, f"{what} of {inner['cmd']}", begun)
        if missing:
            seen = f"{self._file} was gone" if "gone" in step else f"the bytes at {offset} had changed"
            raise Finding(f"{what}: {seen} when {missing[0]}", on=role, diff=missing)

    def _watch(self, process: DriverProcess, place: int | Path, before: bytes, then: list[dict[str, str]]) -> list[str]:
        base, main = self._session.segments.file_of(self._session.locator), self._path
        paths = [trees.path_of(base, entry["file"]) if "file" in entry else main for entry in then]
        with contextlib.ExitStack() as stack:
            opened: dict[Path, int] = {}
            for path in {main, *paths} - ({place} if isinstance(place, Path) else set()):
                with contextlib.suppress(FileNotFoundError):  # it is still to come
                    opened[path] = stack.enter_context(path.open("rb", buffering=0)).fileno()
            while place.exists() if isinstance(place, Path) else os.pread(opened[main], len(before), place) == before:
                if process.ready(0):
                    return []
            wrong = []
            for path, entry in zip(paths, then, strict=True):
                if path not in opened:  # it has come since
                    with contextlib.suppress(FileNotFoundError):
                        opened[path] = stack.enter_context(path.open("rb", buffering=0)).fileno()
                wanted = bytes.fromhex(entry["hex"])
                have = os.pread(opened[path], len(wanted), int(entry["off"])) if path in opened else b""
                if have != wanted:
                    wrong.append(f"{entry.get('field', entry['off'])} was {have.hex()}, not yet {entry['hex']}")
            return wrong

    def _do_start(self, step: dict[str, Any], _what: str) -> None:
        role = step["step"]["on"]
        self._session.send(role, step["step"])
        self._session.started[role] = step["step"]

    def _do_pending(self, step: dict[str, Any], what: str) -> None:
        """No reply within `ms`, behind `start` counted from there: a runner that was not scheduled meanwhile accuses nobody."""
        role, began = step["on_driver"], self._begun_before if self._before == "start" else self._begun
        limit = began + int(step["ms"]) / 1000
        if self._session.drivers[role].ready(limit - time.monotonic()) and time.monotonic() < limit:
            reply = self._session.receive(role, self._session.started[role])
            raise Finding(f"{what}: the started request was answered at once: {reply.brief()}", on=role)

    def _do_kill(self, step: dict[str, Any], _what: str) -> None:
        """SIGKILL. The case goes on without that driver."""
        self._session.drivers[step["on_driver"]].kill()
        self._session.dead.add(step["on_driver"])

    def _do_stop(self, step: dict[str, Any], _what: str) -> None:
        self._stopped.add(step["on_driver"])
        os.kill(self._session.drivers[step["on_driver"]].pid, signal.SIGSTOP)

    def _do_continue(self, step: dict[str, Any], _what: str) -> None:
        self._continue(step["on_driver"])

    def _continue(self, role: str) -> None:
        self._stopped.discard(role)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._session.drivers[role].pid, signal.SIGCONT)

    def _do_finish(self, step: dict[str, Any], what: str) -> None:
        role, begun = step["on_driver"], time.monotonic()
        if role not in self._session.started:
            raise HarnessError(f"{what}: finish without start")
        started = self._session.started.pop(role)
        reply = self._session.receive(role, started)
        judged = {key: source[key] for source in (started, step) for key in ("expect", "within_ms") if key in source}
        self._session.check(judged, reply, role, f"{what} of {started['cmd']}", begun)
