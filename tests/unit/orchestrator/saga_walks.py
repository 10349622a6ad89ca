"""How a saga is walked to a step and what must follow from there, by the tables of `saga_cases`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from saga_cases import CASES, Case, Row

from orchestrator.testing import Run


def expected_forward(case: Case, upto: int) -> list[object]:
    """The commands of all positions before `upto`."""
    return [row.do for position in case.positions[:upto] for row in position]


def expected_back(case: Case, effective: set[str], below: int) -> list[object]:
    """The undos of the effective steps among the positions before `below`, last one first."""
    return [
        row.undo
        for position in reversed(case.positions[:below])
        for row in position
        if row.step in effective
    ]


def answer_upto(run: Run[object], case: Case, upto: int) -> None:
    """Yes to everything before the position `upto`."""
    for position in case.positions[:upto]:
        for row in position:
            run.receive(row.yes)


def answer_undos(run: Run[object], case: Case) -> None:
    """Every undo that was sent is answered, until no more are sent."""
    pending = [row for row in reversed(case.rows) if row.undo is not None]
    for row in pending:
        if any(row.undo is sent or row.undo == sent for sent in run.commands()):
            run.receive(row.undone)


def every_step() -> Iterator[tuple[Case, Row]]:
    for case in CASES:
        for row in case.rows:
            yield case, row


def step_id(value: object) -> str:
    if isinstance(value, Case):
        return value.name
    return value.step if isinstance(value, Row) else str(value)


STEPS = list(every_step())
UNDOABLE = [(case, row) for case, row in STEPS if row.undo is not None]
FIRM = [(case, row) for case, row in STEPS if row.undo is None]
REFUSABLE = [(case, row) for case, row in STEPS if row.no is not None]
CANCELLABLE = [(case, row) for case, row in STEPS if case.saga.cancelled_by is not None]
each_step = pytest.mark.parametrize(("case", "row"), STEPS, ids=step_id)
each_undoable = pytest.mark.parametrize(("case", "row"), UNDOABLE, ids=step_id)
each_firm = pytest.mark.parametrize(("case", "row"), FIRM, ids=step_id)
each_refusable = pytest.mark.parametrize(("case", "row"), REFUSABLE, ids=step_id)
each_revocable = pytest.mark.parametrize(
    ("case", "row"), [pair for pair in CANCELLABLE if pair in UNDOABLE], ids=step_id
)
each_cancellable = pytest.mark.parametrize(("case", "row"), CANCELLABLE, ids=step_id)


def at(case: Case, row: Row) -> Run[object]:
    """The saga when this step's position has been sent."""
    run = case.begin()
    answer_upto(run, case, case.place_of(row.step))
    return run


def siblings(case: Case, row: Row) -> list[Row]:
    return [each for each in case.positions[case.place_of(row.step)] if each != row]


def answer_siblings(run: Run[object], case: Case, row: Row) -> None:
    for sibling in siblings(case, row):
        run.receive(sibling.yes)


def assert_completed(run: Run[object], case: Case, *, extra: int = 0) -> None:
    """Every command once, in order, and the outcome; `extra` counts commands sent again."""
    expected = expected_forward(case, len(case.positions))
    again = list(run.commands())
    once = list(dict.fromkeys(again))

    assert expected == once
    assert len(expected) + extra == len(again)
    assert case.completed == run.outcome()
    assert run.state == "completed"


def assert_compensated(
    run: Run[object], case: Case, row: Row, effective: set[str], *because: str
) -> None:
    """Forward as far as the step, back over what was effective, and the outcome."""
    place = case.place_of(row.step)
    expected = expected_forward(case, place + 1) + expected_back(case, effective, place + 1)

    assert expected == list(dict.fromkeys(run.commands()))
    assert case.cancelled(*because) == run.outcome()
    assert run.state == "compensated"


def effective_before(case: Case, row: Row) -> set[str]:
    place = case.place_of(row.step)
    before = {each.step for position in case.positions[:place] for each in position}
    return before | {each.step for each in siblings(case, row)}


def answer_upto_from(run: Run[object], case: Case, row: Row) -> None:
    run.receive(row.yes)
    for position in case.positions[case.place_of(row.step) + 1 :]:
        for each in position:
            run.receive(each.yes)
