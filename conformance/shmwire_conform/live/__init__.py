# SPDX-License-Identifier: MIT
"""Live runs: many processes on one segment at once.

`schedule` (which runs on whom), `cast` (actors in pooled processes) and `history` (what readers wrote down) are the same for all
profiles. A module named after a profile knows how a segment for a run is made, how its streams end, and what must hold of the
histories; `observer` watches bytes while actors run.
"""
