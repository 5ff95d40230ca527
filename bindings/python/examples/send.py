#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Send each argument as a message on channel 0 of a segment, which is made when it is not there.

    send.py /greetings hello world
"""

import sys

import shmwire
from shmwire import dmxp


def attach(name: str) -> dmxp.Segment:
    try:
        return dmxp.create(name, size=1 << 20)
    except shmwire.ExistsError:
        return dmxp.open(name, ready_timeout=1.0)


def main(name: str, *texts: str) -> None:
    with attach(name) as segment:
        try:
            channel = segment.create_channel(0, capacity=64)
        except shmwire.ExistsError:
            channel = segment.channel(0)
        for text in texts:
            print("sent at position", channel.send(text.encode(), timeout=5.0))


if __name__ == "__main__":
    main(*sys.argv[1:])
