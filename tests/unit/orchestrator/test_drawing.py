"""Pictures are printed from definitions and tables, and show what sagas really do."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import replace

import pytest
from saga_cases import CASES, SHIPMENT_STEP, STOCK_STEP, Case
from saga_walks import step_id

from orchestrator.engine.decide import decide
from orchestrator.engine.draw import mermaid, mermaid_tables, terminal
from orchestrator.engine.instance import (
    CancelRequested,
    Instance,
    Replied,
    SetTimer,
    Started,
    Stimulus,
    TimerFired,
)
from orchestrator.engine.machine import PHASES, STEPS, Kind, Result, Status
from orchestrator.saga import Compensatable, Parallel, Saga
from orchestrator.sagas.fulfilment import FULFILMENT
from orchestrator.sagas.onboarding import ONBOARDING

TWO_LANES = """\
… started ──────→ ▶ stock ─────────→ ▶ payment ──────→ ▶ shipment ────────→ ◆ capture\
 ──→ ▶ dispatch ──→ ✓ completed
                    ↙                  ↙                 ↙                    ↙
✓ compensated ←┄┄ ↩ ReleaseStock ←┄┄ ↩ VoidPayment ←┄┄ ↩ CancelShipment\
                                  ✖ needs operator
"""

GROUP = """\
… started ──────→ ▶ account ──────────────→ ✓ completed
                  ▶ record
                  ▶ profile
                    ↙
✓ compensated ←┄┄ ↩ CloseAccount            ✖ needs operator
                  ↩ CloseCustomerRecord
                  ↩ EraseProfile
"""


def test_the_terminal_picture_has_two_lanes() -> None:
    """Forward on top; each undo under the step it undoes."""
    assert terminal(FULFILMENT) == TWO_LANES
    assert terminal(ONBOARDING) == GROUP


def test_a_conditional_step_is_marked_and_may_be_passed_by() -> None:
    """A question mark in the terminal; an edge around it in the state diagram."""
    saga = replace(FULFILMENT, name="maybe", steps=[STOCK_STEP, replace(SHIPMENT_STEP, when=bool)])

    assert "▶ shipment?" in terminal(saga)
    assert "awaiting_stock --> completed : StockReserved" in mermaid(saga)
    first = replace(FULFILMENT, name="first", steps=[replace(STOCK_STEP, when=bool), SHIPMENT_STEP])
    assert "undoing_shipment --> compensated : ShipmentCancelled" in mermaid(first)


def edges_of(diagram: str) -> set[tuple[str, str]]:
    return set(re.findall(r"^ +(\S+) --> (\S+)", diagram, re.MULTILINE))


@pytest.mark.parametrize("case", CASES, ids=step_id)
def test_every_transition_that_can_happen_is_drawn(case: Case) -> None:
    """All states reachable by replies, timers and cancellations; and every drawn edge happens."""
    drawn = edges_of(mermaid(case.saga))
    seen = {edge for edge in explored(case) if edge[0] != edge[1]}
    merged = {(drawn_state(case, a), drawn_state(case, b)) for a, b in seen}

    ended = {("completed", "[*]"), ("compensated", "[*]")}
    loops = {edge for edge in drawn if edge[0] == edge[1]}
    assert {edge for edge in merged if edge[0] != edge[1]} == drawn - ended - loops


def drawn_state(case: Case, state: str) -> str:
    """A group is drawn as one state, named by its first step."""
    way, _, step = state.partition("_")
    if state == "" or step not in {row.step for row in case.rows}:
        return state or "[*]"
    return f"{way}_{case.positions[case.place_of(step)][0].step}"


def explored(case: Case) -> set[tuple[str, str]]:
    """All (from, to) states within reach, breadth first over what decides the state."""
    saga, edges = hurried(case.saga), set()
    queue: deque[Instance[object] | None] = deque([None])
    known = set()
    while queue:
        instance = queue.popleft()
        for stimulus in stimuli(case, instance):
            decision = decide(saga, instance, stimulus, 0)
            (entry,) = decision.entries
            edges.add((entry.from_state, entry.to_state))
            after = decision.instance
            mark = None if after is None else essence(after)
            if decision.result is Result.APPLIED and mark not in known:
                known.add(mark)
                queue.append(after)
    return edges


def hurried(saga: Saga[object]) -> Saga[object]:
    """One try for everything, so that a single timer decides: the same states, far fewer ways."""

    def once(step: object) -> object:
        if isinstance(step, Parallel):
            return Parallel(*(once(each) for each in step.steps))
        if isinstance(step, Compensatable):
            return replace(step, tries=1, undo_within=step.within)
        return replace(step, tries=1)

    return replace(saga, steps=[once(step) for step in saga.steps])


def essence(instance: Instance[object]) -> object:
    steps = [(each.status, each.waited_us > 0) for each in instance.steps]
    return instance.phase, bool(instance.reason), tuple(steps)


def stimuli(case: Case, instance: Instance[object] | None) -> list[Stimulus]:
    key = case.saga.key_of(case.start)
    found: list[Stimulus] = [Started(case.start, "evt-1", "one")]
    if instance is None or not instance.cancellations:
        found.append(CancelRequested(key, "cancel-1", "why"))
    for row, step in zip(case.rows, instance.steps if instance else (), strict=False):
        bodies = {Status.SENT: (row.yes, row.no), Status.UNDOING: (row.undone,)}
        for body in bodies.get(step.status, ()):
            found += [] if body is None else [replied(case, row.step, step.status, body)]
        if step.status in bodies and step.waited_us == 0:
            kind = Kind.DO if step.status is Status.SENT else Kind.UNDO
            found.append(TimerFired(row.step, kind))
    return found


def replied(case: Case, step: str, status: Status, body: object) -> Replied:
    operation = f"{case.saga.saga_id(case.saga.key_of(case.start))}/{step}"
    kind = "do" if status is Status.SENT else "undo"
    owner = case.saga.plan.asks[f"{step}/{kind}"].contract.owner
    return Replied(body, type(body).avro_name, f"{operation}/{kind}", operation, owner)


def test_the_tables_are_drawn_whole() -> None:
    """Each move of both tables is one arrow, and nothing else is."""
    drawn = re.findall(r"^ +(\w+) --> (\w+) : (\w+)", mermaid_tables(), re.MULTILINE)
    moves = [
        (a.value, to.value, event.value)
        for table in (STEPS, PHASES)
        for a, row in table.items()
        for event, to in row.items()
        if not isinstance(to, Result)
    ]

    assert drawn == moves


def test_drawing_is_deterministic() -> None:
    """The same definition, the same text."""
    for case in CASES:
        again = replace(case.saga)
        assert (mermaid(again), terminal(again)) == (mermaid(case.saga), terminal(case.saga))


def test_timers_of_the_picture_are_real() -> None:
    """A guard for the exploration above: it does set timers, so time-outs are explored."""
    decision = decide(FULFILMENT, None, Started(CASES[0].start, "evt-1", "one"), 0)

    assert [type(timer) for timer in decision.timers] == [SetTimer]
