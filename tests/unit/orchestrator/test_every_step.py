"""Every saga, every step, every disturbance: the whole sequence of messages, compared by value.

The expectation is written from the tables of `saga_cases`, not from the engine's plan.
"""

from __future__ import annotations

import pytest
from saga_cases import (
    CASES,
    Case,
    Row,
    answer_undos,
    answer_upto,
    every_step,
    expected_back,
    expected_forward,
    step_id,
)

from orchestrator.engine.machine import Phase, Result
from orchestrator.saga import Duration
from orchestrator.testing import Run
from schemas.common import Overtaken
from schemas.orchestrator import OrderCancellationRefused

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


def answer_upto_from(run: Run[object], case: Case, row: Row) -> None:
    run.receive(row.yes)
    for position in case.positions[case.place_of(row.step) + 1 :]:
        for each in position:
            run.receive(each.yes)


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


@each_cancellable
def test_a_cancellation_while_a_step_is_sent(case: Case, row: Row) -> None:
    """Before the pivot it turns back; at the pivot it waits; later it is refused."""
    run = at(case, row).cancel("changed_mind")
    before_pivot = row.undo is not None

    if before_pivot:
        assert run.result is Result.APPLIED
        answer_siblings(run, case, row)
        run.receive(row.yes)
        answer_undos(run, case)
        effective = effective_before(case, row) | {row.step}
        assert_compensated(run, case, row, effective, "cancelled", "changed_mind")
        assert run.notices() == ()
        return
    assert run.result is (Result.APPLIED if row.step == case.pivot else Result.TOO_LATE)
    assert len(run.notices()) == (0 if row.step == case.pivot else 1)
    answer_siblings(run, case, row)
    answer_upto_from(run, case, row)
    assert_completed(run, case)
    assert (OrderCancellationRefused("o-1", "cancel-1", "too_late"),) == run.notices()


@pytest.mark.parametrize(
    ("case", "row"), [(c, r) for c, r in CANCELLABLE if c.place_of(r.step) > 0], ids=step_id
)
def test_a_cancellation_before_the_step_keeps_it_from_starting(case: Case, row: Row) -> None:
    """A cancellation while the position before is sent: this step's command is never sent."""
    place = case.place_of(row.step)
    previous = case.positions[place - 1]
    run = case.begin()
    answer_upto(run, case, place - 1)
    run.cancel("changed_mind")
    for each in previous:
        run.receive(each.yes)
    stopped = all(each.undo is not None for each in previous)

    assert (row.do not in run.commands()) is stopped


@each_revocable
def test_a_cancellation_when_the_step_has_timed_out_changes_nothing(case: Case, row: Row) -> None:
    """The saga is turning back already: the first cause stands, and nobody is refused."""
    run = at(case, row)
    answer_siblings(run, case, row)
    run.wait(Duration(row.within)).cancel("changed_mind")

    assert run.result is Result.APPLIED
    assert run.sent() == ()
    answer_undos(run, case)
    effective = effective_before(case, row) | {row.step}
    assert_compensated(run, case, row, effective, "no_reply", row.step)
    assert run.notices() == ()


@each_revocable
def test_a_step_that_times_out_after_a_cancellation_is_undone(case: Case, row: Row) -> None:
    """The cancellation waits for the reply as long as the step does, then undoes it in doubt."""
    run = at(case, row).cancel("changed_mind")
    answer_siblings(run, case, row)
    run.wait(Duration(row.within))
    answer_undos(run, case)

    effective = effective_before(case, row) | {row.step}
    assert_compensated(run, case, row, effective, "cancelled", "changed_mind")


@pytest.mark.parametrize(
    ("case", "row"), [(c, r) for c, r in CANCELLABLE if r.step == c.pivot], ids=step_id
)
def test_a_cancellation_is_fulfilled_when_the_pivot_is_refused(case: Case, row: Row) -> None:
    """The refusal of the pivot is the reason; the cancellation is not refused."""
    run = at(case, row).cancel("changed_mind").receive(row.no)
    answer_undos(run, case)

    assert_compensated(run, case, row, effective_before(case, row), row.why, row.step)
    assert run.notices() == ()


@each_step
def test_a_reply_while_paused_is_applied_and_nothing_is_sent(case: Case, row: Row) -> None:
    """Resume sends what is next, and the saga goes on as if it had never been paused."""
    run = at(case, row)
    answer_siblings(run, case, row)
    sent = run.commands()
    run.verb("pause").receive(row.yes).wait(Duration(86_400_000_000))

    assert sent == run.commands()
    assert run.outcome() is None
    run.verb("resume")
    for position in case.positions[case.place_of(row.step) + 1 :]:
        for each in position:
            run.receive(each.yes)
    assert_completed(run, case)


@each_refusable
def test_a_refusal_while_paused_turns_back_on_resume(case: Case, row: Row) -> None:
    """Nothing is undone until resume."""
    run = at(case, row)
    answer_siblings(run, case, row)
    sent = run.commands()
    run.verb("pause").receive(row.no)

    assert sent == run.commands()
    assert run.outcome() is None
    run.verb("resume")
    answer_undos(run, case)
    assert_compensated(run, case, row, effective_before(case, row), row.why, row.step)


@each_step
def test_a_pause_keeps_the_remaining_time(case: Case, row: Row) -> None:
    """A timer stopped one second before it is due fires one second after resume."""
    every = -(-row.within // 3)
    run = at(case, row)
    answer_siblings(run, case, row)
    run.wait(Duration(every - 1_000_000)).verb("pause").wait(Duration(10**12)).verb("resume")
    run.wait(Duration(999_999))

    assert run.sent() == ()
    assert row.do == run.wait(Duration(1)).sent()


@each_undoable
def test_an_undo_while_paused(case: Case, row: Row) -> None:
    """A paused saga sends no undo and no outcome; resume goes on where it stood."""
    run = at(case, row)
    answer_siblings(run, case, row)
    run.wait(Duration(row.within)).verb("pause")
    sent = run.commands()
    run.receive(row.undone).wait(Duration(10**12))

    assert sent == run.commands()
    assert run.outcome() is None
    run.verb("resume")
    answer_undos(run, case)
    effective = effective_before(case, row) | {row.step}
    assert_compensated(run, case, row, effective, "no_reply", row.step)


@each_step
def test_a_step_vouched_for_counts_as_done(case: Case, row: Row) -> None:
    """An operator's skip with evidence stands for the answer, unless later steps need it."""
    run = at(case, row)
    answer_siblings(run, case, row)
    run.verb("skip", row.step, evidence="ticket 9")

    if row.keeps:
        assert run.result is Result.KEEPS_REPLY
        return
    assert run.result is Result.APPLIED
    for position in case.positions[case.place_of(row.step) + 1 :]:
        for each in position:
            run.receive(each.yes)
    assert_completed(run, case)


@each_undoable
def test_an_undo_vouched_for_counts_as_undone(case: Case, row: Row) -> None:
    """A skip with evidence takes the place of the awaited reply, also out of needs_operator."""
    run = at(case, row)
    answer_siblings(run, case, row)
    run.wait(Duration(row.within)).wait(Duration(600_000_000))
    assert run.state == "needs_operator"
    for sibling in siblings(case, row):
        run.receive(sibling.undone)
    run.verb("skip", row.step, evidence="refunded by hand")

    assert run.result is Result.APPLIED
    assert run.state != "needs_operator"
    answer_undos(run, case)
    effective = effective_before(case, row) | {row.step}
    assert_compensated(run, case, row, effective, "no_reply", row.step)
