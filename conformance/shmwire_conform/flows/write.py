# SPDX-License-Identifier: MIT
"""Write flow: a driver makes a segment from nothing. Exact: equal to the golden bytes. Otherwise: the oracle finds nothing
wrong with it, and every other driver reads the same messages from it as the oracle does."""

from __future__ import annotations

from typing import Any

from .. import judge
from ..cases import Case, Corpus
from ..errors import Finding, HarnessError
from ..expect import differences
from ..session import Session
from . import static


def make(case: Case, session: Session, *, with_inject: bool) -> bytes:
    """Run the make steps on driver A and drop its handles, if the segment outlives them; returns the bytes that it left."""
    steps = [step if with_inject else own_identity(step) for step in case.steps("make") if with_inject or step["cmd"] != "inject"]
    session.reset()
    session.run(steps)
    if not judge.goes_with_its_maker(case.profile):
        session.reset()
    content = session.content()
    if not content:
        raise Finding("there is no segment after the make steps", on="A")
    return content


def own_identity(step: dict[str, Any]) -> dict[str, Any]:
    """The step without expectations on clock, pid and runtime, which are the driver's own without `inject`."""
    if "expect" not in step:
        return step
    return {**step, "expect": _without(step["expect"], ("timestamp_ns", "sender_pid", "sender_runtime"))}


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(inner, names) for key, inner in value.items() if key not in names}
    if isinstance(value, list):
        return [_without(inner, names) for inner in value]
    return value


def run_exact(case: Case, corpus: Corpus, session: Session) -> None:
    content = make(case, session, with_inject=True)
    wanted = corpus.image(case.id)
    if wanted is None:
        raise HarnessError(f"{case.id} has no golden bytes")
    static.require_equal(case.profile, wanted, content, "A")
    session.reset()


def run_pairwise(case: Case, corpus: Corpus, session: Session) -> None:
    """A makes; the oracle checks; B (another driver, or A itself) looks at the file."""
    golden = corpus.image(case.id)
    content = make(case, session, with_inject=False)
    found = judge.findings(case.profile, content)
    if found:
        raise Finding(f"invariants broken: {'; '.join(found[:4])}", on="A", diff=found)
    if golden is not None:
        _require_same_messages(case.profile, golden, content)
    reader = "B" if "B" in session.drivers else "A"
    _require_read(case.profile, content, session, reader)
    session.reset()


def _require_same_messages(profile: str, golden: bytes, content: bytes) -> None:
    """Same places and payloads as the golden bytes; clock, pid and runtime are the driver's own."""
    narrowed = [[_without(item, ("meta",)) for item in judge.messages(profile, data)] for data in (golden, content)]
    complaints = differences(narrowed[0], narrowed[1], "messages")
    if complaints:
        raise Finding(f"the oracle reads other messages than were sent: {'; '.join(complaints[:3])}", on="A", diff=complaints)


def _require_read(profile: str, content: bytes, session: Session, role: str) -> None:
    """The driver in `role` must see exactly what the oracle sees, without touching a byte."""
    session.run([{**step, "on": role} for step in judge.reading(profile, content)])
    if session.content() != content:
        diff = judge.byte_diff(profile, content, session.content())
        raise Finding("a reader modified the segment", on=role, diff=diff)
