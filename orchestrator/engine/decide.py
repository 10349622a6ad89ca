"""What follows from one stimulus: `decide` is the whole of the orchestrator's judgement.

Pure: no clock, no I/O, no randomness; `now_us` is given. It returns the next instance, what to
send, which timers to set and one line for the journal. A refusal is a `Result`, and what is
refused changes nothing but, where that must be answered or remembered, the memory of having been
asked. A maker that raises is a fault, and passes through.
Numbers to know: at most `REQUESTS_MAX` cancellation requests are remembered per saga.
"""

from __future__ import annotations

import re
from typing import TypeVar

from orchestrator.engine.course import (
    answered_before,
    keep,
    overdue,
    settle,
    stop_restored,
    turn_back,
    weigh_requests,
)
from orchestrator.engine.draft import Draft
from orchestrator.engine.instance import (
    CANCELLED,
    NO_REPLY,
    Cancellation,
    CancelRequested,
    Decision,
    Entry,
    Instance,
    Replied,
    Started,
    Step,
    Stimulus,
    TimerFired,
    VerbRequested,
    state_of,
)
from orchestrator.engine.machine import (
    STEPS,
    TERMINAL,
    Forgotten,
    Kind,
    Phase,
    PhaseEvent,
    Result,
    Status,
    StepEvent,
    Verb,
)
from orchestrator.engine.plan import Ask
from orchestrator.engine.reminder import reminded
from orchestrator.engine.verbs import obey
from orchestrator.saga import Saga

D = TypeVar("D")

REQUESTS_MAX = 16


def decide(
    saga: Saga[D], instance: Instance[D] | None, stimulus: Stimulus, now_us: int
) -> Decision[D]:
    """`saga` is the definition, in the version, that the instance names."""
    if isinstance(stimulus, Replied):
        return _replied(saga, instance, stimulus, now_us)
    if isinstance(stimulus, Started):
        return _started(saga, instance, stimulus, now_us)
    if isinstance(stimulus, TimerFired):
        return _timer_fired(saga, instance, stimulus, now_us)
    if isinstance(stimulus, CancelRequested):
        return _cancel_requested(saga, instance, stimulus, now_us)
    return _told(saga, instance, stimulus, now_us)


def _started(
    saga: Saga[D], instance: Instance[D] | None, start: Started, now_us: int
) -> Decision[D]:
    if instance is None:
        begun = _new(saga, saga.key_of(start.event), start, now_us)
        draft = Draft(saga, reminded(begun, start.spoken) if start.spoken else begun, now_us)
        draft.data = saga.begin(start.event)
        settle(draft)
    elif instance.phase is Phase.CANCELLED_EARLY:
        begun = instance._replace(
            start_id=start.message_id, start_digest=start.content_digest, started_us=now_us
        )
        draft = Draft(saga, begun, now_us)
        draft.data = saga.begin(start.event)
        turn_back(draft, CANCELLED, instance.cancellations[0].reason)
        draft.move(PhaseEvent.STARTED_LATE)
        draft.publish_outcome("compensated")
    else:
        same = instance.start_digest == start.content_digest
        result = Result.DUPLICATE if same else Result.CONFLICTING_START
        return _refused(instance, "started", result, detail=start.message_id)
    before = "" if instance is None else instance.state
    return _applied(draft, "started", before=before, detail=start.message_id)


def _replied(
    saga: Saga[D], instance: Instance[D] | None, reply: Replied, now_us: int
) -> Decision[D]:
    if instance is None or instance.phase is Phase.CANCELLED_EARLY:
        return _refused(instance, "replied", Result.NOT_STARTED, detail=reply.type_name)
    ask = _asked(saga, instance, reply)
    if isinstance(ask, Result):
        return _refused(instance, "replied", ask, detail=reply.type_name)
    event = ask.reads.get(reply.type_name)
    if event is None:
        return _refused(instance, "replied", Result.WRONG_TYPE, ask.step, reply.type_name)
    target = STEPS[instance.steps[ask.index].status][event]
    if isinstance(target, Result) or instance.phase in TERMINAL:
        if target is Result.RESTORED and _news(instance.steps[ask.index], ask.kind):
            return _forgotten(saga, instance, ask, now_us)
        finished = instance.phase in TERMINAL and target is not Result.RESTORED
        result = Result.FINISHED if finished else Result(target)
        return _refused(instance, event.value, result, ask.step, reply.type_name)
    draft = Draft(saga, instance, now_us)
    _apply(draft, ask, event, reply)
    settle(draft)
    return _applied(draft, event.value, step=ask.step, detail=reply.type_name)


def _asked(saga: Saga[D], instance: Instance[D], reply: Replied) -> Ask[D] | Result:
    """The command that a reply answers: its id, its operation and its speaker must all match."""
    saga_id = instance.saga_id
    causation = reply.causation_id
    ask = saga.plan.asks.get(causation[len(saga_id) + 1 :])
    if ask is None or causation != f"{saga_id}/{ask.name}":
        return Result.WRONG_COMMAND
    if reply.operation_id != f"{saga_id}/{ask.step}":
        return Result.WRONG_COMMAND
    if reply.source != ask.contract.owner:
        return Result.WRONG_SOURCE
    return ask


def _apply(draft: Draft[D], ask: Ask[D], event: StepEvent, reply: Replied) -> None:
    if event is StepEvent.REFUSED:
        draft.close(ask.index, event)
        turn_back(draft, _reason(reply), ask.step)
    elif event is StepEvent.UNDO_ANSWERED:
        draft.close(ask.index, event)
    elif draft.plan.alone[ask.index]:
        draft.close(ask.index, event)
        keep(draft, ask.index, reply.body)
    else:
        kept = None if draft.plan.keep[ask.index] is None else reply.body
        draft.close(ask.index, event, kept)


def _news(step: Step, kind: Kind) -> bool:
    """A forgotten undo says more than a forgotten do, never the other way round."""
    return step.forgotten is None or (step.forgotten is Forgotten.DO and kind is Kind.UNDO)


def _forgotten(saga: Saga[D], instance: Instance[D], ask: Ask[D], now_us: int) -> Decision[D]:
    """A reply to a command never sent: the world is ahead of this database.

    In a finished saga nothing moves any more, but the effect must not go unseen.
    """
    draft = Draft(saga, instance, now_us)
    before = draft.steps[ask.index]
    draft.steps[ask.index] = before._replace(forgotten=Forgotten(ask.kind.value))
    if draft.phase in TERMINAL:
        draft.call_operator(ask.step, Result.RESTORED.value)
    else:
        stop_restored(draft, ask.index)
    entry = _entry(draft, "forgotten", Result.RESTORED, step=ask.step, detail=ask.name)
    return draft.decision(entry, Result.RESTORED)


def _timer_fired(
    saga: Saga[D], instance: Instance[D] | None, fired: TimerFired, now_us: int
) -> Decision[D]:
    ask = saga.plan.asks.get(f"{fired.step}/{fired.kind.value}")
    if instance is None or ask is None:
        result = Result.NOT_STARTED if ask else Result.UNKNOWN_STEP
        return _refused(instance, "timer", result, fired.step)
    step = instance.steps[ask.index]
    stale = _stale_timer(instance, step, ask.kind)
    if stale is not None:
        return _refused(instance, "timer", stale, ask.step, ask.name)
    draft = Draft(saga, instance, now_us)
    if fired.unsent:
        draft.wait_again(ask)
        return _applied(draft, "timer_unsent", step=ask.step, detail=ask.name)
    waited_us = step.waited_us + ask.interval_us(step.waited_us)
    expires = ask.kind is Kind.DO and ask.index < saga.plan.turning and waited_us >= ask.within_us
    if expires and not answered_before(draft, ask.index):
        draft.close(ask.index, StepEvent.TIMED_OUT)
        turn_back(draft, NO_REPLY, ask.step)
        settle(draft)
        return _applied(draft, StepEvent.TIMED_OUT.value, step=ask.step, detail=ask.name)
    draft.resend(ask, waited_us)
    if draft.phase is Phase.COMPENSATING and overdue(draft):
        draft.move(PhaseEvent.UNDO_OVERDUE)
        draft.attention = NO_REPLY
        draft.call_operator(ask.step, NO_REPLY)
    return _applied(draft, "timer", step=ask.step, detail=ask.name)


def _stale_timer(instance: Instance[D], step: Step, kind: Kind) -> Result | None:
    """Why a timer that fired has nothing to say any more."""
    if step.status is not (Status.SENT if kind is Kind.DO else Status.UNDOING):
        return Result.NOT_WAITING
    if instance.paused:
        return Result.PAUSED
    return Result.RESTORED if instance.held else None


def _cancel_requested(
    saga: Saga[D], instance: Instance[D] | None, asked: CancelRequested, now_us: int
) -> Decision[D]:
    what, detail = "cancellation", asked.request_id
    if saga.cancelled_by is None:
        return _refused(instance, what, Result.NOT_CANCELLABLE, detail=detail)
    early = instance or _new(saga, asked.key, None, now_us)
    answered = early.phase is Phase.CANCELLED_EARLY
    request = Cancellation(asked.request_id, asked.reason, answered)
    if any(known.request_id == asked.request_id for known in early.cancellations):
        return _refused(instance, what, Result.DUPLICATE, detail=detail)
    if len(early.cancellations) >= REQUESTS_MAX:
        return _refused(instance, what, Result.TOO_MANY_REQUESTS, detail=detail)
    draft = Draft(saga, early, now_us)
    draft.cancellations = (*draft.cancellations, request)
    result = weigh_requests(draft)
    settle(draft)
    before = "" if instance is None else instance.state
    entry = _entry(draft, what, result, before=before, detail=detail)
    return draft.decision(entry, result)


def _told(
    saga: Saga[D], instance: Instance[D] | None, told: VerbRequested, now_us: int
) -> Decision[D]:
    refusal = _inadmissible(saga, instance, told)
    draft = None
    if instance is not None and refusal is None:
        draft = Draft(saga, instance, now_us)
        refusal = obey(draft, told)
    result = refusal or Result.APPLIED
    state = "" if instance is None else instance.state
    entry = Entry(
        f"verb_{told.verb}",
        state,
        state if draft is None or refusal else state_of(draft.phase, tuple(draft.steps)),
        result,
        told.step or "",
        told.reason,
        told.actor,
        told.assignee or told.evidence,
    )
    if draft is None or refusal:
        return Decision(instance, (), (), (entry,), result)
    return draft.decision(entry)


def _inadmissible(
    saga: Saga[D], instance: Instance[D] | None, told: VerbRequested
) -> Result | None:
    """Why no saga in any state would obey this."""
    if instance is None:
        return Result.NOT_STARTED
    if not told.reason.strip():
        return Result.NO_REASON
    if told.parked and told.verb != Verb.NOTE:
        return Result.PARKED
    if told.version_seen is not None and told.version_seen != instance.version:
        return Result.STALE
    if told.step is not None and told.step not in saga.plan.index:
        return Result.UNKNOWN_STEP
    return None


def _new(saga: Saga[D], key: str, start: Started | None, now_us: int) -> Instance[D]:
    """Version 0 of a saga; without a start it is one that was cancelled before it came."""
    return Instance(
        saga_id=saga.saga_id(key),
        definition=saga.name,
        definition_version=saga.version,
        key=key,
        phase=Phase.RUNNING if start else Phase.CANCELLED_EARLY,
        paused=False,
        steps=saga.plan.idle,
        data=None,
        version=0,
        start_id=start.message_id if start else "",
        start_digest=start.content_digest if start else "",
        started_us=now_us,
        updated_us=now_us,
    )


def _reason(reply: Replied) -> str:
    """What a refusal says of itself, else its type: OutOfStock is `out_of_stock`."""
    said = getattr(reply.body, "reason", None)
    if isinstance(said, str) and said:
        return said
    return re.sub(r"(?<!^)(?=[A-Z])", "_", reply.type_name.rpartition(".")[2]).lower()


def _entry(
    draft: Draft[D],
    what: str,
    result: Result,
    *,
    step: str = "",
    detail: str = "",
    before: str | None = None,
) -> Entry:
    from_state = draft.before.state if before is None else before
    to_state = state_of(draft.phase, tuple(draft.steps))
    return Entry(what, from_state, to_state, result, step, detail)


def _applied(
    draft: Draft[D], what: str, *, step: str = "", detail: str = "", before: str | None = None
) -> Decision[D]:
    return draft.decision(
        _entry(draft, what, Result.APPLIED, step=step, detail=detail, before=before)
    )


def _refused(
    instance: Instance[D] | None, what: str, result: Result, step: str = "", detail: str = ""
) -> Decision[D]:
    state = "" if instance is None else instance.state
    return Decision(instance, (), (), (Entry(what, state, state, result, step, detail),), result)
