# SPDX-License-Identifier: MIT
"""Everything static is in pyproject.toml; this file only decides about the extension modules.

SHMWIRE_NO_EXTENSION=1 installs without them: no compiler and no cffi are needed, and the python engine can still inspect
segments and peek at messages.
"""

import os

from setuptools import setup

if os.environ.get("SHMWIRE_NO_EXTENSION", "") not in ("", "0"):
    setup(install_requires=[])
else:
    setup(install_requires=["cffi>=1.15"], cffi_modules=["shmwire/_native/build.py:atomic"])
