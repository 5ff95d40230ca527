# SPDX-License-Identifier: MIT
"""A driver of profile slick in plain Python, producer and reader (ring.py), and, with --broken NAME, one defect planted in it.

Its stores are not atomic, so it does not claim live; where a case makes it wait, it looks again every millisecond.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
import time
from typing import Any

import logger
import ring
from logger import Refused, TooSmall, asked, path_of, shown
from ring import Closed, Lapped, Producer, Queue, Reader


def shared_cursor(locator: str) -> mmap.mmap:
    fd = os.open(path_of(locator), os.O_RDWR)
    try:
        if os.fstat(fd).st_size < 8:
            raise Refused("TRUNCATED")
        return mmap.mmap(fd, 8)
    finally:
        os.close(fd)


class Handle:
    """A queue with one producer and one reader, each made at its first use."""

    def __init__(self, queue: Queue, options: dict[str, Any]) -> None:
        self.queue, self.options = queue, options
        self.made: dict[str, Any] = {}

    @property
    def producer(self) -> Producer:
        if not self.queue.writable:
            raise Refused("PERMISSION")
        if "producer" not in self.made:
            self.made["producer"] = Producer(self.queue, int(self.options.get("stall_ms", 1000)))
        return self.made["producer"]  # type: ignore[no-any-return]

    @property
    def reader(self) -> Reader:
        if "reader" not in self.made:
            cursor = shared_cursor(self.options["cursor"]) if "cursor" in self.options else None
            self.made["reader"] = Reader(self.queue, self.options, cursor)
        return self.made["reader"]  # type: ignore[no-any-return]

    def info(self) -> dict[str, Any]:
        queue, producer, reader = self.queue, self.made.get("producer"), self.made.get("reader")
        counts = {
            "next_index": queue.next, "settled": queue.word("settled"),
            "items_written": producer.written if producer else 0, "given_up": producer.given_up if producer else 0,
            "cursor": reader.cursor if reader else 0, "items_read": reader.read if reader else 0,
            "lost": reader.lost if reader else 0, "resets": reader.resets if reader else 0,
        }  # fmt: skip
        told = {"generation": queue.generation, "shm_name": queue.name, "size": queue.size, "element_size": queue.step}
        return {**told, **{name: str(value) for name, value in counts.items()}}

    def close(self) -> None:
        producer = self.made.get("producer")
        if producer is not None and producer.claim is not None:
            with contextlib.suppress(Refused, Lapped):
                producer.abandon()
        self.queue.close()


class Driver(logger.Driver):
    def __init__(self) -> None:
        super().__init__()
        self.claims: dict[int, Producer] = {}
        self.viewed: dict[int, tuple[Reader, int]] = {}

    def hello(self, _: dict[str, Any]) -> dict[str, Any]:
        classes = ["inspect", "read", "write", "write-exact", "blocking", "hardened", "recovery"]
        me = {"name": "ticker", "version": "1"}
        claims = {"slick": {"classes": classes, "features": ["batch", "split", "view", "share"]}}
        return {"proto": 1, "driver": me, "impl": {**me, "language": "python"}, "profiles": claims}

    def reset(self, ask: dict[str, Any]) -> dict[str, Any]:
        self.claims.clear()
        self.viewed.clear()
        return super().reset(ask)

    @staticmethod
    def mine(ask: dict[str, Any]) -> None:
        if ask["profile"] != "slick":
            raise Refused("UNSUPPORTED")

    def create(self, ask: dict[str, Any]) -> dict[str, Any]:
        self.mine(ask)
        options = ask.get("options", {})
        if options.get("portable_name") and ask["seg"].count("/") < 2 and len(ask["seg"]) > 31:
            raise Refused("INVALID_NAME")
        geometry = int(options.get("size", 1024)), int(options.get("element_size", 0)), str(options.get("generation", "1.4"))
        return self.keep(Handle(Queue.create(ask["seg"], *geometry, int(options.get("mode", "0600"), 8)), options))

    def open(self, ask: dict[str, Any]) -> dict[str, Any]:
        self.mine(ask)
        queue = Queue(ask["seg"], ask.get("timeout_ms", 0), writable=ask["mode"] == "rw")
        return self.keep(Handle(queue, ask.get("options", {})))

    def inspect(self, ask: dict[str, Any]) -> dict[str, Any]:
        return {"fields": self.handles[ask["h"]].queue.fields()}

    def write(self, ask: dict[str, Any]) -> dict[str, Any]:
        producer, results = self.handles[ask["h"]].producer, list[dict[str, Any]]()
        datas = [asked(item["data"]) for item in ask["items"]]
        if ask["mode"] == "batch":
            return {"results": [{"st": "ok", "pos": str(index)} for index in producer.batch(datas)]}
        for data in datas:
            try:
                results.append({"st": "ok", "pos": str(producer.write(data))})
            except Closed:
                results.append({"st": "closed"})
                break
        return {"results": results}

    def claim(self, ask: dict[str, Any]) -> dict[str, Any]:
        producer = self.handles[ask["h"]].producer
        try:
            index = producer.reserve(ask["elements"])
        except Closed:
            return {"st": "closed"}
        self.last += 1
        self.claims[self.last] = producer
        return {"st": "ok", "c": self.last, "pos": str(index), "capacity": str(ask["elements"] * producer.queue.step)}

    def commit(self, ask: dict[str, Any]) -> dict[str, Any]:
        return self.finish(ask, lambda producer: producer.commit(asked(ask["data"])))

    def abandon(self, ask: dict[str, Any]) -> dict[str, Any]:
        return self.finish(ask, lambda producer: producer.abandon())

    def finish(self, ask: dict[str, Any], how: Any) -> dict[str, Any]:
        try:
            how(self.claims[ask["c"]])
        except Lapped:
            return {"st": "lapped"}
        return {"st": "ok"}

    def taken(self, reader: Reader, ask: dict[str, Any], items: list[dict[str, Any]]) -> bool:
        """One look; False if there is nothing more to have."""
        item = reader.take(ask.get("buffer"))
        if item is None:
            return False
        data = shown(item["data"])
        items.append({"data": data, "pos": str(item["pos"]), "elements": item["elements"], "lost": str(item["lost"])})
        if ask["mode"] == "view":
            self.last += 1
            items[-1]["view"] = self.last
            self.viewed[self.last] = (reader, item["pos"])
        return True

    def read(self, ask: dict[str, Any]) -> dict[str, Any]:
        number, reader, items = ask["h"], self.handles[ask["h"]].reader, list[dict[str, Any]]()
        limit = time.monotonic() + ask.get("timeout_ms", 0) / 1000
        if number in self.owed:
            raise self.owed.pop(number)
        try:
            while len(items) < (1 if ask["mode"] == "view" else ask["max"]):
                late = time.monotonic() >= limit
                if self.taken(reader, ask, items):
                    continue
                if late or items or ask["mode"] != "block":
                    break
                time.sleep(0.002)
        except (Refused, TooSmall) as error:
            if not items:
                raise
            self.owed[number] = error
        except Lapped:
            return {"st": "ok" if items else "lapped", "items": items}
        return {"st": "ok" if items else "timeout" if ask["mode"] == "block" else "empty", "items": items}

    def seek(self, ask: dict[str, Any]) -> dict[str, Any]:
        return {"cursor": str(self.handles[ask["h"]].reader.seek(ask))}

    def call(self, ask: dict[str, Any]) -> dict[str, Any]:
        verb, args, handle = ask["verb"].removeprefix("slick."), ask["args"], self.handles[ask["h"]]
        queue: Queue = handle.queue
        if verb == "info":
            return dict(handle.info())
        if verb == "validate":
            queue.validate()
        elif verb == "last":
            item = handle.reader.last(ask.get("buffer"))
            shown_item = [{**item, "data": shown(item["data"]), "pos": str(item["pos"])}] if item else []
            return {"st": "ok" if item else "empty", "items": shown_item}
        elif verb == "reset":
            if not queue.writable:
                raise Refused("PERMISSION")
            queue.reset()
        elif verb == "recover":
            return {"holes": str(ring.recover(queue, all_dead=args["all_dead"]))}
        elif verb == "view_check":
            reader, index = self.viewed[args["v"]]
            return {"st": "ok" if reader.whole(index) else "lapped"}
        elif verb == "cursor_create":
            fd = os.open(path_of(args["cursor"]), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            os.pwrite(fd, queue.start(args).to_bytes(8, "little"), 0)
            os.close(fd)
        else:
            raise Refused("UNSUPPORTED")
        return {}


def main() -> None:
    if "--broken" in sys.argv:
        import ticker_defects

        ticker_defects.plant(sys.argv[sys.argv.index("--broken") + 1], ring)
    logger.skeleton.Driver, logger.skeleton.answer = Driver, logger.answer
    logger.skeleton.main()


if __name__ == "__main__":
    main()
