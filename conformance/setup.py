# SPDX-License-Identifier: MIT
"""Copies fixtures, layouts, rules, schemas and the skeleton into the wheel, so that a third party needs nothing else.

An editable install finds them in the repository instead (shmwire_conform/paths.py).
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
REPO = HERE.parent
DATA = ("fixtures", "spec", "conformance/schemas", "conformance/drivers", "conformance/skeleton")
SOURCES_ONLY = ("gen", "gen.py", "generate.py", "rules.*", "emit", "lint", "litmus", "models", "test")
SKIP = shutil.ignore_patterns("__pycache__", "*.pyc", *SOURCES_ONLY)


class BuildWithData(build_py):
    def run(self) -> None:
        super().run()
        if getattr(self, "editable_mode", False):
            return
        target = Path(self.build_lib) / "shmwire_conform" / "_data"
        for name in DATA:
            source = REPO / name
            if not source.is_dir():
                raise SystemExit(f"{name} is missing: build the wheel from a checkout of the repository")
            shutil.copytree(source, target / name, dirs_exist_ok=True, ignore=SKIP)


setup(cmdclass={"build_py": BuildWithData})
