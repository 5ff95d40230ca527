# SPDX-License-Identifier: MIT
"""python -m shmwire_conform"""

import sys

from .cli import main

sys.exit(main())
