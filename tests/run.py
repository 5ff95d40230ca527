# SPDX-License-Identifier: MIT
"""Run every test of the project, one stage after the other, and say which failed.

    ./dev test                 all stages
    ./dev test c go            only stages whose name begins with one of these words
    ./dev test --list          name the stages

A stage is one command. It is quiet unless it fails; its output is in build/logs/test-STAGE.log. Two lanes of stages run side
by side: the suite and its own tests, which mostly wait, and everything else. The mutants, some of which only live runs find, come
when both are done, and what was left in shared memory is looked for last.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LOGS = BUILD / "logs"
PY = str(BUILD / "venv/bin/python")
CONFORM = str(BUILD / "venv/bin/shmwire-conform")
CARGO_FLAGS = ["--all-targets", "--all-features"]
# Lints that clippy 1.63 still has among the defaults and later ones do not: the first is wrong about threads, the second a taste.
CLIPPY_SINCE_MOVED = ["-A", "clippy::needless_collect", "-A", "clippy::format_push_string"]
TAIL_LINES = 60
STAGE_LIMIT_S = 1200
LAST = 2  # a lane of its own, when the others are done
PRINTING = threading.Lock()


@dataclass(frozen=True)
class Stage:
    name: str
    argv: list[str]
    what: str
    cwd: str = "."
    limit_s: int = STAGE_LIMIT_S
    lane: int = 0


def sanitized(kind: str, tests: str) -> list[str]:
    """Configure, build and run the C tests under a sanitizer, in a build directory of its own."""
    build = f"build/{kind.split(',')[0]}"
    return ["sh", "-ec", f"cmake -S . -B {build} -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSHMW_SANITIZE={kind} "
                         f"-DSHMW_BIN_DIR=$PWD/{build}/bin >/dev/null && cmake --build {build} -j2 >/dev/null && "
                         f"ctest --test-dir {build} --output-on-failure {tests}"]


STAGES = [
    Stage("spec-gen", [PY, "spec/gen.py", "--check"], "generated files are up to date"),
    Stage("spec-rules", [PY, "spec/rules.py", "--check"], "rules are well formed, locked, and named by cases"),
    Stage("spec-sources", [PY, "spec/rules.py", "--lint-sources"], "atomics, unsafe and labels are where they belong"),
    Stage("spec-fixtures", [PY, "fixtures/generate.py", "--check"], "fixtures are what the generator writes"),
    Stage("spec-tests", [PY, "-m", "pytest", "-q", "spec/test"], "generator, lint, Kaitai layout over the fixtures"),
    Stage("spec-models", [PY, "spec/models/run.py"], "Spin models, positive and negative", limit_s=2 * STAGE_LIMIT_S),
    Stage("c-tests", ["ctest", "--test-dir", "build/c", "--output-on-failure"], "C unit, CLI and install tests"),
    Stage("c-asan", sanitized("address,undefined", "-LE slow"), "the same under AddressSanitizer and UBSan"),
    Stage("c-tsan", sanitized("thread", "-L thread"), "threads over one mapping under ThreadSanitizer"),
    Stage("go-vet", ["go", "vet", "./..."], "go vet", cwd="bindings/go"),
    Stage("go-fmt", ["sh", "-ec", 'test -z "$(gofmt -l .)"'], "gofmt", cwd="bindings/go"),
    Stage("go-tests", ["go", "test", "./..."], "Go tests", cwd="bindings/go"),
    Stage("rust-fmt", ["cargo", "fmt", "--check"], "rustfmt", cwd="bindings/rust"),
    Stage("rust-clippy", ["cargo", "clippy", "-q", *CARGO_FLAGS, "--", "-D", "warnings", *CLIPPY_SINCE_MOVED], "clippy",
          cwd="bindings/rust"),
    Stage("rust-tests", ["cargo", "test", "-q", "--all-features"], "Rust tests", cwd="bindings/rust"),
    Stage("python-ruff", [PY, "-m", "ruff", "check", "."], "ruff over all Python"),
    Stage("python-mypy", [PY, "-m", "mypy", "--strict", "-p", "shmwire"], "mypy --strict, binding", cwd="bindings/python"),
    Stage("python-tests", [PY, "-m", "pytest", "-q", "bindings/python/tests"], "Python tests, both engines"),
    Stage("suite-mypy", [PY, "-m", "mypy", "--strict", "-p", "shmwire_conform"], "mypy --strict, suite", cwd="conformance"),
    Stage("bench-tests", [PY, "-m", "pytest", "-q", "bench/test"], "the benchmark measures and verifies (no figure is asserted)"),
    Stage("conform", ["./dev", "conform"], "five implementations through the suite", lane=1, limit_s=3 * STAGE_LIMIT_S),
    Stage("suite-tests", [PY, "-m", "pytest", "-q", "conformance/tests"], "the suite itself, broken drivers included", lane=1),
    Stage("conform-asan", [CONFORM, "run", "--tier", "quick", "--kind", "hostile", "--kind", "torn", "--kind", "golden",
                           "--kind", "captured", "--report", "build/report-asan", "--driver", "conformance/drivers/c-asan.toml"],
          "every fixture under AddressSanitizer and UBSan", lane=1),
    Stage("conform-mutants", ["./dev", "conform", "--mutants"], "planted defects are found", lane=LAST),
    Stage("shm-clean", [PY, "tests/shm_clean.py", "check"], "nothing was left in shared memory", lane=LAST),
]


def environment() -> dict[str, str]:
    env = dict(os.environ)
    env["PATH"] = f"{BUILD / 'bin'}:{BUILD / 'venv/bin'}:{env['PATH']}"
    env["CARGO_TARGET_DIR"] = str(BUILD / "rust")
    env["ASAN_OPTIONS"] = "abort_on_error=1:detect_leaks=1"
    env["UBSAN_OPTIONS"] = "halt_on_error=1:print_stacktrace=1"
    return env


def run(stage: Stage) -> bool:
    log = LOGS / f"test-{stage.name}.log"
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as out:
        try:
            code = subprocess.run(stage.argv, cwd=ROOT / stage.cwd, stdout=out, stderr=subprocess.STDOUT,
                                  stdin=subprocess.DEVNULL, env=environment(), timeout=stage.limit_s, check=False).returncode
        except subprocess.TimeoutExpired:
            code = -1
            out.write(f"\nstage limit of {stage.limit_s} s passed\n")
        except OSError as error:
            code = -1
            out.write(f"\n{error}\n")
    report(stage, code, time.monotonic() - began, log)
    return code == 0


def report(stage: Stage, code: int, seconds: float, log: Path) -> None:
    with PRINTING:
        print(f"{'ok  ' if code == 0 else 'FAIL'} {stage.name:<16} {seconds:6.1f} s  {stage.what}", flush=True)
        if code != 0:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            print("\n".join(f"     | {line}" for line in lines[-TAIL_LINES:]))
            print(f"     whole output: {log.relative_to(ROOT)}", flush=True)


def run_lane(stages: list[Stage], failed: list[str]) -> None:
    failed += [stage.name for stage in stages if not run(stage)]


def run_all(chosen: list[Stage]) -> list[str]:
    """The names of the stages that failed, in the order of the list."""
    failed: list[str] = []
    lanes = [threading.Thread(target=run_lane, args=([s for s in chosen if s.lane == lane], failed)) for lane in (0, 1)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    run_lane([stage for stage in chosen if stage.lane == LAST], failed)
    return [stage.name for stage in chosen if stage.name in failed]


def main() -> int:
    words = sys.argv[1:]
    if words == ["--list"]:
        for stage in STAGES:
            print(f"{stage.name:<16} {stage.what}")
        return 0
    chosen = [s for s in STAGES if not words or any(s.name.startswith(word) for word in words)]
    if not chosen:
        print("no such stage; ./dev test --list names them", file=sys.stderr)
        return 2
    LOGS.mkdir(parents=True, exist_ok=True)
    subprocess.run([PY, str(ROOT / "tests/shm_clean.py"), "mark"], check=True)
    failed = run_all(chosen)
    for name in failed:
        print(f"failed: {name}")
    print(f"{len(chosen) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
