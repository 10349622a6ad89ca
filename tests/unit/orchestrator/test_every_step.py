"""Every saga, every step, every reply and time-out: the whole sequence of messages, by value.

The expectation is written from the tables of `saga_cases`, not from the engine's plan.
"""

from __future__ import annotations

import pytest
from saga_cases import CASES, Case, Row
from saga_walks import (
    answer_siblings,
    answer_undos,
    answer_upto,
    answer_upto_from,
    assert_compensated,
    assert_completed,
    at,
    each_firm,
    each_refusable,
    each_step,
    each_undoable,
    effective_before,
    siblings,
    step_id,
)

from orchestrator.engine.machine import Phase, Result
from orchestrator.saga import Duration
from schemas.common import Overtaken


@pytest.mark.parametrize("case", CASES, ids=step_id)
def test_when_all_say_yes_the_saga_completes(case: Case) -> None:
    """Each command is sent once, position by position, and one outcome is published."""
    run = case.begin()
    answer_upto(run, case, len(case.positions))

    assert_completed(run, case)
    assert run.notices() == ()


@each_refusable
def test_a_refusal_undoes_what_came_before(case: Case, row: Row) -> None:
    """A refused step is not undone; everything before it is, in reverse."""
    run = at(case, row).receive(row.no)
    answer_siblings(run, case, row)
    answer_undos(run, case)

    assert_compensated(run, case, row, effective_before(case, row), row.why, row.step)


@each_refusable
def test_a_refusal_waits_for_what_is_still_sent(case: Case, row: Row) -> None:
    """No undo leaves while a sibling's reply is outstanding."""
    run = at(case, row)
    before = run.commands()
    run.receive(row.no)
    waiting = siblings(case, row)

    for sibling in waiting:
        assert before == run.commands()
        assert run.instance is not None
        assert run.instance.phase is Phase.RUNNING
        run.receive(sibling.yes)
    assert run.instance is not None
    assert run.instance.phase is not Phase.RUNNING


@each_refusable
def test_a_refusal_said_twice_counts_once(case: Case, row: Row) -> None:
    """The second one changes nothing and is named."""
    run = at(case, row).receive(row.no)
    before = run.instance
    run.receive(row.no, to=row.step)
    finished = run.state == "compensated"

    assert before is run.instance
    assert run.sent() == ()
    assert run.result is (Result.FINISHED if finished else Result.DUPLICATE)


@each_undoable
def test_an_overtaken_step_is_refused(case: Case, row: Row) -> None:
    """Overtaken is an implicit refusal of every command that has an undo."""
    run = at(case, row).receive(Overtaken("o-1"), to=row.step)
    answer_siblings(run, case, row)
    answer_undos(run, case)

    assert_compensated(run, case, row, effective_before(case, row), "overtaken", row.step)


@each_undoable
def test_a_timed_out_step_is_undone_too(case: Case, row: Row) -> None:
    """Timed out is not refused: after three sends the step is in doubt and is compensated."""
    run = at(case, row)
    answer_siblings(run, case, row)
    run.wait(Duration(row.within - 1))

    assert (row.do, row.do) == run.sent()
    run.wait(Duration(1))
    answer_undos(run, case)

    effective = effective_before(case, row) | {row.step}
    assert_compensated(run, case, row, effective, "no_reply", row.step)


@each_firm
def test_a_firm_step_is_sent_for_ever(case: Case, row: Row) -> None:
    """A pivot or retriable step without reply is sent again and again, and completes at last."""
    run = at(case, row)
    answer_siblings(run, case, row)
    run.wait(Duration(4 * row.within))
    tries = list(run.commands()).count(row.do)

    assert tries > 3
    assert run.state == f"awaiting_{row.step}"
    answer_upto_from(run, case, row)
    assert_completed(run, case, extra=tries - 1)


@each_step
def test_a_reply_said_twice_counts_once(case: Case, row: Row) -> None:
    """A duplicate is named, changes nothing, and the saga completes as without it."""
    run = at(case, row)
    answer_siblings(run, case, row)
    run.receive(row.yes)
    before = run.instance
    run.receive(row.yes, to=row.step)
    finished = run.state == "completed"

    assert before is run.instance
    assert run.sent() == ()
    assert run.result is (Result.FINISHED if finished else Result.DUPLICATE)
    for position in case.positions[case.place_of(row.step) + 1 :]:
        for each in position:
            run.receive(each.yes)
    assert_completed(run, case)


@each_refusable
def test_a_refusal_after_the_answer_is_a_contradiction(case: Case, row: Row) -> None:
    """A step that is done stays done."""
    run = at(case, row).receive(row.yes)
    before = run.instance
    run.receive(row.no, to=row.step)
    finished = run.state == "completed"

    assert before is run.instance
    assert run.result is (Result.FINISHED if finished else Result.CONTRADICTION)


@each_undoable
@pytest.mark.parametrize("success", [True, False], ids=["success", "refusal"])
def test_a_late_reply_folds_nothing(case: Case, row: Row, success: bool) -> None:  # noqa: FBT001
    """A reply after the time-out is journalled as late; the undo goes on unchanged."""
    run = at(case, row)
    answer_siblings(run, case, row)
    run.wait(Duration(row.within))
    before = run.instance
    run.receive(row.yes if success else Overtaken("o-1"), to=row.step)

    assert before is run.instance
    assert run.result is Result.LATE
    assert run.journal[-1].result is Result.LATE
    answer_undos(run, case)
    effective = effective_before(case, row) | {row.step}
    assert_compensated(run, case, row, effective, "no_reply", row.step)
    run.receive(row.yes, to=row.step)
    assert run.result is Result.FINISHED


@each_undoable
def test_an_undo_answered_twice_counts_once(case: Case, row: Row) -> None:
    """The second answer of a compensation is named and changes nothing."""
    run = at(case, row)
    answer_siblings(run, case, row)
    run.wait(Duration(row.within)).receive(row.undone)
    before = run.instance
    run.receive(row.undone, to=row.step)
    finished = run.state == "compensated"

    assert before is run.instance
    assert run.result is (Result.FINISHED if finished else Result.DUPLICATE)


@each_undoable
def test_a_lost_undo_calls_an_operator_once(case: Case, row: Row) -> None:
    """An undo without reply is sent for ever; after ten minutes one notice goes out."""
    run = at(case, row)
    answer_siblings(run, case, row)
    run.wait(Duration(row.within)).wait(Duration(599_999_999))
    assert run.notices() == ()
    assert run.instance is not None
    assert run.instance.phase is Phase.COMPENSATING
    run.wait(Duration(1)).wait(Duration(3_600_000_000))

    assert run.state == "needs_operator"
    assert len(run.notices()) == 1
    sends = list(run.commands()).count(row.undo)
    assert sends >= 14
    answer_undos(run, case)
    assert run.state == "compensated"
