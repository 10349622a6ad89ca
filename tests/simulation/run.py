"""Many seeds on all cores: totals, vacuity guards, and for a failing seed the way to repeat it.

A run that did not complete enough orders, compensate at each step, fire each kind of fault and
pass each failpoint proved nothing (I-19): it is void, which is a failure of the run.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Semaphore

from services.chassis.failpoints import NAMES
from tests.simulation.scenario import CLASSES, Scenario
from tests.simulation.world import Violation, World

STEPS = ("stock", "payment", "shipment", "capture", "account")
ENDS = ("completed", *STEPS, "cancelled")
COMPLETED_MIN, END_MIN = 0.2, 0.005
# One guard of the seeds needs the others first; a chunk of a few seeds is judged with the rest.
_CHUNK = 8
# A seed's world is one knot of tasks and members; looking for knots more often only costs time.
_COLLECT_EVERY = 10
_WORKED = count()


@dataclass
class Told:
    """What one seed came to."""

    seed: int
    trace: str
    violation: str = ""
    simulated_s: float = 0.0
    messages: int = 0
    commits: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)


@dataclass
class Totals:
    seeds: int = 0
    sagas: int = 0
    simulated_s: float = 0.0
    messages: int = 0
    commits: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    failed: list[Told] = field(default_factory=list)

    def add(self, told: Told) -> None:
        self.seeds += 1
        self.sagas += told.ends.total()
        self.simulated_s += told.simulated_s
        self.messages += told.messages
        self.commits += told.commits
        for name in ("ends", "faults", "hits", "kills", "results"):
            getattr(self, name).update(getattr(told, name))
        if told.violation:
            self.failed.append(told)

    def void(self) -> list[str]:
        """Why the run proves nothing, or nothing."""
        found = [f"no seed had the fault {kind}" for kind in CLASSES if not self.faults[kind]]
        found += [f"no failpoint {name} was reached" for name in NAMES if not self.hits[name]]
        found += [f"nobody was killed at {name}" for name in NAMES if not self.kills[name]]
        found += [
            f"no message was {each}" for each in ("duplicate", "late") if not self.results[each]
        ]
        for end in ENDS:
            least = COMPLETED_MIN if end == "completed" else END_MIN
            if self.ends[end] < least * self.sagas:
                found.append(f"{self.ends[end]} of {self.sagas} sagas ended by {end}")
        return found


def one(scenario: Scenario) -> tuple[Told, World]:
    world = World(scenario)
    violation = ""
    with _quiet():
        try:
            world.run()
        except Violation as error:
            violation = str(error)
    digest = hashlib.sha256(repr(world.trace).encode()).hexdigest()[:16]
    ended = world.databases["orchestrator"].rows("SELECT phase, detail FROM sagas")
    return Told(
        scenario.seed,
        digest,
        violation,
        world.loop.now_s,
        sum(len(log.records) for log in world.broker.logs.values()),
        sum(each.commits for each in world.databases.values()),
        Counter(_end(str(phase), str(step)) for phase, step in ended),
        world.faults,
        Counter(world.hits),
        world.kills,
        Counter(world.results),
    ), world


def _end(phase: str, step: str) -> str:
    """Completed, or the step at which it turned back, or cancelled by somebody."""
    if phase != "compensated":
        return phase
    return step if step in STEPS else "cancelled"


def many(seeds: Iterable[int], orders: int, cores: int, tell: Callable[[Totals], None]) -> Totals:
    totals = Totals()
    work = ((seed, orders) for seed in seeds)
    if cores == 1:
        for each in work:
            totals.add(_one_of(each))
            tell(totals)
        return totals
    # The pool would take all seeds at once, however long a run by the clock may last.
    ahead = Semaphore(cores * _CHUNK * 3)
    asked = (each for each in work if ahead.acquire())
    with multiprocessing.get_context("fork").Pool(cores, _begin) as pool:
        for told in pool.imap_unordered(_one_of, asked, chunksize=_CHUNK):
            ahead.release()
            totals.add(told)
            tell(totals)
    return totals


def _begin() -> None:
    gc.freeze()
    gc.disable()


def _one_of(work: tuple[int, int]) -> Told:
    seed, orders = work
    told, _ = one(Scenario.of(seed, orders))
    if not gc.isenabled() and next(_WORKED) % _COLLECT_EVERY == 0:
        gc.collect()
    return told


def shrink(scenario: Scenario, tell: Callable[[str], None]) -> tuple[Scenario, list[str]]:
    """The least scenario found that still fails, and the options that make it."""
    kinds, orders, faults = set[str](), set[int](), set[int]()
    on = [*scenario.rates, *dict.fromkeys(each.kind for each in scenario.faults)]
    for kind in on:
        if _fails(scenario.without(kinds | {kind}, orders, faults)):
            kinds.add(kind)
            tell(f"fails without {kind}")
    for order in scenario.orders:
        if _fails(scenario.without(kinds, orders | {order.number}, faults)):
            orders.add(order.number)
    for fault in scenario.without(kinds).faults:
        if _fails(scenario.without(kinds, orders, faults | {fault.number})):
            faults.add(fault.number)
    options = [
        f"--no-{name}={','.join(str(each) for each in sorted(dropped))}"
        for name, dropped in (("kinds", kinds), ("orders", orders), ("faults", faults))
        if dropped
    ]
    return scenario.without(kinds, orders, faults), options


def _fails(scenario: Scenario) -> bool:
    return bool(scenario.orders) and bool(one(scenario)[0].violation)


@contextmanager
def _quiet() -> Iterator[None]:
    """The product's warnings are expected here by the thousand."""
    before = logging.root.manager.disable
    if "BATON_SIMULATION_LOG" not in os.environ:
        logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
