# SPDX-License-Identifier: MIT
"""shmwire-conform: run, doctor, explain, list, export, replay, freeze.

Exit: 0 as expected, 1 findings, 2 usage or I/O, 3 the suite itself failed, 5 nothing was selected.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from pathlib import Path

from . import __version__, config, doctor, engine, exporting, replaying, report, requirements, summary
from .cases import CLASSES, KINDS, Case, Corpus, everything
from .config import DriverConfig
from .errors import HarnessError, UsageError
from .model import Result
from .plan import Selection
from .report import explain, terminal

BUILT_IN = ("c", "go", "rust", "python", "native")


def _add_drivers(parser: argparse.ArgumentParser) -> None:
    names = ", ".join(BUILT_IN)
    parser.add_argument("--driver", action="append", default=[], metavar="FILE", help=f"driver.toml, or a built-in name: {names}")


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", action="append", default=[], metavar="P", help="only this profile")
    parser.add_argument("--class", action="append", default=[], dest="classes", choices=CLASSES, help="only this class")
    parser.add_argument("--kind", action="append", default=[], choices=KINDS, help="only cases of this kind")
    parser.add_argument("--case", action="append", default=[], metavar="GLOB", help="only cases whose id matches")
    parser.add_argument("--rule", action="append", default=[], metavar="GLOB", help="only cases that name a rule that matches")


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="shmwire-conform", description=__doc__, formatter_class=plain)
    parser.add_argument("--version", action="version", version=f"shmwire-conform {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="put drivers through the suite", epilog="run … -- COMMAND ARGS needs no driver.toml")
    _add_drivers(run)
    _add_selection(run)
    run.add_argument("--tier", choices=("quick", "full"), default="quick", help="full: every ordered pair (default: quick)")
    run.add_argument("--jobs", type=int, default=2, metavar="N",
                     help="cases at a time (live runs and watched steps are one at a time; default: 2)")
    run.add_argument("--seed", type=int, default=1, metavar="N", help="of kill moments, payloads and stutter (default: 1)")
    files = "results.jsonl, junit.xml, report.html, matrix.md, coverage.json, transcripts/"
    run.add_argument("--report", type=Path, metavar="DIR", help=f"write {files}")
    run.add_argument("--known", action="append", default=[], type=Path, metavar="FILE", help="known failures (TOML): run anyway")

    check = commands.add_parser("doctor", help="check a driver's manners first", epilog="doctor -- COMMAND ARGS works too")
    _add_drivers(check)

    one = commands.add_parser("explain", help="a case: rules, bytes with field names, steps")
    one.add_argument("case", metavar="CASE")

    every = commands.add_parser("list", help="the cases")
    _add_selection(every)
    every.add_argument("--json", action="store_true", help="one JSON object a line")

    out = commands.add_parser("export", help="fixtures and cases as plain files, for runners in other languages")
    out.add_argument("directory", type=Path, metavar="DIR")
    _add_selection(out)

    again = commands.add_parser("replay", help="send a transcript's requests again and compare the replies")
    again.add_argument("transcript", type=Path, metavar="TRANSCRIPT")
    _add_drivers(again)

    freeze = commands.add_parser("freeze", help="write the requirement sets of the cases that are there now")
    freeze.add_argument("--profile", default="dmxp", metavar="P")
    freeze.add_argument("--withdraw", action="append", default=[], metavar="CASE", help="a required case that is gone on purpose")
    freeze.add_argument("--check", action="store_true", help="compare instead of writing")
    return parser


def _selection(args: argparse.Namespace, tier: str = "quick") -> Selection:
    return Selection(tuple(args.profile), tuple(args.classes), tuple(args.kind), tuple(args.case), tuple(args.rule), tier)


def _drivers(args: argparse.Namespace, quick: list[str] | None) -> list[DriverConfig]:
    """The drivers asked for; without any, the five of this project."""
    drivers = [config.load_driver(source) for source in args.driver]
    if quick is not None:
        drivers.append(config.quick_driver(quick))
    return drivers or [config.load_driver(name) for name in BUILT_IN]


def _selected(corpus: Corpus, selection: Selection) -> list[Case]:
    return [case for case in corpus if selection.takes(case) and selection.takes_class(case.cls)]


class _Progress:
    """One line on a terminal, a line now and then elsewhere; nothing on standard output."""

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self._terminal = sys.stderr.isatty()
        self._last = time.monotonic()

    def __call__(self, result: Result, _phase: int, total: int) -> None:
        self.done += 1
        self.failed += result.failed
        now = time.monotonic()
        if self._terminal and now - self._last > 0.1:
            line = f"{self.done}/{total}, {self.failed} findings  {result.unit.key[:90]}"
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        elif now - self._last > 15:
            print(f"{self.done}/{total}, {self.failed} findings", file=sys.stderr, flush=True)
        else:
            return
        self._last = now

    def end(self) -> None:
        if self._terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _run(args: argparse.Namespace, quick: list[str] | None) -> int:
    if args.jobs < 1:
        raise UsageError("--jobs must be at least 1")
    known = [entry for path in args.known for entry in config.load_known(path)]
    options = engine.Options(_drivers(args, quick), _selection(args, args.tier), args.jobs, args.seed, args.report, known)
    progress = _Progress()
    try:
        run = engine.execute(options, progress)
    finally:
        progress.end()
    print(terminal.text(run, colour=terminal.use_colour()))
    if args.report is not None:
        written = report.write_all(run, args.report)
        print(f"report: {', '.join(str(path) for path in written)}")
    code = summary.exit_code(run)
    if code == 5:
        print("shmwire-conform: no case is selected that these drivers can run", file=sys.stderr)
    return code


def _doctor(args: argparse.Namespace, quick: list[str] | None) -> int:
    wrong = 0
    for driver in _drivers(args, quick):
        found = doctor.examine(driver)
        print(f"{driver.name}: {'in good health' if not any(not check.ok for check in found) else 'not well'}")
        for check in found:
            print(f"  {'ok  ' if check.ok else 'FAIL'} {check.name}{f': {check.message}' if check.message else ''}")
        wrong += sum(not check.ok for check in found)
    return 1 if wrong else 0


def _list(args: argparse.Namespace) -> int:
    cases = _selected(everything(), _selection(args))
    for case in cases:
        if args.json:
            fields = ("id", "title", "profile", "kind", "class", "level", "rules", "needs")
            print(json.dumps({key: case.raw[key] for key in fields}, ensure_ascii=False))
        else:
            print(f"{case.id:<52} {case.cls:<12} {case.level:<7} {case.title}")
    return 0 if cases else 5


def _explain(args: argparse.Namespace) -> int:
    corpus = everything()
    if args.case not in corpus.cases:
        raise UsageError(f"no case {args.case} (shmwire-conform list)")
    print(explain.explain(corpus, corpus.get(args.case)))
    return 0


def _export(args: argparse.Namespace) -> int:
    corpus = everything()
    cases = _selected(corpus, _selection(args))
    if not cases:
        return 5
    print(f"{exporting.export(corpus, cases, args.directory)} files in {args.directory}")
    return 0


def _replay(args: argparse.Namespace, quick: list[str] | None) -> int:
    chosen = _drivers(args, quick) if args.driver or quick is not None else []
    same, lines = replaying.replay(args.transcript, chosen)
    print("\n".join(lines))
    return 0 if same else 1


def _freeze(args: argparse.Namespace) -> int:
    corpus = everything()
    if args.check:
        lines = requirements.drift(corpus, args.profile)
        print("\n".join(lines) if lines else "the frozen sets are those of the cases")
        return 1 if lines else 0
    path, count = requirements.freeze(corpus, args.profile, args.withdraw)
    print(f"{path.name}: {count} requirements")
    return 0


def _dispatch(args: argparse.Namespace, quick: list[str] | None) -> int:
    with_drivers = {"run": _run, "doctor": _doctor, "replay": _replay}
    if args.command in with_drivers:
        return with_drivers[args.command](args, quick)
    if quick is not None:
        raise UsageError(f"{args.command} takes no command after --")
    return {"list": _list, "explain": _explain, "export": _export, "freeze": _freeze}[args.command](args)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status; the console script passes it to the system. SIGTERM cleans up like an interrupt."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    words = sys.argv[1:] if argv is None else argv
    quick = None
    if "--" in words:
        cut = words.index("--")
        words, quick = words[:cut], words[cut + 1 :]
    args = _parser().parse_args(words)
    try:
        return _dispatch(args, quick)
    except UsageError as error:
        print(f"shmwire-conform: {error}", file=sys.stderr)
        return 2
    except HarnessError as error:
        print(f"shmwire-conform: the suite itself is at fault: {error}", file=sys.stderr)
        return 3
    except OSError as error:
        print(f"shmwire-conform: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("shmwire-conform: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
