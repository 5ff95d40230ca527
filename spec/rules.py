#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The rules of the spec chapters: check them, lock them, list them; and the lints over the sources.

    spec/rules.py --check           rule blocks, rules.lock, coverage by cases
    spec/rules.py --check --only X  chosen parts: blocks, lock, coverage, labels or sources; may be repeated
    spec/rules.py --update          write rules.lock; --retire ID for a rule that left its chapter on purpose
    spec/rules.py --list [--json]   every rule, as lines or as one JSON document
    spec/rules.py --lint-sources    ordering labels in the implementations; atomics, unsafe, licence lines and names in all files

Exit: 0 nothing wrong, 1 findings, 2 usage. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from lint import blocks, coverage, labels, lock, sources

ROOT = Path(__file__).resolve().parent.parent
CHECK_PARTS = ["blocks", "lock", "coverage"]
LINT_PARTS = ["labels", "sources"]


def check(root: Path, parts: list[str]) -> list[str]:
    """Every finding of the parts asked for. Malformed blocks are findings of every part that reads rules."""
    problems: list[str] = []
    rules = blocks.load_rules(root / "spec", problems) if set(parts) != {"sources"} else []
    if "lock" in parts:
        entries = lock.read_lock(root / "spec/rules.lock", problems)
        problems += lock.check_lock(rules, entries)
    if "coverage" in parts:
        citations = coverage.load_citations(root, problems)
        problems += coverage.check_coverage(rules, citations)
        problems += coverage.check_mentions(root / "spec", citations)
    if "labels" in parts:
        problems += labels.check_labels(root, rules)
    if "sources" in parts:
        problems += sources.check_sources(root)
    return problems


def update(root: Path, retire: list[str]) -> list[str]:
    problems: list[str] = []
    rules = blocks.load_rules(root / "spec", problems)
    path = root / "spec/rules.lock"
    entries = lock.read_lock(path, problems) if path.exists() else {}
    result, refused = lock.update_lock(rules, entries, retire)
    problems += refused
    if not problems:
        lock.write_lock(path, result)
    return problems


def listing(rules: list[blocks.Rule], as_json: bool) -> str:
    if not as_json:
        return "".join(f"{rule.id:<34} v{rule.version}  {rule.level:<6}  {rule.klass:<11}  {rule.evidence:<6}  {rule.text}\n"
                       for rule in rules)
    body = [{"id": rule.id, "version": rule.version, "profile": rule.profile, "level": rule.level, "role": rule.role,
             "class": rule.klass, "evidence": rule.evidence, "reason": rule.reason, "text": rule.text,
             "chapter": rule.chapter, "line": rule.line, "sha256": rule.digest} for rule in rules]
    return json.dumps({"schema": "shmwire-rules/1", "rules": body}, indent=1, ensure_ascii=False) + "\n"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verb = parser.add_mutually_exclusive_group(required=True)
    verb.add_argument("--check", action="store_true")
    verb.add_argument("--update", action="store_true")
    verb.add_argument("--list", action="store_true")
    verb.add_argument("--lint-sources", action="store_true")
    parser.add_argument("--only", action="append", choices=CHECK_PARTS + LINT_PARTS,
                        help="with --check: one part; may be repeated")
    parser.add_argument("--retire", action="append", default=[], metavar="ID", help="with --update")
    parser.add_argument("--json", action="store_true", help="with --list")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout; default: this one")
    return parser.parse_args()


def main() -> int:
    args = parse_arguments()
    problems: list[str] = []
    if args.list:
        sys.stdout.write(listing(blocks.load_rules(args.root / "spec", problems), args.json))
    elif args.update:
        problems = update(args.root, args.retire)
    else:
        problems = check(args.root, LINT_PARTS if args.lint_sources else args.only or CHECK_PARTS)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print(f"spec/rules.py: {len(problems)} findings", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
