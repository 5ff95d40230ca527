#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print the prices of a queue until none has come for a second.

    ticks_subscribe.py /ticks
"""

import struct
import sys

from shmwire import slick


def main(name: str) -> None:
    with slick.open(name, "r") as queue:
        for item in queue.reader().follow(timeout=1.0):
            if item.lost:
                print("lost", item.lost)
            print(item.index, struct.unpack("<d", item.data)[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
