# SPDX-License-Identifier: MIT
"""Step flow: drivers A and B on one segment, commands strictly in turn; the runner may hold the lock, sleep or look."""

from __future__ import annotations

from ..cases import Case, Corpus
from ..session import Session
from . import static


def run(case: Case, corpus: Corpus, session: Session) -> None:
    """The steps in turn on the case's bytes, or on nothing; then what is left of the segment."""
    image = corpus.image(case.id)
    session.may_crash = bool(case.raw.get("crash_ok"))
    if image is not None:
        session.place(image, case.id)
    session.reset()
    session.run(case.steps("steps"))
    session.reset()
    static.check_after(case, corpus, session, image)
