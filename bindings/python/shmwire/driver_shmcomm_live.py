# SPDX-License-Identifier: MIT
"""Live actors of profile shmcomm (spec/driver-protocol.md, section 8): any of its roles at full speed."""

from __future__ import annotations

import time
from typing import Final

from .driver_codec import U32, BadRequest, Json, flag, integer, table, word
from .driver_live import make_payload
from .driver_lossy import BLOCK_SLICE, LossyActor, LossyReaderActor, take_sizes
from .driver_shmcomm import ShmcommRoom
from .driver_slick import CREDIT_NAP, READER_GONE, Credit
from .errors import BusyError, Closed, Full, Lapped, ShmwireException, Timeout
from .shmcomm.core import Endpoint
from .shmcomm.message import Message, Meta

END: Final = 0xFFFF  # content type
DATA: Final = Meta(content_type=0)
WRITERS: Final = ("publisher", "pusher", "requester")
READERS: Final = ("subscriber", "puller", "replier")
REPLY_PATIENCE_MS: Final = 5000  # for which a requester waits before it goes on


def _open(room: ShmcommRoom, plan: Json, role: str) -> Endpoint:
    """The endpoint of a plan. Options stand in `open`, or in the plan's own."""
    options = table(plan, "options") | table(plan, "open") | {"role": role}
    body = {"seg": plan.get("seg"), "mode": "rw", "options": options, "timeout_ms": plan.get("timeout_ms")}
    return room.open(body).endpoint


class WriterActor(LossyActor):
    """A publisher or pusher at full speed, or as far ahead of the slowest reader as it has credit for."""

    def __init__(self, room: ShmcommRoom, plan: Json) -> None:
        super().__init__(plan)
        self.wait = BLOCK_SLICE if word(plan, "wait", ("spin", "block"), "spin") == "block" else 0.0
        self.endpoint = _open(room, plan, word(plan, "as", WRITERS))
        self._credit: Credit | None = None
        try:
            self.sizes = take_sizes(plan, self.endpoint.info().max_payload)
            if plan.get("credit") is not None:
                self._credit = Credit(plan, writable=False)
                self.batch = max(1, min(self.batch, self._credit.window))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave."""
        self.endpoint.close()
        if self._credit is not None:
            self._credit.close()

    def payload(self, index: int) -> bytes:
        """Message `index` of this writer."""
        return make_payload(self.actor, index, self.seed, self.sizes[index % len(self.sizes)], max(self.sizes))

    def run(self) -> Json:
        """Go: the summary, when all is written, the channel has been closed, or the time is up."""
        end, sent, full = time.monotonic_ns() + self.limit_ns, 0, 0
        while sent < self.count:
            number = min(self.batch, self.count - sent)
            if not self._await_credit(number, end):
                break
            done, stop = self._send([self.payload(index) for index in range(sent, sent + number)])
            self.pause(sent, sent + done)
            sent += done
            if stop is not None and not isinstance(stop, (Full, Timeout, BusyError)):
                break
            if stop is not None:
                full += not isinstance(stop, BusyError)  # which is no want of room
                self.spin()
            if time.monotonic_ns() > end:
                break
        return {"sent": sent, "full": full}

    def _send(self, payloads: list[bytes]) -> tuple[int, ShmwireException | None]:
        if len(payloads) > 1:
            return self.endpoint.send_batch(payloads, DATA, self.wait)
        try:
            self.endpoint.send(payloads[0], DATA, self.wait)
        except ShmwireException as stop:
            return 0, stop
        return 1, None

    def _await_credit(self, number: int, end: int) -> bool:
        """Until so many messages end within the window; False when the time is up."""
        while self._credit is not None:
            if self.endpoint.info().message_count + number <= self._credit.slowest() + self._credit.window:
                break
            if time.monotonic_ns() > end:
                return False
            time.sleep(CREDIT_NAP)
        return True


class RequesterActor(WriterActor):
    """A requester: each payload must come back as it was."""

    def __init__(self, room: ShmcommRoom, plan: Json) -> None:
        self._patience_ns = (integer(plan, "reply_ms", U32, 0) or REPLY_PATIENCE_MS) * 1_000_000
        super().__init__(room, plan)

    def run(self) -> Json:
        """Go: the summary."""
        end = time.monotonic_ns() + self.limit_ns
        tally = {"sent": 0, "full": 0, "replied": 0, "timeouts": 0, "mismatched": 0}
        while tally["sent"] < self.count and time.monotonic_ns() <= end:
            payload = self.payload(tally["sent"])
            _, stop = self._send([payload])
            if stop is not None and not isinstance(stop, (Full, Timeout, BusyError)):
                break
            if stop is not None:
                tally["full"] += not isinstance(stop, BusyError)
                self.spin()
                continue
            tally["sent"] += 1
            reply = self._reply(min(end, time.monotonic_ns() + self._patience_ns))
            if reply is None:
                tally["timeouts"] += 1
            else:
                tally["replied"] += 1
                tally["mismatched"] += bytes(reply.payload) != payload
            self.pause(tally["sent"] - 1, tally["sent"])
        return dict(tally)

    def _reply(self, end: int) -> Message | None:
        while True:
            last = time.monotonic_ns() > end
            reply = self.endpoint.receive(self.wait)
            if reply is not None or last:
                return reply
            if not self.wait:
                self.spin()


class ReaderActor(LossyReaderActor):
    """A subscriber, a puller or a replier."""

    def __init__(self, room: ShmcommRoom, plan: Json) -> None:
        super().__init__(plan)
        self.tally["lost"] = 0
        self._ends = integer(plan, "ends", U32, 1) or 1
        self._views = flag(plan, "view")
        self._flushes = flag(plan, "flush")
        self._missed = 0  # in views that were overwritten, before the next message
        self._credit: Credit | None = None
        self._endpoint: Endpoint | None = None
        try:
            role = word(plan, "as", READERS)
            self._takes = role != "subscriber"
            self._endpoint = _open(room, plan, role)
            if plan.get("credit") is not None:
                self._credit = Credit(plan, writable=True)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        super().close()
        for held in (self._endpoint, self._credit):
            if held is not None:
                held.close()

    def run(self) -> Json:
        try:
            return super().run()
        finally:
            if self._credit is not None:
                self._credit.tell(READER_GONE)

    def receive(self) -> bool:
        if self._endpoint is None:
            raise BadRequest("not armed")
        try:
            messages = self._receive(self._endpoint)
        except Lapped:
            return True
        except Closed:
            self.tally["ended"] = True
            return False
        for message in messages:
            self._take(self._endpoint, message._replace(lost=message.lost + self._missed))
            self._missed = 0
        if self._flushes and self._history is not None:
            self._history.flush()
        return bool(messages)

    def _receive(self, endpoint: Endpoint) -> list[Message]:
        if self._views:
            view = endpoint.view(self.wait)
            if view is None:
                return []
            copied = view._replace(payload=bytes(view.payload))
            return [copied] if endpoint.holds(view) else self._overwritten(view)
        if self.batch > 1 and endpoint.role != "replier":
            return endpoint.receive_batch(self.batch, self.wait)
        message = endpoint.receive(self.wait)
        return [message] if message is not None else []

    def _overwritten(self, view: Message) -> list[Message]:
        """A view that did not last counts as lost: nothing of it is recorded."""
        self._missed += view.lost + 1
        return []

    def _take(self, endpoint: Endpoint, message: Message) -> None:
        """Judge and answer one message. What stands behind END in a batch has been taken, too."""
        self.tally["lost"] += message.lost
        if message.content_type == END:
            self._ends -= 1
            self.tally["ended"] = self._takes or self._ends <= 0
        else:
            payload = bytes(message.payload)
            self.judge(payload, message.sender, message.sequence, message.lost)
            if endpoint.role == "replier":
                self._answer(endpoint, message, payload)
        if self._credit is not None:
            self._credit.tell(message.sequence + 1)

    def _answer(self, endpoint: Endpoint, message: Message, payload: bytes) -> None:
        try:
            endpoint.reply(message, payload, DATA, BLOCK_SLICE)
        except (Closed, Full, Timeout, BusyError):  # the requester is gone, or gives up
            return


def arm(room: ShmcommRoom, plan: Json) -> WriterActor | RequesterActor | ReaderActor:
    """Prepare an actor."""
    if word(plan, "role", ("write", "read")) == "read":
        return ReaderActor(room, plan)
    if plan.get("as") == "requester":
        return RequesterActor(room, plan)
    return WriterActor(room, plan)
