# SPDX-License-Identifier: MIT
"""What the runner fills in for a case: names of the segment said in other ways, segments beside it, "$seg" in expectations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import script
from shmwire_conform.errors import Finding, HarnessError, NotApplicable
from shmwire_conform.process import DriverProcess
from shmwire_conform.segments import Segments
from shmwire_conform.session import Session
from shmwire_conform.transcript import Transcript

# Says which segment it was asked for.
BODY = """
def reply(ask):
    return {'ok': {'h': 1, 'shm_name': ask.get('seg', '')}}
"""
OPEN = {"cmd": "open", "mode": "ro"}


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    segments, process = Segments(), DriverProcess(script(tmp_path, BODY))
    process.greet()
    made = Session("slick", segments, {"A": process}, Transcript("x", {}))
    try:
        yield made
    finally:
        made.close()
        process.kill()
        assert segments.leftovers() == []
        segments.clean()


def test_names_of_one_segment(session: Session) -> None:
    locator = session.locator
    assert session.fill("A", OPEN)["seg"] == locator
    assert session.fill("A", {**OPEN, "name": "bare"})["seg"] == locator[1:]
    longer = session.fill("A", {**OPEN, "name": "32"})["seg"]
    assert len(longer) == 32 and longer.startswith(locator)
    assert "name" not in session.fill("A", {**OPEN, "name": "31"})


def test_a_path_has_no_other_name(session: Session) -> None:
    session.locator = "/some/path"
    with pytest.raises(NotApplicable):
        session.fill("A", {**OPEN, "name": "bare"})


def test_words_stand_in_longer_ones(session: Session) -> None:
    name = session.fill("A", {**OPEN, "options": {"name": "$name"}})["options"]["name"]
    assert session.fill("A", {**OPEN, "options": {"name": "$name and more"}})["options"]["name"] == f"{name} and more"
    longest = session.fill("A", {**OPEN, "options": {"name": "$long"}})["options"]["name"]
    assert len(longest) == 200 and longest.startswith(name)
    assert session.beside("/shmcomm_pub_$name") == f"/shmcomm_pub_{name}"
    assert session.beside("_rep_9") == f"{session.locator}_rep_9"
    called = session.fill("A", {"cmd": "call", "verb": "shmcomm.remove", "args": {"seg": "$seg_rep_9"}})
    assert called["args"] == {"seg": f"{session.locator}_rep_9"} and "h" not in called
    session.segments.file_of(f"/shmcomm_pub_{name}").write_bytes(b"")


def test_a_word_is_one_segment_for_all(session: Session) -> None:
    session.run([OPEN])
    one = session.fill("A", {**OPEN, "options": {"cursor": "work"}})["options"]["cursor"]
    other = session.fill("A", {"cmd": "call", "verb": "slick.cursor_create", "args": {"cursor": "work"}})["args"]["cursor"]
    assert one == other != session.locator
    assert session.fill("A", {**OPEN, "options": {"cursor": "rest"}})["options"]["cursor"] not in (one, session.locator)


def test_the_runner_looks_beside(session: Session) -> None:
    """Steps with `of` see that segment, and the end of the case removes it."""
    place = Segments.file_of(session.beside("work"))
    place.write_bytes(bytes(8))
    session.last_actor = "A"
    session.run([
        {"on": "runner", "cmd": "poke", "of": "work", "off": "0", "hex": "07"},
        {"on": "runner", "cmd": "bytes", "of": "work", "off": "0", "hex": "0700"},
        {"on": "runner", "cmd": "stat", "of": "work", "size": "8"},
        {"on": "runner", "cmd": "absent"},
    ])  # fmt: skip
    with pytest.raises(Finding, match="there is a segment"):
        session.run([{"on": "runner", "cmd": "absent", "of": "work"}])
    session.close()
    assert not place.exists()


def test_expectations_can_ask_for_the_locator(session: Session) -> None:
    session.run([{**OPEN, "expect": {"ok": {"shm_name": "$seg"}}}])
    with pytest.raises(Finding, match="shm_name: expected /"):
        session.run([{**OPEN, "name": "bare", "expect": {"ok": {"shm_name": "$seg"}}}])
    with pytest.raises(HarnessError, match="longer"):
        session.fill("A", {**OPEN, "name": "3"})
