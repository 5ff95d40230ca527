# SPDX-License-Identifier: MIT
"""Plant one defect at a time in a copy of the C implementation and count how many the suite finds.

    ./dev conform --mutants                all
    ./dev conform --mutants NAME…          only these
    ./dev conform --mutants --list         name them

A mutant of PROFILE.toml is one textual replacement in ref-c/src, and the rule that it breaks. It is killed when a case that
names this rule fails; a failure elsewhere alone does not count. The unchanged source must pass the same cases first.

Live runs find a race only when the actors meet. A mutant that they do not find gets them again with another seed, up to
LIVE_ROUNDS times in all; the line of a mutant that needed more than one round says so.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from shmwire_conform import engine
from shmwire_conform.config import load_driver
from shmwire_conform.model import Result
from shmwire_conform.plan import Selection

ROOT = Path(__file__).resolve().parent.parent.parent
ROOM = ROOT / "build/mutants"
SOURCES = ROOM / "src"
DRIVER = ROOM / "bin/shmwire-driver-c"
BUILD_LIMIT_S = 240
STILL = ("golden", "captured", "hostile", "torn", "step")
LIVE = ("live",)
LIVE_ROUNDS = 4


@dataclass(frozen=True)
class Mutant:
    profile: str
    name: str
    rule: str
    file: str
    old: str
    new: str
    why: str

    @property
    def id(self) -> str:
        return f"{self.profile}/{self.name}"


def load() -> list[Mutant]:
    found = []
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        found += [Mutant(path.stem, **item) for item in raw["mutant"]]
    return found


def shell(argv: list[str], log: str) -> int:
    with (ROOM / log).open("w", encoding="utf-8") as out:
        try:
            return subprocess.run(argv, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, timeout=BUILD_LIMIT_S,
                                  check=False).returncode
        except subprocess.TimeoutExpired:
            return -1


def fresh_sources() -> None:
    """A copy whose untouched files keep their times, so that make rebuilds only what a mutant changes."""
    shutil.copytree(ROOT / "ref-c/src", SOURCES, dirs_exist_ok=True)


def build(log: str) -> bool:
    return shell(["cmake", "--build", str(ROOM / "cmake"), "--target", "shmwire-driver-c", "-j2"], log) == 0


def prepare() -> None:
    shutil.rmtree(ROOM, ignore_errors=True)
    ROOM.mkdir(parents=True)
    fresh_sources()
    configured = shell(["cmake", "-S", str(ROOT), "-B", str(ROOM / "cmake"), "-DCMAKE_BUILD_TYPE=Release",
                        f"-DSHMW_SRC={SOURCES}", f"-DSHMW_BIN_DIR={ROOM / 'bin'}", "-DSHMW_BUILD_TESTS=OFF"], "configure.log")
    if configured != 0 or not build("build.log"):
        sys.exit("mutants: the unchanged source does not build (build/mutants/*.log)")
    (ROOM / "mutant.toml").write_text(f'name = "mutant"\ncommand = ["{DRIVER}"]\n', encoding="utf-8")


def plant(mutant: Mutant) -> None:
    path = SOURCES / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        sys.exit(f"mutants: {mutant.id}: its text stands {text.count(mutant.old)} times in {mutant.file}; mend the list")
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def heal(mutant: Mutant) -> None:
    # copyfile, not copy2: the healed file must look newer than the object made from the mutant.
    shutil.copyfile(ROOT / "ref-c/src" / mutant.file, SOURCES / mutant.file)


class Caught(Exception):
    """A case failed, and one is enough."""


def failing_cases(mutants: list[Mutant], name: str, kinds: tuple[str, ...], *, first: bool = False,
                  seed: int = 1) -> list[str]:
    """Run the cases of these kinds that name the mutants' rules against the driver in DRIVER; ids of those that did not pass, or
    the first of them. In this process: the cases are loaded and checked once for all mutants."""
    failed: list[str] = []

    def look(result: Result, _phase: int, _total: int) -> None:
        if result.verdict == "HARNESS-ERROR":
            sys.exit(f"mutants: {name}: {result.unit.case.id}: the suite could not run: {result.message}")
        if result.verdict not in {"PASS", "N/A", "XFAIL"}:
            failed.append(result.unit.case.id)
            if first:
                raise Caught

    selection = Selection(rules=tuple(sorted({m.rule for m in mutants})), kinds=kinds, tier="quick")
    options = engine.Options([load_driver(str(ROOM / "mutant.toml"))], selection, seed=seed, report=ROOM / f"{name}-{kinds[0]}")
    with contextlib.suppress(Caught):
        engine.execute(options, look)
    return sorted(set(failed))


def killer_of(mutant: Mutant) -> str:
    """The first case that finds it, or "". Live runs take seconds each, so they are asked last."""
    still = failing_cases([mutant], mutant.name, STILL, first=True)
    if still:
        return still[0]
    for seed in range(1, LIVE_ROUNDS + 1):
        live = failing_cases([mutant], mutant.name, LIVE, first=True, seed=seed)
        if live:
            return live[0] + (f" (round {seed})" if seed > 1 else "")
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    mutants = [m for m in load() if not args.names or m.name in args.names or m.id in args.names]
    if args.list:
        for m in mutants:
            print(f"{m.id:<34} {m.rule:<28} {m.why}")
        return 0
    if not mutants:
        print("mutants: no such mutant; --list names them", file=sys.stderr)
        return 2
    prepare()
    wrong = failing_cases(mutants, "unchanged", STILL) + failing_cases(mutants, "unchanged", LIVE)
    if wrong:
        print(f"mutants: the unchanged source fails {', '.join(wrong[:5])}; mend that first", file=sys.stderr)
        return 1
    alive = []
    for mutant in mutants:
        plant(mutant)
        if not build(f"{mutant.name}-build.log"):
            sys.exit(f"mutants: {mutant.id} does not compile (build/mutants/{mutant.name}-build.log)")
        killer = killer_of(mutant)
        heal(mutant)
        if not killer:
            alive.append(mutant.id)
        print(f"{'killed  ' if killer else 'SURVIVED'} {mutant.id:<34} {mutant.rule:<28} {killer or mutant.why}", flush=True)
    print(f"mutants: {len(mutants) - len(alive)} of {len(mutants)} killed, each by a case that names its rule")
    if alive:
        print(f"mutants: alive: {', '.join(alive)}")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
