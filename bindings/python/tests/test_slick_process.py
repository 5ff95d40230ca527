# SPDX-License-Identifier: MIT
"""Other processes: producers that are killed, readers that come and go, engines that meet, work that is shared, no extension.

What a worker process prints is read while it runs, never after it was waited for: a worker that nobody listens to stops when the
pipe is full, and whoever waits for its end waits for ever.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import shmwire
from conftest import Raw, finish, run_python
from shmwire import slick
from slick_support import RawQueue, base_bytes, cases, fill, item, load

HIDDEN = {"SHMWIRE_NO_EXTENSION": "1"}
HOLDER = """
import sys, time
from shmwire import slick
queue = slick.open(sys.argv[1], engine=sys.argv[2])
producer = queue.producer()
producer.write(b"before--")
claim = producer.reserve(int(sys.argv[3]))
claim.view[:] = b"half" * (claim.capacity // 4)
print(claim.index, flush=True)
time.sleep(60)
"""
PRODUCER = """
import sys
from shmwire import slick
number, count = int(sys.argv[3]), int(sys.argv[4])
with slick.open(sys.argv[1], engine=sys.argv[2]) as queue, queue.producer() as producer:
    sys.stdin.readline()
    for i in range(count):
        producer.write((number << 20 | i).to_bytes(4, "little") * 2 * (1 + i % 3))
    assert producer.info() == (count, 0)
"""
CONSUMER = """
import sys
from shmwire import slick
with slick.open(sys.argv[1], "r", engine=sys.argv[2]) as queue, slick.Cursor.open(sys.argv[3]) as cursor:
    reader = queue.reader(cursor=cursor)
    print("ready", flush=True)
    for item in reader.follow(timeout=20):
        if item.data[:4] == b"end.":
            break
        print(item.index, item.elements, item.lost, int.from_bytes(item.data[:4], "little"), flush=True)
"""
LOOK = """
import json, sys
import shmwire
from shmwire import _native, atomic, slick
assert _native.ext_atomic is None and _native.ext_refc is None and not atomic.AVAILABLE and "cffi" not in sys.modules
start = sys.argv[2] if sys.argv[2] in ("oldest", "latest") else int(sys.argv[2])
with slick.open(sys.argv[1], "r") as queue:
    assert queue.engine == "python"
    queue.validate()
    reader = queue.reader(start)
    items = [[item.index, item.elements, item.lost, item.data.hex()] for item in reader]
    last, batch, view = reader.last(), queue.reader(start).batch(), queue.reader(start).view()
    assert [item.index for item in batch] == [item[0] for item in items]
    assert view is None or view.is_valid()
    said = {"generation": queue.generation, "items": items, "last": last and last.index, "slots": queue.slots()}
    refused = [lambda: slick.create("/shmw-py-never", element_size=8), queue.producer, queue.reset, queue.recover,
               lambda: slick.Cursor.local(queue), lambda: slick.Cursor.over(bytearray(8)),
               lambda: slick.open(sys.argv[1], engine="native")]
    for number, call in enumerate(refused):
        try:
            call()
            raise SystemExit(f"call {number} went through")
        except shmwire.UnsupportedError as error:
            assert "extension" in str(error), error
    print(json.dumps(said))
"""
FOLLOW = """
import sys
from shmwire import atomic, slick
assert not atomic.AVAILABLE
with slick.open(sys.argv[1]) as queue:
    reader = queue.reader()
    print("attached", flush=True)
    for item in reader.follow(timeout=20):
        print(item.index, item.lost, item.elements, item.data.hex(), flush=True)
        if item.data[:4] == b"end.":
            break
"""


@pytest.mark.parametrize("elements", [1, 3])
@pytest.mark.parametrize("other", slick.ENGINES)
def test_killed_between_reserve_and_publish(name: str, engine: slick.Engine, other: slick.Engine, elements: int) -> None:
    """[slick.reserve.give-up]: the others wait for the stall time, once, and readers come past the hole."""
    with slick.create(name, 8, element_size=8, engine=engine) as queue:
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, name, other, str(elements)], stdout=subprocess.PIPE, text=True)
        try:
            assert holder.stdout is not None and holder.stdout.readline() == "1\n"
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.communicate()
        producer, reader = queue.producer(stall=0.1), queue.reader()
        fill(producer, 1, 7 - elements)
        assert [found.index for found in reader] == [0]  # the hole holds it up
        fill(producer, 50, 8)
        assert producer.info() == slick.ProducerInfo(15 - elements, 1)
        assert RawQueue(name).slots(8)[1][0] != 1
        found = [(item.index, item.lost, item.data) for item in reader]
        assert found[-1][2] == item(57) and all(data[:4] != b"half" for _, _, data in found)
        queue.validate()


@pytest.mark.parametrize("other", slick.ENGINES)
@pytest.mark.parametrize("elements", [1, 3])
def test_recover_after_a_kill(name: str, engine: slick.Engine, other: slick.Engine, elements: int) -> None:
    """[slick.recover.holes, slick.recover.last, slick.recover.dead]"""
    with slick.create(name, 8, element_size=8, engine=engine) as queue:
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, name, other, str(elements)], stdout=subprocess.PIPE, text=True)
        try:
            assert holder.stdout is not None and holder.stdout.readline() == "1\n"
            fill(queue.producer(), 1, 2)
            before = RawQueue(name).bytes()
            with pytest.raises(shmwire.BusyError):
                queue.recover()
            assert RawQueue(name).bytes() == before
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.communicate()
        RawQueue(name).poke_u64(16, 0)  # as if it had died before it raised last_published
        assert queue.recover(all_dead=True) == 1 and queue.recover(all_dead=True) == 0
        assert [(found.index, found.lost) for found in queue.reader()] == [(0, 0), (1 + elements, 0), (2 + elements, 0)]
        assert RawQueue(name).last_published == 2 + elements
        producer = queue.producer(stall=20)
        fill(producer, 10, 9)  # waits for nobody
        assert producer.info().given_up == 0
        queue.validate()


@pytest.mark.parametrize("hidden", [{}, HIDDEN])
def test_a_reader_leaves_the_segment(name: str, engine: slick.Engine, raw: Raw, hidden: dict[str, str]) -> None:
    """[slick.segment.readonly]: a process that reads and exits, tidily or not, removes nothing."""
    with slick.create(name, 8, element_size=8, engine=engine) as queue:
        fill(queue.producer(), 0, 3)
        before, chosen = raw.bytes(), "python" if hidden else engine
        for ending in ("queue.close()", "pass", "import os; os._exit(0)"):
            code = ("import sys\nfrom shmwire import slick\nqueue = slick.open(sys.argv[1], 'r', engine=sys.argv[2])\n"
                    f"print(len(list(queue.reader())), flush=True)\n{ending}")
            assert finish(run_python(code, name, chosen, env=hidden)) == "3\n"
            assert raw.bytes() == before
        assert queue.producer().write(item(3)) == 3


@pytest.mark.parametrize("size", [4, 64])
def test_producers_of_both_engines(name: str, size: int) -> None:
    """Two processes write, one of each engine, and one of each reads: nothing torn, every index accounted for, each in order."""
    count = 400
    with slick.create(name, size, element_size=8) as queue:
        workers = [subprocess.Popen([sys.executable, "-c", PRODUCER, name, engine, str(number), str(count)],
                                    stdin=subprocess.PIPE, text=True) for number, engine in enumerate(slick.ENGINES)]
        readers = [slick.open(name, "r", engine=engine).reader() for engine in slick.ENGINES]
        following = [[-1, -1], [-1, -1]]
        expected, received = [0, 0], [0, 0]
        try:
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.write("\n")
                worker.stdin.flush()
            running = True
            while running:
                running = any(worker.poll() is None for worker in workers)
                for which, reader in enumerate(readers):
                    for found in _batch(reader):
                        number, i = divmod(int.from_bytes(found.data[:4], "little"), 1 << 20)
                        assert found.data == item(number << 20 | i, 1 + i % 3)
                        assert i > following[which][number]
                        following[which][number] = i
                        padding = found.index - expected[which] - found.lost  # passed by a mark, over the end of the ring
                        assert 0 <= padding <= 2 and (padding == 0 or found.index % size == 0 or found.lost > 0)
                        expected[which] = found.index + found.elements
                        received[which] += 1
            assert [worker.wait(20) for worker in workers] == [0, 0]
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()
        queue.validate()
        last = readers[0].last()
        assert last is not None and all(reader.cursor == queue.info().next_index for reader in readers)
        assert min(received) > 0 and queue.info().next_index >= count * 2 * 2 - 2


def _batch(reader: slick.Reader) -> list[slick.Item]:
    """What is there. A small ring under two producers may overtake a reader again and again: it asks again."""
    while True:
        try:
            return list(reader.batch())
        except shmwire.Lapped:
            continue


@pytest.mark.parametrize("other", slick.ENGINES)
def test_shared_work(name: str, engine: slick.Engine, other: slick.Engine) -> None:
    """[slick.share.once, slick.share.lost]: three processes share a cursor. Their results are read while they work."""
    shared, count = f"{name}-cursor", 900
    with slick.create(name, 1 << 12, element_size=8, engine=engine) as queue:
        slick.Cursor.create(shared, queue).close()
        workers = [run_python(CONSUMER, name, chosen, shared) for chosen in (engine, other, other)]
        try:
            for worker in workers:
                assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
            producer = queue.producer()
            for number in range(count):
                producer.write(item(number, 1 + number % 3))
            producer.write_batch([b"end....."] * len(workers))
            rows = [[int(word) for word in line.split()] for worker in workers for line in finish(worker).splitlines()]
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()
            shmwire.unlink(shared)
    assert sorted(row[3] for row in rows) == list(range(count))
    assert all(row[1] == 1 + row[3] % 3 and row[2] == 0 for row in rows)


# Without the extension ------------------------------------------------------------------------------------------------


def test_without_extension_live(name: str, engine: slick.Engine) -> None:
    """A reader that needs no compiler follows a queue over laps while it is written."""
    with slick.create(name, 32, element_size=8, engine=engine) as queue, queue.producer() as producer:
        process = run_python(FOLLOW, name, env=HIDDEN)
        assert process.stdout is not None and process.stdout.readline() == "attached\n"
        for number in range(3000):
            producer.write(item(number, 1 + number % 2))
        producer.write(b"end.....")
        lines = [line.split() for line in finish(process).splitlines()]
    following = 0
    for index, lost, elements, data in lines[:-1]:
        assert 0 <= int(index) - following - int(lost) <= 1
        following = int(index) + int(elements)
        number = int.from_bytes(bytes.fromhex(data)[:4], "little")
        assert bytes.fromhex(data) == item(number, 1 + number % 2)
    assert bytes.fromhex(lines[-1][3]) == b"end....."


@pytest.mark.parametrize("case", [case for case in cases("read") if case.startswith("captured/") and case.endswith("-oldest")])
def test_without_extension_captures(case: str, tmp_path: Path) -> None:
    """What the source system wrote: everything that only looks works, the rest says why it does not."""
    file = tmp_path / "segment.bin"
    whole = base_bytes(case)
    file.write_bytes(whole)
    said = json.loads(finish(run_python(LOOK, str(file), "oldest", env=HIDDEN)))
    expected = load(case)["read"][1]["expect"]["ok"]["items"]
    assert [[str(index), elements, str(lost), data] for index, elements, lost, data in said["items"]] == [
        [found["pos"], found["elements"], found["lost"], found["data"]["hex"]] for found in expected]
    assert said["last"] is not None and file.read_bytes() == whole
