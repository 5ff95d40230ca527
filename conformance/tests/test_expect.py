# SPDX-License-Identifier: MIT
"""Expectations: subset of objects, whole lists, bytes by content, integers in either form; and what NON-STRICT is."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from shmwire_conform.errors import Finding, NonStrict
from shmwire_conform.expect import differences, mismatch, require, require_rejected
from shmwire_conform.protocol import Reply, pattern


def ok(**body: Any) -> Reply:
    return Reply("ok", body, "")


def err(code: str, **more: Any) -> Reply:
    return Reply("err", {"code": code, **more}, "")


@pytest.mark.parametrize(
    ("wanted", "got", "same"),
    [
        ({"a": "3"}, {"a": 3, "b": 1}, True),
        ({"a": 3}, {"a": "4"}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": [{"x": 1}]}, {"a": [{"x": 1, "y": 2}]}, True),
        ({"a": {}}, {}, False),
        ({"data": {"pat": 1, "seed": 3, "len": 5}}, {"data": {"hex": pattern(3, 5).hex()}}, True),
        ({"data": {"hex": "00"}}, {"data": {"hex": "01"}}, False),
        ({"data": {"hex": ""}}, {"data": {"hex": "00"}}, False),
    ],
)
def test_differences(wanted: Any, got: Any, same: bool) -> None:
    assert (differences(wanted, got) == []) is same


def test_long_data_is_compared_by_hash() -> None:
    data = pattern(9, 5000)
    shown = {"len": "5000", "sha256": hashlib.sha256(data).hexdigest(), "head": data[:32].hex()}
    assert differences({"data": {"pat": 1, "seed": 9, "len": 5000}}, {"data": shown}) == []
    assert differences({"data": {"pat": 1, "seed": 8, "len": 5000}}, {"data": shown})


def test_one_of_any_and_errors() -> None:
    either = {"one_of": [{"ok": {"st": "empty"}}, {"err": ["CORRUPT"]}]}
    assert mismatch(either, ok(st="empty")) == [] and mismatch(either, err("CORRUPT")) == []
    assert mismatch(either, ok(st="ok")) and mismatch(either, err("BUSY"))
    assert mismatch({"any": True}, err("BUSY")) == [] and mismatch({"any": True}, err("INTERNAL"))
    assert mismatch({"err": ["TOO_SMALL"], "needed": "5"}, err("TOO_SMALL", needed="5")) == []
    assert mismatch({"err": ["TOO_SMALL"], "needed": "5"}, err("TOO_SMALL", needed="6"))


def test_another_honest_error_is_non_strict_and_nothing_else_is() -> None:
    with pytest.raises(NonStrict):
        require({"err": ["BAD_VERSION"]}, err("BAD_MAGIC"), "A", "open")
    for reply in (err("INTERNAL"), err("BAD_REQUEST"), ok(), Reply("skip", {"reason": "no"}, "")):
        with pytest.raises(Finding) as caught:
            require({"err": ["BAD_VERSION"]}, reply, "A", "open")
        assert caught.value.verdict == "FAIL"
    with pytest.raises(Finding) as caught:
        require({"one_of": [{"ok": {}}, {"err": ["CORRUPT"]}]}, err("BUSY"), "A", "open")
    assert caught.value.verdict == "FAIL"


def test_rejection_waits_for_the_first_error() -> None:
    assert require_rejected(["CORRUPT"], ok(), "A", "open") is False
    assert require_rejected(["CORRUPT"], err("CORRUPT"), "A", "read") is True
