"""The tables of statuses and phases: complete, reachable, and terminal where they say so."""

from __future__ import annotations

import pytest
from saga_cases import ORDER

from orchestrator.engine.draft import Draft
from orchestrator.engine.machine import (
    PHASES,
    STEPS,
    TERMINAL,
    Phase,
    PhaseEvent,
    Result,
    Status,
    StepEvent,
)
from orchestrator.sagas.fulfilment import FULFILMENT
from orchestrator.testing import drive

REPLIES = (StepEvent.ANSWERED, StepEvent.REFUSED, StepEvent.UNDO_ANSWERED)


def test_every_status_and_phase_has_a_row() -> None:
    """Terminal phases are present, and empty."""
    assert set(STEPS) == set(Status)
    assert set(PHASES) == set(Phase)
    assert {phase for phase, row in PHASES.items() if not row} == TERMINAL


@pytest.mark.parametrize("status", Status)
def test_every_reply_is_answered_in_every_status(status: Status) -> None:
    """A reply moves the step or has a named reason; never neither."""
    assert all(isinstance(STEPS[status][reply], Status | Result) for reply in REPLIES)


def test_every_event_and_every_state_is_used() -> None:
    """What is in an enum is in a table, and every state but the first can be reached."""
    reached = {to for row in STEPS.values() for to in row.values() if isinstance(to, Status)}
    phases = {to for row in PHASES.values() for to in row.values()}

    assert {event for row in STEPS.values() for event in row} == set(StepEvent)
    assert {event for row in PHASES.values() for event in row} == set(PhaseEvent)
    assert reached | {Status.IDLE} == set(Status)
    assert phases | {Phase.RUNNING, Phase.CANCELLED_EARLY} == set(Phase)


def test_the_tables_are_the_ones_that_were_designed() -> None:
    """The moves, written out once more by hand."""
    moves = {
        (a.value, to.value)
        for a, row in STEPS.items()
        for to in row.values()
        if isinstance(to, Status)
    }
    phases = {(a.value, to.value) for a, row in PHASES.items() for to in row.values()}

    assert moves == {
        ("idle", "sent"),
        ("idle", "skipped"),
        ("idle", "in_doubt"),
        ("sent", "done"),
        ("sent", "refused"),
        ("sent", "in_doubt"),
        ("done", "undoing"),
        ("in_doubt", "undoing"),
        ("undoing", "undone"),
    }
    assert phases == {
        ("running", "completed"),
        ("running", "compensating"),
        ("running", "needs_operator"),
        ("compensating", "compensated"),
        ("compensating", "needs_operator"),
        ("needs_operator", "compensating"),
        ("needs_operator", "running"),
        ("cancelled_early", "compensated"),
    }


def test_a_move_that_no_table_has_is_a_fault() -> None:
    """Refusals are sorted out before a draft is changed; what is left raises."""
    instance = drive(FULFILMENT, ORDER).instance
    assert instance is not None
    draft = Draft(FULFILMENT, instance, 0)

    with pytest.raises(KeyError):
        draft.close(0, StepEvent.OMIT)
    with pytest.raises(KeyError):
        draft.close(0, StepEvent.UNDO_ANSWERED)
    with pytest.raises(KeyError):
        draft.move(PhaseEvent.ALL_UNDONE)
