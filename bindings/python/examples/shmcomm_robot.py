#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One half of a robot control loop in two languages: sensor and actuator of a joint that is to go to an angle. The controller is
ref-c/examples/shmcomm_control.c; it gets readings as JSON and sends commands as two doubles.

    shmcomm_robot.py robot 1.5 400
"""

import struct
import sys

from shmwire.shmcomm import Publisher, SHMTimeoutError, Subscriber

STEP = 0.01  # seconds of the simulation
COMMAND = struct.Struct("<Qd")  # the tick that it answers, and the torque


def main(name: str, target: str, ticks: str) -> None:
    angle = speed = 0.0
    answered = 0
    with Publisher(f"{name}_sensors", serializer="json") as sensors, \
            Subscriber(f"{name}_commands", serializer="raw", wait=20) as commands:
        for tick in range(int(ticks)):
            sensors.send({"tick": tick, "angle": angle, "speed": speed, "target": float(target)})
            try:
                number, torque = COMMAND.unpack(commands.recv(timeout=10_000))
            except SHMTimeoutError:
                torque = 0.0  # without a controller the joint is let go
            else:
                answered += number == tick
            speed += torque * STEP
            angle += speed * STEP
    print(f"angle {angle:.3f} answered {answered} of {ticks}")


if __name__ == "__main__":
    main(*sys.argv[1:])
