#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print the entries of a log until none has come for a second.

    log_follow.py /greetings
"""

import sys

from shmwire import ouroboros


def main(name: str) -> None:
    with ouroboros.Reader(name) as reader:
        for entry in reader.follow(timeout=1.0):
            if entry.skipped:
                print("skipped", entry.skipped)
            print(entry.sequence_number, entry.data.decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
