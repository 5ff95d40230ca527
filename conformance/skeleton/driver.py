#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A complete conformance driver in standard-library Python: a read-only reader of dmxp segments. Made to be copied.

Put your own implementation where `Segment` is, keep the loop at the end, claim the classes that it has in `hello`, and run
`shmwire-conform doctor -- python3 driver.py`, then `shmwire-conform run --driver driver.toml`. Offsets: spec/dmxp.md, section 1.
"""
import contextlib
import json
import mmap
import os
import struct
import sys
import time

MAGIC, HEADER, CHANNELS, ENTRY, SLOT = 0x444D58505F4D454D, 98432, 256, 384, 1088
META = ("message_id", "timestamp_ns", "channel_id", "message_type", "sender_pid", "sender_runtime", "flags", "payload_len")
AREA = {1: (64, 960), 2: (48, 1024)}  # payload_layout -> offset of the payload in a slot, largest payload


class Refused(Exception):
    """An answer with an error name of spec/errors.toml."""


class Segment:
    """One attached segment. Every number in it is hostile: loaded once, checked, then used."""

    def __init__(self, locator: str, choice: str, timeout_ms: int) -> None:
        path = locator if locator.count("/") > 1 else "/dev/shm" + locator
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Refused("NOT_FOUND") from None
        try:
            self.size = os.fstat(fd).st_size
            if self.size < HEADER:
                raise Refused("TRUNCATED")
            self.map = mmap.mmap(fd, self.size, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        limit = time.monotonic() + timeout_ms / 1000
        while (magic := self.word(0)) == 0 and time.monotonic() < limit:
            time.sleep(0.001)
        version, channels, self.count, self.layout = struct.unpack_from("<IIII", self.map, 8)
        if magic != MAGIC:
            raise Refused("BAD_MAGIC" if magic else "NOT_READY")
        if version != 1:
            raise Refused("BAD_VERSION")
        if channels != CHANNELS or self.layout > 2:
            raise Refused("BAD_GEOMETRY")
        self.choice = choice

    def word(self, offset: int) -> int:
        return int(struct.unpack_from("<Q", self.map, offset)[0])

    def entry(self, index: int) -> dict[str, int]:
        at = 128 + ENTRY * index
        names = ("channel_id", "flags", "capacity", "band_offset", "signal", "waiters", "retired_capacity")
        values = dict(zip(names, struct.unpack_from("<IIQQIIQ", self.map, at), strict=True))
        return {**values, "tail": self.word(at + 128), "head": self.word(at + 256), "removals": self.word(at + 264)}

    def channel(self, index: int) -> dict[str, int]:
        """The entry of a live channel, checked by section 4 of the chapter."""
        one = self.entry(index) if 0 <= index < CHANNELS else {"capacity": 0}
        capacity = one["capacity"]
        if capacity == 0:
            raise Refused("NOT_FOUND")
        begin, end = one["band_offset"], one["band_offset"] + SLOT * capacity  # Python's integers do not overflow
        if capacity < 2 or capacity & (capacity - 1) or one["channel_id"] != index:
            raise Refused("BAD_GEOMETRY")
        if begin % 128 or begin < HEADER or end > self.size:
            raise Refused("BAD_GEOMETRY")
        for other in (self.entry(i) for i in range(CHANNELS) if i != index):
            if other["capacity"] and begin < other["band_offset"] + SLOT * other["capacity"] and other["band_offset"] < end:
                raise Refused("BAD_GEOMETRY")
        if (one["tail"] - one["head"]) % (1 << 64) > capacity:
            raise Refused("CORRUPT")
        return one

    def peek(self, index: int, most: int) -> list[dict]:
        """Published messages in [head, tail), oldest first; claimed positions and tombstones are skipped."""
        one, items = self.channel(index), []
        for step in range((one["tail"] - one["head"]) % (1 << 64)):
            position = (one["head"] + step) % (1 << 64)
            at = one["band_offset"] + SLOT * (position % one["capacity"])
            published, free = (position + 1) % (1 << 64), position
            taken_over = (free, (position + one["capacity"]) % (1 << 64))  # being written, or released meanwhile
            sequence, slot = self.word(at), self.map[at : at + SLOT]  # copy the slot, then look again
            if self.word(at) != published or sequence != published or len(items) == most:
                if len(items) < most and sequence not in (published, *taken_over):
                    raise Refused("CORRUPT")
                continue
            item = self.message(slot, position)
            items += [item] if item else []
        return items

    def message(self, slot: bytes, position: int) -> "dict | None":
        meta = dict(zip(META, struct.unpack_from("<QQIIIHHI", slot, 8), strict=True))
        document = self.choice == "document" or (self.choice == "auto" and meta["sender_runtime"] == 0)
        start, most = AREA[self.layout or (1 if document else 2)]
        length = meta.pop("payload_len")
        if length > most:
            raise Refused("CORRUPT")
        if meta["flags"] & 0x8000:
            return None
        meta |= {"message_id": str(meta["message_id"]), "timestamp_ns": str(meta["timestamp_ns"])}
        del meta["channel_id"]
        return {"data": {"hex": slot[start : start + length].hex()}, "pos": str(position), "meta": meta}

    def fields(self) -> dict[str, str]:
        names = ("magic", "version", "max_channels", "channel_count", "payload_layout")
        found = {f"header.{name}": value for name, value in zip(names, struct.unpack_from("<QIIII", self.map), strict=True)}
        for i in range(CHANNELS):
            one = self.entry(i)
            found |= {f"channel[{i}].{name}": value for name, value in one.items()} if one["capacity"] else {}
        return {name: str(value) for name, value in found.items()}


class Driver:
    def __init__(self) -> None:
        self.handles: dict[int, Segment] = {}
        self.last = 0

    def hello(self, _: dict) -> dict:
        claims = {"classes": ["inspect", "hardened"], "features": []}
        me = {"name": "skeleton", "version": "1"}
        return {"proto": 1, "driver": me, "impl": {**me, "language": "python"}, "profiles": {"dmxp": claims}}

    def reset(self, _: dict) -> dict:
        for segment in self.handles.values():
            segment.map.close()
        self.handles.clear()
        return {}

    def open(self, ask: dict) -> dict:
        if ask["profile"] != "dmxp":
            raise Refused("UNSUPPORTED")
        segment = Segment(ask["seg"], ask.get("options", {}).get("payload", "crate"), ask.get("timeout_ms", 0))
        if ask["mode"] != "ro":
            raise Refused("UNSUPPORTED")
        self.last += 1
        self.handles[self.last] = segment
        return {"h": self.last}

    def inspect(self, ask: dict) -> dict:
        return {"fields": self.handles[ask["h"]].fields()}

    def read(self, ask: dict) -> dict:
        if ask["mode"] != "peek":
            raise Refused("PERMISSION")
        items = self.handles[ask["h"]].peek(ask["channel"], ask["max"])
        return {"st": "ok" if items else "empty", "items": items}

    def call(self, ask: dict) -> dict:
        segment = self.handles[ask["h"]]
        live = [i for i in range(CHANNELS) if segment.entry(i)["capacity"]]
        if ask["verb"] == "dmxp.validate":
            for i in live:
                segment.peek(i, 1 << 30)
            return {}
        if ask["verb"] == "dmxp.channels":
            return {"channels": live}
        raise Refused("UNSUPPORTED")

    def close(self, ask: dict) -> dict:
        self.handles.pop(ask["h"]).map.close()
        return {}

    def bye(self, _: dict) -> dict:
        return {}


def answer(driver: Driver, ask: dict) -> dict:
    command = ask.get("cmd")
    if command not in ("hello", "reset", "open", "inspect", "read", "call", "close", "bye"):
        return {"err": {"code": "UNKNOWN_COMMAND", "detail": str(command)}}
    try:
        return {"ok": getattr(driver, command)(ask)}
    except Refused as error:
        return {"err": {"code": str(error)}}
    except (KeyError, TypeError, ValueError) as error:
        return {"err": {"code": "BAD_REQUEST", "detail": repr(error)}}
    except PermissionError:
        return {"err": {"code": "PERMISSION"}}
    except OSError as error:
        return {"err": {"code": "SYSTEM", "detail": str(error)}}


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not land among the replies
    driver = Driver()
    for line in sys.stdin:
        ask: dict = {}
        with contextlib.suppress(ValueError):
            ask = json.loads(line)
        body = answer(driver, ask) if isinstance(ask, dict) and "id" in ask else {"err": {"code": "BAD_REQUEST"}}
        number = ask.get("id") if isinstance(ask, dict) else None
        replies.write(json.dumps({"id": number, **body}) + "\n")
        replies.flush()
        if isinstance(ask, dict) and ask.get("cmd") == "bye":
            break


if __name__ == "__main__":
    main()
