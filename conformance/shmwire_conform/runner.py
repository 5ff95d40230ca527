# SPDX-License-Identifier: MIT
"""Runs planned units on pooled drivers and turns whatever happens into a verdict. The runner grades, never the driver."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from .cases import Corpus
from .config import DriverConfig, KnownFailure
from .errors import Finding, HarnessError, NotApplicable, UsageError
from .flows import static, step, write
from .model import FAILURES, Result, Unit
from .pool import Pool
from .process import DriverProcess
from .segments import Segments
from .session import Session
from .transcript import Transcript

_FLOWS: dict[str, Callable[..., None]] = {
    "read": static.run,
    "write": write.run_pairwise,
    "write-exact": write.run_exact,
    "step": step.run,
}


@dataclass
class Runner:
    """Everything a unit needs besides its drivers. Thread-safe: units share nothing but the pool and the corpus."""

    corpus: Corpus
    configs: dict[str, DriverConfig]
    segments: Segments
    pool: Pool
    known: list[KnownFailure] = field(default_factory=list)
    keep: Path | None = None  # directory for transcripts

    def run_all(self, units: list[Unit], jobs: int, done: Callable[[Result], None]) -> list[Result]:
        """All units, `jobs` at a time; `done` is called with each result as it comes. Results are in the units' order.

        Watched ones come last and one at a time: a thread that must wait for the interpreter (5 ms) misses what it looks for.
        """
        results: dict[Unit, Result] = {}

        def keep(result: Result) -> None:
            results[result.unit] = result
            done(result)

        self._run_beside([unit for unit in units if not unit.case.watched], jobs, keep)
        for unit in units:
            if unit.case.watched:
                keep(self.run(unit))
        return [results[unit] for unit in units]

    def _run_beside(self, units: list[Unit], jobs: int, keep: Callable[[Result], None]) -> None:
        with ThreadPoolExecutor(jobs) as executor:
            futures: list[Future[Result]] = [executor.submit(self.run, unit) for unit in units]
            try:
                for future in as_completed(futures):
                    keep(future.result())
            except BaseException:
                executor.shutdown(cancel_futures=True)
                raise

    def run(self, unit: Unit) -> Result:
        """One unit, from taking its drivers to its final verdict."""
        roles = dict(zip("AB", unit.drivers, strict=False))
        transcript = Transcript(
            unit.case.id, {role: self.configs[name].describe() for role, name in roles.items()}, {"flow": unit.flow}
        )
        begun = time.monotonic()
        result = self._attempt(unit, roles, transcript)
        result.seconds = time.monotonic() - begun
        self.keep_transcript(result, transcript)
        return finish(result, self.known)

    def _attempt(self, unit: Unit, roles: dict[str, str], transcript: Transcript) -> Result:
        processes: dict[str, DriverProcess] = {}
        clean, apart = False, unit.case.kind == "hostile"
        try:
            for role, name in roles.items():
                if unit.flow == "write" and role == "B" and name == unit.drivers[0]:
                    continue  # alone: it reads back what it made
                processes[role] = self.pool.take(self.configs[name], apart=apart)
            self._drive(unit, processes, transcript)
            clean = True
            return Result(unit, "PASS", blame=sorted(set(unit.drivers)))
        except Finding as found:
            return self._found(unit, found, roles)
        except NotApplicable as reason:
            return Result(unit, "N/A", str(reason))
        except (HarnessError, UsageError) as error:
            return Result(unit, "HARNESS-ERROR", str(error))
        except Exception:
            return Result(unit, "HARNESS-ERROR", traceback.format_exc(limit=-6))
        finally:
            for process in processes.values():
                self.pool.give(process, clean=clean, apart=apart)

    def _drive(self, unit: Unit, processes: dict[str, DriverProcess], transcript: Transcript) -> None:
        session = Session(unit.case.profile, self.segments, processes, transcript)
        try:
            _FLOWS[unit.flow](unit.case, self.corpus, session)
            session.refuse_sanitizer_reports()
        finally:
            session.close()

    @staticmethod
    def _found(unit: Unit, found: Finding, roles: dict[str, str]) -> Result:
        guilty = roles.get(found.on)
        return Result(unit, found.verdict, found.message, [guilty] if guilty else sorted(set(unit.drivers)), diff=found.diff)

    def keep_transcript(self, result: Result, transcript: Transcript) -> None:
        """Every transcript goes to the report; what failed also carries it along for the HTML page."""
        if self.keep is not None:
            name = f"{result.unit.case.id.replace('/', '.')}~{result.unit.flow}~{'~'.join(result.unit.drivers)}.jsonl"
            transcript.save(self.keep / name)
            result.transcript = f"{self.keep.name}/{name}"
        if result.verdict != "PASS":
            result.transcript_text = transcript.text()


def finish(result: Result, known: list[KnownFailure]) -> Result:
    """Level and known failures: a SHOULD that is not met is NON-STRICT; a known failure is XFAIL, its absence XPASS."""
    if result.unit.case.level == "SHOULD" and result.verdict == "FAIL":
        result.verdict = "NON-STRICT"
    entry = next((one for one in known if one.covers(result.unit.case.id, list(result.unit.drivers))), None)
    if entry is not None and result.verdict in FAILURES | {"PASS"}:
        result.known = entry.reason + (f" ({entry.issue})" if entry.issue else "")
        result.verdict = "XPASS" if result.verdict == "PASS" else "XFAIL"
    return result
