# SPDX-License-Identifier: MIT
"""Kill runs of profile shmcomm: SIGKILL at seeded moments, and the others go on.

Plan "kill-writers": two publishers or pushers die at random, and a third one with a claim open, which holds the lock. Whoever
wants to write next takes it over; a late writer does at the latest. What was published is whole, sequences have no gap, and of a
pipeline nothing is missing. Of requesters two die; then no reply channel of theirs is left.
Plan "kill-readers": pullers die; each may take with it what one call gave it. Or a replier dies, with one request.
Plan "kill-keepers": all keepers die, the creator too. The channel stays, and the next keeper takes it over and goes on.
"""

from __future__ import annotations

import random
import signal
import time
from typing import Any

from ..errors import Finding
from ..process import DriverProcess
from ..segments import Segments
from . import shmcomm, shmcomm_judge, tallies
from .cast import Actor, Cast, demand, pause
from .history import Record
from .shmcomm import Ends, Shape, Stage
from .shmcomm_held import LAYOUT
from .shmcomm_judge import Rest

LIMIT_MS = shmcomm.LIMIT_MS
VICTIMS = 2
EARLIEST, LATEST = 0.02, 0.7  # of the messages that there would be: how many are published when a victim dies
ENDLESS = 1 << 40  # messages of a writer that is going to be killed, so that it does not leave before
LAST_MOMENT_S = 0.0002  # and at most so much later
IDLE_S = 1.0  # without a message: the victim's moment does not come, and it dies now
LATE_COUNT = 64  # messages of the writer that comes late, at least; whole batches
SWEEP_S = 4.0  # in which repliers that sleep in slices of a second must have swept
OPEN = LAYOUT.constants["STATE_OPEN"]


def helpers(shape: Shape, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Roles beside the actors, and who plays them: one dies holding a claim, one comes late, one sweeps, one keeps the channel to
    its end."""
    if shape.plan == "kill-keepers":
        return [("late", names[-1]), ("closer", names[0])]
    if shape.plan == "kill-readers":
        return []
    if shape.pattern == "request":
        return [("sweeper", names[-1])] if shape.sweep == "open" else []
    return [("claimer", names[0]), ("late", names[-1])]


def moments(rng: random.Random, _seconds: float) -> list[float]:
    """The parts of all messages that are published when the victims die, and how many seconds later that is."""
    return [*sorted(rng.uniform(EARLIEST, LATEST) for _ in range(4)), rng.uniform(0, LAST_MOMENT_S)]


def run(cast: Cast, segments: Segments, locator: str, shape: Shape, when: list[float]) -> str:
    """The whole of it; returns what happened in words."""
    victims, whole = _victims(cast, shape), sum(writer.plan["count"] for writer in cast.writers)
    for victim in victims:
        if victim in cast.writers:
            victim.plan["count"] = ENDLESS
    cast.arm()
    with Stage.of(segments, locator, shape) as stage:
        stage.require_armed()
        cast.go()
        if shape.plan == "kill-keepers":
            creator = cast.played("creator")[0]
            cast.transcript.add(creator.role, "!", f"{signal.SIGKILL.name} from the runner")
            creator.kill()
        for victim, part in zip(victims, when, strict=False):
            _await(stage, int(part * whole))
            pause(when[-1])
            cast.kill(victim)
        if shape.plan == "kill-keepers":
            return _kill_keepers(cast, stage, locator)
        if shape.plan == "kill-readers":
            return _kill_readers(cast, stage, locator)
        return (_kill_requesters if shape.pattern == "request" else _kill_writers)(cast, stage, locator)


def _victims(cast: Cast, shape: Shape) -> list[Actor]:
    """Who dies; but for keepers somebody of each kind goes on."""
    if shape.plan == "kill-keepers":
        return cast.readers if shape.pattern == "request" else cast.writers
    actors = cast.readers if shape.plan == "kill-readers" else cast.writers
    return actors[: min(VICTIMS, len(actors) - 1)]


def _await(stage: Stage, messages: int) -> None:
    """Come back when so many messages are published, or nothing has happened for a while."""
    seen, limit = 0, time.monotonic() + IDLE_S
    while seen < messages and time.monotonic() < limit:
        now = stage.channel.number("message_count")
        if now != seen:
            seen, limit = now, time.monotonic() + IDLE_S


def _died(cast: Cast, *more: str) -> str:
    return f"killed {', '.join([*(one.label for one in cast.actors if one.killed), *more])}"


def _leave(cast: Cast, stage: Stage, locator: str) -> Rest:
    """END to the readers, and everybody leaves."""
    ends = shmcomm.end_readers(cast, locator, stage.path)
    return _rest(cast, stage, ends)


def _rest(cast: Cast, stage: Stage, ends: Ends) -> Rest:
    stage.hold_replies()
    cast.reset()
    return stage.rest(ends)


# -- publishers and pushers die ------------------------------------------------------------------------------------------


def _kill_writers(cast: Cast, stage: Stage, locator: str) -> str:
    (claimer,), (late,) = (cast.played(role) for role in ("claimer", "late"))
    _die_holding(cast, claimer, stage, locator)
    newcomer = _come_late(cast, late, stage, locator, "join")
    cast.go([newcomer])
    cast.collect([writer for writer in cast.writers if not writer.killed])
    rest = _leave(cast, stage, locator)
    epoch = rest.number("lock_epoch")
    if not 1 <= epoch <= VICTIMS + 1:
        what = f"lock_epoch is {epoch}: the lock died with the claimer, and with {VICTIMS} others perhaps"
        raise Finding(what, on=newcomer.label)
    outcome = _grade_writers_killed(cast, stage.shape, rest)
    return f"{_died(cast, 'a claimer')}; {epoch} locks taken over; {outcome}"


def _die_holding(cast: Cast, claimer: DriverProcess, stage: Stage, locator: str) -> None:
    """A writer claims a message, which takes the lock, and dies."""
    label = claimer.role
    options = {"role": stage.shape.roles[1]}
    request: dict[str, Any] = {"cmd": "open", "profile": "shmcomm", "seg": locator, "mode": "rw", "options": options}
    handle = demand(claimer.request(request), label, "open")["h"]
    limit = time.monotonic() + shmcomm.END_S
    claim = {"cmd": "claim", "h": handle, "len": max(stage.shape.lengths())}
    while (answer := demand(shmcomm.patient(claimer, claim), label, "claim")["st"]) != "ok":
        if answer != "full" or time.monotonic() > limit:
            raise Finding(f"{label}: claim answers {answer}", on=label)
    owner = stage.channel.number("writer_lock") & ~LAYOUT.constants["LOCK_WAITERS"]
    if owner not in stage.channel.endpoints() - stage.armed:
        raise Finding(f"{label} has a claim open, and the lock's owner is {owner}", on=label)
    cast.transcript.add(label, "!", f"{signal.SIGKILL.name} from the runner")
    claimer.kill()


def _come_late(cast: Cast, late: DriverProcess, stage: Stage, locator: str, making: str) -> Actor:
    """A writer that joins after all deaths."""
    shape = stage.shape
    count = -(-LATE_COUNT // shape.write_batch) * shape.write_batch
    number = max(writer.number for writer in cast.writers) + 1
    seed = cast.writers[0].plan["seed"]
    plan = shmcomm.plan_of(shape, "write", number, locator, count, seed, LIMIT_MS)
    plan["open"] = {**plan["open"], "making": making}
    newcomer = cast.promote(late, f"w{number - 1}:{late.config.name}", plan)
    stage.armed |= stage.channel.endpoints()
    return newcomer


def _grade_writers_killed(cast: Cast, shape: Shape, rest: Rest) -> str:
    """As in an orderly run, but that dead writers may stop anywhere."""
    for writer in cast.writers:
        if not writer.killed:
            tallies.require_sent(writer)
    seen, log = shmcomm_judge.grade_records(cast, shape, rest)
    if shape.pattern == "pubsub":
        for reader, records in zip(cast.readers, seen, strict=True):
            shmcomm_judge.grade_losses(reader, records, rest.total)
            if shape.credit:
                shmcomm_judge.grade_lossless(reader, records, rest.total)
    else:
        shmcomm_judge.grade_once(cast, seen, rest.total)
    if shape.credit or shape.pattern != "pubsub":
        _grade_prefixes(cast, list(log.values()))
    shmcomm_judge.grade_rest(shape, rest)
    return shmcomm_judge.summary(seen)


def _grade_prefixes(cast: Cast, records: list[Record]) -> None:
    """Of every writer, dead or not, all messages up to its last are there."""
    for writer in cast.writers:
        mine = {record.sequence for record in records if record.actor == writer.number}
        end = max(mine, default=-1) + 1
        if len(mine) != end:
            raise Finding(f"{end - len(mine)} of the first {end} messages of {writer.label} are missing", on=writer.label)
        if not writer.killed and end != writer.plan["count"]:
            raise Finding(f"{writer.label} sent {writer.plan['count']} messages, and {end} were received", on=writer.label)


# -- requesters die ------------------------------------------------------------------------------------------------------


def _kill_requesters(cast: Cast, stage: Stage, locator: str) -> str:
    living = [writer for writer in cast.writers if not writer.killed]
    cast.collect(living)
    _sweep(cast, stage, locator)
    rest = _leave(cast, stage, locator)
    for writer in living:
        if writer.count("replied") != writer.plan["count"]:
            what = f"got {writer.count('replied')} replies to {writer.plan['count']} requests, and no replier died"
            raise Finding(f"{writer.label} {what}", on=writer.label)
    outcome = _grade_writers_killed(cast, stage.shape, rest)
    _, log = shmcomm_judge.grade_records(cast, stage.shape, rest)
    shmcomm_judge.grade_replies(cast, shmcomm_judge.senders_of(log.values()), rest)
    return f"{_died(cast)}; {outcome}"


def _sweep(cast: Cast, stage: Stage, locator: str) -> None:
    """The reply channels of the dead go when another replier opens, or when those there are have slept a slice."""
    living = sorted(number for number, held in stage.replies.items() if held.keepers())
    whose = ""
    if stage.shape.sweep == "open":
        (sweeper,) = cast.played("sweeper")
        whose = sweeper.role
        request = {"cmd": "open", "profile": "shmcomm", "seg": locator, "mode": "rw", "options": {"role": "replier"}}
        demand(sweeper.request(request), whose, "open")
    limit = time.monotonic() + (SWEEP_S if stage.shape.sweep == "slice" else 0.0)
    while (names := stage.reply_names()) != living and time.monotonic() < limit:
        pause(0.01)
    if dead := [number for number in names if number not in living]:
        how = "another replier opened" if whose else f"repliers have slept for {SWEEP_S:g} s"
        raise Finding(f"reply channels of dead requesters are there still when {how}: {dead}", on=whose)
    if names != living:
        raise Finding(f"reply channels of living requesters are gone: {sorted(set(living) - set(names))}", on=whose)


# -- pullers and repliers die --------------------------------------------------------------------------------------------


def _kill_readers(cast: Cast, stage: Stage, locator: str) -> str:
    before = stage.channel.number("message_count")  # who takes a message has seen to it that it counts [shmcomm.pull.count]
    cast.collect(cast.writers)
    rest = _leave(cast, stage, locator)
    return f"{_died(cast)} before message {before}; {_grade_readers_killed(cast, stage.shape, rest, before)}"


def _grade_readers_killed(cast: Cast, shape: Shape, rest: Rest, before: int) -> str:
    """Nothing twice; what is missing, the dead had in their hands: as much as one call gives."""
    for writer in cast.writers:
        tallies.require_sent(writer)
    seen, log = shmcomm_judge.grade_records(cast, shape, rest)
    most = sum(reader.killed for reader in cast.readers) * shape.read_batch
    missing = shmcomm_judge.grade_once(cast, seen, rest.total, most, before)
    if shape.pattern == "request":
        senders = shmcomm_judge.senders_of(log.values())
        unanswered = shmcomm_judge.grade_replies(cast, senders, rest, most)
        shmcomm_judge.grade_rest(shape, rest)
        return f"{shmcomm_judge.summary(seen)}, {missing} with the dead, {unanswered} requests without reply"
    shmcomm_judge.grade_refused(cast, rest)
    shmcomm_judge.grade_rest(shape, rest)
    return f"{shmcomm_judge.summary(seen)}, {missing} with the dead"


# -- all keepers die -----------------------------------------------------------------------------------------------------


def _kill_keepers(cast: Cast, stage: Stage, locator: str) -> str:
    shape, (late,), (closer,) = stage.shape, cast.played("late"), cast.played("closer")
    if left := stage.channel.keepers():
        raise Finding(f"keepers {sorted(left)} live, and all were killed")
    before, instance = stage.channel.number("message_count"), stage.channel.number("instance")
    come = _serve_late if shape.pattern == "request" else _come_late
    newcomer = come(cast, late, stage, locator, "any")
    _require_taken_over(stage, newcomer, instance)
    options = {"role": shape.roles[0]}
    request = {"cmd": "open", "profile": "shmcomm", "seg": locator, "mode": "rw", "options": options}
    demand(closer.request(request), closer.role, "open")
    cast.go([newcomer])
    cast.collect([writer for writer in cast.writers if not writer.killed])
    rest = _leave(cast, stage, locator)
    died = f"{_died(cast)} before message {before}"
    if shape.pattern == "request":
        return f"{died}; {_grade_readers_killed(cast, shape, rest, before)}"
    return f"{died}; {_grade_writers_killed(cast, shape, rest)}"


def _serve_late(cast: Cast, late: DriverProcess, stage: Stage, locator: str, making: str) -> Actor:
    """A replier that joins after all deaths."""
    number = max(reader.number for reader in cast.readers) + 1
    path = stage.path.with_name(f"{stage.path.name}.history")
    plan = shmcomm.plan_of(stage.shape, "read", number, locator, 0, cast.writers[0].plan["seed"], LIMIT_MS)
    plan |= {"open": {"making": making}, "history": str(path)}
    newcomer = cast.promote(late, f"r{len(cast.readers)}:{late.config.name}", plan)
    newcomer.history = path
    return newcomer


def _require_taken_over(stage: Stage, newcomer: Actor, instance: int) -> None:
    """The same channel, open, with one keeper that owns it [shmcomm.join.takeover]."""
    if not stage.channel.is_at(stage.path):
        raise Finding(f"{newcomer.label} made a new channel, and the old one was whole", on=newcomer.label)
    held = {name: stage.channel.number(name) for name in ("state", "owner_endpoint", "instance")}
    if held["state"] != OPEN or held["instance"] != instance:
        raise Finding(f"the channel that {newcomer.label} took over has {held}", on=newcomer.label)
    if (keepers := stage.channel.keepers()) != {held["owner_endpoint"]}:
        raise Finding(f"the owner is {held['owner_endpoint']}, and the keepers are {sorted(keepers)}", on=newcomer.label)
