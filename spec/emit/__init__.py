# SPDX-License-Identifier: MIT
"""One emitter per output language; each is a pure function from the layout model to text."""
