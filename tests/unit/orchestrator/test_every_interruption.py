"""Every saga, every step, cancelled, paused or settled by an operator there: whole sequences."""

from __future__ import annotations

import pytest
from saga_cases import Case, Row
from saga_walks import (
    CANCELLABLE,
    answer_siblings,
    answer_undos,
    answer_upto,
    answer_upto_from,
    assert_compensated,
    assert_completed,
    at,
    each_cancellable,
    each_refusable,
    each_revocable,
    each_step,
    each_undoable,
    effective_before,
    siblings,
    step_id,
)

from orchestrator.engine.machine import Result
from orchestrator.saga import Duration
from schemas.orchestrator import OrderCancellationRefused


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
