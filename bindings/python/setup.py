# SPDX-License-Identifier: MIT
"""Everything static is in pyproject.toml; this file only sees to the extension modules.

SHMWIRE_NO_EXTENSION=1 installs without them: no compiler and no cffi are needed, and the python engine can still inspect
segments and peek at messages.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

REF_C = Path(__file__).resolve().parents[2] / "ref-c"


class BuildWithRefC(build_ext):
    """Compile the C implementation into the module of the native engine.

    Its sources lie outside of this directory. Compilers take absolute paths, manifests refuse them: so they are in the
    list only while the module is being built.
    """

    def build_extension(self, ext: Extension) -> None:
        own = list(ext.sources)
        if ext.name.endswith("._ext_refc"):
            ext.sources += [str(path) for path in sorted((REF_C / "src").rglob("*.c"))]
        try:
            super().build_extension(ext)
        finally:
            ext.sources[:] = own


if os.environ.get("SHMWIRE_NO_EXTENSION", "") not in ("", "0"):
    setup(install_requires=[])
else:
    if not (REF_C / "src").is_dir():
        raise SystemExit("the C sources are missing: build inside the repository, or with SHMWIRE_NO_EXTENSION=1")
    setup(install_requires=["cffi>=1.15"], cmdclass={"build_ext": BuildWithRefC},
          cffi_modules=["shmwire/_native/build.py:atomic", "shmwire/_native/build.py:refc"])
