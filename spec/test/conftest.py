# SPDX-License-Identifier: MIT
"""Paths that the tests of the specification share."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "spec"))
