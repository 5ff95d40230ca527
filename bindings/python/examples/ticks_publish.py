#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Publish each argument as a price, in a queue of 1024 doubles, which is made when it is not there.

    ticks_publish.py /ticks 17.5 18
"""

import struct
import sys

import shmwire
from shmwire import slick


def attach(name: str) -> slick.Queue:
    try:
        return slick.create(name, size=1024, element_size=8)
    except shmwire.ExistsError:
        return slick.open(name)


def main(name: str, *prices: str) -> None:
    with attach(name) as queue, queue.producer() as producer:
        for price in prices:
            with producer.reserve() as claim:  # filled where it lies, published at the end of the block
                struct.pack_into("<d", claim.view, 0, float(price))
            print("tick", claim.index)


if __name__ == "__main__":
    main(*sys.argv[1:])
