# SPDX-License-Identifier: MIT
"""A small checker for litmus tests under RC11, the repaired C11 memory model (Lahav, Vafeiadis, Kang, Hur, Dreyer, 2017).

A test is a few straight-line threads of loads, stores, read-modify-writes and fences with memory orders. Every way in which
loads can get their values and stores can be ordered is tried; those that the model's axioms forbid are dropped; what
remains is what a compiler and a machine may do together. Release sequences are those of C++20, which are shorter than
RC11's, so that a "never" holds for both. Good for some fifteen events. Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import permutations, product

NA, RLX, ACQ, REL, SC = "na", "rlx", "acq", "rel", "sc"
Values = dict[str, int]
Rows = list[int]  # a relation: bit b of row a says that a is related to b


@dataclass(frozen=True)
class Op:
    kind: str  # "R", "W", "U" (read-modify-write) or "F"
    loc: str = ""
    value: int = 0      # stored, or added by U
    register: str = ""  # where a load puts its value
    load: str = RLX     # order of the load; of the fence
    store: str = RLX


def load(loc: str, register: str, order: str = RLX) -> Op:
    return Op("R", loc, register=register, load=order)


def store(loc: str, value: int, order: str = RLX) -> Op:
    return Op("W", loc, value=value, store=order)


def add(loc: str, value: int, order: str = RLX, register: str = "") -> Op:
    """A read-modify-write. Order "rel" releases, "acq" acquires, "acq_rel" both, "sc" is sequentially consistent."""
    halves = {"acq_rel": (ACQ, REL), SC: (SC, SC), REL: (RLX, REL), ACQ: (ACQ, RLX), RLX: (RLX, RLX)}
    return Op("U", loc, value, register, *halves[order])


def fence(order: str) -> Op:
    """"rel", "acq" or "sc"."""
    return Op("F", load=order)


@dataclass(frozen=True)
class Event:
    thread: int  # -1: the initial stores
    kind: str    # "R", "W" or "F"
    loc: str
    order: str
    op: Op


@dataclass
class Litmus:
    threads: list[list[Op]]
    bad: Callable[[Values], bool]                        # the outcome asked about
    assume: Callable[[Values], bool] = lambda _: True  # branches taken: other runs are somebody else's
    initial: Values = field(default_factory=dict)


class Graph:
    """The events of a test and what does not depend on who reads from whom."""

    def __init__(self, test: Litmus) -> None:
        locations = {op.loc for thread in test.threads for op in thread if op.loc}
        self.events = [Event(-1, "W", loc, RLX, store(loc, test.initial.get(loc, 0))) for loc in sorted(locations)]
        self.rmw_of: dict[int, int] = {}  # write half -> read half
        for number, thread in enumerate(test.threads):
            for op in thread:
                if op.kind in "RU":
                    self.events.append(Event(number, "R", op.loc, op.load, op))
                if op.kind == "U":
                    self.rmw_of[len(self.events)] = len(self.events) - 1
                if op.kind in "WU":
                    self.events.append(Event(number, "W", op.loc, op.store, op))
                if op.kind == "F":
                    self.events.append(Event(number, "F", "", op.load, op))
        self.size = len(self.events)
        self.sb = self.relation(lambda a, b: a < b and (self.events[a].thread == -1 != self.events[b].thread
                                                        or self.events[a].thread == self.events[b].thread != -1))
        self.same = self.relation(lambda a, b: self.events[a].loc == self.events[b].loc != "")
        self.rmw = self.relation(lambda a, b: self.rmw_of.get(b) == a)

    def relation(self, holds: Callable[[int, int], bool]) -> Rows:
        return [sum(1 << b for b in range(self.size) if a != b and holds(a, b)) for a in range(self.size)]

    def those(self, holds: Callable[[Event], bool]) -> Rows:
        """The identity on the events for which it holds."""
        return [1 << a if holds(self.events[a]) else 0 for a in range(self.size)]


def compose(*relations: Rows) -> Rows:
    result = relations[0]
    for other in relations[1:]:
        rows = []
        for row in result:
            reached = 0
            for at, further in enumerate(other):
                if row >> at & 1:
                    reached |= further
            rows.append(reached)
        result = rows
    return result


def union(*relations: Rows) -> Rows:
    result = list(relations[0])
    for other in relations[1:]:
        result = [a | b for a, b in zip(result, other, strict=True)]
    return result


def minus(one: Rows, other: Rows) -> Rows:
    return [a & ~b for a, b in zip(one, other, strict=True)]


def both(one: Rows, other: Rows) -> Rows:
    return [a & b for a, b in zip(one, other, strict=True)]


def inverse(one: Rows) -> Rows:
    return [sum(1 << b for b in range(len(one)) if one[b] >> a & 1) for a in range(len(one))]


def maybe(one: Rows) -> Rows:
    """One or nothing: the reflexive closure."""
    return [row | 1 << at for at, row in enumerate(one)]


def closure(one: Rows) -> Rows:
    result = list(one)
    for middle in range(len(result)):
        result = [row | result[middle] if row >> middle & 1 else row for row in result]
    return result


def cyclic(one: Rows) -> bool:
    return any(row >> at & 1 for at, row in enumerate(closure(one)))


def reflexive(one: Rows) -> bool:
    return any(row >> at & 1 for at, row in enumerate(one))


def happens_before(g: Graph, rf: Rows) -> Rows:
    releasing = g.those(lambda e: e.order in (REL, SC) and e.kind != "R")
    acquiring = g.those(lambda e: e.order in (ACQ, SC) and e.kind != "W")
    fences = g.those(lambda e: e.kind == "F")
    atomic_write = g.those(lambda e: e.kind == "W" and e.order != NA)
    atomic_read = g.those(lambda e: e.kind == "R" and e.order != NA)
    sequence = compose(atomic_write, maybe(closure(compose(rf, g.rmw))))
    before = union(g.those(lambda _: True), compose(fences, g.sb))
    after = union(g.those(lambda _: True), compose(g.sb, fences))
    synchronises = compose(releasing, before, sequence, rf, atomic_read, after, acquiring)
    return closure(union(g.sb, synchronises))


def consistent(g: Graph, rf: Rows, mo: Rows, hb: Rows) -> bool:
    rb = minus(compose(inverse(rf), mo), g.those(lambda _: True))
    eco = closure(union(rf, mo, rb))
    if reflexive(compose(hb, maybe(eco))) or any(both(g.rmw, compose(rb, mo))):
        return False
    sc = g.those(lambda e: e.order == SC)
    sc_fence = g.those(lambda e: e.order == SC and e.kind == "F")
    apart = minus(g.sb, g.same)
    scb = union(g.sb, compose(apart, hb, apart), both(hb, g.same), mo, rb)
    base = compose(union(sc, compose(sc_fence, maybe(hb))), scb, union(sc, compose(maybe(hb), sc_fence)))
    fenced = compose(sc_fence, union(hb, compose(hb, eco, hb)), sc_fence)
    return not cyclic(union(base, fenced))


def values_of(g: Graph, source: dict[int, int]) -> list[int]:
    """What each load finds and each store leaves. There is no cycle: sb and rf together have none."""
    values: list[int | None] = [None] * g.size

    def value(at: int) -> int:
        known = values[at]
        if known is None:
            event = g.events[at]
            known = value(source[at]) if event.kind == "R" else event.op.value
            if at in g.rmw_of:
                known += value(g.rmw_of[at])
            values[at] = known
        return known

    return [value(at) if event.kind != "F" else 0 for at, event in enumerate(g.events)]


def executions(g: Graph) -> Iterator[tuple[dict[int, int], Rows, Rows]]:
    """Every choice of what each load reads from and how the stores to each location are ordered."""
    writes = {e.loc: [a for a, w in enumerate(g.events) if w.kind == "W" and w.loc == e.loc] for e in g.events if e.loc}
    reads = [a for a, e in enumerate(g.events) if e.kind == "R"]
    orders = [[(w[0], *rest) for rest in permutations(w[1:])] for w in writes.values()]
    for chosen in product(*(writes[g.events[r].loc] for r in reads)):
        source = dict(zip(reads, chosen, strict=True))
        rf = [sum(1 << read for read, write in source.items() if write == a) for a in range(g.size)]
        if cyclic(union(g.sb, rf)):
            continue
        for order in product(*orders):
            mo = [0] * g.size
            for row in order:
                for place, earlier in enumerate(row):
                    mo[earlier] = sum(1 << later for later in row[place + 1:])
            yield source, rf, mo


def races(g: Graph, hb: Rows) -> bool:
    """Two accesses of one location, one of them a store, one of them plain, and nothing orders them."""
    for a, one in enumerate(g.events):
        for b in range(a):
            other = g.events[b]
            if one.loc and one.loc == other.loc and "W" in (one.kind, other.kind) and NA in (one.order, other.order) \
                    and not (hb[a] >> b | hb[b] >> a) & 1:
                return True
    return False


def check(test: Litmus) -> str:
    """"never": no execution shows the bad outcome. "sometimes": one does. "race": undefined behaviour."""
    g = Graph(test)
    verdict = "never"
    for source, rf, mo in executions(g):
        values = values_of(g, source)
        registers = {e.op.register: values[a] for a, e in enumerate(g.events) if e.kind == "R" and e.op.register}
        if not test.assume(registers):
            continue
        hb = happens_before(g, rf)
        if not consistent(g, rf, mo, hb):
            continue
        if races(g, hb):
            return "race"
        if test.bad(registers):
            verdict = "sometimes"
    return verdict
