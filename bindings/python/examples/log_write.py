#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Append each argument to a log, which is made when it is not there.

    log_write.py /greetings hello world
"""

import sys

import shmwire
from shmwire import ouroboros


def attach(name: str) -> ouroboros.Writer:
    try:
        return ouroboros.create(name, chunk_count=4, chunk_target_size=1 << 16)
    except shmwire.ExistsError:
        return ouroboros.resume(name)


def main(name: str, *texts: str) -> None:
    with attach(name) as log:
        for text in texts:
            print("entry", log.write(text.encode()))


if __name__ == "__main__":
    main(*sys.argv[1:])
