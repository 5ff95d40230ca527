# SPDX-License-Identifier: MIT
"""What spec/rules.py checks: rule blocks and their lock, coverage by cases, ordering labels, sources. Standard library only."""
