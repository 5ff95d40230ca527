# SPDX-License-Identifier: MIT
"""Frozen requirement sets: which cases each class of a profile is made of. A run that leaves one out fails that class.

requirements/PROFILE-REVISION.toml is written by `shmwire-conform freeze` and only ever grows: a case may be withdrawn by name.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from .cases import CLASSES, Corpus
from .errors import HarnessError, UsageError
from .paths import REQUIREMENTS

REVISION = 1
Sets = dict[str, list[str]]  # class -> case ids


def path_of(profile: str) -> Path:
    return REQUIREMENTS / f"{profile}-{REVISION}.toml"


def current(corpus: Corpus, profile: str) -> Sets:
    """What the cases that are there now ask of each class: every MUST case, and what makes bytes also of class write."""
    sets: Sets = {cls: [] for cls in CLASSES}
    for case in corpus:
        if case.profile == profile and case.level == "MUST":
            sets[case.cls].append(case.id)
            if case.steps("make"):
                sets["write"].append(case.id)
    return {cls: sorted(ids) for cls, ids in sets.items() if ids}


def frozen(profile: str) -> Sets:
    """The frozen sets of a profile; HarnessError if there are none."""
    try:
        loaded = tomllib.loads(path_of(profile).read_text(encoding="utf-8"))
    except OSError:
        raise HarnessError(f"{path_of(profile).name} is missing: shmwire-conform freeze --profile {profile}") from None
    sets: Sets = loaded["classes"]
    return sets


def drift(corpus: Corpus, profile: str) -> list[str]:
    """Differences between the frozen sets and the cases: lost cases, and cases that nobody requires yet."""
    have, wanted = current(corpus, profile), frozen(profile)
    lines = []
    for cls in CLASSES:
        now, then = set(have.get(cls, [])), set(wanted.get(cls, []))
        lines += [f"{cls}: {case} is required and there is no such MUST case" for case in sorted(then - now)]
        lines += [f"{cls}: {case} is not in the frozen set (shmwire-conform freeze)" for case in sorted(now - then)]
    return lines


def freeze(corpus: Corpus, profile: str, withdraw: list[str]) -> tuple[Path, int]:
    """Write the sets as they are now. A case that is gone must be named in `withdraw`. Returns the file and its count of ids."""
    sets = current(corpus, profile)
    if not sets:
        raise UsageError(f"profile {profile} has no cases")
    if path_of(profile).exists():
        now = {case for ids in sets.values() for case in ids}
        lost = {case for ids in frozen(profile).values() for case in ids} - now - set(withdraw)
        if lost:
            raise UsageError(f"required cases are gone: {', '.join(sorted(lost))}; name them with --withdraw if that is meant")
    lines = [
        "# SPDX-License-Identifier: MIT",
        f"# The cases that each class of profile {profile}, revision {REVISION}, is made of.",
        "# Written by `shmwire-conform freeze`; do not edit.",
        f'profile = "{profile}"',
        f"revision = {REVISION}",
        "",
        "[classes]",
    ]
    for cls, ids in sets.items():
        lines += [f"{cls} = [", *(f'    "{case}",' for case in ids), "]"]
    path_of(profile).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path_of(profile), sum(len(ids) for ids in sets.values())
