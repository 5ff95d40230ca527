#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Publish each argument as a command.

    shmcomm_publish.py robot_commands move turn stop
"""

import sys

from shmwire.shmcomm import Publisher


def main(name: str, *commands: str) -> None:
    with Publisher(name) as pub:
        print("ready", flush=True)
        sys.stdin.readline()  # slow joiners miss what was sent before: begin when somebody says so
        for number, command in enumerate(commands):
            pub.send({"cmd": command, "number": number})


if __name__ == "__main__":
    main(*sys.argv[1:])
