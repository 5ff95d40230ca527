#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Receive messages on channel 0 of a segment until none has come for a second.

    receive.py /greetings
"""

import sys

from shmwire import dmxp


def main(name: str) -> None:
    with dmxp.open(name) as segment:
        for message in segment.channel(0).messages(timeout=1.0):
            print(message.position, message.sender_pid, message.payload.decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
