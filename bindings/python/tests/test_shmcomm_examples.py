# SPDX-License-Identifier: MIT
"""The examples of the channels run as they are printed; the control loop with its half in C."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from shmcomm_support import left_over, topic
from test_examples import EXAMPLES, run

__all__ = ["topic"]
LIMIT = 120  # seconds, for what must end by itself


def begin(script: str, *args: str) -> subprocess.Popen[str]:
    """An example that runs while another one does."""
    return subprocess.Popen([sys.executable, str(EXAMPLES / script), *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    return out


def test_publish_and_subscribe(topic: str) -> None:
    publisher = begin("shmcomm_publish.py", topic, "move", "turn", "stop")
    assert publisher.stdout is not None and publisher.stdout.readline() == "ready\n"
    subscriber = begin("shmcomm_subscribe.py", topic)
    assert subscriber.stdout is not None and subscriber.stdout.readline() == "listening\n"
    publisher.communicate("go\n", timeout=LIMIT)
    assert end(subscriber) == "0 move\n1 turn\n2 stop\nlost 0\n"
    assert left_over(topic) == []


def test_request_and_reply(topic: str) -> None:
    server = begin("shmcomm_serve.py", topic)
    client = begin("shmcomm_ask.py", topic, "battery", "pose", "stop")
    assert end(client) == "battery ok 1\npose ok 2\nstop ok 3\n"
    assert end(server) == ""
    assert left_over(topic) == []


def test_work_queue_with_four_workers(topic: str) -> None:
    assert run("shmcomm_work_queue.py", topic, "20000") == "primes 2262 jobs 40 refused 0\n"
    assert left_over(topic) == []


def test_camera_frames(topic: str) -> None:
    assert run("shmcomm_camera.py", topic, "20") == "frames 20 lost 0 brightest 19.0\n"
    assert left_over(topic) == []


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The half of the control loop that is written in C, compiled with the library."""
    compiler = shutil.which("cc")
    assert compiler, "a C compiler is needed, as for the extension modules"
    made = tmp_path_factory.mktemp("control") / "shmcomm_control"
    sources = [str(path) for path in sorted((ROOT / "ref-c/src").rglob("*.c"))]
    subprocess.run([compiler, "-std=gnu11", "-O1", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wconversion", "-Werror",
                    f"-I{ROOT / 'ref-c/include'}", f"-I{ROOT / 'ref-c/src'}", str(ROOT / "ref-c/examples/shmcomm_control.c"),
                    *sources, "-o", str(made), "-lpthread", "-lz"], check=True, timeout=LIMIT)
    return made


def test_control_loop_in_two_languages(controller: Path, topic: str) -> None:
    """The joint comes to its angle, and every reading got its command."""
    with subprocess.Popen([str(controller), topic], stdout=subprocess.PIPE, text=True) as control:
        robot = begin("shmcomm_robot.py", topic, "1.5", "400")
        assert end(robot) == "angle 1.500 answered 400 of 400\n"
        out, _ = control.communicate(timeout=LIMIT)
    assert control.returncode == 0 and out == "controlled 400 readings\n"
    assert left_over(topic) == []
