"""Where a saga goes next: forward position by position, or back in reverse.

`settle` is called after every change and draws all consequences: it sends what is next, turns
back when it must, ends the saga when nothing is left. Nothing is sent while the saga is held.
Invariant: a saga turns back only when no step is `sent`, and an outcome is published exactly when
the phase becomes terminal. Where a restored database is known to have sent later steps (they are
`idle` and `forgotten`), they are sent again before anything may turn the saga back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Never, TypeVar, cast

from orchestrator.engine.draft import Draft
from orchestrator.engine.instance import CANCELLED, NO_REPLY, RESTORED, Cancellation, Step
from orchestrator.engine.machine import (
    TERMINAL,
    Forgotten,
    Phase,
    PhaseEvent,
    Result,
    Status,
    StepEvent,
)

D = TypeVar("D")

_PASSED = frozenset({Status.DONE, Status.SKIPPED})
_BACKWARD = frozenset({Phase.COMPENSATING, Phase.NEEDS_OPERATOR})
_EFFECTIVE = frozenset({Status.DONE, Status.IN_DOUBT})


def settle(draft: Draft[D]) -> None:
    """All that follows from what was just applied."""
    if draft.cancellations:
        weigh_requests(draft)
    if draft.phase is Phase.RUNNING and not draft.held:
        _go_forward(draft)
    if draft.phase in _BACKWARD and not draft.held:
        _go_back(draft)


def weigh_requests(draft: Draft[D]) -> Result:
    """Decides each cancellation that is not decided yet, and says what became of the last.

    Before the pivot is sent the saga is bound to turn back. While the pivot is `sent`, or something
    that this database forgot is not sent again yet, the request waits. Later it is refused, and
    the refusal is published as soon as anything may be sent.
    """
    result = Result.APPLIED
    weighed: list[Cancellation] = []
    for request in draft.cancellations:
        known = request
        if not request.answered:
            result, answered = _weigh(draft, request)
            known = Cancellation(request.request_id, request.reason, answered)
        weighed.append(known)
    draft.cancellations = tuple(weighed)
    return result


def turn_back(draft: Draft[D], reason: str, detail: str) -> None:
    """Binds the saga to turn back as soon as nothing is `sent`. The first cause stands."""
    if not draft.reason:
        draft.reason, draft.detail = reason, detail


def keep(draft: Draft[D], index: int, reply: object) -> None:
    """Folds an answer into the data, if its step keeps it."""
    fold = draft.plan.keep[index]
    if fold is not None:
        draft.data = fold(draft.data, cast("Never", reply))


def past_return(draft: Draft[D]) -> bool:
    """A step that cannot be taken back was sent, by this database or by one it forgot."""
    return any(
        step.status is Status.SENT or step.status is Status.DONE or step.forgotten
        for step in draft.steps[draft.plan.turning :]
    ) or any(step.forgotten is Forgotten.END for step in draft.steps)


def answered_before(draft: Draft[D], index: int) -> bool:
    """In a forgotten life this step was answered with yes: now its reply is only late."""
    if draft.steps[index].forgotten is Forgotten.END:
        return True
    position = next(each for each in draft.plan.positions if index in each)
    return any(
        step.status is Status.IDLE and step.forgotten for step in draft.steps[position[-1] + 1 :]
    )


def overdue(draft: Draft[D]) -> bool:
    """An undo has waited longer than its `undo_within`."""
    return any(
        undo is not None and step.status is Status.UNDOING and step.waited_us >= undo.overdue_us
        for step, undo in zip(draft.steps, draft.plan.undos, strict=True)
    )


def stop_restored(draft: Draft[D], index: int) -> None:
    """The database is older than the world: nothing is sent until an operator has looked."""
    if draft.attention != RESTORED:
        if draft.phase is not Phase.NEEDS_OPERATOR:
            draft.move(PhaseEvent.RESTORED)
        draft.attention = RESTORED
        draft.hold()
        draft.call_operator(draft.plan.names[index], RESTORED)


def leave_restored(draft: Draft[D]) -> None:
    """Back to where the saga was, with the timers that were held."""
    draft.attention = ""
    if overdue(draft):
        draft.attention = NO_REPLY
    elif draft.reason and not any(step.status is Status.SENT for step in draft.steps):
        draft.move(PhaseEvent.TURN_BACK)
    else:
        draft.move(PhaseEvent.GO_ON)
    if not draft.held:
        draft.release()


def _weigh(draft: Draft[D], request: Cancellation) -> tuple[Result, bool]:
    """What becomes of a request, and whether that is its answer already."""
    if draft.phase in TERMINAL:
        draft.refuse_cancellation(request, Result.FINISHED)
        return Result.FINISHED, True
    if draft.reason:
        return Result.APPLIED, True
    if _committed(draft):
        if not draft.held:
            draft.refuse_cancellation(request, Result.TOO_LATE)
        return Result.TOO_LATE, not draft.held
    if past_return(draft) or draft.attention == RESTORED or _lags(draft.steps):
        return Result.APPLIED, False
    turn_back(draft, CANCELLED, request.reason)
    return Result.APPLIED, True


def _committed(draft: Draft[D]) -> bool:
    """The saga can only go forward: its pivot is done or, without one, a retriable was sent."""
    pivot = draft.plan.pivot
    if pivot is None:
        return past_return(draft)
    return draft.steps[pivot].status in _PASSED


def _go_forward(draft: Draft[D]) -> None:
    """Starts the first position that is not passed, unless something is still on its way."""
    if not draft.reason and _turned_before(draft.steps):
        turn_back(draft, RESTORED, "")
    for position in draft.plan.positions:
        statuses = [draft.steps[index].status for index in position]
        if Status.SENT in statuses:
            return
        if all(status in _PASSED for status in statuses):
            if len(position) > 1:
                _fold(draft, position)
            continue
        if draft.reason:
            break
        if _start(draft, position):
            return
    if draft.reason:
        _turn(draft)
    else:
        draft.move(PhaseEvent.ALL_DONE)
        draft.publish_outcome("completed")


def _lags(steps: Sequence[Step]) -> bool:
    """Something was sent in a forgotten life and is not sent, or not answered, again."""
    return any(
        step.forgotten and (step.status is Status.IDLE or step.forgotten is not Forgotten.UNDO)
        for step in steps
    )


def _turned_before(steps: Sequence[Step]) -> bool:
    """The forgotten future had turned back, and this one has come as far: it goes no further."""
    return (
        any(step.forgotten is Forgotten.UNDO for step in steps)
        and not any(step.status is Status.SENT for step in steps)
        and not _lags(steps)
    )


def _start(draft: Draft[D], position: tuple[int, ...]) -> bool:
    """Sends what a position asks for. False: `when` said no to all of it."""
    started = False
    for index in position:
        if draft.steps[index].status is not Status.IDLE:
            continue
        when = draft.plan.when[index]
        if when is None or when(draft.data):
            draft.send(draft.plan.dos[index])
            started = True
        else:
            draft.close(index, StepEvent.OMIT)
    return started


def _fold(draft: Draft[D], position: tuple[int, ...]) -> None:
    """A group's kept replies in definition order, once all have come."""
    for index in position:
        step = draft.steps[index]
        if step.reply is not None:
            keep(draft, index, step.reply)
            draft.steps[index] = step._replace(reply=None)


def _turn(draft: Draft[D]) -> None:
    """Forward becomes back, unless a later step was heard of that this database never sent."""
    for index, step in enumerate(draft.steps):
        if step.forgotten in (Forgotten.DO, Forgotten.END):
            stop_restored(draft, index)
            return
    draft.move(PhaseEvent.TURN_BACK)


def _go_back(draft: Draft[D]) -> None:
    """Undoes the last position that has an effect; the undos of a group go out together."""
    if draft.phase is Phase.NEEDS_OPERATOR and not overdue(draft):
        draft.move(PhaseEvent.UNDO_SETTLED)
        draft.attention = ""
    for position in reversed(draft.plan.positions):
        waiting = False
        for index in position:
            status = draft.steps[index].status
            undo = draft.plan.undos[index]
            if status in _EFFECTIVE and undo is not None:
                draft.send(undo)
            waiting = waiting or draft.steps[index].status is Status.UNDOING
        if waiting:
            return
    draft.move(PhaseEvent.ALL_UNDONE)
    draft.publish_outcome("compensated")
