#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A camera and a viewer: NumPy frames of 640 x 480 go through shared memory without being pickled, and are looked at where they
lie.

    shmcomm_camera.py camera0 20
"""

import multiprocessing
import sys
import threading

import numpy as np

from shmwire.shmcomm import Publisher, SHMClosedError, Subscriber

CAPACITY = 32 << 20  # 34 frames of 921,600 bytes: a viewer may be so much behind


def watch(name: str, ready: threading.Event, results: "multiprocessing.Queue[tuple[int, int, float]]") -> None:
    """Mean brightness of each frame, without a copy."""
    frames = overwritten = 0
    brightest = 0.0
    with Subscriber(name) as sub:
        ready.set()
        while True:
            try:
                view = sub.recv_view(timeout=10_000)
            except SHMClosedError:
                break
            mean = float(view.array().mean())
            if view.valid():  # the camera had not come round again meanwhile
                frames += 1
                brightest = max(brightest, mean)
            else:
                overwritten += 1
        results.put((frames, overwritten + sub.stats()["lost"], brightest))


def main(name: str, count: str) -> None:
    context = multiprocessing.get_context("spawn")
    ready, results = context.Event(), context.Queue()
    with Publisher(name, capacity=CAPACITY, sole=True) as camera:
        viewer = context.Process(target=watch, args=(name, ready, results))
        viewer.start()
        ready.wait(30)
        frame = np.zeros((480, 640, 3), np.uint8)
        for number in range(int(count)):
            frame[:] = number
            camera.send(frame)
    frames, lost, brightest = results.get(timeout=30)
    viewer.join()
    print("frames", frames, "lost", lost, "brightest", brightest)


if __name__ == "__main__":
    main(*sys.argv[1:])
