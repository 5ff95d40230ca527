#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ask a service each argument, and print what it says.

    shmcomm_ask.py control_service battery pose stop
"""

import sys

from shmwire.shmcomm import Requester, SHMTimeoutError


def main(name: str, *queries: str) -> None:
    with Requester(name, wait=10) as client:
        for query in queries:
            client.send({"query": query})
            try:
                reply = client.recv(timeout=10_000)
            except SHMTimeoutError:
                print(query, "no answer")
            else:
                print(reply["query"], reply["status"], reply["served"])


if __name__ == "__main__":
    main(*sys.argv[1:])
