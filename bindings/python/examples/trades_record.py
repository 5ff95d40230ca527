#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Append so many trades of one size to a feed, which is made when it is not there. They are NumPy records.

    trades_record.py /var/feeds BTC-USD 1000
"""

import sys
import time

import numpy as np

from shmwire.deepwater import Writer

TRADE = np.dtype([("price", "<f8"), ("volume", "<u4"), ("side", "<u4")])


def main(base: str, feed: str, count: str) -> None:
    trades = np.zeros(int(count), TRADE)
    trades["price"] = 100 + np.arange(len(trades)) / 8
    trades["volume"] = 3
    with Writer(base, feed, record_size=TRADE.itemsize) as writer:
        sequences = [writer.append(time.time_ns(), trade.tobytes()) for trade in trades]
    print("recorded", sequences[0], "to", sequences[-1])


if __name__ == "__main__":
    main(*sys.argv[1:])
