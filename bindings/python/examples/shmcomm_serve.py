#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Answer status requests until somebody asks to stop; shmcomm_ask.py asks.

    shmcomm_serve.py control_service
"""

import sys

from shmwire.shmcomm import Replier


def main(name: str) -> None:
    with Replier(name) as server:
        served = 0
        while True:
            request = server.recv()
            served += 1
            server.send({"status": "ok", "query": request["query"], "served": served})
            if request["query"] == "stop":
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
