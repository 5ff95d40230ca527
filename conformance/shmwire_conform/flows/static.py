# SPDX-License-Identifier: MIT
"""Static flow: a driver reads a fresh copy of a case's bytes. Nothing of the implementation under test grades it."""

from __future__ import annotations

from .. import judge
from ..cases import Case, Corpus, patched
from ..errors import Finding, HarnessError
from ..expect import differences
from ..session import Session


def run(case: Case, corpus: Corpus, session: Session) -> None:
    """Open, read, compare; drop every handle; then look at what the driver left of the file."""
    image = corpus.image(case.id)
    if image is None:
        raise HarnessError(f"{case.id} has no bytes to read")
    session.may_crash = bool(case.raw.get("crash_ok"))
    session.place(image, case.id)
    session.reset()
    if "reject" in case.raw:
        session.run_rejected(case.steps("read"), case.raw["reject"])
    else:
        session.run(case.steps("read"))
    session.reset()
    check_after(case, corpus, session, image)


def check_after(case: Case, corpus: Corpus, session: Session, before: bytes | None) -> None:
    """`unmodified` and `after`: the file's bytes, then what the oracle decodes from them."""
    content = session.content()
    if case.raw.get("unmodified") and before is not None and content != before:
        diff = judge.byte_diff(case.profile, before, content)
        raise Finding(f"the segment was modified: {diff[0]}", on=session.last_actor, diff=diff)
    after = case.raw.get("after", {})
    if "patch" in after:
        if before is None:
            raise HarnessError(f"{case.id}: after.patch without bytes at the start")
        require_equal(case.profile, patched(before, after["patch"], case.id), content, session.last_actor)
    if "equals" in after:
        wanted = corpus.image(after["equals"])
        if wanted is None:
            raise HarnessError(f"{case.id}: {after['equals']} has no bytes")
        require_equal(case.profile, wanted, content, session.last_actor)
    if "fields" in after:
        found = judge.field_values(case.profile, content, list(after["fields"]))
        complaints = differences(after["fields"], found)
        if complaints:
            raise Finding(f"afterwards: {'; '.join(complaints[:4])}", on=session.last_actor, diff=complaints)
    if after.get("invariants"):
        found_wrong = judge.findings(case.profile, content)
        if found_wrong:
            raise Finding(f"invariants broken: {'; '.join(found_wrong[:4])}", on=session.last_actor, diff=found_wrong)


def require_equal(profile: str, wanted: bytes, content: bytes, role: str) -> None:
    """Byte for byte, with the names of the fields that differ."""
    if content == wanted:
        return
    diff = judge.byte_diff(profile, wanted, content)
    raise Finding(f"bytes differ: {diff[0]}{f' and {len(diff) - 1} more' if len(diff) > 1 else ''}", on=role, diff=diff)
