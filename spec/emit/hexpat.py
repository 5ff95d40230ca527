# SPDX-License-Identifier: MIT
from .model import Profile


def document(profile: Profile) -> str:
    return f"# {profile.banner}\n"
