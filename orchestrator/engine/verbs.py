"""What an operator may tell one saga, and when it may not be told that.

A verb changes the same draft that a message would, by the same tables; it never writes a status
that no message could have led to. Each returns None when it was obeyed, or the reason why not,
and then the draft is thrown away.
"""

from __future__ import annotations

from typing import TypeVar

from orchestrator.engine.course import leave_restored, past_return, settle, turn_back
from orchestrator.engine.draft import Draft
from orchestrator.engine.instance import OPERATOR, RESTORED, VerbRequested
from orchestrator.engine.machine import (
    TERMINAL,
    Forgotten,
    Phase,
    Result,
    Status,
    StepEvent,
    Verb,
)

D = TypeVar("D")

_JOURNAL_ONLY = frozenset({Verb.NOTE, Verb.ASSIGN, Verb.UNASSIGN})
_PENDING = frozenset({Status.SENT, Status.UNDOING})


def obey(draft: Draft[D], told: VerbRequested) -> Result | None:
    """Reason, version and step were checked before."""
    if told.verb in _JOURNAL_ONLY:
        return None
    if draft.phase in TERMINAL:
        return Result.FINISHED
    if draft.phase is Phase.CANCELLED_EARLY:
        return Result.NOT_STARTED
    result: Result | None = Result.UNKNOWN_VERB
    if told.verb == Verb.RETRY:
        result = _retry(draft, told)
    elif told.verb == Verb.COMPENSATE:
        result = _compensate(draft, told)
    elif told.verb == Verb.PAUSE:
        result = _pause(draft)
    elif told.verb == Verb.RESUME:
        result = _resume(draft)
    elif told.verb == Verb.SKIP:
        result = _skip(draft, told)
    return result


def _retry(draft: Draft[D], told: VerbRequested) -> Result | None:
    """Sends pending commands again; a restored saga goes forward again first.

    The participants answer what they answered before, so a restored saga catches up with what
    this database forgot. It may not where that future had already turned back.
    """
    if draft.paused:
        return Result.PAUSED
    if draft.attention == RESTORED:
        if draft.reason:
            return Result.ALREADY_COMPENSATING
        if any(step.forgotten is Forgotten.UNDO for step in draft.steps):
            return Result.RESTORED
        leave_restored(draft)
        _resend_pending(draft, None)
        settle(draft)
        return None
    return None if _resend_pending(draft, told.step) else Result.NOTHING_PENDING


def _resend_pending(draft: Draft[D], only: str | None) -> bool:
    pending = [
        index
        for index, step in enumerate(draft.steps)
        if step.status in _PENDING and only in {None, step.name}
    ]
    for index in pending:
        draft.resend(draft.pending(index), draft.steps[index].waited_us)
    return bool(pending)


def _compensate(draft: Draft[D], told: VerbRequested) -> Result | None:
    """Rolls back from here, once nothing is `sent`; what was forgotten is undone as in doubt."""
    restored = draft.attention == RESTORED
    if draft.reason and not restored:
        return Result.ALREADY_COMPENSATING
    if past_return(draft):
        return Result.TOO_LATE
    turn_back(draft, OPERATOR, told.reason)
    for index, step in enumerate(draft.steps):
        if step.forgotten is not None and step.status is Status.IDLE:
            draft.close(index, StepEvent.RECALLED)
    if restored:
        leave_restored(draft)
    settle(draft)
    return None


def _pause(draft: Draft[D]) -> Result | None:
    if draft.paused:
        return Result.ALREADY_PAUSED
    draft.hold()
    draft.paused = True
    return None


def _resume(draft: Draft[D]) -> Result | None:
    if not draft.paused:
        return Result.NOT_PAUSED
    draft.paused = False
    if not draft.held:
        draft.release()
    settle(draft)
    return None


def _skip(draft: Draft[D], told: VerbRequested) -> Result | None:
    """Settles a step that waits, or that was forgotten, by evidence instead of a reply."""
    if not told.evidence.strip():
        return Result.NO_EVIDENCE
    if told.step is None:
        return Result.UNKNOWN_STEP
    index = draft.plan.index[told.step]
    step = draft.steps[index]
    forgotten = step.status is Status.IDLE and step.forgotten is not None
    if step.status not in _PENDING and not forgotten:
        return Result.NOTHING_PENDING
    forward = step.status is not Status.UNDOING and not draft.reason
    if forward and draft.plan.keep[index] is not None:
        return Result.KEEPS_REPLY
    draft.close(index, StepEvent.VOUCHED)
    if forgotten and draft.attention == RESTORED and not _any_forgotten(draft):
        leave_restored(draft)
    settle(draft)
    return None


def _any_forgotten(draft: Draft[D]) -> bool:
    return any(step.forgotten is not None for step in draft.steps)
