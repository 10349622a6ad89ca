"""A run that proved nothing says so, and what a seed's world stands on is what it says it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from services.chassis.failpoints import NAMES
from tests.simulation.loop import Deadlock, SimulatedLoop, never
from tests.simulation.run import Totals, tell
from tests.simulation.scenario import CLASSES, SLIM, VERBS, Fault, Scenario
from tests.simulation.store import Database
from tests.simulation.world import template_of

ENDS = {
    "completed": 600,
    **dict.fromkeys(("stock", "payment", "shipment"), 100),
    **dict.fromkeys(("capture", "cancelled", "no_reply", "operator"), 25),
}


def totals(**ends: int) -> Totals:
    every = dict.fromkeys
    return Totals(
        ends=Counter(ENDS | ends),
        faults=Counter(every(CLASSES, 1)),
        hits=Counter(every(NAMES, 1)),
        kills=Counter(every(NAMES, 1)),
        results=Counter({"duplicate": 1, "late": 1}),
        obeyed=Counter(every(VERBS, 1)),
    )


def test_a_run_with_its_share_of_everything_is_not_void() -> None:
    assert totals().void() == []


@pytest.mark.parametrize("step", ["stock", "payment", "shipment"])
def test_a_run_in_which_a_step_turned_back_too_few_is_void(step: str) -> None:
    """A fifth of the orders that turned back, at each step: here 70 of 370 are fewer."""
    assert totals(**{step: 70}).void() == [
        f"70 orders ended by {step}, of at least 74 (370 of 970 orders turned back)"
    ]


def test_a_run_in_which_hardly_anything_completes_is_void() -> None:
    assert totals(completed=80).void() == [
        "80 orders ended by completed, of at least 96 (400 of 480 orders turned back)"
    ]


def test_what_never_happened_makes_a_run_void() -> None:
    empty = totals(no_reply=0)
    empty.faults["zombie"] = empty.hits["after_poll"] = empty.kills["after_fold"] = 0
    empty.results["late"] = empty.obeyed["verb_skip"] = 0
    assert empty.void() == [
        "no seed had the fault zombie",
        "no failpoint after_poll was reached",
        "nobody was killed at after_fold",
        "no message was late",
        "no saga obeyed verb_skip",
        "0 orders ended by no_reply, of at least 4 (375 of 975 orders turned back)",
    ]


@pytest.mark.parametrize("kind", VERBS)
def test_an_operators_verb_is_obeyed_and_nothing_breaks(kind: str) -> None:
    """Told of every order at moments spread over its life; what is paused is resumed."""
    scenario = replace(
        Scenario.of(1), services=SLIM, customers=(), rates={"drop": 0.3}, together_s=0.0
    )
    told_at = ((order.id, order.at_s + late_s) for order in scenario.orders for late_s in (0.05, 1))
    faults = tuple(Fault(n, at_s, kind, order, 0.5) for n, (order, at_s) in enumerate(told_at))
    told = tell(replace(scenario, faults=faults))
    assert told.violation == ""
    assert told.obeyed[kind] > 0


def test_a_database_used_again_is_as_good_as_new() -> None:
    """Whatever a world left in it."""
    template = template_of("orchestrator")
    fresh = Database(template)
    dump = list(fresh.connection.iterdump())
    fresh.close()
    told = tell(Scenario.of(0))
    assert told.violation == ""
    again = Database(template)
    assert list(again.connection.iterdump()) == dump
    again.close()


def test_nobody_left_to_run_is_a_deadlock() -> None:
    """A timer that was cancelled wakes nobody, and moves no time."""
    loop = SimulatedLoop(Random(1), lambda error: None)  # noqa: ARG005
    loop.call_later(5.0, print).cancel()
    with pytest.raises(Deadlock):
        loop.run_until_complete(never())
    assert loop.now_s == 0.0
    loop.close()
