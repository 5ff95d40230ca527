# SPDX-License-Identifier: MIT
"""The rules lint, on small checkouts made for the purpose: every defect that it exists for is found, and named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lint import blocks, coverage, labels, lock, sources

ROOT = Path(__file__).resolve().parents[2]

RULE = """> r[toy.read.first] v1
> A reader MUST
> look first.
> level: MUST; role: reader; class: read; evidence: test
"""
REVIEWED = """> r[toy.read.second] v1
> A reader MAY look twice.
> level: MAY; role: reader; class: read; evidence: review (nothing to see)
"""
CHAPTER = f"""# Toy

```text
> r[toy.example.fenced] v1
```

{RULE}
{REVIEWED}
## 2. Memory order

| store | load | what |
|---|---|---|
| R1 | A1 | words |
| F2 | F2 | words |
"""
LAYOUT = """
[[struct]]
name = "header"
[[struct.field]]
name = "count"
labels = ["R1", "A1"]
"""
SCENARIO = "conformance/shmwire_conform/scenarios/toy/live.json"
COMMENTED = {
    "c": "/* R1 A1 F2 */ int x; // F2\n", "go": "// R1 A1 F2\n// F2\n",
    "rs": "// R1 A1\n/* F2 F2 */\n", "py": "# R1 A1\n# F2 F2\n",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    files = {
        "spec/toy.md": CHAPTER, "spec/layout/toy.toml": LAYOUT,
        "fixtures/toy/golden/one/case.json": json.dumps({"id": "toy/golden/one", "rules": ["toy.read.first"]}),
        SCENARIO: json.dumps([{"id": "toy/live/all", "rules": ["toy.read.first"]}]),
        "ref-c/src/toy/reader.c": COMMENTED["c"], "bindings/go/toy/reader.go": COMMENTED["go"],
        "bindings/rust/src/toy/reader.rs": COMMENTED["rs"], "bindings/python/shmwire/toy/reader.py": COMMENTED["py"],
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def edit(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    assert old in text
    (root / name).write_text(text.replace(old, new, 1), encoding="utf-8")


def load(root: Path) -> tuple[list[blocks.Rule], list[str]]:
    problems: list[str] = []
    return blocks.load_rules(root / "spec", problems), problems


def test_rules_are_parsed(checkout: Path) -> None:
    rules, problems = load(checkout)
    assert problems == []
    assert [(r.id, r.version, r.text, r.level, r.evidence, r.reason) for r in rules] == [
        ("toy.read.first", 1, "A reader MUST look first.", "MUST", "test", ""),
        ("toy.read.second", 1, "A reader MAY look twice.", "MAY", "review", "nothing to see")]


@pytest.mark.parametrize(("old", "new", "complaint"), [
    ("r[toy.read.first] v1", "r[toy.first] v1", "not a rule head"),
    ("r[toy.read.first] v1", "r[toy.read.first]", "not a rule head"),
    ("r[toy.read.first]", "r[toy.read.second]", "stands already at"),
    ("r[toy.read.first]", "r[other.read.first]", "not in other.md"),
    ("MUST\n", "must\n", "0 RFC 2119 keywords"),
    ("look first", "look first and MAY rest", "2 RFC 2119 keywords"),
    ("MUST\n", "SHALL\n", "says SHALL"),
    ("A reader MUST\n", "A reader SHOULD NOT\n", "says SHOULD NOT but has level MUST"),
    ("class: read; evidence: test", "class: reed; evidence: test", "unknown class reed"),
    ("role: reader", "role: rider", "unknown role rider"),
    ("evidence: test", "evidence: hope", "malformed metadata"),
    ("evidence: review (nothing to see)", "evidence: review", "without a reason"),
    ("evidence: test", "evidence: test (always)", "which only review takes"),
    ("level: MUST; role", "role", "malformed metadata"),
    ("> look first.\n", "look first.\n", "needs a text and a metadata line"),
])
def test_a_malformed_block_is_found(checkout: Path, old: str, new: str, complaint: str) -> None:
    edit(checkout, "spec/toy.md", old, new)
    assert any(complaint in problem for problem in load(checkout)[1]), load(checkout)[1]


def locked(checkout: Path) -> dict[str, lock.Entry]:
    entries, refused = lock.update_lock(load(checkout)[0], {}, [])
    assert refused == []
    lock.write_lock(checkout / "spec/rules.lock", entries)
    problems: list[str] = []
    assert lock.read_lock(checkout / "spec/rules.lock", problems) == entries
    assert problems == []
    return entries


def test_the_lock_holds(checkout: Path) -> None:
    entries = locked(checkout)
    assert lock.check_lock(load(checkout)[0], entries) == []
    edit(checkout, "spec/toy.md", "look first.", "look\n> first.")
    assert lock.check_lock(load(checkout)[0], entries) == [], "a line break is no change"


@pytest.mark.parametrize(("change", "complaint"), [
    (lambda root: edit(root, "spec/toy.md", "look first", "look once"), "another text under the same version"),
    (lambda root: edit(root, "spec/toy.md", "first] v1", "first] v2"), "its text is that of v1"),
    (lambda root: edit(root, "spec/toy.md", RULE, ""), "vanished"),
    (lambda root: edit(root, "spec/toy.md", "toy.read.second", "toy.read.third"), "r[toy.read.third] v1 is not locked"),
])
def test_a_change_without_a_version_is_found(checkout: Path, change: Callable[[Path], None], complaint: str) -> None:
    entries = locked(checkout)
    change(checkout)
    assert any(complaint in problem for problem in lock.check_lock(load(checkout)[0], entries))


def test_update_refuses_what_check_refuses(checkout: Path) -> None:
    entries = locked(checkout)
    edit(checkout, "spec/toy.md", "look first", "look once")
    assert lock.update_lock(load(checkout)[0], entries, [])[1] != []
    edit(checkout, "spec/toy.md", "first] v1", "first] v2")
    updated, refused = lock.update_lock(load(checkout)[0], entries, [])
    assert (refused, updated["toy.read.first"].version) == ([], 2)
    edit(checkout, "spec/toy.md", "first] v2", "first] v1")
    assert any("went back" in problem for problem in lock.check_lock(load(checkout)[0], updated))


def test_a_retired_id_is_never_used_again(checkout: Path) -> None:
    entries = locked(checkout)
    edit(checkout, "spec/toy.md", RULE, "")
    assert lock.update_lock(load(checkout)[0], entries, [])[1] != []
    retired, refused = lock.update_lock(load(checkout)[0], entries, ["toy.read.first"])
    assert refused == []
    assert retired["toy.read.first"].retired
    assert lock.check_lock(load(checkout)[0], retired) == []
    edit(checkout, "spec/toy.md", REVIEWED, REVIEWED + "\n" + RULE)
    assert any("ids are never reused" in problem for problem in lock.check_lock(load(checkout)[0], retired))


def covered(checkout: Path) -> list[str]:
    rules, problems = load(checkout)
    citations = coverage.load_citations(checkout, problems)
    return coverage.check_coverage(rules, citations) + coverage.check_mentions(checkout / "spec", citations) + problems


def test_coverage(checkout: Path) -> None:
    assert covered(checkout) == []
    edit(checkout, "spec/toy.md", "# Toy", "# Toy\n\nSee `toy/golden/one` and `toy/golden/two`.")
    assert covered(checkout) == ["spec/toy.md:3: there is no case toy/golden/two"]
    edit(checkout, "spec/toy.md", " and `toy/golden/two`", "")
    for name in ("fixtures/toy/golden/one/case.json", SCENARIO):
        edit(checkout, name, "toy.read.first", "toy.read.second")
    assert any("toy.read.first] has evidence test, and no case names it" in problem for problem in covered(checkout))
    edit(checkout, "fixtures/toy/golden/one/case.json", "toy.read.second", "toy.read.nothing")
    assert any("names r[toy.read.nothing]" in problem for problem in covered(checkout))
    edit(checkout, "fixtures/toy/golden/one/case.json", '"toy.read.nothing"', "")
    assert any("names no rule" in problem for problem in covered(checkout))
    (checkout / "fixtures/toy/golden/one/case.json").unlink()
    assert any("nothing is evidence" in problem for problem in covered(checkout))


@pytest.mark.parametrize(("name", "old", "new", "complaint"), [
    ("ref-c/src/toy/reader.c", "/* R1", "/*", "C comments on R1 0 times"),
    ("ref-c/src/toy/reader.c", "// F2", "", "C comments on F2 1 times"),
    ("ref-c/src/toy/reader.c", "int x;", "int A9; /* A9 */", "A9, which no chapter's table has"),
    ("bindings/go/toy/reader.go", "// R1 A1", "var R1, A1 //", "Go comments on A1 0 times"),
    ("bindings/rust/src/toy/reader.rs", "A1", "", "Rust comments on A1 0 times"),
    ("bindings/python/shmwire/toy/reader.py", "# R1 A1", "R1 = A1", "Python comments on R1 0 times"),
    ("spec/layout/toy.toml", '"A1"', '"A3"', "names A3, which the chapter's table lacks"),
    ("spec/toy.md", "look first.", "look first (A4).", "names A4, which the chapter's table lacks"),
    ("spec/toy.md", "## 2. Memory order", "## 2. Orders", "no section `N. Memory order`"),
])
def test_labels(checkout: Path, name: str, old: str, new: str, complaint: str) -> None:
    assert labels.check_labels(checkout, load(checkout)[0]) == []
    edit(checkout, name, old, new)
    problems = labels.check_labels(checkout, load(checkout)[0])
    assert any(complaint in problem for problem in problems), problems


# Spelt in pieces: this file is linted as well.
REGISTRY = ".".join(["registry", "npm" + "js", "org"])
HOME = "/" + "home/somebody/src"


@pytest.mark.parametrize(("name", "text", "complaint"), [
    ("ref-c/src/toy/reader.c", "x = atomic_load(&word);", "atomics belong into"),
    ("ref-c/src/map.c", "#include <stdatomic.h>", "atomics belong into"),
    ("ref-c/include/toy.h", "_Atomic int x;", "atomics belong into"),
    ("bindings/go/toy/reader.go", 'import "unsafe"', "unsafe belongs into"),
    ("bindings/go/toy/reader.go", "p := unsafe.Pointer(q)", "unsafe belongs into"),
    ("bindings/rust/src/toy/reader.rs", "unsafe { *p }", "unsafe belongs into"),
    ("bindings/rust/src/toy/reader.rs", "use std::sync::atomic::AtomicU64;", "atomics belong into"),
    ("README.md", f"see {REGISTRY}", "names a package host"),
    ("README.md", f"in {HOME}", "a path of one machine"),
])
def test_a_source_that_breaks_a_house_rule_is_found(name: str, text: str, complaint: str) -> None:
    found = sources.check_ownership(name, text) + sources.check_names(name, text)
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(("name", "text"), [
    ("ref-c/src/atomic.h", "x = atomic_load(&word);"),
    ("ref-c/src/toy/layout.h", "_Atomic(uint64_t) head;"),
    ("ref-c/src/wait.h", "int toy_wait(_Atomic(uint32_t) *word);"),
    ("ref-c/src/toy/reader.c", "/* atomic_load would do */ /* \"unsafe\" */"),
    ("bindings/go/internal/shm/atomic.go", 'import "unsafe"'),
    ("bindings/go/toy/reader.go", "// unsafe.Pointer is not needed here"),
    ("bindings/rust/src/atomic.rs", "use std::sync::atomic::AtomicU64; unsafe { *p }"),
    ("bindings/rust/src/lib.rs", "#![deny(unsafe_op_in_unsafe_fn)]"),
    ("README.md", "golang.org/x/sys and /dev/shm and ./root/x and spec/layout/dmxp.toml"),
])
def test_a_source_that_keeps_the_house_rules_passes(name: str, text: str) -> None:
    assert sources.check_ownership(name, text) + sources.check_names(name, text) == []


def test_licence_lines() -> None:
    assert sources.check_licence("a/b.c", "int x;\n") != []
    assert sources.check_licence("tool", "#!/bin/sh\ntrue\n") != []
    assert sources.check_licence("a/b.c", "/* SPDX-License-Identifier: MIT */\nint x;\n") == []
    assert sources.check_licence("a/b.md", "prose\n") == []


def test_the_command_line(checkout: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "spec/rules.py"), "--root", str(checkout), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert run("--check").returncode == 1, "no lock yet"
    assert run("--update").returncode == 0
    assert run("--check").returncode == 0
    listed = json.loads(run("--list", "--json").stdout)
    assert listed["schema"] == "shmwire-rules/1"
    assert [rule["id"] for rule in listed["rules"]] == ["toy.read.first", "toy.read.second"]
    assert run("--list").stdout.count("\n") == 2
    edit(checkout, "spec/toy.md", "look first", "look once")
    assert run("--check", "--only", "blocks").returncode == 0
    assert run("--check").returncode == 1
    assert run("--update").returncode == 1
    assert run("--nonsense").returncode == 2
