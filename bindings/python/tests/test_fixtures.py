# SPDX-License-Identifier: MIT
"""Segments of the original system and of the generator, read by both engines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import FIXTURES
from shmwire import dmxp

FOLDERS = [folder for kind in ("captured", "golden") for folder in sorted((FIXTURES / kind).iterdir())]
CASES = [folder for folder in FOLDERS if (folder / "seg.bin").exists()]


def test_there_are_cases() -> None:
    assert len(CASES) > 10


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_peek(engine: dmxp.Engine, folder: Path, tmp_path: Path) -> None:
    """What case.json expects of looking, through the package's own API."""
    file = tmp_path / "segment.bin"
    file.write_bytes((folder / "seg.bin").read_bytes())
    steps = json.loads((folder / "case.json").read_text()).get("read", [])
    payload: dmxp.PayloadChoice = "crate"
    for step in steps:
        if step["cmd"] == "open":
            payload = step.get("options", {}).get("payload", "crate")
        expected = step.get("expect", {}).get("ok", {})
        if step["cmd"] != "read" or step["mode"] != "peek" or "items" not in expected:
            continue
        with dmxp.open(str(file), "r", payload=payload, engine=engine) as segment:
            found = list(segment.channel(step["channel"]).peek())[:step["max"]]
        assert [str(message.position) for message in found] == [item["pos"] for item in expected["items"]]
        for message, item in zip(found, expected["items"], strict=True):
            if "hex" in item["data"]:
                assert message.payload.hex() == item["data"]["hex"]
            for key, value in item.get("meta", {}).items():
                assert str(getattr(message, key)) == str(value)
    assert file.read_bytes() == (folder / "seg.bin").read_bytes()
