# SPDX-License-Identifier: MIT
"""The fixtures themselves: format, checksums, generator, references between cases, and the rules that they cover."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from shmwire_conform.cases import Corpus
from shmwire_conform.paths import FIXTURES, SCENARIOS, SCHEMAS, SPEC

SCHEMA = json.loads((SCHEMAS / "case-1.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
PATHS = sorted([*FIXTURES.glob("*/*/*/case.json"), *SCENARIOS.glob("*/*.json")])
CASES: dict[str, dict[str, Any]] = {raw["id"]: raw for raw in (json.loads(p.read_text(encoding="utf-8")) for p in PATHS)}
LEAST = {
    "dmxp": {"golden": 40, "captured": 15, "hostile": 100, "torn": 150, "step": 90, "live": 12},
    "ouroboros": {"golden": 100, "captured": 15, "hostile": 100, "torn": 150, "step": 70, "live": 14},
    "deepwater": {"golden": 100, "hostile": 200, "torn": 250, "step": 75, "live": 12},
    "slick": {"golden": 250, "captured": 60, "hostile": 100, "torn": 130, "step": 80},
    "shmcomm": {"golden": 190, "hostile": 120, "torn": 250, "step": 170, "live": 30},
}
RULE = re.compile(r"> r\[([a-z.-]+)\] v\d+\n((?:> .*\n)+)")


def steps_of(raw: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for block in ("read", "make", "steps") for step in raw.get(block, [])]


def every_dict(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from every_dict(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from every_dict(inner)


def rules_in_spec() -> dict[str, str]:
    """Rule id -> its metadata line."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(SPEC.glob("*.md")))
    return {found[1]: found[2] for found in RULE.finditer(text)}


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_case_is_valid() -> None:
    broken = [f"{raw['id']}: {error.message[:200]}" for raw in CASES.values() for error in VALIDATOR.iter_errors(raw)]
    assert not broken


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"}, {"kind": "golden "}, {"rules": []}, {"reject": ["bad-magic"]}, {"id": "dmxp/hostile/Version"},
        {"steps": []}, {"unmodified": False}, {"after": {}}, {"read": [{"cmd": "read", "chanel": 0}]}, {"level": "MAY"},
    ],
)  # fmt: skip
def test_schema_is_strict(change: dict[str, Any]) -> None:
    raw = {**CASES["dmxp/hostile/version-2"], **change}
    assert list(VALIDATOR.iter_errors(raw)), f"accepted: {change}"


def test_directories_carry_their_ids() -> None:
    for path in FIXTURES.glob("*/*/*/case.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["id"] == path.parent.relative_to(FIXTURES).as_posix()
    for path in SCENARIOS.glob("*/*.json"):
        profile, kind, slug = json.loads(path.read_text(encoding="utf-8"))["id"].split("/")
        assert profile == path.parent.name
        assert path.stem in (slug, f"{kind}-{slug}")
    assert len(CASES) == len(PATHS), "two files carry one id"


def test_index_lists_every_file() -> None:
    index = json.loads((FIXTURES / "index.json").read_text(encoding="utf-8"))
    listed = {file["path"]: file for case in index["cases"] for file in case["files"]}
    cases = [case.parent for case in FIXTURES.glob("*/*/*/case.json")]
    present = {p.relative_to(FIXTURES).as_posix(): p for case in cases for p in case.rglob("*") if p.is_file()}
    assert set(listed) == set(present)
    for name, path in present.items():
        data = path.read_bytes()
        assert listed[name] == {"path": name, "sha256": hashlib.sha256(data).hexdigest(), "size": str(len(data))}
    assert [case["id"] for case in index["cases"]] == sorted(
        raw["id"] for raw in CASES.values() if "read" in raw or "make" in raw
    )


def test_segment_files_are_what_cases_say() -> None:
    own = [raw for raw in CASES.values() if "file" in raw]
    assert own
    for raw in own:
        data = (FIXTURES / raw["id"] / "seg.bin").read_bytes()
        assert raw["file"] == {"path": "seg.bin", "sha256": hashlib.sha256(data).hexdigest(), "size": str(len(data))}
        assert len(data) <= 160 * 1024, raw["id"]
    for raw in (raw for raw in CASES.values() if "files" in raw):
        for file in raw["files"]:
            data = (FIXTURES / raw["id"] / file["path"]).read_bytes()
            assert file == {"path": file["path"], "sha256": hashlib.sha256(data).hexdigest(), "size": str(len(data))}
        assert sum(int(file["size"]) for file in raw["files"]) <= 160 * 1024, raw["id"]


def generator(tmp: Path) -> Path:
    """A copy of the generator, its inputs and the captured bytes, in an empty place."""
    root = FIXTURES.parent
    for path in [root / "fixtures/generate.py", *(root / "fixtures/gen").glob("*.py"), *(root / "spec/layout").glob("*.toml"),
                 *(root / "fixtures").glob("*/captured/*/seg.bin")]:  # fmt: skip
        copy = tmp / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return tmp / "fixtures/generate.py"


def files_below(root: Path) -> dict[str, bytes]:
    paths = [root / "index.json", *(path for path in root.glob("*/*/*/**/*") if path.is_file())]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def run(script: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", str(script), *args], capture_output=True, text=True, timeout=300, check=False
    )


def test_generator_is_deterministic_and_notices(tmp_path: Path) -> None:
    """Written from nothing, with the standard library alone, it gives the bytes that are committed; --check sees any change."""
    script = generator(tmp_path)
    made = run(script)
    assert made.returncode == 0, made.stderr
    committed, written = files_below(FIXTURES), files_below(script.parent)
    assert written == committed
    assert run(script, "--check").returncode == 0
    victim = script.parent / "dmxp/golden/full/seg.bin"
    victim.write_bytes(victim.read_bytes()[:-1] + b"\x01")
    (script.parent / "dmxp/golden/empty/case.json").unlink()
    found = run(script, "--check")
    assert found.returncode == 1
    assert "golden/full/seg.bin: differs" in found.stdout
    assert "golden/empty/case.json: missing" in found.stdout


def test_every_kind_has_its_cases() -> None:
    for profile, kinds in LEAST.items():
        for kind, least in kinds.items():
            assert sum((raw["profile"], raw["kind"]) == (profile, kind) for raw in CASES.values()) >= least, (profile, kind)


def test_images_resolve_and_patches_change_something() -> None:
    corpus = Corpus()
    seen: dict[bytes, str] = {}
    for raw in CASES.values():
        if raw["kind"] not in ("hostile", "torn"):
            continue
        image, before = corpus.image(raw["id"]), corpus.image(raw["base"]["case"])
        assert image is not None
        assert before is not None
        changed = image != before or raw["kind"] == "torn"  # a store may store what is there already
        assert changed or not raw["base"]["patch"], raw["id"]
        assert raw["kind"] == "torn" or raw["base"]["patch"], f"{raw['id']} has no fault"
        assert raw["kind"] == "torn" or len(raw["base"]["patch"]) == 1, f"{raw['id']} has more than one fault"
        if raw["kind"] == "torn" and raw["class"] == "read":
            assert seen.setdefault(image, raw["id"]) == raw["id"], f"{raw['id']} is the image of {seen[image]}"


def test_bases_and_equals_exist_and_are_valid_twins() -> None:
    for raw in CASES.values():
        if "base" in raw:
            assert raw["base"]["case"] in CASES, raw["id"]
        if raw["kind"] in ("hostile", "torn"):
            assert CASES[raw["base"]["case"]]["kind"] == "golden", raw["id"]
        if "equals" in raw.get("after", {}):
            assert raw["after"]["equals"] in CASES, raw["id"]


def test_every_step_that_matters_is_judged() -> None:
    """A case must be able to fail: it expects something, rejects, compares bytes, or asks for a state."""
    for raw in CASES.values():
        if raw["kind"] == "live":
            continue
        judged = [
            step
            for step in steps_of(raw)
            if "expect" in step or step["cmd"] in ("bytes", "same", "changed", "invariants", "stat", "absent", "held")
        ]
        assert judged or "reject" in raw or "make" in raw or "after" in raw, raw["id"]


def test_codes_are_in_the_registry() -> None:
    errors = (SPEC / "errors.toml").read_text(encoding="utf-8")
    names = set(re.findall(r'^\[\[error\]\]\nname = "([A-Z_]+)"', errors, re.MULTILINE))
    assert len(names) > 10
    names |= {"FULL", "CLOSED"}  # answers, and errors of a call that makes or opens something
    for raw in CASES.values():
        used = set(raw.get("reject", []))
        for value in every_dict(steps_of(raw)):
            used |= set(value["err"]) if isinstance(value.get("err"), list) else set()
        assert used <= names, raw["id"]


def test_rules_exist_and_each_is_covered() -> None:
    rules = rules_in_spec()
    named = {rule for raw in CASES.values() for rule in raw["rules"]}
    assert len(rules) > 50
    assert named <= set(rules)
    assert [rule for rule, text in rules.items() if "evidence: test" in text and rule not in named] == []


def test_no_names_of_this_machine() -> None:
    words = re.compile(r"/w[o]rk|/home/|/tmp/|/dev/shm|https?://")
    assert [raw["id"] for raw in CASES.values() if words.search(json.dumps(raw))] == []
