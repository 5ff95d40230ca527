# SPDX-License-Identifier: MIT
"""Live runs: many processes on one segment at once. `schedule` and `actors` are the same for all profiles; a module named after
a profile knows its options, its end-of-stream convention, its observers and what its histories must look like."""
