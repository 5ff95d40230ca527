# SPDX-License-Identifier: MIT
"""Where fixtures, rules, schemas and drivers are: inside the package (wheel) or in the repository around it (checkout)."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
_BUNDLED = PACKAGE / "_data"
ROOT = _BUNDLED if _BUNDLED.is_dir() else PACKAGE.parent.parent

FIXTURES = ROOT / "fixtures"
SPEC = ROOT / "spec"
SCHEMAS = ROOT / "conformance" / "schemas"
DRIVERS = ROOT / "conformance" / "drivers"
SCENARIOS = PACKAGE / "scenarios"
REQUIREMENTS = PACKAGE / "requirements"
TEMPLATES = PACKAGE / "templates"
