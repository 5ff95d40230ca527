# SPDX-License-Identifier: MIT
"""JSON schemas: cases, requests and replies against them. A run checks some hundred thousand values, so a compiled checker
judges; the one that finds the words is asked only about what is wrong."""

from __future__ import annotations

from typing import Any

import jsonschema_rs

MOST_TEXT = 300


class Schema:
    """A schema of draft 2020-12. Thread-safe."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._judge = jsonschema_rs.Draft202012Validator(schema)

    def complaint(self, value: object, whole: str) -> str:
        """What is wrong, and where (`whole` where it is all of the value); empty if nothing is."""
        if self._judge.is_valid(value):
            return ""
        import jsonschema  # here, since hardly any run needs it: it takes longer to import than all the rest

        worst = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(self._schema).iter_errors(value))
        if worst is None:
            worst = next(self._judge.iter_errors(value))
            where = worst.instance_path
        else:
            where = list(worst.absolute_path)
        return f"{'.'.join(str(step) for step in where) or whole}: {worst.message[:MOST_TEXT]}"
