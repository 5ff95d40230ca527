#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print the trades of a feed one by one, then add them up chunk by chunk, without a copy.

    trades_replay.py /var/feeds BTC-USD
"""

import sys

import numpy as np

from shmwire.deepwater import Reader

TRADE = np.dtype([("price", "<f8"), ("volume", "<u4"), ("side", "<u4")])


def main(base: str, feed: str) -> None:
    with Reader(base, feed) as reader:
        for record in reader:
            trade = np.frombuffer(record.payload, TRADE)[0]
            print(record.sequence, record.timestamp_ns, trade["price"])
        chunks = [reader.records_array(TRADE, chunk.chunk_id) for chunk in reader.chunks() if chunk.state != "expired"]
        volume = sum(int(trades["volume"].sum()) for trades in chunks)
        print(len(chunks), "chunks,", sum(map(len, chunks)), "trades, volume", volume)


if __name__ == "__main__":
    main(*sys.argv[1:])
