# SPDX-License-Identifier: MIT
"""What can go wrong, and whose fault it is: the user's, the suite's, or the driver's."""

from __future__ import annotations


class UsageError(Exception):
    """The caller asked for something that cannot be done: exit status 2."""


class HarnessError(Exception):
    """The suite itself or its data is at fault: verdict HARNESS-ERROR, exit status 3."""


class Finding(Exception):
    """A driver did what it must not. `on` names the role (A, B, …) that did it; `diff` holds lines for the report."""

    verdict = "FAIL"

    def __init__(self, message: str, *, on: str = "", rules: tuple[str, ...] = (), diff: list[str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.on = on
        self.rules = rules
        self.diff = diff or []


class NonStrict(Finding):
    """An error was reported, but under another name than the case asks for."""

    verdict = "NON-STRICT"


class DriverCrash(Finding):
    """The driver's process ended by itself."""

    verdict = "CRASH"


class DriverTimeout(Finding):
    """No reply within the deadline and the grace after it."""

    verdict = "TIMEOUT"


class ProtocolError(Finding):
    """What the driver printed is not a valid reply to what it was asked."""

    verdict = "PROTOCOL-ERROR"


class NotApplicable(Exception):
    """The driver does not claim what this run takes: verdict N/A, never PASS."""
