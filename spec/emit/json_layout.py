# SPDX-License-Identifier: MIT
"""layout.json: the whole model for tools. 64-bit numbers travel as decimal strings."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from .model import Profile, Struct


def plain(struct: Struct) -> dict[str, Any]:
    """The struct as it is, without the parts that few structs and fields have."""
    item = asdict(struct)
    item["fields"] = [{key: value for key, value in field.items() if key not in ("flag", "packed") or value}
                      for field in item["fields"]]
    return {key: value for key, value in item.items() if key not in ("chain", "separate", "loose") or value}


def document(profile: Profile) -> str:
    constants = [{"name": c.name, "type": c.type, "value": str(c.value), "doc": c.doc} for c in profile.constants]
    structs = [plain(struct) for struct in profile.structs]
    body: dict[str, Any] = {
        "schema": "shmwire-layout/1", "profile": profile.name, "title": profile.title, "revision": profile.revision,
        "byte_order": "little", "constants": constants, "structs": structs,
    }
    if profile.regions:
        body["regions"] = [asdict(region) for region in profile.regions]
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"
