# SPDX-License-Identifier: MIT
"""shmwire-conform: puts implementations of shared-memory segment formats through one suite (spec/driver-protocol.md)."""

__version__ = "1.0.0"
