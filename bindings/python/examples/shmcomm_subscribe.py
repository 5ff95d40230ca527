#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print the commands that are published, until the last publisher closes.

    shmcomm_subscribe.py robot_commands
"""

import sys

from shmwire.shmcomm import Subscriber


def main(name: str) -> None:
    with Subscriber(name, wait=10) as sub:
        print("listening", flush=True)
        for msg in sub:
            print(msg["number"], msg["cmd"])
        print("lost", sub.stats()["lost"])


if __name__ == "__main__":
    main(*sys.argv[1:])
