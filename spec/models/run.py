#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check the models: those of the protocol must hold, those with a planted defect must fail, each for its reason.

Spin models (PROFILE.pml) try every interleaving of small configurations, under sequential consistency. Litmus tests
(PROFILE_orders.py) try every behaviour that the C11 memory model allows to a few operations. Either shows what the other
cannot: see spec/memory-model.md.

    spec/models/run.py              everything, of all profiles; one line each; exit 0 only if all came out as expected
    spec/models/run.py counted …    only the models whose name contains one of the words
    spec/models/run.py --trail NAME run one model and print the steps that lead to its failure (it must be one that fails)

Needs `spin` and `gcc`. Takes two to three minutes on two cores and under 6 GB. Standard library only.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import deepwater_orders
import dmxp_orders
import ouroboros_orders
import rc11
import shmcomm_orders
import slick_orders

MODELS = Path(__file__).resolve().parent
WORKERS = 2
LIMIT_S = 240          # for one model; far above what any takes
MEMORY_MB = 2600       # for one model: a run that needs more fails instead of swapping
MAX_DEPTH = 20000
STUCK = "received=="   # at rest with messages missing: lost, wedged, or nobody woke up
TWICE = "got["
TORN = "(a==b)"
ORDER = "head!=h"      # a consumer met a sequence that no rule can produce
WRONG = "a==(64+next)" # ouroboros: an entry under another one's sequence
REPEAT = "next>last"   # ouroboros: a sequence once more
UNREAD = "last!=count" # ouroboros: the last entry does not become readable
RECOUNT = "count==committed"  # ouroboros: a resumed writer gives sequences that were given already
COPY = "whole"         # slick: an item of which a part was overwritten
BOUNDS = "n>0"         # slick: an item that leaves the ring
LATEST = ">=least"     # slick: the last item is an older one than before
WAITING = "finished==" # slick: somebody waits for ever
UNSAFE = "state[y]==2" # slick: what is not settled is taken for settled
MINE = "inside"        # shmcomm: two writers in the ring
COUNTED = "s==h"       # shmcomm: a sequence skipped, or used twice
ASLEEP = "asleep["     # shmcomm: somebody sleeps for ever
RING = "(i==0)&&(k==1)"  # shmcomm: CORRUPT, in a ring that is none
SEEN = "one[b]<=first" # shmcomm: a message that is held is passed over
DONE = "done=="        # shmcomm: a sleep over a publication
LEFT = "head[i]==tail[i]"  # shmcomm: messages out of everybody's reach
WHOLE = "rc=="         # deepwater: half of a change of a row
STAYS = "next==committed"  # deepwater: a reader that stays behind
NOWHERE = "how==1"     # deepwater: a chunk that is in neither place
PASSED = "state[i]==4" # deepwater: records that are there, passed over as expired
ORDERS = {"dmxp": dmxp_orders.TESTS, "ouroboros": ouroboros_orders.TESTS, "slick": slick_orders.TESTS,
          "shmcomm": shmcomm_orders.TESTS, "deepwater": deepwater_orders.TESTS}


@dataclass(frozen=True)
class Model:
    """fails: a piece of the assertion that must be violated; empty when every assertion must hold."""

    name: str
    defines: tuple[str, ...]
    fails: str
    says: str
    source: str = "dmxp.pml"
    optimise: str = "-O2"  # of those that hold; who fails does so early


@dataclass(frozen=True)
class Outcome:
    verdict: str  # "holds", "fails", or what went wrong with the run
    violated: str
    states: int
    seconds: float


def model(name: str, defines: str, fails: str, says: str, profile: str = "dmxp") -> Model:
    return Model(f"{profile}/{name}", tuple(defines.split()), fails, says, f"{profile}.pml")


def ouroboros(name: str, defines: str, fails: str, says: str) -> Model:
    return model(name, defines, fails, says, "ouroboros")


def slick(name: str, defines: str, fails: str, says: str) -> Model:
    return model(name, defines, fails, says, "slick")


def shmcomm(name: str, defines: str, fails: str, says: str) -> Model:
    """The part of the name before the first stroke (behind bad/) says which of the files."""
    part = name.removeprefix("bad/").split("-")[0]
    return Model(f"shmcomm/{name}", tuple(defines.split()), fails, says, f"shmcomm_{part}.pml", "-O1")


def deepwater(name: str, defines: str, fails: str, says: str) -> Model:
    """Those whose name begins with power (behind bad/) are of a file of their own."""
    power = "_power" if name.removeprefix("bad/").startswith("power") else ""
    return Model(f"deepwater/{name}", tuple(defines.split()), fails, says, f"deepwater{power}.pml", "-O1")


# The big ones first: two run at a time.
DMXP = [
    model("counted", "COUNTED", "", "2 producers, 2 consumers, 2 messages each: wakes only when somebody sleeps"),
    model("always-wake", "", "", "the same, one wake per message"),
    model("quota-pass-on", "QUOTA PASS_ON", "", "consumers that leave, and pass the wake on if a message is there"),
    model("batch", "BATCH COUNTED", "", "batches of 2, one wake for each"),
    model("three-laps", "PRODUCERS=1 MSGS=6 COUNTED", "", "1 producer, 2 consumers, 6 messages in 2 slots"),
    model("two-to-one", "CONSUMERS=1 MSGS=3 COUNTED", "", "2 producers, 3 messages each, 1 consumer"),
    model("capacity-4", "CAP=4 CONSUMERS=1 MSGS=3 BATCH", "", "batches of 3 in 4 slots: the second one laps"),
    model("peek", "PEEK CONSUMERS=1", "", "a look while the slots are taken and filled again"),
    model("quota-in-order", "QUOTA PRODUCERS=1 MSGS=4 COUNTED", "", "consumers that leave; one producer publishes in order"),
    model("bad/slot-not-released", "NO_RELEASE", STUCK, "document-style consumer: the second lap finds no free slot"),
    model("bad/signal-after-check", "SIGNAL_LATE", STUCK, "signal loaded after the channel was found empty: lost wake-up"),
    model("bad/signal-before-publish", "WAKE_FIRST", STUCK, "signal added before the publication: lost wake-up"),
    model("bad/no-wake", "NO_WAKE", STUCK, "no FUTEX_WAKE at all"),
    model("bad/s5-reordered", "COUNTED REORDER", STUCK, "waiters loaded before the sum to signal is visible: lost wake-up"),
    model("bad/publish-before-payload", "PUBLISH_FIRST", TWICE, "sequence stored first: an old payload is delivered again"),
    model("bad/release-before-copy", "RELEASE_FIRST", TORN, "slot released first: two halves of different messages"),
    model("bad/head-not-atomic", "HEAD_PLAIN", TWICE, "head loaded and stored: one message for two consumers"),
    model("bad/tail-not-atomic", "TAIL_PLAIN", STUCK, "tail loaded and stored: one position for two producers"),
    model("bad/peek-without-recheck", "PEEK PEEK_ONCE CONSUMERS=1", TORN, "a look that does not check the sequence again"),
    model("bad/capacity-1", "CAP=1", ORDER, "published(p) and free(p + 1) are the same number"),
    model("bad/quota", "QUOTA", STUCK, "a consumer that leaves took the wake that another one needed"),
]
THREE = "ROWS=3 CELLS=12 TARGET=4 MSGS=9 LONG_AT=8"
OUROBOROS = [
    ouroboros("killed-one-chunk", "KILL ROWS=1 CELLS=5 MSGS=4 LONG_AT=3", "", "1 chunk; a death, and another writer"),
    ouroboros("drift", "MSGS=5", "", "2 chunks, entries of 2 and 5 cells in any order, a reader of any start"),
    ouroboros("killed", "KILL ROWS=2 CELLS=4 TARGET=2 LONG=4 MSGS=3", "", "2 chunks, laps from the second entry on, a death"),
    ouroboros("killed-three-chunks", "KILL ROWS=3 CELLS=9 TARGET=3 LONG_AT=6 MSGS=7", "", "3 chunks, one long entry, a death"),
    ouroboros("one-chunk", "ROWS=1 CELLS=5 MSGS=4", "", "a chunk that wraps into itself"),
    ouroboros("two-readers", "READERS=2 ROWS=1 CELLS=3 MSGS=2 LONG_AT=0", "", "two readers and a lap with each entry"),
    ouroboros("three-chunks", THREE, "", "2 laps; the long entry covers a chunk and a half"),
    ouroboros("implicit-wrap", "CELLS=8 TARGET=4 MSGS=8 LONG_AT=0", "", "entries that fill the segment to its last cell"),
    ouroboros("resume", "KILL READERS=0 ROWS=3 CELLS=13 MSGS=9", "", "resuming only: every state that a death leaves in 3 laps"),
    ouroboros("resume-long", "KILL READERS=0 ROWS=2 CELLS=12 TARGET=5 LONG=7 MSGS=9", "", "rows of two laps ago at a death"),
    ouroboros("resume-one-chunk", "KILL READERS=0 ROWS=1 CELLS=8 MSGS=8", "", "no committed row at a death"),
    ouroboros("bad/token-first", "TOKEN_FIRST MSGS=5", WRONG, "erratum E2: token stored before the offset is taken back"),
    ouroboros("bad/offset-first", "OFFSET_FIRST MSGS=5", UNREAD, "erratum E3: offset and token of different laps"),
    ouroboros("bad/no-recheck", "NO_RECHECK MSGS=5", TORN, "no look at the row behind the copy"),
    ouroboros("bad/counted-clear", f"COUNTED_CLEAR {THREE}", WRONG, "erratum E4: rows cleared by whole targets"),
    ouroboros("bad/no-sequence", "NO_SEQUENCE MSGS=5", REPEAT, "erratum E7: a reader that has no sequence of its own"),
    ouroboros("bad/clear-late", "CLEAR_LATE MSGS=5", WRONG, "rows cleared behind the stores that overwrite their chunks"),
    ouroboros("bad/next-not-cleared", "NEXT_NOT_CLEARED MSGS=5", UNREAD, "the next header wipes out that of a valid row"),
    ouroboros("bad/next-header-late", "NEXT_HEADER_LATE MSGS=5", WRONG, "old bytes behind the entry are taken for a header"),
    ouroboros("bad/row-early", "ROW_EARLY MSGS=5", WRONG, "a row committed before its first entry"),
    ouroboros("bad/resume-token", "KILL READERS=0 MSGS=9 RESUME_TOKEN", RECOUNT, "the token of a beginning row is believed"),
]
MEETING = "SIZE=2 MSGS=2 ALTERNATE"
SLICK = [
    slick("three-producers", "SIZE=2 PRODUCERS=3 MSGS=1 ALTERNATE DEAD=2 INVARIANTS", "", "two may die, a reader, a ring of 2"),
    slick("any-length", "MSGS=3 READERS=0 DEAD INVARIANTS", "", "items of any length, one producer may die, a ring of 4"),
    slick("any-length-2", "SIZE=2 MSGS=3 READERS=0 DEAD INVARIANTS", "", "the same in a ring of 2"),
    slick("three-of-one", "PRODUCERS=3 MSGS=2 MAX=1 READERS=0 DEAD INVARIANTS", "", "single elements, one may die"),
    slick("last", f"{MEETING} READERS=0 LAST", "", "who looks for the last item"),
    slick("dead", f"{MEETING} DEAD INVARIANTS", "", "2 producers, one may die anywhere, and a reader; a ring of 2"),
    slick("dead-4", "SIZE=4 MSGS=2 ALTERNATE DEAD INVARIANTS", "", "the same in a ring of 4"),
    slick("shared", "SIZE=2 PRODUCERS=1 MSGS=3 READERS=2 SHARED", "", "2 consumers of one cursor, 3 items of any length"),
    slick("shared-two", "SIZE=2 MSGS=1 READERS=2 SHARED", "", "the same, 2 producers"),
    slick("lapped", "PRODUCERS=1 MSGS=5", "", "1 producer of items of any length, and a reader that is overtaken"),
    slick("bad/unsettled", f"{MEETING} UNSETTLED TORN_ONLY", COPY, "erratum E11: reserved over an item that is being written"),
    slick("bad/no-recheck", f"{MEETING} NO_RECHECK", COPY, "erratum E1: no look at the reservation behind the copy"),
    slick("bad/recheck-slot", "PRODUCERS=1 MSGS=4 RECHECK_SLOT", COPY, "erratum E2: the slot still names a stale item"),
    slick("bad/no-mark", f"{MEETING} MARK_MISSING", WAITING, "padding without a mark: readers and producers wait for it"),
    slick("bad/last-lowered", f"{MEETING} READERS=0 LAST LAST_LOWERED", LATEST, "last_published stored, not raised"),
    slick("bad/shared-stored", "SIZE=2 PRODUCERS=1 READERS=2 SHARED SHARED_STORED", "taken[", "the cursor stored"),
    slick("bad/taken-early", "SIZE=2 PRODUCERS=1 READERS=2 SHARED TAKEN_EARLY", "r<=(c+", "taken before the copy is proved"),
    slick("bad/raised-too-far", f"{MEETING} RAISED_TOO_FAR TORN_ONLY", COPY, "settled raised over an item that is not"),
    slick("bad/known-anyway", f"{MEETING} KNOWN_ANYWAY TORN_ONLY", COPY, "known put behind an own item, whatever lies before it"),
    slick("bad/guess-too-far", "SIZE=2 MSGS=3 ALTERNATE GUESS_TOO_FAR TORN_ONLY", COPY, "the last reservation taken for settled"),
    slick("bad/scan-from-oldest", "SIZE=2 ALTERNATE READERS=0 SCAN_FROM_OLDEST", WAITING, "i - size may be inside an item"),
    slick("bad/pad-in-one", "FIRST_LONG PAD_IN_ONE", BOUNDS, "padding and item in one: a late mark hits the next lap"),
    slick("bad/lowered-by-old", "PRODUCERS=3 MSGS=2 ALTERNATE DEAD READERS=0 INVARIANTS LOWERED_BY_OLD", UNSAFE,
          "settled compared with an old reservation, and lowered"),
    slick("bad/stall-of-one", "PRODUCERS=3 ALTERNATE DEAD READERS=0 STALL_OF_ONE", "state[x]==1",
          "a dead item given up, and a live one behind it with it"),
    slick("bad/given-up-size", "PRODUCERS=3 MSGS=2 ALTERNATE DEAD GIVEN_UP_SIZE", "state[c]==2",
          "who gives up stores the size: that of a later item"),
]
SHMCOMM = [
    shmcomm("wait-three", "SLEEPERS=3", "", "2 wakers, 3 sleepers"),
    shmcomm("ring-pullers-dead", "PULLERS=2 FIXED DEAD=1", "", "2 pullers that take by CAS; a puller or the writer dies"),
    shmcomm("wait", "MSGS=2", "", "2 wakers, 2 publications each, 2 sleepers; counts mend"),
    shmcomm("close-three", "KEEPERS=3 DEAD=1", "", "3 keepers come and go, one dies anywhere; a puller drains"),
    shmcomm("close", "PULLERS=2", "", "a keeper leaves, one joins, 2 pullers drain and take the name away"),
    shmcomm("wait-killed", "DEAD=1", "", "a sleeper is killed at any step"),
    shmcomm("wait-time-limit", "LEAVES=2", "", "sleeps end by a time limit, and begin again"),
    shmcomm("ring-pullers", "PULLERS=2", "", "2 pullers, messages of 2 or 3 cells in 6"),
    shmcomm("lock-reuse", "WRITERS=3 DEAD=1 REUSE", "", "3 writers, a death, and a newcomer with the dead one's number"),
    shmcomm("lock-reuse-puller", "DEAD=2 REUSE PULLER", "", "two deaths, a newcomer, a puller that raises message_count"),
    shmcomm("lock-puller", "MSGS=2 DEAD=2 PULLER", "", "2 writers of 2 messages, two deaths, a puller"),
    shmcomm("lock-three", "WRITERS=3 DEAD=2", "", "3 writers, two die: owners, waiters, who takes over"),
    shmcomm("lock-hand-over", "WRITERS=3", "", "3 writers that live: no wake-up is left to the slice"),
    shmcomm("ring-overtaken", "READERS=1 MSGS=6", "", "a subscriber, laps of messages of 2 or 3 cells in 6"),
    shmcomm("ring-batch", "READERS=1 MSGS=7 FIXED BATCH=3", "", "a subscriber that reads 3 frames before it looks at tail"),
    shmcomm("ring-dead", "READERS=1 DEAD=1 MSGS=5", "", "the publisher dies at any step, the next one repairs"),
    shmcomm("close-together", "FOUND=2 DEAD=1", "", "2 keepers leave together, one may die"),
    shmcomm("bad/lock-asked", "WRITERS=3 DEAD=1 REUSE ASKED", MINE, "taken from a newcomer with the dead one's number"),
    shmcomm("bad/lock-look-first", "DEAD=1 REUSE LOOK_FIRST", ASLEEP, "a number whose owner dies before its byte is taken"),
    shmcomm("bad/lock-stored", "WRITERS=3 DEAD=1 STORED", MINE, "taken over by a store instead of a CAS"),
    shmcomm("bad/lock-bit-dropped", "WRITERS=3 BIT_DROPPED", ASLEEP, "a waiter that takes the lock drops bit 31"),
    shmcomm("bad/lock-no-wake", "NO_WAKE", ASLEEP, "freed without a wake"),
    shmcomm("bad/lock-no-repair", "DEAD=1 NO_REPAIR", COUNTED, "message_count as the dead one left it"),
    shmcomm("bad/lock-no-raise", "DEAD=1 PULLER NO_RAISE", COUNTED, "the last message taken before its count was stored"),
    shmcomm("bad/lock-added", "PULLER ADDED", COUNTED, "message_count added to, not stored: a puller has raised it"),
    shmcomm("bad/lock-count-first", "DEAD=1 COUNT_FIRST", COUNTED, "message_count before head"),
    shmcomm("bad/lock-count-late", "COUNT_LATE", COUNTED, "message_count after the lock is free"),
    shmcomm("bad/ring-no-recheck", "READERS=1 NO_RECHECK", RING, "no look at tail behind the copy"),
    shmcomm("bad/ring-evict-late", "READERS=1 EVICT_LATE", RING, "tail stored behind the frame"),
    shmcomm("bad/ring-frame-position", "READERS=1 MSGS=5 FRAME_POSITION", RING, "payload that looks like SKIP is believed"),
    shmcomm("bad/ring-any-boundary", "READERS=1 MSGS=5 BATCH=2 ANY_BOUNDARY", SEEN, "a frame found through an overtaken one"),
    shmcomm("bad/ring-no-drop-repair", "READERS=1 DEAD=1 NO_DROP_REPAIR", "dropped==first", "evictions counted twice"),
    shmcomm("bad/ring-claim-first", "PULLERS=2 CLAIM_FIRST", "s==b", "taken, then copied: the writer reuses the bytes"),
    shmcomm("bad/ring-claim-stored", "PULLERS=2 CLAIM_STORED", "taken[s]==1", "tail stored: one message for two"),
    shmcomm("bad/ring-no-still", "PULLERS=2 FIXED DEAD=1 NO_STILL", "delivered==", "message_count raised by a stale copy"),
    shmcomm("bad/ring-full-by-one", "PULLERS=2 FULL_BY_ONE", "head<=(tail", "a writer that overwrites a held frame"),
    shmcomm("bad/wait-signal-late", "MSGS=2 SIGNAL_LATE", DONE, "signal loaded after the count"),
    shmcomm("bad/wait-count-late", "MSGS=2 COUNT_LATE", DONE, "counted after the look"),
    shmcomm("bad/wait-look-first", "MSGS=2 LOOK_FIRST", DONE, "looked, and not again after counting"),
    shmcomm("bad/wait-wipe-late", "MSGS=2 WIPE_LATE", DONE, "the count wiped out after the signal"),
    shmcomm("bad/wait-reorder", "MSGS=2 REORDER", DONE, "waiters loaded before head is visible"),
    shmcomm("bad/wait-wake-one", "MSGS=2 WAKE_ONE", DONE, "one woken, the count of both wiped out"),
    shmcomm("bad/wait-count-once", "MSGS=2 COUNT_ONCE", DONE, "a sleeper that counts itself the first time only"),
    shmcomm("bad/wait-taken-back", "MSGS=2 DEAD=1 LEAVES=1 TAKEN_BACK", DONE, "a count taken back: another one's"),
    shmcomm("bad/wait-no-signal", "MSGS=2 NO_SIGNAL", DONE, "a wake without a step of the signal"),
    shmcomm("bad/close-no-recheck", "NO_RECHECK", "head[g]==tail[g]", "CLOSED with messages left"),
    shmcomm("bad/close-signal-first", "SIGNAL_FIRST", ASLEEP, "state 2 after the signal: a sleep at a closed channel"),
    shmcomm("bad/close-no-wake", "NO_WAKE", ASLEEP, "closed without a wake"),
    shmcomm("bad/close-unlink-anyway", "UNLINK_ANYWAY", LEFT, "the last keeper removes a pipeline with messages"),
    shmcomm("bad/close-unlink-unlocked", "UNLINK_UNLOCKED", "name==g", "a puller removes the name of a channel taken over"),
    shmcomm("bad/close-no-second-look", "NO_SECOND_LOOK", LEFT, "the same, without looking again under the membership lock"),
    shmcomm("bad/close-bytes-late", "FOUND=2 BYTES_LATE", "i!=name", "bytes given back late: neither closes the channel"),
    shmcomm("bad/close-nlink", "NLINK_IGNORED", LEFT, "a keeper joins a segment that has lost its name"),
    shmcomm("bad/close-waits-locked", "KEEPERS=3 WAITS_LOCKED", "made<", "waits for a maker that waits for its membership lock"),
]
DEEPWATER = [
    deepwater("deaths", "WRITERS=3 DEAD=2 MSGS=1", "", "3 writers, two die anywhere; chunks that leave are gone"),
    deepwater("deaths-persist", "WRITERS=3 DEAD=2 PERSIST WINDOW=2", "", "the same, copied to files; nothing is lost"),
    deepwater("rotations", "DEAD=1 MSGS=3 CAP=1 WINDOW=2", "", "a chunk for each record, a death, a reader that falls behind"),
    deepwater("rotations-persist", "DEAD=1 MSGS=3 CAP=1 PERSIST", "", "the same, copied to files"),
    deepwater("long-chunks", "DEAD=1 MSGS=4 PERSIST", "", "2 chunks of 2 records from each writer"),
    deepwater("power", "", "", "the power fails anywhere; pages come to the disk when they like"),
    deepwater("power-once", "ROWS=1", "", "the same in the first chunk, at leaving"),
    deepwater("bad/commit-first", "COMMIT_FIRST", "bytes[", "entry_count before the record"),
    deepwater("bad/no-second-count", "NO_SECOND_COUNT", STAYS, "entry_count not loaded again behind the seal"),
    deepwater("bad/row-late", "ROW_LATE", "st>=1", "count before the row"),
    deepwater("bad/chunk-late", "CHUNK_LATE", NOWHERE, "count before the chunk"),
    deepwater("bad/one-addition", "ONE_ADDITION", WHOLE, "the stamp raised once, behind the fields"),
    deepwater("bad/no-recheck", "NO_RECHECK", WHOLE, "the stamp not loaded again behind the fields"),
    deepwater("bad/odd-added", "DEAD=1 ODD_ADDED", STAYS, "recovery adds 1 to an odd stamp: it stays odd"),
    deepwater("bad/unlink-first", "UNLINK_FIRST", NOWHERE, "unlinked before its row says so"),
    deepwater("bad/state-first", "PERSIST STATE_FIRST", "data_file", "state 3 before the files have their names"),
    deepwater("bad/no-look-again", "PERSIST NO_LOOK_AGAIN", NOWHERE, "the row not loaded again when the memory is gone"),
    deepwater("bad/last-after-count", "CAP=1 LAST_AFTER_COUNT", PASSED, "the end of what is gone, loaded behind count"),
    deepwater("bad/header-only", "DEAD=1 HEADER_ONLY", "sequence==committed", "recovery believes last_sequence: used twice"),
    deepwater("bad/no-seal", "DEAD=1 NO_SEAL", STAYS, "recovery leaves the chunk unsealed"),
    deepwater("bad/power-row-late", "ROW_LATE", "disk_state[r]!=0", "the row written behind count: zeros that count covers"),
    deepwater("bad/power-no-fsync", "NO_FSYNC", "content[r]==2", "renamed, but not written"),
    deepwater("bad/power-no-directory", "NO_DIRECTORY", "both", "state 3 before the names are on the disk"),
    deepwater("bad/power-state-first", "STATE_FIRST", "both", "state 3 before the files"),
    deepwater("bad/power-odd-believed", "ODD_BELIEVED", "disk_odd", "a row whose stamp came to the disk odd"),
    deepwater("bad/power-count-unwritten", "ROWS=1 COUNT_UNWRITTEN", "disk_count", "files of a chunk that no row has"),
]
ALL = DMXP + OUROBOROS + SLICK + SHMCOMM + DEEPWATER


def build(m: Model, where: Path) -> str:
    """Spin writes the verifier, gcc compiles it; the empty string, or what went wrong."""
    defines = [f"-D{d}" for d in m.defines]
    for command in (["spin", "-a", *defines, str(MODELS / m.source)],
                    ["gcc", "-O0" if m.fails else m.optimise, "-w", "-DSAFETY", f"-DMEMLIM={MEMORY_MB}", "-DVECTORSZ=512",
                     "-o", "pan", "pan.c"]):
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        if done.returncode or not (where / "pan.c").exists():
            return f"{command[0]}: {(done.stdout + done.stderr).strip()}"
    return ""


def judge(output: str, seconds: float) -> Outcome:
    """Read the verifier's report. A search that was cut short proves nothing, so it is a verdict of its own."""
    states = re.search(r"^ *([0-9]+) states, stored", output, re.M)
    errors = re.search(r"errors: ([0-9]+)", output)
    violated = re.search(r"assertion violated +(.*?) \(at depth", output)
    if not states or not errors:
        return Outcome("no report", output.strip()[-200:], 0, seconds)
    count = int(states[1])
    if "max search depth too small" in output or "out of memory" in output or "reached -DMEMLIM" in output:
        return Outcome("cut short", "", count, seconds)
    if violated:
        return Outcome("fails", violated[1], count, seconds)
    return Outcome("holds" if errors[1] == "0" else f"{errors[1]} errors", "", count, seconds)


def check(m: Model) -> Outcome:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="shmwire-spin-") as directory:
        where = Path(directory)
        problem = build(m, where)
        if problem:
            return Outcome("not built", problem, 0, time.monotonic() - began)
        # -E: processes that sleep for ever are judged by the assertions of rest(), not as invalid end states.
        command = ["./pan", "-E", f"-m{MAX_DEPTH}", "-w24"]
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        return judge(done.stdout + done.stderr, time.monotonic() - began)


def as_expected(m: Model, outcome: Outcome) -> bool:
    if not m.fails:
        return outcome.verdict == "holds"
    return outcome.verdict == "fails" and m.fails in outcome.violated


def line(m: Model, outcome: Outcome) -> str:
    word = "ok  " if as_expected(m, outcome) else "FAIL"
    wanted = "fails" if m.fails else "holds"
    more = "" if word == "ok  " else f" [{outcome.violated}]"
    cost = f"{outcome.states:>9} states {outcome.seconds:5.1f} s"
    return f"{word} {m.name:<36} {outcome.verdict:<6} (want {wanted}) {cost}  {m.says}{more}"


def check_orders(words: list[str]) -> tuple[int, int]:
    """The litmus tests whose name contains one of the words: how many, and how many came out wrong."""
    count = wrong = 0
    named = [(f"{profile}/orders/{test[0]}", test) for profile, tests in ORDERS.items() for test in tests]
    for name, (_, test, wanted, says) in named:
        if words and not any(word in name for word in words):
            continue
        verdict = rc11.check(test)
        count += 1
        wrong += verdict != wanted
        print(f"{'ok  ' if verdict == wanted else 'FAIL'} {name:<47} {verdict} (want {wanted})  {says}", flush=True)
    return count, wrong


def print_trail(m: Model) -> int:
    """A short counterexample, as Spin tells it."""
    with tempfile.TemporaryDirectory(prefix="shmwire-spin-") as directory:
        where = Path(directory)
        problem = build(m, where)
        if problem:
            print(problem, file=sys.stderr)
            return 1
        subprocess.run(["./pan", "-E", f"-m{MAX_DEPTH}", "-i"], cwd=where, capture_output=True, timeout=LIMIT_S, check=False)
        if not list(where.glob("*.trail")):
            print(f"{m.name}: no counterexample", file=sys.stderr)
            return 1
        shutil.move(next(where.glob("*.trail")), where / "story.trail")
        return subprocess.run(["spin", "-k", "story.trail", "-p", "-g", *[f"-D{d}" for d in m.defines], str(MODELS / m.source)],
                              cwd=where, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="parts of model names")
    parser.add_argument("--trail", metavar="NAME")
    args = parser.parse_args()
    for tool in ("spin", "gcc"):
        if shutil.which(tool) is None:
            print(f"spec/models/run.py: {tool} is missing; run ./dev setup", file=sys.stderr)
            return 1
    if args.trail:
        return next((print_trail(m) for m in ALL if m.name == args.trail), 2)
    chosen = [m for m in ALL if not args.words or any(word in m.name for word in args.words)]
    count, wrong = check_orders(args.words)
    if not chosen and not count:
        print("no such model", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(WORKERS) as pool:
        for m, outcome in zip(chosen, pool.map(check, chosen), strict=True):
            wrong += not as_expected(m, outcome)
            print(line(m, outcome), flush=True)
    count += len(chosen)
    print(f"{count - wrong} of {count} models came out as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
