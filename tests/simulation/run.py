"""Many seeds on all cores: totals, vacuity guards, and for a failing seed the way to repeat it.

A run proved nothing (I-19) in which fewer than a fifth of the orders completed, or of those that
turned back fewer than a fifth were refused by stock, by payment, or by the carrier; in which no
cancellation, silence or operator turned one back; or in which a kind of fault, a failpoint, a
death at it, a verb obeyed, a duplicate or a late message is missing. It is void: that is a failure.
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
from tests.simulation.scenario import CLASSES, VERBS, Scenario
from tests.simulation.world import Violation, World

# What turns an order's saga back: a step that refuses, or something else.
STEPS = ("stock", "payment", "shipment")
CAUSES = ("capture", "cancelled", "no_reply", "operator")
COMPLETED_MIN, STEP_MIN, CAUSE_MIN = 0.2, 0.2, 0.01
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
    sagas: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    obeyed: Counter[str] = field(default_factory=Counter)


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
    obeyed: Counter[str] = field(default_factory=Counter)
    failed: list[Told] = field(default_factory=list)

    def add(self, told: Told) -> None:
        self.seeds += 1
        self.sagas += told.sagas
        self.simulated_s += told.simulated_s
        self.messages += told.messages
        self.commits += told.commits
        for name in ("ends", "faults", "hits", "kills", "results", "obeyed"):
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
        found += [f"no saga obeyed {verb}" for verb in VERBS if not self.obeyed[verb]]
        return [*found, *self._one_sided()]

    def _one_sided(self) -> Iterator[str]:
        """Of orders: which ends are too few. Those refused by shipment have two steps to undo."""
        turned = sum(self.ends[end] for end in (*STEPS, *CAUSES))
        orders = turned + self.ends["completed"]
        least = {
            "completed": COMPLETED_MIN * orders,
            **dict.fromkeys(STEPS, STEP_MIN * turned),
            **dict.fromkeys(CAUSES, CAUSE_MIN * turned),
        }
        for end, n in least.items():
            if not self.ends[end] or self.ends[end] < n:
                told = f"{turned} of {orders} orders turned back"
                yield f"{self.ends[end]} orders ended by {end}, of at least {n:.0f} ({told})"


def tell(scenario: Scenario) -> Told:
    """What it came to; the world itself is gone."""
    told, world = one(scenario)
    world.close()
    return told


def one(scenario: Scenario) -> tuple[Told, World]:
    world = World(scenario)
    violation = ""
    with _quiet():
        try:
            world.run()
        except Violation as error:
            violation = str(error)
    digest = hashlib.sha256(repr(world.trace).encode()).hexdigest()[:16]
    orchestrator = world.databases["orchestrator"]
    ended = orchestrator.rows(
        "SELECT phase, reason, detail FROM sagas WHERE saga_id LIKE 'fulfilment:%'"
    )
    obeyed = orchestrator.rows(
        "SELECT what FROM journal WHERE what LIKE 'verb_%' AND result = 'applied'"
    )
    return Told(
        scenario.seed,
        digest,
        violation,
        world.loop.now_s,
        sum(len(log.records) for log in world.broker.logs.values()),
        sum(each.commits for each in world.databases.values()),
        orchestrator.one("SELECT count(*) FROM sagas"),
        Counter(_end(str(phase), str(reason), str(step)) for phase, reason, step in ended),
        world.faults,
        world.hits,
        world.kills,
        Counter(world.results),
        Counter(str(what) for (what,) in obeyed),
    ), world


def _end(phase: str, reason: str, step: str) -> str:
    """Completed, or by whom it was turned back: a step that refused, or what else it was."""
    if phase != "compensated":
        return phase
    return reason if reason in CAUSES else step


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
    told = tell(Scenario.of(seed, orders))
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
    return bool(scenario.orders) and bool(tell(scenario).violation)


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
