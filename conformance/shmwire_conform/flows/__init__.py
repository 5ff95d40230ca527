# SPDX-License-Identifier: MIT
"""The four ways to try a driver: static (read bytes), write (make bytes), step (take turns), live (all at once)."""
